"""The steady state before the first fault: the fold alone, then a run on the fake clock that injects or does not."""

from __future__ import annotations

import pytest

from harness.experiment import Limit, ProbeSpec
from harness.journal import Aborted, Reading, RunEnded
from harness.loader.limits import parse_limit
from harness.run.steady import SteadyState
from harness.units import NS_PER_S
from tests.run.test_guard import row
from tests.run.test_run import Scene, fault, timeline

NOW = 20 * NS_PER_S


def steady(text: str, *rows: object, every_s: int = 1) -> str:
    """What does not hold of one limit at second 20, after these rows."""
    state = SteadyState([parse_limit(text)], [ProbeSpec(kind="process", of="api", every_ns=every_s * NS_PER_S)])
    for one in rows:
        state.feed(one)  # type: ignore[arg-type] # rows and readings
    return state.broken(NOW)


def reading(second: int, cpu: float) -> Reading:
    """One reading of api."""
    return Reading(at_ns=second * NS_PER_S, probe="process", of="api", values={"cpu": cpu})


def test_it_holds_when_every_second_of_its_span_does() -> None:
    """Ten good seconds, the last one a second ago; what was bad before is forgiven."""
    rows = [row(second, failed=0 if second >= 9 else 10) for second in range(5, 19)]
    assert steady("errors < 1% for 10s", *rows) == ""


def test_one_bad_second_breaks_it_and_is_told() -> None:
    """What was seen, and for how long."""
    rows = [row(second, failed=5 if second == 12 else 0) for second in range(5, 19)]
    told = "errors < 1% for 10s did not hold: 50% was seen, broken in 1 of its 10 seconds"
    assert steady("errors < 1% for 10s", *rows) == told


def test_a_second_without_data_is_no_steady_state() -> None:
    """Silence is not taken for health."""
    rows = [row(second) for second in range(5, 19) if second not in (10, 11)]
    told = "errors < 1% for 10s is not known to hold: there was no data in 2 of its 10 seconds"
    assert steady("errors < 1% for 10s", *rows) == told
    assert "no data" in steady("rate > 0/s for 10s", *rows)
    assert "no data" in steady("cpu of api < 50%")


def test_the_present_second_and_the_one_before_are_not_looked_at() -> None:
    """Their rows may still be under way."""
    assert steady("errors < 1% for 2s", row(17), row(18), row(19, failed=10), row(20, failed=10)) == ""


def test_requests_that_hang_are_slower_than_any_that_finished() -> None:
    """Ten of twenty were not answered within the second: the median of those that were says nothing."""
    hung = [row(second, started=20) for second in range(17, 19)]
    assert "no answer yet was seen" in steady("p95 < 300ms for 2s", *hung)
    assert steady("p95 < 300ms for 2s", *(row(second) for second in range(17, 19))) == ""
    few = [row(second, finished=99, started=100) for second in range(17, 19)]
    assert steady("p95 < 300ms for 2s", *few) == ""


def test_a_reading_stands_until_the_next_is_due() -> None:
    """A probe that reads every five seconds covers them all; one that fell silent does not."""
    assert steady("cpu of api < 50% for 10s", *(reading(second, 0.2) for second in range(4, 20, 5)), every_s=5) == ""
    assert "no data" in steady("cpu of api < 50% for 10s", reading(4, 0.2), reading(9, 0.2), every_s=5)
    assert "80% was seen" in steady("cpu of api < 50% for 10s", *(reading(s, 0.8) for s in range(4, 20)))


def test_an_endpoint_is_looked_at_by_itself() -> None:
    """The rows of the other one do not stand for it."""
    rows = [row(second) for second in range(17, 19)]
    assert steady('errors of "GET /" < 1% for 2s', *rows) == ""
    assert "no data" in steady('errors of "GET /other" < 1% for 2s', *rows)


STEADY = "errors < 1% for 3s"


def ran(*seconds: tuple[int, int], limits: tuple[Limit, ...] = (parse_limit(STEADY),)) -> Scene:
    """A run whose first fault is due at 9 s and whose second at 14 s; `seconds` are (second, failed of ten)."""
    scene = Scene(steady=SteadyState(limits))
    for second, failed in seconds:
        scene.world.clock.at((second + 1) * NS_PER_S + NS_PER_S // 4, row(second, failed=failed))
    scene.run(timeline(fault("first", 8, 4), fault("second", 13, 4)))
    return scene


def asked(scene: Scene, word: str) -> list[str]:
    """The requests that begin with a word."""
    return [words for _, words in scene.world.asked if words.startswith(word)]


def test_a_steady_state_that_holds_lets_the_faults_come() -> None:
    """Both are injected; the second one is not gated, though errors are everywhere by then."""
    scene = ran(*((second, 0 if second < 9 else 10) for second in range(1, 20)))
    assert asked(scene, "inject") == ["inject first", "inject second"]
    assert not [event for event in scene.journal.events if isinstance(event, Aborted)]


@pytest.mark.parametrize(
    ("seconds", "why"),
    [
        ([(second, 1 if second == 6 else 0) for second in range(1, 20)], "did not hold: 10% was seen"),
        ([(second, 0) for second in range(1, 20) if second != 6], "there was no data in 1 of its 3 seconds"),
        ([], "there was no data in 3 of its 3 seconds"),
    ],
)
def test_without_its_steady_state_nothing_is_touched(seconds: list[tuple[int, int]], why: str) -> None:
    """Nothing is looked at, injected or healed; the load goes down; the reason is in the journal, synced."""
    scene = ran(*seconds)
    assert not [word for word in ("before", "inject", "felt", "heal") if asked(scene, word)]
    aborted = next(event for event in scene.journal.synced if isinstance(event, Aborted))
    assert aborted.by == "steady_state"
    assert why in aborted.why
    assert 9 * NS_PER_S <= aborted.at_ns < 10 * NS_PER_S
    assert asked(scene, "stop") == ["stop 5"]
    ended = scene.journal.events[-1]
    assert isinstance(ended, RunEnded)
    assert not ended.completed
    assert scene.clean()


def test_a_run_without_faults_is_not_gated() -> None:
    """There is nothing to stand before: the same file serves as a baseline."""
    scene = Scene(steady=SteadyState((parse_limit(STEADY),)))
    assert scene.run(timeline()).completed
