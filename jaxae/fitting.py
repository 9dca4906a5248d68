"""The host-side driver of runs: `fit` calls one compiled program in chunks and lives between them in plain Python."""

import inspect
import operator
import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxae import checkpoint as files
from jaxae import checks
from jaxae.data import fingerprint
from jaxae.population import spread
from jaxae.progress import Progress, printer
from jaxae.result import Fit, Status
from jaxae.training import check_run, epoch, initialise
from jaxae.types import Array, Batch, Key, Learner, Score, TrainState, Variables

__all__ = ["Fit", "fit"]

CHUNK_SECONDS = 1.0
"""What a chunk aims to take: often enough to show progress, rarely enough to cost nothing."""
CHUNK_EPOCHS = 256
"""The most epochs of a chunk: the length of the history's buffer on the device."""
VALIDATION_ROWS = 1024
"""Validation rows scored together: bounds the memory that a population needs for them."""
SAVE_SECONDS = 60.0
"""Between two saves of a checkpoint at least."""
NOT_A_STEP = np.uint32(2**32 - 1)
"""Folded into a key, it gives one that no step gets: steps count from 0 to 2³¹ − 1."""


class _Run(NamedTuple):
    """One run between two chunks: arrays only."""

    state: TrainState
    best: Variables | None
    best_loss: Array
    best_epoch: Array
    epochs: Array
    diverged_epoch: Array
    diverged_step: Array
    training: Array


class _Keys(NamedTuple):
    order: Key
    step: Key
    validation: Key


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
    _check(data, key, epochs, batch_size, validation, score, patience)
    factory, hyper, seed = _members(learner, hparams, seeds)
    for name, given in (("mesh", mesh), ("lanes", lanes)):
        if given is not None and seed is None:
            raise ValueError(f"{name} was given for a single run, but it is members that it spreads: add seeds=...")
    data, validation = jax.tree.map(jnp.asarray, (data, validation))
    begin, advance = _programs(model, factory, score, batch_size, min(epochs, CHUNK_EPOCHS), patience)
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

    def chunk(run: _Run, count: int) -> tuple[_Run, dict[str, np.ndarray]]:
        run, rows = advance((run, keys, hyper), (data, validation, jnp.asarray(count, jnp.int32)))
        return run, {name: np.asarray(values)[..., :count] for name, values in rows.items()}

    def package() -> Fit:
        seconds = {"compile_seconds": compile_seconds, "run_seconds": time.perf_counter() - compiled}
        return _package(run, history, hyper, seed, {**record, **seconds})

    run, keys = begin((own_key, hyper), data)
    run, history = chunk(run, 0)
    done = 0
    if checkpoint is not None and Path(checkpoint).exists():
        saved_run, history = _resume(files.load(checkpoint, learner), checkpoint, record, hyper, seed, patience)
        run = _in_place_of(run, saved_run, checkpoint)
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
    history = {name: _filled_up(values, epochs) for name, values in history.items()}
    fitted = package()
    if checkpoint is not None:
        files.save(fitted, checkpoint)
    _warn(fitted)
    return fitted


def _check(
    data: Batch,
    key: Key,
    epochs: int,
    batch_size: int,
    validation: Batch | None,
    score: Score | None,
    patience: int | None,
) -> None:
    checks.whole("epochs", epochs)
    check_run(data, key, batch_size)
    if (validation is None) != (score is None):
        given, other = (
            ("validation", "score=ja.score(model, loss)") if score is None else ("score", "validation=Batch(x)")
        )
        raise ValueError(
            f"{given} was given alone, but validation rows and the score that judges them go together: add {other}"
        )
    if patience is not None:
        checks.whole("patience", patience)
        if validation is None:
            raise ValueError(
                "patience was given, but early stopping needs validation rows: add validation=Batch(x) "
                "and score=ja.score(model, loss)"
            )
    if validation is not None and not isinstance(validation, Batch):
        raise TypeError(f"validation is {type(validation).__name__}, but must be a Batch: write Batch(x)")
    if validation is not None and not len(validation.x):
        raise ValueError("validation has no rows: give some, or leave it out")
    for name, batch in (("data", data), ("validation", validation)):
        for part, array in batch._asdict().items() if batch is not None else ():
            if array is not None:
                _check_values(f"{name}.{part}", np.asarray(array))


