"""One limit against one window: pass, fail or inconclusive, by an interval and never by a point.

A percentile is decided by the share of answers beyond the limit, which is a mean and so has batch means:
P95 < 500 ms  <=>  the share over 500 ms is below 5 %. The interval printed for the percentile is Woodruff's (JASA 47,
1952): the quantiles at 0.95 -/+ the share's margin; it decides exactly as the share does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np

from harness.evidence import Evidence, Series, Window
from harness.evidence.cells import DUE, Cells, Floats, Ints, percentile
from harness.experiment import Limit
from harness.judges import intervals
from harness.judges.intervals import Estimate
from harness.units import NS_PER_S, format_duration
from harness.verdict import Outcome

PERCENTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
MIN_SECONDS = intervals.BATCHES[-1]
LONGEST_ADVICE_S = 24 * 3600
# What a fault leaves behind (queues, reconnects) is given this long to drain before a second counts as undisturbed.
SETTLE_S = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The outcome of a limit in its unit, with the words why. `chance` is the p-value of "the limit holds"."""

    outcome: Outcome
    because: str
    observed: float | None = None
    interval: tuple[float | None, float | None] | None = None
    chance: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a limit is decided on: the seconds of a window less `without`, of one endpoint or ("") all."""

    window: Window
    cells: Cells
    without: Set[int] = frozenset()
    endpoint: str = ""
    strata_of: Mapping[int, int] = field(default_factory=dict)

    @property
    def strata(self) -> Ints:
        """By kept second: 0 undisturbed, 1 a fault was in force, 2 its wake."""
        kept = (second for second in self.window.seconds if second not in self.without)
        return np.array([self.strata_of.get(second, 0) for second in kept], dtype=np.int64)

    @property
    def keep(self) -> np.typing.NDArray[np.bool_]:
        """Which of the window's seconds count."""
        return np.array([second not in self.without for second in self.window.seconds], dtype=bool)

    def kept(self, values: Floats) -> Floats:
        """Per-second values, only of the seconds that count."""
        return values[self.keep]

    @property
    def finished(self) -> Floats:
        """Finished requests by kept second."""
        return self.kept(self.cells.by_second(self.cells.finished, self.window.seconds, self.endpoint))


