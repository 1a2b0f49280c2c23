"""limit_data: the connection closes when `bytes` have passed in this direction."""

from __future__ import annotations

from collections.abc import Mapping

from harness.proxy.toxics.stage import Line, Stage


class LimitData(Stage):
    """Counts from when the toxic came to this connection; what is over the limit is dropped."""

    words = ("bytes",)

    def __init__(self, line: Line, attributes: Mapping[str, int], seed: int) -> None:
        super().__init__(line, attributes, seed)
        self.passed = 0

    def feed(self, data: bytes, stamp: float) -> None:
        """Pass what the limit leaves, then end."""
        left = max(self.attributes["bytes"] - self.passed, 0)
        part = data[:left]
        if part:
            self.passed += len(part)
            self.next.feed(part, stamp)
        if self.passed >= self.attributes["bytes"]:
            self.line.end(self.next)
