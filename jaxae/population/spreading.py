"""Members spread over devices."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxae import checks
from jaxae.population.devices import DATA, alone, check_axes, on_each, partitioned, put
from jaxae.population.groups import activations, filled, grouped
from jaxae.types import Array

__all__ = ["spread"]

TOGETHER = 100_000
"""Bytes that the largest activations of members that a CPU trains together may take: about half of a core's cache.

Measured on x86-64 with AVX-512: smaller members are faster under vmap, larger ones one after another."""


def spread(
    member: Callable[..., Any],
    mesh: Mesh | None = None,
    lanes: int | None = None,
    in_place: bool = False,
    by_itself: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Return `members(mapped, shared)`: member(mapped[i], shared) for every i, spread over the devices of the mesh.

    The members never communicate. Each device takes an equal share; what is missing to one is padded with copies of
    the first members and cut off again.

    On a mesh of several processes every process gives the same arrays, or those that such a call returned, and gets
    ones that are spread over all of them. Where the members are no multiple of the devices every device holds all of
    them between two calls, and they are exchanged at the end of each.

    Args:
        member: (tree, shared tree) -> tree.
        mesh: with Auto axes, over all of which members are spread, but for one called "data", over which a member may
            spread its rows; None uses the default device.
        lanes: vmap at most this many members together, padded to exactly so many, one group after another: then a
            member's bits do not depend on who runs with it, nor on the number of devices. (On a CPU they do on that of
            XLA's threads: as many as cores, or as devices where these are more; the variable NPROC stands for the
            cores.) None chooses: accelerators vmap all of a device's
            members, a CPU as many as have activations of `TOGETHER` bytes, and larger ones one after another.
        in_place: a member takes ((state, own), shared) and returns (state, more), and its new state takes the place in
            memory of the one given, which is used up.
        by_itself: another program of what member does, for where members run one after another: it may branch and loop
            by a member's own values at no cost. None takes member.

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
    if mesh is not None:
        check_axes(mesh)
    names = () if mesh is None else tuple(name for name in mesh.axis_names if name != DATA)
    axes = PartitionSpec(names)
    devices = 1 if mesh is None else math.prod(mesh.shape[name] for name in names)
    rows = 1 if mesh is None else mesh.size // devices
    platform = jax.default_backend() if mesh is None else mesh.devices.flat[0].platform
    compiled: dict[Any, Any] = {}

    def program(mapped: Any, shared: Any, share: int, each: bool) -> tuple[Callable[..., Any], int]:
        """Return what runs a device's share of members, and the number of those that it runs together."""
        # Nothing of where arrays lie: in the program they lie otherwise, and a trace that knew would not fit.
        one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf)[1:], jnp.result_type(leaf)), mapped)
        all_of_them = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)), shared)
        known = (jax.tree.structure((one, all_of_them)), *map(str, jax.tree.leaves((one, all_of_them))), share, each)
        if known in compiled:
            return compiled[known]
        # Traced once, whatever is made of it below.
        jaxpr, shapes = jax.make_jaxpr(member, return_shape=True)(one, all_of_them)
        if lanes is not None:
            width = lanes
        elif platform == "cpu":
            fitting = max(1, TOGETHER // max(activations(jaxpr.jaxpr), 1))
            width = -(-share // -(-share // fitting))  # groups of one size: the fewer members are padded
        else:
            width = share
        grouping = lanes is not None or width != share
        if grouping and width == 1 and by_itself is not None:
            jaxpr, shapes = jax.make_jaxpr(by_itself, return_shape=True)(one, all_of_them)
        flat, tree = core.jaxpr_as_fun(jaxpr), jax.tree.structure(shapes)

        def own(mapped: Any, shared: Any) -> Any:
            leaves = flat(*jax.tree.leaves((mapped, shared)))
            # What never varies comes back as plain numbers.
            return jax.tree.unflatten(tree, [jnp.asarray(leaf) for leaf in leaves])

        together = jax.vmap(own, in_axes=(0, None))
        if grouping:
            on_device = filled(grouped(own, together, width, in_place), width)
        else:

            def on_device(mapped: Any, shared: Any, groups: Array) -> Any:
                return together(mapped, shared)

        if mesh is None:
            made = alone(on_device, in_place), width
        else:
            made = (on_each if each else partitioned)(on_device, mesh, axes, in_place), width
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
        share = -(-count // devices)
        missing = share * devices - count
        traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((mapped, shared)))
        if mesh is not None and not traced:
            mapped = put(mapped, mesh, PartitionSpec() if missing else axes)
            shared = put(shared, mesh, PartitionSpec())
        run, width = program(mapped, shared, share, lanes is not None and rows == 1 and not traced)
        if missing:
            mapped = _rows(mapped, np.arange(count + missing) % count)
            mapped = mapped if mesh is None or traced else put(mapped, mesh, axes)
        groups: Any = np.int32(-(-share // width))
        groups = jnp.asarray(groups) if mesh is None or traced else put(groups, mesh, PartitionSpec())
        out = run(mapped, shared, groups)
        return first(out, count) if missing else out

    first = jax.jit(
        lambda tree, count: jax.tree.map(lambda leaf: leaf[:count], tree),
        static_argnums=1,
        out_shardings=None if mesh is None else NamedSharding(mesh, PartitionSpec()),
    )
    return members


@jax.jit
def _rows(tree: Any, rows: Array) -> Any:
    # One program for all leaves: hundreds of small ones would take longer than many a chunk of training.
    return jax.tree.map(lambda leaf: leaf[rows], tree)
