"""FastUser beside FastHttpUser, k6 and wrk: CPU per request flat out, and memory of open connections.

    python -m tests.bench.bench_fast [--users 50] [--hold 4] [--rounds 3] [--connections 20000] [--only cpu,memory]

Each client in turn, in every round, against one nginx worker (`return 200`, 102 bytes) on core 1, itself on core 0.
Ours is FastUser in the harness's worker with everything recorded; `fast_http_user in the harness` the stock client in
the same place; `stock locust` runs FastHttpUser as `locust --headless` does. CPU time (user and system) of the process
that sends, divided by the requests that it finished; the median of the rounds. Memory is the growth of the worker from
no user to all of them having a connection open. Prints JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from harness.clock import Inbox, SystemClock
from harness.experiment import TrafficSpec
from harness.journal import Event, Exemplar, Generator, Traffic
from harness.traffic import Load
from harness.traffic.locust import LocustTraffic
from tests.bench.bench_traffic import nginx

S = 1_000_000_000
SCENARIO = Path(__file__).resolve().parent / "scenarios" / "flat_out.py"
K6 = """
import http from 'k6/http';
export const options = {{ vus: {users}, duration: '{hold}s', discardResponseBodies: true }};
export default function () {{ http.get('{url}/'); }}
"""


class Harness:
    """The harness's own traffic, one worker, driven for a while."""

    def __init__(self, url: str, folder: str) -> None:
        self.clock = SystemClock()
        self.inbox: Inbox[Event] = Inbox()
        self.events: list[Event] = []
        spec = TrafficSpec(scenario=SCENARIO.name, target="t", timeout_ns=10 * S, processes=1)
        self.driver = LocustTraffic(
            spec, origin_ns=self.clock.origin_ns, seed=7, base_dir=SCENARIO.parent, log_dir=Path(folder)
        )
        self.driver.start(self.inbox, url)
        ours = [child for child in psutil.Process().children() if "harness.traffic.child" in child.cmdline()]
        self.worker = max(ours, key=lambda child: child.pid)  # the master starts first
        self.worker.cpu_affinity([0])

    def load(self, users: int, ramp_s: float) -> None:
        """Go to so many users."""
        self.driver.set_load(Load(at_ns=self.clock.now(), level_from=0, level_to=users, ramp_ns=round(ramp_s * S)))

    def collect(self, seconds: float) -> None:
        """Take what is reported for a while."""
        until_ns = self.clock.now() + round(seconds * S)
        while (event := self.clock.wait(self.inbox, until_ns)) is not None:
            self.events.append(event)

    def answered(self) -> int:
        """Requests finished so far, as told."""
        return sum(event.finished for event in self.events if isinstance(event, Traffic))

    def stop(self) -> None:
        """End it, and take the rest."""
        self.driver.stop(2 * S)
        self.collect(0)


def cpu_s(process: psutil.Process) -> float:
    """User and system time so far."""
    return float(sum(process.cpu_times()[:2]))


def in_harness(url: str, users: int, hold_s: float) -> float:
    """CPU per request (us) in the harness's worker, everything recorded."""
    with tempfile.TemporaryDirectory() as folder:
        run = Harness(url, folder)
        run.load(users, 0)
        run.collect(1.5)
        first, used = run.clock.now() // S, cpu_s(run.worker)
        run.collect(hold_s)
        used, last = cpu_s(run.worker) - used, run.clock.now() // S
        run.stop()
        failed = sum(sum(event.failed.values()) for event in run.events if isinstance(event, Traffic))
        assert not failed, f"{failed} requests failed"
        rows = [event for event in run.events if isinstance(event, Traffic) and first <= event.second < last]
        return used / hold_s / (sum(row.finished for row in rows) / (last - first)) * 1e6


