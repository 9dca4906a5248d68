"""What recipes speak of: rows as they come, and a trained model beside its data."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn

from jaxae import data
from jaxae.metrics.arguments import constant_columns
from jaxae.result import Fit
from jaxae.types import Batch, Key, Variables

__all__ = [
    "PARTS",
    "Source",
    "Study",
    "comparable",
    "counted",
    "marked",
    "parsed",
    "process",
    "sweepable",
    "trains_itself",
    "usable",
]


PARTS = {"train": 0.7, "validation": 0.15, "test": 0.15}
"""The shares of the rows that train, choose the best epoch and member, and are judged at the end."""


class Source(NamedTuple):
    """Rows as they come, before anything is done to them.

    Attributes:
        values: (n, d) in the user's units: float64, or for images also uint8 or float32.
        columns: d names.
        labels: (n,) int, or None: groups, or for anomaly detection 0 for normal and other numbers for kinds of
            anomaly; no model sees them.
        notes: what was left out or filled in, in words.
        conditions: what the rows depend on, by name: n numbers or n words each; None where nothing is conditioned.
        parts: row numbers by part (`PARTS`, and where there is a part of its own to calibrate alarms, "calibration"),
            where the data bring a split of their own; None splits at random.
        stamps: n words that say when each row was, or none.
        stamp: the column that the stamps came from, or None.
        truth: what only made data know of themselves, for the figures: nothing is trained on it.
        filled: (n, d) bool, where a value was missing and filled in; None where none was.
        shape: (height, width, channels) of the image that each row is; None where rows are no images.
        full: the brightest value that a pixel can have, where the data say so.
        classes: names of the classes of images, whose places in it are the labels; empty where there are only numbers.
    """

    values: np.ndarray
    columns: tuple[str, ...]
    labels: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    conditions: Mapping[str, Any] | None = None
    parts: Mapping[str, np.ndarray] | None = None
    stamps: tuple[str, ...] = ()
    stamp: str | None = None
    truth: Any = None
    filled: np.ndarray | None = None
    shape: tuple[int, int, int] | None = None
    full: float | None = None
    classes: tuple[str, ...] = ()


class Bound:
    """A Linen module with its variables, each of whose methods is one program and not one for every operation in it.

    Args:
        model: the module, whose methods take arrays and whole numbers.
        variables: of it.
    """

    def __init__(self, model: nn.Module, variables: Variables) -> None:
        self._model = model
        self._variables = variables

    def __call__(self, *given: Any) -> Any:
        """Return what the module returns."""
        return self._called("__call__", *given)

    def __getattr__(self, name: str) -> Any:
        """Return a method of the module, or what else it has."""
        if callable(getattr(type(self._model), name, None)):
            return functools.partial(self._called, name)
        return getattr(self._model.bind(self._variables), name)

    def _called(self, name: str, *given: Any) -> Any:
        # A whole number is a shape.
        shapes = tuple((place, value) for place, value in enumerate(given) if isinstance(value, int))
        return _compiled(self._model, name, shapes)(
            self._variables, *(value for value in given if not isinstance(value, int))
        )


@functools.cache
def _compiled(model: nn.Module, name: str, shapes: tuple[tuple[int, int], ...]) -> Callable[..., Any]:
    """Return the compiled (variables, *arrays) -> what the method returns, with whole numbers in their places."""

    def called(variables: Variables, *arrays: Any) -> Any:
        given = list(arrays)
        for place, value in shapes:
            given.insert(place, value)
        return model.apply(variables, *given, method=name)

    return jax.jit(called)


def _hashable(model: nn.Module) -> bool:
    """Return whether programs can be kept by a module: not where it holds a list of layers, say."""
    try:
        hash(model)
    except TypeError:
        return False
    return True


class Study(NamedTuple):
    """A trained model beside its data: what a recipe's evaluation and pictures are made from.

    Attributes:
        settings: the recipe's settings.
        model: the module.
        variables: of the member at hand.
        train: (n, variables) float32 rows, scaled as the model sees them.
        validation: rows by which the best epoch and the best member were chosen.
        test: rows that nothing has seen but the final figures.
        labels: of the test rows, or None.
        scaling: from the user's columns and units to the model's, and back.
        fills: (2, d) mean and median of the training rows in the user's units, for values that are missing later.
        calibration: rows that alarms are calibrated on: a part of their own, or else those of `test`.
        conditions: between the user's conditions and the model's, or None.
        cond: by part, (n, width) float32 conditions as the model sees them; empty where nothing is conditioned.
        source: the rows as they came; none in a folder that is used later.
        parts: row numbers of the source by part.
        key: of draws that all members and controls share, such as noise on the held-out rows; None in a folder that is
            used later.
        judge: what the recipe's `judge` made of the data to evaluate every member by, or None.
    """

    settings: Any
    model: Any
    variables: Variables
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    labels: np.ndarray | None
    scaling: data.Scaling
    fills: np.ndarray = np.zeros((2, 0))
    calibration: np.ndarray = np.zeros((0, 0), np.float32)
    conditions: "data.Conditions | None" = None
    cond: Mapping[str, np.ndarray] = MappingProxyType({})
    source: Source = Source(np.zeros((0, 0)), ())
    parts: Mapping[str, np.ndarray] = MappingProxyType({})
    key: Any = None
    judge: Any = None

    @property
    def bound(self) -> Any:
        """The model with its variables; the methods of a Linen module are compiled."""
        hashable = isinstance(self.model, nn.Module) and _hashable(self.model)
        return Bound(self.model, self.variables) if hashable else self.model.bind(self.variables)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example: (variables,), or of images, which come as rows, (height, width, channels)."""
        return self.source.shape or (self.train.shape[1],)

    def batch(self, part: str) -> Batch:
        """Return the examples of a part with their conditions."""
        return Batch(getattr(self, part), self.cond.get(part))

    def labels_of(self, part: str) -> np.ndarray | None:
        """Return the labels of a part's rows, or None where there are none."""
        return None if self.source.labels is None else self.source.labels[self.parts[part]]


