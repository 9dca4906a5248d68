"""Arrays of images in every usual shape, as rows with the images' height, width and channels."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxae.data.formats import archive, listed, only, pixels, tables
from jaxae.data.pictures import DEPTH, over_white, resized, shallow

__all__ = ["Images", "flattened", "from_numpy", "joined", "shape_of", "whole_labels"]

LABELS = ("y", "label", "labels")
"""What the labels are called in a NumPy file, beside X or the only table."""
KERAS = ("x_train", "y_train", "x_test", "y_test")
"""The keys of the NumPy files that Keras loads its image data sets from."""
CHANNELS = (1, 3, 4)


class Images(NamedTuple):
    """Images as rows, and what they show.

    Attributes:
        values: (n, d) pixels, row by row, each with its channels: uint8 from image files, and as they stand from
            arrays with channels or in Keras' layout; float32 where they had 16 bits; else float64.
        columns: d names.
        labels: (n,) int64, or None.
        test: How many of the rows, the last ones, are official test images.
        notes: What was found, changed or left out, in words.
        shape: Height, width and channels, whose product is d; None where they are not known.
        classes: The names of the classes, whose places in it are the labels; empty where labels are only numbers.
        full: The brightest value that a pixel can have, where the kind of file or number says so: 255 of bytes and of
            16 bits, 1 of truth values and of bytes that are all 0 or 1; None of other numbers.
    """

    values: np.ndarray
    columns: tuple[str, ...]
    labels: np.ndarray | None = None
    test: int = 0
    notes: tuple[str, ...] = ()
    shape: tuple[int, int, int] | None = None
    classes: tuple[str, ...] = ()
    full: float | None = None

    @property
    def kinds(self) -> tuple[str, ...] | None:
        """The class of each image in words: its name, or else its number; None where there are no labels."""
        if self.labels is None:
            return None
        return tuple(self.classes[label] if self.classes else str(label) for label in self.labels)


def shape_of(columns: Sequence[str]) -> tuple[int, int, int] | None:
    """Return height, width and channels by the names of the columns or, of squares, by their number; else None."""
    last = re.fullmatch(r"pixel_(\d+)_(\d+)(_blue)?", columns[-1])
    if last:
        shape = int(last[1]) + 1, int(last[2]) + 1, 3 if last[3] else 1
        return shape if math.prod(shape) == len(columns) and tuple(columns) == pixels(*shape) else None
    side = math.isqrt(len(columns))
    return (side, side, 1) if side * side == len(columns) else None


def flattened(what: str, array: np.ndarray, size: tuple[int, int] | None, *, kept: bool) -> Images:
    """Return images in one of the usual shapes as rows.

    Args:
        what: Where they come from, for messages.
        array: (n, height, width), (n, height, width, 1, 3 or 4), (n, height · width) or (n,).
        size: Height and width to bring them to; None leaves them.
        kept: uint8 and float32 stay what they are; else they become float64.

    Raises:
        ValueError: The shape is another, a number is not finite, or four channels are none of 0…1 or 0…255.
    """
    if array.dtype.kind not in "biuf" or not 0 < array.ndim < 5 or not array.size:
        raise ValueError(
            f"{what} holds {array.dtype} of shape {array.shape}; needed are real numbers of shape (n, height, width), "
            "(n, height, width, channels) or, for square images, (n, height · width), none of them 0"
        )
    if array.ndim == 4 and array.shape[3] not in CHANNELS:
        fix = "write array.transpose(0, 2, 3, 1)" if array.shape[1] in CHANNELS else "give 1, 3 or 4 channels"
        raise ValueError(f"{what} has shape {array.shape}, whose last number must be that of the channels: {fix}")
    if array.dtype.kind == "f":
        faults = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
        if len(faults):
            raise ValueError(
                f"{what} has nan or infinity in {len(faults)} images, number {faults[0] + 1} first: mend it"
            )
    notes: list[str] = []
    columns: tuple[str, ...] = ()
    shape: tuple[int, int, int] | None
    deep = array.dtype.kind == "u" and array.dtype.itemsize == 2
    full = None
    if array.dtype == np.uint8 or deep:
        full = 255.0 if deep or array.max() > 1 else 1.0
    elif array.dtype == bool:
        full = 1.0
    if deep:
        array = shallow(array)
        notes.append(f"{what} has 16 bits: its values were divided by {DEPTH}, to 0…255")
    array = _plain(array)
    if array.ndim > 2:
        shape = (array.shape[1], array.shape[2], array.shape[3] if array.ndim == 4 else 1)
    else:
        columns = tuple(f"x{i}" for i in range(math.prod(array.shape[1:])))
        shape = shape_of(columns)
    if shape is not None and shape[2] == 4:
        array, shape = _opaque(what, array, deep), (*shape[:2], 3)
        notes.append(f"{what} has transparency: it was laid over white")
    if size is not None and shape is None:
        raise ValueError(
            f"{what} has {len(columns)} pixels an image, which does not say how high and wide it is, so none can be "
            "resized: give (n, height, width), or leave size out"
        )
    if size is not None and shape is not None and shape[:2] != size:
        array = np.stack([resized(image, size) for image in array.reshape(-1, *shape)])
        shape, columns = (*size, shape[2]), ()
        notes.append(
            f"the images of {what} were cut at their centre to the aspect of {size[0]}×{size[1]} and resized to it "
            "(Lanczos)"
        )
    values = array.reshape(len(array), -1)
    values = values if kept or deep else values.astype(np.float64)
    names = pixels(*shape) if shape and not columns else columns
    return Images(values, names, notes=tuple(notes), shape=shape, full=full)


def _plain(array: np.ndarray) -> np.ndarray:
    """Return bytes for bytes and truth values, and floats of the machine's own for all other numbers."""
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    small = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    dtype = array.dtype if array.dtype == np.uint8 else np.float32 if small else np.float64
    return array.astype(dtype, copy=False)


