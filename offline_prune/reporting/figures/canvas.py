"""Matplotlib, asked for only when something is drawn, and how every figure looks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline_prune.errors import OfflinePruneError

__all__ = ["WIDTH", "Drawing", "legend_below", "panels", "require_matplotlib", "save", "styled"]

WIDTH = 9.0
"""Of every figure, inches: 864 pixels of the page, where a point of type is 4/3 pixels."""

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture everywhere
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.0,
    "figure.constrained_layout.h_pad": 0.09,  # inches: a title is no part of the axis above it
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.parse_math": False,  # a name may hold a dollar sign
    "axes.formatter.use_mathtext": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "offline_prune",  # else ids are drawn by chance
}


@dataclass(frozen=True)
class Drawing:
    """A figure and what is said of it.

    Attributes:
        figure: Matplotlib's.
        title: What it shows.
        caption: How to read it.
    """

    figure: Any
    title: str
    caption: str


def require_matplotlib() -> None:
    """Check that figures can be drawn.

    Raises:
        OfflinePruneError: If matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise OfflinePruneError(
            'Reports draw with matplotlib: pip install "offline-prune[plot]".'
        ) from error


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save in the style of reports; matplotlib's settings are back afterwards."""
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()  # a user's own style would change the picture
        mpl.rcParams.update(_STYLE)
        # A name in a script that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def panels(number: int, columns: int, height: float, **options: Any) -> tuple[Any, list[Any]]:
    """Make a figure with a grid of panels.

    Args:
        number: Of panels.
        columns: At most this many side by side.
        height: Of a row, inches.
        **options: For matplotlib's ``subplots``.

    Returns:
        The figure and its panels, row by row; places that are not needed are empty.
    """
    from matplotlib.figure import Figure

    columns = min(columns, number)
    rows = math.ceil(number / columns)
    # A lone panel does not need all the width.
    width = WIDTH if columns > 1 else min(WIDTH, 6.5)
    figure = Figure(figsize=(width, height * rows + 0.3), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **options).flat)
    for unused in axes[number:]:
        unused.set_axis_off()
    return figure, axes[:number]


def legend_below(figure: Any, entries: dict[str, Any], order: Sequence[str]) -> None:
    """Put one legend under all panels.

    Args:
        figure: Matplotlib's.
        entries: Label → what is drawn.
        order: Of the labels; some may have no entry.
    """
    labels = [label for label in order if label in entries]
    widest = max(map(len, labels), default=0)
    columns = max(1, min(4, len(labels), round(figure.get_figwidth() * 14 / (widest + 6))))
    figure.legend(
        [entries[label] for label in labels],
        labels,
        loc="outside lower left",
        ncols=columns,
        handlelength=2.4,
    )


def save(figure: Any, path: Path) -> None:
    """Write a figure as PNG and SVG; the same figure gives the same bytes.

    Args:
        figure: Matplotlib's.
        path: Without ending.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    layout, dpi = figure.get_layout_engine(), figure.dpi
    # Savefig draws all of a figure that has a layout twice. Laid out before, once is enough.
    figure.set_layout_engine(None)

    def lay_out(canvas: Any, dots: float) -> None:
        canvas(figure)  # whose letters are as wide as in the file
        figure.set_dpi(dots)
        if layout is not None:
            layout.execute(figure)
            _round_places(figure)

    lay_out(FigureCanvasAgg, 144)
    figure.savefig(path.with_suffix(".png"), dpi=144, metadata={"Software": None})
    lay_out(FigureCanvasSVG, 72)
    figure.savefig(path.with_suffix(".svg"), dpi=dpi, metadata={"Date": None, "Creator": None})


def _round_places(figure: Any) -> None:
    """Round where axes lie: the layout's solver leaves another last digit each time.

    An SVG's coordinates have six digits, but the names of its clips are made of all of them.
    """
    for axes in figure.axes:
        axes.set_position([round(x, 12) for x in axes.get_position(original=True).bounds])
        axes.set_in_layout(True)  # setting a place takes them out, and there is another layout
