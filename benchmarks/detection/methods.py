"""Detectors by name, each with its own defaults: (rows that train, seed) -> what scores rows."""

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["METHODS", "RATES", "Fitted", "available"]

RATES = (0.001, 0.01, 0.05)
"""Of false alarms that are asked for."""


class Fitted(NamedTuple):
    """What has been trained.

    Attributes:
        score: rows (n, columns) -> (n,), higher is stranger.
        thresholds: of the score by rate of false alarms, those that the method can place.
    """

    score: Callable[[np.ndarray], np.ndarray]
    thresholds: dict[float, float]


def own(name: str, **parameters: Any) -> Callable[[np.ndarray, int], Fitted]:
    """Return a detector of jaxae with its defaults but for these, whose thresholds are conformal."""

    def fitted(train: np.ndarray, seed: int) -> Fitted:
        from jaxae import estimators
        from jaxae.detection import conformal_threshold

        detector = getattr(estimators, name)(random_state=seed, **parameters).fit(train)
        held = detector.calibration_scores_
        thresholds = {rate: conformal_threshold(held, rate) for rate in RATES if len(held) >= round(1 / rate - 1)}
        return Fitted(lambda rows: -detector.score_samples(rows), thresholds)

    return fitted


def length(train: np.ndarray, seed: int) -> Fitted:
    """Return the squared length of a standardised row, which learns no relation between the columns."""
    offset, scale = train.mean(0), np.where(train.std(0) > 0, train.std(0), 1)
    return _by_training(lambda rows: (((rows - offset) / scale) ** 2).sum(1), train)


def pca(train: np.ndarray, seed: int) -> Fitted:
    """Return the squared distance from the components that hold 90 % of the standardised variance."""
    from sklearn.decomposition import PCA

    offset, scale = train.mean(0), np.where(train.std(0) > 0, train.std(0), 1)
    found = PCA(0.9, svd_solver="full").fit((train - offset) / scale)

    def score(rows: np.ndarray) -> np.ndarray:
        rows = (rows - offset) / scale
        return ((rows - found.inverse_transform(found.transform(rows))) ** 2).sum(1)

    return _by_training(score, train)


def _by_training(score: Callable[[np.ndarray], np.ndarray], train: np.ndarray) -> Fitted:
    return Fitted(score, _quantiles(score(train)))


def _quantiles(scores: np.ndarray) -> dict[float, float]:
    return {rate: float(np.quantile(scores, 1 - rate)) for rate in RATES}


def pyod(module: str, name: str, seeded: bool = True) -> Callable[[np.ndarray, int], Fitted]:
    """Return a detector of PyOD with its defaults, whose thresholds are quantiles of its training scores."""

    def fitted(train: np.ndarray, seed: int) -> Fitted:
        import torch

        # Networks as small as these are trained faster, and for fewer CPU seconds, by one thread.
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        kind = getattr(importlib.import_module(f"pyod.models.{module}"), name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            detector = kind(**({"random_state": seed} if seeded else {})).fit(train)
        return Fitted(detector.decision_function, _quantiles(detector.decision_scores_))

    return fitted


METHODS: dict[str, Callable[[np.ndarray, int], Fitted]] = {
    "jaxae": own("AutoencoderDetector"),
    "jaxae VariationalDetector": own("VariationalDetector"),
    "jaxae SparseDetector": own("SparseDetector"),
    "jaxae DeepSVDD": own("DeepSVDD"),
    "PyOD AutoEncoder": pyod("auto_encoder", "AutoEncoder"),
    "PyOD VAE": pyod("vae", "VAE"),
    "PyOD ECOD": pyod("ecod", "ECOD", seeded=False),
    "PyOD IForest": pyod("iforest", "IForest"),
    "PyOD PCA": pyod("pca", "PCA"),
    "length of the row": length,
    # The same ensemble after one step that changes nothing.
    "untrained network": own("AutoencoderDetector", steps=1, learning_rate=1e-12),
    "PCA, 90 % of the variance": pca,
}


def available() -> list[str]:
    """Return the names of the methods whose packages are installed."""
    has = importlib.util.find_spec("pyod") is not None
    return [name for name in METHODS if has or not name.startswith("PyOD")]
