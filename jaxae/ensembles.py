"""Ensembles of dense models on a table, whose programs are compiled for a few sizes and not for every table.

A table is padded to the next of a few widths and lengths. Padded columns are 0, are drawn around and are left out of
every loss, so that they change nothing; padded rows are never drawn. What else differs between two fits (rows, columns,
steps, learning rate, noise) is an argument of the program.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxae import checks
from jaxae.learner import descend, objective, trimmed
from jaxae.losses import reconstruction
from jaxae.models import AE
from jaxae.networks import MLP
from jaxae.population import spread
from jaxae.threefry import fold_in, unrolled
from jaxae.types import Array, Batch, Key, Variables

__all__ = ["POINTS", "Architecture", "Members", "Table", "padded", "scored", "shares", "trained"]

COLUMNS = (16, 48, 176)
"""Widths that tables are padded to; beyond them powers of two."""
ROWS = 2**14
"""Rows that a table is padded to; beyond them times 4."""
TOGETHER = 2**12
"""Rows that are scored together."""
POINTS = 50
"""Points of a history of losses."""


class Architecture(NamedTuple):
    """What a program is compiled for.

    Attributes:
        widths: of the hidden layers, from the table to the code and back.
        activation: after each of them.
        batch_size: rows of a step.
        trim: share of a batch's rows that a step leaves out, those that are fitted worst.
    """

    widths: tuple[int, ...]
    activation: Callable[[Array], Array]
    batch_size: int
    trim: float

    def model(self, columns: int) -> AE:
        """Return the model of so many columns."""
        half = -(-len(self.widths) // 2)
        # The last kernel is drawn by columns, so that those of a table are drawn alike however many it is padded to.
        return AE(
            MLP(self.widths[:half], self.activation, activate_final=True),
            MLP((*self.widths[half:], columns), self.activation, kernel_init=_by_columns),
        )


class Table(NamedTuple):
    """Rows and columns, and the zeros that they are padded with.

    Attributes:
        x: (rows, columns) float32.
        n: () int32 of the rows that are data.
        columns: () int32 of the columns that are.
    """

    x: Array | np.ndarray
    n: Any
    columns: Any

    @property
    def mask(self) -> Array:
        """(columns,) 1 for a column that is data, else 0."""
        return (jnp.arange(self.x.shape[1]) < self.columns).astype(jnp.float32)


class Members(NamedTuple):
    """What differs between the members of an ensemble; every field has one number for each.

    Attributes:
        noise: standard deviation of what is added to the rows in training, in standard deviations of a column.
        fold: of the rows that the member is not trained on, of `folds` ones, or -1 for none.
    """

    noise: Any
    fold: Any


class Held(NamedTuple):
    """What all members share.

    Attributes:
        table: the rows.
        folds: () int32, parts of equal size that the rows are shuffled into.
        order_key: of the shuffle.
        steps: () int32.
        learning_rate: () at the first step, from where it falls to 0 as a cosine.
    """

    table: Table
    folds: Any
    order_key: Key
    steps: Any
    learning_rate: Any


def _by_columns(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    return nn.initializers.variance_scaling(1.0, "fan_out", "truncated_normal")(key, shape[::-1], dtype).T


def padded(x: np.ndarray, rows: int | None = None) -> Table:
    """Return rows (n, columns) as a table that is padded in both directions.

    Args:
        x: (n, columns), finite.
        rows: to pad to, or None for the least of the usual numbers.

    Examples:
        >>> table = padded(np.ones((3, 20)))
        >>> table.x.shape, int(table.n), int(table.columns)
        ((16384, 48), 3, 20)
    """
    n, columns = x.shape
    wide = next((width for width in COLUMNS if columns <= width), 2 ** math.ceil(math.log2(columns)))
    if rows is None:
        rows = ROWS
        while rows < n:
            rows *= 4
    out = np.zeros((rows, wide), np.float32)
    out[:n, :columns] = x
    return Table(out, np.int32(n), np.int32(columns))


def shares(key: Key, n: Any, length: int, folds: Any) -> tuple[Array, Array]:
    """Return an order of n rows at random, (length,) of which the first n count, and the fold of every row.

    The rows of a fold stand side by side in the order, ⌊n/folds⌋ or one more of them.
    """
    at = jnp.arange(length)
    bits = jax.random.bits(unrolled(key), (length,)) >> 1
    order = jnp.argsort(jnp.where(at < n, bits, jnp.uint32(2**32 - 1)))
    fold = jnp.zeros(length, jnp.int32).at[order].set(at * folds // jnp.maximum(n, 1))
    return order, fold


def _training(architecture: Architecture, own: tuple[Key, Members], held: Held) -> tuple[Variables, Array]:
    """Return the variables of a member, and the sums of its losses (POINTS,) over equal parts of the run."""
    key, member = own
    table, mask = held.table, held.table.mask
    model = architecture.model(table.x.shape[1])
    init_key, draw_key, step_key = jax.random.split(key, 3)
    variables = model.init(init_key, table.x[:1])
    # The first kernel was drawn for as many inputs as the table is padded to.
    widen = jnp.sqrt(table.x.shape[1] / table.columns)
    variables = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf * widen if _names(path)[1:] == FIRST else leaf, variables
    )

    def noisy(key: Key, x: Array) -> Array:
        # Drawn by columns, as the last kernel is.
        draw = jax.random.normal(unrolled(key), x.shape[::-1]).T
        return x + member.noise * mask[None] * draw

    def error(made: Array, x: Array) -> Array:
        return ((made - x) ** 2 * mask[None]).sum(1) / mask.sum()

    def rate(count: Array) -> Array:
        return -held.learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * count / held.steps))

    loss = trimmed(functools.partial(reconstruction, nll=error, noise=noisy), architecture.trim)
    learner = descend(objective(model, loss), optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(rate)))
    order, _ = shares(held.order_key, table.n, len(table.x), held.folds)
    first, after = (-(-(member.fold + i) * table.n // held.folds) for i in range(2))
    left_out = jnp.where(member.fold < 0, 0, after - first)

    def step(i: Array, carry: tuple[Any, Any, Array]) -> tuple[Any, Any, Array]:
        variables, opt_state, losses = carry
        place = jax.random.randint(unrolled(fold_in(draw_key, i)), (architecture.batch_size,), 0, table.n - left_out)
        place = jnp.where(place >= first, place + left_out, place)
        batch = Batch(table.x[order[place]])
        variables, opt_state, metrics = learner.step(variables, opt_state, batch, fold_in(step_key, i))
        return variables, opt_state, losses.at[i * POINTS // held.steps].add(metrics["loss"])

    start = variables, learner.init(variables), jnp.zeros(POINTS)
    variables, _, losses = jax.lax.fori_loop(0, held.steps, step, start)
    return variables, losses


FIRST = ("encoder", "Dense_0", "kernel")


def _names(path: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(str(entry.key) for entry in path)


@functools.cache
def _program(architecture: Architecture) -> Callable[..., Any]:
    return spread(functools.partial(_training, architecture))


def trained(
    architecture: Architecture,
    table: Table,
    members: Members,
    key: Key,
    *,
    folds: int = 1,
    steps: int,
    learning_rate: float,
) -> tuple[Variables, np.ndarray, np.ndarray]:
    """Return the members' variables, their mean losses over parts of the run, and the fold of every row (n,).

    The losses are (members, POINTS), or (members, steps) where those are fewer.

    Args:
        architecture: of every member.
        table: that they are trained on.
        members: what differs between them.
        key: typed key of the whole.
        folds: that the rows are shuffled into.
        steps: of each, drawn from the rows with replacement.
        learning_rate: of Adam at the first step.
    """
    checks.typed_key(key)
    order_key, own_key = jax.random.split(key)
    keys = jax.random.split(own_key, len(members.noise))
    own = Members(np.asarray(members.noise, np.float32), np.asarray(members.fold, np.int32))
    held = Held(table, np.int32(folds), order_key, np.int32(steps), np.float32(learning_rate))
    variables, losses = _program(architecture)((keys, own), held)
    counts = np.diff(-(-np.arange(POINTS + 1) * steps // POINTS))
    losses = np.asarray(losses)[:, counts > 0] / counts[counts > 0]
    fold = _folds(order_key, table.n, len(table.x), np.int32(folds))
    return variables, losses, np.asarray(fold)[: int(table.n)]


@functools.partial(jax.jit, static_argnums=2)
def _folds(key: Key, n: Array, length: int, folds: Array) -> Array:
    return shares(key, n, length, folds)[1]


@functools.partial(jax.jit, static_argnums=0)
def _errors(architecture: Architecture, variables: Variables, table: Table, weights: Array) -> tuple[Array, Array]:
    model, mask = architecture.model(table.x.shape[1]), table.mask

    def one(variables: Variables) -> Array:
        made: Any = model.apply(variables, table.x)
        return (made - table.x) ** 2 * mask[None]

    def add(total: Array, own: tuple[Variables, Array]) -> tuple[Array, Array]:
        found = one(own[0])
        return total + own[1] * found, found.sum(1)

    return jax.lax.scan(add, jnp.zeros_like(table.x), (variables, weights))


def scored(
    architecture: Architecture, variables: Variables, x: np.ndarray, weights: np.ndarray, contributions: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the squared errors of the members, (members, n), and the weighted sum of those of every entry.

    Args:
        architecture: of every member.
        variables: theirs, stacked.
        x: (n, columns).
        weights: (members,) of the sum.
        contributions: whether to return it, (n, columns), or None.
    """
    errors = np.empty((len(weights), len(x)), np.float32)
    entries = np.empty(x.shape, np.float32) if contributions else None
    for first in range(0, len(x), TOGETHER):
        part = slice(first, min(first + TOGETHER, len(x)))
        own, found = _errors(architecture, variables, padded(x[part], TOGETHER), np.asarray(weights, np.float32))
        errors[:, part] = np.asarray(found)[:, : part.stop - first]
        if entries is not None:
            entries[part] = np.asarray(own)[: part.stop - first, : x.shape[1]]
    return errors, entries
