"""What the generator was told to do: the line of users, or of arrivals a second, that its orders add up to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from harness.journal import LoadSet
from harness.units import NS_PER_S


def ends(order: LoadSet) -> tuple[float, float]:
    """The levels at the start and the end of an order, in its own unit."""
    if order.unit == "rate":
        return order.rate_from, order.rate_to
    return float(order.users_from), float(order.users_to)


def corners(orders: Sequence[LoadSet], until_ns: int) -> list[tuple[int, float]]:
    """The points (ns on the run clock, level) between which the intended line is straight, as far as `until_ns`.

    An order stands until the next one; two points of one instant are a step.
    """
    points: list[tuple[int, float]] = []
    stops = [*(order.at_ns for order in orders), until_ns][1:]
    for order, next_ns in zip(orders, stops, strict=True):
        if order.at_ns > until_ns:
            break
        stop_ns = min(next_ns, until_ns)
        start, end = ends(order)
        reached_ns = min(order.at_ns + order.ramp_ns, stop_ns)
        share = (reached_ns - order.at_ns) / order.ramp_ns if order.ramp_ns else 1.0
        reached = start + (end - start) * share
        points += [(order.at_ns, start), (reached_ns, reached), (stop_ns, reached)]
    return points


def mean_level(orders: Sequence[LoadSet], start_ns: int, end_ns: int) -> float | None:
    """The mean of the intended line over a span; None where no order stood or the span is empty."""
    if end_ns <= start_ns or not orders or orders[0].at_ns > start_ns:
        return None
    area = 0.0
    for (left_ns, left), (right_ns, right) in pairwise(corners(orders, end_ns)):
        low_ns, high_ns = max(left_ns, start_ns), min(right_ns, end_ns)
        if high_ns > low_ns:
            slope = (right - left) / (right_ns - left_ns)
            middle = left + slope * ((low_ns + high_ns) / 2 - left_ns)
            area += middle * (high_ns - low_ns) / NS_PER_S
    return area / ((end_ns - start_ns) / NS_PER_S)
