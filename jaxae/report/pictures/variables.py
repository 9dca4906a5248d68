"""Pictures of input variables: which of them make a row strange, and which each unit of a code stands for."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from jaxae.report.pictures.arguments import chosen, table, vector, which
from jaxae.report.pictures.canvas import (
    DIVERGING,
    FAINT,
    PALETTE,
    SEQUENTIAL,
    Picture,
    canvas,
    clear,
    write_numbers,
)
from jaxae.report.words import number, plural, short, with_unit

__all__ = ["activations", "contributions"]

_MOST_COLUMNS = 24
_MOST_ROWS = 100


def activations(
    folder: str | os.PathLike[str],
    frequency: ArrayLike,
    influence: ArrayLike,
    columns: Sequence[str],
    *,
    truth: ArrayLike | None = None,
    unit: str = "",
    name: str = "activations",
    title: str = "What each unit of the code stands for",
    caption: str | None = None,
) -> Picture:
    """Return the picture of how often every unit of a code is active, beside what drives it.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        frequency: (k,) in [0, 1], the share of rows on which each unit is active.
        influence: (k, d) ∂code/∂input, averaged over rows.
        columns: d names of the input variables.
        truth: (k, d) bool, True where a variable is known to drive the unit; those are outlined.
        unit: of the influence.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence with the counts.

    Raises:
        ValueError: if the shapes do not fit, or a frequency is outside [0, 1].

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     activations(folder, [0.1, 0.0], [[0.5, 0.0], [0.0, 0.0]], ["a", "b"]).file
        'activations.png'
    """
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    often = vector("frequency", frequency, one_per="unit")
    if often.min() < 0 or often.max() > 1:
        raise ValueError(f"frequency must be shares of rows in [0, 1], not {often.min():g} to {often.max():g}")
    driven = table("influence", influence, columns, len(often))
    known = None if truth is None else np.asarray(truth)
    if known is not None and (known.shape != driven.shape or known.dtype != np.bool_):
        raise ValueError(f"truth must be bool of shape {driven.shape}, not {known.dtype} of shape {known.shape}")
    k, d = driven.shape
    write_numbers(
        folder,
        name,
        ["unit", "frequency", "column", "influence", *(["true"] if known is not None else [])],
        (
            [i, often[i], columns[j], driven[i, j], *([int(known[i, j])] if known is not None else [])]
            for i in range(k)
            for j in range(d)
        ),
    )
    limit = float(np.abs(driven).max()) or 1.0
    line = 0.24 if k <= 24 else max(0.1, 8.6 / k) if k > 36 else 0.2
    with canvas(folder, name, height=min(10.4, max(1.9, line * k) + 1.55)) as figure:
        bars, heat = figure.subplots(1, 2, width_ratios=[1, 3.4])
        units = np.arange(k)
        bars.barh(units, often, height=0.8, color=PALETTE[0])
        bars.set(ylim=(k - 0.5, -0.5), xlim=(0, max(0.05, 1.05 * often.max())))
        bars.set_xlabel("share of rows on\nwhich it is active")
        bars.set_ylabel("unit of the code")
        bars.set_yticks(units[:: -(-k // 64)])
        bars.tick_params(axis="y", length=0, labelsize=8 if k <= 40 else 7)
        bars.locator_params(axis="x", nbins=4)
        bars.grid(False, axis="y")
        picture = heat.imshow(driven, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        clear(heat)
        if d <= 48:
            size = 8 if d <= 30 else 7
            heat.set_xticks(np.arange(d), [short(column, 20) for column in columns], rotation=90, fontsize=size)
        else:
            heat.set_xlabel(f"input variables 0 to {d - 1}")
        heat.tick_params(length=0)
        if known is not None:
            squares = [Rectangle((j - 0.42, i - 0.42), 0.84, 0.84) for i, j in np.argwhere(known)]
            thin = min(1.3, 90 / max(k, d))  # not to cover the colour of small cells
            heat.add_collection(PatchCollection(squares, facecolor="none", edgecolor=PALETTE[4], linewidth=thin))
        bar = figure.colorbar(picture, ax=heat, label=_lines("mean ∂code/∂input", unit), fraction=0.04, pad=0.02)
        bar.outline.set_visible(False)
    if caption is None:
        never = int((often == 0).sum())
        caption = (
            f"Left, on which share of the rows every unit is active; {number(never)} of {plural(k, 'unit')} never "
        )
        caption += f"{'is' if never == 1 else 'are'}. Right, the mean derivative of every unit by every input variable."
        if known is not None:
            has = known.any(1)
            right = int(known[np.arange(k), np.abs(driven).argmax(1)][has].sum())
            caption += " Squares outline the variables that truly drive a unit; the strongest influence is on one of "
            caption += f"them for {number(right)} of {plural(int(has.sum()), 'unit')}."
    return Picture(f"{name}.png", title, caption)


def contributions(
    folder: str | os.PathLike[str],
    shares: ArrayLike,
    columns: Sequence[str],
    *,
    rows: Sequence[str] | None = None,
    most: int = 20,
    unit: str = "squared standardised units",
    name: str = "contributions",
    title: str = "Which variables make a row strange",
    caption: str | None = None,
) -> Picture:
    """Return the picture of how much every variable contributes to the scores of rows, and to their mean above it.

    Of more than 24 columns the 24 with the largest mean are drawn. Colours follow the square root of the contribution.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        shares: (n, d) the contribution of every variable to the score of every row; a negative one is coloured as 0.
        columns: d names.
        rows: n names; by default their numbers.
        most: rows shown at most, the first ones; 1 to 100.
        unit: of the contributions.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence that also says which columns are drawn.

    Raises:
        ValueError: if the shapes do not fit, or a contribution is not finite.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     contributions(folder, [[0.1, 4.0], [0.2, 0.1]], ["flow", "pressure"]).file
        'contributions.png'
    """
    from matplotlib.colors import Normalize, PowerNorm

    values = table("shares", shares, columns)
    names = [f"row {i}" for i in range(len(values))] if rows is None else list(rows)
    if len(names) != len(values):
        raise ValueError(f"rows must name each of the {len(values)} rows of shares, not {len(names)}")
    if not 1 <= most <= _MOST_ROWS:
        raise ValueError(f"most must be 1 to {_MOST_ROWS}, the rows to show, not {most}")
    mean = values.mean(0)
    drawn, shown = chosen(mean, _MOST_COLUMNS), min(most, len(values))
    part = values[:shown, drawn]
    write_numbers(
        folder,
        name,
        ["row", "column", "contribution", "mean"],
        ([names[i], columns[j], values[i, j], mean[j]] for i in range(shown) for j in drawn),
    )
    size = 8 if len(drawn) <= 14 else 7
    with canvas(folder, name, height=max(3.1, 2.3 + 0.21 * shown)) as figure:
        heights = [0.95, max(0.5, 0.21 * shown)]
        bars, heat = figure.subplots(2, 1, height_ratios=heights)
        places = np.arange(len(drawn))
        bars.bar(places, mean[drawn], width=0.8, color=FAINT)
        bars.set_xlim(-0.5, len(drawn) - 0.5)
        bars.set_xticks(places, [])
        bars.tick_params(axis="x", length=0)
        bars.grid(False, axis="x")
        bars.locator_params(axis="y", nbins=3)
        bars.set_ylim(bottom=min(0.0, float(mean[drawn].min())))
        bars.set_title(with_unit(f"mean of {plural(len(values), 'row')}", unit))
        reach = float(np.abs(part).max()) or 1.0
        signed = part.min() < -0.01 * reach
        norm = Normalize(-reach, reach) if signed else PowerNorm(0.5, vmin=0.0, vmax=reach)
        colours = DIVERGING if signed else SEQUENTIAL
        shades = part if signed else np.maximum(part, 0.0)
        picture = heat.imshow(shades, cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
        clear(heat)
        heat.set_xticks(places, [short(columns[j], 20) for j in drawn], rotation=90, fontsize=size)
        heat.set_yticks(np.arange(shown), [short(label, 24) for label in names[:shown]], fontsize=8)
        heat.tick_params(length=0)
        bar = figure.colorbar(picture, ax=[bars, heat], label=_lines("contribution", unit), fraction=0.03, pad=0.015)
        bar.outline.set_visible(False)
    if caption is None:
        first = "" if shown == len(values) else f" (the first {number(shown)} of {plural(len(values), 'row')})"
        shade = "the redder, the more of it, the bluer, the less" if signed else "the brighter, the more of it"
        caption = (
            f"Every line is one row{first}, every cell what a variable contributes to its score: "
            f"{shade}. The bars are the mean over {plural(len(values), 'row')}."
            f"{which(drawn, columns, 'with the largest mean')}"
        )
    return Picture(f"{name}.png", title, caption)


def _lines(label: str, unit: str) -> str:
    """Return the label of a colour bar with its unit, in two lines where one would be longer than the bar."""
    return f"{label}\n({short(unit, 28)})" if len(label) + len(unit) > 32 else with_unit(label, unit)
