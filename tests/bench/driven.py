"""What the benchmarks of scale and of peers share: an idle nginx on its core, our traffic driven, CPU time counted."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psutil

from harness import histogram
from harness.clock import Inbox, SystemClock
from harness.experiment import LoadUnit, TrafficSpec
from harness.journal import Event, Exemplar, Generator, Traffic, WorkerLost
from harness.traffic import Load
from harness.traffic.locust import LocustTraffic

S = 1_000_000_000
SCENARIOS = Path(__file__).resolve().parent / "scenarios"
NGINX = """
worker_processes {workers}; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 100000; multi_accept on; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 600; client_body_temp_path {folder};
  proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port} backlog=4096 reuseport; location / {{ return 200 "{body}"; }} }} }}
"""
TIMEOUT_NS = 10 * S


def cores() -> tuple[set[int], set[int]]:
    """Where clients run, and where the server does: never on the same core, if there are two."""
    own = sorted(os.sched_getaffinity(0))
    return {own[0]}, {own[-1]}


@contextmanager
def nginx(workers: int = 1, on: set[int] | None = None) -> Iterator[tuple[str, list[psutil.Process]]]:
    """An idle web server that answers 102 bytes: its URL and its processes, on the cores `on` (the server's)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "nginx.conf")
        config.write_text(NGINX.format(folder=folder, port=port, workers=workers, body="x" * 102))
        binary = shutil.which("nginx") or "/usr/sbin/nginx"
        process = subprocess.Popen([binary, "-p", folder, "-c", str(config)], stderr=subprocess.DEVNULL)
        try:
            deadline_s = time.monotonic() + 5
            while not _listens(port) and time.monotonic() < deadline_s:
                time.sleep(0.05)
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
            for member in family:
                member.cpu_affinity(sorted(on or cores()[1]))
            yield f"http://127.0.0.1:{port}", family
        finally:
            process.terminate()
            process.wait(timeout=5)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    """User and system time that they took so far."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:2])
    return total


def raise_file_limit() -> None:
    """A file for each connection, here and in whom we start; as far as we may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (max(hard, 65_536), hard):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return


def spec(scenario: str = "flat_out.py", **terms: Any) -> TrafficSpec:
    """One process with one of our scenarios, unless told."""
    return TrafficSpec(**{"scenario": scenario, "target": "t", "timeout_ns": TIMEOUT_NS, "processes": 1, **terms})


class Driven:
    """The harness's own traffic, driven for a while; in a with-block, at whose end all of it has ended."""

    def __init__(self, url: str, traffic: TrafficSpec, on: set[int] | None = None) -> None:
        self.clock = SystemClock()
        self.inbox: Inbox[Event] = Inbox()
        self.events: list[Event] = []
        self.level = 0.0
        self._folder = tempfile.TemporaryDirectory()
        before = {child.pid for child in psutil.Process().children()}
        self.driver = LocustTraffic(
            traffic, origin_ns=self.clock.origin_ns, seed=7, base_dir=SCENARIOS, log_dir=Path(self._folder.name)
        )
        self.driver.start(self.inbox, url)
        ours = sorted(child.pid for child in psutil.Process().children() if child.pid not in before)
        self.master, *self.workers = (psutil.Process(pid) for pid in ours[-traffic.processes - 1 :])
        for worker in self.workers:
            worker.cpu_affinity(sorted(on or cores()[0]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.stop(2 * S)
        self.collect(0)
        self._folder.cleanup()
        lost = [event.why for event in self.events if isinstance(event, WorkerLost)]
        if lost:
            raise RuntimeError(f"a worker was lost: {lost}")

    def load(self, level: float, ramp_s: float = 0.0, unit: LoadUnit = "users") -> int:
        """Go to a level; returns the instant at which it began."""
        at_ns = self.clock.now()
        self.driver.set_load(
            Load(at_ns=at_ns, level_from=self.level, level_to=level, ramp_ns=round(ramp_s * S), unit=unit)
        )
        self.level = level
        return at_ns

    def collect(self, seconds: float) -> None:
        """Take what is reported for a while."""
        until_ns = self.clock.now() + round(seconds * S)
        while (event := self.clock.wait(self.inbox, until_ns)) is not None:
            self.events.append(event)

    def measure(self, seconds: float, warm_s: float = 1.5) -> Measured:
        """After a warm-up, the rows of the whole seconds within so many, and the CPU time they took."""
        self.collect(warm_s)
        first_ns, used, others = self.clock.now(), cpu_s(self.workers), cpu_s([self.master])
        self.collect(seconds)
        took_s = (self.clock.now() - first_ns) / S
        used, others = cpu_s(self.workers) - used, cpu_s([self.master]) - others
        first, last = first_ns // S + 1, self.clock.now() // S
        self.collect(1.2)  # the row of the last whole second is on its way
        return Measured(self.events, first, last, used / took_s, others / took_s)


class Measured:
    """What the rows of the seconds from `first` up to `last` tell. `cpu`, `master_cpu`: shares of a core."""

    def __init__(self, events: Sequence[Event], first: int, last: int, cpu: float, master_cpu: float) -> None:
        self.cpu, self.master_cpu, self.seconds = cpu, master_cpu, max(1, last - first)
        self.rows = [event for event in events if isinstance(event, Traffic) and first <= event.second < last]
        self.own = [event for event in events if isinstance(event, Generator) and first <= event.second < last]
        self.failed = sum(sum(row.failed.values()) for row in self.rows)
        self.why = sorted({event.message for event in events if isinstance(event, Exemplar)})[:3]

    @property
    def per_s(self) -> float:
        """Requests finished a second."""
        return sum(row.finished for row in self.rows) / self.seconds

    @property
    def us_per_request(self) -> float:
        """CPU time of the workers."""
        if self.failed:
            raise RuntimeError(f"{self.failed} requests failed: {self.why}")
        return self.cpu / max(1e-9, self.per_s) * 1e6

    def latency_ms(self, share: float, what: str = "due_ok") -> float:
        """A percentile from the due time, or of the service time (`service_ok`)."""
        return _ms([getattr(row, what) for row in self.rows], share)

    def lag_ms(self, share: float) -> float:
        """How late the event loop was."""
        return _ms([row.lag for row in self.own], share)

    def start_lag_ms(self, share: float) -> float:
        """How late what was due began."""
        return _ms([row.start_lag for row in self.own if row.start_lag], share)


def _ms(texts: list[str], share: float) -> float:
    return round((histogram.decode(texts).percentile_us(share) or 0) / 1000, 3)
