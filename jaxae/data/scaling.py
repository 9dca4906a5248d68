"""Between the user's units and the model's: scalings fitted to columns, and random splits of rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxae import checks
from jaxae.data.formats import listed, pixels

if TYPE_CHECKING:
    from jax import Array

__all__ = ["Scaling", "min_max", "pixel_columns", "split", "standard"]

BLOCK = 2**22
"""Numbers that are scaled together, at most: 32 MiB of float64."""


class Scaling(NamedTuple):
    """A change of units of d columns, x = (value − offset) / scale, without the constant ones.

    A column that is constant in the data that the scaling was made from has scale 0. The model does not see it
    (`apply` leaves it out, whatever it holds), and `invert` puts it back as its offset.

    Attributes:
        columns: The d names.
        offset: (d,) float64, in the user's units.
        scale: (d,) float64, in the user's units; 0 marks a constant column.
    """

    columns: tuple[str, ...]
    offset: np.ndarray
    scale: np.ndarray

    @property
    def varying(self) -> np.ndarray:
        """(d,) bool: the columns that the model sees."""
        return self.scale != 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns that the model sees."""
        return tuple(name for name, seen in zip(self.columns, self.varying, strict=True) if seen)

    def to_json(self, shape: tuple[int, int, int] | None = None) -> dict[str, Any]:
        """Return what `from_json` takes; of images (height, width, channels) without the names of their pixels."""
        names = None if pixel_columns(self.columns, shape) else self.columns
        parts = {"offset": self.offset, "scale": self.scale}
        one = {name: bool((part == part[0]).all()) for name, part in parts.items()}
        return {
            "columns": names,
            **{name: float(part[0]) if names is None and one[name] else part.tolist() for name, part in parts.items()},
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any], shape: tuple[int, int, int] | None = None) -> Scaling:
        """Return the scaling that `to_json` wrote.

        Example:
            >>> scaling = Scaling(("pixel_0_0", "pixel_0_1"), np.zeros(2), np.full(2, 255.0))
            >>> Scaling.from_json(scaling.to_json((1, 2, 1)), (1, 2, 1)).scale.tolist()
            [255.0, 255.0]
        """
        names = pixels(*shape) if found["columns"] is None and shape is not None else tuple(found["columns"])
        offset, scale = (np.asarray(found[part], np.float64) for part in ("offset", "scale"))
        return cls(names, *(np.full(len(names), part) if part.ndim == 0 else part for part in (offset, scale)))

    def apply(self, values: Any, *, farthest: float = np.inf) -> np.ndarray:
        """Return the varying columns in the model's units, (n, varying) float32.

        Args:
            values: (n, d) finite, in the user's units.
            farthest: what an entry counts as at most, in the model's units and in either direction.

        Raises:
            ValueError: The shape is another, a value is not finite, or one is too far out for float32.

        Example:
            >>> standard([[1.0, 7.0], [3.0, 7.0]], ["flow", "valve"]).apply([[5.0, 7.0]]).tolist()
            [[3.0]]
        """
        array = _table(values, self.columns)
        seen = self.varying
        x = np.empty((len(array), int(seen.sum())), np.float32)
        rows = max(1, BLOCK // max(1, array.shape[1]))
        for first in range(0, len(array), rows):
            block = _finite(array[first : first + rows], self.columns, first)[:, seen]
            part = x[first : first + rows]
            with np.errstate(over="ignore"):
                part[:] = np.clip((block - self.offset[seen]) / self.scale[seen], -farthest, farthest)
            faults = np.argwhere(~np.isfinite(part))
            if len(faults):
                row, column = faults[0]
                raise ValueError(
                    f"column {self.names[column]!r}, row {first + row + 1}: {block[row, column]:g} is too far from the "
                    "data that the scaling was made from to be a float32"
                )
        return x

    def invert(self, array: Any) -> np.ndarray:
        """Return all columns in the user's units, (n, d) float64.

        Args:
            array: (n, varying), in the model's units.

        Raises:
            ValueError: The shape is another, or a value is not finite.

        Example:
            >>> standard([[1.0, 7.0], [3.0, 7.0]], ["flow", "valve"]).invert([[3.0]]).tolist()
            [[5.0, 7.0]]
        """
        x = _finite(array, self.names)
        values = np.tile(self.offset, (len(x), 1))
        values[:, self.varying] += x * self.scale[self.varying]
        return values


def pixel_columns(columns: Sequence[str], shape: tuple[int, int, int] | None) -> bool:
    """Return whether the columns are called as the pixels of images (height, width, channels) are.

    Raises:
        TypeError: `columns` are no names.
        ValueError: The shape is no three numbers.

    Example:
        >>> pixel_columns(("pixel_0_0", "pixel_0_1"), (1, 2, 1))
        True
    """
    checks.several("columns", columns, "names")
    if shape is not None and np.shape(shape) != (3,):
        raise ValueError(f"shape is {shape!r}, but must be (height, width, channels), or None")
    return shape is not None and shape[2] in (1, 3) and tuple(columns) == pixels(*shape)


def standard(values: Any, columns: Sequence[str]) -> Scaling:
    """Return the scaling to mean 0 and standard deviation 1: offset = mean, scale = population deviation.

    A column whose values differ by rounding only counts as constant.

    Args:
        values: (n, d) finite, n at least 2.
        columns: The d names.

    Raises:
        TypeError: `columns` are no names.
        ValueError: The shape is another, a value is not finite, every column is constant, or a column's spread
            cannot be computed in float64.

    Example:
        >>> standard([[1.0, 7.0], [3.0, 7.0]], ["flow", "valve"]).scale.tolist()
        [1.0, 0.0]
    """
    return _fitted(values, columns, lambda array: (array.mean(axis=0), array.std(axis=0)))


def min_max(values: Any, columns: Sequence[str], *, low: float = 0.0, high: float = 1.0) -> Scaling:
    """Return the scaling of each column's smallest value to `low` and its largest to `high`.

    A column whose values differ by rounding only counts as constant.

    Args:
        values: (n, d) finite, n at least 2.
        columns: The d names.
        low: Where the smallest value goes.
        high: Where the largest value goes; above `low`.

    Raises:
        TypeError, ValueError: As `standard`; or `low` is not below `high`.

    Example:
        >>> min_max([[10.0], [30.0]], ["flow"], low=-1.0).apply([[10.0], [20.0], [30.0]]).ravel().tolist()
        [-1.0, 0.0, 1.0]
    """
    checks.finite("low", low)
    checks.finite("high", high)
    if not low < high:
        raise ValueError(f"low must be below high; got low={low}, high={high}")

    def fit(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        smallest = array.min(axis=0)
        scale = (array.max(axis=0) - smallest) / (high - low)
        return smallest - low * scale, scale

    return _fitted(values, columns, fit)


def _fitted(values: Any, columns: Sequence[str], fit: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Scaling:
    if not isinstance(columns, Iterable):
        raise TypeError(f"columns is {columns!r}, but must be names, one for each column of values")
    names = tuple(columns)
    array = _finite(values, names)
    if len(array) < 2:
        raise ValueError(f"a scaling is made from at least two rows; got {len(array)}")
    low, high = array.min(axis=0), array.max(axis=0)
    with np.errstate(all="ignore"):
        offset, scale = fit(array)
        # Such a spread is rounding of the values themselves, as in 0.1 + 0.2 beside 0.3; scaled up it would be noise.
        constant = high - low <= 4 * np.finfo(np.float64).eps * np.maximum(abs(low), abs(high))
    if constant.all():
        raise ValueError("every column is constant: there is nothing to learn; give rows that differ")
    for name, least, most, usable in zip(names, low, high, _usable(offset, scale) | constant, strict=True):
        if not usable:
            raise ValueError(
                f"column {name!r} goes from {least:g} to {most:g}, whose spread float64 cannot hold; use another unit"
            )
    return Scaling(names, np.where(constant, low, offset), np.where(constant, 0.0, scale))


def _usable(offset: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.isfinite(offset) & np.isfinite(scale) & (scale >= np.finfo(np.float64).tiny)


def _table(values: Any, names: tuple[str, ...]) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise ValueError(f"values must be real numbers; got {array.dtype}")
    if array.ndim != 2 or array.shape[1] != len(names):
        raise ValueError(f"values must be (n, {len(names)}), the columns {listed(names)}; got shape {array.shape}")
    return array


def _finite(values: Any, names: tuple[str, ...], first: int = 0) -> np.ndarray:
    array = _table(values, names).astype(np.float64)
    faults = np.argwhere(~np.isfinite(array))
    if len(faults):
        row, column = faults[0]
        raise ValueError(f"column {names[column]!r}, row {first + row + 1} is {array[row, column]}; it must be finite")
    return array


def split(key: Array, n: int, *, fractions: Sequence[float] = (0.7, 0.15, 0.15)) -> tuple[np.ndarray, ...]:
    """Return random row numbers for each part, which together are every row once.

    Args:
        key: A typed JAX key.
        n: The number of rows.
        fractions: The share of each part, above 0, summing to 1. Part i ends at row round(n · (f₁ + … + fᵢ)).

    Returns:
        One (nᵢ,) int64 array per fraction.

    Raises:
        TypeError: `key` is not a typed key, or n not an integer.
        ValueError: n is below 1, the fractions are not above 0 with sum 1, or a part would be empty.

    Example:
        >>> import jax
        >>> train, valid, test = split(jax.random.key(0), 10, fractions=(0.6, 0.2, 0.2))
        >>> len(train), len(valid), len(test), sorted([*train, *valid, *test]) == list(range(10))
        (6, 2, 2, True)
    """
    checks.typed_key(key)
    checks.whole("n", n)
    shares = np.asarray(fractions, np.float64)
    if shares.ndim != 1 or not (shares > 0).all() or not math.isclose(shares.sum(), 1.0, abs_tol=1e-6):
        raise ValueError(f"fractions must be above 0 and sum to 1; got {fractions!r}")
    ends = np.floor(n * shares.cumsum() + 0.5).astype(np.int64)
    ends[-1] = n
    sizes = np.diff(ends, prepend=0)
    if (sizes < 1).any():
        raise ValueError(
            f"{n} rows in fractions {tuple(fractions)} are parts of {', '.join(map(str, sizes))} rows, "
            "and no part may be empty; give more rows or larger fractions"
        )
    import jax

    order = np.asarray(jax.random.permutation(key, n)).astype(np.int64)
    return tuple(np.split(order, ends[:-1]))
