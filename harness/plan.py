"""The plan: who does what at which instant, as a value that can be printed before anything runs.

load   |            ____ level-500
       |     ______/
       |    /  hold          <- a stage is a ramp, then a hold; only the hold is measured
       |___/______________ t
          ^ EnterStage + SetLoad          ^ Inject ... Heal (offsets count from the start of the hold)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from harness.experiment import Experiment, Fault, LoadUnit, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterStage:
    """A stage begins: its ramp starts now and its hold at `hold_at_ns`."""

    stage: Stage
    hold_at_ns: int
    ends_at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLoad:
    """Move from one number of users, or arrivals a second, to another on a straight line."""

    unit: LoadUnit
    level_from: float
    level_to: float
    ramp_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inject:
    """Put a fault in force."""

    fault: Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Heal:
    """Take a fault back."""

    fault: Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The last stage is over."""


Action = EnterStage | SetLoad | Inject | Heal | Finish

# At one instant: take back before putting in force, and both before the load moves.
_ORDER: dict[type, int] = {Heal: 0, Finish: 1, EnterStage: 2, SetLoad: 3, Inject: 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An action and when it is due, in nanoseconds from the start of the first stage."""

    at_ns: int
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps in the order they are due; every Inject has its Heal before Finish."""

    steps: tuple[Step, ...]
    total_ns: int


def plan(experiment: Experiment) -> Plan:
    """The timeline of `experiment`. Faults that outlast their stage were refused by the loader."""
    steps: list[Step] = []
    at_ns, level = 0, 0.0
    for stage in experiment.stages:
        hold_at_ns = at_ns + stage.ramp_ns
        ends_at_ns = hold_at_ns + stage.hold_ns
        steps.append(Step(at_ns=at_ns, action=EnterStage(stage=stage, hold_at_ns=hold_at_ns, ends_at_ns=ends_at_ns)))
        steps += _lines(stage, at_ns, level)
        for fault in experiment.faults:
            if fault.stage == stage.name:
                inject_at_ns = hold_at_ns + fault.after_ns
                heal_at_ns = min(inject_at_ns + fault.hold_ns, ends_at_ns)
                steps.append(Step(at_ns=inject_at_ns, action=Inject(fault=fault)))
                steps.append(Step(at_ns=heal_at_ns, action=Heal(fault=fault)))
        at_ns, level = ends_at_ns, stage.level
    steps.append(Step(at_ns=at_ns, action=Finish()))
    steps.sort(key=lambda step: (step.at_ns, _ORDER[type(step.action)]))
    return Plan(steps=tuple(steps), total_ns=at_ns)


def _lines(stage: Stage, at_ns: int, level: float) -> Iterator[Step]:
    """The straight lines of a stage: one, or one between each two points of its curve and a last that stays."""
    if not stage.curve:
        line = SetLoad(unit=stage.unit, level_from=level, level_to=stage.level, ramp_ns=stage.ramp_ns)
        yield Step(at_ns=at_ns, action=line)
        return
    for (from_ns, start), (to_ns, end) in pairwise(stage.curve):
        line = SetLoad(unit=stage.unit, level_from=start, level_to=end, ramp_ns=to_ns - from_ns)
        yield Step(at_ns=at_ns + from_ns, action=line)


def level_at(plan_: Plan, at_ns: int) -> float:
    """How many users, or arrivals a second, the line wants at an instant (a real number: it is continuous)."""
    wanted = 0.0
    for step in plan_.steps:
        if step.at_ns > at_ns:
            break
        if isinstance(step.action, SetLoad):
            load = step.action
            share = 1.0 if load.ramp_ns == 0 else min(1.0, (at_ns - step.at_ns) / load.ramp_ns)
            wanted = load.level_from + (load.level_to - load.level_from) * share
    return wanted
