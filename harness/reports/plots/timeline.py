"""What all plots over time share: the clock axis, the strip of stages and faults above it, and honest lines.

strip  | 100 |  500 users  |  1,000 users  |  5,000 users x |      <- holds, and one bar per fault between its
       |       -== slow-db     -== freeze-payment           |         *confirmed* edges; lighter from when it was asked
panel  |   the same spans, faintly, behind the data         |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from harness.evidence import Evidence, StageSpan
from harness.experiment import Limit
from harness.journal import Generator
from harness.reports import words
from harness.reports.plots import style
from harness.reports.plots.style import Page
from harness.units import NS_PER_S, format_load
from harness.verdict import Verdict

Floats = npt.NDArray[np.float64]

_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_LANE_IN = 0.19
_CHAR_IN = 0.068
_MARGIN_IN = 0.95
MOST_LANES = 8
_UNSURE = 0.4
_AXIS_IN = 0.45


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A run's span and what happened in it, in seconds from the start of the first stage."""

    evidence: Evidence
    page: Page
    end_s: float
    broke_at: StageSpan | None

    @property
    def seconds(self) -> range:
        """The whole seconds of the run clock that the plot covers."""
        first = self.evidence.zero_ns // NS_PER_S
        return range(first, first + max(1, int(np.ceil(self.end_s))))

    @property
    def middles(self) -> Floats:
        """The x of each of `seconds`."""
        return np.asarray(self.seconds) + 0.5 - self.evidence.zero_ns / NS_PER_S

    def x(self, ns: int) -> float:
        """The x of a time on the run clock."""
        return (ns - self.evidence.zero_ns) / NS_PER_S


def timeline(verdict: Verdict, evidence: Evidence, page: Page) -> Timeline:
    """The timeline of a run; one second long when nothing happened."""
    ends = [stage.end_ns for stage in evidence.stages] or [evidence.ended_ns]
    point = verdict.breaking_point
    broke = None
    if point is not None and point.status == "broke_at":
        bad = [level.stage for level in point.levels if level.load == point.first_bad]
        broke = next((stage for stage in evidence.stages if stage.name in bad), None)
    end_s = max(1.0, (max(ends) - evidence.zero_ns) / NS_PER_S)
    return Timeline(evidence=evidence, page=page, end_s=end_s, broke_at=broke)


def panels(line: Timeline, heights_in: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """A figure with the strip on top and panels below it, the spans drawn behind them, the clock under the last."""
    placed = lanes(line)
    depth = 1 + max((place.lane for place in placed), default=0)
    strip_in = _LANE_IN * (depth + 1) + 0.1
    figure, (strip, *rest) = style.paper(line.page, [strip_in, *heights_in[:-1], heights_in[-1] + _AXIS_IN])
    _draw_strip(strip, line, placed, depth)
    for axes in rest:
        _draw_spans(axes, line)
    clock_axis(rest[-1], line)
    return figure, rest


def clock_axis(axes: Axes, line: Timeline) -> None:
    """The x axis in minutes and seconds (hours when it is that long)."""
    most = 5 if line.page.narrow else 12
    step = next((step for step in _STEPS_S if line.end_s / step <= most), _STEPS_S[-1])
    axes.set_xlim(0, line.end_s)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _clock(x)))
    axes.set_xlabel(f"time since the first stage began ({'h:min:s' if line.end_s >= 3600 else 'min:s'})")


def _clock(x: float) -> str:
    whole = round(x)
    hours = f"{whole // 3600}:{whole % 3600 // 60:02d}" if whole >= 3600 else f"{whole // 60}"
    return f"{hours}:{whole % 60:02d}"


def plot(
    axes: Axes,
    line: Timeline,
    x: Floats,
    y: Floats,
    label: str,
    color: str,
    dash: object = "-",
    *,
    peak: bool = False,
    width: float = 1.5,
) -> None:
    """A line with gaps where there is no data; lone points between gaps are dots. `peak` keeps each bin's maximum."""
    x, y = thin(x, y, line.page.points, peak=peak)
    axes.plot(x, y, color=color, linestyle=dash, linewidth=width, label=label)
    known = np.isfinite(y)
    before, after = np.append(False, known[:-1]), np.append(known[1:], False)
    lone = known & ~before & ~after
    if lone.any():
        axes.plot(x[lone], y[lone], color=color, linestyle="none", marker=".", markersize=4)


