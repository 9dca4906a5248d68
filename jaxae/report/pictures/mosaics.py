"""How images of every kind are drawn in lines of tiles, and how their pixels reach the disk."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxae.report.pictures.canvas import DIVERGING, PALETTE, WIDTH, Picture, canvas, clear, write_numbers
from jaxae.report.words import listed, number, plural, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MOST_NUMBERS", "Steps", "mosaics", "tiles"]

MOST_NUMBERS = 200_000
"""Numbers that are written as text, about 4 MB; more of them go into an archive of NumPy's."""

_DPI = 120
_CHANNELS = ("red", "green", "blue")


class Steps(NamedTuple):
    """What stands above the columns of a mosaic: numbers under a name, their texts, and which columns are framed."""

    name: str
    values: np.ndarray
    texts: Sequence[str]
    framed: Collection[int] = ()


def tiles(label: str, images: ArrayLike, axes: str, *, signed: bool = False) -> np.ndarray:
    """Return images as float64 in 0…1 or in any range of grey, without the last axis where they have one channel.

    Args:
        label: the argument's name, for errors.
        images: (…, h, w) or (…, h, w, 1) for grey, (…, h, w, 3) for colour.
        axes: the names of the axes of grey images, e.g. ``"k, h, w"``.
        signed: whether they are differences, which in colour become their mean over the channels.

    Raises:
        ValueError: if the shape is another, or colours are whole numbers above 1.

    Examples:
        >>> tiles("images", np.zeros((2, 4, 4, 1)), "n, h, w").shape
        (2, 4, 4)
    """
    given, leading = np.asarray(images), len(axes.split(","))
    array = given.astype(float)
    if array.ndim == leading + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (leading, leading + 1) or not array.size or array.shape[leading:] not in ((), (3,)):
        raise ValueError(
            f"{label} must have shape ({axes}) or ({axes}, 1) for grey or ({axes}, 3) for colour, none of them 0, "
            f"not {given.shape}"
        )
    if array.ndim == leading:
        return array
    if signed:
        return array.mean(axis=-1)
    if given.dtype.kind in "iu" and array.max() > 1:
        raise ValueError(
            f"{label} in colour must lie in 0…1, and are whole numbers up to {given.max()}: divide them by 255"
        )
    return array


