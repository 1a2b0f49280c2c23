"""The contract of probes: alive they read finite numbers of the names they promise, dead they raise."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from harness.clients.poll import poll
from harness.errors import HarnessError
from harness.probes import NoProbe, Probe
from harness.probes.container import ContainerProbe
from harness.probes.host import HostProbe
from harness.probes.process import ProcessProbe
from harness.probes.prometheus import PrometheusProbe
from tests.contracts.containers import docker, running

IN_TIME_NS = 10_000_000_000
BUSY = "while True: pass"
GAUGES = {
    "noop": set(),
    "container": {"memory", "memory_bytes", "restarts", "oom_kills"},
    "process": {"memory", "rss_bytes", "threads", "open_files"},
    "prometheus": {"db_pool_in_use"},
    "host": {"memory", "load1", "swap_used_bytes", "disk_free"},
}
RATES = {
    "noop": set(),
    "container": {"cpu", "cpu_cores", "throttled", "rx_bytes_per_s", "tx_bytes_per_s"},
    "process": {"cpu"},
    "prometheus": set(),
    "host": {"cpu"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """A probe on a living subject, and the end of that subject."""

    probe: Probe
    end: Callable[[], object]


@contextmanager
def noop(image: str) -> Iterator[Arena]:
    """The smallest probe."""
    yield Arena(probe=NoProbe(), end=lambda: None)


@contextmanager
def container(image: str) -> Iterator[Arena]:
    """A busy container."""
    with running(image) as one:
        yield Arena(probe=ContainerProbe(lambda: one.id), end=lambda: docker("kill", one.id))


@contextmanager
def process(image: str) -> Iterator[Arena]:
    """A busy process; its end leaves a zombie, which is dead too."""
    with subprocess.Popen([sys.executable, "-c", BUSY]) as child:
        try:
            yield Arena(probe=ProcessProbe(lambda: child.pid), end=child.kill)
        finally:
            child.kill()


class Page(BaseHTTPRequestHandler):
    """One metric."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"# TYPE db_pool_in_use gauge\ndb_pool_in_use 3\n")

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def prometheus(image: str) -> Iterator[Arena]:
    """A metrics page."""
    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()

    def end() -> None:
        server.shutdown()
        server.server_close()

    try:
        yield Arena(probe=PrometheusProbe(f"http://127.0.0.1:{server.server_port}/metrics"), end=end)
    finally:
        end()
        thread.join(5)


@contextmanager
def host(image: str) -> Iterator[Arena]:
    """This machine, which does not end."""
    yield Arena(probe=HostProbe(Path("/")), end=lambda: None)


ARENAS = {"noop": noop, "container": container, "process": process, "prometheus": prometheus, "host": host}


def named(*names: str) -> list[object]:
    """Parameters, those that need a part marked with it."""
    return [pytest.param(name, marks=[pytest.mark.needs("docker")] if name == "container" else []) for name in names]


@pytest.mark.parametrize("name", named(*ARENAS))
def test_reads_finite_numbers_and_rates_from_the_second_reading_on(name: str, image: str) -> None:
    """The first reading knows no rates and says none; later ones do."""
    with ARENAS[name](image) as arena:
        first = arena.probe.read()
        assert GAUGES[name] <= first.keys()
        assert not RATES[name] & first.keys()
        assert (
            poll(lambda: RATES[name] <= arena.probe.read().keys(), IN_TIME_NS, every_ns=50_000_000) or not RATES[name]
        )
        assert all(math.isfinite(value) and value >= 0 for value in arena.probe.read().values())


@pytest.mark.parametrize("name", named("container", "process", "prometheus"))
def test_a_dead_subject_raises(name: str, image: str) -> None:
    """It never reads as zero, not even once."""
    with ARENAS[name](image) as arena:
        arena.probe.read()
        arena.end()

        def raised() -> bool:
            try:
                values = arena.probe.read()
            except HarnessError:
                return True
            assert 0 not in [values.get("memory_bytes"), values.get("rss_bytes"), values.get("db_pool_in_use")]
            return False

        assert poll(raised, IN_TIME_NS)


def test_a_process_that_is_being_taken_apart_is_dead() -> None:
    """The kernel gives its memory back before it becomes a zombie: in between it has zero bytes and looks alive."""
    large = "hold = b'x' * 200_000_000; print(flush=True); input()"
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", large], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            probe = ProcessProbe(lambda pid=child.pid: pid)  # type: ignore[misc]
            child.kill()
            with suppress(HarnessError):
                while True:
                    assert probe.read()["rss_bytes"] > 0


@pytest.mark.parametrize("name", named("container", "process"))
def test_a_busy_subject_has_its_cpu_read(name: str, image: str) -> None:
    """Something near what it takes: more than a tenth of a core, not more than the cores there are."""
    with ARENAS[name](image) as arena:
        arena.probe.read()
        key = "cpu_cores" if name == "container" else "cpu"
        assert poll(lambda: arena.probe.read().get(key, 0) > 0.1, IN_TIME_NS, every_ns=200_000_000)
        assert arena.probe.read()[key] < 64


@pytest.mark.needs("docker")
def test_a_throttled_container_is_at_its_ceiling(image: str) -> None:
    """`cpu` is the share of what it may use, so a quota of 0.05 cores shows as full, and throttled."""
    with running(image, "--cpus", "0.05") as one:
        probe = ContainerProbe(lambda: one.id)
        probe.read()

        def full() -> bool:
            values = probe.read()
            return values.get("throttled", 0) > 0.5 and values["cpu"] > 0.5 > values["cpu_cores"]

        assert poll(full, IN_TIME_NS, every_ns=300_000_000)


@pytest.mark.needs("docker")
def test_the_engines_statistics_agree_with_the_kernels_files(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the cgroup files cannot be read, the API gives the same memory within a few megabytes."""
    with running(image, "-m", "128m") as one:
        here = ContainerProbe(lambda: one.id).read()
        monkeypatch.setattr("harness.probes.container.cgroup.read", lambda *_: None)
        there = ContainerProbe(lambda: one.id).read()
        assert abs(here["memory_bytes"] - there["memory_bytes"]) < 4_000_000
        assert abs(here["memory"] - there["memory"]) < 0.05


@pytest.mark.needs("docker")
def test_a_container_that_does_not_exist_raises() -> None:
    """With Docker's words."""
    with pytest.raises(HarnessError, match="No such container"):
        ContainerProbe(lambda: "harness-test-no-such").read()


def test_a_page_that_hangs_raises_in_time() -> None:
    """Somebody listens and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        probe = PrometheusProbe(f"http://127.0.0.1:{mute.getsockname()[1]}/", timeout_s=0.2)
        with pytest.raises(HarnessError, match=r"no answer within 0\.2 s"):
            probe.read()
