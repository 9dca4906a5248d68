"""The two programs of an ensemble: how its members are trained, and what they make of rows."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxae import checks, keys
from jaxae.ensembles.families import Coding, Family
from jaxae.ensembles.tables import Table, padded, width
from jaxae.learner import descend, objective, trimmed
from jaxae.population import spread
from jaxae.threefry import fold_in, unrolled
from jaxae.types import Array, Batch, Key, Variables

__all__ = ["POINTS", "Members", "Scored", "begun", "decoded", "encoded", "scored", "trained"]

TOGETHER = 2**12
"""Rows that are scored together."""
POINTS = 50
"""Points of a history of losses."""


class Members(NamedTuple):
    """What differs between the members of an ensemble; every field has one number for each.

    Attributes:
        noise: that is added to the rows in training, in standard deviations of a column.
        fold: of the rows that the member is not trained on, or -1 for none.
        resampled: whether the member is trained on a bootstrap sample of the others, as many with replacement.
        share: of the hidden units that the member has, in (0, 1].
    """

    noise: Any
    fold: Any
    resampled: Any
    share: Any


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


class Scored(NamedTuple):
    """What members make of rows.

    Attributes:
        values: (members, n) the sum over the entries of what each adds.
        entries: (n, columns) weighted sum over the members of what each entry adds, or None.
        made: (n, columns) weighted sum of the rows that the members make of these, or None.
    """

    values: np.ndarray
    entries: Any
    made: Any


def _training(
    family: Family, batch_size: int, trim: float, resampling: bool, own: tuple[Key, Members], held: Held
) -> tuple[Variables, Array]:
    """Return the variables of a member, and the sums of its losses (POINTS,) over equal parts of the run."""
    key, member = own
    table = held.table
    model = family.model(table.x.shape[1])
    init_key, draw_key, step_key, sample_key = jax.random.split(key, 4)
    variables = family.begin(model, init_key, table, member.share)

    def rate(count: Array) -> Array:
        return -held.learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * count / held.steps))

    loss = trimmed(family.loss(table.mask, member.noise), trim)
    learner = descend(objective(model, loss), optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(rate)))
    first, after = (-(-(member.fold + i) * table.n // held.folds) for i in range(2))
    left_out = jnp.where(member.fold < 0, 0, after - first)
    count = table.n - left_out

    @jax.vmap
    def sample(place: Array) -> Array:
        # The row that stands at a place of the bootstrap sample, drawn anew whenever it is asked for.
        return jax.random.randint(unrolled(fold_in(sample_key, place)), (), 0, count)

    def step(i: Array, carry: tuple[Any, Any, Array]) -> tuple[Any, Any, Array]:
        variables, opt_state, losses = carry
        place = jax.random.randint(unrolled(fold_in(draw_key, i)), (batch_size,), 0, count)
        place = jnp.where(member.resampled, sample(place), place) if resampling else place
        place = jnp.where(place >= first, place + left_out, place)
        batch = Batch(table.x[held.order[place]])
        variables, opt_state, metrics = learner.step(variables, opt_state, batch, fold_in(step_key, i))
        return variables, opt_state, losses.at[i * POINTS // held.steps].add(metrics["loss"])

    start = variables, learner.init(variables), jnp.zeros(POINTS)
    variables, _, losses = jax.lax.fori_loop(0, held.steps, step, start)
    return variables, losses


def begun(family: Family, columns: int, key: Key) -> Variables:
    """Return the variables of a member, with all its units, that is yet to be trained on tables of so many columns."""
    table = padded(np.zeros((1, columns)), 1)
    return family.begin(family.model(width(columns)), key, table, jnp.float32(1.0))


@functools.cache
def _program(family: Family, batch_size: int, trim: float, resampling: bool) -> Callable[..., Any]:
    return spread(functools.partial(_training, family, batch_size, trim, resampling))


def trained(
    family: Family,
    table: Table,
    members: Members,
    key: Key,
    *,
    order: Array,
    folds: int,
    batch_size: int,
    trim: float,
    steps: int,
    learning_rate: float,
) -> tuple[Variables, np.ndarray]:
    """Return the members' variables, and their mean losses over parts of the run, (members, POINTS).

    Where there are fewer steps than POINTS, they are (members, steps). Another family, batch size, trim, number of
    members or size of a padded table is another program, and so is one with any member that is resampled.

    Args:
        family: of the members.
        table: that they are trained on.
        members: what differs between them.
        key: typed key, split between the members.
        order: of the rows, as `shuffled` gives it.
        folds: of the order.
        batch_size: rows of a step, drawn with replacement.
        trim: share of a batch that a step leaves out.
        steps: of each member.
        learning_rate: of Adam at the first step.
    """
    checks.typed_key(key)
    own_keys = jax.random.split(key, len(members.noise))
    own = Members(*map(np.asarray, members, (np.float32, np.int32, bool, np.float32)))
    held = Held(table, order[: len(table.x)], np.int32(folds), np.int32(steps), np.float32(learning_rate))
    resampling = bool(own.resampled.any())  # to draw a sample costs time where nobody wants one
    run = _program(family, batch_size, trim, resampling)  # type: ignore[arg-type]  # a protocol cannot say that it is hashable
    variables, losses = run((own_keys, own), held)
    counts = np.diff(-(-np.arange(POINTS + 1) * steps // POINTS))
    return variables, np.asarray(losses)[:, counts > 0] / counts[counts > 0]


@functools.partial(jax.jit, static_argnums=0)
def _found(
    family: Family, variables: Variables, table: Table, weights: Array, key: Key
) -> tuple[tuple[Array, Array], Array]:
    model, mask, x = family.model(table.x.shape[1]), table.mask, jnp.asarray(table.x)
    # As plain words: that all members draw the same is meant, and no key that is used twice.
    words = keys.words(key)

    def add(total: tuple[Array, Array], own: tuple[Variables, Array]) -> tuple[tuple[Array, Array], Array]:
        entries, made = family.found(model, own[0], x, mask, keys.like(words, key))
        return (total[0] + own[1] * entries, total[1] + own[1] * made), entries.sum(1)

    nothing = jnp.zeros_like(x)
    return jax.lax.scan(add, (nothing, nothing), (variables, weights))


def scored(
    family: Family, variables: Variables, x: np.ndarray, weights: np.ndarray, key: Key, entries: bool = False
) -> Scored:
    """Return what the members make of rows.

    Args:
        family: of the members.
        variables: theirs, stacked.
        x: (n, columns).
        weights: (members,) of the sums.
        key: typed key of what a family draws: the same one gives the same values.
        entries: whether to return the sums.
    """
    out = Scored(
        np.empty((len(weights), len(x)), np.float32),
        np.empty(x.shape, np.float32) if entries else None,
        np.empty(x.shape, np.float32) if entries else None,
    )
    weights = np.asarray(weights, np.float32)
    for first in range(0, len(x), TOGETHER):
        part = slice(first, min(first + TOGETHER, len(x)))
        count = part.stop - first
        sums, values = _found(family, variables, padded(x[part], TOGETHER), weights, jax.random.clone(key))
        out.values[:, part] = np.asarray(values)[:, :count]
        if entries:
            for whole, own in zip(out[1:], sums, strict=True):
                whole[part] = np.asarray(own)[:count, : x.shape[1]]
    return out


@functools.partial(jax.jit, static_argnums=(0, 1))
def _encoded(family: Coding, columns: int, variables: Variables, x: Array) -> Array:
    return family.encode(family.model(columns), variables, x)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _decoded(family: Coding, columns: int, variables: Variables, z: Array) -> Array:
    return family.decode(family.model(columns), variables, z)


def encoded(family: Coding, variables: Variables, x: np.ndarray) -> np.ndarray:
    """Return the codes (n, latent) of rows x (n, columns) by one member's variables."""

    def part(rows: np.ndarray) -> Array:
        own = padded(rows, TOGETHER).x
        return _encoded(family, own.shape[1], variables, own)

    return _in_parts(part, x)


def decoded(family: Coding, variables: Variables, z: np.ndarray, columns: int) -> np.ndarray:
    """Return the rows (n, columns) of codes z (n, latent) by one member's variables."""

    def part(codes: np.ndarray) -> Array:
        own = np.zeros((TOGETHER, codes.shape[1]), np.float32)
        own[: len(codes)] = codes
        return _decoded(family, width(columns), variables, own)

    return _in_parts(part, z)[:, :columns]


def _in_parts(part: Callable[[np.ndarray], Array], rows: np.ndarray) -> np.ndarray:
    firsts = range(0, len(rows), TOGETHER)
    return np.concatenate([np.asarray(part(rows[i : i + TOGETHER]))[: len(rows) - i] for i in firsts])
