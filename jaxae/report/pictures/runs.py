"""Pictures of training: how it went, and how the members of a population compare."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from jaxae.report.pictures.canvas import (
    FAINT,
    PALETTE,
    Picture,
    canvas,
    grid,
    logarithmic,
    spans_decades,
    write_numbers,
)
from jaxae.report.words import number, plural, short, with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["curves", "members"]

_MOST_LINES = 32  # member lines drawn one by one; beyond it they are one grey area


def curves(
    folder: str | os.PathLike[str],
    history: Mapping[str, ArrayLike],
    *,
    units: Mapping[str, str] | None = None,
    name: str = "curves",
    title: str = "How training went",
    caption: str | None = None,
) -> Picture:
    """Return the picture of every metric over the epochs: ``loss`` and ``validation`` together, then the others.

    For a population a line is the median over the members and its band their range; up to 32 members are drawn as
    faint lines as well. NaN, as after a member stopped, is left out.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        history: by metric, (epochs,) or (members, epochs), all of one shape.
        units: by metric, e.g. ``{"loss": "nats"}``.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence that fits the history.

    Raises:
        ValueError: if there is no history or its shapes differ.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     curves(folder, {"loss": [1.0, 0.4, 0.3]}).file
        'curves.png'
    """
    series = {metric: np.atleast_2d(np.asarray(values, dtype=float)) for metric, values in history.items()}
    shapes = {values.shape for values in series.values()}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 2 or 0 in shape:
        found = {metric: np.shape(values) for metric, values in history.items()}
        raise ValueError(f"history must hold (epochs,) or (members, epochs) arrays of one shape, not {found}")
    population = shape[0] > 1
    epochs = np.arange(1, shape[1] + 1)
    summary = {metric: _over_members(values) for metric, values in series.items()}
    rows: list[list[object]] = [
        [member, epoch, *(values[member, epoch - 1] for values in series.values())]
        for member in range(shape[0])
        for epoch in epochs
    ]
    if population:
        rows += [
            [statistic, epoch, *(bands[which][epoch - 1] for bands in summary.values())]
            for which, statistic in enumerate(("lowest", "median", "highest"))
            for epoch in epochs
        ]
    write_numbers(folder, name, ["member", "epoch", *series], rows)

    top: list[str] = [metric for metric in ("loss", "validation") if metric in series]
    others = [metric for metric in series if metric not in top]
    small = -(-len(others) // 3)
    with canvas(folder, name, height=(3.5 if top else 0.2) + 2.1 * small) as figure:
        parts: Any = figure.subfigures(2, 1, height_ratios=[3.5, 2.1 * small]) if top and others else [figure, figure]
        if top:
            axes = parts[0].add_subplot()
            for metric in top:
                _line(axes, epochs, series[metric], summary[metric], PALETTE[metric == "validation"], metric)
            _finish(axes, np.concatenate([series[metric] for metric in top]), top[0], units, top[0])
            if not population and "validation" in top and np.isfinite(series["validation"]).any():
                best = int(np.nanargmin(series["validation"][0]))
                label = f"lowest validation, epoch {best + 1}"
                lowest = series["validation"][0, best]
                axes.plot(best + 1, lowest, "o", ms=9, mfc="none", mec=PALETTE[1], mew=1.5, label=label)
            axes.legend()
        for axes, metric in zip(grid(parts[1], len(others), columns=3) if others else [], others, strict=True):
            _line(axes, epochs, series[metric], summary[metric], PALETTE[2], metric)
            axes.set_title(short(metric, 36))
            _finish(axes, series[metric], "", units, metric)
    if caption is None:
        caption = "Mean over each epoch's training rows; validation is on rows not trained on."
        if population:
            caption += _whose_line(np.any([np.isfinite(values).any(1) for values in series.values()], axis=0))
    return Picture(f"{name}.png", title, caption)


def members(
    folder: str | os.PathLike[str],
    table: Sequence[Mapping[str, Any]],
    *,
    best: int | None = None,
    unit: str = "",
    name: str = "members",
    title: str = "The members of the population",
    caption: str | None = None,
) -> Picture:
    """Return the picture of each member's validation against every hyperparameter that was swept.

    Members without a finite validation, as those that diverged, are crosses along the upper edge. Where nothing but
    the seed differs, the horizontal axis is the member.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        table: one mapping per member with "member", "seed", "hparams", "status" and "validation", as in
            ``metrics.json``.
        best: index into the table of the member to mark.
        unit: of the validation.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence that fits the table.

    Raises:
        ValueError: if the table is empty.

    Examples:
        >>> import tempfile
        >>> row = {"member": 0, "seed": 0, "hparams": {"lr": 0.1}, "status": "trained", "validation": 1.0}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     members(folder, [row, row | {"member": 1, "hparams": {"lr": 0.01}, "validation": 2.0}], best=0).file
        'members.png'
    """
    if not table:
        raise ValueError("table must hold at least one member, as 'members' in metrics.json does")
    hparams = list(dict.fromkeys(key for row in table for key in row.get("hparams", {})))
    values = {key: [row.get("hparams", {}).get(key) for row in table] for key in hparams}
    scores = np.asarray([np.nan if row.get("validation") is None else row["validation"] for row in table], dtype=float)
    write_numbers(
        folder,
        name,
        ["member", "seed", *hparams, "status", "validation", "best"],
        (
            [
                *(row.get("member", i), row.get("seed")),
                *(values[key][i] for key in hparams),
                *(row.get("status", ""), scores[i], int(i == best)),
            ]
            for i, row in enumerate(table)
        ),
    )
    swept: dict[str, list[Any]] = {key: column for key, column in values.items() if len(set(map(str, column))) > 1}
    panels = swept or {"member": [row.get("member", i) for i, row in enumerate(table)]}
    finite = np.isfinite(scores)
    with canvas(folder, name, height=0.4 + 2.9 * -(-len(panels) // 3)) as figure:
        for position, (axes, (key, column)) in enumerate(
            zip(grid(figure, len(panels), columns=3), panels.items(), strict=True)
        ):
            x, labels = _positions(column)
            axes.plot(x[finite], scores[finite], "o", ms=5.5, mfc=PALETTE[0], mec="white", mew=0.5, alpha=0.75)
            if key in swept:
                levels = np.unique(x[finite])
                middle = [np.median(scores[finite & (x == level)]) for level in levels]
                axes.plot(levels, middle, color=FAINT, lw=1.2, zorder=1, label="median")
            if not finite.all():
                # These members have no height of their own: just below the upper edge.
                edge, across = np.full((~finite).sum(), 0.97), axes.get_xaxis_transform()
                label = "no finite validation"
                axes.plot(x[~finite], edge, "x", color=PALETTE[1], ms=6, mew=1.6, transform=across, label=label)
            if best is not None and finite[best]:
                axes.plot(x[best], scores[best], "*", ms=14, mfc=PALETTE[4], mec="#1f2933", mew=0.8, label="best")
            axes.set_xlabel(short(key, 36))
            axes.set_ylabel(with_unit("validation", unit) if position % 3 == 0 else "")
            axes.margins(x=0.08, y=0.12)
            if spans_decades(scores):
                logarithmic(axes, "y")
            if labels is not None:
                axes.set_xticks(range(len(labels)), [short(label, 14) for label in labels])
            elif spans_decades(x):
                logarithmic(axes, "x")
        handles, _ = figure.axes[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles=handles, loc="outside upper right", ncols=3)
    if caption is None:
        caption = "Every dot is one member; dots at the same place differ in the seed or in another hyperparameter."
        if best is not None:
            caption += " The star marks the best."
        if not finite.all():
            caption += f" A cross marks a member without a finite validation ({number(int((~finite).sum()))} of them)."
    return Picture(f"{name}.png", title, caption)


def _whose_line(drawn: np.ndarray) -> str:
    """Return of how many members the line and its band are; (members,) True for one with a finite value."""
    count, lost = int(drawn.sum()), int((~drawn).sum())
    if not count:
        return f" All {plural(lost, 'member')} diverged at once, so there is nothing to draw."
    missing = f" ({number(lost)} diverged at once and {'is' if lost == 1 else 'are'} not drawn)" if lost else ""
    return f" The line is the median of {plural(count, 'member')}{missing}, the band their range."


def _over_members(values: np.ndarray) -> np.ndarray:
    """Return (3, epochs): lowest, median and highest over the finite members, NaN where there is none."""
    bands = np.full((3, values.shape[1]), np.nan)
    for epoch, column in enumerate(values.T):
        finite = column[np.isfinite(column)]
        if finite.size:
            bands[:, epoch] = finite.min(), np.median(finite), finite.max()
    return bands


def _line(axes: Axes, epochs: np.ndarray, values: np.ndarray, bands: np.ndarray, colour: str, label: str) -> None:
    lowest, median, highest = bands
    if 1 < len(values) <= _MOST_LINES:
        axes.plot(epochs, np.where(np.isfinite(values), values, np.nan).T, color=colour, lw=0.6, alpha=0.2)
    if len(values) > 1:
        axes.fill_between(epochs, lowest, highest, color=colour, alpha=0.13, lw=0)
    # A line needs two neighbours: short runs and lone epochs between gaps show as dots.
    marker = "o" if len(epochs) <= 12 else ""
    axes.plot(epochs, median, color=colour, marker=marker, ms=4, label=label)


def _finish(axes: Axes, values: np.ndarray, label: str, units: Mapping[str, str] | None, metric: str = "loss") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.set_ylabel(with_unit(label, (units or {}).get(metric, "")))
    if spans_decades(values):
        logarithmic(axes, "y")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))


def _positions(column: Sequence[Any]) -> tuple[np.ndarray, list[str] | None]:
    """Return where members stand on the x axis, and the names of those places unless they are numbers."""
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value) for value in column):
        return np.asarray(column, dtype=float), None
    names = sorted(set(map(str, column)))
    return np.asarray([names.index(str(value)) for value in column], dtype=float), names
