"""The law of verdicts, as properties of whole journals: events in, verdict out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ExitCode
from harness.evidence import Defect, Evidence
from harness.evidence.measure import measure
from harness.experiment import Question
from harness.journal import Event, FaultFelt, Generator, Reading, RunEnded, StageEntered, Traffic, WorkerLost
from harness.judges import JUDGES, judge
from harness.testing import JournalBuilder, encoded
from harness.units import NS_PER_S
from harness.verdict import Answer, Outcome, merge, under_defects

DOCUMENT = {
    "name": "steady",
    "why": "It holds.",
    "stack": {"process": {"api": {"command": "api"}}},
    "traffic": {"scenario": "s.py", "target": "api"},
    "stages": [{"name": "steady", "role": "steady", "users": 100, "hold": "30s"}],
    "probes": [{"process": "api"}],
    "budget": ["p95 < 500ms", "p99 < 2s", "errors < 0.5%", "cpu of api < 60%"],
}


def journal(
    *,
    slow: int = 0,
    failed: int = 0,
    per_s: int = 100,
    seconds: int = 30,
    alter: Callable[[JournalBuilder], None] | None = None,
) -> list[Event]:
    """Thirty seconds of 100 req/s at 20 ms, of which `slow` take 3 s and `failed` fail in each second."""
    builder = JournalBuilder(DOCUMENT)
    builder.stage("steady", "steady", 100, ramp_s=0, hold_s=30)
    for second in range(seconds):
        ok = np.concatenate([np.full(per_s - slow - failed, 20_000.0), np.full(slow, 3_000_000.0)])
        builder.traffic(second, "GET /", ok, {"5xx": np.full(failed, 1_000.0)})
        builder.generator(second, 100, per_s)
        builder.reading(second, "process", "api", {"cpu": 0.3, "memory": 0.1})
    if alter is not None:
        alter(builder)
    return builder.events()


def outcome(events: list[Event]) -> Outcome:
    """The verdict's word."""
    return judge(measure(events)).outcome


def test_a_healthy_run_passes() -> None:
    """3,000 fast answers, no error, modest CPU: pass."""
    assert outcome(journal()) is Outcome.PASS


@pytest.mark.parametrize(("slow", "failed"), [(10, 0), (0, 5), (10, 5)])
def test_a_broken_budget_fails(slow: int, failed: int) -> None:
    """A tenth too slow, or 5 % failing: fail."""
    assert outcome(journal(slow=slow, failed=failed)) is Outcome.FAIL


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 10), st.integers(0, 10))
def test_more_slow_or_failed_requests_never_turn_a_fail_into_a_pass(
    slow: int, failed: int, more_slow: int, more_failed: int
) -> None:
    """Law 3, first half: harm is monotone."""
    before = outcome(journal(slow=slow, failed=failed))
    after = outcome(journal(slow=slow + more_slow, failed=failed + more_failed))
    assert not (before is Outcome.FAIL and after is Outcome.PASS)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 30), st.integers(1, 100))
def test_less_data_never_turns_an_inconclusive_run_into_a_pass(seconds: int, per_s: int) -> None:
    """Law 3, second half: from a run that does not pass, cutting seconds or requests never makes one that does."""
    whole = outcome(journal(per_s=per_s, slow=min(per_s, 1)))
    part = outcome(journal(per_s=per_s, slow=min(per_s, 1), seconds=seconds))
    assert whole is Outcome.PASS or part is not Outcome.PASS


def drop(kind: type[Event]) -> Callable[[list[Event]], list[Event]]:
    """A journal without the events of one kind."""
    return lambda events: [event for event in events if not isinstance(event, kind)]


@pytest.mark.parametrize("kind", [Traffic, Reading, Generator, StageEntered, RunEnded])
def test_missing_data_is_never_a_pass(kind: type[Event]) -> None:
    """Law 4: without traffic, readings, generator rows, stages or an end there is no pass."""
    assert outcome(drop(kind)(journal())) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.99])
