"""Outlier detectors: ensembles of autoencoders that score rows by how badly they are reconstructed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxae import checks, ensembles
from jaxae.detection import conformal_threshold, p_values

__all__ = ["AutoencoderDetector"]

FOLDS = 4
"""One of so many parts of the rows is held out for the threshold."""
FARTHEST = 1e9
"""Standard deviations that an entry counts as at most: the square of more is no number of 32 bits."""
LEAST = 1e-6
"""Of the rows' variance: what a model errs by at least, so that one that errs by nothing does not count for all."""


class AutoencoderDetector(OutlierMixin, BaseEstimator):
    """Finds rows that an ensemble of denoising autoencoders reconstructs badly.

    Every member learns to take noise out of standardised rows, at its own level of noise: with little of it, rows far
    from all others stand out, with much of it, rows far from the middle. A row's score is the mean over the members of
    its squared error, each in units of that member's median error on the rows that it was trained on: a typical row
    scores about 1. In training each step leaves out the rows that it fits worst, so that anomalies among the rows are
    not learned.

    Args:
        members: of the ensemble; they are trained together, as one program.
        noise: standard deviation of the noise in those of the columns: one number, or several that the members take in
            turn; 0 is a plain autoencoder, which needs narrow `widths`.
        widths: of the hidden layers, from the table to the code and back.
        steps: of every member.
        batch_size: rows of a step, drawn with replacement: there may be fewer.
        learning_rate: of Adam at the first step; it falls to 0.
        trim: share of a batch that a step leaves out.
        contamination: "auto" puts the threshold where new normal rows exceed it at `rate`; a number in (0, 0.5] is the
            share of the training rows that are to be outliers.
        rate: of false alarms on new normal rows, where contamination is "auto". A quarter of the rows is not trained on
            but calibrates the threshold, which holds for any data whose normal rows, old and new, are alike and in no
            order (split conformal); it needs 4/rate rows.
        random_state: seed, or `numpy.random.RandomState`. The same one gives the same bits; None draws a new one.

    Attributes:
        n_features_in_, feature_names_in_: of the table.
        offset_: minus `threshold_`, as scikit-learn has it.
        threshold_: of the score.
        calibration_scores_: (m,) of the rows that the threshold is taken from.
        loss_curve_: (members, 50) mean loss of every member over equal parts of the training.
        mean_, scale_: (columns,) by which rows are standardised; the scale of a constant column is 1.
        member_scale_: (members,) the median error of each.
        residual_scale_: (columns,) standard deviation of the calibration rows from their counterparts.
        variables_: parameters by name, with the members first.

    Examples:
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(400, 3))
        >>> detector = AutoencoderDetector(steps=50).fit(rows)
        >>> detector.predict([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]]).tolist()
        [1, -1]

    References:
        Vincent et al., Extracting and composing robust features with denoising autoencoders, 2008; Vovk, Gammerman,
        Shafer, Algorithmic learning in a random world, 2005.
    """

    def __init__(
        self,
        *,
        members: int = 8,
        noise: float | Sequence[float] = (0.3, 1.0, 3.0, 10.0),
        widths: Sequence[int] = (64, 64),
        steps: int = 400,
        batch_size: int = 64,
        learning_rate: float = 5e-3,
        trim: float = 0.1,
        contamination: float | str = "auto",
        rate: float = 0.05,
        random_state: Any = 0,
    ) -> None:
        self.members = members
        self.noise = noise
        self.widths = widths
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.trim = trim
        self.contamination = contamination
        self.rate = rate
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> AutoencoderDetector:  # noqa: N803
        """Train the ensemble on rows X (n, columns), and put the threshold.

        Args:
            X: finite numbers, at least 2 rows; a frame's names are kept.
            y: not used.

        Raises:
            ValueError, TypeError: for rows that are not as above, and for parameters that are not as the class says.
        """
        x = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        noise = self._checked()
        order_key, key = jax.random.split(jax.random.key(_seed(self.random_state)))
        split = self.contamination == "auto"
        # What is held out must not be seen by anything that makes the score, its scaling included.
        order, fold = ensembles.shuffled(order_key, len(x), FOLDS)
        held = (fold == 0) & split
        self.mean_, spread = x[~held].mean(0), x[~held].std(0)
        self.scale_ = np.where(spread > 0, spread, 1.0)
        rows = self._standardised(x)
        variables, losses = ensembles.trained(
            self._architecture(),
            ensembles.padded(rows),
            ensembles.Members(noise, np.full(self.members, 0 if split else -1)),
            key,
            order=order,
            folds=FOLDS,
            steps=self.steps,
            learning_rate=self.learning_rate,
        )
        self.variables_ = jax.tree.map(np.asarray, variables)
        self.loss_curve_ = losses
        if not np.isfinite(losses).all():
            bad = ", ".join(map(str, np.flatnonzero(~np.isfinite(losses).all(1))))
            raise ValueError(f"members {bad} diverged with learning_rate={self.learning_rate:g}: give a lower one")
        errors = ensembles.scored(self._architecture(), self.variables_, rows, np.ones(self.members)).errors
        self.member_scale_ = np.median(errors[:, ~held], 1).astype(np.float64) + LEAST * rows.shape[1]
        calibrating = held if split else np.ones(len(x), bool)
        self.calibration_scores_ = (errors[:, calibrating] / self.member_scale_[:, None]).mean(0)
        apart = x[calibrating] - self._implied(self._scored(rows[calibrating], entries=True))
        self.residual_scale_ = np.sqrt((apart**2).mean(0)) + LEAST * self.scale_
        return self.set_threshold(self._threshold())

    def score_samples(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return minus the scores of rows X (n, columns): (n,), at most 0, the higher the more usual a row is."""
        return -self._scored(self._rows(X)).errors.mean(0)

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
        return self._scored(self._rows(X)).errors.std(0)

    def contributions(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return what every entry of X (n, columns) adds to its row's score, (n, columns), at least 0."""
        return self._scored(self._rows(X), entries=True).squares

    def counterparts(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return what the members make of rows X (n, columns), in their units: the nearest that they know as normal.

        It is the mean of their reconstructions, each weighted by one over its member's median error, as in the score.
        """
        return self._implied(self._scored(self._rows(X), entries=True))

    def explain(self, X: Any, most: int = 3) -> list[str]:  # noqa: N803
        """Return for each row of X (n, columns) in words which columns add most to its score, and how far they are off.

        A deviation is the distance from the counterpart, in standard deviations of such distances of the calibration
        rows.

        Args:
            X: rows, of one table with those of the training.
            most: columns that are named.

        Examples:
            >>> rows = np.random.default_rng(0).normal(size=(400, 2))
            >>> detector = AutoencoderDetector(steps=50).fit(rows)
            >>> detector.explain([[0.0, 9.0]], most=1)[0].split(" sd ")[1][:20]
            'above what its row i'
        """
        checks.whole("most", most)
        x = self._rows(X)
        found = self._scored(x, entries=True)
        implied = self._implied(found)
        values = x * self.scale_ + self.mean_
        apart = (values - implied) / self.residual_scale_
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(x.shape[1])])
        order = np.argsort(-found.squares, 1, kind="stable")[:, :most]

        def said(i: int, j: int) -> str:
            side = "above" if apart[i, j] > 0 else "below"
            return (
                f"{names[j]} is {abs(apart[i, j]):.1f} sd {side} what its row implies "
                f"({values[i, j]:.4g}, not {implied[i, j]:.4g})"
            )

        return ["; ".join(said(i, j) for j in best) for i, best in enumerate(order)]

    def set_threshold(self, threshold: float) -> AutoencoderDetector:
        """Put the threshold of the score elsewhere, without training.

        Args:
            threshold: above which a row is an outlier; `detection.conformal_threshold` makes one from scores.
        """
        check_is_fitted(self, "calibration_scores_")
        checks.finite("threshold", threshold)
        self.threshold_ = float(threshold)
        self.offset_ = -self.threshold_
        return self

    def recalibrate(self, X: Any, rate: float | None = None) -> AutoencoderDetector:  # noqa: N803
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
        """Return what the members make of standardised rows; the mean of the errors is the score."""
        weights = 1 / (self.member_scale_ * len(self.member_scale_))
        found = ensembles.scored(self._architecture(), self.variables_, rows, weights, entries)
        return found._replace(errors=found.errors / self.member_scale_[:, None])

    def _implied(self, found: ensembles.Scored) -> np.ndarray:
        weights = 1 / (self.member_scale_ * len(self.member_scale_))
        return found.made / weights.sum() * self.scale_ + self.mean_

    def _standardised(self, x: np.ndarray) -> np.ndarray:
        return np.clip((x - self.mean_) / self.scale_, -FARTHEST, FARTHEST)

    def _architecture(self) -> ensembles.Architecture:
        return ensembles.Architecture(tuple(self.widths), nn.relu, self.batch_size, self.trim)

    def _checked(self) -> np.ndarray:
        """Check the parameters, and return every member's noise."""
        for name in ("members", "steps", "batch_size"):
            checks.whole(name, getattr(self, name))
        checks.positive("learning_rate", self.learning_rate)
        checks.fraction("trim", self.trim)
        checks.fraction("rate", self.rate, open_ends=True)
        if isinstance(self.widths, str) or not isinstance(self.widths, Sequence) or not self.widths:
            raise ValueError(f"widths is {self.widths!r}, but must have one width per hidden layer: (64, 64)")
        for width in self.widths:
            checks.whole("width", width)
        if self.contamination != "auto" and not (
            isinstance(self.contamination, float) and 0 < self.contamination <= 0.5
        ):
            raise ValueError(
                f'contamination is {self.contamination!r}, but must be "auto" or a share of the rows in (0, 0.5]'
            )
        levels = np.atleast_1d(np.asarray(self.noise, np.float64))
        if levels.ndim != 1 or not len(levels):
            raise ValueError(f"noise is {self.noise!r}, but must be one number or several: (0.3, 1.0)")
        for level in levels:
            checks.not_negative("noise", float(level))
        return np.resize(levels, self.members)


def _seed(random_state: Any) -> int:
    """Return the seed of a fit; None takes one from the system, and leaves NumPy's global state alone."""
    if random_state is None:
        import secrets

        return secrets.randbits(31)
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))
