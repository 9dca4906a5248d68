"""Keys as plain words and back: what copies, saves or spreads arrays of any type takes words, and keys are none."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxae import checks

__all__ = ["like", "words"]


def words(leaf: Any) -> Any:
    """Return the words of keys, (..., words of a key) uint32; whatever else comes back as it is.

    Examples:
        >>> words(jax.random.key(3)).tolist(), words(0.5)
        ([0, 3], 0.5)
    """
    return jax.random.key_data(leaf) if checks.is_key(leaf) else leaf


def like(words: Any, key: Any) -> Any:
    """Return words as keys of the generator that a key is of; where that is no key, they come back as they are.

    Args:
        words: (..., words of a key) uint32.
        key: of any shape, or its description (`jax.ShapeDtypeStruct`), or what is no key.

    Examples:
        >>> key = jax.random.key(3, impl="rbg")
        >>> bool(like(jax.random.key_data(key), key) == key), like(0.5, 1.0)
        (True, 0.5)
    """
    if not checks.is_key(key):
        return words
    # Of a description JAX does not tell the generator, of a key of its type it does.
    one = key if isinstance(key, jax.Array) else jnp.empty((), key.dtype)
    return jax.random.wrap_key_data(words, impl=jax.random.key_impl(one))
