"""The search for the highest rate that is carried, on invented generators: no clock, no process."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.histogram import Histogram
from harness.journal import Generator
from harness.traffic.sizing.capacity import (
    CLOSE_ENOUGH,
    CPU,
    DISTURBED,
    LAG,
    MOST_STEPS,
    MOST_TRIES,
    SCHEDULE,
    SEARCH,
    TARGET,
    Room,
    Sample,
    carried,
    first_rate,
    next_rate,
    sample_of,
    users_held,
)

WELL = Sample(per_s=1000, lag_p99_us=500, cpu=0.7, cpus=0.7, begun=1.0)


def at(per_s: float, limit: float) -> Sample:
    """A generator that uses a core in proportion to its rate and is late from `limit` on."""
    cpu = min(1.0, 0.9 * per_s / limit)
    late = per_s >= limit
    return Sample(
        per_s=per_s,
        lag_p99_us=50_000 if late else 900,
        cpu=max(0.7, cpu) if late else cpu,
        cpus=cpu,
        begun=min(1.0, limit / per_s),
    )


def search(first: float, limits: list[float]) -> list[Sample]:
    """The steps taken against a generator whose limit is another one at each step, the last one from then on."""
    samples: list[Sample] = []
    while (rate := next_rate(first, samples)) is not None:
        samples.append(at(rate, limits[min(len(samples), len(limits) - 1)]))
    return samples


@given(
    limit=st.floats(200, 60_000),
    foretold=st.floats(0.6, 2.0),
    noise=st.lists(st.floats(0.96, 1.04), min_size=MOST_STEPS, max_size=MOST_STEPS),
)
def test_the_answer_is_within_a_step_of_the_limit(limit: float, foretold: float, noise: list[float]) -> None:
    """Whatever the warm-up's CPU said, within reason, and though each step sees a limit that is a little off."""
    first = first_rate(1000, min(1.0, 0.9 * 1000 / limit * foretold))
    samples = search(first, [limit * one for one in noise])
    answer = carried(samples)
    assert len(samples) <= MOST_STEPS
    good = [sample.per_s for sample in samples if not sample.broken_by]
    assert answer.per_s == max(good, default=0.0)
    if good and len(samples) < MOST_STEPS:
        assert limit * 0.96 / CLOSE_ENOUGH <= answer.per_s <= limit * 1.04


@given(limit=st.floats(1_200, 60_000))
def test_a_quiet_machine_is_closed_in_on_before_the_steps_are_over(limit: float) -> None:
    """From a warm-up that tells the truth, five steps are enough."""
    answer = carried(search(first_rate(1000, 0.9 * 1000 / limit), [limit]))
    assert limit / 1.3 <= answer.per_s <= limit
    assert answer.bound in (LAG, SEARCH)


def test_the_next_rate_lies_between_what_was_carried_and_what_was_not() -> None:
    """And never beyond a rate that failed."""
    samples = search(8000, [5000])
    failed = math.inf
    for sample in samples:
        assert sample.per_s < failed
        failed = min(failed, sample.per_s) if sample.broken_by else failed


@pytest.mark.parametrize(
    ("sample", "why"),
    [
        (WELL, ""),
        (replace(WELL, lag_p99_us=10_000), LAG),
        (replace(WELL, lag_p99_us=10_000, cpu=0.4), DISTURBED),
        (replace(WELL, lag_p99_us=math.inf), LAG),
        (replace(WELL, cpu=0.96), CPU),
        (replace(WELL, begun=0.98), SCHEDULE),
        (replace(WELL, begun=0.98, cpu=0.4), DISTURBED),
        (replace(WELL, begun=None), ""),
    ],
)
def test_what_keeps_a_rate_from_being_carried(sample: Sample, why: str) -> None:
    """Lateness, a core used up, arrivals that were not begun."""
    assert sample.broken_by == why


