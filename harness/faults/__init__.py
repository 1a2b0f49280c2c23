"""The fault seam: a driver puts faults of its kind in force and takes them back.

    check    before anything is touched: can this fault be done here at all?
    before   read the state that healing must restore        -> written to the ledger, synced, before inject
    inject   put it in force; returns when it is confirmed
    heal     restore `before`; returns when it is confirmed over; healing twice, or without inject, is fine

Drivers keep no state between calls: everything that `heal` needs is in the fault and in `before` (identity, address
of the server it was done through), so that another process, the reaper or `harness heal`, can heal from the ledger
alone. Of the fault it may use name, driver, kind, on and params; the rest is not in the ledger. Each call is made in a
worker thread under a time limit.

What is left is asked in two ways. At its end a run asks `residue` of the faults that it healed: what another run has
at the same target does not make this one dirty. `doctor` and `heal --dry-run` ask `marks`, and tell whose each is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from harness.experiment import Fault
from harness.journal import Json

Before = Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Felt:
    """Whether a fault has its effect, and what proves it, in one line for a person."""

    felt: bool
    proof: str


class FaultDriver(Protocol):
    """All that a fault driver must do. Errors are HarnessError with the words of the other side."""

    def check(self, fault: Fault) -> None:
        """Refuse what cannot be done, or is already in a state that is not ours. Touches nothing."""

    def before(self, fault: Fault) -> Before:
        """The state to restore, and the identity of what it belongs to, as JSON."""

    def inject(self, fault: Fault, before: Before) -> None:
        """Put the fault in force; return when confirmed."""

    def heal(self, fault: Fault, before: Before) -> None:
        """Take the fault back; return when confirmed. Idempotent."""


@runtime_checkable
class Feels(Protocol):
    """A driver that can prove that its fault has the effect (all of ours can)."""

    def felt(self, fault: Fault, before: Before) -> Felt:
        """Look at the target itself, not at our own books."""


@runtime_checkable
class Sweeps(Protocol):
    """A driver that can ask the target itself what is left of the faults of one run, not our own books."""

    def residue(self, known: Sequence[tuple[Fault, Before]]) -> tuple[str, ...]:
        """What of `known` (all healed) is still there, one line each. What other runs have there is not said."""


@runtime_checkable
class Marks(Protocol):
    """A driver that finds, without any book, what carries our mark: of every run, for a person to look at.

    Asked of container faults only: helpers and Toxiproxy are looked at directly, see harness/healing/residue.py.
    """

    def marks(self) -> tuple[str, ...]:
        """One line for each, that begins with what it is on and names the mark."""


@runtime_checkable
class Tells(Protocol):
    """A driver that knows the command by which a person takes its fault back."""

    def by_hand(self, fault: Fault, before: Before) -> str:
        """A line for a shell, complete: it goes into the undo record and into errors."""


@runtime_checkable
class Settles(Protocol):
    """A driver whose injection may take effect some time after whoever asked for it has died."""

    def settle_ns(self, fault: Fault, before: Before) -> int:
        """How long after the caller's death a call under way may still change the target; then heal once more."""


@runtime_checkable
class Takes(Protocol):
    """A driver whose calls may take longer than the 15 s that an injection, and a healing, are otherwise given."""

    def limits_ns(self, fault: Fault, before: Before) -> tuple[int, int]:
        """How long `inject` and how long `heal` are waited for; what is shorter than usual changes nothing."""


@runtime_checkable
class Notes(Protocol):
    """A driver whose healing may take an unusual way that a reader of the journal must know of."""

    def notes(self) -> tuple[str, ...]:
        """What was done out of the ordinary since it was last asked, a line each."""


class NoFaults:
    """The smallest driver that keeps the contract: nothing is put in force, so nothing is felt."""

    def check(self, fault: Fault) -> None:
        """Everything can be done by doing nothing."""

    def before(self, fault: Fault) -> Before:  # noqa: ARG002 - the contract's shape
        """Nothing to restore."""
        return {}

    def inject(self, fault: Fault, before: Before) -> None:
        """Do nothing."""

    def heal(self, fault: Fault, before: Before) -> None:
        """Do nothing."""
