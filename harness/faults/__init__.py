"""The fault seam: a driver puts faults of its kind in force and takes them back.

    check    before anything is touched: can this fault be done here at all?
    before   read the state that healing must restore        -> written to the journal, synced, before inject
    inject   put it in force; returns when it is confirmed
    heal     restore `before`; returns when it is confirmed over; healing twice, or without inject, is fine

Drivers keep no state between calls: everything they need is in the fault and in `before`, so a later process can
heal from the journal alone. Each call is made in a worker thread under a time limit.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """A driver that can find and remove what earlier runs of ours left behind."""

    def residue(self) -> tuple[str, ...]:
        """What is still there with our mark, one line each, asked of the target itself."""

    def heal_all(self) -> tuple[str, ...]:
        """Remove it; the lines that were removed."""


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
