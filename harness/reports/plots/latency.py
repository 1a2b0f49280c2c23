"""Latency percentiles of each second, counted from when requests were due."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from harness.evidence import Evidence
from harness.experiment import Limit
from harness.loader.limits import PERCENTILES
from harness.reports import words
from harness.reports.plots import scale, style
from harness.reports.plots.style import Page
from harness.reports.plots.timeline import Floats, limit_line, panels, plot, timeline
from harness.verdict import Verdict

SHARES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
COLORS = {"p50": style.BLUE, "p95": style.GREEN, "p99": style.VERMILLION}
_DASHES = {"p50": style.DASHES[0], "p95": style.DASHES[1], "p99": style.DASHES[0]}


def latency_limits(evidence: Evidence) -> list[Limit]:
    """The limits on percentiles of all requests together."""
    return [limit for limit in evidence.experiment.budget if limit.metric in PERCENTILES and not limit.of]


def color(metric: str) -> str:
    """The colour of a percentile, on every plot the same."""
    return COLORS.get(metric, style.INK)


def draw(verdict: Verdict, evidence: Evidence, page: Page) -> Figure:
    """P50, P95 and P99 of each second, with the budget's lines."""
    line = timeline(verdict, evidence, page)
    figure, (axes,) = panels(line, [3.3 if page.narrow else 3.6])
    seconds = line.seconds
    found: tuple[Floats, ...] = evidence.cells.percentiles_by_second(
        seconds[0], seconds[-1] + 1, tuple(SHARES.values())
    )
    if not any(np.isfinite(column).any() for column in found):
        style.empty(axes, "no request was answered")
        style.headed(axes, "Latency", page)
        return figure
    for metric, column in zip(SHARES, found, strict=True):
        plot(axes, line, line.middles, column, metric.upper(), COLORS[metric], _DASHES[metric], peak=True)
    limits = latency_limits(evidence)
    scale.latency(axes, found, [limit.bound for limit in limits])
    for limit in limits:
        label = f"limit of {limit.metric.upper()}: {words.duration_us(limit.bound)}"
        limit_line(axes, line, limit, color(limit.metric), label)
    bin_s = -(-len(seconds) // page.points)
    style.headed(axes, "Latency of each second" + (f", highest of every {bin_s} s" if bin_s > 1 else ""), page)
    return figure
