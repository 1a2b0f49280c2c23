"""Time limits of requests, cheaper than a timer each: running requests stand in lines, one line per limit.

All requests of a line have the same limit, so the first to begin is the first to be over: a sweep every 10 ms looks
at the head of each line only. Beginning and ending a request costs one dict entry.
"""

from __future__ import annotations

import time
from typing import Any

import gevent

from harness.traffic.fast.mistakes import RequestTimeout

SWEEP_S = 0.01


class Limits:
    """The running requests of this process by their greenlet; those that are over get RequestTimeout thrown in."""

    def __init__(self) -> None:
        self._lines: dict[float, dict[Any, int]] = {}
        self._timer: Any = None
        self.sweeping = False

    def line(self, limit_s: float) -> dict[Any, int]:
        """Where requests with this limit stand: greenlet -> deadline (ns, CLOCK_MONOTONIC), in order of deadlines."""
        line = self._lines.get(limit_s)
        if line is None:
            line = self._lines[limit_s] = {}
        if not self.sweeping:
            self.sweeping = True
            self._timer = self._timer or gevent.get_hub().loop.timer(SWEEP_S, SWEEP_S)
            self._timer.start(self._sweep, update=True)
        return line

    def _sweep(self) -> None:
        now_ns = time.monotonic_ns()
        for limit_s, line in list(self._lines.items()):
            over = []
            for greenlet, deadline_ns in line.items():
                if deadline_ns > now_ns:
                    break
                over.append(greenlet)
            for greenlet in over:
                if line.pop(greenlet, None) is not None:
                    greenlet.throw(RequestTimeout(f"no whole answer within {limit_s:.3g} s"))
            if not line:
                del self._lines[limit_s]
        if not self._lines:
            self.sweeping = False
            self._timer.stop()
