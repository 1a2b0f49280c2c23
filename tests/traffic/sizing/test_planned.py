"""What a plan asks of its generator, against what that carries: refused, said, or nothing to say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import BadInput
from harness.experiment import Experiment, Question, Stage
from harness.journal import SelfTest
from harness.traffic.locust_check import UserClass
from harness.traffic.sizing.capacity import DISTURBED, LAG, SEARCH
from harness.traffic.sizing.planned import Planned, described, is_due, planned, rate_per_user_s, require_carried
from tests.documents import built

S = 1_000_000_000
TEST = SelfTest(
    at_ns=0,
    client="FastHttpUser",
    workers=1,
    per_s=4900.0,
    users=19_936,
    lag_p99_us=9000,
    cpu_us=190.0,
    rate_bound=LAG,
    users_bound="open files",
)
PACED = UserClass(name="Paced", weight=1, fixed_count=0, period_ns=2 * S, think_ns=None)
THINKING = UserClass(name="Thinking", weight=3, fixed_count=0, period_ns=None, think_ns=S)


def experiment(**peak: object) -> Experiment:
    """One stage and no question, then as told."""
    stage = Stage(name="peak", role="stress", ramp_ns=0, hold_ns=S, **peak)  # type: ignore[arg-type]
    return replace(built(), stages=(replace(stage, name="before", users=1, rate=1.0), stage), questions=())


@pytest.mark.parametrize(
    ("peak", "due"),
    [
        ({"users": 999}, False),
        ({"users": 1000}, True),
        ({"rate": 199.0, "unit": "rate"}, False),
        ({"rate": 200.0, "unit": "rate"}, True),
        ({"rate": 50.0, "unit": "rate", "curve": ((0, 1.0), (S, 300.0), (2 * S, 50.0))}, True),
    ],
)
def test_much_load_is_measured_for_first(peak: dict[str, object], due: bool) -> None:
    """By the highest point of the highest stage."""
    assert is_due(experiment(**peak)) is due


def test_a_ladder_is_measured_for_whatever_its_load() -> None:
    """Where a target breaks must not be where its generator does."""
    assert is_due(replace(experiment(users=10), questions=(Question(kind="breaking_point"),)))
    assert not is_due(replace(experiment(users=10), questions=(Question(kind="budget"),)))


def test_the_planned_rate_of_users_is_by_their_waits() -> None:
    """One user in four once in two seconds, the others once a second; requests of an iteration on top."""
    classes = (PACED, replace(THINKING, requests=2.0))
    assert rate_per_user_s(classes) == pytest.approx(0.25 * 0.5 + 0.75 * 1.0)
    plan = planned(experiment(users=2000), classes)
    assert (plan.stage, plan.users) == ("peak", 2000)
    assert plan.per_s == pytest.approx(2000 * 0.875 * 1.75)


def test_a_wait_that_is_not_known_leaves_the_rate_unknown() -> None:
    """Nothing is guessed: nothing can be refused but the users."""
    plan = planned(experiment(users=2000), (PACED, replace(THINKING, think_ns=None)))
    assert plan.per_s is None
    assert require_carried(TEST, plan) == ""


def test_the_planned_rate_of_the_open_model_is_its_peak() -> None:
    """Its users are those that the pool may have."""
    open_ = experiment(rate=300.0, unit="rate")
    open_ = replace(open_, traffic=replace(open_.traffic, max_users=500))
    assert planned(open_, (THINKING,)) == Planned(stage="peak", per_s=300.0, users=500)


def test_a_plan_beyond_reach_is_refused_with_figures_and_a_way_out() -> None:
    """What is carried, with what, and who wants more."""
    with pytest.raises(BadInput) as refused:
        require_carried(TEST, Planned(stage="rate-10000", per_s=10_000, users=100))
    said = str(refused.value)
    assert "FastHttpUser in 1 process carries 4,900/s (event loop lag P99 9.0 ms)" in said
    assert "rate-10000 plans 10,000/s" in said
    for way in ("FastUser", "processes", "workers", "--no-self-test"):
        assert way in refused.value.hint


def test_more_users_than_there_is_room_for_are_refused() -> None:
    """Whatever their rate, known or not."""
    with pytest.raises(BadInput, match=r"room for 19,936 users \(open files\); top plans 20,000 users"):
        require_carried(TEST, Planned(stage="top", per_s=None, users=20_000))


@pytest.mark.parametrize("bound", [DISTURBED, SEARCH])
def test_what_is_not_known_refuses_nothing_but_is_said(bound: str) -> None:
    """A busy machine is no mistake of the experiment."""
    doubt = require_carried(replace(TEST, rate_bound=bound), Planned(stage="top", per_s=5000, users=10))
    assert "top plans 5,000/s: whether it keeps up is not known" in doubt


def test_a_plan_near_the_limit_is_said_and_one_below_it_is_not() -> None:
    """Seven tenths."""
    assert "more than 70% of it" in require_carried(TEST, Planned(stage="top", per_s=3500, users=10))
    assert require_carried(TEST, Planned(stage="top", per_s=3400, users=10)) == ""


def test_what_was_measured_is_told_in_a_line() -> None:
    """With several processes, with "at least", and without a figure."""
    assert "in 2 processes carries 4,900/s" in described(replace(TEST, workers=2))
    assert "carries at least 4,900/s" in described(replace(TEST, rate_bound=SEARCH))
    held_up = described(replace(TEST, per_s=0.0, rate_bound=DISTURBED))
    assert "0/s" not in held_up
    assert "what it carries could not be measured: other load on this machine" in held_up
    held_later = described(replace(TEST, rate_bound=DISTURBED))
    assert "4,900/s were carried, more could not be tried: other load on this machine" in held_later