def mosaics(
    folder: str | os.PathLike[str],
    blocks: Mapping[str, np.ndarray],
    *,
    columns: int,
    name: str,
    title: str,
    caption: str | None,
    lead: str,
    signed: Collection[str] = (),
    averaged: Sequence[str] = (),
    steps: Steps | None = None,
) -> Picture:
    """Return the picture of blocks of images, each a labelled mosaic of its own, with white between the tiles.

    Every pixel of an image is drawn: where 1000 picture pixels are too few, and where there are colours, the picture
    is made as much finer as lets a whole number of them make up each. All numbers drawn go beside it, in the file
    that ``_write`` chooses.

    Args:
        folder: an existing folder.
        blocks: by label, (k, h, w) or (k, h, w, 3); one block may have the label ``""``, and is then drawn larger.
        columns: images in a line.
        name: stem of the files.
        title: of the picture.
        caption: how to read it; None for ``lead`` and sentences about the scales.
        lead: how that begins.
        signed: labels of the differences.
        averaged: labels of differences that are a mean over channels.
        steps: what stands above the columns.
    """
    from matplotlib.ticker import MaxNLocator

    if columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}")
    height, width = next(iter(blocks.values())).shape[1:3]
    _write(folder, name, blocks, steps)
    other = [label for label in blocks if label in signed]
    grey = [label for label in blocks if label not in signed and blocks[label].ndim == 3]
    colour = [label for label in blocks if label not in signed and blocks[label].ndim == 4]
    low, high = _range([blocks[label] for label in grey])
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0  # black is black and white is white on every picture of such images
    reach = max(map(abs, _range([blocks[label] for label in other])))
    made = {label: _mosaic(block, columns) for label, block in blocks.items()}
    heights = [mosaic.shape[0] for mosaic in made.values()]
    across = next(iter(made.values())).shape[1]
    room = WIDTH - 0.9 - (0.0 if "" in blocks else 1.0)  # inches beside colour bars and labels
    tallest = 6.5 if "" in blocks else 1.1 * sum(heights) / height
    scale = min(room / across, tallest / sum(heights))
    inches = scale * sum(heights) + 0.12 * len(blocks) + (0.2 if steps is None else 0.45)
    with canvas(folder, name, height=max(1.3, inches)) as figure:
        stack = figure.subplots(len(blocks), 1, squeeze=False, height_ratios=heights)[:, 0]
        panels = dict(zip(made, stack, strict=True))
        for label in colour:
            panels[label].imshow(_shades(made[label]), interpolation="nearest")
        for labels, colours, limits in ((grey, "gray", (low, high)), (other, DIVERGING, (-reach, reach))):
            if not labels:
                continue
            # A scale needs two ends, also for images of one value.
            ends = limits if limits[0] < limits[1] else (limits[0] - 0.5, limits[0] + 0.5)
            for label in labels:
                drawn = panels[label].imshow(
                    made[label], cmap=colours, vmin=ends[0], vmax=ends[1], interpolation="nearest"
                )
            bar = figure.colorbar(drawn, ax=[panels[label] for label in labels], fraction=0.025, pad=0.01, aspect=18)
            bar.locator = MaxNLocator(4 if len(labels) > 1 or "" in blocks else 2)
            bar.update_ticks()
            bar.outline.set_visible(False)
        for label, axes in panels.items():
            clear(axes)
            axes.set_anchor("W")  # else the label, placed before the aspect is, may fall off the left edge
            axes.set_ylabel(short(label), rotation=0, ha="right", va="center")
        if steps is not None:
            _head(list(stack), steps, (height, width), scale)
        if colour or scale * _DPI < 1.2:
            _sharpen(figure, list(stack), heights, across)
    if caption is None:
        caption = lead
        if grey:
            caption += f" Grey runs from {number(low, trim=True)} (black) to {number(high, trim=True)} (white)."
        caption += _colours([blocks[label] for label in colour])
        if other:
            caption += f" Red is above and blue below zero, up to {number(reach, digits=3)}."
        if averaged:
            caption += f" For {listed(averaged)} that is the mean over red, green and blue: opposite ones cancel."
    return Picture(f"{name}.png", title, caption)


def _write(
    folder: str | os.PathLike[str], name: str, blocks: Mapping[str, np.ndarray], steps: Steps | None = None
) -> None:
    """Write the pixels of (k, h, w[, 3]) blocks to ``<name>.csv``, or ``<name>.npz`` where they are many.

    The text has a line for each row of each image and, where there are colours, each channel. The archive holds the
    blocks as float32 arrays ``row_0``, ``row_1``, …, their ``labels``, and the numbers above the columns. Where an
    earlier picture has that name, the one file takes the place of the other, which would hold the wrong numbers.
    """
    many = sum(block.size for block in blocks.values()) > MOST_NUMBERS
    earlier, archive, other = (Path(folder) / f"{name}.{kind}" for kind in ("png", "npz", "csv" if many else "npz"))
    if earlier.exists():
        other.unlink(missing_ok=True)
    if many:
        arrays = {f"row_{i}": block.astype(np.float32) for i, block in enumerate(blocks.values())}
        arrays["labels"] = np.asarray(list(blocks), dtype=str)
        arrays |= {} if steps is None else {steps.name: steps.values}
        np.savez_compressed(archive, allow_pickle=False, **arrays)
        return
    width = next(iter(blocks.values())).shape[2]
    channels = any(block.ndim == 4 for block in blocks.values())
    above = [] if steps is None else [steps.name]
    write_numbers(
        folder,
        name,
        ["label", "image", *above, "row", *(["channel"] if channels else []), *(f"pixel {i}" for i in range(width))],
        (
            [label, i, *([] if steps is None else [steps.values[i]]), row, *([channel] if channels else []), *pixels]
            for label, block in blocks.items()
            for i, image in enumerate(block)
            for row, line in enumerate(image)
            for channel, pixels in ([("", line)] if block.ndim == 3 else zip(_CHANNELS, line.T, strict=True))
        ),
    )


