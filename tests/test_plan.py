"""The plan is a value: what is due when, and every injection healed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.experiment import Experiment
from harness.loader import from_document
from harness.loader.yaml_lines import Tree
from harness.plan import EnterStage, Finish, Heal, Inject, Plan, SetLoad, level_at, plan
from harness.units import NS_PER_S
from tests.documents import whole


@st.composite
def experiments(draw: st.DrawFn) -> Experiment:
    """Valid experiments of a few stages with faults somewhere in their holds."""
    stages: list[Tree] = []
    faults: list[Tree] = []
    for number in range(draw(st.integers(1, 5))):
        hold = draw(st.integers(1, 100))
        stage: dict[str, Tree] = {
            "name": f"s{number}",
            "users": draw(st.integers(1, 5000)),
            "ramp": f"{draw(st.integers(0, 60))}s",
            "hold": f"{hold}s",
        }
        stages.append(stage)
        if draw(st.booleans()):
            after = draw(st.integers(0, hold - 1))
            fault: dict[str, Tree] = {"toxic": "down", "on": "front", "during": f"s{number}", "after": f"{after}s"}
            fault["name"] = f"f{number}"
            if draw(st.booleans()):
                fault["for"] = f"{draw(st.integers(1, hold - after))}s"
            faults.append(fault)
    document = {**whole(), "stages": stages, "faults": faults, "budget": ["p95 < 1s"], "questions": ["budget"]}
    return from_document(document, base_dir=".")


def at(found: Plan, kind: type) -> list[int]:
    """When actions of a kind are due."""
    return [step.at_ns for step in found.steps if isinstance(step.action, kind)]


@settings(deadline=None)
@given(experiments())
def test_every_fault_is_healed_inside_its_stage(experiment: Experiment) -> None:
    """Each Inject has one later Heal, after the hold began and no later than the stage's end."""
    found = plan(experiment)
    ends = {step.action.stage.name: step.action for step in found.steps if isinstance(step.action, EnterStage)}
    injected = {step.action.fault.name: step.at_ns for step in found.steps if isinstance(step.action, Inject)}
    healed = {step.action.fault.name: step.at_ns for step in found.steps if isinstance(step.action, Heal)}
    assert len(at(found, Inject)) == len(at(found, Heal)) == len(experiment.faults)
    for fault in experiment.faults:
        stage, from_ns, to_ns = ends[fault.stage], injected[fault.name], healed[fault.name]
        assert stage.hold_at_ns <= from_ns < to_ns <= stage.ends_at_ns <= found.total_ns
        assert to_ns - from_ns == fault.hold_ns


@settings(deadline=None)
@given(experiments())
def test_steps_are_in_order_and_end_with_finish(experiment: Experiment) -> None:
    """Time never goes back; Finish is the last instant, after every Heal, and the stages fill the run."""
    found = plan(experiment)
    times = [step.at_ns for step in found.steps]
    assert times == sorted(times)
    assert isinstance(found.steps[-1].action, Finish)
    assert at(found, Finish) == [found.total_ns]
    assert found.total_ns == sum(stage.ramp_ns + stage.hold_ns for stage in experiment.stages)


@settings(deadline=None)
@given(experiments())
def test_the_users_follow_one_unbroken_line(experiment: Experiment) -> None:
    """Each ramp begins where the one before ended, and the line has reached the stage's users when the hold begins."""
    found = plan(experiment)
    loads = [step.action for step in found.steps if isinstance(step.action, SetLoad)]
    assert [load.level_from for load in loads] == [0, *(load.level_to for load in loads[:-1])]
    for step in found.steps:
        if isinstance(step.action, EnterStage):
            assert level_at(found, step.action.hold_at_ns) == step.action.stage.users
            assert level_at(found, step.action.ends_at_ns - 1) == step.action.stage.users


def test_the_steps_of_a_known_experiment() -> None:
    """The whole plan of the example, written out."""
    found = plan(from_document(whole(), base_dir="."))
    steps = [(step.at_ns // NS_PER_S, type(step.action).__name__) for step in found.steps]
    assert steps == [
        (0, "EnterStage"), (0, "SetLoad"),
        (10, "EnterStage"), (10, "SetLoad"),
        (50, "EnterStage"), (50, "SetLoad"),
        (65, "Inject"), (80, "Heal"), (80, "Inject"), (90, "Heal"),
        (90, "Finish"),
    ]  # fmt: skip
    assert level_at(found, 15 * NS_PER_S) == 75.0
    assert level_at(found, 15 * NS_PER_S + 1) > 75.0