def test_a_loop_that_others_hold_up_is_tried_again_and_then_given_up() -> None:
    """Its core was half idle: that is no limit of the generator, and no rate is blamed on it."""
    held_up = Sample(per_s=2000, lag_p99_us=60_000, cpu=0.3, cpus=0.3, begun=0.7)
    samples = [WELL]
    while (rate := next_rate(1000, samples)) is not None:
        samples.append(replace(held_up, per_s=rate))
    assert len(samples) == 1 + MOST_TRIES
    assert len({sample.per_s for sample in samples[1:]}) == 1
    assert carried(samples).bound == DISTURBED
    assert carried(samples).per_s == WELL.per_s


def test_one_disturbed_step_does_not_end_the_search() -> None:
    """The same rate again is fine, and the search goes on from it."""
    disturbed = replace(WELL, lag_p99_us=60_000, cpu=0.3)
    assert next_rate(1000, [disturbed]) == 1000
    assert next_rate(1000, [disturbed, WELL]) == pytest.approx(1000 * 1.25)


def test_a_limit_that_was_seen_counts_though_the_last_step_was_disturbed() -> None:
    """What failed by the generator's own doing is known."""
    late = replace(WELL, per_s=1300, lag_p99_us=20_000)
    disturbed = replace(WELL, per_s=1140, lag_p99_us=20_000, cpu=0.3)
    assert carried([WELL, late, disturbed]).bound == LAG


def test_a_null_target_that_is_the_limit_itself_is_named() -> None:
    """The generator might carry more: the search ends there."""
    busy = replace(WELL, target_cpu=0.93)
    assert next_rate(1000, [busy]) is None
    assert carried([busy]).bound == TARGET
    assert carried([busy]).per_s == WELL.per_s


def test_a_generator_that_carries_nothing_is_told_as_zero() -> None:
    """Each step is at half the rate of the one before."""
    samples = search(8000, [1.0])
    assert [sample.per_s for sample in samples] == [8000 / 2**step for step in range(MOST_STEPS)]
    assert carried(samples).per_s == 0
    assert carried(samples).bound == LAG


def row(worker: int, lag_us: int, *, cpu: float = 0.5, begun: int = 99) -> Generator:
    """A worker's second."""
    lag = Histogram()
    lag.record(lag_us)
    return Generator(
        at_ns=0,
        second=1,
        worker=worker,
        users=3,
        due=100,
        begun=begun,
        in_flight=0,
        cpu=cpu,
        lag=lag.encode(),
        rss_bytes=1,
        open_files=1,
    )


def test_a_step_is_that_of_all_workers() -> None:
    """The busiest core, all CPU, the lateness of both, the share that was begun."""
    sample = sample_of(200, [row(0, 100), row(1, 2000, cpu=0.7, begun=100)], whole=True, target_cpu=0.1)
    assert (sample.cpu, sample.cpus, sample.begun) == (0.7, 1.2, 0.995)
    assert sample.lag_p99_us == 2000
    assert sample_of(200, [row(0, 100)], whole=False, target_cpu=0.1).begun is None


def test_no_row_is_a_step_that_failed() -> None:
    """A generator too busy to tell of itself carries nothing."""
    assert sample_of(200, [], whole=True, target_cpu=0.1).broken_by


@pytest.mark.parametrize(
    ("room", "users", "bound"),
    [
        (Room(files=1064, ports=28_232, memory_bytes=1e10, user_bytes=2e4), 2000, "open files"),
        (Room(files=65_536, ports=28_232, memory_bytes=1e10, user_bytes=2e4), 28_232, "ephemeral ports"),
        (Room(files=65_536, ports=28_232, memory_bytes=1e8, user_bytes=2e4), 4500, "memory"),
        (Room(files=10, ports=28_232, memory_bytes=1e8, user_bytes=0), 0, "open files"),
    ],
)
def test_the_smallest_room_bounds_the_users(room: Room, users: int, bound: str) -> None:
    """Files are of each process, ports and memory of the machine."""
    assert users_held(room, workers=2) == (users, bound)
