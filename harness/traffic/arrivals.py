"""When arrivals of the open model are due: points of time along straight lines of rate, for one worker's share.

rate            ____             The cumulated line is the number of arrivals expected so far. An arrival is due where
  |        ____/    \\            it reaches a mark; only the marks differ:
  |  _____/          \\____         poisson   marks lie exponential gaps of mean 1 apart, drawn from the seed: a Poisson
  +-------------------------> t              process whose rate is the line (time change: Çinlar 1975, chapter 4)
                                   uniform   marks of worker w of n lie at (w + 0.5) / n and each 1 after it, so that
                                             all workers together make one even grid
The marks do not depend on the line: when a line ends in the middle of a gap, the next one goes on with what is left.
"""

from __future__ import annotations

import math
import random
from collections import deque
from typing import Literal

from harness.traffic import Load

NS_PER_S = 1_000_000_000
_NEVER_S = 1e9

Kind = Literal["poisson", "uniform"]


class Arrivals:
    """The due times of worker `worker` of `workers`, in order as long as no line begins in the past."""

    def __init__(self, kind: Kind, *, seed: int, worker: int, workers: int) -> None:
        self._workers = workers
        self._drawn = random.Random(f"arrivals {seed} {worker}")  # noqa: S311 - load, not secrets
        self._even = kind == "uniform"
        self._lines: deque[_Line] = deque()
        # From the start of the first line to the next mark, in arrivals expected of this worker.
        self._ahead = (worker + 0.5) / workers if self._even else self._drawn.expovariate(1.0)
        self.next_ns: int | None = None
        """When the next arrival is due; None when the line never comes to it."""

    def follow(self, load: Load) -> None:
        """Follow this line from its `at_ns` on; what was due before it stays due."""
        self._lines.append(_Line(load, self._workers))
        self._find()

    def take(self) -> None:
        """The next arrival has been dealt with: find the one after it."""
        self._ahead += 1.0 if self._even else self._drawn.expovariate(1.0)
        self._find()

    def _find(self) -> None:
        lines = self._lines
        while len(lines) > 1:
            expected = lines[0].expected((lines[1].at_ns - lines[0].at_ns) / NS_PER_S)
            if self._ahead < expected:
                break
            self._ahead -= expected
            lines.popleft()
        after_s = lines[0].reaches_s(self._ahead)
        self.next_ns = None if after_s > _NEVER_S else lines[0].at_ns + int(after_s * NS_PER_S)


class _Line:
    """One worker's share of a line, in seconds from its start and arrivals a second."""

    __slots__ = ("_end", "_ramp_expected", "_ramp_s", "_slope", "_start", "at_ns")

    def __init__(self, load: Load, workers: int) -> None:
        self.at_ns = load.at_ns
        self._start, self._end = load.level_from / workers, load.level_to / workers
        self._ramp_s = load.ramp_ns / NS_PER_S
        self._slope = (self._end - self._start) / self._ramp_s if self._ramp_s else 0.0
        self._ramp_expected = (self._start + self._end) / 2 * self._ramp_s

    def expected(self, after_s: float) -> float:
        """How many arrivals are expected in the first `after_s` seconds."""
        if after_s >= self._ramp_s:
            return self._ramp_expected + self._end * (after_s - self._ramp_s)
        return (self._start + self._slope * after_s / 2) * after_s if after_s > 0 else 0.0

    def reaches_s(self, expected: float) -> float:
        """The inverse of `expected`; infinite when the line never gets there."""
        if expected >= self._ramp_expected:
            beyond = expected - self._ramp_expected
            return self._ramp_s + beyond / self._end if self._end > 0 else math.inf
        if expected <= 0:
            return 0.0
        # The root of slope/2 x^2 + start x = expected in the form that does not cancel when the slope is small.
        return 2 * expected / (self._start + math.sqrt(max(0.0, self._start**2 + 2 * self._slope * expected)))
