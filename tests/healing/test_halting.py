"""`harness halt` on a clock that jumps, with ledgers on disk and a process table that does as it is told."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from harness.clock import Inbox
from harness.errors import ExitCode, TargetDirty
from harness.healing.halting import Halt
from harness.ledger import Account, Healed, Injected, Intended, Ledger, Opened, Undo, Watched
from harness.units import NS_PER_S

T = TypeVar("T")


class Table:
    """A clock and a process table in one: what is scripted happens when its time comes."""

    def __init__(self) -> None:
        self.at_ns = 0
        self.living: set[int] = set()
        self.asleep: set[int] = set()
        self.forbidden = ""
        self.sent: list[tuple[float, int, str]] = []
        self.on: dict[tuple[int, str], list[tuple[float, Callable[[], object]]]] = {}
        self._due: list[tuple[int, Callable[[], object]]] = []

    def now(self) -> int:
        """Nanoseconds since the test began."""
        return self.at_ns

    def wait(self, inbox: Inbox[T], until: int) -> T | None:
        """Jump, and do what is due by then."""
        self.at_ns = max(self.at_ns, until)
        for at_ns, act in [due for due in self._due if due[0] <= self.at_ns]:
            self._due.remove((at_ns, act))
            act()
        return None

    def alive(self, opened: Opened) -> bool:
        """By pid."""
        return opened.pid in self.living

    def reaped(self, account: Account) -> bool:
        """By the reaper's pid."""
        return account.watched is not None and account.watched.pid in self.living

    def stopped(self, opened: Opened) -> bool:
        """Until it gets a SIGCONT."""
        return opened.pid in self.asleep

    def send(self, opened: Opened, number: signal.Signals) -> str:
        """Note it, and set off what follows from it."""
        self.sent.append((self.at_ns / NS_PER_S, opened.pid, number.name))
        if number is signal.SIGCONT:
            self.asleep.discard(opened.pid)
        if number is signal.SIGKILL:
            self.living.discard(opened.pid)
        for after_s, act in self.on.get((opened.pid, number.name), []):
            self._due.append((self.at_ns + round(after_s * NS_PER_S), act))
        return self.forbidden


class Scene:
    """Runs and their ledgers."""

    def __init__(self) -> None:
        self.table = Table()
        self.said: list[str] = []

    def run(self, name: str, pid: int, *faults: str, reaper: int = 0, dead: bool = False) -> Ledger:
        """A run with these faults in force."""
        ledger = Ledger.create(
            Opened(
                schema=1, run=name, experiment="ladder", folder="", user="ann", wall="", pid=pid, pid_started=1.0,
                boot="", origin_ns=0,
            )
        )  # fmt: skip
        for fault in faults:
            undo = Undo(name=fault, driver="toxiproxy", kind="latency", on="front", by_hand=f"undo {fault}")
            ledger.append(Intended(undo=undo))
            ledger.append(Injected(name=fault))
        if reaper:
            ledger.append(Watched(pid=reaper, pid_started=1.0))
            self.table.living.add(reaper)
        if not dead:
            self.table.living.add(pid)
        return ledger

    def then(self, pid: int, number: str, after_s: float, act: Callable[[], object]) -> None:
        """What a signal leads to."""
        self.table.on.setdefault((pid, number), []).append((after_s, act))

    def heals(self, ledger: Ledger, name: str) -> Callable[[], object]:
        """An act: the fault is over."""
        return lambda: ledger.append(Healed(name=name, by="run"))

    def halt(self) -> ExitCode:
        """Do it."""
        return Halt(self.said.append, clock=self.table, processes=self.table).halt()

    def left(self) -> str:
        """What is not healed after it."""
        with pytest.raises(TargetDirty) as caught:
            self.halt()
        assert caught.value.exit_code is ExitCode.DIRTY
        return str(caught.value)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A state folder of the test's own."""
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path))
    return Scene()


def test_nothing_running_is_said_and_well(scene: Scene) -> None:
    """Exit code 0."""
    assert scene.halt() is ExitCode.PASS
    assert scene.said == ["no experiment is running"]


def test_two_runs_are_asked_at_once_and_each_told_when_healed(scene: Scene) -> None:
    """The second is not kept waiting by the first, whose stack takes long."""
    slow, quick = scene.run("r-1", 10, "lag"), scene.run("r-2", 20, "freeze")
    scene.then(10, "SIGTERM", 0.4, scene.heals(slow, "lag"))
    scene.then(10, "SIGTERM", 30, slow.close)
    scene.then(20, "SIGTERM", 1.0, scene.heals(quick, "freeze"))
    scene.then(20, "SIGTERM", 1.5, quick.close)
    assert scene.halt() is ExitCode.PASS
    assert scene.table.sent == [(0, 10, "SIGTERM"), (0, 20, "SIGTERM")]
    assert "r-1: stopping experiment ladder (pid 10); lag (latency on front) in force" in scene.said
    order = [line for line in scene.said if "healed in" in line or "ended in" in line]
    assert order == ["r-1: healed in 0.4 s", "r-2: healed in 1.0 s", "r-2: ended in 1.5 s", "r-1: ended in 30.0 s"]
    assert scene.said[-1] == "all healed and ended after 30.0 s"


