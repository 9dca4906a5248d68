"""The stages of encoders and decoders: what sizes they make, and the way back."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxae import checks

__all__ = ["Shape", "Stage", "check_shape", "check_stages", "mirror", "sizes_of"]

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


def sizes_of(stages: Sequence[Stage], shape: Shape) -> list[tuple[int, int]]:
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
        TypeError, ValueError: for impossible stages and shapes; for images that are too small, or (with `resize`) that
            the strides do not divide, with the nearest sizes that they do; with `resize`, for kernels that are not
            2·padding + 1, which change the size.

    Examples:
        >>> mirror((Stage(32), Stage(64)), (224, 224, 3))[0]
        (56, 56, 64)
        >>> [stage.output_padding for stage in mirror((Stage(32), Stage(64)), (28, 25, 1))[1]]
        [(1, 0), (1, 0)]
    """
    check_stages(stages)
    check_shape("shape", shape)
    sizes = sizes_of(stages, shape)
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
    for stage in stages:
        if stage.kernel != 2 * stage.padding + 1:
            raise ValueError(
                f"a resize stage of kernel {stage.kernel} and padding {stage.padding} changes the size of what it "
                "enlarges: its kernel must be 2·padding + 1, as in Stage(32, kernel=3, padding=1)"
            )
    whole = math.prod(stage.stride for stage in stages)
    for name, size, small in zip(("height", "width"), shape[:2], last, strict=True):
        if small * whole != size:
            below = size // whole * whole
            nearest = f"sizes that work are {below} and {below + whole}" if below else f"size that works is {whole}"
            raise ValueError(
                f"images of {name} {size} do not come back from {len(stages)} stages of strides "
                f"{', '.join(str(stage.stride) for stage in stages)}, whose product {whole} must divide it: the "
                f"nearest {nearest}"
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
        over = stage.output_padding
        if not isinstance(over, Sequence) or len(over) != 2:
            raise TypeError(f"output_padding is {over!r}, but must be two numbers, (rows, columns)")
        for more in over:
            checks.whole("output_padding", more, low=0, high=stage.stride - 1, why=", less than the stride")


def check_shape(name: str, shape: Any) -> None:
    """Refuse what is no (height, width, channels).

    Raises:
        TypeError, ValueError: naming the value.
    """
    if not isinstance(shape, Sequence) or len(shape) != 3:
        raise TypeError(f"{name} is {shape!r}, but must be (height, width, channels)")
    for number in shape:
        checks.whole(f"a number in {name}", number)
