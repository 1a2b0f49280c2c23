"""The plan for a person, before anything is touched: what happens when, what it may hurt, what it can decide.

stage        role     users       from  ramp  hold     to
level-500    stress   100 -> 500   50s   10s   30s  1m30s
  ! slow-db  latency  on front    1m5s         15s  1m20s  undo: removes the toxic
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.experiment import Experiment, Fault, Limit, Stage
from harness.loader.catalogue import Kind, find
from harness.loader.limits import samples_to_decide
from harness.plan import EnterStage, Heal, Inject, Plan, users_at
from harness.units import NS_PER_S, format_duration, format_percent

WIDTH = 100
_LABEL = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A stage with its instants on the run clock."""

    stage: Stage
    from_ns: int
    hold_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _InForce:
    """A fault with its instants on the run clock."""

    fault: Fault
    from_ns: int
    to_ns: int


def timeline(
    experiment: Experiment, plan: Plan, *, rate_per_user_s: float | None = None, kinds: Iterable[Kind] = ()
) -> str:
    """The whole text, at most 100 columns. `rate_per_user_s` (requests a second of one user) adds what it implies."""
    stages = _stages(plan)
    faults = _faults(plan)
    blocks = [
        textwrap.wrap(f"{experiment.name}: {experiment.why}", WIDTH),
        _table(_stage_rows(stages, faults, tuple(kinds))),
        _bars(plan, stages, faults),
        _sums(experiment, plan, stages, rate_per_user_s),
        _blast(faults, plan),
        _limits(experiment, stages, faults, rate_per_user_s),
    ]
    return "\n\n".join("\n".join(_fit(line) for line in block) for block in blocks if block) + "\n"


def user_seconds(plan: Plan) -> float:
    """The area under the line of users: ramps count by their mean."""
    edges = sorted({0, plan.total_ns, *(at for stage in _stages(plan) for at in (stage.from_ns, stage.hold_ns))})
    area = 0.0
    for start_ns, end_ns in pairwise(edges):
        middle_ns = (start_ns + end_ns) // 2
        area += users_at(plan, middle_ns) * (end_ns - start_ns) / NS_PER_S
    return area


def _stages(plan: Plan) -> tuple[_Held, ...]:
    return tuple(
        _Held(stage=step.action.stage, from_ns=step.at_ns, hold_ns=step.action.hold_at_ns, to_ns=step.action.ends_at_ns)
        for step in plan.steps
        if isinstance(step.action, EnterStage)
    )


def _faults(plan: Plan) -> tuple[_InForce, ...]:
    ends = {step.action.fault.name: step.at_ns for step in plan.steps if isinstance(step.action, Heal)}
    return tuple(
        _InForce(fault=step.action.fault, from_ns=step.at_ns, to_ns=ends[step.action.fault.name])
        for step in plan.steps
        if isinstance(step.action, Inject)
    )


def _stage_rows(stages: Sequence[_Held], faults: Sequence[_InForce], kinds: tuple[Kind, ...]) -> list[list[str]]:
    rows = [["stage", "role", "users", "from", "ramp", "hold", "to", ""]]
    before = 0
    for held in stages:
        stage = held.stage
        users = f"{stage.users:,}" if before == stage.users else f"{before:,} -> {stage.users:,}"
        spans = [format_duration(span) if span else "-" for span in (stage.ramp_ns, stage.hold_ns)]
        rows.append([stage.name, stage.role, users, _at(held.from_ns), *spans, _at(held.to_ns), ""])
        rows += [_fault_row(each, kinds) for each in faults if each.fault.stage == stage.name]
        before = stage.users
    return rows


