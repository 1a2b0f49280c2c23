"""The stages of load: of users or of a rate, with a straight ramp or a curve, written out or as a ladder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from harness.experiment import MEASURED_ROLES, Limit, LoadUnit, Stage, TrafficSpec
from harness.loader import document as shapes
from harness.loader.problems import Path, Problems
from harness.loader.sections import Placed
from harness.units import NS_PER_S, format_duration, format_rate

LEVELS = ("users", "rate", "curve")
# A pool with no limit of its own holds everybody who may be waiting for a time limit, within what one host can carry.
MOST_DEFAULT_USERS = 10_000


def read_stage(value: object, path: Path, problems: Problems) -> Stage | None:
    """One stage."""
    shape = shapes.read(shapes.StageShape, value, path, problems)
    if shape is None:
        return None
    given = [key for key in LEVELS if getattr(shape, key) is not None]
    if len(given) != 1:
        got = " and ".join(given) or "none of them"
        problems.add(path, f"expected one of users, rate and curve, got {got}")
        return None
    if shape.curve is not None:
        return _curved(shape, shape.curve, value, path, problems)
    if shape.hold is None:
        problems.add((*path, "hold"), "this key is required, and missing")
        return None
    return Stage(
        name=shape.name,
        role=shape.role,
        users=shape.users or 0,
        ramp_ns=shape.ramp or 0,
        hold_ns=shape.hold,
        unit="users" if shape.rate is None else "rate",
        rate=shape.rate or 0.0,
    )


def _curved(
    shape: shapes.StageShape, curve: tuple[tuple[int, float], ...], value: object, path: Path, problems: Problems
) -> Stage | None:
    if shape.ramp is not None:
        problems.add((*path, "ramp"), "a curve is the ramp; write one of the two")
        return None
    length_ns, level = curve[-1]
    written = value["curve"] if isinstance(value, Mapping) else [[0, 0]]
    unit: LoadUnit = "rate" if isinstance(written[0][1], str) else "users"
    return Stage(
        name=shape.name,
        role=shape.role,
        users=int(level) if unit == "users" else 0,
        ramp_ns=0 if shape.hold is None else length_ns,
        hold_ns=length_ns if shape.hold is None else shape.hold,
        unit=unit,
        rate=level if unit == "rate" else 0.0,
        curve=curve,
    )


def read_ladder(value: object, path: Path, problems: Problems) -> tuple[Placed[Stage], ...]:
    """The stages that the short form stands for: warm (when it has a warm-up), then level-<users> or rate-<n> each."""
    shape = shapes.read(shapes.LadderShape, value, path, problems)
    if shape is None:
        return ()
    if (shape.users is None) == (shape.rate is None):
        problems.add(path, f"expected one of users and rate, got {'neither' if shape.users is None else 'both'}")
        return ()
    level = Stage(name="", role="stress", ramp_ns=shape.ramp, hold_ns=shape.hold)
    levels = [
        *(replace(level, name=f"level-{users}", users=users) for users in shape.users or ()),
        *(replace(level, name=_rate_name(rate), unit="rate", rate=rate) for rate in shape.rate or ()),
    ]
    key = "users" if shape.users else "rate"
    placed = tuple(Placed(path=(*path, key, number), value=stage) for number, stage in enumerate(levels))
    if not shape.warmup:
        return placed
    warm = replace(levels[0], name="warm", role="warmup", hold_ns=shape.warmup)
    return (Placed(path=(*path, "warmup"), value=warm), *placed)


def _rate_name(rate: float) -> str:
    """rate-500 for 500/s, rate-50-min for 50/min."""
    number, _, unit = format_rate(rate).replace(",", "").partition("/")
    return f"rate-{number}" if unit == "s" else f"rate-{number}-{unit}"


def in_words(stage: Stage) -> str:
    """Its level as people write it: 500 or 500/s."""
    return format_rate(stage.rate) if stage.unit == "rate" else f"{stage.users:,}"


def check_stages(stages: Sequence[Placed[Stage]], problems: Problems) -> None:
    """Something is measured, under some load, and all stages count it in one unit."""
    measured = [stage for stage in stages if stage.value.role in MEASURED_ROLES]
    if not measured:
        problems.add(("stages",), f"nothing is measured: expected a stage with a role of {', '.join(MEASURED_ROLES)}")
    if measured and all(stage.value.peak == 0 for stage in measured):
        problems.add(measured[0].path, "no measured stage has any load, so there is nothing to judge")
    odd = next((stage for stage in stages if stage.value.unit != stages[0].value.unit), None)
    if odd is not None:
        problems.add(
            odd.path,
            f"{odd.value.name} counts its load in {_UNIT_WORDS[odd.value.unit]},"
            f" {stages[0].value.name} in {_UNIT_WORDS[stages[0].value.unit]}",
            hint="write all stages with users (each waits for its answers), or all with a rate (nobody waits)",
        )


_UNIT_WORDS = {"users": "users", "rate": "a rate of arrivals"}


def check_pool(
    written: object, traffic: TrafficSpec, stages: Sequence[Stage], budget: Iterable[Limit], problems: Problems
) -> TrafficSpec:
    """The traffic with its `max_users`; what only an open model can have, and a pool too small for it, is a problem.

    Little's law (1961): users = rate x time. A pool that is used up while the budget still holds would measure itself.
    """
    keys = written if isinstance(written, Mapping) else {}
    if not stages or stages[0].unit == "users":
        for key in ("arrivals", "max_users"):
            if key in keys:
                problems.add(
                    ("traffic", key),
                    f"{key} needs a rate: these stages are in users",
                    hint="leave it out, or write rate: 100/s for users",
                )
        return traffic
    peak = max(stage.peak for stage in stages)
    if not traffic.max_users:
        most = math.ceil(peak * traffic.timeout_ns / NS_PER_S)
        return replace(traffic, max_users=min(max(most, 1), MOST_DEFAULT_USERS))
    allowed = [(limit.bound * 1000, limit.text) for limit in budget if limit.unit == "us" and limit.op in ("<", "<=")]
    if not allowed:
        return traffic
    bound_ns, text = min(allowed)
    needed = math.ceil(peak * bound_ns / NS_PER_S)
    if needed > traffic.max_users:
        longest = format_duration(traffic.max_users / peak * NS_PER_S)
        problems.add(
            ("traffic", "max_users"),
            f"{traffic.max_users:,} users carry {format_rate(peak)} only while an iteration takes at most {longest}"
            f" (Little's law: users = rate x time), and the budget allows {format_duration(bound_ns)} ({text})",
            hint=f"at least {needed:,}, or leave it out",
        )
    return traffic
