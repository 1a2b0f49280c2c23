"""A crash after every single thing that a run does, one after the other: then the ledger alone must be enough.

On the fake clock, so it is deterministic and leaves no instant out: the crash comes before and after each record of the
ledger, after each event of the journal and at each call of a driver, in a run with two faults in force at once.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from harness.experiment import Fault
from harness.faults import Before
from harness.healing.hand import Hand
from harness.journal import Event
from harness.ledger import Ledger, Opened, Record, read
from harness.testing import FakeJournal, World
from harness.units import NS_PER_S
from tests.run.test_run import Scene, fault, timeline

OPENED = Opened(
    schema=1, run="r", experiment="e", folder="", user="me", wall="", pid=1, pid_started=0.0, boot="b", origin_ns=0
)


class Crash(BaseException):
    """The harness has died here: nothing after it happens, no handler of its own sees it."""


class Fuse:
    """Counts everything that happens; at number `at` the harness dies."""

    def __init__(self, at: int | None) -> None:
        self.burnt = 0
        self._at = at

    def __call__(self) -> None:
        """One more thing happens."""
        self.burnt += 1
        if self.burnt == self._at:
            raise Crash


class FusedWorld(World):
    """A world in which each call may be the last one."""

    fuse: Fuse

    def ask(self, words: str) -> None:
        """Die, or record the request."""
        self.fuse()
        super().ask(words)


class FusedLedger(Ledger):
    """A real ledger on a real disk; the harness may die before or after each write."""

    fuse: Fuse

    def append(self, record: Record) -> None:
        """Die, or write, and die."""
        self.fuse()
        super().append(record)
        self.fuse()


class FusedJournal(FakeJournal):
    """A journal; the harness may die after each event."""

    fuse: Fuse

    def append(self, event: Event, *, sync: bool = False) -> None:
        """Write, and die."""
        super().append(event, sync=sync)
        self.fuse()


class Healing:
    """Takes back from the set of what is in force, as another process would: from the undo record alone."""

    def __init__(self, world: World) -> None:
        self._world = world

    def heal(self, fault: Fault, before: Before) -> None:
        """By the name that `before` saw."""
        self._world.in_force.discard(str(before["was"]))


def crashed(path: Path, at: int | None) -> tuple[Scene, bool]:
    """A run that dies at the fuse's number; whether it died."""
    fuse = Fuse(at)
    scene = Scene()
    scene.world.__class__ = FusedWorld
    scene.world.fuse = fuse  # type: ignore[attr-defined]
    scene.journal.__class__ = FusedJournal
    scene.journal.fuse = fuse  # type: ignore[attr-defined]
    Ledger.create(OPENED, path)
    ledger = FusedLedger(path)
    ledger.fuse = fuse
    scene.ledger = ledger  # type: ignore[assignment]
    try:
        scene.run(timeline(fault("a", 2, 8), fault("b", 5, 10)))
    except Crash:
        return scene, True
    return scene, False


def directly(call: Callable[[], None], limit_ns: int) -> None:
    """No thread: the test is to be deterministic."""
    call()


def heal(path: Path, scene: Scene) -> None:
    """As the reaper does it; nothing may stay open."""
    healer = Healing(scene.world)
    hand = Hand(read(path), lambda _: healer, by="reaper", clock=scene.world.clock, attempt=directly)
    assert hand.heal(NS_PER_S).failed == {}
    assert read(path).open == ()


def test_a_crash_at_any_instant_leaves_nothing_that_the_ledger_cannot_undo(tmp_path: Path) -> None:
    """Every number of the fuse until the run survives; each time a stranger heals from the file."""
    for at in count(1):
        path = tmp_path / f"{at}.jsonl"
        scene, died = crashed(path, at)
        if not died:
            break
        if path.exists():
            heal(path, scene)
        assert not scene.world.in_force, f"left in force after a crash at {at}"
    assert at > 40, "the fuse must have been at every step of a whole run"


def test_the_fuse_finds_a_ledger_that_is_written_too_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a fault injected before its record is on disk, some crash would leave it: this test can fail."""
    monkeypatch.setattr(FusedLedger, "append", lambda self, record: self.fuse())
    left = 0
    for at in count(1):
        scene, died = crashed(tmp_path / f"{at}.jsonl", at)
        if not died:
            break
        left += bool(scene.world.in_force)
    assert left
