"""What pictures accept: arrays of numbers of the right shape, refused in words where they are not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from jaxae.report.words import listed, plural

__all__ = ["chosen", "pairs", "table", "vector", "which"]


def vector(label: str, values: ArrayLike, length: int | None = None, *, one_per: str = "row") -> np.ndarray:
    """Return the values as (n,) finite numbers in float64, n = ``length`` where that is given.

    Raises:
        ValueError: if they are not.

    Examples:
        >>> vector("score", [1, 2], 3)
        Traceback (most recent call last):
        ...
        ValueError: score must have shape (3,), one number per row, not (2,)
    """
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or not array.size or (length is not None and len(array) != length):
        wanted = "n" if length is None else length
        raise ValueError(f"{label} must have shape ({wanted},), one number per {one_per}, not {array.shape}")
    return _finite(label, array)


def table(label: str, values: ArrayLike, columns: Sequence[str], rows: int | None = None) -> np.ndarray:
    """Return the values as a table of finite numbers in float64 with a column per name, and ``rows`` rows if given.

    Raises:
        ValueError: if they are not.

    Examples:
        >>> table("values", [[1.0, 2.0]], ["a"])
        Traceback (most recent call last):
        ...
        ValueError: values must have shape (rows, 1), one column per name, not (1, 2)
    """
    array = np.asarray(values, dtype=float)
    if array.ndim != 2 or array.shape[1] != len(columns) or not array.size or rows not in (None, len(array)):
        wanted = "rows" if rows is None else rows
        raise ValueError(f"{label} must have shape ({wanted}, {len(columns)}), one column per name, not {array.shape}")
    return _finite(label, array)


def pairs(label: str, spans: ArrayLike | None, points: int) -> np.ndarray:
    """Return half-open pairs [start, stop) of points as (k, 2) int64; (0, 2) for None or nothing.

    Raises:
        ValueError: if they are no such pairs of whole numbers within the points.

    Examples:
        >>> pairs("events", [[2, 9]], 5)
        Traceback (most recent call last):
        ...
        ValueError: events must hold pairs 0 ≤ start < stop ≤ 5, the points of the series, not [2, 9]
    """
    array = np.asarray([] if spans is None else spans)
    if not array.size:
        return np.zeros((0, 2), np.int64)
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
        raise ValueError(f"{label} must be (k, 2) whole numbers, [start, stop) each, not {array.dtype} {array.shape}")
    wrong = (array[:, 0] < 0) | (array[:, 0] >= array[:, 1]) | (array[:, 1] > points)
    if wrong.any():
        first = array[np.argmax(wrong)].tolist()
        raise ValueError(f"{label} must hold pairs 0 ≤ start < stop ≤ {points}, the points of the series, not {first}")
    return array.astype(np.int64)


def chosen(badness: np.ndarray, most: int) -> list[int]:
    """Return the columns to draw, in the table's order: all, or the ``most`` worst; undefined ones come last.

    Examples:
        >>> chosen(np.asarray([3.0, 1.0, 2.0]), 2)
        [0, 2]
    """
    order = np.argsort(-np.where(np.isnan(badness), -np.inf, badness), kind="stable")
    return sorted(int(column) for column in order[:most])


def which(drawn: Sequence[int], columns: Sequence[str], why: str) -> str:
    """Return the sentence that says which columns are drawn and why these, or nothing where all are.

    Examples:
        >>> which([0, 2], ["a", "b", "c"], "with the largest error")
        ' Of 3 columns the 2 with the largest error are drawn: a and c.'
    """
    if len(drawn) == len(columns):
        return ""
    names = listed([columns[column] for column in drawn], most=len(drawn))
    verb = "is" if len(drawn) == 1 else "are"
    return f" Of {plural(len(columns), 'column')} the {len(drawn)} {why} {verb} drawn: {names}."


def _finite(label: str, array: np.ndarray) -> np.ndarray:
    faults = np.argwhere(~np.isfinite(array))
    if len(faults):
        where = ", ".join(map(str, faults[0]))
        value = array[tuple(faults[0])]
        raise ValueError(
            f"{label} must be finite, but {label}[{where}] is {value} ({len(faults)} of {array.size} are not finite): "
            "leave those rows out, or look for a model that diverged"
        )
    return array
