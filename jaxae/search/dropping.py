"""Searches that drop members: successive halving, and Hyperband, which is several of them."""

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxae import checks
from jaxae.data import Shards
from jaxae.fitting import fit
from jaxae.fitting.arguments import check
from jaxae.fitting.course import Program, advanced, begun, compiled, only, packed
from jaxae.fitting.watch import Watch, filled_up, recorded, warn_of
from jaxae.hyperparameters import Draw, check_draws, draw
from jaxae.progress import Progress
from jaxae.result import Fit, stack
from jaxae.search.prepared import prepared
from jaxae.types import Batch, Key, Learner, Score

__all__ = ["halving", "hyperband"]


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
    watch = Watch(progress, time.perf_counter())
    members = prepared(model, factory, data, key, epochs, batch_size, validation, score, hparams, seeds, mesh, lanes)
    rungs = _rungs(first, factor, epochs)
    fitted = _halved(*members, key=key, epochs=epochs, rungs=rungs, factor=factor, mesh=mesh, lanes=lanes, watch=watch)
    warn_of(fitted)
    return fitted


def _halved(
    trains: Program,
    hyper: dict[str, Any],
    seed: np.ndarray,
    *,
    key: Key,
    epochs: int,
    rungs: Sequence[int],
    factor: int,
    mesh: Mesh | None,
    lanes: int | None,
    watch: Watch,
) -> Fit:
    """Return what `halving` does, of members that are prepared and dropped after the given epochs."""
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
    parts = []
    for bracket, own_key in zip(range(most, -1, -1), jax.random.split(key, most + 1), strict=True):
        draw_key, fit_key = jax.random.split(own_key)
        count = math.ceil((most + 1) / (bracket + 1) * factor**bracket)
        columns = draw(draw_key, count, **axes)
        if bracket:
            rungs = [epochs // factor**i for i in range(bracket, 0, -1)]
            watch = Watch(progress, time.perf_counter())
            members = prepared(
                model, factory, data, fit_key, epochs, batch_size, validation, score, columns, None, mesh, lanes
            )
            part = _halved(
                *members, key=fit_key, epochs=epochs, rungs=rungs, factor=factor, mesh=mesh, lanes=lanes, watch=watch
            )
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # of members by their numbers among all brackets, below
                part = fit(
                    model,
                    factory,
                    data,
                    key=fit_key,
                    hparams=columns,
                    epochs=epochs,
                    batch_size=batch_size,
                    validation=validation,
                    score=score,
                    mesh=mesh,
                    lanes=lanes,
                    progress=progress,
                )
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
