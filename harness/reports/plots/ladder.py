"""Load against what it did: latency and errors of each level, and the bracket in which the target broke."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.evidence import Evidence
from harness.reports import words
from harness.reports.plots import scale, style
from harness.reports.plots.latency import COLORS, color, latency_limits
from harness.reports.plots.style import Page
from harness.units import format_load
from harness.verdict import BreakingPoint, Verdict

Floats = npt.NDArray[np.float64]

_MARKS = {"p50": "o", "p95": "s", "p99": "^"}
_MOST_TICKS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A level as it is drawn: latencies in microseconds, errors as a share; None where unknown."""

    load: float
    unit: str
    per_s: float
    p50: float | None
    p95: float | None
    p99: float | None
    errors: float | None


def rungs(verdict: Verdict, evidence: Evidence) -> list[Rung]:
    """The levels of the breaking-point judge, or else every measured stage, in order of load."""
    point = verdict.breaking_point
    if point is not None and point.levels:
        found = [
            Rung(load=level.load, unit=level.unit, per_s=level.per_s, p50=level.p50_us, p95=level.p95_us,
                 p99=level.p99_us, errors=level.errors)
            for level in point.levels
        ]  # fmt: skip
    else:
        found = [
            Rung(load=window.level, unit=window.unit, per_s=window.total.per_s, p50=window.total.latency.p50_us,
                 p95=window.total.latency.p95_us, p99=window.total.latency.p99_us, errors=window.total.errors)
            for window in evidence.windows
            if not window.fault and window.role != "warmup"
        ]  # fmt: skip
    return sorted(found, key=lambda rung: rung.load)


def draw(verdict: Verdict, evidence: Evidence, page: Page) -> Figure:
    """Latency over errors, one place per level; the bracket of the break is shaded and named."""
    found = rungs(verdict, evidence)
    if not found:
        figure, (axes,) = style.paper(page, [1.4])
        style.empty(axes, "no level was measured")
        style.headed(axes, "Load levels", page)
        axes.set_xticks([])
        return figure
    figure, (strip, latency, errors) = style.paper(page, [0.3, 2.9, 2.0])
    strip.axis("off")
    places = np.arange(len(found), dtype=np.float64)
    _latency(latency, found, places, evidence, page)
    _errors(errors, found, places, evidence, page)
    _bracket(strip, (latency, errors), verdict.breaking_point, found)
    every = -(-len(found) // (5 if page.narrow else _MOST_TICKS))
    ticks = places[::every]
    errors.set_xticks(ticks, [_tick(rung) for rung in found[::every]])
    load = "users" if found[0].unit == "users" else "arrivals per second"
    errors.set_xlabel(f"{load}, and requests answered per second")
    errors.set_xlim(-0.5, len(found) - 0.5)
    return figure


# Shares stand on lines: the limit just above 0 %, and the bracket's end through the tallest bar.
_ON_PAPER = {"facecolor": style.PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.85}


def _tick(rung: Rung) -> str:
    return f"{format_load(rung.load, rung.unit).removesuffix(' users')}\n{words.count(rung.per_s)}/s"


def _column(found: list[Rung], name: str) -> Floats:
    values = [getattr(rung, name) for rung in found]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _latency(axes: Axes, found: list[Rung], places: Floats, evidence: Evidence, page: Page) -> None:
    columns = [_column(found, metric) for metric in _MARKS]
    if not any(np.isfinite(column).any() for column in columns):
        style.empty(axes, "no level has enough answers")
        style.headed(axes, "Latency by level", page)
        return
    for (metric, mark), column in zip(_MARKS.items(), columns, strict=True):
        axes.plot(places, column, color=COLORS[metric], marker=mark, markersize=6, label=metric.upper())
    limits = latency_limits(evidence)
    scale.latency(axes, columns, [limit.bound for limit in limits])
    for metric, bound in dict.fromkeys((limit.metric, limit.bound) for limit in limits):
        label = f"limit of {metric.upper()}: {words.duration_us(bound)}"
        axes.axhline(bound, color=color(metric), linestyle=(0, (4, 2)), linewidth=1.2, label=label)
    style.headed(axes, "Latency by level", page)


def _errors(axes: Axes, found: list[Rung], places: Floats, evidence: Evidence, page: Page) -> None:
    column = _column(found, "errors")
    if not np.isfinite(column).any():
        style.empty(axes, "no request was answered")
        style.headed(axes, "Errors by level", page)
        return
    bars = axes.bar(places, column, width=0.5, color=style.VERMILLION, label="failed of all answers")
    shares = [words.percent(share) if np.isfinite(share) else "" for share in column]
    axes.bar_label(bars, shares, fontsize=8, padding=2, bbox=_ON_PAPER, zorder=5)
    bounds = dict.fromkeys(
        limit.bound for limit in evidence.experiment.budget if limit.metric == "errors" and not limit.of
    )
    for bound in bounds:
        axes.axhline(
            bound, color=style.INK, linestyle=(0, (4, 2)), linewidth=1.2, label=f"limit: {words.percent(bound)}"
        )
    near = [bound for bound in bounds if bound <= 0.2]
    scale.shares(axes, "share of answers", max([float(np.nanmax(column)) * 1.05, *near]), ceiling=1.15)
    style.headed(axes, "Errors by level", page)


def _bracket(strip: Axes, both: tuple[Axes, Axes], point: BreakingPoint | None, found: list[Rung]) -> None:
    """Shade the levels between the last that held and the first that broke, and say so above the panels."""
    if point is None or point.first_bad is None:
        return
    loads = [rung.load for rung in found]
    bad = next((place for place, load in enumerate(loads) if load >= point.first_bad), None)
    if bad is None:
        return
    good = max((place for place, load in enumerate(loads) if load <= (point.last_good or -1)), default=None)
    low = -0.5 if good is None else float(good)
    for axes in both:
        axes.axvspan(low, bad, color=style.VERMILLION, alpha=0.12, linewidth=0, zorder=0)
        axes.axvline(bad, color=style.VERMILLION, linewidth=1.2, zorder=1)
    strip.set_ylim(0, 1)
    strip.barh(0.16, bad - low, left=low, height=0.28, color=style.VERMILLION)
    label = words.bracket(point.last_good, point.first_bad, point.unit)
    # The label stands over the bracket's end and grows to the left: the first broken level is often the last one.
    strip.text(bad, 0.42, label, ha="right" if bad > len(found) / 3 else "left", fontsize=9, fontweight="bold")
