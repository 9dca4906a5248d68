"""Tables from files, and back, in the user's own column names and units."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxae.checks import nearest
from jaxae.data.formats import Contents, headerless, listed, numbers, opened

__all__ = ["Table", "check_target", "digest", "fingerprint", "read", "write"]


class Table(NamedTuple):
    """What a user hands us: numbers in the user's units, and what had to be done to get them.

    Attributes:
        values: (n, d) float64, finite.
        columns: The d names.
        notes: What was left out or filled in, in words.
        text: The columns that hold no numbers, and those that were to be kept as they stand; "" where a cell is empty.
        filled: (n, d) bool, where a value was missing and filled in; None where none was.
    """

    values: np.ndarray
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()
    text: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    filled: np.ndarray | None = None


def read(
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    impute: Literal["mean", "median"] | Mapping[str, float] | None = None,
    keep: Sequence[str] = (),
) -> Table:
    r"""Return the numbers of a file with their column names.

    Text (.csv, .tsv, also .gz), Parquet, NumPy (.npy; .npz with the key `X` or one array of two or more dimensions)
    and IDX files (also .gz) are read. A text file whose first row holds numbers only has no header: its columns are
    called x0, x1, …, as are those of an array; the pixels of IDX images are called pixel_<row>_<column>. An array
    (n, ...) is flattened to (n, d). Booleans become 0 and 1. Columns without any number are left out.

    Args:
        path: The file.
        columns: The columns to read, in their order: those of a trained model. Others are left out. A file without
            names is taken by position, if it has as many columns.
        impute: What a missing value (empty, null, NA, NaN) becomes: the mean or the median of its column in this
            file, or a value for every column. Without it a missing value is an error.
        keep: Columns that are wanted as they stand, words or numbers: they are in `text`, and not among the numbers.

    Returns:
        The table, at least two rows of finite numbers (one, with `columns`).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is of no known kind, damaged or empty; has a header or one row only, no numeric column,
            two columns of one name, a column of numbers and text, an infinite or (without `impute`) a missing value;
            or lacks some of `columns` or `keep`, or has the columns in another order.

    Example:
        >>> import pathlib, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = pathlib.Path(folder.name, "plant.csv")
        >>> _ = file.write_text("site,flow,valve\nnorth,1.5,true\nsouth,2.5,false\n")
        >>> read(file).values.tolist()
        [[1.5, 1.0], [2.5, 0.0]]
        >>> read(file).notes
        ("left out, for they hold no numbers: 'site'",)
        >>> folder.cleanup()
    """
    path = Path(path)
    if not isinstance(impute, Mapping) and impute not in (None, "mean", "median"):
        raise ValueError(f"impute must be 'mean', 'median', values by column, or None; got {impute!r}")
    contents = opened(path)
    notes = list(contents.notes)
    contents, aside = _set_aside(path, contents, tuple(keep))
    if columns is not None:
        contents, extra = _selected(path, contents, _names(columns))
        notes += [f"left out, for they were not asked for: {listed(extra)}"] if extra else []
    least = 2 if columns is None else 1
    if contents.rows < least:
        raise ValueError(
            f"{path} has {contents.rows} rows of data, but at least {least} {'are' if least > 1 else 'is'} needed"
        )
    values, names, text = _numeric(path, contents)
    if text and columns is not None:
        raise ValueError(f"{path} holds no numbers in {listed(text)}, which {'is' if len(text) == 1 else 'are'} needed")
    notes += [f"left out, for they hold no numbers: {listed(text)}"] if text else []
    cells = dict(zip(contents.columns, contents.cells, strict=True)) if text else {}
    words = {name: _words(cells[name]) for name in text if not cells[name].dtype.is_nested()}
    if not names:
        raise ValueError(f"{path} has no numeric column" + (f"; its columns are {listed(text)}" if text else ""))
    missing = np.isnan(values)
    values, fills = _filled(path, values, names, impute)
    kept = MappingProxyType({**aside, **words})
    return Table(values, names, tuple(notes + fills), kept, missing if missing.any() else None)


def _names(columns: Sequence[str]) -> tuple[str, ...]:
    if isinstance(columns, str) or not all(isinstance(name, str) for name in columns):
        raise TypeError(f"columns must be a sequence of names; got {columns!r}")
    names = tuple(columns)
    for position, name in enumerate(names):
        if not name.strip() or name != name.strip() or name in names[:position]:
            raise ValueError(
                f"columns must be names that differ, not empty and without space around them; "
                f"got {name!r} at position {position + 1}"
            )
    if not names:
        raise ValueError("columns is empty; give at least one name")
    return names


def _selected(path: Path, contents: Contents, columns: tuple[str, ...]) -> tuple[Contents, list[str]]:
    if not contents.named:
        if len(contents.columns) != len(columns):
            raise ValueError(
                f"{path} has {len(contents.columns)} columns without names, and {len(columns)} are expected: "
                f"{listed(columns)}"
            )
        return contents._replace(columns=columns), []
    missing = [name for name in columns if name not in contents.columns]
    if missing:
        raise ValueError(
            f"{path} lacks {len(missing)} of the {len(columns)} expected columns: {listed(missing)}; "
            f"it has {listed(contents.columns)}"
        )
    wanted = set(columns)
    given = tuple(name for name in contents.columns if name in wanted)
    if given != columns:
        raise ValueError(
            f"{path} has the expected columns in another order: expected {listed(columns)}; given {listed(given)}"
        )
    # Only text and Parquet files name their columns, and their cells are series.
    cells = [cell for name, cell in zip(contents.columns, contents.cells, strict=True) if name in wanted]
    return contents._replace(columns=columns, cells=cells), [n for n in contents.columns if n not in wanted]


def _set_aside(path: Path, contents: Contents, keep: tuple[str, ...]) -> tuple[Contents, dict[str, tuple[str, ...]]]:
    """Return the contents without the columns that are kept as they stand, and those columns."""
    if not keep:
        return contents, {}
    if isinstance(contents.cells, np.ndarray):
        raise ValueError(
            f"{path} has no names for its columns, so {listed(keep)} cannot be found: give a CSV or Parquet file"
        )
    missing = [name for name in keep if name not in contents.columns]
    if missing:
        raise ValueError(
            f"{path} has no column {listed(missing)}; it has {listed(nearest(missing[0], contents.columns))}"
        )
    cells = dict(zip(contents.columns, contents.cells, strict=True))
    rest = [name for name in contents.columns if name not in keep]
    if not rest:
        raise ValueError(f"{path} has no column beside {listed(keep)}: give the rows that depend on them")
    without = contents._replace(columns=tuple(rest), cells=[cells[name] for name in rest])
    return without, {name: _words(cells[name]) for name in keep}


def _words(series: Any) -> tuple[str, ...]:
    import polars as pl

    return tuple(series.cast(pl.String, strict=False).fill_null("").str.strip_chars().to_list())


def _numeric(path: Path, contents: Contents) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    if isinstance(contents.cells, np.ndarray):
        return contents.cells, contents.columns, []
    parsed = [numbers(path, name, cell) for name, cell in zip(contents.columns, contents.cells, strict=True)]
    kept = [(name, column) for name, column in zip(contents.columns, parsed, strict=True) if column is not None]
    text = [name for name, column in zip(contents.columns, parsed, strict=True) if column is None]
    values = np.stack([column for _, column in kept], axis=1) if kept else np.empty((contents.rows, 0))
    return values, tuple(name for name, _ in kept), text


def _filled(
    path: Path, values: np.ndarray, names: tuple[str, ...], impute: str | Mapping[str, float] | None
) -> tuple[np.ndarray, list[str]]:
    infinite = np.argwhere(np.isinf(values))
    if len(infinite):
        row, column = infinite[0]
        raise ValueError(f"column {names[column]!r} of {path} is infinite in row {row + 1}; correct the value")
    missing = np.isnan(values)
    if not missing.any():
        return values, []
    known = impute if isinstance(impute, Mapping) else {}
    for name in [name for name, empty in zip(names, missing.all(axis=0), strict=True) if empty and name not in known]:
        raise ValueError(f"column {name!r} of {path} has no value in any row; remove the column")
    if impute is None:
        row, column = np.argwhere(missing)[0]
        raise ValueError(
            f"column {names[column]!r} of {path} has no value in row {row + 1} ({missing.sum()} missing in all); "
            "fill it in, or let the mean or the median of its column stand there: impute='mean', on the command line "
            "--impute mean"
        )
    values, notes = values.copy(), []
    for column in np.flatnonzero(missing.any(axis=0)):
        if isinstance(impute, Mapping) and names[column] not in impute:
            raise ValueError(f"column {names[column]!r} of {path} has missing values, but impute names no value for it")
        gaps, present = missing[:, column], values[~missing[:, column], column]
        if names[column] in known:
            fill, how = known[names[column]], "that of the rows that train"
        else:
            fill, how = float(np.mean(present) if impute == "mean" else np.median(present)), f"its {impute}"
        values[gaps, column] = fill
        notes.append(f"{gaps.sum()} missing values of {names[column]!r} were filled with {how}, {fill:.6g}")
    return values, notes


def write(
    path: str | os.PathLike[str],
    values: Any,
    columns: Sequence[str],
    *,
    text: Mapping[str, Sequence[str]] | None = None,
    whole: Sequence[str] = (),
    remarks: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write a table to a CSV, Parquet or NumPy file, as its suffix says, whole or not at all.

    Numbers are written so that `read` gives back the same float64. A .npy file keeps no column names. The file is
    written beside its place under a name of its own and then moved there, so an older file stays until then.

    Args:
        path: The file: .csv, .parquet or .npy. Its folder exists.
        values: (n, d) finite real numbers, n and d at least 1.
        columns: The d names, all different.
        text: Columns of n words each, which stand before the numbers; a .npy file has no place for them.
        whole: Columns to write as whole numbers, 1 rather than 1.0.
        remarks: Columns of n words each, which stand after the numbers.

    Raises:
        FileNotFoundError: The folder does not exist.
        ValueError: The suffix, the shape, a name or a value cannot be written, or the place cannot be written to.

    Example:
        >>> import pathlib, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = pathlib.Path(folder.name, "scores.csv")
        >>> write(file, [[0.1], [2.0]], ["score"])
        >>> file.read_text().split()
        ['score', '0.1', '2.0']
        >>> folder.cleanup()
    """
    path = Path(path)
    suffix = path.suffix.lower()
    check_target(path, words=(*(text or {}), *(remarks or {})))
    before, after = ({name: tuple(cells) for name, cells in (part or {}).items()} for part in (text, remarks))
    names = _names((*before, *columns, *after))[len(before) : len(before) + len(columns)]
    array = _writable(values, names)
    _fitting(array, names, (*before.items(), *after.items()), whole)
    if suffix == ".csv" and headerless(names):
        raise ValueError(
            f"the columns {listed(names)} are numbers: a CSV file with them would be read as one without a header; "
            "give them other names, or write .parquet"
        )
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with open(part, "xb") as file:
            _dump(file, suffix, array, names, before, after, whole)
        os.replace(part, path)
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def check_target(path: str | os.PathLike[str], *, words: Sequence[str] = ()) -> None:
    """Refuse a place that `write` cannot write to, before anything is computed for it.

    Args:
        path: The file.
        words: Columns of words that it has to hold.

    Raises:
        FileNotFoundError: The folder does not exist.
        ValueError: The suffix is none that can be written, or can hold no words, or the place is a folder.

    Example:
        >>> check_target("alarms.npy", words=["because"])
        Traceback (most recent call last):
        ValueError: alarms.npy can hold no words, and 'because' are words: write .csv or .parquet
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet", ".npy"):
        raise ValueError(f"{path} has no suffix that can be written; those that can: .csv, .parquet, .npy")
    if words and suffix == ".npy":
        raise ValueError(f"{path} can hold no words, and {listed(words)} are words: write .csv or .parquet")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist; make it first")


def _writable(values: Any, names: tuple[str, ...]) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or array.ndim != 2 or array.shape[0] == 0:
        raise ValueError(
            f"values must be real numbers of shape (n, d) with n at least 1; got {array.dtype} of shape {array.shape}"
        )
    if array.shape[1] != len(names):
        raise ValueError(f"values has {array.shape[1]} columns, and {len(names)} names were given: {listed(names)}")
    faults = np.argwhere(~np.isfinite(array))
    if len(faults):
        row, column = faults[0]
        raise ValueError(
            f"values is {array[row, column]} in column {names[column]!r}, row {row + 1}; it must be finite"
        )
    return array.astype(np.float64)


def _fitting(
    array: np.ndarray,
    names: tuple[str, ...],
    words: Sequence[tuple[str, tuple[str, ...]]],
    whole: Sequence[str],
) -> None:
    for name, cells in words:
        if len(cells) != len(array):
            raise ValueError(f"column {name!r} has {len(cells)} words for {len(array)} rows")
    for name in whole:
        if name not in names:
            raise ValueError(f"there is no column {name!r} to write as whole numbers; the columns are {listed(names)}")
        column = array[:, names.index(name)]
        if (column != np.round(column)).any() or (abs(column) >= 2**53).any():
            raise ValueError(f"column {name!r} holds numbers that are not whole: leave it out of `whole`")


def _dump(
    file: Any,
    suffix: str,
    array: np.ndarray,
    names: tuple[str, ...],
    before: Mapping[str, tuple[str, ...]],
    after: Mapping[str, tuple[str, ...]],
    whole: Sequence[str],
) -> None:
    if suffix == ".npy":
        np.save(file, array, allow_pickle=False)
        return
    import polars as pl

    columns = [pl.Series(name, cells, dtype=pl.String) for name, cells in before.items()]
    columns += [
        pl.Series(name, column.astype(np.int64) if name in whole else column)
        for name, column in zip(names, array.T, strict=True)
    ]
    columns += [pl.Series(name, cells, dtype=pl.String) for name, cells in after.items()]
    frame = pl.DataFrame(columns)
    if suffix == ".csv":
        frame.write_csv(file)
    else:
        frame.write_parquet(file)


def fingerprint(array: Any) -> str:
    """Return the SHA-256 of an array's dtype, shape and bytes, in 64 hexadecimal digits.

    Args:
        array: A NumPy or JAX array, or what NumPy makes an array of.

    Raises:
        TypeError: The array holds Python objects, whose bytes mean nothing.

    Example:
        >>> fingerprint(np.zeros(2)) == fingerprint(np.zeros((2, 1)))
        False
        >>> fingerprint(np.zeros(2)) == fingerprint(np.zeros(4)[::2])
        True
    """
    array = np.asarray(array)
    if array.dtype.hasobject:
        raise TypeError(f"fingerprint takes arrays of numbers; got an array of {array.dtype}")
    return digest(array.dtype, array.shape, [array])


def digest(dtype: np.dtype, shape: Sequence[int], parts: Iterable[np.ndarray]) -> str:
    """Return the `fingerprint` of an array whose rows come in parts, one after another."""
    # dtype.str alone is the same for bfloat16 and every other two-byte type that NumPy does not know.
    found = hashlib.sha256(f"{dtype.name} {dtype.str} {tuple(shape)} ".encode())
    for part in parts:
        found.update(part.tobytes())
    return found.hexdigest()