def stock_locust(url: str, users: int, hold_s: float) -> float:
    """CPU per request (us) of `locust --headless`."""
    command = [sys.executable, "-m", "locust", "-f", str(SCENARIO), "--headless", "-u", str(users), "-r", str(users)]
    command += ["-t", f"{hold_s + 2:g}s", "-H", url, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        watched = psutil.Process(process.pid)
        watched.cpu_affinity([0])
        began, used, idle = time.monotonic(), 0.0, 0.0
        while process.poll() is None and time.monotonic() < began + hold_s + 30:
            try:
                used = cpu_s(watched)
                idle = idle or (used if watched.net_connections() else 0.0)  # what starting took is not counted
            except psutil.Error:
                break
            time.sleep(0.05)
        output, _ = process.communicate(timeout=30)
    requests = sum(entry["num_requests"] for entry in json.loads(output[output.index("[") :]))
    return (used - idle) / requests * 1e6


def other(command: list[str], count: str) -> float:
    """CPU per request (us) of another program, whose output says by `count` how many requests it made."""
    before = os.times()
    done = subprocess.run(["taskset", "-c", "0", *command], capture_output=True, text=True, timeout=120, check=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    found = re.search(count, done.stdout)
    assert found is not None, done.stdout
    return used / int(found.group(1)) * 1e6


def cpu(url: str, args: argparse.Namespace) -> dict[str, Any]:
    """All clients, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "k6.js")
        script.write_text(K6.format(url=url, users=args.users, hold=round(args.hold)))
        k6 = ["k6", "run", "--quiet", "--no-usage-report", str(script)]
        wrk = ["wrk", "-t1", f"-c{args.users}", f"-d{round(args.hold)}", url + "/"]
        peers = {
            "fast_user in the harness": lambda: in_harness(url, args.users, args.hold),
            "fast_http_user in the harness": lambda: stock(lambda: in_harness(url, args.users, args.hold)),
            "fast_http_user, stock locust": lambda: stock(lambda: stock_locust(url, args.users, args.hold)),
            "fast_user, stock locust": lambda: stock_locust(url, args.users, args.hold),
            "k6": lambda: other(k6, r"http_reqs\.*:\s*(\d+)"),
            "wrk": lambda: other(wrk, r"(\d+) requests in"),
        }
        if not shutil.which("k6"):
            del peers["k6"]
        found: dict[str, list[float]] = {name: [] for name in peers}
        for _ in range(args.rounds):
            for name, measure in peers.items():
                found[name].append(measure())
    return {
        name: {"us_per_request": round(statistics.median(all_), 1), "least": round(min(all_), 1)}
        for name, all_ in found.items()
    }


def stock(measure: Any) -> float:
    """With FastHttpUser as the scenario's client."""
    os.environ["STOCK"] = "1"
    try:
        return float(measure())
    finally:
        del os.environ["STOCK"]


def raise_file_limit() -> None:
    """A file for each connection, here and in whom we start; as far as we may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        hard = max(hard, 65_536)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def memory(url: str, args: argparse.Namespace) -> dict[str, Any]:
    """Growth of the worker by users that have each asked once and keep their connection."""
    os.environ["THINK_S"] = "600"
    try:
        with tempfile.TemporaryDirectory() as folder:
            run = Harness(url, folder)
            before = run.worker.memory_info().rss
            run.load(args.connections, args.connections / 1000)
            deadline_s = time.monotonic() + args.connections / 1000 + 60
            while run.answered() < args.connections and time.monotonic() < deadline_s:
                run.collect(1)
            after = run.worker.memory_info().rss
            files = run.worker.num_fds()
            connected = sum(
                1 for entry in run.worker.net_connections() if entry.raddr and f":{entry.raddr.port}" in url
            )
            run.stop()
            users = max((event.users for event in run.events if isinstance(event, Generator)), default=0)
    finally:
        del os.environ["THINK_S"]
    return {
        "users": users,
        "answered": run.answered(),
        "connected": connected,
        "files": files,
        "kb_per_user": round((after - before) / max(1, users) / 1000, 1),
        "rss_mb": round(after / 1e6, 1),
        "failures": [f"{event.endpoint}: {event.message}" for event in run.events if isinstance(event, Exemplar)][:3],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--hold", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=20_000)
    parser.add_argument("--only", default="cpu,memory")
    args = parser.parse_args()
    raise_file_limit()
    with nginx() as url:
        for server in psutil.Process().children(recursive=True):
            server.cpu_affinity([1])
        parts = {"cpu": lambda: cpu(url, args), "memory": lambda: memory(url, args)}
        print(json.dumps({name: parts[name]() for name in args.only.split(",")}, indent=2))


if __name__ == "__main__":
    main()
