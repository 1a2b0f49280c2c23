"""Stages of load: users or a rate, ramps or curves, ladders, and a pool of users that is large enough."""

from __future__ import annotations

import pytest

from harness.experiment import Experiment
from harness.plan import SetLoad, level_at, plan
from tests.documents import built, wrong

S = 1_000_000_000
OPEN = {
    "stages": [{"name": "steady", "rate": "100/s", "hold": "30s"}],
    "faults": [],
    "budget": ["p95 < 500ms"],
    "questions": ["budget"],
}


def experiment(**changes: object) -> Experiment:
    """The example with one open stage, and other sections."""
    return built(**{**OPEN, **changes})  # type: ignore[arg-type]


def refused(**changes: object) -> list[str]:
    """What is said of that, without its hints."""
    return [
        said.partition(" (at least")[0].partition(" (write")[0].partition(" (rate:")[0]
        for said in wrong(**{**OPEN, **changes})
    ]  # type: ignore[arg-type]


def traffic(**changes: object) -> dict[str, object]:
    """The document's traffic with other keys."""
    return {"scenario": "scenarios/checkout.py", "target": "front", **changes}


def test_a_rate_makes_the_model_open() -> None:
    """A stage in arrivals a second has no users of its own; the pool holds everybody who may wait for the limit."""
    found = experiment(stages=[{"name": "steady", "rate": "300/min", "ramp": "10s", "hold": "30s"}])
    assert (found.unit, found.stages[0].rate, found.stages[0].users, found.stages[0].level) == ("rate", 5.0, 0, 5.0)
    assert (found.traffic.arrivals, found.traffic.max_users) == ("poisson", 50)


def test_a_ladder_of_rates() -> None:
    """The short form takes rates as it takes users, and names each level by its rate."""
    found = experiment(stages=None, ladder={"rate": ["50/min", "100/s", "2000/s"], "warmup": "5s"})
    names = [(stage.name, stage.rate) for stage in found.stages]
    assert names == [("warm", 50 / 60), ("rate-50-min", 50 / 60), ("rate-100", 100.0), ("rate-2000", 2000.0)]


@pytest.mark.parametrize(
    ("levels", "unit", "peak"), [(("100/s", "400/s", "40/s"), "rate", 400.0), ((10, 40, 4), "users", 40)]
)
def test_a_curve_is_a_line_through_its_points(levels: tuple[object, ...], unit: str, peak: float) -> None:
    """Without a hold the whole curve is measured; the plan follows it in straight lines."""
    points = [["0s", levels[0]], ["30s", levels[1]], ["40s", levels[2]]]
    found = experiment(stages=[{"name": "wave", "curve": points}])
    stage = found.stages[0]
    assert (stage.unit, stage.ramp_ns, stage.hold_ns, stage.peak) == (unit, 0, 40 * S, peak)
    timeline = plan(found)
    lines = [(step.at_ns, step.action.ramp_ns) for step in timeline.steps if isinstance(step.action, SetLoad)]
    assert lines == [(0, 30 * S), (30 * S, 10 * S)]
    assert level_at(timeline, 15 * S) == pytest.approx(peak * 0.625)
    assert level_at(timeline, 40 * S) == pytest.approx(peak / 10)


