"""What outlives a run if it dies: its ledger, and the lease that a reaper of its own holds.

The run renews the lease as long as its loop turns. When the reaper is gone the run heals and stops; when the run is
gone the reaper heals. So nothing is put in force unless both are there.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

from harness.errors import EnvironmentBroke, HarnessError
from harness.ledger import Healed, Intended, Record, Undoable
from harness.run.loop import Loop
from harness.units import NS_PER_S

RENEW_EVERY_NS = NS_PER_S // 2
START_LIMIT_NS = 15 * NS_PER_S


class LedgerBook(Protocol):
    """Where undo records are kept; `harness.ledger.Ledger` is one."""

    def append(self, record: Record) -> None:
        """Force one record to the disk. Raises OSError."""

    def exists(self) -> bool:
        """Whether it is still there: somebody may have removed it."""

    def close(self) -> None:
        """The run is over: nothing is kept unless something is open."""


class Lease(Protocol):
    """The reaper as the run sees it."""

    def start(self) -> None:
        """Start it; returns when it is confirmed alive. Raises EnvironmentBroke."""

    def renew(self) -> None:
        """Renew the lease, without waiting. Raises EnvironmentBroke when the reaper is gone or answers no more."""

    def release(self) -> None:
        """Let it end: the run is over. Twice, or before `start`, is fine."""


class Books:
    """The run's hand on both, in the loop's thread."""

    def __init__(self, ledger: LedgerBook, lease: Lease, loop: Loop) -> None:
        self._ledger = ledger
        self._lease = lease
        self._loop = loop
        self._held = False
        self._closed = False

    def open(self) -> None:
        """Start the reaper and renew its lease from now on. Raises EnvironmentBroke: then nothing may be injected."""
        self._loop.perform("starting the reaper", self._lease.start, START_LIMIT_NS)
        self._held = True
        self._loop.later(self._loop.clock.now() + RENEW_EVERY_NS, self._renew)

    def watched(self) -> bool:
        """Whether the reaper answered when it was last asked."""
        return self._held

    def note(self, record: Record) -> bool:
        """Write a record; False, and the run stops, when the disk is full: an intention not on disk is not acted on."""
        try:
            self._ledger.append(record)
        except OSError as error:
            self._loop.abort("error", f"the ledger cannot be written: {error.strerror or error}")
            return False
        return True

    def intend(self, thing: object) -> None:
        """Write what would take a stack or links down. Does nothing for what cannot be left behind.

        Raises EnvironmentBroke when it cannot be written.
        """
        undo = thing.undo() if isinstance(thing, Undoable) else None
        if undo is not None and not self.note(Intended(undo=undo)):
            raise EnvironmentBroke(f"what would take down {undo.name} cannot be written, so it is not brought up")

    def over(self, thing: object) -> None:
        """It has been taken down."""
        undo = thing.undo() if isinstance(thing, Undoable) else None
        if undo is not None:
            self.note(Healed(name=undo.name, by="run"))

    def close(self) -> None:
        """All is healed, or known not to be: the reaper may end. What fails here is left to later commands."""
        self._held = False
        self._closed = True
        with suppress(HarnessError):  # one that cannot be told ends when we do, and finds nothing open
            self._loop.perform("releasing the reaper", self._lease.release, START_LIMIT_NS)
        with suppress(OSError, HarnessError):
            self._ledger.close()

    def _renew(self) -> None:
        """Also when all is lost: a reaper that comes back must not take a run that heals for a dead one."""
        if self._closed:
            return
        try:
            self._lease.renew()
            if not self._ledger.exists():
                raise EnvironmentBroke("its ledger was removed")
        except (HarnessError, OSError) as error:
            self._held = False
            self._loop.abort("error", f"nobody would heal if this run died now: {error}")
        self._loop.later(self._loop.clock.now() + RENEW_EVERY_NS, self._renew)
