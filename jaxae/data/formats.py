"""What lies in a file, by kind of file: column names and cells, before any choice of columns."""

from __future__ import annotations

import csv
import gzip
import io
import math
import os
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "DAMAGE",
    "READABLE",
    "Contents",
    "archive",
    "headerless",
    "idx",
    "is_idx",
    "is_number",
    "is_table",
    "listed",
    "numbers",
    "only",
    "opened",
    "pixels",
    "tables",
]

READABLE = ".csv, .csv.gz, .tsv, .tsv.gz, .parquet, .npy, .npz, .idx, .idx.gz (also -idx3-ubyte and -idx3-ubyte.gz)"

# What spreadsheets, pandas, R and databases write where a value is missing.
MISSING = ("", "na", "n/a", "nan", "null", "none")

# The type byte of the IDX format (LeCun, Cortes, Burges, "The MNIST database of handwritten digits"): big-endian.
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

# What NumPy and the libraries under it raise on a damaged file; `test_damaged_numpy_by_byte` meets most of them.
DAMAGE: tuple[type[Exception], ...] = (ValueError, TypeError, KeyError, OSError, EOFError, MemoryError, RuntimeError)
DAMAGE += (SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error)


class Contents(NamedTuple):
    """Column names, whether the file itself gave them, and the cells: one array or a list of polars series."""

    columns: tuple[str, ...]
    named: bool
    cells: np.ndarray | list[pl.Series]
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.cells) if isinstance(self.cells, np.ndarray) else len(self.cells[0]) if self.cells else 0


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return the names quoted and separated by commas, cut after `most` of them."""
    text = ", ".join(repr(str(name)) for name in names[:most])
    return text if len(names) <= most else f"{text}, … ({len(names)} in all)"


def pixels(height: int, width: int, channels: int = 1) -> tuple[str, ...]:
    """Return the column names of a flattened image: pixel_<row>_<column>, row by row, each in 3 colours if it has 3."""
    ends = {1: ("",), 3: ("_red", "_green", "_blue")}[channels]
    return tuple(f"pixel_{row}_{column}{end}" for row in range(height) for column in range(width) for end in ends)


def is_table(path: str | os.PathLike[str]) -> bool:
    """Return whether a file, by its name, holds a table with named columns.

    Example:
        >>> is_table("plant.csv.gz"), is_table("images.npy")
        (True, False)
    """
    return Path(path).name.lower().removesuffix(".gz").endswith((".csv", ".tsv", ".parquet"))


def opened(path: Path) -> Contents:
    """Return what lies in the file, whose kind its suffix tells."""
    name = path.name.lower()
    plain = name.removesuffix(".gz")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a file: {READABLE}")
    if plain.endswith((".csv", ".tsv")):
        return _text(path, separator="\t" if plain.endswith(".tsv") else ",")
    if is_idx(path):
        array = idx(path)
        return _flat(path, array, pixels(*array.shape[1:]) if array.ndim == 3 else None)
    if name.endswith(".parquet"):
        return _parquet(path)
    if name.endswith((".npy", ".npz")):
        return _numpy(path)
    raise ValueError(f"{path} has no suffix that can be read; those that can: {READABLE}")


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if path.name.lower().endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is not a whole gzip file: it is damaged, cut short or not compressed") from error
    if not content.strip():
        raise ValueError(f"{path} is empty")
    return content


def _text(path: Path, separator: str) -> Contents:
    import polars as pl

    content = _content(path).lstrip(b"\r\n")
    first_line = content.split(b"\n", 1)[0]
    if b";" in first_line and separator.encode() not in first_line:
        raise ValueError(
            f"{path} separates its values by ';'; write it with {separator!r} between the values and a point before "
            "decimals"
        )
    try:
        frame = pl.read_csv(io.BytesIO(content), has_header=False, infer_schema=False, separator=separator)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{path} is not a table: {_fault(content, separator)}") from error
    first = [(cell or "").strip() for cell in frame.row(0)]
    notes: list[str] = []
    named = not headerless(first)
    if named:
        names, frame = _header(path, first), frame[1:]
    else:
        names = _positions(len(first))
        notes.append(f"{path.name} has no header: its columns are taken in order")
    digits = [cell for cell in first if is_number(cell)]
    if named and digits:
        notes.append(f"the first row of {path.name} is its header, though it holds numbers: {listed(digits)}")
    filled = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series().arg_true()
    kept = int(filled[-1]) + 1 if len(filled) else 0
    if kept < len(frame):
        notes.append(f"empty lines at the end of {path.name} were left out: {len(frame) - kept}")
    return Contents(names, named, frame[:kept].get_columns(), tuple(notes))


def is_number(text: str) -> bool:
    """Return whether the text reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def headerless(first: Sequence[str]) -> bool:
    """Return whether the first row of a text is data: at least one number, and nothing but numbers and gaps."""
    number = [is_number(cell) for cell in first]
    return any(number) and all(n or cell.lower() in MISSING for n, cell in zip(number, first, strict=True))


def _header(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in names)
    for position, name in enumerate(names):
        if not name:
            raise ValueError(
                f"column {position + 1} of {path} has no name; name it, or write the file without it "
                "(pandas: to_csv(index=False))"
            )
        if name in names[:position]:
            raise ValueError(f"{path} has more than one column named {name!r}; every column needs a name of its own")
    return names


