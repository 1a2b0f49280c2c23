"""The plan for a person, before anything is touched: what happens when, what it may hurt, what it can decide.

stage        role     users        from  ramp  hold     to
level-500    stress   100 -> 500    50s   10s   30s  1m30s
  ! slow-db  latency  on front    1m05s         15s  1m20s

healing      toxic latency: removes the toxic
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.blast_radius import limits
from harness.declared import in_words
from harness.experiment import Experiment, Fault, Limit, Stage
from harness.loader.catalogue import Kind, find
from harness.loader.limits import samples_to_decide
from harness.plan import EnterStage, Heal, Inject, Plan, SetLoad, level_at
from harness.units import NS_PER_MS, NS_PER_S, NS_PER_US, format_duration, format_load, format_percent

WIDTH = 100
LEAST_WIDTH = 72
_LABEL = 18
_INDENT = 13
_LEAST_NAME = 12
# Of equal repetitions only the first and the last are told when they are more than so many.
_MOST_TOLD = 12
# Of a curve with more different levels only the ends and the peak are told.
_MOST_CORNERS = 3


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
    experiment: Experiment,
    plan: Plan,
    *,
    rate_per_user_s: float | None = None,
    kinds: Iterable[Kind] = (),
    width: int = WIDTH,
) -> str:
    """The whole text in `width` columns (72 to 100). `rate_per_user_s`: requests a second of one user."""
    width = max(LEAST_WIDTH, min(WIDTH, width))
    stages = _stages(plan)
    faults = _faults(plan)
    blocks = [
        textwrap.wrap(f"{experiment.name}: {experiment.why}", width),
        _table(_stage_rows(stages, faults), width),
        _bars(plan, stages, faults, width),
        _sums(experiment, plan, stages, rate_per_user_s, width),
        _healing(faults, tuple(kinds), width),
        [
            *_blast(faults, plan, width),
            *(line for label, text in limits(experiment, plan) for line in _labelled(label, text, width)),
        ],
        _limits(experiment, plan, stages, faults, rate_per_user_s, width),
    ]
    return "\n\n".join("\n".join(_short(line, width) for line in block) for block in blocks if block) + "\n"


def user_seconds(plan: Plan) -> float:
    """The area under the line of users: ramps count by their mean."""
    return _area(plan, 0, plan.total_ns)


def _area(plan: Plan, start_ns: int, end_ns: int) -> float:
    """Of a span under the line: user-seconds, or how many arrive."""
    lines = [(step.at_ns, step.at_ns + step.action.ramp_ns) for step in plan.steps if isinstance(step.action, SetLoad)]
    corners = {at_ns for line in lines for at_ns in line if start_ns < at_ns < end_ns}
    area = 0.0
    for left_ns, right_ns in pairwise(sorted({start_ns, end_ns, *corners})):
        middle_ns = (left_ns + right_ns) // 2
        area += level_at(plan, middle_ns) * (right_ns - left_ns) / NS_PER_S
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


def _stage_rows(stages: Sequence[_Held], faults: Sequence[_InForce]) -> list[list[str]]:
    rows = [["stage", "role", stages[0].stage.unit, "from", "ramp", "hold", "to"]]
    before = 0.0
    for held in stages:
        stage = held.stage
        spans = [format_duration(span) if span else "-" for span in (stage.ramp_ns, stage.hold_ns)]
        rows.append([stage.name, stage.role, _course(stage, before), _at(held.from_ns), *spans, _at(held.to_ns)])
        rows += _fault_rows([each for each in faults if each.fault.stage == stage.name])
        before = stage.level
    return rows


def _course(stage: Stage, before: float) -> str:
    """From which level to which; of a curve its corners, or when they are many its ends and its peak."""
    levels = [level for _, level in stage.curve] or [before, stage.level]
    levels = [level for index, level in enumerate(levels) if index == 0 or level != levels[index - 1]]
    if len(levels) > _MOST_CORNERS:
        return f"{_level(levels[0], stage)} -> {_level(levels[-1], stage)}, peak {_level(stage.peak, stage)}"
    return " -> ".join(_level(level, stage) for level in levels)


def _level(level: float, stage: Stage) -> str:
    return format_load(level, stage.unit).removesuffix(" users")


def _fault_rows(faults: Sequence[_InForce]) -> list[list[str]]:
    """A row for each in order of time; of many equal repetitions only the first and the last."""
    rows = []
    for each in faults:
        group = [other for other in faults if each.fault.group and other.fault.group == each.fault.group]
        if len(group) > _MOST_TOLD and _regular(group):
            if each is group[1]:
                gap = format_duration(group[1].from_ns - group[0].from_ns)
                rows.append([f"  ! {len(group) - 2} more", each.fault.kind, f"every {gap}", "", "", "", ""])
            if each not in (group[0], group[-1]):
                continue
        rows.append(_fault_row(each))
    return rows


def _regular(group: Sequence[_InForce]) -> bool:
    """Whether these are one fault again and again."""
    gaps = {second.from_ns - first.from_ns for first, second in pairwise(group)}
    kinds = {(each.fault.driver, each.fault.kind, each.fault.on, each.fault.hold_ns) for each in group}
    return len(gaps) == len(kinds) == 1


def _fault_row(each: _InForce) -> list[str]:
    fault, held = each.fault, format_duration(each.to_ns - each.from_ns)
    return [f"  ! {fault.name}", fault.kind, f"on {fault.on}", _at(each.from_ns), "", held, _at(each.to_ns)]


def _table(rows: list[list[str]], width: int) -> list[str]:
    """The rows in columns. A name that finds no room stands on a line of its own, above the rest of its row."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    room = width - sum(widths[3:]) - widths[1] - 2 * (len(widths) - 1)
    if widths[0] + widths[2] > room:
        users = max(len(row[2]) for row in rows if not row[0].startswith("  !"))
        names = max(_LEAST_NAME, room - max(users, min(widths[2], room // 2)))
        widths[0] = max(len(row[0]) for row in rows if len(row[0]) <= names)
        widths[2] = max(users, min(widths[2], room - widths[0]))
    lines = []
    for name, *cells in rows:
        fits = len(name) <= widths[0]
        lines += [] if fits else [name]
        texts = [name if fits else "", *(_short(cell, size) for cell, size in zip(cells, widths[1:], strict=True))]
        padded = [
            text.rjust(size) if column > 2 else text.ljust(size)
            for column, (text, size) in enumerate(zip(texts, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def _bars(plan: Plan, stages: Sequence[_Held], faults: Sequence[_InForce], width: int) -> list[str]:
    """The run from left to right: names of stages, / \\ ramps and = holds, and each fault as a bar beneath.

    Repetitions share one bar.
    """
    columns = width - _LABEL - 3
    middles = [plan.total_ns * (2 * column + 1) // (2 * columns) for column in range(columns)]
    names = [" "] * columns
    for held in stages:
        start, end = (at_ns * columns // plan.total_ns for at_ns in (held.from_ns, held.to_ns))
        names[start:end] = f"{_short(held.stage.name, max(1, end - start - 1)):{end - start}}"[: end - start]
    load = "".join(
        next((_shape(held, plan, at) for held in stages if held.from_ns <= at < held.to_ns), " ") for at in middles
    )
    lines = [f"{'':{_LABEL}}  {''.join(names)}".rstrip(), f"{'load':{_LABEL}} |{load}|"]
    bars: dict[str, list[str]] = {}
    for each in faults:
        bar = bars.setdefault(each.fault.group or each.fault.name, [" "] * columns)
        under = [column for column, at_ns in enumerate(middles) if each.from_ns <= at_ns < each.to_ns]
        for column in under or [min(columns - 1, each.from_ns * columns // plan.total_ns)]:  # a moment is seen too
            bar[column] = "!"
    lines += [f"{_short(name, _LABEL):{_LABEL}} |{''.join(bar)}|" for name, bar in bars.items()]
    end_of_run = format_duration(plan.total_ns)
    return [*lines, f"{'':{_LABEL}}  0{end_of_run:>{columns - 1}}"]


def _shape(held: _Held, plan: Plan, at_ns: int) -> str:
    if held.stage.curve:
        before, after = level_at(plan, max(held.from_ns, at_ns - NS_PER_MS)), level_at(plan, at_ns + NS_PER_MS)
        return "=" if before == after else "\\" if before > after else "/"
    if at_ns >= held.hold_ns:
        return "="
    return "\\" if level_at(plan, held.from_ns) > held.stage.level else "/"


def _sums(
    experiment: Experiment, plan: Plan, stages: Sequence[_Held], rate_per_user_s: float | None, width: int
) -> list[str]:
    area = user_seconds(plan)
    most = max(held.stage.peak for held in stages)
    told = f"{_count(len(stages), 'stage')}, at most {format_load(most, experiment.unit)}"
    lines = [
        f"total time   {format_duration(plan.total_ns)}, {told}",
        f"user-seconds {area:,.0f}",
        *_traffic(experiment, width),
    ]
    if experiment.unit == "rate":
        lines[1:2] = _arrivals(experiment, area, most, width)
    elif rate_per_user_s is not None:
        total, peak = area * rate_per_user_s, most * rate_per_user_s
        lines.insert(2, f"requests     about {total:,.0f}, at most {peak:,.0f}/s ({rate_per_user_s:g}/s for each user)")
    return [*lines, *_drawn(experiment, width)]


def _traffic(experiment: Experiment, width: int) -> Iterator[str]:
    """Whose users, and to where; of declared traffic what will be sent."""
    traffic = experiment.traffic
    yield f"traffic      {traffic.scenario or 'declared'} to {traffic.target}"
    for label, text in in_words(traffic.declared) if traffic.declared else ():
        yield from _labelled(f"  {label}", text, width)


def _arrivals(experiment: Experiment, area: float, most: float, width: int) -> Iterator[str]:
    """How many iterations begin, and how many users that keeps busy at the budget's limits (Little's law)."""
    traffic = experiment.traffic
    each = 1.0 if traffic.declared is None else traffic.declared.requests_per_iteration
    requests = f", {area * each:,.0f} requests" if traffic.declared is not None else ""
    yield f"iterations   about {area:,.0f}{requests}, {traffic.arrivals} arrivals"
    limits = [limit for limit in experiment.budget if limit.unit == "us" and limit.op in ("<", "<=")]
    spans = sorted({round(limit.bound * NS_PER_US) for limit in limits})
    needed = [f"{math.ceil(most * span / NS_PER_S):,} if an iteration takes {format_duration(span)}" for span in spans]
    text = f"{', '.join(needed[:3])}; " if needed else ""
    yield from _labelled("users busy", f"{text}at most {traffic.max_users:,} (Little's law: rate x time)", width)


def _drawn(experiment: Experiment, width: int) -> list[str]:
    """What chance decides, and the seed with which it is decided the same way again."""
    written = experiment.document.get("faults")
    entries = written if isinstance(written, Sequence) else ()
    schedules = [each.get("name", "random") for each in entries if isinstance(each, Mapping) and "random" in each]
    counts = [f"{name} ({_count(len(experiment.faults_in((str(name),))), 'fault')})" for name in schedules]
    chosen = dict.fromkeys(fault.on for fault in experiment.faults if fault.select and fault.select.mode != "all")
    if not counts and not chosen:
        return [f"seed         {experiment.seed}"]
    what = [*counts, *(f"which of {on}" for on in chosen)]
    return _labelled("drawn with", f"seed {experiment.seed}: {', '.join(what)}", width)


def _healing(faults: Sequence[_InForce], kinds: tuple[Kind, ...], width: int) -> list[str]:
    """How each kind is taken back, and what is not."""
    lines: list[str] = []
    undone = {(each.fault.driver, each.fault.kind): kind for each in faults if (kind := _undone(each.fault, kinds))}
    for kind in undone.values():
        lines += _labelled("" if lines else "healing", f"{kind.key} {kind.name}: {kind.undo}", width)
    for name in dict.fromkeys(each.fault.group or each.fault.name for each in faults if _slow(each.fault)):
        text = f"{name} may take longer to come into force than it is to last: it is healed once it is in force"
        lines += _labelled("slow", text, width)
    accepted = dict.fromkeys(
        f"{each.fault.group or each.fault.name} ({each.fault.kind} on {each.fault.on})"
        for each in faults
        if each.fault.irreversible
    )
    if accepted:
        lines += _labelled("IRREVERSIBLE", f"accepted for {', '.join(accepted)}", width)
    return lines


def _slow(fault: Fault) -> bool:
    """Whether a step of the user's own may outlast the fault."""
    timeout = fault.params.get("timeout") if fault.driver in {"command", "http"} else None
    return isinstance(timeout, int) and timeout * NS_PER_MS > fault.hold_ns


def _undone(fault: Fault, kinds: tuple[Kind, ...]) -> Kind | None:
    """Its kind, when that says how it is taken back and the fault left nothing out that is needed for it."""
    kind = find(fault.driver, fault.kind, kinds)
    if kind is None or not kind.undo:
        return None
    needed = (param.name for param in kind.params if param.required_unless_irreversible)
    return kind if all(name in fault.params for name in needed) else None


def _labelled(label: str, text: str, width: int) -> list[str]:
    """A text beside its label, on as many lines as it needs."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=f"{label:{_INDENT}}",
        subsequent_indent=" " * _INDENT,
        break_on_hyphens=False,
    )


def _blast(faults: Sequence[_InForce], plan: Plan, width: int) -> list[str]:
    """Worst case: what is hit, by how much at once, and for how long."""
    if not faults:
        return ["blast radius no faults: only load reaches the target"]
    edges = sorted({at for each in faults for at in (each.from_ns, each.to_ns)})
    spans = list(pairwise(edges))
    active = [sum(each.from_ns <= start < each.to_ns for each in faults) for start, _ in spans]
    under_ns = sum(end - start for (start, end), count in zip(spans, active, strict=True) if count)
    things = ", ".join(dict.fromkeys(each.fault.on for each in faults))
    share = format_percent(under_ns / plan.total_ns)
    sums = f"{_count(len(faults), 'fault')}, at most {max(active)} at once, in force for {format_duration(under_ns)}"
    return [*_labelled("blast radius", f"hits {things}", width), *_labelled("", f"{sums} ({share} of the run)", width)]


def _limits(
    experiment: Experiment,
    plan: Plan,
    stages: Sequence[_Held],
    faults: Sequence[_InForce],
    rate_per_user_s: float | None,
    width: int,
) -> list[str]:
    rows = []
    # An iteration makes at least one request, so a rate tells without a scenario what can be decided.
    per_level_s = 1.0 if experiment.unit == "rate" else rate_per_user_s
    for number, limit in enumerate(experiment.budget):
        declared = experiment.traffic.declared
        each_s = per_level_s and per_level_s * (declared.judged(limit.of, experiment.unit) if declared else 1.0)
        decides = "" if each_s is None else _decides(experiment, plan, limit, stages, faults, each_s)
        rows.append(["must hold" if number == 0 else "", limit.text, decides])
    for number, limit in enumerate(experiment.abort):
        rows.append(["ends the run" if number == 0 else "", limit.text, ""])
    size = min(width - 48, max((len(row[1]) for row in rows), default=0))
    lines = []
    for label, text, decides in rows:
        if len(text) > size and decides:
            lines += [*_labelled(label, text, width), *_labelled("", f"  {decides}", width)]
        else:
            lines += _labelled(label, f"{text:{size}}  {decides}".rstrip(), width)
    if any(not limit.scope for limit in experiment.budget):
        lines += _labelled("", "(a limit without 'in' holds in every stage but warm-up, each for itself)", width)
    return lines


def _decides(
    experiment: Experiment,
    plan: Plan,
    limit: Limit,
    stages: Sequence[_Held],
    faults: Sequence[_InForce],
    per_level_s: float,
) -> str:
    """Whether the fewest requests of any of the limit's windows suffice to prove it."""
    needed = samples_to_decide(limit)
    if needed is None:
        return ""
    measured, named = experiment.stages_in(limit.scope), experiment.faults_in(limit.scope)
    spans = [(held.hold_ns, held.to_ns) for held in stages if held.stage in measured]
    spans += [(each.from_ns, each.to_ns) for each in faults if each.fault in named]
    least = min((_area(plan, start_ns, end_ns) * per_level_s for start_ns, end_ns in spans), default=0.0)
    word = "decidable" if least >= needed else "TOO FEW"
    return f"{word}: {least:,.0f} requests, {needed:,} needed"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _at(at_ns: int) -> str:
    return format_duration(at_ns) if at_ns else "0s"


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "~"
