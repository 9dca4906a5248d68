"""Pictures of a latent space: where the rows lie in it, and which of its units carry information."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxae.report.pictures.canvas import FAINT, MARKERS, PALETTE, SEQUENTIAL, Picture, canvas, grid, write_numbers
from jaxae.report.words import listed, number, plural, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

__all__ = ["maps", "scatter", "units"]

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
    xy = _plane("points", points)
    shades = _shades(colour, groups, len(xy))
    write_numbers(folder, name, ["x", "y", *shades.columns], zip(*xy.T, *shades.columns.values(), strict=True))
    with canvas(folder, name, height=6.2) as figure:
        panel = figure.add_subplot()
        _explain(figure, [panel], _dots(panel, xy, shades, 1.0), shades, colour_name)
        panel.set_aspect("equal", adjustable="datalim")
        panel.set(xlabel=axes[0], ylabel=axes[1])
    if caption is None:
        caption = f"Every dot is one of {plural(len(xy), 'row')}"
        caption += f"; the colour is {colour_name}." if colour_name else "."
    return Picture(f"{name}.png", title, caption)


def maps(
    folder: str | os.PathLike[str],
    points: Mapping[str, ArrayLike],
    *,
    colour: ArrayLike | None = None,
    colour_name: str = "",
    groups: Sequence[str] | None = None,
    name: str = "latent-maps",
    title: str = "Maps of the latent space",
    caption: str | None = None,
) -> Picture:
    """Return the picture of the same rows on several maps in the plane, side by side in the same colours.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        points: by map, (n, 2), e.g. ``{"t-SNE": ..., "LDA": ...}``; the rows are the same on each.
        colour: (n,) whole numbers or bools of at most 20 kinds for groups with a legend, else a colour bar.
        colour_name: what the colour means, with its unit.
        groups: names of the groups 0, 1, 2, … in ``colour``.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence that fits the points.

    Raises:
        ValueError: if there is no map, or the shapes are others.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     maps(folder, {"PCA": [[0.0, 1.0], [2.0, 3.0]], "LDA": [[0.0, 0.0], [1.0, 0.0]]}, colour=[0, 1]).file
        'latent-maps.png'
    """
    planes = {label: _plane(f"points[{label!r}]", xy) for label, xy in points.items()}
    rows = {label: len(xy) for label, xy in planes.items()}
    if len(set(rows.values())) != 1:
        raise ValueError(f"points must hold (n, 2) arrays by map, of the same n rows, not of {rows}")
    count = next(iter(rows.values()))
    shades = _shades(colour, groups, count)
    write_numbers(
        folder,
        name,
        ["map", "row", "x", "y", *shades.columns],
        (
            [label, *row]
            for label, xy in planes.items()
            for row in zip(range(count), *xy.T, *shades.columns.values(), strict=True)
        ),
    )
    columns = min(len(planes), 2 if len(planes) in (2, 4) else 3)
    side = 6.6 / columns if shades.values is not None else 8.0 / columns
    with canvas(folder, name, height=0.3 + min(side, 5.8) * -(-len(planes) // columns)) as figure:
        panels = grid(figure, len(planes), columns=columns)
        for panel, (label, xy) in zip(panels, planes.items(), strict=True):
            dots = _dots(panel, xy, shades, 0.5 if columns > 1 else 1.0)
            panel.set_title(short(label, 36), fontweight="bold")
            panel.locator_params(nbins=5)
            panel.set_aspect("equal", adjustable="datalim")
        _explain(figure, panels, dots, shades, colour_name)
    if caption is None:
        caption = f"Every dot is one of {plural(count, 'row')}"
        caption += f", the same on each map ({listed(list(planes))})" if len(planes) > 1 else ""
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


class _Shades(NamedTuple):
    """How dots are coloured: nothing, a legend of few kinds, or a colour bar (values, but no kinds)."""

    values: np.ndarray | None
    kinds: dict[int, str]
    columns: dict[str, np.ndarray]


def _plane(label: str, points: ArrayLike) -> np.ndarray:
    xy = np.asarray(points)
    if xy.ndim != 2 or xy.shape[1] != 2 or not len(xy):
        raise ValueError(f"{label} must have shape (n, 2), not {xy.shape}: choose two latent units or project to two")
    if not np.isfinite(xy).all():
        raise ValueError(f"{label} must be finite, and row {int(np.flatnonzero(~np.isfinite(xy).all(1))[0])} is not")
    return xy


def _shades(colour: ArrayLike | None, groups: Sequence[str] | None, count: int) -> _Shades:
    if colour is None:
        return _Shades(None, {}, {})
    values = np.asarray(colour)
    if values.shape != (count,):
        raise ValueError(f"colour must have shape {(count,)}, one number per point, not {values.shape}")
    found = np.unique(values) if values.dtype.kind in "iub" else np.asarray([])
    if not 0 < len(found) <= _MOST_GROUPS:
        return _Shades(values, {}, {"colour": values})
    kinds = {kind: groups[int(kind)] if groups is not None and 0 <= kind < len(groups) else str(kind) for kind in found}
    columns = {"colour": values}
    if groups is not None:
        columns["group"] = np.asarray([kinds[kind] for kind in values])
    return _Shades(values, kinds, columns)


def _dots(panel: Axes, xy: np.ndarray, shades: _Shades, scale: float) -> PathCollection | None:
    """Draw the points, ``scale`` times as large as on a picture of their own; return those that a colour bar is for."""
    size, alpha = scale * float(np.clip(15000 / len(xy), 3, 26)), float(np.clip(2000 / len(xy), 0.35, 0.85))
    x, y = xy.T
    if shades.values is None:
        panel.scatter(x, y, s=size, alpha=alpha, color=PALETTE[0], linewidths=0)
    elif not shades.kinds:
        return panel.scatter(x, y, s=size, alpha=alpha, c=shades.values.astype(float), cmap=SEQUENTIAL, linewidths=0)
    for place, kind in enumerate(shades.kinds):
        here, shade, marker = shades.values == kind, PALETTE[place % len(PALETTE)], MARKERS[place // len(PALETTE)]
        panel.scatter(x[here], y[here], s=size, alpha=alpha, color=shade, linewidths=0, marker=marker)
    return None


def _explain(
    figure: Figure, panels: Sequence[Axes], dots: PathCollection | None, shades: _Shades, colour_name: str
) -> None:
    """Draw the legend of the kinds, or the colour bar of the dots, beside the panels."""
    if shades.kinds:
        # Matplotlib's own collection of handles leaves out names that begin with "_".
        handles, labels = list(panels[0].collections), [short(label) for label in shades.kinds.values()]
        heading = short(colour_name, 30) or None
        box = figure.legend(handles, labels, loc="outside right upper", title=heading, alignment="left")
        for handle in box.legend_handles:
            if handle is not None:
                handle.set(sizes=[36], alpha=1.0)
    elif dots is not None:
        bar = figure.colorbar(dots, ax=panels, label=colour_name, fraction=0.04, pad=0.02)
        if bar.solids is not None:
            bar.solids.set(alpha=1)
        bar.outline.set_visible(False)