def test_a_run_without_faults_is_halted_too_and_waited_for(scene: Scene) -> None:
    """An empty ledger of a living run proves nothing yet: it may be about to inject."""
    ledger = scene.run("r-1", 10)
    scene.then(10, "SIGTERM", 8, ledger.close)
    assert scene.halt() is ExitCode.PASS
    assert "r-1: ended in 8.0 s" in scene.said
    assert not any("healed in" in line for line in scene.said)


def test_a_stopped_run_is_woken(scene: Scene) -> None:
    """State T: SIGTERM alone would wait in its queue."""
    ledger = scene.run("r-1", 10, "lag")
    scene.table.asleep = {10}
    scene.then(10, "SIGCONT", 0.2, scene.heals(ledger, "lag"))
    scene.then(10, "SIGCONT", 0.3, ledger.close)
    assert scene.halt() is ExitCode.PASS
    assert [name for _, _, name in scene.table.sent] == ["SIGTERM", "SIGCONT"]


def test_what_does_not_heal_in_five_seconds_is_killed_and_its_reaper_heals(scene: Scene) -> None:
    """Once; then up to ten seconds for the reaper."""
    ledger = scene.run("r-1", 10, "lag", reaper=11)
    scene.then(10, "SIGKILL", 2, scene.heals(ledger, "lag"))
    scene.then(10, "SIGKILL", 2.1, ledger.close)
    assert scene.halt() is ExitCode.PASS
    assert [(round(at_s), name) for at_s, _, name in scene.table.sent] == [(0, "SIGTERM"), (5, "SIGKILL")]
    assert "r-1: healed in 7.0 s" in scene.said


def test_a_stack_that_takes_long_to_go_down_is_no_reason_to_kill(scene: Scene) -> None:
    """Its undo record is open all the while, but it is no fault."""
    ledger = scene.run("r-1", 10, reaper=11)
    ledger.append(Intended(undo=Undo(name="stack", driver="compose", kind="up", on="p")))
    scene.then(10, "SIGTERM", 40, scene.heals(ledger, "stack"))
    scene.then(10, "SIGTERM", 40, ledger.close)
    assert scene.halt() is ExitCode.PASS
    assert [name for _, _, name in scene.table.sent] == ["SIGTERM"]


def test_a_run_that_never_ends_is_killed_in_the_end(scene: Scene) -> None:
    """Nothing in force, but no end: a limit all the same."""
    ledger = scene.run("r-1", 10)
    scene.then(10, "SIGKILL", 0.1, ledger.close)
    assert scene.halt() is ExitCode.PASS
    assert [name for _, _, name in scene.table.sent] == ["SIGTERM", "SIGKILL"]


def test_what_neither_run_nor_reaper_heals_is_told_with_what_to_type(scene: Scene) -> None:
    """Exit code 5, after 15 s."""
    scene.run("r-1", 10, "lag", reaper=11)
    left = scene.left()
    assert "lag (latency on front) is not confirmed healed; type: undo lag" in left
    assert 15 <= scene.table.at_ns / NS_PER_S < 16


def test_a_run_that_dies_without_reaper_is_not_waited_for(scene: Scene) -> None:
    """Nobody is left who could heal."""
    scene.run("r-1", 10, "lag")
    scene.then(10, "SIGTERM", 0.5, lambda: scene.table.living.discard(10))
    assert "type: undo lag" in scene.left()
    assert scene.table.at_ns < NS_PER_S


def test_a_dead_run_whose_reaper_works_is_waited_for_and_not_signalled(scene: Scene) -> None:
    """Its pid may be somebody else's."""
    ledger = scene.run("r-1", 10, "lag", reaper=11, dead=True)
    scene.table._due.append((NS_PER_S, scene.heals(ledger, "lag")))
    scene.table._due.append((NS_PER_S, ledger.close))
    assert scene.halt() is ExitCode.PASS
    assert not scene.table.sent
    assert "r-1: healed in 1.0 s" in scene.said


def test_dead_runs_point_to_heal(scene: Scene) -> None:
    """What a dead run left in force is no clean end, with or without anything running; what left nothing is."""
    scene.run("r-1", 10, dead=True)
    assert scene.halt() is ExitCode.PASS
    assert "r-1: has died, nothing is in force; tidy up with: harness heal --run r-1" in scene.said
    scene.run("r-2", 20, "lag", dead=True)
    assert "r-2: has died with lag (latency on front) in force: harness heal --run r-2" in scene.left()


def test_an_unreadable_ledger_keeps_no_other_run_from_being_halted(scene: Scene, tmp_path: Path) -> None:
    """A ledger of a newer version: told, and the other halted."""
    first = scene.run("r-1", 10)
    (tmp_path / "runs" / "r-0.jsonl").write_text(_newer())
    ledger = scene.run("r-2", 20)
    for pid, one in ((10, first), (20, ledger)):
        scene.then(pid, "SIGTERM", 0.1, one.close)
    assert "a ledger of version 2" in scene.left()
    assert "r-2: ended in 0.1 s" in scene.said


def _newer() -> str:
    import zlib

    text = '{"record":"Opened","schema":2}'
    return f"{zlib.crc32(text.encode()):08x} {text}\n"


def test_somebody_elses_run_is_told_with_its_owner(scene: Scene) -> None:
    """A state folder may be shared."""
    scene.run("r-1", 10, "lag")
    scene.table.forbidden = "pid 10 belongs to user ann, who alone may stop it"
    assert "belongs to user ann" in scene.left()
