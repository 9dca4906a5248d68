"""How far a reconstruction is from its original."""

import math
import operator
from collections.abc import Sequence
from typing import NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from jaxae import checks
from jaxae.metrics.arguments import Floats, integer, positive, same_shape

__all__ = [  # noqa: RUF022 (reading order)
    "mean_squared_error",
    "PixelErrors",
    "pixel_errors",
    "snr",
    "psnr",
    "ssim",
    "explained_variance",
    "compression_ratio",
]


def mean_squared_error(x: ArrayLike, y: ArrayLike) -> float:
    """Return the mean of (x - y)² over every entry.

    Args:
        x: any shape, finite.
        y: the shape of x, finite.

    Returns:
        One number ≥ 0, in squared units of x.

    Raises:
        TypeError: an argument is not of real numbers.
        ValueError: the shapes differ, an argument is empty, or a value is not finite.

    Example:
        >>> from jaxae import metrics
        >>> metrics.mean_squared_error([0.0, 1.0], [1.0, 3.0])
        2.5
    """
    x, y = same_shape(x=x, y=y)
    return float(np.mean((x - y) ** 2))


class PixelErrors(NamedTuple):
    """How far entries are apart, on average and at worst."""

    mean: float
    max: float


def pixel_errors(x: ArrayLike, y: ArrayLike) -> PixelErrors:
    """Return the mean and the maximum of |x - y| over every entry.

    Args:
        x: any shape, finite.
        y: the shape of x, finite.

    Returns:
        mean and max, both ≥ 0, in units of x: of 1 for images in [0, 1], of a grey level for bytes.

    Raises:
        TypeError: an argument is not of real numbers.
        ValueError: the shapes differ, an argument is empty, or a value is not finite.

    Example:
        >>> from jaxae import metrics
        >>> metrics.pixel_errors([0.0, 1.0], [1.0, 3.0])
        PixelErrors(mean=1.5, max=2.0)
    """
    x, y = same_shape(x=x, y=y)
    error = np.abs(x - y)
    return PixelErrors(float(error.mean()), float(error.max()))


def snr(clean: ArrayLike, noisy: ArrayLike) -> float:
    """Return the signal-to-noise ratio 10 log₁₀(Σ clean² / Σ (noisy - clean)²), over every entry.

    Args:
        clean: any shape, finite, not zero everywhere. No mean is subtracted.
        noisy: the shape of clean, finite.

    Returns:
        One number in dB; inf where noisy equals clean.

    Raises:
        TypeError: an argument is not of real numbers.
        ValueError: the shapes differ, an argument is empty, a value is not finite, or clean is zero everywhere.

    Example:
        >>> from jaxae import metrics
        >>> metrics.snr([10.0, 10.0], [11.0, 9.0])
        20.0
    """
    clean, noisy = same_shape(clean=clean, noisy=noisy)
    signal, noise = np.sum(clean**2), np.sum((noisy - clean) ** 2)
    if signal == 0:
        raise ValueError("clean is zero everywhere, so there is no signal to compare; use mean_squared_error instead.")
    return float(10 * np.log10(signal / noise)) if noise > 0 else float("inf")


def psnr(x: ArrayLike, y: ArrayLike, *, peak: ArrayLike = 1.0) -> float:
    """Return the peak signal-to-noise ratio 10 log₁₀(peak² / mean (x - y)²), the mean over every entry.

    Args:
        x: any shape, finite.
        y: the shape of x, finite.
        peak: > 0, the range of the values: 1 for images in [0, 1], 2 for [-1, 1], 255 for bytes.

    Returns:
        One number in dB; inf where y equals x.

    Raises:
        TypeError: an argument is not of real numbers.
        ValueError: the shapes differ, an argument is empty, a value is not finite, or peak is not above 0.

    Example:
        >>> from jaxae import metrics
        >>> metrics.psnr([3.0, 5.0], [4.0, 4.0], peak=10)
        20.0
    """
    error, peak = mean_squared_error(x, y), positive("peak", peak)
    return float(10 * np.log10(peak**2 / error)) if error > 0 else float("inf")


