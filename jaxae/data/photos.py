"""Crops of the two photographs that scikit-learn bundles: real images in colour, without a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxae import checks
from jaxae.data.formats import pixels

if TYPE_CHECKING:
    from jax import Array

__all__ = ["Photos", "photos"]

REGIONS = {"train": (0.0, 0.7), "validation": (0.7, 0.85), "test": (0.85, 1.0)}
"""Where crops come from: shares of the photographs' width, so that no two parts share a pixel."""


class Photos(NamedTuple):
    """Crops as rows.

    Attributes:
        values: (n, size · size · 3) uint8.
        columns: The names of the pixels.
        shape: (size, size, 3).
        parts: Row numbers by part: "train", "validation", "test".
    """

    values: np.ndarray
    columns: tuple[str, ...]
    shape: tuple[int, int, int]
    parts: dict[str, np.ndarray]


def photos(key: Array, *, size: int = 32, rows: int = 5000) -> Photos:
    """Return random crops of two photographs, a temple and a flower, 427 × 640 pixels each.

    The crops to train on lie in the left 70 % of the photographs, those to validate and to test on in the 15 % after
    it and the last 15 %.

    Args:
        key: A typed JAX key.
        size: Height and width of a crop, 1 to 96.
        rows: Crops in all: 70 % to train on, 15 % each to validate and to test; at least 20.

    Raises:
        TypeError, ValueError: A number is not whole, or out of range.

    Example:
        >>> import jax
        >>> photos(jax.random.key(0), size=8, rows=20).values.shape
        (20, 192)
    """
    from jax import random
    from sklearn.datasets import load_sample_images

    checks.typed_key(key)
    checks.whole("size", size, high=96, why=", the width of the narrowest part of the photographs")
    checks.whole("rows", rows, low=20)
    images = np.stack(load_sample_images().images)
    _, height, width, _ = images.shape
    crops, parts, first = [], {}, 0
    for (part, (left, right)), own in zip(REGIONS.items(), random.split(key, len(REGIONS)), strict=True):
        n = round(rows * (right - left))
        which, row, column = random.split(own, 3)
        low, high = round(left * width), round(right * width) - size
        places = zip(
            np.asarray(random.randint(which, (n,), 0, len(images))),
            np.asarray(random.randint(row, (n,), 0, height - size + 1)),
            np.asarray(random.randint(column, (n,), low, high + 1)),
            strict=True,
        )
        crops += [images[i, top : top + size, at : at + size].reshape(-1) for i, top, at in places]
        parts[part] = np.arange(first, first + n)
        first += n
    return Photos(np.stack(crops), pixels(size, size, 3), (size, size, 3), parts)
