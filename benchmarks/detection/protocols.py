"""Tables, and how they are split into rows that train and rows that test."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = ["PROTOCOLS", "Split", "tables"]

LEAST, MOST = 1_000, 10_000
"""Rows that a table is drawn to."""


class Split(NamedTuple):
    """Rows that train and rows that test.

    Attributes:
        train: (n, columns) float32, scaled.
        test: (m, columns) float32, scaled as those.
        labels: (m,) 1 for an anomaly.
    """

    train: np.ndarray
    test: np.ndarray
    labels: np.ndarray


def tables() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield the name, the rows and the labels of every table."""
    folder = os.environ.get("JAXAE_DATA")
    if folder:
        paths = Path(folder, "adbench").glob("*.npz")
        for path in sorted(paths, key=lambda path: int(path.stem.split("_")[0])):
            held = np.load(path, allow_pickle=False)
            yield path.stem, held["X"].astype(np.float64), held["y"].astype(np.int64)
        return
    from sklearn import datasets

    for load, normal in ((datasets.load_breast_cancer, 1), (datasets.load_wine, 0), (datasets.load_digits, 1)):
        rows, classes = load(return_X_y=True)
        yield load.__name__.removeprefix("load_"), rows, (classes != normal).astype(np.int64)


def drawn(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows in random order, as many as are asked for, among them several anomalies."""
    draw = np.random.default_rng(seed)
    while True:
        rows = draw.choice(len(y), min(max(len(y), LEAST), MOST), replace=len(y) < LEAST)
        if y[rows].sum() > 3:
            return x[rows], y[rows]


def clean(x: np.ndarray, y: np.ndarray, seed: int) -> Split:
    """Return half of the normal rows to train on, and all others to test."""
    x, y = drawn(x, y, seed)
    normal = x[y == 0]
    half = len(normal) // 2
    train, test = normal[:half], np.concatenate([normal[half:], x[y == 1]])
    offset, scale = train.mean(0), train.std(0)
    labels = np.repeat([0, 1], [len(normal) - half, (y == 1).sum()])
    return _scaled(train, test, labels, offset, scale)


def contaminated(x: np.ndarray, y: np.ndarray, seed: int) -> Split:
    """Return 70 % of the rows to train on, with their share of anomalies, and all others to test."""
    from sklearn.model_selection import train_test_split

    x, y = drawn(x, y, seed)
    train, test, _, labels = train_test_split(x, y, test_size=0.3, stratify=y, random_state=seed)
    offset = train.min(0)
    return _scaled(train, test, labels, offset, train.max(0) - offset)


def _scaled(train: np.ndarray, test: np.ndarray, labels: np.ndarray, offset: np.ndarray, scale: np.ndarray) -> Split:
    scale = np.where(scale > 0, scale, 1.0)
    return Split(((train - offset) / scale).astype("f4"), ((test - offset) / scale).astype("f4"), labels)


PROTOCOLS: dict[str, Callable[[np.ndarray, np.ndarray, int], Split]] = {"clean": clean, "contaminated": contaminated}
