"""Intervals for shares and means of autocorrelated data: batch means, not single requests.

Requests of one second resemble each other, so n requests say less than n independent ones would. The unit here is a
batch of consecutive seconds (Law and Kelton, Simulation Modeling and Analysis, ch. 9: batch means; Cochran, Sampling
Techniques, ch. 6: ratio estimator for batches of unequal size). A binomial floor keeps a few identical batches from
looking certain. Quantiles of t and beta come from scipy.special; nothing here is a distribution of our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import betaincinv, ndtri, stdtr, stdtrit

from harness.cells import Floats

CONFIDENCE = 0.95
BATCHES = (30, 20, 12, 10, 8, 6)
MAX_LAG1 = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean with its interval. `se` is the standard error used, `deff` how many requests count as one."""

    mean: float
    low: float
    high: float
    se: float
    n: int
    batches: int
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


def ratio(hits: Floats, totals: Floats, *, floor: float | None = None) -> Estimate | None:
    """The ratio sum(hits)/sum(totals) over consecutive seconds, or None with fewer than six seconds of data.

    `floor` is a share p0: the standard error is at least sqrt(p0 (1 - p0) / n). When even six batches are
    autocorrelated the error is inflated as for an AR(1) process, and `autocorrelated` is set.
    """
    n = float(totals.sum())
    if n <= 0 or len(totals) < BATCHES[-1]:
        return None
    mean = float(hits.sum()) / n
    batches, se, rho = _batch_error(hits, totals, mean)
    autocorrelated = rho >= MAX_LAG1
    if autocorrelated:
        rho = min(rho, 0.9)
        se *= sqrt((1 + rho) / (1 - rho))
    simple = sqrt(max(mean * (1 - mean), 0.0) / n) if floor is not None else 0.0
    if floor is not None:
        se = max(se, sqrt(floor * (1 - floor) / n))
    width = float(stdtrit(batches - 1, 0.5 + CONFIDENCE / 2)) * se
    return Estimate(
        mean=mean,
        low=mean - width,
        high=mean + width,
        se=se,
        n=round(n),
        batches=batches,
        lag1=rho,
        deff=max(1.0, (se / simple) ** 2) if simple > 0 else 1.0,
        autocorrelated=autocorrelated,
    )


def _batch_error(hits: Floats, totals: Floats, mean: float) -> tuple[int, float, float]:
    """(batches, standard error, lag-1) for the most batches whose residuals are not autocorrelated, else for six."""
    n = float(totals.sum())
    for batches in (count for count in BATCHES if count <= len(totals)):
        edges = np.linspace(0, len(totals), batches + 1).round().astype(int)[:-1]
        residuals = np.add.reduceat(hits, edges) - mean * np.add.reduceat(totals, edges)
        rho = lag1(residuals)
        error = float(residuals.std(ddof=1)) * sqrt(batches) / n
        if rho < MAX_LAG1:
            break
    return batches, error, rho


def errors(failed: Floats, finished: Floats) -> Estimate | None:
    """An error share: Wilson's interval on counts divided by the design effect; none failed: Clopper-Pearson.

    Wilson, JASA 22 (1927); the design effect is batch variance / binomial variance, at least 1.
    """
    base = ratio(failed, finished)
    if base is None:
        return None
    n, k = float(base.n), float(failed.sum())
    if k == 0:
        high = 1.0 - float(betaincinv(n, 1.0, 0.5 - CONFIDENCE / 2))
        return _shaped(base, 0.0, high, 1.0)
    binomial = sqrt(base.mean * (1 - base.mean) / n)
    deff = max(1.0, (base.se / binomial) ** 2) if binomial > 0 else 1.0
    low, high = wilson(k / deff, n / deff)
    return _shaped(base, low, high, deff)


def _shaped(base: Estimate, low: float, high: float, deff: float) -> Estimate:
    return Estimate(
        mean=base.mean,
        low=low,
        high=high,
        se=base.se,
        n=base.n,
        batches=base.batches,
        lag1=base.lag1,
        deff=deff,
        autocorrelated=base.autocorrelated,
    )


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
    return 1.0 - float(stdtr(estimate.batches - 1, (estimate.mean - bound) / estimate.se))


def holm(chances: list[float], alpha: float) -> list[bool]:
    """Which of several p-values are significant together at `alpha` (Holm, Scand. J. Statist. 6, 1979)."""
    rejected = [False] * len(chances)
    for position, index in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        if chances[index] > alpha / (len(chances) - position):
            break
        rejected[index] = True
    return rejected
