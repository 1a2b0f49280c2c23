"""`harness halt` from a third process: experiments with faults in force are healed at once, and the target is asked."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.clients.toxiproxy import Toxiproxy
from harness.clients.toxiproxy_server import ServerProcess, start_embedded
from tests.e2e.runs import Run, fault, harness, within

TOXIC_S, CONTAINER_S = 3, 5
TOXIC = fault("toxic latency", "front", latency="50ms")
STAGES = [{"name": "steady", "role": "steady", "users": 5, "hold": "30s"}]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own, for all that it starts."""
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    """The user's own Toxiproxy server: it outlives the runs, so it can be asked after them."""
    started = start_embedded(seed=1)
    yield started
    started.stop()


def running(folder: Path, trouble: dict[str, object], toxiproxy: str = "embedded") -> Run:
    """A run in a folder of its own, with a fault that outlasts the test."""
    folder.mkdir()
    faults = [trouble | {"for": "20s"}]
    return Run(folder, stages=STAGES, budget=["p95 < 1s in steady"], faults=faults, toxiproxy=toxiproxy)


def healed_s(said: str) -> list[float]:
    """How long each took, in its own words."""
    return [float(found) for found in re.findall(r": healed in (\d+\.\d) s", said)]


@pytest.mark.e2e
def test_two_experiments_are_halted_healed_and_confirmed(tmp_path: Path, state: Path, server: ServerProcess) -> None:
    """A toxic on a server that stays, and a process that is stopped."""
    address = f"http://{server.address.removeprefix('http://')}"
    with (
        running(tmp_path / "a", TOXIC, address) as first,
        running(tmp_path / "b", fault("process pause", "web")) as second,
    ):
        assert first.sees("FaultInjected")
        assert second.sees("FaultInjected")
        assert [toxic.kind for toxic in Toxiproxy(server.address).toxics("front")] == ["latency"]
        refused = harness("run", str(tmp_path / "a" / "short.yaml"), cwd=tmp_path / "a")
        assert refused.returncode == 3, refused.stderr
        assert f"another harness works at this target (Toxiproxy {server.address}" in refused.stderr
        assert f"pid {first.process.pid}" in refused.stderr
        web = second.pid_of("http.server")
        assert _state_of(web) == "T"
        began = time.monotonic()
        done = harness("halt", cwd=tmp_path)
        took_s = time.monotonic() - began
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("stopping experiment short") == 2
        assert len(healed_s(done.stdout)) == 2, done.stdout
        assert max(healed_s(done.stdout)) < TOXIC_S
        assert "all healed and ended" in done.stdout
        assert Toxiproxy(server.address).proxies() == {}
        assert _state_of(web) in {"", "Z"}
        for run in (first, second):
            assert run.end(20)[0] == 130
            assert len(run.events("FaultHealed")) == 1
            assert within(3, lambda run=run: not run.left())  # type: ignore[misc]
        assert not list((state / "runs").iterdir())
        print(f"halt took {took_s:.1f} s:\n{done.stdout}")
    assert "no experiment is running" in harness("halt", cwd=tmp_path).stdout


@pytest.mark.e2e
def test_a_run_that_is_stopped_is_woken_and_halted(tmp_path: Path) -> None:
    """kill -STOP on the harness: SIGTERM alone would not be heard."""
    with running(tmp_path / "a", TOXIC) as run:
        assert run.sees("FaultInjected")
        os.kill(run.process.pid, signal.SIGSTOP)
        done = harness("halt", cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert max(healed_s(done.stdout)) < TOXIC_S
        assert run.end(20)[0] == 130


@pytest.mark.e2e
@pytest.mark.needs("docker")
def test_a_paused_container_is_halted_in_time(tmp_path: Path, image: str) -> None:
    """Docker says: paused, then running."""
    name = f"harness-halt-{os.getpid()}"
    subprocess.run(["docker", "run", "-d", "--name", name, image, "sleep", "120"], check=True, capture_output=True)
    try:
        with running(tmp_path / "a", fault("container pause", name)) as run:
            assert run.sees("FaultInjected")
            assert _status(name) == "paused"
            done = harness("halt", cwd=tmp_path)
            assert done.returncode == 0, done.stdout + done.stderr
            assert _status(name) == "running"
            assert max(healed_s(done.stdout)) < CONTAINER_S
            assert run.end(20)[0] == 130
    finally:
        subprocess.run(["docker", "rm", "-f", name], check=False, capture_output=True)


def _status(name: str) -> str:
    words = ["docker", "inspect", "-f", "{{.State.Status}}", name]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


def _state_of(pid: int) -> str:
    """The state of a process, empty when it has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
