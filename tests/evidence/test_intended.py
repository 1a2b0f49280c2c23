"""The line that the generator was told to follow."""

from __future__ import annotations

import pytest

from harness.evidence.intended import corners, mean_level
from harness.journal import LoadSet
from harness.units import NS_PER_S


def order(at_s: int, start: float, end: float, ramp_s: int) -> LoadSet:
    """An order of arrivals a second."""
    return LoadSet(
        at_ns=at_s * NS_PER_S, users_from=0, users_to=0, unit="rate", rate_from=start, rate_to=end,
        ramp_ns=ramp_s * NS_PER_S,
    )  # fmt: skip


ORDERS = (order(0, 0, 100, 10), order(20, 100, 50, 10))


def test_an_order_stands_until_the_next() -> None:
    """Ramp, hold, ramp, hold, as far as asked."""
    found = [(at_ns / NS_PER_S, level) for at_ns, level in corners(ORDERS, 40 * NS_PER_S)]
    assert found == [(0, 0), (10, 100), (20, 100), (20, 100), (30, 50), (40, 50)]


def test_a_run_that_ends_in_a_ramp_ends_there() -> None:
    """The line is cut where the run was."""
    found = [(at_ns / NS_PER_S, level) for at_ns, level in corners(ORDERS, 25 * NS_PER_S)]
    assert found[-1] == (25, 75)


@pytest.mark.parametrize(
    ("start_s", "end_s", "mean"), [(0, 10, 50.0), (10, 20, 100.0), (5, 15, 87.5), (0, 40, 2750 / 40)]
)
def test_the_mean_is_the_area_by_the_length(start_s: int, end_s: int, mean: float) -> None:
    """Straight lines, exactly, wherever the span begins and ends."""
    assert mean_level(ORDERS, start_s * NS_PER_S, end_s * NS_PER_S) == pytest.approx(mean)


def test_without_orders_nothing_is_known() -> None:
    """No line and no mean: neither is zero."""
    assert corners((), NS_PER_S) == []
    assert mean_level((), 0, NS_PER_S) is None
    assert mean_level(ORDERS, NS_PER_S, NS_PER_S) is None
