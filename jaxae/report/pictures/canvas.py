"""The one style of every picture, and the one way a picture and its numbers reach the disk."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from jaxae.report.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "DIVERGING",
    "FAINT",
    "MARKERS",
    "PALETTE",
    "SEQUENTIAL",
    "WIDTH",
    "Picture",
    "canvas",
    "clear",
    "grid",
    "logarithmic",
    "spans_decades",
    "write_numbers",
]

WIDTH = 1000 / 120  # inches: 1000 pixels, which a page shows unscaled
# Okabe and Ito, Color Universal Design (2008), without the yellow that white swallows; then Tol's wine and olive.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#1F2933", "#882255", "#999933", "#8A939C")
MARKERS = ("o", "s", "^", "D", "v")
FAINT = "#9aa3ad"
SEQUENTIAL = "viridis"
DIVERGING = "RdBu_r"

_INK, _AXIS = "#1f2933", "#52606d"
_STYLE: Any = {
    "figure.dpi": 120,
    "font.family": ["DejaVu Sans"],  # shipped with matplotlib, hence the same bytes on every machine
    "font.size": 9,
    "text.color": _INK,
    # A column may be called "price in $" and another "$_": names are never formulas.
    "text.parse_math": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _AXIS,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e4e7eb",
    "grid.linewidth": 0.7,
    "xtick.color": _AXIS,
    "ytick.color": _AXIS,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.7,
    "lines.solid_capstyle": "round",
}


class Picture(NamedTuple):
    """One picture of a run: the PNG's name within the folder, a title, and a caption that says how to read it.

    Every number drawn is in a file of the same stem beside it, ``.csv`` or, of more than 200,000 pixels, ``.npz``.
    """

    file: str
    title: str
    caption: str


@contextmanager
def canvas(folder: str | os.PathLike[str], name: str, *, height: float) -> Iterator[Figure]:
    """Yield an empty figure in the shared style and write it to ``<folder>/<name>.png`` afterwards.

    Args:
        folder: an existing folder.
        name: the stem of the file.
        height: in inches; the width is always ``WIDTH``.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.04, hspace=0.05)
        figure = Figure(figsize=(WIDTH, height), layout=layout)
        yield figure
        with warnings.catch_warnings():
            # A name in a script that the font lacks is drawn as boxes, and is whole in the CSV.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            # "figure" would be the resolution it was made with, which a sheet of images raises.
            figure.savefig(Path(folder) / f"{name}.png", dpi=figure.dpi, metadata={"Software": None})


def grid(figure: Figure, panels: int, *, columns: int) -> list[Axes]:
    """Return axes for ``panels`` panels, row by row, in at most ``columns`` columns."""
    columns = min(columns, panels)
    rows = -(-panels // columns)
    return [figure.add_subplot(rows, columns, 1 + panel) for panel in range(panels)]


def clear(axes: Axes) -> None:
    """Take spines, ticks and grid off axes that hold an image."""
    axes.grid(False)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def spans_decades(values: np.ndarray) -> bool:
    """Return whether an axis over the values should be logarithmic: all positive, the largest > 20 × the smallest."""
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() > 20 * finite.min())


def logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make the x or the y axis logarithmic (after drawing), with few ticks and labels in plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 300 * low else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value, trim=True)))
    axis.set_minor_formatter(NullFormatter())


def write_numbers(
    folder: str | os.PathLike[str], name: str, header: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Write ``<folder>/<name>.csv``; floats in the shortest form that reads back to the same bits."""
    with (Path(folder) / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            writer.writerow([_plain(cell) for cell in row])


def _plain(cell: object) -> object:
    if isinstance(cell, np.generic):
        cell = cell.item()
    return repr(cell) if isinstance(cell, float) else cell
