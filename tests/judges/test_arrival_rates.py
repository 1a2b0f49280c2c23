"""The breaking point of ladders whose levels are arrivals a second."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from harness.evidence.measure import measure
from harness.journal import Json
from harness.judges import judge
from harness.testing import JournalBuilder
from harness.verdict import BreakingPoint, Outcome, Verdict
from tests.reports.samples import arrivals

HOLD_S = 20


def ladder(levels: Mapping[int, tuple[bool, int]], *, at_least: str = "") -> Verdict:
    """A verdict on rates that are (within the limits, arrivals that do not start each second)."""
    document: dict[str, Json] = {
        "name": "ladder",
        "why": "It breaks.",
        "stack": {"process": {"api": {"command": "api"}}},
        "traffic": {"scenario": "s.py", "target": "api", "max_users": 1000},
        "stages": [
            {"name": f"rate-{rate}", "role": "stress", "rate": f"{rate}/s", "hold": f"{HOLD_S}s"} for rate in levels
        ],
        "budget": ["errors < 90%"],
        "questions": [{"breaking_point": {"at_least": at_least} if at_least else {}}],
    }
    builder = JournalBuilder(document)
    for rate, (good, missed) in levels.items():
        start, _ = builder.arrivals(f"rate-{rate}", "stress", rate, hold_s=HOLD_S)
        for second in range(int(start), int(start) + HOLD_S):
            builder.traffic(second, "GET /", [20_000.0 if good else 3_000_000.0] * (rate - missed))
            builder.generator(second, 10, rate, not_started=missed)
    return judge(measure(builder.events()))


def point(verdict: Verdict) -> BreakingPoint:
    """Its breaking point."""
    assert verdict.breaking_point is not None
    return verdict.breaking_point


def test_the_bracket_is_of_rates() -> None:
    """Levels in order of their rate; the unit of the answer is arrivals a second."""
    found = point(ladder({100: (True, 0), 200: (True, 0), 400: (False, 0)}))
    assert (found.status, found.unit, found.last_good, found.first_bad) == ("broke_at", "per_s", 200.0, 400.0)
    assert [(level.users, level.load) for level in found.levels] == [(0, 100.0), (0, 200.0), (0, 400.0)]


def test_a_level_whose_arrivals_did_not_start_is_never_good() -> None:
    """What did start is within the limits, but it was the lucky part."""
    found = point(ladder({100: (True, 0), 200: (True, 1)}))
    assert [level.state for level in found.levels] == ["good", "undecided"]
    assert found.levels[1].not_started == HOLD_S
    assert (found.status, found.last_good) == ("inconclusive", 100.0)
    assert "never began" in found.because


def test_a_level_whose_arrivals_did_not_start_can_be_broken() -> None:
    """Even the lucky ones are out of the limits: more arrivals could only make it worse."""
    found = point(ladder({100: (True, 0), 200: (False, 50)}))
    assert (found.status, found.last_good, found.first_bad) == ("broke_at", 100.0, 200.0)


@pytest.mark.parametrize(
    ("at_least", "outcome"), [("200/s", Outcome.PASS), ("400/s", Outcome.FAIL), ("300/s", Outcome.INCONCLUSIVE)]
)
def test_at_least_is_a_rate(at_least: str, outcome: Outcome) -> None:
    """It holds up to 200/s and is broken at 400/s; the subject says what was asked."""
    verdict = ladder({100: (True, 0), 200: (True, 0), 400: (False, 0)}, at_least=at_least)
    (finding,) = verdict.findings
    assert (finding.subject, finding.outcome) == (f"breaking point above {at_least}", outcome)


def test_no_break_is_said_in_the_unit() -> None:
    """Every level holds: up to the highest rate."""
    assert point(ladder({100: (True, 0), 200: (True, 0)})).because == "every limit holds up to 200/s"


def test_a_freeze_does_not_count_against_its_level() -> None:
    """The seeded run is frozen for 2 s at 200/s and breaks for want of capacity at 400/s."""
    found = point(arrivals()[0])
    assert (found.last_good, found.first_bad) == (200.0, 400.0)
    assert found.levels[-1].not_started > 0
