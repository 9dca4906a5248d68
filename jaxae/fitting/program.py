"""One member of a fit as pure functions: how it begins, goes on for a number of epochs, and ends."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxae import checks
from jaxae.learner.steps import ENDED, SKIPPED, flagged, over_epoch, spoilt_losses
from jaxae.training import epoch, initialise, step_on, step_words
from jaxae.types import Array, Batch, Key, Learner, Metrics, Score, TrainState, Variables

__all__ = ["Keys", "Pass", "Piece", "Run", "programs", "streams"]

VALIDATION_ROWS = 1024
"""Validation rows scored together: bounds the memory that a population needs for them."""
NOT_A_STEP = np.uint32(2**32 - 1)
"""Folded into a key, it gives one that no step gets: steps count from 0 to 2³¹ − 1."""


class Pass(NamedTuple):
    """An epoch under way, where it does not pass at once.

    Attributes:
        state: after the steps so far; the run's own state is that before the epoch.
        metrics: {name: (steps,)} of the steps so far.
    """

    state: TrainState
    metrics: dict[str, Array]


class Piece(NamedTuple):
    """Some batches of an epoch.

    Attributes:
        data: their rows, in any order.
        rows: (batches, batch_size) which of them are a batch.
    """

    data: Batch
    rows: Array | np.ndarray


class Run(NamedTuple):
    """One run between two chunks: arrays only.

    `under_way` is a `Pass` where its rows come in pieces, else None.
    """

    state: TrainState
    best: Variables | None
    best_loss: Array
    best_epoch: Array
    epochs: Array
    diverged_epoch: Array
    diverged_step: Array
    skipped: Array
    skipped_step: Array
    training: Array
    under_way: Any = None


class Keys(NamedTuple):
    """The keys of one run: for the order of the rows, for the steps, and for scoring."""

    order: Key
    step: Key
    validation: Key


class Attempt(NamedTuple):
    """A run that trains by itself, after it went on from where a chunk began.

    Attributes:
        until: epochs that it goes on for, at most.
        run: where that led.
        rows: of the history, those of the first attempt.
        spoilt: whether it is to go back to before it diverged, and not there yet.
        epoch: at which the attempt before this one diverged, 0 for the first.
        step: the same in steps.
    """

    until: Array
    run: Run
    rows: dict[str, Array]
    spoilt: Array
    epoch: Array
    step: Array


def programs(
    model: Any,
    factory: Callable[..., Learner],
    score: Score | None,
    batch_size: int,
    buffer: int,
    patience: int | None,
) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """Return pure functions of one member: how it begins, and two of how it goes on for a number of epochs.

    A member that diverges keeps its last good state: that of the end of its last good epoch, or where its learner undid
    the bad steps (`learner.skip_nonfinite`) what that kept. Both ways of going on give that. The first is for members
    under vmap: after every epoch it looks at all variables and chooses between two states, which costs a small model up
    to a fifth of its time. The second is for a member that trains by itself: it goes on until a loss, or at the end a
    variable, is not finite, and if so once more from the start, for the epochs that were good.
    """

    def begin(own: tuple[Key, dict[str, Array]], data: Batch) -> tuple[Run, Keys]:
        state, run_key = initialise(model, factory(**own[1]), data, own[0])
        order_key, step_key = jax.random.split(run_key)
        keys = Keys(order_key, step_key, jax.random.fold_in(order_key, NOT_A_STEP))
        zero = jnp.zeros((), jnp.int32)
        best = None if score is None else state.variables
        run = Run(state, best, jnp.asarray(jnp.inf), zero, zero, zero, zero, zero, zero, jnp.asarray(True))
        return jax.tree.map(_strong, run), keys

    def epochs_of(own: Any, shared: Any, alone: bool) -> tuple[Callable[..., Any], dict[str, Array]]:
        """Return what takes the run and the rows through an epoch, whose place is given, and no rows yet."""
        run, (keys, hyper) = own
        data, validation, _ = shared
        learner = factory(**hyper)

        def one(run: Run) -> tuple[Run, dict[str, Array], Array]:
            state, metrics = epoch(learner, run.state, data, keys.order, keys.step, batch_size=batch_size)
            return _ended(run, state, metrics, score, validation, keys.validation, patience, alone)

        def body(i: Array, run: Run, rows: dict[str, Array]) -> tuple[Run, dict[str, Array], Array]:
            run, row, spoilt = one(run)
            return run, {name: rows[name].at[i].set(value) for name, value in row.items()}, spoilt

        row = jax.eval_shape(one, run)[1]
        return body, {name: jnp.full((buffer,), jnp.nan, leaf.dtype) for name, leaf in row.items()}

    def together(own: tuple[Run, Any], shared: tuple[Batch, Batch | None, Array]) -> tuple[Run, dict[str, Array]]:
        body, empty = epochs_of(own, shared, alone=False)
        return jax.lax.fori_loop(0, shared[2], lambda i, carry: body(i, *carry)[:2], (own[0], empty))

    def by_itself(own: tuple[Run, Any], shared: tuple[Batch, Batch | None, Array]) -> tuple[Run, dict[str, Array]]:
        body, empty = epochs_of(own, shared, alone=True)
        start, zero, no = own[0], jnp.zeros((), jnp.int32), jnp.asarray(False)

        def attempt(before: Attempt) -> Attempt:
            def trains(carry: tuple[Array, Run, dict[str, Array], Array]) -> Array:
                return (carry[0] < before.until) & carry[1].training

            def next_epoch(carry: tuple[Array, Run, dict[str, Array], Array]) -> Any:
                i, run, rows, _ = carry
                return i + 1, *body(i, run, rows)

            count, run, rows, spoilt = jax.lax.while_loop(trains, next_epoch, (zero, start, empty, no))
            unseen = (count > 0) & ~spoilt & _spoilt(run.state)
            first = unseen & (run.diverged_epoch == 0)
            diverged = jnp.where(first, run.epochs, run.diverged_epoch)
            step = jnp.where(first, run.state.step, run.diverged_step)
            spoilt |= unseen
            return Attempt(
                until=jnp.where(spoilt, diverged - 1 - start.epochs, before.until),
                run=run,
                rows=jax.tree.map(lambda new, old: jnp.where(before.epoch == 0, new, old), rows, before.rows),
                spoilt=spoilt,
                epoch=jnp.where(spoilt, diverged, before.epoch),
                step=jnp.where(spoilt, step, before.step),
            )

        none = Attempt(shared[2], start, empty, ~no, zero, zero)
        last = jax.lax.while_loop(lambda now: now.spoilt, attempt, none)
        went_back = last.epoch > 0
        run = last.run._replace(
            diverged_epoch=jnp.where(went_back, last.epoch, last.run.diverged_epoch),
            diverged_step=jnp.where(went_back, last.step, last.run.diverged_step),
            training=last.run.training & ~went_back,
        )
        after = went_back & (jnp.arange(buffer) >= last.epoch - start.epochs)
        return run, {name: jnp.where(after, jnp.nan, values) for name, values in last.rows.items()}

    return begin, together, by_itself


def streams(
    model: Any, factory: Callable[..., Learner], score: Score | None, batch_size: int, steps: int, patience: int | None
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return `programs` of a member whose rows come in pieces, which goes on for some batches and not some epochs.

    The loops are those of an epoch in memory, and of unknown length as the outer ones there: so the bits are the same
    (tests/test_fitting_shards.py).
    """
    start, *_ = programs(model, factory, score, batch_size, 1, patience)

    def begin(own: tuple[Key, dict[str, Array]], first: Batch) -> tuple[Run, Keys]:
        run, keys = start(own, first)
        data = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((batch_size, *leaf.shape[1:]), leaf.dtype), first)
        rows, words = jnp.arange(batch_size), step_words(keys.step, run.state.step, 1)[0]
        step = functools.partial(step_on, factory(**own[1]))
        like = jax.eval_shape(step, run.state, data, rows, words, keys.step)[1]
        metrics = {name: jnp.full((steps, *leaf.shape), jnp.nan, leaf.dtype) for name, leaf in like.items()}
        return run._replace(under_way=Pass(run.state, metrics)), keys

    def advance(
        own: tuple[Run, tuple[Keys, dict[str, Array], Piece]],
        shared: tuple[Batch | None, Array, Array, Array, Array],
    ) -> tuple[Run, dict[str, Array]]:
        """Take batches `since` to `until` of a piece whose first is the epoch's `first`, and end it where it `ends`."""
        run, (keys, hyper, piece) = own
        validation, first, since, until, ends = shared
        learner = factory(**hyper)
        words = step_words(keys.step, run.under_way.state.step - since, len(piece.rows))

        def one(i: Array, carry: Pass) -> Pass:
            state, new = step_on(learner, carry.state, piece.data, piece.rows[i], words[i], keys.step)
            return Pass(state, {name: carry.metrics[name].at[first + i].set(value) for name, value in new.items()})

        def end(run: Run) -> tuple[Run, dict[str, Array]]:
            state, metrics = run.under_way
            run, row, _ = _ended(run, state, metrics, score, validation, keys.validation, patience, False)
            return run._replace(under_way=Pass(run.state, metrics)), row

        run = run._replace(under_way=jax.lax.fori_loop(since, until, one, run.under_way))
        row = {name: jnp.full(leaf.shape, jnp.nan, leaf.dtype) for name, leaf in jax.eval_shape(end, run)[1].items()}
        return jax.lax.fori_loop(0, ends, lambda _, carry: end(carry[0]), (run, row))

    return begin, advance


