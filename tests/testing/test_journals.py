"""Invented journals are journals: in order, whole, and the same for the same seed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.evidence.measure import measure
from harness.histogram import MAX_US, Histogram
from harness.journal import Aborted, Generator, RunEnded, RunStarted, Traffic, decode, encode
from harness.judges import judge
from harness.testing import encoded, synthetic_arrivals, synthetic_ladder


@given(st.lists(st.integers(min_value=0, max_value=MAX_US) | st.integers(0, 5_000), max_size=50))
def test_quick_encoding_equals_the_histogram(latencies_us: list[int]) -> None:
    """The array form puts every latency into the bucket that histogram.py does."""
    histogram = Histogram()
    for us in latencies_us:
        histogram.record(us)
    assert encoded(latencies_us) == histogram.encode()


def test_a_ladder_survives_the_disk() -> None:
    """Each event is what it was after a round through its line."""
    events = synthetic_ladder()
    assert [decode(encode(event)) for event in events] == events


def test_events_are_in_order_from_header_to_end() -> None:
    """A reader of the journal sees time go forward, from RunStarted to RunEnded."""
    events = synthetic_ladder()
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunEnded)
    assert [event.at_ns for event in events] == sorted(event.at_ns for event in events)


def test_every_request_is_accounted_for() -> None:
    """Started is finished plus lost, and failures are among the finished."""
    rows = [event for event in synthetic_ladder() if isinstance(event, Traffic)]
    assert all(row.started == row.finished + row.lost for row in rows)
    assert all(sum(row.failed.values()) <= row.finished for row in rows)


def test_the_seed_decides() -> None:
    """The same seed gives the same journal, another one another."""
    assert synthetic_ladder(seed=3) == synthetic_ladder(seed=3)
    assert synthetic_ladder(seed=3) != synthetic_ladder(seed=4)


def test_the_ladder_breaks_where_the_model_says() -> None:
    """620 requests a second are 3,100 users: the break lies between 1,000 and 5,000, for want of connections."""
    point = judge(measure(synthetic_ladder())).breaking_point
    assert point is not None
    assert (point.status, point.last_good, point.first_bad) == ("broke_at", 1000.0, 5000.0)
    assert point.bottleneck is not None
    assert point.bottleneck.resource == "db_pool_in_use"


@pytest.mark.parametrize("at_s", [5.0, 70.0])
def test_an_abort_cuts_the_journal(at_s: float) -> None:
    """Nothing happens after the abort but the end."""
    events = synthetic_ladder(aborted=(at_s, "signal", "SIGINT"))
    aborted = next(event for event in events if isinstance(event, Aborted))
    late = [event for event in events if event.at_ns > aborted.at_ns + 1_000_000_000]
    assert late == []


def test_arrivals_survive_the_disk_and_are_accounted_for() -> None:
    """Each event is what it was; what was due began or is counted as not started; the same seed, the same run."""
    events = synthetic_arrivals()
    assert [decode(encode(event)) for event in events] == events == synthetic_arrivals()
    rows = [event for event in events if isinstance(event, Generator)]
    assert all(row.due == row.begun + row.not_started for row in rows)
    answered = sum(event.finished for event in events if isinstance(event, Traffic))
    assert answered == sum(row.begun for row in rows)
    assert sum(row.not_started for row in rows) > 0
