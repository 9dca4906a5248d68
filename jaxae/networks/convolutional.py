"""Networks of convolutions, built from a list of stages; channels come last throughout."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn

from jaxae import checks
from jaxae.convolution import Conv, ConvTranspose, ResizeConv, mirrored
from jaxae.networks.layers import BatchNorm
from jaxae.types import Array

__all__ = ["ConvDecoder", "ConvEncoder", "Residual", "Stage", "mirror"]

Shape = tuple[int, int, int]
"""(height, width, channels)."""


class Stage(NamedTuple):
    """One convolution of an encoder, or one transposed or resize convolution of a decoder.

    Attributes:
        features: channels of its result.
        kernel: height and width of its kernel.
        stride: of an encoder's stage; the factor by which a decoder's stage enlarges.
        padding: pixels on every side, in an encoder; a decoder's transposed stage cuts off as many, and its resize
            stage pads as many.
        output_padding: (rows, columns) that a transposed stage has more: what a stride leaves over in an encoder.
    """

    features: int
    kernel: int = 3
    stride: int = 2
    padding: int = 1
    output_padding: tuple[int, int] = (0, 0)


def _sizes(stages: Sequence[Stage], shape: Shape) -> list[tuple[int, int]]:
    """Return (height, width) before each stage of an encoder and after the last.

    Raises:
        ValueError: if an image is too small, with the smallest that is not.
    """
    smallest = 1
    for stage in reversed(stages):
        smallest = max((smallest - 1) * stage.stride + stage.kernel - 2 * stage.padding, 1)
    if min(shape[:2]) < smallest:
        raise ValueError(
            f"images of {shape[0]} × {shape[1]} pixels are too small for {len(stages)} stages of "
            f"strides {', '.join(str(stage.stride) for stage in stages)}: give at least {smallest} × {smallest}, or "
            "fewer stages"
        )
    sizes = [(shape[0], shape[1])]
    for stage in stages:
        rows, columns = ((n + 2 * stage.padding - stage.kernel) // stage.stride + 1 for n in sizes[-1])
        sizes.append((rows, columns))
    return sizes


def mirror(stages: Sequence[Stage], shape: Shape, *, resize: bool = False) -> tuple[Shape, tuple[Stage, ...]]:
    """Return (start, stages) of the decoder that goes an encoder's way back, to images of exactly its size.

    Args:
        stages: of the encoder.
        shape: (height, width, channels) of its images. Transposed stages come back to every size that the encoder
            takes, by their output padding; resize stages to those that the product of the strides divides.
        resize: whether the decoder's stages will be resize convolutions.

    Raises:
        ValueError: for images that are too small, or (with `resize`) that the strides do not divide, with the nearest
            sizes that they do.

    Examples:
        >>> mirror((Stage(32), Stage(64)), (224, 224, 3))[0]
        (56, 56, 64)
        >>> [stage.output_padding for stage in mirror((Stage(32), Stage(64)), (28, 25, 1))[1]]
        [(1, 0), (1, 0)]
    """
    check_stages(stages)
    sizes = _sizes(stages, shape)
    if resize:
        _divided(stages, shape, sizes[-1])
    features = [shape[2], *(stage.features for stage in stages)]
    back = []
    for i in reversed(range(len(stages))):
        stage = stages[i]
        over = [(n + 2 * stage.padding - stage.kernel) % stage.stride for n in sizes[i]]
        back.append(stage._replace(features=features[i], output_padding=(over[0], over[1])))
    return (*sizes[-1], features[-1]), tuple(back)


def _divided(stages: Sequence[Stage], shape: Shape, last: tuple[int, int]) -> None:
    whole = math.prod(stage.stride for stage in stages)
    for name, size, small in zip(("height", "width"), shape[:2], last, strict=True):
        if small * whole != size:
            below = size // whole * whole
            nearest = f"{below} and {below + whole}" if below else str(whole)
            raise ValueError(
                f"images of {name} {size} do not come back from {len(stages)} stages of strides "
                f"{', '.join(str(stage.stride) for stage in stages)}, whose product {whole} must divide it: the "
                f"nearest sizes that work are {nearest}"
            )


def check_stages(stages: Any) -> None:
    """Refuse what is no list of possible stages.

    Raises:
        TypeError, ValueError: naming the value.
    """
    if not isinstance(stages, Sequence) or not all(isinstance(stage, Stage) for stage in stages) or not stages:
        raise TypeError(f"stages is {stages!r}, but must be a tuple with one Stage or more: (Stage(32), Stage(64))")
    for stage in stages:
        for name in ("features", "kernel", "stride"):
            checks.whole(name, getattr(stage, name))
        checks.whole("padding", stage.padding, low=0, high=stage.kernel - 1, why=", less than the kernel")


class Residual(nn.Module):
    """A block that adds to its input what two convolutions of stride 1 make of it: x + conv(act(conv(act(x)))).

    Attributes:
        activation: before each of the two.
        norm: batch norm before each activation.

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

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return (n, h, w, c) from x (n, h, w, c)."""
        h = x
        for _ in range(2):
            h = BatchNorm()(h) if self.norm else h
            h = Conv(x.shape[-1], 3, padding=1)(self.activation(h))
        return x + h


def _activated(network: Any, h: Array, norm: bool) -> Array:
    """Return what follows a stage: activation and batch norm in the order asked for, then the residual blocks."""
    h = BatchNorm()(h) if norm and network.norm_first else h
    h = network.activation(h)
    h = BatchNorm()(h) if norm and not network.norm_first else h
    for _ in range(network.residual):
        h = Residual(network.activation, norm=network.norm)(h)
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
        if self.image is not None:
            if x.ndim != 2 or x.shape[1] != math.prod(self.image):
                raise ValueError(
                    f"x has shape {x.shape}, but rows of images {self.image} are (n, {math.prod(self.image)})"
                )
            x = x.reshape(len(x), *self.image)
        if x.ndim != 4:
            raise ValueError(f"x has shape {x.shape}, but must hold images (n, height, width, channels)")
        _sizes(self.stages, (x.shape[1], x.shape[2], x.shape[3]))
        for i, stage in enumerate(self.stages):
            conv = Conv(
                stage.features, stage.kernel, strides=stage.stride, padding=stage.padding, kernel_init=self.kernel_init
            )
            x = conv(x) if i or cond is None else conv(x, cond)
            x = _activated(self, x, self.norm and not (self.norm_first and i == 0))
        x = x.mean((1, 2)) if self.average else x.reshape(len(x), -1)
        return x if self.width is None else nn.Dense(self.width)(x)


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
        if z.ndim != 2:
            raise ValueError(f"z has shape {z.shape}, but must be (n, latent)")
        if cond is not None:
            checks.same_shape("cond", cond.shape[:1], "z", z.shape[:1])
            z = jnp.concatenate([z, cond], -1)
        h = nn.Dense(math.prod(self.start))(z).reshape(len(z), *self.start)
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