def _ended(
    run: Run,
    state: TrainState,
    metrics: Metrics,
    score: Score | None,
    validation: Batch | None,
    key: Key,
    patience: int | None,
    alone: bool,
) -> tuple[Run, dict[str, Array], Array]:
    """Return the run after an epoch that ended in `state`, the epoch's row of the history, and whether it is spoilt."""
    row = over_epoch(metrics)
    bad_step = _first(run.state, spoilt_losses(metrics))
    if not alone:
        bad_step = jnp.where((bad_step == 0) & _spoilt(state), state.step, bad_step)
    if score is not None and validation is not None:
        row["validation"] = _mean_score(score, state.variables, validation, key, state.step)
    return _judge(_counted(run, bad_step, metrics), state, row, bad_step, patience, alone)


def _strong(leaf: Array) -> Array:
    """Return the leaf without weak typing, which the first chunk would lose and the second be compiled anew for."""
    return leaf if checks.is_key(leaf) else jax.lax.convert_element_type(leaf, leaf.dtype)


def _first(before: TrainState, marked: Array) -> Array:
    """Return the first step of an epoch that is marked, counted from 1 at the beginning of the run, or 0."""
    return jnp.where(marked.any(), before.step + 1 + jnp.argmax(marked).astype(jnp.int32), 0)


