"""How far a generated table is from a real one."""

from typing import NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from jaxae.metrics.arguments import Floats, integer, refuse_constant_columns, tables

__all__ = [  # noqa: RUF022 (reading order)
    "ks",
    "correlation_distance",
    "moments",
    "TwoSample",
    "classifier_two_sample",
    "energy_distance",
]

_BLOCK = 2**22  # distances held at once: 32 MiB of float64


class TwoSample(NamedTuple):
    """What a two-sample test found."""

    accuracy: float
    p_value: float


def ks(real: ArrayLike, generated: ArrayLike) -> Floats:
    """Return the Kolmogorov-Smirnov statistic of each column, maxₜ |F_real(t) - F_generated(t)|.

    F is the empirical distribution function of the column. Columns are compared one by one: what joins them is the
    matter of `correlation_distance`, `energy_distance` and `classifier_two_sample`.

    Args:
        real: (n, d), finite.
        generated: (m, d), finite.

    Returns:
        (d,) in [0, 1], without unit; 0 where the values are the same, 1 where they do not overlap.

    Raises:
        TypeError: an argument is not of real numbers.
        ValueError: an argument is not a table, is empty or holds a value that is not finite, or the columns differ
            in number.

    Example:
        >>> from jaxae import metrics
        >>> metrics.ks([[0.0, 0.0], [1.0, 1.0]], [[0.5, 0.0], [1.0, 1.0]])
        array([0.5, 0. ])
    """
    real, generated = tables(real, generated, rows=1)

    def distance(x: Floats, y: Floats) -> float:
        points = np.concatenate([x, y])
        below_x = np.searchsorted(np.sort(x), points, side="right") / len(x)
        below_y = np.searchsorted(np.sort(y), points, side="right") / len(y)
        return float(np.max(np.abs(below_x - below_y)))

    return np.array([distance(x, y) for x, y in zip(real.T, generated.T, strict=True)])


def correlation_distance(real: ArrayLike, generated: ArrayLike) -> float:
    """Return the largest difference between two tables in the Pearson correlation of any two columns.

    maxᵢⱼ |corr(real)ᵢⱼ - corr(generated)ᵢⱼ|

    Args:
        real: (n, d), finite, n ≥ 2, d ≥ 2, no column constant.
        generated: (m, d), finite, m ≥ 2, no column constant.

    Returns:
        One number in [0, 2], without unit.

    Raises:
        TypeError: an argument is not of real numbers.
        ValueError: an argument is not a table, is too small, holds a value that is not finite or a constant column
            (the message names it), or the columns differ in number.

    Example:
        >>> from jaxae import metrics
        >>> round(metrics.correlation_distance([[0.0, 0.0], [1.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]), 6)
        2.0
    """
    real, generated = tables(real, generated, rows=2)
    if real.shape[1] < 2:
        raise ValueError("The tables have one column; a correlation needs at least two. Use ks or moments instead.")
    refuse_constant_columns("real", real)
    refuse_constant_columns("generated", generated)
    difference = np.corrcoef(real, rowvar=False) - np.corrcoef(generated, rowvar=False)
    return float(np.max(np.abs(difference)))


def moments(real: ArrayLike, generated: ArrayLike) -> dict[str, float]:
    """Return how far the first two moments of the generated table are from those of the real one.

    With means m, covariances S and standard deviations s, all dividing by one less than the number of rows:
    mean is maxⱼ |m_generated - m_real|ⱼ / s_realⱼ, covariance is ‖S_generated - S_real‖ / ‖S_real‖ (Frobenius).

    Args:
        real: (n, d), finite, n ≥ 2, no column constant. The yardstick: exchanging the tables changes the result.
        generated: (m, d), finite, m ≥ 2.

    Returns:
        {"mean": in standard deviations of the real column, "covariance": relative, without unit}, both ≥ 0. The
        covariance keeps the units of the columns, so a column of large numbers dominates it: scale the tables first.

    Raises:
        TypeError: an argument is not of real numbers.
        ValueError: an argument is not a table, is too small or holds a value that is not finite, a column of real is
            constant (the message names it), or the columns differ in number.

    Example:
        >>> from jaxae import metrics
        >>> metrics.moments([[0.0], [1.0], [2.0]], [[2.0], [4.0], [6.0]])
        {'mean': 3.0, 'covariance': 3.0}
    """
    real, generated = tables(real, generated, rows=2)
    refuse_constant_columns("real", real)
    shift = np.abs(generated.mean(axis=0) - real.mean(axis=0)) / real.std(axis=0, ddof=1)
    cov_real, cov_generated = (np.atleast_2d(np.cov(table, rowvar=False)) for table in (real, generated))
    spread = np.linalg.norm(cov_generated - cov_real) / np.linalg.norm(cov_real)
    return {"mean": float(np.max(shift)), "covariance": float(spread)}


