"""Reports: pure functions from a verdict and its evidence to text and bytes. The table of names is here, once.

`render` yields every file of a run's folder; whoever calls it writes them. matplotlib and jinja2 are imported by the
reports that need them, when they are rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from harness.reports.picture import Picture

if TYPE_CHECKING:  # evidence brings numpy along, which the live view of this package does without
    from harness.evidence import Evidence
    from harness.verdict import Verdict

Pictures = tuple[Picture, ...]
Report = Callable[["Verdict", "Evidence", Pictures], bytes]


def _evidence(verdict: Verdict, evidence: Evidence, pictures: Pictures) -> bytes:  # noqa: ARG001 - one shape for all
    from harness.reports.json import evidence_json

    return evidence_json(evidence)


def _verdict(verdict: Verdict, evidence: Evidence, pictures: Pictures) -> bytes:  # noqa: ARG001 - one shape for all
    from harness.reports.json import verdict_json

    return verdict_json(verdict, evidence)


def _junit(verdict: Verdict, evidence: Evidence, pictures: Pictures) -> bytes:  # noqa: ARG001 - one shape for all
    from harness.reports.junit import junit

    return junit(verdict, evidence)


def _markdown(verdict: Verdict, evidence: Evidence, pictures: Pictures) -> bytes:
    from harness.reports.markdown import markdown
    from harness.reports.story import story

    plots = [(f"plots/{picture.name}.png", picture.title, picture.alt) for picture in pictures]
    return markdown(story(verdict, evidence), plots).encode("utf-8")


def _html(verdict: Verdict, evidence: Evidence, pictures: Pictures) -> bytes:
    from harness.reports.html import html
    from harness.reports.story import story

    return html(story(verdict, evidence), pictures).encode("utf-8")


# File -> report, in the order they are written: the evidence first, the page that shows all of them last.
REPORTS: Mapping[str, Report] = {
    "evidence.json": _evidence,
    "verdict.json": _verdict,
    "junit.xml": _junit,
    "report.md": _markdown,
    "report.html": _html,
}
_AFTER_PLOTS = frozenset({"report.md", "report.html"})


def render(verdict: Verdict, evidence: Evidence, *, plots: bool = True) -> Iterator[tuple[str, bytes]]:
    """Every artefact as (path in the run's folder, bytes). What machines need comes before what takes seconds."""
    for name, report in REPORTS.items():
        if name not in _AFTER_PLOTS:
            yield name, report(verdict, evidence, ())
    drawn: list[Picture] = []
    if plots:
        from harness.reports.plots import files, pictures

        for picture in pictures(verdict, evidence):
            drawn.append(picture)
            yield from ((f"plots/{name}", content) for name, content in files((picture,)))
    for name in REPORTS:
        if name in _AFTER_PLOTS:
            yield name, REPORTS[name](verdict, evidence, tuple(drawn))
