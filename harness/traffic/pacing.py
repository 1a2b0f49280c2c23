"""When users are due: a schedule of due times that lateness cannot move, and the count of what was due and begun.

Paced users (constant_pacing, constant_throughput) own a grid on the run clock, one point each period:

    due_k = (phase + k) * period        first due: the first grid point after the user is ready

The phase is drawn from the seed and the golden ratio, so the grids of users 0..n of one period lie evenly in it for
every n: stock Locust keeps users in phase for ever, which adds latency that is not the target's. A user that falls
behind begins its next iteration at once and keeps its due times, so a frozen target shows its freeze (coordinated
omission; wrk2's README). Users that think instead (between, constant, ...) are due when their wait was to end. In the
open model (arrivals.py) users have no schedule of their own: each waits for an arrival and takes its due time.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.histogram import Histogram

NS_PER_S = 1_000_000_000
_GOLDEN = 0.6180339887498949


def phase_of(index: int, seed: int) -> float:
    """The place of user `index` in its period, in [0, 1)."""
    start = ((seed * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF) / 2.0**64
    return (start + index * _GOLDEN) % 1.0


def first_due_ns(ready_ns: int, period_ns: int, phase: float) -> int:
    """The first point of the user's grid at or after `ready_ns`."""
    offset_ns = int(phase * period_ns)
    return ready_ns + (offset_ns - ready_ns) % period_ns


class Pace:
    """One user's schedule. `lag_ns` is how late the current iteration began; requests inside it are as late.

    `await_arrival`, in the open model, returns when the user has been given an arrival (`next_due_ns`).
    """

    __slots__ = (
        "asleep", "await_arrival", "busy", "counted_ns", "due_ns", "fresh", "lag_ns", "next_due_ns", "period_ns",
        "phase", "phased",
    )  # fmt: skip

    def __init__(self, phase: float) -> None:
        self.phase = phase
        self.phased = False
        self.fresh = False
        self.asleep = False
        self.busy = False
        self.await_arrival: Callable[[], None] | None = None
        self.due_ns = 0
        self.lag_ns = 0
        self.next_due_ns: int | None = None
        self.period_ns: int | None = None
        self.counted_ns = -1


class Ledger:
    """Counts, by second, the iterations that the schedules wanted begun, those that were, and how late they were."""

    def __init__(self) -> None:
        self._due: dict[int, int] = {}
        self._begun: dict[int, int] = {}
        self._not_started: dict[int, int] = {}
        self._paced: set[Pace] = set()
        self._start_lag = Histogram()
        self.count_arrivals: Callable[[int], None] | None = None
        """In the open model: has all arrivals due before an instant counted, also when nobody was awake for them."""

    def plan(self, pace: Pace, due_ns: int, period_ns: int | None) -> None:
        """The user's next iteration is due at `due_ns`; with a period, so are later ones even if it gets stuck."""
        pace.next_due_ns = due_ns
        pace.period_ns = period_ns
        if period_ns:
            self._paced.add(pace)
        else:
            self._paced.discard(pace)
        self._count(pace, due_ns)

    def begin(self, pace: Pace, now_ns: int) -> None:
        """The user begins an iteration, planned or (with no wait before it) due now."""
        due_ns = pace.next_due_ns
        if due_ns is None:
            due_ns = now_ns
            self._count(pace, due_ns)
        pace.next_due_ns = None
        pace.due_ns = due_ns
        pace.lag_ns = max(0, now_ns - due_ns)
        pace.fresh = True
        self._start_lag.record(pace.lag_ns // 1000)
        second = now_ns // NS_PER_S
        self._begun[second] = self._begun.get(second, 0) + 1

    def arrive(self, due_ns: int) -> None:
        """An arrival of the open model is due, whoever will take it."""
        second = due_ns // NS_PER_S
        self._due[second] = self._due.get(second, 0) + 1

    def turn_away(self, due_ns: int) -> None:
        """An arrival that was due is not started, and will not be: no user was free, and no more were allowed."""
        second = due_ns // NS_PER_S
        self._not_started[second] = self._not_started.get(second, 0) + 1

    def stop(self, pace: Pace, now_ns: int) -> None:
        """The user is asked to end: what it was due by now stays counted, what lies ahead is not wanted any more."""
        self._count_grid(pace, now_ns)
        pace.period_ns = None
        due_ns = pace.next_due_ns
        if due_ns is not None and due_ns > now_ns:
            self._due[due_ns // NS_PER_S] -= 1
            pace.next_due_ns = None
        self._paced.discard(pace)

    def close(self, second: int) -> tuple[int, int]:
        """(due, begun) up to and with `second`, each counted once.

        Users that are stuck in a task, or that this process is too slow to wake, were due on their grid all the same.
        """
        end_ns = (second + 1) * NS_PER_S
        for pace in self._paced:
            self._count_grid(pace, end_ns)
        if self.count_arrivals is not None:
            self.count_arrivals(end_ns)
        return _take(self._due, second), _take(self._begun, second)

    def not_started(self, second: int) -> int:
        """Arrivals turned away that were due up to and with `second`, each counted once."""
        return _take(self._not_started, second)

    def start_lag(self) -> str:
        """How late (us) iterations began since the last call, as an encoded histogram."""
        lag, self._start_lag = self._start_lag, Histogram()
        return lag.encode()

    def _count_grid(self, pace: Pace, before_ns: int) -> None:
        period_ns = pace.period_ns
        while period_ns and pace.counted_ns + period_ns < before_ns:
            self._count(pace, pace.counted_ns + period_ns)

    def _count(self, pace: Pace, due_ns: int) -> None:
        if due_ns > pace.counted_ns:
            pace.counted_ns = due_ns
            second = due_ns // NS_PER_S
            self._due[second] = self._due.get(second, 0) + 1


def _take(counts: dict[int, int], second: int) -> int:
    return sum(counts.pop(key) for key in [key for key in counts if key <= second])
