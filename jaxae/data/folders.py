"""Folders of PNG and JPEG files, read by their headers and decoded when asked for."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxae.data.formats import listed
from jaxae.data.pictures import DEPTH, PICTURES, Header, Size, decoded, header, sides

__all__ = ["ImageFolder", "image_folder"]


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """Images that lie in files, decoded where they are asked for: `folder[3]` is one, `folder[10:20]` are ten.

    An image is (height, width, channels) in 0…255: uint8, or float32 where some image of the folder has 16 bits.
    Decoding raises ValueError for a file that is damaged.

    Attributes:
        paths: The n files, those of the official test images last.
        labels: (n,) int64, the place of each image's class in `classes`; None where the folder names no classes.
        classes: The names of the classes, sorted.
        size: Height and width of every image.
        channels: 1 or 3.
        test: How many of the images, the last ones, are official test images.
        notes: What was found, changed or left out, in words.
        dtype: Of the pixels.
        resized: How many of the images are brought to another size.
    """

    paths: tuple[Path, ...]
    labels: np.ndarray | None
    classes: tuple[str, ...]
    size: tuple[int, int]
    channels: int
    test: int
    notes: tuple[str, ...]
    dtype: np.dtype
    resized: int

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: int | slice) -> np.ndarray:
        if not isinstance(rows, slice):
            return self._decoded(self.paths[operator.index(rows)])
        paths = self.paths[rows]
        images = np.empty((len(paths), *self.size, self.channels), self.dtype)

        def place(row: int) -> None:
            images[row] = self._decoded(paths[row])

        _each(place, range(len(paths)), "decoded")
        return images

    def _decoded(self, path: Path) -> np.ndarray:
        image = decoded(path, self.size if self.resized else None, self.channels)
        if image.shape[:2] != self.size:
            raise ValueError(f"{path} has another size than it had before: leave the folder alone while it is read")
        return image.astype(self.dtype, copy=False)


def image_folder(path: str | os.PathLike[str], *, size: Size = None) -> ImageFolder:
    """Return the images of a folder of PNG and JPEG files (.png, .jpg, .jpeg), of which only the headers are read.

    Files that lie in sub-folders are of classes, named by the sub-folders. Sub-folders train and test, which hold
    images or such classes, are the official split. Images come sorted by class and file name. One channel stays where
    all images are gray; else there are three, red, green and blue. Transparency is laid over white, gray of 16 bits is
    divided by 257, an image that EXIF says lies on its side is turned. Hidden files are passed over.

    Args:
        path: The folder.
        size: The side of a square, or (height, width), that each image is cut to the aspect of, at its centre, and
            resized to (Lanczos). None where all have one size.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: The path is a file; there is no image, or images lie beside folders of images; a file is empty, no
            image of the kind that its suffix says, or damaged in its header; some images have labels and others none;
            the sizes differ and `size` is None.

    Example:
        >>> import pathlib, tempfile
        >>> from jaxae.data import write_images
        >>> folder = tempfile.TemporaryDirectory()
        >>> for name, gray in [("day", 250), ("night", 5)]:
        ...     write_images(pathlib.Path(folder.name, name), np.full((3, 4, 4, 1), gray))
        >>> found = image_folder(folder.name)
        >>> len(found), found.classes, found.labels.tolist()
        (6, ('day', 'night'), [0, 0, 0, 1, 1, 1])
        >>> found[-1].shape, found[2:4].mean((1, 2, 3)).tolist()
        ((4, 4, 1), [250.0, 5.0])
        >>> folder.cleanup()
    """
    path, wanted = Path(path), sides(size)
    parts, notes = _split(path)
    files = [file for part in parts for file in part.files]
    if not files:
        raise ValueError(
            f"{path} has no image ({', '.join(PICTURES)}) in it or in folders right below, and lacks "
            f"train-images-idx3-ubyte (or .gz), with which a folder in MNIST's format begins; it "
            + (f"has {listed(_names(path))}: " if _names(path) else "is empty: ")
            + "name a folder of PNG or JPEG images"
        )
    for part in parts:
        if not part.files:
            raise ValueError(f"{part.folder} has no image ({', '.join(PICTURES)}): put its images there, or remove it")
    named = {name is None for _, name in files}
    if len(named) > 1:
        raise ValueError(f"{path} has labels for some of its images only: sort train and test into folders by class")
    classes = tuple(sorted({name for _, name in files if name is not None}))
    paths = tuple(file for file, _ in files)
    headers = _each(header, paths, "read")
    found = wanted or _common(paths, headers)
    resized = sum((one.height, one.width) != found for one in headers)
    if classes:
        notes.append(f"labels are the names of {len(classes)} folder{'s'[: len(classes) > 1]}: {listed(classes)}")
    if left := [str((part.folder / name).relative_to(path)) for part in parts for name in part.others]:
        notes.append(f"left out, for they are no PNG or JPEG images in their place: {listed(left, 5)}")
    places = {name: place for place, name in enumerate(classes)}
    return ImageFolder(
        paths,
        np.asarray([places[name] for _, name in files if name is not None], np.int64) if classes else None,
        classes,
        found,
        1 if all(one.gray for one in headers) else 3,
        len(parts[1].files) if len(parts) > 1 else 0,
        (*notes, *_remarks(headers, found, resized)),
        np.dtype(np.float32 if any(one.deep for one in headers) else np.uint8),
        resized,
    )


class _Part(NamedTuple):
    """What lies in a folder: images with the name of their class, or None; and the names of all else."""

    folder: Path
    files: list[tuple[Path, str | None]]
    others: list[str]


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in _visible(folder)]


def _split(path: Path) -> tuple[list[_Part], list[str]]:
    """Return the images of a folder, or those of its train and test, and notes."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if not path.is_dir():
        raise ValueError(f"{path} is a file: give the folder that the images lie in")
    folders = {entry.name.casefold(): entry for entry in _visible(path) if entry.is_dir()}
    chosen = [folders[name] for name in ("train", "test") if name in folders]
    # A class can be called train too: alone among others it is one.
    if not chosen or (len(chosen) == 1 and (len(folders) > 1 or "test" in folders)):
        return [_part(path)], []
    beside = [entry for entry in _visible(path) if entry not in chosen]
    own = listed([entry.name for entry in chosen])
    if images := [entry.name for entry in beside if _is_image(entry)]:
        raise ValueError(f"{path} has images, {images[0]!r} first, beside {own}: move them into a folder")
    left = listed([entry.name for entry in beside], 5)
    return [_part(folder) for folder in chosen], [f"left out, for they lie beside {own}: {left}"] if beside else []


