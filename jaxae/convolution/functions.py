"""Convolutions as functions of arrays, differentiable in reverse mode as often as one likes."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxae.convolution.forms import Form, best
from jaxae.convolution.geometry import Geometry, Padding, Size, strided, transposed
from jaxae.types import Array

__all__ = ["convolve", "convolve_transposed"]


# The three functions of a form are each other's derivatives. Written so, a gradient of any order is made of the same
# three, and never of what XLA would derive from their insides (a scatter, from a gather).
@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _correlate(x: Array, w: Array, geometry: Geometry, form: Form) -> Array:
    return form.correlate(x, w, geometry)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _spread(y: Array, w: Array, geometry: Geometry, form: Form) -> Array:
    return form.spread(y, w, geometry)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _weigh(x: Array, y: Array, geometry: Geometry, form: Form) -> Array:
    return form.weigh(x, y, geometry)


def _kept(function: Any) -> Any:
    return lambda first, second, geometry, form: (function(first, second, geometry, form), (first, second))


_correlate.defvjp(
    _kept(_correlate),
    lambda geometry, form, kept, y: (_spread(y, kept[1], geometry, form), _weigh(kept[0], y, geometry, form)),
)
_spread.defvjp(
    _kept(_spread),
    lambda geometry, form, kept, x: (_correlate(x, kept[1], geometry, form), _weigh(x, kept[0], geometry, form)),
)
_weigh.defvjp(
    _kept(_weigh),
    lambda geometry, form, kept, w: (_spread(kept[1], w, geometry, form), _correlate(kept[0], w, geometry, form)),
)


def check_images(x: Any) -> None:
    """Refuse what are no images (n, height, width, channels) of floats.

    Raises:
        TypeError: for integers and anything else that is no float.
        ValueError: for another rank.
    """
    if x.ndim != 4:
        raise ValueError(
            f"x has shape {x.shape}, but must hold images (n, height, width, channels): give x[..., None] "
            "where there are no channels, x[None] for a single image"
        )
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"x holds {x.dtype}, but must hold floats: write x.astype(np.float32), and scale pixels to 0…1")


def operands(x: Array, kernel: Array) -> tuple[Array, Array]:
    """Return images and the kernel that they are convolved with in their common dtype.

    Raises:
        TypeError, ValueError: for other ranks or dtypes, and where their channels differ.
    """
    check_images(x)
    if kernel.ndim != 4:
        raise ValueError(f"kernel has shape {kernel.shape}, but must be (height, width, channels in, channels out)")
    if x.shape[-1] != kernel.shape[2]:
        raise ValueError(
            f"x has {x.shape[-1]} channels and kernel takes {kernel.shape[2]}: channels come last, "
            f"x.transpose(0, 2, 3, 1) where they are second; x has shape {x.shape}, kernel {kernel.shape}"
        )
    dtype = jnp.result_type(x, kernel)
    return jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)


def _size(array: Array, first: int) -> tuple[int, int]:
    return array.shape[first], array.shape[first + 1]


def convolve(x: Array, kernel: Array, *, strides: Size = 1, padding: Padding = "SAME", form: Form = best) -> Array:
    """Return the convolution of images, as `flax.linen.Conv` computes it.

    y[p, q] = Σᵢⱼ x[p·stride + i − before, q·stride + j − before] · kernel[i, j]

    Differentiable in reverse mode, any number of times, in every form: a gradient penalty may differentiate through
    the gradient. Forward mode (`jax.jvp`, `jax.jacfwd`) is refused by JAX, and so is a gradient of or in a
    `jax.shard_map` that is not given check_vma=False.

    Args:
        x: (n, height, width, c).
        kernel: (kh, kw, c, o).
        strides: one number, or (height, width).
        padding: "SAME", "VALID", a number of pixels on every side, or (before, after) for each axis.
        form: how it is computed; every form gives the same up to rounding.

    Returns:
        (n, ⌊(height + before + after − kh)/stride⌋ + 1, ⌊(width + …)/stride⌋ + 1, o).

    Raises:
        TypeError, ValueError: for other shapes, and where the kernel does not fit into the padded image.

    Examples:
        >>> import jax.numpy as jnp
        >>> convolve(jnp.ones((1, 28, 28, 1)), jnp.ones((6, 6, 1, 16)), strides=2, padding="VALID").shape
        (1, 12, 12, 16)
    """
    x, kernel = operands(x, kernel)
    return _correlate(x, kernel, strided(_size(x, 1), _size(kernel, 0), strides, padding), form)


def convolve_transposed(
    x: Array, kernel: Array, *, strides: Size = 1, padding: Padding = "SAME", form: Form = best
) -> Array:
    """Return the transposed convolution of images, as `flax.linen.ConvTranspose` computes it.

    The convolution with `kernel` of x with stride − 1 zeros put between its pixels; no form but `native` multiplies
    those zeros. Differentiable as `convolve` is.

    Args:
        x: (n, height, width, c).
        kernel: (kh, kw, c, o).
        strides: one number, or (height, width).
        padding: "SAME" (height·stride), "VALID", or pixels before and after x with its zeros in between: `mirrored`
            gives those that undo a strided convolution.
        form: how it is computed; every form gives the same up to rounding.

    Returns:
        (n, (height − 1)·stride + 2 + before + after − kh, …, o).

    Raises:
        TypeError, ValueError: for other shapes, and where nothing would be left.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jaxae.convolution import mirrored
        >>> pads = (mirrored(6, 3, 4),) * 2
        >>> convolve_transposed(jnp.ones((1, 11, 11, 16)), jnp.ones((6, 6, 16, 1)), strides=3, padding=pads).shape
        (1, 28, 28, 1)

    References:
        Dumoulin & Visin, A guide to convolution arithmetic for deep learning, 2016.
    """
    x, kernel = operands(x, kernel)
    geometry = transposed(_size(x, 1), _size(kernel, 0), strides, padding)
    # As the transpose of a convolution from the result to x, whose kernel is this one turned by half a turn.
    return _spread(x, kernel[::-1, ::-1].transpose(0, 1, 3, 2), geometry, form)
