"""What one device runs: members in groups, one after another."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxae import keys
from jaxae.types import Array

__all__ = ["activations", "filled", "grouped"]


def filled(groups: Callable[..., Any], width: int) -> Callable[..., Any]:
    """Return what runs whole groups of members, filled up with copies of the first and cut off again."""

    def on_device(mapped: Any, shared: Any, number: Array) -> Any:
        share = len(jax.tree.leaves(mapped)[0])
        rows = np.arange(share + -share % width) % share
        if len(rows) == share:
            return groups(mapped, shared, number)
        out = groups(jax.tree.map(lambda leaf: leaf[rows], mapped), shared, number)
        return jax.tree.map(lambda leaf: leaf[:share], out)

    return on_device


def grouped(own: Callable[..., Any], together: Callable[..., Any], width: int, in_place: bool) -> Callable[..., Any]:
    """Return what runs groups of `width` members one after another.

    The number of groups is a run-time value and their place never known: XLA inlines a loop that it knows to run
    once, hoists a body that is the same every time, and may round either differently
    (tests/laws/test_population.py fails without this).
    """

    def on_device(mapped: Any, shared: Any, groups: Array) -> Any:
        leaves, tree = jax.tree.flatten(mapped)
        # Keys travel as plain words and become keys again in each group: every group takes other ones.
        words = [keys.words(leaf) for leaf in leaves]
        # A group's states are read where they will be written. They keep their shape: XLA copies what is reshaped.
        states = words[: len(jax.tree.leaves(mapped[0]))] if in_place else []
        own_words = words[len(states) :]
        if len(words[0]) == width:
            own_words = [jnp.concatenate([leaf, leaf]) for leaf in own_words]

        def group(i: Array | int, states: list[Array]) -> Any:
            rows = [jax.lax.dynamic_slice_in_dim(leaf, i * width, width) for leaf in (*states, *own_words)]
            keyed = [keys.like(row, leaf) for row, leaf in zip(rows, leaves, strict=True)]
            if width > 1:
                return together(jax.tree.unflatten(tree, keyed), shared)
            alone = own(jax.tree.unflatten(tree, [leaf[0] for leaf in keyed]), shared)
            return jax.tree.map(lambda leaf: leaf[None], alone)

        def one(i: Array, out: list[Array]) -> list[Array]:
            new = jax.tree.leaves(group(i, out[: len(states)]))
            for at in range(len(states)):
                new[at] = keys.words(new[at])
            return [
                jax.lax.dynamic_update_slice_in_dim(everyone, leaf, i * width, 0)
                for everyone, leaf in zip(out, new, strict=True)
            ]

        shapes, out_tree = jax.tree.flatten(jax.eval_shape(group, 0, states))
        members = len(words[0])
        empty = [jnp.zeros((members, *leaf.shape[1:]), leaf.dtype) for leaf in shapes[len(states) :]]
        out = jax.lax.fori_loop(0, groups, one, [*states, *empty])
        for at, leaf in enumerate(leaves[: len(states)]):
            out[at] = keys.like(out[at], leaf)
        return jax.tree.unflatten(out_tree, out)

    return on_device


def activations(jaxpr: Any) -> int:
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
