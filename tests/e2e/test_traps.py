"""What goes wrong in the middle of a real run, and what a person sees of it: exit code, words, target."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.contracts.containers import docker
from tests.e2e.runs import SCENARIO, Run, fault, harness, within

pytestmark = pytest.mark.e2e


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder on a file system of its own, of 64 KiB."""
    place = tmp_path / "state"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=True)
    monkeypatch.setenv("HARNESS_STATE", str(place))
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.needs("root")
def test_a_disk_that_fills_up_under_the_ledger_lets_no_further_fault_happen(tmp_path: Path, small_disk: Path) -> None:
    """Exit code 4 and why; what is in force is healed; what was not begun is not; `heal` closes the books."""
    pulses = {"name": "pulse", "toxic": "latency", "on": "front", "latency": "20ms", "during": "steady"}
    repeated = pulses | {"after": "1500ms", "for": "100ms", "every": "200ms", "times": 20}
    with Run(tmp_path, faults=[fault("process pause", "web"), repeated]) as run:
        assert run.sees("FaultInjected")
        with suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
            while filler.write(b"\0" * 512):
                continue
        code, _, err = run.end(20)
        assert code == 4, err
        assert "the ledger cannot be written: No space left on device" in err
        intended = {event["fault"] for event in run.events("FaultIntended")}
        assert "trouble" in intended
        assert len(intended) < 20
        assert {event["fault"] for event in run.events("FaultHealed")} == {
            event["fault"] for event in run.events("FaultInjected")
        }
        assert [event["dirty"] for event in run.events("RunEnded")] == [[]]
        assert run.verdict()["outcome"] == "inconclusive"
        assert not run.left()
    (small_disk / "filler").unlink()
    done = harness("heal", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not list((small_disk / "runs").iterdir())


@pytest.mark.needs("docker")
def test_a_container_that_somebody_recreates_under_a_fault_is_not_touched(tmp_path: Path, image: str) -> None:
    """The new one is frozen by its owner: it stays so. The report says that the old one is gone; no pass."""
    name = f"harness-test-{uuid.uuid4().hex[:8]}"
    start = ("run", "-d", "--init", "--name", name, image, "sleep", "120")
    docker(*start)
    try:
        with Run(tmp_path, faults=[fault("container pause", name)]) as run:
            assert run.sees("FaultInjected")
            docker("rm", "-f", name)
            docker(*start)
            docker("pause", name)
            code, _, err = run.end()
            assert code == 2, err
        assert docker("inspect", "-f", "{{.State.Paused}}", name) == "true"
        assert [(event["felt"], event["proof"]) for event in run.events("FaultFelt")] == [
            (False, f"container {name} is gone: somebody removed it")
        ]
        assert [event["dirty"] for event in run.events("RunEnded")] == [[]]
        assert run.verdict()["outcome"] == "inconclusive"
        assert "somebody removed it" in (run.path() / "report.md").read_text()
    finally:
        subprocess.run(["docker", "rm", "-f", name], check=False, capture_output=True)


def test_without_its_steady_state_nothing_is_injected(tmp_path: Path) -> None:
    """Exit code 2, with what was seen; the fault never began, the ledger holds nothing of it."""
    missing = SCENARIO.replace('"/"', '"/no-such-page"')
    wanted = [fault("process pause", "web") | {"after": "3s", "for": "2s"}]
    with Run(tmp_path, scenario=missing, faults=wanted, steady_state=["errors < 1% for 2s"]) as run:
        code, out, err = run.end()
        assert code == 2, err
        assert "errors < 1% for 2s" in out, out
    assert [event["by"] for event in run.events("Aborted")] == ["steady_state"]
    assert not run.events("FaultIntended")
    assert not run.events("FaultInjected")
    assert run.verdict()["outcome"] == "inconclusive"
    assert not run.left()


@pytest.fixture
def silent() -> Iterator[str]:
    """A service that accepts and never answers; its address."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    taken.append(listener.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    for one in taken:
        one.close()


def test_ctrl_c_twice_heals_and_nothing_else(tmp_path: Path, silent: str) -> None:
    """Every request hangs for half a minute: nobody waits for them, nothing is judged, the toxic is gone. 130."""
    traffic = {"scenario": "visitor.py", "target": "front", "timeout": "30s"}
    stages = [{"name": "steady", "role": "steady", "users": 20, "hold": "20s"}]
    faults = [fault("toxic latency", "front", latency="20ms") | {"for": "15s"}]
    world = {"stack": {"external": {"web": silent}}, "traffic": traffic, "stages": stages}
    with Run(tmp_path, faults=faults, **world) as run:
        assert run.sees("FaultInjected")
        began = time.monotonic()
        run.process.send_signal(signal.SIGINT)
        assert within(2, lambda: bool(run.events("Aborted")))
        run.process.send_signal(signal.SIGINT)
        code, out, err = run.end(15)
        took_s = time.monotonic() - began
    assert code == 130, err
    assert took_s < 5
    assert "INCONCLUSIVE" not in out
    assert not (run.path() / "verdict.json").exists()
    assert [event["fault"] for event in run.events("FaultHealed")] == ["trouble"]
    assert [event["dirty"] for event in run.events("RunEnded")] == [[]]
    assert within(3, lambda: not run.left()), run.left()
