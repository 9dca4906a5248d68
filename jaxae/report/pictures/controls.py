"""The picture of a model beside its controls."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from jaxae.report.pictures.canvas import FAINT, PALETTE, Picture, canvas, write_numbers
from jaxae.report.words import beside, number, short, with_unit

__all__ = ["bars"]


def bars(
    folder: str | os.PathLike[str],
    values: Mapping[str, float],
    controls: Mapping[str, float],
    *,
    units: Mapping[str, str] | None = None,
    model: str = "this model",
    name: str = "controls",
    title: str = "The model beside its controls",
    caption: str = "Every panel is one metric on held-out rows, with its own axis; grey bars are the controls.",
) -> Picture:
    """Return the picture of each metric of the model beside the controls of that metric, as bars with their numbers.

    Controls find their metric by name, as on the page (``words.beside``); metrics without a control are drawn only
    where no metric has one.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        values: metrics of the model.
        controls: the controls' values, e.g. ``{"mse of PCA": 0.4}`` for the metric ``mse``.
        units: by metric.
        model: what the model's bar is called.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it.

    Raises:
        ValueError: if there is nothing to draw.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     bars(folder, {"mse": 0.1}, {"mse of PCA": 0.4}).file
        'controls.png'
    """
    pairs = {metric: beside_it for metric, beside_it in beside(values, controls).items() if beside_it} or {
        metric: {} for metric in values
    }
    if not pairs:
        raise ValueError("there is nothing to draw: values and controls are both empty")
    panels = {
        metric: ({model: values[metric]} if metric in values else {}) | others for metric, others in pairs.items()
    }
    write_numbers(
        folder,
        name,
        ["metric", "of", "value"],
        ([metric, label, float(value)] for metric, panel in panels.items() for label, value in panel.items()),
    )
    sizes = [0.75 + 0.3 * len(panel) for panel in panels.values()]
    with canvas(folder, name, height=sum(sizes)) as figure:
        stack = figure.subplots(len(panels), 1, squeeze=False, height_ratios=sizes)[:, 0]
        for axes, (metric, panel) in zip(stack, panels.items(), strict=True):
            heights = np.asarray(list(panel.values()), dtype=float)
            drawn = np.where(np.isfinite(heights), heights, 0.0)
            places = np.arange(len(panel))
            colours = [PALETTE[0] if label == model else FAINT for label in panel]
            axes.barh(places, drawn, color=colours, height=0.68)
            for place, value, length in zip(places, heights, drawn, strict=True):
                offset, side = (4, "left") if length >= 0 else (-4, "right")
                axes.annotate(number(value), (length, place), (offset, 0), textcoords="offset points",
                              ha=side, va="center", fontsize=8.5)  # fmt: skip
            axes.set_yticks(places, [short(label, 28) for label in panel])
            axes.invert_yaxis()
            axes.grid(False, axis="y")
            axes.tick_params(axis="y", length=0)
            axes.margins(x=0.12)
            axes.axvline(0, color="#52606d", lw=0.8)
            axes.set_title(with_unit(short(metric, 60), (units or {}).get(metric, "")), fontweight="bold")
    return Picture(f"{name}.png", title, caption)
