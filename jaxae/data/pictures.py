"""One PNG or JPEG file, by its header alone or decoded; images laid over white and brought to another size."""

from __future__ import annotations

import operator
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from jaxae import checks
from jaxae.data.formats import DAMAGE

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["DEPTH", "PICTURES", "Header", "Size", "decoded", "header", "over_white", "resized", "shallow", "sides"]

Size = int | tuple[int, int] | None
T = TypeVar("T")

PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
"""The suffixes of image files, and what lies in such a file."""
DEPTH = 257
"""By what values of 16 bits are divided: 65535 = 257 · 255, so they lie in 0…255 as bytes do."""

ORIENTATION = 274  # the tag of EXIF (JEITA CP-3451, "Exif 2.3", table 4); its values 1…8 say how an image stands
GRAY = ("1", "L", "LA", "I", "I;16", "I;16B")
# Beside the usual: what Pillow raises on damaged files; `test_flipped_bytes_of_png_are_found` meets most of them.
BROKEN: tuple[type[Exception], ...] = (*DAMAGE, struct.error, IndexError, OverflowError, AttributeError)


class Header(NamedTuple):
    """What a file says of its image before any pixel is decoded.

    Attributes:
        height: Of the image as it is meant to stand.
        width: Of the image as it is meant to stand.
        gray: It has no colour.
        alpha: It has transparency.
        deep: It is gray of 16 bits, which are kept.
        depth: The bits of a channel; of 16 with colour or transparency, 8 are read.
        mode: Pillow's name for the kind of its pixels.
        orientation: By EXIF, 1…8; 0 where the EXIF cannot be read.
        several: It holds more pictures than the first.
    """

    height: int
    width: int
    gray: bool
    alpha: bool
    deep: bool
    depth: int
    mode: str
    orientation: int
    several: bool


def sides(size: Size) -> tuple[int, int] | None:
    """Return the height and width that are asked for, or None."""
    if size is None:
        return None
    pair = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(pair) != 2:
        raise ValueError(f"size is {size!r}, but must be one number, the side of a square, or (height, width)")
    for side in pair:
        checks.whole("size", side)
    return operator.index(pair[0]), operator.index(pair[1])


def header(path: Path) -> Header:
    """Return what the header of an image file says; no pixel is decoded.

    Raises:
        ValueError: The file is empty, damaged, no image of the kind that its suffix says, or too large.
    """
    return _read(path, lambda image: _header(path, image))


def decoded(path: Path, size: tuple[int, int] | None, channels: int) -> np.ndarray:
    """Return the image of a file, (height, width, channels): uint8, or float32 where it is gray of 16 bits.

    Args:
        path: The file.
        size: The height and width to bring it to; None leaves it.
        channels: 1 or 3; three repeat a gray image.

    Raises:
        ValueError: As `header`, or the pixels are damaged or have colour where one channel is asked for.
    """

    def take(image: Image.Image) -> tuple[Header, np.ndarray]:
        found = _header(path, image)
        return found, _upright(_pixels(image, found), found.orientation)

    if PICTURES[path.suffix.lower()] == "PNG":
        _read(path, lambda image: image.verify())  # decoding checks no checksum: a flipped bit would pass
    found, pixels = _read(path, take)
    if channels == 1 and not found.gray:
        raise ValueError(f"{path} has colour, which its header did not say before: leave the folder alone while read")
    pixels = pixels if size is None else resized(pixels, size)
    return np.repeat(pixels, channels, axis=2) if pixels.shape[2] == 1 else pixels


