"""Users and throughput: what was intended against what came about."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from harness.evidence import Evidence
from harness.journal import Generator
from harness.reports.plots import scale, style
from harness.reports.plots.style import Page
from harness.reports.plots.timeline import Floats, Timeline, panels, plot, timeline
from harness.verdict import Verdict


def draw(verdict: Verdict, evidence: Evidence, page: Page) -> Figure:
    """Users wanted and there; iterations due and begun; requests answered well."""
    line = timeline(verdict, evidence, page)
    figure, (users, rate) = panels(line, [2.2, 2.4])
    there = _generator(line, lambda row: row.users)
    wanted_x, wanted = _wanted(line)
    plot(users, line, line.middles, there, "there", style.SKY, width=3.0)
    users.plot(wanted_x, wanted, color=style.INK, linestyle=style.DASHES[1], linewidth=1.0, label="wanted")
    scale.counts(users, "users", float(max([*wanted, np.nanmax(there, initial=0.0)], default=0.0)))
    style.headed(users, "Users", page)

    seconds = line.seconds
    finished = evidence.cells.by_second(evidence.cells.finished, seconds)
    failed = evidence.cells.by_second(evidence.cells.failed.sum(axis=1), seconds)
    due, begun = _generator(line, lambda row: row.due), _generator(line, lambda row: row.begun)
    if not finished.any() and not np.isfinite(due).any():
        style.empty(rate, "no request was made")
    else:
        plot(rate, line, line.middles, begun, "iterations begun", style.SKY, width=3.0)
        plot(rate, line, line.middles, due, "iterations due", style.INK, style.DASHES[1], width=1.0)
        plot(rate, line, line.middles, finished - failed, "requests answered well", style.GREEN)
        tops = [float(np.nanmax(column, initial=0.0)) for column in (due, begun, finished)]
        scale.counts(rate, "per second", max(tops))
    style.headed(rate, "Throughput, by the second in which it was due", page)
    return figure


def _wanted(line: Timeline) -> tuple[list[float], list[float]]:
    """The corners of the line of users that the plan asked for, as far as the run came."""
    x, y, before = [0.0], [0.0], 0
    for stage in line.evidence.stages:
        ramp_ns = max(1, stage.hold_ns - stage.start_ns)
        reached_ns = min(stage.hold_ns, stage.end_ns)
        reached = before + (stage.users - before) * (reached_ns - stage.start_ns) / ramp_ns
        top = reached if stage.hold_ns > stage.start_ns else float(stage.users)
        x += [line.x(stage.start_ns), line.x(reached_ns), line.x(stage.end_ns)]
        y += [float(before), top, top]
        before = stage.users
    return x, y


def _generator(line: Timeline, value: Callable[[Generator], float]) -> Floats:
    """A number of the generator summed over workers by second; NaN for seconds without any row."""
    seconds = line.seconds
    column = np.full(len(seconds), np.nan)
    for row in line.evidence.generator:
        if row.second in seconds:
            at = row.second - seconds[0]
            column[at] = value(row) if np.isnan(column[at]) else column[at] + value(row)
    return column
