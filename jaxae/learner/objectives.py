"""Objectives and scores: the only seam between training and Flax."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxae import threefry
from jaxae.types import Array, Batch, Key, Loss, Metrics, Objective, Score, Variables

__all__ = ["objective", "score"]


def objective(model: Any, loss: Loss, /, **hparams: Any) -> Objective:
    """Return the pure function (variables, batch, key) -> (mean loss, (variables, metrics)) that a learner descends.

    The only seam between training and Flax. The model runs in training mode: batch norm uses the batch's statistics
    and updates its running averages, dropout drops. The mean over the batch is taken here and nowhere else.

    Args:
        model: a Linen module, or what `lift` made of an NNX module.
        loss: (bound model, batch, key, **hparams) -> ((n,) values, metrics).
        **hparams: the loss's hyperparameters; they may be traced.

    Examples:
        >>> import jax, jax.numpy as jnp, jaxae as ja
        >>> ae = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((8,)))
        >>> x = jnp.ones((5, 8))
        >>> value, (variables, metrics) = ja.objective(ae, ja.losses.reconstruction)(
        ...     ae.init(jax.random.key(0), x), ja.Batch(x), jax.random.key(1))
        >>> value.shape, sorted(metrics)
        ((), ['loss'])
    """
    loss = functools.partial(loss, **hparams)

    def evaluate(variables: Variables, batch: Batch, key: Key) -> tuple[Array, tuple[Variables, Metrics]]:
        loss_key, dropout_key = threefry.split(key)
        state = [name for name in variables if name != "params"]
        (values, metrics), written = model.apply(
            variables, batch, loss_key, method=_as_method(loss), mutable=state, rngs={"dropout": dropout_key}
        )
        _one_number_per_example(values, batch)
        if "loss" in metrics:
            raise ValueError(
                "the loss returned a metric named 'loss', which is the name of its mean: rename the metric"
            )
        means = jax.tree.map(jnp.mean, {"loss": values, **metrics})
        return means["loss"], ({**variables, **written}, means)

    return evaluate


def score(model: Any, loss: Loss, /, **hparams: Any) -> Score:
    """Return (variables, batch, key=None) -> (n,), the loss of every example in inference mode.

    Batch norm uses its running averages and nothing drops. Without a key the score is deterministic.

    Args:
        model: a Linen module, or what `lift` made of an NNX module.
        loss: (bound model, batch, key, **hparams) -> ((n,) values, metrics).
        **hparams: the loss's hyperparameters.

    Examples:
        >>> import jax, jax.numpy as jnp, jaxae as ja
        >>> ae = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((8,)))
        >>> x = jnp.ones((5, 8))
        >>> ja.score(ae, ja.losses.reconstruction)(ae.init(jax.random.key(0), x), ja.Batch(x)).shape
        (5,)
    """
    loss = functools.partial(loss, **hparams)

    def values(variables: Variables, batch: Batch, key: Key | None = None) -> Array:
        result, _ = model.apply(variables, batch, key, method=_as_method(loss))
        _one_number_per_example(result, batch)
        return result

    return values


def _as_method(loss: Callable[..., Any]) -> Callable[..., Any]:
    # Linen takes a method's name from its __name__, which a partial does not have.
    def method(model: Any, *args: Any) -> tuple[Array, Metrics]:
        result = loss(model, *args)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping)):
            raise TypeError(
                f"the loss returned {type(result).__name__}, but must return (values (n,), metrics): "
                "return values, {}"
            )
        return result

    return method


def _one_number_per_example(values: Array, batch: Batch) -> None:
    if jnp.shape(values) != (len(batch.x),):
        raise ValueError(
            f"the loss returned shape {jnp.shape(values)} for {len(batch.x)} examples, but must return one "
            f"number per example, ({len(batch.x)},): sum over the event, do not average over the batch"
        )