def _read(path: Path, take: Callable[[Image.Image], T]) -> T:
    from PIL import Image

    kind = PICTURES[path.suffix.lower()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of EXIF that is not whole
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                # A JPEG file with previews or depth beside its picture is an MPO to Pillow.
                found = {"MPO": "JPEG"}.get(image.format or "", image.format)
                taken = take(image) if found == kind else None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(
            f"{path} has more pixels than the {Image.MAX_IMAGE_PIXELS:,} that an image may have (it could be made to "
            "fill the memory): make it smaller"
        ) from error
    except BROKEN as error:
        if path.is_file() and not path.stat().st_size:
            raise ValueError(f"{path} is empty: remove it, or put the image there") from error
        if isinstance(error, OSError) and error.strerror:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from error
        raise ValueError(f"{path} is no {kind} image, or damaged or cut short: replace or remove it") from error
    if taken is None and found != kind:
        raise ValueError(f"{path} holds a {found} image, and its name says {kind}: give it the other suffix")
    return taken  # type: ignore[return-value]


def _header(path: Path, image: Image.Image) -> Header:
    depth, gray, exif = 8, image.mode in GRAY, None
    if image.format == "PNG":
        depth, gray, exif = _png(path)
    orientation = _orientation(image, exif)
    width, height = image.size if orientation < 5 else image.size[::-1]
    return Header(
        height,
        width,
        gray,
        "A" in image.mode or "transparency" in image.info,
        image.mode.startswith("I"),
        depth,
        image.mode,
        orientation,
        getattr(image, "n_frames", 1) > 1,
    )


def _png(path: Path) -> tuple[int, bool, bytes | None]:
    """Return the bits of a channel, whether the image is gray, and its EXIF, which may stand behind the pixels."""
    with open(path, "rb") as file:
        start = file.read(26)
        depth, kind = start[24], start[25]
        exif = None
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", head)
            if name == b"eXIf":
                exif = file.read(length)
                break
            file.seek(length + 4, 1)
    return depth, kind in (0, 4), exif


def _orientation(image: Image.Image, exif: bytes | None) -> int:
    from PIL import Image

    try:
        # The method of PNG images themselves would decode the pixels to look behind them.
        found = Image.Image.getexif(image)
        if exif is not None and ORIENTATION not in found:
            found.load(exif)
        value = found.get(ORIENTATION, 1)
    except BROKEN:
        return 0
    return int(value) if value in range(1, 9) else 1


def _pixels(image: Image.Image, found: Header) -> np.ndarray:
    clear = image.info.get("transparency")
    if found.deep:
        values = np.asarray(image).astype(np.uint16)
        return shallow(values if clear is None else np.where(values == clear, np.uint16(65535), values))[:, :, None]
    if found.alpha:
        # Pillow compares the colour that a file calls transparent as it stands there with pixels of 8 bits.
        if image.mode in ("1", "L") and found.depth < 8:
            image.info["transparency"] = 255 * min(clear, 2**found.depth - 1) // (2**found.depth - 1)
        elif found.depth == 16 and isinstance(clear, tuple):
            image.info["transparency"] = tuple(value >> 8 for value in clear)
        pixels = over_white(np.asarray(image.convert("RGBA")))
        return pixels[:, :, :1] if found.gray else pixels
    pixels = np.asarray(image.convert("L" if found.gray else "RGB"))
    return pixels[:, :, None] if found.gray else pixels


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation > 4:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def shallow(values: np.ndarray) -> np.ndarray:
    """Return numbers of 16 bits as float32 in 0…255."""
    return np.divide(values, np.float32(DEPTH), dtype=np.float32)


def over_white(pixels: np.ndarray, full: float = 255) -> np.ndarray:
    """Return images without their last channel, the opacity: colour · opacity + white · (1 − opacity).

    Args:
        pixels: (..., channels + 1) of bytes, or of floats in 0…`full`.
        full: White, and the opacity of what hides it whole; 255 for bytes.
    """
    if pixels.dtype != np.uint8:
        opacity = pixels[..., -1:] / full
        return (pixels[..., :-1] * opacity + full * (1 - opacity)).astype(pixels.dtype)
    colour, opacity = pixels[..., :-1].astype(np.uint16), pixels[..., -1:].astype(np.uint16)
    return ((colour * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)  # at most 65,152: fits 16 bits


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an image (height, width, channels) cut at its centre to the aspect of `size` and resized (Lanczos)."""
    from PIL import Image, ImageOps

    if pixels.shape[:2] == size:
        return pixels

    def fitted(channel: np.ndarray) -> Any:
        plain = np.ascontiguousarray(channel if pixels.dtype == np.uint8 else channel.astype(np.float32))
        return np.asarray(ImageOps.fit(Image.fromarray(plain), size[::-1], Image.Resampling.LANCZOS))

    found = np.stack([fitted(channel) for channel in np.moveaxis(pixels, 2, 0)], axis=2)
    if pixels.dtype == np.uint8:
        return found
    # Lanczos' filter has negative lobes: beside an edge it would leave the range that the pixels have.
    return np.clip(found, pixels.min(), pixels.max()).astype(pixels.dtype)
