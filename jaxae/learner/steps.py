"""What the metrics of many steps come to, where learners may have skipped some of them."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from jaxae.types import Array, Metrics

__all__ = ["ENDED", "RESERVED", "SKIPPED", "flagged", "losses", "means", "over_epoch", "spoilt_losses"]

SKIPPED = "skipped"
"""The metric of a step that `skip_nonfinite` undid: 1, else 0. It speaks of all metrics beside it."""
ENDED = "ended"
"""The metric of a step from which on every further one is undone: 1, else 0."""
RESERVED = ("loss", SKIPPED, ENDED)
"""Names that a loss may not give its own metrics."""


def _named(metrics: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the metrics of that name, those of a chain's learners too."""
    return {found: values for found, values in metrics.items() if found == name or found.endswith(f"/{name}")}


def losses(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the losses among metrics, of every learner of a chain.

    Examples:
        >>> sorted(losses({"a/loss": 1.0, "a/kl": 2.0, "b/loss": 3.0}))
        ['a/loss', 'b/loss']
    """
    return _named(metrics, "loss")


def flagged(metrics: Metrics, name: str) -> Array:
    """Return (steps,) whether any metric of that name, `SKIPPED` or `ENDED`, is set; (1,) False where there is none."""
    found = [values > 0 for values in _named(metrics, name).values()]
    return jnp.stack(found).any(0) if found else jnp.zeros(1, bool)


def _taken(metrics: Metrics, name: str) -> Array | None:
    """Return which share of the steps behind a metric were taken; None where no learner can skip any."""
    share = None
    for other, skipped in _named(metrics, SKIPPED).items():
        if name.startswith(other.removesuffix(SKIPPED)):
            share = 1 - skipped if share is None else share * (1 - skipped)
    return share


def spoilt_losses(metrics: Metrics) -> Array:
    """Return (steps,) whether a loss of a step that was taken is not finite; (1,) False where there are no losses."""
    found = []
    for name, values in losses(metrics).items():
        share = _taken(metrics, name)
        found.append(~jnp.isfinite(values) if share is None else ~jnp.isfinite(values) & (share > 0))
    return jnp.stack(found).any(0) if found else jnp.zeros(1, bool)


def means(metrics: Metrics) -> Metrics:
    """Return the means of metrics (steps,) over the steps that were taken; NaN where every one was skipped.

    Examples:
        >>> import jax.numpy as jnp
        >>> metrics = means({"loss": jnp.array([1.0, jnp.nan, 3.0]), "skipped": jnp.array([0.0, 1.0, 0.0])})
        >>> float(metrics["loss"]), round(float(metrics["skipped"]), 4)
        (2.0, 0.3333)
    """
    flags = {*_named(metrics, SKIPPED), *_named(metrics, ENDED)}
    found = {}
    for name, values in metrics.items():
        share = None if name in flags else _taken(metrics, name)
        if share is None:
            found[name] = jnp.mean(values, 0)
        else:
            found[name] = (share * jnp.where(share > 0, values, 0)).sum(0) / share.sum(0)
    return found


def over_epoch(metrics: Metrics) -> Metrics:
    """Return an epoch's row of the history: the means of its steps, without `ended`, which its last one tells."""
    ended = _named(metrics, ENDED)
    return {name: mean for name, mean in means(metrics).items() if name not in ended}
