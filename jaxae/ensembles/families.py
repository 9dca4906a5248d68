"""Families of dense models, and what each makes of the entries of a padded table.

Members of a family are compared as values: two of the same class and fields share their programs.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxae.distributions import Normal
from jaxae.losses import elbo, reconstruction
from jaxae.models import AE, VAE
from jaxae.networks import MLP, SharedScale
from jaxae.threefry import unrolled
from jaxae.types import Array, Key, Loss, Variables

__all__ = ["Denoising", "Family", "Variational"]


class Family(Protocol):
    """What an ensemble is made of; hashable.

    Attributes:
        relative: whether the members' values are compared in units of each one's own.
    """

    relative: bool

    def model(self, columns: int) -> Any:
        """Return the model of tables that are padded to so many columns."""

    def loss(self, mask: Array, noise: Array) -> Loss:
        """Return the loss of the columns where mask (columns,) is 1, not 0, at a level of noise."""

    def found(self, model: Any, variables: Variables, x: Array, mask: Array, key: Key) -> tuple[Array, Array]:
        """Return what every entry of x (n, columns) adds to its row's value, and what the model makes of it.

        A row's answer depends on no other row, nor on their number.
        """


def _by_columns(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    # So that the kernels of a table's own columns are drawn alike however many it is padded to.
    return nn.initializers.variance_scaling(1.0, "fan_out", "truncated_normal")(key, shape[::-1], dtype).T


@dataclass(frozen=True)
class Denoising:
    """Autoencoders that take noise out of rows, or plain ones where there is none.

    Attributes:
        widths: of the hidden layers, from the table to the code and back.
        activation: after each of them.

    References:
        Vincent et al., Extracting and composing robust features with denoising autoencoders, 2008.
    """

    widths: tuple[int, ...]
    activation: Callable[[Array], Array] = nn.relu
    relative = True

    def model(self, columns: int) -> AE:
        """Return the model of tables that are padded to so many columns."""
        half = -(-len(self.widths) // 2)
        return AE(
            MLP(self.widths[:half], self.activation, activate_final=True),
            MLP((*self.widths[half:], columns), self.activation, kernel_init=_by_columns),
        )

    def loss(self, mask: Array, noise: Array) -> Loss:
        """Return the mean squared error of the columns, after noise of so many standard deviations."""

        def noisy(key: Key, x: Array) -> Array:
            # Drawn by columns, as the last kernel is.
            return x + noise * mask[None] * jax.random.normal(unrolled(key), x.shape[::-1]).T

        def error(made: Array, x: Array) -> Array:
            return ((made - x) ** 2 * mask[None]).sum(1) / mask.sum()

        return functools.partial(reconstruction, nll=error, noise=noisy)

    def found(self, model: Any, variables: Variables, x: Array, mask: Array, key: Key) -> tuple[Array, Array]:
        """Return the squared errors of the entries, and the reconstructions."""
        made = model.apply(variables, x)
        return (made - x) ** 2 * mask[None], made


@dataclass(frozen=True)
class Variational:
    """Variational autoencoders with a normal likelihood, one learned scale for every column.

    Attributes:
        widths: of the encoder's hidden layers; the decoder has them in reverse.
        latent: dimension of the code.
        draws: codes of a row that its value is the mean over.
        prior: whether the code's divergence from the prior counts too, the same for every column: then a value is the
            negative evidence lower bound, else minus the logarithm of the reconstruction probability, on average.
        activation: after every hidden layer.

    References:
        Kingma & Welling, Auto-encoding variational Bayes, 2014; An & Cho, Variational autoencoder based anomaly
        detection using reconstruction probability, 2015.
    """

    widths: tuple[int, ...]
    latent: int
    draws: int
    prior: bool
    activation: Callable[[Array], Array] = nn.relu
    relative = False

    def model(self, columns: int) -> VAE:
        """Return the model of tables that are padded to so many columns."""
        back = MLP((*self.widths[::-1], columns), self.activation, kernel_init=_by_columns)
        return VAE(MLP(self.widths, self.activation, activate_final=True), SharedScale(back), self.latent)

    def loss(self, mask: Array, noise: Array) -> Loss:
        """Return the negative evidence lower bound over the columns; noise is not used."""

        def nll(made: Normal, x: Array) -> Array:
            return (_nats(made, x) * mask[None]).sum(1)

        def per_column(model: Any, batch: Any, key: Key | None, /) -> Any:
            values, metrics = elbo(model, batch, key, nll=nll)
            return values / mask.sum(), metrics

        return per_column

    def found(self, model: Any, variables: Variables, x: Array, mask: Array, key: Key) -> tuple[Array, Array]:
        """Return the nats of the entries, and the means at the posterior's mean.

        Every row takes the same standard normal draws, so that equal rows have equal values.
        """

        def decoded(z: Array) -> Normal:
            return model.apply(variables, z, method="decode")

        posterior = model.apply(variables, x, method="encode")
        draws = jax.random.normal(unrolled(key), (self.draws, 1, self.latent))

        def one(total: Array, draw: Array) -> tuple[Array, None]:
            made = decoded(posterior.mean + jnp.exp(0.5 * posterior.logvar) * draw)
            return total + _nats(made, x) / self.draws, None

        entries, _ = jax.lax.scan(one, jnp.zeros_like(x), draws)
        if self.prior:
            entries = entries + (posterior.kl() / mask.sum())[:, None]
        return entries * mask[None], decoded(posterior.mean).mean


def _nats(made: Normal, x: Array) -> Array:
    return 0.5 * ((x - made.mean) ** 2 * jnp.exp(-made.logvar) + made.logvar + jnp.log(2 * jnp.pi))
