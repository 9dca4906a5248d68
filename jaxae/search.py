"""Searches among the members of a population while they train: those that do badly make room for those that do well."""

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxae import checks
from jaxae.data import Shards
from jaxae.fitting import fit
from jaxae.fitting.arguments import arrange, check, check_mesh
from jaxae.fitting.course import Course, Program, advanced, begun, compiled, only, packed, program
from jaxae.fitting.rehearsal import rehearse
from jaxae.fitting.watch import Watch, filled_up, recorded, warn_of
from jaxae.hosts import peers
from jaxae.hyperparameters import Draw, check_draws, draw
from jaxae.progress import Progress
from jaxae.result import Fit, stack
from jaxae.types import Batch, Key, Learner, Score

__all__ = ["evolution", "halving", "hyperband"]

NOT_A_SEED = np.uint32(2**32 - 1)
"""Folded into a key, it gives one that no member gets: seeds count from 0 to 2³¹ − 1."""


def halving(
    model: Any,
    factory: Callable[..., Learner],
    data: Batch | Shards,
    *,
    key: Key,
    epochs: int,
    batch_size: int,
    validation: Batch,
    score: Score,
    hparams: Mapping[str, Any] | None = None,
    seeds: int | None = None,
    first: int = 1,
    factor: int = 3,
    mesh: Mesh | None = None,
    lanes: int | None = None,
    progress: bool | Callable[[Progress], None] = True,
) -> Fit:
    """Return a population of which ever fewer members train ever longer: successive halving.

    All members train for `first` epochs; then the best 1/factor of them, by the best validation so far, train until
    factor·first epochs, and so on until `epochs`. Members that were dropped leave the program, which is compiled anew
    for those that stay, so they cost nothing more: it pays where epochs take longer than compiling. Up to its end a
    member trains as the same member of `fit` does: in lanes to the bit, else to rounding.

    Args:
        model: a Linen module, or what `lift` made of an NNX module.
        factory: (**hparams) -> Learner; or a Learner, for a search among seeds alone.
        data: training rows: x (n, ...), cond (n, ...) or None; or rows on disk, from `data.shards`.
        key: typed key: member i trains with fold_in(key, seeds[i]).
        epochs: that the last members train.
        batch_size: from 1 to n.
        validation: held-out rows that rank the members.
        score: (variables, batch, key) -> (rows,) values whose mean ranks them, smaller is better: any metric of one
            row, not only the loss.
        hparams: columns of one length, one row per point.
        seeds: runs per point.
        first: epochs before members are dropped for the first time.
        factor: one in how many stays, and how many times longer it trains.
        mesh: devices that the members are spread over, with Auto axes.
        lanes: as for `fit`.
        progress: True prints, False does not, and a function is called with a `Progress` after every chunk.

    Returns:
        all members: `status.dropped_epoch` tells those that were dropped, which have the variables that they had
        then; `record["rungs"]` the epochs and numbers of members.

    Raises:
        TypeError, ValueError: as `fit`; and for fewer than two members, a factor < 2, or first ≥ epochs.

    Examples:
        >>> import jax, jaxae as ja, optax
        >>> ae = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((8,)))
        >>> def factory(lr):
        ...     return ja.descend(ja.objective(ae, ja.losses.reconstruction), optax.adam(lr))
        >>> rows = jax.random.normal(jax.random.key(0), (48, 8))
        >>> found = halving(ae, factory, ja.Batch(rows[:32]), key=jax.random.key(1), epochs=9, batch_size=16,
        ...                 validation=ja.Batch(rows[32:]), score=ja.score(ae, ja.losses.reconstruction),
        ...                 hparams=ja.draw(jax.random.key(2), 9, lr=ja.hyperparameters.log_uniform(1e-4, 1e-1)),
        ...                 progress=False)
        >>> sorted(found.status.epochs.tolist()), found.describe(found.best())
        ([1, 1, 1, 1, 1, 1, 3, 3, 9], 'trained')

    References:
        Jamieson & Talwalkar, Non-stochastic best arm identification and hyperparameter optimization, 2016.
    """
    checks.whole("factor", factor, low=2)
    checks.whole("epochs", epochs, low=2)
    checks.whole("first", first, high=epochs - 1, why=", fewer than epochs")
    fitted = _halved(
        model,
        factory,
        data,
        key=key,
        epochs=epochs,
        batch_size=batch_size,
        validation=validation,
        score=score,
        hparams=hparams,
        seeds=seeds,
        rungs=_rungs(first, factor, epochs),
        factor=factor,
        mesh=mesh,
        lanes=lanes,
        progress=progress,
    )
    warn_of(fitted)
    return fitted


