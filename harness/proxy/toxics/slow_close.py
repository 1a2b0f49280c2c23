"""slow_close: data passes, the end of the stream comes `delay` milliseconds later."""

from __future__ import annotations

from harness.proxy.toxics.stage import Holding


class SlowClose(Holding):
    """Only the end is ever queued."""

    words = ("delay",)

    def feed(self, data: bytes, stamp: float) -> None:
        """Data passes at once."""
        self.next.feed(data, stamp)

    def due_at(self, data: bytes | None, stamp: float) -> float | None:  # noqa: ARG002
        """The end waits from when it came."""
        return stamp + self.attributes["delay"] / 1000
