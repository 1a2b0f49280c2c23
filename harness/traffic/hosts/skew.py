"""The offset between two clocks, from pings that carry four readings (NTP's on-wire protocol, RFC 5905 section 8).

Of many pings the quickest is believed: what delays a message on its way makes its round trip longer, so the shortest
has the least to be wrong by. Half its round trip bounds the error, wherever the delay was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from harness.units import NS_PER_MS

UNSURE_NS = 10 * NS_PER_MS
"""An offset less sure than this is told: the seconds of that worker's rows may be off by as much."""
DRIFT_NS = 5 * NS_PER_MS
"""Clocks that have moved apart by more than this since the join put requests into wrong windows."""
_WINDOW = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One ping: sent and answer received on our clock, received and answered on theirs."""

    sent_ns: int
    received_there_ns: int
    answered_there_ns: int
    received_ns: int

    @property
    def offset_ns(self) -> int:
        """Theirs minus ours."""
        return (self.received_there_ns - self.sent_ns + self.answered_there_ns - self.received_ns) // 2

    @property
    def round_trip_ns(self) -> int:
        """On the way, there and back; the time that they took to answer is not in it."""
        return self.received_ns - self.sent_ns - (self.answered_there_ns - self.received_there_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """Theirs minus ours, and how wrong that can be."""

    offset_ns: int
    uncertainty_ns: int

    def __str__(self) -> str:
        return f"{self.offset_ns / NS_PER_MS:+.3f} ms \N{PLUS-MINUS SIGN} {self.uncertainty_ns / NS_PER_MS:.3f} ms"


def estimate(samples: Iterable[Sample]) -> Offset:
    """The offset by the sample with the shortest round trip. Raises ValueError when there is none."""
    best = min(samples, key=lambda sample: sample.round_trip_ns)
    return Offset(offset_ns=best.offset_ns, uncertainty_ns=max(0, -(-best.round_trip_ns // 2)))


class Drift:
    """How far the clocks have moved since `start`, by the last ten pings at a time."""

    def __init__(self, start: Offset) -> None:
        self.start = start
        self._recent: deque[Sample] = deque(maxlen=_WINDOW)
        self._told = False

    def add(self, sample: Sample) -> str:
        """What is to be told: once, when the clocks have surely moved apart by more than DRIFT_NS; else nothing."""
        self._recent.append(sample)
        if self._told or len(self._recent) < _WINDOW:
            return ""
        now = estimate(self._recent)
        moved_ns = now.offset_ns - self.start.offset_ns
        if abs(moved_ns) - now.uncertainty_ns - self.start.uncertainty_ns <= DRIFT_NS:
            return ""
        self._told = True
        return (
            f"its clock was at {self.start} when it joined and is at {now} now: its rows stand in seconds that are "
            f"{moved_ns / NS_PER_MS:+.1f} ms off; keep the clocks of both machines disciplined (chrony or ntpd)"
        )
