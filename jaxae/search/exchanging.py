"""A search whose members take over from each other: population-based training."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxae import checks
from jaxae.data import Shards
from jaxae.fitting.course import Course, advanced, begun, packed
from jaxae.fitting.watch import Watch, filled_up, recorded, warn_of
from jaxae.progress import Progress
from jaxae.result import Fit
from jaxae.search.prepared import prepared
from jaxae.types import Batch, Key, Learner, Score

__all__ = ["evolution"]

NOT_A_SEED = np.uint32(2**32 - 1)
"""Folded into a key, it gives one that no member gets: seeds count from 0 to 2³¹ − 1."""


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
    trains, hyper, seed = prepared(
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
