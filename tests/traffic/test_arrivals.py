"""Due times of arrivals: as many as the line says, none outside it; one process whoever shares it, across lines too."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.traffic import Load
from harness.traffic.arrivals import Arrivals, Kind

S = 1_000_000_000
KINDS: tuple[Kind, ...] = ("poisson", "uniform")


def line(at_s: float, start: float, end: float, ramp_s: float = 0.0) -> Load:
    """From `start` to `end` arrivals a second."""
    return Load(at_ns=round(at_s * S), level_from=start, level_to=end, ramp_ns=round(ramp_s * S), unit="rate")


def due(kind: Kind, *lines: Load, until_s: float, seed: int = 1, worker: int = 0, workers: int = 1) -> list[int]:
    """All due times before an instant, each line followed when its time has come."""
    arrivals = Arrivals(kind, seed=seed, worker=worker, workers=workers)
    found: list[int] = []
    for load, until_ns in zip(lines, [*(load.at_ns for load in lines[1:]), round(until_s * S)], strict=True):
        arrivals.follow(load)
        while arrivals.next_ns is not None and arrivals.next_ns < until_ns:
            found.append(arrivals.next_ns)
            arrivals.take()
    return found


RAMPS = [line(1, 0, 200, 4), line(1, 200, 0, 4), line(1, 50, 350, 3), line(1, 100, 100), line(1, 7, 1000, 2)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("load", RAMPS)
def test_there_are_as_many_as_the_integral_of_the_line(kind: Kind, load: Load) -> None:
    """On any piece of a ramp and after it: within one for the even grid, within 5 sigma for the Poisson process."""
    found = due(kind, load, until_s=8)
    for upto_s in (1.5, 2, 3, 4, 5, 8):
        ramp_s, after_s = load.ramp_ns / S, upto_s - 1
        ramped = min(after_s, ramp_s)
        slope = (load.level_to - load.level_from) / ramp_s if ramp_s else 0
        expected = load.level_from * ramped + slope * ramped**2 / 2 + load.level_to * (after_s - ramped)
        came = sum(instant < upto_s * S for instant in found)
        assert abs(came - expected) <= (1 if kind == "uniform" else 5 * math.sqrt(expected) + 1)


@given(
    kind=st.sampled_from(KINDS), start=st.floats(0, 500), end=st.floats(0, 500), ramp_s=st.floats(0, 3),
    seed=st.integers(0, 2**63), workers=st.integers(1, 8),
)  # fmt: skip
def test_they_are_in_order_and_none_before_the_line(
    kind: Kind, start: float, end: float, ramp_s: float, seed: int, workers: int
) -> None:
    """Whatever the line, the seed and the share."""
    found = due(kind, line(2, start, end, ramp_s), until_s=5, seed=seed, worker=workers - 1, workers=workers)
    assert found == sorted(found)
    assert all(instant >= 2 * S for instant in found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rate_of_nothing_brings_nobody(kind: Kind) -> None:
    """A flat zero, and the rest of time after a ramp down to zero."""
    assert due(kind, line(0, 0, 0), until_s=1000) == []
    down = due(kind, line(0, 100, 0, 2), until_s=1000)
    assert 60 <= len(down) <= 140
    assert max(down) <= 2 * S


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_all_workers_together_make_one_even_grid(workers: int) -> None:
    """Uniform: at 70/s the gaps of the merged shares are a seventieth of a second each, across a change of line too."""
    lines = (line(0, 70, 70), line(1.003, 70, 70), line(2, 70, 70))
    merged = sorted(
        instant
        for worker in range(workers)
        for instant in due("uniform", *lines, until_s=4, worker=worker, workers=workers)
    )
    assert len(merged) == 280
    assert all(abs(after - before - S / 70) < 10 for before, after in pairwise(merged))


def test_shares_of_a_poisson_process_are_a_poisson_process() -> None:
    """Gaps of four merged workers are exponential: mean and deviation are equal, a share e^-1 is above the mean."""
    merged = sorted(
        instant
        for worker in range(4)
        for instant in due("poisson", line(0, 500, 500), until_s=40, worker=worker, workers=4)
    )
    gaps = [(after - before) / S * 500 for before, after in pairwise(merged)]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert mean == pytest.approx(1, rel=0.03)
    assert deviation == pytest.approx(1, rel=0.05)
    assert sum(gap > 1 for gap in gaps) / len(gaps) == pytest.approx(math.exp(-1), rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_of_line_in_the_middle_of_a_gap_keeps_the_rest_of_the_gap(kind: Kind) -> None:
    """A line cut in pieces is the same process; one that doubles its rate has what was left come twice as soon."""
    whole = due(kind, line(0, 100, 300, 4), until_s=6)
    pieces = due(kind, line(0, 100, 200, 2), line(2, 200, 300, 2), line(4, 300, 300), until_s=6)
    assert len(pieces) == len(whole)
    assert max(abs(one - other) for one, other in zip(pieces, whole, strict=True)) < 1000
    (slow,) = due(kind, line(0, 0.2, 0.2), until_s=9)[:1] or [0]
    if slow > 2 * S:
        (sooner,) = due(kind, line(0, 0.2, 0.2), line(2, 0.4, 0.4), until_s=9)[:1]
        assert sooner - 2 * S == pytest.approx((slow - 2 * S) / 2, abs=10)


@pytest.mark.parametrize("kind", KINDS)
def test_an_order_that_comes_early_or_late_changes_nothing_that_was_due(kind: Kind) -> None:
    """A line told before it begins waits for its time; one told after it began has only what was not yet taken."""
    early = Arrivals(kind, seed=3, worker=0, workers=1)
    early.follow(line(0, 100, 100))
    early.follow(line(2, 50, 50))
    found: list[int] = []
    while early.next_ns is not None and early.next_ns < 4 * S:
        found.append(early.next_ns)
        early.take()
    assert found == due(kind, line(0, 100, 100), line(2, 50, 50), until_s=4, seed=3)
    late = Arrivals(kind, seed=3, worker=0, workers=1)
    late.follow(line(0, 100, 100))
    taken = 0
    while late.next_ns is not None and late.next_ns < 2.1 * S:
        late.take()
        taken += 1
    late.follow(line(2, 50, 50))
    assert late.next_ns == pytest.approx(found[taken], abs=10)


def test_the_seed_decides() -> None:
    """Poisson: the same seed gives the same instants, another seed or another worker others."""
    first = due("poisson", line(0, 100, 100), until_s=1)
    assert first == due("poisson", line(0, 100, 100), until_s=1)
    assert first != due("poisson", line(0, 100, 100), until_s=1, seed=2)
    assert first != due("poisson", line(0, 200, 200), until_s=1, worker=1, workers=2)
