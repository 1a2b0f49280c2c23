"""Abort limits, watched while the run goes on: a fold over journal events, without a clock of its own.

`errors > 10% for 30s` says when to stop: once every second with data of a span that long is in breach. Seconds
without a finished request neither break nor mend a breach, so a target that answers nothing cannot reset the count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from harness.experiment import Limit
from harness.histogram import Histogram, bucket_middle, decode
from harness.journal import Event, Reading, Traffic
from harness.units import NS_PER_S

PERCENTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
KEPT_S = 900
# A second is judged once its rows had this long to arrive: workers report it 0.25 s after its end.
ARRIVAL_S = 1


@dataclass
class Cell:
    """The requests that were due in one second, of one endpoint or of all."""

    started: int = 0
    finished: int = 0
    failed: int = 0
    lost: int = 0
    histogram: Histogram = field(default_factory=Histogram)

    def add(self, row: Traffic) -> None:
        """Rows are deltas."""
        self.started += row.started
        self.finished += row.finished
        self.failed += sum(row.failed.values())
        self.lost += row.lost
        self.histogram.add(decode((row.due_ok, row.due_failed)))

    @property
    def mean_us(self) -> float | None:
        """The mean latency; None when nothing finished."""
        total = self.histogram.total
        return sum(bucket_middle(at) * count for at, count in self.histogram.counts.items()) / total if total else None


@dataclass
class Second:
    """What is known of one second so far: requests by endpoint ("" = all together), readings by subject and metric."""

    cells: dict[str, Cell] = field(default_factory=lambda: {"": Cell()})
    readings: dict[tuple[str, str], float] = field(default_factory=dict)


class Seconds:
    """The last `kept_s` seconds, filled from a run's events."""

    def __init__(self, kept_s: int = KEPT_S) -> None:
        self._kept_s = kept_s
        self.known: dict[int, Second] = {}

    def feed(self, event: Event) -> None:
        """Take in a traffic row or a reading; other events are of no concern."""
        if isinstance(event, Traffic):
            cells = self._second(event.second).cells
            for endpoint in {"", event.endpoint}:
                cells.setdefault(endpoint, Cell()).add(event)
        elif isinstance(event, Reading):
            second = self._second(event.at_ns // NS_PER_S)
            second.readings.update({(event.of, metric): value for metric, value in event.values.items()})

    def _second(self, number: int) -> Second:
        if number not in self.known:
            self.known[number] = Second()
            for old in [key for key in self.known if key < number - self._kept_s]:
                del self.known[old]
        return self.known[number]


class Guard:
    """Feed it events; ask whether a limit has been broken for long enough."""

    def __init__(self, limits: Iterable[Limit]) -> None:
        self._limits = tuple(limits)
        self._seconds = Seconds()

    def feed(self, event: Event) -> None:
        """Take in a traffic row or a reading; other events are of no concern."""
        if self._limits:
            self._seconds.feed(event)

    def breached(self, now_ns: int) -> str:
        """The text of the first abort limit in breach at `now_ns`, or the empty string."""
        return next((limit.text for limit in self._limits if self._in_breach(limit, now_ns)), "")

    def _in_breach(self, limit: Limit, now_ns: int) -> bool:
        last = now_ns // NS_PER_S - ARRIVAL_S
        oldest = min(self._seconds.known, default=last)
        needed = max(1, -(-limit.sustain_ns // NS_PER_S))
        run = 0
        for number in range(last - 1, last - 1 - KEPT_S, -1):
            second = self._seconds.known.get(number)
            value = value_of(limit, second) if second else None
            if value is None and number >= oldest:
                run += run > 0
                continue
            if value is None or not meets(limit, value):
                break
            run += 1
        return run >= needed


def value_of(limit: Limit, second: Second) -> float | None:
    """What a second shows of a limit's metric, in the limit's unit; None when it shows nothing."""
    cell = second.cells.get(limit.of, Cell())
    if limit.metric == "rate":
        return float(cell.finished)
    if limit.metric == "errors":
        return cell.failed / cell.finished if cell.finished else None
    if limit.metric == "mean":
        return cell.mean_us
    if limit.metric in PERCENTILES:
        return cell.histogram.percentile_us(PERCENTILES[limit.metric])
    return reading_of(limit, second.readings)


def reading_of(limit: Limit, readings: Mapping[tuple[str, str], float]) -> float | None:
    """The reading that a limit is about; the highest where it names no subject."""
    found = [
        value for (of, metric), value in readings.items() if metric == limit.metric and (not limit.of or of == limit.of)
    ]
    return max(found, default=None)


def meets(limit: Limit, value: float) -> bool:
    """Whether the value is on the side of the bound that the limit states."""
    return {
        "<": value < limit.bound,
        "<=": value <= limit.bound,
        ">": value > limit.bound,
        ">=": value >= limit.bound,
    }[limit.op]
