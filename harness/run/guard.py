"""Abort limits, watched while the run goes on: a fold over journal events, without a clock of its own.

`errors > 10% for 30s` says when to stop: once every second with data of a span that long is in breach. Seconds
without a finished request neither break nor mend a breach, so a target that answers nothing cannot reset the count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.experiment import Limit
from harness.histogram import Histogram, decode
from harness.journal import Event, Reading, Traffic
from harness.units import NS_PER_S

PERCENTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
KEPT_S = 900
# A second is judged once its rows had this long to arrive.
ARRIVAL_S = 1


@dataclass
class _Second:
    """What is known of one second so far."""

    finished: int = 0
    failed: int = 0
    histogram: Histogram = field(default_factory=Histogram)
    readings: dict[tuple[str, str], float] = field(default_factory=dict)


class Guard:
    """Feed it events; ask whether a limit has been broken for long enough."""

    def __init__(self, limits: Iterable[Limit]) -> None:
        self._limits = tuple(limits)
        self._seconds: dict[int, _Second] = {}

    def feed(self, event: Event) -> None:
        """Take in a traffic row or a reading; other events are of no concern."""
        if not self._limits:
            return
        if isinstance(event, Traffic):
            second = self._second(event.second)
            second.finished += event.finished
            second.failed += sum(event.failed.values())
            second.histogram.add(decode((event.due_ok, event.due_failed)))
        elif isinstance(event, Reading):
            second = self._second(event.at_ns // NS_PER_S)
            second.readings.update({(event.of, metric): value for metric, value in event.values.items()})

    def _second(self, number: int) -> _Second:
        if number not in self._seconds:
            self._seconds[number] = _Second()
            for old in [key for key in self._seconds if key < number - KEPT_S]:
                del self._seconds[old]
        return self._seconds[number]

    def breached(self, now_ns: int) -> str:
        """The text of the first abort limit in breach at `now_ns`, or the empty string."""
        last = now_ns // NS_PER_S - ARRIVAL_S
        for limit in self._limits:
            needed = max(1, -(-limit.sustain_ns // NS_PER_S))
            run = 0
            for number in range(last - 1, last - 1 - KEPT_S, -1):
                second = self._seconds.get(number)
                value = _value(limit, second) if second else None
                if value is None and number >= min(self._seconds, default=last):
                    run += run > 0
                    continue
                if value is None or not _broken(limit, value):
                    break
                run += 1
            if run >= needed:
                return limit.text
        return ""


def _value(limit: Limit, second: _Second) -> float | None:
    if limit.metric == "rate":
        return float(second.finished)
    if limit.metric == "errors":
        return second.failed / second.finished if second.finished else None
    if limit.metric in PERCENTILES:
        return second.histogram.percentile_us(PERCENTILES[limit.metric])
    found = [
        value
        for (of, metric), value in second.readings.items()
        if metric == limit.metric and (not limit.of or of == limit.of)
    ]
    return max(found, default=None)


def _broken(limit: Limit, value: float) -> bool:
    return {
        "<": value < limit.bound,
        "<=": value <= limit.bound,
        ">": value > limit.bound,
        ">=": value >= limit.bound,
    }[limit.op]
