"""Images to PNG files."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxae.data.formats import listed

__all__ = ["write_images"]


def write_images(folder: str | os.PathLike[str], images: Any, names: Sequence[str] | None = None) -> None:
    """Write images to PNG files, one each, into a new folder: all of them or none.

    `image_folder` gives uint8 back as they were; other numbers are rounded to the nearest whole one.

    Args:
        folder: The folder, which is new or empty; the one that it lies in exists.
        images: (n, height, width, 1 or 3) in 0…255, whole numbers or floats.
        names: n file names without .png; None numbers them from 0, with leading zeros.

    Raises:
        FileNotFoundError: The folder that it is to lie in does not exist.
        ValueError: The folder holds something or cannot be written; the shape is another, there is no image, or a
            value is none of 0…255; the names are not n different names of files.

    Example:
        >>> import pathlib, tempfile
        >>> from jaxae.data import image_folder
        >>> folder = tempfile.TemporaryDirectory()
        >>> made = pathlib.Path(folder.name, "made")
        >>> write_images(made, np.full((2, 4, 4, 3), 127.6))
        >>> sorted(file.name for file in made.iterdir()), image_folder(made)[0].max().item()
        (['0.png', '1.png'], 128)
        >>> folder.cleanup()
    """
    from PIL import Image

    target = Path(folder).resolve()
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder {target.parent} does not exist; make it first")
    if target.exists() and not target.is_dir():
        raise ValueError(f"{folder} is a file; give the name of a new folder")
    if target.is_dir() and any(target.iterdir()):
        held = listed(sorted(entry.name for entry in target.iterdir()), 3)
        raise ValueError(f"{folder} is not empty, it has {held}: give a new folder")
    array = _bytes(images)
    stems = _stems(names, len(array))
    part = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        part.mkdir()
        for stem, image in zip(stems, array, strict=True):
            Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(part / f"{stem}.png", format="PNG")
        if target.exists():
            target.rmdir()  # Windows moves nothing onto a folder, even an empty one
        os.rename(part, target)
    except OSError as error:
        raise ValueError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _bytes(images: Any) -> np.ndarray:
    array = np.asarray(images)
    if array.dtype.kind not in "iuf" or array.ndim != 4 or array.shape[3] not in (1, 3) or not array.size:
        raise ValueError(
            f"images must be numbers of shape (n, height, width, 1 or 3), none of them 0; got {array.dtype} of shape "
            f"{array.shape}"
        )
    if array.dtype == np.uint8:
        return array
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 255):
        raise ValueError(f"images go from {low:g} to {high:g}, but must lie in 0…255: scale or clip them")
    return np.rint(array).astype(np.uint8)


def _stems(names: Sequence[str] | None, n: int) -> list[str]:
    if names is None:
        return [f"{row:0{len(str(n - 1))}d}" for row in range(n)]
    if isinstance(names, str) or len(names) != n:
        raise ValueError(f"names must be {n} names, one for each image; got {names!r:.80}")
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str) or not name or name.startswith(".") or set(name) & set('/\\\0:*?"<>|'):
            raise ValueError(
                f"names has {name!r}, which is no file's name on every system: leave out a point at its start, and "
                r'/ \ : * ? " < > |'
            )
        # Two names that differ in case are one file on Windows and macOS.
        if name.casefold() in seen:
            raise ValueError(f"names has {name!r} twice, large and small letters being alike: give each image its own")
        seen.add(name.casefold())
    return list(names)
