"""Runs of a function of a key and hyperparameters, all of them one program."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxae import checks
from jaxae.hyperparameters import points
from jaxae.population.spreading import spread
from jaxae.types import Array, Key

__all__ = ["sweep"]


def sweep(
    member: Callable[..., Any], mesh: Mesh | None = None, chunk: int | None = None, lanes: int | None = None
) -> Callable[..., Any]:
    """Return `population(keys, hparams={})`: member(key, **point) for every grid point and every key.

    One compiled program, spread over the devices of the mesh. A member equals the same call alone, to rounding (vmap
    changes a member's last bits with the size of the population); with `lanes`, to the bit whatever the population.

    Args:
        member: (key, **hparams) -> tree of arrays: usually a call of `train`.
        mesh: with Auto axes, over all of which members are spread; None uses the default device.
        chunk: run at most this many members at a time, each chunk's results moved to host memory before the next
            (they come back as NumPy arrays): bounded device memory.
        lanes: vmap members in groups of exactly this width.

    Returns:
        (keys (seeds,), hparams {name: (points,)}) -> the member's tree with leading axes (points, seeds), or (seeds,)
        without hparams.

    Raises:
        TypeError, ValueError: for keys that are not typed keys of shape (seeds,), columns of different lengths or of no
            argument of member, and member, mesh, chunk or lanes that are not as above.

    Examples:
        >>> import jax
        >>> from jaxae.hyperparameters import grid
        >>> population = sweep(lambda key, scale: scale * jax.random.normal(key))
        >>> population(jax.random.split(jax.random.key(0), 3), grid(scale=[1.0, 2.0])).shape
        (2, 3)
    """
    checks.function("member", member, "lambda key, lr: ja.train(...)")
    if chunk is not None:
        checks.whole("chunk", chunk)
    run = spread(lambda pair, _: member(pair[0], **pair[1]), mesh, lanes)

    parameters = inspect.signature(member).parameters.values()
    named = None
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        named = [parameter.name for parameter in parameters][1:]

    def population(keys: Key, hparams: Mapping[str, Array] | None = None) -> Any:
        if named is not None:
            checks.known("hyperparameter of the member", hparams or {}, named)
        count = points(hparams or {})
        columns = {name: jnp.asarray(column) for name, column in (hparams or {}).items()}
        seeds = keys.shape[0] if getattr(keys, "shape", ()) else 1
        checks.typed_key(keys, (seeds,))
        checks.whole("the number of keys", seeds)
        seed, point = np.tile(np.arange(seeds), count), np.repeat(np.arange(count), seeds)
        pairs = (keys[seed], {name: column[point] for name, column in columns.items()})
        out = run(pairs, None) if chunk is None else _in_chunks(run, pairs, chunk)
        return jax.tree.map(lambda leaf: leaf.reshape(count, seeds, *leaf.shape[1:]), out) if columns else out

    return population


def _in_chunks(run: Callable[..., Any], pairs: Any, chunk: int) -> Any:
    count = len(pairs[0])
    chunk = min(chunk, count)
    parts = []
    for first in range(0, count, chunk):
        # The last chunk is filled up to the size of the others, so that one program serves all of them.
        rows = np.arange(first, first + chunk) % count
        part = run(jax.tree.map(lambda leaf, rows=rows: leaf[rows], pairs), None)
        # Keys have no form on the host.
        parts.append(jax.tree.map(lambda leaf: leaf if checks.is_key(leaf) else jax.device_get(leaf), part))
    return jax.tree.map(lambda *leaves: (jnp if checks.is_key(leaves[0]) else np).concatenate(leaves)[:count], *parts)
