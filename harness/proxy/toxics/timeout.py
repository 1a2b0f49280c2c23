"""timeout: no data passes; after `timeout` milliseconds without any, the connection closes; 0 is never."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic

from harness.proxy.toxics.stage import EARLY_S, Line, Stage


class Timeout(Stage):
    """Data is dropped, and restarts the clock. What was dropped cannot come back, so removal closes."""

    words = ("timeout",)

    def __init__(self, line: Line, attributes: Mapping[str, int], seed: int) -> None:
        super().__init__(line, attributes, seed)
        self.quiet_since = monotonic()
        self.timer: asyncio.Handle | None = None

    def start(self) -> None:
        """The clock runs from the moment at which the toxic is there."""
        self.turn()

    def feed(self, data: bytes, stamp: float) -> None:  # noqa: ARG002
        """Drop it. The timer is not moved for each read: when it rings it looks how long it was quiet."""
        self.quiet_since = stamp

    def turn(self) -> None:
        """Close when it was quiet for long enough, else sleep for the rest."""
        self.timer = None
        timeout_ms = self.attributes["timeout"]
        if timeout_ms <= 0:
            return
        wait_s = self.quiet_since + timeout_ms / 1000 - monotonic()
        if wait_s > EARLY_S:
            self.timer = asyncio.get_running_loop().call_later(wait_s, self.turn)
        else:
            self.line.end(self.next)

    def updated(self) -> None:
        """Count again from now."""
        self.stop()
        self.quiet_since = monotonic()
        self.turn()

    def release(self) -> None:
        """Close: the stream has a hole."""
        self.stop()
        self.line.end(self.next)

    def stop(self) -> None:
        """Cancel the timer."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