def _spoilt(after: TrainState) -> Array:
    """Return whether a variable is not finite: a gradient may spoil it in the last step, which no loss has seen."""
    floats = [leaf for leaf in jax.tree.leaves(after.variables) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return ~jnp.stack([jnp.isfinite(leaf).all() for leaf in floats]).all() if floats else jnp.asarray(False)


def _counted(run: Run, bad_step: Array, metrics: Metrics) -> Run:
    """Return the run with the steps that its learner skipped, and told when it has ended by that.

    What comes after the end is skipped too, and does not count; nor do the steps of an epoch that is taken back.
    """
    ended_step = _first(run.state, flagged(metrics, ENDED))
    skipped = flagged(metrics, SKIPPED)
    steps = run.state.step + 1 + jnp.arange(len(skipped))
    skipped &= (bad_step == 0) & run.training & ((ended_step == 0) | (steps <= ended_step))
    return run._replace(
        diverged_step=jnp.where(run.training, ended_step, run.diverged_step),
        skipped=run.skipped + skipped.sum(dtype=jnp.int32),
        skipped_step=jnp.where(run.skipped_step > 0, run.skipped_step, _first(run.state, skipped)),
    )


def _judge(
    run: Run, state: TrainState, row: dict[str, Array], bad_step: Array, patience: int | None, alone: bool
) -> tuple[Run, dict[str, Array], Array]:
    """Return what `_ended` does.

    A run that has ended keeps everything as it is, and one that diverged in this epoch goes back to where it began,
    unless its learner has done so (then `run` says at which step); alone it has not ended, and does not go back.
    """
    number = run.epochs + 1
    spoilt = run.training & (bad_step > 0)
    diverged = spoilt | (run.training & (run.diverged_step > 0))
    kept = run.training & ~diverged
    loss = row.get("validation", jnp.asarray(jnp.inf))
    better = kept & (loss < run.best_loss)
    best_epoch = jnp.where(better, number, run.best_epoch)
    waited_enough = False if patience is None else number - best_epoch >= patience

    def choose(which: Array, new: Any, old: Any) -> Any:
        return jax.tree.map(lambda a, b: jnp.where(which, a, b), new, old)

    after = run._replace(
        state=state if alone else choose(run.training & ~spoilt, state, run.state),
        best=None if run.best is None else choose(better, state.variables, run.best),
        best_loss=jnp.where(better, loss, run.best_loss),
        best_epoch=best_epoch,
        epochs=jnp.where(kept, number, run.epochs),
        diverged_epoch=jnp.where(diverged, number, run.diverged_epoch),
        diverged_step=jnp.where(spoilt, bad_step, run.diverged_step),
        training=kept & ~jnp.asarray(waited_enough),
    )
    return after, {name: jnp.where(run.training, value, jnp.nan) for name, value in row.items()}, spoilt


def _mean_score(score: Score, variables: Variables, validation: Batch, key: Key, step: Array) -> Array:
    """Return the mean score of the validation rows, scored some rows at a time to bound the memory."""
    n = len(validation.x)
    width = min(n, VALIDATION_ROWS)
    parts = -(-n // width)
    rows = (jnp.arange(parts * width) % n).reshape(parts, width)

    def part(pair: tuple[Array, Array]) -> Array:
        own_key = jax.random.wrap_key_data(pair[1], impl=jax.random.key_impl(key))
        return score(variables, jax.tree.map(lambda leaf: leaf[pair[0]], validation), own_key)

    # As plain words, since JAX's search for reused keys takes those of a mapped loop in a population for used ones.
    words = jax.random.key_data(jax.random.split(jax.random.fold_in(key, step), parts))
    return jax.lax.map(part, (rows, words)).reshape(-1)[:n].mean()