def _range(blocks: Collection[np.ndarray]) -> tuple[float, float]:
    finite = [block[np.isfinite(block)] for block in blocks]
    values = np.concatenate([*finite, np.zeros(0)])
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)


def _gap(width: int) -> int:
    return max(1, round(width / 12))


def _mosaic(block: np.ndarray, columns: int) -> np.ndarray:
    """Return the images side by side in lines of ``columns``, NaN between them and where there is none."""
    count, height, width = block.shape[:3]
    gap, lines = _gap(width), -(-count // columns)
    mosaic = np.full((lines * (height + gap) - gap, columns * (width + gap) - gap, *block.shape[3:]), np.nan)
    for i, image in enumerate(block):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        mosaic[top : top + height, left : left + width] = image
    return mosaic


def _shades(mosaic: np.ndarray) -> np.ndarray:
    """Return colours as bytes, those outside 0…1 at its nearer end, and white where a channel is not finite."""
    finite = np.isfinite(mosaic).all(axis=-1, keepdims=True)
    return np.round(255 * np.clip(np.where(finite, mosaic, 1.0), 0, 1)).astype(np.uint8)


def _colours(blocks: Sequence[np.ndarray]) -> str:
    """Return what is to say of colours that are not drawn as they are; nothing where all are."""
    if not blocks:
        return ""
    values = np.concatenate([block.reshape(-1, 3) for block in blocks])
    finite = np.isfinite(values).all(axis=-1)
    low, high = _range([values[finite]])
    outside = int(((values[finite] < 0) | (values[finite] > 1)).sum())
    text = ""
    if outside:
        text += f" Of {plural(3 * int(finite.sum()), 'value')} of colour {number(outside)} outside 0…1 (all run from "
        text += f"{number(low, digits=3)} to {number(high, digits=3)}) {'is' if outside == 1 else 'are'} drawn clipped."
    if not finite.all():
        text += f" White too: {plural(int((~finite).sum()), 'pixel')} whose colour is not finite."
    return text


def _head(stack: Sequence[Axes], steps: Steps, size: tuple[int, int], scale: float) -> None:
    """Write the texts above the columns, as many as do not touch, and frame those to be framed."""
    from matplotlib.patches import Rectangle

    (height, width), gap = size, _gap(size[1])
    last = len(steps.texts) - 1
    every = math.ceil(0.4 / (scale * (width + gap)))  # a text takes up to 0.4 inches
    told = [*(i for i in range(0, last, every) if last - i >= every), last]
    stack[0].set_xticks(
        [i * (width + gap) + (width - 1) / 2 for i in told],
        [steps.texts[i] for i in told],
    )
    stack[0].xaxis.tick_top()
    stack[0].tick_params("x", length=0)
    for axes in stack:
        for i in steps.framed:
            corner = (i * (width + gap) - (1 + gap) / 2, -(1 + gap) / 2)
            axes.add_patch(
                Rectangle(corner, width + gap, height + gap, fill=False, lw=1.2, color=PALETTE[6], clip_on=False)
            )


def _sharpen(figure: Figure, stack: Sequence[Axes], heights: Sequence[int], across: int) -> None:
    """Make the figure so fine that a whole number of its pixels is a pixel of the mosaics, and put them on its grid."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    placed = [axes.get_window_extent().frozen() for axes in stack]
    now = min(place.width for place in placed) / across
    times = max(1, math.ceil(now - 1e-3))
    finer = math.ceil(times / now * figure.bbox.width) / figure.bbox.width
    figure.set_dpi(finer * figure.dpi)
    whole = figure.bbox
    for axes, place, lines in zip(stack, placed, heights, strict=True):
        left, top = round(finer * place.x0), round(finer * place.y1)
        axes.set_aspect("auto")
        axes.set_position(
            (
                left / whole.width,
                (top - times * lines) / whole.height,
                times * across / whole.width,
                times * lines / whole.height,
            )
        )
