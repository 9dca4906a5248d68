"""What the recipes of images share: digits or image files, pixels in 0…1, sheets, and what codes say of the labels."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxae import data, latent, metrics, report
from jaxae.study.nouns import PARTS, Source, Study
from jaxae.types import Key

__all__ = [
    "CLASS",
    "ROWS",
    "adam",
    "as_images",
    "beside_controls",
    "by_class",
    "by_pca",
    "centred",
    "code_pictures",
    "codes",
    "digits",
    "full_scale",
    "in_blocks",
    "independent_likelihood",
    "probe",
    "read_classes",
    "read_images",
    "reconstruction",
    "sheets",
    "similarity",
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
CHOOSING = 100
"""Images that choose it at least, but no more than a fifth of the training images."""
FEWEST, FEWEST_TESTED = 40, 6
"""Images, and test images among them, that it takes to train and to judge."""
PROBED = 10_000
"""Training images that a linear probe is fitted on, at most."""
WINDOW = 7
"""Side of the window of the structural similarity, in pixels."""
CLASS = "class"
"""What the condition is called that an image's label is."""
MAPPED = 1000
"""Test images on a map, at most."""
ROWS = 1000
"""Images that go through a model together, at most: bounds the memory."""


def digits() -> Source:
    """Return the 1,797 digits that scikit-learn bundles, with their labels."""
    made = data.digits()
    return Source(made.images.values, made.images.columns, made.labels, shape=(8, 8, 1), full=16.0)


def read_images(path: Any, key: Key, size: int | None = None) -> Source:
    """Return the images of a file or a folder, in another size if one is given; official test images stay test images.

    Rows that are no square images count as images of one row.
    """
    return _as_source(data.images(path, size=size), key)


def read_classes(path: Any, key: Key, size: int | None = None) -> Source:
    """Return the images of a file or a folder, conditioned on their class."""
    found = data.images(path, size=size)
    return by_class(_as_source(found, key), found.kinds)


def _as_source(found: data.Images, key: Key) -> Source:
    count, parts = len(found.values), None
    if count < FEWEST:
        raise ValueError(f"{count} images are too few to train on and to judge by: give at least {FEWEST}")
    if found.test:
        n = count - found.test
        if found.test < FEWEST_TESTED or n < FEWEST // 2:
            raise ValueError(
                f"{n} images to train on and {found.test} to test on are too few: give at least {FEWEST // 2} and "
                f"{FEWEST_TESTED}, or put all in one folder, of which some are kept to test on"
            )
        # Files lie in order of their classes, and the first so many test images are drawn and compared.
        order = np.asarray(jax.random.permutation(jax.random.fold_in(key, 1), found.test))
        share = max(VALIDATION, min(CHOOSING / n, 1 / 5))
        train, validation = data.split(key, n, fractions=(1 - share, share))
        parts = {"train": train, "validation": validation, "test": n + order}
        if found.labels is not None and found.kinds is not None:
            unseen = sorted(set(found.kinds[n:]) - set(found.kinds[:n]))
            if unseen:
                raise ValueError(
                    f"the class {unseen[0]!r} has images to test on but none to train on: add some, or remove those"
                )
    elif found.labels is not None:
        parts = _of_every_class(found.labels, key)
    shape = found.shape or (1, found.values.shape[1], 1)
    return Source(
        found.values,
        found.columns,
        found.labels,
        found.notes,
        parts=parts,
        shape=shape,
        full=found.full,
        classes=found.classes,
    )


def _of_every_class(labels: np.ndarray, key: Key) -> dict[str, np.ndarray] | None:
    """Return the rows of each part, of every class its share; None where that would leave too few in a part."""
    order = np.asarray(jax.random.permutation(key, len(labels)))
    parts: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    for label in np.unique(labels):
        own = order[labels[order] == label]
        validation, test = (round(PARTS[part] * len(own)) for part in ("validation", "test"))
        for part, rows in zip(PARTS, np.split(own, [len(own) - validation - test, len(own) - test]), strict=True):
            parts[part].append(rows)
    mixed = {part: np.concatenate(rows) for part, rows in parts.items()}
    if min(len(rows) for rows in mixed.values()) < FEWEST_TESTED:  # of many tiny classes, each share is rounded to 0
        return None
    # Mixed again, since the first so many are drawn and compared.
    return {part: order[np.isin(order, rows)] for part, rows in mixed.items()}


