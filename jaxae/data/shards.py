"""Data larger than memory: NumPy and Parquet files as the shards of one array, read some rows at a time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxae import checks
from jaxae.data.formats import DAMAGE, listed
from jaxae.data.stored import BLOCK, Stored

__all__ = ["Shards", "shards"]

SUFFIXES = (".npy", ".parquet")

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class Shards(NamedTuple):
    """Training rows on disk: what `shards` opens, and `fit` takes in the place of a Batch.

    Attributes:
        x: (n, ...) the examples.
        cond: (n, ...) one condition per example, or None.
        memory: bytes that rows on their way to the device may take, all copies together.
    """

    x: Stored
    cond: Stored | None = None
    memory: int = 2**28


def shards(
    x: Paths,
    cond: Paths | None = None,
    *,
    columns: Sequence[str] | None = None,
    conditions: Sequence[str] | None = None,
    memory: int = 2**28,
    spool: str | os.PathLike[str] | None = None,
) -> Shards:
    """Return training rows that stay on disk, every number of them looked at once.

    NumPy files are mapped into memory, which the system fills and empties as it needs. Parquet files cannot be read row
    by row, so their columns are unpacked, one file in memory at a time, into a file without a name that is gone with
    the process; it takes 4 or 8 bytes for every number.

    Args:
        x: files that end in .npy, each (rows, ...), or in .parquet, each with the same columns; or a folder of either,
            whose files are taken in the order of their names. All floats, of one dtype.
        cond: the same for conditions, with as many rows in all.
        columns: of Parquet files, those that are x, in this order; None is all that are not conditions.
        conditions: of Parquet files, those of x that are conditions.
        memory: bytes that rows on their way to the device may take, all copies together: the more, the fewer times the
            disk is gone through, since every piece of an epoch has rows from everywhere.
        spool: folder for what is unpacked; None is that of the first Parquet file. Not one that lies in memory.

    Raises:
        FileNotFoundError: if a file does not exist.
        TypeError: for what is no path, and numbers that are no floats.
        ValueError: if there is no file or no row, a file is damaged or of another shape, dtype or columns than the
            first, a number is not finite (naming file, row and column), or x and cond differ in length.

    Examples:
        >>> import pathlib, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> for number in range(3):
        ...     np.save(pathlib.Path(folder.name, f"{number}.npy"), np.full((4, 2), number, np.float32))
        >>> data = shards(folder.name)
        >>> data.x.shape, data.x.take(np.asarray([0, 5, 11])).tolist()
        ((12, 2), [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
        >>> folder.cleanup()
    """
    checks.whole("memory", memory)
    if cond is not None and conditions is not None:
        raise ValueError("cond and conditions were both given, but conditions are columns of x's own files: give one")
    files = _files("x", x)
    if files[0].suffix != ".parquet" and (columns is not None or conditions is not None):
        name = "columns" if columns is not None else "conditions"
        raise ValueError(f"{name} was given for {files[0]}, whose columns have no names: save each part on its own")
    found = _opened(files, columns, conditions or (), spool)
    if conditions is not None:
        other: Stored | None = _opened(files, conditions, (), spool)
    else:
        other = None if cond is None else _opened(_files("cond", cond), None, (), spool)
    if other is not None:
        checks.same_shape("cond", other.shape[:1], "x", found.shape[:1])
    return Shards(found, other, memory)


def _files(name: str, given: Paths) -> list[Path]:
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        found = [path]
        if path.is_dir():
            found = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES and not each.name.startswith("."))
            if not found:
                raise ValueError(f"in {name}, {path} holds no shards: give a folder with .npy or .parquet files")
    else:
        checks.several(name, given, "a path, or several")
        for each in given:
            checks.path(f"a path of {name}", each)
        found = [Path(each) for each in given]
        if not found:
            raise ValueError(f"{name} is empty, so no shards were given: give at least one .npy or .parquet file")
    for path in found:
        if not path.exists():
            raise FileNotFoundError(f"in {name}, {path} does not exist")
        if path.suffix not in SUFFIXES or path.is_dir():
            raise ValueError(f"in {name}, {path} is no shard, which ends in .npy or .parquet: numpy.save writes one")
        if path.suffix != found[0].suffix:
            raise ValueError(
                f"in {name}, {found[0]} and {path} are shards of different kinds: give .npy or .parquet files"
            )
    return found


def _opened(
    files: Sequence[Path], columns: Sequence[str] | None, without: Sequence[str], spool: str | os.PathLike[str] | None
) -> Stored:
    mapped = files[0].suffix == ".npy"
    parts, names = _mapped(files) if mapped else _unpacked(files, columns, without, spool)
    kept = _kept(files[0], parts[0])
    for file, part in zip(files, parts, strict=True):
        if (part.dtype, part.shape[1:]) != (parts[0].dtype, parts[0].shape[1:]):
            raise ValueError(
                f"{file} holds {_said(part)}, but {files[0]} holds {_said(parts[0])}: shards of one array differ in "
                "their number of rows alone"
            )
    if not sum(map(len, parts)):
        raise ValueError(
            f"{files[0]}{' and the others' * (len(files) > 1)} have no rows, so there is nothing to train on"
        )
    return Stored(files, parts, kept, names, mapped)


def _said(part: np.ndarray) -> str:
    return f"{part.dtype} of shape (rows{''.join(f', {size}' for size in part.shape[1:])})"


def _kept(file: Path, part: np.ndarray) -> np.dtype:
    """Return the dtype that JAX keeps such numbers in."""
    import jax
    import jax.numpy as jnp

    if not jnp.issubdtype(part.dtype, jnp.floating):
        raise TypeError(
            f"{file} holds {part.dtype}, but must hold floats: save it as np.float32, and scale pixels to 0…1"
        )
    return np.dtype(jax.dtypes.canonicalize_dtype(part.dtype))


def _mapped(files: Sequence[Path]) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Return the rows of NumPy files, and no names."""
    parts = []
    for file in files:
        try:
            found = np.lib.format.open_memmap(file, mode="r")
        except DAMAGE as error:
            if "Python objects" in str(error):
                raise ValueError(f"{file} holds Python objects, which are never loaded; store numbers") from error
            raise ValueError(
                f"{file} is no NumPy file that can be mapped: it is damaged, cut short or something else"
            ) from error
        if not found.ndim:
            raise ValueError(f"{file} holds no rows: store one array (rows, ...)")
        parts.append(np.asarray(found))
    return parts, ()


def _unpacked(
    files: Sequence[Path], columns: Sequence[str] | None, without: Sequence[str], spool: str | os.PathLike[str] | None
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Return the rows of Parquet files in a mapped file of their own, and the names of their columns."""
    import polars as pl

    place = Path(files[0].parent if spool is None else spool)
    names: tuple[str, ...] = ()
    lengths, dtype = [], None
    try:
        with tempfile.TemporaryFile(dir=place) as unpacked:
            for file in files:
                held = _columns(file)
                own = tuple(name for name in held if name not in without) if columns is None else tuple(columns)
                missing = [name for name in (*own, *without) if name not in held]
                if not own:
                    raise ValueError(f"all columns of {file} are conditions, so none is left for x: leave some out")
                if missing:
                    raise ValueError(f"{file} has no column {listed(missing)}; it has {listed(list(held))}")
                names = names or own
                if own != names:
                    raise ValueError(f"{file} has the columns {listed(own)}, but {files[0]} has {listed(names)}")
                for name in own:
                    if held[name] not in (pl.Float32, pl.Float64) or (dtype or held[name]) != held[name]:
                        raise TypeError(
                            f"column {name!r} of {file} holds {held[name]}, but all must hold Float32, or all Float64: "
                            "cast it, or leave it out with columns=(...)"
                        )
                    dtype = held[name]
                lengths.append(_unpack(file, own, unpacked))
            kind = np.dtype(np.float64 if dtype == pl.Float64 else np.float32)
            count = sum(lengths)
            whole = (
                np.memmap(unpacked, kind, "r", shape=(count, len(names))) if count else np.empty((0, len(names)), kind)
            )
    except OSError as error:
        raise ValueError(
            f"{files[0]} and the others cannot be unpacked in {place}: {error.strerror}; give spool=FOLDER, with room"
        ) from error
    ends = np.cumsum(lengths)
    return [np.asarray(whole[end - length : end]) for length, end in zip(lengths, ends, strict=True)], names


def _columns(file: Path) -> dict[str, Any]:
    import polars as pl

    try:
        return dict(pl.read_parquet_schema(file))
    # A damaged file can also make the Rust code under polars panic.
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise ValueError(f"{file} is not a Parquet file, or it is damaged") from error


def _unpack(file: Path, columns: Sequence[str], into: Any) -> int:
    """Write the rows of a file, and return how many they are."""
    import polars as pl

    try:
        frame = pl.read_parquet(file, columns=list(columns)).select(columns)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise ValueError(f"{file} is not a Parquet file, or it is damaged") from error
    for block in frame.iter_slices(max(1, BLOCK // (8 * len(columns)))):
        into.write(np.stack([column.fill_null(np.nan).to_numpy() for column in block.get_columns()], -1).tobytes())
    into.flush()
    return len(frame)
