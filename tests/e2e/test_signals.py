"""Signals while faults are in force: exit code 130, the target clean, nothing left running, the journal whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.runs import Run, fault, harness, within

FAULTS = {
    "toxic": [fault("toxic latency", "front", latency="20ms")],
    "process": [fault("process pause", "web")],
}
ORPHANS_S = 3
HEALED_S = 10


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("number", "kind"),
    [(signal.SIGINT, "toxic"), (signal.SIGTERM, "process"), (signal.SIGHUP, "toxic")],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else value,
)
def test_a_signal_during_a_fault_heals_it_and_leaves_a_verdict(
    tmp_path: Path, number: signal.Signals, kind: str
) -> None:
    """130; the fault healed and the run ended in the journal; inconclusive; no process left."""
    with Run(tmp_path, faults=FAULTS[kind]) as run:
        assert run.sees("FaultInjected")
        run.process.send_signal(number)
        code, _, err = run.end(15)
        assert code == 130, err
        assert f"interrupted by {number.name}" in err
        assert len(run.events("FaultHealed")) == 1
        assert [event["dirty"] for event in run.events("RunEnded")] == [[]]
        assert run.verdict()["outcome"] == "inconclusive"
        assert not run.left()


@pytest.mark.e2e
def test_a_signal_while_the_stack_starts_takes_it_down(tmp_path: Path) -> None:
    """A service that never becomes ready is not waited for; nothing is left of it."""
    stack = {"process": {"web": {"command": "{python} -c 'import time; time.sleep(99)'", "ready": "tcp within 60s"}}}
    with Run(tmp_path, stack=stack) as run:
        assert run.sees("RunStarted")
        assert within(10, lambda: any(b"sleep(99)" in Path(f"/proc/{p}/cmdline").read_bytes() for p in run.left()))
        run.process.send_signal(signal.SIGTERM)
        assert run.end(15)[0] == 130
        assert run.events("RunEnded")
        assert not run.left()


@pytest.mark.e2e
@pytest.mark.parametrize("kind", FAULTS)
def test_after_sigkill_nothing_runs_and_the_journal_can_be_judged(tmp_path: Path, kind: str) -> None:
    """All of ours ends by itself; the reaper closes the fault in the journal; judge: inconclusive."""
    with Run(tmp_path, faults=FAULTS[kind]) as run:
        assert run.sees("FaultInjected")
        run.process.kill()
        run.process.wait(5)
        assert within(ORPHANS_S, lambda: not run.left()), run.left()
        assert [event["dirty"] for event in run.events("RunEnded")] == [[]]
        assert [event["fault"] for event in run.events("FaultHealed")] == ["trouble"]
        assert harness("judge", str(run.path()), cwd=tmp_path).returncode == 2
        assert run.verdict()["outcome"] == "inconclusive"
        assert "nothing is left in force" in harness("heal", cwd=tmp_path).stdout


@pytest.fixture
def container(image: str) -> Iterator[str]:
    """A container of somebody else, which the harness only meets."""
    name = f"harness-test-{uuid.uuid4().hex[:8]}"
    subprocess.run(["docker", "run", "-d", "--name", name, image, "sleep", "300"], check=True, capture_output=True)
    yield name
    subprocess.run(["docker", "rm", "-f", name], check=False, capture_output=True)


def state(container: str) -> tuple[str, int]:
    """Status and CPU quota, asked of Docker itself."""
    asked = subprocess.run(["docker", "inspect", container], check=True, capture_output=True, timeout=20)
    document = json.loads(asked.stdout)[0]
    return document["State"]["Status"], max(0, document["HostConfig"]["CpuQuota"])


@pytest.mark.e2e
@pytest.mark.needs("docker")
@pytest.mark.parametrize(
    ("kind", "params", "meanwhile"),
    [("pause", {}, ("paused", 0)), ("cpu", {"cpus": 0.1}, ("running", 10_000)), ("kill", {}, ("exited", 0))],
)
def test_a_container_fault_is_taken_back_after_sigint_and_by_the_reaper_after_sigkill(
    tmp_path: Path, container: str, kind: str, params: dict[str, object], meanwhile: tuple[str, int]
) -> None:
    """Docker says: in force, then as it was, with nobody's hand; for both ways to end a harness."""
    faults = [fault(f"container {kind}", container, **params)]
    for number in (signal.SIGINT, signal.SIGKILL):
        folder = tmp_path / number.name
        folder.mkdir()
        with Run(folder, faults=faults) as run:
            assert run.sees("FaultInjected")
            assert state(container) == meanwhile
            os.kill(run.process.pid, number)
            run.end(20)
            assert within(HEALED_S, lambda: state(container) == ("running", 0))
            assert within(HEALED_S, lambda: bool(run.events("RunEnded")))


@pytest.mark.e2e
@pytest.mark.needs("docker")
def test_when_the_reaper_is_killed_too_every_command_says_so_and_heal_finishes(tmp_path: Path, container: str) -> None:
    """Both at once: nobody is left to heal, until a person types the command that is named."""
    with Run(tmp_path, faults=[fault("container pause", container)]) as run:
        assert run.sees("FaultInjected")
        os.kill(run.pid_of("harness.reaper"), signal.SIGKILL)
        run.process.kill()
        run.process.wait(5)
        assert within(ORPHANS_S, lambda: not run.left()), run.left()
        assert state(container)[0] == "paused"
        name = run.path().name
        told = harness("list", cwd=tmp_path).stderr
        assert name in told
        assert "harness heal" in told
        assert "would be healed" in harness("heal", "--dry-run", cwd=tmp_path).stdout
        assert state(container)[0] == "paused"
        healed = harness("heal", "--run", name, cwd=tmp_path)
        assert (healed.returncode, "healed" in healed.stdout) == (0, True), healed.stderr
        assert state(container) == ("running", 0)
        assert [event["dirty"] for event in run.events("RunEnded")] == [[]]
        assert "nothing is left in force" in harness("heal", cwd=tmp_path).stdout


@pytest.mark.e2e
@pytest.mark.needs("docker")
def test_a_reaper_that_is_killed_ends_the_run_and_its_faults(tmp_path: Path, container: str) -> None:
    """Known within two seconds; the fault healed, exit code 4, inconclusive."""
    with Run(tmp_path, faults=[fault("container pause", container)]) as run:
        assert run.sees("FaultInjected")
        os.kill(run.pid_of("harness.reaper"), signal.SIGKILL)
        assert within(3, lambda: state(container) == ("running", 0))
        code, _, err = run.end(20)
        assert code == 4, err
        assert "nobody would heal if this run died now" in err
        assert not run.left()
