"""Histograms: buckets against HdrHistogram itself, exact merging, and the error that three digits promise."""

from __future__ import annotations

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from harness.evidence.cells import percentile
from harness.histogram import MAX_US, Histogram, bucket_low, bucket_middle, bucket_of, decode

latencies = st.integers(0, MAX_US)


@given(latencies)
def test_a_bucket_holds_its_value_within_a_thousandth(us: int) -> None:
    """The value that stands for a bucket is at most 0.05 % (or half a microsecond) away from any in it."""
    bucket = bucket_of(us)
    assert bucket_low(bucket) <= us < bucket_low(bucket + 1)
    assert abs(bucket_middle(bucket) - us) <= max(0.5, us * 0.0005)


@given(latencies, latencies)
def test_buckets_keep_the_order_of_values(one: int, other: int) -> None:
    """A longer latency never falls into a lower bucket."""
    assert (bucket_of(one) <= bucket_of(other)) or one > other


@given(st.lists(st.integers(1, MAX_US), min_size=1, max_size=200))
def test_our_buckets_are_hdrhistograms(values: list[int]) -> None:
    """Values share one of our buckets exactly when HdrHistogram calls them equivalent."""
    hdr = HdrHistogram(1, MAX_US, 3)
    for value in values:
        assert hdr.get_lowest_equivalent_value(value) == bucket_low(bucket_of(value))


@given(st.lists(st.lists(latencies, max_size=50), max_size=6))
def test_merging_encoded_parts_equals_recording_all_at_once(parts: list[list[int]]) -> None:
    """Texts may be joined before they are decoded."""
    whole, texts = Histogram(), []
    for part in parts:
        one = Histogram()
        for us in part:
            one.record(us)
            whole.record(us)
        texts.append(one.encode())
    assert decode(texts).counts == whole.counts


def test_values_beyond_an_hour_are_counted_as_an_hour_and_said() -> None:
    """Nothing is dropped without a trace."""
    histogram = Histogram()
    histogram.record(MAX_US + 1)
    histogram.record(-5)
    assert histogram.total == 2
    assert histogram.clamped == 1


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99, 0.999])
def test_percentiles_are_within_a_thousandth_of_the_raw_sample(share: float) -> None:
    """100,000 lognormal latencies: nearest rank of the histogram against nearest rank of the sample."""
    raw = np.sort(np.random.default_rng(3).lognormal(10, 1, 100_000).astype(int))
    histogram = Histogram()
    for us in raw:
        histogram.record(int(us))
    true = raw[int(np.ceil(share * len(raw))) - 1]
    assert histogram.percentile_us(share) == pytest.approx(true, rel=0.001)


def test_one_hundred_values_have_the_ninety_ninth_as_p99() -> None:
    """Nearest rank, where 0.99 * 100 is 99.00000000000001 in floating point."""
    histogram = Histogram()
    for us in range(1, 101):
        histogram.record(us)
    assert histogram.percentile_us(0.99) == 99
    counts = np.zeros(200)
    counts[1:101] = 1
    assert percentile(counts, 0.99) == 99


def test_an_empty_histogram_has_no_percentile() -> None:
    """No data is not zero."""
    assert Histogram().percentile_us(0.5) is None
    assert percentile(np.zeros(10), 0.5) is None


def test_a_damaged_text_is_refused() -> None:
    """Half a pair is an error, not a guess."""
    with pytest.raises(ValueError, match=r".*"):
        decode(["!!!!"])
