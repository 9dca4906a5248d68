"""New rows under conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import jax
import numpy as np
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d

from jaxae import checks, ensembles
from jaxae.detection import FARTHEST
from jaxae.estimators.detectors import checked_widths
from jaxae.estimators.standardised import Standardised, mean_and_scale, seed, two_keys, validated

__all__ = ["ConditionalGenerator"]


class ConditionalGenerator(Standardised):
    """Draws new rows for a class or a number that is given: a conditional variational autoencoder.

    Standardised columns and a normal likelihood with one learned scale for each; a class is one column for each that
    there is, a number is standardised.

    Args:
        latent: dimension of the code.
        condition: "classes" or "number"; "auto" takes texts, truth values and whole numbers for classes.
        widths: of the encoder's hidden layers, with ReLU; the decoder has them in reverse.
        steps: of Adam.
        batch_size: rows of a step, drawn with replacement: there may be fewer.
        learning_rate: at the first step; it falls to 0.
        random_state: seed, or `numpy.random.RandomState`. The same one gives the same bits; None draws a new one.

    Attributes:
        n_features_in_, feature_names_in_: of the table.
        classes_: that the fit saw, in order; none of a number.
        condition_mean_, condition_scale_: by which a number is standardised; 0 and 1 of classes.
        loss_curve_: (50,) mean loss over equal parts of the training, in nats per column.
        mean_, scale_: (columns,) by which rows are standardised; the scale of a constant column is 1.
        variables_: parameters by name.

    Examples:
        >>> import numpy as np
        >>> draw = np.random.default_rng(0)
        >>> kind = draw.choice(["low", "high"], 600)
        >>> rows = np.where(kind == "high", 10.0, 0.0)[:, None] + draw.normal(size=(600, 2))
        >>> generator = ConditionalGenerator(latent=1).fit(rows, kind)
        >>> made = generator.sample(["low"] * 200 + ["high"] * 200)
        >>> bool(np.abs(made[:200].mean()) < 1 and np.abs(made[200:].mean() - 10) < 1)
        True

    References:
        Sohn et al., Learning structured output representation using deep conditional generative models, 2015.
    """

    _numbers = (*Standardised._numbers, "condition_mean_", "condition_scale_")

    def __init__(
        self,
        latent: int = 2,
        *,
        condition: Literal["auto", "classes", "number"] = "auto",
        widths: Sequence[int] = (64, 64),
        steps: int = 1000,
        batch_size: int = 64,
        learning_rate: float = 5e-3,
        random_state: Any = 0,
    ) -> None:
        self.latent = latent
        self.condition = condition
        self.widths = widths
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        """Return the tags: y is needed."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Train on rows X (n, columns) under conditions y (n,).

        Args:
            X: finite numbers; of more than 100,000 rows so many are drawn and used. A frame's names are kept.
            y: a class or a number for each row.

        Raises:
            ValueError, TypeError: for rows and conditions that are not as above, and for parameters that are not as
                the class says.
        """
        x, y = validated(self, X, y=y, y_numeric=False)
        y = column_or_1d(y)
        self._check()
        if self.condition not in ("auto", "classes", "number"):
            raise ValueError(f'condition is {self.condition!r}, but must be "auto", "classes" or "number"')
        try:
            number = self.condition == "number" or (self.condition == "auto" and type_of_target(y) == "continuous")
            self.classes_ = np.zeros(0) if number else np.unique(y)
        except TypeError:
            raise ValueError("y holds classes of several types: make texts of all, or numbers") from None
        self.condition_mean_, self.condition_scale_ = 0.0, 1.0
        if number:
            self.condition_mean_, self.condition_scale_ = map(float, mean_and_scale(_numbers(y)))
        self.seed_ = seed(self.random_state)
        both = self._drawn(np.concatenate([self._conditions(y), x], axis=1))
        conditions = both.shape[1] - x.shape[1]
        self._measure(both[:, conditions:])
        rows = np.concatenate([both[:, :conditions], self._standardised(both[:, conditions:])], axis=1)
        self._learn_alone(rows, 0.0)
        return self

    def sample(self, y: Any, random_state: Any = 0) -> np.ndarray:
        """Return a new row for each condition in y (n,), (n, columns) in the units of the table.

        Args:
            y: classes or numbers, as the fit saw them.
            random_state: as of the class; the same one gives the same rows.

        Raises:
            ValueError: for a class that the fit did not see, or what is no number where it saw numbers.
        """
        check_is_fitted(self)
        y = column_or_1d(np.asarray(y))
        if not len(y):
            return np.zeros((0, self.n_features_in_))
        cond = self._conditions(y)
        code_key, row_key = two_keys(random_state)
        z = np.asarray(jax.random.normal(code_key, (len(cond), self._trained.latent)))
        columns, conditions = self.n_features_in_, cond.shape[1]
        made = ensembles.decoded(self._trained, self.variables_, np.concatenate([z, cond], 1), conditions + columns)
        apart = np.asarray(jax.random.normal(row_key, (len(cond), columns)))
        spread = ensembles.deviations(self.variables_, slice(conditions, conditions + columns))
        return (made[:, conditions:] + apart * spread) * self.scale_ + self.mean_

    def _conditions(self, y: np.ndarray) -> np.ndarray:
        """Return conditions as the model sees them, (n, conditions)."""
        if not len(self.classes_):
            values = _numbers(y)
            if not np.isfinite(values).all():
                raise ValueError("y holds numbers that are not finite: fill them in or leave those rows out")
            found = (values - self.condition_mean_) / self.condition_scale_
            if (np.abs(found) > FARTHEST).any():
                raise ValueError(f"y holds numbers more than {FARTHEST:g} standard deviations from those of the fit")
            return found[:, None]
        unknown = ~np.isin(y, self.classes_)
        if unknown.any():
            hint = '; fitted with condition="number" it takes any' if self.classes_.dtype.kind in "iuf" else ""
            raise ValueError(
                f"y holds {y[unknown][0]!r}, but the fit saw {', '.join(map(str, self.classes_[:10]))}"
                f"{', …' if len(self.classes_) > 10 else ''}{hint}"
            )
        return (y[:, None] == self.classes_[None]).astype(np.float64)

    @property
    def _columns(self) -> int:
        return max(1, len(self.classes_)) + self.n_features_in_

    def _family(self) -> ensembles.Conditional:
        checks.whole("latent", self.latent)
        return ensembles.Conditional(checked_widths(self.widths), self.latent, max(1, len(self.classes_)))


def _numbers(y: np.ndarray) -> np.ndarray:
    """Return conditions as numbers."""
    try:
        return y.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError('y holds what is no number: condition="classes" takes texts') from None
