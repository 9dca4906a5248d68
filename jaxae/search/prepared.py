"""The members of a search, before the first of them trains."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jax.sharding import Mesh

from jaxae.data import Shards
from jaxae.fitting.arguments import arrange, check, check_mesh
from jaxae.fitting.course import Program, program
from jaxae.fitting.rehearsal import rehearse
from jaxae.hosts import peers
from jaxae.types import Batch, Key, Learner, Score

__all__ = ["prepared"]


def prepared(
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
