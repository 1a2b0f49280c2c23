"""docs/report.md names every field of the JSON artefacts and every plot."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from harness.reports import REPORTS
from harness.reports.json import evidence_json, verdict_json
from harness.reports.plots import PLOTS
from tests.reports.samples import ladder

PAGE = (Path(__file__).parents[2] / "docs" / "report.md").read_text("utf-8")
CODE = set(re.findall(r"[a-z_0-9.]+", " ".join(re.findall(r"`([^`]+)`", PAGE))))


def keys(tree: object) -> Iterator[str]:
    """Every key of a JSON tree but the names of failure classes."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield key
            if key != "failed":
                yield from keys(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from keys(item)


def test_every_field_is_documented() -> None:
    """A field that a script can read is one that a person can look up."""
    verdict, evidence = ladder()
    made = {*keys(json.loads(verdict_json(verdict, evidence))), *keys(json.loads(evidence_json(evidence)))}
    assert made - CODE == set()


def test_every_artefact_and_plot_is_documented() -> None:
    """Each file of a run's folder that reports write is in the page."""
    assert {*REPORTS, *PLOTS} - CODE == set()
