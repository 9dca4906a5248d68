"""What all detectors of this package have in common: a threshold of their score, and where it comes from."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted

from jaxae import checks
from jaxae.detection import conformal_threshold, p_values, references_needed

__all__ = ["Thresholded", "held_out_threshold", "placed"]


class Thresholded(OutlierMixin):
    """A detector with `score_samples`, `rate`, and of its fit `calibration_scores_`."""

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return threshold − score, (n,): negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return 1 for inliers and −1 for outliers, (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_values(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the share of the calibration scores, with one more, that are at least as high, (n,)."""
        return p_values(-self.score_samples(X), self.calibration_scores_)

    def set_threshold(self, threshold: Any) -> Self:
        """Put the threshold of the score elsewhere, without training.

        Args:
            threshold: above which a row is an outlier; `detection.conformal_threshold` makes one from scores. Or an
                object of pythresh, whose `eval` says which of the calibration scores are those of outliers.
        """
        check_is_fitted(self, "calibration_scores_")
        if hasattr(threshold, "eval"):
            threshold = placed(threshold, self.calibration_scores_)
        checks.finite("threshold", threshold)
        self.threshold_ = float(threshold)
        self.offset_ = -self.threshold_
        return self

    def recalibrate(self, X: Any, rate: float | None = None) -> Self:  # noqa: N803
        """Put the threshold where new normal rows exceed it at a rate, by rows that are normal today, without training.

        Args:
            X: (m, columns) normal rows that the detector was not trained on, at least 1/rate − 1.
            rate: of false alarms; None is that of the detector.

        Raises:
            ValueError: if there are too few rows for the rate, or rate is outside (0, 1).
        """
        scores = -self.score_samples(X)
        threshold = conformal_threshold(scores, self.rate if rate is None else rate)
        self.calibration_scores_ = scores
        return self.set_threshold(threshold)


def held_out_threshold(scores: np.ndarray, rate: float, folds: int) -> float:
    """Return the conformal threshold of held-out scores, or with a warning the largest where they are too few.

    Args:
        scores: of one of so many folds.
        rate: of false alarms.
        folds: of the rows.
    """
    needed = references_needed(rate)
    if len(scores) >= needed:
        return conformal_threshold(scores, rate)
    warnings.warn(
        f"{len(scores)} held-out rows cannot hold a false alarm rate of {rate:g}: the threshold is the largest of "
        f"their scores, at a rate of {1 / (len(scores) + 1):.2g}. Give at least {folds * needed} rows, or a higher "
        "rate",
        UserWarning,
        stacklevel=4,
    )
    return float(scores.max())


def placed(thresholder: Any, scores: np.ndarray) -> float:
    """Return the threshold that an object of pythresh finds between the scores of inliers and outliers."""
    labels = np.asarray(thresholder.eval(scores))
    if labels.shape != scores.shape or not np.isin(labels, (0, 1)).all():
        raise ValueError(f"{thresholder!r} must label each of the {len(scores)} scores with 0 or 1")
    inliers = scores[labels == 0]
    # Above all scores where it finds none, below all where it finds nothing else.
    return float(inliers.max()) if len(inliers) else float(np.nextafter(scores.min(), -np.inf))
