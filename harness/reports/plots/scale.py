"""Value axes: durations on a linear or logarithmic scale, shares, counts and bytes, each with its unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from harness.reports import words

# From this ratio of largest to smallest value on, a linear axis would flatten the small ones into the floor.
_LOG_RATIO = 25.0


def latency(axes: Axes, values_us: Sequence[npt.NDArray[np.float64]], limits_us: Sequence[float]) -> None:
    """The y axis for latencies in microseconds; limits are kept in sight when they are within reach of the data."""
    known = np.concatenate([np.zeros(0), *(array[np.isfinite(array) & (array > 0)] for array in values_us)])
    if not len(known):
        return
    low, high = float(known.min()), float(known.max())
    near = [limit for limit in limits_us if limit <= 12 * high]
    top = max([high, *near])
    axes.set_ylabel("latency from due time")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda us, _: words.duration_us(us)))
    if top / low > _LOG_RATIO:
        axes.set_yscale("log")
        subs = (1.0,) if top / low > 3000 else (1.0, 2.0, 5.0) if top / low < 200 else (1.0, 3.0)
        axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_minor_locator(LogLocator(subs=(), numticks=2))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda us, _: words.duration_us(us)))
        axes.set_ylim(low * 0.8, top * 1.35)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axes.set_ylim(0, top * 1.12)


def shares(axes: Axes, label: str, top: float, *, ceiling: float | None = None) -> None:
    """The y axis for shares, from zero; `ceiling` bounds it from above."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: words.percent(share)))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    high = max(top * 1.15, 0.001)
    axes.set_ylim(0, high if ceiling is None else min(high, ceiling))
    axes.set_ylabel(label)


def counts(axes: Axes, label: str, top: float) -> None:
    """The y axis for counts and rates, from zero, with thousands separators."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: words.count(number)))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10], integer=top >= 5))
    axes.set_ylim(0, max(top * 1.15, 1.0))
    axes.set_ylabel(label)


def sizes(axes: Axes, label: str, top: float) -> None:
    """The y axis for bytes, from zero."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: words.size(number)))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.set_ylim(0, max(top * 1.15, 1.0))
    axes.set_ylabel(label)
