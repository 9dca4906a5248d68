"""Anomaly detection: a score, larger for stranger examples, and a threshold from examples held to be normal."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxae import checks
from jaxae.types import Array

__all__ = ["FARTHEST", "Detector", "calibrate", "conformal_threshold", "cross_p_values", "p_values", "tail_threshold"]

FARTHEST = 1e9
"""Standard deviations that an entry of a row counts as at most: the square of more is no number of 32 bits."""
LEAST_EXCESSES = 20
"""Scores that a tail is fitted to, at least."""


class Detector(NamedTuple):
    """An alarm: True where the score exceeds the threshold, or is no number.

    Attributes:
        score: x (n, ...) -> (n,), larger is stranger.
        threshold: () the score above which an example is an anomaly.
    """

    score: Callable[[Any], Array]
    threshold: Array

    def __call__(self, x: Any) -> Array:
        """Return the alarms, (n,) bool."""
        return ~(self.score(x) <= self.threshold)


def calibrate(score: Callable[[Any], Array], reference: Any, quantile: float = 0.95) -> Detector:
    """Return the detector whose threshold a share `quantile` of the reference examples does not exceed.

    The threshold is one of the reference's own scores: at most (1 − quantile)·n of them lie above it. Calibrate on
    rows that were not trained on: on training rows the scores are too small and the false alarms on new rows too many.

    Args:
        score: x (n, ...) -> (n,), larger is stranger.
        reference: (n, ...) examples held to be normal.
        quantile: in (0, 1); 0.95 alarms on about 5 % of normal examples.

    Raises:
        TypeError: if score is no function, or quantile no number.
        ValueError: if quantile is outside (0, 1), if the reference is a single number, if the scores are not (n,)
            finite numbers, or if there are fewer than 1/(1 − quantile) of them, too few to place the quantile.

    Examples:
        >>> import jax.numpy as jnp
        >>> detector = calibrate(lambda x: x, jnp.arange(100.0), 0.95)
        >>> detector(jnp.array([90.0, 99.0])).tolist()
        [False, True]

    References:
        Laxhammar & Falkman, Conformal prediction for distribution-independent anomaly detection, 2010.
    """
    checks.fraction("quantile", quantile, open_ends=True)
    checks.function("score", score, "lambda x: ja.score(model, loss)(variables, ja.Batch(x))")
    if hasattr(reference, "shape"):  # a score may take what is no array
        checks.rows("reference", reference)
    scores = jnp.asarray(score(reference))
    if scores.ndim != 1:
        raise ValueError(f"the score returned shape {scores.shape}, but must return one number per example, (n,)")
    needed = round(1 / (1 - quantile), 6)  # 1/(1 − 0.9) is more than 10
    if len(scores) < needed:
        raise ValueError(
            f"{len(scores)} reference examples cannot place the quantile {quantile:g}: "
            f"give at least {math.ceil(needed)}"
        )
    finite = np.isfinite(np.asarray(scores))
    if not finite.all():
        raise ValueError(
            f"{(~finite).sum()} of {len(scores)} reference scores are not finite: "
            "look for NaN in the data or a model that diverged"
        )
    return Detector(score, jnp.quantile(scores, quantile, method="higher"))


def conformal_rank(count: int, rate: float) -> int:
    """Return which of so many reference scores, in order and from 1, is the threshold for a rate of false alarms.

    Where they are too few for the rate it is more than there are.

    Examples:
        >>> conformal_rank(99, 0.05)
        95
    """
    # However near to 1 the rate is, the least score is the lowest threshold that there is.
    return max(1, math.ceil(round((count + 1) * (1 - rate), 6)))


def references_needed(rate: float) -> int:
    """Return how many reference scores can hold a rate of false alarms, at least."""
    return math.ceil(round(1 / rate - 1, 6))


def conformal_threshold(reference: Any, rate: float) -> float:
    """Return the threshold that a new normal example's score exceeds with a probability of at most `rate`.

    It is the ⌈(m + 1)(1 − rate)⌉-th smallest of the m reference scores. The probability is over reference and example
    together, exact for any score whose examples are exchangeable; with ties, or between two whole ranks, it is smaller.

    Args:
        reference: (m,) finite scores of normal examples that were not trained on, m ≥ 1/rate − 1.
        rate: of false alarms, in (0, 1).

    Raises:
        ValueError: if rate is outside (0, 1), or the scores are not (m,) finite numbers or too few.

    Examples:
        >>> conformal_threshold(np.arange(1.0, 100.0), 0.05)
        95.0

    References:
        Vovk, Gammerman, Shafer, Algorithmic learning in a random world, 2005.
    """
    checks.fraction("rate", rate, open_ends=True)
    scores = _reference(reference)
    rank = conformal_rank(len(scores), rate)
    if rank > len(scores):
        raise ValueError(
            f"{len(scores)} reference scores cannot hold a false alarm rate of {rate:g}: give at least "
            f"{references_needed(rate)}, or ask for a rate of at least {1 / (len(scores) + 1):.2g}"
        )
    return float(np.sort(scores)[rank - 1])


def p_values(scores: Any, reference: Any) -> np.ndarray:
    """Return how likely a normal example would score at least so high, (1 + #{referenceⱼ ≥ scoreᵢ}) / (m + 1).

    An alarm where the p-value is at most `rate` is the alarm of `conformal_threshold`: for new normal examples the
    p-value is at most any rate with at most that probability.

    Args:
        scores: (n,) finite.
        reference: (m,) finite scores of normal examples that were not trained on.

    Returns:
        (n,) in [1/(m + 1), 1].

    Raises:
        ValueError: if either is not a vector of finite numbers, or reference is empty.

    Examples:
        >>> p_values([0.5, 3.0, 9.0], [1.0, 2.0, 3.0]).tolist()
        [1.0, 0.5, 0.25]

    References:
        Laxhammar & Falkman, Conformal prediction for distribution-independent anomaly detection, 2010.
    """
    ordered = np.sort(_reference(reference))
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(f"scores must be (n,) finite numbers; got shape {values.shape}")
    below = np.searchsorted(ordered, values, side="left")
    return (1 + len(ordered) - below) / (len(ordered) + 1)


def cross_p_values(scores: Any, references: Sequence[Any]) -> np.ndarray:
    """Return how likely a normal example would score at least so high, by models that each left out a fold of them.

    (1 + Σₖ #{referenceₖⱼ ≥ scoreₖᵢ}) / (m + 1), where model k has scored the examples that it was not trained on and
    the new ones, and m is the number of all. All examples train and calibrate; for new normal ones the p-value is at
    most any rate with a probability of at most twice that, and in practice about that.

    Args:
        scores: (k, n) finite, of the n examples by every model.
        references: k vectors of finite scores: of each model, the scores of the fold that it left out.

    Returns:
        (n,) in [1/(m + 1), 1].

    Raises:
        ValueError: if scores are not (k, n) finite numbers, or there are not as many references.

    Examples:
        >>> cross_p_values([[2.5, 9.0], [2.5, 9.0]], [[1.0, 2.0], [3.0]]).tolist()
        [0.5, 0.25]

    References:
        Vovk, Cross-conformal predictors, 2015; Barber et al., Predictive inference with the jackknife+, 2021.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 2 or not np.isfinite(values).all() or len(values) != len(references):
        raise ValueError(
            f"scores must be (k, n) finite numbers, one row for each of the {len(references)} references; got shape "
            f"{values.shape}"
        )
    kept = [_reference(reference) for reference in references]
    above = [
        len(reference) - np.searchsorted(np.sort(reference), own, side="left")
        for own, reference in zip(values, kept, strict=True)
    ]
    return (1 + np.sum(above, axis=0)) / (sum(map(len, kept)) + 1)


def tail_threshold(reference: Any, rate: float, *, tail: float = 0.1) -> float:
    """Return the threshold that normal scores exceed at a rate which may be smaller than there are scores to count.

    A generalised Pareto distribution is fitted to the excesses over a high score u, that a share `tail` of the m
    reference scores exceed: u + (σ/ξ)·((rate·m / k)^(−ξ) − 1), with k excesses of shape ξ and scale σ. What it says of
    rates below 1/m it extrapolates: no guarantee, as that of `conformal_threshold`, but all there is.

    Args:
        reference: (m,) finite scores of normal examples that were not trained on, with at least 20 above u.
        rate: of false alarms, in (0, tail).
        tail: share of the scores that the distribution is fitted to, in (0, 1).

    Raises:
        ValueError: if rate or tail is out of its range, or the scores are not (m,) finite numbers, too few, or too many
            of them equal.

    Examples:
        >>> scores = -np.log(np.linspace(0.0005, 0.9995, 1000))  # of an exponential distribution
        >>> 8.5 < tail_threshold(scores, 1e-4) < 10  # −log 0.0001 is 9.2
        True

    References:
        Pickands, Statistical inference using extreme order statistics, 1975; Siffer et al., Anomaly detection in
        streams with extreme value theory, 2017.
    """
    from scipy.stats import genpareto

    checks.fraction("tail", tail, open_ends=True)
    checks.fraction("rate", rate, open_ends=True)
    if rate >= tail:
        raise ValueError(
            f"rate is {rate:g}, but must be below tail, {tail:g}: conformal_threshold needs no tail for it"
        )
    scores = _reference(reference)
    high = float(np.quantile(scores, 1 - tail))
    excesses = scores[scores > high] - high
    if len(excesses) < LEAST_EXCESSES:
        raise ValueError(
            f"{len(excesses)} of {len(scores)} reference scores exceed their quantile {1 - tail:g}, but the tail needs "
            f"at least {LEAST_EXCESSES}: give more scores, or a larger tail"
        )
    # In units of their mean, where the search for the likeliest shape begins well.
    unit = excesses.mean()
    shape, _, scale = genpareto.fit(excesses / unit, floc=0)
    return float(high + unit * genpareto.isf(rate * len(scores) / len(excesses), shape, scale=scale))


def _reference(scores: Any) -> np.ndarray:
    array = np.asarray(scores, np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"reference must be (m,) scores of normal examples, m at least 1; got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(
            f"{int((~np.isfinite(array)).sum())} of {len(array)} reference scores are not finite: "
            "look for NaN in the data or a model that diverged"
        )
    return array
