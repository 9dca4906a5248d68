"""How far generated examples are from real ones in a table of features, and how sure a classifier is of them.

The numbers of the literature (FID, KID, the Inception score) are these with the features, or the classes, of one
particular Inception network. With other features they are other numbers, which compare with each other only.
"""

from typing import NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from jaxae.metrics.arguments import Floats, finite, integer, tables

__all__ = ["frechet_distance", "kernel_distance", "Manifold", "manifold", "classifier_score"]  # noqa: RUF022

_BLOCK = 2**22  # distances, or kernel values, held at once: 32 MiB of float64
_SUM_TOLERANCE = 1e-3  # a softmax in float16, of eps 1e-3, passes; logits, percents and one column of two do not


def frechet_distance(real: ArrayLike, generated: ArrayLike) -> float:
    """Return the squared Fréchet distance between the normal distributions fitted to two tables of features.

    With means m and covariances S, which divide by one less than the number of rows,

        |m_real - m_generated|² + tr(S_real + S_generated - 2 (S_real S_generated)^½).

    It is the Fréchet Inception distance (FID) only where the rows are the 2048 features of the pooling layer of
    Inception v3, and the squared 2-Wasserstein distance only where both tables are normal. It is biased upwards by an
    amount that shrinks with the number of rows: compare values of equal numbers of rows, many more than columns.
    Covariances without full rank are fine.

    Args:
        real: (n, d), finite, n ≥ 2. Columns of larger numbers weigh more.
        generated: (m, d), finite, m ≥ 2.

    Returns:
        One number ≥ 0, in squared units of the columns; 0 but for rounding where the moments are equal.

    Raises:
        TypeError: an argument is not of real numbers.
        ValueError: an argument is not a table, has fewer than two rows or holds a value that is not finite, or the
            columns differ in number.

    Example:
        >>> from jaxae import metrics
        >>> round(metrics.frechet_distance([[0.0], [2.0]], [[3.0], [5.0]]), 6)
        9.0

    References:
        Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter. GANs trained by a two time-scale update rule converge to a
            local Nash equilibrium. 2017.
        Dowson, Landau. The Fréchet distance between multivariate normal distributions. 1982.
    """
    real, generated = tables(real, generated, rows=2)

    # With S = RᵀR the trace is the least ‖R_real - Q R_generated‖² over rotations Q, which the singular vectors of
    # R_real R_generatedᵀ attain. A sum of squares cannot fall below 0, and no covariance and no root of one is taken:
    # the root of an eigenvalue that should be 0 is off by 1e-8, this by 1e-16.
    root_real, root_generated = _covariance_root(real), _covariance_root(generated)
    rows = max(len(root_real), len(root_generated))
    root_real, root_generated = (np.pad(r, ((0, rows - len(r)), (0, 0))) for r in (root_real, root_generated))
    left, _, right = np.linalg.svd(root_real @ root_generated.T)
    shift = real.mean(axis=0) - generated.mean(axis=0)
    return float(np.sum(shift**2) + np.sum((root_real - left @ right @ root_generated) ** 2))


def _covariance_root(table: Floats) -> Floats:
    from scipy.linalg import qr

    (root,) = qr((table - table.mean(axis=0)) / np.sqrt(len(table) - 1), mode="r")
    return root[: table.shape[1]]


