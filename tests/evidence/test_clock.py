"""Seconds that nobody reported: the clock jumped, or the machine stood still. Nothing may pass on such evidence."""

from __future__ import annotations

import pytest

from harness.evidence.measure import measure
from harness.journal import Generator
from harness.judges import judge
from harness.testing import synthetic_ladder


@pytest.mark.parametrize(("missing_s", "jumped"), [(0, False), (2, False), (3, True), (12, True)])
def test_a_window_with_unreported_seconds_is_told_and_does_not_pass(missing_s: int, jumped: bool) -> None:
    """More than 2 s, and more than a twentieth of its stage; the other stages are judged as ever."""
    events = synthetic_ladder(hold_s=20)
    quiet = measure(events).windows[0]
    gap = range(quiet.first + 6, quiet.first + 6 + missing_s)
    evidence = measure([event for event in events if not (isinstance(event, Generator) and event.second in gap)])
    told = [one.stage for one in evidence.windows if any(defect.kind == "clock jump" for defect in one.defects)]
    assert told == ([quiet.stage] if jumped else [])
    if jumped:
        outcomes = {one.outcome for one in judge(evidence).findings if one.where.stage == quiet.stage}
        assert "pass" not in outcomes
