"""The whole latency distribution of each stage, on an axis that gives every further nine the same room."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from harness.evidence import Evidence, Window
from harness.histogram import bucket_middle
from harness.loader.limits import PERCENTILES
from harness.reports.plots import scale, style
from harness.reports.plots.latency import latency_limits
from harness.reports.plots.style import Page
from harness.verdict import Verdict

Floats = npt.NDArray[np.float64]

_TICKS = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999, 0.999999)
_MOST_STAGES = 16


def draw(verdict: Verdict, evidence: Evidence, page: Page) -> Figure:  # noqa: ARG001 - one shape for all plots
    """One curve per stage, as deep as its sample goes; the budget's percentiles as crosses."""
    figure, (axes,) = style.paper(page, [4.2])
    windows = [window for window in evidence.windows if not window.fault and window.total.latency.n]
    shown = windows[-_MOST_STAGES:]
    curves = [(window, *_curve(evidence, window)) for window in shown]
    curves = [curve for curve in curves if len(curve[1])]
    if not curves:
        style.empty(axes, "no request was answered")
        style.headed(axes, "Latency distribution by stage", page)
        axes.set_xticks([])
        return figure
    for index, (window, depth, us) in enumerate(curves):
        axes.plot(
            depth, us, color=style.CYCLE[index % len(style.CYCLE)], linestyle=style.DASHES[index % len(style.DASHES)],
            drawstyle="steps-pre", label=f"{style.name(window.stage, 20)} ({window.total.latency.n:,} answers)",
        )  # fmt: skip
    limits = latency_limits(evidence)
    marks = dict.fromkeys((1 / (1 - PERCENTILES[limit.metric]), limit.bound) for limit in limits)
    if marks:
        depths, bounds = zip(*marks, strict=True)
        axes.plot(depths, bounds, marker="X", markersize=8, color=style.INK, linestyle="none",
                  markeredgecolor=style.PAPER, zorder=4, label="limits of the budget")  # fmt: skip
    scale.latency(axes, [us for _, _, us in curves], [limit.bound for limit in limits])
    _depth_axis(axes, max(float(depth[-1]) for _, depth, _ in curves), page)
    style.headed(axes, "Latency distribution by stage", page)
    return figure


def _curve(evidence: Evidence, window: Window) -> tuple[Floats, Floats]:
    """Depth 1/(1-q) and latency at each filled bucket: the last answer stands at depth n, where q = 1 - 1/n."""
    counts = evidence.cells.span(window.first, window.last).counts()
    filled = np.flatnonzero(counts)
    if not len(filled):
        return np.zeros(0), np.zeros(0)
    total = counts.sum()
    below = np.cumsum(counts[filled])
    depth = total / np.maximum(total - below, 1.0)
    us = np.array([bucket_middle(int(bucket)) for bucket in filled])
    return np.append(1.0, depth), np.append(us[0], us)


def _depth_axis(axes: Axes, deepest: float, page: Page) -> None:
    axes.set_xscale("log")
    ticks = [share for share in _TICKS if 1 / (1 - share) <= deepest * 1.001 or share <= 0.9]
    ticks = [share for share in ticks if not (page.narrow and share == 0.95)]
    axes.xaxis.set_major_locator(FixedLocator([1 / (1 - share) for share in ticks]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FixedFormatter([f"{share * 100:.6g} %" for share in ticks]))
    axes.set_xlim(1, max(10.0, deepest) * 1.1)
    axes.grid(visible=True, axis="x")
    axes.set_xlabel("share of answers that were at least as fast")
