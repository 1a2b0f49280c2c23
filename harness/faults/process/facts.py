"""What a process fault needs: the services of a stack, and what each kind of fault must do."""

from __future__ import annotations

from typing import Protocol, cast

from harness.clients import process
from harness.experiment import Fault
from harness.faults import Before, Felt


class Services(Protocol):
    """What these faults need of a stack; the process stack has it."""

    def handle(self, service: str) -> int | str | None:
        """The pid of a running service."""

    def start(self, service: str) -> None:
        """Start it as it was started before; returns when it is ready. Fine when it runs."""

    def stop(self, service: str) -> None:
        """End it in order; returns when its group has gone."""


class Kind(Protocol):
    """One kind of process fault. A process is its pid, which is also its group, *and* its start time."""

    def check(self, fault: Fault, pid: int) -> None:
        """Refuse what cannot be done to this process."""

    def before(self, fault: Fault, pid: int) -> Before:
        """What healing needs beyond the identity."""

    def inject(self, fault: Fault, before: Before) -> None:
        """Put it in force; return when confirmed."""

    def heal(self, fault: Fault, before: Before) -> None:
        """Take it back, also when the stack and its process have gone; return when confirmed."""

    def felt(self, fault: Fault, before: Before) -> Felt:
        """Proof from the process table."""

    def unlike(self, fault: Fault, before: Before) -> tuple[str, ...]:
        """What of a healed fault is still there, one line each."""

    def by_hand(self, fault: Fault, before: Before) -> str:
        """What a person types; "" where the service has ended with its harness and nothing is left to undo."""


def pid_of(before: Before) -> int:
    """The process that `before` saw."""
    return cast("int", before["pid"])


def began(before: Before) -> float | None:
    """When it started."""
    return cast("float | None", before["started_at"])


def same(before: Before) -> bool:
    """Whether the process that `before` saw still runs; one that was ending as it was looked at does not."""
    return began(before) is not None and process.started_at(pid_of(before)) == began(before)


def group_left(before: Before) -> bool:
    """Whether the pid still stands for the group that `before` saw, be it that only children are left in it."""
    return process.is_still(pid_of(before), began(before))
