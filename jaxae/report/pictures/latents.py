"""Pictures of a latent space: where the rows lie in it, and which of its units carry information."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from jaxae.report.pictures.canvas import FAINT, MARKERS, PALETTE, SEQUENTIAL, Picture, canvas, write_numbers
from jaxae.report.words import number, plural, short

__all__ = ["scatter", "units"]

_MOST_GROUPS = 20  # legend entries that still fit beside the picture; more whole numbers than these get a colour bar


def scatter(
    folder: str | os.PathLike[str],
    points: ArrayLike,
    *,
    colour: ArrayLike | None = None,
    colour_name: str = "",
    groups: Sequence[str] | None = None,
    axes: tuple[str, str] = ("latent unit 0", "latent unit 1"),
    name: str = "latent",
    title: str = "The latent space",
    caption: str | None = None,
) -> Picture:
    """Return the picture of points in the plane, on equal scales.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        points: (n, 2); of a larger latent choose or project first.
        colour: (n,) whole numbers or bools of at most 20 kinds for groups with a legend, else a colour bar.
        colour_name: what the colour means, with its unit.
        groups: names of the groups 0, 1, 2, … in ``colour``.
        axes: what the two axes are, with their units.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence that fits the points.

    Raises:
        ValueError: if the shapes are others.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     scatter(folder, [[0.0, 1.0], [2.0, 3.0]], colour=[0, 1]).file
        'latent.png'
    """
    xy = np.asarray(points)
    if xy.ndim != 2 or xy.shape[1] != 2 or not len(xy):
        raise ValueError(f"points must have shape (n, 2), not {xy.shape}: choose two latent units or project to two")
    values = None if colour is None else np.asarray(colour)
    if values is not None and values.shape != (len(xy),):
        raise ValueError(f"colour must have shape {(len(xy),)}, one number per point, not {values.shape}")
    kinds = np.unique(values) if values is not None and values.dtype.kind in "iub" else np.asarray([])
    legend = 0 < len(kinds) <= _MOST_GROUPS
    named = {kind: groups[int(kind)] if groups is not None and 0 <= kind < len(groups) else str(kind) for kind in kinds}
    header, columns = ["x", "y"], [*xy.T]
    if values is not None:
        header, columns = [*header, "colour"], [*columns, values]
        if legend and groups is not None:
            header, columns = [*header, "group"], [*columns, np.asarray([named[kind] for kind in values])]
    write_numbers(folder, name, header, zip(*columns, strict=True))

    size, alpha = float(np.clip(15000 / len(xy), 3, 26)), float(np.clip(2000 / len(xy), 0.35, 0.85))
    with canvas(folder, name, height=6.2) as figure:
        panel = figure.add_subplot()
        x, y = xy.T
        if values is None:
            panel.scatter(x, y, s=size, alpha=alpha, color=PALETTE[0], linewidths=0)
        elif legend:
            for place, kind in enumerate(kinds):
                shade, marker = PALETTE[place % len(PALETTE)], MARKERS[place // len(PALETTE)]
                panel.scatter(x[values == kind], y[values == kind], s=size, alpha=alpha, color=shade, linewidths=0,
                              marker=marker, label=short(named[kind]))  # fmt: skip
            box = figure.legend(loc="outside right upper", title=short(colour_name, 30) or None, alignment="left")
            for handle in box.legend_handles:
                if handle is not None:
                    handle.set(sizes=[36], alpha=1.0)
        else:
            dots = panel.scatter(x, y, s=size, alpha=alpha, c=values.astype(float), cmap=SEQUENTIAL, linewidths=0)
            bar = figure.colorbar(dots, ax=panel, label=colour_name, fraction=0.04, pad=0.02)
            if bar.solids is not None:
                bar.solids.set(alpha=1)
            bar.outline.set_visible(False)
        panel.set_aspect("equal", adjustable="datalim")
        panel.set(xlabel=axes[0], ylabel=axes[1])
    if caption is None:
        caption = f"Every dot is one of {plural(len(xy), 'row')}"
        caption += f"; the colour is {colour_name}." if colour_name else "."
    return Picture(f"{name}.png", title, caption)


def units(
    folder: str | os.PathLike[str],
    kl: ArrayLike,
    active: ArrayLike,
    *,
    unit: str = "nats",
    name: str = "units",
    title: str = "What each latent unit carries",
    caption: str | None = None,
) -> Picture:
    """Return the picture of the information in every latent unit, the active ones apart from the collapsed.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        kl: (k,) KL divergence from the prior per unit, averaged over rows.
        active: (k,) bool.
        unit: of the divergence.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence with the counts.

    Raises:
        ValueError: if the shapes differ.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     units(folder, [1.2, 0.0], [True, False]).caption
        '1 of 2 units is active; a collapsed unit equals the prior and tells the decoder nothing.'
    """
    heights, mask = np.asarray(kl, dtype=float), np.asarray(active, dtype=bool)
    if heights.ndim != 1 or heights.shape != mask.shape or not heights.size:
        raise ValueError(f"kl and active must both have shape (k,), not {heights.shape} and {mask.shape}")
    write_numbers(
        folder,
        name,
        ["unit", "kl", "active"],
        ((i, v, int(a)) for i, (v, a) in enumerate(zip(heights, mask, strict=True))),
    )
    places = np.arange(heights.size)
    with canvas(folder, name, height=3.2) as figure:
        axes = figure.add_subplot()
        for chosen, colour, label in ((mask, PALETTE[0], "active"), (~mask, FAINT, "collapsed")):
            if chosen.any():
                axes.bar(places[chosen], heights[chosen], width=0.8, color=colour, label=label)
        # A collapsed unit's bar has no height to see: a tick on the floor shows that the unit is there.
        axes.plot(places[~mask], np.zeros((~mask).sum()), "_", color="#52606d", ms=6, clip_on=False)
        axes.set(xlabel="latent unit", ylabel=f"KL from the prior ({unit})")
        axes.grid(False, axis="x")
        if heights.size <= 32:
            axes.set_xticks(places)
        if heights.size <= 16:
            for place, height in zip(places, heights, strict=True):
                if np.isfinite(height):
                    text = number(height, digits=3, trim=True)
                    axes.annotate(text, (place, height), (0, 3), textcoords="offset points", ha="center", fontsize=8)
        axes.margins(x=max(0.02, 0.6 / heights.size) if heights.size < 6 else 0.02, y=0.12)
        figure.legend(loc="outside upper right", ncols=2)
    if caption is None:
        verb = "is" if mask.sum() == 1 else "are"
        caption = f"{number(int(mask.sum()))} of {plural(heights.size, 'unit')} {verb} active; a collapsed unit equals "
        caption += "the prior and tells the decoder nothing."
    return Picture(f"{name}.png", title, caption)
