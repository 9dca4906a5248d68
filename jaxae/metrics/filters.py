"""The best that a linear map of a noisy row can do: what a denoiser is to be compared with."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxae.metrics.arguments import Floats, finite, positive, same_shape

__all__ = ["LinearFilter", "linear_filter", "wiener"]


class LinearFilter(NamedTuple):
    """The affine map noisy -> noisy @ weights + offset.

    Attributes:
        weights: (d, d).
        offset: (d,).
    """

    weights: Floats
    offset: Floats

    def __call__(self, noisy: ArrayLike) -> Floats:
        """Return the estimates (n, d) of the clean rows behind noisy ones (n, d).

        Raises:
            TypeError, ValueError: noisy is no table of finite real numbers, or of other columns.
        """
        rows = finite("noisy", noisy)
        if rows.ndim != 2 or rows.shape[1] != len(self.weights):
            raise ValueError(f"noisy has shape {rows.shape}; give a table (n, {len(self.weights)}).")
        return rows @ self.weights + self.offset


def wiener(clean: ArrayLike, scale: ArrayLike) -> LinearFilter:
    """Return the affine filter of least squared error against independent noise of one standard deviation.

    With mean m and covariance S of the clean rows, clean = m + S (S + scale² I)⁻¹ (noisy - m): of all filters the best
    where the rows are normal, of all linear ones in any case.

    Args:
        clean: (n, d), finite, n ≥ 2.
        scale: > 0, the standard deviation of the noise, in the units of the rows.

    Raises:
        TypeError: an argument is not of real numbers.
        ValueError: clean is no table of at least two finite rows, or scale is not above 0.

    Example:
        >>> from jaxae import metrics
        >>> metrics.wiener([[1.0], [-1.0]], scale=1.0)([[4.0]]).tolist()
        [[2.0]]

    References:
        Wiener. Extrapolation, interpolation, and smoothing of stationary time series. 1949.
    """
    rows, noise = finite("clean", clean), positive("scale", scale)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"clean has shape {rows.shape}; give a table (n, d) with n at least 2.")
    mean, covariance = rows.mean(0), np.atleast_2d(np.cov(rows, rowvar=False, bias=True))
    weights = np.linalg.solve(covariance + noise**2 * np.eye(len(mean)), covariance).astype(np.float64)
    return LinearFilter(weights, mean - mean @ weights)


def linear_filter(clean: ArrayLike, noisy: ArrayLike) -> LinearFilter:
    """Return the affine filter of least squared error on pairs of rows, for noise of any kind.

    Args:
        clean: (n, d), finite, n > d + 1. Many noisy copies of each row come near to the best filter for the noise.
        noisy: (n, d), finite: the same rows with noise.

    Raises:
        TypeError: an argument is not of real numbers.
        ValueError: the shapes differ, or there are too few rows.

    Example:
        >>> from jaxae import metrics
        >>> metrics.linear_filter([[2.0], [4.0], [6.0]], [[1.0], [2.0], [3.0]])([[5.0]]).round(6).tolist()
        [[10.0]]
    """
    clean, noisy = same_shape(clean=clean, noisy=noisy)
    if clean.ndim != 2 or len(clean) <= clean.shape[1] + 1:
        raise ValueError(f"clean has shape {clean.shape}; give a table (n, d) with n above d + 1.")
    means = clean.mean(0), noisy.mean(0)
    weights = np.linalg.lstsq(noisy - means[1], clean - means[0], rcond=None)[0]
    return LinearFilter(weights, means[0] - means[1] @ weights)
