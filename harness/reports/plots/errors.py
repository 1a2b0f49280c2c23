"""Failures by class, and their share of all answers."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.evidence import Evidence
from harness.reports import words
from harness.reports.plots import scale, style
from harness.reports.plots.style import Page
from harness.reports.plots.timeline import Floats, Timeline, limit_line, panels, plot, thin, timeline
from harness.verdict import Verdict

_COLORS = {
    "timeout": style.VERMILLION, "5xx": style.PURPLE, "connect": style.BLUE, "reset": style.SKY,
    "4xx": style.ORANGE, "assertion": style.GREEN,
}  # fmt: skip
_HATCHES = {"timeout": "", "5xx": "////", "connect": "....", "reset": "\\\\\\\\", "4xx": "xxxx", "assertion": "----"}


def draw(verdict: Verdict, evidence: Evidence, page: Page) -> Figure:
    """Failed answers a second, stacked by class, over the share of failed among all answers."""
    line = timeline(verdict, evidence, page)
    figure, (amount, share) = panels(line, [2.3, 2.0])
    cells = evidence.cells
    finished = cells.by_second(cells.finished, line.seconds)
    classes = [
        (name, cells.by_second(cells.failed[:, index], line.seconds)) for index, name in enumerate(cells.classes)
    ]
    classes = [(name, column) for name, column in classes if column.any()]
    total = sum((column for _, column in classes), np.zeros(len(line.seconds)))
    if not finished.any():
        style.empty(amount, "no request was answered")
        style.empty(share, "no request was answered")
    else:
        _stack(amount, line, classes)
        scale.counts(amount, "failed per second", float(total.max()))
        with np.errstate(invalid="ignore", divide="ignore"):
            failed = np.where(finished > 0, total / finished, np.nan)
        plot(share, line, line.middles, failed, "failed of all answers", style.VERMILLION, peak=True)
        limits = [limit for limit in evidence.experiment.budget if limit.metric == "errors" and not limit.of]
        for limit in limits:
            limit_line(share, line, limit, style.INK, f"limit: {words.percent(limit.bound)}")
        near = [limit.bound for limit in limits if limit.bound <= 0.2]
        scale.shares(share, "share of answers", max([float(np.nanmax(failed)), *near]), ceiling=1.05)
        if not classes:
            amount.text(0.5, 0.5, "no request failed", transform=amount.transAxes, ha="center", fontstyle="italic")
    style.headed(amount, "Failed requests by class", page)
    style.headed(share, "Error rate of each second", page)
    return figure


def _stack(axes: Axes, line: Timeline, classes: list[tuple[str, Floats]]) -> None:
    floor: Floats | None = None
    for name, column in sorted(classes, key=lambda item: -item[1].sum()):
        x, y = thin(line.middles, column, line.page.points, peak=False)
        floor = np.zeros(len(y)) if floor is None else floor
        color = _COLORS.get(name, style.INK)
        axes.fill_between(
            x, floor, floor + y, step="mid", facecolor=color, edgecolor=style.PAPER, linewidth=0.0,
            hatch=_HATCHES.get(name, "++"), label=style.name(name),
        )  # fmt: skip
        floor = floor + y
