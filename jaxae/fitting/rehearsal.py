"""A fit's first step on paper: what its parts refuse comes before anything is compiled or written."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxae.data import Shards
from jaxae.training import initialise
from jaxae.types import Array, Batch, Key, Learner, Score

__all__ = ["rehearse"]


def rehearse(
    model: Any,
    factory: Callable[..., Learner],
    hyper: Mapping[str, Array],
    data: Batch | Shards,
    validation: Batch | None,
    score: Score | None,
    *,
    key: Key,
    batch_size: int,
) -> None:
    """Take the first step, and score validation rows, with shapes for all arrays but the rows and hyperparameters.

    In the compiled program those two are traced, so nothing in it can see their values. Here a likelihood that is one
    of rows in [0, 1] sees the smallest and the largest number of the data, and a loss whose weight must be ≥ 0 the
    smallest and the largest weight of the population. Nothing is computed.

    Args:
        model: as for `fit`.
        factory: (**hyperparameters) -> Learner.
        hyper: {name: (members,)}, or {} for a single run.
        data: training rows.
        validation: held-out rows, or None.
        score: what judges them, or None.
        key: of the fit.
        batch_size: rows per step.

    Raises:
        TypeError, ValueError: whatever model, loss, learner or score refuse.
    """
    columns = {name: np.asarray(column) for name, column in hyper.items()}
    if isinstance(data, Shards):
        # Only their first rows: to find the others would take a pass over the disk.
        data = _first_rows(data, 2)
    batch = _extremes(data, batch_size)
    held_out = None if validation is None else _extremes(validation, 2)

    def first_step(key: Key, learner: Learner) -> Any:
        key, step_key, score_key = jax.random.split(key, 3)
        state, _ = initialise(model, learner, data, key)
        scored = None if score is None or held_out is None else score(state.variables, held_out, score_key)
        return learner.step(state.variables, state.opt_state, batch, step_key), scored

    for member in _members(columns):
        learner = factory(**{name: column[member] for name, column in columns.items()})
        jax.eval_shape(lambda key, learner=learner: first_step(key, learner), key)


def _first_rows(data: Shards, count: int) -> Batch:
    rows = np.arange(min(count, len(data.x)))
    return Batch(data.x.take(rows), None if data.cond is None else data.cond.take(rows))


def _extremes(batch: Batch, count: int) -> Batch:
    """Return so many rows, among them those with the smallest and the largest number of x: two, where there are two."""
    x = np.asarray(batch.x)
    flat = x.reshape(len(x), -1)
    rows = np.arange(min(max(count, 2), len(x)))
    rows[:2] = (flat.min(1).argmin(), flat.max(1).argmax())[: len(rows)]
    return jax.tree.map(lambda array: jnp.asarray(np.asarray(array)[rows]), batch)


def _members(columns: Mapping[str, np.ndarray]) -> list[int]:
    """Return few members among whom every hyperparameter has its smallest and its largest value."""
    if not columns:
        return [0]
    extreme = np.stack([part == end for part in columns.values() for end in (part.min(), part.max())])
    chosen: list[int] = []
    while len(extreme):
        # Of a grid, its first and its last corner have them all.
        chosen.append(int(extreme.sum(0).argmax()))
        extreme = extreme[~extreme[:, chosen[-1]]]
    return chosen