def _check_values(name: str, array: np.ndarray) -> None:
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"{name} holds {array.dtype}, but must hold floats: write {name}.astype(np.float32), and scale "
            "pixels to 0…1"
        )
    kept_as = jax.dtypes.canonicalize_dtype(array.dtype)
    finite = np.abs(array) <= jnp.finfo(kept_as).max
    if not finite.all():
        row, *column = np.argwhere(~finite)[0].tolist()
        at = f" and column {', '.join(map(str, column))}" if column else ""
        raise ValueError(
            f"{name} holds {array[(row, *column)]} in row {row}{at} (counted from 0), and {(~finite).sum()} values in "
            f"all that are no finite {kept_as.name}: fill them in or leave those rows out"
        )


def _members(
    learner: Learner | Callable[..., Learner], hparams: Mapping[str, Any] | None, seeds: int | None
) -> tuple[Callable[..., Learner], dict[str, Array], np.ndarray | None]:
    """Return the factory, one column per hyperparameter with a row per member, and the members' seeds."""
    if seeds is not None:
        checks.whole("seeds", seeds)
    columns = {name: np.atleast_1d(column) for name, column in (hparams or {}).items()}
    lengths = {name: column.shape for name, column in columns.items()}
    if len(set(lengths.values())) > 1 or any(len(shape) != 1 or not shape[0] for shape in lengths.values()):
        raise ValueError(f"hparams have shapes {lengths}, but must be columns of one length: use grid(...)")
    for name, column in columns.items():
        if not (jnp.issubdtype(column.dtype, jnp.number) or column.dtype == bool):
            raise TypeError(
                f"hparams {name} holds {column.dtype}, but must hold plain numbers: compare architectures in "
                "separate fits"
            )
        if not np.isfinite(column).all():
            raise ValueError(f"hparams {name} holds {column.tolist()}, but its values must be finite")
    if isinstance(learner, Learner):
        if columns:
            raise ValueError(
                f"hparams {', '.join(columns)} were given with a finished learner, which takes none: give "
                "a factory, lambda " + ", ".join(columns) + ": descend(...)"
            )

        def factory(**_: Any) -> Learner:
            return learner
    elif not callable(learner):
        raise TypeError(
            f"learner is {type(learner).__name__}, but must be a Learner or a factory of one: "
            "ja.descend(ja.objective(model, loss), optax.adam(1e-3))"
        )
    else:
        parameters = inspect.signature(learner).parameters
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            checks.known("hyperparameter of the factory", columns, parameters)
        missing = [
            name
            for name, parameter in parameters.items()
            if name not in columns
            and parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        ]
        if missing:
            raise ValueError(
                f"the factory needs {', '.join(missing)}, but hparams has {', '.join(columns) or 'none'}: "
                f"add hparams=grid({missing[0]}=[...])"
            )
        factory = learner
    points = next(iter(lengths.values()), (1,))[0]
    seed = np.tile(np.arange(seeds or 1, dtype=np.int32), points)
    many = hparams is not None or seeds is not None
    hyper = {name: jnp.asarray(np.repeat(column, seeds or 1)) for name, column in columns.items()}
    return factory, hyper, seed if many else None


