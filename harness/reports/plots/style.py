"""How every plot looks and how it is saved: one palette, one page, deterministic bytes.

Colours are Okabe and Ito's, told apart with any kind of colour vision; line styles differ as well, so that a plot
survives a black-and-white printer. `INK`, `FAINT` and the palette are written as these exact hex codes into the SVG,
which lets the HTML report map them to CSS variables for its dark mode (see html.py).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from harness.reports.escape import clean

INK = "#1b1f24"
FAINT = "#c9ced6"
BAND = "#eef1f4"
PAPER = "#ffffff"
BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"
CYCLE = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 2, 1.4, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DPI = 144
NAME_LIMIT = 34

_RC: Mapping[str, object] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 2.6,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "path.simplify": True,
    "svg.fonttype": "none",
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The paper a plot is drawn on: for a desk, or for a phone. `points` bounds the points of a line."""

    name: str
    width_in: float
    points: int

    @property
    def narrow(self) -> bool:
        """Whether this is the phone's page: fewer ticks, shorter names."""
        return self.width_in < 6


WIDE = Page(name="wide", width_in=9.6, points=1500)
NARROW = Page(name="narrow", width_in=4.3, points=400)


def paper(page: Page, heights_in: Sequence[float], *, sharex: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure with panels of these heights one above the other."""
    figure = Figure(figsize=(page.width_in, sum(heights_in)), layout="constrained")
    FigureCanvasAgg(figure)
    made = figure.subplots(len(heights_in), 1, sharex=sharex, squeeze=False, height_ratios=heights_in)
    return figure, [row[0] for row in made]


def name(text: str, limit: int = NAME_LIMIT) -> str:
    """A foreign name for a label: harmless, short, and never taken for matplotlib's 'no legend' underscore."""
    label = clean(text, limit)
    return f" {label}" if label.startswith("_") else label


@contextmanager
def styled() -> Iterator[None]:
    """The context in which figures are drawn and saved; matplotlib's own settings come back afterwards."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)  # type: ignore[arg-type]  # the stubs want each key as a literal
        # A script that DejaVu Sans lacks is drawn as boxes; the SVG has the text itself.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def settle(figure: Figure) -> Figure:
    """Lay the figure out once and for all: the solver's last digits vary, and would change the ids in the SVG."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(edge, 4) for edge in axes.get_position().bounds)
        axes.set_position((left, bottom, width, height))
    return figure


def svg(figure: Figure, salt: str) -> bytes:
    """The figure as SVG with text as text; the same figure always gives the same bytes."""
    out = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def png(figure: Figure) -> bytes:
    """The figure as PNG at DPI."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI, metadata={"Software": None})
    return out.getvalue()


def empty(axes: Axes, why: str) -> None:
    """Say on the axes that there is nothing to draw, instead of drawing nothing."""
    axes.grid(visible=False)
    axes.set_yticks([])
    axes.text(0.5, 0.5, f"no data: {why}", transform=axes.transAxes, ha="center", va="center", fontstyle="italic")


def headed(axes: Axes, title: str, page: Page, handles: Sequence[Artist] | None = None) -> None:
    """The panel's title, and under it, above the plot where it covers nothing, the legend."""
    found = axes.get_legend_handles_labels()[0] if handles is None else list(handles)
    labels = [str(handle.get_label()) for handle in found]
    if not found:
        axes.set_title(title)
        return
    columns = _columns([len(label) for label in labels], 44 if page.narrow else 112)
    rows = -(-len(labels) // columns)
    axes.set_title(title, pad=6 + 13 * rows)
    made = axes.legend(
        found, labels, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, borderaxespad=0.1,
        borderpad=0.2, columnspacing=1.6, labelspacing=0.25,
    )  # fmt: skip
    # The title's padding keeps its height free; its width must never narrow the panel.
    made.set_in_layout(False)


def _columns(lengths: Sequence[int], room: int) -> int:
    """The fewest legend columns with the fewest rows that fit into `room` characters (entries fill by column)."""
    fitting = 1
    for columns in range(2, len(lengths) + 1):
        more, extra = divmod(len(lengths), columns)
        sizes = [more + (at < extra) for at in range(columns)]
        edges = [sum(sizes[:at]) for at in range(columns + 1)]
        widths = [max(lengths[edges[at] : edges[at + 1]]) + 9 for at in range(columns)]
        fewer_rows = -(-len(lengths) // columns) < -(-len(lengths) // fitting)
        if fewer_rows and sum(widths) <= room:
            fitting = columns
    return fitting
