"""The only place that reads a clock or blocks on one.

A run has one clock: integer nanoseconds since its origin, monotonic, shared by every process on this host
(CLOCK_MONOTONIC is host-wide, clock_gettime(2)). The wall clock is read once, as an anchor for the header.
"""

from __future__ import annotations

import queue
import time
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Outbox(Protocol[T_contra]):
    """The end of a mailbox that others are given: they may only put."""

    def put(self, message: T_contra) -> None:
        """Add a message; never blocks."""


class Inbox(Generic[T]):
    """An unbounded mailbox: any thread may put, the run loop alone takes (through its clock)."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[T] = queue.SimpleQueue()

    def put(self, message: T) -> None:
        """Add a message; never blocks."""
        self.queue.put(message)


class Clock(Protocol):
    """All that the run loop knows of time."""

    def now(self) -> int:
        """Nanoseconds since the run's origin."""

    def wait(self, inbox: Inbox[T], until: int) -> T | None:
        """The next message, or None once `until` (ns) has come."""


class SystemClock:
    """The real one. `origin_ns` is the CLOCK_MONOTONIC reading that counts as zero; children are given it."""

    def __init__(self, origin_ns: int | None = None) -> None:
        self.origin_ns = time.monotonic_ns() if origin_ns is None else origin_ns

    def now(self) -> int:
        """Nanoseconds since the origin."""
        return time.monotonic_ns() - self.origin_ns

    def wait(self, inbox: Inbox[T], until: int) -> T | None:
        """The next message, or None at the deadline. Returns at once what is already there."""
        try:
            remaining = (until - self.now()) / 1e9
            if remaining <= 0:
                return inbox.queue.get_nowait()
            return inbox.queue.get(timeout=remaining)
        except queue.Empty:
            return None


def wall_now() -> datetime:
    """The wall clock in UTC: for headers and folder names, never for measuring."""
    return datetime.now(UTC)
