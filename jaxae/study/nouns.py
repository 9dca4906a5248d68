"""What recipes speak of: rows as they come, and a trained model beside its data."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxae import data, losses
from jaxae.learner import score
from jaxae.metrics.arguments import constant_columns
from jaxae.result import Fit
from jaxae.types import Batch, Key, Score, Variables

__all__ = [
    "PARTS",
    "Source",
    "Study",
    "comparable",
    "counted",
    "evidence",
    "marked",
    "parsed",
    "process",
    "sweepable",
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
        """The model with its variables."""
        return self.model.bind(self.variables)

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


@functools.cache
def _bounds(model: Any, nll: Callable[..., Any], draws: int) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """Return the compiled (variables, batch, key) -> both bounds, one program for all members of a population."""
    elbo = score(model, losses.elbo, nll=nll)
    tighter = score(model, losses.importance_weighted, nll=nll, samples=16)

    def mean(values: Score, variables: Variables, batch: Batch, keys: Key) -> jax.Array:
        return -jax.lax.map(lambda key: values(variables, batch, key).mean(), keys).mean()

    def both(variables: Variables, batch: Batch, key: Key) -> tuple[jax.Array, jax.Array]:
        first, second = jax.random.split(key)
        return (
            mean(elbo, variables, batch, jax.random.split(first, draws)),
            mean(tighter, variables, batch, jax.random.split(second, max(1, draws // 16))),
        )

    return jax.jit(both)


ROWS = 1000
"""Rows whose evidence is taken together, at most: bounds the memory."""


def evidence(
    study: Study, part: str, key: Key, nll: Callable[..., Any], *, most: int | None = None
) -> dict[str, float]:
    """Return the mean bounds on the log-likelihood of the rows of a part, in nats per row.

    Up to 1,000 rows, `elbo` averages 64 draws of every row's posterior, and `importance_weighted_bound` has 16 samples
    and averages 4 draws; of more rows, each needs fewer (at least 4 and 1) for the same certainty of the mean.

    Args:
        study: the trained model and its rows.
        part: "train", "validation" or "test".
        key: of the draws.
        nll: negative log-likelihood per example.
        most: only so many of the rows, the first.
    """
    batch = jax.tree.map(lambda leaf: leaf[:most], study.batch(part))
    n = len(batch.x)
    bounds = _bounds(study.model, nll, max(4, 64 * ROWS // max(n, ROWS)))
    totals = np.zeros(2)
    for first in range(0, n, ROWS):
        rows = jax.tree.map(lambda leaf, first=first: leaf[first : first + ROWS], batch)
        both = bounds(study.variables, rows, jax.random.fold_in(key, first))
        totals += np.asarray(both, np.float64) * len(rows.x)
    elbo, tighter = totals / n
    return {"elbo": float(elbo), "importance_weighted_bound": float(tighter)}


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


def sweepable(recipe: ModuleType) -> list[str]:
    """Return the settings that can differ between the members of one population: the learner's keyword arguments.

    Of a recipe that trains by itself there are none.
    """
    if hasattr(recipe, "fit"):
        return []
    parameters = inspect.signature(recipe.learner).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def usable(recipe: ModuleType, fitted: Fit) -> Variables:
    """Return the variables to use: those of the best epoch, unless the recipe says otherwise."""
    return recipe.final(fitted) if hasattr(recipe, "final") else fitted.variables
