"""Families of models: Linen modules with named submodules and plain methods.

`model.bind(variables)` gives the methods; `model.init(key, x, cond)` the variables. Any object with the same methods is
a model (`learner.lift` makes one of an NNX module).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxae import checks
from jaxae.distributions import Normal
from jaxae.layout import feature_major
from jaxae.networks import Dense, conditioned, keep_largest
from jaxae.threefry import unrolled
from jaxae.types import Array, Key

__all__ = ["AE", "GAN", "VAE", "SparseAE"]


class AE(nn.Module):
    """Autoencoder.

    Attributes:
        encoder: (x, cond) -> z, or x -> z where nothing is conditioned: any Flax module.
        decoder: (z, cond) -> reconstruction, or the parameters of a likelihood.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from jaxae.networks import MLP
        >>> ae = AE(MLP((64, 2)), MLP((64, 8)))
        >>> variables = ae.init(jax.random.key(0), jnp.ones((1, 8)))
        >>> ae.bind(variables).encode(jnp.ones((5, 8))).shape
        (5, 2)
    """

    encoder: nn.Module
    decoder: nn.Module

    def encode(self, x: Array, cond: Array | None = None) -> Array:
        """Return the code z (n, ...) of x (n, ...)."""
        return conditioned(self.encoder, x, cond)

    def decode(self, z: Array, cond: Array | None = None) -> Any:
        """Return the reconstruction (n, ...) from the code z (n, ...)."""
        return conditioned(self.decoder, z, cond)

    def __call__(self, x: Array, cond: Array | None = None) -> Any:
        """Return the reconstruction (n, ...) of x (n, ...)."""
        return self.decode(self.encode(x, cond), cond)


class SparseAE(AE):
    """Autoencoder of whose code only the k largest units of every example speak, the others being 0.

    Attributes:
        encoder: (x, cond) -> z (n, units), end it in a ReLU.
        decoder: (z, cond) -> reconstruction; linear with directions of length 1 (`networks.Atoms`) for a dictionary.
        k: units that speak.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from jaxae.networks import MLP, Atoms
        >>> ae = SparseAE(MLP((64, 20), activate_final=True), Atoms(8), k=3)
        >>> variables = ae.init(jax.random.key(0), jnp.ones((1, 8)))
        >>> int((ae.bind(variables).encode(jnp.ones((1, 8))) != 0).sum()) <= 3
        True

    References:
        Makhzani & Frey, k-sparse autoencoders, 2014.
    """

    k: int = 1

    def dense(self, x: Array, cond: Array | None = None) -> Array:
        """Return the code (n, units) of x (n, ...) before any unit is silenced."""
        return conditioned(self.encoder, x, cond)

    def encode(self, x: Array, cond: Array | None = None) -> Array:
        """Return the code (n, units) of x (n, ...), 0 but for its k largest units."""
        return keep_largest(self.dense(x, cond), self.k)


class VAE(nn.Module):
    """Variational autoencoder with a diagonal normal posterior and the prior N(0, I).

    Attributes:
        encoder: (x, cond) -> features (n, width); a dense head makes mean and log variance of them.
        decoder: (z, cond) -> the parameters of a likelihood: logits, a mean, or a `Normal`.
        latent: dimension of z.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from jaxae.networks import MLP
        >>> vae = VAE(MLP((64,)), MLP((64, 8)), latent=2)
        >>> variables = vae.init(jax.random.key(0), jnp.ones((1, 8)))
        >>> vae.bind(variables).sample(jax.random.key(1), 5).shape
        (5, 8)

    References:
        Kingma & Welling, Auto-encoding variational Bayes, 2014.
    """

    encoder: nn.Module
    decoder: nn.Module
    latent: int

    def setup(self) -> None:
        """Make the head.

        Raises:
            TypeError: if latent is not a whole number.
            ValueError: if latent < 1.
        """
        checks.whole("latent", self.latent)
        self.head = Dense(2 * self.latent)

    def encode(self, x: Array, cond: Array | None = None) -> Normal:
        """Return the posterior of x (n, ...), a `Normal` with fields (n, latent)."""
        features = conditioned(self.encoder, x, cond)
        if feature_major(len(features), max(features.shape[-1], 2 * self.latent)):
            return Normal(*(half.T for half in jnp.split(self.head(features.T, columns=True), 2)))
        return Normal(*jnp.split(self.head(features), 2, -1))

    def decode(self, z: Array, cond: Array | None = None) -> Any:
        """Return the parameters of the likelihood of x given z (n, latent)."""
        return conditioned(self.decoder, z, cond)

    def sample(self, key: Key, n: int, cond: Array | None = None) -> Any:
        """Return the parameters of the likelihood for n draws of the prior; with cond (n, ...), one for each row.

        Raises:
            TypeError, ValueError: if key is no typed key, or n no whole number ≥ 1.
        """
        checks.typed_key(key)
        checks.whole("n", n)
        return self.decode(jax.random.normal(unrolled(key), (n, self.latent)), cond)

    def __call__(self, x: Array, cond: Array | None = None) -> Any:
        """Return the parameters of the likelihood at the posterior's mean."""
        return self.decode(self.encode(x, cond).mean, cond)


class GAN(nn.Module):
    """Generative adversarial network.

    Attributes:
        generator: (z, cond) -> x (n, ...).
        discriminator: (x, cond) -> logits (n, 1).
        latent: dimension of z.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from jaxae.networks import MLP
        >>> gan = GAN(MLP((64, 8), norm=True), MLP((64, 1)), latent=16)
        >>> variables = gan.init(jax.random.key(0), jnp.ones((1, 8)))
        >>> gan.bind(variables).generate(jax.random.key(1), 5).shape
        (5, 8)

    References:
        Goodfellow et al., Generative adversarial nets, 2014.
    """

    generator: nn.Module
    discriminator: nn.Module
    latent: int

    def setup(self) -> None:
        """Check the latent dimension.

        Raises:
            TypeError: if latent is not a whole number.
            ValueError: if latent < 1.
        """
        checks.whole("latent", self.latent)

    def generate(self, key: Key, n: int, cond: Array | None = None) -> Array:
        """Return n generated examples (n, ...); with cond (n, ...), one for each row.

        Raises:
            TypeError, ValueError: if key is no typed key, or n no whole number ≥ 1.
        """
        checks.typed_key(key)
        checks.whole("n", n)
        return conditioned(self.generator, jax.random.normal(unrolled(key), (n, self.latent)), cond)

    def discriminate(self, x: Array, cond: Array | None = None) -> Array:
        """Return the logits (n,) that x (n, ...) is real.

        Raises:
            ValueError: if the discriminator does not return one column.
        """
        logits = conditioned(self.discriminator, x, cond)
        if logits.ndim != 2 or logits.shape[-1] != 1:
            raise ValueError(
                f"the discriminator returned shape {logits.shape}, but must return (n, 1): end it in a layer of width 1"
            )
        return logits[:, 0]

    def __call__(self, x: Array, cond: Array | None = None) -> Array:
        """Return logits (n,) of generated examples: one pass through every parameter.

        Raises:
            ValueError: if x is a single number, or the generator does not make examples of the shape of x.
        """
        checks.rows("x", x)
        fakes = conditioned(self.generator, jnp.zeros((len(x), self.latent), x.dtype), cond)
        checks.same_shape("the generator's output", fakes.shape, "x", x.shape)
        return self.discriminate(fakes, cond)
