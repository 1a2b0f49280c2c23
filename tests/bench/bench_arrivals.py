"""The open model's own cost and lateness.

    python -m tests.bench.bench_arrivals [--arrivals 200000] [--hold 8] [--rounds 3] [--only dispatch,lag,freeze]

`dispatch`: CPU time of an arrival from its draw to the end of an empty task, Locust's task loop included, all of them
due at once in one process (no waking, no socket), beside the same empty task in the closed model (wait of zero).
`lag`: due-to-start lag at half of the rate at which FastUser's worker uses its core up, against an idle nginx; beside
it how late this machine wakes a process that only sleeps, in the same seconds.
`freeze`: a target frozen for 2 s of 12 at 1,000/s: P99 from the due time beside the truth, which is what the due times
and the freeze say together. Medians of rounds; prints JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from harness import histogram
from harness.clock import Inbox, SystemClock
from harness.experiment import TrafficSpec
from harness.journal import Event, Generator, Traffic
from harness.traffic import Load
from harness.traffic.arrivals import Arrivals
from harness.traffic.locust import LocustTraffic
from tests.bench.bench_traffic import HERE, S, nginx
from tests.traffic.target import Target

SCENARIO = HERE / "scenarios" / "arriving.py"
SLEEPER = """
import json, signal, sys, time
late = []
def tell(*_):
    late.sort()
    print(json.dumps({f"late_p{p * 100:g}_ms": round(late[int(p * len(late))] / 1e6, 3) for p in (0.5, 0.9, 0.99)}))
    sys.exit()
signal.signal(signal.SIGTERM, tell)
while True:
    until = time.monotonic_ns() + 2_000_000
    time.sleep(0.002)
    late.append(time.monotonic_ns() - until)
"""


def drive(url: str, rate: float, hold_s: float, kind: str, acts: tuple[tuple[float, Any], ...] = ()) -> list[Event]:
    """Our driver at a flat rate."""
    clock = SystemClock()
    terms: Any = {"arrivals": kind, "max_users": 5000, "timeout_ns": 10 * S}
    inbox: Inbox[Event] = Inbox()
    events: list[Event] = []
    with tempfile.TemporaryDirectory() as logs:
        spec = TrafficSpec(scenario=str(SCENARIO), target="t", **terms)
        driver = LocustTraffic(spec, origin_ns=clock.origin_ns, seed=1, base_dir=HERE, log_dir=Path(logs))
        driver.start(inbox, url)
        at_ns = clock.now()
        driver.set_load(Load(at_ns=at_ns, level_from=rate, level_to=rate, ramp_ns=0, unit="rate"))
        for at_s, act in (*acts, (hold_s, None)):
            while (event := clock.wait(inbox, at_ns + round(at_s * S))) is not None:
                events.append(event)
            if act is not None:
                act()
        driver.stop(3 * S)
        while (event := clock.wait(inbox, 0)) is not None:
            events.append(event)
    return events


def dispatch(args: argparse.Namespace) -> dict[str, float]:
    found: dict[str, float] = {}
    for model in ("poisson", "uniform", "closed"):
        command = [sys.executable, "-m", "tests.bench.scenarios.empty_tasks", model, str(args.arrivals)]
        rounds = [
            float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=300).stdout)
            for _ in range(args.rounds)
        ]
        found[f"{model}_us"] = round(median(rounds), 2)
    return found


def lag(args: argparse.Namespace) -> dict[str, Any]:
    """The cost of a request at 1,000/s tells the rate that a core carries; half of that, or 8,000/s, is then sent."""
    with (
        nginx() as url,
        subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, text=True) as sleeper,
    ):
        rows = [event for event in drive(url, 1000, args.hold, "poisson") if isinstance(event, Generator)][2:-2]
        request_us = sum(row.cpu for row in rows) / sum(row.begun for row in rows) * 1e6
        half = min(8000.0, round(1e6 / request_us / 2, -2))
        rows = [event for event in drive(url, half, args.hold, "poisson") if isinstance(event, Generator)][2:-2]
        sleeper.terminate()
        machine = json.loads(sleeper.communicate(timeout=5)[0])
    late = histogram.decode([row.start_lag for row in rows if row.start_lag])
    return {
        "cpu_us_at_1000_per_s": round(request_us, 1),
        "half_per_s": half,
        "begun_per_s": sum(row.begun for row in rows) / len(rows),
        "cpu": round(sum(row.cpu for row in rows) / len(rows), 3),
        "not_started": sum(row.not_started for row in rows),
        **{f"lag_p{share * 100:g}_ms": round((late.percentile_us(share) or 0) / 1000, 3) for share in (0.5, 0.9, 0.99)},
        "machine": machine,
    }


def freeze(args: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in ("poisson", "uniform"):
        edges: list[int] = []
        with Target() as target:

            def turn(frozen: bool) -> None:
                target.freeze(frozen)
                edges.append(time.monotonic_ns())  # noqa: B023 - called in this round

            acts = ((4.0, lambda: turn(True)), (6.0, lambda: turn(False)))
            events = drive(target.address, 1000, 12, kind, acts)
        rows = [event for event in events if isinstance(event, Traffic)]
        arrivals = Arrivals(kind, seed=1, worker=0, workers=1)
        arrivals.follow(Load(at_ns=0, level_from=1000, level_to=1000, ramp_ns=0, unit="rate"))
        waits = []
        for _ in range(sum(row.finished for row in rows)):
            due_ns = arrivals.next_ns or 0
            waits.append((4 * S + edges[1] - edges[0] - due_ns) / 1e6 if due_ns >= 4 * S else 0.0)
            arrivals.take()
        truth_ms = sorted(waits)[math.ceil(0.99 * len(waits)) - 1]
        seen = histogram.decode([row.due_ok for row in rows])
        p99_ms = (seen.percentile_us(0.99) or 0) / 1000
        found[kind] = {
            "truth_p99_ms": round(truth_ms, 1),
            "p99_ms": round(p99_ms, 1),
            "error_percent": round((p99_ms / truth_ms - 1) * 100, 2),
            "p50_ms": round((seen.percentile_us(0.5) or 0) / 1000, 2),
            "finished": sum(row.finished for row in rows),
            "lost": sum(row.lost for row in rows),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arrivals", type=int, default=200_000)
    parser.add_argument("--hold", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="dispatch,lag,freeze")
    args = parser.parse_args()
    parts = {"dispatch": dispatch, "lag": lag, "freeze": freeze}
    print(json.dumps({name: parts[name](args) for name in args.only.split(",")}, indent=2))


if __name__ == "__main__":
    main()
