"""`fit` calls one compiled program in chunks and lives between them in plain Python."""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxae import checks
from jaxae.checkpoint import Keep, Steps
from jaxae.data import Shards
from jaxae.fitting.arguments import arrange, check, check_mesh
from jaxae.fitting.course import Course, Program, advanced, begun, only, packed, program
from jaxae.fitting.rehearsal import rehearse
from jaxae.fitting.resume import CHANGEABLE, Saves, identity, resumed
from jaxae.fitting.stop import Stopped, listening
from jaxae.fitting.watch import Watch, filled_up, recorded, warn_of
from jaxae.hosts import peers
from jaxae.progress import Progress
from jaxae.result import Fit, stack
from jaxae.types import Array, Batch, Key, Learner, Score

__all__ = ["fit"]


def fit(
    model: Any,
    learner: Learner | Callable[..., Learner],
    data: Batch | Shards,
    *,
    key: Key,
    epochs: int,
    batch_size: int,
    hparams: Mapping[str, Any] | None = None,
    seeds: int | None = None,
    mesh: Mesh | None = None,
    lanes: int | None = None,
    chunk: int | None = None,
    validation: Batch | None = None,
    score: Score | None = None,
    patience: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    keep: Keep | None = None,
    accept: Sequence[str] = (),
    log: str | os.PathLike[str] | None = None,
    progress: bool | Callable[[Progress], None] = True,
) -> Fit:
    """Return a trained model, or a population of them, from one compiled program.

    What it gives equals what one `train` gives with the same key. Between chunks of about a second it reports
    progress. A run in which a loss or a parameter stops being finite is rolled back to the end of its last good epoch
    and ends there, as `status` and a warning say; the other members do not notice. `learner.skip_nonfinite` is how to
    skip such steps instead, or to stop right before the first.

    A factory with `hparams` or `seeds` makes it a population: member i trains `factory(**hparams[i])` with
    `jax.random.fold_in(key, seeds[i])`, for every row of the grid and every seed from 0 to seeds − 1.

    Args:
        model: a Linen module, or what `lift` made of an NNX module.
        learner: what takes the steps, or with `hparams` a factory (**hparams) -> Learner.
        data: training rows: x (n, ...), cond (n, ...) or None; floating point and finite. Or rows on disk, from
            `data.shards`, of which each member reads its own order, to the bits of the same rows in memory.
        key: typed key: it draws the variables and everything random in the run.
        epochs: ≥ 1.
        batch_size: from 1 to n.
        hparams: columns of one length, one row per grid point: `grid(...)`.
        seeds: runs per grid point.
        mesh: devices with Auto axes, those of this process or of all (`hosts.connect`): members are spread over all
            axes, but for one called "data", over which the rows of every batch are spread, in a single run too.
        lanes: train members in groups of exactly this width, so that their bits do not depend on the others, nor on the
            number of devices; None chooses. `population.spread` says more.
        chunk: train at most so many members at a time, from beginning to end, and keep them in host memory: what a
            population of any size needs on the devices is that of a chunk.
        validation: held-out rows, scored after every epoch; the variables of the best epoch are kept.
        score: (variables, batch, key) -> (rows,) values whose mean ranks the epochs, smaller is better:
            `score(model, loss)`. It is given with validation, and only then.
        patience: stop a run after this many epochs without a better validation; None never stops early.
        checkpoint: folder in which the fit is saved now and then, in the background, and at its end; where it was saved
            there already it goes on, to the same bits on as many devices, and in lanes on any, by as many threads of
            XLA's. SIGTERM or SIGINT then stops it at the end of a chunk, saved.
        keep: how often it is saved, and which saves stay; None is `checkpoint.Keep()`: every minute, the last two and
            the best.
        accept: what may differ from the saved fit, of data, program (model, loss, optimizer), patience, and the
            versions jax and jaxae; the arrays must still fit.
        log: file to which every event is added as a line of JSON, as `fitting.log` says: begun, chunk, saved, …
        progress: True prints, False does not, and a function is called with a `Progress` after every chunk.

    Raises:
        TypeError: for a legacy key, data that are no Batch or no floats, and counts that are no whole numbers.
        ValueError: for counts out of range, data that are not finite (naming row and column), hparams that the factory
            does not take, arguments that need another, and a checkpoint of another fit or one that is damaged.
        Stopped: a SystemExit with status 75, where a signal stopped a fit with a checkpoint.

    Examples:
        >>> import jax, jax.numpy as jnp, jaxae as ja, optax
        >>> ae = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((8,)))
        >>> def factory(lr):
        ...     return ja.descend(ja.objective(ae, ja.losses.reconstruction), optax.adam(lr))
        >>> data = ja.Batch(jax.random.normal(jax.random.key(0), (32, 8)))
        >>> fitted = fit(ae, factory, data, key=jax.random.key(1), epochs=5, batch_size=16,
        ...              hparams=ja.grid(lr=[1e-3, 1e-2]), seeds=2, progress=False)
        >>> fitted.history["loss"].shape, fitted.describe(0), fitted.best() in (2, 3)
        ((4, 5), 'trained', True)
    """
    began = time.perf_counter()
    check(data, key, epochs, batch_size, validation, score, patience)
    factory, hyper, seed = arrange(learner, hparams, seeds)
    check_mesh(mesh, batch_size, many=seed is not None)
    for name, given in (("lanes", lanes), ("chunk", chunk)):
        if given is not None and seed is None:
            raise ValueError(f"{name} was given for a single run, but it is about members: add seeds=...")
    if chunk is not None:
        checks.whole("chunk", chunk)
        if checkpoint is not None:
            raise ValueError("chunk and checkpoint were both given, but a checkpoint holds all members: leave one out")
    if checkpoint is None and (keep is not None or accept):
        name = "keep" if keep is not None else "accept"
        raise ValueError(f"{name} was given without a checkpoint, which it is about: add checkpoint=FOLDER")
    own = peers(mesh)
    if own.several and isinstance(data, Shards):
        raise ValueError("the mesh holds devices of several processes, but shards train in one: give a Batch")
    if isinstance(accept, str):
        raise TypeError(f"accept is the string {accept!r}, but must be a tuple of names: write accept=({accept!r},)")
    checks.known("change to accept", accept, CHANGEABLE)
    rehearse(model, factory, hyper, data, validation, score, key=key, batch_size=batch_size)
    trains = program(
        model,
        factory,
        data,
        validation,
        score,
        epochs=epochs,
        batch_size=batch_size,
        patience=patience,
        members=None if seed is None else min(len(seed), chunk or len(seed)),
        mesh=mesh,
        lanes=lanes,
    )
    kept = Keep() if keep is None else keep
    steps = None if checkpoint is None else Steps(checkpoint, kept, trains.saves_per_epoch, own)
    watch = Watch(progress if own.first else False, began, log if own.first else None)
    record = recorded(trains, key, patience, lanes, mesh)
    own.same(json.dumps([record, {name: np.asarray(column).tolist() for name, column in hyper.items()}]), "fit")
    try:
        if steps is not None:
            steps.claim()
        if chunk is not None and seed is not None and chunk < len(seed):
            fitted = _in_chunks(trains, key, hyper, seed, chunk, watch, record)
        else:
            fitted = _together(trains, key, hyper, seed, watch, record, steps, accept)
    finally:
        if steps is not None:
            steps.close()
    if own.first:
        warn_of(fitted)
    return fitted


