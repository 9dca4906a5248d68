"""Corruptions: `(key, x) -> x` of the same shape, for denoising and for tests of robustness.

A rate or scale is an ordinary argument: bind it with `functools.partial(noise.gaussian, scale=0.5)`, or trace it.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxae import checks
from jaxae.threefry import unrolled
from jaxae.types import Array, Key

__all__ = ["dropout", "gaussian", "masking", "salt_and_pepper"]


def gaussian(key: Key, x: Array, *, scale: float | Array = 0.1, clip: tuple[float, float] | None = None) -> Array:
    """Return x + scale·ε with ε ~ N(0, 1), optionally clipped to a range.

    Args:
        key: typed key.
        x: (n, ...) examples.
        scale: standard deviation of the noise, ≥ 0, in the units of x.
        clip: (low, high) to which the result is clipped, for data that live in a range.

    Returns:
        (n, ...) noisy examples.

    Raises:
        TypeError: if key is no typed key, or x holds no floats.
        ValueError: if scale is negative or clip is not low < high.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> gaussian(jax.random.key(0), jnp.zeros((2, 3)), scale=0.5).shape
        (2, 3)

    References:
        Vincent et al., Extracting and composing robust features with denoising autoencoders, 2008.
    """
    _check(key, x)
    checks.not_negative("scale", scale)
    if clip is not None and (np.shape(clip) != (2,) or not clip[0] < clip[1]):
        raise ValueError(f"clip is {clip}, but must be (low, high) with low < high")
    noisy = x + scale * jax.random.normal(unrolled(key), x.shape, x.dtype)
    return noisy if clip is None else jnp.clip(noisy, *clip)


def salt_and_pepper(key: Key, x: Array, *, rate: float | Array = 0.1, low: float = 0.0, high: float = 1.0) -> Array:
    """Return x with a share `rate` of its entries replaced, half by `low` (pepper) and half by `high` (salt).

    Args:
        key: typed key.
        x: (n, ...) examples.
        rate: expected share of replaced entries, from 0 to 1.
        low: the value of pepper.
        high: the value of salt.

    Returns:
        (n, ...) noisy examples.

    Raises:
        TypeError: if key is no typed key, or x holds no floats.
        ValueError: if rate is outside [0, 1], or low or high is not finite.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> sorted(set(salt_and_pepper(jax.random.key(0), jnp.full((100,), 0.5), rate=1.0).tolist()))
        [0.0, 1.0]
    """
    _check(key, x)
    checks.fraction("rate", rate)
    for name, value in (("low", low), ("high", high)):
        checks.finite(name, value)
    # Not in the dtype of x: bfloat16 has 128 numbers in [0, 1), too few for a small rate.
    draw = jax.random.uniform(unrolled(key), x.shape)
    return jnp.where(draw < rate / 2, low, jnp.where(draw < rate, high, x))


def masking(key: Key, x: Array, *, rate: float | Array = 0.3) -> Array:
    """Return x with a share `rate` of its entries set to 0.

    Args:
        key: typed key.
        x: (n, ...) examples.
        rate: expected share of zeroed entries, from 0 to 1.

    Returns:
        (n, ...) masked examples; what is kept is not rescaled.

    Raises:
        TypeError: if key is no typed key, or x holds no floats.
        ValueError: if rate is outside [0, 1].

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> masking(jax.random.key(0), jnp.ones((2, 3)), rate=1.0).sum().item()
        0.0

    References:
        Vincent et al., Stacked denoising autoencoders, 2010.
    """
    _check(key, x)
    checks.fraction("rate", rate)
    return jnp.where(jax.random.uniform(unrolled(key), x.shape) < rate, 0, x)


def dropout(key: Key, x: Array, *, rate: float | Array = 0.3) -> Array:
    """Return x with a share `rate` of its entries set to 0 and the others divided by 1 − rate, so that E[result] = x.

    Args:
        key: typed key.
        x: (n, ...) examples.
        rate: expected share of zeroed entries, from 0 up to but not including 1.

    Returns:
        (n, ...) noisy examples.

    Raises:
        TypeError: if key is no typed key, or x holds no floats.
        ValueError: if rate is outside [0, 1).

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> sorted(set(dropout(jax.random.key(0), jnp.ones((100,)), rate=0.5).tolist()))
        [0.0, 2.0]

    References:
        Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, 2014.
    """
    _check(key, x)
    checks.fraction("rate", rate)
    if not isinstance(rate, jax.core.Tracer) and rate == 1:
        raise ValueError("rate is 1, but dropout rescales by 1/(1 − rate): use noise.masking to blank everything")
    return jnp.where(jax.random.uniform(unrolled(key), x.shape) < rate, 0, x / (1 - rate))


def _check(key: Key, x: Array) -> None:
    checks.typed_key(key)
    checks.floats("x", x)
