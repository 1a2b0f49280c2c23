"""What CI installs and requires is what the tests ask for."""

from __future__ import annotations

import re
from pathlib import Path

from harness.clients.netns import PROGRAMS

ROOT = Path(__file__).parents[1]


def test_ci_lets_no_part_be_missing() -> None:
    """Every part that a test may be skipped for is named in HARNESS_REQUIRE."""
    marks = [
        mark for file in (ROOT / "tests").rglob("*.py") for mark in re.findall(r"mark\.needs\(.*?\)", file.read_text())
    ]
    wanted = {part for mark in marks for part in re.findall(r'"([a-z]+)"', mark)}
    named = re.search(r"HARNESS_REQUIRE=(\S+)", (ROOT / ".ci/run").read_text())
    assert named is not None
    assert wanted <= set(named[1].split(","))


def test_ci_installs_what_container_faults_call() -> None:
    """Each Debian package with a program that is run in a container's network namespace."""
    installed = re.findall(r"\|\| echo ([a-z0-9.-]+)$", (ROOT / ".ci/parts").read_text(), re.MULTILINE)
    assert set(PROGRAMS.values()) <= set(installed)
