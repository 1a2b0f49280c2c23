"""The load: what was intended against what came about.

Closed model: users wanted and there, and what they made. Open model: arrivals wanted and begun, those that found no
user to begin them, and how many users were busy.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.evidence import Evidence
from harness.evidence.intended import corners
from harness.reports.plots import scale, style
from harness.reports.plots.style import Page
from harness.reports.plots.timeline import Floats, Timeline, generator_sum, panels, plot, thin, timeline
from harness.units import NS_PER_S
from harness.verdict import Verdict


def draw(verdict: Verdict, evidence: Evidence, page: Page) -> Figure:
    """Two panels: the load in its own unit first, what it led to under it."""
    line = timeline(verdict, evidence, page)
    if evidence.unit == "rate":
        figure, (rate, users) = panels(line, [2.6, 1.9])
        _arrivals(rate, line)
        _busy(users, line)
    else:
        figure, (users, rate) = panels(line, [2.2, 2.4])
        _users(users, line)
        _throughput(rate, line)
    return figure


def _users(axes: Axes, line: Timeline) -> None:
    there = generator_sum(line, lambda row: row.users)
    plot(axes, line, line.middles, there, "there", style.SKY, width=3.0)
    top = _wanted(axes, line, "wanted")
    scale.counts(axes, "users", max(top, float(np.nanmax(there, initial=0.0))))
    style.headed(axes, "Users", line.page)


def _throughput(axes: Axes, line: Timeline) -> None:
    answered, finished = _answered(line)
    due, begun = generator_sum(line, lambda row: row.due), generator_sum(line, lambda row: row.begun)
    if not finished.any() and not np.isfinite(due).any():
        style.empty(axes, "no request was made")
    else:
        plot(axes, line, line.middles, begun, "iterations begun", style.SKY, width=3.0)
        plot(axes, line, line.middles, due, "iterations due", style.INK, style.DASHES[1], width=1.0)
        plot(axes, line, line.middles, answered, "requests answered well", style.GREEN)
        tops = [float(np.nanmax(column, initial=0.0)) for column in (due, begun, finished)]
        scale.counts(axes, "per second", max(tops))
    style.headed(axes, "Throughput, by the second in which it was due", line.page)


def _arrivals(axes: Axes, line: Timeline) -> None:
    begun, missed = generator_sum(line, lambda row: row.begun), generator_sum(line, lambda row: row.not_started)
    answered, finished = _answered(line)
    if not finished.any() and not np.isfinite(begun).any():
        style.empty(axes, "nothing arrived")
    else:
        _not_started(axes, line, begun, missed)
        plot(axes, line, line.middles, begun, "begun", style.SKY, width=3.0)
        plot(axes, line, line.middles, answered, "requests answered well", style.GREEN)
        top = _wanted(axes, line, "wanted")
        both = float(np.nanmax(begun + missed, initial=0.0))
        scale.counts(axes, "per second", max(top, both, float(np.nanmax(finished, initial=0.0))))
    style.headed(axes, "Arrivals, by the second in which they were due", line.page)


def _not_started(axes: Axes, line: Timeline, begun: Floats, missed: Floats) -> None:
    """A hatched band on top of what began: together they are what was due."""
    if not np.nansum(missed) > 0:
        return
    points = line.page.points
    x, low = thin(line.middles, begun, points, peak=False)
    _, high = thin(line.middles, begun + missed, points, peak=False)
    there = high > low
    # Twice: an opacity would hold for the hatching too.
    axes.fill_between(x, low, high, where=there, step="mid", facecolor=style.VERMILLION, alpha=0.25, linewidth=0.0)
    axes.fill_between(
        x, low, high, where=there, step="mid", facecolor="none", edgecolor=style.VERMILLION, hatch="//////",
        linewidth=0.0, label="not started: no user was free",
    )  # fmt: skip


def _busy(axes: Axes, line: Timeline) -> None:
    """How much of the pool of users was waiting for answers."""
    busy = generator_sum(line, lambda row: row.users)
    if not np.isfinite(busy).any():
        style.empty(axes, "the generator reported nothing")
        style.headed(axes, "Users busy", line.page)
        return
    plot(axes, line, line.middles, busy, "busy", style.BLUE, peak=True)
    top, most = float(np.nanmax(busy)), line.evidence.experiment.traffic.max_users
    if most and top > most / 4:  # a limit far away would flatten the line into the floor
        dash = style.DASHES[1]
        axes.axhline(most, color=style.INK, linestyle=dash, linewidth=1.0, label=f"all there may be: {most:,}")
        top = max(top, float(most))
    scale.counts(axes, "users", top)
    style.headed(axes, "Users busy with an arrival", line.page)


def _wanted(axes: Axes, line: Timeline, label: str) -> float:
    """The line that the generator was told to follow, as far as the run came; returns its top."""
    end_ns = line.evidence.zero_ns + round(line.end_s * NS_PER_S)
    points = corners(line.evidence.orders, end_ns)
    x, y = [line.x(at_ns) for at_ns, _ in points], [level for _, level in points]
    axes.plot(x, y, color=style.INK, linestyle=style.DASHES[1], linewidth=1.0, label=label)
    return max(y, default=0.0)


def _answered(line: Timeline) -> tuple[Floats, Floats]:
    """Requests answered well, and all that were answered, by second."""
    cells, seconds = line.evidence.cells, line.seconds
    finished = cells.by_second(cells.finished, seconds)
    return finished - cells.by_second(cells.failed.sum(axis=1), seconds), finished
