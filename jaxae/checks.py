"""Refusals: each function returns nothing, or raises an error that says what was given, what is allowed, what to do.

Values are checked where they are known. A traced value (a hyperparameter of a population) passes here and is checked
by whoever made it concrete. Importing this file does not import JAX: the command line's help must answer at once.
"""

import math
import operator
import os
import typing
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Any

import numpy as np

__all__ = [
    "batch",
    "finite",
    "finite_floats",
    "floats",
    "fraction",
    "function",
    "is_key",
    "known",
    "loss_arguments",
    "nearest",
    "not_finite",
    "not_negative",
    "path",
    "positive",
    "rows",
    "same_shape",
    "settings",
    "several",
    "typed_key",
    "whole",
    "within",
]


ROUNDING = 1e-5
"""What a value may be outside its range: scaling in float32, and resizing pixels, carry some a little past the end."""


def is_key(leaf: Any) -> bool:
    """Return whether an array, or the description of one, holds typed keys."""
    from jax.dtypes import issubdtype, prng_key

    return hasattr(leaf, "dtype") and bool(issubdtype(leaf.dtype, prng_key))


def typed_key(key: Any, shape: tuple[int, ...] = ()) -> None:
    """Refuse anything but a typed key (or keys) of the given shape.

    Raises:
        TypeError: for a legacy `uint32` key, an integer, or any other thing.
        ValueError: for typed keys of another shape.
    """
    if not is_key(key):
        dtype = getattr(key, "dtype", None)
        given = "a legacy uint32 key" if dtype == np.uint32 else f"{type(key).__name__} {str(key)[:40]}"
        raise TypeError(f"key is {given}, but must be a typed key: write jax.random.key(0)")
    if key.shape != shape:
        raise ValueError(f"key has shape {key.shape}, but must have {shape}: jax.random.split(key, n) makes n keys")


def whole(name: str, value: Any, *, low: int = 1, high: int | None = None, why: str = "") -> None:
    """Refuse anything but a whole number from `low` to `high`.

    A size that an exported program leaves open passes.

    Raises:
        TypeError: for a value that is no whole number (a bool is none).
        ValueError: for one out of range.
    """
    allowed = f"a whole number ≥ {low}" if high is None else f"a whole number from {low} to {high}"
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None and _open(value):
        return
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, but must be {allowed}{why}")
    if number < low or (high is not None and number > high):
        raise ValueError(f"{name} is {number}, but must be {allowed}{why}")


def _open(value: Any) -> bool:
    from jax.export import is_symbolic_dim

    return is_symbolic_dim(value)


def fraction(name: str, value: Any, *, open_ends: bool = False) -> None:
    """Refuse a number (or an array with one) outside [0, 1], or outside (0, 1) with `open_ends`.

    Raises:
        TypeError: for what is no number.
        ValueError: naming the value; one between 1 and 100 is answered with the fraction that was likely meant.
    """
    for number in _numbers(name, value, "a fraction between 0 and 1" if open_ends else "a fraction from 0 to 1"):
        if 0 < number < 1 if open_ends else 0 <= number <= 1:
            continue
        meant = f": write {number / 100:g} for {number:g} %" if 1 < number <= 100 else ""
        raise ValueError(
            f"{name} is {number:g}, but must be a fraction {'between' if open_ends else 'from'} 0 "
            f"{'and' if open_ends else 'to'} 1{meant}"
        )


def positive(name: str, value: Any) -> None:
    """Refuse a number (or an array with one) that is not finite and > 0.

    Raises:
        TypeError: for what is no number.
        ValueError: naming the value.
    """
    for number in _numbers(name, value, "a finite number > 0"):
        if not (math.isfinite(number) and number > 0):
            raise ValueError(f"{name} is {number:g}, but must be a finite number > 0")


def not_negative(name: str, value: Any) -> None:
    """Refuse a number (or an array with one) that is not finite and ≥ 0.

    Raises:
        TypeError: for what is no number.
        ValueError: naming the value.
    """
    for number in _numbers(name, value, "a finite number ≥ 0"):
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(f"{name} is {number:g}, but must be a finite number ≥ 0")


def finite(name: str, value: Any) -> None:
    """Refuse a number (or an array with one) that is not finite.

    Raises:
        TypeError: for what is no number.
        ValueError: naming the value.
    """
    for number in _numbers(name, value, "a finite number"):
        if not math.isfinite(number):
            raise ValueError(f"{name} is {number:g}, but must be a finite number")


