"""What every report for people says, in words, worked out once: the console, Markdown and HTML only lay it out.

All texts here have passed `escape.clean`; each layout still escapes them for its own language.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.evidence import Evidence, FaultSpan
from harness.evidence.intended import corners
from harness.reports import words
from harness.reports.escape import clean
from harness.reports.generator import GeneratorTold, generator_of
from harness.reports.target import Target, left_of, target_of
from harness.units import NS_PER_MS, NS_PER_S, format_load, format_rate
from harness.verdict import BreakingPoint, Finding, Outcome, Verdict

SYMBOLS: Mapping[Outcome, str] = {
    Outcome.PASS: "\N{CHECK MARK}",
    Outcome.FAIL: "\N{MULTIPLICATION X}",
    Outcome.INCONCLUSIVE: "?",
}
STATE_WORDS = {"good": "holds", "broke": "broke", "undecided": "undecided"}
_MOST_EXEMPLARS = 12
_SCOPE = re.compile(r"(?<=\S) (?:in|during) (?:(?! for ).)+")
_NAME = 60
_NO_BREAK = "\N{NO-BREAK SPACE}"
DIRTY = "TARGET LEFT DIRTY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the by-the-numbers table."""

    question: str
    metric: str
    place: str
    target: str
    actual: str
    interval: str
    outcome: Outcome
    miss: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRow:
    """A fault with its four edges (seconds from the start of the first stage) and its proof."""

    name: str
    what: str
    stage: str
    asked: str
    in_force: str
    heal_asked: str
    over: str
    felt: str
    proof: str
    troubles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A failed request that was kept."""

    due_ns: int
    at: str
    endpoint: str
    failure: str
    latency: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The whole report as words. Tables are tuples of rows of cells."""

    experiment: str
    hypothesis: str
    run: str
    started: str
    outcome: Outcome
    mood: Outcome
    """What colours the report: the outcome, but a failure when the target was left dirty."""
    word: str
    symbol: str
    headline: str
    target: Target
    key_facts: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    point: str
    point_because: str
    point_facts: tuple[tuple[str, str], ...]
    level_heads: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    generator: GeneratorTold
    faults: tuple[FaultRow, ...]
    undecided: tuple[str, ...]
    defects: tuple[tuple[str, str, str], ...]
    warnings: tuple[str, ...]
    samples: tuple[Sample, ...]
    samples_left_out: int
    commands: tuple[tuple[str, str], ...]
    provenance: tuple[tuple[str, str], ...]


def story(verdict: Verdict, evidence: Evidence) -> Story:
    """The report of a run in words."""
    rows = tuple(sorted(map(_row, verdict.findings), key=lambda row: _ORDER[row.outcome]))
    mood = Outcome.FAIL if verdict.dirty else verdict.outcome
    samples = tuple(_samples(evidence))
    return Story(
        experiment=clean(evidence.experiment.name, _NAME),
        hypothesis=clean(evidence.experiment.why, 1000),
        run=clean(evidence.header.run, _NAME),
        started=clean(evidence.header.wall, 40),
        outcome=verdict.outcome,
        mood=mood,
        word=DIRTY if verdict.dirty else verdict.outcome.value.upper(),
        symbol=SYMBOLS[mood],
        headline=headline(verdict, clean(evidence.header.run, _NAME)),
        target=target_of(verdict, evidence),
        key_facts=tuple(_key_facts(verdict, evidence)),
        rows=rows,
        point=point_sentence(verdict.breaking_point),
        point_because=clean(verdict.breaking_point.because) if verdict.breaking_point else "",
        point_facts=tuple(_point_facts(verdict.breaking_point)),
        level_heads=_level_heads(evidence),
        levels=tuple(_levels(verdict)),
        generator=generator_of(evidence),
        faults=tuple(_fault(fault, evidence) for fault in evidence.faults),
        undecided=tuple(undecided(verdict)),
        defects=tuple(_defects(evidence)),
        warnings=tuple(clean(warning) for warning in verdict.warnings),
        samples=tuple(sorted(samples[:_MOST_EXEMPLARS], key=lambda sample: sample.due_ns)),
        samples_left_out=max(0, len(samples) - _MOST_EXEMPLARS),
        commands=tuple(_commands(evidence)),
        provenance=tuple(_provenance(evidence)),
    )


_ORDER = {Outcome.FAIL: 0, Outcome.INCONCLUSIVE: 1, Outcome.PASS: 2}


def headline(verdict: Verdict, run: str) -> str:
    """The verdict's reason in one line; what was left on the target outranks it."""
    if verdict.dirty:
        names = [left_of(line)[0].partition(":")[0] for line in verdict.dirty]
        left = ", ".join([*names[:3], *([f"{len(names) - 3} more"] if len(names) > 3 else [])])
        rest = f"Apart from that: {verdict.outcome.value}." if verdict.findings else _reason(verdict)
        return f"{left} could not be taken back; type: harness heal --run {run}. {rest}"
    return _reason(verdict)


