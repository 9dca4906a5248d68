"""Tables padded to a few sizes, and their rows in random order."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxae.threefry import unrolled
from jaxae.types import Array, Key

__all__ = ["Table", "padded", "shuffled", "width"]

COLUMNS = (16, 48, 96, 176)
"""Widths that tables are padded to; beyond them powers of two."""
ROWS = 2**14
"""Rows that a table is padded to; beyond them times 4."""


class Table(NamedTuple):
    """Rows and columns, and the zeros that they are padded with.

    Attributes:
        x: (rows, columns) float32.
        n: () int32 of the rows that are data.
        columns: () int32 of the columns that are.
    """

    x: Array | np.ndarray
    n: Any
    columns: Any

    @property
    def mask(self) -> Array:
        """(columns,) 1 for a column that is data, else 0."""
        return (jnp.arange(self.x.shape[1]) < self.columns).astype(jnp.float32)


def width(columns: int) -> int:
    """Return the number of columns that so many are padded to."""
    return next((wide for wide in COLUMNS if columns <= wide), 2 ** math.ceil(math.log2(columns)))


def padded(x: np.ndarray, rows: int | None = None) -> Table:
    """Return rows (n, columns) as a table that is padded in both directions.

    Args:
        x: (n, columns), finite.
        rows: to pad to, or None for the least of the usual numbers.

    Examples:
        >>> table = padded(np.ones((3, 20)))
        >>> table.x.shape, int(table.n), int(table.columns)
        ((16384, 48), 3, 20)
    """
    n, columns = x.shape
    rows = _length(n) if rows is None else rows
    out = np.zeros((rows, width(columns)), np.float32)
    out[:n, :columns] = x
    return Table(out, np.int32(n), np.int32(columns))


def _length(n: int) -> int:
    """Return the number of rows that so many are padded to."""
    rows = ROWS
    while rows < n:
        rows *= 4
    return rows


def shuffled(key: Key, n: int, folds: int) -> tuple[Array, np.ndarray]:
    """Return an order of n rows at random, and the fold of every row.

    Args:
        key: typed key.
        n: rows.
        folds: parts of ⌊n/folds⌋ rows or one more, that stand side by side in the order.

    Returns:
        the order, int32, as long as a table of n rows is padded to: the numbers of the rows, then those of no rows; and
        the folds (n,), from 0.

    Examples:
        >>> order, fold = shuffled(jax.random.key(0), 9, 3)
        >>> sorted(order[:9].tolist()), fold[order[:9]].tolist()
        ([0, 1, 2, 3, 4, 5, 6, 7, 8], [0, 0, 0, 1, 1, 1, 2, 2, 2])
    """
    order, fold = _shuffled(key, np.int32(n), _length(n), np.int32(folds))
    return order, np.asarray(fold)[:n]


@functools.partial(jax.jit, static_argnums=2)
def _shuffled(key: Key, n: Array, length: int, folds: Array) -> tuple[Array, Array]:
    at = jnp.arange(length)
    bits = jax.random.bits(unrolled(key), (length,)) >> 1
    order = jnp.argsort(jnp.where(at < n, bits, jnp.uint32(2**32 - 1)))
    return order, jnp.zeros(length, jnp.int32).at[order].set(at * folds // jnp.maximum(n, 1))