def disturbances(evidence: Evidence) -> dict[int, int]:
    """Seconds of the run clock that faults make different: 1 while one is in force, 2 in its wake (SETTLE_S)."""
    found: dict[int, int] = {}
    for fault in evidence.faults:
        if fault.asked_ns is not None:
            over = (fault.over_ns if fault.over_ns is not None else evidence.ended_ns) // NS_PER_S
            for second in range(over + 1, over + 1 + SETTLE_S):
                found.setdefault(second, 2)
            found.update(dict.fromkeys(range(fault.asked_ns // NS_PER_S, over + 1), 1))
    return found


def sight(evidence: Evidence, window: Window, endpoint: str = "", *, undisturbed: bool = False) -> Sight:
    """A window's part of the evidence, ready to decide limits on; `undisturbed`: without the seconds of faults."""
    strata = disturbances(evidence)
    return Sight(
        window=window,
        cells=evidence.cells.span(window.first, window.last),
        without=frozenset(strata) if undisturbed else frozenset(),
        endpoint=endpoint,
        strata_of=strata,
    )


def decide(limit: Limit, evidence: Evidence, seen: Sight) -> Decision:
    """Whether `limit` holds in what was seen. Defects of the window are the caller's to weigh (verdict.py)."""
    if limit.metric in TRAFFIC_METRICS:
        if seen.endpoint and seen.endpoint not in seen.cells.endpoints:
            return Decision(outcome=Outcome.INCONCLUSIVE, because=f"no request to {seen.endpoint} was seen")
        if not seen.finished.sum():
            return Decision(outcome=Outcome.INCONCLUSIVE, because="no request finished")
        if limit.sustain_ns:
            return _sustained(limit, _by_second(limit, seen))
        return TRAFFIC_METRICS[limit.metric](limit, seen)
    return _resource(limit, evidence, seen)


def _holds(limit: Limit, value: float) -> bool:
    return {
        "<": value < limit.bound,
        "<=": value <= limit.bound,
        ">": value > limit.bound,
        ">=": value >= limit.bound,
    }[limit.op]


def _between(limit: Limit, low: float | None, high: float | None) -> Outcome:
    """PASS when the whole interval holds, FAIL when none of it does; an open end (None) decides nothing."""
    upper = limit.op in ("<", "<=")
    safe, harmful = (high, low) if upper else (low, high)
    if safe is not None and _holds(limit, safe):
        return Outcome.PASS
    if harmful is not None and not _holds(limit, harmful):
        return Outcome.FAIL
    return Outcome.INCONCLUSIVE


def _percentile(limit: Limit, seen: Sight) -> Decision:
    share = PERCENTILES[limit.metric]
    finished = seen.finished
    slow = seen.kept(seen.cells.over(limit.bound, seen.window.seconds, seen.endpoint))
    estimate = intervals.ratio(slow, finished, floor=1 - share, strata=seen.strata)
    counts = kept_counts(seen)
    observed = percentile(counts, share)
    if estimate is None:
        return Decision(outcome=Outcome.INCONCLUSIVE, observed=observed, because=_too_short(len(finished)))
    low, high = share - estimate.margin, share + estimate.margin
    interval = (
        percentile(counts, low) if low > 0 else 0.0,
        percentile(counts, high) if high < 1 else None,
    )
    outcome = _by_share(estimate, 1 - share)
    allowed = f"{(1 - share) * 100:.3g} %"
    because = f"{estimate.mean * 100:.3g} % of {estimate.n:,} answers took longer than the limit; {allowed} may"
    return _reasoned(
        Decision(
            outcome=outcome,
            observed=observed,
            interval=interval,
            because=because,
            chance=intervals.chance_above(estimate, 1 - share),
        ),
        limit,
        estimate,
        1 - share,
        len(finished),
    )


def kept_counts(seen: Sight) -> Floats:
    """Merged counts by bucket, from the due time, of the seconds that count."""
    counts = seen.cells.counts(DUE, seen.endpoint)
    for second in seen.without:
        if second in seen.window.seconds:
            counts = counts - seen.cells.span(second, second + 1).counts(DUE, seen.endpoint)
    return counts


def _by_share(estimate: Estimate, bound: float) -> Outcome:
    if estimate.high < bound:
        return Outcome.PASS
    return Outcome.FAIL if estimate.low > bound else Outcome.INCONCLUSIVE


def _errors(limit: Limit, seen: Sight) -> Decision:
    finished = seen.finished
    failed = seen.kept(seen.cells.by_second(seen.cells.failed.sum(axis=1), seen.window.seconds, seen.endpoint))
    estimate = intervals.errors(failed, finished, seen.strata)
    return _by_interval(limit, seen, estimate, f"{int(failed.sum()):,} of {int(finished.sum()):,} requests failed")


def _rate(limit: Limit, seen: Sight) -> Decision:
    finished = seen.finished
    estimate = intervals.ratio(finished, np.ones(len(finished)), strata=seen.strata)
    # An endpoint's rate is no part of a limit on all: it can never be "proven to break" it.
    return replace(
        _by_interval(limit, seen, estimate, f"{finished.mean():,.1f} requests finished per second"), chance=1.0
    )


def _mean(limit: Limit, seen: Sight) -> Decision:
    total = seen.kept(seen.cells.latency_sum_us(seen.window.seconds, seen.endpoint))
    estimate = intervals.ratio(total, seen.finished, strata=seen.strata)
    return _by_interval(limit, seen, estimate, f"the mean of {int(seen.finished.sum()):,} answers")


def _by_interval(limit: Limit, seen: Sight, estimate: Estimate | None, because: str) -> Decision:
    if estimate is None:
        return Decision(outcome=Outcome.INCONCLUSIVE, because=f"{because}; {_too_short(len(seen.finished))}")
    decision = Decision(
        outcome=_between(limit, estimate.low, estimate.high),
        observed=estimate.mean,
        interval=(estimate.low, estimate.high),
        because=because,
        chance=intervals.chance_above(estimate, limit.bound),
    )
    return _reasoned(decision, limit, estimate, limit.bound, len(seen.finished))


def _max(limit: Limit, seen: Sight) -> Decision:
    """One answer beyond the limit is proof; that none was, only after as long as any interval takes."""
    worst = percentile(kept_counts(seen), 1.0) or 0.0
    because = f"the slowest of {int(seen.finished.sum()):,} answers"
    if not _holds(limit, worst):
        return Decision(outcome=Outcome.FAIL, observed=worst, because=because, chance=0.0)
    if len(seen.finished) < MIN_SECONDS:
        because += f"; {_too_short(len(seen.finished))}"
        return Decision(outcome=Outcome.INCONCLUSIVE, observed=worst, because=because)
    return Decision(outcome=Outcome.PASS, observed=worst, because=because)


TRAFFIC_METRICS: dict[str, Callable[[Limit, Sight], Decision]] = {
    **dict.fromkeys(PERCENTILES, _percentile),
    "errors": _errors,
    "rate": _rate,
    "mean": _mean,
    "max": _max,
}


def _too_short(seconds: int) -> str:
    return f"{seconds} s were measured; an interval needs at least {MIN_SECONDS} s"


def _reasoned(decision: Decision, limit: Limit, estimate: Estimate, bound: float, seconds: int) -> Decision:
    """Autocorrelation blocks a PASS; an undecided limit says how much longer would decide it."""
    because = f"{decision.because}; {estimate.batches} batches, design effect {estimate.deff:.1f}"
    if estimate.autocorrelated:
        outcome = Outcome.INCONCLUSIVE if decision.outcome is Outcome.PASS else decision.outcome
        because += f"; still drifting (lag-1 autocorrelation {estimate.lag1:.2f}), so it cannot pass"
        return replace(decision, outcome=outcome, because=because)
    if decision.outcome is Outcome.INCONCLUSIVE:
        exact = limit.metric == "errors" and estimate.mean == 0
        growth = (intervals.growth_without_errors if exact else intervals.growth_to_decide)(estimate, bound)
        more = growth * seconds
        if more < LONGEST_ADVICE_S:
            because += f"; to decide this: about {format_duration(ceil(max(more, 1.0)) * NS_PER_S)} more at this rate"
        else:
            because += "; to decide this: no realistic length would, it lies on the limit"
    return replace(decision, because=because)


def _by_second(limit: Limit, seen: Sight) -> Floats:
    """By kept second, the value that an alert rule would look at; NaN where nothing finished."""
    finished = seen.finished
    with np.errstate(divide="ignore", invalid="ignore"):
        if limit.metric == "errors":
            failed = seen.cells.by_second(seen.cells.failed.sum(axis=1), seen.window.seconds, seen.endpoint)
            return seen.kept(failed) / finished
        if limit.metric == "rate":
            return finished
        if limit.metric == "mean":
            return seen.kept(seen.cells.latency_sum_us(seen.window.seconds, seen.endpoint)) / finished
    share = PERCENTILES.get(limit.metric, 1.0)
    window = seen.window
    return seen.kept(seen.cells.percentiles_by_second(window.first, window.last, (share,), seen.endpoint)[0])


def _sustained(limit: Limit, values: Floats) -> Decision:
    """A limit with `for` is an alert rule: broken when every second with data of a run that long breaks it."""
    needed = ceil(limit.sustain_ns / NS_PER_S)
    longest = run = 0
    for value in values:
        run = run if np.isnan(value) else (0 if _holds(limit, float(value)) else run + 1)
        longest = max(longest, run)
    observed = float(np.nanmean(values)) if np.isfinite(values).any() else None
    words = f"broken for {longest} s on end at most; {format_duration(limit.sustain_ns)} would count"
    if longest >= needed:
        return Decision(outcome=Outcome.FAIL, observed=observed, because=words, chance=0.0)
    if len(values) < needed or np.isnan(values).mean() > 0.05:
        return Decision(outcome=Outcome.INCONCLUSIVE, observed=observed, because=f"{words}; too little data")
    return Decision(outcome=Outcome.PASS, observed=observed, because=words)


def find_series(limit: Limit, evidence: Evidence) -> list[Series]:
    """The readings that a resource limit speaks of."""
    return [one for one in evidence.series if one.metric == limit.metric and (not limit.of or one.of == limit.of)]


def _resource(limit: Limit, evidence: Evidence, seen: Sight) -> Decision:
    found = find_series(limit, evidence)
    if not found:
        subject = f"{limit.metric} of {limit.of}" if limit.of else limit.metric
        return Decision(outcome=Outcome.INCONCLUSIVE, because=f"no probe delivered {subject}")
    values = np.array(
        [
            value
            for series in found
            for at_ns, value in zip(series.at_ns, series.values, strict=True)
            if at_ns // NS_PER_S in seen.window.seconds and at_ns // NS_PER_S not in seen.without
        ]
    )
    if limit.sustain_ns:
        return _sustained(limit, values)
    if len(values) < max(MIN_SECONDS, 0.5 * (seen.window.last - seen.window.first - len(seen.without))):
        return Decision(outcome=Outcome.INCONCLUSIVE, because=f"only {len(values)} readings")
    estimate = intervals.ratio(values, np.ones(len(values)))
    if estimate is None:
        return Decision(outcome=Outcome.INCONCLUSIVE, because=f"only {len(values)} readings")
    return Decision(
        outcome=_between(limit, estimate.low, estimate.high),
        observed=estimate.mean,
        interval=(estimate.low, estimate.high),
        because=f"the mean of {len(values)} readings, at most {values.max():.4g}",
    )


def first_breach(limit: Limit, seen: Sight, run: int = 3) -> int:
    """The second (run clock) that began the first `run` seconds on end out of the limit; the window's end if none."""
    out = [not np.isnan(value) and not _holds(limit, float(value)) for value in _by_second(limit, seen)]
    kept = [second for second in seen.window.seconds if second not in seen.without]
    for index in range(len(out) - run + 1):
        if all(out[index : index + run]):
            return kept[index]
    return seen.window.last
