"""What the detectors of this package have in common: an ensemble on standardised rows, and a threshold of its score."""

from __future__ import annotations

import math
import warnings
from typing import Any, Self

import jax
import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxae import checks, ensembles
from jaxae.detection import conformal_threshold, p_values

__all__ = ["EnsembleDetector"]

FOLDS = 4
"""One of so many parts of the rows is held out for the threshold."""
FARTHEST = 1e9
"""Standard deviations that an entry counts as at most: the square of more is no number of 32 bits."""
LEAST = 1e-6
"""Of the rows' variance: what a model errs by at least, so that one that errs by nothing does not count for all."""


class EnsembleDetector(OutlierMixin, BaseEstimator):
    """A detector whose class has yet to say what its members are, as scikit-learn's mixins are meant.

    Such a class names in its own `__init__` the parameters of this one, since scikit-learn reads them there, and has
    the methods `_family`, which checks the parameters of its own and makes of them what the members are, and `_noise`,
    which returns the noise of every member.
    """

    def __init__(
        self,
        *,
        members: int,
        steps: int,
        batch_size: int,
        learning_rate: float,
        trim: float,
        contamination: float | str,
        rate: float,
        random_state: Any,
    ) -> None:
        self.members = members
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.trim = trim
        self.contamination = contamination
        self.rate = rate
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Train the ensemble on rows X (n, columns), and put the threshold.

        Args:
            X: finite numbers, at least 2 rows; a frame's names are kept.
            y: not used.

        Raises:
            ValueError, TypeError: for rows that are not as above, and for parameters that are not as the class says.
        """
        x = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        self._check()
        family, noise = self._family(), self._noise()
        self.seed_ = _seed(self.random_state)
        order_key, key, _ = self._keys()
        split = self.contamination == "auto"
        # What is held out must not be seen by anything that makes the score, its scaling included.
        order, fold = ensembles.shuffled(order_key, len(x), FOLDS)
        held = (fold == 0) & split
        self.mean_, spread = x[~held].mean(0), x[~held].std(0)
        self.scale_ = np.where(spread > 0, spread, 1.0)
        rows = self._standardised(x)
        variables, losses = ensembles.trained(
            family,
            ensembles.padded(rows),
            ensembles.Members(noise, np.full(self.members, 0 if split else -1)),
            key,
            order=order,
            folds=FOLDS,
            batch_size=self.batch_size,
            trim=self.trim,
            steps=self.steps,
            learning_rate=self.learning_rate,
        )
        self.variables_ = jax.tree.map(np.asarray, variables)
        self.loss_curve_ = losses
        if not np.isfinite(losses).all():
            bad = ", ".join(map(str, np.flatnonzero(~np.isfinite(losses).all(1))))
            raise ValueError(f"members {bad} diverged with learning_rate={self.learning_rate:g}: give a lower one")
        self.member_scale_ = np.ones(self.members)
        values = self._scored(rows).values
        if family.relative:
            self.member_scale_ = np.median(values[:, ~held], 1).astype(np.float64) + LEAST * rows.shape[1]
        calibrating = held if split else np.ones(len(x), bool)
        self.calibration_scores_ = (values[:, calibrating] / self.member_scale_[:, None]).mean(0)
        apart = x[calibrating] - self._implied(self._scored(rows[calibrating], entries=True))
        self.residual_scale_ = np.sqrt((apart**2).mean(0)) + LEAST * self.scale_
        return self.set_threshold(self._threshold())

    def score_samples(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return minus the scores of rows X (n, columns): (n,), the higher the more usual a row is."""
        return -self._scored(self._rows(X)).values.mean(0)

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return threshold − score, (n,): negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return 1 for inliers and −1 for outliers, (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_values(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return how likely a normal row scores at least so high, (n,), from the calibration scores.

        Where contamination is "auto" these are conformal p-values: of new normal rows at most a share p has at most p.
        """
        return p_values(-self.score_samples(X), self.calibration_scores_)

    def uncertainty(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the standard deviation of the members' scores, (n,): how far they disagree about a row."""
        return self._scored(self._rows(X)).values.std(0)

    def contributions(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return what every entry of X (n, columns) adds to its row's score, (n, columns)."""
        return self._scored(self._rows(X), entries=True).entries

    def counterparts(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return what the members make of rows X (n, columns), in their units: the nearest that they know as normal.

        It is the mean of their reconstructions, weighted as in the score.
        """
        return self._implied(self._scored(self._rows(X), entries=True))

    def explain(self, X: Any, most: int = 3) -> list[str]:  # noqa: N803
        """Return for each row of X (n, columns) in words which columns add most to its score, and how far they are off.

        A deviation is the distance from the counterpart, in standard deviations of such distances of the calibration
        rows.

        Args:
            X: rows, of one table with those of the training.
            most: columns that are named.
        """
        checks.whole("most", most)
        x = self._rows(X)
        found = self._scored(x, entries=True)
        implied = self._implied(found)
        values = x * self.scale_ + self.mean_
        apart = (values - implied) / self.residual_scale_
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(x.shape[1])])
        order = np.argsort(-found.entries, 1, kind="stable")[:, :most]

        def said(i: int, j: int) -> str:
            side = "above" if apart[i, j] > 0 else "below"
            return (
                f"{names[j]} is {abs(apart[i, j]):.1f} sd {side} what its row implies "
                f"({values[i, j]:.4g}, not {implied[i, j]:.4g})"
            )

        return ["; ".join(said(i, j) for j in best) for i, best in enumerate(order)]

    def set_threshold(self, threshold: float) -> Self:
        """Put the threshold of the score elsewhere, without training.

        Args:
            threshold: above which a row is an outlier; `detection.conformal_threshold` makes one from scores.
        """
        check_is_fitted(self, "calibration_scores_")
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

    def _threshold(self) -> float:
        scores = self.calibration_scores_
        if self.contamination != "auto":
            return float(np.quantile(scores, 1 - float(self.contamination)))
        if len(scores) < math.ceil(round(1 / self.rate - 1, 6)):
            warnings.warn(
                f"{len(scores)} held-out rows cannot hold a false alarm rate of {self.rate:g}: the threshold is the "
                f"largest of their scores, at a rate of {1 / (len(scores) + 1):.2g}. Give at least "
                f"{FOLDS * math.ceil(round(1 / self.rate - 1, 6))} rows, or a higher rate",
                UserWarning,
                stacklevel=3,
            )
            return float(scores.max())
        return conformal_threshold(scores, self.rate)

    def _rows(self, X: Any) -> np.ndarray:  # noqa: N803
        check_is_fitted(self)
        return self._standardised(validate_data(self, X, dtype=np.float64, reset=False))

    def _scored(self, rows: np.ndarray, entries: bool = False) -> ensembles.Scored:
        """Return what the members make of standardised rows; the mean of the values is the score."""
        found = ensembles.scored(self._family(), self.variables_, rows, self._weights(), self._keys()[2], entries)
        return found._replace(values=found.values / self.member_scale_[:, None])

    def _implied(self, found: ensembles.Scored) -> np.ndarray:
        return found.made / self._weights().sum() * self.scale_ + self.mean_

    def _weights(self) -> np.ndarray:
        """Return what a member's values count for in the score, (members,)."""
        return 1 / (self.member_scale_ * len(self.member_scale_))

    def _standardised(self, x: np.ndarray) -> np.ndarray:
        return np.clip((x - self.mean_) / self.scale_, -FARTHEST, FARTHEST)

    def _keys(self) -> Any:
        """Return the keys of a fit: of the order of the rows, of the members, and of what scoring draws."""
        return jax.random.split(jax.random.key(self.seed_), 3)

    def _check(self) -> None:
        for name in ("members", "steps", "batch_size"):
            checks.whole(name, getattr(self, name))
        checks.positive("learning_rate", self.learning_rate)
        checks.fraction("trim", self.trim)
        checks.fraction("rate", self.rate, open_ends=True)
        if self.contamination != "auto" and not (
            isinstance(self.contamination, float) and 0 < self.contamination <= 0.5
        ):
            raise ValueError(
                f'contamination is {self.contamination!r}, but must be "auto" or a share of the rows in (0, 0.5]'
            )


def _seed(random_state: Any) -> int:
    """Return the seed of a fit; None takes one from the system, and leaves NumPy's global state alone."""
    if random_state is None:
        import secrets

        return secrets.randbits(31)
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))
