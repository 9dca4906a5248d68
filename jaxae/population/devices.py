"""How a program runs on every device of a mesh."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxae import keys
from jaxae.hosts import place
from jaxae.types import Array, Batch, Key, Learner, Metrics, Variables

__all__ = ["DATA", "alone", "check_axes", "everywhere", "on_each", "over_rows", "partitioned", "put"]

DATA = "data"
"""The axis of a mesh over which the rows of a batch are spread."""


def check_axes(mesh: Any) -> None:
    """Refuse what is no mesh, or one whose axes are not Auto.

    Raises:
        TypeError: for what is no mesh.
        ValueError: for Explicit or Manual axes.

    Examples:
        >>> check_axes(jax.make_mesh((1,), ("data",), (jax.sharding.AxisType.Auto,), devices=jax.devices()[:1]))
    """
    if not isinstance(mesh, Mesh):
        raise TypeError(
            f"mesh is {type(mesh).__name__}, but must be a mesh of devices: jax.make_mesh((jax.device_count(),), "
            '("members",), axis_types=(jax.sharding.AxisType.Auto,))'
        )
    if any(kind != jax.sharding.AxisType.Auto for kind in mesh.axis_types):
        raise ValueError(
            f"the mesh has axes of type {mesh.axis_types}, but members need Auto axes: jax.make_mesh(shape"
            ", names, axis_types=(jax.sharding.AxisType.Auto,) * len(names))"
        )


def put(tree: Any, mesh: Mesh, spec: PartitionSpec) -> Any:
    """Return arrays on the devices of a mesh; those that lie so already stay where they are.

    Examples:
        >>> mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:1])
        >>> put(1.0, mesh, PartitionSpec()).sharding.is_fully_replicated
        True
    """
    if mesh.is_multi_process:
        return place(tree, mesh, spec)
    return jax.device_put(tree, NamedSharding(mesh, spec))


def partitioned(member: Callable[..., Any], mesh: Mesh, axes: PartitionSpec, in_place: bool) -> Callable[..., Any]:
    """Return `member(mapped, *shared)` as one program for all devices, each with its part of what is mapped.

    Args:
        member: (tree, *shared trees) -> tree.
        mesh: with Auto axes.
        axes: that the leading axis of every mapped leaf is spread over; what else the mesh has, members may use.
        in_place: the first part of what is mapped is used up.
    """
    names = {name for axis in axes for name in (axis if isinstance(axis, tuple) else (axis,))}

    def apart(mapped: Any, *shared: Any) -> Any:
        # check_vma=False: with it, the gradient of a leaf that does not depend on the member (a bias that starts
        # at zero) is summed over the devices, silently (tests/laws/test_population.py fails without this).
        spread = jax.shard_map(
            member,
            mesh=mesh,
            in_specs=(axes, *(PartitionSpec() for _ in shared)),
            out_specs=axes,
            axis_names=names,
            check_vma=False,
        )
        return spread(mapped, *shared)

    return alone(apart, in_place)


def on_each(member: Callable[..., Any], mesh: Mesh, axes: PartitionSpec, in_place: bool) -> Callable[..., Any]:
    """Return what `partitioned` does, from a program of its own for every device.

    What goes in lies on the devices already, in its parts. The program is compiled once for every device, but it is the
    one that a single device has: one for several devices XLA simplifies in another order, and rounds otherwise
    (tests/laws/test_population.py fails without this).
    """
    sharding = NamedSharding(mesh, axes)
    run = alone(member, in_place)
    local = [device for device in mesh.devices.flat if device.process_index == jax.process_index()]

    def call(mapped: Any, *shared: Any) -> Any:
        parts = zip(*(_parts(tree, local) for tree in (mapped, *shared)), strict=True)
        with ThreadPoolExecutor(len(local)) as pool:
            outs = list(pool.map(lambda own: run(*own), parts))
        leaves = zip(*map(jax.tree.leaves, outs), strict=True)
        return jax.tree.unflatten(jax.tree.structure(outs[0]), [_whole(list(each), sharding) for each in leaves])

    return call


def _parts(tree: Any, devices: list[Any]) -> list[Any]:
    """Return what every device holds of a tree."""
    leaves, structure = jax.tree.flatten(tree)
    held: list[list[Any]] = [[] for _ in devices]
    for leaf in leaves:
        own = {shard.device: shard.data for shard in keys.words(leaf).addressable_shards}
        for part, device in zip(held, devices, strict=True):
            part.append(keys.like(own[device], leaf))
    return [jax.tree.unflatten(structure, part) for part in held]


def _whole(parts: list[Array], sharding: NamedSharding) -> Array:
    """Return one array of what devices hold of it."""
    words = [keys.words(part) for part in parts]
    shape = (len(words[0]) * sharding.num_devices, *words[0].shape[1:])
    return keys.like(jax.make_array_from_single_device_arrays(shape, sharding, words), parts[0])


def alone(member: Callable[..., Any], in_place: bool) -> Callable[..., Any]:
    """Return what `partitioned` does on a single device."""
    if not in_place:
        return jax.jit(member)
    donating = jax.jit(lambda state, own, *rest: member((state, own), *rest), donate_argnums=0)
    return lambda mapped, *rest: donating(*mapped, *rest)


def over_rows(learner: Learner, mesh: Mesh) -> Learner:
    """Return the learner that has the rows of its batches spread over the axis "data" of a mesh.

    Its steps are those of the learner, to rounding: sums over the batch are made of a sum per device. What it draws is
    the same, and batch norm sees the whole batch.

    Args:
        learner: that takes the steps.
        mesh: with Auto axes, one of them called "data".

    Examples:
        >>> import jax.numpy as jnp
        >>> mean = Learner(lambda v: (), lambda v, s, batch, key: (v, s, {"mean": batch.x.mean()}))
        >>> mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:1])
        >>> float(over_rows(mean, mesh).step({}, (), Batch(jnp.arange(4.0)), jax.random.key(0))[2]["mean"])
        1.5
    """

    def step(variables: Variables, opt_state: Any, batch: Batch, key: Key) -> tuple[Variables, Any, Metrics]:
        def apart(leaf: Array) -> Array:
            return jax.lax.with_sharding_constraint(leaf, NamedSharding(mesh, PartitionSpec(DATA)))

        return learner.step(variables, opt_state, jax.tree.map(apart, batch), key)

    return Learner(learner.init, step)


def everywhere(member: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """Return `member(own, shared)` compiled for all devices of a mesh, each of which holds all that goes in and out.

    Args:
        member: (tree, shared tree) -> tree, which may spread what it computes, as `over_rows` does.
        mesh: with Auto axes.

    Examples:
        >>> mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:1])
        >>> float(everywhere(lambda own, shared: own + shared, mesh)(1.0, 2.0))
        3.0
    """
    whole = NamedSharding(mesh, PartitionSpec())
    compiled = jax.jit(member, out_shardings=whole)

    def call(own: Any, shared: Any) -> Any:
        own, shared = put((own, shared), mesh, PartitionSpec())
        return compiled(own, shared)

    return call
