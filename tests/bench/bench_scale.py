"""Twenty thousand users with open connections, on this machine: memory, ramp, lateness, rows.

    python -m tests.bench.bench_scale [--users 20000] [--per-s 1000] [--hold 20] [--only closed,open,rows]

`closed`: so many FastUsers come on a line of 1,000 a second, and ask at `--per-s` altogether, evenly spread. `open`:
arrivals at that rate, each of which keeps its user busy until there are as many. Both against an idle nginx; as many
traffic processes as the limit on open files asks for. Memory is the growth of the traffic processes' resident memory
from no user to all of them connected. `rows`: what the harness's own process takes to read and write a row. JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from harness.journal import Traffic, Writer, decode, encode
from harness.traffic.recorder import Recorder
from harness.traffic.sizing.files import FILES_KEPT, files_at_most
from tests.bench.bench_traffic import deviation
from tests.bench.driven import Driven, Measured, nginx, raise_file_limit, spec

COMING_PER_S = 1000.0


def closed(args: argparse.Namespace) -> dict[str, Any]:
    """Users that keep a pace."""
    with tempfile.TemporaryDirectory() as came:
        os.environ |= {"PACING_S": str(args.users / args.per_s), "CAME_IN": came}
        try:
            with nginx(processes(args.users)) as (url, _), Driven(url, traffic(args)) as run:
                run.collect(1.0)  # what starting leaves to do is over before the line begins
                before = sum(worker.memory_info().rss for worker in run.workers)
                ramp_s = args.users / COMING_PER_S
                offset_ns = time.monotonic_ns() - run.clock.now()
                at_ns = run.load(args.users, ramp_s)
                # all have asked once when a whole pacing has gone by
                seen = run.measure(args.hold, ramp_s + args.users / args.per_s + 1)
                found = told(run, seen, before, args.users)
        finally:
            del os.environ["PACING_S"], os.environ["CAME_IN"]
        instants = [instant for file in Path(came).iterdir() for instant in json.loads(file.read_text())]
        found["ramp_worst_users"] = deviation(instants, offset_ns + at_ns, COMING_PER_S, args.users)
    return found


def opened(args: argparse.Namespace) -> dict[str, Any]:
    """Arrivals that stay."""
    os.environ["STAY_S"] = str(args.users / args.per_s)
    try:
        most = round(args.users * 1.05)
        with nginx(processes(args.users)) as (url, _), Driven(url, traffic(args, max_users=most)) as run:
            before = sum(worker.memory_info().rss for worker in run.workers)
            run.load(args.per_s, 0, "rate")
            seen = run.measure(args.hold, args.users / args.per_s + 2)
            found = told(run, seen, before, args.users)
            run.load(0, 0, "rate")
            run.driver.stop(0)
    finally:
        del os.environ["STAY_S"]
    return {**found, "not_started": sum(row.not_started for row in seen.own)}


def traffic(args: argparse.Namespace, **terms: Any) -> Any:
    return spec("many_users.py", processes=processes(args.users), **terms)


def processes(users: int) -> int:
    """Of the generator, and of nginx: each has as many connections as it may have files."""
    return math.ceil(users * 1.05 / (files_at_most() - FILES_KEPT))


def told(run: Driven, seen: Measured, before: int, users: int) -> dict[str, Any]:
    after = sum(worker.memory_info().rss for worker in run.workers)
    there = sum(max(row.sockets for row in seen.own if row.worker == worker) for worker in range(len(run.workers)))
    texts = [encode(event) for event in (*seen.rows, *seen.own)]
    return {
        "users": users,
        "processes": len(run.workers),
        "connections": there,
        "failed": seen.failed,
        "kb_per_user": round((after - before) / max(1, there) / 1000, 2),
        "rss_mb_all_processes": round(after / 1e6, 1),
        "requests_per_s": round(seen.per_s, 1),
        "cpu_all_processes": round(seen.cpu, 3),
        "cpu_us_per_request": round(seen.us_per_request, 1),
        "master_cpu": round(seen.master_cpu, 4),
        "from_due_p50_ms": seen.latency_ms(0.5),
        "from_due_p99_ms": seen.latency_ms(0.99),
        "service_p99_ms": seen.latency_ms(0.99, "service_ok"),
        "start_lag_p99_ms": seen.start_lag_ms(0.99),
        "loop_lag_p50_ms": seen.lag_ms(0.5),
        "loop_lag_p99_ms": seen.lag_ms(0.99),
        "gc_ms_per_s_worst": round(max((row.gc_us for row in seen.own), default=0) / 1000, 2),
        "row_bytes_per_s_per_process": round(sum(map(len, texts)) / seen.seconds / len(run.workers)),
        "rows_per_s_per_process": round(len(texts) / seen.seconds / len(run.workers), 2),
        "load_average": round(os.getloadavg()[0], 2),
    }


def rows(_: argparse.Namespace) -> dict[str, Any]:
    """By requests in a row: how long its line is, and the CPU time of reading it from a worker and writing it down.

    The latencies are lognormal over two decades.
    """
    found = {str(count): _row(count) for count in (10, 100, 1000, 10_000)}
    return {"by_requests": found, "load_average": round(os.getloadavg()[0], 2)}


def _row(count: int) -> dict[str, float]:
    recorder = Recorder(0, exemplars=0)
    for number in range(count):
        latency_us = round(20_000 * math.exp(0.8 * _normal(number, count)))
        recorder.close(recorder.open("GET /", number, 0), "GET /", latency_us)
    (row,) = [event for event in recorder.rows(1, 0) if isinstance(event, Traffic)]
    line, times = encode(row), 4000
    with tempfile.TemporaryDirectory() as folder:
        writer = Writer.create(Path(folder, "journal.jsonl"))
        began = time.process_time()
        for _ in range(times):
            writer.append(decode(line))
        spent = time.process_time() - began
        writer.close()
    return {"line_bytes": len(line), "cpu_us": round(spent / times * 1e6, 1)}


def _normal(number: int, count: int) -> float:
    """Quantiles of the normal distribution, roughly (logistic approximation)."""
    share = (number + 0.5) / count
    return math.log(share / (1 - share)) / 1.702


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--per-s", type=float, default=1000.0)
    parser.add_argument("--hold", type=float, default=20.0)
    parser.add_argument("--only", default="closed,open,rows")
    args = parser.parse_args()
    raise_file_limit()
    parts = {"closed": closed, "open": opened, "rows": rows}
    print(json.dumps({name: parts[name](args) for name in args.only.split(",")}, indent=2))


if __name__ == "__main__":
    main()
