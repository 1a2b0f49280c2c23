"""What the stress faults of containers and of processes share: what is asked of the helpers, what is seen of them."""

from __future__ import annotations

from collections.abc import Sequence

import psutil

from harness.clients.hogs import Helper
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Felt
from harness.journal import Json
from harness.units import NS_PER_S, format_bytes

MOST_WORKERS = 64
LEAST_LEFT_BYTES = 1 << 30
LEAST_LEFT_SHARE = 0.10
HELD_SHARE = 0.9
WANTED_SHARE = 0.5
"""A helper that was busy, or waited for a CPU, for less than half of what was asked did not do its work."""

Spec = dict[str, Json]


def workers(fault: Fault) -> int:
    """How many helpers. Raises BadInput unless it is a whole number from 1 to 64."""
    number = float(fault.params.get("workers", 1))
    if not number.is_integer() or not 1 <= number <= MOST_WORKERS:
        raise BadInput(
            f"fault {fault.name}: workers: expected a whole number from 1 to {MOST_WORKERS}, got {number:g}",
            hint="one worker keeps one core busy",
        )
    return int(number)


def load(fault: Fault) -> float:
    """The share of the time that each worker is busy."""
    return float(fault.params.get("load", 1.0))


def size(fault: Fault) -> int:
    """Bytes."""
    return int(fault.params["size"])


def refuse_full_memory(fault: Fault, takes_bytes: int) -> None:
    """Refuse to leave this host with too little. Raises EnvironmentBroke."""
    left = psutil.virtual_memory().available - takes_bytes
    if left < least_left_bytes():
        raise EnvironmentBroke(
            f"fault {fault.name}: {format_bytes(takes_bytes)} would leave this host with {format_bytes(max(0, left))} "
            f"of memory, less than {format_bytes(least_left_bytes())}",
            hint="ask for less",
        )


def least_left_bytes() -> int:
    """What must be left of this host's memory: 10 %, and at least 1 GiB."""
    return max(LEAST_LEFT_BYTES, int(psutil.virtual_memory().total * LEAST_LEFT_SHARE))


def cpu_felt(helpers: Sequence[Helper], fault: Fault) -> Felt:
    """All are there, and ran or wanted to run for about as long as they should: what a quota holds back is felt too."""
    if gone := _gone(helpers, workers(fault)):
        return gone
    ran = sum(one.cpu_ns for one in helpers)
    waited = sum(one.waited_ns for one in helpers)
    asked = sum(one.age_ns for one in helpers) * load(fault)
    proof = f"{len(helpers)} helpers used {ran / NS_PER_S:.2f} s of CPU and waited {waited / NS_PER_S:.2f} s for it"
    return Felt(felt=ran + waited >= WANTED_SHARE * asked, proof=f"{proof}, of {asked / NS_PER_S:.2f} s asked")


def memory_felt(helpers: Sequence[Helper], fault: Fault) -> Felt:
    """It holds what was asked."""
    if gone := _gone(helpers, 1):
        return gone
    held = sum(one.rss_bytes for one in helpers)
    return Felt(felt=held >= HELD_SHARE * size(fault), proof=f"a helper holds {format_bytes(held)} of memory")


def io_felt(helpers: Sequence[Helper], fault: Fault) -> Felt:
    """Each has written."""
    if gone := _gone(helpers, workers(fault)):
        return gone
    written = sum(one.written_bytes for one in helpers)
    proof = f"{len(helpers)} helpers wrote {format_bytes(written)}"
    return Felt(felt=all(one.written_bytes for one in helpers), proof=proof)


def _gone(helpers: Sequence[Helper], wanted: int) -> Felt | None:
    if len(helpers) == wanted:
        return None
    return Felt(felt=False, proof=f"of {wanted} helpers {len(helpers)} run: somebody ended them, or the kernel did")