def thin(x: Floats, y: Floats, points: int, *, peak: bool) -> tuple[Floats, Floats]:
    """At most `points` points: each bin's maximum (a spike must survive) or mean; a bin without data stays NaN."""
    if len(x) <= points:
        return x, y
    width = -(-len(x) // points)
    room = -(-len(x) // width) * width - len(x)
    xs = np.append(x, np.full(room, np.nan)).reshape(-1, width)
    ys = np.append(y, np.full(room, np.nan)).reshape(-1, width)
    known = np.isfinite(ys)
    if peak:
        folded = np.where(known, ys, -np.inf).max(axis=1)
    else:
        folded = np.where(known, ys, 0.0).sum(axis=1) / np.maximum(1, known.sum(axis=1))
    return np.nanmean(xs, axis=1), np.where(known.any(axis=1), folded, np.nan)


def generator_sum(line: Timeline, value: Callable[[Generator], float]) -> Floats:
    """A number of the generator, all workers together, by second; NaN for seconds without any row."""
    seconds = line.seconds
    column = np.full(len(seconds), np.nan)
    for row in line.evidence.generator:
        if row.second in seconds:
            at = row.second - seconds[0]
            column[at] = value(row) if np.isnan(column[at]) else column[at] + value(row)
    return column


def limit_line(axes: Axes, line: Timeline, limit: Limit, color: str, label: str) -> None:
    """A limit, drawn only over the stages that it speaks of."""
    names = {stage.name for stage in line.evidence.experiment.stages_in(limit.scope)}
    faults = {fault.name for fault in line.evidence.experiment.faults_in(limit.scope)}
    spans = [(line.x(stage.hold_ns), line.x(stage.end_ns)) for stage in line.evidence.stages if stage.name in names]
    spans += [(band.start, band.end) for band in bands(line) if band.confirmed and band.name in faults]
    if spans:
        starts, ends = zip(*spans, strict=True)
        axes.hlines(
            [limit.bound] * len(spans), starts, ends,
            colors=color, linestyles=(0, (4, 2)), linewidth=1.2, label=label, zorder=2.5,
        )  # fmt: skip


def _chars(line: Timeline, seconds: float) -> float:
    """How many small characters fit into a span of the x axis."""
    return seconds / line.end_s * (line.page.width_in - _MARGIN_IN) / _CHAR_IN


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A fault on the x axis: asked for, confirmed in force, confirmed over. One never in force is a moment."""

    name: str
    group: str
    asked: float
    start: float
    end: float
    confirmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a band stands in the strip: its lane (from 1), and the name beside it ("" where there is no room)."""

    lane: int
    label: str


def bands(line: Timeline) -> list[Band]:
    """The faults of a run in the order in which they were intended."""
    groups = {fault.name: fault.group for fault in line.evidence.experiment.faults}
    found = []
    for fault in line.evidence.faults:
        asked_ns = fault.in_force_ns if fault.asked_ns is None else fault.asked_ns
        start_ns = asked_ns if fault.in_force_ns is None else fault.in_force_ns
        if asked_ns is None or start_ns is None:
            continue
        over = line.end_s if fault.over_ns is None else min(line.x(fault.over_ns), line.end_s)
        confirmed, start = fault.in_force_ns is not None, line.x(start_ns)
        found.append(
            Band(
                name=fault.name, group=groups.get(fault.name, ""), asked=line.x(asked_ns), start=start,
                end=max(start, over) if confirmed else start, confirmed=confirmed,
            )
        )  # fmt: skip
    return found


def lanes(line: Timeline) -> list[Place]:
    """A place for each band: the highest lane in which bar and name touch no other.

    Of repetitions in one lane the first has the whole name, the others their number.
    """
    free: list[float] = []
    owners: dict[int, str] = {}
    places = []
    for band in bands(line):
        at = next((at for at, owner in owners.items() if band.group and owner == band.group), None)
        if at is not None and free[at] <= _reach(line, band, number := band.name.removeprefix(f"{band.group}-"))[0]:
            label = number
        else:
            label = style.name(band.name) if band.confirmed else f"{style.name(band.name)}: not injected"
            low = _reach(line, band, label)[0]
            at = next((at for at, until in enumerate(free) if until <= low), len(free))
        if at == MOST_LANES:
            places.append(Place(lane=MOST_LANES, label=""))
            continue
        free += [0.0] * (at == len(free))
        free[at], owners[at] = _reach(line, band, label)[1], band.group
        places.append(Place(lane=at + 1, label=label))
    return places


def _reach(line: Timeline, band: Band, label: str) -> tuple[float, float]:
    """What bar and name take of the x axis: the name stands to the right, or to the left where the run ends."""
    needed = (len(label) + 2) * line.end_s * _CHAR_IN / (line.page.width_in - _MARGIN_IN)
    if _leftwards(line, band, label):
        return band.asked - needed, band.end
    return band.asked, band.end + needed


def _leftwards(line: Timeline, band: Band, label: str) -> bool:
    return _chars(line, line.end_s - band.end) < len(label) + 2


def _draw_strip(axes: Axes, line: Timeline, placed: Sequence[Place], depth: int) -> None:
    axes.set_ylim(depth, 0)
    axes.axis("off")
    for stage in line.evidence.stages:
        start, end = line.x(stage.hold_ns), line.x(stage.end_ns)
        broke = stage is line.broke_at
        quiet = style.BAND if stage.role == "warmup" else style.FAINT
        axes.barh(0.45, end - start, left=start, height=0.8, color=style.VERMILLION if broke else quiet,
                  edgecolor=style.PAPER, linewidth=1.5)  # fmt: skip
        axes.text((start + end) / 2, 0.45, _stage_label(line, stage, end - start), ha="center", va="center_baseline",
                  fontsize=8, color=style.PAPER if broke else style.INK, clip_on=True)  # fmt: skip
    for band, place in zip(bands(line), placed, strict=True):
        _draw_band(axes, line, band, place)


def _draw_band(axes: Axes, line: Timeline, band: Band, place: Place) -> None:
    middle = place.lane + 0.5
    if band.confirmed:
        axes.barh(middle, band.start - band.asked, left=band.asked, height=0.42, color=style.ORANGE, alpha=_UNSURE)
        axes.barh(middle, band.end - band.start, left=band.start, height=0.42, color=style.ORANGE)
    else:
        axes.plot([band.asked], [middle], marker="x", color=style.VERMILLION, markersize=5, markeredgewidth=1.5)
    if place.label:
        left = _leftwards(line, band, place.label)
        gap = 4 if band.confirmed else 8
        axes.annotate(
            place.label, (band.asked if left else band.end, middle), xytext=(-gap if left else gap, 0),
            textcoords="offset points", ha="right" if left else "left", va="center_baseline", fontsize=8,
            annotation_clip=False,
        )  # fmt: skip


def _stage_label(line: Timeline, stage: StageSpan, seconds: float) -> str:
    number, whole = _level(line, stage)
    mark = ": broke" if stage is line.broke_at else ""
    # A ladder's stages are named for their load already; others are told by name where there is room.
    named = [] if f"{stage.level:g}" in stage.name else [f"{style.name(stage.name)}: {whole}{mark}"]
    for label in (*named, f"{whole}{mark}", whole, number):
        if len(label) + 1 <= _chars(line, seconds):
            return label
    return ""


def _level(line: Timeline, stage: StageSpan) -> tuple[str, str]:
    """Its load as short as can be and with its unit; of a curve the lowest and the highest level."""
    planned = [one.curve for one in line.evidence.experiment.stages if one.name == stage.name]
    levels = [level for curve in planned for _, level in curve] or [stage.level]
    low, high = min(levels), max(levels)
    whole = format_load(high, stage.unit)
    if low < high:
        whole = f"{format_load(low, stage.unit).removesuffix(' users').removesuffix('/s')}{words.NO_VALUE}{whole}"
    return whole.removesuffix(" users"), whole


def _draw_spans(axes: Axes, line: Timeline) -> None:
    for stage in line.evidence.stages:
        axes.axvspan(line.x(stage.hold_ns), line.x(stage.end_ns), color=style.BAND, linewidth=0, zorder=0)
        axes.axvline(line.x(stage.start_ns), color=style.PAPER, linewidth=1.5, zorder=0.2)
    for band in bands(line):
        if band.confirmed:
            axes.axvspan(band.start, band.end, color=style.ORANGE, alpha=0.22, linewidth=0, zorder=0.5)
    if line.broke_at is not None:
        axes.axvline(line.x(line.broke_at.hold_ns), color=style.VERMILLION, linewidth=1.2, zorder=1)
