"""All artefacts of a run, in the order they are written."""

from __future__ import annotations

from harness.reports import REPORTS, render
from harness.reports.plots import PLOTS
from tests.reports.samples import small_evidence, small_verdict


def test_machines_are_served_before_the_plots_are_drawn() -> None:
    """Evidence and verdict are on disk within milliseconds; the page that shows everything comes last."""
    names = [name for name, _ in render(small_verdict(), small_evidence())]
    assert names[:3] == ["evidence.json", "verdict.json", "junit.xml"]
    assert names[-2:] == ["report.md", "report.html"]
    assert set(names[3:-2]) == {f"plots/{name}.{form}" for name in PLOTS for form in ("svg", "png")}


def test_without_plots_the_texts_are_the_same_but_for_the_pictures() -> None:
    """--no-plots gives every text report, and no reference to a picture that is not there."""
    made = dict(render(small_verdict(), small_evidence(), plots=False))
    assert set(made) == set(REPORTS)
    assert b"plots/" not in made["report.md"]
    assert b"<figure>" not in made["report.html"]


def test_markdown_shows_the_pictures_beside_it() -> None:
    """report.md refers to each PNG by its place in the run's folder."""
    made = dict(render(small_verdict(), small_evidence()))
    for name in PLOTS:
        assert f"(plots/{name}.png)".encode() in made["report.md"]
