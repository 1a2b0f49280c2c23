"""What dead runs left, healed by a person or before the next run: what is said, what stays, what it exits with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.clients.process import started_at
from harness.errors import BadInput, EnvironmentBroke, ExitCode, TargetDirty
from harness.experiment import Fault
from harness.faults import Before
from harness.healing import leftovers
from harness.healing.hand import boot
from harness.healing.leftovers import heal_first, heal_runs
from harness.ledger import Account, Injected, Intended, Ledger, Opened, Undo, read

NOBODY = 2**22 + 1
"""Above the largest pid of Linux."""


class Healer:
    """Heals all but what sticks."""

    def __init__(self) -> None:
        self.healed: list[str] = []
        self.sticks = ""

    def heal(self, fault: Fault, before: Before) -> None:
        """By name."""
        if fault.name == self.sticks:
            raise EnvironmentBroke("it sticks")
        self.healed.append(fault.name)


@pytest.fixture
def healer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Healer:
    """Heals every driver's faults, in a state folder of the test's own, with one try."""
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path))
    made = Healer()
    monkeypatch.setattr(leftovers, "healer_of", lambda _: made)
    monkeypatch.setattr(leftovers, "HEAL_LIMIT_NS", 0)
    return made


def run(name: str, *faults: str, pid: int = NOBODY, at_boot: str | None = None) -> Ledger:
    """A ledger with these faults in force."""
    opened = Opened(
        schema=1, run=name, experiment="x", folder="", user="ann", wall="", pid=pid,
        pid_started=started_at(pid) or 0.0, boot=boot() if at_boot is None else at_boot, origin_ns=0,
    )  # fmt: skip
    made = Ledger.create(opened)
    for fault in faults:
        undo = Undo(name=fault, driver="fake", kind="latency", on="front", by_hand=f"mend {fault}")
        made.append(Intended(undo=undo))
        made.append(Injected(name=fault))
    return made


def heal(name: str | None = None) -> tuple[ExitCode, list[str]]:
    """`harness heal`: its exit code and what it says."""
    said: list[str] = []
    return heal_runs(name, dry_run=False, say=said.append), said


def test_dead_runs_are_healed_once_and_then_there_is_nothing(healer: Healer) -> None:
    """Twice is fine."""
    run("r-1", "lag", "cut")
    assert heal() == (ExitCode.PASS, ["r-1: cut (latency on front): healed", "r-1: lag (latency on front): healed"])
    assert heal() == (ExitCode.PASS, ["nothing is left in force"])
    assert healer.healed == ["cut", "lag"]


def test_a_living_run_is_left_alone_and_an_unknown_one_is_refused(healer: Healer) -> None:
    """The first is told how to be ended, the second which there are."""
    run("r-1", "lag", pid=os.getpid())
    code, said = heal("r-1")
    assert code is ExitCode.PASS
    assert "still running" in said[0] and "harness halt" in said[0]
    with pytest.raises(BadInput, match="no run r-2") as caught:
        heal("r-2")
    assert "r-1" in caught.value.hint
    heal_first(said.append)
    assert not healer.healed


def test_after_a_reboot_the_same_pid_is_somebody_else(healer: Healer) -> None:
    """Our own pid, even our own start: it is another boot, so that run is dead."""
    run("r-1", "lag", pid=os.getpid(), at_boot="another boot")
    assert heal()[0] is ExitCode.PASS
    assert healer.healed == ["lag"]


def test_one_that_sticks_keeps_no_other_and_is_told_with_what_to_type(healer: Healer) -> None:
    """Exit code 5; its ledger stays, the other one goes."""
    healer.sticks = "lag"
    stuck, other = run("r-1", "lag"), run("r-2", "cut")
    with pytest.raises(TargetDirty, match=r"(?s)r-1: lag.*it sticks.*type: mend lag"):
        heal()
    assert [one.undo.name for one in read(stuck.path).open] == ["lag"]
    assert not other.exists()


def test_a_damaged_line_is_no_clean_target_and_is_told_once(healer: Healer) -> None:
    """Nobody knows which fault it was about: exit code 5, the rest is healed, and the file is put aside."""
    path = run("r-1", "lag", "cut").path
    path.write_bytes(path.read_bytes().replace(b'"name":"lag","driver"', b'"name":"gal","driver"'))
    with pytest.raises(TargetDirty, match=r"1 damaged in its ledger.*harness doctor"):
        heal()
    assert healer.healed == ["cut"]
    assert path.with_suffix(".damaged").exists()
    assert heal() == (ExitCode.PASS, ["nothing is left in force"])


def test_a_ledger_that_goes_while_we_look_is_no_error(healer: Healer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its run, its reaper or another `harness heal` has closed it between our listing and our reading."""
    gone = Path(os.environ["HARNESS_STATE"]) / "runs" / "r-9.jsonl"
    monkeypatch.setattr(leftovers, "ledgers", lambda: (gone,))
    said: list[str] = []
    heal_first(said.append)
    assert said == []
    assert heal()[0] is ExitCode.PASS
    assert not healer.healed


def test_one_that_was_healed_while_we_waited_is_not_healed_again(
    healer: Healer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reaper was at work, and has closed the ledger since."""
    path = run("r-1", "lag").path
    reaper = [True]

    def reaped(account: Account) -> bool:
        if not reaper:
            account.path.unlink(missing_ok=True)
        return bool(reaper and reaper.pop())

    monkeypatch.setattr(leftovers, "reaped", reaped)
    assert heal() == (ExitCode.PASS, ["r-1: its reaper is at work"])
    assert not healer.healed
    assert not path.exists()


def test_a_run_that_begins_says_nothing_when_there_is_nothing(healer: Healer) -> None:
    """A run that was killed before it had touched anything: its ledger goes without a word."""
    path = run("r-1").path
    said: list[str] = []
    heal_first(said.append)
    assert (said, path.exists(), healer.healed) == ([], False, [])