def test_a_journal_cut_anywhere_is_never_a_pass(cut: float) -> None:
    """Killed in the middle: whatever part is left does not pass."""
    events = journal()
    assert outcome(events[: max(2, int(len(events) * cut))]) is not Outcome.PASS


def test_a_lost_worker_blocks_pass_and_fail() -> None:
    """The load was not what it says, so neither word may stand."""
    lost = WorkerLost(at_ns=12 * NS_PER_S, worker=1, why="exited with -9")
    assert outcome([*journal(), lost]) is Outcome.INCONCLUSIVE
    assert outcome([*journal(slow=20), lost]) is Outcome.INCONCLUSIVE


def test_lost_requests_block_a_pass_but_not_a_fail() -> None:
    """Requests that never answered flatter the target."""

    def lose(events: list[Event]) -> list[Event]:
        return [
            replace(event, started=event.started + 1, lost=1) if isinstance(event, Traffic) else event
            for event in events
        ]

    assert outcome(lose(journal())) is Outcome.INCONCLUSIVE
    assert outcome(lose(journal(slow=20))) is Outcome.FAIL


def test_requests_that_disappeared_block_a_pass() -> None:
    """started is not finished + lost: the books do not balance."""
    events = [replace(event, started=event.started + 3) if isinstance(event, Traffic) else event for event in journal()]
    assert outcome(events) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(("field", "value"), [("cpu", 0.97), ("lag", encoded([120_000.0] * 50)), ("users", 60)])
def test_a_limited_generator_blocks_pass_and_fail(field: str, value: object) -> None:
    """Its own CPU, its own late loop, or users that never came: the numbers are not the target's."""

    def limit(events: list[Event]) -> list[Event]:
        return [replace(event, **{field: value}) if isinstance(event, Generator) else event for event in events]

    assert outcome(limit(journal())) is Outcome.INCONCLUSIVE
    assert outcome(limit(journal(slow=20))) is Outcome.INCONCLUSIVE


def test_a_scenario_whose_own_code_raises_blocks_a_pass_but_not_a_fail() -> None:
    """What it meant to check after its requests was not checked; one iteration in a thousand is forgiven."""

    def raising(events: list[Event], count: int) -> list[Event]:
        return [replace(event, raised=count) if isinstance(event, Generator) else event for event in events]

    assert outcome(raising(journal(), 1)) is Outcome.INCONCLUSIVE
    assert outcome(raising(journal(slow=20), 1)) is Outcome.FAIL
    once = [
        replace(event, raised=1) if isinstance(event, Generator) and event.second == 9 else event for event in journal()
    ]
    assert outcome(once) is Outcome.PASS


def test_a_fault_that_was_not_felt_blocks_a_pass() -> None:
    """An outage test that never failed anything proves nothing."""

    def strike(builder: JournalBuilder) -> None:
        builder.fault("freeze", "process", "pause", "api", 10, 20, felt=False, proof="state is running")

    events = journal(alter=strike)
    assert any(isinstance(event, FaultFelt) for event in events)
    assert outcome(events) is Outcome.INCONCLUSIVE


def test_an_abort_guard_is_a_failure_and_a_signal_is_no_answer() -> None:
    """The guard's limit was broken; a person's Ctrl-C says nothing of the target."""

    def end(by: str) -> Callable[[JournalBuilder], None]:
        return lambda builder: builder.end(at_s=20, aborted=(by, "why"))

    assert outcome(journal(alter=end("guard"))) is Outcome.FAIL
    interrupted = judge(measure(journal(alter=end("signal"))))
    assert interrupted.outcome is Outcome.INCONCLUSIVE
    assert interrupted.exit_code is ExitCode.INTERRUPTED


def test_a_target_that_was_ill_before_the_fault_is_no_answer() -> None:
    """Though it breaks the budget by far: the experiment did not take place. Exit code 2."""

    def end(builder: JournalBuilder) -> None:
        builder.end(at_s=20, aborted=("steady_state", "errors < 1% for 10s did not hold: 50% was seen"))

    verdict = judge(measure(journal(failed=50, alter=end)))
    assert verdict.exit_code is ExitCode.INCONCLUSIVE
    because = next(finding.because for finding in verdict.findings if finding.question == "run")
    assert because.startswith("nothing was injected, the steady state was not there: errors < 1% for 10s did not hold")


