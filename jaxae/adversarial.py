"""Losses of the two players of a GAN, and the pairs of functions of logits that they are made of."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxae import checks, threefry
from jaxae.distributions import per_example
from jaxae.types import Array, Batch, Key, Metrics

__all__ = [
    "GanLoss",
    "discriminator",
    "energy_score",
    "generator",
    "gradient_penalty",
    "hinge",
    "least_squares",
    "minimax",
    "non_saturating",
    "wasserstein",
]


class GanLoss(NamedTuple):
    """What the two players minimise, as functions of the discriminator's logits.

    Attributes:
        discriminator: (real (n,), fake (n,)) -> (n,).
        generator: fake (n,) -> (n,).
    """

    discriminator: Callable[[Array, Array], Array]
    generator: Callable[[Array], Array]


def _cross_entropy(real: Array, fake: Array) -> Array:
    return jax.nn.softplus(-real) + jax.nn.softplus(fake)


non_saturating = GanLoss(_cross_entropy, lambda fake: jax.nn.softplus(-fake))
"""−log D(x) − log(1 − D(G(z))) and −log D(G(z)): Goodfellow et al., Generative adversarial nets, 2014."""

minimax = GanLoss(_cross_entropy, lambda fake: -jax.nn.softplus(fake))
"""As `non_saturating`, but the generator minimises log(1 − D(G(z))): the zero-sum game of the same paper."""

least_squares = GanLoss(lambda real, fake: 0.5 * ((real - 1) ** 2 + fake**2), lambda fake: 0.5 * (fake - 1) ** 2)
"""½(D(x) − 1)² + ½D(G(z))² and ½(D(G(z)) − 1)²: Mao et al., Least squares generative adversarial networks, 2017."""

hinge = GanLoss(lambda real, fake: jax.nn.relu(1 - real) + jax.nn.relu(1 + fake), lambda fake: -fake)
"""max(0, 1 − D(x)) + max(0, 1 + D(G(z))) and −D(G(z)): Lim & Ye, Geometric GAN, 2017."""

wasserstein = GanLoss(lambda real, fake: fake - real, lambda fake: -fake)
"""D(G(z)) − D(x) and −D(G(z)), for a 1-Lipschitz critic: Arjovsky et al., Wasserstein GAN, 2017."""


def gradient_penalty(critic: Callable[[Array], Array], x: Array, *, target: float = 1.0) -> Array:
    """Return (‖∂critic(xᵢ)/∂xᵢ‖ − target)² of every example, shape (n,).

    The critic must treat its examples one by one (no batch norm): then the gradient of the sum of its outputs is the
    gradient of each. Where a gradient vanishes, the norm's own gradient is taken as 0.

    Args:
        critic: x (n, ...) -> (n,) logits.
        x: (n, ...) where the gradient is taken.
        target: the norm asked for, ≥ 0: 1 for a Wasserstein critic, 0 for a zero-centred penalty.

    Raises:
        TypeError: if critic is no function, or x holds no floats.
        ValueError: if target is negative, or x a single number.

    Examples:
        >>> import jax.numpy as jnp
        >>> gradient_penalty(lambda x: 3 * x[:, 0], jnp.zeros((2, 4))).tolist()
        [4.0, 4.0]

    References:
        Gulrajani et al., Improved training of Wasserstein GANs, 2017; Mescheder et al., Which training methods for
        GANs do actually converge?, 2018 (target 0).
    """
    checks.function("critic", critic, "lambda x: model.discriminate(x)")
    checks.floats("x", x)
    checks.rows("x", x)
    checks.not_negative("target", target)
    logits, pull = jax.vjp(critic, x)
    return (_root(per_example(pull(jnp.ones_like(logits))[0] ** 2)) - target) ** 2


def _root(square: Array) -> Array:
    # sqrt has an infinite slope at 0, which would make NaN of the parameters' gradient.
    return jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))


def _check(model: Any, batch: Batch, key: Key, loss: GanLoss, noise: Any) -> None:
    checks.loss_arguments(model, batch, key, "generate", "discriminate")
    if not isinstance(loss, GanLoss):
        raise TypeError(
            f"loss is {loss!r:.60}, but must be a GanLoss: adversarial.non_saturating, adversarial.hinge, …"
        )
    if noise is not None:
        checks.function("noise", noise, "noise.gaussian")


def discriminator(
    model: Any,
    batch: Batch,
    key: Key | None,
    /,
    *,
    loss: GanLoss = non_saturating,
    noise: Callable[[Key, Any], Array] | None = None,
    penalty: float | Array = 0.0,
    target: float = 1.0,
) -> tuple[Array, Metrics]:
    """Return the discriminator's loss on real examples and as many fresh fakes.

    Descend it with `wrt=("discriminator",)`. Real and fake pass in two calls, so that batch norm in the discriminator
    sees each by its own statistics.

    Args:
        model: has `generate(key, n, cond)` and `discriminate(x, cond)`.
        batch: real x (n, ...), cond (n, ...) or None; the fakes get the same conditions.
        key: draws the fakes.
        loss: a pair of functions of logits.
        noise: (key, x) -> x, put on real and fake alike (instance noise), or None.
        penalty: weight of `gradient_penalty` on random points between real and fake, ≥ 0; 0 leaves it out.
        target: the gradient norm that the penalty asks for.

    Returns:
        (n,) loss values; metrics `real` and `fake`, the logits (n,).

    Raises:
        TypeError: for arguments that are not as above.
        ValueError: if key is None, penalty or target is negative, or the fakes have another shape than x.

    References:
        Goodfellow et al., 2014; Sønderby et al., Amortised MAP inference (instance noise), 2017;
        Gulrajani et al., 2017.
    """
    if key is None:
        raise ValueError("key is None, but a discriminator's loss needs fakes: give a key")
    _check(model, batch, key, loss, noise)
    checks.floats("x of batch", batch.x)
    checks.not_negative("penalty", penalty)
    checks.not_negative("target", target)
    fake_key, real_noise, fake_noise, mix_key = threefry.split(key, 4)
    x, fakes = batch.x, model.generate(fake_key, len(batch.x), batch.cond)
    checks.same_shape("what the model generates", fakes.shape, "x of batch", x.shape)
    if noise is not None:
        x, fakes = noise(real_noise, x), noise(fake_noise, fakes)
    real, fake = model.discriminate(x, batch.cond), model.discriminate(fakes, batch.cond)
    value = loss.discriminator(real, fake)
    if isinstance(penalty, jax.core.Tracer) or penalty > 0:
        share = jax.random.uniform(threefry.unrolled(mix_key), (len(x),) + (1,) * (x.ndim - 1), x.dtype)
        between = share * x + (1 - share) * jax.lax.stop_gradient(fakes)
        value += penalty * gradient_penalty(lambda x: model.discriminate(x, batch.cond), between, target=target)
    return value, {"real": real, "fake": fake}


def generator(
    model: Any,
    batch: Batch,
    key: Key | None,
    /,
    *,
    loss: GanLoss = non_saturating,
    noise: Callable[[Key, Any], Array] | None = None,
) -> tuple[Array, Metrics]:
    """Return the generator's loss on as many fakes as the batch has examples.

    Descend it with `wrt=("generator",)`.

    Args:
        model: has `generate(key, n, cond)` and `discriminate(x, cond)`.
        batch: its length and its conditions are used.
        key: draws the fakes.
        loss: a pair of functions of logits.
        noise: (key, x) -> x put on the fakes (instance noise), or None.

    Returns:
        (n,) loss values; no metrics.

    Raises:
        TypeError: for arguments that are not as above.
        ValueError: if key is None.

    References:
        Goodfellow et al., Generative adversarial nets, 2014.
    """
    if key is None:
        raise ValueError("key is None, but a generator's loss needs fakes: give a key")
    _check(model, batch, key, loss, noise)
    fake_key, noise_key = threefry.split(key)
    fakes = model.generate(fake_key, len(batch.x), batch.cond)
    if noise is not None:
        fakes = noise(noise_key, fakes)
    return loss.generator(model.discriminate(fakes, batch.cond)), {}


def energy_score(model: Any, batch: Batch, key: Key | None, /, *, samples: int = 512) -> tuple[Array, Metrics]:
    """Return the energy score of the generated distribution at every example, E‖G − x‖ − ½E‖G − G′‖.

    A proper scoring rule for a model that can only be sampled: its mean over real rows is smallest for the true
    distribution, and exceeds that smallest value by half the (squared) energy distance. It ranks epochs and members
    where the players' own losses say nothing. The generated examples are shared by all rows of the batch.

    Args:
        model: has `generate(key, n, cond)`.
        batch: real x (n, ...), cond (n, ...) or None; the samples get the conditions of the batch in turn.
        key: draws the generated examples.
        samples: how many are drawn, ≥ 2.

    Returns:
        (n,) in the units of x; no metrics.

    Raises:
        TypeError: if samples is not a whole number, and for arguments that are not as above.
        ValueError: if key is None, samples < 2, or the generated examples have another shape than those of x.

    References:
        Gneiting & Raftery, Strictly proper scoring rules, prediction, and estimation, 2007.
    """
    if key is None:
        raise ValueError("key is None, but the energy score needs generated examples: give a key")
    checks.loss_arguments(model, batch, key, "generate")
    checks.whole("samples", samples, low=2)
    cond = None if batch.cond is None else jnp.asarray(batch.cond)[jnp.arange(samples) % len(batch.x)]
    drawn = model.generate(key, samples, cond)
    checks.same_shape("each generated example", drawn.shape[1:], "one of x of batch", batch.x.shape[1:])
    size = math.prod(batch.x.shape[1:])
    x, drawn = jnp.reshape(batch.x, (len(batch.x), size)), drawn.reshape(samples, size)

    def distances(a: Array, b: Array) -> Array:
        return _root(((a[:, None] - b[None]) ** 2).sum(-1))

    among = distances(drawn, drawn).sum() / (samples * (samples - 1))
    return distances(x, drawn).mean(1) - 0.5 * among, {}
