"""Which axis of a matrix of examples runs through memory: a choice of speed alone."""

import math
import os

import jax

from jaxae.types import Array

__all__ = ["events", "feature_major"]

NARROW = 2
"""A CPU holds examples as (features, n) where they are at least so many times as many as their features.

Measured on x86-64 with AVX-512, on one thread, batches of 1,000: networks of 64 to 128 units train faster by a sixth
to a third; networks of 512 units and batches of 128 are slower by a tenth."""
SHARED = 128
"""Features from which on a program that has several threads shares products of (n, features) better among them.

Measured there on two threads: networks of 64 units train faster by a tenth as columns, those of 128 slower by a
tenth."""

AROUND = 5
"""A network's widest layer is usually about so many times as wide as the event that it ends in."""


def feature_major(n: int, width: int) -> bool:
    """Return whether n examples of at most so many features are best held as (features, n).

    On a CPU products, biases and sums over an example are faster so where the examples outnumber the features, since
    rows of a few numbers are too short for its vectors. A device of its own for every core, as populations have them,
    is one thread. Accelerators take rows as they come.

    Examples:
        >>> feature_major(100, 784)
        False
    """
    if n < NARROW * width or jax.default_backend() != "cpu":
        return False
    return width < SHARED or (os.cpu_count() or 1) <= jax.device_count()


def events(*arrays: Array) -> tuple[tuple[Array, ...], int]:
    """Return arrays (n, ...) as matrices, (n, event) or (event, n), and the axis of the event in them.

    They lie as the usual network around such an event lies, so that nothing is turned between the two.

    Examples:
        >>> import jax.numpy as jnp
        >>> (x,), axis = events(jnp.ones((5, 2, 1)))
        >>> x.sum(axis).tolist()
        [2.0, 2.0, 2.0, 2.0, 2.0]
    """
    flat = tuple(array.reshape(array.shape[0], math.prod(array.shape[1:])) for array in arrays)
    n, width = flat[0].shape
    if not feature_major(n, AROUND * width):
        return flat, -1
    return tuple(array.T for array in flat), 0
