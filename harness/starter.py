"""`harness init`: a first experiment for somebody's own address, small enough to read in a minute."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import BadInput

SCENARIO = '''"""What a user does. A plain locustfile: it also runs under `locust -f {scenario}`."""

from locust import FastHttpUser, constant_pacing, task


class Visitor(FastHttpUser):
    """One request every two seconds, due at even instants: latency counts from when it was due."""

    wait_time = constant_pacing(2)

    @task
    def look(self):
        """The page that matters most: change it to yours."""
        self.client.get("{path}")
'''

EXPERIMENT = """\
# Try it first: harness check {experiment}    All keys: harness schema
name: {name}
why: {host} must stay usable for 50 users, also when every answer takes 100 ms longer.
stack:
  external: {{web: "{base}"}}          # runs already; nothing is started or stopped
proxies:
  front: {{upstream: web}}             # a link that faults can be put on
traffic: {{scenario: {scenario}, target: front, timeout: 10s}}
stages:
  - {{name: warm,   role: warmup,   users: 10, ramp: 2s, hold: 5s}}
  - {{name: steady, role: steady,   users: 50, ramp: 5s, hold: 30s}}
  - {{name: lagged, role: stress,   users: 50, hold: 30s}}
  - {{name: after,  role: recovery, users: 50, hold: 15s}}
faults:
  - {{name: lag, toxic: latency, on: front, latency: 100ms, jitter: 10ms, during: lagged, after: 5s, for: 20s}}
budget:
  - p95 < 500ms
  - p99 < 2s in steady, lagged
  - errors < 0.5% in steady, lagged
abort: [errors > 50% for 10s]
questions: [budget]
"""


def write_first(address: str, folder: Path, name: str) -> tuple[str, ...]:
    """Write `experiments/<name>.yaml` and `scenarios/<name>.py`; the lines to tell the user. Overwrites nothing."""
    parts = urlsplit(address if "://" in address else f"http://{address}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
        raise BadInput(f"{address}: expected an address such as http://127.0.0.1:8080")
    if parts.scheme == "https":
        raise BadInput(
            f"{address}: a proxy cannot stand in front of TLS and keep its certificate",
            hint="give the plain-HTTP address behind it, or write the experiment without `proxies:`",
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", name):
        raise BadInput(f"--name {name}: expected letters, digits, dot, dash and underscore")
    scenario, experiment = folder / "scenarios" / f"{name}.py", folder / "experiments" / f"{name}.yaml"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    base = f"{parts.scheme}://{parts.netloc}"
    host = parts.hostname
    words = {"name": name, "host": host, "base": base, "path": path, "scenario": scenario, "experiment": experiment}
    for file, text in ((scenario, SCENARIO), (experiment, EXPERIMENT)):
        if file.exists():
            raise BadInput(f"{file}: is there already", hint="give another --name")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.format(**words), encoding="utf-8")
    return (
        f"wrote {scenario}      what a user does: put your own requests there",
        f"wrote {experiment}   load, faults and budget",
        f"next: harness check {experiment}   shows the timeline, touches nothing",
        f"then: harness run {experiment}     50 users for 90 s against {base}",
    )