def _programs(
    model: Any, factory: Callable[..., Learner], score: Score | None, batch_size: int, buffer: int, patience: int | None
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return two pure functions of one member: how it begins, and how it goes on for a number of epochs."""

    def begin(own: tuple[Key, dict[str, Array]], data: Batch) -> tuple[_Run, _Keys]:
        state, run_key = initialise(model, factory(**own[1]), data, own[0])
        order_key, step_key = jax.random.split(run_key)
        keys = _Keys(order_key, step_key, jax.random.fold_in(order_key, NOT_A_STEP))
        zero = jnp.zeros((), jnp.int32)
        best = None if score is None else state.variables
        run = _Run(state, best, jnp.asarray(jnp.inf), zero, zero, zero, zero, jnp.asarray(True))
        return jax.tree.map(_strong, run), keys

    def advance(own: tuple[_Run, _Keys, dict[str, Array]], shared: tuple[Batch, Batch | None, Array]) -> Any:
        run, keys, hyper = own
        data, validation, count = shared
        learner = factory(**hyper)

        def one(run: _Run) -> tuple[_Run, dict[str, Array]]:
            state, metrics = epoch(learner, run.state, data, keys.order, keys.step, batch_size=batch_size)
            row = jax.tree.map(jnp.mean, metrics)
            step = _first_not_finite(run.state, state, metrics)
            if score is not None and validation is not None:
                row["validation"] = _mean_score(score, state.variables, validation, keys.validation, state.step)
            return _judge(run, state, row, step, patience)

        row = jax.eval_shape(one, run)[1]
        empty = {name: jnp.full((buffer,), jnp.nan, leaf.dtype) for name, leaf in row.items()}

        def body(i: Array, carry: tuple[_Run, dict[str, Array]]) -> tuple[_Run, dict[str, Array]]:
            run, rows = carry
            run, row = one(run)
            return run, {name: rows[name].at[i].set(value) for name, value in row.items()}

        return jax.lax.fori_loop(0, count, body, (run, empty))

    return begin, advance


def _strong(leaf: Array) -> Array:
    """Return the leaf without weak typing, which the first chunk would lose and the second be compiled anew for."""
    return leaf if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else jax.lax.convert_element_type(leaf, leaf.dtype)


def _first_not_finite(before: TrainState, after: TrainState, metrics: Mapping[str, Array]) -> Array:
    """Return the first step, counted from 1, with a loss that is not finite, or 0 where all is finite.

    A gradient may spoil the parameters in the very last step, which no loss has seen yet.
    """
    losses = [values for name, values in metrics.items() if name == "loss" or name.endswith("/loss")]
    bad = ~jnp.isfinite(jnp.stack(losses)).all(0) if losses else jnp.zeros(1, bool)
    floats = [leaf for leaf in jax.tree.leaves(after.variables) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    spoilt = ~jnp.stack([jnp.isfinite(leaf).all() for leaf in floats]).all() if floats else jnp.asarray(False)
    seen = before.step + 1 + jnp.argmax(bad).astype(jnp.int32)
    return jnp.where(bad.any(), seen, jnp.where(spoilt, after.step, 0))


def _judge(
    run: _Run, state: TrainState, row: dict[str, Array], bad_step: Array, patience: int | None
) -> tuple[_Run, dict[str, Array]]:
    """Return the run after an epoch that ended in `state`, and the epoch's row of the history.

    A run that has ended keeps everything as it is, and one that diverged in this epoch goes back to where it began.
    """
    number = run.epochs + 1
    diverged = run.training & (bad_step > 0)
    kept = run.training & ~diverged
    loss = row.get("validation", jnp.asarray(jnp.inf))
    better = kept & (loss < run.best_loss)
    best_epoch = jnp.where(better, number, run.best_epoch)
    waited_enough = False if patience is None else number - best_epoch >= patience

    def choose(which: Array, new: Any, old: Any) -> Any:
        return jax.tree.map(lambda a, b: jnp.where(which, a, b), new, old)

    after = _Run(
        state=choose(kept, state, run.state),
        best=None if run.best is None else choose(better, state.variables, run.best),
        best_loss=jnp.where(better, loss, run.best_loss),
        best_epoch=best_epoch,
        epochs=jnp.where(kept, number, run.epochs),
        diverged_epoch=jnp.where(diverged, number, run.diverged_epoch),
        diverged_step=jnp.where(diverged, bad_step, run.diverged_step),
        training=kept & ~jnp.asarray(waited_enough),
    )
    return after, {name: jnp.where(run.training, value, jnp.nan) for name, value in row.items()}


def _mean_score(score: Score, variables: Variables, validation: Batch, key: Key, step: Array) -> Array:
    """Return the mean score of the validation rows, scored some rows at a time to bound the memory."""
    n = len(validation.x)
    width = min(n, VALIDATION_ROWS)
    parts = -(-n // width)
    rows = (jnp.arange(parts * width) % n).reshape(parts, width)

    def part(pair: tuple[Array, Key]) -> Array:
        return score(variables, jax.tree.map(lambda leaf: leaf[pair[0]], validation), pair[1])

    part_keys = jax.random.split(jax.random.fold_in(key, step), parts)
    return jax.lax.map(part, (rows, part_keys)).reshape(-1)[:n].mean()


def _progress(
    run: _Run,
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
    run: _Run,
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


def _filled_up(values: np.ndarray, epochs: int) -> np.ndarray:
    """Return the history (..., epochs) of a fit that ended before the last epoch, NaN from there on."""
    rest = np.full((*values.shape[:-1], epochs - values.shape[-1]), np.nan, values.dtype)
    return np.concatenate([values, rest], -1)


def _in_place_of(run: _Run, saved: _Run, path: str | os.PathLike[str]) -> _Run:
    """Return the saved run on the devices of the fresh one, or refuse one of other arrays."""
    arrays = [
        [(path, leaf.shape, leaf.dtype) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]
        for tree in (run, saved)
    ]
    if arrays[0] != arrays[1]:
        raise ValueError(f"{path} holds a fit of another model: give another file, or the model of that fit")
    return jax.tree.map(lambda new, old: jax.device_put(new, old.sharding), saved, run)


def _resume(
    saved: Fit,
    path: str | os.PathLike[str],
    record: dict[str, Any],
    hyper: Mapping[str, Array],
    seed: np.ndarray | None,
    patience: int | None,
) -> tuple[_Run, dict[str, np.ndarray]]:
    """Return a run as it was when it was saved, or refuse one that was another run."""
    for name in ("batch_size", "patience", "lanes", "key", "data", "member"):
        before, now = saved.record.get(name), record.get(name)
        if before != now:
            raise ValueError(
                f"{path} holds a fit with another {name} ({before}, now {now}): give "
                "another file, or the arguments of that fit to go on with it"
            )
    same = saved.hparams.keys() == hyper.keys() and all(
        np.array_equal(saved.hparams[name], hyper[name]) for name in hyper
    )
    if not same:
        raise ValueError(f"{path} holds a fit with other hparams: give another file, or the hparams of that fit")
    if not np.array_equal(saved.seeds, seed):  # type: ignore[arg-type]  # None is equal to None
        raise ValueError(f"{path} holds a fit with other seeds: give another file, or the seeds of that fit")
    if saved.record["epochs"] > record["epochs"]:
        raise ValueError(
            f"{path} holds a fit of {saved.record['epochs']} epochs, more than the {record['epochs']} asked for: give "
            "another file, or at least as many epochs"
        )
    epochs, best_epoch, diverged_epoch, diverged_step = map(jnp.asarray, saved.status)
    validated = "validation" in saved.history
    best_loss = np.full(np.shape(epochs), np.inf, np.float32)
    if validated:
        found = np.take_along_axis(
            saved.history["validation"], np.maximum(saved.status.best_epoch, 1)[..., None] - 1, -1
        )
        best_loss = np.where(saved.status.best_epoch > 0, found[..., 0], best_loss)
    training = diverged_epoch == 0
    if patience is not None:
        training &= epochs - best_epoch < patience
    best = jax.tree.map(jnp.asarray, saved.variables) if validated else None
    state = jax.tree.map(jnp.asarray, saved.state)
    run = _Run(
        state,
        best,
        jnp.asarray(best_loss),
        best_epoch if validated else jnp.zeros_like(best_epoch),
        epochs,
        diverged_epoch,
        diverged_step,
        training,
    )
    return run, saved.history


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
