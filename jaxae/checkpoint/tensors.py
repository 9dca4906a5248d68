"""Arrays in one safetensors file, written whole or not at all, and read without believing anything it says.

A file is eight bytes that tell the length of its header, the header in JSON, and the bytes of the arrays without gaps.
Its metadata are exactly four: format, version, config (JSON), and sha256, the root over config, names, shapes, dtypes
and bytes, without which a flipped bit is just another number. Nothing is allocated that the file does not hold.
"""

import hashlib
import json
import math
import os
import re
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxae import checks

__all__ = ["HEADER_LIMIT", "LIMIT", "Content", "RefusedError", "check_finite", "named", "read", "refused", "write"]

LIMIT = 4 * 2**30
"""Bytes of a file that are read, unless more are allowed."""
HEADER_LIMIT = 2**20
"""Bytes of a header that are read: about 8,000 arrays. As Python's objects, JSON takes up to thirty times as much."""
LONGEST = 300
SHOWN = 60
DTYPES = {
    "BOOL": np.dtype(bool),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "F8_E4M3": np.dtype(jnp.float8_e4m3fn),
    "F8_E5M2": np.dtype(jnp.float8_e5m2),
    "U16": np.dtype(np.uint16),
    "I16": np.dtype(np.int16),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(jnp.bfloat16),
    "U32": np.dtype(np.uint32),
    "I32": np.dtype(np.int32),
    "F32": np.dtype(np.float32),
    "U64": np.dtype(np.uint64),
    "I64": np.dtype(np.int64),
    "F64": np.dtype(np.float64),
    "C64": np.dtype(np.complex64),
}
"""What safetensors calls the types of arrays; bytes are little-endian."""
NAMES = {dtype: name for name, dtype in DTYPES.items()}


class RefusedError(ValueError):
    """A file that is not loaded: damaged, made to do harm, of another kind, or not what was expected."""


class Content(NamedTuple):
    """What a file holds.

    Attributes:
        config: what is told of the arrays, in JSON types.
        arrays: {name: array} on the host.
        root: SHA-256 over both, in hexadecimal.
    """

    config: dict[str, Any]
    arrays: dict[str, np.ndarray]
    root: str


