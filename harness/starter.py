"""`harness init`: a first experiment, for somebody's own address or from a document there is already."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from harness.errors import BadInput, Problem
from harness.importing import Call, Imported, experiment_text, from_har, from_openapi, read_document
from harness.loader import from_document
from harness.loader.yaml_lines import MAX_BYTES, parse

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


NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
FILL_IN = "change-me"


def write_first(address: str, folder: Path, name: str) -> tuple[str, ...]:
    """Write `experiments/<name>.yaml` and `scenarios/<name>.py`; the lines to tell the user. Overwrites nothing."""
    parts = _parts(address)
    if parts.scheme == "https":
        raise BadInput(
            f"{address}: a proxy cannot stand in front of TLS and keep its certificate",
            hint="give the plain-HTTP address behind it, or write the experiment without `proxies:`",
        )
    _require_name(name)
    scenario, experiment = folder / "scenarios" / f"{name}.py", folder / "experiments" / f"{name}.yaml"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    base = f"{parts.scheme}://{parts.netloc}"
    host = parts.hostname
    words = {"name": name, "host": host, "base": base, "path": path, "scenario": scenario, "experiment": experiment}
    _write({scenario: SCENARIO.format(**words), experiment: EXPERIMENT.format(**words)})
    return (
        f"wrote {scenario}      what a user does: put your own requests there",
        f"wrote {experiment}   load, faults and budget",
        f"next: harness check {experiment}   shows the timeline, touches nothing",
        f"then: harness run {experiment}     50 users for 90 s against {base}",
    )


def write_imported(
    source: Path, folder: Path, name: str, *, address: str = "", all_methods: bool, host: str, assets: bool
) -> tuple[str, ...]:
    """Write `experiments/<name>.yaml` from an OpenAPI document or a HAR file; the lines to tell the user.

    `name` is that of the file unless given; `address` is where the load goes instead. Overwrites nothing.
    """
    base = ""
    if address:
        parts = _parts(address)
        base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    name = name or re.sub(r"[^A-Za-z0-9_.-]+", "-", source.stem).strip("-._")[:63] or "imported"
    _require_name(name)
    document = read_document(source)
    if document.kind == "openapi":
        _refuse_options(source, "a HAR file", {"--host": host, "--assets": assets})
        imported = from_openapi(document, all_methods=all_methods, address=base)
    else:
        _refuse_options(source, "an OpenAPI document", {"--all-methods": all_methods})
        if urlsplit(base).path:
            raise BadInput(f"{address}: expected an address without a path", hint="a HAR file has whole paths")
        imported = from_har(document, host=host, assets=assets, address=base)
    experiment = folder / "experiments" / f"{name}.yaml"
    secrets = folder / "experiments" / f"{name}.credentials.csv"
    write = partial(
        experiment_text, imported, name=name, file=str(experiment), source=source.name, credentials=secrets.name
    )
    text = write()
    if len(text.encode()) > MAX_BYTES:
        text = write(show_off=False)
    _require_loadable(text, source)
    files = {experiment: text}
    if imported.credentials:
        columns = list(imported.credentials)
        files[secrets] = f"{','.join(columns)}\n{','.join(FILL_IN for _ in columns)}\n"
    _write(files)
    return tuple(_told(imported, experiment, secrets))


def _told(imported: Imported, experiment: Path, secrets: Path) -> list[str]:
    taken = [request for request in imported.requests if not request.off]
    calls = sum(isinstance(step, Call) for request in taken for step in request.steps)
    lines = [f"wrote {experiment}   {_count(len(taken), 'request')}, {_count(calls, 'call')}, for {imported.address}"]
    if imported.credentials:
        lines.append(f"wrote {secrets}   fill it in: {', '.join(imported.credentials)}; a line for each user")
    lines += [f"note: {note}" for note in imported.notes]
    lines += [f"left out: {what}" for what in imported.left_out]
    host = urlsplit(imported.address).hostname or ""
    own = "" if _is_near(host) else f" --i-own {host}"
    lines.append(f"next: harness check {experiment}{own}   shows the timeline, touches nothing")
    lines.append(f"then: harness run {experiment}{own}     2 users, then 20; 42 s")
    return lines


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _is_near(host: str) -> bool:
    """Whether a host is this machine or an address of a private network; a name may stand for anything."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost" or "." not in host


def _parts(address: str) -> SplitResult:
    parts = urlsplit(address if "://" in address else f"http://{address}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
        raise BadInput(f"{address}: expected an address such as http://127.0.0.1:8080")
    return parts


def _require_name(name: str) -> None:
    if not re.fullmatch(NAME, name):
        raise BadInput(f"--name {name}: expected letters, digits, dot, dash and underscore")


def _refuse_options(source: Path, of: str, given: Mapping[str, object]) -> None:
    for option, value in given.items():
        if value:
            raise BadInput(f"{source}: {option} is for {of}, and this is none", hint="leave it out")


def _require_loadable(text: str, source: Path) -> None:
    """What is written can be run: an import that is not readable is refused here, before there is a file."""
    data = text.encode("utf-8")
    if len(data) > MAX_BYTES:
        message = f"{len(data)} bytes of experiment would come of it; one has at most {MAX_BYTES}"
        hint = "take a part of the document: fewer operations, or a shorter session"
        raise BadInput(problems=[Problem(where=str(source), path="", message=message, hint=hint)])
    try:
        tree = parse(data, where=str(source)).value
        from_document(tree if isinstance(tree, dict) else {}, base_dir=".", where=f"{source}, as an experiment")
    except BadInput as error:
        raise BadInput(str(error), hint="please report this document: what comes of it should be readable") from error


def _write(files: Mapping[Path, str]) -> None:
    """All files or none: nothing is overwritten."""
    for file in files:
        if file.exists():
            raise BadInput(f"{file}: is there already", hint="give another --name")
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