def by_class(source: Source, kinds: Sequence[str] | None = None) -> Source:
    """Return the source conditioned on the class of each image.

    Raises:
        ValueError: for images without labels.
    """
    if source.labels is None:
        raise ValueError(
            "the images have no labels to be conditioned on: give a folder with one folder for each class, a column "
            "'label', an array y beside X, or MNIST's files"
        )
    return source._replace(conditions={CLASS: tuple(kinds or map(str, source.labels))})


def full_scale(values: np.ndarray, columns: Any) -> data.Scaling:
    """Return the division by the brightest value that the pixels can have: 1, 16 or 255.

    Args:
        values: (n, d): all images, or the darkest and the brightest that there can be.
        columns: d names.

    Raises:
        ValueError: for negative values and values above 255.
    """
    low, high = float(np.min(values)), float(np.max(values))
    if low < 0 or high > 255:
        raise ValueError(f"pixels go from {low:g} to {high:g}, but must lie in 0…1, 0…16 or 0…255: scale them")
    full = next(full for full in (1.0, 16.0, 255.0) if high <= full)
    return data.Scaling(tuple(columns), np.zeros(len(columns)), np.full(len(columns), full))


def centred(values: np.ndarray, columns: Any) -> data.Scaling:
    """Return the map of 0 and the brightest value that the pixels can have, 1, 16 or 255, to −1 and 1."""
    full = full_scale(values, columns).scale
    return data.Scaling(tuple(columns), full / 2, full / 2)


def adam(schedule: str, learning_rate: Any, steps: int) -> optax.GradientTransformation:
    """Return Adam with a constant rate, or with one that rises over a twentieth of the steps and falls as a cosine."""
    if schedule == "constant":
        return optax.adam(learning_rate)
    rising = max(1, round(min(max(WARM_UP * steps, WARM_UP_STEPS), steps / 2)))
    # Of height 1, and then scaled: some versions of optax refuse a traced height.
    shape = optax.warmup_cosine_decay_schedule(0.0, 1.0, rising, max(steps, rising + 1))
    return optax.adam(lambda step: learning_rate * shape(step))


def in_blocks(function: Callable[..., Any], *arrays: Any) -> np.ndarray:
    """Return what a function makes of so many rows at a time of arrays (n, ...), which bounds the memory."""
    arrays = tuple(array for array in arrays if array is not None)
    parts = [
        function(*(jnp.asarray(array[first : first + ROWS]) for array in arrays))
        for first in range(0, len(arrays[0]), ROWS)
    ]
    return np.concatenate([np.asarray(part) for part in parts])


def codes(recipe: ModuleType, study: Study, rows: np.ndarray, cond: np.ndarray | None = None) -> np.ndarray:
    """Return the codes (n, latent) of scaled images (n, pixels), under cond (n, conditions) if there are any."""
    return in_blocks(functools.partial(recipe.encode, study.bound), rows, cond)


def probe(recipe: ModuleType, study: Study) -> dict[str, float]:
    """Return the accuracy on test images of a linear classifier on the codes; nothing where there are no labels."""
    train, test = study.labels_of("train"), study.labels_of("test")
    if train is None or test is None:
        return {}
    cond = study.cond.get("train")
    rows = codes(recipe, study, study.train[:PROBED], None if cond is None else cond[:PROBED])
    held_out = codes(recipe, study, study.test, study.cond.get("test"))
    return {"probe_accuracy": metrics.linear_probe(rows, train[:PROBED], held_out, test)}


def reconstruction(recipe: ModuleType, study: Study) -> np.ndarray:
    """Return the reconstructions (n, pixels) of the test images."""
    cond = study.cond.get("test")
    return in_blocks(functools.partial(recipe.decode, study.bound), codes(recipe, study, study.test, cond), cond)


