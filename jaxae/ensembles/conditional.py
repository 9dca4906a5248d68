"""Variational autoencoders of rows under conditions, which are the first columns of their table."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxae.distributions import Normal
from jaxae.ensembles.families import coded, widened
from jaxae.ensembles.tables import Table
from jaxae.losses import elbo
from jaxae.models import VAE
from jaxae.types import Array, Batch, Key, Loss, Variables

__all__ = ["Conditional"]


@dataclass(frozen=True)
class Conditional:
    """Variational autoencoders whose decoder takes the conditions beside the code.

    The encoder sees conditions and row side by side, as the table holds them; only what is no condition is made of a
    code, with a normal likelihood and one learned scale for every column.

    Attributes:
        widths: of the encoder's hidden layers; the decoder has them in reverse.
        latent: dimension of the code.
        conditions: first columns of a table that are conditions.
        activation: after every hidden layer.

    References:
        Sohn et al., Learning structured output representation using deep conditional generative models, 2015.
    """

    widths: tuple[int, ...]
    latent: int
    conditions: int
    activation: Callable[[Array], Array] = nn.relu
    relative = False

    def model(self, columns: int) -> VAE:
        """Return the model of tables that are padded to so many columns."""
        return coded(self.widths, self.latent, columns, self.activation)

    def begin(self, model: Any, key: Key, table: Table, share: Array) -> Variables:
        """Return the variables with which training on a table begins."""

        def once(model: Any, x: Array) -> Normal:
            return model.decode(model.encode(x).mean, x[:, : self.conditions])

        return widened(model.init(key, table.x[:1], method=once), table)

    def loss(self, mask: Array, noise: Array) -> Loss:
        """Return the negative evidence lower bound over the columns that are no conditions; noise is not used."""
        own = mask.at[: self.conditions].set(0)

        def nll(made: Normal, x: Array) -> Array:
            return -(made.log_prob_per_dimension(x) * own[None]).sum(1)

        def per_column(model: Any, batch: Batch, key: Key | None, /) -> Any:
            seeing = SimpleNamespace(encode=lambda x, cond: model.encode(x), decode=model.decode)
            values, metrics = elbo(seeing, Batch(batch.x, batch.x[:, : self.conditions]), key, nll=nll)
            return values / own.sum(), metrics

        return per_column

    def found(self, model: Any, variables: Variables, x: Array, mask: Array, key: Key) -> tuple[Array, Array]:
        """Return the nats of the entries and the means, both at the posterior's mean; 0 for conditions."""
        z = model.apply(variables, x, method="encode").mean
        made = model.apply(variables, z, x[:, : self.conditions], method="decode")
        return -made.log_prob_per_dimension(x) * mask.at[: self.conditions].set(0)[None], made.mean

    def encode(self, model: Any, variables: Variables, x: Array) -> Array:
        """Return the posterior's means (n, latent) of rows x (n, columns)."""
        return model.apply(variables, x, method="encode").mean

    def decode(self, model: Any, variables: Variables, z: Array) -> Array:
        """Return the means (n, columns) of the rows of codes with conditions after them, z (n, latent + conditions)."""
        code, cond = jnp.split(z, [self.latent], axis=1)
        return model.apply(variables, code, cond, method="decode").mean
