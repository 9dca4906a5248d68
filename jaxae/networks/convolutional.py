"""Networks of convolutions, built from a list of stages; channels come last throughout."""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxae import checks
from jaxae.convolution import Conv, ConvTranspose, ResizeConv, mirrored
from jaxae.convolution.functions import check_images
from jaxae.networks.layers import BatchNorm, check_condition
from jaxae.networks.stages import Shape, Stage, check_shape, check_stages, sizes_of
from jaxae.types import Array

__all__ = ["ConvDecoder", "ConvEncoder", "Residual"]


class Residual(nn.Module):
    """A block that adds to its input what two convolutions of stride 1 make of it: x + conv(act(conv(act(x)))).

    Attributes:
        activation: before each of the two.
        norm: batch norm before each activation.
        kernel_init: how the kernels are drawn: Flax's default is LeCun's normal of variance 1/inputs.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> x, block = jnp.ones((1, 8, 8, 4)), Residual()
        >>> block.apply(block.init(jax.random.key(0), x), x).shape
        (1, 8, 8, 4)

    References:
        He et al., Identity mappings in deep residual networks, 2016.
    """

    activation: Callable[[Array], Array] = nn.relu
    norm: bool = False
    kernel_init: nn.initializers.Initializer = nn.linear.default_kernel_init

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return (n, h, w, c) from x (n, h, w, c).

        Raises:
            TypeError, ValueError: if activation is no function, or x is no images.
        """
        checks.function("activation", self.activation, "flax.linen.relu")
        check_images(x)
        h = x
        for _ in range(2):
            h = BatchNorm()(h) if self.norm else h
            h = Conv(x.shape[-1], 3, padding=1, kernel_init=self.kernel_init)(self.activation(h))
        return x + h


def _activated(network: Any, h: Array, norm: bool) -> Array:
    """Return what follows a stage: activation and batch norm in the order asked for, then the residual blocks."""
    h = BatchNorm()(h) if norm and network.norm_first else h
    h = network.activation(h)
    h = BatchNorm()(h) if norm and not network.norm_first else h
    checks.whole("residual", network.residual, low=0)
    for _ in range(network.residual):
        h = Residual(network.activation, norm=network.norm, kernel_init=network.kernel_init)(h)
    return h


class ConvEncoder(nn.Module):
    """Convolutions, each with its activation, then one row for each image.

    Attributes:
        stages: one for each convolution.
        activation: after every convolution.
        norm: batch norm after every activation.
        norm_first: batch norm before the activation instead, and none in the first stage, as DCGAN has it.
        residual: residual blocks after every stage.
        average: the mean of each channel over all pixels, rather than all pixels of all channels, leaves the last
            stage.
        width: of a last, linear layer; None has none.
        image: (height, width, channels), for rows (n, d) that hold such images; None takes images as they are.
        kernel_init: how the kernels are drawn: Flax's default is LeCun's normal of variance 1/inputs.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> x, encoder = jnp.ones((2, 28, 28, 1)), ConvEncoder((Stage(16), Stage(32)), width=8)
        >>> encoder.apply(encoder.init(jax.random.key(0), x), x).shape
        (2, 8)
    """

    stages: tuple[Stage, ...]
    activation: Callable[[Array], Array] = nn.relu
    norm: bool = False
    norm_first: bool = False
    residual: int = 0
    average: bool = False
    width: int | None = None
    image: Shape | None = None
    kernel_init: nn.initializers.Initializer = nn.linear.default_kernel_init

    @nn.compact
    def __call__(self, x: Array, cond: Array | None = None) -> Array:
        """Return (n, width) from images x (n, height, width, channels).

        Args:
            x: the images, or rows (n, d) of them where `image` says their shape.
            cond: (n, conditions): each is one more channel, constant over the image.

        Raises:
            TypeError, ValueError: for impossible stages, other shapes and images that are too small.
        """
        check_stages(self.stages)
        checks.function("activation", self.activation, "flax.linen.relu")
        check_condition(cond, "x", x)
        if self.width is not None:
            checks.whole("width", self.width)
        if self.image is not None:
            check_shape("image", self.image)
            if x.ndim != 2 or x.shape[1] != math.prod(self.image):
                raise ValueError(
                    f"x has shape {x.shape}, but rows of images {self.image} are (n, {math.prod(self.image)})"
                )
            x = x.reshape(len(x), *self.image)
        if x.ndim != 4:
            raise ValueError(
                f"x has shape {x.shape}, but must hold images (n, height, width, channels): x[..., None] where there "
                "are no channels, image=(height, width, channels) for rows (n, d)"
            )
        sizes_of(self.stages, (x.shape[1], x.shape[2], x.shape[3]))
        for i, stage in enumerate(self.stages):
            conv = Conv(
                stage.features, stage.kernel, strides=stage.stride, padding=stage.padding, kernel_init=self.kernel_init
            )
            x = conv(x) if i or cond is None else conv(x, cond)
            x = _activated(self, x, self.norm and not (self.norm_first and i == 0))
        x = x.mean((1, 2)) if self.average else x.reshape(len(x), -1)
        return x if self.width is None else nn.Dense(self.width, kernel_init=self.kernel_init)(x)


class ConvDecoder(nn.Module):
    """A dense layer to a small image, then convolutions that enlarge it; the last is linear.

    Attributes:
        start: (height, width, channels) of the small image; `mirror` gives it and the stages.
        stages: one for each transposed (or resize) convolution; the last one's features are the image's channels.
        activation: after every stage but the last.
        norm: batch norm after every activation.
        norm_first: batch norm before the activation instead.
        activate_start: the same after the dense layer; without it that layer is linear.
        residual: residual blocks after every stage but the last.
        resize: enlarge by bilinear interpolation before a convolution of stride 1, rather than by a transposed
            convolution.
        align_corners: of the interpolation.
        rows: return rows (n, d) rather than images.
        kernel_init: how the kernels are drawn: Flax's default is LeCun's normal of variance 1/inputs.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from jaxae.networks import mirror
        >>> z, decoder = jnp.ones((2, 8)), ConvDecoder(*mirror((Stage(16), Stage(32)), (28, 28, 1)))
        >>> decoder.apply(decoder.init(jax.random.key(0), z), z).shape
        (2, 28, 28, 1)
    """

    start: Shape
    stages: tuple[Stage, ...]
    activation: Callable[[Array], Array] = nn.relu
    norm: bool = False
    norm_first: bool = False
    activate_start: bool = False
    residual: int = 0
    resize: bool = False
    align_corners: bool = False
    rows: bool = False
    kernel_init: nn.initializers.Initializer = nn.linear.default_kernel_init

    @nn.compact
    def __call__(self, z: Array, cond: Array | None = None) -> Array:
        """Return images (n, height, width, channels), or rows of them, from z (n, latent) and cond (n, conditions).

        Raises:
            TypeError, ValueError: for impossible stages and other shapes.
        """
        check_stages(self.stages)
        checks.function("activation", self.activation, "flax.linen.relu")
        check_shape("start", self.start)
        if z.ndim != 2 or z.shape[1] == 0:
            raise ValueError(f"z has shape {z.shape}, but must be (n, latent): z.reshape(len(z), -1)")
        check_condition(cond, "z", z)
        if cond is not None:
            z = jnp.concatenate([z, cond], -1)
        h = nn.Dense(math.prod(self.start), kernel_init=self.kernel_init)(z).reshape(len(z), *self.start)
        if self.activate_start:
            h = _activated(self, h, self.norm)
        for i, stage in enumerate(self.stages):
            h = self._stage(stage)(h)
            if i < len(self.stages) - 1:
                h = _activated(self, h, self.norm)
        return h.reshape(len(h), -1) if self.rows else h

    def _stage(self, stage: Stage) -> nn.Module:
        if self.resize:
            return ResizeConv(
                stage.features,
                stage.kernel,
                scale=stage.stride,
                padding=stage.padding,
                align_corners=self.align_corners,
                kernel_init=self.kernel_init,
            )
        pads = tuple(mirrored(stage.kernel, stage.stride, stage.padding, more) for more in stage.output_padding)
        return ConvTranspose(
            stage.features, stage.kernel, strides=stage.stride, padding=pads, kernel_init=self.kernel_init
        )
