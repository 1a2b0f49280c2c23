"""A short experiment end to end on the embedded default, judged again afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.runs import Run, fault, harness


@pytest.mark.e2e
def test_a_short_run_gives_a_verdict_that_judge_repeats_byte_for_byte(tmp_path: Path) -> None:
    """Exit 0, stdout exactly verdict.json, every report there; the journal alone gives the same bytes again."""
    faults = [fault("toxic latency", "front", latency="20ms")]
    with Run(tmp_path, "--json", "--seed", "7", faults=faults) as run:
        code, out, err = run.end()
        assert code == 0, err
        assert not run.left()
    verdict = run.path() / "verdict.json"
    assert out == verdict.read_text(encoding="utf-8")
    assert run.verdict()["outcome"] == "pass"
    assert run.events("FaultFelt")[0]["felt"] is True
    names = {path.name for path in run.path().iterdir()}
    assert {"journal.jsonl", "evidence.json", "junit.xml", "report.md", "report.html", "logs"} <= names
    verdict.unlink()
    assert harness("judge", "short", cwd=tmp_path).returncode == 0
    assert verdict.read_text(encoding="utf-8") == out
