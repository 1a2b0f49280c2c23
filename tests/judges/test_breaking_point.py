"""The breaking point on invented ladders whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from harness.errors import ExitCode
from harness.evidence.measure import measure
from harness.journal import Json
from harness.judges import judge
from harness.testing import JournalBuilder, synthetic_ladder
from harness.verdict import BreakingPoint, Outcome, Verdict

HOLD_S = 20


def document(users: Sequence[int], at_least: int | None = None) -> dict[str, Json]:
    """A ladder that asks only for its breaking point."""
    params: dict[str, Json] = {"at_least": at_least} if at_least else {}
    return {
        "name": "ladder",
        "why": "It breaks.",
        "stack": {"process": {"api": {"command": "api"}}},
        "traffic": {"scenario": "s.py", "target": "api"},
        "stages": [
            {"name": f"level-{count}", "role": "stress", "users": count, "hold": f"{HOLD_S}s"} for count in users
        ],
        "questions": [{"breaking_point": params}] if params else ["breaking_point"],
    }


def ladder(
    levels: Mapping[int, str], *, at_least: int | None = None, pool: Mapping[int, float] | None = None
) -> Verdict:
    """A verdict on levels that are `good`, `slow`, `failing` or `thin`."""
    builder = JournalBuilder(document(list(levels), at_least))
    for users, state in levels.items():
        start, _ = builder.stage(f"level-{users}", "stress", users, ramp_s=0, hold_s=HOLD_S)
        for second in range(int(start), int(start) + HOLD_S):
            count = 2 if state == "thin" else 100
            latency = np.full(count, 3_000_000.0 if state == "slow" else 20_000.0)
            failed = np.full(20, 1000.0) if state == "failing" else np.zeros(0)
            builder.traffic(second, "GET /", latency, {"5xx": failed})
            builder.generator(second, users, count)
            if pool:
                values = {"db_pool_in_use": pool[users], "db_pool_size": 10.0}
                builder.reading(second, "prometheus", "api", values)
    return judge(measure(builder.events()))


def point(verdict: Verdict) -> BreakingPoint:
    """Its breaking point."""
    assert verdict.breaking_point is not None
    return verdict.breaking_point


def test_the_bracket_is_the_last_good_and_the_first_broken_level() -> None:
    """Good at 100 and 500, slow at 1,000 and above."""
    found = point(ladder({100: "good", 500: "good", 1000: "slow", 5000: "slow"}))
    assert (found.status, found.last_good, found.first_bad) == ("broke_at", 500, 1000)
    assert found.interval == (500, 1000)
    assert found.estimate == pytest.approx((500 * 1000) ** 0.5)


def test_a_ladder_that_holds_has_no_break() -> None:
    """No level breaks: no_break up to the highest."""
    found = point(ladder({100: "good", 500: "good"}))
    assert (found.status, found.last_good, found.first_bad) == ("no_break", 500, None)


def test_the_first_level_may_break_already() -> None:
    """Nothing is known to be good then, and the estimate is not invented."""
    found = point(ladder({100: "failing", 500: "failing"}))
    assert (found.status, found.last_good, found.first_bad, found.estimate) == ("broke_at", None, 100, None)


def test_a_level_that_holds_above_one_that_broke_makes_the_answer_inconclusive() -> None:
    """Not monotone: no bracket."""
    assert point(ladder({100: "good", 500: "slow", 1000: "good"})).status == "inconclusive"


def test_an_undecided_level_widens_the_bracket() -> None:
    """100 good, 500 too thin to tell, 1,000 broken: between 100 and 1,000."""
    found = point(ladder({100: "good", 500: "thin", 1000: "slow"}))
    assert (found.last_good, found.first_bad) == (100, 1000)


def test_an_undecided_top_level_is_no_no_break() -> None:
    """The highest level must hold before "no break" may be said."""
    found = point(ladder({100: "good", 500: "thin"}))
    assert (found.status, found.last_good) == ("inconclusive", 100)


@pytest.mark.parametrize(
    ("levels", "at_least", "outcome"),
    [
        ({100: "good", 500: "good", 1000: "slow"}, 500, Outcome.PASS),
        ({100: "good", 500: "slow", 1000: "slow"}, 500, Outcome.FAIL),
        ({100: "good", 500: "good", 1000: "slow"}, 700, Outcome.INCONCLUSIVE),
        ({100: "good", 500: "good"}, 500, Outcome.PASS),
    ],
)
def test_at_least_turns_the_answer_into_a_gate(levels: dict[int, str], at_least: int, outcome: Outcome) -> None:
    """Pass when that many are known to be carried, fail when the break is known to be at or below."""
    assert ladder(levels, at_least=at_least).outcome is outcome


def test_the_metric_that_was_out_first_is_named() -> None:
    """Only errors break here."""
    assert point(ladder({100: "good", 500: "failing"})).first_metric == "errors"


def test_a_full_pool_is_the_bottleneck_only_if_it_was_not_full_before() -> None:
    """3 of 10 while it held, 10 of 10 when it broke; a pool that was always full explains nothing."""
    found = point(ladder({100: "good", 500: "slow"}, pool={100: 3.0, 500: 10.0})).bottleneck
    assert found is not None
    assert (found.resource, found.of, found.value, found.limit) == ("db_pool_in_use", "api", 10.0, 10.0)
    assert point(ladder({100: "good", 500: "slow"}, pool={100: 10.0, 500: 10.0})).bottleneck is None


def test_seconds_under_a_fault_do_not_count_against_a_level() -> None:
    """The invented ladder's faults make level-1000 miss its budget, yet the break is at 5,000."""
    verdict = judge(measure(synthetic_ladder()))
    found = point(verdict)
    assert (found.last_good, found.first_bad) == (1000, 5000)
    assert verdict.exit_code is ExitCode.FAIL
