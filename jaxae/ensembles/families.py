"""Families of dense models, and what each makes of the entries of a padded table.

Members of a family are compared as values: two of the same class and fields share their programs.
"""

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxae.distributions import Normal
from jaxae.ensembles.tables import Table
from jaxae.losses import elbo, reconstruction, sparse
from jaxae.models import AE, VAE
from jaxae.networks import MLP
from jaxae.networks.layers import conditioned
from jaxae.threefry import unrolled
from jaxae.types import Array, Key, Loss, Variables

__all__ = ["Autoencoding", "Coding", "Family", "Reconstructing", "Variational", "coded", "deviations", "widened"]

WIDEST = 20.0
"""Logarithm of a posterior's variance, at most, where rows are scored: 22,000 times the prior's standard deviation."""
QUICK = 10.0
"""How many times as fast as a weight a log variance is learned."""
LEAST = 1e-6
"""Of the variance of a standardised column: what one that is reproduced exactly is taken to vary by."""
FIRST = ("params", "encoder", "Dense_0", "kernel")


class Family(Protocol):
    """What an ensemble is made of; hashable.

    Attributes:
        relative: whether the members' values are compared in units of each one's own.
    """

    relative: bool

    def model(self, columns: int) -> Any:
        """Return the model of tables that are padded to so many columns."""

    def begin(self, model: Any, key: Key, table: Table, share: Array) -> Variables:
        """Return the variables with which training on a table begins, with a share () of the hidden units in use.

        A family that cannot do with fewer takes no notice of the share.
        """

    def loss(self, mask: Array, noise: Array) -> Loss:
        """Return the loss of the columns where mask (columns,) is 1, not 0, at a level of noise."""

    def found(self, model: Any, variables: Variables, x: Array, mask: Array, key: Key) -> tuple[Array, Array]:
        """Return what every entry of x (n, columns) adds to its row's value, and what the model makes of it.

        A row's answer depends on no other row, nor on their number.
        """


class Coding(Family, Protocol):
    """A family whose models have a code."""

    def encode(self, model: Any, variables: Variables, x: Array) -> Array:
        """Return the codes (n, latent) of rows x (n, columns)."""

    def decode(self, model: Any, variables: Variables, z: Array) -> Array:
        """Return the rows (n, columns) of codes z (n, latent)."""


def widened(variables: Variables, table: Table) -> Variables:
    """Return a model's first variables as if it were of the table's own columns.

    Its first kernel, at `FIRST`, was drawn for as many inputs as the table is padded to.
    """
    factor = jnp.sqrt(table.x.shape[1] / table.columns)
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf * factor if tuple(entry.key for entry in path) == FIRST else leaf, variables
    )


def _number(layer: str) -> int:
    return int(layer.removeprefix("Dense_"))


