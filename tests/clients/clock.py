"""A clock that is at the deadline at once: what waits ten seconds takes none."""

from __future__ import annotations

from typing import TypeVar

from harness.clock import Inbox

T = TypeVar("T")


class JumpClock:
    """Counts how often it was waited on; `at_ns` moves by waiting alone, or by the test."""

    def __init__(self) -> None:
        self.at_ns = 0
        self.waits = 0

    def now(self) -> int:
        """The time that the waiting has brought us to."""
        return self.at_ns

    def wait(self, inbox: Inbox[T], until: int) -> T | None:
        """Jump."""
        self.waits += 1
        self.at_ns = max(self.at_ns, until)
        return None
