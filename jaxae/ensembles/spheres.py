"""Networks that draw the rows of a table together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxae.ensembles.families import widened
from jaxae.ensembles.tables import Table
from jaxae.types import Array, Batch, Key, Loss, Variables

__all__ = ["Spheres"]

LEAST = 0.1
"""Distance from 0 that a coordinate of a centre has at least, since a network without biases reaches 0 by weights of 0;
the paper's."""
BEGIN = 2**10
"""Rows of which the centre is the mean."""


class _Linear(nn.Module):
    """Dense layers without biases, with which every row could be mapped to one point."""

    widths: tuple[int, ...]
    activation: Callable[[Array], Array]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for i, width in enumerate(self.widths):
            x = nn.Dense(width, use_bias=False, name=f"Dense_{i}")(self.activation(x) if i else x)
        return x


class _Sphere(nn.Module):
    """A row's place beside the centre."""

    encoder: nn.Module

    @nn.compact
    def __call__(self, x: Array) -> Array:
        z = self.encoder(x)
        return z - self.variable("centre", "centre", jnp.zeros, z.shape[-1:]).value[None]


@dataclass(frozen=True)
class Spheres:
    """Networks without biases that learn to map rows near a centre, which stays where their first outputs lie.

    A row's value is its squared distance from the centre. What an entry adds to it is exact: the network is
    homogeneous, f(x) = J(x)·x with J its Jacobian, so that ‖f − c‖² is the sum over the columns of ⟨f − c, J·x⟩, and
    −⟨f − c, c⟩, which is shared equally.

    Attributes:
        widths: of all layers, the last the dimension of the sphere.
        activation: between them, with a(t·x) = t·a(x) for t > 0, and unbounded.

    References:
        Ruff et al., Deep one-class classification, 2018.
    """

    widths: tuple[int, ...]
    activation: Callable[[Array], Array] = nn.leaky_relu
    relative = True

    def model(self, columns: int) -> _Sphere:
        """Return the model of tables that are padded to so many columns."""
        return _Sphere(_Linear(self.widths, self.activation))

    def begin(self, model: Any, key: Key, table: Table, share: Array) -> Variables:
        """Return the variables with which training on a table begins: the centre is the mean of the first outputs."""
        variables = widened(model.init(key, table.x[:1]), table)
        rows = jnp.arange(min(BEGIN, len(table.x)))
        placed = model.apply(variables, jnp.asarray(table.x)[rows])
        mean = jnp.where((rows < table.n)[:, None], placed, 0).sum(0) / jnp.minimum(table.n, len(rows))
        apart = jnp.where(mean < 0, -1.0, 1.0) * jnp.maximum(jnp.abs(mean), LEAST)
        return {**variables, "centre": {"centre": apart}}

    def loss(self, mask: Array, noise: Array) -> Loss:
        """Return the squared distance from the centre; noise is not used."""

        def distance(model: Any, batch: Batch, key: Key | None, /) -> Any:
            return (model(batch.x) ** 2).sum(1), {}

        return distance

    def found(self, model: Any, variables: Variables, x: Array, mask: Array, key: Key) -> tuple[Array, Array]:
        """Return what the entries add to the squared distance, and the rows as they are: nothing is reconstructed."""

        def total(x: Array) -> tuple[Array, Array]:
            values = (model.apply(variables, x) ** 2).sum(1)
            return values.sum(), values

        slopes, values = jax.grad(total, has_aux=True)(x)
        own = 0.5 * slopes * x
        return own + ((values - own.sum(1)) / mask.sum())[:, None] * mask[None], x
