"""JAX's own random bits, drawn faster by a CPU: a choice of speed alone."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl

from jaxae.types import Array, Key

__all__ = ["fold_in", "split", "unrolled"]

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA


def unrolled(key: Key) -> Key:
    """Return a key of the same bits, to draw from at once: whatever is drawn of it is what the given one gives.

    On a CPU JAX compiles Threefry as a loop, which hands four rounds at a time from one array to the next; there this
    is one pass over the words drawn. A key of another generator, or for another device, comes back as it is.

    It is another kind of key, which `jax.random.poisson` does not take: so it stays where it is made, and keys that are
    handed on to losses, models and learners are plain ones.

    Measured on x86-64 with AVX-512: networks with dropout train faster by a fifth to a quarter.

    Examples:
        >>> key = jax.random.key(0)
        >>> bool((jax.random.bits(unrolled(key), (5,)) == jax.random.bits(key, (5,))).all())
        True

    References:
        Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011.
    """
    if str(jax.random.key_impl(key)) != "threefry2x32" or not jax.config.jax_threefry_partitionable:  # type: ignore[attr-defined]
        return key
    if jax.default_backend() != "cpu":
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=UNROLLED)


def split(key: Key, number: int = 2) -> Key:
    """Return what `jax.random.split(key, number)` returns, faster on a CPU."""
    return _plain(jax.random.split(unrolled(key), number), key)


def fold_in(key: Key, data: Any) -> Key:
    """Return what `jax.random.fold_in(key, data)` returns, faster on a CPU."""
    return _plain(jax.random.fold_in(unrolled(key), data), key)


def _plain(keys: Key, like: Key) -> Key:
    return jax.random.wrap_key_data(jax.random.key_data(keys), impl=jax.random.key_impl(like))


@jax.jit
def _threefry(key: Array, high: Array, low: Array) -> tuple[Array, Array]:
    """Return the two words that Threefry-2x32 in 20 rounds makes of the two words of a counter.

    Compiled by itself, so that draws of one shape are traced and lowered once.
    """
    words = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(PARITY))
    high, low = high + words[0], low + words[1]
    for i in range(5):
        for places in ROTATIONS[i % 2]:
            high = high + low
            low = high ^ ((low << jnp.uint32(places)) | (low >> jnp.uint32(32 - places)))
        high, low = high + words[(i + 1) % 3], low + words[(i + 2) % 3] + jnp.uint32(i + 1)
    return high, low


def _counted(key: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    size = math.prod(shape)
    if size > 2**32:
        raise ValueError(f"an array of shape {shape} is larger than one draw of 2³² numbers: draw it in parts")
    return _threefry(key, jnp.uint32(0), jax.lax.iota(jnp.uint32, size).reshape(shape))


def _seed(seed: Any) -> Array:
    raise TypeError("these keys are made of others: unrolled(jax.random.key(seed))")


def _split(key: Array, shape: tuple[int, ...]) -> Array:
    return jnp.stack(_counted(key, shape), -1)


def _fold_in(key: Array, data: Any) -> Array:
    return jnp.stack(_threefry(key, jnp.uint32(0), jnp.asarray(data).astype(jnp.uint32)))


def _random_bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    kind = jnp.dtype(f"uint{width}")

    def draw(_: Any, __: Any) -> Array:
        high, low = _counted(key, shape)
        if width == 64:
            return (high.astype(kind) << kind.type(32)) | low.astype(kind)
        return (high ^ low).astype(kind)

    # A loop of one turn, as XLA does not know: or it would draw the bits anew wherever they are used, number by number.
    once = jax.lax.optimization_barrier(jnp.int32(1))
    return jax.lax.fori_loop(0, once, draw, jnp.zeros(shape, kind))


UNROLLED = define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="threefry2x32_unrolled",
    tag="unrolled",
)
