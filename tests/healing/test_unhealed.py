"""The note of every command on what dead runs left: there when needed, and next to free when not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import ledger
from harness import state as state_module
from harness.clients.process import started_at
from harness.errors import EnvironmentBroke
from harness.healing import unhealed
from harness.healing.hand import boot
from harness.healing.unhealed import unhealed_note
from harness.ledger import Healed, Intended, Ledger, Opened, Undo, Watched

NOBODY = 2**22 + 1
"""Above the largest pid of Linux."""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own."""
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path))
    return tmp_path


def run(name: str, pid: int, *faults: str, reaper: int = NOBODY) -> Ledger:
    """A ledger with these faults open."""
    opened = Opened(
        schema=1, run=name, experiment="x", folder="", user="ann", wall="", pid=pid,
        pid_started=started_at(pid) or 0.0, boot=boot(), origin_ns=0,
    )  # fmt: skip
    made = Ledger.create(opened)
    made.append(Watched(pid=reaper, pid_started=started_at(reaper) or 0.0))
    for fault in faults:
        made.append(Intended(undo=Undo(name=fault, driver="toxiproxy", kind="latency", on="front")))
    return made


def test_a_dead_run_with_open_faults_is_told() -> None:
    """Both are dead: how many, and what to type."""
    run("r-1", NOBODY, "lag", "cut")
    run("r-2", NOBODY, "lag")
    assert unhealed_note().splitlines() == [
        "run r-1 is over with 2 faults possibly still in force: harness heal",
        "run r-2 is over with 1 fault possibly still in force: harness heal",
    ]


def test_nothing_is_said_while_anybody_is_there_to_heal() -> None:
    """The run itself, its reaper, or nothing open."""
    run("r-1", os.getpid(), "lag")
    run("r-2", NOBODY, "lag", reaper=os.getpid())
    run("r-3", NOBODY, "lag").append(Healed(name="lag", by="heal"))
    assert unhealed_note() == ""


def test_a_ledger_that_cannot_be_read_is_told_and_stops_no_command(state: Path) -> None:
    """A newer harness wrote it, say."""
    import zlib

    text = '{"record":"Opened","schema":2}'
    (state / "runs").mkdir()
    (state / "runs" / "r-0.jsonl").write_text(f"{zlib.crc32(text.encode()):08x} {text}\n")
    run("r-1", NOBODY, "lag")
    first, second = unhealed_note().splitlines()
    assert "version 2" in first
    assert "r-1 is over" in second


def test_a_damaged_ledger_of_a_dead_run_is_told() -> None:
    """Nobody knows what was in the line: perhaps a fault that is in force."""
    path = run("r-1", NOBODY, "lag").path
    path.write_bytes(path.read_bytes().replace(b'"lag"', b'"gal"'))
    assert unhealed_note() == "run r-1 is over and its ledger is damaged: harness heal"


def test_a_user_without_a_home_can_still_ask_for_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container, with a user number that has no name: no ledgers, so nothing to tell."""
    for name in ("HARNESS_STATE", "XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: NOBODY)
    with pytest.raises(EnvironmentBroke, match="no home") as caught:
        state_module.folder()
    assert "HARNESS_STATE" in caught.value.hint
    assert unhealed_note() == ""


def test_it_looks_where_ledgers_are() -> None:
    """Its own copy of two words of ledger.py."""
    assert (unhealed.RUNS, unhealed.SUFFIX) == (ledger.FOLDER, ledger.SUFFIX)


def test_without_ledgers_nothing_heavy_is_imported(state: Path) -> None:
    """No psutil, no ledger: --help stays quick."""
    (state / "runs").mkdir()
    code = (
        "import sys; from harness.healing.unhealed import unhealed_note; assert unhealed_note() == '';"
        "print(sorted({'psutil', 'harness.ledger', 'harness.healing.hand'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[]"