def _opaque(what: str, array: np.ndarray, deep: bool) -> np.ndarray:
    """Return (n, height, width, 4) laid over white."""
    full = 255.0
    if array.dtype != np.uint8 and not deep:
        low, high = array.min(), array.max()
        full = 1.0 if high <= 1 else 255.0
        if low < 0 or high > 255 or (full > 1 and array[..., 3].max() <= 1):
            raise ValueError(
                f"{what} goes from {low:g} to {high:g}, and its fourth channel, the opacity, to "
                f"{array[..., 3].max():g}: give all four in 0…1, or all in 0…255"
            )
    found = np.empty((*array.shape[:3], 3), array.dtype)
    for row, image in enumerate(array):  # one at a time, for the memory
        found[row] = over_white(image, full)
    return found


def joined(path: Path, parts: Sequence[Images]) -> Images:
    """Return the images to train on, and those to test on where there are some, as one."""
    if len({part.columns for part in parts}) > 1:
        raise ValueError(
            f"the images to train and to test on in {path} have different sizes: bring all to one with size=64, on the "
            "command line --set size=64, or another number"
        )
    known = [part.labels for part in parts if part.labels is not None]
    if known and len(known) < len(parts):
        raise ValueError(f"{path} has labels for some of its images only: add the other labels, or remove those")
    return Images(
        np.concatenate([part.values for part in parts]),
        parts[0].columns,
        np.concatenate(known) if known else None,
        len(parts[1].values) if len(parts) > 1 else 0,
        tuple(note for part in parts for note in part.notes),
        parts[0].shape,
        full=max((part.full for part in parts if part.full), default=None)
        if all(part.full for part in parts)
        else None,
    )


def whole_labels(what: str, labels: np.ndarray, n: int) -> np.ndarray:
    """Return labels as (n,) int64, or refuse them.

    Args:
        what: Where they come from, for messages.
        labels: (n,) or (n, 1) whole numbers.
        n: The number of images.
    """
    if labels.dtype.kind not in "biuf" or labels.ndim not in (1, 2) or labels.size != len(labels):
        raise ValueError(
            f"{what} holds {labels.dtype} of shape {labels.shape}, but must hold whole numbers of shape ({n},), the "
            "labels (of rows with a single 1: rows.argmax(1)): give it another name"
        )
    if len(labels) != n:
        raise ValueError(f"{what} has {len(labels)} labels for the {n} images")
    if not np.isfinite(labels).all() or (labels != np.round(labels)).any():
        raise ValueError(f"{what} must hold whole numbers, the labels: give it another name")
    return labels.reshape(-1).astype(np.int64)


def from_numpy(path: Path, size: tuple[int, int] | None) -> Images:
    """Return the images of a .npy or .npz file, with the labels and the official test images of the latter."""
    with archive(path) as stored:
        keys = list(stored)
        keras = "X" not in keys and "x_train" in keys
        arrays = {key: stored[key] for key in (KERAS if keras else LABELS) if key in keys}
        whole = {} if keras else {"X": stored["X"]} if "X" in keys else tables(stored, besides=LABELS)
    if keras:
        used = list(arrays)
        found = joined(path, [_part(path, part, arrays, size) for part in ("train", "test") if f"x_{part}" in arrays])
    else:
        array, named = only(path, keys, whole), next(iter(arrays), None)
        used = [*whole, *([named] if named else [])]
        found = _labelled(path, flattened(str(path), array, size, kept=array.ndim > 3), named, arrays)
    left = [key for key in keys if key not in used]
    return found._replace(notes=(*found.notes, f"left out of {path.name}: {listed(left, 5)}")) if left else found


def _part(path: Path, part: str, arrays: Mapping[str, np.ndarray], size: tuple[int, int] | None) -> Images:
    made = flattened(f"x_{part} of {path}", arrays[f"x_{part}"], size, kept=True)
    return _labelled(path, made, f"y_{part}" if f"y_{part}" in arrays else None, arrays)


def _labelled(path: Path, found: Images, key: str | None, arrays: Mapping[str, np.ndarray]) -> Images:
    if key is None:
        return found
    labels = whole_labels(f"{key!r} of {path}", arrays[key], len(found.values))
    return found._replace(labels=labels, notes=(*found.notes, f"labels are {key!r} of {path.name}"))
