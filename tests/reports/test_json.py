"""verdict.json and evidence.json: the fields that scripts depend on, and the same bytes every time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.reports.json import evidence_json, verdict_json
from harness.verdict import Verdict
from tests.reports.samples import HOSTILE, SECRET, empty_evidence, ladder, small_evidence, small_verdict

FINDING = {"question", "subject", "outcome", "observed", "unit", "interval", "limit", "because", "where", "guards"}
WHERE = {"stage", "endpoint", "arm", "fault", "start_s", "end_s"}
POINT = {"status", "unit", "last_good", "first_bad", "estimate", "interval", "first_metric", "bottleneck", "because",
         "levels"}  # fmt: skip


def test_verdict_has_the_promised_fields() -> None:
    """The names that scripts were told of are there, and no others in findings and places."""
    tree = json.loads(verdict_json(small_verdict(), small_evidence()))
    assert {"schema", "experiment", "run", "outcome", "exit_code", "findings", "answers"} <= set(tree)
    assert (tree["outcome"], tree["exit_code"]) == ("fail", 1)
    for finding in tree["findings"]:
        assert set(finding) == FINDING
        assert set(finding["where"]) == WHERE
    assert set(tree["answers"]["breaking_point"]) == POINT
    assert set(tree["answers"]["breaking_point"]["bottleneck"]) == {"resource", "of", "value", "limit"}


def test_open_ends_and_absent_places_are_null() -> None:
    """Nothing known is null, never zero and never an empty word."""
    finding = json.loads(verdict_json(small_verdict(), small_evidence()))["findings"][2]
    assert finding["interval"] == [1_900_000.0, None]
    assert finding["where"]["endpoint"] is None


def test_no_question_no_answer() -> None:
    """A run that nobody asked for its breaking point has none, and an empty verdict still is one."""
    tree = json.loads(verdict_json(replace(small_verdict(), breaking_point=None, findings=()), empty_evidence()))
    assert tree["answers"] == {}
    assert tree["findings"] == []


@pytest.mark.parametrize("make", [verdict_json, lambda _, evidence: evidence_json(evidence)])
def test_same_values_same_bytes(make: object) -> None:
    """Numbers that differ beyond six digits, as machines do, give the same bytes."""
    verdict, evidence = small_verdict(), small_evidence()
    assert callable(make)
    first = make(verdict, evidence)
    wobbly = tuple(
        replace(one, observed=None if one.observed is None else one.observed * (1 + 1e-12)) for one in verdict.findings
    )
    assert make(replace(verdict, findings=wobbly), small_evidence()) == first
    assert first.endswith(b"}\n")
    assert first.isascii()


def test_numbers_that_json_lacks_become_null() -> None:
    """An infinite or undefined number is written as null, since strict readers refuse anything else."""
    finding = replace(small_verdict().findings[0], observed=float("inf"), limit=float("nan"))
    tree = json.loads(verdict_json(replace(small_verdict(), findings=(finding,)), small_evidence()))
    assert tree["findings"][0]["observed"] is None
    assert tree["findings"][0]["limit"] is None


def test_secrets_and_terminal_escapes_do_not_pass() -> None:
    """A password in an error message is masked, an escape sequence is spelled out."""
    evidence = small_evidence(message=f"{HOSTILE} {SECRET}")
    both = verdict_json(small_verdict(because=f"{HOSTILE} {SECRET}"), evidence) + evidence_json(evidence)
    assert b"hunter2" not in both
    assert b"\x1b" not in both


def test_evidence_tells_windows_faults_and_troubles() -> None:
    """What a verdict rests on can be read without the journal."""
    verdict, evidence = ladder()
    tree = json.loads(evidence_json(evidence))
    assert [stage["name"] for stage in tree["stages"]][-1] == "level-5000"
    assert {fault["name"] for fault in tree["faults"]} == {"slow-db", "freeze-payment"}
    broken = next(one for one in tree["windows"] if one["stage"] == "level-5000")
    assert broken["total"]["failed"]["5xx"] > 0
    assert broken["total"]["started"] == broken["total"]["finished"] + broken["total"]["lost"]
    assert any(one["metric"] == "db_pool_in_use" and one["maximum"] == 8.0 for one in broken["resources"])
    assert isinstance(verdict, Verdict)
