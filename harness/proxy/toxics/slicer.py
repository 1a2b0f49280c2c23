"""slicer: data in small pieces of `average_size` +- `size_variation` bytes, `delay` microseconds apart."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from time import monotonic

from harness.proxy.toxics.stage import EARLY_S, Holding, Line


class Slicer(Holding):
    """Pieces go one at a turn of the event loop, so that each is a write of its own even without a delay."""

    words = ("average_size", "size_variation", "delay")

    def __init__(self, line: Line, attributes: Mapping[str, int], seed: int) -> None:
        super().__init__(line, attributes, seed)
        self.free_at = 0.0  # the last piece went, plus the delay

    def feed(self, data: bytes, stamp: float) -> None:
        """Cut and queue."""
        for start, end in self.cuts(0, len(data)):
            self.held += end - start
            self.queue.append((data[start:end], stamp))
        if self.timer is None:
            self.turn()
        self.line.regulate()

    def cuts(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Halve, at a point that varies, until a piece is near the average: no small piece is left over."""
        size = max(self.attributes["average_size"], 1)
        variation = max(self.attributes["size_variation"], 0)
        if end - start - size <= variation or end - start < 2:
            yield start, end
            return
        middle = start + (end - start) // 2
        if variation:
            middle += self.random.randrange(-variation, variation)
        middle = min(max(middle, start + 1), end - 1)
        yield from self.cuts(start, middle)
        yield from self.cuts(middle, end)

    def due_at(self, data: bytes | None, stamp: float) -> float | None:  # noqa: ARG002
        """One delay after the piece before."""
        return max(self.free_at, stamp)

    def turn(self) -> None:
        """Let one piece go if it is due, and come back for the next."""
        self.timer = None
        if not self.queue:
            return
        if self.due is None:
            self.due = self.due_at(*self.queue[0])
        wait_s = (self.due or 0.0) - monotonic()
        loop = asyncio.get_running_loop()
        if wait_s > EARLY_S:
            self.timer = loop.call_later(wait_s, self.wake)
            return
        self.free_at = max(self.due or 0.0, self.free_at) + max(self.attributes["delay"], 0) / 1e6
        self.emit()
        if self.queue:
            self.timer = loop.call_soon(self.wake)