def _together(
    trains: Program,
    key: Key,
    hyper: dict[str, Array],
    seed: np.ndarray | None,
    watch: Watch,
    record: dict[str, Any],
    steps: Steps | None,
    accept: Sequence[str],
) -> Fit:
    course = begun(trains, key, hyper, seed)
    if steps is None:
        watch.compiled(course)
        course = advanced(course, trains.epochs, watch.after)
    else:
        course = _saved(course, steps, watch, record, accept)
    watch.log.note("ended", epoch=course.done)
    return filled_up(packed(course, {**record, **watch.seconds()}), trains.epochs)


def _saved(course: Course, steps: Steps, watch: Watch, record: Mapping[str, Any], accept: Sequence[str]) -> Course:
    """Return the course at its end, saved on the way; or stop it where a signal says so."""
    peers = course.program.peers
    own = identity(course, record, accept)
    course = resumed(course, steps, own, accept)
    saves = Saves(steps, own, watch.log, course)

    def after(course: Course) -> None:
        watch.after(course)
        saves.after(course)
        stop(course)

    def stop(course: Course) -> None:
        if peers.any(bool(told)):
            who = told[0] if told else "a signal to another process"
            at = f"{who} stopped the fit after epoch {course.epoch:.6g} of {course.program.epochs}"
            watch.log.note("stopped", epoch=course.epoch, signal=told[0] if told else None)
            if not saves.last(course):
                raise OSError(f"{at}, but it could not be saved in {steps.folder}")
            raise Stopped(f"{at}, saved in {steps.folder}: the same call goes on from there")

    try:
        with listening() as told:
            watch.compiled(course, f"on from epoch {course.epoch:.6g}" if course.batches else "")
            course = advanced(course, course.program.epochs, after, steps.keep.every)
            saves.last(course)
            stop(course)
    finally:
        saves.finish()
    return course


def _in_chunks(
    trains: Program,
    key: Key,
    hyper: dict[str, Array],
    seed: np.ndarray,
    chunk: int,
    watch: Watch,
    record: dict[str, Any],
) -> Fit:
    """Return the members trained so many at a time, in host memory."""
    parts = []
    for first in range(0, len(seed), chunk):
        # The last chunk is filled up to the size of the others, so that one program serves all of them.
        rows = np.arange(first, first + chunk) % len(seed)
        last = min(first + chunk, len(seed))
        course = begun(trains, key, {name: column[rows] for name, column in hyper.items()}, seed[rows])
        watch.compiled(course, f"members {first}–{last - 1} of {len(seed)}")
        course = advanced(course, trains.epochs, watch.after)
        part = filled_up(packed(only(course, np.arange(last - first)), record), trains.epochs)
        parts.append(part._replace(variables=jax.device_get(part.variables), state=jax.device_get(part.state)))
    return stack(parts)._replace(record={**record, **watch.seconds()})
