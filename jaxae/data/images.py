"""Images from files, with their labels and official test images where the files bring them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxae.data.files import read
from jaxae.data.formats import listed, opened

__all__ = ["Images", "images"]

LABEL = "label"
"""Column of a table of images that holds their labels."""
STEMS = ("train", "t10k")
"""How MNIST's files begin, those to train on and those to test on."""


class Images(NamedTuple):
    """Images as rows, and what they show.

    Attributes:
        values: (n, d) float64, the pixels as they stand in the file.
        columns: d names.
        labels: (n,) int64, or None.
        test: How many of the rows, the last ones, are official test images.
        notes: What was found or left out, in words.
    """

    values: np.ndarray
    columns: tuple[str, ...]
    labels: np.ndarray | None = None
    test: int = 0
    notes: tuple[str, ...] = ()


def images(path: str | os.PathLike[str]) -> Images:
    """Return the images of a file, or of a folder with the files of MNIST.

    A folder holds train-images-idx3-ubyte and train-labels-idx1-ubyte, and usually t10k-images-idx3-ubyte and
    t10k-labels-idx1-ubyte, all with or without .gz: the t10k images are the test images. Beside a file of images whose
    name holds "images-idx3", its labels are taken from the file of the same name with "labels-idx1". Of any other file
    that `read` takes, a column called "label" holds the labels.

    Args:
        path: The folder or file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The folder lacks the files of MNIST, a file is damaged, or images and labels differ in number.

    Example:
        >>> import pathlib, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = pathlib.Path(folder.name, "images.npy")
        >>> np.save(file, np.zeros((3, 4, 4)))
        >>> images(file).values.shape
        (3, 16)
        >>> folder.cleanup()

    References:
        LeCun, Cortes and Burges, The MNIST database of handwritten digits, 1998.
    """
    path = Path(path)
    if not path.is_dir():
        return _file(path)
    found = [_named(path, f"{stem}-images-idx3-ubyte") for stem in STEMS]
    if found[0] is None:
        files = sorted(file.name for file in path.iterdir())
        raise ValueError(
            f"{path} lacks train-images-idx3-ubyte (or .gz), which a folder of images needs; it has {listed(files)}: "
            "name a file, or a folder with the files of MNIST"
        )
    parts = [_file(file) for file in found if file is not None]
    if len({part.columns for part in parts}) > 1:
        raise ValueError(f"the images to train and to test on in {path} have different sizes")
    labels = [part.labels for part in parts]
    known = [part for part in labels if part is not None]
    if known and len(known) < len(labels):
        raise ValueError(f"{path} has labels for some of its images only: add the other labels, or remove those")
    return Images(
        np.concatenate([part.values for part in parts]),
        parts[0].columns,
        np.concatenate(known) if known else None,
        len(parts[1].values) if len(parts) > 1 else 0,
        tuple(note for part in parts for note in part.notes),
    )


def _named(folder: Path, stem: str) -> Path | None:
    return next((folder / name for name in (stem, f"{stem}.gz") if (folder / name).is_file()), None)


def _file(path: Path) -> Images:
    table = read(path)
    beside = None
    if "images-idx3" in path.name:
        beside = _named(path.parent, path.name.removesuffix(".gz").replace("images-idx3", "labels-idx1"))
    if beside is None and LABEL in table.columns:
        place = table.columns.index(LABEL)
        marks, pixels = table.values[:, place], np.delete(table.values, place, axis=1)
        if (marks != np.round(marks)).any():
            raise ValueError(
                f"{path} has a column {LABEL!r}, which must hold whole numbers, the labels: give it another name"
            )
        names = (*table.columns[:place], *table.columns[place + 1 :])
        return Images(pixels, names, marks.astype(np.int64), notes=(*table.notes, f"labels are the column {LABEL!r}"))
    if beside is None:
        return Images(table.values, table.columns, notes=table.notes)
    cells = opened(beside).cells
    labels = np.asarray(cells).reshape(-1).astype(np.int64)
    if len(labels) != len(table.values):
        raise ValueError(f"{beside} has {len(labels)} labels for the {len(table.values)} images of {path}")
    note = f"labels of {path.name} were found in {beside.name}"
    return Images(table.values, table.columns, labels, notes=(*table.notes, note))