def classifier_two_sample(
    real: ArrayLike, generated: ArrayLike, *, seed: SupportsIndex, folds: SupportsIndex = 5
) -> TwoSample:
    """Return how well a classifier tells real rows from generated ones, and how surprising that is.

    The first min(n, m) rows of each table are kept, so that guessing is right half of the time, and every row is
    classified by a forest that was trained on the other folds. The forest is scikit-learn's RandomForestClassifier
    with 100 trees and leaves of at least 5 rows, its other parameters as they come, one thread; it sees the values in
    float32.

    Args:
        real: (n, d), finite, n ≥ folds.
        generated: (m, d), finite, m ≥ folds.
        seed: 0 ≤ seed < 2³², scikit-learn's random_state of the folds and of the forest; it fixes the result.
        folds: 2 ≤ folds ≤ min(n, m), the number of cross-validation folds.

    Returns:
        accuracy: the balanced accuracy in [0, 1]. About 0.5 where the tables cannot be told apart, 1 where they can
            be always, and well below 0.5 where generated copies rows of real: the copy in the training folds then
            carries the wrong label.
        p_value: the binomial probability in [0, 1] of at least so many right answers by guessing. It is approximate:
            the folds share training rows, so that the answers are not independent.

    Raises:
        TypeError: an argument is not of real numbers, or seed or folds is no integer.
        ValueError: an argument is not a table, is too small or holds a value that is not finite, the columns differ
            in number, or seed or folds is out of range.

    Example:
        >>> import numpy as np
        >>> from jaxae import metrics
        >>> real = np.random.default_rng(0).normal(size=(20, 2))
        >>> metrics.classifier_two_sample(real, real + 100.0, seed=0).accuracy
        1.0

    References:
        Lopez-Paz, Oquab. Revisiting classifier two-sample tests. 2017.
    """
    from scipy.stats import binomtest
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    real, generated = tables(real, generated, rows=2)
    rows = min(len(real), len(generated))
    seed, folds = integer("seed", seed, range(2**32)), integer("folds", folds, range(2, rows + 1))

    x = np.concatenate([real[:rows], generated[:rows]])
    is_real = np.arange(2 * rows) < rows
    forest = RandomForestClassifier(n_estimators=100, min_samples_leaf=5, n_jobs=1, random_state=seed)
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    right = int(np.sum(cross_val_predict(forest, x, is_real, cv=split) == is_real))
    return TwoSample(right / (2 * rows), float(binomtest(right, 2 * rows, 0.5, alternative="greater").pvalue))


def energy_distance(real: ArrayLike, generated: ArrayLike) -> float:
    """Return the energy distance 2 E‖X - Y‖ - E‖X - X'‖ - E‖Y - Y'‖ of rows X, X' of real and Y, Y' of generated.

    Its V-statistic: each mean runs over all pairs, a row with itself included, so that the result is never negative
    but for rounding and is 0 exactly for equal samples. It is the squared form: in one dimension its root is
    `scipy.stats.energy_distance`. The distances are Euclidean and summed in blocks of 32 MiB.

    Args:
        real: (n, d), finite. Columns of larger numbers weigh more: scale the tables first.
        generated: (m, d), finite.

    Returns:
        One number ≥ 0, in units of the columns.

    Raises:
        TypeError: an argument is not of real numbers.
        ValueError: an argument is not a table, is empty or holds a value that is not finite, or the columns differ
            in number.

    Example:
        >>> from jaxae import metrics
        >>> metrics.energy_distance([[0.0, 0.0]], [[3.0, 4.0]])
        10.0

    References:
        Székely, Rizzo. Energy statistics: a class of statistics based on distances. 2013.
    """
    from scipy.spatial.distance import cdist

    real, generated = tables(real, generated, rows=1)

    def mean_distance(x: Floats, y: Floats) -> float:
        rows = max(1, _BLOCK // len(y))
        return sum(float(cdist(x[i : i + rows], y).sum()) for i in range(0, len(x), rows)) / (len(x) * len(y))

    return 2 * mean_distance(real, generated) - mean_distance(real, real) - mean_distance(generated, generated)