def _by_columns(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Return a last kernel, whose part of a table's own columns is the same however many it is padded to."""
    return nn.initializers.variance_scaling(1.0, "fan_out", "truncated_normal")(key, shape[::-1], dtype).T


def mean_squares(mask: Array) -> Callable[[Array, Array], Array]:
    """Return the function of reconstructions and rows that gives the mean squared error of a row's own columns."""

    def error(made: Array, x: Array) -> Array:
        return ((made - x) ** 2 * mask[None]).sum(1) / mask.sum()

    return error


class Reconstructing:
    """What families have in common whose members make rows of rows, and score them by the squared error."""

    relative = True

    def loss(self, mask: Array, noise: Array) -> Loss:
        """Return the mean squared error of the columns, after noise of so many standard deviations."""

        def noisy(key: Key, x: Array) -> Array:
            # Drawn by columns, as the last kernel is.
            return x + noise * mask[None] * jax.random.normal(unrolled(key), x.shape[::-1]).T

        return functools.partial(reconstruction, nll=mean_squares(mask), noise=noisy)

    def found(self, model: Any, variables: Variables, x: Array, mask: Array, key: Key) -> tuple[Array, Array]:
        """Return the squared errors of the entries, and the reconstructions."""
        made = model.apply(variables, x)
        return (made - x) ** 2 * mask[None], made

    def encode(self, model: Any, variables: Variables, x: Array) -> Array:
        """Return the codes (n, latent) of rows x (n, columns)."""
        return model.apply(variables, x, method="encode")

    def decode(self, model: Any, variables: Variables, z: Array) -> Array:
        """Return the rows (n, columns) of codes z (n, latent)."""
        return model.apply(variables, z, method="decode")


@dataclass(frozen=True)
class Autoencoding(Reconstructing):
    """Autoencoders: plain, denoising where there is noise, or sparse where sparsity has a weight.

    Attributes:
        widths: of the hidden layers, from the table to the code and back.
        activation: after each of them.
        linear: whether the code has no activation.
        rate: mean activation of the code's units that is asked for; the activation must be a sigmoid.
        weight: of that; at 0 nothing is asked for.

    References:
        Vincent et al., Extracting and composing robust features with denoising autoencoders, 2008; Ng, Sparse
        autoencoder, CS294A lecture notes, 2011.
    """

    widths: tuple[int, ...]
    activation: Callable[[Array], Array] = nn.relu
    linear: bool = False
    rate: float = 0.1
    weight: float = 0.0

    def model(self, columns: int) -> AE:
        """Return the model of tables that are padded to so many columns."""
        half = -(-len(self.widths) // 2)
        return AE(
            MLP(self.widths[:half], self.activation, activate_final=not self.linear),
            MLP((*self.widths[half:], columns), self.activation, kernel_init=_by_columns),
        )

    def begin(self, model: Any, key: Key, table: Table, share: Array) -> Variables:
        """Return the variables with which training on a table begins, with a share () of the hidden units in use.

        A unit whose weights are 0 on both sides has no gradient and stays so, if the activation of 0 is 0.
        """
        variables = widened(model.init(key, table.x[:1]), table)
        params = variables["params"]
        names = [(part, name) for part in ("encoder", "decoder") for name in sorted(params[part], key=_number)]
        kernels = [params[part][name]["kernel"] for part, name in names]
        for i, (before, after) in enumerate(itertools.pairwise(kernels)):
            width = before.shape[1]
            left = jnp.maximum(jnp.ceil(share * width), 1.0)
            used = jnp.arange(width) < left
            # The layer after it has so many inputs fewer.
            kernels[i] = kernels[i] * used[None]
            kernels[i + 1] = after * used[:, None] * jnp.sqrt(width / left)
        thinned = {part: dict(params[part]) for part in ("encoder", "decoder")}
        for (part, name), kernel in zip(names, kernels, strict=True):
            thinned[part][name] = {**params[part][name], "kernel": kernel}
        return {**variables, "params": thinned}

    def loss(self, mask: Array, noise: Array) -> Loss:
        """Return the mean squared error of the columns: after noise, or with what is asked for of the code."""
        if self.weight:
            return functools.partial(sparse, nll=mean_squares(mask), rate=self.rate, weight=self.weight)
        return super().loss(mask, noise)


class QuickScale(nn.Module):
    """A decoder's mean with one learned log variance for every column, which is learned faster than weights are.

    Adam moves a parameter by about its learning rate in a step, so that in a short training a log variance would not
    come far from where it begins.

    Attributes:
        network: z -> mean (n, columns).
    """

    network: nn.Module

    @nn.compact
    def __call__(self, z: Array, cond: Array | None = None) -> Normal:
        """Return a `Normal` with fields (n, columns)."""
        mean = conditioned(self.network, z, cond)
        logvar = _log_variances(self.param("logvar", nn.initializers.zeros_init(), mean.shape[1:], mean.dtype))
        return Normal(mean, jnp.broadcast_to(logvar[None], mean.shape))


def _log_variances(parameter: Array) -> Array:
    return jnp.maximum(QUICK * parameter, math.log(LEAST))


def deviations(variables: Variables, columns: slice) -> np.ndarray:
    """Return the standard deviations around the mean of columns of a table, by one member's variables (`coded`)."""
    return np.exp(0.5 * np.asarray(_log_variances(variables["params"]["decoder"]["logvar"][columns])))


def coded(widths: tuple[int, ...], latent: int, columns: int, activation: Callable[[Array], Array]) -> VAE:
    """Return a variational autoencoder of so many columns, with one learned scale for each."""
    back = MLP((*widths[::-1], columns), activation, kernel_init=_by_columns)
    return VAE(MLP(widths, activation, activate_final=True), QuickScale(back), latent)


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
    draws: int = 1
    prior: bool = True
    activation: Callable[[Array], Array] = nn.relu
    relative = False

    def model(self, columns: int) -> VAE:
        """Return the model of tables that are padded to so many columns."""
        return coded(self.widths, self.latent, columns, self.activation)

    def begin(self, model: Any, key: Key, table: Table, share: Array) -> Variables:
        """Return the variables with which training on a table begins."""
        return widened(model.init(key, table.x[:1]), table)

    def loss(self, mask: Array, noise: Array) -> Loss:
        """Return the negative evidence lower bound over the columns; noise is not used."""

        def nll(made: Normal, x: Array) -> Array:
            return -(made.log_prob_per_dimension(x) * mask[None]).sum(1)

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
        # Of a row far from all others it may be so large that its exponential is no number.
        posterior = posterior._replace(logvar=jnp.minimum(posterior.logvar, WIDEST))
        draws = jax.random.normal(unrolled(key), (self.draws, 1, self.latent))

        def one(total: Array, draw: Array) -> tuple[Array, None]:
            made = decoded(posterior.mean + jnp.exp(0.5 * posterior.logvar) * draw)
            return total - made.log_prob_per_dimension(x) / self.draws, None

        entries, _ = jax.lax.scan(one, jnp.zeros_like(x), draws)
        if self.prior:
            entries = entries + (posterior.kl() / mask.sum())[:, None]
        return entries * mask[None], decoded(posterior.mean).mean

    def encode(self, model: Any, variables: Variables, x: Array) -> Array:
        """Return the posterior's means (n, latent) of rows x (n, columns)."""
        return model.apply(variables, x, method="encode").mean

    def decode(self, model: Any, variables: Variables, z: Array) -> Array:
        """Return the means (n, columns) of the rows of codes z (n, latent)."""
        return model.apply(variables, z, method="decode").mean
