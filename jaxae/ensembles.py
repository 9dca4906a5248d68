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

__all__ = ["POINTS", "Architecture", "Members", "Scored", "Table", "padded", "scored", "shuffled", "trained"]

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


class Scored(NamedTuple):
    """What members make of rows.

    Attributes:
        errors: (members, n) squared distances of the reconstructions.
        squares: (n, columns) weighted sum over the members of the squared errors of every entry, or None.
        made: (n, columns) weighted sum of their reconstructions, or None.
    """

    errors: np.ndarray
    squares: Any
    made: Any


class Held(NamedTuple):
    """What all members share.

    Attributes:
        table: the rows.
        order: (rows,) int32 as `shuffled` gives it.
        folds: () int32, parts of it of equal size.
        steps: () int32.
        learning_rate: () at the first step, from where it falls to 0 as a cosine.
    """

    table: Table
    order: Any
    folds: Any
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
    rows = _length(n) if rows is None else rows
    out = np.zeros((rows, wide), np.float32)
    out[:n, :columns] = x
    return Table(out, np.int32(n), np.int32(columns))


def _length(n: int) -> int:
    """Return the number of rows that so many are padded to."""
    rows = ROWS
    while rows < n:
        rows *= 4
    return rows


def shuffled(key: Key, n: int, folds: int) -> tuple[Array, np.ndarray]:
    """Return an order of n rows at random, and the fold of every row.

    Args:
        key: typed key.
        n: rows.
        folds: parts of ⌊n/folds⌋ rows or one more, that stand side by side in the order.

    Returns:
        the order, int32, as long as a table of n rows is padded to: the numbers of the rows, then those of no rows; and
        the folds (n,), from 0.

    Examples:
        >>> order, fold = shuffled(jax.random.key(0), 9, 3)
        >>> sorted(order[:9].tolist()), fold[order[:9]].tolist()
        ([0, 1, 2, 3, 4, 5, 6, 7, 8], [0, 0, 0, 1, 1, 1, 2, 2, 2])
    """
    order, fold = _shuffled(key, np.int32(n), _length(n), np.int32(folds))
    return order, np.asarray(fold)[:n]


@functools.partial(jax.jit, static_argnums=2)
def _shuffled(key: Key, n: Array, length: int, folds: Array) -> tuple[Array, Array]:
    at = jnp.arange(length)
    bits = jax.random.bits(unrolled(key), (length,)) >> 1
    order = jnp.argsort(jnp.where(at < n, bits, jnp.uint32(2**32 - 1)))
    return order, jnp.zeros(length, jnp.int32).at[order].set(at * folds // jnp.maximum(n, 1))


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
    first, after = (-(-(member.fold + i) * table.n // held.folds) for i in range(2))
    left_out = jnp.where(member.fold < 0, 0, after - first)

    def step(i: Array, carry: tuple[Any, Any, Array]) -> tuple[Any, Any, Array]:
        variables, opt_state, losses = carry
        place = jax.random.randint(unrolled(fold_in(draw_key, i)), (architecture.batch_size,), 0, table.n - left_out)
        place = jnp.where(place >= first, place + left_out, place)
        batch = Batch(table.x[held.order[place]])
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
    order: Array,
    folds: int,
    steps: int,
    learning_rate: float,
) -> tuple[Variables, np.ndarray]:
    """Return the members' variables, and their mean losses over parts of the run, (members, POINTS).

    Where there are fewer steps than POINTS, they are (members, steps).

    Args:
        architecture: of every member.
        table: that they are trained on.
        members: what differs between them.
        key: typed key, split between the members.
        order: of the rows, as `shuffled` gives it.
        folds: of the order.
        steps: of each, drawn from the rows with replacement.
        learning_rate: of Adam at the first step.
    """
    checks.typed_key(key)
    keys = jax.random.split(key, len(members.noise))
    own = Members(np.asarray(members.noise, np.float32), np.asarray(members.fold, np.int32))
    held = Held(table, order[: len(table.x)], np.int32(folds), np.int32(steps), np.float32(learning_rate))
    variables, losses = _program(architecture)((keys, own), held)
    counts = np.diff(-(-np.arange(POINTS + 1) * steps // POINTS))
    losses = np.asarray(losses)[:, counts > 0] / counts[counts > 0]
    return variables, losses


@functools.partial(jax.jit, static_argnums=0)
def _errors(
    architecture: Architecture, variables: Variables, table: Table, weights: Array
) -> tuple[tuple[Array, Array], Array]:
    model, mask = architecture.model(table.x.shape[1]), table.mask[None]

    def add(total: tuple[Array, Array], own: tuple[Variables, Array]) -> tuple[tuple[Array, Array], Array]:
        made: Any = model.apply(own[0], table.x)
        squares = (made - table.x) ** 2 * mask
        return (total[0] + own[1] * squares, total[1] + own[1] * made), squares.sum(1)

    nothing = jnp.zeros_like(table.x)
    return jax.lax.scan(add, (nothing, nothing), (variables, weights))


def scored(
    architecture: Architecture, variables: Variables, x: np.ndarray, weights: np.ndarray, entries: bool = False
) -> Scored:
    """Return how far the members' reconstructions of rows are from these.

    Args:
        architecture: of every member.
        variables: theirs, stacked.
        x: (n, columns).
        weights: (members,) of the sums.
        entries: whether to return the sums.
    """
    out = Scored(
        np.empty((len(weights), len(x)), np.float32),
        np.empty(x.shape, np.float32) if entries else None,
        np.empty(x.shape, np.float32) if entries else None,
    )
    for first in range(0, len(x), TOGETHER):
        part = slice(first, min(first + TOGETHER, len(x)))
        count = part.stop - first
        sums, errors = _errors(architecture, variables, padded(x[part], TOGETHER), np.asarray(weights, np.float32))
        out.errors[:, part] = np.asarray(errors)[:, :count]
        if entries:
            for whole, own in zip(out[1:], sums, strict=True):
                whole[part] = np.asarray(own)[:count, : x.shape[1]]
    return out
