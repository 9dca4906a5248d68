"""How likely a study's rows are to its variational model: bounds, since the likelihood itself is an integral."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxae import losses, report
from jaxae.learner import score
from jaxae.study.nouns import Study
from jaxae.types import Batch, Key, Variables

__all__ = ["evidence", "gap", "lower_bound"]

ROWS = 1000
"""Rows whose evidence is taken together, at most: bounds the memory."""
DRAWS = 64
"""Of every row's posterior, where there are up to `ROWS` rows; of more rows, each needs fewer."""
SAMPLES = 16
"""In the tighter bound, which is drawn one in so many times as often."""


def evidence(study: Study, part: str, key: Key, nll: Callable[..., Any]) -> dict[str, float]:
    """Return the mean bounds on the log-likelihood of the rows of a part, in nats per row.

    Up to 1,000 rows, `elbo` averages 64 draws of every row's posterior, and `importance_weighted_bound` has 16 samples
    and averages 4 draws; of more rows, each needs fewer (at least 4 and 1) for the same certainty of the mean.

    Args:
        study: the trained model and its rows.
        part: "train", "validation" or "test".
        key: of the draws.
        nll: negative log-likelihood per example.
    """
    first, second = jax.random.split(key)
    return {
        "elbo": lower_bound(study, part, first, nll),
        "importance_weighted_bound": lower_bound(study, part, second, nll, samples=SAMPLES),
    }


def lower_bound(
    study: Study, part: str, key: Key, nll: Callable[..., Any], *, samples: int = 1, most: int | None = None
) -> float:
    """Return one of the two bounds of `evidence`: of one sample the evidence lower bound, else the importance weighted.

    Args:
        study: the trained model and its rows.
        part: "train", "validation" or "test".
        key: of the draws.
        nll: negative log-likelihood per example.
        samples: of every draw.
        most: only so many of the rows, the first.
    """
    batch = study.batch(part)
    n = min(len(batch.x), most or len(batch.x))
    # Parts of about the same size share a program; the last row stands in for those that there are not.
    size = min(ROWS, 1 << (n - 1).bit_length())
    draws = max(4 if samples == 1 else 1, DRAWS * ROWS // max(n, ROWS) // samples)
    bound = _bound(study.model, nll, samples)
    total = 0.0
    for first in range(0, n, size):
        rows = np.minimum(np.arange(first, first + size), n - 1)
        own: Batch = jax.tree.map(lambda leaf, rows=rows: leaf[rows], batch)
        values = bound(study.variables, own, jax.random.split(jax.random.fold_in(key, first), draws))
        total += float(np.asarray(values[: n - first], np.float64).sum())
    return total / n


def gap(study: Study, key: Key, nll: Callable[..., Any]) -> report.Check:
    """Return whether rows that were seen are as likely as those of the validation part, of up to 2,000 of each."""
    # The same draws for both, so that only the rows differ.
    own = jax.random.fold_in(key, 0)
    seen, held_out = (-lower_bound(study, part, own, nll, most=2000) for part in ("train", "validation"))
    return report.checks.generalisation_gap(seen, held_out, name="negative evidence lower bound")


@functools.cache
def _bound(model: Any, nll: Callable[..., Any], samples: int) -> Callable[..., jax.Array]:
    """Return the compiled (variables, batch, keys) -> (n,) bound, one program for all members of a population."""
    # Samples are drawn one after another: a decoder is compiled once, and its memory is that of one.
    loss = score(model, losses.elbo, nll=nll)
    weigh = score(model, losses.importance_weighted, nll=nll, samples=1)

    def drawn(variables: Variables, batch: Batch, key: Key) -> jax.Array:
        if samples == 1:
            return -loss(variables, batch, key)
        weights = jax.lax.map(lambda key: -weigh(variables, batch, key), jax.random.split(key, samples))
        return jax.nn.logsumexp(weights, axis=0) - math.log(samples)

    def mean(variables: Variables, batch: Batch, keys: Key) -> jax.Array:
        return jax.lax.map(lambda key: drawn(variables, batch, key), keys).mean(0)

    return jax.jit(mean)