def refused(path: str | os.PathLike[str], what: str) -> RefusedError:
    """Return the error that names a file and says what is wrong with it, in at most 300 characters."""
    name = str(path)
    # What libraries say may quote the file, which must not speak to a terminal.
    what = "".join(sign if sign.isprintable() else "?" for sign in what)
    text = f"{name if len(name) <= 2 * SHOWN else '…' + name[-2 * SHOWN :]} {what}"
    return RefusedError(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")


def named(name: Any) -> str:
    """Return what stands in a file as it can be shown: short, and without signs that a terminal obeys."""
    shown = repr(name)
    return shown if len(shown) <= SHOWN else shown[:SHOWN] + "…"


def write(
    path: str | os.PathLike[str], form: str, version: int, config: Mapping[str, Any], arrays: Mapping[str, Any]
) -> str:
    """Write arrays to a file, whole or not at all, and return its root.

    Args:
        path: of the file; one that is there is replaced.
        form: name of what is in it.
        version: of that form.
        config: what is to be told of the arrays, in JSON types.
        arrays: {name: array} on the host.

    Raises:
        ValueError: if the path is a folder, its folder does not exist or cannot be written to, or an array has a type
            that the format has no name for.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the path of a file in it")
    own = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in own.items():
        if array.dtype not in NAMES:
            raise ValueError(f"{name} holds {array.dtype}, but a file can hold {', '.join(map(str, NAMES))}")
    text = json.dumps(config, sort_keys=True)
    root = _root(text, own)
    entries: dict[str, Any] = {}
    place = 0
    # The widest numbers first, so that every array begins at a multiple of their width.
    order = sorted(own, key=lambda name: (-own[name].dtype.itemsize, name))
    for name in order:
        entries[name] = {
            "data_offsets": [place, place + own[name].nbytes],
            "dtype": NAMES[own[name].dtype],
            "shape": list(own[name].shape),
        }
        place += own[name].nbytes
    entries["__metadata__"] = {"config": text, "format": form, "sha256": root, "version": str(version)}
    header = json.dumps(entries, sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    try:
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise ValueError(
            f"cannot write {path}: {error.strerror}; choose a folder that exists and can be written to"
        ) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for name in order:
                file.write(_bytes(own[name]).data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(part, 0o644)
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise
    return root


def read(
    path: str | os.PathLike[str],
    form: str,
    version: int,
    *,
    root: str | None = None,
    limit: int = LIMIT,
    header_limit: int = HEADER_LIMIT,
) -> Content:
    """Return what `write` wrote.

    Args:
        path: of the file.
        form: that it must have.
        version: that it must have.
        root: that it must have, where its sender told one; None takes whatever fits its content.
        limit: bytes of the file that are read at most.
        header_limit: bytes of its header.

    Raises:
        TypeError: if path is none.
        ValueError: if root is no SHA-256 in hexadecimal.
        RefusedError: for a file that is anything else.
    """
    checks.path("path", path)
    path = Path(path)
    if root is not None and not (isinstance(root, str) and re.fullmatch("[0-9a-fA-F]{64}", root)):
        raise ValueError(f"root is {root!r}, but must be 64 hexadecimal digits, as load_model(path).root gives them")
    try:
        # A pipe must not keep anybody waiting.
        waiting = getattr(os, "O_NONBLOCK", 0)
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | waiting)) as file:
            return _read(path, file, form, version, root, limit, header_limit)
    except (FileNotFoundError, IsADirectoryError):
        raise refused(path, "is no file: there is no file of that name; give the path of one") from None
    except OSError as error:
        raise refused(path, f"cannot be read: {error.strerror or error}") from None
    except RefusedError:
        raise
    except (ValueError, RecursionError) as error:  # JSON, its encoding and its nesting
        raise refused(path, f"is no readable safetensors file ({str(error)[:80]}): it is damaged or no such") from None


def check_finite(path: str | os.PathLike[str], name: str, array: np.ndarray) -> None:
    """Refuse floats that are not finite.

    Raises:
        RefusedError: naming the array.
    """
    kind = array.dtype.kind
    if (kind in "fc" or (kind == "V" and array.dtype in NAMES)) and not np.isfinite(array).all():
        raise refused(path, f"holds numbers that are not finite in {named(name)}: its model is of no use")


def _read(
    path: Path, file: BinaryIO, form: str, version: int, root: str | None, limit: int, header_limit: int
) -> Content:
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        raise refused(path, "is no file: there is no file to read in a folder, a pipe or a device")
    size = found.st_size
    if size > limit:
        raise refused(
            path, f"has {size:,} bytes, more than the limit of {limit:,}: give a higher limit if you trust it"
        )
    length = int.from_bytes(_exactly(file, 8), "little")
    if length > size - 8:
        raise ValueError("it is cut off in its header")
    if length > header_limit:
        raise refused(
            path, f"has a header of {length:,} bytes, more than the limit of {header_limit:,}: give header_limit"
        )
    header = json.loads(_exactly(file, length).decode(), object_pairs_hook=_once, parse_constant=_no_number)
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    about = header.pop("__metadata__", {})
    if not isinstance(about, dict) or (about.get("format"), about.get("version")) != (form, str(version)):
        form_found, version_found = (
            (named(about.get(name)) for name in ("format", "version")) if isinstance(about, dict) else ("none", "none")
        )
        raise refused(
            path,
            f"has format {form_found} version {version_found}, but this program reads {form!r} version '{version}'",
        )
    if about.keys() != {"format", "version", "config", "sha256"} or not all(isinstance(v, str) for v in about.values()):
        raise refused(path, "is damaged: its metadata must be format, version, config and sha256, and nothing else")
    entries = _entries(path, header, size - 8 - length)
    arrays = {}
    for name, dtype, shape in entries:
        array = np.empty(shape, dtype)
        own = _bytes(array)
        if own.nbytes and file.readinto(own) != own.nbytes:  # type: ignore[attr-defined]
            raise ValueError(f"it ends in {named(name)}")
        if dtype.kind == "b" and array.size and _bytes(array).max() > 1:
            raise refused(path, f"is damaged: {named(name)} holds what is neither true nor false")
        arrays[name] = array
    own_root = _root(about["config"], arrays)
    if own_root != about["sha256"]:
        raise refused(path, "is damaged: its content does not match its digest; restore it from a copy")
    if root is not None and root.lower() != own_root:
        raise refused(path, f"has the root {own_root[:16]}…, but {root[:16]}… was expected: it is another file")
    config = json.loads(about["config"], object_pairs_hook=_once)
    if not isinstance(config, dict):
        raise refused(path, "is damaged: its config is no object")
    return Content(config, arrays, own_root)


def _exactly(file: BinaryIO, count: int) -> bytes:
    found = file.read(count)
    if len(found) != count:
        raise ValueError("it is cut off")
    return found


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} stands in it")


def _entries(path: Path, header: Mapping[str, Any], size: int) -> list[tuple[str, np.dtype, tuple[int, ...]]]:
    """Return name, type and shape of the arrays as they lie in so many bytes, without gap or overlap."""
    found = []
    for name, entry in header.items():
        if not _proper(name):
            raise refused(
                path, f"names an array {named(name)}: a name is of printable signs and of parts with a slash between"
            )
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise refused(path, f"is damaged: {named(name)} must have dtype, shape and data_offsets, and nothing else")
        kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(kind, str) or kind not in DTYPES:
            raise refused(path, f"is damaged: {named(name)} has the unknown dtype {named(kind)}")
        if not (_whole_numbers(shape) and _whole_numbers(offsets) and len(offsets) == 2 and len(shape) <= 32):
            raise refused(path, f"is damaged: {named(name)} has a shape or offsets that are no list of whole numbers")
        # A dimension of 0 must not make room for others that no array can have.
        if math.prod(max(side, 1) for side in shape) >= 2**60:
            raise refused(path, f"is damaged: {named(name)} has a shape that no array can have")
        begin, end = offsets
        if end - begin != math.prod(shape) * DTYPES[kind].itemsize:
            raise refused(path, f"is damaged: the offsets of {named(name)} are not those of its dtype and shape")
        found.append((begin, end, name, DTYPES[kind], tuple(shape)))
    place = 0
    for begin, end, name, _, _ in sorted(found, key=lambda entry: entry[:2]):
        if begin != place:
            raise refused(path, f"is damaged: {named(name)} does not begin where the array before it ends")
        place = end
    if place != size:
        raise ValueError(f"its arrays have {place:,} bytes of {size:,}")
    return [entry[2:] for entry in sorted(found, key=lambda entry: entry[:2])]


def _proper(name: str) -> bool:
    parts = name.split("/")
    return len(name) <= 1000 and name.isprintable() and len(parts) <= 64 and not {"", ".", ".."} & set(parts)


def _whole_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**60 for value in values)


def _bytes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)


def _root(config: str, arrays: Mapping[str, np.ndarray]) -> str:
    root = hashlib.sha256(config.encode())
    for name in sorted(arrays):
        array = arrays[name]
        root.update(f"\n{name} {array.dtype.name} {array.shape}\n".encode())
        root.update(_bytes(array).data)
    return root.hexdigest()