def test_a_curve_with_a_hold_is_the_ramp() -> None:
    """Then only the hold, at the last level, is measured."""
    found = experiment(stages=[{"name": "up", "curve": [["0s", "1/s"], ["9s", "9/s"]], "hold": "20s"}])
    assert (found.stages[0].ramp_ns, found.stages[0].hold_ns, found.stages[0].rate) == (9 * S, 20 * S, 9.0)
    assert level_at(plan(found), 20 * S) == 9.0


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"rate": 500}, "stages[0].rate: expected a rate with its unit such as 500/s or 500/min, got 500"),
        ({"rate": "500"}, "stages[0].rate: expected a rate such as 500/s or 50/min, got '500'"),
        ({"rate": "5/d"}, "stages[0].rate: expected a rate such as 500/s or 50/min, got '5/d'"),
        ({"rate": "99999999/s"}, "stages[0].rate: expected a rate of at most 10,000,000/s, got '99999999/s'"),
        ({}, "stages[0]: expected one of users, rate and curve, got none of them"),
        ({"rate": "5/s", "users": 5}, "stages[0]: expected one of users, rate and curve, got users and rate"),
        (
            {"curve": [["0s", "5/s"], ["9s", "9/s"]], "ramp": "2s"},
            "stages[0].ramp: a curve is the ramp; write one of the two",
        ),
        (
            {"curve": [["1s", "5/s"], ["9s", "9/s"]]},
            "stages[0].curve: expected points such as [[0s, 100/s], [30s, 400/s]]:"
            " two or more, the first at 0s and each later than the one before",
        ),
        (
            {"curve": [["0s", "5/s"], ["9s", 9]]},
            "stages[0].curve: expected points such as [[0s, 100/s], [30s, 400/s]]: all levels as rates, or"
            " all as users",
        ),
        ({"curve": "up"}, "stages[0].curve: expected points such as [[0s, 100/s], [30s, 400/s]], got 'up'"),
        (
            {"curve": [["0s", "5/s"], ["9s", "9"]]},
            "stages[0].curve: expected a rate such as 500/s or 50/min, got '9'",
        ),
    ],
)
def test_a_stage_that_makes_no_sense_is_refused(stage: dict[str, object], message: str) -> None:
    """A rate without a unit, two levels, none, or a curve that cannot be drawn: one message each, with its place."""
    assert message in refused(stages=[{"name": "steady", "hold": "30s", **stage}])


def test_all_stages_count_in_one_unit() -> None:
    """Users that wait and arrivals that do not cannot follow one another."""
    stages = [{"name": "a", "rate": "5/s", "hold": "9s"}, {"name": "b", "users": 5, "hold": "9s"}]
    assert "stages[1]: b counts its load in users, a in a rate of arrivals" in refused(stages=stages)


def test_a_pool_that_the_budget_would_exhaust_is_refused() -> None:
    """Little's law: 100 arrivals a second that may take half a second each need fifty users."""
    assert experiment(traffic=traffic(max_users=50)).traffic.max_users == 50
    assert refused(traffic=traffic(max_users=49)) == [
        "traffic.max_users: 49 users carry 100/s only while an iteration takes at most 490ms"
        " (Little's law: users = rate x time), and the budget allows 500ms (p95 < 500ms)"
    ]


@pytest.mark.parametrize("key", [{"arrivals": "uniform"}, {"max_users": 5}])
def test_what_belongs_to_a_rate_needs_one(key: dict[str, object]) -> None:
    """In the closed model there are neither arrivals nor a pool."""
    (name,) = key
    stages = [{"name": "steady", "users": 5, "hold": "30s"}]
    hint = "(leave it out, or write rate: 100/s for users)"
    assert f"traffic.{name}: {name} needs a rate: these stages are in users {hint}" in refused(
        stages=stages, traffic=traffic(**key)
    )


def test_what_a_breaking_point_must_carry_is_counted_as_the_stages_are() -> None:
    """A number of users says nothing of a ladder of rates, nor the other way round."""
    ladder = {"rate": ["10/s", "20/s"]}
    question = {"breaking_point": {"at_least": "15/s"}}
    found = experiment(stages=None, ladder=ladder, questions=[question])
    assert dict(found.questions[0].params)["at_least"] == 15.0
    place = "questions[0].breaking_point.at_least"
    wrong = refused(stages=None, ladder=ladder, questions=[{"breaking_point": {"at_least": 15}}])
    assert wrong == [f"{place}: expected a rate such as 500/s, as the stages have"]
    wrong = refused(stages=None, ladder=ladder, questions=[{"breaking_point": {"at_least": "21/s"}}])
    assert wrong == [f"{place}: expected at most 20/s, the highest level, got 21"]


def test_workers_and_processes() -> None:
    """Workers join at the gate's port unless another is named; processes may be left to the machine."""
    found = experiment(traffic=traffic(workers={"expect": 4, "bind": "10.0.0.1"})).traffic.workers
    assert found is not None
    assert (found.expect, found.bind, found.join_within_ns) == (4, "10.0.0.1:5557", 60 * S)
    assert experiment(traffic=traffic(processes="auto")).traffic.processes == 0
    assert refused(traffic=traffic(workers={})) == ["traffic.workers.expect: this key is required, and missing"]
    assert refused(traffic=traffic(workers={"expect": 2}, processes=2)) == [
        "traffic.processes: all load comes from the workers that join; write one of processes and workers"
    ]