def _is_image(entry: Path) -> bool:
    return entry.suffix.lower() in PICTURES and not entry.is_dir()


def _part(folder: Path) -> _Part:
    entries = _visible(folder)
    own: list[tuple[Path, str | None]] = [(entry, None) for entry in entries if _is_image(entry)]
    classed: list[tuple[Path, str | None]] = []
    others: list[str] = []
    for entry in entries:
        if not entry.is_dir():
            others += [] if _is_image(entry) else [entry.name]
            continue
        inner = _visible(entry)
        classed += [(file, entry.name) for file in inner if _is_image(file)]
        others += [f"{entry.name}/{file.name}" for file in inner if not _is_image(file)]
    if own and classed:
        raise ValueError(
            f"{folder} has images, {own[0][0].name!r} first, beside folders of images, {classed[0][1]!r} first: "
            "move them into a folder, one for each class, or all into one"
        )
    return _Part(folder, own or classed, others)


def _each(read: Callable[[Any], Any], items: Sequence[Any], done: str) -> list[Any]:
    """Return what `read` makes of every item; refuse all where it refuses one, and say how many it refuses."""
    found, faults = [], []
    for item in items:
        try:
            found.append(read(item))
        except ValueError as error:
            faults.append(error)
    if faults:
        raise ValueError(f"{faults[0]} ({len(faults)} of {len(items)} images cannot be {done})") from faults[0]
    return found


def _common(paths: Sequence[Path], headers: Sequence[Header]) -> tuple[int, int]:
    found = [(one.height, one.width) for one in headers]
    for path, size in zip(paths, found, strict=True):
        if size != found[0]:
            raise ValueError(
                f"the images have different sizes: {paths[0]} is {_by(found[0])} pixels (height × width), {path} "
                f"{_by(size)}; bring all to one with size=64, on the command line --set size=64, or another number"
            )
    return found[0]


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _remarks(headers: Sequence[Header], size: tuple[int, int], resized: int) -> Iterable[str]:
    n = len(headers)
    gray = sum(one.gray for one in headers)
    halved = sum(one.depth == 16 and not one.deep for one in headers)
    yield "all images are gray: they have one channel" if gray == n else "the images have colour: red, green and blue"
    for count, words in (
        (gray % n, "are gray, which was repeated in red, green and blue"),
        (sum(one.mode.startswith("P") for one in headers), "have a palette, whose colours were put in"),
        (sum(one.mode == "CMYK" for one in headers), "have the colours of print (CMYK), which were turned into RGB"),
        (sum(one.alpha for one in headers), "have transparency: they were laid over white"),
        (sum(one.deep for one in headers), f"have 16 bits: their values were divided by {DEPTH}, to 0…255"),
        (halved, "have 16 bits with colour or transparency, of which 8 were read"),
        (sum(one.orientation > 1 for one in headers), "were turned or mirrored, as their EXIF says"),
        (sum(one.orientation == 0 for one in headers), "have EXIF that cannot be read, and stand as they are stored"),
        (sum(one.several for one in headers), "hold several pictures: the first was taken"),
        (resized, f"were cut at their centre to the aspect of {_by(size)} and resized to it (Lanczos)"),
    ):
        if count:
            yield f"{count} of {n} images {words}"
