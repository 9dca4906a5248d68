"""The picture of one alarm: how far each variable is from what its row implies."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from jaxae.report.pictures.arguments import vector
from jaxae.report.pictures.canvas import FAINT, PALETTE, Picture, canvas, write_numbers
from jaxae.report.words import plural, short

__all__ = ["alarm"]

_MOST = 20


def alarm(
    folder: str | os.PathLike[str],
    values: ArrayLike,
    implied: ArrayLike,
    scale: ArrayLike,
    columns: Sequence[str],
    *,
    name: str = "alarm",
    title: str = "Why this row is strange",
    caption: str | None = None,
) -> Picture:
    """Return the picture of one row beside its counterpart, in standard deviations of usual distances between the two.

    Of more than 20 variables those that are farthest off are drawn, the farthest first.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        values: (d,) of the row, in the user's units.
        implied: (d,) its counterpart: what the model makes of the row.
        scale: (d,) > 0, the standard deviation of such distances of normal rows.
        columns: d names.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence that names the farthest variable.

    Raises:
        ValueError: if the shapes do not fit, a number is not finite, or a scale not above 0.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     alarm(folder, [5.0, 1.0], [2.0, 1.1], [0.5, 0.2], ["flow", "heat"]).caption[:48]
        'flow is 6.0 standard deviations above what its r'
    """
    given, made, unit = (
        vector(label, array, len(columns), one_per="column")
        for label, array in (("values", values), ("implied", implied), ("scale", scale))
    )
    if unit.min() <= 0:
        raise ValueError(f"scale must be above 0, but the smallest is {unit.min():g}")
    apart = (given - made) / unit
    order = np.argsort(-np.abs(apart), kind="stable")
    drawn = order[:_MOST]
    write_numbers(
        folder,
        name,
        ["column", "value", "implied", "scale", "deviation"],
        ([columns[j], given[j], made[j], unit[j], apart[j]] for j in order),
    )
    with canvas(folder, name, height=1.3 + 0.26 * len(drawn)) as figure:
        axes = figure.subplots()
        places = np.arange(len(drawn))
        far = np.abs(apart[drawn]) > 3
        axes.barh(places, apart[drawn], height=0.72, color=[PALETTE[1] if one else FAINT for one in far])
        axes.set_yticks(places, [short(columns[j], 28) for j in drawn], fontsize=8)
        axes.invert_yaxis()
        axes.axvline(0, color="0.3", linewidth=0.8)
        reach = max(3.5, 1.45 * float(np.abs(apart[drawn]).max()))
        axes.set_xlim(-reach, reach)
        for place, j in zip(places, drawn, strict=True):
            right = apart[j] >= 0
            axes.annotate(
                f"{given[j]:.4g}, not {made[j]:.4g}",
                (apart[j], place),
                xytext=(4 if right else -4, 0),
                textcoords="offset points",
                ha="left" if right else "right",
                va="center",
                fontsize=7,
            )
        axes.grid(False, axis="y")
        axes.set_xlabel("distance from what the row implies (standard deviations of normal rows)")
    if caption is None:
        first = drawn[0]
        side = "above" if apart[first] > 0 else "below"
        more = (
            "" if len(drawn) == len(columns) else f" The {len(drawn)} farthest of {plural(len(columns), 'variable')}."
        )
        caption = (
            f"{columns[first]} is {abs(apart[first]):.1f} standard deviations {side} what its row implies "
            f"({given[first]:.4g}, not {made[first]:.4g}). Coloured bars are more than 3.{more}"
        )
    return Picture(f"{name}.png", title, caption)
