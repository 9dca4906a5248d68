"""Pictures of denoising: rows before and after, and how much noise of every kind is taken away."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from jaxae.report.pictures.arguments import table
from jaxae.report.pictures.canvas import FAINT, PALETTE, Picture, canvas, write_numbers
from jaxae.report.words import number, plural, short, with_unit

__all__ = ["denoised", "gains"]

_MOST_ROWS = 8


def denoised(
    folder: str | os.PathLike[str],
    clean: ArrayLike,
    noisy: ArrayLike,
    restored: ArrayLike,
    columns: Sequence[str],
    *,
    rows: int = 4,
    unit: str = "",
    name: str = "denoised",
    title: str = "Rows before and after denoising",
    caption: str | None = None,
) -> Picture:
    """Return the picture of the first rows as they are, with noise, and denoised, a panel each.

    Above each stands its error, √(mean over the variables of (x − clean)²), before and after.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        clean: (n, d).
        noisy: (n, d), the same rows with noise.
        restored: (n, d), what the model makes of the noisy rows.
        columns: d names.
        rows: how many are drawn at most, the first ones; 1 to 8.
        unit: of the values.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence with the errors over all rows.

    Raises:
        ValueError: if the shapes do not fit, or values are not finite.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     denoised(folder, [[0.0, 1.0]], [[0.5, 1.5]], [[0.1, 1.1]], ["a", "b"]).file
        'denoised.png'
    """
    truth = table("clean", clean, columns)
    before = table("noisy", noisy, columns, len(truth))
    after = table("restored", restored, columns, len(truth))
    if not 1 <= rows <= _MOST_ROWS:
        raise ValueError(f"rows must be 1 to {_MOST_ROWS}, the rows to draw, not {rows}")
    count, d = min(rows, len(truth)), len(columns)
    errors = [np.sqrt(((other - truth) ** 2).mean(1)) for other in (before, after)]
    write_numbers(
        folder,
        name,
        ["row", "column", "clean", "noisy", "denoised", "rms_before", "rms_after"],
        (
            [i, columns[j], truth[i, j], before[i, j], after[i, j], errors[0][i], errors[1][i]]
            for i in range(count)
            for j in range(d)
        ),
    )
    labels = [short(column, 20) for column in columns] if d <= 24 else []
    upright = sum(map(len, labels)) > 90 or max(map(len, labels), default=0) > 110 // d
    places, size = np.arange(d), float(np.clip(160 / d, 1.5, 5))
    with canvas(folder, name, height=min(10.4, 0.9 + 1.55 * count + (0.5 if labels and upright else 0))) as figure:
        panels = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
        for i, axes in enumerate(panels):
            axes.plot(places, truth[i], "o-", color=FAINT, ms=size, lw=1.6, label="clean")
            axes.plot(places, before[i], "o", mfc="none", mec=PALETTE[1], mew=1.1, ms=size + 1.5, label="noisy")
            axes.plot(places, after[i], "-" if d > 1 else "o", color=PALETTE[0], ms=size, lw=1.6, label="denoised")
            axes.set_title(f"row {i}   RMS error {number(errors[0][i], digits=3)} before, "
                           f"{number(errors[1][i], digits=3)} after")  # fmt: skip
            axes.locator_params(axis="y", nbins=4)
            axes.set_ylabel(short(unit, 20))
            axes.margins(x=0.02 if d > 1 else 0.5, y=0.12)
        if labels:
            panels[-1].set_xticks(places, labels, rotation=90 if upright else 0)
        else:
            panels[-1].set_xlabel(f"variables 0 to {d - 1}")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    if caption is None:
        rms = [number(float(np.sqrt((error**2).mean())), digits=3) for error in errors]
        caption = (
            f"{'One row' if count == 1 else plural(count, 'row')}, variable by variable: grey is what is true, circles "
            f"what the model is given, blue what it makes of them. Over {plural(len(truth), 'row')} the RMS error is "
            f"{rms[0]} before and {rms[1]} after."
        )
    return Picture(f"{name}.png", title, caption)


def gains(
    folder: str | os.PathLike[str],
    before: Mapping[str, float],
    after: Mapping[str, float],
    control: Mapping[str, float] | None = None,
    *,
    control_name: str = "",
    unit: str = "dB",
    name: str = "gains",
    title: str = "Signal and noise before and after",
    caption: str | None = None,
) -> Picture:
    """Return the picture of the signal-to-noise ratio for every kind of noise, before, after, and after a control.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        before: by kind of noise, the ratio of the noisy rows.
        after: by the same kinds, the ratio of the denoised rows.
        control: by the same kinds, the ratio that a control reaches; None for no control.
        control_name: what the control is, e.g. "Wiener filter".
        unit: of the ratios.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence with how often the model gains, and beats the control.

    Raises:
        ValueError: if there is no kind of noise, the kinds differ, or a ratio is not finite.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     gains(folder, {"Gaussian": 3.0}, {"Gaussian": 9.5}, {"Gaussian": 8.0}, control_name="PCA").file
        'gains.png'
    """
    beside = control_name or "the control"
    series = {"before": before, "after the model": after} | ({} if control is None else {f"after {beside}": control})
    kinds = list(before)
    if not kinds:
        raise ValueError("before must hold the ratio of at least one kind of noise by its name, not {}")
    for label, values in series.items():
        if set(values) != set(kinds):
            raise ValueError(f"before, after and control must hold the same kinds of noise: {label!r} holds "
                             f"{list(values)}, not {kinds}")  # fmt: skip
        for kind in kinds:
            if not np.isfinite(values[kind]):
                raise ValueError(f"ratios must be finite, but {label!r} for {kind!r} is {values[kind]}: leave it out")
    write_numbers(
        folder,
        name,
        ["noise", "rows", unit or "ratio"],
        ([kind, label, float(values[kind])] for kind in kinds for label, values in series.items()),
    )
    shades = ["#d5d9de", PALETTE[0], FAINT]
    step = 0.86 / len(series)
    height = min(10.4, 0.95 + (0.22 * len(series) + 0.12) * len(kinds))
    # Points from bar to bar: numbers are as small as that, and left to the CSV where nobody could read them.
    size = min(8.0, 72 * (height - 0.95) / len(kinds) * step)
    with canvas(folder, name, height=height) as figure:
        axes = figure.add_subplot()
        for place, (label, values) in enumerate(series.items()):
            lengths = np.asarray([float(values[kind]) for kind in kinds])
            heights = np.arange(len(kinds)) + (place - (len(series) - 1) / 2) * step
            axes.barh(heights, lengths, height=0.92 * step, color=shades[place], label=short(label, 36))
            for middle, length in zip(heights, lengths, strict=True):
                offset, side = (4, "left") if length >= 0 else (-4, "right")
                text = number(length, digits=3) if size >= 4.5 else ""
                axes.annotate(text, (length, middle), (offset, 0), textcoords="offset points",
                              ha=side, va="center", fontsize=size)  # fmt: skip
        every = -(-len(kinds) // 64)
        axes.set_yticks(range(0, len(kinds), every), [short(kind, 28) for kind in kinds[::every]])
        axes.set_ylim(len(kinds) - 0.5, -0.5)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.1)
        axes.axvline(0, color="#52606d", lw=0.8)
        axes.set_xlabel(with_unit("signal-to-noise ratio", unit))
        figure.legend(loc="outside upper right", ncols=len(series))
    if caption is None:
        better = sum(after[kind] > before[kind] for kind in kinds)
        caption = "The higher, the less noise is left. Denoising gains for "
        caption += f"{number(better)} of {plural(len(kinds), 'kind')} of noise"
        if control is not None:
            ahead = sum(after[kind] > control[kind] for kind in kinds)
            caption += f", and does better than {beside} for {number(ahead)}"
        caption += "."
    return Picture(f"{name}.png", title, caption)
