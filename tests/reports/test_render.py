"""All artefacts of a run, in the order they are written."""

from __future__ import annotations

import pytest

from harness.reports import REPORTS, render
from harness.reports.plots import PLOTS
from tests.reports.samples import small_evidence, small_verdict


@pytest.fixture(scope="module")
def made() -> list[tuple[str, bytes]]:
    """Everything of a small run."""
    return list(render(small_verdict(), small_evidence()))


def test_machines_are_served_before_the_plots_are_drawn(made: list[tuple[str, bytes]]) -> None:
    """Evidence and verdict are on disk within milliseconds; the page that shows everything comes last."""
    names = [name for name, _ in made]
    assert names[:3] == ["evidence.json", "verdict.json", "junit.xml"]
    assert names[-2:] == ["report.md", "report.html"]
    assert set(names[3:-2]) == {f"plots/{name}.{form}" for name in PLOTS for form in ("svg", "png")}


def test_without_plots_no_picture_is_missed() -> None:
    """Without plots there is every text report, and no reference to a picture that is not there."""
    texts = dict(render(small_verdict(), small_evidence(), plots=False))
    assert set(texts) == set(REPORTS)
    assert b"plots/" not in texts["report.md"]
    assert b"<figure>" not in texts["report.html"]


def test_markdown_shows_the_pictures_beside_it(made: list[tuple[str, bytes]]) -> None:
    """report.md refers to each PNG by its place in the run's folder."""
    text = dict(made)["report.md"]
    for name in PLOTS:
        assert f"(plots/{name}.png)".encode() in text
