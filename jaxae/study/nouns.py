"""What recipes speak of: rows as they come, and a trained model beside its data."""

import functools
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxae import data, losses
from jaxae.learner import score
from jaxae.result import Fit
from jaxae.types import Batch, Key, Score, Variables

__all__ = ["Source", "Study", "evidence", "sweepable", "usable"]


class Source(NamedTuple):
    """Rows as they come, before anything is done to them.

    Attributes:
        values: (n, d) float64 in the user's units.
        columns: d names.
        labels: (n,) int for colouring pictures, or None; no model sees them.
        notes: what was left out or filled in, in words.
    """

    values: np.ndarray
    columns: tuple[str, ...]
    labels: np.ndarray | None = None
    notes: tuple[str, ...] = ()


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

    @property
    def bound(self) -> Any:
        """The model with its variables."""
        return self.model.bind(self.variables)


@functools.cache
def _bounds(model: Any, nll: Callable[..., Any]) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """Return the compiled (variables, x, key) -> both bounds, one program for all members of a population."""
    elbo = score(model, losses.elbo, nll=nll)
    tighter = score(model, losses.importance_weighted, nll=nll, samples=16)

    def mean(values: Score, variables: Variables, x: jax.Array, keys: Key) -> jax.Array:
        return -jax.lax.map(lambda key: values(variables, Batch(x), key).mean(), keys).mean()

    def both(variables: Variables, x: jax.Array, key: Key) -> tuple[jax.Array, jax.Array]:
        first, second = jax.random.split(key)
        return (
            mean(elbo, variables, x, jax.random.split(first, 64)),
            mean(tighter, variables, x, jax.random.split(second, 4)),
        )

    return jax.jit(both)


def evidence(study: Study, rows: np.ndarray, key: Key, nll: Callable[..., Any]) -> dict[str, float]:
    """Return the mean bounds on the log-likelihood of rows (n, variables), in nats per row.

    `elbo` averages 64 draws of every row's posterior; `importance_weighted_bound` has 16 samples and averages 4 draws.
    """
    elbo, tighter = _bounds(study.model, nll)(study.variables, rows, key)
    return {"elbo": float(elbo), "importance_weighted_bound": float(tighter)}


def sweepable(recipe: ModuleType) -> list[str]:
    """Return the settings that can differ between the members of one population: the learner's keyword arguments."""
    parameters = inspect.signature(recipe.learner).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def usable(recipe: ModuleType, fitted: Fit) -> Variables:
    """Return the variables to use: those of the best epoch, unless the recipe says otherwise."""
    return recipe.final(fitted) if hasattr(recipe, "final") else fitted.variables
