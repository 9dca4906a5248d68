"""Networks: what encoders, decoders, generators and discriminators are made of.

There is no train flag. `BatchNorm` trains exactly when the collection `batch_stats` may be written, and `Dropout` drops
exactly when a key named `dropout` is given: the objective does both, everything else does neither.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.extend.core import get_opaque_trace_state

from jaxae import checks
from jaxae.distributions import Normal
from jaxae.types import Array

__all__ = ["MLP", "BatchNorm", "Dropout", "PredictedScale", "SharedScale", "conditioned"]


def conditioned(network: Callable[..., Any], x: Array, cond: Array | None) -> Any:
    """Return network(x, cond), or network(x) without a condition, which any Flax module takes.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> dense, x = nn.Dense(2), jnp.ones((3, 8))
        >>> conditioned(dense.bind(dense.init(jax.random.key(0), x)), x, None).shape
        (3, 2)
    """
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
            ValueError: if it trains inside a gradient (or vmap) that the loss itself takes.
        """
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
        rate: share of entries that are dropped, from 0 up to but not including 1; fixed, it cannot be traced.

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
        _droppable(self.rate)
        return nn.Dropout(self.rate, deterministic=not self.has_rng("dropout"))(x)


def _droppable(rate: float) -> None:
    checks.fraction("dropout", rate)
    if rate == 1:
        raise ValueError("dropout is 1, which drops everything: it must be < 1")


class MLP(nn.Module):
    """Dense layers: Dense, activation, batch norm, dropout, and so on; the last is linear.

    Attributes:
        widths: one output width per layer.
        activation: after every layer but the last.
        norm: batch norm after every activation.
        dropout: rate after every activation (and norm).
        activate_final: treat the last layer like the others.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> x = jnp.ones((3, 8))
        >>> network = MLP((64, 2), dropout=0.2)
        >>> network.apply(network.init(jax.random.key(0), x), x).shape
        (3, 2)
    """

    widths: tuple[int, ...]
    activation: Callable[[Array], Array] = nn.relu
    norm: bool = False
    dropout: float = 0.0
    activate_final: bool = False

    @nn.compact
    def __call__(self, x: Array, cond: Array | None = None) -> Array:
        """Return (n, widths[-1]) from x (n, features) and, side by side with it, cond (n, conditions).

        Raises:
            ValueError: if x or cond is not of rank 2, if the two differ in length, if a width is < 1, or if dropout
                is outside [0, 1).
        """
        _droppable(self.dropout)
        for name, array in (("x", x), ("cond", cond)):
            if array is not None and array.ndim != 2:
                raise ValueError(
                    f"{name} has shape {array.shape}, but an MLP takes (n, features): "
                    f"flatten it with {name}.reshape(len({name}), -1)"
                )
        if not isinstance(self.widths, Sequence):
            raise TypeError(f"widths is {self.widths!r}, but must be a tuple with one width per layer: MLP((64, 2))")
        if not self.widths:
            raise ValueError("widths is empty, but an MLP needs at least one layer: MLP((64, 2))")
        if cond is not None:
            checks.same_shape("cond", cond.shape[:1], "x", x.shape[:1])
            x = jnp.concatenate([x, cond], -1)
        for i, width in enumerate(self.widths):
            checks.whole("width", width)
            x = nn.Dense(width)(x)
            if i + 1 < len(self.widths) or self.activate_final:
                x = self.activation(x)
                x = BatchNorm()(x) if self.norm else x
                x = Dropout(self.dropout)(x) if self.dropout else x
        return x


class SharedScale(nn.Module):
    """A decoder's mean with one learned log variance for every variable, the same for all examples.

    With `distributions.normal` it makes the VAE of a table whose noise level is learned; with `per_variable=False`
    one level is shared by all variables, as in probabilistic PCA.

    Attributes:
        network: (z, cond) -> mean (n, ...).
        per_variable: one scale per variable rather than one for all.

    References:
        Tipping & Bishop, Probabilistic principal component analysis, 1999.
    """

    network: nn.Module
    per_variable: bool = True

    @nn.compact
    def __call__(self, z: Array, cond: Array | None = None) -> Normal:
        """Return a `Normal` with fields (n, ...)."""
        mean = conditioned(self.network, z, cond)
        shape = mean.shape[1:] if self.per_variable else (1,) * (mean.ndim - 1)
        logvar = self.param("logvar", nn.initializers.zeros_init(), shape, mean.dtype)
        return Normal(mean, jnp.broadcast_to(logvar[None], mean.shape))


class PredictedScale(nn.Module):
    """A decoder that predicts mean and log variance of every variable of every example.

    Attributes:
        network: (z, cond) -> (n, ..., 2·variables), the means and then the log variances.

    References:
        Kingma & Welling, Auto-encoding variational Bayes (appendix C.2), 2014.
    """

    network: nn.Module

    @nn.compact
    def __call__(self, z: Array, cond: Array | None = None) -> Normal:
        """Return a `Normal` with fields (n, ..., variables).

        Raises:
            ValueError: if the network's last width is odd.
        """
        out = conditioned(self.network, z, cond)
        if out.shape[-1] % 2:
            raise ValueError(
                f"the network returns {out.shape[-1]} columns, but means and log variances need an even "
                "number: give its last layer twice as many columns as there are variables"
            )
        return Normal(*jnp.split(out, 2, -1))