def _reason(verdict: Verdict) -> str:
    if not verdict.findings:
        return "Nothing was judged: there are no findings."
    worst = [finding for finding in verdict.findings if finding.outcome is verdict.outcome]
    total = len(verdict.findings)
    if verdict.outcome is Outcome.PASS:
        return f"All {total} findings hold." if total > 1 else "The one finding holds."
    return f"{_told(worst[0])}; {len(worst)} of {total} findings {_VERBS[verdict.outcome]}."


_VERBS = {Outcome.PASS: "hold", Outcome.FAIL: "fail", Outcome.INCONCLUSIVE: "are not decided"}


def _told(finding: Finding) -> str:
    """A finding in half a line: by how much it missed when it failed, else its reason."""
    if finding.question == "run":
        reason = clean(finding.because, 200)
        return reason[:1].upper() + reason[1:]
    subject, place = subject_of(finding), place_of(finding)
    missed = words.miss(finding.observed, finding.limit)
    if finding.outcome is Outcome.FAIL and missed:
        where = f" in {place}" if place else ""
        return f"{subject} broke{where}: {words.value(finding.observed, finding.unit)}, {missed}"
    # A reason ends with what would decide it; the figures before it stand in the table.
    return f"{subject}{f' ({place})' if place else ''}: {clean(finding.because.rpartition('; ')[2], 200)}"


def subject_of(finding: Finding) -> str:
    """What a finding is about; a limit's scope is left out where the finding's own place is told beside it."""
    subject = clean(finding.subject, 120)
    return _SCOPE.sub("", subject) if finding.question == "budget" and finding.where.stage else subject


def place_of(finding: Finding) -> str:
    """Where a finding looks, in words: level-500, POST /checkout, during slow-db."""
    where = finding.where
    parts = [clean(where.stage, 40), clean(where.endpoint, _NAME), clean(where.arm, 40)]
    parts.append(f"during {clean(where.fault, 40)}" if where.fault else "")
    return ", ".join(part for part in parts if part)


def undecided(verdict: Verdict) -> Iterator[str]:
    """What would decide each inconclusive finding: its reason says so. The same reason is told once."""
    found: dict[str, list[str]] = {}
    for finding in verdict.findings:
        if finding.outcome is Outcome.INCONCLUSIVE:
            place = place_of(finding)
            subject = f"{subject_of(finding)}{' in ' + place if place else ''}"
            found.setdefault(clean(finding.because), []).append(subject)
    for because, subjects in found.items():
        more = f" and {len(subjects) - 1} more" if len(subjects) > 1 else ""
        yield f"{subjects[0]}{more}: {because}"


def point_sentence(point: BreakingPoint | None) -> str:
    """The breaking point in one sentence; empty when nobody asked."""
    if point is None:
        return ""
    if point.status == "broke_at" and point.first_bad is not None:
        return f"{words.bracket(point.last_good, point.first_bad, clean(point.unit, 20), broke='Broke')}."
    if point.status == "no_break" and point.last_good is not None:
        return f"No break up to {format_load(point.last_good, clean(point.unit, 20))}."
    return f"Not decided: {clean(point.because)}"


def _row(finding: Finding) -> Row:
    missed = words.miss(finding.observed, finding.limit) if finding.outcome is Outcome.FAIL else ""
    target = words.NO_VALUE if finding.limit is None else words.value(finding.limit, finding.unit)
    return Row(
        question=clean(finding.question, 40),
        metric=subject_of(finding),
        place=place_of(finding),
        target=target,
        actual=words.value(finding.observed, finding.unit),
        interval=words.interval(finding.interval, finding.unit),
        outcome=finding.outcome,
        miss=missed,
        because=clean(finding.because),
    )


def _key_facts(verdict: Verdict, evidence: Evidence) -> Iterator[tuple[str, str]]:
    if verdict.breaking_point is not None:
        yield "Breaking point", point_sentence(verdict.breaking_point).rstrip(".")
        yield from _point_facts(verdict.breaking_point)
    cells = evidence.cells
    finished, failed = int(cells.finished.sum()), int(cells.failed.sum())
    yield "Requests", f"{finished:,} answered, {failed:,} of them failed"
    if evidence.stages:
        yield "Highest load", _highest(evidence)
        yield "Length", words.clock(max(stage.end_ns for stage in evidence.stages) - evidence.zero_ns)
    if evidence.aborted is not None:
        yield "Ended early", f"{clean(evidence.aborted[0], 20).replace('_', ' ')}: {clean(evidence.aborted[1])}"


def _highest(evidence: Evidence) -> str:
    """The most that was asked of the target, as far as the run came."""
    end_ns = max(stage.end_ns for stage in evidence.stages)
    line = [level for _, level in corners(evidence.orders, end_ns)]
    most = max(line or [stage.level for stage in evidence.stages])
    return format_load(most, evidence.unit)


