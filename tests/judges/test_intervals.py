"""Intervals against scipy as the oracle, and their coverage on data whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.judges import intervals


def test_independent_seconds_give_the_textbook_t_interval() -> None:
    """Thirty equal batches of white noise: mean -/+ t * sd / sqrt(30)."""
    rng = np.random.default_rng(7)
    hits = rng.normal(50, 5, 30)
    estimate = intervals.ratio(hits, np.full(30, 100.0))
    assert estimate is not None
    low, high = stats.t.interval(0.95, 29, hits.mean() / 100, hits.std(ddof=1) / 100 / np.sqrt(30))
    assert (estimate.low, estimate.high) == pytest.approx((low, high), rel=1e-9)


@given(st.integers(0, 500), st.integers(500, 5000))
def test_wilson_is_scipys_wilson(k: int, n: int) -> None:
    """For whole counts ours equals scipy's."""
    interval = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert intervals.wilson(k, n) == pytest.approx((interval.low, interval.high), abs=1e-12)


@pytest.mark.parametrize("n", [598, 1000, 20_000])
def test_no_error_seen_is_bounded_by_clopper_and_pearson(n: int) -> None:
    """Zero failures: the exact upper bound, not zero."""
    finished = np.full(10, n / 10)
    estimate = intervals.errors(np.zeros(10), finished)
    assert estimate is not None
    assert estimate.high == pytest.approx(stats.binomtest(0, estimate.n).proportion_ci(method="exact").high, rel=1e-9)
    assert estimate.low == 0.0


def test_too_few_seconds_give_no_interval() -> None:
    """Five seconds cannot make six batches."""
    assert intervals.ratio(np.ones(5), np.full(5, 10.0)) is None


def test_a_binomial_floor_keeps_identical_batches_from_looking_certain() -> None:
    """No second differs, yet 600 answers cannot be surer than their count allows."""
    estimate = intervals.ratio(np.zeros(30), np.full(30, 20.0), floor=0.05)
    assert estimate is not None
    assert estimate.se == pytest.approx(np.sqrt(0.05 * 0.95 / 600))


def test_a_drift_through_the_whole_window_is_called_autocorrelated() -> None:
    """A share that climbs steadily is no steady state."""
    estimate = intervals.ratio(np.linspace(0, 30, 60), np.full(60, 100.0), floor=0.05)
    assert estimate is not None
    assert estimate.autocorrelated


def test_a_planned_fault_is_a_stratum_and_not_noise() -> None:
    """Ten of thirty seconds at 20 %, the rest at 0: with strata the mean is certain, without it is not."""
    hits = np.array([0.0] * 10 + [20.0] * 10 + [0.0] * 10)
    totals = np.full(30, 100.0)
    strata = np.array([0] * 10 + [1] * 10 + [0] * 10)
    with_strata = intervals.ratio(hits, totals, floor=0.01, strata=strata)
    without = intervals.ratio(hits, totals, floor=0.01)
    assert with_strata is not None and without is not None
    assert with_strata.mean == without.mean == pytest.approx(20 / 300)
    assert with_strata.margin < without.margin / 5


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(rho: float) -> None:
    """AR(1) seconds, two minutes, 600 repetitions: coverage of the 95 % interval stays between 90 and 98.5 %."""
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(600):
        noise = rng.normal(0, 1, 140)
        for index in range(1, 140):
            noise[index] = rho * noise[index - 1] + np.sqrt(1 - rho**2) * noise[index]
        estimate = intervals.ratio(10 + 3 * noise[20:], np.full(120, 100.0))
        assert estimate is not None
        covered += estimate.low <= 0.1 <= estimate.high
    assert 0.90 <= covered / 600 <= 0.985


def test_holm_is_stricter_than_each_alone_and_stops_at_the_first_that_fails() -> None:
    """Of 0.01, 0.02 and 0.04 at 0.05, the last passes its step only because the others did."""
    assert intervals.holm([0.04, 0.01, 0.02], 0.05) == [True, True, True]
    assert intervals.holm([0.04, 0.01, 0.03], 0.05) == [False, True, False]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_rejects_more_than_uncorrected_and_keeps_order(chances: list[float]) -> None:
    """What Holm rejects is below alpha, and no smaller p-value is left out."""
    rejected = intervals.holm(chances, 0.05)
    for chance, out in zip(chances, rejected, strict=True):
        if out:
            assert chance <= 0.05
            assert all(other_out for other, other_out in zip(chances, rejected, strict=True) if other < chance)


def test_advice_names_the_sample_that_would_decide() -> None:
    """0 of 300 against 0.5 %: 736 answers would do for a two-sided 95 % bound, so 1.45 times as many again."""
    estimate = intervals.errors(np.zeros(10), np.full(10, 30.0))
    assert estimate is not None
    assert intervals.growth_without_errors(estimate, 0.005) == pytest.approx(736 / 300 - 1, abs=0.01)


def test_advice_for_a_percentile_is_from_its_own_interval() -> None:
    """None of 300 slower than the P99 limit: 415 would do with thirty batches, so 0.38 times as many again."""
    estimate = intervals.ratio(np.zeros(30), np.full(30, 10.0), floor=0.01)
    assert estimate is not None
    assert intervals.growth_to_decide(estimate, 0.01) == pytest.approx(415 / 300 - 1, abs=0.01)
