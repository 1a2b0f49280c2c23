"""An invented run of the open model: arrivals at a rate against a shop that answers so many a second, one by one.

Arrivals come whatever earlier ones do. The shop is one queue, first come first served: below its capacity an answer
takes `base_us`; while it is frozen, or beyond its capacity, arrivals wait, and their latency counts from their due
time. Arrivals that find `max_users` others in the shop do not start.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from harness.journal import Event, Json, SelfTest
from harness.testing.journals import JournalBuilder
from harness.testing.ladder import ladder_document
from harness.units import format_rate

_LEAVE = ("GET /", "GET /", "GET /", "POST /checkout")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueModel:
    """What the invented shop does. `sigma` 0 and uniform arrivals leave nothing to chance."""

    capacity_per_s: float = 360.0
    base_us: float = 12_000.0
    sigma: float = 0.4
    timeout_s: float = 10.0
    max_users: int = 500
    uniform: bool = False


@dataclass(slots=True)
class _Second:
    """What was due in one second: latencies by endpoint, and what the pool did."""

    latencies_us: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    due: int = 0
    not_started: int = 0
    busy: int = 0


def arrivals_document(
    rates: Sequence[float],
    *,
    curve: Sequence[tuple[int, float]],
    ramp_s: int,
    hold_s: int,
    max_users: int,
    seed: int,
    arrivals: str = "poisson",
) -> dict[str, Json]:
    """The experiment that `synthetic_arrivals` says it ran."""
    document = ladder_document((1, 2), ramp_s=1, hold_s=1, warmup_s=1, faults=False, seed=seed)
    first, last = format_rate(rates[0]), f"rate-{rates[-1]:g}"
    points: list[Json] = [[f"{at_s}s", f"{rate:g}/s"] for at_s, rate in curve]
    levels: list[Json] = [
        {"name": f"rate-{rate:g}", "role": "stress", "rate": f"{rate:g}/s", "ramp": f"{ramp_s}s", "hold": f"{hold_s}s"}
        for rate in rates
    ]
    return {
        **document,
        "name": "arrivals",
        "why": "The shop carries 200 arrivals a second, and a freeze of two seconds costs nobody more than that.",
        "traffic": {"scenario": "scenarios/mix.py", "target": "front", "timeout": "10s",
                    "arrivals": arrivals, "max_users": max_users},
        "stages": [
            {"name": "warm", "role": "warmup", "rate": first, "ramp": "2s", "hold": "6s"},
            {"name": "morning", "role": "steady", "curve": points},
            *levels,
        ],
        "faults": [
            {"name": "freeze", "process": "pause", "on": "api", "during": f"rate-{rates[-2]:g}",
             "after": f"{hold_s // 3}s", "for": "2s"},
        ],
        "budget": ["p95 < 500ms", "p99 < 2s", f"errors < 0.5% in {last}"],
        "questions": ["budget", {"breaking_point": {"at_least": f"{rates[-2]:g}/s"}}],
    }  # fmt: skip


def synthetic_arrivals(
    *,
    rates: Sequence[float] = (100, 200, 400),
    curve: Sequence[tuple[int, float]] = ((0, 100), (6, 300), (12, 300), (20, 50)),
    ramp_s: int = 4,
    hold_s: int = 30,
    model: QueueModel | None = None,
    seed: int = 7,
) -> list[Event]:
    """The journal; with the defaults the target is frozen for 2 s at 200/s and cannot carry 400/s."""
    shop = model or QueueModel()
    document = arrivals_document(
        rates, curve=curve, ramp_s=ramp_s, hold_s=hold_s, max_users=shop.max_users, seed=seed,
        arrivals="uniform" if shop.uniform else "poisson",
    )  # fmt: skip
    builder = JournalBuilder(document, seed=seed)
    builder.add(
        SelfTest(at_ns=builder.ns(-1.0), client="FastUser", workers=2, per_s=12_300.0, users=200, lag_p99_us=8_000,
                 cpu_us=41.0)
    )  # fmt: skip
    lines = _stages(builder, rates, curve, ramp_s, hold_s)
    frozen_s = 8 + curve[-1][0] + (len(rates) - 2) * (ramp_s + hold_s) + ramp_s + hold_s // 3
    builder.fault("freeze", "process", "pause", "api", frozen_s, frozen_s + 2, proof="process state is T (stopped)")
    dice = np.random.default_rng(seed)
    seconds = _simulate(shop, dice, _due(lines, dice, uniform=shop.uniform), (frozen_s, frozen_s + 2.0))
    for second in range(round(lines[-1][1])):
        _write(builder, shop, second, seconds[second])
    return builder.events()


Line = tuple[float, float, float, float]
"""From, to (seconds), rate at both."""


def _stages(
    builder: JournalBuilder, rates: Sequence[float], curve: Sequence[tuple[int, float]], ramp_s: int, hold_s: int
) -> list[Line]:
    """Enter all stages; the straight lines of rate that they stand for."""
    lines: list[Line] = [(0.0, 2.0, 0.0, rates[0]), (2.0, 8.0, rates[0], rates[0])]
    builder.arrivals("warm", "warmup", rates[0], ramp_s=2, hold_s=6)
    builder.arrivals("morning", "steady", curve[-1][1], hold_s=curve[-1][0], curve=curve)
    lines += [(8.0 + start, 8.0 + end, low, high) for (start, low), (end, high) in pairwise(curve)]
    before = curve[-1][1]
    for rate in rates:
        hold_at_s, end_s = builder.arrivals(f"rate-{rate:g}", "stress", rate, ramp_s=ramp_s, hold_s=hold_s)
        lines += [(hold_at_s - ramp_s, hold_at_s, before, rate), (hold_at_s, end_s, rate, rate)]
        before = rate
    return lines


def _due(lines: Sequence[Line], dice: np.random.Generator, *, uniform: bool) -> Iterator[float]:
    """Due times: where the area under the lines passes whole numbers (uniform), or exponential steps (Poisson)."""
    area = 0.0
    wanted = 1.0 if uniform else float(dice.exponential())
    for start, end, low, high in lines:
        span, slope = end - start, (high - low) / (end - start)
        whole = (low + high) / 2 * span
        while wanted <= area + whole:
            need = wanted - area
            yield start + (need / low if not slope else (np.sqrt(max(0.0, low**2 + 2 * slope * need)) - low) / slope)
            wanted += 1.0 if uniform else float(dice.exponential())
        area += whole


def _simulate(
    shop: QueueModel, dice: np.random.Generator, due: Iterator[float], frozen_s: tuple[float, float]
) -> defaultdict[int, _Second]:
    """Every arrival through the queue; what happened by the second in which it was due."""
    seconds: defaultdict[int, _Second] = defaultdict(_Second)
    inside: deque[float] = deque()
    free_at = 0.0
    for number, at_s in enumerate(due):
        second = seconds[int(at_s)]
        second.due += 1
        while inside and inside[0] <= at_s:
            inside.popleft()
        second.busy = len(inside)
        if len(inside) >= shop.max_users:
            second.not_started += 1
            continue
        starts = max(at_s, free_at)
        if frozen_s[0] <= starts < frozen_s[1]:
            starts = frozen_s[1]
        free_at = starts + 1 / shop.capacity_per_s
        base_us = shop.base_us * (float(dice.lognormal(0, shop.sigma)) if shop.sigma else 1.0)
        inside.append(free_at + base_us / 1e6)
        second.latencies_us[_LEAVE[number % len(_LEAVE)]].append((inside[-1] - at_s) * 1e6)
    return seconds


def _write(builder: JournalBuilder, shop: QueueModel, second: int, seen: _Second) -> None:
    """All rows of one second; two workers share it."""
    begun = seen.due - seen.not_started
    for endpoint, latencies in sorted(seen.latencies_us.items()):
        slow = [us for us in latencies if us > shop.timeout_s * 1e6]
        builder.traffic(second, endpoint, [us for us in latencies if us not in slow], {"timeout": slow}, late_us=200.0)
    for worker in (1, 2):
        share = begun // 2 + (begun % 2 if worker == 1 else 0)
        missed = seen.not_started // 2 + (seen.not_started % 2 if worker == 1 else 0)
        busy = seen.busy // 2 + (seen.busy % 2 if worker == 1 else 0)
        builder.generator(
            second, busy, share + missed, begun=share, in_flight=busy, cpu=0.03 + 0.0004 * share + 0.01 * worker,
            worker=worker, not_started=missed, start_lag_us=[300.0, 500.0, 900.0, 1_400.0], sockets=busy + 5,
            gc_us=2_500,
        )  # fmt: skip
    builder.reading(second + 0.5, "process", "api", {"cpu": min(1.0, begun / shop.capacity_per_s)})
