"""The plan: who does what at which instant, as a value that can be printed before anything runs.

users  |            ____ level-500
       |     ______/
       |    /  hold          <- a stage is a ramp, then a hold; only the hold is measured
       |___/______________ t
          ^ EnterStage + SetLoad          ^ Inject ... Heal (offsets count from the start of the hold)
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.experiment import Experiment, Fault, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterStage:
    """A stage begins: its ramp starts now and its hold at `hold_at_ns`."""

    stage: Stage
    hold_at_ns: int
    ends_at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLoad:
    """Move from one number of users to another on a straight line."""

    users_from: int
    users_to: int
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
    at_ns, users = 0, 0
    for stage in experiment.stages:
        hold_at_ns = at_ns + stage.ramp_ns
        ends_at_ns = hold_at_ns + stage.hold_ns
        steps.append(Step(at_ns=at_ns, action=EnterStage(stage=stage, hold_at_ns=hold_at_ns, ends_at_ns=ends_at_ns)))
        steps.append(Step(at_ns=at_ns, action=SetLoad(users_from=users, users_to=stage.users, ramp_ns=stage.ramp_ns)))
        for fault in experiment.faults:
            if fault.stage == stage.name:
                inject_at_ns = hold_at_ns + fault.after_ns
                heal_at_ns = min(inject_at_ns + fault.hold_ns, ends_at_ns)
                steps.append(Step(at_ns=inject_at_ns, action=Inject(fault=fault)))
                steps.append(Step(at_ns=heal_at_ns, action=Heal(fault=fault)))
        at_ns, users = ends_at_ns, stage.users
    steps.append(Step(at_ns=at_ns, action=Finish()))
    steps.sort(key=lambda step: (step.at_ns, _ORDER[type(step.action)]))
    return Plan(steps=tuple(steps), total_ns=at_ns)


def users_at(plan_: Plan, at_ns: int) -> float:
    """How many users the ramp line wants at an instant (a real number: the line is continuous)."""
    wanted = 0.0
    for step in plan_.steps:
        if step.at_ns > at_ns:
            break
        if isinstance(step.action, SetLoad):
            load = step.action
            share = 1.0 if load.ramp_ns == 0 else min(1.0, (at_ns - step.at_ns) / load.ramp_ns)
            wanted = load.users_from + (load.users_to - load.users_from) * share
    return wanted
