"""Pictures of a sweep: what its points reach, and which combinations of hyperparameters do well."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxae.report.pictures.canvas import (
    FAINT,
    PALETTE,
    SEQUENTIAL,
    Picture,
    canvas,
    logarithmic,
    spans_decades,
    write_numbers,
)
from jaxae.report.words import number, plural, short, with_unit

__all__ = ["heat_map", "parallel", "points"]

_MOST_WRITTEN = 100  # cells of a heat map that hold their number


def points(
    folder: str | os.PathLike[str],
    table: Sequence[Mapping[str, Any]],
    *,
    unit: str = "",
    name: str = "points",
    title: str = "What each point of the sweep reaches",
    caption: str | None = None,
) -> Picture:
    """Return the picture of mean and interval of every point, the best first.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        table: one mapping per point with "hparams", "mean", "sd", "low", "high", "members" and "lost", as ``points``
            in ``metrics.json``; drawn are the first 40 with a mean.
        unit: of the values.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence that fits.

    Raises:
        ValueError: if no point has a mean.

    Examples:
        >>> import tempfile
        >>> point = {"hparams": {"lr": 0.1}, "mean": 1.0, "sd": 0.1, "low": 0.9, "high": 1.1, "members": [0], "lost": 0}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     points(folder, [point]).file
        'points.png'
    """
    hparams = list(dict.fromkeys(key for point in table for key in point["hparams"]))
    columns = ("mean", "sd", "low", "high")
    values = np.array([[np.nan if point[key] is None else point[key] for key in columns] for point in table], float)
    drawn = np.flatnonzero(np.isfinite(values[:, 0]))[:40] if len(table) else np.zeros(0, int)
    if not drawn.size:
        raise ValueError("no point has a mean: at least one member must have trained to its end")
    write_numbers(
        folder,
        name,
        [*hparams, *columns, "members", "lost"],
        (
            [*(point["hparams"].get(key) for key in hparams), *row, len(point["members"]), point["lost"]]
            for point, row in zip(table, values, strict=True)
        ),
    )
    labels = [
        ", ".join(f"{short(key, 20)} {_written(value)}" for key, value in table[int(i)]["hparams"].items())
        for i in drawn
    ]
    with canvas(folder, name, height=0.8 + 0.24 * len(drawn)) as figure:
        axes = figure.add_subplot()
        height = np.arange(len(drawn))
        mean, sd, low, high = values[drawn].T
        sure = np.isfinite(low)
        low, high = np.where(sure, low, mean - sd), np.where(sure, high, mean + sd)
        axes.hlines(height, low, high, color=PALETTE[0], lw=4, alpha=0.35)
        axes.plot(mean, height, "o", color=PALETTE[0], ms=5)
        axes.set_yticks(height, labels)
        axes.set_xlabel(with_unit("validation", unit))
        axes.invert_yaxis()
        axes.margins(y=0.04 + 0.3 / len(drawn))
        if spans_decades(mean):
            logarithmic(axes, "x")
    if caption is None:
        caption = "Dots are means over the members of a point"
        spread, interval = np.isfinite(values[drawn, 1:3]).T
        bars = ["their 95 % bootstrap intervals"] * bool(interval.any())
        bars += ["of few members one standard deviation to either side"] * bool((spread & ~interval).any())
        caption += f", bars {', '.join(bars)}." if bars else "."
        if len(table) > len(drawn):
            caption += f" The best {number(len(drawn))} of {plural(len(table), 'point')}."
    return Picture(f"{name}.png", title, caption)


def heat_map(
    folder: str | os.PathLike[str],
    table: Sequence[Mapping[str, Any]],
    *,
    unit: str = "",
    name: str = "heat_map",
    title: str = "Every combination",
    caption: str | None = None,
) -> Picture:
    """Return the picture of the means of points that two hyperparameters tell apart.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        table: as for `points`, of two hyperparameters.
        unit: of the values.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence that fits.

    Raises:
        ValueError: if there are not two hyperparameters.

    Examples:
        >>> import tempfile
        >>> table = [{"hparams": {"lr": lr, "beta": beta}, "mean": lr * beta} for lr in (0.1, 1.0) for beta in (1, 2)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     heat_map(folder, table).file
        'heat_map.png'
    """
    hparams = list(dict.fromkeys(key for point in table for key in point["hparams"]))
    if len(hparams) != 2:
        raise ValueError(f"a heat map has two hyperparameters, but the points have {len(hparams)}: draw `parallel`")
    down, across = (sorted({point["hparams"][key] for point in table}) for key in hparams)
    cells = np.full((len(down), len(across)), np.nan)
    for point in table:
        row, column = down.index(point["hparams"][hparams[0]]), across.index(point["hparams"][hparams[1]])
        cells[row, column] = np.nan if point["mean"] is None else point["mean"]
    write_numbers(
        folder,
        name,
        [*hparams, "mean"],
        ([a, b, cells[i, j]] for i, a in enumerate(down) for j, b in enumerate(across)),
    )
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.ticker import FuncFormatter, NullFormatter

    with canvas(folder, name, height=1.3 + 0.42 * len(down)) as figure:
        axes = figure.add_subplot()
        finite = cells[np.isfinite(cells)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        norm = LogNorm(low, high) if spans_decades(cells) else Normalize(low, high)
        shown = axes.imshow(cells, cmap=colormaps[SEQUENTIAL], norm=norm, aspect="auto")
        axes.grid(False)
        axes.set_xticks(range(len(across)), [_written(value) for value in across])
        axes.set_yticks(range(len(down)), [_written(value) for value in down])
        axes.set_xlabel(short(hparams[1], 36))
        axes.set_ylabel(short(hparams[0], 36))
        for (i, j), value in np.ndenumerate(cells):
            if cells.size <= _MOST_WRITTEN:
                dark = np.isfinite(value) and norm(value) < 0.6
                text = number(value, digits=3) if np.isfinite(value) else "×"
                axes.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if dark else "#1f2933")
        if finite.size:
            best = np.unravel_index(np.nanargmin(cells), cells.shape)
            axes.plot(best[1] + 0.36, best[0] - 0.22, "*", ms=12, mfc=PALETTE[4], mec="#1f2933", mew=0.8)
        bar = figure.colorbar(shown, ax=axes, label=short(with_unit("validation", unit), 28))
        bar.formatter = FuncFormatter(lambda value, _: number(value, trim=True))
        bar.minorformatter = NullFormatter()
        bar.update_ticks()
    if caption is None:
        caption = "Mean validation of every combination; the star marks the smallest."
        if not np.isfinite(cells).all():
            caption += " A combination without a colour was not trained, or every member of it diverged."
    return Picture(f"{name}.png", title, caption)


def parallel(
    folder: str | os.PathLike[str],
    table: Sequence[Mapping[str, Any]],
    *,
    unit: str = "",
    name: str = "parallel",
    title: str = "How hyperparameters go together",
    caption: str | None = None,
) -> Picture:
    """Return the picture of every member as a line through its hyperparameters to its validation.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        table: one mapping per member with "hparams" and "validation", as ``members`` in ``metrics.json``.
        unit: of the validation.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence that fits.

    Raises:
        ValueError: if no hyperparameter differs between members, or no validation is finite.

    Examples:
        >>> import tempfile
        >>> table = [{"hparams": {"lr": lr, "beta": 1 - lr}, "validation": lr} for lr in (0.1, 0.2, 0.3)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     parallel(folder, table).file
        'parallel.png'
    """
    hparams = list(dict.fromkeys(key for row in table for key in row["hparams"]))
    given = {key: [row["hparams"][key] for row in table] for key in hparams}
    given = {key: column for key, column in given.items() if len(set(column)) > 1}
    # Words stand in alphabetical order.
    kinds = {key: sorted(set(column)) for key, column in given.items() if any(isinstance(v, str) for v in column)}
    columns = {
        key: np.array([kinds[key].index(value) for value in column] if key in kinds else column, float)
        for key, column in given.items()
    }
    scores = np.array([np.nan if row["validation"] is None else row["validation"] for row in table], float)
    alive = np.isfinite(scores)
    if not columns or not alive.any():
        raise ValueError("there is nothing to draw: no hyperparameter differs, or no member has a validation")
    write_numbers(
        folder,
        name,
        ["member", *columns, "validation"],
        ([i, *(column[i] for column in given.values()), scores[i]] for i in range(len(table))),
    )
    # By rank, so that one very bad member does not leave all others the same colour.
    order = np.argsort(np.where(alive, scores, np.inf), kind="stable")
    rank = np.empty(len(scores))
    rank[order] = np.linspace(0, 1, len(scores)) if len(scores) > 1 else 0.0
    axes_of = {**columns, with_unit("validation", unit): scores}
    scaled, ends = [], []
    for values in axes_of.values():
        low, high = np.nanmin(values), np.nanmax(values)
        decades = spans_decades(values)
        over = np.log(values) if decades else values
        span = (np.log(high) - np.log(low)) if decades else high - low
        scaled.append((over - (np.log(low) if decades else low)) / (span if span else 1.0))
        ends.append((low, high))
    height = np.stack(scaled, 1)
    # A member that diverged ends above the upper end of the last axis.
    height[~alive, -1] = 1.12
    from matplotlib import colormaps

    with canvas(folder, name, height=3.6) as figure:
        axes = figure.add_subplot()
        for i in order[::-1]:
            colour = colormaps[SEQUENTIAL](rank[i]) if alive[i] else PALETTE[1]
            axes.plot(height[i], color=colour, lw=1.2, alpha=0.75 if len(table) <= 64 else 0.4)
        axes.plot(height[order[0]], color="#1f2933", lw=2.4, label="best")
        if not alive.all():
            axes.plot([], [], color=PALETTE[1], label="diverged")
        for place, (key, (low, high)) in enumerate(zip(axes_of, ends, strict=True)):
            axes.axvline(place, color=FAINT, lw=1, zorder=0)
            for at, value in ((-0.04, low), (1.04, high)):
                text = _written(kinds[key][int(value)] if key in kinds else float(value))
                axes.text(place, at, text, ha="center", va="top" if at < 0 else "bottom", fontsize=8)
        axes.set_xticks(range(len(ends)), [short(key, 30) for key in axes_of])
        axes.tick_params(axis="x", length=0, pad=14)
        axes.set_yticks([])
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.set_ylim(-0.12, 1.22)
        figure.legend(loc="outside upper right", ncols=2)
    if caption is None:
        caption = "Every line is one member; dark ones have the smallest validation, and the black one is the best. "
        caption += "Axes that span more than a factor of 20 are logarithmic."
        if not alive.all():
            caption += f" {plural(int((~alive).sum()), 'member')} diverged."
    return Picture(f"{name}.png", title, caption)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else number(value, trim=True)
