"""Bilinear resizing, alone and before a convolution."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxae.convolution.functions import check_images, convolve, operands
from jaxae.convolution.geometry import Padding, Size, pair, strided
from jaxae.types import Array

__all__ = ["resize", "resize_convolve"]


def _interpolation(small: int, large: int, align_corners: bool) -> np.ndarray:
    """Return the weights (large, small) of the old pixels in every new one; every row adds up to 1."""
    if align_corners:
        places = np.arange(large) * ((small - 1) / max(large - 1, 1))
    else:
        places = np.clip((np.arange(large) + 0.5) * (small / large) - 0.5, 0, small - 1)
    before = np.clip(np.floor(places).astype(int), 0, max(small - 2, 0))
    after = np.minimum(before + 1, small - 1)
    weights = np.zeros((large, small))
    np.add.at(weights, (np.arange(large), before), 1 - (places - before))
    np.add.at(weights, (np.arange(large), after), places - before)
    return weights


def _mix(weights: np.ndarray, x: Array) -> Array:
    """Return weights (m, k) applied to the middle axis of x (n, k, d), as (n, m, d)."""
    # An interpolation is exact to float32 on every device: its weights are not to be rounded to fewer bits.
    exact = jax.lax.Precision.HIGHEST
    matrix = jnp.asarray(weights, x.dtype)
    if x.shape[-1] < 32:  # products of slim matrices are slower than one product and its transpose
        return jnp.einsum("mk,nkd->nmd", matrix, x, precision=exact)
    each = jnp.broadcast_to(matrix[None], (len(x), *matrix.shape))
    return lax.dot_general(each, x, (((2,), (1,)), ((0,), (0,))), precision=exact)


def resize(x: Array, size: Size, *, align_corners: bool = False) -> Array:
    """Return images in another size, by bilinear interpolation between the old pixels; none is averaged away.

    Args:
        x: (n, height, width, c).
        size: one number, or (height, width), ≥ 1.
        align_corners: whether the corner pixels stay in the corners (new pixel i lies at i·(old − 1)/(new − 1) of the
            old ones); else pixels are squares (it lies at (i + ½)·old/new − ½, and beyond the edge pixels there are
            more like them). PyTorch's `interpolate` has both, under this name.

    Returns:
        (n, *size, c).

    Raises:
        TypeError, ValueError: for a size that is not of whole numbers ≥ 1, and for other shapes.

    Examples:
        >>> import jax.numpy as jnp
        >>> resize(jnp.arange(2.0).reshape(1, 1, 2, 1), (1, 3), align_corners=True)[0, 0, :, 0].tolist()
        [0.0, 0.5, 1.0]
        >>> resize(jnp.arange(2.0).reshape(1, 1, 2, 1), (1, 4))[0, 0, :, 0].tolist()
        [0.0, 0.25, 0.75, 1.0]
    """
    check_images(x)
    height, width = pair("size", size)
    n, h, w, c = x.shape
    rows, columns = _interpolation(h, height, align_corners), _interpolation(w, width, align_corners)
    across = _mix(columns, x.reshape(n * h, w, c)).reshape(n, h, width * c)
    return _mix(rows, across).reshape(n, height, width, c)


def _seen(weights: np.ndarray, taps: int, low: int, small: int) -> np.ndarray:
    """Return the weights (small, old pixels, taps) of the old pixels in what each tap of a kernel sees after resizing.

    Outside the resized image a tap sees zeros.
    """
    seen = np.zeros((small, weights.shape[1], taps))
    for tap in range(taps):
        place = np.arange(small) + tap - low
        inside = (place >= 0) & (place < len(weights))
        seen[inside, :, tap] = weights[place[inside]]
    return seen


def resize_convolve(
    x: Array, kernel: Array, *, size: Size, padding: Padding = "SAME", align_corners: bool = False
) -> Array:
    """Return convolve(resize(x, size), kernel, padding=padding), of which an enlarged image is never made.

    Both are linear, one over pixels and the other over channels, so they may change places: the kernel is applied to
    the few pixels before enlarging (4 times fewer for a doubled image), and what its taps see afterwards is mixed by
    small matrices. Where the image shrinks, the two are done in their order.

    Args:
        x: (n, height, width, c).
        kernel: (kh, kw, c, o).
        size: that the image is resized to before the convolution: one number, or (height, width).
        padding: of the convolution.
        align_corners: as in `resize`.

    Returns:
        (n, …, …, o). Differentiable in both modes where the image grows.

    Raises:
        TypeError, ValueError: as `resize` and `convolve` do.

    Examples:
        >>> import jax.numpy as jnp
        >>> resize_convolve(jnp.ones((1, 4, 4, 8)), jnp.ones((3, 3, 8, 2)), size=8).shape
        (1, 8, 8, 2)

    References:
        Odena et al., Deconvolution and checkerboard artifacts, 2016.
    """
    x, kernel = operands(x, kernel)
    size = pair("size", size)
    if size[0] * size[1] < x.shape[1] * x.shape[2]:
        return convolve(resize(x, size, align_corners=align_corners), kernel, padding=padding)
    n, h, w, c = x.shape
    (kh, kw), o = kernel.shape[:2], kernel.shape[3]
    geometry = strided(size, (kh, kw), 1, padding)
    height, width = geometry.small
    rows = _seen(_interpolation(h, size[0], align_corners), kh, geometry.low[0], height)
    columns = _seen(_interpolation(w, size[1], align_corners), kw, geometry.low[1], width)
    products = x.reshape(n * h * w, c) @ kernel.transpose(2, 1, 0, 3).reshape(c, kw * kh * o)
    across = _mix(columns.reshape(width, w * kw), products.reshape(n * h, w * kw, kh * o))
    turned = across.reshape(n, h, width, kh, o).transpose(0, 1, 3, 2, 4).reshape(n, h * kh, width * o)
    return _mix(rows.reshape(height, h * kh), turned).reshape(n, height, width, o)
