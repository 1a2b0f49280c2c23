"""The generator's own lateness: shares of time, so that one long stall cannot hide as one sample."""

import gc

from harness import histogram
from harness.traffic.gauges import TICK_NS, Collections, Gauges, Lateness

MS = 1_000_000


def test_beats_in_a_stall_count_with_their_own_lateness() -> None:
    """After a stall of 50 ms the five beats in it were 40, 30, 20, 10 and 0 ms late."""
    lateness = Lateness(0)
    assert lateness.beat(50 * MS) == TICK_NS
    counts = histogram.decode([lateness.take()]).counts
    assert counts == {histogram.bucket_of(us): 1 for us in (0, 10_000, 20_000, 30_000, 40_000)}


def test_taking_begins_anew() -> None:
    """Each row carries the lateness of its own second."""
    lateness = Lateness(0)
    lateness.beat(TICK_NS)
    assert lateness.take() != ""
    assert lateness.take() == ""


def test_readings_are_of_this_process() -> None:
    """A living Python process uses memory and has files open."""
    gauges = Gauges()
    assert gauges.rss_bytes() > 5_000_000
    assert gauges.open_files() >= 3
    assert gauges.cpu() >= 0


def test_collections_are_timed() -> None:
    """A full collection of a process with a million references takes some time, and counts once."""
    kept = [[number] for number in range(300_000)]
    collections = Collections()
    collections.watch()
    try:
        gc.collect()
        assert collections.take_us() > 100
        assert len(kept) == 300_000
    finally:
        gc.callbacks.pop()
    gc.collect()
    assert collections.take_us() == 0
