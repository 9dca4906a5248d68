"""Pictures of pictures: samples on a sheet, and images beside their reconstructions."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import ArrayLike

from jaxae.report.pictures.canvas import DIVERGING, WIDTH, Picture, canvas, clear, write_numbers
from jaxae.report.words import number, plural

__all__ = ["images", "sheet"]


def images(
    folder: str | os.PathLike[str],
    rows: Mapping[str, ArrayLike],
    *,
    signed: Collection[str] = ("difference",),
    columns: int = 16,
    name: str = "images",
    title: str = "Images and their reconstructions",
    caption: str | None = None,
) -> Picture:
    """Return the picture of several kinds of image, one labelled row each, e.g. original, reconstruction, difference.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        rows: by label, (k, h, w); entries of more than ``columns`` images go on in further lines.
        signed: labels whose values are differences: red above 0, blue below, on a scale of their own.
        columns: images in a line.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence with the range of grey.

    Raises:
        ValueError: if there are no images or their sizes differ.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     images(folder, {"original": np.eye(4)[None], "reconstruction": np.zeros((1, 4, 4))}).file
        'images.png'
    """
    blocks = {label: np.asarray(block, dtype=float) for label, block in rows.items()}
    if not blocks or any(block.ndim != 3 or not block.size for block in blocks.values()):
        found = {label: block.shape for label, block in blocks.items()}
        raise ValueError(f"rows must hold images of shape (k, h, w) by label, not {found}")
    if len({block.shape[1:] for block in blocks.values()}) > 1:
        raise ValueError(f"all images must have one size, not { ({lb: bl.shape[1:] for lb, bl in blocks.items()}) }")
    return _mosaics(folder, blocks, signed, min(columns, max(map(len, blocks.values()))), name, title, caption)


def sheet(
    folder: str | os.PathLike[str],
    images: ArrayLike,
    *,
    columns: int | None = None,
    name: str = "samples",
    title: str = "Samples",
    caption: str | None = None,
) -> Picture:
    """Return the picture of images on a grid, filled row by row.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        images: (n, h, w).
        columns: images in a line; by default as many as make the sheet about twice as wide as high.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence with the range of grey.

    Raises:
        ValueError: if the shape is another.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sheet(folder, np.zeros((6, 4, 4))).caption
        '6 images. Grey runs from 0 (black) to 0 (white).'
    """
    block = np.asarray(images, dtype=float)
    if block.ndim != 3 or not block.size:
        raise ValueError(f"images must have shape (n, h, w), not {block.shape}")
    count, height, width = block.shape
    if columns is None:
        wide = min(count, math.ceil(math.sqrt(2 * count * height / width)))
        # Rather a little wider than a last line with holes.
        columns = next((even for even in range(wide, math.ceil(1.5 * wide)) if count % even == 0), wide)
    return _mosaics(folder, {"": block}, (), columns, name, title, caption)


def _mosaics(
    folder: str | os.PathLike[str],
    blocks: Mapping[str, np.ndarray],
    signed: Collection[str],
    columns: int,
    name: str,
    title: str,
    caption: str | None,
) -> Picture:
    from matplotlib.ticker import MaxNLocator

    height, width = next(iter(blocks.values())).shape[1:]
    write_numbers(
        folder,
        name,
        ["label", "image", "row", *(f"pixel {column}" for column in range(width))],
        (
            [label, i, row, *pixels]
            for label, block in blocks.items()
            for i, image in enumerate(block)
            for row, pixels in enumerate(image)
        ),
    )
    plain = [block for label, block in blocks.items() if label not in signed]
    other = [block for label, block in blocks.items() if label in signed]
    low, high = _range(plain)
    reach = max(map(abs, _range(other)))
    mosaics = {label: _mosaic(block, columns) for label, block in blocks.items()}
    heights = [mosaic.shape[0] for mosaic in mosaics.values()]
    across = next(iter(mosaics.values())).shape[1]
    room = WIDTH - 0.9 - (0.0 if "" in blocks else 1.0)  # inches beside colour bars and labels
    tallest = 6.5 if "" in blocks else 1.1 * sum(heights) / height
    scale = min(room / across, tallest / sum(heights))
    with canvas(folder, name, height=max(1.3, scale * sum(heights) + 0.12 * len(blocks) + 0.2)) as figure:
        stack = figure.subplots(len(blocks), 1, squeeze=False, height_ratios=heights)[:, 0]
        for kind, (shown, colours, limits) in {
            False: (plain, "gray", (low, high)),
            True: (other, DIVERGING, (-reach, reach)),
        }.items():
            panels = [axes for axes, label in zip(stack, mosaics, strict=True) if (label in signed) is kind]
            if not shown:
                continue
            chosen = [mosaic for label, mosaic in mosaics.items() if (label in signed) is kind]
            for axes, mosaic in zip(panels, chosen, strict=True):
                # A scale needs two ends, also for images of one value.
                ends = limits if limits[0] < limits[1] else (limits[0] - 0.5, limits[0] + 0.5)
                drawn = axes.imshow(mosaic, cmap=colours, vmin=ends[0], vmax=ends[1], interpolation="nearest")
            bar = figure.colorbar(drawn, ax=panels, fraction=0.025, pad=0.01, aspect=18)
            bar.locator = MaxNLocator(4 if len(shown) > 1 or "" in blocks else 2)
            bar.update_ticks()
            bar.outline.set_visible(False)
        for axes, label in zip(stack, mosaics, strict=True):
            clear(axes)
            axes.set_anchor("W")  # else the label, placed before the aspect is, may fall off the left edge
            axes.set_ylabel(label, rotation=0, ha="right", va="center")
    if caption is None:
        most = max(map(len, blocks.values()))
        caption = f"{plural(most, 'image')}{' of each kind' if len(blocks) > 1 else ''}."
        if plain:
            caption += f" Grey runs from {number(low, trim=True)} (black) to {number(high, trim=True)} (white)."
        if other:
            caption += f" Red is above and blue below zero, up to {number(reach, digits=3)}."
    return Picture(f"{name}.png", title, caption)


def _range(blocks: Collection[np.ndarray]) -> tuple[float, float]:
    finite = [block[np.isfinite(block)] for block in blocks]
    values = np.concatenate([*finite, np.zeros(0)])
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)


def _mosaic(block: np.ndarray, columns: int) -> np.ndarray:
    """Return the images side by side in lines of ``columns``, NaN between them and where there is none."""
    count, height, width = block.shape
    gap = max(1, round(width / 12))
    lines = -(-count // columns)
    tiles = np.full((lines * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for i, image in enumerate(block):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        tiles[top : top + height, left : left + width] = image
    return tiles
