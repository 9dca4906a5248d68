"""`fit` calls one compiled program in chunks and lives between them in plain Python."""

import operator
import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxae import checkpoint as files
from jaxae.data import fingerprint
from jaxae.fitting.arguments import arrange, check
from jaxae.fitting.program import Run, programs
from jaxae.fitting.resume import in_place_of, resumed
from jaxae.population import spread
from jaxae.progress import Progress, printer
from jaxae.result import Fit, Status
from jaxae.types import Array, Batch, Key, Learner, Score

__all__ = ["fit"]

CHUNK_SECONDS = 1.0
"""What a chunk aims to take: often enough to show progress, rarely enough to cost nothing."""
CHUNK_EPOCHS = 256
"""The most epochs of a chunk: the length of the history's buffer on the device."""
SAVE_SECONDS = 60.0
"""Between two saves of a checkpoint at least."""


def fit(
    model: Any,
    learner: Learner | Callable[..., Learner],
    data: Batch,
    *,
    key: Key,
    epochs: int,
    batch_size: int,
    hparams: Mapping[str, Any] | None = None,
    seeds: int | None = None,
    mesh: Mesh | None = None,
    lanes: int | None = None,
    validation: Batch | None = None,
    score: Score | None = None,
    patience: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | Callable[[Progress], None] = True,
) -> Fit:
    """Return a trained model, or a population of them, from one compiled program.

    What it gives equals what one `train` gives with the same key. Between chunks of about a second it reports
    progress. A run in which a loss or a parameter stops being finite is rolled back to the end of its last good epoch
    and ends there, as `status` and a warning say; the other members do not notice.

    A factory with `hparams` or `seeds` makes it a population: member i trains `factory(**hparams[i])` with
    `jax.random.fold_in(key, seeds[i])`, for every row of the grid and every seed from 0 to seeds − 1.

    Args:
        model: a Linen module, or what `lift` made of an NNX module.
        learner: what takes the steps, or with `hparams` a factory (**hparams) -> Learner.
        data: training rows: x (n, ...), cond (n, ...) or None; floating point and finite.
        key: typed key: it draws the variables and everything random in the run.
        epochs: ≥ 1.
        batch_size: from 1 to n.
        hparams: columns of one length, one row per grid point: `grid(...)`.
        seeds: runs per grid point.
        mesh: devices that the members are spread over, with Auto axes.
        lanes: train members in groups of exactly this width, so that their bits do not depend on the others.
        validation: held-out rows, scored after every epoch; the variables of the best epoch are kept.
        score: (variables, batch, key) -> (rows,) values whose mean ranks the epochs, smaller is better:
            `score(model, loss)`. It is given with validation, and only then.
        patience: stop a run after this many epochs without a better validation; None never stops early.
        checkpoint: file to which the fit is saved now and then and at the end; where it exists already the fit goes
            on from it, to the same bits.
        progress: True prints, False does not, and a function is called with a `Progress` after every chunk.

    Raises:
        TypeError: for a legacy key, data that are no Batch or no floats, and counts that are no whole numbers.
        ValueError: for counts out of range, data that are not finite (naming row and column), hparams that the factory
            does not take, and arguments that need another.

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
    for name, given in (("mesh", mesh), ("lanes", lanes)):
        if given is not None and seed is None:
            raise ValueError(f"{name} was given for a single run, but it is members that it spreads: add seeds=...")
    data, validation = jax.tree.map(jnp.asarray, (data, validation))
    begin, advance = programs(model, factory, score, batch_size, min(epochs, CHUNK_EPOCHS), patience)
    if seed is None:
        own_key, begin, advance = key, jax.jit(begin), jax.jit(advance)
    else:
        own_key = jax.vmap(jax.random.fold_in, (None, 0))(key, seed)
        begin, advance = spread(begin, mesh, lanes), spread(advance, mesh, lanes)
    record: dict[str, Any] = {
        # Whole numbers of any make, NumPy's too, as those that JSON knows.
        "epochs": operator.index(epochs),
        "batch_size": operator.index(batch_size),
        "patience": None if patience is None else operator.index(patience),
        "lanes": None if lanes is None else operator.index(lanes),
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "data": [fingerprint(np.asarray(leaf)) for leaf in jax.tree.leaves((data, validation))],
        "devices": [str(device) for device in (mesh.devices.flat if mesh else jax.devices()[:1])],
    }

    def chunk(run: Run, count: int) -> tuple[Run, dict[str, np.ndarray]]:
        run, rows = advance((run, keys, hyper), (data, validation, jnp.asarray(count, jnp.int32)))
        return run, {name: np.asarray(values)[..., :count] for name, values in rows.items()}

    def package() -> Fit:
        seconds = {"compile_seconds": compile_seconds, "run_seconds": time.perf_counter() - compiled}
        return _package(run, history, hyper, seed, {**record, **seconds})

    run, keys = begin((own_key, hyper), data)
    run, history = chunk(run, 0)
    done = 0
    if checkpoint is not None and Path(checkpoint).exists():
        saved_run, history = resumed(files.load(checkpoint, learner), checkpoint, record, hyper, seed, patience)
        run = in_place_of(run, saved_run, checkpoint)
        done = int(np.max(run.epochs))
    jax.block_until_ready(run)
    compiled = saved = time.perf_counter()
    compile_seconds, start, length = compiled - began, done, 1
    show = printer() if progress is True else progress or (lambda _: None)
    show(Progress(0, epochs, np.zeros(0), None, 1 if seed is None else len(seed), compile_seconds, 0.0, 0.0))
    while done < epochs and np.asarray(run.training).any():
        count, chunk_began = min(length, epochs - done), time.perf_counter()
        run, rows = chunk(run, count)
        history = {name: np.concatenate([history[name], rows[name]], -1) for name in rows}
        done += count
        now = time.perf_counter()
        length = min(CHUNK_EPOCHS, max(1, round(count * min(4.0, CHUNK_SECONDS / (now - chunk_began)))))
        show(
            _progress(
                run,
                history,
                done,
                epochs,
                (done - start) * (len(data.x) // batch_size),
                compile_seconds,
                now - compiled,
            )
        )
        if checkpoint is not None and now - saved > SAVE_SECONDS:
            files.save(package(), checkpoint)
            saved = now
    history = {name: filled_up(values, epochs) for name, values in history.items()}
    fitted = package()
    if checkpoint is not None:
        files.save(fitted, checkpoint)
    _warn(fitted)
    return fitted


def _progress(
    run: Run,
    history: Mapping[str, np.ndarray],
    done: int,
    epochs: int,
    steps: int,
    compile_seconds: float,
    run_seconds: float,
) -> Progress:
    losses = [
        np.atleast_2d(values)[:, -1] for name, values in history.items() if name == "loss" or name.endswith("/loss")
    ]
    members = np.size(run.training)
    loss = np.sum(losses, 0) if losses else np.full(members, np.nan)
    validation = np.atleast_2d(history["validation"])[:, -1] if "validation" in history else None
    rate = steps * members / run_seconds
    training = int(np.asarray(run.training).sum())
    return Progress(done, epochs, loss, validation, training, compile_seconds, run_seconds, rate)


def _package(
    run: Run,
    history: dict[str, np.ndarray],
    hyper: Mapping[str, Array],
    seed: np.ndarray | None,
    record: dict[str, Any],
) -> Fit:
    best, epoch = (run.state.variables, run.epochs) if run.best is None else (run.best, run.best_epoch)
    counts = (run.epochs, epoch, run.diverged_epoch, run.diverged_step)
    return Fit(
        variables=best,
        state=run.state,
        history=history,
        hparams={name: np.asarray(column) for name, column in hyper.items()},
        seeds=seed,
        status=Status(*map(np.asarray, counts)),
        record=record,
    )


def filled_up(values: np.ndarray, epochs: int) -> np.ndarray:
    """Return the history (..., epochs) of a fit that ended before the last epoch, NaN from there on."""
    rest = np.full((*values.shape[:-1], epochs - values.shape[-1]), np.nan, values.dtype)
    return np.concatenate([values, rest], -1)


def _warn(fitted: Fit) -> None:
    """Say of every member that it diverged, or that no validation of it was a number."""
    diverged, best_epoch = map(np.atleast_1d, (fitted.status.diverged_epoch, fitted.status.best_epoch))
    for member in np.flatnonzero((diverged > 0) | (best_epoch == 0)):
        if fitted.members is None:
            who, how = "the run", fitted.describe()
        else:
            values = ", ".join(f"{name}={column[member]:g}" for name, column in fitted.hparams.items())
            who = f"member {member} ({values or f'seed {np.asarray(fitted.seeds)[member]}'})"
            how = fitted.describe(int(member))
        if diverged[member]:
            what = f"{who} {how}; its state before that epoch is kept: lower the learning rate, clip the gradient, or "
            what += "scale the data"
        else:
            what = f"no validation of {who} was finite, so its variables are those before training: look at the score"
        warnings.warn(what, RuntimeWarning, stacklevel=3)
