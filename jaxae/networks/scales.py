"""Decoders that return a mean with a log variance."""

import jax.numpy as jnp
from flax import linen as nn

from jaxae.distributions import Normal
from jaxae.networks.layers import conditioned
from jaxae.types import Array

__all__ = ["PredictedScale", "SharedScale"]


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
