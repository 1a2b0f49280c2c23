"""Judges: pure functions from a question and evidence to findings. The table of names is here, once.

A judge that raises gives an inconclusive finding, never a pass (verdict.py, law 4).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from harness.evidence import Evidence
from harness.experiment import Question
from harness.judges.breaking_point import judge as breaking_point
from harness.judges.budget import judge as budget
from harness.verdict import Answer, Finding, Outcome, Verdict, merge

Judge = Callable[[Question, Evidence], Answer]

JUDGES: Mapping[str, Judge] = {
    "budget": budget,
    "breaking_point": breaking_point,
}


def judge(evidence: Evidence, judges: Mapping[str, Judge] = JUDGES) -> Verdict:
    """The verdict on a run: every question of its experiment answered, and the run itself looked at."""
    answers = [_ask(question, evidence, judges) for question in evidence.experiment.questions]
    findings = (*_run_findings(evidence), *(finding for answer in answers for finding in answer.findings))
    points = [answer.breaking_point for answer in answers if answer.breaking_point]
    return Verdict(
        outcome=merge(finding.outcome for finding in findings),
        findings=findings,
        breaking_point=points[0] if points else None,
        warnings=_warnings(evidence),
        dirty=evidence.dirty,
        interrupted=evidence.aborted is not None and evidence.aborted[0] == "signal",
    )


def _ask(question: Question, evidence: Evidence, judges: Mapping[str, Judge]) -> Answer:
    if question.kind not in judges:
        return Answer(findings=(_undecided(question.kind, f"no judge is known for {question.kind!r}"),))
    try:
        answer = judges[question.kind](question, evidence)
    except Exception as error:  # noqa: BLE001 - law 4: a crash inside a judge is inconclusive, and said
        return Answer(findings=(_undecided(question.kind, f"the judge failed: {type(error).__name__}: {error}"),))
    return answer if answer.findings else Answer(findings=(_undecided(question.kind, "the judge found nothing"),))


def _undecided(question: str, because: str) -> Finding:
    return Finding(question=question, subject="judge", outcome=Outcome.INCONCLUSIVE, because=because)


def _run_findings(evidence: Evidence) -> tuple[Finding, ...]:
    """What happened to the run itself: aborted by a guard is a failure, cut off is no answer."""
    if evidence.aborted is not None:
        by, why = evidence.aborted
        outcome = Outcome.FAIL if by == "guard" else Outcome.INCONCLUSIVE
        words = {
            "guard": "an abort limit was broken",
            "signal": "stopped by a signal",
            "error": "a part broke",
            "generator": "the load ended",
            "steady_state": "nothing was injected, the steady state was not there",
        }
        because = f"{words.get(by, by)}: {why}"
    elif not evidence.completed:
        outcome, because = Outcome.INCONCLUSIVE, "the journal ends before the run did: it was killed"
    else:
        return ()
    return (Finding(question="run", subject="completed", outcome=outcome, because=because),)


def _warnings(evidence: Evidence) -> tuple[str, ...]:
    lost = tuple(f"traffic worker {event.worker}: {event.why}" for event in evidence.workers_lost)
    lines = Counter(f"{trouble.source}: {trouble.message}" for trouble in evidence.troubles)
    return (*lost, *(line if count == 1 else f"{line} ({count} times)" for line, count in lines.items()))
