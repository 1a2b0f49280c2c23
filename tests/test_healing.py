"""`harness heal`: what a dead run left in force is found in its journal alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from harness.errors import ExitCode
from harness.healing import heal_runs, unhealed
from harness.journal import Event, FaultHealed, FaultIntended, RunEnded, RunStarted, Writer
from harness.result import RunFolder, create

DOCUMENT = {
    "name": "frozen",
    "why": "It thaws.",
    "stack": {"process": {"api": {"command": "api"}}},
    "traffic": {"scenario": "s.py", "target": "api"},
    "stages": [{"name": "steady", "role": "steady", "users": 1, "hold": "30s"}],
    "faults": [{"name": "freeze", "process": "pause", "on": "api", "during": "steady", "for": "10s"}],
}


def intended(name: str) -> FaultIntended:
    """A fault that was begun."""
    return FaultIntended(at_ns=5, fault=name, driver="process", kind="pause", on="api", params={}, before={})


def dead_run(root: Path, *events: Event, facts: dict[str, object] | None = None) -> RunFolder:
    """A journal with a header and these events."""
    folder = create(root, "frozen", datetime(2026, 1, 1, tzinfo=UTC))
    writer = Writer.create(folder.journal)
    header = RunStarted(
        at_ns=0,
        schema=1,
        run=folder.run,
        wall="2026-01-01T00:00:00Z",
        seed=1,
        plan_ns=1,
        document=DOCUMENT,
        base_dir=".",
        facts=facts or {},  # type: ignore[arg-type]
    )
    for event in (header, *events):
        writer.append(event)
    writer.close()
    return folder


def test_an_intended_fault_without_a_heal_is_open(tmp_path: Path) -> None:
    """The last one first; a healed one is closed."""
    folder = dead_run(
        tmp_path, intended("a"), intended("b"), intended("c"), FaultHealed(at_ns=9, fault="b", asked_ns=8)
    )
    assert [event.fault for event in unhealed(folder)[1]] == ["c", "a"]


def test_a_run_that_ended_clean_has_nothing_open(tmp_path: Path) -> None:
    """RunEnded without dirt closes everything."""
    folder = dead_run(tmp_path, intended("a"), RunEnded(at_ns=9, completed=True))
    assert unhealed(folder)[1] == ()


def test_a_run_that_ended_dirty_is_still_open(tmp_path: Path) -> None:
    """Exit code 5 sends people here: there must be something to heal."""
    folder = dead_run(tmp_path, intended("a"), RunEnded(at_ns=9, completed=True, dirty=("a",)))
    assert [event.fault for event in unhealed(folder)[1]] == ["a"]


def test_healing_is_written_into_the_journal_so_that_it_is_done_once(tmp_path: Path) -> None:
    """A process fault ended with its harness; the second call finds nothing."""
    dead_run(tmp_path, intended("freeze"))
    said: list[str] = []
    assert heal_runs(None, output=tmp_path, dry_run=False, say=said.append) is ExitCode.PASS
    assert "ended with the harness" in said[0]
    said.clear()
    heal_runs(None, output=tmp_path, dry_run=False, say=said.append)
    assert said == ["nothing is left in force"]


def test_a_dry_run_only_says(tmp_path: Path) -> None:
    """The journal is as before."""
    folder = dead_run(tmp_path, intended("freeze"))
    before = folder.journal.read_bytes()
    said: list[str] = []
    heal_runs(None, output=tmp_path, dry_run=True, say=said.append)
    assert "would be healed" in said[0]
    assert folder.journal.read_bytes() == before


def test_a_run_that_is_still_going_on_is_left_alone(tmp_path: Path) -> None:
    """Its process lives: it heals itself."""
    me = psutil.Process()
    folder = dead_run(tmp_path, intended("freeze"), facts={"pid": me.pid, "pid_started": me.create_time()})
    before = folder.journal.read_bytes()
    said: list[str] = []
    heal_runs(None, output=tmp_path, dry_run=False, say=said.append)
    assert "still running" in said[0]
    assert folder.journal.read_bytes() == before


@pytest.mark.parametrize("cut", [1, 5])
def test_a_half_written_last_line_does_not_stop_healing(tmp_path: Path, cut: int) -> None:
    """Killed in the middle of a line."""
    folder = dead_run(tmp_path, intended("freeze"))
    with folder.journal.open("ab") as file:
        file.write(b'{"event":"Traffic"'[:cut])
    heal_runs(None, output=tmp_path, dry_run=False, say=lambda _: None)
    assert unhealed(folder)[1] == ()
