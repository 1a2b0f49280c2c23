"""What `harness doctor` says: each finding in a line, with what to do below it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import doctor
from harness.doctor import Finding
from harness.healing import residue, unhealed
from harness.healing.residue import Residue, Scan

LEFT = Residue(what="toxic harness-1 on proxy db", whose="run r-1, dead", command="harness heal --run r-1")
FORCE = Residue(what="container api is paused", whose="run r-2, alive", command="harness halt", living=True)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder of the test's own."""
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path))


def told(monkeypatch: pytest.MonkeyPatch, scan: Scan) -> str:
    """The finding on residue when the scan gives this."""
    monkeypatch.setattr(residue, "scan", lambda: scan)
    return str(doctor._residue())


def test_a_clean_target_is_well_and_what_was_not_asked_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a living run has in force is no fault of the machine's."""
    line = told(monkeypatch, Scan(seen=(FORCE,), not_asked=("Docker: start Docker",)))
    assert line.startswith(
        "ok      target residue  nothing of ours is left; not asked: Docker; container api is paused"
    )


def test_residue_is_listed_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line each."""
    lines = told(monkeypatch, Scan(seen=(LEFT, FORCE), not_asked=())).splitlines()
    assert lines[0].startswith("left    target residue  1 left")
    assert lines[1].strip() == "toxic harness-1 on proxy db (run r-1, dead); type: harness heal --run r-1"


def test_a_run_that_left_its_ledger_open_is_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is seen, but nobody could look at everything: doctor does not say that nothing is left."""
    monkeypatch.setattr(unhealed, "unhealed_note", lambda: "run r-1 is over with a fault: harness heal")
    lines = told(monkeypatch, Scan(seen=(), not_asked=())).splitlines()
    assert lines[0].startswith("left    target residue  may be left")
    assert lines[1].strip() == "run r-1 is over with a fault: harness heal"


def test_a_finding_tells_what_to_do_only_when_something_is_missing() -> None:
    """Advice of several lines is indented alike."""
    assert str(Finding(what="x", well=True, seen="there", advice="do")) == f"ok      {'x':15} there"
    lines = str(Finding(what="x", well=False, seen="away", advice="do\nand do", needed=True)).splitlines()
    assert lines == [f"missing {'x':15} away", f"{'':24}do", f"{'':24}and do"]


def test_this_machine_is_examined_with_every_part_named() -> None:
    """Python and Locust are there, or these tests would not run."""
    found = {finding.what: finding for finding in doctor.examine()}
    assert found["Python"].well
    assert found["Locust"].well
    assert {"Docker", "Toxiproxy", "Compose", "target residue"} <= set(found)
