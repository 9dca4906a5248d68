"""The picture of a series over time: its values, their reconstruction, the anomaly score and the events in it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from jaxae.report.pictures.arguments import chosen, pairs, table, vector, which
from jaxae.report.pictures.canvas import PALETTE, Picture, canvas, logarithmic, spans_decades, write_numbers
from jaxae.report.words import number, plural, short, with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["timeline"]

_MOST_PANELS = 4
_BINS = 1500  # of a longer line the extremes of so many stretches are drawn: finer than a pixel
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)")
_INK = "#3e4c59"


def timeline(
    folder: str | os.PathLike[str],
    values: ArrayLike,
    columns: Sequence[str],
    *,
    reconstruction: ArrayLike | None = None,
    score: ArrayLike | None = None,
    threshold: float | None = None,
    events: ArrayLike | None = None,
    true_events: ArrayLike | None = None,
    stamps: Sequence[str] | None = None,
    units: Mapping[str, str] | str = "",
    unit: str = "",
    name: str = "timeline",
    title: str = "The series over time",
    caption: str | None = None,
) -> Picture:
    """Return the picture of a series with its reconstruction, its score below, and the events marked in all panels.

    Of more than 4 columns the 4 are drawn with the largest mean |value − reconstruction| over their standard deviation,
    or the first 4 without a reconstruction. The numbers hold every point of the columns that are drawn.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        values: (t, d).
        columns: d names.
        reconstruction: (t, d), in the same units.
        score: (t,) anomaly score of every point.
        threshold: above it a score is an alarm; needs ``score``.
        events: (k, 2) half-open pairs [start, stop) of points, as detected.
        true_events: (j, 2) such pairs, as they are known to be.
        stamps: t words that say when each point was; a handful become tick labels.
        units: of the values, by column, or one for all.
        unit: of the score.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence with the events, and which columns are drawn.

    Raises:
        ValueError: if the shapes do not fit, values are not finite, or events lie outside the series.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     timeline(folder, [[0.0], [9.0], [0.0]], ["flow"], score=[0.1, 8.0, 0.1], events=[[1, 2]]).file
        'timeline.png'
    """
    x = table("values", values, columns)
    xhat = None if reconstruction is None else table("reconstruction", reconstruction, columns, len(x))
    strange = None if score is None else vector("score", score, len(x), one_per="point")
    if threshold is not None and (strange is None or not np.isfinite(threshold)):
        raise ValueError(f"threshold must be a finite number on the scale of score, which must be given: {threshold}")
    found, real = pairs("events", events, len(x)), pairs("true_events", true_events, len(x))
    if stamps is not None and len(stamps) != len(x):
        raise ValueError(f"stamps must name each of the {len(x)} points, not {len(stamps)}")
    panels = chosen(_badness(x, xhat), _MOST_PANELS)
    _write(folder, name, columns, panels, x, xhat, strange, threshold, found, real, stamps)

    places = np.arange(len(x))
    count = len(panels) + (strange is not None)
    with canvas(folder, name, height=1.0 + (1.5 if count > 2 else 1.9) * count) as figure:
        stack = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
        for axes, j in zip(stack, panels, strict=False):
            _draw(axes, places, x[:, j], _INK, "value")
            if xhat is not None:
                _draw(axes, places, xhat[:, j], PALETTE[0], "reconstruction")
            own = units if isinstance(units, str) else units.get(columns[j], "")
            axes.set_title(with_unit(short(columns[j], 60), short(own, 40)))
        handles = dict(zip(*reversed(stack[0].get_legend_handles_labels()), strict=True))
        if strange is not None:
            axes = stack[-1]
            _draw(axes, places, strange, _INK, "")
            axes.set_title(with_unit("anomaly score", short(unit, 60)), fontweight="bold")
            if threshold is not None:
                text = f"threshold {number(threshold)}"
                handles[text] = axes.axhline(threshold, color="#1f2933", lw=1.2, ls=(0, (4, 3)))
        for axes in stack:
            axes.locator_params(axis="y", nbins=4)
            axes.margins(x=0.005, y=0.14)
        if strange is not None and spans_decades(strange):
            logarithmic(stack[-1], "y")
        for spans, text, colour, bottom, top, alpha in (
            (found, "detected event", PALETTE[1], 0.0, 1.0, 0.22),
            (real, "true event", PALETTE[2], 0.0, 0.07, 1.0),
        ):
            if len(spans):
                for axes in stack:
                    handles[text] = _mark(axes, spans, colour, bottom, top, alpha)
        _label(stack[-1], len(x), stamps)
        figure.legend(list(handles.values()), list(handles), loc="outside upper right", ncols=len(handles))
    if caption is None:
        caption = (
            f"{plural(len(x), 'point')}. {_said(found, real, events is not None, true_events is not None)}".strip()
        )
        why = "that come first" if xhat is None else "with the largest error for their spread"
        caption += which(panels, columns, why)
    return Picture(f"{name}.png", title, caption)


def _badness(x: np.ndarray, xhat: np.ndarray | None) -> np.ndarray:
    """Return (d,) how much each column deserves to be drawn, NaN for one that does not vary."""
    if xhat is None:
        return -np.arange(float(x.shape[1]))
    spread = np.where(np.ptp(x, axis=0) > 0, x.std(0), np.nan)
    return np.abs(x - xhat).mean(0) / spread


def _write(
    folder: str | os.PathLike[str],
    name: str,
    columns: Sequence[str],
    panels: Sequence[int],
    x: np.ndarray,
    xhat: np.ndarray | None,
    score: np.ndarray | None,
    threshold: float | None,
    found: np.ndarray,
    real: np.ndarray,
    stamps: Sequence[str] | None,
) -> None:
    # Pairs, for a column may bear the name of another, "index" or "score", and must not take its place.
    parts: list[tuple[str, Sequence[object]]] = [("index", range(len(x)))]
    if stamps is not None:
        parts.append(("stamp", stamps))
    parts += [(columns[j], x[:, j].tolist()) for j in panels]
    if xhat is not None:
        parts += [(f"reconstruction of {columns[j]}", xhat[:, j].tolist()) for j in panels]
    if score is not None:
        parts.append(("score", score.tolist()))
    if threshold is not None:
        parts.append(("threshold", [float(threshold)] * len(x)))
    for label, spans in (("in_event", found), ("in_true_event", real)):
        inside = np.zeros(len(x), int)
        for start, stop in spans:
            inside[start:stop] = 1
        parts.append((label, inside.tolist()))
    header, values = zip(*parts, strict=True)
    write_numbers(folder, name, header, zip(*values, strict=True))


def _draw(axes: Axes, places: np.ndarray, values: np.ndarray, colour: str, label: str) -> None:
    """Draw a line; of a long one the lowest and the highest point of every stretch, which looks the same."""
    keep = places
    if len(values) > 2 * _BINS:
        parts = np.array_split(places, _BINS)
        keep = np.unique([part[pick] for part in parts for pick in (values[part].argmin(), values[part].argmax())])
    width = 1.3 if len(values) <= 600 else 0.9 if len(values) <= 3000 else 0.6
    marker = "o" if len(values) <= 40 else ""
    axes.plot(places[keep], values[keep], color=colour, lw=width, marker=marker, ms=3, label=label)


def _mark(axes: Axes, spans: np.ndarray, colour: str, bottom: float, top: float, alpha: float) -> object:
    """Shade half-open spans of points between two heights of the panel, however short they are."""
    from matplotlib.collections import PolyCollection

    corners = [
        [(start - 0.5, bottom), (stop - 0.5, bottom), (stop - 0.5, top), (start - 0.5, top)] for start, stop in spans
    ]
    boxes = PolyCollection(corners, facecolor=colour, edgecolor=colour, lw=0.8, alpha=alpha, zorder=0.6,
                           transform=axes.get_xaxis_transform())  # fmt: skip
    axes.add_collection(boxes, autolim=False)
    return boxes


def _label(axes: Axes, points: int, stamps: Sequence[str] | None) -> None:
    """Put point numbers, or a handful of stamps, under the lowest panel."""
    from matplotlib.ticker import MaxNLocator

    if stamps is None:
        axes.set_xlabel("point")
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
        return
    ticks = np.unique(np.linspace(0, points - 1, 7).round().astype(int))
    matches = [_STAMP.match(str(stamps[tick])) for tick in ticks]
    texts = [
        "\n".join(match.groups()) if match else short(stamps[tick], 16)
        for tick, match in zip(ticks, matches, strict=True)
    ]
    axes.set_xticks(ticks, texts)


def _said(found: np.ndarray, real: np.ndarray, searched: bool, known: bool) -> str:
    text = f"Shaded: {plural(len(found), 'detected event')}" if searched else ""
    if known:
        bars = f"{plural(len(real), 'true event')}, the bars along the bottom"
        text += f"; {bars}" if text else f"There {'is' if len(real) == 1 else 'are'} {bars}"
    if searched and known and len(real):
        hit = sum(bool(((found[:, 0] < stop) & (start < found[:, 1])).any()) for start, stop in real)
        text += f". {number(hit)} of {plural(len(real), 'true event')} {'overlaps' if hit == 1 else 'overlap'} a "
        text += "detected one"
    return f"{text}." if text else ""