def _numbers(name: str, value: Any, allowed: str) -> list[float]:
    """Return the numbers of a value that is known, or none of a traced one."""
    if _traced(value):
        return []
    # What is no array is no factor of one either: a list times an array is an error of its own.
    array = np.asarray(None if isinstance(value, list | tuple) or is_key(value) else value)
    if array.dtype.kind in "OSUcMm":
        raise TypeError(f"{name} is {' '.join(repr(value).split()):.60}, but must be {allowed}")
    return array.astype(float).ravel().tolist()


def _traced(value: Any) -> bool:
    from jax.core import Tracer

    return isinstance(value, Tracer)


def floats(name: str, array: Any) -> None:
    """Refuse an array that holds no floats: its dtype alone is looked at.

    Raises:
        TypeError: for integers and anything else that is no array of floats.
    """
    from jax.dtypes import issubdtype

    dtype = getattr(array, "dtype", None)
    if dtype is None:
        raise TypeError(
            f"{name} is {type(array).__name__}, but must be an array of floats: np.asarray({name}, np.float32)"
        )
    if not issubdtype(dtype, np.floating):
        raise TypeError(
            f"{name} holds {dtype}, but must hold floats: write {name}.astype(np.float32), and scale pixels to 0…1"
        )


def within(name: str, array: Any, low: float, high: float, advice: str) -> None:
    """Refuse an array with values outside low…high, where they are known; what rounding adds at the ends passes.

    Raises:
        ValueError: naming one of the values.
    """
    if _traced(array) or not np.size(array) or not getattr(array, "is_fully_addressable", True):
        return
    values = np.asarray(array)
    for value in (float(values.min()), float(values.max())):
        if not low - ROUNDING <= value <= high + ROUNDING:
            allowed = f"lie in {low:g}…{high:g}" if math.isfinite(high) else f"be ≥ {low:g}"
            raise ValueError(f"{name} holds {value:g}, but must {allowed}: {advice}")


def function(name: str, value: Any, example: str) -> None:
    """Refuse what cannot be called.

    Raises:
        TypeError: naming the value, with an example of what is allowed.
    """
    if not callable(value):
        raise TypeError(f"{name} is {value!r:.60}, but must be a function: {example}")


def path(name: str, value: Any) -> None:
    """Refuse what names no place on disk.

    Raises:
        TypeError: for anything but words and `os.PathLike`.
    """
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f'{name} is {value!r:.60}, but must be a path: "folder/name", or a pathlib.Path')


def several(name: str, value: Any, what: str) -> None:
    """Refuse what does not hold several things: a word holds letters alone.

    Raises:
        TypeError: naming the value.
    """
    if isinstance(value, str) or not isinstance(value, Collection):
        raise TypeError(f"{name} is {value!r:.60}, but must be {what}, in a list or tuple")


def rows(name: str, array: Any) -> None:
    """Refuse what is no array (n, ...).

    Raises:
        TypeError: for what is no array.
        ValueError: for a single number.
    """
    shape, word = getattr(array, "shape", None), name.split()[0]
    if shape is None:
        raise TypeError(f"{name} is {type(array).__name__}, but must be an array (n, ...): np.asarray({word})")
    if not shape:
        raise ValueError(f"{name} is a single number, but must be (n, ...): {word}[None] for one example")


def finite_floats(name: str, array: np.ndarray) -> None:
    """Refuse data (n, ...) that are no floats, or not finite in the precision that JAX keeps them in.

    Raises:
        TypeError: for integers and anything else that is no float.
        ValueError: naming the first row and column that is not finite.
    """
    import jax

    floats(name, array)
    kept_as = jax.dtypes.canonicalize_dtype(array.dtype)
    place = not_finite(array, kept_as)
    if place is not None:
        row, *column = place
        at = f" and column {', '.join(map(str, column))}" if column else ""
        count = (~_finite(array, kept_as)).sum()
        raise ValueError(
            f"{name} holds {array[place]} in row {row}{at} (counted from 0), and {count} values in all that are no "
            f"finite {kept_as.name}: fill them in or leave those rows out"
        )


def not_finite(array: np.ndarray, kept_as: Any) -> tuple[int, ...] | None:
    """Return where the first float that is not finite in a dtype lies, or None where all are."""
    finite = _finite(array, kept_as)
    return None if finite.all() else tuple(np.argwhere(~finite)[0].tolist())


