"""What the recipes of images share: digits or image files, pixels in 0…1, sheets, and what codes say of the labels."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxae import data, latent, metrics, report
from jaxae.study.nouns import Source, Study
from jaxae.types import Key

__all__ = [
    "adam",
    "beside_controls",
    "by_pca",
    "code_pictures",
    "codes",
    "digits",
    "full_scale",
    "independent_likelihood",
    "probe",
    "read_images",
    "reconstruction",
    "sheets",
]

WARM_UP = 1 / 20
"""Share of the steps in which a cosine schedule reaches its highest rate."""
WARM_UP_STEPS = 250
"""Steps that it takes for that at least, but no more than half of them: a fast rise silences leaky units for good."""
COMPARED = {
    "elbo": ("evidence lower bound", False),
    "cross_entropy": ("cross-entropy", True),
    "mean_squared_error": ("mean squared error", True),
    "probe_accuracy": ("accuracy of a linear probe", False),
}
"""Figures that are checked against their controls, in words, and whether a lower one is better."""

VALIDATION = 1 / 60
"""Share of the training images that choose the best epoch, where the data bring test images of their own."""
PROBED = 10_000
"""Training images that a linear probe is fitted on, at most."""
MAPPED = 1000
"""Test images on a map, at most."""
ROWS = 10_000
"""Images that are encoded together, at most: bounds the memory."""


def digits() -> Source:
    """Return the 1,797 digits that scikit-learn bundles, with their labels."""
    made = data.digits()
    return Source(made.images.values, made.images.columns, made.labels)


def read_images(path: Any, key: Key) -> Source:
    """Return the images of a file or of a folder in MNIST's format, whose test images stay test images."""
    found = data.images(path)
    parts = None
    if found.test:
        n = len(found.values) - found.test
        train, validation = data.split(key, n, fractions=(1 - VALIDATION, VALIDATION))
        parts = {"train": train, "validation": validation, "test": np.arange(n, len(found.values))}
    return Source(found.values, found.columns, found.labels, found.notes, parts=parts)


def full_scale(values: np.ndarray, columns: Any) -> data.Scaling:
    """Return the division by the brightest value that the pixels can have: 1, 16 or 255.

    Raises:
        ValueError: for negative values and values above 255.
    """
    low, high = float(np.min(values)), float(np.max(values))
    if low < 0 or high > 255:
        raise ValueError(f"pixels go from {low:g} to {high:g}, but must lie in 0…1, 0…16 or 0…255: scale them")
    full = next(full for full in (1.0, 16.0, 255.0) if high <= full)
    return data.Scaling(tuple(columns), np.zeros(len(columns)), np.full(len(columns), full))


def adam(schedule: str, learning_rate: Any, steps: int) -> optax.GradientTransformation:
    """Return Adam with a constant rate, or with one that rises over a twentieth of the steps and falls as a cosine."""
    if schedule == "constant":
        return optax.adam(learning_rate)
    rising = max(1, round(min(max(WARM_UP * steps, WARM_UP_STEPS), steps / 2)))
    return optax.adam(optax.warmup_cosine_decay_schedule(0.0, learning_rate, rising, max(steps, rising + 1)))


def codes(recipe: ModuleType, study: Study, rows: np.ndarray) -> np.ndarray:
    """Return the codes (n, latent) of scaled images (n, pixels)."""
    parts = [recipe.encode(study.bound, jnp.asarray(rows[first : first + ROWS])) for first in range(0, len(rows), ROWS)]
    return np.concatenate([np.asarray(part) for part in parts])


def probe(recipe: ModuleType, study: Study) -> dict[str, float]:
    """Return the accuracy on test images of a linear classifier on the codes; nothing where there are no labels."""
    train, test = study.labels_of("train"), study.labels_of("test")
    if train is None or test is None:
        return {}
    rows = codes(recipe, study, study.train[:PROBED])
    accuracy = metrics.linear_probe(rows, train[:PROBED], codes(recipe, study, study.test), test)
    return {"probe_accuracy": accuracy}


def reconstruction(recipe: ModuleType, study: Study) -> np.ndarray:
    """Return the reconstructions (n, pixels) of the test images."""
    return np.asarray(recipe.decode(study.bound, jnp.asarray(codes(recipe, study, study.test))))


def independent_likelihood(study: Study) -> float:
    """Return the mean log-likelihood of the test images if pixels were independent, in nats per image."""
    # Half an image of each kind is counted in, so that a pixel never lit in training is possible.
    mean = (study.train.sum(0, dtype=np.float64) + 0.5) / (len(study.train) + 1)
    return float((study.test * np.log(mean) + (1 - study.test) * np.log1p(-mean)).sum(1).mean())


def beside_controls(
    figures: Mapping[str, float], controls: Mapping[str, float], names: Mapping[str, str], chosen: Sequence[str]
) -> list[Any]:
    """Return whether each chosen figure is better than its control, which is called as `names` says."""
    return [
        report.checks.against_control(
            figures[name], controls[name], name=words, control_name=names[name], lower_is_better=lower
        )
        for name, (words, lower) in COMPARED.items()
        if name in chosen and name in figures and name in controls
    ]


def by_pca(study: Study) -> dict[str, float]:
    """Return the error of PCA with as many components on the test images, and a linear probe of its components."""
    from sklearn.decomposition import PCA

    few = min(study.settings.latent, *study.train.shape)
    pca = PCA(few, svd_solver="covariance_eigh").fit(study.train)
    components = pca.transform(study.test)
    reconstruction = pca.inverse_transform(components)
    found = {
        "mean_squared_error": metrics.mean_squared_error(study.test, reconstruction),
        "psnr": metrics.psnr(study.test, reconstruction),
    }
    train, test = study.labels_of("train"), study.labels_of("test")
    if train is not None and test is not None:
        seen = pca.transform(study.train[:PROBED])
        found["probe_accuracy"] = metrics.linear_probe(seen, train[:PROBED], components, test)
    return found


def sheets(folder: Path, study: Study, reconstruction: np.ndarray, samples: np.ndarray | None = None) -> list[Any]:
    """Draw test images beside their reconstructions (n, pixels), and new images; nothing where they are no squares."""
    side = math.isqrt(study.test.shape[1])
    if side * side != study.test.shape[1]:
        return []
    original, made = study.test[:16], reconstruction[:16]
    rows = {"original": original, "reconstruction": made, "difference": made - original}
    drawn = [report.pictures.images(folder, {name: part.reshape(-1, side, side) for name, part in rows.items()})]
    if samples is not None:
        drawn.append(report.pictures.sheet(folder, samples.reshape(-1, side, side)))
    return drawn


def code_pictures(folder: Path, study: Study, found: np.ndarray, key: Key) -> list[Any]:
    """Draw the test images' codes (n, latent) in the plane, by t-SNE and, where they have labels, by LDA."""
    if found.shape[1] < 2:
        return []
    labels = study.labels_of("test")
    few, own = found[:MAPPED], None if labels is None else labels[:MAPPED]
    seed = int(jax.random.randint(key, (), 0, 2**31 - 1))
    points = {"t-SNE": latent.tsne(few, seed=seed)}
    if own is not None and len(np.unique(own)) > 2:
        points["LDA"] = latent.lda(few, own)
    return [report.pictures.maps(folder, points, colour=own, colour_name="" if own is None else "digit")]
