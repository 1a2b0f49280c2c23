"""Where does it break? The bracket of the ladder: the last level that holds, the first that does not.

Levels are of users, or of arrivals a second. Arrivals that did not start are a defect that flatters: such a level
cannot be good, but it can be broken (those that did start were the lucky ones).
A level is judged on the seconds of its hold that no fault touches. It is `good` when every limit passes, `broke` when
any limit fails, else `undecided`. The response is taken to be monotone: a good level above a broken one makes the
answer inconclusive. The first metric to break is the one that was out of its limit first for three seconds on end.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from harness.evidence import Evidence, Window
from harness.evidence.measure import latency
from harness.experiment import Limit, LoadUnit, Question
from harness.judges.bottleneck import bottleneck
from harness.judges.decision import Decision, decide, first_breach, kept_counts, sight
from harness.units import format_load
from harness.verdict import Answer, BreakingPoint, Finding, Level, Outcome, Where, under_defects

DEFAULT_LIMITS: Mapping[str, float] = {"errors": 0.01, "p95": 500_000.0, "p99": 2_000_000.0}
# A load's unit -> the unit of findings about it.
_UNITS: Mapping[LoadUnit, str] = {"users": "users", "rate": "per_s"}


def judge(question: Question, evidence: Evidence) -> Answer:
    """The breaking point, and one finding: against `at_least` when given, else whether there is an answer."""
    limits = _limits(question)
    windows = sorted(
        (window for window in evidence.windows if window.role == "stress" and not window.fault),
        key=lambda window: window.level,
    )
    levels = tuple(_level(window, limits, evidence) for window in windows)
    point = _bracket(levels, windows, limits, evidence)
    return Answer(findings=(_finding(question, point),), breaking_point=point)


def _limits(question: Question) -> tuple[Limit, ...]:
    given = question.params.get("limits")
    bounds = {name: float(value) for name, value in given.items()} if isinstance(given, Mapping) else DEFAULT_LIMITS
    return tuple(
        Limit(
            text=name,
            metric=name,
            of="",
            op="<",
            bound=bound,
            unit="share" if name == "errors" else "us",
        )
        for name, bound in bounds.items()
    )


def _level(window: Window, limits: tuple[Limit, ...], evidence: Evidence) -> Level:
    seen = sight(evidence, window, undisturbed=True)
    decisions = {limit.metric: decide(limit, evidence, seen) for limit in limits}
    outcomes = {metric: under_defects(one.outcome, window.defects) for metric, one in decisions.items()}
    broke = tuple(metric for metric, outcome in outcomes.items() if outcome is Outcome.FAIL)
    if broke:
        state = "broke"
    elif all(outcome is Outcome.PASS for outcome in outcomes.values()):
        state = "good"
    else:
        state = "undecided"
    finished = seen.finished
    seen_latency = latency(kept_counts(seen))
    failed = seen.kept(seen.cells.by_second(seen.cells.failed.sum(axis=1), window.seconds)).sum()
    return Level(
        stage=window.stage,
        users=window.users,
        state=state,
        per_s=float(finished.mean()) if len(finished) else 0.0,
        p50_us=seen_latency.p50_us,
        p95_us=seen_latency.p95_us,
        p99_us=seen_latency.p99_us,
        errors=float(failed / finished.sum()) if finished.sum() else None,
        broke=broke,
        because=_why(state, decisions, outcomes, window),
        unit=_UNITS[window.unit],
        rate=window.rate,
        not_started=window.generator.not_started,
    )




def _why(state: str, decisions: Mapping[str, Decision], outcomes: Mapping[str, Outcome], window: Window) -> str:
    if state == "good":
        return "every limit holds"
    wanted = Outcome.FAIL if state == "broke" else Outcome.INCONCLUSIVE
    reasons = [f"{metric}: {one.because}" for metric, one in decisions.items() if outcomes[metric] is wanted]
    if state == "undecided" and window.defects:
        reasons.insert(0, window.defects[0].detail)
    return "; ".join(reasons[:2])


def _bracket(
    levels: tuple[Level, ...], windows: list[Window], limits: tuple[Limit, ...], evidence: Evidence
) -> BreakingPoint:
    broken = [index for index, level in enumerate(levels) if level.state == "broke"]
    good = [index for index, level in enumerate(levels) if level.state == "good"]
    if broken and good and good[-1] > broken[0]:
        why = f"{levels[good[-1]].stage} holds although {levels[broken[0]].stage} broke: not monotone, run it again"
        return _point("inconclusive", levels, because=why)
    if broken:
        below = [index for index in good if index < broken[0]]
        last_good = levels[below[-1]].load if below else None
        first_bad = levels[broken[0]].load
        window = windows[broken[0]]
        metric = _first_metric(window, levels[broken[0]].broke, limits, evidence)
        found = bottleneck(window, windows[below[-1]] if below else None)
        cause = f"; {found.resource} of {found.of} was at {found.value:.4g} of {found.limit:.4g}" if found else ""
        return _point(
            "broke_at",
            levels,
            last_good=last_good,
            first_bad=first_bad,
            estimate=sqrt(last_good * first_bad) if last_good else None,
            interval=(last_good or 0.0, first_bad),
            first_metric=metric,
            bottleneck=found,
            because=f"{levels[broken[0]].stage} broke by {metric} first{cause}",
        )
    if good and good[-1] == len(levels) - 1:
        top = levels[-1]
        because = f"every limit holds up to {format_load(top.load, top.unit)}"
        return _point("no_break", levels, last_good=top.load, because=because)
    last_good = levels[good[-1]].load if good else None
    doubt = levels[good[-1] + 1] if good else (levels[0] if levels else None)
    because = f"{doubt.stage} is undecided: {doubt.because}" if doubt else "no level was reached"
    return _point("inconclusive", levels, last_good=last_good, because=because)


def _point(status: str, levels: tuple[Level, ...], **known: object) -> BreakingPoint:
    blank: dict[str, object] = {
        "last_good": None,
        "first_bad": None,
        "estimate": None,
        "interval": None,
        "first_metric": "",
        "bottleneck": None,
    }
    unit = levels[0].unit if levels else "users"
    return BreakingPoint(status=status, unit=unit, levels=levels, **{**blank, **known})  # type: ignore[arg-type]


def _first_metric(window: Window, broke: tuple[str, ...], limits: tuple[Limit, ...], evidence: Evidence) -> str:
    """Among the limits that broke in a level, the one that was out first; ties go to the order of the limits."""
    seen = sight(evidence, window)
    breaches = [
        (first_breach(limit, seen), position, limit.metric)
        for position, limit in enumerate(limits)
        if limit.metric in broke
    ]
    return min(breaches)[2]


def _finding(question: Question, point: BreakingPoint) -> Finding:
    asked = question.params.get("at_least")
    at_least = None if asked is None else float(str(asked))
    unit = "per_s" if question.params.get("at_least_unit") == "rate" else "users"
    observed = point.estimate if point.estimate is not None else (point.last_good or point.first_bad)
    if point.status == "inconclusive":
        outcome = Outcome.INCONCLUSIVE
    elif at_least is None or (point.last_good or 0) >= at_least:
        outcome = Outcome.PASS
    elif point.first_bad is not None and point.first_bad <= at_least:
        outcome = Outcome.FAIL
    else:
        outcome = Outcome.INCONCLUSIVE
    broke_in = next((level.stage for level in point.levels if level.state == "broke"), "")
    return Finding(
        question="breaking_point",
        subject="breaking point" if at_least is None else f"breaking point above {format_load(at_least, unit)}",
        outcome=outcome,
        because=point.because,
        observed=observed,
        unit=point.unit,
        interval=point.interval,
        limit=at_least,
        where=Where(stage=broke_in),
    )
