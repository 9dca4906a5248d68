"""An array that lies in files, of which some rows are read at a time."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from jaxae import checks
from jaxae.data.files import digest

__all__ = ["BLOCK", "Stored"]

BLOCK = 2**23
"""Bytes that are checked at a time."""


class Stored:
    """An array (n, ...) of floats in files, the rows of one after those of another.

    Attributes:
        files: the files, in the order of their rows.
        shape: of the whole.
        dtype: as JAX keeps it.
        fingerprint: that of the array in memory, in that dtype.
    """

    def __init__(
        self, files: Sequence[Path], parts: Sequence[np.ndarray], dtype: np.dtype, columns: Sequence[str], mapped: bool
    ) -> None:
        """Look at all rows once; `shards` opens the files.

        Args:
            files: where the rows are from.
            parts: of each file the rows, in memory that the system fills from the disk.
            dtype: as JAX keeps it.
            columns: their names, where they have names.
            mapped: the files themselves are that memory, and must stay as they are.

        Raises:
            ValueError: if a number is not finite, naming file, row and column.
        """
        self.files = tuple(files)
        self.shape = (sum(map(len, parts)), *parts[0].shape[1:])
        self.dtype = dtype
        self._parts = parts
        self._starts = np.cumsum([0, *map(len, parts)])
        self._seen = tuple(map(_state, files)) if mapped else ()
        self.fingerprint = digest(dtype, self.shape, self._checked(columns))
        self._refuse_changes(range(len(self._seen)))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def take(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Return the rows of these numbers.

        Args:
            rows: (m,) ascending numbers from 0 to n − 1: so the disk is gone through in one direction.
            out: (m, ...) where to write them; None makes it.

        Raises:
            ValueError: if a file that holds some of them is no longer what was opened.
        """
        out = np.empty((len(rows), *self.shape[1:]), self.dtype) if out is None else out
        ends = np.searchsorted(rows, self._starts)
        held = np.flatnonzero(np.diff(ends)).tolist()
        self._refuse_changes(held)
        for number in held:
            first, last = ends[number], ends[number + 1]
            part, own = self._parts[number], rows[first:last] - self._starts[number]
            if part.dtype == out.dtype:
                part.take(own, 0, out[first:last], "clip")  # any other mode makes a copy first
            else:
                out[first:last] = part[own]
        # What was changed in the meantime is not trained on either.
        self._refuse_changes(held)
        return out

    def _refuse_changes(self, numbers: Iterable[int]) -> None:
        for number in numbers if self._seen else ():
            now = _state(self.files[number])
            if now != self._seen[number]:
                how = "is gone" if now is None else "was changed"
                raise ValueError(
                    f"{self.files[number]} {how} since it was opened: leave shards as they are while they are trained "
                    "on, and open them again"
                )

    def _checked(self, columns: Sequence[str]) -> Iterator[np.ndarray]:
        """Yield all rows in their order, some at a time, each checked."""
        rows = max(1, BLOCK // max(1, self.row_bytes))
        for file, part in zip(self.files, self._parts, strict=True):
            for first in range(0, len(part), rows):
                block = part[first : first + rows]
                place = checks.not_finite(block, self.dtype)
                if place is not None:
                    row, *column = place
                    named = [repr(columns[column[0]])] if columns else [str(i) for i in column]
                    at = f" and column {', '.join(named)}" if named else ""
                    raise ValueError(
                        f"{file} holds {block[place]} in row {first + row}{at} (counted from 0), which is no finite "
                        f"{self.dtype.name}: fill it in or leave that row out"
                    )
                yield block.astype(self.dtype, copy=False)


def _state(file: Path) -> tuple[int, ...] | None:
    """Return what changes of a file when it does, or None where it is gone."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