def comparable(real: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two tables without the columns that are constant in either, which have no spread to compare by.

    What varies among the rows that train may be constant among the few that are held out.

    Examples:
        >>> kept = comparable(np.array([[1.0, 5.0], [2.0, 5.0]]), np.array([[0.0, 1.0], [3.0, 2.0]]))
        >>> [rows.tolist() for rows in kept]
        [[[1.0], [2.0]], [[0.0], [3.0]]]
    """
    kept = ~(constant_columns(np.asarray(real, np.float64)) | constant_columns(np.asarray(other, np.float64)))
    return real[:, kept], other[:, kept]


def parsed(words: Sequence[str]) -> np.ndarray | tuple[str, ...]:
    """Return a column of a file as numbers where every word is one, else as the words that it holds."""
    try:
        return np.asarray([float(word) for word in words])
    except ValueError:
        return tuple(words)


def marked(name: str, words: Sequence[str]) -> np.ndarray:
    """Return which rows a column of labels marks as anomalies, (n,) int: 0 where it says 0, 1 where another number.

    Raises:
        ValueError: for an empty cell, a word that is no number, and where every row is marked.
    """
    for row, word in enumerate(words, 1):
        if word == "":
            raise ValueError(f"{name} has no value in row {row}: write 0 for normal rows and 1 for anomalies")
        try:
            float(word)
        except ValueError:
            raise ValueError(
                f"{name} must hold 0 for normal rows and another number for anomalies; row {row} holds {word!r}"
            ) from None
    found = (np.asarray([float(word) for word in words]) != 0).astype(int)
    if found.all():
        raise ValueError(f"{name} marks every row as an anomaly: 0 must stand for the normal ones")
    return found


def counted(name: str, marks: np.ndarray) -> str:
    """Return in words how many rows a column of labels marks."""
    return f"{int(marks.sum())} of {len(marks)} rows are anomalies by {name!r}, which no model sees"


def process(settings: Any, key: Key, *, rows: int | None = None) -> Source:
    """Return rows of the process in which two hidden factors drive every variable; its truth is the process."""
    made = data.process(key, rows=rows or settings.rows, variables=settings.variables)
    return Source(made.values, tuple(f"x{i}" for i in range(settings.variables)), truth=made)


def trains_itself(recipe: ModuleType) -> bool:
    """Return whether a recipe has a `fit` of its own in the place of a learner: an ensemble that is one model."""
    return hasattr(recipe, "fit")


def sweepable(recipe: ModuleType) -> list[str]:
    """Return the settings that can differ between the members of one population: the learner's keyword arguments.

    Of a recipe that trains by itself there are none.
    """
    if trains_itself(recipe):
        return []
    parameters = inspect.signature(recipe.learner).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def usable(recipe: ModuleType, fitted: Fit) -> Variables:
    """Return the variables to use: those of the best epoch, unless the recipe says otherwise."""
    return recipe.final(fitted) if hasattr(recipe, "final") else fitted.variables
