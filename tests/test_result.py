"""A run's folder: written whole or not at all, found by any name that a person would give."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.errors import BadInput, EnvironmentBroke
from harness.result import RunFolder, create, find, outcome_of, provenance, runs

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


def made(root: Path, experiment: str = "smoke") -> RunFolder:
    """A run with a journal."""
    folder = create(root, experiment, NOON)
    folder.journal.write_text("", encoding="utf-8")
    folder.make_latest()
    return folder


def test_a_run_is_found_by_folder_journal_name_and_experiment(tmp_path: Path) -> None:
    """All four ways lead to the same run."""
    folder = made(tmp_path)
    for name in (str(folder.path), str(folder.journal), folder.run, "smoke", f"smoke/{folder.run}"):
        assert find(name, tmp_path).path == folder.path.resolve()


def test_latest_points_at_the_newest_run(tmp_path: Path) -> None:
    """The link is replaced, not added to."""
    made(tmp_path)
    second = made(tmp_path)
    assert (tmp_path / "smoke" / "latest").resolve() == second.path.resolve()
    assert len(list(runs(tmp_path))) == 2


def test_an_unknown_run_is_refused_with_a_hint(tmp_path: Path) -> None:
    """A typo is not a traceback."""
    with pytest.raises(BadInput, match="no run of that name") as caught:
        find("nope", tmp_path)
    assert "harness list" in caught.value.hint


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """What cannot be renamed into place leaves neither a part nor a temporary file."""
    folder = made(tmp_path)
    (folder.path / "report.md").mkdir()
    with pytest.raises(EnvironmentBroke, match="cannot be written"):
        folder.write("report.md", b"text")
    assert not list(folder.path.glob(".*.partial"))


def test_a_results_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    """A file where a folder should be."""
    (tmp_path / "results").write_text("", encoding="utf-8")
    with pytest.raises(EnvironmentBroke, match="cannot be made"):
        create(tmp_path / "results", "smoke", NOON)


def test_the_outcome_of_a_run_is_read_from_its_verdict(tmp_path: Path) -> None:
    """Unjudged, or damaged, is said as such."""
    folder = made(tmp_path)
    assert outcome_of(folder) == "unjudged"
    folder.write("verdict.json", json.dumps({"outcome": "fail"}).encode())
    assert outcome_of(folder) == "fail"
    folder.write("verdict.json", json.dumps({"outcome": "pass", "dirty": ["slow-db"]}).encode())
    assert outcome_of(folder) == "dirty"
    folder.write("verdict.json", b"{")
    assert outcome_of(folder) == "unjudged"


def test_provenance_is_json_and_names_the_versions(tmp_path: Path) -> None:
    """What a header holds can be written, in a git checkout or out of one."""
    facts = provenance(["harness", "run", "x.yaml"], tmp_path)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["git"] == {}
    versions = facts["versions"]
    assert isinstance(versions, dict) and versions["locust"]


def test_a_run_that_never_began_leaves_nothing_and_latest_stays(tmp_path: Path) -> None:
    """The folder goes; `latest` still points at the run before."""
    first = made(tmp_path)
    create(tmp_path, "smoke", NOON).discard()
    assert [folder.run for folder in runs(tmp_path)] == [first.run]
    assert (tmp_path / "smoke" / "latest").resolve() == first.path.resolve()
    assert len(list((tmp_path / "smoke").iterdir())) == 2


def test_secrets_in_logs_are_masked_and_every_other_byte_is_kept(tmp_path: Path) -> None:
    """What services print is not ours to vet: bytes that are no UTF-8 survive, passwords do not."""
    folder = made(tmp_path)
    log = folder.logs / "web.log"
    log.write_bytes(b"ok \xff\r\nconnect postgres://me:hunter2@db/x\nlast")
    folder.mask_logs()
    assert log.read_bytes() == b"ok \xff\r\nconnect postgres://me:***@db/x\nlast"
