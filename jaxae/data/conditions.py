"""Conditions: between columns of numbers and words, and what a conditional model sees of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxae import checks
from jaxae.data.formats import is_number, listed

__all__ = ["Conditions", "conditions"]

MOST_LEVELS = 100
"""Words that a one-hot condition may have: each is a column of every layer that sees it."""


class Conditions(NamedTuple):
    """Any mix of continuous conditions, scaled to 0…1 over the training rows, and one-hot ones.

    Attributes:
        names: Of the condition columns.
        levels: Of each, the words it may be, or None for a continuous one.
        low: Of each, the smallest training value; 0 for words.
        high: Of each, the largest training value; 1 for words.
    """

    names: tuple[str, ...]
    levels: tuple[tuple[str, ...] | None, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def width(self) -> int:
        """How many numbers the model sees of one row's conditions."""
        return sum(1 if words is None else len(words) for words in self.levels)

    def apply(self, columns: Mapping[str, Any]) -> np.ndarray:
        """Return what the model sees, (n, width) float32.

        Args:
            columns: By name, n numbers or words each. Values outside the training range go beyond 0…1.

        Raises:
            TypeError: The columns have no names.
            ValueError: A condition is missing, the columns differ in length, a value is no finite number, or a word is
                none that was trained on.

        Example:
            >>> known = conditions({"t": [300.0, 500.0], "site": ["north", "south"]})
            >>> known.apply({"t": [400.0], "site": ["south"]}).tolist()
            [[0.5, 0.0, 1.0]]
        """
        if not isinstance(columns, Mapping):
            raise TypeError(f"columns is {type(columns).__name__}, but must be values by name, of {listed(self.names)}")
        missing = [name for name in self.names if name not in columns]
        if missing:
            raise ValueError(f"a value for {listed(missing)} is missing: the conditions are {listed(self.names)}")
        lengths = {name: len(columns[name]) for name in self.names}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the conditions have different lengths: {lengths}")
        parts = [
            (_numbers(name, columns[name])[:, None] - low) / (high - low)
            if words is None
            else _one_hot(name, words, columns[name])
            for name, words, low, high in zip(self.names, self.levels, self.low, self.high, strict=True)
        ]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def parsed(self, text: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Return the conditions of a file's words: numbers where they are continuous, else the words themselves.

        Example:
            >>> conditions({"t": [3.0, 5.0], "site": ["01", "02"]}).parsed({"t": ["4"], "site": ["01"]})
            {'t': array([4.]), 'site': ['01']}
        """
        found: dict[str, Any] = {}
        for name, words in zip(self.names, self.levels, strict=True):
            cells = list(text[name])
            # A level of numbers can be written in several ways.
            found[name] = (
                _numbers(name, cells)
                if words is None
                else [cell if cell in words or not is_number(cell) else _shortest(float(cell)) for cell in cells]
            )
        return found

    def described(self) -> list[str]:
        """Return in words what each condition can be.

        Example:
            >>> conditions({"t": [300.0, 500.0], "site": ["a", "b"]}).described()
            ["conditioned on 't', a number, 300 to 500 in training", "conditioned on 'site', one of 'a', 'b'"]
        """
        return [
            f"conditioned on {name!r}, a number, {low:g} to {high:g} in training"
            if words is None
            else f"conditioned on {name!r}, one of {listed(words)}"
            for name, words, low, high in zip(self.names, self.levels, self.low, self.high, strict=True)
        ]

    def outside(self, columns: Mapping[str, Any]) -> list[str]:
        """Return in words which continuous conditions leave the range of the training rows."""
        found = []
        for name, words, low, high in zip(self.names, self.levels, self.low, self.high, strict=True):
            if words is None and name in columns:
                values = _numbers(name, columns[name])
                beyond = np.unique(values[(values < low) | (values > high)])
                if beyond.size:
                    found.append(
                        f"{name} {', '.join(f'{value:g}' for value in beyond[:3])}{' …' if beyond.size > 3 else ''} is "
                        f"outside {low:g} to {high:g}, the range that the model was trained on: doubt what it gives "
                        "there"
                    )
        return found

    def product(self, given: Mapping[str, Sequence[str]]) -> dict[str, list[Any]]:
        """Return columns with every combination of the given words, the first condition varying slowest.

        Args:
            given: By name, words as on a command line.

        Raises:
            ValueError: A name is no condition, a condition is missing, or a word is no number where one is needed.

        Example:
            >>> conditions({"t": [300.0, 500.0]}).product({"t": ["400", "380"]})
            {'t': [400.0, 380.0]}
        """
        checks.known("condition", given, self.names)
        missing = [name for name in self.names if name not in given]
        if missing:
            raise ValueError(f"give a value for {listed(missing)}: the model is conditioned on {listed(self.names)}")
        axes = [
            _numbers(name, given[name]).tolist() if words is None else list(given[name])
            for name, words in zip(self.names, self.levels, strict=True)
        ]
        rows = list(itertools.product(*axes))
        return {name: [row[place] for row in rows] for place, name in enumerate(self.names)}

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON knows them."""
        return {name: list(value) for name, value in self._asdict().items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Conditions:
        """Return the conditions that `to_json` gave."""
        levels = tuple(None if words is None else tuple(words) for words in content["levels"])
        return cls(tuple(content["names"]), levels, tuple(content["low"]), tuple(content["high"]))


def conditions(columns: Mapping[str, Any], *, one_hot: Sequence[str] = ()) -> Conditions:
    """Return the conditions that training rows have: columns of numbers are continuous, columns of words one-hot.

    Args:
        columns: By name, n numbers or words each.
        one_hot: Columns of numbers that are names of groups.

    Raises:
        TypeError: The columns have no names, or `one_hot` holds none.
        ValueError: Without columns, for a name in `one_hot` that none of them has, or for a column that does not vary,
            has an empty word, more than 100 words or a number that is not finite.

    Example:
        >>> conditions({"digit": [3.0, 1.0, 3.0]}, one_hot=["digit"]).levels
        (('1', '3'),)
    """
    if not isinstance(columns, Mapping):
        raise TypeError(f"columns is {type(columns).__name__}, but must be values by name: {{'site': [...]}}")
    if not columns:
        raise ValueError("there is no condition: name at least one column")
    checks.several("one_hot", one_hot, "names of columns")
    checks.known("condition", one_hot, columns, " for one_hot")
    levels: list[tuple[str, ...] | None] = []
    low, high = [], []
    for name, column in columns.items():
        numeric = np.asarray(column).dtype.kind in "biuf"
        if numeric and name not in one_hot:
            values = _numbers(name, column)
            if values.min() == values.max():
                raise ValueError(f"condition {name!r} is {values[0]:g} in every row, so nothing can depend on it")
            levels.append(None)
            low.append(float(values.min()))
            high.append(float(values.max()))
            continue
        words = [_shortest(value) for value in column]
        found = sorted(set(words), key=float) if numeric else sorted(set(words))
        if "" in found:
            raise ValueError(
                f"condition {name!r} is empty in row {words.index('') + 1}: fill it in or leave the row out"
            )
        if not 2 <= len(found) <= MOST_LEVELS:
            raise ValueError(
                f"condition {name!r} has {len(found)} different words; 2 to {MOST_LEVELS} can be told apart"
            )
        levels.append(tuple(found))
        low.append(0.0)
        high.append(1.0)
    return Conditions(tuple(columns), tuple(levels), tuple(low), tuple(high))


def _shortest(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    return repr(int(value)) if float(value).is_integer() else repr(float(value))


def _numbers(name: str, column: Any) -> np.ndarray:
    try:
        values = np.asarray(column).astype(np.float64)
    except ValueError:
        words = [str(word) for word in column]
        bad = next(word for word in words if not is_number(word))
        raise ValueError(f"{name} is {bad!r}, but must be a number") from None
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"{name} must be n finite numbers; got {listed([str(value) for value in values.ravel()], 5)}")
    return values


def _one_hot(name: str, words: tuple[str, ...], column: Any) -> np.ndarray:
    given = [_shortest(value) for value in column]
    for word in given:
        if word not in words:
            raise ValueError(
                f"{name} is {word!r}, but the model knows {listed(checks.nearest(word, words))}, the words of its "
                "training rows"
            )
    places = {word: place for place, word in enumerate(words)}
    return np.eye(len(words))[[places[word] for word in given]]
