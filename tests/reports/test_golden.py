"""The text reports of a small exact run, as they stand in tests/golden/. `pytest --update-golden` writes them anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.evidence import Evidence
from harness.reports.console import summary
from harness.reports.json import evidence_json, verdict_json
from harness.reports.junit import junit
from harness.reports.markdown import markdown
from harness.reports.story import story
from harness.verdict import Verdict
from tests.reports.samples import small_arrivals, small_evidence, small_verdict

FOLDER = Path(__file__).parent.parent / "golden"
MADE: dict[str, Callable[[Verdict, Evidence], bytes]] = {
    "summary.txt": lambda verdict, evidence: summary(verdict, evidence, "results/ladder/run").encode() + b"\n",
    "report.md": lambda verdict, evidence: markdown(story(verdict, evidence)).encode(),
    "verdict.json": verdict_json,
    "evidence.json": lambda _, evidence: evidence_json(evidence),
    "junit.xml": junit,
}


RUNS: dict[str, Callable[[], tuple[Verdict, Evidence]]] = {
    "": lambda: (small_verdict(), small_evidence()),
    "arrivals": small_arrivals,
}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", MADE)
def test_report_equals_golden(name: str, run: str, request: pytest.FixtureRequest) -> None:
    """A change in what a person or a machine reads is a diff that somebody accepts; users, and arrivals at a rate."""
    made = MADE[name](*RUNS[run]())
    golden = FOLDER / run / name
    if request.config.getoption("--update-golden"):
        golden.write_bytes(made)
    assert made.decode() == golden.read_text("utf-8")
