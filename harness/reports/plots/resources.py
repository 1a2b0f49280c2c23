"""CPU and memory by service with the generator's own, and every other series that a limit or the bottleneck names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.evidence import Evidence, Series
from harness.experiment import Limit
from harness.journal import Generator
from harness.loader.limits import REQUEST_METRICS
from harness.reports import words
from harness.reports.plots import scale, style
from harness.reports.plots.style import Page
from harness.reports.plots.timeline import Floats, Timeline, limit_line, panels, plot, timeline
from harness.units import NS_PER_S
from harness.verdict import Verdict

GENERATOR = "load generator"
_MOST_LINES = 10
_MOST_EXTRA = 4
_SIZES = frozenset({"memory_bytes", "rss_bytes"})
_CAPACITIES = ("_size", "_max", "_limit")


def draw(verdict: Verdict, evidence: Evidence, page: Page) -> Figure:
    """One panel for CPU, one for memory, one for each other named metric (four at most)."""
    line = timeline(verdict, evidence, page)
    extra = _named(verdict, evidence)
    figure, (cpu, memory, *rest) = panels(line, [1.9, 1.9, *[1.7 for _ in extra]])
    _cpu(cpu, line)
    _memory(memory, line)
    for axes, metric in zip(rest, extra, strict=True):
        _extra(axes, line, metric, verdict)
    return figure


def _of(evidence: Evidence, metric: str) -> list[Series]:
    return [series for series in evidence.series if series.metric == metric]


def _sizes(evidence: Evidence) -> list[Series]:
    return [series for series in evidence.series if series.metric in _SIZES]


def _named(verdict: Verdict, evidence: Evidence) -> list[str]:
    """Metrics that a limit or the bottleneck speaks of, that some probe saw, and that have no panel yet."""
    wanted = [limit.metric for limit in evidence.experiment.budget if limit.metric not in REQUEST_METRICS]
    if verdict.breaking_point is not None and verdict.breaking_point.bottleneck is not None:
        wanted.insert(0, verdict.breaking_point.bottleneck.resource)
    shown = {"cpu", *(_SIZES if _sizes(evidence) else {"memory"})}
    seen = {series.metric for series in evidence.series} - shown
    return [metric for metric in dict.fromkeys(wanted) if metric in seen][:_MOST_EXTRA]


def _limits(evidence: Evidence, metric: str) -> list[Limit]:
    return [limit for limit in evidence.experiment.budget if limit.metric == metric]


def _lines(axes: Axes, line: Timeline, several: Sequence[Series], label: Callable[[Series], str]) -> float:
    """Draw each series, the fullest first when there are too many. Returns the top value."""
    shown = sorted(several, key=lambda one: -max(one.values, default=0.0))[:_MOST_LINES]
    for index, series in enumerate(sorted(shown, key=lambda one: (one.of, one.metric))):
        x, y = _gapped(line, series)
        color = style.CYCLE[index % len(style.CYCLE)]
        dash = style.DASHES[index % len(style.DASHES)]
        plot(axes, line, x, y, label(series), color, dash, peak=True)
    return max((max(series.values, default=0.0) for series in shown), default=0.0)


def _gapped(line: Timeline, series: Series) -> tuple[Floats, Floats]:
    """The readings, with a break in the line where at least three in a row are missing."""
    x = (np.asarray(series.at_ns, dtype=np.float64) - line.evidence.zero_ns) / NS_PER_S
    y = np.asarray(series.values, dtype=np.float64)
    steps = np.diff(x)
    usual = float(np.median(steps)) if len(steps) else 1.0
    holes = np.flatnonzero(steps > 3.5 * usual) + 1
    return np.insert(x, holes, x[holes - 1] + usual), np.insert(y, holes, np.nan)


def _bounds(axes: Axes, line: Timeline, metric: str, top: float, say: Callable[[float], str]) -> float:
    """Draw the limits on a metric; returns the highest value to keep in sight."""
    for limit in _limits(line.evidence, metric):
        of = f" of {style.name(limit.of, 18)}" if limit.of else ""
        limit_line(axes, line, limit, style.INK, f"limit{of}: {limit.op} {say(limit.bound)}")
        top = max(top, limit.bound)
    return top


def _cpu(axes: Axes, line: Timeline) -> None:
    top = _lines(axes, line, _of(line.evidence, "cpu"), lambda series: style.name(series.of))
    own = _generator(line, lambda row: row.cpu)
    if np.isfinite(own).any():
        plot(axes, line, line.middles, own, f"{GENERATOR} (busiest worker, of one core)", style.INK, style.DASHES[2])
        top = max(top, float(np.nanmax(own)))
    if not axes.lines:
        style.empty(axes, "no probe read it")
    else:
        scale.shares(axes, "share of CPU", _bounds(axes, line, "cpu", top, words.percent))
    style.headed(axes, "CPU", line.page)


def _memory(axes: Axes, line: Timeline) -> None:
    """In bytes, with the generator's own, where a probe tells bytes; else as the share that it tells."""
    in_bytes, shares = _sizes(line.evidence), _of(line.evidence, "memory")
    own = _generator(line, lambda row: row.rss_bytes)
    if in_bytes or not shares:
        top = _lines(axes, line, in_bytes, lambda series: style.name(series.of))
        if np.isfinite(own).any():
            plot(axes, line, line.middles, own, f"{GENERATOR} (largest worker)", style.INK, style.DASHES[2])
            top = max(top, float(np.nanmax(own)))
        for metric in sorted(_SIZES):
            top = _bounds(axes, line, metric, top, words.size)
        scale.sizes(axes, "bytes in use", top)
    else:
        top = _lines(axes, line, shares, lambda series: style.name(series.of))
        scale.shares(axes, "share of memory", _bounds(axes, line, "memory", top, words.percent))
    if not axes.lines:
        style.empty(axes, "no probe read it")
    style.headed(axes, "Memory", line.page)


def _extra(axes: Axes, line: Timeline, metric: str, verdict: Verdict) -> None:
    """A metric of the subjects that a limit or the bottleneck names; beside what is in use of a pool its size."""
    several = _of(line.evidence, metric)
    stem = metric.removesuffix("_in_use")
    for ending in _CAPACITIES:
        if stem != metric:
            several = [*several, *_of(line.evidence, stem + ending)]
    found = verdict.breaking_point.bottleneck if verdict.breaking_point is not None else None
    named = {limit.of for limit in _limits(line.evidence, metric)}
    if found is not None and found.resource == metric:
        named.add(found.of)
    if "" not in named:
        several = [series for series in several if series.of in named]
    top = _lines(axes, line, several, lambda series: f"{style.name(series.metric)} of {style.name(series.of)}")
    units = {limit.unit for limit in _limits(line.evidence, metric)}
    if units == {"share"}:
        scale.shares(axes, "share", _bounds(axes, line, metric, top, words.percent))
    elif units == {"bytes"}:
        scale.sizes(axes, "bytes", _bounds(axes, line, metric, top, words.size))
    else:
        scale.counts(axes, "number", _bounds(axes, line, metric, top, words.count))
    style.headed(axes, "Memory as a share" if metric == "memory" else style.name(metric), line.page)


def _generator(line: Timeline, value: Callable[[Generator], float]) -> Floats:
    """The highest of all workers by second; NaN for seconds without any row."""
    seconds = line.seconds
    column = np.full(len(seconds), np.nan)
    for row in line.evidence.generator:
        if row.second in seconds:
            column[row.second - seconds[0]] = np.fmax(column[row.second - seconds[0]], value(row))
    return column
