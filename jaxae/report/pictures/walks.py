"""Pictures of ways through a latent space: what one unit changes, and what lies between two images."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from jaxae.report.pictures.arguments import vector
from jaxae.report.pictures.canvas import Picture
from jaxae.report.pictures.mosaics import Steps, mosaics, tiles
from jaxae.report.words import number, plural

__all__ = ["interpolation", "traversal"]


def traversal(
    folder: str | os.PathLike[str],
    images: ArrayLike,
    values: ArrayLike,
    units: Sequence[str],
    *,
    name: str = "traversal",
    title: str = "What each latent unit changes",
    caption: str | None = None,
    note: str = "",
) -> Picture:
    """Return the picture of a latent traversal: a row for each latent unit, a column for each value that it is given.

    Args:
        folder: an existing folder, in which ``<name>.png`` and, with the numbers drawn, ``<name>.csv`` or, of more than
            200,000 numbers, ``<name>.npz`` are written.
        images: (units, steps, h, w) or (units, steps, h, w, 1) for grey, (units, steps, h, w, 3) for colour in [0, 1],
            clipped where they are outside; e.g. the decoded points of ``latent.traverse``.
        values: (steps,) finite, what the unit was set to.
        units: (units,) different names of the rows.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default sentences on rows and columns, and the range of grey.
        note: what is to be said besides, in the default caption.

    Raises:
        ValueError: if the shapes do not fit, a value is not finite, or colours are whole numbers above 1.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     traversal(folder, np.zeros((2, 3, 4, 4)), [-1, 0, 1], ["size", "tilt"]).file
        'traversal.png'
    """
    array = tiles("images", images, "units, steps, h, w")
    given = vector("values", values, array.shape[1], one_per="step")
    if len(units) != len(array) or len(set(units)) != len(units) or "" in units:
        raise ValueError(f"units must be {len(array)} different names, one per row of images, not {list(units)}")
    texts = [number(value, digits=3, trim=True) for value in given]
    lead = (
        f"Each row is one latent unit, set to {plural(len(texts), 'value')}"
        f"{f' from {texts[0]} to {texts[-1]}' if len(texts) > 1 else ''} (above the columns) while all others stay as "
        "they are: what changes along a row is what the unit stands for."
    )
    return mosaics(
        folder,
        dict(zip(map(str, units), array, strict=True)),
        columns=len(given),
        name=name,
        title=title,
        caption=caption,
        lead=f"{lead} {note}".strip(),
        steps=Steps("value", given, texts),
    )


def interpolation(
    folder: str | os.PathLike[str],
    images: ArrayLike,
    *,
    name: str = "interpolation",
    title: str = "From one image to another",
    caption: str | None = None,
    note: str = "",
) -> Picture:
    """Return the picture of ways between pairs of images, one row each, the two ends framed.

    Args:
        folder: an existing folder, in which ``<name>.png`` and, with the numbers drawn, ``<name>.csv`` or, of more than
            200,000 numbers, ``<name>.npz`` are written.
        images: (pairs, steps, h, w) or (pairs, steps, h, w, 1) for grey, (pairs, steps, h, w, 3) for colour in [0, 1],
            clipped where they are outside; steps at least 2; e.g. the decoded points of ``latent.slerp``.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default sentences on ends and steps, and the range of grey.
        note: what is to be said besides, in the default caption.

    Raises:
        ValueError: if the shape is another, there are no two ends, or colours are whole numbers above 1.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     interpolation(folder, np.zeros((1, 5, 4, 4))).file
        'interpolation.png'
    """
    array = tiles("images", images, "pairs, steps, h, w")
    pairs, steps = array.shape[:2]
    if steps < 2:
        raise ValueError(f"images must have at least 2 steps, the two ends, not shape {np.shape(images)}")
    share = np.linspace(0, 1, steps)
    between = (
        f", and between them {plural(steps - 2, 'image')}, each at the share of the way from code to code above it"
    )
    lead = (
        f"{plural(pairs, 'pair')} of images: the framed ends of each row are the reconstructions of the two, not the "
        f"images themselves{between if steps > 2 else ''}."
    )
    texts = ["from", *(number(t, digits=3, trim=True) for t in share[1:-1]), "to"]
    return mosaics(
        folder,
        {f"pair {i + 1}": row for i, row in enumerate(array)},
        columns=steps,
        name=name,
        title=title,
        caption=caption,
        lead=f"{lead} {note}".strip(),
        steps=Steps("share", share, texts, framed=(0, steps - 1)),
    )