def _halved(
    model: Any,
    factory: Callable[..., Learner],
    data: Batch | Shards,
    *,
    key: Key,
    epochs: int,
    batch_size: int,
    validation: Batch,
    score: Score,
    hparams: Mapping[str, Any] | None,
    seeds: int | None,
    rungs: Sequence[int],
    factor: int,
    mesh: Mesh | None,
    lanes: int | None,
    progress: bool | Callable[[Progress], None],
) -> Fit:
    """Return what `halving` does, with members dropped after the given epochs."""
    began = time.perf_counter()
    trains, hyper, seed = _prepared(
        model, factory, data, key, epochs, batch_size, validation, score, hparams, seeds, mesh, lanes
    )
    watch = Watch(progress, began)
    course = begun(trains, key, hyper, seed)
    watch.compiled(course)
    record = recorded(trains, key, None, lanes, mesh)
    alive, parts, passed = np.arange(len(seed)), [], []
    for budget in rungs:
        course = advanced(course, budget, watch.after)
        passed.append({"epochs": int(course.done), "members": len(alive)})
        fitted = packed(course, record)
        stays = _best(fitted.final(), math.ceil(len(alive) / factor))
        if not stays.all():
            parts.append((alive[~stays], _ended(fitted, np.flatnonzero(~stays), budget, epochs)))
            # A program for fewer members is another program.
            alive, course = alive[stays], compiled(only(course, np.flatnonzero(stays)))
            watch.compiled(course)
    course = advanced(course, epochs, watch.after)
    passed.append({"epochs": int(course.done), "members": len(alive)})
    parts.append((alive, _ended(packed(course, record), np.arange(len(alive)), 0, epochs)))
    everyone = stack([part for _, part in parts])
    order = np.argsort(np.concatenate([members for members, _ in parts]))
    return everyone.take(order)._replace(record={**record, **watch.seconds(), "rungs": passed})


