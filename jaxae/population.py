"""Many runs as one program: a member is a pure function of a key and hyperparameters, a population is all of them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from jaxae import checks
from jaxae.types import Array, Key

__all__ = ["grid", "points", "spread", "sweep"]


def grid(**axes: Iterable[Any]) -> dict[str, Array]:
    """Return the Cartesian product of the axes as columns, the last axis varying fastest.

    Args:
        **axes: values of each hyperparameter, numbers.

    Returns:
        {name: (points,)} with points the product of the axes' lengths; floats are float32.

    Raises:
        ValueError: without axes, or for an empty or non-finite one.
        TypeError: for values that are no numbers.

    Examples:
        >>> {name: column.tolist() for name, column in grid(beta=[1, 4], rate=[0.5, 0.25]).items()}
        {'beta': [1, 1, 4, 4], 'rate': [0.5, 0.25, 0.5, 0.25]}
    """
    if not axes:
        raise ValueError("grid was given no axis: grid(beta=[1, 4])")
    values = {name: np.asarray(list(axis)) for name, axis in axes.items()}
    for name, axis in values.items():
        if not axis.size:
            raise ValueError(f"axis {name} is empty, but needs at least one value")
        if axis.ndim != 1 or not np.issubdtype(axis.dtype, np.number):
            raise TypeError(
                f"axis {name} holds {axis.dtype} of shape {axis.shape}, but must hold plain numbers: "
                "compare architectures in separate sweeps"
            )
        if not np.isfinite(axis).all():
            raise ValueError(f"axis {name} is {axis.tolist()}, but its values must be finite")
    columns = np.meshgrid(*values.values(), indexing="ij")
    return {name: jnp.asarray(column.ravel()) for name, column in zip(values, columns, strict=True)}


def spread(member: Callable[..., Any], mesh: Mesh | None = None, lanes: int | None = None) -> Callable[..., Any]:
    """Return `members(mapped, shared)`: member(mapped[i], shared) for every i, spread over the devices of the mesh.

    The members never communicate. Each device takes an equal share; what is missing to one is padded with copies of
    the first members and cut off again.

    Args:
        member: (tree, shared tree) -> tree.
        mesh: with Auto axes, over all of which members are spread; None uses the default device.
        lanes: vmap at most this many members together, padded to exactly so many, one group after another: then a
            member's bits do not depend on who runs with it. None vmaps all of a device's members at once.

    Returns:
        (mapped with a leading axis on every leaf, shared) -> tree with that leading axis on every leaf.

    Raises:
        TypeError, ValueError: if lanes is no whole number ≥ 1, or the mesh has Explicit axes.

    Examples:
        >>> import jax.numpy as jnp
        >>> spread(lambda a, b: a * b)(jnp.arange(3.0), 2.0).tolist()
        [0.0, 2.0, 4.0]
    """
    if lanes is not None:
        checks.whole("lanes", lanes)
    if mesh is not None and any(kind != jax.sharding.AxisType.Auto for kind in mesh.axis_types):
        raise ValueError(
            f"the mesh has axes of type {mesh.axis_types}, but members need Auto axes: jax.make_mesh(shape"
            ", names, axis_types=(jax.sharding.AxisType.Auto,) * len(names))"
        )
    together = jax.vmap(member, in_axes=(0, None))

    def grouped(mapped: Any, shared: Any, groups: Array) -> Any:
        """Run groups of `lanes` members one after another.

        The number of groups is a run-time value and their place never known: XLA inlines a loop that it knows to run
        once, hoists a body that is the same every time, and may round either differently
        (tests/laws/test_population.py fails without this).
        """
        leaves, tree = jax.tree.flatten(mapped)
        # Keys travel as plain words and become keys again in each group: every group takes other ones.
        impls = [jax.random.key_impl(leaf) if checks.is_key(leaf) else None for leaf in leaves]
        words = [leaf if impl is None else jax.random.key_data(leaf) for leaf, impl in zip(leaves, impls, strict=True)]
        folded = [leaf.reshape(-1, lanes, *leaf.shape[1:]) for leaf in words]
        count = len(folded[0])
        if count == 1:
            folded = [jnp.concatenate([leaf, leaf]) for leaf in folded]

        def group(i: Array | int) -> Any:
            own = [leaf[i] for leaf in folded]
            keyed = [
                leaf if impl is None else jax.random.wrap_key_data(leaf, impl=impl)
                for leaf, impl in zip(own, impls, strict=True)
            ]
            return together(jax.tree.unflatten(tree, keyed), shared)

        def one(i: Array, out: Any) -> Any:
            return jax.tree.map(lambda everyone, new: everyone.at[i].set(new), out, group(i))

        empty = jax.tree.map(lambda leaf: jnp.zeros((count, *leaf.shape), leaf.dtype), jax.eval_shape(group, 0))
        out = jax.lax.fori_loop(0, groups, one, empty)
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), out)

    def on_device(mapped: Any, shared: Any, groups: Array) -> Any:
        return together(mapped, shared) if lanes is None else grouped(mapped, shared, groups)

    if mesh is not None:
        axes = PartitionSpec(mesh.axis_names)
        # check_vma=False: with it, the gradient of a leaf that does not depend on the member (a bias that starts at
        # zero) is summed over the devices, silently (tests/laws/test_population.py fails without this).
        on_device = jax.shard_map(
            on_device,
            mesh=mesh,
            in_specs=(axes, PartitionSpec(), PartitionSpec()),
            out_specs=axes,
            check_vma=False,
        )
    compiled = jax.jit(on_device)
    width = (1 if mesh is None else mesh.size) * (lanes or 1)

    def members(mapped: Any, shared: Any) -> Any:
        count = len(jax.tree.leaves(mapped)[0])
        missing = -count % width
        if missing:
            padded = np.arange(count + missing) % count
            mapped = jax.tree.map(lambda leaf: leaf[padded], mapped)
        groups = jnp.asarray((count + missing) // width, jnp.int32)
        out = compiled(mapped, shared, groups)
        return jax.tree.map(lambda leaf: leaf[:count], out) if missing else out

    return members


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
        TypeError, ValueError: for keys that are not typed keys of shape (seeds,), columns of different lengths, and
            chunk or lanes that are no whole numbers ≥ 1.

    Examples:
        >>> import jax
        >>> population = sweep(lambda key, scale: scale * jax.random.normal(key))
        >>> population(jax.random.split(jax.random.key(0), 3), grid(scale=[1.0, 2.0])).shape
        (2, 3)
    """
    if chunk is not None:
        checks.whole("chunk", chunk)
    run = spread(lambda pair, _: member(pair[0], **pair[1]), mesh, lanes)

    def population(keys: Key, hparams: Mapping[str, Array] | None = None) -> Any:
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


def points(hparams: Mapping[str, Any]) -> int:
    """Return the number of grid points of columns {name: (points,)}, 1 without columns.

    Raises:
        ValueError: for columns of different lengths, empty ones, and what is no column.

    Examples:
        >>> points({"beta": [0.5, 1.0, 2.0]}), points({})
        (3, 1)
    """
    lengths = {name: np.shape(column) for name, column in hparams.items()}
    if any(len(shape) != 1 or not shape[0] for shape in lengths.values()) or len(set(lengths.values())) > 1:
        raise ValueError(f"hparams have shapes {lengths}, but must be columns of one length: use grid(...)")
    return next(iter(lengths.values()))[0] if lengths else 1


def _in_chunks(run: Callable[..., Any], pairs: Any, chunk: int) -> Any:
    count = len(pairs[0])
    chunk = min(chunk, count)
    parts = []
    for first in range(0, count, chunk):
        # The last chunk is filled up to the size of the others, so that one program serves all of them.
        rows = np.arange(first, first + chunk) % count
        part = jax.device_get(run(jax.tree.map(lambda leaf, rows=rows: leaf[rows], pairs), None))
        parts.append(part)
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:count], *parts)