def _positions(count: int) -> tuple[str, ...]:
    return tuple(f"x{i}" for i in range(count))


def _fault(content: bytes, separator: str) -> str:
    """Say what is wrong with a text that polars refuses."""
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=separator))
    except UnicodeDecodeError:
        return "it is not UTF-8 text; save it as UTF-8"
    except csv.Error as error:
        return f"{error}"
    for row, cells in enumerate(lines):
        if len(cells) > len(lines[0]):
            return f"line {row + 1} has {len(cells)} values, the first line {len(lines[0])}"
    return "a quotation mark is opened and not closed"


def _parquet(path: Path) -> Contents:
    import polars as pl

    try:
        frame = pl.read_parquet(path)
    # A damaged file can also make the Rust code under polars panic.
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise ValueError(f"{path} is not a Parquet file, or it is damaged") from error
    return Contents(_header(path, frame.columns), True, frame.get_columns())


def is_idx(path: Path) -> bool:
    """Return whether the file is called as IDX files are."""
    return bool(re.search(r"[.-]idx\d?(-ubyte)?$", path.name.lower().removesuffix(".gz")))


def idx(path: Path) -> np.ndarray:
    """Return the array of an IDX file, in the file's own type."""
    content = _content(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES or content[3] == 0:
        raise ValueError(f"{path} is not an IDX file: its first four bytes are {content[:4].hex(' ')}")
    dtype, start = np.dtype(IDX_TYPES[content[2]]), 4 + 4 * content[3]
    if len(content) < start:
        raise ValueError(f"{path} is cut short: its header is not whole")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    size = math.prod(shape) * dtype.itemsize
    if len(content) != start + size:
        raise ValueError(f"{path} should hold {size} bytes of data for shape {shape}, and holds {len(content) - start}")
    return np.frombuffer(content, dtype, offset=start).reshape(shape)


@contextmanager
def archive(path: Path) -> Iterator[Mapping[str, Any]]:
    """Open the arrays of a NumPy file by key; the one of a .npy file is "X". Any error within means damage."""
    content = _content(path)
    if not content.startswith((b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06")):
        raise ValueError(f"{path} is not a NumPy file: its first bytes are {content[:6].hex(' ')}")
    try:
        loaded: Any = np.load(io.BytesIO(content), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            yield {"X": loaded}
        else:
            with loaded:
                yield loaded
    except DAMAGE as error:
        if "allow_pickle" in str(error):
            raise ValueError(f"{path} holds Python objects, which are never loaded; store numbers") from error
        raise ValueError(f"{path} is damaged or cut short") from error


def tables(stored: Mapping[str, Any], besides: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Return the arrays of two or more dimensions in an archive, without Python objects and keys that are other."""
    found = {}
    for key in [key for key in stored if key not in besides]:
        try:
            array = stored[key]
        except ValueError as error:
            if "allow_pickle" in str(error):
                continue
            raise
        if isinstance(array, np.ndarray) and array.ndim >= 2:
            found[key] = array
    return found


def only(path: Path, keys: Sequence[str], arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the one array that there is, or refuse."""
    if len(arrays) != 1:
        raise ValueError(
            f"{path} holds {len(arrays)} arrays of two or more dimensions among its keys {listed(keys)}; "
            "name the table 'X', or store it alone"
        )
    return next(iter(arrays.values()))


def _numpy(path: Path) -> Contents:
    with archive(path) as stored:
        keys = list(stored)
        arrays = {"X": stored["X"]} if "X" in keys else tables(stored)
    return _flat(path, only(path, keys, arrays))


def _flat(path: Path, array: np.ndarray, columns: tuple[str, ...] | None = None) -> Contents:
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        raise ValueError(f"{path} holds {array.dtype} of shape {array.shape}; needed are real numbers of shape (n, d)")
    width = math.prod(array.shape[1:])
    return Contents(columns or _positions(width), False, array.reshape(len(array), width).astype(np.float64))


def numbers(path: Path, name: str, series: pl.Series) -> np.ndarray | None:
    """Return one column as float64 with NaN where a value is missing, or None where no value is a number."""
    import polars as pl

    if series.dtype == pl.Null or series.dtype == pl.Boolean or series.dtype.is_numeric():
        return series.cast(pl.Float64).fill_null(np.nan).to_numpy()
    if series.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return None
    text = series.cast(pl.String).str.strip_chars()
    lower = text.str.to_lowercase()
    present = ~(text.is_null() | lower.is_in(MISSING))
    if lower.filter(present).is_in(("true", "false")).all():
        parsed = (lower == "true").cast(pl.Float64)
    else:
        parsed = text.cast(pl.Float64, strict=False)
    unread = (present & parsed.is_null()).arg_true()
    if len(unread) == present.sum() and len(unread):
        return None
    if len(unread):
        row = int(unread[0])
        raise ValueError(
            f"column {name!r} of {path} holds numbers and text: row {row + 1} is {series[row]!r}; "
            "correct the value, leave it empty, or remove the column"
        )
    return np.where(present.to_numpy(), parsed.fill_null(np.nan).to_numpy(), np.nan)
