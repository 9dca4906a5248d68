"""What all networks share: conditions, batch norm and dropout, without a train flag."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.extend.core import get_opaque_trace_state

from jaxae import checks
from jaxae.threefry import unrolled
from jaxae.types import Array

__all__ = ["BatchNorm", "Dropout", "check_condition", "check_rate", "conditioned"]


def conditioned(network: Callable[..., Any], x: Array, cond: Array | None) -> Any:
    """Return network(x, cond), or network(x) without a condition, which any Flax module takes.

    Raises:
        TypeError: if network is no module or function.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> dense, x = nn.Dense(2), jnp.ones((3, 8))
        >>> conditioned(dense.bind(dense.init(jax.random.key(0), x)), x, None).shape
        (3, 2)
    """
    checks.function("network", network, "networks.MLP((64, 2))")
    return network(x) if cond is None else network(x, cond)


class BatchNorm(nn.Module):
    """Batch normalisation that uses the batch's statistics when it may write them, else the running averages.

    Attributes:
        momentum: share of the old running average that one step keeps, from 0 to 1.

    References:
        Ioffe & Szegedy, Batch normalization, 2015.
    """

    momentum: float = 0.9

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return (n, ..., features) normalised over all axes but the last.

        Raises:
            TypeError: if momentum is no number.
            ValueError: if momentum is outside [0, 1], x is a single example, or it trains inside a gradient (or vmap)
                that the loss itself takes.
        """
        checks.fraction("momentum", self.momentum)
        if x.ndim < 2:
            raise ValueError(f"x has shape {x.shape}, but batch norm takes (n, ..., features): x[None] for one example")
        training = self.is_mutable_collection("batch_stats")
        # Flax's own check is switched off: without this one a dead tracer would end up in the running averages.
        if training and self.scope and self.scope.root.trace_level != get_opaque_trace_state(convention="flax"):
            raise ValueError(
                "batch norm trains inside a gradient or vmap that the loss itself takes, as losses.contractive and "
                "adversarial.gradient_penalty do, where the examples must not depend on each other: build this "
                "network without it, norm=False"
            )
        return nn.BatchNorm(use_running_average=not training, momentum=self.momentum)(x)


class Dropout(nn.Module):
    """Dropout (rescaled by 1/(1 − rate)) when a `dropout` key is given, else the identity.

    Attributes:
        rate: share of entries that are dropped, from 0 up to but not including 1; fixed, it cannot be traced. It is
            rounded to a multiple of 1/256, of which none but 0 becomes 0 and none becomes 1, and what is kept is
            rescaled by the rounded one.

    References:
        Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, 2014.
    """

    rate: float

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return x (n, ...) with entries dropped.

        Raises:
            ValueError: if rate is outside [0, 1).
        """
        check_rate(self.rate)
        if not self.rate or not self.has_rng("dropout"):
            return x
        dropped = min(max(round(self.rate * 256), 1), 255)
        # Four entries of a mask from each word: on a CPU the words cost more than all else that a small model does.
        words = jax.random.bits(unrolled(self.make_rng("dropout")), (-(-x.size // 4),), jnp.uint32)
        parts = jnp.stack([(words >> shift) & 255 for shift in (0, 8, 16, 24)])
        keep = parts.reshape(-1)[: x.size].reshape(x.shape) >= dropped
        return jnp.where(keep, x / (1 - dropped / 256), jnp.zeros((), x.dtype))


def check_rate(rate: float) -> None:
    """Refuse a rate of dropout outside [0, 1).

    Raises:
        ValueError: naming the rate.
    """
    checks.fraction("dropout", rate)
    if rate == 1:
        raise ValueError("dropout is 1, which drops everything: it must be < 1")


def check_condition(cond: Array | None, other: str, array: Array, least: int = 0) -> None:
    """Refuse a condition that is not (n, conditions), at least so many of them, of as many examples as another array.

    Raises:
        ValueError: with the shapes.
    """
    if cond is not None:
        if cond.ndim != 2 or cond.shape[1] < least:
            raise ValueError(
                f"cond has shape {cond.shape}, but must be (n, conditions): cond[:, None] for one number each, "
                "jax.nn.one_hot(cond, classes) for classes, None for no condition"
            )
        checks.same_shape("cond", cond.shape[:1], other, array.shape[:1])
