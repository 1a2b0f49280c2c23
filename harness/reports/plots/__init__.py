"""The plots of a run: seven pictures, each for a desk and for a phone, from evidence and verdict alone.

matplotlib is imported by the modules of this package, so import this one only when plots are wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

from harness.evidence import Evidence
from harness.reports.picture import Picture
from harness.reports.plots import errors, generator, ladder, latency, load, percentiles, resources, style
from harness.reports.plots.style import Page
from harness.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One kind of picture: what it is called, what it shows (for who cannot see it), how it is drawn."""

    title: str
    alt: str
    draw: Callable[[Verdict, Evidence, Page], Figure]


PLOTS: Mapping[str, Plot] = {
    "ladder": Plot(
        title="Load levels",
        alt="Median, P95 and P99 latency and the error rate at each level of load, with the bracket of the break",
        draw=ladder.draw,
    ),
    "latency": Plot(
        title="Latency over time",
        alt="P50, P95 and P99 of each second under the stages and faults of the run, with the budget's limits",
        draw=latency.draw,
    ),
    "load": Plot(
        title="Load and throughput",
        alt="Users or arrivals wanted and there, what began, could not start and was answered well in each second",
        draw=load.draw,
    ),
    "errors": Plot(
        title="Errors by class",
        alt="Failed requests of each second stacked by class, and their share of all answers",
        draw=errors.draw,
    ),
    "resources": Plot(
        title="Resources",
        alt="CPU and memory by service with the load generator's own, and the series that limits name",
        draw=resources.draw,
    ),
    "generator": Plot(
        title="The load generator",
        alt="CPU of each worker, lateness of the event loop and of starts, open sockets and files, by second",
        draw=generator.draw,
    ),
    "percentiles": Plot(
        title="Latency at every percentile",
        alt="Latency at every percentile for each stage, as deep as its number of answers goes",
        draw=percentiles.draw,
    ),
}


def pictures(verdict: Verdict, evidence: Evidence, names: Iterable[str] = tuple(PLOTS)) -> Iterator[Picture]:
    """The named plots of PLOTS, drawn in that order. The same input gives the same bytes."""
    for name in names:
        plot = PLOTS[name]
        with style.styled():
            wide = style.settle(plot.draw(verdict, evidence, style.WIDE))
            narrow = style.settle(plot.draw(verdict, evidence, style.NARROW))
            picture = Picture(
                name=name,
                title=plot.title,
                alt=plot.alt,
                svg=style.svg(wide, name),
                narrow_svg=style.svg(narrow, f"{name}-narrow"),
                png=style.png(wide),
            )
        yield picture


def plots(verdict: Verdict, evidence: Evidence, names: Iterable[str] = tuple(PLOTS)) -> Mapping[str, bytes]:
    """The files of the plots folder: latency.svg, latency.png, ..."""
    return dict(files(pictures(verdict, evidence, names)))


def files(drawn: Iterable[Picture]) -> Iterator[tuple[str, bytes]]:
    """File name and bytes of each picture, SVG and PNG."""
    for picture in drawn:
        yield f"{picture.name}.svg", picture.svg
        yield f"{picture.name}.png", picture.png
