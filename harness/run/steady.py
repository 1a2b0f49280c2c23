"""The steady state that must be there before the first fault: a fold over journal events, without a clock of its own.

`p95 < 300ms for 10s` holds when each of the last ten seconds has data and meets it. Silence is no steady state: a
second without a finished request, or a probe that reads nothing, does not hold. Requests that have been open for
longer than a latency limit allows count as beyond it, so that a target that hangs does not look quick.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from harness.experiment import Limit, ProbeSpec
from harness.journal import Event
from harness.run.guard import ARRIVAL_S, PERCENTILES, Cell, Second, Seconds, meets, reading_of, value_of
from harness.units import NS_PER_S, NS_PER_US, format_bytes, format_duration, format_percent

REQUEST_METRICS = (*PERCENTILES, "mean", "errors", "rate")


class SteadyState:
    """Feed it events; ask, just before the first fault, what does not hold."""

    def __init__(self, limits: Iterable[Limit] = (), probes: Iterable[ProbeSpec] = ()) -> None:
        self._limits = tuple(limits)
        self._every_s = {probe.of: -(-probe.every_ns // NS_PER_S) for probe in probes}
        longest = max((span_s(limit) for limit in self._limits), default=0)
        self._seconds = Seconds(longest + max(self._every_s.values(), default=1) + 10)

    def feed(self, event: Event) -> None:
        """Take in a traffic row or a reading; other events are of no concern."""
        if self._limits:
            self._seconds.feed(event)

    def broken(self, now_ns: int) -> str:
        """The first limit that does not hold at `now_ns`, and what was seen instead; the empty string: all hold."""
        return next((why for limit in self._limits if (why := self._not_held(limit, now_ns))), "")

    def _not_held(self, limit: Limit, now_ns: int) -> str:
        end = now_ns // NS_PER_S - ARRIVAL_S
        span = range(end - span_s(limit), end)
        values = [self._value(limit, number, now_ns) for number in span]
        broken = [value for value in values if value is not None and not meets(limit, value)]
        if broken:
            worst = max(broken, key=lambda value: abs(value - limit.bound))
            return f"{limit.text} did not hold: {_words(limit, worst)} was seen, broken in {_of(len(broken), span)}"
        silent = sum(value is None for value in values)
        return f"{limit.text} is not known to hold: there was no data in {_of(silent, span)}" if silent else ""

    def _value(self, limit: Limit, number: int, now_ns: int) -> float | None:
        second = self._seconds.known.get(number)
        if limit.metric not in REQUEST_METRICS:
            return self._reading(limit, number)
        cell = second.cells.get(limit.of) if second else None
        if second is None or cell is None or not cell.finished:
            return None
        age_us = (now_ns - (number + 1) * NS_PER_S) / NS_PER_US
        if limit.metric in PERCENTILES and age_us >= limit.bound:
            return _with_open(cell, PERCENTILES[limit.metric])
        return value_of(limit, second)

    def _reading(self, limit: Limit, number: int) -> float | None:
        """The last reading: it stands until the next one is due, and for a second more."""
        oldest = number - self._every_s.get(limit.of, 1)
        for at in range(number, oldest - 1, -1):
            value = reading_of(limit, self._seconds.known.get(at, Second()).readings)
            if value is not None:
                return value
        return None


def span_s(limit: Limit) -> int:
    """How many whole seconds must hold; without `for` the last one."""
    return max(1, -(-limit.sustain_ns // NS_PER_S))


def _with_open(cell: Cell, share: float) -> float | None:
    """The nearest-rank percentile when requests still open are slower than all that have finished."""
    answered = cell.histogram.total
    rank = math.ceil(share * (answered + cell.started - cell.finished - cell.lost) - 1e-9)
    return math.inf if rank > answered else cell.histogram.percentile_us(rank / answered)


def _words(limit: Limit, value: float) -> str:
    if math.isinf(value):
        return "no answer yet"
    if limit.unit == "us":
        return format_duration(value * NS_PER_US)
    if limit.unit == "share":
        return format_percent(value)
    return format_bytes(value) if limit.unit == "bytes" else f"{value:g}{'/s' if limit.unit == 'per_s' else ''}"


def _of(count: int, span: range) -> str:
    return f"{count} of its {len(span)} seconds" if len(span) > 1 else "its last second"