def similarity(study: Study, made: np.ndarray) -> dict[str, float]:
    """Return the mean structural similarity of test images and what was made of them; of tiny images nothing."""
    if min(study.shape[:2]) < WINDOW:
        return {}
    return {"ssim": float(metrics.ssim(as_images(study, study.test), as_images(study, made), window=WINDOW).mean())}


def independent_likelihood(study: Study) -> float:
    """Return the mean log-likelihood of the test images if pixels were independent, in nats per image.

    Of a model that is told the class of an image, the pixels are independent given the class.
    """
    train, test = (study.labels_of(part) if study.conditions else None for part in ("train", "test"))
    train, test = (
        np.zeros(len(rows), int) if labels is None else labels
        for labels, rows in ((train, study.train), (test, study.test))
    )
    found = np.zeros(len(study.test))
    for kind in np.unique(test):
        own, rows = study.train[train == kind], study.test[test == kind]
        # Half an image of each kind is counted in, so that a pixel never lit in training is possible.
        mean = (own.sum(0, dtype=np.float64) + 0.5) / (len(own) + 1)
        found[test == kind] = (rows * np.log(mean) + (1 - rows) * np.log1p(-mean)).sum(1)
    return float(found.mean())


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


def by_pca(study: Study, *, similar: bool = False) -> dict[str, float]:
    """Return the error of PCA with as many components on the test images, and a linear probe of its components.

    Args:
        study: the trained model and its rows.
        similar: also the structural similarity.
    """
    from sklearn.decomposition import PCA

    few = min(study.settings.latent, *study.train.shape)
    pca = PCA(few, svd_solver="covariance_eigh").fit(study.train)
    components = pca.transform(study.test)
    reconstruction = pca.inverse_transform(components)
    found = {
        "mean_squared_error": metrics.mean_squared_error(study.test, reconstruction),
        "psnr": metrics.psnr(study.test, reconstruction),
        **(similarity(study, reconstruction) if similar else {}),
    }
    train, test = study.labels_of("train"), study.labels_of("test")
    if train is not None and test is not None:
        seen = pca.transform(study.train[:PROBED])
        found["probe_accuracy"] = metrics.linear_probe(seen, train[:PROBED], components, test)
    return found


def sheets(folder: Path, study: Study, reconstruction: np.ndarray, samples: np.ndarray | None = None) -> list[Any]:
    """Draw test images beside their reconstructions (n, pixels), and new images; nothing where they are no images."""
    if 1 in study.shape[:2]:
        return []
    few = 16 if study.shape[1] <= 32 else 8
    original, made = study.test[:few], reconstruction[:few]
    rows = {name: as_images(study, part) for name, part in (("original", original), ("reconstruction", made))}
    difference = rows["reconstruction"] - rows["original"]
    if study.shape[2] == 1:
        rows["difference"] = difference
    else:
        rows["mean |difference|"] = np.abs(difference).mean(-1)
    drawn = [report.pictures.images(folder, rows)]
    if samples is not None:
        drawn.append(report.pictures.sheet(folder, as_images(study, samples)))
    return drawn


def as_images(study: Study, rows: Any) -> np.ndarray:
    """Return rows (n, pixels) as images (n, height, width, channels)."""
    return np.asarray(rows).reshape(-1, *study.shape)


def code_pictures(folder: Path, study: Study, found: np.ndarray, key: Key) -> list[Any]:
    """Draw the test images' codes (n, latent) in the plane, by t-SNE and, where they have labels, by LDA."""
    if found.shape[1] < 2:
        return []
    labels = study.labels_of("test")
    few, own = found[:MAPPED], None if labels is None else labels[:MAPPED]
    seed = int(jax.random.randint(key, (), 0, 2**31 - 1))
    points = {"t-SNE": latent.tsne(few, seed=seed)}
    # Codes of a model that is told the class are parted by what it was told.
    if own is not None and study.conditions is None and len(np.unique(own)) > 2 and np.bincount(own)[own].min() > 1:
        points["LDA"] = latent.lda(few, own)
    names = study.source.classes or None
    return [report.pictures.maps(folder, points, colour=own, colour_name="" if own is None else CLASS, groups=names)]
