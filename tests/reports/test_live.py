"""The view of a run that is on: what it folds out of events, and what it prints where."""

from __future__ import annotations

import io
import os
import select
import subprocess
import sys
import threading
from dataclasses import replace
from functools import reduce

import pytest

from harness.evidence import Evidence
from harness.journal import Event, FaultHealed, FaultInjected, Generator, StageEntered
from harness.plan import plan
from harness.reports.live import LiveState, LiveView, fold, line, lines
from harness.testing import JournalBuilder, ladder_document, synthetic_arrivals, synthetic_ladder
from tests.reports.samples import HOSTILE, arrivals, small_evidence

EVIDENCE = small_evidence()


def start(evidence: Evidence = EVIDENCE) -> LiveState:
    """The state before the first event."""
    return LiveState(experiment="ladder", plan=plan(evidence.experiment))


def builder() -> JournalBuilder:
    """A journal in the middle of its first level, at ten users."""
    made = JournalBuilder(ladder_document((10, 50), ramp_s=0, hold_s=6, warmup_s=2, faults=False, seed=7))
    made.stage("warm", "warmup", 10, ramp_s=2, hold_s=2)
    made.stage("level-10", "stress", 10, ramp_s=0, hold_s=6)
    return made


def test_before_the_first_stage_it_says_what_is_awaited() -> None:
    """An empty view is not a view of zeros."""
    assert dict(lines(start()))["answers"] == "none yet"
    assert dict(lines(start()))["stage"].startswith("starting")


def test_numbers_are_those_of_the_last_five_whole_seconds() -> None:
    """Old seconds fall out, the second that is still filling up is left out, percentiles come from histograms."""
    made = builder()
    for second, (count, us) in enumerate([(100, 9_000_000.0)] * 4 + [(20, 10_000.0)] * 5 + [(1, 5_000_000.0)]):
        made.traffic(second, "GET /", [us] * count, late_us=0)
    state = reduce(fold, [event for event in made.events() if event.at_ns <= made.ns(10)], start())
    assert dict(lines(state))["answers"].startswith("20/s, P50 10 ms, P95 10 ms, P99 10 ms, errors 0 %")


def test_stage_users_and_time_left() -> None:
    """Where the run is, how many users there should be and are, and how long it takes yet."""
    made = builder()
    made.generator(6, 9, 10)
    state = reduce(fold, [event for event in made.events() if event.at_ns <= made.ns(7)], start())
    told = dict(lines(state))
    assert told["stage"] == "level-10 (stress), hold 3 s of 6 s; 9 s left"
    assert told["users"] == "10 wanted, 9 there"


def test_a_fault_is_shown_while_it_is_in_force() -> None:
    """It appears when confirmed, with what it is, and goes when confirmed over."""
    made = builder()
    made.fault("slow-db", "toxiproxy", "latency", "db-link", 5, 7)
    events = [event for event in made.events() if event.at_ns <= made.ns(8)]
    seen = [state for state in _states(events) if state.active]
    assert "slow-db (latency on db-link" in line(seen[0])
    assert not _states(events)[-1].active


def test_a_lost_worker_takes_its_users_along() -> None:
    """Users of a worker that is gone are not there any more, and the reason is shown."""
    made = builder()
    made.generator(4, 10, 10)
    made.worker_lost(6, "silent for 5 s")
    state = _states([event for event in made.events() if event.at_ns <= made.ns(6)])[-1]
    told = dict(lines(state))
    assert told["users"] == "10 wanted, 0 there"
    assert "silent for 5 s" in told["trouble"]


def _states(events: list[Event]) -> list[LiveState]:
    states = [start()]
    for event in events:
        states.append(fold(states[-1], event))
    return states


def test_plain_lines_come_every_five_seconds_and_with_news() -> None:
    """Without a terminal: a line each five seconds of run time, and one for each stage and fault edge."""
    events = synthetic_ladder(hold_s=12, ramp_s=4, warmup_s=4)
    out = io.StringIO()
    view = LiveView(EVIDENCE.experiment, plan(EVIDENCE.experiment), out, terminal=False)
    with view:
        for event in events:
            view.on_event(event)
    printed = out.getvalue().splitlines()
    news = sum(isinstance(event, StageEntered | FaultInjected | FaultHealed) for event in events)
    regular = [text for text in printed if "there |" in text]
    assert len(printed) == len(regular) + news
    assert len(regular) == pytest.approx(events[-1].at_ns / 5e9, abs=2)