def _point_facts(point: BreakingPoint | None) -> Iterator[tuple[str, str]]:
    if point is None:
        return
    if point.first_metric:
        yield "Broke first", clean(point.first_metric, _NAME)
    if point.bottleneck is not None:
        found = point.bottleneck
        # A limit of 1 with a value below is a share of a whole: 92 % of 100 %.
        unit = "share" if found.limit == 1.0 else "number"
        amount = f"{words.value(found.value, unit)} of {words.value(found.limit, unit)}"
        yield "Bottleneck", f"{clean(found.resource, 40)} of {clean(found.of, 40)}, {amount}"


def _levels(verdict: Verdict) -> Iterator[tuple[str, ...]]:
    """Rows under the heads of levels."""
    for level in verdict.breaking_point.levels if verdict.breaking_point else ():
        yield (
            clean(level.stage, 40),
            format_rate(level.rate) if level.unit == "per_s" else f"{level.users:,}",
            f"{words.count(level.per_s)}/s",
            words.duration_us(level.p50_us),
            words.duration_us(level.p95_us),
            words.duration_us(level.p99_us),
            words.percent(level.errors),
            STATE_WORDS.get(level.state, clean(level.state, 20)),
            clean(level.because),
        )


def _level_heads(evidence: Evidence) -> tuple[str, ...]:
    load = "Arrivals" if evidence.unit == "rate" else "Users"
    return ("Level", load, "Answered", "P50", "P95", "P99", "Errors", "State", "Why")


def _fault(fault: FaultSpan, evidence: Evidence) -> FaultRow:
    def at(ns: int | None) -> str:
        return "never" if ns is None else f"{(ns - evidence.zero_ns) / NS_PER_S:.3f} s"

    felt = (
        {True: "yes", False: "no", None: "not shown"}[fault.felt] if fault.in_force_ns is not None else "not injected"
    )
    return FaultRow(
        name=clean(fault.name, _NAME),
        what=f"{clean(fault.driver, 20)} {clean(fault.kind, 20)} on {clean(fault.on, 40)}",
        stage=clean(fault.stage, 40),
        asked=at(fault.asked_ns),
        in_force=at(fault.in_force_ns) + _late(fault.asked_ns, fault.in_force_ns),
        heal_asked=at(fault.heal_asked_ns),
        over=at(fault.over_ns) + _late(fault.heal_asked_ns, fault.over_ns),
        felt=felt,
        proof=clean(fault.proof),
        troubles=tuple(clean(trouble) for trouble in fault.troubles),
    )


def _late(asked_ns: int | None, done_ns: int | None) -> str:
    if asked_ns is None or done_ns is None:
        return ""
    took = f"(after {words.duration_us((done_ns - asked_ns) / NS_PER_MS * 1000)})"
    return f" {took.replace(' ', _NO_BREAK)}"


def _defects(evidence: Evidence) -> Iterator[tuple[str, str, str]]:
    """(window, defect, what it does to verdicts)."""
    for window in evidence.windows:
        place = clean(window.stage, 40) + (f", during {clean(window.fault, 40)}" if window.fault else "")
        for defect in window.defects:
            effect = "blocks a pass" if defect.flatters else "blocks any verdict"
            yield place, clean(defect.detail), effect


def _samples(evidence: Evidence) -> Iterator[Sample]:
    """Kept failures, those of a kind not seen before first: ten alike say less than one of each."""
    nth: dict[tuple[str, str], int] = {}
    ranked = []
    for one in sorted(evidence.exemplars, key=lambda one: one.due_ns):
        kind = (one.failure, one.endpoint)
        nth[kind] = nth.get(kind, 0) + 1
        ranked.append((nth[kind], one))
    for _, one in sorted(ranked, key=lambda pair: pair[0]):
        yield Sample(
            due_ns=one.due_ns,
            at=f"{(one.due_ns - evidence.zero_ns) / NS_PER_S:.1f} s",
            endpoint=clean(one.endpoint, _NAME),
            failure=clean(one.failure, 20),
            latency=words.duration_us(one.latency_us),
            message=clean(one.message),
        )


def _commands(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """(what for, command): the run's name is enough for the harness to find its folder."""
    header = evidence.header
    argv = header.facts.get("argv")
    given = [str(word) for word in argv] if isinstance(argv, list) else []
    again = ["harness", *(given[1:] or ["run", "experiment.yaml"])]
    seed = [] if any(word.startswith("--seed") for word in again) else ["--seed", str(header.seed)]
    yield "Run the same experiment again", clean(shlex.join([*again, *seed]), 1000)
    yield "Judge this run again", shlex.join(["harness", "judge", clean(header.run, _NAME)])
    yield "Write these reports again", shlex.join(["harness", "report", clean(header.run, _NAME)])


def _provenance(evidence: Evidence) -> Iterator[tuple[str, str]]:
    header = evidence.header
    yield "Run", clean(header.run, _NAME)
    yield "Started", clean(header.wall, 40)
    yield "Seed", str(header.seed)
    yield "Journal", f"schema {header.schema}"
    for name, value in _flat(header.facts):
        yield clean(name, 40), clean(value)


def _flat(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield f"{prefix}{name}", " ".join(str(item) for item in value)
        elif value not in (None, ""):
            yield f"{prefix}{name}", str(value)
