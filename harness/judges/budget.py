"""Does the budget hold? Each limit in each stage that it speaks of, on its own; stages are never pooled.

Without an endpoint a limit is judged on all requests together, and every endpoint with at least 5 % of the traffic
is looked at as well, but only for proof of failure (Holm over those endpoints): a thin endpoint cannot make a run
inconclusive, and a bad one cannot hide in the sum.
"""

from __future__ import annotations

from harness.evidence import Evidence, Summary, Window
from harness.experiment import Limit, Question
from harness.judges import intervals
from harness.judges.decision import TRAFFIC_METRICS, Decision, decide, sight
from harness.units import NS_PER_S
from harness.verdict import Answer, Finding, Outcome, Where, under_defects

ENDPOINT_SHARE = 0.05
ALPHA = (1 - intervals.CONFIDENCE) / 2


def judge(question: Question, evidence: Evidence) -> Answer:  # noqa: ARG001 - the budget has no parameters
    """One finding per limit and window, plus one per endpoint proven to break it."""
    findings: list[Finding] = []
    for limit in evidence.experiment.budget:
        windows = windows_of(limit, evidence)
        if not windows:
            findings.append(_unreached(limit))
        for window in windows:
            whole = _whole(limit, window, evidence)
            findings.append(whole)
            if whole.outcome is not Outcome.FAIL and limit.metric in TRAFFIC_METRICS and not limit.of:
                findings += _broken_endpoints(limit, window, evidence)
    return Answer(findings=tuple(findings))


def windows_of(limit: Limit, evidence: Evidence) -> tuple[Window, ...]:
    """The windows that a limit speaks of: stages by name or role, faults by name; no scope: all but warm-up."""
    stages = {stage.name for stage in evidence.experiment.stages_in(limit.scope)}
    faults = {fault.name for fault in evidence.experiment.faults_in(limit.scope)}
    return tuple(
        window for window in evidence.windows if (window.stage in stages and not window.fault) or window.fault in faults
    )


def where(window: Window, evidence: Evidence, endpoint: str = "") -> Where:
    """The place of a window, in seconds from the start of the first stage."""
    zero_s = evidence.zero_ns / NS_PER_S
    return Where(
        stage=window.stage,
        endpoint=endpoint,
        fault=window.fault,
        start_s=round(window.first - zero_s, 3),
        end_s=round(window.last - zero_s, 3),
    )


def _unreached(limit: Limit) -> Finding:
    return Finding(
        question="budget",
        subject=limit.text,
        outcome=Outcome.INCONCLUSIVE,
        unit=limit.unit,
        limit=limit.bound,
        because="the run never reached a stage that this limit speaks of",
    )


def _whole(limit: Limit, window: Window, evidence: Evidence) -> Finding:
    endpoint = limit.of if limit.metric in TRAFFIC_METRICS else ""
    return _finding(limit, window, evidence, endpoint, decide(limit, evidence, sight(evidence, window, endpoint)))


def _broken_endpoints(limit: Limit, window: Window, evidence: Evidence) -> list[Finding]:
    names = [
        summary.endpoint
        for summary in window.endpoints
        if window.total.finished and summary.finished >= ENDPOINT_SHARE * window.total.finished
    ]
    if len(names) < 2:
        return []
    decisions = {
        summary.endpoint: decide(limit, evidence, sight(evidence, window, summary.endpoint))
        for summary in window.endpoints
        if summary.endpoint in names and _beyond(limit, summary)
    }
    chances = [decisions[name].chance if name in decisions else 1.0 for name in names]
    proven = intervals.holm(chances, ALPHA)
    return [
        _finding(limit, window, evidence, name, decisions[name])
        for name, certain in zip(names, proven, strict=True)
        if certain and name in decisions and decisions[name].outcome is Outcome.FAIL
    ]


def _beyond(limit: Limit, summary: Summary) -> bool:
    """Whether an endpoint's point estimate is out of the limit at all; if not, nothing can prove that it fails."""
    known = {
        "p50": summary.latency.p50_us,
        "p95": summary.latency.p95_us,
        "p99": summary.latency.p99_us,
        "mean": summary.latency.mean_us,
        "errors": summary.errors,
    }
    seen = known.get(limit.metric)
    return seen is None or seen >= limit.bound


def _finding(limit: Limit, window: Window, evidence: Evidence, endpoint: str, decision: Decision) -> Finding:
    outcome = under_defects(decision.outcome, window.defects)
    guards = tuple(defect.detail for defect in window.defects)
    because = decision.because
    if outcome is not decision.outcome:
        because = f"{because}; it would {decision.outcome.value}, but {guards[0]}"
    return Finding(
        question="budget",
        subject=limit.text,
        outcome=outcome,
        because=because,
        observed=decision.observed,
        unit=limit.unit,
        interval=decision.interval,
        limit=limit.bound,
        where=where(window, evidence, endpoint),
        guards=guards,
    )
