"""The picture of what a conditional model generates along its condition."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from jaxae.report.pictures.arguments import chosen, table, vector, which
from jaxae.report.pictures.canvas import PALETTE, Picture, canvas, grid, write_numbers
from jaxae.report.words import number, plural, short

__all__ = ["condition_curves"]

_MOST_PANELS = 12
_MOST_DOTS = 1000


def condition_curves(
    folder: str | os.PathLike[str],
    given: ArrayLike,
    mean: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    columns: Sequence[str],
    *,
    condition_name: str = "condition",
    real: tuple[ArrayLike, ArrayLike] | None = None,
    truth: ArrayLike | None = None,
    training_range: tuple[float, float] | None = None,
    band: str = "the spread of generated rows",
    units: Mapping[str, str] | str = "",
    name: str = "condition-curves",
    title: str = "What is generated along the condition",
    caption: str | None = None,
) -> Picture:
    """Return the picture of the generated mean and band of every variable over the condition, a panel each.

    Of more than 12 columns the 12 are drawn whose mean is farthest from the truth (in spreads of the true curve), or
    the first 12 where the truth is not known.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        given: (m,) conditions.
        mean: (m, d) of the rows generated there.
        low: (m, d), the lower end of the band.
        high: (m, d), its upper end.
        columns: d names.
        condition_name: what the condition is, with its unit.
        real: conditions (n,) and values (n, d) of real rows; at most 1,000 are drawn, spread evenly over the rows.
        truth: (m, d), the true mean at the conditions.
        training_range: conditions between which the model was trained; what lies outside is grey.
        band: what the band is, e.g. "the middle 90 % of generated rows".
        units: by column, or one for all.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence that also says which columns are drawn.

    Raises:
        ValueError: if the shapes do not fit, values are not finite, or a band or range ends before it begins.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     condition_curves(folder, [300, 400], [[1.0], [2.0]], [[0.5], [1.5]], [[1.5], [2.5]], ["flow"]).file
        'condition-curves.png'
    """
    at = vector("given", given, one_per="condition")
    order = np.argsort(at, kind="stable")
    drawn = {"mean": mean, "low": low, "high": high} | ({} if truth is None else {"truth": truth})
    curves = {label: table(label, values, columns, len(at))[order] for label, values in drawn.items()}
    at = at[order]
    if (curves["low"] > curves["high"]).any():
        raise ValueError("low must not exceed high: the band would end before it begins")
    if training_range is not None and not training_range[0] < training_range[1]:
        raise ValueError(f"training_range must be (lowest, highest) condition, not {training_range}")
    own, dots = np.zeros(0), np.zeros((0, len(columns)))
    if real is not None:
        own = vector("real[0]", real[0])
        dots = table("real[1]", real[1], columns, len(own))
        kept = np.unique(np.linspace(0, len(own) - 1, min(len(own), _MOST_DOTS)).round().astype(int))
        own, dots = own[kept], dots[kept]
    badness = -np.arange(float(len(columns)))
    if truth is not None:
        far, spread = np.abs(curves["mean"] - curves["truth"]).mean(0), np.ptp(curves["truth"], axis=0)
        badness = far / np.where(spread > 0, spread, np.inf)
    panels = chosen(badness, _MOST_PANELS)
    inside = np.ones(len(at), bool)
    if training_range is not None:
        inside = (at >= training_range[0]) & (at <= training_range[1])
    known = curves["truth"] if truth is not None else None
    rows: list[list[object]] = []
    for j in panels:
        for i, condition in enumerate(at):
            rows.append([columns[j], "generated", condition, *(curves[line][i, j] for line in ("mean", "low", "high"))])
            rows[-1] += ["" if known is None else known[i, j], int(inside[i])]
        rows += [[columns[j], "real", *point, "", "", "", ""] for point in zip(own, dots[:, j], strict=True)]
    header = ["column", "rows", "condition", "value", "low", "high", "true", "in_training_range"]
    write_numbers(folder, name, header, rows)

    left, right = min([*at, *own]), max([*at, *own])
    wide = short(band, 60)
    across = 2 if len(panels) == 4 else min(3, len(panels))
    with canvas(folder, name, height=0.75 + (2.2 if across > 1 else 3.4) * -(-len(panels) // across)) as figure:
        for place, (axes, j) in enumerate(zip(grid(figure, len(panels), columns=across), panels, strict=True)):
            if training_range is not None:
                for first, last in ((left, min(training_range[0], right)), (max(training_range[1], left), right)):
                    if last > first:
                        axes.axvspan(first, last, color="#e9ecef", lw=0, zorder=0, label="outside the training range")
            if len(own):
                axes.plot(own, dots[:, j], "o", ms=2.5, mew=0, color="#7b8794", alpha=0.35)
                axes.plot([], [], "o", ms=4, mew=0, color="#7b8794", label="real rows")  # to be seen in the legend
            ends = curves["low"][:, j], curves["high"][:, j]
            if at[0] < at[-1]:
                axes.fill_between(at, *ends, color=PALETTE[0], alpha=0.2, lw=0, label=wide)
            else:
                axes.vlines(at, *ends, color=PALETTE[0], alpha=0.2, lw=12, label=wide)
            marker = "o" if len(at) <= 12 else ""
            axes.plot(at, curves["mean"][:, j], color=PALETTE[0], marker=marker, ms=4, label="generated mean")
            if known is not None:
                axes.plot(at, known[:, j], color=PALETTE[1], lw=1.4, ls=(0, (4, 3)), label="truth")
            unit = units if isinstance(units, str) else units.get(columns[j], "")
            axes.set_title(short(columns[j], 32))
            axes.set_ylabel(short(unit, 24))
            axes.locator_params(nbins=5)
            axes.margins(x=0.02)
            if place >= len(panels) - across:
                axes.set_xlabel(short(condition_name, 96 // across))
        found = {text: handle for handle, text in zip(*figure.axes[0].get_legend_handles_labels(), strict=True)}
        per_line = len(found) if sum(map(len, found)) <= 90 else 3
        figure.legend(list(found.values()), list(found), loc="outside upper right", ncols=per_line)
    if caption is None:
        caption = f"Generated at {plural(len(at), 'condition')}: the line is the mean, the band {band}."
        if real is not None:
            caption += f" Dots are {plural(len(own), 'real row')}."
        if truth is not None:
            caption += " Dashed is the truth."
        if training_range is not None and not inside.all():
            caption += f" Grey lies outside the training range, {number(training_range[0], trim=True)} to "
            caption += f"{number(training_range[1], trim=True)}: {number(int((~inside).sum()))} of the conditions."
        caption += which(panels, columns, "farthest from the truth" if truth is not None else "that come first")
    return Picture(f"{name}.png", title, caption)
