"""Ways through a latent space, and what a posterior uses of it: pure functions of arrays."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxae import checks

__all__ = [
    "Moments",
    "Quantised",
    "active_units",
    "aggregate_moments",
    "interpolate",
    "lda",
    "quantise",
    "slerp",
    "traverse",
    "tsne",
]


class Moments(NamedTuple):
    """Mean (k,) and covariance (k, k) of a distribution over latent vectors."""

    mean: Array
    covariance: Array


class Quantised(NamedTuple):
    """Codes as whole numbers: each latent unit's range in the codes is cut into 2^bits − 1 equal steps.

    Attributes:
        levels: (n, k) uint16, from 0 to 2^bits − 1.
        low: (k,) float32, the smallest code of each unit.
        step: (k,) float32, from one level to the next; 0 for a unit that does not vary.
        bits: of one level.
    """

    levels: Array
    low: Array
    step: Array
    bits: int

    def codes(self) -> Array:
        """Return the codes (n, k) that the levels stand for, at most half a step from the codes they were made of."""
        return self.low[None, :] + self.step[None, :] * self.levels.astype(self.step.dtype)


def interpolate(a: ArrayLike, b: ArrayLike, steps: int) -> Array:
    """Return `steps` points on the straight line from a to b, both ends included.

    Point i is (1 − tᵢ)·a + tᵢ·b with tᵢ = i / (steps − 1).

    Args:
        a: (k,), the first point.
        b: (k,), the last point.
        steps: The number of points, at least 2.

    Returns:
        (steps, k).

    Raises:
        TypeError: A vector is not real, or `steps` not an integer.
        ValueError: The shapes are not one (k,), or `steps` is below 2.

    Example:
        >>> interpolate(jnp.array([0.0, 4.0]), jnp.array([2.0, 0.0]), 3).tolist()
        [[0.0, 4.0], [1.0, 2.0], [2.0, 0.0]]
    """
    first, last, t = _ends(a, b, steps)
    return (1 - t) * first[None, :] + t * last[None, :]


def slerp(a: ArrayLike, b: ArrayLike, steps: int) -> Array:
    """Return `steps` points on the great circle from a to b, both ends included.

    The direction turns by equal angles in the plane of a and b, and the length goes evenly from |a| to |b|. So the
    points keep the length that a standard normal prior gives its samples, about √k, which the straight line cuts
    short. Where a and b are parallel, or one of them is 0, this is the straight line. Opposite points lie on many
    great circles; one of them is taken.

    Args:
        a: (k,), the first point, k at least 2.
        b: (k,), the last point.
        steps: The number of points, at least 2.

    Returns:
        (steps, k).

    Raises:
        TypeError: A vector is not real, or `steps` not an integer.
        ValueError: The shapes are not one (k,) with k at least 2, or `steps` is below 2.

    References:
        Shoemake, Animating rotation with quaternion curves, 1985. White, Sampling generative networks, 2016.

    Example:
        >>> slerp(jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]), 3).round(3).tolist()[1]
        [0.7070000171661377, 0.7070000171661377]
    """
    if np.size(a) < 2:
        raise ValueError(
            f"a and b of slerp must be vectors of at least 2 dimensions; got {np.size(a)}; use interpolate"
        )
    first, last, t = _ends(a, b, steps)
    lengths = jnp.linalg.norm(first), jnp.linalg.norm(last)
    # A zero vector has no direction: it takes the other's.
    u = _unit(jnp.where(lengths[0] > 0, first, last))
    v = _unit(jnp.where(lengths[1] > 0, last, first))
    # Kahan's angle, which does not lose its digits near 0 and π as arccos does.
    angle = 2 * jnp.arctan2(jnp.linalg.norm(u - v), jnp.linalg.norm(u + v))
    across = v - jnp.dot(u, v) * u
    # Without an across direction (parallel: then it has no weight; opposite: then any will do), take the axis that
    # is least along u.
    axis = jnp.zeros_like(u).at[jnp.argmin(jnp.abs(u))].set(1)
    small = jnp.linalg.norm(across) <= 4 * jnp.finfo(u.dtype).eps
    across = _unit(jnp.where(small, axis - jnp.dot(axis, u) * u, across))
    length = (1 - t) * lengths[0] + t * lengths[1]
    points = length * (jnp.cos(t * angle) * u[None, :] + jnp.sin(t * angle) * across[None, :])
    return points.at[0].set(first).at[-1].set(last)


def traverse(z: ArrayLike, dimension: int, values: ArrayLike) -> Array:
    """Return one copy of z per value, with its coordinate `dimension` replaced by the value.

    Args:
        z: (k,).
        dimension: The coordinate, 0 to k − 1.
        values: (m,), what the coordinate becomes.

    Returns:
        (m, k).

    Raises:
        TypeError: A vector is not real, or `dimension` not an integer.
        ValueError: A shape is another, or there is no such coordinate.

    Example:
        >>> traverse(jnp.array([1.0, 2.0]), 0, jnp.array([-3.0, 3.0])).tolist()
        [[-3.0, 2.0], [3.0, 2.0]]
    """
    base, column = _floats(z, values)
    if base.ndim != 1 or column.ndim != 1:
        raise ValueError(f"z must be (k,) and values (m,); got shapes {base.shape} and {column.shape}")
    checks.whole("dimension", dimension, low=0, high=base.size - 1)
    return jnp.tile(base, (column.size, 1)).at[:, dimension].set(column)


def active_units(means: ArrayLike, *, threshold: float = 0.01) -> Array:
    """Return which latent units carry information: those whose posterior mean varies over the rows.

    Unit j is active where Var_x(E[zⱼ | x]) > threshold.

    Args:
        means: (n, k), the posterior mean of each row, n at least 2.
        threshold: In squared latent units, at least 0.

    Returns:
        (k,) bool.

    Raises:
        TypeError: The means are not real, or the threshold is no number.
        ValueError: The shape is another, or the threshold not finite and at least 0.

    References:
        Burda, Grosse and Salakhutdinov, Importance weighted autoencoders, 2016.

    Example:
        >>> active_units(jnp.array([[-1.0, 0.0], [1.0, 0.05]])).tolist()
        [True, False]
    """
    (array,) = _floats(means)
    if array.ndim != 2 or len(array) < 2:
        raise ValueError(f"means must be (n, k) with n at least 2; got shape {array.shape}")
    checks.not_negative("threshold", threshold)
    return jnp.var(array, axis=0) > threshold


def aggregate_moments(mean: ArrayLike, logvar: ArrayLike) -> Moments:
    """Return mean and covariance of the aggregate posterior, the even mixture of every row's posterior.

    By the law of total covariance, Cov(z) = E_x[diag(exp(logvar))] + Cov_x(mean). Where the prior is a standard
    normal and the aggregate posterior fits it, they are 0 and the identity.

    Args:
        mean: (n, k), the mean of each row's posterior, n at least 1.
        logvar: (n, k), the logarithm of its variances.

    Raises:
        ValueError: The shapes are not one (n, k).

    References:
        Hoffman and Johnson, ELBO surgery: yet another way to carve up the variational evidence lower bound, 2016.

    Example:
        >>> aggregate_moments(jnp.array([[-1.0], [1.0]]), jnp.zeros((2, 1))).covariance.tolist()
        [[2.0]]
    """
    means, logvars = _floats(mean, logvar)
    if means.ndim != 2 or means.shape != logvars.shape or len(means) == 0:
        raise ValueError(
            f"mean and logvar must be one shape (n, k), n at least 1; got {means.shape} and {logvars.shape}"
        )
    centre = means.mean(axis=0)
    apart = means - centre[None, :]
    # Accelerators round the factors of a product to fewer bits unless told otherwise.
    between = jnp.matmul(apart.T, apart, precision="highest") / len(means)
    return Moments(centre, jnp.diag(jnp.exp(logvars).mean(axis=0)) + between)


def quantise(codes: ArrayLike, bits: int) -> Quantised:
    """Return the codes rounded to 2^bits equally spaced levels between each unit's smallest and largest.

    Args:
        codes: (n, k) finite, n and k at least 1.
        bits: of one level, 1 to 16.

    Raises:
        TypeError: The codes are not real, or `bits` not an integer.
        ValueError: The shape is another, a code not finite, or `bits` out of range.

    References:
        Gray and Neuhoff, Quantization, 1998.

    Example:
        >>> quantised = quantise(jnp.array([[0.0], [0.4], [1.0]]), bits=1)
        >>> quantised.levels.tolist(), quantised.codes().tolist()
        ([[0], [0], [1]], [[0.0], [0.0], [1.0]])
    """
    checks.whole("bits", bits, high=16)
    (array,) = _floats(codes)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"codes must be (n, k), n and k at least 1; got shape {array.shape}")
    lost = int((~np.isfinite(np.asarray(array))).sum())
    if lost:
        raise ValueError(f"{lost} codes are not finite: look at the rows they stand for")
    low, high = array.min(axis=0), array.max(axis=0)
    step = (high - low) / (2**bits - 1)
    if not bool(jnp.isfinite(step).all()):
        raise ValueError("codes span more than the largest float: scale them first")
    level = jnp.round((array - low[None, :]) / jnp.where(step > 0, step, 1)[None, :])
    return Quantised(jnp.clip(level, 0, 2**bits - 1).astype(jnp.uint16), low, step, int(bits))


def tsne(codes: Any, *, seed: int) -> np.ndarray:
    """Return the codes (n, k) in the plane, (n, 2), so that near ones stay near (distances far apart mean nothing).

    scikit-learn's t-SNE from principal components, perplexity 30 or, of few codes, a third of their number.

    Args:
        codes: (n, k) finite, n at least 4.
        seed: its random state, 0 ≤ seed < 2³².

    Raises:
        TypeError: `seed` is no integer.
        ValueError: The shape is another, there are too few codes, one is not finite, or `seed` is out of range.

    Example:
        >>> tsne(np.arange(12.0).reshape(6, 2), seed=0).shape
        (6, 2)

    References:
        van der Maaten and Hinton, Visualizing data using t-SNE, 2008.
    """
    from sklearn.manifold import TSNE

    checks.whole("seed", seed, low=0, high=2**32 - 1)
    array = np.asarray(codes, np.float64)
    if array.ndim != 2 or len(array) < 4:
        raise ValueError(f"codes must be (n, k) with n at least 4; got shape {array.shape}")
    checks.finite_floats("codes", array)
    start = "pca" if array.shape[1] >= 2 else "random"
    return TSNE(2, init=start, perplexity=min(30.0, (len(array) - 1) / 3), random_state=seed).fit_transform(array)


def lda(codes: Any, labels: Any) -> np.ndarray:
    """Return the codes (n, k) in the plane, (n, 2), in which their groups are the furthest apart for their spread.

    Args:
        codes: (n, k) finite, k at least 2.
        labels: (n,) at least three groups.

    Raises:
        ValueError: The shapes are others, a code is not finite, codes vary in too few directions within the groups, or
            there are fewer than three groups or two units.

    Example:
        >>> lda(np.eye(6, 3) + np.arange(6.0)[:, None], [0, 1, 2, 0, 1, 2]).shape
        (6, 2)

    References:
        Fisher, The use of multiple measurements in taxonomic problems, 1936.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    array = np.asarray(codes, np.float64)
    # By number: scikit-learn takes fractions for values to predict.
    groups = np.unique(labels, return_inverse=True)[1]
    if array.ndim != 2 or array.shape[1] < 2 or groups.shape != array.shape[:1]:
        raise ValueError(f"codes must be (n, k ≥ 2) and labels (n,); got shapes {array.shape} and {groups.shape}")
    checks.finite_floats("codes", array)
    if len(np.unique(groups)) < 3:
        raise ValueError(f"labels hold {len(np.unique(groups))} groups, but a plane needs at least three")
    if not any(np.ptp(array[groups == group], axis=0).any() for group in np.unique(groups)):
        raise ValueError("codes are equal within every group of labels, so there is no spread to measure distances by")
    # The eigen solver with shrinkage is defined for units that do not vary too, as collapsed ones.
    plane = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto", n_components=2)
    # Groups of two rows are not shrunk, and whether the solver sees what is singular then is a matter of rounding.
    try:
        flat = np.linalg.matrix_rank(plane.fit(array, groups).covariance_, hermitian=True) < array.shape[1]
    except np.linalg.LinAlgError:
        flat = True
    if flat:
        raise ValueError(
            f"codes vary in fewer than {array.shape[1]} directions within the groups of labels, so there is no spread "
            "to measure all distances by: give at least three rows of each label, or fewer labels"
        )
    return plane.transform(array)


def _floats(*values: Any) -> tuple[Array, ...]:
    arrays = [jnp.asarray(value) for value in values]
    dtype = jnp.result_type(*arrays, float)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"latent vectors are real numbers; got {dtype}")
    return tuple(array.astype(dtype) for array in arrays)


def _ends(a: ArrayLike, b: ArrayLike, steps: int) -> tuple[Array, Array, Array]:
    first, last = _floats(a, b)
    if first.ndim != 1 or first.shape != last.shape:
        raise ValueError(f"a and b must be one shape (k,); got {first.shape} and {last.shape}")
    checks.whole("steps", steps, low=2, why=", for both ends")
    return first, last, jnp.linspace(0, 1, steps, dtype=first.dtype)[:, None]


def _unit(vector: Array) -> Array:
    length = jnp.linalg.norm(vector)
    return vector / jnp.where(length > 0, length, 1)