@pytest.mark.parametrize("terminal", [True, False])
def test_hostile_text_reaches_no_terminal(terminal: bool) -> None:
    """Names and messages of a run cannot move the cursor or ring the bell."""
    made = builder()
    made.trouble(3, HOSTILE, HOSTILE)
    made.fault(HOSTILE, "toxiproxy", "latency", "db-link", 5, 7)
    made.traffic(4, HOSTILE, [10_000.0])
    out = io.StringIO()
    view = LiveView(EVIDENCE.experiment, plan(EVIDENCE.experiment), out, terminal=terminal)
    with view:
        for event in made.events():
            view.on_event(event)
    text = out.getvalue()
    assert "\x1b[31m" not in text
    assert "\x07" not in text
    assert "\u202e" not in text


def test_a_reader_who_does_not_read_holds_nobody() -> None:
    """A full pipe, or a terminal that was stopped with Ctrl-S: lines are left out until there is room."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writing, b"." * 4096)
    os.set_blocking(writing, True)
    with os.fdopen(writing, "w") as out:
        view = LiveView(EVIDENCE.experiment, plan(EVIDENCE.experiment), out, terminal=False)
        stage = next(event for event in builder().events() if isinstance(event, StageEntered))
        done = threading.Event()
        told = threading.Thread(target=lambda: (view.on_event(stage), done.set()), daemon=True)
        told.start()
        in_time = done.wait(5)
        while select.select([reading], [], [], 0)[0]:
            os.read(reading, 65536)
        assert in_time
        view.on_event(stage)
        assert b"stage warm" in os.read(reading, 65536)
    os.close(reading)


def test_ci_means_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """With CI set a terminal gets plain lines too."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("CI", "true")
    out = Terminal()
    with LiveView(EVIDENCE.experiment, plan(EVIDENCE.experiment), out) as view:
        for event in builder().events():
            view.on_event(event)
    assert "\x1b" not in out.getvalue()
    assert "stage warm: to 10 users" in out.getvalue()


def test_the_live_view_needs_no_heavy_package() -> None:
    """It runs beside the load, and every `harness run` imports it first."""
    code = "import sys, harness.reports.live; print([n for n in ('numpy', 'rich', 'matplotlib') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_faults_at_one_time_have_a_line_each() -> None:
    """Three faults with the longest names fit 80 columns; what is beyond six is counted."""
    names = [f"{number}-{'n' * 61}" for number in range(3)]
    state = replace(
        start(), now_ns=10**12, active=dict.fromkeys(names, 0),
        kinds=dict.fromkeys(names, f"stress-memory on {'c' * 63}"),
    )  # fmt: skip
    rows = [(label, words) for label, words in lines(state) if label in {"faults", ""}]
    assert [label for label, _ in rows] == ["faults", "", ""]
    assert all(len(words) <= 72 for _, words in rows)
    many = replace(state, active=dict.fromkeys(map(str, range(9)), 0))
    assert lines(many)[-1] == ("", "and 3 more")


def open_view(until_s: float) -> LiveView:
    """The view of the seeded run of arrivals at a second of it, on a terminal that is not there."""
    experiment = arrivals()[1].experiment
    view = LiveView(experiment, plan(experiment), io.StringIO(), terminal=False)
    for event in synthetic_arrivals():
        if event.at_ns <= (until_s + 2) * 1_000_000_000:
            view.on_event(event)
    return view


def test_arrivals_wanted_and_started_and_the_users_that_they_keep_busy() -> None:
    """In the middle of 100/s: of the last two whole seconds, with no word of arrivals that did not start."""
    told = dict(lines(open_view(50.0).state))
    wanted, started, busy = told["load"].split(", ")
    assert wanted == "100/s wanted"
    assert 70 < int(started.partition("/s")[0]) < 130
    assert busy.endswith("users busy of 500")
    assert "missed" not in told


def test_arrivals_that_do_not_start_are_a_warning() -> None:
    """How many so far and now, in a colour of their own on a terminal, in capitals in a log."""
    view = open_view(120.0)
    told = dict(lines(view.state))["missed"]
    assert told.endswith("now: all users are busy")
    assert f"NOT STARTED: {told}" in line(view.state)
    styles = [span.style for row in view._panel().renderables if "missed" in str(row) for span in row.spans]  # type: ignore[union-attr]
    assert "bold yellow" in styles


def test_a_slow_rate_is_not_rounded_away() -> None:
    """Three arrivals a minute are not 0/s."""
    state = replace(open_view(50.0).state, begun=(), users={})
    row = next(event for event in synthetic_arrivals() if isinstance(event, Generator))
    for second in range(3):
        state = fold(state, replace(row, second=second, begun=second % 2))
    assert "30/min started" in dict(lines(state))["load"]


def test_a_stage_is_news_in_its_unit() -> None:
    """The rate that it goes to, not a number of users that it does not have."""
    assert "stage rate-100: to 100/s" in open_view(50.0)._out.getvalue()  # type: ignore[attr-defined]