def ssim(x: ArrayLike, y: ArrayLike, *, peak: ArrayLike = 1.0, window: SupportsIndex = 7) -> Floats:
    """Return the structural similarity of each image x with its y.

    In every square window that lies wholly inside the image, with means μ, variances σ² and covariance σxy,

        (2 μx μy + C₁) (2 σxy + C₂) / ((μx² + μy² + C₁) (σx² + σy² + C₂)),  C₁ = (0.01 peak)²,  C₂ = (0.03 peak)²,

    and then the mean over windows and channels. The window weighs its pixels equally and the (co)variances divide by
    one less than their number: the default of scikit-image, where Wang et al. take a Gaussian window.

    Args:
        x: (n, h, w) or (n, h, w, c), finite.
        y: the shape of x, finite.
        peak: > 0, the range of the values: 1 for images in [0, 1], 2 for [-1, 1], 255 for bytes.
        window: odd, 3 ≤ window ≤ min(h, w), the side of the window in pixels.

    Returns:
        (n,) in [-1, 1], without unit; 1 where the images are equal.

    Raises:
        TypeError: an argument is not of real numbers, or window is no integer.
        ValueError: the shapes differ or are not of images, an argument is empty, a value is not finite, peak is not
            above 0, or window is even or does not fit into the image.

    Example:
        >>> import numpy as np
        >>> from jaxae import metrics
        >>> images = np.random.default_rng(0).uniform(size=(2, 8, 8))
        >>> metrics.ssim(images, images)
        array([1., 1.])

    References:
        Wang, Bovik, Sheikh, Simoncelli. Image quality assessment: from error visibility to structural similarity. 2004.
        scikit-image, skimage.metrics.structural_similarity.
    """
    from scipy.ndimage import uniform_filter

    x, y = same_shape(x=x, y=y)
    if x.ndim not in (3, 4):
        raise ValueError(f"x has shape {x.shape}; give images (n, h, w) or (n, h, w, c), a single one as x[None].")
    side = min(x.shape[1:3])
    if side < 3:
        raise ValueError(f"The images are {x.shape[1]} × {x.shape[2]}; SSIM needs at least 3 × 3 pixels.")
    window, peak = integer("window", window, range(3, side + 1, 2)), positive("peak", peak)

    edge = window // 2
    inside = (slice(None), slice(edge, -edge), slice(edge, -edge))
    size = (1, window, window, 1)[: x.ndim]

    def mean(a: Floats) -> Floats:
        return uniform_filter(a, size)[inside]

    mean_x, mean_y = mean(x), mean(y)
    sample = window**2 / (window**2 - 1)
    var_x = sample * (mean(x * x) - mean_x**2)
    var_y = sample * (mean(y * y) - mean_y**2)
    cov = sample * (mean(x * y) - mean_x * mean_y)
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    similarity /= (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return similarity.mean(axis=tuple(range(1, x.ndim)))


def explained_variance(x: ArrayLike, reconstruction: ArrayLike) -> float:
    """Return 1 - Σ (x - reconstruction)² / Σ (x - column means of x)².

    This is R² with the columns weighted by their variance: 0 for a reconstruction by the column means.

    Args:
        x: (n, ...), finite, not constant along its first axis in every column.
        reconstruction: the shape of x, finite.

    Returns:
        One number ≤ 1, without unit; below 0 where the column means would do better.

    Raises:
        TypeError: an argument is not of real numbers.
        ValueError: the shapes differ, an argument is empty, a value is not finite, or all rows of x are equal.

    Example:
        >>> from jaxae import metrics
        >>> metrics.explained_variance([[0.0], [2.0], [4.0]], [[1.0], [2.0], [3.0]])
        0.75
    """
    x, reconstruction = same_shape(x=x, reconstruction=reconstruction)
    if x.ndim == 0:
        raise ValueError("x is a single number; give rows (n, ...).")
    total = np.sum((x - x.mean(axis=0)) ** 2)
    if total == 0 or not np.ptp(x, axis=0).any():
        raise ValueError(f"All {len(x)} rows of x are equal, so there is no variance to explain; give rows that vary.")
    return float(1 - np.sum((x - reconstruction) ** 2) / total)


def compression_ratio(
    example: SupportsIndex | Sequence[SupportsIndex], latent: SupportsIndex | Sequence[SupportsIndex]
) -> float:
    """Return how many numbers of an example come to one number of its code: size(example) / size(latent).

    It counts numbers, not bytes: bytes that are coded by float32 are compressed four times less than it says.

    Args:
        example: the shape of one example, for example x.shape[1:], or its number of values; every entry ≥ 1.
        latent: the shape of its code, or the number of values in that; every entry ≥ 1.

    Returns:
        One number > 0, without unit: above 1 where the code is the smaller one.

    Raises:
        TypeError: an argument is neither an integer nor a sequence of integers.
        ValueError: an integer is below 1.

    Example:
        >>> from jaxae import metrics
        >>> metrics.compression_ratio((224, 224, 3), 128)
        1176.0
    """

    def size(name: str, given: SupportsIndex | Sequence[SupportsIndex]) -> int:
        shape = given if isinstance(given, Sequence) else (given,)
        for entry in shape:
            checks.whole(name, entry, why=": give a size like 784, or a shape like x.shape[1:]")
        return math.prod(map(operator.index, shape))

    return size("example", example) / size("latent", latent)
