"""The other clock, by property: the true offset is always within the uncertainty, however the network delays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.traffic.hosts.skew import DRIFT_NS, Drift, Offset, Sample, estimate

MS = 1_000_000
DELAYS = st.integers(0, 2_000 * MS)
OFFSETS = st.integers(-(10**15), 10**15)


def sample(offset_ns: int, there_ns: int, back_ns: int, *, sent_ns: int = 0, thinking_ns: int = 0) -> Sample:
    """A ping to a clock that is `offset_ns` ahead of ours, with these delays on the way."""
    received_ns = sent_ns + there_ns
    return Sample(
        sent_ns=sent_ns,
        received_there_ns=received_ns + offset_ns,
        answered_there_ns=received_ns + thinking_ns + offset_ns,
        received_ns=received_ns + thinking_ns + back_ns,
    )


@given(OFFSETS, st.lists(st.tuples(DELAYS, DELAYS, DELAYS), min_size=1, max_size=12))
def test_the_truth_is_within_the_uncertainty(offset_ns: int, delays: list[tuple[int, int, int]]) -> None:
    """Whatever the delays there, back and at the other side."""
    found = estimate(sample(offset_ns, there, back, thinking_ns=thinking) for there, back, thinking in delays)
    assert abs(found.offset_ns - offset_ns) <= found.uncertainty_ns + 1


@given(OFFSETS, st.lists(st.tuples(DELAYS, DELAYS), min_size=1, max_size=12))
def test_more_pings_never_make_it_less_sure(offset_ns: int, delays: list[tuple[int, int]]) -> None:
    """The quickest is believed."""
    samples = [sample(offset_ns, there, back) for there, back in delays]
    widths = [estimate(samples[: count + 1]).uncertainty_ns for count in range(len(samples))]
    assert widths == sorted(widths, reverse=True)


@given(OFFSETS, DELAYS, DELAYS)
def test_even_delays_give_the_offset_itself(offset_ns: int, delay_ns: int, thinking_ns: int) -> None:
    """There as long as back: no error, whatever the other side's time to answer."""
    assert estimate([sample(offset_ns, delay_ns, delay_ns, thinking_ns=thinking_ns)]).offset_ns == offset_ns


def test_no_ping_is_no_offset() -> None:
    """Nothing is made up."""
    with pytest.raises(ValueError, match="empty"):
        estimate([])


def drifting(step_ns: int, count: int, delay_ns: int = MS) -> list[str]:
    """What is told of a clock that gains `step_ns` from each ping to the next."""
    drift = Drift(Offset(offset_ns=0, uncertainty_ns=delay_ns))
    return [told for n in range(count) if (told := drift.add(sample(n * step_ns, delay_ns, delay_ns)))]


def test_a_clock_that_runs_away_is_told_once_with_numbers() -> None:
    """A fast one and a slow one; not each second again."""
    for step_ns in (MS, -MS):
        (told,) = drifting(step_ns, 60)
        assert "+0.000 ms \N{PLUS-MINUS SIGN} 1.000 ms when it joined" in told
        assert " ms off" in told


def test_a_clock_that_stays_and_a_network_that_grows_slow_are_no_drift() -> None:
    """What may be the network's doing is not the clock's."""
    assert drifting(0, 60) == []
    assert drifting(DRIFT_NS // 100, 60) == []
    drift = Drift(Offset(offset_ns=0, uncertainty_ns=MS))
    assert [told for _ in range(30) if (told := drift.add(sample(0, 100 * MS, 0)))] == []


def test_an_offset_reads_like_a_measurement() -> None:
    """In milliseconds with its sign."""
    assert str(Offset(offset_ns=-12_345, uncertainty_ns=40_000)) == "-0.012 ms \N{PLUS-MINUS SIGN} 0.040 ms"
