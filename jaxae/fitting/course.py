"""A fit under way: how its members begin, advance together in chunks, and are told apart again."""

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from jaxae.data import Shards
from jaxae.fitting.pieces import Pieces, batches_of
from jaxae.fitting.program import Keys, Run, programs, streams
from jaxae.hosts import Peers, peers, read, watched
from jaxae.learner.steps import losses
from jaxae.population import DATA, everywhere, over_rows, put, spread
from jaxae.progress import Progress
from jaxae.result import Fit, Status
from jaxae.types import Array, Batch, Key, Learner, Score

__all__ = [
    "Course",
    "Program",
    "advanced",
    "arguments",
    "begun",
    "compiled",
    "only",
    "packed",
    "program",
    "progress",
]

CHUNK_SECONDS = 1.0
"""What a chunk aims to take: often enough to show progress, rarely enough to cost nothing."""
STALLED_SECONDS = 600.0
"""What a chunk of several processes takes at most: one of them that hangs would have the others wait for ever."""
CHUNK_EPOCHS = 1024
"""The most epochs of a chunk: the length of the history's buffer on the device, whatever epochs are asked for, so that
one program serves any number of them."""


class Program(NamedTuple):
    """What trains the members of a fit; courses that share it share what was compiled.

    Attributes:
        begin: (key, hyperparameters), data -> run, keys; of every member where there are several.
        advance: (run, (keys, hyperparameters)), (data, validation, epochs) -> run, history of so many epochs. Of
            several members the run that was given is used up. Over shards, as `program.streams` says.
        member: what `begin` and `advance` do to a single member, not compiled.
        data: training rows, on the device; or shards.
        validation: held-out rows, or None.
        batch_size: rows per step.
        epochs: asked for.
        peers: the processes that train together.
    """

    begin: Callable[..., tuple[Run, Keys]]
    advance: Callable[..., tuple[Run, dict[str, Array]]]
    member: tuple[Callable[..., Any], Callable[..., Any]]
    data: Batch | Shards
    validation: Batch | None
    batch_size: int
    epochs: int
    peers: Peers

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one pass over the data."""
        return len(self.data.x) // self.batch_size

    @property
    def saves_per_epoch(self) -> int:
        """Places of an epoch at which a fit may be saved: its end, or over shards after every batch."""
        return self.steps_per_epoch if isinstance(self.data, Shards) else 1

    @property
    def example(self) -> Batch:
        """Rows that tell the shapes: all, or the first of shards."""
        if not isinstance(self.data, Shards):
            return self.data
        x, cond = self.data.x, self.data.cond
        first = np.zeros(1, int)
        return Batch(jnp.asarray(x.take(first)), None if cond is None else jnp.asarray(cond.take(first)))


class Course(NamedTuple):
    """Where the members stand between two chunks.

    Attributes:
        program: what trains them.
        run: theirs, on the device.
        keys: theirs.
        hyper: hyperparameters, a value per member.
        seed: of every member, or None for a single run.
        history: {name: (epochs,) or (members, epochs)} so far.
        done: epochs so far.
        length: epochs of the next chunk.
        within: batches so far of the epoch under way; 0 where epochs pass at once.
    """

    program: Program
    run: Run
    keys: Keys
    hyper: dict[str, Array]
    seed: np.ndarray | None
    history: dict[str, np.ndarray]
    done: int
    length: int
    within: int = 0

    @property
    def batches(self) -> int:
        """Batches so far, of all epochs."""
        return self.done * self.program.steps_per_epoch + self.within

    @property
    def epoch(self) -> float:
        """Epochs so far, with the part of that under way: a whole number where there is none."""
        return self.batches / self.program.steps_per_epoch if self.within else self.done


def program(
    model: Any,
    factory: Callable[..., Learner],
    data: Batch | Shards,
    validation: Batch | None,
    score: Score | None,
    *,
    epochs: int,
    batch_size: int,
    patience: int | None,
    members: int | None,
    mesh: Mesh | None,
    lanes: int | None,
) -> Program:
    """Return what trains one run, or so many members at a time.

    Raises:
        ValueError: if shards have too little memory.
    """
    own, many = peers(mesh), members is not None

    def placed(batch: Any) -> Any:
        # On a mesh every device has all rows, from the beginning.
        return jax.tree.map(jnp.asarray, batch) if mesh is None else put(batch, mesh, PartitionSpec())

    validation = placed(validation)
    if isinstance(data, Shards):
        batches_of(data, batch_size, members or 1)
        steps = len(data.x) // batch_size
        made: Callable[..., tuple[Any, ...]] = functools.partial(
            streams, model, score=score, batch_size=batch_size, steps=steps, patience=patience
        )
    else:
        data = placed(data)
        made = functools.partial(
            programs,
            model,
            score=score,
            batch_size=batch_size,
            buffer=CHUNK_EPOCHS,
            patience=patience,
        )
    runs = made(factory=factory)
    member = runs[0], runs[1 if many else -1]
    if mesh is not None and DATA in mesh.axis_names:
        # What a member computes is the same wherever its rows lie.
        runs = made(factory=lambda **hparams: over_rows(factory(**hparams), mesh))
    if many:
        begin = spread(runs[0], mesh, lanes)
        # Where rows come in pieces, the states before an epoch are needed to its end.
        advance = spread(runs[1], mesh, lanes, in_place=not isinstance(data, Shards), by_itself=runs[-1])
    elif mesh is None:
        begin, advance = jax.jit(runs[0]), jax.jit(runs[-1])
    else:
        begin, advance = everywhere(runs[0], mesh), everywhere(runs[-1], mesh)
    return Program(begin, advance, member, data, validation, batch_size, epochs, own)


def begun(program: Program, key: Key, hyper: dict[str, Array], seed: np.ndarray | None) -> Course:
    """Return a course before its first epoch, with everything compiled that it needs."""
    own_key = key if seed is None else jax.vmap(jax.random.fold_in, (None, 0))(key, seed)
    run, keys = program.begin((own_key, hyper), program.example)
    return compiled(Course(program, run, keys, hyper, seed, {}, 0, 1))


def compiled(course: Course) -> Course:
    """Return the course after a chunk of no epochs, with everything compiled that the next one needs."""
    if isinstance(course.program.data, Shards):
        run, _ = course.program.advance(*arguments(course))
        return jax.block_until_ready(course._replace(run=run))
    return jax.block_until_ready(_chunk(course, 0))


def arguments(course: Course, count: int = 0, batches: int | None = None) -> tuple[Any, Any]:
    """Return what a program advances: a course by so many epochs; or over shards by nothing, of so many batches."""
    keys, hyper, data, validation = course.keys, course.hyper, course.program.data, course.program.validation
    if not isinstance(data, Shards):
        return (course.run, (keys, hyper)), (data, validation, _whole(count))
    return (course.run, (keys, hyper, _pieces(course, data).empty(batches))), (validation, *map(_whole, (0, 0, 0, 0)))


def advanced(course: Course, epochs: int, after: Callable[[Course], None], every: int | None = None) -> Course:
    """Return the course after so many epochs in all, or when no member trains any more.

    `after` sees it after every chunk, and a chunk ends at every epoch that is a multiple of `every`.
    """
    if isinstance(course.program.data, Shards):
        return _streamed(course, course.program.data, epochs, after, every)
    peers = course.program.peers
    while course.done < epochs and read(course.run.training).any():
        left = epochs - course.done if every is None else min(epochs - course.done, every - course.done % every)
        count, began = min(course.length, left), time.perf_counter()
        with watched(peers, STALLED_SECONDS, f"the chunk after epoch {course.done}"):
            course = _chunk(course, count)
            seconds = time.perf_counter() - began
            length = min(CHUNK_EPOCHS, max(1, round(count * min(4.0, CHUNK_SECONDS / seconds))))
            length = peers.of_first(length)
        # A short rest before a stop says nothing about how long the chunks after it should be.
        course = course._replace(length=length if count == course.length else max(length, course.length))
        after(course)
    return course


def _whole(number: int) -> Array:
    return jnp.asarray(number, jnp.int32)


def _pieces(course: Course, data: Shards, epochs: int = 1) -> Pieces:
    return Pieces(data, course.keys.order, batch_size=course.program.batch_size, epochs=epochs)


def _streamed(course: Course, data: Shards, epochs: int, after: Callable[[Course], None], every: int | None) -> Course:
    """Return what `advanced` does where rows come in pieces; a chunk is some pieces and ends where that is due.

    While the device trains on one, the next is on its way to it.
    """
    steps, validation = course.program.steps_per_epoch, course.program.validation
    if course.done >= epochs or not np.asarray(course.run.training).any():
        return course
    began, rows, before = time.perf_counter(), [], course.run.epochs
    for piece, first, count in _pieces(course, data, epochs).since(course.batches):
        since, until = course.within - first, count
        ends = first + count == steps
        own = (course.run, (course.keys, course.hyper, jax.tree.map(jnp.asarray, piece)))
        # Or pieces would gather before a device that is slower than the disk.
        before, _ = course.run.epochs, jax.block_until_ready(before)
        run, row = course.program.advance(own, (validation, *map(_whole, (first, since, until, ends))))
        course = course._replace(run=run, done=course.done + ends, within=0 if ends else first + count)
        rows += [row] * ends
        over = course.done == epochs
        if over or (ends and every and not course.done % every) or time.perf_counter() - began >= CHUNK_SECONDS:
            new = {name: np.stack([each[name] for each in rows], -1) for name in row} if rows else {}
            course, rows = course._replace(history=_longer(course.history, new)), []
            after(jax.block_until_ready(course))
            if over or not np.asarray(course.run.training).any():
                break
            began = time.perf_counter()
    return course


def _longer(history: dict[str, np.ndarray], rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a history with more epochs."""
    if not (history and rows):
        return history or rows
    return {name: np.concatenate([history[name], new], -1) for name, new in rows.items()}


