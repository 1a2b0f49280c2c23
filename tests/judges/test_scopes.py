"""Of which windows a limit speaks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from harness.evidence import Evidence
from harness.judges.budget import windows_of
from harness.loader.limits import parse_limit
from tests.documents import built

REPEATED = {"name": "lag", "toxic": "down", "on": "front", "during": "level-500", "for": "2s", "every": "10s"}
ALONE = {"name": "lag-spike", "toxic": "down", "on": "front", "during": "level-100", "for": "2s"}


@pytest.mark.parametrize(
    ("limit", "seen"),
    [
        ("p95 < 1s in lag", ["lag-1", "lag-2", "lag-3"]),
        ("p95 < 1s in lag-2", ["lag-2"]),
        ("p95 < 1s in lag-spike, level-100", ["level-100", "lag-spike"]),
        ("p95 < 1s in lag, lag-spike", ["lag-spike", "lag-1", "lag-2", "lag-3"]),
        ("p95 < 1s", ["level-100", "level-500"]),
    ],
)
def test_a_limit_in_a_repeated_fault_speaks_of_every_repetition(limit: str, seen: list[str]) -> None:
    """A stage's window is not a fault's, and a fault whose name begins alike is another."""
    experiment = built(faults=[REPEATED, ALONE], budget=[])
    named = [("warm", ""), ("level-100", ""), ("level-100", "lag-spike"), ("level-500", "")]
    named += [("level-500", f"lag-{number}") for number in (1, 2, 3)]
    windows = tuple(SimpleNamespace(stage=stage, fault=fault) for stage, fault in named)
    evidence = cast("Evidence", SimpleNamespace(experiment=experiment, windows=windows))
    assert [window.fault or window.stage for window in windows_of(parse_limit(limit), evidence)] == seen
