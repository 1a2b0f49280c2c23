"""How much a generator carries: the search for its highest rate, and how many users it has room for. Pure.

A step of the search is a rate held for a second against a target that answers at once. It is carried when the event
loop's lateness has its P99 below 10 ms, when no worker's core is used up, and when what was due was begun. From one
step's CPU the next rate is foretold; what fails is closed in on by bisection (of ratios: rates span three decades).

A worker that is late while it leaves a core half idle was held up by other processes. Such a step is taken
again, and when that does not help the search ends: what the generator carries is then not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.histogram import decode
from harness.journal import LAST_STEP, NULL_TARGET, OTHER_LOAD, Generator

LAG_LIMIT_US = 10_000
CPU_LIMIT = 0.95
LEAST_BEGUN = 0.99
TARGET_CPU_LIMIT = 0.9
MOST_STEPS = 5
MOST_TRIES = 3
CLOSE_ENOUGH = 1.15
"""The highest rate that was carried and the lowest that was not are no further apart than this factor."""
_MOST_GROWTH = 8.0
_LEAST_GROWTH = 1.25
_LEAST_FIRST = 0.25
_LEAST_DIFFERENCE = 0.01
_FULL_CPU = 0.85
_IDLE_CPU = 0.6
_FILES_KEPT = 64
_MEMORY_SHARE = 0.9

LAG = "event loop lag"
CPU = "CPU of a worker"
SCHEDULE = "arrivals not begun"
TARGET, SEARCH, DISTURBED = NULL_TARGET, LAST_STEP, OTHER_LOAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One step: `cpu` is the busiest worker's share of a core, `cpus` that of all workers together.

    `begun` is the share of the due arrivals that were begun, None where an earlier step's are among them.
    """

    per_s: float
    lag_p99_us: float
    cpu: float
    cpus: float
    begun: float | None
    target_cpu: float = 0.0

    @property
    def broken_by(self) -> str:
        """What kept the rate from being carried, the empty string when it was."""
        if self.lag_p99_us >= LAG_LIMIT_US:
            why = LAG
        elif self.cpu > CPU_LIMIT:
            why = CPU
        elif self.begun is not None and self.begun < LEAST_BEGUN:
            why = SCHEDULE
        else:
            return ""
        return why if self.cpu >= _IDLE_CPU else DISTURBED


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """The answer. `bound` says what kept the generator from more; see `SelfTest.at_least`.

    The lateness is that of `per_s`, or of the last step when no rate was carried.
    """

    per_s: float
    lag_p99_us: float
    cpu_us: float
    bound: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What bounds the number of users: open files of a process, ports to one address, memory, of this machine."""

    files: int
    ports: int
    memory_bytes: float
    user_bytes: float


def sample_of(per_s: float, rows: Iterable[Generator], *, whole: bool, target_cpu: float) -> Sample:
    """The step that these rows tell of, one of each worker. `whole`: no other rate was in their seconds."""
    rows = tuple(rows)
    lag_us = decode(row.lag for row in rows).percentile_us(0.99)
    due = sum(row.due for row in rows)
    return Sample(
        per_s=per_s,
        lag_p99_us=math.inf if lag_us is None else lag_us,
        cpu=max((row.cpu for row in rows), default=0.0),
        cpus=sum(row.cpu for row in rows),
        begun=sum(row.begun for row in rows) / due if whole and due else None,
        target_cpu=target_cpu,
    )


def first_rate(per_s: float, cpu: float) -> float:
    """Where to begin, after a warm-up at `per_s` that took the busiest worker `cpu` of a core."""
    return per_s * min(_MOST_GROWTH, max(_LEAST_FIRST, _IDLE_CPU / max(cpu, _LEAST_DIFFERENCE)))


def next_rate(first: float, samples: Sequence[Sample], most_steps: int = MOST_STEPS) -> float | None:
    """The rate of the next step, None when the search is over. Never goes beyond a rate that failed."""
    if not samples:
        return first
    if len(samples) >= most_steps or samples[-1].target_cpu > TARGET_CPU_LIMIT:
        return None
    if samples[-1].broken_by == DISTURBED:
        return samples[-1].per_s if _tries(samples) < MOST_TRIES else None
    good, bad = _bracket(samples)
    if bad is None:
        return _foretold(samples)
    if good is None:
        return bad.per_s / 2
    return None if bad.per_s / good.per_s <= CLOSE_ENOUGH else math.sqrt(bad.per_s * good.per_s)


def carried(samples: Sequence[Sample]) -> Carried:
    """The highest rate that was carried: 0 when none was."""
    good, bad = _bracket(samples)
    last = samples[-1]
    if last.target_cpu > TARGET_CPU_LIMIT:
        bound = TARGET
    elif bad is None or (good is None and last.broken_by == DISTURBED):
        bound = last.broken_by or SEARCH
    else:
        bound = bad.broken_by
    told = good or last
    return Carried(
        per_s=good.per_s if good else 0.0,
        lag_p99_us=told.lag_p99_us,
        cpu_us=good.cpus * 1e6 / good.per_s if good else 0.0,
        bound=bound,
    )


def users_held(room: Room, workers: int) -> tuple[int, str]:
    """How many users, each with a connection to one address, this machine's workers hold, and what bounds them."""
    bounds = [
        (max(0, room.files - _FILES_KEPT) * workers, "open files"),
        (room.ports, "ephemeral ports"),
        (int(_MEMORY_SHARE * room.memory_bytes / max(room.user_bytes, 1.0)), "memory"),
    ]
    return min(bounds)


def _foretold(samples: Sequence[Sample]) -> float:
    """The rate that nearly fills the busiest core: on the line through the last two that were carried, or through 0."""
    good = sorted((sample.per_s, sample.cpu) for sample in samples if not sample.broken_by)
    (below, idle), (per_s, cpu) = good[-2] if len(good) > 1 else (0.0, 0.0), good[-1]
    slope = (per_s - below) / (cpu - idle) if cpu - idle > _LEAST_DIFFERENCE else per_s / max(cpu, _LEAST_DIFFERENCE)
    return min(_MOST_GROWTH * per_s, max(_LEAST_GROWTH * per_s, per_s + slope * (_FULL_CPU - cpu)))


def _tries(samples: Sequence[Sample]) -> int:
    return sum(1 for sample in samples if sample.per_s == samples[-1].per_s)


def _bracket(samples: Sequence[Sample]) -> tuple[Sample | None, Sample | None]:
    """The highest rate that was carried, and the lowest above it that was too much for the generator."""
    good = _extreme(max, (sample for sample in samples if not sample.broken_by))
    floor = good.per_s if good else 0.0
    failed = (sample for sample in samples if sample.broken_by not in ("", DISTURBED) and sample.per_s > floor)
    return good, _extreme(min, failed)


def _extreme(pick: Callable[..., Sample], samples: Iterable[Sample]) -> Sample | None:
    found = list(samples)
    return pick(found, key=lambda sample: sample.per_s) if found else None
