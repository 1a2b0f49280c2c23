"""reset_peer: `timeout` milliseconds after the next data, both ends get RST."""

from __future__ import annotations

from harness.proxy.toxics.stage import Holding


class ResetPeer(Holding):
    """The data that woke it is held, so that the toxic can be taken back while its time runs."""

    words = ("timeout",)

    def due_at(self, data: bytes | None, stamp: float) -> float | None:  # noqa: ARG002
        """Time runs from the first data, or the end, after the toxic came."""
        return stamp + self.attributes["timeout"] / 1000

    def emit(self) -> None:
        """Nothing is handed on: the connection breaks."""
        self.stop()
        self.line.reset()
