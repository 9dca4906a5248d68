"""What all estimators of this package have in common: members of an ensemble that are trained on standardised rows."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxae import checks, ensembles
from jaxae.detection import FARTHEST

__all__ = ["Standardised", "mean_and_scale", "seed", "two_keys", "validated"]

MOST = 100_000
"""Rows of a table that are used by a fit, at most, its calibration included."""


class Standardised(BaseEstimator):
    """An estimator with the parameters steps, batch_size, learning_rate and random_state, and a `_family`."""

    _numbers: tuple[str, ...] = ("n_features_in_", "seed_")
    """Names of what a fit leaves that is a number."""

    def _check(self) -> None:
        """Refuse parameters of the training that are out of range."""
        for name in ("steps", "batch_size"):
            checks.whole(name, getattr(self, name))
        checks.positive("learning_rate", self.learning_rate)

    @property
    def _columns(self) -> int:
        """Columns of the table that the members are trained on."""
        return self.n_features_in_

    def _shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Return the shapes of the arrays that a fit leaves beside the variables, None for any length."""
        columns = (self.n_features_in_,)
        return {"mean_": columns, "scale_": columns, "loss_curve_": (None,)}

    def _drawn(self, x: np.ndarray) -> np.ndarray:
        """Return the rows that are used: all, or `MOST` of them drawn at random, in their order."""
        if len(x) <= MOST:
            return x
        # Another key than those of `_keys`, which is split of the same.
        key = jax.random.fold_in(jax.random.key(_word(self.seed_)), 3)
        return x[np.sort(np.asarray(jax.random.choice(key, len(x), (MOST,), replace=False)))]

    def _measure(self, x: np.ndarray) -> None:
        """Take means and scales from rows."""
        self.mean_, self.scale_ = mean_and_scale(x)

    def _standardised(self, x: np.ndarray) -> np.ndarray:
        return np.clip((x - self.mean_) / self.scale_, -FARTHEST, FARTHEST)

    def _rows(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return new rows X, standardised."""
        return self._standardised(self._checked(X))

    def _checked(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return new rows X in their units."""
        check_is_fitted(self)
        return validated(self, X, reset=False)

    def _learn(
        self, rows: np.ndarray, members: ensembles.Members, key: Any, *, order: Any, folds: int, trim: float
    ) -> None:
        """Train the members on standardised rows, and keep their variables and losses.

        Raises:
            ValueError: if any of them diverges; it names them.
        """
        self._trained = self._family()
        variables, losses = ensembles.trained(
            self._trained,
            ensembles.padded(rows),
            members,
            key,
            order=order,
            folds=folds,
            batch_size=self.batch_size,
            trim=trim,
            steps=self.steps,
            learning_rate=self.learning_rate,
        )
        if not np.isfinite(losses).all():
            bad = ", ".join(map(str, np.flatnonzero(~np.isfinite(losses).all(1))))
            raise ValueError(f"members {bad} diverged with learning_rate={self.learning_rate:g}: give a lower one")
        self.variables_ = jax.tree.map(np.asarray, variables)
        self.loss_curve_ = losses

    def _learn_alone(self, rows: np.ndarray, noise: float) -> None:
        """Train one model on all standardised rows, and keep its variables and losses."""
        order_key, key, _ = self._keys()
        order, _ = ensembles.shuffled(order_key, len(rows), 1)
        self._learn(rows, ensembles.Members([noise], [-1], [False], [1.0]), key, order=order, folds=1, trim=0.0)
        self.variables_ = jax.tree.map(lambda leaf: leaf[0], self.variables_)
        self.loss_curve_ = self.loss_curve_[0]

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: all but the family, whose functions cannot be."""
        return {name: own for name, own in super().__getstate__().items() if name != "_trained"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what was pickled, and make the family of the parameters."""
        super().__setstate__(state)
        if hasattr(self, "variables_"):
            self._trained = self._family()

    def _keys(self) -> Any:
        """Return the keys of a fit: of the order of the rows, of the members, and of what is drawn after training."""
        return _three(_word(self.seed_))


@jax.jit
def _three(seed: Any) -> Any:
    keys = jax.random.split(jax.random.key(seed), 3)
    return keys[0], keys[1], keys[2]


def _word(seed: int) -> np.int32:
    """Return a seed as JAX takes a whole number for one."""
    return np.int64(seed).astype(np.int32)


def two_keys(random_state: Any) -> Any:
    """Return two keys of a seed."""
    return jax.random.split(jax.random.key(_word(seed(random_state))))


def validated(estimator: BaseEstimator, X: Any, **asked: Any) -> Any:  # noqa: N803
    """Return what scikit-learn's `validate_data` makes of a table of numbers; of a frame it refuses, tell the column.

    Args:
        estimator: that takes or has the names of the columns.
        X: (n, columns).
        asked: of `validate_data`.

    Raises:
        ValueError, TypeError: for a table with anything but finite numbers, or with other columns than it must have.
    """
    try:
        return validate_data(estimator, X, dtype=np.float64, **asked)
    except (ValueError, TypeError) as error:
        for name, kind in zip(getattr(X, "columns", ()), getattr(X, "dtypes", ()), strict=False):
            what = _no_numbers(X[name], str(kind).lower())
            if what is not None:
                raise type(error)(
                    f"column {name!r} of X holds {what}, but must hold numbers: turn it into some or leave it out "
                    f"({error})"
                ) from None
        raise


def _no_numbers(column: Any, kind: str) -> str | None:
    """Return what a frame's column holds where that is no numbers."""
    if "date" in kind or "time" in kind:
        return f"times ({kind})"
    try:
        np.asarray(column, np.float64)
    except (ValueError, TypeError):
        return "what is no number"
    return None


def mean_and_scale(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means and standard deviations of columns, however large their numbers are; 1 where nothing varies.

    Values that differ by rounding only, as 0.1 + 0.2 beside 0.3, do not vary.
    """
    largest = np.abs(x).max(0)
    # In units of the largest, whose square is a number.
    units = np.where(largest > 0, largest, 1.0)
    own = x / units
    varies = np.ptp(own, axis=0) > 4 * np.finfo(np.float64).eps
    return own.mean(0) * units, np.where(varies, own.std(0) * units, 1.0)


def seed(random_state: Any) -> int:
    """Return the seed of a fit; None takes one from the system, and leaves NumPy's global state alone."""
    if random_state is None:
        import secrets

        return secrets.randbits(31)
    if isinstance(random_state, int | np.integer):
        checks.whole("random_state", random_state, low=0, high=2**32 - 1)
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))
