"""Ask again until something holds or the time is up. Waits on a clock, so tests need not wait at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from harness.clock import Clock, Inbox, SystemClock

T = TypeVar("T")

EVERY_NS = 20_000_000


def poll(ask: Callable[[], T], within_ns: int, *, every_ns: int = EVERY_NS, clock: Clock | None = None) -> T:
    """The first answer that is true, or the last one when `within_ns` have passed. Asks at least once."""
    clock = clock or SystemClock()
    nothing: Inbox[None] = Inbox()
    deadline_ns = clock.now() + within_ns
    while not (answer := ask()) and clock.now() < deadline_ns:
        clock.wait(nothing, min(deadline_ns, clock.now() + every_ns))
    return answer
