"""One limit against one window: each metric, decided on journals whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from harness.evidence.measure import measure
from harness.judges import judge
from harness.testing import JournalBuilder
from harness.verdict import Finding, Outcome


def finding(limit: str, *, seconds: int = 30, us: float = 20_000.0, worst_us: float = 0.0) -> Finding:
    """The verdict on one limit: 100 answers a second of `us`, the last second with one of `worst_us`; cpu at 30 %."""
    builder = JournalBuilder(
        {
            "name": "one",
            "why": "One limit.",
            "stack": {"process": {"api": {"command": "api"}}},
            "traffic": {"scenario": "s.py", "target": "api"},
            "stages": [{"name": "steady", "role": "steady", "users": 100, "hold": f"{seconds}s"}],
            "probes": [{"process": "api"}],
            "budget": [limit],
        }
    )
    builder.stage("steady", "steady", 100, ramp_s=0, hold_s=seconds)
    for second in range(seconds):
        tail = [worst_us] if worst_us and second == seconds - 1 else []
        builder.traffic(second, "GET /", np.array([us] * 100 + tail), late_us=0.0)
        builder.generator(second, 100, 100)
        builder.reading(second, "process", "api", {"cpu": 0.3, "memory": 0.1, "rss_bytes": 150e6})
    return judge(measure(builder.events())).findings[0]


@pytest.mark.parametrize(
    ("limit", "outcome"),
    [
        ("p50 < 30ms", Outcome.PASS),
        ("p95 < 10ms", Outcome.FAIL),
        ("mean < 30ms", Outcome.PASS),
        ("mean < 10ms", Outcome.FAIL),
        ("max < 30ms", Outcome.PASS),
        ("max < 10ms", Outcome.FAIL),
        ("rate > 90/s", Outcome.PASS),
        ("rate > 110/s", Outcome.FAIL),
        ("errors < 0.5%", Outcome.PASS),
        ("cpu of api < 60%", Outcome.PASS),
        ("cpu of api < 20%", Outcome.FAIL),
        ("memory of api < 200MB", Outcome.PASS),
        ("memory of api < 100MB", Outcome.FAIL),
        ("p95 < 10ms for 5s", Outcome.FAIL),
        ("p95 < 30ms for 5s", Outcome.PASS),
        ("cpu of api < 20% for 10s", Outcome.FAIL),
    ],
)
def test_every_metric_is_decided(limit: str, outcome: Outcome) -> None:
    """20 ms, 100 answers a second, 30 % CPU, 150 MB."""
    assert finding(limit).outcome is outcome


def test_one_slow_answer_breaks_max_and_nothing_else() -> None:
    """The percentile forgives what the maximum does not."""
    assert finding("max < 1s", worst_us=3_000_000.0).outcome is Outcome.FAIL
    assert finding("p99 < 1s", worst_us=3_000_000.0).outcome is Outcome.PASS


@pytest.mark.parametrize("limit", ["max < 30ms", "mean < 30ms", "rate > 90/s", "errors < 50%", "p50 < 30ms"])
def test_five_seconds_decide_nothing(limit: str) -> None:
    """No metric passes on less than any interval takes."""
    assert finding(limit, seconds=5).outcome is Outcome.INCONCLUSIVE


def test_the_printed_interval_of_a_percentile_holds_its_estimate() -> None:
    """Woodruff's interval is around the sample percentile."""
    one = finding("p95 < 500ms")
    assert one.interval is not None
    low, high = one.interval
    assert low is not None and high is not None and one.observed is not None
    assert low <= one.observed <= high