def _finite(array: np.ndarray, kept_as: Any) -> np.ndarray:
    import jax.numpy as jnp

    return np.abs(array) <= jnp.finfo(kept_as).max


def batch(name: str, value: Any) -> None:
    """Refuse what has no x and cond.

    Raises:
        TypeError: naming what was given.
    """
    if not (hasattr(value, "x") and hasattr(value, "cond")):
        raise TypeError(f"{name} is {type(value).__name__}, but must be a Batch: write Batch(x)")


def loss_arguments(model: Any, data: Any, key: Any, *methods: str) -> None:
    """Refuse what no loss can be taken of.

    Args:
        model: must have these methods.
        data: the batch, which must have x (n, ...), and cond (n, ...) or None.
        key: must be a typed key, or None.
        methods: their names.

    Raises:
        TypeError: naming what is missing.
        ValueError: for a batch without rows, or with another number of conditions, and a key of another shape.
    """
    batch("batch", data)
    rows("x of batch", data.x)
    if data.x.shape[0] == 0:
        raise ValueError("batch has no rows, and of none there is no loss: give at least one")
    if data.cond is not None:
        rows("cond of batch", data.cond)
        same_shape("cond of batch", data.cond.shape[:1], "x", data.x.shape[:1])
    for name in methods:
        if not callable(getattr(model, name, None)):
            raise TypeError(
                f"model is {type(model).__name__}, which has no {name}, but this loss needs {' and '.join(methods)}: "
                "take a model of another family, or a loss for this one"
            )
    if key is not None:
        typed_key(key)


def same_shape(name: str, shape: tuple[int, ...], other: str, expected: tuple[int, ...]) -> None:
    """Refuse two arrays of different shapes, which would otherwise broadcast.

    Raises:
        ValueError: with both shapes.
    """
    if shape != expected:
        raise ValueError(f"{name} has shape {shape}, but {other} has {expected}: the two must be equal")


def nearest(given: str, allowed: Iterable[str]) -> list[str]:
    """Return `allowed` with the names most like `given` first, the others after them in their order."""
    names = list(allowed)
    close = get_close_matches(given, names, n=3, cutoff=0.5)
    return close + [name for name in names if name not in close]


def known(kind: str, given: Iterable[str], allowed: Iterable[str], where: str = "") -> None:
    """Refuse a name that does not exist.

    Raises:
        ValueError: with the names that do exist, nearest first.
    """
    names = list(allowed)
    for name in given:
        if name not in names:
            exist = ", ".join(nearest(str(name), names)) or "none"
            raise ValueError(f"there is no {kind} {name!r}{where}; there is: {exist}")


def settings(
    given: Any,
    *,
    above_0: Collection[str] = ("learning_rate",),
    below_1: Collection[str] = (),
    from_0: Collection[str] = (),
) -> None:
    """Refuse impossible values in a dataclass of settings, by the type that each field is declared with.

    Whole numbers, and those of a tuple, must be ≥ 1; other numbers finite and ≥ 0; a word one of those that its
    `Literal` lists. What may be None is checked where it is not.

    Args:
        given: the dataclass.
        above_0: numbers that must be > 0.
        below_1: numbers that must be from 0 up to but not including 1.
        from_0: whole numbers that may be 0.

    Raises:
        TypeError, ValueError: naming the setting, its value and what is allowed.
    """
    for name, kind in typing.get_type_hints(type(given)).items():
        value = getattr(given, name)
        kinds = typing.get_args(kind)
        if typing.get_origin(kind) is typing.Literal:
            if value not in kinds:
                raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(nearest(str(value), kinds))}")
        elif value is None and type(None) in kinds:
            continue
        elif typing.get_origin(kind) is tuple:
            for one in value:
                _setting(name, kinds[0], one, above_0, below_1, from_0)
        else:
            _setting(name, kinds[0] if kinds else kind, value, above_0, below_1, from_0)


def _setting(
    name: str, kind: Any, value: Any, above_0: Collection[str], below_1: Collection[str], from_0: Collection[str]
) -> None:
    if kind is int:
        whole(name, value, low=0 if name in from_0 else 1)
    elif kind is float and name in above_0:
        positive(name, value)
    elif kind is float:
        not_negative(name, value)
    if kind is float and name in below_1:
        fraction(name, value)
        if value == 1:
            raise ValueError(f"{name} is 1, but must be below 1")