def test_a_dirty_target_outranks_every_outcome() -> None:
    """Exit code 5 even where all limits pass."""
    verdict = judge(measure(journal(alter=lambda builder: builder.end(dirty=("toxic left",)))))
    assert verdict.exit_code is ExitCode.DIRTY


def crash(question: Question, evidence: Evidence) -> Answer:
    """A judge with a defect."""
    raise ZeroDivisionError("oh")


def silent(question: Question, evidence: Evidence) -> Answer:
    """A judge with nothing to say."""
    return Answer(findings=())


@pytest.mark.parametrize("judges", [{}, {"budget": crash}, {"budget": silent}])
def test_an_unknown_crashing_or_silent_judge_is_inconclusive(judges: dict[str, object]) -> None:
    """Law 4: an unknown word and a crash are never a pass."""
    verdict = judge(measure(journal()), {**judges})  # type: ignore[dict-item]
    assert verdict.outcome is Outcome.INCONCLUSIVE


def test_every_question_that_the_loader_knows_has_a_judge() -> None:
    """A question that check accepts can be answered."""
    assert set(JUDGES) == {"budget", "breaking_point"}


@given(st.lists(st.sampled_from(Outcome), max_size=6))
def test_fail_beats_inconclusive_beats_pass_and_nothing_is_inconclusive(outcomes: list[Outcome]) -> None:
    """Law 1."""
    merged = merge(outcomes)
    if Outcome.FAIL in outcomes:
        assert merged is Outcome.FAIL
    elif Outcome.INCONCLUSIVE in outcomes or not outcomes:
        assert merged is Outcome.INCONCLUSIVE
    else:
        assert merged is Outcome.PASS


@given(st.sampled_from(Outcome), st.lists(st.booleans(), max_size=4))
def test_no_defect_lets_a_pass_stand_and_only_flattering_ones_a_fail(outcome: Outcome, flatters: list[bool]) -> None:
    """Law 2."""
    defects = [Defect(kind="no data", flatters=flag, detail="d") for flag in flatters]
    after = under_defects(outcome, defects)
    if not defects:
        assert after is outcome
    else:
        assert after is not Outcome.PASS
        assert (after is Outcome.FAIL) == (outcome is Outcome.FAIL and all(flatters))


def test_the_same_journal_gives_the_same_verdict() -> None:
    """Judging has no memory, no clock and no dice."""
    events = journal(slow=3, failed=1)
    assert judge(measure(events)) == judge(measure(list(events)))


def test_a_bad_endpoint_cannot_hide_in_the_sum() -> None:
    """GET / is fine and 90 % of the traffic; POST /pay breaks the budget alone and is named."""
    builder = JournalBuilder({**DOCUMENT, "budget": ["p95 < 500ms"]})
    builder.stage("steady", "steady", 100, ramp_s=0, hold_s=30)
    for second in range(30):
        builder.traffic(second, "GET /", np.full(96, 20_000.0))
        slow = 3_000_000.0
        builder.traffic(second, "POST /pay", np.array([slow, slow, 20_000.0, 20_000.0, 20_000.0, 20_000.0]))
        builder.generator(second, 100, 102)
    findings = judge(measure(builder.events())).findings
    assert [(finding.where.endpoint, finding.outcome) for finding in findings] == [
        ("", Outcome.PASS),
        ("POST /pay", Outcome.FAIL),
    ]


def test_a_thin_sample_is_inconclusive_and_says_how_much_more_would_decide() -> None:
    """Two answers a second without an error cannot bound errors below 0.5 %."""
    verdict = judge(measure(journal(per_s=2)))
    finding = next(finding for finding in verdict.findings if finding.subject == "errors < 0.5%")
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "to decide this: about" in finding.because
