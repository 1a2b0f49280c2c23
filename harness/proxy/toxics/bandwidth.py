"""bandwidth: at most `rate` kilobytes a second, in slices of 100 ms; a rate of 0 lets nothing pass."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic

from harness.proxy.toxics.stage import Holding, Line

SLICE_MS = 100


class Bandwidth(Holding):
    """A piece goes when its last byte has been "sent" at the rate; the line is busy until then."""

    words = ("rate",)

    def __init__(self, line: Line, attributes: Mapping[str, int], seed: int) -> None:
        super().__init__(line, attributes, seed)
        self.free_at = 0.0  # when the line has sent all that went before

    def slice_bytes(self) -> int:
        """Bytes of one slice: 1 KB/s is one byte a millisecond."""
        return self.attributes["rate"] * SLICE_MS

    def due_at(self, data: bytes | None, stamp: float) -> float | None:
        """The line is free, plus the time that the next slice takes on it."""
        if data is None:
            return stamp
        rate = self.attributes["rate"]
        if rate <= 0:
            return None
        # A line that stood idle gives no credit; one that was busy keeps the lateness of its timer as credit.
        self.free_at = max(self.free_at, stamp) + min(len(data), self.slice_bytes()) / (rate * 1000)
        return self.free_at

    def take(self) -> tuple[bytes | None, float]:
        """One slice, leaving the rest at the head of the queue."""
        data, stamp = self.queue[0]
        size = self.slice_bytes()
        if data is None or len(data) <= size:
            return self.queue.popleft()
        self.queue[0] = (data[size:], stamp)
        return data[:size], stamp

    def updated(self) -> None:
        """The time already waited counts at the new rate from now on."""
        self.free_at = monotonic()
        super().updated()
