"""What the detectors of this package have in common: an ensemble on standardised rows, and a threshold of its score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.utils.metaestimators import available_if

from jaxae import checks, ensembles
from jaxae.detection import cross_p_values
from jaxae.estimators.standardised import Standardised, seed, validated
from jaxae.estimators.thresholded import Thresholded, held_out_threshold, placed

__all__ = ["EnsembleDetector"]

FOLDS = 4
"""One of so many parts of the rows is held out for the threshold."""
LEAST = 1e-6
"""Of the rows' variance: what a model errs by at least, so that one that errs by nothing does not count for all."""


class EnsembleDetector(Thresholded, Standardised):
    """A detector whose class has yet to say what its members are, as scikit-learn's mixins are meant.

    Such a class names in its own `__init__` the parameters of this one, since scikit-learn reads them there, and has
    the method `_family`, which checks the parameters of its own and makes of them what the members are.
    """

    _reconstructs = True
    """Whether the members make rows of rows."""
    _numbers = (*Standardised._numbers, "threshold_", "offset_")

    def __init__(
        self,
        *,
        members: int,
        bootstrap: bool,
        steps: int,
        batch_size: int,
        learning_rate: float,
        trim: float,
        contamination: Any,
        rate: float,
        random_state: Any,
    ) -> None:
        self.members = members
        self.bootstrap = bootstrap
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
            X: finite numbers, at least 2 rows; of more than 100,000 so many are drawn and used. A frame's names are
                kept.
            y: not used.

        Raises:
            ValueError, TypeError: for rows that are not as above, and for parameters that are not as the class says.
        """
        x = validated(self, X, ensure_min_samples=2)
        self._check()
        family, noise = self._family(), self._noise()
        self.seed_ = seed(self.random_state)
        x = self._drawn(x)
        order_key, key, _ = self._keys()
        split, cross = (isinstance(self.contamination, str) and self.contamination == how for how in ("auto", "cross"))
        # What is held out must not be seen by anything that makes the score, its scaling included.
        order, fold = ensembles.shuffled(order_key, len(x), FOLDS)
        held = (fold == 0) & split
        self._measure(x[~held])
        rows = self._standardised(x)
        left_out = self._across(self.members) if cross else np.full(self.members, 0 if split else -1)
        resampled = np.full(self.members, self.bootstrap)
        members = ensembles.Members(noise, left_out, resampled, self._shares())
        self._learn(rows, members, key, order=order, folds=FOLDS, trim=self.trim)
        self.member_scale_ = np.ones(self.members)
        values = self._scored(rows).values.astype(np.float64)
        seen = left_out[:, None] != fold[None]
        if family.relative:
            medians = np.nanmedian(np.where(seen, values, np.nan), 1)
            self.member_scale_ = medians + LEAST * rows.shape[1]
        values /= self.member_scale_[:, None]
        self.calibration_folds_ = fold.astype(np.int32) if cross else np.zeros(0, np.int32)
        calibrating = held if split else np.ones(len(x), bool)
        # Across, a row is scored by the members that have not seen it.
        self.calibration_scores_ = values.mean(0, where=~seen) if cross else values[:, calibrating].mean(0)
        if self._reconstructs:
            apart = rows[calibrating] - self._made(self._scored(rows[calibrating], entries=True))
            self.residual_scale_ = (np.sqrt((apart**2).mean(0)) + LEAST) * self.scale_
        return self.set_threshold(self._threshold())

    def score_samples(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return minus the scores of rows X (n, columns): (n,), the higher the more usual a row is."""
        return -self._scored(self._rows(X)).values.mean(0)

    def p_values(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return how likely a normal row scores at least so high, (n,), from the calibration scores.

        Where contamination is "auto" these are conformal p-values: of new normal rows at most a share p has at most p.
        Where it is "cross" they are cross-conformal: at most twice that share, and about that in practice.
        """
        if not len(self.calibration_folds_):
            return super().p_values(X)
        values, left_out = self._scored(self._rows(X)).values, self._across(len(self.member_scale_))
        # Of fewer rows than folds some folds are empty.
        folds = np.unique(self.calibration_folds_)
        own = [values[left_out == k].mean(0) for k in folds]
        return cross_p_values(own, [self.calibration_scores_[self.calibration_folds_ == k] for k in folds])

    def uncertainty(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the standard deviation of the members' scores, (n,): how far they disagree about a row."""
        return self._scored(self._rows(X)).values.std(0)

    def contributions(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return what every entry of X (n, columns) adds to its row's score, (n, columns)."""
        return self._scored(self._rows(X), entries=True).entries

    @available_if(lambda self: self._reconstructs)
    def counterparts(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return what the members make of rows X (n, columns), in their units: the nearest that they know as normal.

        It is the mean of their reconstructions, weighted as in the score.
        """
        return self._implied(self._scored(self._rows(X), entries=True))

    def explain(self, X: Any, most: int = 3, names: Sequence[str] | None = None) -> list[str]:  # noqa: N803
        """Return for each row of X (n, columns) in words which columns add most to its score, and how far they are off.

        A deviation is the distance from the counterpart, in standard deviations of such distances of the calibration
        rows. Where there are no counterparts it is the share of the score that is told.

        Args:
            X: rows, of one table with those of the training.
            most: columns that are named.
            names: of the columns; None takes those that the fit saw.
        """
        checks.whole("most", most)
        values = self._checked(X)
        found = self._scored(self._standardised(values), entries=True)
        names = (
            getattr(self, "feature_names_in_", [f"x{i}" for i in range(values.shape[1])]) if names is None else names
        )
        if len(names) != values.shape[1]:
            raise ValueError(f"names are {len(names)}, but the rows have {values.shape[1]} columns")
        order = np.argsort(-found.entries, 1, kind="stable")[:, :most]
        if not self._reconstructs:
            shares = found.entries / found.entries.sum(1, keepdims=True)
            return ["; ".join(f"{names[j]} makes {shares[i, j]:.0%} of it" for j in own) for i, own in enumerate(order)]
        implied = self._implied(found)
        apart = (values - implied) / self.residual_scale_

        def said(i: int, j: int) -> str:
            side = "above" if apart[i, j] > 0 else "below"
            is_, was_to_be = apart_in_words(values[i, j], implied[i, j])
            return f"{names[j]} is {abs(apart[i, j]):.1f} sd {side} what its row implies ({is_}, not {was_to_be})"

        return ["; ".join(said(i, j) for j in best) for i, best in enumerate(order)]

    def recalibrate(self, X: Any, rate: float | None = None) -> Self:  # noqa: N803
        """Put the threshold where new normal rows exceed it at a rate, as `Thresholded`; of folds none are left."""
        super().recalibrate(X, rate)
        self.calibration_folds_ = np.zeros(0, np.int32)
        return self

    def _noise(self) -> np.ndarray:
        """Return the noise of every member."""
        return np.zeros(self.members)

    def _shares(self) -> np.ndarray:
        """Return the share of the hidden units that every member has."""
        return np.ones(self.members)

    def _across(self, members: int) -> np.ndarray:
        """Return the fold that every member leaves out where all do; those of one fold differ in their noise."""
        number = np.arange(members)
        return (number + number // FOLDS) % FOLDS

    def _threshold(self) -> float:
        scores = self.calibration_scores_
        if hasattr(self.contamination, "eval"):
            return placed(self.contamination, scores)
        if not isinstance(self.contamination, str):
            return float(np.quantile(scores, 1 - float(self.contamination)))
        return held_out_threshold(scores, self.rate, FOLDS if self.contamination == "auto" else 1)

    def _scored(self, rows: np.ndarray, entries: bool = False) -> ensembles.Scored:
        """Return what the members make of standardised rows; the mean of the values is the score."""
        found = ensembles.scored(self._trained, self.variables_, rows, self._weights(), self._keys()[2], entries)
        return found._replace(values=found.values / self.member_scale_[:, None])

    def _made(self, found: ensembles.Scored) -> np.ndarray:
        """Return the counterparts, standardised."""
        return found.made / self._weights().sum()

    def _implied(self, found: ensembles.Scored) -> np.ndarray:
        return self._made(found) * self.scale_ + self.mean_

    def _weights(self) -> np.ndarray:
        """Return what a member's values count for in the score, (members,)."""
        return 1 / (self.member_scale_ * len(self.member_scale_))

    def _shapes(self) -> dict[str, tuple[int | None, ...]]:
        columns, members = self.n_features_in_, self.members
        own = {"residual_scale_": (columns,)} if self._reconstructs else {}
        scores = {"member_scale_": (members,), "calibration_scores_": (None,), "loss_curve_": (members, None)}
        return {**super()._shapes(), **scores, **own, "calibration_folds_": (None,)}

    def _check(self) -> None:
        super()._check()
        checks.whole("members", self.members)
        if not isinstance(self.bootstrap, bool | np.bool_):
            raise TypeError(f"bootstrap is {self.bootstrap!r}, but must be True or False")
        checks.fraction("trim", self.trim)
        if self.trim == 1:
            raise ValueError("trim is 1, but a step must keep some of its rows: give less, 0.1")
        checks.fraction("rate", self.rate, open_ends=True)
        given = self.contamination
        known = given in ("auto", "cross") if isinstance(given, str) else hasattr(given, "eval")
        if not known and not (isinstance(given, float | np.floating) and 0 < given <= 0.5):
            raise ValueError(
                f'contamination is {given!r}, but must be "auto", "cross", a share of the rows in (0, 0.5], or '
                "an object of pythresh"
            )
        if isinstance(given, str) and given == "cross" and self.members < FOLDS:
            raise ValueError(
                f'members is {self.members}, but contamination="cross" needs at least one for each of {FOLDS} folds'
            )


def apart_in_words(*values: float) -> list[str]:
    """Return numbers with four digits, or as many as it takes to tell them apart.

    Examples:
        >>> apart_in_words(12.345, 9.0), apart_in_words(1000000.5, 1000000.25)
        (['12.35', '9'], ['1000000.5', '1000000.2'])
    """
    for digits in range(4, 18):
        words = [f"{value:.{digits}g}" for value in values]
        if len(set(words)) == len(set(values)):
            break
    return words
