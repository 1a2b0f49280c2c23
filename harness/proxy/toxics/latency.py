"""latency: everything arrives later, by `latency` +- `jitter` milliseconds, in order."""

from __future__ import annotations

from harness.proxy.toxics.stage import Holding


class Latency(Holding):
    """Each read waits from its arrival; the jitter is uniform, drawn for each read. The end does not wait."""

    words = ("latency", "jitter")
    buffer_bytes = 4 * 1024 * 1024  # bandwidth x delay: 20 MB/s for one connection at 200 ms

    def due_at(self, data: bytes | None, stamp: float) -> float | None:
        """Arrival plus the delay; what came before it has gone already, so order is kept."""
        if data is None:
            return stamp
        delay_ms = self.attributes["latency"]
        jitter_ms = self.attributes["jitter"]
        if jitter_ms > 0:
            delay_ms += self.random.randrange(-jitter_ms, jitter_ms)
        return stamp + delay_ms / 1000