def _chunk(course: Course, count: int) -> Course:
    run, rows = course.program.advance(*arguments(course, count))
    new = {name: values[..., :count] for name, values in read(rows).items()}
    return course._replace(run=run, history=_longer(course.history, new), done=course.done + count)


def only(course: Course, members: np.ndarray) -> Course:
    """Return the course of some of its members: the others no longer cost anything."""
    run, keys, hyper = jax.tree.map(lambda leaf: leaf[members], (course.run, course.keys, course.hyper))
    history = {name: values[members] for name, values in course.history.items()}
    seed = None if course.seed is None else course.seed[members]
    return course._replace(run=run, keys=keys, hyper=hyper, seed=seed, history=history)


def packed(course: Course, record: Mapping[str, Any]) -> Fit:
    """Return the course as the fit that it is so far."""
    # Of several processes every one gets all members, since none could use those of another.
    run = read(course.run) if course.program.peers.several else course.run
    best, epoch = (run.state.variables, run.epochs) if run.best is None else (run.best, run.best_epoch)
    dropped = np.zeros_like(run.epochs)
    counts = (run.epochs, epoch, run.diverged_epoch, run.diverged_step, dropped, run.skipped, run.skipped_step)
    return Fit(
        variables=best,
        state=run.state,
        history=course.history,
        hparams={name: np.asarray(column) for name, column in course.hyper.items()},
        seeds=course.seed,
        status=Status(*map(np.asarray, counts)),
        record=dict(record),
    )


def progress(
    course: Course, compile_seconds: float, run_seconds: float, steps: int, about: str = "", since: float = 0
) -> Progress:
    """Return what there is to say of a course: `steps` of all members together in `run_seconds`, since an epoch."""
    history, epochs = course.history, course.program.epochs
    members = course.run.training.size
    if not course.batches:
        return Progress(0, epochs, np.zeros(0), None, members, compile_seconds, 0.0, 0.0, about, since)
    latest = {name: np.atleast_2d(values)[:, -1] for name, values in history.items()}
    if course.within:
        so_far = course.run.under_way.metrics
        latest |= {name: np.atleast_2d(values)[:, : course.within].mean(1) for name, values in so_far.items()}
    found = list(losses(latest).values())
    loss = np.sum(found, 0) if found else np.full(members, np.nan)
    validation = latest.get("validation")
    training = int(read(course.run.training).sum())
    rate = steps / run_seconds
    return Progress(course.epoch, epochs, loss, validation, training, compile_seconds, run_seconds, rate, about, since)
