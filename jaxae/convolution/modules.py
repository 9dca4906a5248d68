"""Convolutions as Flax modules with the parameters of `flax.linen.Conv` and `flax.linen.ConvTranspose`."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxae import checks
from jaxae.convolution.forms import Form, best
from jaxae.convolution.functions import check_images, convolve, convolve_transposed
from jaxae.convolution.geometry import Padding, Size, pair
from jaxae.convolution.resizing import resize_convolve
from jaxae.types import Array

__all__ = ["Conv", "ConvTranspose", "ResizeConv"]

Initializer = Callable[..., Any]


def _parameters(module: Any, x: Array, more: int = 0) -> tuple[Array, Array | None]:
    """Return kernel and bias for images x and so many channels more."""
    check_images(x)
    checks.whole("features", module.features)
    shape, dtype = (*pair("kernel_size", module.kernel_size), x.shape[-1] + more, module.features), jnp.result_type(x)
    kernel = module.param("kernel", module.kernel_init, shape, dtype)
    bias = module.param("bias", module.bias_init, (module.features,), dtype) if module.use_bias else None
    return kernel, bias


def _shifted(y: Array, bias: Array | None) -> Array:
    return y if bias is None else y + bias[None, None, None]


class Conv(nn.Module):
    """Convolution of images.

    Attributes:
        features: channels of the result.
        kernel_size: one number, or (height, width).
        strides: one number, or (height, width).
        padding: "SAME", "VALID", a number of pixels on every side, or (before, after) for each axis.
        use_bias: add a learned number to every channel.
        kernel_init: how the kernel is drawn: Flax's default is LeCun's normal of variance 1/inputs.
        bias_init: how the bias is drawn.
        form: how it is computed, which changes nothing but speed.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> x, conv = jnp.ones((1, 28, 28, 1)), Conv(16, 3, strides=2, padding=1)
        >>> conv.apply(conv.init(jax.random.key(0), x), x).shape
        (1, 14, 14, 16)
    """

    features: int
    kernel_size: Size
    strides: Size = 1
    padding: Padding = "SAME"
    use_bias: bool = True
    kernel_init: Initializer = nn.linear.default_kernel_init
    bias_init: Initializer = nn.initializers.zeros_init()
    form: Form = best

    @nn.compact
    def __call__(self, x: Array, planes: Array | None = None) -> Array:
        """Return (n, height', width', features) from x (n, height, width, c).

        Args:
            x: (n, height, width, c).
            planes: (n, m): m further channels of which each is constant over the image, after those of x. They are
                never made: what a kernel sees of a constant plane is its own sum (at the padded border a part of it),
                so they are a bias for each example. Parameters and result are those of the convolution of
                c + m channels.

        Raises:
            ValueError: for other shapes, and where the kernel does not fit into the padded image.
        """
        if planes is not None and (planes.ndim != 2 or len(planes) != len(x)):
            raise ValueError(
                f"planes has shape {planes.shape}, but must be (n, m), a number for each example and plane: x has "
                f"shape {x.shape}"
            )
        m = 0 if planes is None else planes.shape[-1]
        kernel, bias = _parameters(self, x, m)
        c = x.shape[-1]
        y = convolve(x, kernel[:, :, :c], strides=self.strides, padding=self.padding, form=self.form)
        if planes is not None and m:
            y += self._of_planes(x, planes, kernel[:, :, c:])
        return _shifted(y, bias)

    def _of_planes(self, x: Array, planes: Array, kernel: Array) -> Array:
        """Return what the kernel (kh, kw, m, features) sees of planes (n, m): (n, h' or 1, w' or 1, features)."""
        m, features = kernel.shape[2:]
        if self.padding == "VALID" or self.padding == 0:
            return (planes @ kernel.sum((0, 1)))[:, None, None]
        flat = kernel.reshape(*kernel.shape[:2], 1, m * features)
        ones = jnp.ones((1, *x.shape[1:3], 1), kernel.dtype)
        seen = convolve(ones, flat, strides=self.strides, padding=self.padding, form=self.form)
        return jnp.einsum("nm,hwmf->nhwf", planes, seen.reshape(*seen.shape[1:3], m, features))


class ConvTranspose(nn.Module):
    """Transposed convolution of images: what a strided convolution is, from its result back to its input.

    Attributes:
        features: channels of the result.
        kernel_size: one number, or (height, width).
        strides: one number, or (height, width).
        padding: "SAME" (the size times the stride), "VALID", or pixels before and after x once stride − 1 zeros stand
            between its own: `mirrored` gives those that undo a strided convolution.
        use_bias: add a learned number to every channel.
        kernel_init: how the kernel is drawn: Flax's default is LeCun's normal of variance 1/inputs.
        bias_init: how the bias is drawn.
        form: how it is computed, which changes nothing but speed.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from jaxae.convolution import mirrored
        >>> x, up = jnp.ones((1, 14, 14, 8)), ConvTranspose(1, 3, strides=2, padding=(mirrored(3, 2, 1, 1),) * 2)
        >>> up.apply(up.init(jax.random.key(0), x), x).shape
        (1, 28, 28, 1)
    """

    features: int
    kernel_size: Size
    strides: Size = 1
    padding: Padding = "SAME"
    use_bias: bool = True
    kernel_init: Initializer = nn.linear.default_kernel_init
    bias_init: Initializer = nn.initializers.zeros_init()
    form: Form = best

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return (n, height', width', features) from x (n, height, width, c).

        Raises:
            ValueError: for other shapes, and where nothing would be left of the image.
        """
        kernel, bias = _parameters(self, x)
        y = convolve_transposed(x, kernel, strides=self.strides, padding=self.padding, form=self.form)
        return _shifted(y, bias)


class ResizeConv(nn.Module):
    """Bilinear enlargement by a whole factor, then a convolution with stride 1: no checkerboard.

    Attributes:
        features: channels of the result.
        kernel_size: one number, or (height, width).
        scale: one number, or (of the height, of the width).
        padding: of the convolution: "SAME", "VALID", a number, or (before, after) for each axis.
        align_corners: whether corner pixels stay in the corners, as in `resize`.
        use_bias: add a learned number to every channel.
        kernel_init: how the kernel is drawn: Flax's default is LeCun's normal of variance 1/inputs.
        bias_init: how the bias is drawn.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> x, up = jnp.ones((1, 4, 4, 8)), ResizeConv(2, 3)
        >>> up.apply(up.init(jax.random.key(0), x), x).shape
        (1, 8, 8, 2)

    References:
        Odena et al., Deconvolution and checkerboard artifacts, 2016.
    """

    features: int
    kernel_size: Size
    scale: Size = 2
    padding: Padding = "SAME"
    align_corners: bool = False
    use_bias: bool = True
    kernel_init: Initializer = nn.linear.default_kernel_init
    bias_init: Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return (n, scale·height', scale·width', features) from x (n, height, width, c).

        Raises:
            ValueError: for other shapes, and where the kernel does not fit into the padded image.
        """
        kernel, bias = _parameters(self, x)
        scale = pair("scale", self.scale)
        size = (scale[0] * x.shape[1], scale[1] * x.shape[2])
        y = resize_convolve(x, kernel, size=size, padding=self.padding, align_corners=self.align_corners)
        return _shifted(y, bias)
