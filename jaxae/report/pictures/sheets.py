"""Pictures of pictures: samples on a sheet or by class, and images beside their reconstructions."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import ArrayLike

from jaxae.report.pictures.canvas import Picture
from jaxae.report.pictures.mosaics import mosaics, tiles
from jaxae.report.words import plural

__all__ = ["classes", "images", "sheet"]


def images(
    folder: str | os.PathLike[str],
    rows: Mapping[str, ArrayLike],
    *,
    signed: Collection[str] = ("difference",),
    columns: int | None = None,
    name: str = "images",
    title: str = "Images and their reconstructions",
    caption: str | None = None,
) -> Picture:
    """Return the picture of several kinds of image, one labelled row each, e.g. original, reconstruction, difference.

    Colours lie in 0…1. Those outside, as a decoder without bounds makes them, are drawn clipped, and the caption says
    how many; in the file of numbers they are not. A difference of colours is drawn as its mean over the channels,
    which is 0 where only the hue differs: for an error that never cancels give
    ``np.abs(difference).mean(-1)`` under a label that is not signed.

    Args:
        folder: an existing folder, in which ``<name>.png`` and, with the numbers drawn, ``<name>.csv`` or, of more than
            200,000 numbers, ``<name>.npz`` are written.
        rows: by label, (k, h, w) or (k, h, w, 1) for grey, (k, h, w, 3) for colour in [0, 1], also both kinds; entries
            of more than ``columns`` images go on in further lines.
        signed: labels whose values are differences: red above 0, blue below, on a scale of their own.
        columns: images in a line; by default 16, or 8 of images wider than 32 pixels.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence with the range of grey.

    Raises:
        ValueError: if there are no images, their sizes differ, or colours are whole numbers above 1.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     images(folder, {"original": np.eye(4)[None], "reconstruction": np.zeros((1, 4, 4))}).file
        'images.png'
    """
    blocks = _blocks("rows", rows, signed)
    averaged = [label for label in blocks if label in signed and np.shape(rows[label])[3:] == (3,)]
    most = max(map(len, blocks.values()))
    return mosaics(
        folder,
        blocks,
        columns=_columns(blocks, columns),
        name=name,
        title=title,
        caption=caption,
        lead=f"{plural(most, 'image')}{' of each kind' if len(blocks) > 1 else ''}.",
        signed=signed,
        averaged=averaged,
    )


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
        folder: an existing folder, in which ``<name>.png`` and, with the numbers drawn, ``<name>.csv`` or, of more than
            200,000 numbers, ``<name>.npz`` are written.
        images: (n, h, w) or (n, h, w, 1) for grey, (n, h, w, 3) for colour in [0, 1], clipped where they are outside.
        columns: images in a line; by default as many as make the sheet about twice as wide as high.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence with the range of grey.

    Raises:
        ValueError: if the shape is another, or colours are whole numbers above 1.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sheet(folder, np.zeros((6, 4, 4))).caption
        '6 images. Grey runs from 0 (black) to 1 (white).'
    """
    block = tiles("images", images, "n, h, w")
    count, height, width = block.shape[:3]
    if columns is None:
        wide = min(count, math.ceil(math.sqrt(2 * count * height / width)))
        # Rather a little wider than a last line with holes.
        columns = next((even for even in range(wide, math.ceil(1.5 * wide)) if count % even == 0), wide)
    lead = f"{plural(count, 'image')}."
    return mosaics(folder, {"": block}, columns=columns, name=name, title=title, caption=caption, lead=lead)


def classes(
    folder: str | os.PathLike[str],
    samples: Mapping[str, ArrayLike],
    *,
    columns: int | None = None,
    name: str = "classes",
    title: str = "Samples of each class",
    caption: str | None = None,
) -> Picture:
    """Return the picture of samples by class, one labelled row each.

    Args:
        folder: an existing folder, in which ``<name>.png`` and, with the numbers drawn, ``<name>.csv`` or, of more than
            200,000 numbers, ``<name>.npz`` are written.
        samples: by class, (k, h, w) or (k, h, w, 1) for grey, (k, h, w, 3) for colour in [0, 1], clipped where they are
            outside; k may differ.
        columns: images in a line; by default 16, or 8 of images wider than 32 pixels.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence with the range of grey.

    Raises:
        ValueError: if there are no images, their sizes differ, or colours are whole numbers above 1.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     classes(folder, {"cat": np.zeros((5, 4, 4, 3)), "dog": np.ones((5, 4, 4, 3))}).caption
        'Each row is a class: 5 samples of each of 2 classes.'
    """
    blocks = _blocks("samples", samples)
    counts = sorted({len(block) for block in blocks.values()})
    lead = f"Each row is a class: {plural(counts[-1], 'sample')} of it."
    if len(blocks) > 1:
        fewest = "" if len(counts) == 1 else f"{counts[0]} to "
        lead = f"Each row is a class: {fewest}{plural(counts[-1], 'sample')} of each of {len(blocks)} classes."
    return mosaics(
        folder,
        blocks,
        columns=_columns(blocks, columns),
        name=name,
        title=title,
        caption=caption,
        lead=lead,
    )


def _blocks(argument: str, rows: Mapping[str, ArrayLike], signed: Collection[str] = ()) -> dict[str, np.ndarray]:
    if not rows:
        raise ValueError(f"{argument} must hold images of shape (k, h, w) or (k, h, w, 3) by label, and holds none")
    blocks = {
        label: tiles(f"{argument}[{label!r}]", block, "k, h, w", signed=label in signed)
        for label, block in rows.items()
    }
    if len({block.shape[1:3] for block in blocks.values()}) > 1:
        raise ValueError(f"all images must have one size, not { ({lb: bl.shape[1:3] for lb, bl in blocks.items()}) }")
    return blocks


def _columns(blocks: Mapping[str, np.ndarray], columns: int | None) -> int:
    block = next(iter(blocks.values()))
    most = (16 if block.shape[2] <= 32 else 8) if columns is None else columns
    return min(most, max(map(len, blocks.values())))