def kernel_distance(real: ArrayLike, generated: ArrayLike) -> float:
    """Return the unbiased estimate of the squared maximum mean discrepancy with the kernel k(x, y) = (x·y / d + 1)³.

    mean k(X, X') + mean k(Y, Y') - 2 mean k(X, Y), with X ≠ X' two rows of real and Y ≠ Y' two rows of generated: each
    mean runs over all pairs of different rows. The kernel sees the first three moments and no more. It is the Kernel
    Inception distance (KID) only with the features of Inception v3; that is often given as the mean over random
    subsets, which estimates the same number. The kernel is summed in blocks of 32 MiB.

    Args:
        real: (n, d), finite, n ≥ 2. The kernel knows an origin and a unit: scale the features to order 1.
        generated: (m, d), finite, m ≥ 2.

    Returns:
        One number, in units of the kernel. Its expectation is ≥ 0, and 0 where both are of one distribution: there it
        is as often below 0 as an unbiased estimate of 0 has to be.

    Raises:
        TypeError: an argument is not of real numbers.
        ValueError: an argument is not a table, has fewer than two rows or holds a value that is not finite, or the
            columns differ in number.

    Example:
        >>> from jaxae import metrics
        >>> metrics.kernel_distance([[0.0], [1.0]], [[1.0], [2.0]])  # 1 + 27 - 2 (1 + 1 + 8 + 27) / 4
        9.5

    References:
        Bińkowski, Sutherland, Arbel, Gretton. Demystifying MMD GANs. 2018.
        Gretton, Borgwardt, Rasch, Schölkopf, Smola. A kernel two-sample test. 2012.
    """
    real, generated = tables(real, generated, rows=2)

    def total(x: Floats, y: Floats, *, same: bool) -> float:
        found, rows = 0.0, max(1, _BLOCK // len(y))
        for start in range(0, len(x), rows):
            block = x[start : start + rows] @ y.T / x.shape[1] + 1
            block *= block * block
            if same:  # before the sum: one row far out would drown all others
                np.fill_diagonal(block[:, start:], 0.0)
            found += float(block.sum())
        return found

    n, m = len(real), len(generated)
    within = total(real, real, same=True) / (n * (n - 1)) + total(generated, generated, same=True) / (m * (m - 1))
    return within - 2 * total(real, generated, same=False) / (n * m)


class Manifold(NamedTuple):
    """How much of either table lies in the balls around the other."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(real: ArrayLike, generated: ArrayLike, *, k: SupportsIndex = 5) -> Manifold:
    """Return how much two tables of features overlap, by balls that reach from a row to its k-th nearest neighbour.

    With the balls B(Xᵢ) around the rows of real, whose radius is the Euclidean distance to the k-th nearest other row
    of real, and B(Yⱼ) around the rows of generated likewise,

        precision = meanⱼ [Yⱼ in any B(Xᵢ)],                density = 1/k meanⱼ #{i: Yⱼ in B(Xᵢ)},
        recall = meanᵢ [Xᵢ in any B(Yⱼ)],                   coverage = meanᵢ [any Yⱼ in B(Xᵢ)].

    Precision and density fall when generated rows lie where no real ones are, recall and coverage when real rows lie
    where no generated ones are. A single row far out makes a large ball, of which precision and recall make more than
    density and coverage. A ball holds its surface, as Kynkäänniemi et al. write it; the package prdc leaves it out,
    which differs only where distances are equal, as in tables with repeated rows. The distances are taken in blocks of
    32 MiB.

    Args:
        real: (n, d), finite, n ≥ 2. Columns of larger numbers weigh more.
        generated: (m, d), finite, m ≥ 2.
        k: 1 ≤ k < min(n, m), the number of neighbours. The papers take 3 and 5, for thousands of rows.

    Returns:
        precision, recall and coverage in [0, 1], density ≥ 0, without unit. For samples of one continuous distribution
        the expected density is 1, and the expected coverage 1 - 2⁻ᵏ if they are large and of equal size.

    Raises:
        TypeError: an argument is not of real numbers, or k is no integer.
        ValueError: an argument is not a table, has fewer than two rows or holds a value that is not finite, the
            columns differ in number, or k is out of range.

    Example:
        >>> from jaxae import metrics
        >>> metrics.manifold([[0.0], [1.0], [8.0], [9.0]], [[0.2], [0.5], [0.8]], k=1)  # one of two modes is missed
        Manifold(precision=1.0, recall=0.5, density=2.0, coverage=0.5)

    References:
        Kynkäänniemi, Karras, Laine, Lehtinen, Aila. Improved precision and recall metric for assessing generative
            models. 2019.
        Naeem, Oh, Uh, Choi, Yoo. Reliable fidelity and diversity metrics for generative models. 2020.
    """
    from scipy.spatial.distance import cdist

    real, generated = tables(real, generated, rows=2)
    k = integer("k", k, range(1, min(len(real), len(generated))))

    def radii(x: Floats) -> Floats:
        rows = max(1, _BLOCK // len(x))  # the k-th in order is counted from 0, the row itself
        return np.concatenate([np.partition(cdist(x[i : i + rows], x), k)[:, k] for i in range(0, len(x), rows)])

    radii_real, radii_generated = radii(real), radii(generated)
    held_by = np.zeros(len(generated), np.int64)  # in how many balls of real each generated row lies
    recalled = covered = 0
    rows = max(1, _BLOCK // len(generated))
    for start in range(0, len(real), rows):
        distance = cdist(real[start : start + rows], generated)
        held = distance <= radii_real[start : start + rows, None]
        held_by += held.sum(axis=0)
        covered += int(held.any(axis=1).sum())
        recalled += int((distance <= radii_generated).any(axis=1).sum())
    return Manifold(
        precision=float(np.mean(held_by > 0)),
        recall=recalled / len(real),
        density=float(np.mean(held_by)) / k,
        coverage=covered / len(real),
    )


def classifier_score(probabilities: ArrayLike) -> float:
    """Return exp(mean KL(p(y | x) ‖ p(y))), the score of examples that a classifier is sure of and that vary.

    The rows are p(y | x), what a classifier says of the generated examples, and p(y) is their mean: the logarithm is
    the mutual information of example and class. No real example enters. It is the Inception score only with the
    1000 classes of Inception v3; that is often given as the mean over ten splits of the examples.

    Args:
        probabilities: (n, classes), ≥ 0, each row with sum 1 (to 1e-3, the rounding of half precision).

    Returns:
        One number from 1, where the classifier says the same of every example, to the number of classes, where it is
        sure of each example and finds all classes equally often. Without unit.

    Raises:
        TypeError: probabilities is not of real numbers.
        ValueError: probabilities is not a table, is empty, holds a value that is negative or not finite, or a row
            whose sum is not 1.

    Example:
        >>> from jaxae import metrics
        >>> round(metrics.classifier_score([[1.0, 0.0], [0.0, 1.0]]), 6)
        2.0
        >>> round(metrics.classifier_score([[0.6, 0.4], [0.6, 0.4]]), 6)
        1.0

    References:
        Salimans, Goodfellow, Zaremba, Cheung, Radford, Chen. Improved techniques for training GANs. 2016.
    """
    from scipy.special import rel_entr

    table = finite("probabilities", probabilities)
    if table.ndim != 2:
        raise ValueError(f"probabilities has shape {table.shape}; give a table (n, classes), one row for each example.")
    remedy = "give probabilities, for logits scipy.special.softmax(logits, axis=1)"
    if table.min() < 0:
        raise ValueError(f"probabilities holds {table.min():g}, allowed is ≥ 0; {remedy}.")
    sums = table.sum(axis=1)
    worst = int(np.argmax(np.abs(sums - 1)))
    if abs(sums[worst] - 1) > _SUM_TOLERANCE:
        raise ValueError(
            f"Row {worst} of probabilities has the sum {sums[worst]:g}, allowed is 1 to within {_SUM_TOLERANCE:g}; "
            f"{remedy}, for the one column p of two classes np.stack([1 - p, p], axis=1)."
        )
    return float(np.exp(np.mean(np.sum(rel_entr(table, table.mean(axis=0)), axis=1))))
