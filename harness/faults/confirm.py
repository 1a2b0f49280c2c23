"""What faults of the user's own have in common: an undo or none, a read-back by `confirm`, a log of what was said."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from harness.clients.poll import poll
from harness.clock import SystemClock
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault
from harness.secrets import hide
from harness.units import NS_PER_MS, NS_PER_S

FELT_NS = 4 * NS_PER_S
EVERY_NS = 100 * NS_PER_MS
CHECK_NS = 20 * NS_PER_S
"""How long `confirm` may take before anything is done, however long the steps may."""
MARGIN_NS = 3 * NS_PER_S
"""What a step may take beyond its own limit: ending a command, and reading back once more."""


def must_know_undo(fault: Fault) -> None:
    """Raises BadInput for a fault that nobody can take back, unless that is accepted."""
    if not fault.params.get("heal") and not fault.irreversible:
        raise BadInput(
            f"fault {fault.name}: nothing says how to undo it", hint="give `heal`, or write irreversible: accepted"
        )


def must_not_be(fault: Fault, in_force: bool, says: str) -> None:
    """Raises BadInput when `confirm` says yes before anything was done."""
    if in_force:
        raise BadInput(
            f"fault {fault.name}: in force already, says {says}; that was not us",
            hint="take it back first, or let `confirm` tell better",
        )


def read_back(in_force: Callable[[int], bool], *, wanted: bool, left_ns: int, what: str) -> None:
    """Ask until it is as wanted; each question is given the time that is left. Raises EnvironmentBroke.

    A question that cannot be answered is asked again: what was just changed may need a moment.
    """
    clock = SystemClock()
    unanswered: list[EnvironmentBroke] = []

    def as_wanted() -> bool:
        unanswered.clear()
        try:
            return in_force(max(left_ns - clock.now(), EVERY_NS)) is wanted
        except EnvironmentBroke as error:
            unanswered.append(error)
            return False

    if poll(as_wanted, left_ns, every_ns=EVERY_NS, clock=clock):
        return
    if unanswered:
        raise unanswered[0]
    raise EnvironmentBroke(f"{what}, but `confirm` still says {'no' if wanted else 'yes'}")


def keep(log_dir: Path | None, fault: Fault, words: str) -> None:
    """Append to the fault's log. It is a courtesy: a disk that is full must keep no fault from being healed."""
    if log_dir is None:
        return
    with suppress(OSError), (log_dir / f"fault-{fault.name}.log").open("a", encoding="utf-8") as log:
        log.write(f"--- {hide(words)}\n")
