"""Many runs as one program: a member is a pure function of a key and hyperparameters, a population is all of them."""

import functools
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.sharding import Mesh, PartitionSpec

from jaxae import checks
from jaxae.hyperparameters import points
from jaxae.types import Array, Key

__all__ = ["spread", "sweep"]

TOGETHER = 100_000
"""Bytes that the largest activations of members that a CPU trains together may take: about half of a core's cache.

Measured on x86-64 with AVX-512: smaller members are faster under vmap, larger ones one after another."""


def spread(
    member: Callable[..., Any], mesh: Mesh | None = None, lanes: int | None = None, in_place: bool = False
) -> Callable[..., Any]:
    """Return `members(mapped, shared)`: member(mapped[i], shared) for every i, spread over the devices of the mesh.

    The members never communicate. Each device takes an equal share; what is missing to one is padded with copies of
    the first members and cut off again.

    Args:
        member: (tree, shared tree) -> tree.
        mesh: with Auto axes, over all of which members are spread; None uses the default device.
        lanes: vmap at most this many members together, padded to exactly so many, one group after another: then a
            member's bits do not depend on who runs with it. None chooses: accelerators vmap all of a device's
            members, a CPU as many as have activations of `TOGETHER` bytes, and larger ones one after another.
        in_place: a member takes ((state, own), shared) and returns (state, more), and its new state takes the place in
            memory of the one given, which is used up.

    Returns:
        (mapped with a leading axis on every leaf, shared) -> tree with that leading axis on every leaf.

    Raises:
        TypeError, ValueError: if member is no function, lanes no whole number ≥ 1, or mesh no mesh with Auto axes; and
            when called, if the leaves of mapped have different lengths.

    Examples:
        >>> import jax.numpy as jnp
        >>> spread(lambda a, b: a * b)(jnp.arange(3.0), 2.0).tolist()
        [0.0, 2.0, 4.0]
    """
    checks.function("member", member, "lambda key, lr: ja.train(...)")
    if lanes is not None:
        checks.whole("lanes", lanes)
    if mesh is not None and not isinstance(mesh, Mesh):
        raise TypeError(
            f"mesh is {type(mesh).__name__}, but must be a mesh of devices: jax.make_mesh((jax.device_count(),), "
            '("members",), axis_types=(jax.sharding.AxisType.Auto,))'
        )
    if mesh is not None and any(kind != jax.sharding.AxisType.Auto for kind in mesh.axis_types):
        raise ValueError(
            f"the mesh has axes of type {mesh.axis_types}, but members need Auto axes: jax.make_mesh(shape"
            ", names, axis_types=(jax.sharding.AxisType.Auto,) * len(names))"
        )
    devices = 1 if mesh is None else mesh.size
    platform = jax.default_backend() if mesh is None else mesh.devices.flat[0].platform
    compiled: dict[Any, Any] = {}

    def program(mapped: Any, shared: Any, share: int) -> tuple[Callable[..., Any], int]:
        """Return what runs a device's share of members, and the number of those that it runs together."""
        one, all_of_them = (jax.tree.map(jax.typeof, tree) for tree in (mapped, shared))
        one = jax.tree.map(lambda aval: jax.ShapeDtypeStruct(aval.shape[1:], aval.dtype), one)
        known = (jax.tree.structure((one, all_of_them)), *map(str, jax.tree.leaves((one, all_of_them))), share)
        if known in compiled:
            return compiled[known]
        # Traced once, whatever is made of it below.
        jaxpr, shapes = jax.make_jaxpr(member, return_shape=True)(one, all_of_them)
        if lanes is not None:
            width = lanes
        elif platform == "cpu":
            fitting = max(1, TOGETHER // max(_activations(jaxpr.jaxpr), 1))
            width = -(-share // -(-share // fitting))  # groups of one size: the fewer members are padded
        else:
            width = share
        flat, tree = core.jaxpr_as_fun(jaxpr), jax.tree.structure(shapes)

        def own(mapped: Any, shared: Any) -> Any:
            leaves = flat(*jax.tree.leaves((mapped, shared)))
            # What never varies comes back as plain numbers.
            return jax.tree.unflatten(tree, [jnp.asarray(leaf) for leaf in leaves])

        together = jax.vmap(own, in_axes=(0, None))
        if lanes is None and width == share:

            def on_device(mapped: Any, shared: Any, groups: Array) -> Any:
                return together(mapped, shared)
        else:
            on_device = _grouped(own, together, width, in_place)
        if mesh is not None:
            axes = PartitionSpec(mesh.axis_names)
            # check_vma=False: with it, the gradient of a leaf that does not depend on the member (a bias that starts
            # at zero) is summed over the devices, silently (tests/laws/test_population.py fails without this).
            on_device = jax.shard_map(
                on_device,
                mesh=mesh,
                in_specs=(axes, PartitionSpec(), PartitionSpec()),
                out_specs=axes,
                check_vma=False,
            )
        if in_place:
            made = jax.jit(lambda state, own, *rest: on_device((state, own), *rest), donate_argnums=0), width
        else:
            made = jax.jit(on_device), width
        if not any(isinstance(leaf, jax.core.Tracer) for leaf in jaxpr.consts):
            compiled[known] = made
        return made

    def members(mapped: Any, shared: Any) -> Any:
        lengths = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(mapped)}
        if len(lengths) != 1 or lengths & {(), (0,)}:
            raise ValueError(
                f"mapped has leaves of lengths {sorted(lengths)}, but all must have one row per member, at least one"
            )
        ((count,),) = lengths
        run, width = program(mapped, shared, -(-count // devices))
        missing = -count % (width * devices)
        if missing:
            mapped = _rows(mapped, np.arange(count + missing) % count)
        groups = jnp.asarray((count + missing) // (width * devices), jnp.int32)
        out = run(*mapped, shared, groups) if in_place else run(mapped, shared, groups)
        return _first(out, count) if missing else out

    return members


@jax.jit
def _rows(tree: Any, rows: Array) -> Any:
    # One program for all leaves: hundreds of small ones would take longer than many a chunk of training.
    return jax.tree.map(lambda leaf: leaf[rows], tree)


@functools.partial(jax.jit, static_argnums=1)
def _first(tree: Any, count: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[:count], tree)


def _grouped(own: Callable[..., Any], together: Callable[..., Any], width: int, in_place: bool) -> Callable[..., Any]:
    """Return what runs groups of `width` members one after another.

    The number of groups is a run-time value and their place never known: XLA inlines a loop that it knows to run
    once, hoists a body that is the same every time, and may round either differently
    (tests/laws/test_population.py fails without this).
    """

    def on_device(mapped: Any, shared: Any, groups: Array) -> Any:
        leaves, tree = jax.tree.flatten(mapped)
        # Keys travel as plain words and become keys again in each group: every group takes other ones.
        impls = [jax.random.key_impl(leaf) if checks.is_key(leaf) else None for leaf in leaves]
        words = [leaf if impl is None else jax.random.key_data(leaf) for leaf, impl in zip(leaves, impls, strict=True)]
        # A group's states are read where they will be written. They keep their shape: XLA copies what is reshaped.
        states = words[: len(jax.tree.leaves(mapped[0]))] if in_place else []
        own_words = words[len(states) :]
        if len(words[0]) == width:
            own_words = [jnp.concatenate([leaf, leaf]) for leaf in own_words]

        def group(i: Array | int, states: list[Array]) -> Any:
            rows = [jax.lax.dynamic_slice_in_dim(leaf, i * width, width) for leaf in (*states, *own_words)]
            keyed = [
                leaf if impl is None else jax.random.wrap_key_data(leaf, impl=impl)
                for leaf, impl in zip(rows, impls, strict=True)
            ]
            if width > 1:
                return together(jax.tree.unflatten(tree, keyed), shared)
            alone = own(jax.tree.unflatten(tree, [leaf[0] for leaf in keyed]), shared)
            return jax.tree.map(lambda leaf: leaf[None], alone)

        kinds = impls[: len(states)]

        def one(i: Array, out: list[Array]) -> list[Array]:
            new = jax.tree.leaves(group(i, out[: len(states)]))
            for place, impl in enumerate(kinds):
                new[place] = new[place] if impl is None else jax.random.key_data(new[place])
            return [
                jax.lax.dynamic_update_slice_in_dim(everyone, leaf, i * width, 0)
                for everyone, leaf in zip(out, new, strict=True)
            ]

        shapes, out_tree = jax.tree.flatten(jax.eval_shape(group, 0, states))
        members = len(words[0])
        empty = [jnp.zeros((members, *leaf.shape[1:]), leaf.dtype) for leaf in shapes[len(states) :]]
        out = jax.lax.fori_loop(0, groups, one, [*states, *empty])
        for place, impl in enumerate(kinds):
            out[place] = out[place] if impl is None else jax.random.wrap_key_data(out[place], impl=impl)
        return jax.tree.unflatten(out_tree, out)

    return on_device


def _activations(jaxpr: Any) -> int:
    """Return the bytes of the largest float array that a member computes, but for arrays of its parameters' shapes."""

    def equations(jaxpr: Any) -> Iterator[Any]:
        for equation in jaxpr.eqns:
            inside = list(core.jaxprs_in_params(equation.params))
            for inner in inside:
                yield from equations(inner)
            if not inside:
                yield equation

    def kind(aval: Any) -> tuple[int, ...]:
        return tuple(sorted(aval.shape))  # a gradient is made of kernels that were turned, too

    own = {kind(variable.aval) for variable in (*jaxpr.invars, *jaxpr.outvars)}
    return max(
        (
            math.prod(variable.aval.shape) * variable.aval.dtype.itemsize
            for equation in equations(jaxpr)
            for variable in equation.outvars
            if jnp.issubdtype(variable.aval.dtype, jnp.floating) and kind(variable.aval) not in own
        ),
        default=0,
    )


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