def _fault_row(each: _InForce, kinds: tuple[Kind, ...]) -> list[str]:
    fault = each.fault
    kind = find(fault.driver, fault.kind, kinds)
    undo = f"undo: {kind.undo}" if kind else ""
    held = format_duration(each.to_ns - each.from_ns)
    return [f"  ! {fault.name}", fault.kind, f"on {fault.on}", _at(each.from_ns), "", held, _at(each.to_ns), undo]


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = {3, 4, 5, 6}
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _bars(plan: Plan, stages: Sequence[_Held], faults: Sequence[_InForce]) -> list[str]:
    """The run from left to right: names of stages, / \\ ramps and = holds, and each fault as a bar beneath."""
    columns = WIDTH - _LABEL - 3
    middles = [plan.total_ns * (2 * column + 1) // (2 * columns) for column in range(columns)]
    names = [" "] * columns
    for held in stages:
        start, end = (at_ns * columns // plan.total_ns for at_ns in (held.from_ns, held.to_ns))
        names[start:end] = f"{_short(held.stage.name, max(1, end - start - 1)):{end - start}}"[: end - start]
    load = "".join(
        next((_shape(held, plan, at) for held in stages if held.from_ns <= at < held.to_ns), " ") for at in middles
    )
    lines = [f"{'':{_LABEL}}  {''.join(names)}".rstrip(), f"{'load':{_LABEL}} |{load}|"]
    for each in faults:
        bar = "".join("!" if each.from_ns <= at_ns < each.to_ns else " " for at_ns in middles)
        if "!" not in bar:  # shorter than a column, yet it must be seen
            column = min(columns - 1, each.from_ns * columns // plan.total_ns)
            bar = " " * column + "!" + " " * (columns - column - 1)
        lines.append(f"{_short(each.fault.name, _LABEL):{_LABEL}} |{bar}|")
    end_of_run = format_duration(plan.total_ns)
    return [*lines, f"{'':{_LABEL}}  0{end_of_run:>{columns - 1}}"]


def _shape(held: _Held, plan: Plan, at_ns: int) -> str:
    if at_ns >= held.hold_ns:
        return "="
    return "\\" if users_at(plan, held.from_ns) > held.stage.users else "/"


def _sums(experiment: Experiment, plan: Plan, stages: Sequence[_Held], rate_per_user_s: float | None) -> list[str]:
    area = user_seconds(plan)
    most = max(held.stage.users for held in stages)
    lines = [
        f"total time   {format_duration(plan.total_ns)}, {_count(len(stages), 'stage')}, at most {most:,} users",
        f"user-seconds {area:,.0f}",
        f"traffic      {experiment.traffic.scenario} to {experiment.traffic.target}",
    ]
    if rate_per_user_s is not None:
        total, peak = area * rate_per_user_s, most * rate_per_user_s
        lines.insert(2, f"requests     about {total:,.0f}, at most {peak:,.0f}/s ({rate_per_user_s:g}/s for each user)")
    return lines


def _blast(faults: Sequence[_InForce], plan: Plan) -> list[str]:
    """Worst case: what is hit, by how much at once, and for how long."""
    if not faults:
        return ["blast radius no faults: only load reaches the target"]
    edges = sorted({at for each in faults for at in (each.from_ns, each.to_ns)})
    spans = list(pairwise(edges))
    active = [sum(each.from_ns <= start < each.to_ns for each in faults) for start, _ in spans]
    under_ns = sum(end - start for (start, end), count in zip(spans, active, strict=True) if count)
    things = ", ".join(dict.fromkeys(each.fault.on for each in faults))
    return [
        f"blast radius hits {things}",
        f"             {_count(len(faults), 'fault')}, at most {max(active)} at once,"
        f" in force for {format_duration(under_ns)}"
        f" ({format_percent(under_ns / plan.total_ns)} of the run)",
    ]


def _limits(
    experiment: Experiment, stages: Sequence[_Held], faults: Sequence[_InForce], rate_per_user_s: float | None
) -> list[str]:
    rows = []
    for number, limit in enumerate(experiment.budget):
        decides = "" if rate_per_user_s is None else _decides(experiment, limit, stages, faults, rate_per_user_s)
        rows.append(["must hold" if number == 0 else "", limit.text, decides])
    for number, limit in enumerate(experiment.abort):
        rows.append(["ends the run" if number == 0 else "", limit.text, ""])
    width = min(52, max((len(row[1]) for row in rows), default=0))
    lines = [f"{row[0]:12} {row[1]:{width}}  {row[2]}".rstrip() for row in rows]
    if any(not limit.scope for limit in experiment.budget):
        lines.append(f"{'':12} (a limit without 'in' holds in every stage but warm-up, each for itself)")
    return lines


def _decides(
    experiment: Experiment,
    limit: Limit,
    stages: Sequence[_Held],
    faults: Sequence[_InForce],
    rate_per_user_s: float,
) -> str:
    """Whether the fewest requests of any of the limit's windows suffice to prove it."""
    needed = samples_to_decide(limit)
    if needed is None:
        return ""
    users = {held.stage.name: held.stage.users for held in stages}
    spans = [(stage.users, stage.hold_ns) for stage in experiment.stages_in(limit.scope)]
    spans += [(users[each.fault.stage], each.to_ns - each.from_ns) for each in faults if each.fault.name in limit.scope]
    least = min((count * span_ns / NS_PER_S * rate_per_user_s for count, span_ns in spans), default=0.0)
    word = "decidable" if least >= needed else "TOO FEW"
    return f"{word}: {least:,.0f} requests, {needed:,} needed"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _at(at_ns: int) -> str:
    return format_duration(at_ns) if at_ns else "0s"


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "~"


def _fit(line: str) -> str:
    return _short(line, WIDTH)
