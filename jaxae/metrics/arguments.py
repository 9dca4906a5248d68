"""The arguments of a metric as float64 arrays, or an error that says what to give instead."""

import operator
from typing import SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [  # noqa: RUF022 (reading order)
    "finite",
    "positive",
    "integer",
    "same_shape",
    "binary",
    "tables",
    "constant_columns",
    "refuse_constant_columns",
]

Floats = NDArray[np.float64]


def finite(name: str, value: ArrayLike) -> Floats:
    """Return `value` as a float64 array that is not empty and holds finite real numbers only."""
    array = np.asarray(value)
    if not np.can_cast(array.dtype, np.float64, "same_kind"):
        raise TypeError(f"{name} has dtype {array.dtype}; give real numbers: an array of floats, integers or booleans.")
    if array.size == 0:
        raise ValueError(f"{name} is empty, shape {array.shape}; give at least one value.")
    array = array.astype(np.float64, copy=False)
    bad = int(np.count_nonzero(~np.isfinite(array)))
    if bad:
        raise ValueError(f"{name} has {bad} NaN or infinite values of {array.size}; drop or fill them first.")
    return array


def positive(name: str, value: ArrayLike) -> float:
    """Return `value` as one float above zero."""
    array = finite(name, value)
    if array.ndim or array <= 0:
        raise ValueError(f"{name} is {value!r}; give one number above 0.")
    return float(array)


def integer(name: str, value: SupportsIndex, allowed: range) -> int:
    """Return `value` as an int of the range `allowed`."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} is {value!r} of type {type(value).__name__}; give an integer.")
    number = operator.index(value)
    if number not in allowed:
        kind = "an odd integer" if allowed.step == 2 else "an integer"
        raise ValueError(f"{name} is {number}; give {kind} from {allowed[0]} to {allowed[-1]}.")
    return number


def same_shape(**arguments: ArrayLike) -> tuple[Floats, ...]:
    """Return the arguments, given by name, as finite arrays of one shape."""
    arrays = {name: finite(name, value) for name, value in arguments.items()}
    if len({array.shape for array in arrays.values()}) > 1:
        given = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"The shapes differ: {given}; give arrays of one shape, nothing is broadcast.")
    return tuple(arrays.values())


def binary(name: str, value: Floats) -> NDArray[np.bool_]:
    """Return `value`, a vector of zeros and ones, as booleans."""
    if value.ndim != 1:
        raise ValueError(f"{name} has shape {value.shape}; give a vector (n,), for example {name}.ravel().")
    other = np.setdiff1d(value, [0.0, 1.0])
    if other.size:
        raise ValueError(
            f"{name} holds {other[0]:g}; allowed are 0 (normal) and 1 (anomaly). "
            f"Compare first: {name} == -1 for scikit-learn's outlier labels, {name} > threshold for scores."
        )
    return value.astype(bool)


def tables(real: ArrayLike, generated: ArrayLike, rows: int) -> tuple[Floats, Floats]:
    """Return two tables of as many columns, each of at least `rows` rows."""
    given = {"real": finite("real", real), "generated": finite("generated", generated)}
    for name, table in given.items():
        if table.ndim != 2:
            raise ValueError(
                f"{name} has shape {table.shape}; give a table (n, d): "
                f"{name}.reshape(-1, 1) for one column, {name}.reshape(len({name}), -1) for images."
            )
        if len(table) < rows:
            raise ValueError(f"{name} has {len(table)} rows; give at least {rows}.")
    if given["real"].shape[1] != given["generated"].shape[1]:
        raise ValueError(
            f"real has {given['real'].shape[1]} columns, generated has {given['generated'].shape[1]}; "
            "give the same columns in the same order."
        )
    return given["real"], given["generated"]


def constant_columns(table: Floats) -> NDArray[np.bool_]:
    """Return which columns of `table` do not vary."""
    # np.ptp as well: the mean of equal values may miss them by a rounding, which leaves a std above 0.
    return (np.ptp(table, axis=0) == 0) | (table.std(axis=0) == 0)


def refuse_constant_columns(name: str, table: Floats) -> None:
    """Raise a ValueError that names the columns of `table` which do not vary."""
    constant = np.flatnonzero(constant_columns(table))
    if constant.size:
        raise ValueError(
            f"{name} is constant in columns {constant.tolist()}, which have no spread to measure by; "
            f"drop these columns from both tables, for example with np.delete(table, {constant.tolist()}, axis=1)."
        )
