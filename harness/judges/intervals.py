"""Intervals for shares and means of autocorrelated data: batch means, not single requests.

Requests of one second resemble each other, so n requests say less than n independent ones would. The unit here is a
batch of consecutive seconds (Law and Kelton, Simulation Modeling and Analysis, ch. 9: batch means; Cochran, Sampling
Techniques, ch. 6: ratio estimator for batches of unequal size). A binomial floor keeps a few identical batches from
looking certain. Quantiles of t and beta come from scipy.special; nothing here is a distribution of our own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log, log1p, sqrt

import numpy as np
from scipy.special import betaincinv, ndtri, stdtr, stdtrit

from harness.evidence.cells import Floats, Ints

CONFIDENCE = 0.95
BATCHES = (30, 20, 12, 10, 8, 6)
MAX_LAG1 = 0.2
# Of the squared standard error, the part that autocorrelated strata must make up before they block a pass.
DRIFT_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean with its interval. `se` is the standard error used, `deff` how many requests count as one."""

    mean: float
    low: float
    high: float
    se: float
    n: int
    batches: int
    freedom: float
    lag1: float
    deff: float
    autocorrelated: bool

    @property
    def margin(self) -> float:
        """Half the width of the symmetric interval."""
        return (self.high - self.low) / 2


def lag1(values: Floats) -> float:
    """Lag-1 autocorrelation (biased estimator, as statsmodels' acf); 0 for a constant series."""
    centred = values - values.mean()
    spread = float(centred @ centred)
    return float(centred[1:] @ centred[:-1]) / spread if spread > 0 else 0.0


def ratio(hits: Floats, totals: Floats, *, floor: float | None = None, strata: Ints | None = None) -> Estimate | None:
    """The ratio sum(hits)/sum(totals) over consecutive seconds, or None with fewer than six seconds of data.

    `floor` is a share p0: the standard error is at least sqrt(p0 (1 - p0) / n). `strata` labels the seconds that a
    planned fault makes different: that difference is by design, not noise, so each stratum has its own batches
    (stratified sampling, Cochran ch. 5) and the degrees of freedom are Satterthwaite's (Biometrics 2, 1946). Where
    even six batches are autocorrelated the error is inflated as for an AR(1) process; `autocorrelated` is set when
    that part of the error matters.
    """
    n = float(totals.sum())
    if n <= 0 or len(totals) < BATCHES[-1]:
        return None
    labels = np.zeros(len(totals), dtype=np.int64) if strata is None else strata
    parts = [_spread(hits[labels == label], totals[labels == label]) for label in np.unique(labels)]
    mean = float(hits.sum()) / n
    variance = sum(part.variance for part in parts) / n**2
    least = floor * (1 - floor) / n if floor is not None else 0.0
    simple = max(mean * (1 - mean), 0.0) / n if floor is not None else 0.0
    se = sqrt(max(variance, least))
    drifting = sum(part.variance for part in parts if part.lag1 >= MAX_LAG1) / n**2
    width = float(stdtrit(_freedom(parts), 0.5 + CONFIDENCE / 2)) * se
    return Estimate(
        mean=mean,
        low=mean - width,
        high=mean + width,
        se=se,
        n=round(n),
        batches=sum(part.batches for part in parts),
        freedom=_freedom(parts),
        lag1=max(part.lag1 for part in parts),
        deff=max(1.0, variance / simple) if simple > 0 else 1.0,
        autocorrelated=drifting > DRIFT_SHARE * se**2,
    )


@dataclass(frozen=True, slots=True)
class _Spread:
    """One stratum: the variance of its *sum* of hits, from so many batches, and the lag-1 correlation left over."""

    batches: int
    variance: float
    lag1: float


def _freedom(parts: list[_Spread]) -> float:
    total = sum(part.variance for part in parts)
    if total <= 0:
        return float(max(1, sum(part.batches - 1 for part in parts)))
    return total**2 / sum(part.variance**2 / max(1, part.batches - 1) for part in parts)


def _spread(hits: Floats, totals: Floats) -> _Spread:
    """From the most batches whose residuals are not autocorrelated, else from six; a short stratum: each second."""
    answered = float(totals.sum())
    mean = float(hits.sum()) / answered if answered else 0.0
    rho, variance, batches = 0.0, 0.0, len(totals)
    for batches in [count for count in BATCHES if count <= len(totals)] or [len(totals)]:
        edges = np.linspace(0, len(totals), batches + 1).round().astype(int)[:-1]
        residuals = np.add.reduceat(hits, edges) - mean * np.add.reduceat(totals, edges)
        rho = lag1(residuals) if batches >= BATCHES[-1] else 0.0
        variance = float(residuals.var(ddof=1)) * batches if batches > 1 else 0.0
        if rho < MAX_LAG1:
            return _Spread(batches, variance, rho)
    capped = min(rho, 0.9)
    return _Spread(batches, variance * (1 + capped) / (1 - capped), rho)


def errors(failed: Floats, finished: Floats, strata: Ints | None = None) -> Estimate | None:
    """An error share: Wilson's interval on counts divided by the design effect; none failed: Clopper-Pearson.

    Wilson, JASA 22 (1927); the design effect is batch variance / binomial variance, at least 1.
    """
    base = ratio(failed, finished, strata=strata)
    if base is None:
        return None
    n, k = float(base.n), float(failed.sum())
    if k == 0:
        high = 1.0 - float(betaincinv(n, 1.0, 0.5 - CONFIDENCE / 2))
        return replace(base, low=0.0, high=high, deff=1.0)
    binomial = sqrt(base.mean * (1 - base.mean) / n)
    deff = max(1.0, (base.se / binomial) ** 2) if binomial > 0 else 1.0
    low, high = wilson(k / deff, n / deff)
    return replace(base, low=low, high=high, deff=deff)


def wilson(k: float, n: float) -> tuple[float, float]:
    """Wilson's score interval for k of n (both may be fractional after division by a design effect)."""
    z = float(ndtri(0.5 + CONFIDENCE / 2))
    share = k / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    width = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - width), min(1.0, centre + width)


def chance_above(estimate: Estimate, bound: float) -> float:
    """The one-sided p-value of "the truth is at most `bound`": small when the estimate proves it is above."""
    if estimate.se <= 0:
        return 0.0 if estimate.mean > bound else 1.0
    return 1.0 - float(stdtr(estimate.freedom, (estimate.mean - bound) / estimate.se))


def holm(chances: list[float], alpha: float) -> list[bool]:
    """Which of several p-values are significant together at `alpha` (Holm, Scand. J. Statist. 6, 1979)."""
    rejected = [False] * len(chances)
    for position, index in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        if chances[index] > alpha / (len(chances) - position):
            break
        rejected[index] = True
    return rejected


def growth_without_errors(estimate: Estimate, bound: float) -> float:
    """The same where nothing failed: Clopper and Pearson's bound falls below `bound` after ln(alpha/2)/ln(1-bound)."""
    return max(0.0, log((1 - CONFIDENCE) / 2) / log1p(-bound) / estimate.n - 1) if 0 < bound < 1 else float("inf")


def growth_to_decide(estimate: Estimate, bound: float) -> float:
    """How many times the present sample must be *added* until the interval leaves `bound`; inf when it never would."""
    gap = abs(estimate.mean - bound)
    return max(0.0, (estimate.margin / gap) ** 2 - 1) if gap > 0 else float("inf")
