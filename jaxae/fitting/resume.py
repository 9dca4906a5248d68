"""A run as it was when it was saved."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxae.fitting.program import Run
from jaxae.result import Fit
from jaxae.types import Array

__all__ = ["in_place_of", "resumed"]


def resumed(
    saved: Fit,
    path: str | os.PathLike[str],
    record: dict[str, Any],
    hyper: Mapping[str, Array],
    seed: np.ndarray | None,
    patience: int | None,
) -> tuple[Run, dict[str, np.ndarray]]:
    """Return a run as it was when it was saved, or refuse one that was another run."""
    if {"rungs", "brackets", "exchanges"} & saved.record.keys():
        raise ValueError(
            f"{path} holds the result of a search, whose members trained for different numbers of epochs, so no fit "
            "goes on from it: give another file"
        )
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
    epochs, best_epoch, diverged_epoch, diverged_step = map(jnp.asarray, saved.status[:4])
    validated = "validation" in saved.history
    best_loss = np.full(np.shape(epochs), np.inf, jnp.asarray(0.0).dtype)
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
    run = Run(
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


def in_place_of(run: Run, saved: Run, path: str | os.PathLike[str]) -> Run:
    """Return the saved run on the devices of the fresh one, or refuse one of other arrays."""
    arrays = [
        [(path, leaf.shape, leaf.dtype) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]
        for tree in (run, saved)
    ]
    if arrays[0] != arrays[1]:
        raise ValueError(f"{path} holds a fit of another model: give another file, or the model of that fit")
    # Where the fresh run is bound to no device the saved one must not be either, or it would be compiled for anew.
    return jax.tree.map(lambda new, old: jax.device_put(new, old.sharding if old.committed else None), saved, run)
