"""The Docker daemon itself is killed, or restarted, while faults are in force: a real one, of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.engine import Engine, engine
from tests.e2e.runs import Run, fault, harness, within

pytestmark = [pytest.mark.e2e, pytest.mark.needs("docker", "dockerd", "root")]
AS_FOUND = ("running", 0)
FAULTS = [
    fault("container pause", "frozen") | {"name": "freeze"},
    fault("container cpu", "slow", cpus=0.1) | {"name": "throttle"},
]


@pytest.fixture
def survivor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Engine]:
    """An Engine whose containers outlive it (`live-restore`), with two of them; DOCKER_HOST says so."""
    with engine(live_restore=True) as one:
        monkeypatch.setenv("DOCKER_HOST", one.host)
        monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "state"))
        for name in ("frozen", "slow"):
            one.box(name)
        yield one


def both_in_force(run: Run) -> bool:
    """Whether both faults came."""
    return within(30, lambda: len(run.events("FaultInjected")) == 2 or run.process.poll() is not None)


def test_an_engine_that_was_restarted_meanwhile_is_healed_through(tmp_path: Path, survivor: Engine) -> None:
    """Killed and started again between injection and healing: the run ends as if nothing had been."""
    with Run(tmp_path, faults=FAULTS) as run:
        assert both_in_force(run)
        assert survivor.state("frozen")[0] == "paused"
        assert survivor.state("slow")[1] > 0
        survivor.end()
        survivor.start()
        code, _, err = run.end()
        assert code in {0, 2}, err  # 2: nothing ran in the container that could have been throttled
    ended = run.events("RunEnded")
    assert [event["dirty"] for event in ended] == [[]]
    assert [event["completed"] for event in ended] == [True]
    assert "container" in ended[0]["checked"]
    assert (survivor.state("frozen"), survivor.state("slow")) == (AS_FOUND, AS_FOUND)
    assert not list((tmp_path / "state" / "runs").iterdir())


def test_an_engine_that_stays_away_ends_in_a_command_to_type(tmp_path: Path, survivor: Engine) -> None:
    """Exit code 5 with the command for each; the record is kept, and `harness heal` finishes once it is back."""
    with Run(tmp_path, faults=FAULTS) as run:
        assert both_in_force(run)
        survivor.end()
        run.process.send_signal(signal.SIGINT)
        code, _, err = run.end()
        assert code == 5, err
        assert "docker unpause" in err
        assert "docker update" in err
        assert "harness heal" in err
    survivor.start()
    done = harness("heal", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (survivor.state("frozen"), survivor.state("slow")) == (AS_FOUND, AS_FOUND)
    assert not list((tmp_path / "state" / "runs").iterdir())


def test_the_reaper_tries_again_until_the_engine_is_back(tmp_path: Path, survivor: Engine) -> None:
    """Harness and Engine are killed at once; nobody types anything."""
    with Run(tmp_path, faults=FAULTS) as run:
        assert both_in_force(run)
        reaper = run.pid_of("harness.reaper")
        survivor.end()
        run.process.kill()
        log = run.path() / "logs" / "reaper.log"
        ledger = next((tmp_path / "state" / "runs").iterdir())
        assert not within(2, lambda: not ledger.exists()), log.read_text()
        os.kill(reaper, 0)
        survivor.start()
        assert within(10, lambda: not ledger.exists()), log.read_text()
    assert (survivor.state("frozen"), survivor.state("slow")) == (AS_FOUND, AS_FOUND)


def test_containers_that_ended_with_their_engine_are_left_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `live-restore` a restart ends them: not our doing. Their limits are ours, and are given back."""
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "state"))
    with engine(live_restore=False) as one:
        monkeypatch.setenv("DOCKER_HOST", one.host)
        for name in ("frozen", "slow"):
            one.box(name)
        with Run(tmp_path, faults=FAULTS) as run:
            assert both_in_force(run)
            one.end(signal.SIGTERM)
            one.start()
            run.process.send_signal(signal.SIGTERM)
            code, _, err = run.end()
            assert code == 130, err
        assert (one.state("frozen"), one.state("slow")) == (("exited", 0), ("exited", 0))
        assert [event["dirty"] for event in run.events("RunEnded")] == [[]]
        subprocess.run(["docker", "start", "slow"], check=True, capture_output=True)
        assert one.state("slow") == AS_FOUND