def hyperband(
    model: Any,
    factory: Callable[..., Learner],
    data: Batch | Shards,
    *,
    key: Key,
    epochs: int,
    batch_size: int,
    validation: Batch,
    score: Score,
    axes: Mapping[str, Draw],
    factor: int = 3,
    mesh: Mesh | None = None,
    lanes: int | None = None,
    progress: bool | Callable[[Progress], None] = True,
) -> Fit:
    """Return the members of several searches by halving, from many short runs to few long ones, that cost about alike.

    Nobody needs to know how early a bad run can be told: every bracket begins with fewer members that train `factor`
    times longer before the first are dropped, and the last drops none.

    Args:
        model: a Linen module, or what `lift` made of an NNX module.
        factory: (**hparams) -> Learner.
        data: training rows: x (n, ...), cond (n, ...) or None; or rows on disk, from `data.shards`.
        key: typed key; a bracket draws its points and trains its members with keys of its own.
        epochs: that the last members of every bracket train, ≥ factor.
        batch_size: from 1 to n.
        validation: held-out rows that rank the members.
        score: (variables, batch, key) -> (rows,) values whose mean ranks them, smaller is better.
        axes: how each hyperparameter is drawn, as for `draw`.
        factor: one in how many stays at a rung, and how many times longer it trains.
        mesh: devices that the members are spread over, with Auto axes.
        lanes: as for `fit`.
        progress: True prints, False does not, and a function is called with a `Progress` after every chunk.

    Returns:
        the members of all brackets, one bracket after another; `record["brackets"]` tells their rungs and the keys
        that their members trained with, folded with seed 0.

    Raises:
        TypeError, ValueError: as `halving`.

    References:
        Li et al., Hyperband: a novel bandit-based approach to hyperparameter optimization, 2018.
    """
    checks.whole("factor", factor, low=2)
    checks.whole("epochs", epochs, low=factor, why=", since a bracket trains at least factor epochs")
    check(data, key, epochs, batch_size, validation, score, None)
    check_draws(axes)
    most = int(math.log(epochs, factor) + 1e-9)
    common: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "validation": validation,
        "score": score,
        "mesh": mesh,
        "lanes": lanes,
        "progress": progress,
    }
    parts = []
    for bracket, own_key in zip(range(most, -1, -1), jax.random.split(key, most + 1), strict=True):
        draw_key, fit_key = jax.random.split(own_key)
        count = math.ceil((most + 1) / (bracket + 1) * factor**bracket)
        columns = draw(draw_key, count, **axes)
        if bracket:
            rungs = [epochs // factor**i for i in range(bracket, 0, -1)]
            part = _halved(
                model, factory, data, key=fit_key, hparams=columns, seeds=None, rungs=rungs, factor=factor, **common
            )
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # of members by their numbers among all brackets, below
                part = fit(model, factory, data, key=fit_key, hparams=columns, **common)
            part.record["rungs"] = [{"epochs": epochs, "members": count}]
        parts.append(part)
    found = stack(parts)
    timed = ("compile_seconds", "run_seconds", "steps")
    seconds = {name: sum(part.record[name] for part in parts) for name in timed}
    # Every bracket has a key of its own.
    record = {name: value for name, value in found.record.items() if name not in ("key", "rungs")}
    brackets = [{"key": part.record["key"], "rungs": part.record["rungs"]} for part in parts]
    found = found._replace(record={**record, **seconds, "brackets": brackets})
    warn_of(found)
    return found


def evolution(
    model: Any,
    factory: Callable[..., Learner],
    data: Batch | Shards,
    *,
    key: Key,
    epochs: int,
    batch_size: int,
    validation: Batch,
    score: Score,
    hparams: Mapping[str, Any],
    every: int,
    share: float = 0.25,
    factors: tuple[float, float] = (0.8, 1.25),
    limits: Mapping[str, tuple[float, float]] | None = None,
    mesh: Mesh | None = None,
    lanes: int | None = None,
    progress: bool | Callable[[Progress], None] = True,
) -> Fit:
    """Return a population that learns its hyperparameters while it trains: population-based training.

    After every so many epochs the worst members, by the validation of the last epoch, each take over parameters,
    optimizer state and hyperparameters of one of the best, drawn at random (exploit), and multiply every
    hyperparameter by one of the factors, drawn at random (explore). They go on with their own keys. A member that
    diverged is among the worst, and lives again.

    Args:
        model: a Linen module, or what `lift` made of an NNX module.
        factory: (**hparams) -> Learner. Its optimizer must take them where it steps, as `optax.adam(lr)` does.
        data: training rows: x (n, ...), cond (n, ...) or None; or rows on disk, from `data.shards`.
        key: typed key: member i trains with fold_in(key, i), and the exchange has a key of its own.
        epochs: ≥ 2.
        batch_size: from 1 to n.
        validation: held-out rows that rank the members.
        score: (variables, batch, key) -> (rows,) values whose mean ranks them, smaller is better.
        hparams: columns of one length, of floats > 0, one row per member, where it starts.
        every: epochs between two exchanges.
        share: of the members that take over, in (0, 0.5]; as many are taken over.
        factors: what a hyperparameter is multiplied by.
        limits: {name: (low, high)} that a hyperparameter stays within.
        mesh: devices that the members are spread over, with Auto axes.
        lanes: as for `fit`.
        progress: True prints, False does not, and a function is called with a `Progress` after every chunk.

    Returns:
        the members at the end, each with the best variables of its line of descent, which its history is that of as
        well: `history["hparams/<name>"]` is the hyperparameter in every epoch, `hparams` what it was when the best
        variables were trained, and `record["exchanges"]` tells who took over from whom.

    Raises:
        TypeError, ValueError: as `fit`; and for fewer than two members, whole-number or non-positive hyperparameters,
            and numbers out of range.

    Examples:
        >>> import jax, jaxae as ja, optax
        >>> ae = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((8,)))
        >>> def factory(lr):
        ...     return ja.descend(ja.objective(ae, ja.losses.reconstruction), optax.adam(lr))
        >>> rows = jax.random.normal(jax.random.key(0), (48, 8))
        >>> found = evolution(ae, factory, ja.Batch(rows[:32]), key=jax.random.key(1), epochs=6, batch_size=16,
        ...                   validation=ja.Batch(rows[32:]), score=ja.score(ae, ja.losses.reconstruction),
        ...                   hparams=ja.grid(lr=[1e-4, 1e-3, 1e-2, 1e-1]), every=2, progress=False)
        >>> found.history["hparams/lr"].shape, len(found.record["exchanges"])
        ((4, 6), 2)

    References:
        Jaderberg et al., Population based training of neural networks, 2017.
    """
    began = time.perf_counter()
    checks.whole("epochs", epochs, low=2)
    checks.whole("every", every, high=epochs - 1, why=", fewer than epochs")
    if not 0 < share <= 0.5:
        raise ValueError(f"share is {share}, but must be in (0, 0.5]: nobody takes over and is taken over at once")
    for factor in factors:
        checks.positive("factors", factor)
    trains, hyper, seed = _prepared(
        model, factory, data, key, epochs, batch_size, validation, score, hparams, None, mesh, lanes
    )
    seed = np.arange(len(seed), dtype=np.int32)  # those that take over the same member part ways
    limits = dict(limits or {})
    checks.known("hyperparameter", limits, hyper)
    for name, column in hyper.items():
        own = np.asarray(column)
        if not jnp.issubdtype(column.dtype, jnp.floating) or not (own > 0).all():
            raise ValueError(
                f"hparams {name} holds {own.tolist()}, but what is multiplied to explore must be floats > 0: search "
                "for others by halving"
            )
        low, high = limits.get(name, (0.0, np.inf))
        if not 0 <= low < high:
            raise ValueError(f"the limits of {name} are {low} and {high}, but must be ≥ 0, the lower one first")
        if (own < np.float32(low)).any() or (own > np.float32(high)).any():
            raise ValueError(f"hparams {name} holds {own.tolist()}, but its limits are {low} and {high}: start within")
    watch = Watch(progress, began)
    course = begun(trains, key, hyper, seed)
    watch.compiled(course)
    exchange_key = jax.random.fold_in(key, NOT_A_SEED)
    exchanges: list[dict[str, Any]] = []
    held = {name: np.zeros((len(seed), 0), np.float32) for name in hyper}
    for end in (*range(every, epochs, every), epochs):
        before = course.done
        course = advanced(course, end, watch.after)
        for name, column in course.hyper.items():
            now = np.repeat(np.asarray(column)[:, None], course.done - before, axis=1)
            held[name] = np.concatenate([held[name], now], 1)
        if end == epochs:
            break
        course, parents = _exchanged(
            course, jax.random.fold_in(exchange_key, end), max(1, int(share * len(seed))), factors, limits
        )
        held = {name: columns[parents] for name, columns in held.items()}
        exchanges.append({"epoch": int(end), "parents": parents.tolist()})
    record = {**recorded(trains, key, None, lanes, mesh), **watch.seconds(), "exchanges": exchanges}
    fitted = packed(course, record)
    place = np.maximum(fitted.status.best_epoch, 1) - 1
    hparams = {name: columns[np.arange(len(seed)), place] for name, columns in held.items()}
    rows = {f"hparams/{name}": columns for name, columns in held.items()}
    fitted = filled_up(fitted._replace(history={**fitted.history, **rows}, hparams=hparams), epochs)
    warn_of(fitted)
    return fitted


def _prepared(
    model: Any,
    factory: Callable[..., Learner],
    data: Batch | Shards,
    key: Key,
    epochs: int,
    batch_size: int,
    validation: Batch,
    score: Score,
    hparams: Mapping[str, Any] | None,
    seeds: int | None,
    mesh: Mesh | None,
    lanes: int | None,
) -> tuple[Program, dict[str, Any], np.ndarray]:
    """Return what trains the members, their hyperparameters and their seeds, or refuse what cannot be searched."""
    check(data, key, epochs, batch_size, validation, score, None)
    if validation is None:
        raise ValueError(
            "a search ranks members by held-out rows: add validation=Batch(x) and score=ja.score(model, loss)"
        )
    made, hyper, seed = arrange(factory, hparams, seeds)
    if seed is None or len(seed) < 2:
        raise ValueError(
            f"a search needs at least two members, but was given {0 if seed is None else len(seed)}: add hparams "
            "or seeds"
        )
    check_mesh(mesh, batch_size, many=True)
    if peers(mesh).several:
        raise ValueError(
            "the mesh holds devices of several processes, but a search trains in one: make a mesh of "
            "jax.local_devices()"
        )
    rehearse(model, made, hyper, data, validation, score, key=key, batch_size=batch_size)
    trains = program(
        model,
        made,
        data,
        validation,
        score,
        epochs=epochs,
        batch_size=batch_size,
        patience=None,
        members=len(seed),
        mesh=mesh,
        lanes=lanes,
    )
    return trains, hyper, seed


def _rungs(first: int, factor: int, epochs: int) -> list[int]:
    """Return the epochs after which members are dropped: first, factor·first, …, all less than `epochs`."""
    found = [first]
    while found[-1] * factor < epochs:
        found.append(found[-1] * factor)
    return found


def _best(values: np.ndarray, count: int) -> np.ndarray:
    """Return which are the `count` smallest, the first of equals; fewer where the others are not finite, never none."""
    order = np.argsort(values, kind="stable")[:count]
    chosen = np.zeros(len(values), bool)
    chosen[order[np.isfinite(values[order])]] = True
    chosen[order[0]] = True
    return chosen


def _ended(fitted: Fit, members: np.ndarray, dropped: int, epochs: int) -> Fit:
    """Return some members as they are, in host memory, dropped after an epoch (0: they were not)."""
    part = fitted.take(members)
    gone = np.where(part.status.diverged_epoch > 0, 0, dropped).astype(np.int32)
    variables, state = jax.device_get((part.variables, part.state))
    return filled_up(
        part._replace(variables=variables, state=state, status=part.status._replace(dropped_epoch=gone)), epochs
    )


def _exchanged(
    course: Course, key: Key, count: int, factors: tuple[float, float], limits: Mapping[str, tuple[float, float]]
) -> tuple[Course, np.ndarray]:
    """Return the course after the worst members took over from the best, and whom every member descends from."""
    parent_key, factor_key = jax.random.split(key)
    last = course.history["validation"][:, -1]
    order = np.argsort(np.where(np.isfinite(last), last, np.inf), kind="stable")
    parents = np.arange(len(last))
    able = order[:count][np.isfinite(last[order[:count]])]
    if able.size:
        parents[order[-count:]] = np.asarray(jax.random.choice(parent_key, jnp.asarray(able), (count,)))
    moved = parents != np.arange(len(last))
    run, hyper = jax.tree.map(lambda leaf: leaf[parents], (course.run, course.hyper))
    for (name, column), own_key in zip(hyper.items(), jax.random.split(factor_key, len(hyper)), strict=True):
        by = jax.random.choice(own_key, jnp.asarray(factors, column.dtype), column.shape)
        low, high = limits.get(name, (0.0, np.inf))
        hyper[name] = jnp.where(moved, (column * by).clip(low, high), column)
    history = {name: values[parents] for name, values in course.history.items()}
    return course._replace(run=run, hyper=hyper, history=history), parents
