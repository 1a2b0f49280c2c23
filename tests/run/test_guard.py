"""Abort guards: a fold over rows and readings that knows nothing of clocks."""

from __future__ import annotations

from harness.experiment import Limit
from harness.journal import Reading, Traffic
from harness.run.guard import Guard
from harness.testing import encoded
from harness.units import NS_PER_S


def limit(metric: str, bound: float, for_s: int, *, of: str = "") -> Limit:
    """An abort limit METRIC > BOUND for FOR_S."""
    text = f"{metric} > {bound} for {for_s}s"
    return Limit(text=text, metric=metric, of=of, op=">", bound=bound, unit="share", sustain_ns=for_s * NS_PER_S)


def row(second: int, *, finished: int = 10, failed: int = 0, us: float = 1000.0, started: int = 0) -> Traffic:
    """One second of one endpoint."""
    return Traffic(
        at_ns=(second + 1) * NS_PER_S,
        second=second,
        worker=0,
        endpoint="GET /",
        started=started or finished,
        finished=finished,
        failed={"5xx": failed} if failed else {},
        due_ok=encoded([us] * (finished - failed)),
        due_failed=encoded([us] * failed),
    )


def fed(guard: Guard, *rows: Traffic | Reading) -> Guard:
    """The guard, fed."""
    for one in rows:
        guard.feed(one)
    return guard


def test_a_breach_that_lasts_long_enough_is_named() -> None:
    """Three bad seconds of three."""
    guard = fed(Guard([limit("errors", 0.1, 3)]), *(row(second, failed=5) for second in range(5, 8)))
    assert guard.breached(9 * NS_PER_S) == "errors > 0.1 for 3s"


def test_two_bad_seconds_of_three_are_not_enough() -> None:
    """A good second in between starts the count again."""
    guard = fed(Guard([limit("errors", 0.1, 3)]), row(5, failed=5), row(6), row(7, failed=5), row(8, failed=5))
    assert guard.breached(10 * NS_PER_S) == ""


def test_a_target_that_answers_nothing_does_not_reset_the_count() -> None:
    """Silence between two bad seconds counts with them."""
    guard = fed(Guard([limit("errors", 0.1, 4)]), row(5, failed=5), row(8, failed=5))
    assert guard.breached(10 * NS_PER_S) != ""


def test_rows_of_one_second_add_up() -> None:
    """A late row of the same second changes its share: 5 of 10, then 5 of 100."""
    guard = fed(Guard([limit("errors", 0.1, 1)]), row(5, failed=5))
    assert guard.breached(7 * NS_PER_S) != ""
    fed(guard, row(5, finished=90))
    assert guard.breached(7 * NS_PER_S) == ""


def test_percentiles_are_those_of_the_second() -> None:
    """p99 > 1 s is broken by slow answers."""
    slow = Limit(text="p99 > 1s", metric="p99", of="", op=">", bound=1_000_000, unit="us", sustain_ns=2 * NS_PER_S)
    guard = fed(Guard([slow]), row(5, us=2_000_000), row(6, us=2_000_000))
    assert guard.breached(8 * NS_PER_S) == "p99 > 1s"


def test_readings_are_watched_by_subject() -> None:
    """cpu of api, not of db."""
    guard = Guard([limit("cpu", 0.9, 2, of="api")])
    for second in range(5, 8):
        guard.feed(Reading(at_ns=second * NS_PER_S, probe="process", of="db", values={"cpu": 1.0}))
    assert guard.breached(9 * NS_PER_S) == ""
    for second in range(5, 8):
        guard.feed(Reading(at_ns=second * NS_PER_S, probe="process", of="api", values={"cpu": 0.95}))
    assert guard.breached(9 * NS_PER_S) != ""


def test_an_endpoint_is_watched_by_itself() -> None:
    """errors of "GET /other" is not about GET /."""
    of_other = limit("errors", 0.1, 1, of="GET /other")
    assert fed(Guard([of_other]), row(5, failed=5)).breached(7 * NS_PER_S) == ""
    assert fed(Guard([limit("errors", 0.1, 1, of="GET /")]), row(5, failed=5)).breached(7 * NS_PER_S) != ""


def test_the_mean_is_watched_too() -> None:
    """mean > 1 s."""
    slow = Limit(text="mean > 1s", metric="mean", of="", op=">", bound=1_000_000, unit="us")
    assert fed(Guard([slow]), row(5, us=2_000_000)).breached(7 * NS_PER_S) == "mean > 1s"
    assert fed(Guard([slow]), row(5, us=2_000)).breached(7 * NS_PER_S) == ""


def test_the_present_second_is_not_judged_before_its_rows_can_be_there() -> None:
    """A half-arrived second is no evidence."""
    guard = fed(Guard([limit("errors", 0.1, 1)]), row(5, failed=10))
    assert guard.breached(6 * NS_PER_S) == ""


def test_without_limits_nothing_is_kept() -> None:
    """A day-long run without abort limits costs no memory here."""
    assert fed(Guard([]), row(5, failed=10)).breached(9 * NS_PER_S) == ""
