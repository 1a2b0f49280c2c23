"""The load generator about itself: how busy its workers were, how late, and what they held open."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.evidence import Evidence
from harness.evidence.defects import GENERATOR_CPU_LIMIT, lag_limit_us
from harness.histogram import decode
from harness.journal import Generator
from harness.reports import words
from harness.reports.plots import scale, style
from harness.reports.plots.style import Page
from harness.reports.plots.timeline import Floats, Timeline, generator_sum, panels, plot, timeline
from harness.verdict import Verdict

_MOST_WORKERS = 8
_LIMIT_DASH = (0, (4, 2))


def draw(verdict: Verdict, evidence: Evidence, page: Page) -> Figure:
    """CPU of each worker, lateness of the loop and of starts, open sockets and files."""
    line = timeline(verdict, evidence, page)
    figure, (cpu, late, held) = panels(line, [1.9, 2.1, 1.7])
    _cpu(cpu, line)
    _lateness(late, line)
    _held(held, line)
    return figure


def _rows(line: Timeline) -> list[Generator]:
    return [row for row in line.evidence.generator if row.second in line.seconds]


def _cpu(axes: Axes, line: Timeline) -> None:
    shares: dict[int, Floats] = defaultdict(lambda: np.full(len(line.seconds), np.nan))
    for row in _rows(line):
        shares[row.worker][row.second - line.seconds[0]] = row.cpu
    busiest = sorted(shares, key=lambda worker: -float(np.nanmax(shares[worker])))[:_MOST_WORKERS]
    for index, worker in enumerate(sorted(busiest)):
        color, dash = style.CYCLE[index % len(style.CYCLE)], style.DASHES[index % len(style.DASHES)]
        plot(axes, line, line.middles, shares[worker], f"worker {worker}", color, dash, peak=True)
    if not busiest:
        style.empty(axes, "the generator reported nothing")
    else:
        limit = f"limit: {GENERATOR_CPU_LIMIT:.0%}".replace("%", " %")
        axes.axhline(GENERATOR_CPU_LIMIT, color=style.INK, linestyle=_LIMIT_DASH, linewidth=1.2, label=limit)
        most = max(float(np.nanmax(column)) for column in shares.values())
        scale.shares(axes, "share of one core", max(GENERATOR_CPU_LIMIT, most))
    more = f", the {_MOST_WORKERS} busiest of {len(shares)}" if len(shares) > _MOST_WORKERS else ""
    style.headed(axes, f"CPU by worker{more}", line.page)


def _percentile(line: Timeline, text: Callable[[Generator], str], share: float) -> Floats:
    """Of a histogram of all workers by second; NaN where none has it."""
    texts: dict[int, list[str]] = defaultdict(list)
    for row in _rows(line):
        texts[row.second].append(text(row))
    found = [decode(texts[second]).percentile_us(share) if second in texts else None for second in line.seconds]
    return np.array([np.nan if us is None else us for us in found], dtype=np.float64)


def _lateness(axes: Axes, line: Timeline) -> None:
    """The lateness of the event loop is in every latency; a late start is not, it counts from when it was due."""
    columns = [
        ("event loop P50", _percentile(line, lambda row: row.lag, 0.5), style.SKY, "-"),
        ("event loop P99", _percentile(line, lambda row: row.lag, 0.99), style.BLUE, style.DASHES[1]),
        ("start after due P99", _percentile(line, lambda row: row.start_lag, 0.99), style.VERMILLION, "-"),
    ]
    allowed = ""
    known = [column for column in columns if np.isfinite(column[1]).any()]
    for label, column, color, dash in known:
        plot(axes, line, line.middles, column, label, color, dash, peak=True)
    if not known:
        style.empty(axes, "no lateness was recorded")
    else:
        limit_us = lag_limit_us(line.evidence)
        allowed = f"; the event loop's P99 may be {words.duration_us(limit_us)}"
        axes.axhline(limit_us, color=style.INK, linestyle=_LIMIT_DASH, linewidth=1.2)
        scale.latency(axes, [column for _, column, _, _ in known], [limit_us])
        axes.set_ylabel("lateness")
    style.headed(axes, f"Lateness{'' if line.page.narrow else allowed}", line.page)


def _held(axes: Axes, line: Timeline) -> None:
    files, sockets = generator_sum(line, lambda row: row.open_files), generator_sum(line, lambda row: row.sockets)
    if not np.isfinite(files).any():
        style.empty(axes, "the generator reported nothing")
    else:
        plot(axes, line, line.middles, files, "open files", style.SKY, width=3.0, peak=True)
        if np.nanmax(sockets) > 0:
            plot(axes, line, line.middles, sockets, "open sockets", style.BLUE, peak=True)
        scale.counts(axes, "all workers", float(np.nanmax([files, sockets])))
    style.headed(axes, "Sockets and files", line.page)
