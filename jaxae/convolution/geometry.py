"""The sizes of a convolution: strides, padding, and what goes in and comes out."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

from jax import lax

from jaxae import checks

__all__ = ["Geometry", "Padding", "Size", "mirrored", "pair", "strided", "transposed"]

Size = int | tuple[int, int]
"""One number for both axes, or (height, width)."""
Padding = str | int | Sequence[int | tuple[int, int]]
"""As Flax has it: "SAME", "VALID", rows and columns on every side, or (before, after) for each axis."""


class Geometry(NamedTuple):
    """How the pixels of a small image y see those of a large one x.

    y[p, q] = Σᵢⱼ x[p·strides[0] + i − low[0], q·strides[1] + j − low[1]] · kernel[i, j], where x is 0 outside itself.

    Attributes:
        kernel: (height, width) of the kernel.
        strides: steps in x from one pixel of y to the next.
        low: rows and columns of zeros before x; negative ones are cut off.
        large: (height, width) of x.
        small: (height, width) of y.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    low: tuple[int, int]
    large: tuple[int, int]
    small: tuple[int, int]

    @property
    def high(self) -> tuple[int, int]:
        """Rows and columns of zeros after x that the last pixels of y see; negative ones are not seen."""
        both = zip(self.small, self.strides, self.kernel, self.large, self.low, strict=True)
        rows, columns = ((n - 1) * step + k - size - before for n, step, k, size, before in both)
        return rows, columns


def pair(name: str, value: Any) -> tuple[int, int]:
    """Return (height, width) of one number or two.

    Raises:
        TypeError, ValueError: unless they are whole numbers ≥ 1.
    """
    both = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(both) != 2:
        raise ValueError(f"{name} is {value!r}, but must be one number or two, (height, width)")
    for number in both:
        checks.whole(name, number)
    return int(both[0]), int(both[1])


def _sides(padding: Padding) -> list[tuple[int, int]]:
    """Return (before, after) for each axis of what is neither "SAME" nor "VALID"."""
    both = _twice(padding)
    sides = [_twice(one) for one in both]
    numbers = [number for side in sides for number in side]
    whole = all(isinstance(number, Integral) and not isinstance(number, bool) for number in numbers)
    if not whole or [len(both), *map(len, sides)] != [2, 2, 2]:
        raise ValueError(
            f"padding is {padding!r}, but must be 'SAME', 'VALID', a whole number, or (before, after) for each of the "
            "two axes: ((1, 1), (1, 1))"
        )
    return [(int(before), int(after)) for before, after in sides]


def _twice(one: Any) -> Any:
    return one if isinstance(one, Sequence) else (one, one)


def strided(size: tuple[int, int], kernel: Size, strides: Size, padding: Padding) -> Geometry:
    """Return the geometry of a convolution of images of a size.

    Raises:
        TypeError, ValueError: for impossible sizes, and where the kernel does not fit into the padded image.

    Examples:
        >>> strided((224, 224), 3, 2, 1).small
        (112, 112)
    """
    kernel, strides = pair("kernel_size", kernel), pair("strides", strides)
    named = isinstance(padding, str) and padding in ("SAME", "VALID")
    sides = lax.padtype_to_pads(size, kernel, strides, str(padding)) if named else _sides(padding)
    small = []
    for axis, name in enumerate(("height", "width")):
        room = size[axis] + sum(sides[axis]) - kernel[axis]
        if room < 0:
            raise ValueError(
                f"an image of {name} {size[axis]} with {sum(sides[axis])} pixels of padding is smaller than the "
                f"kernel, {kernel[axis]}: give larger images, fewer layers or more padding"
            )
        small.append(room // strides[axis] + 1)
    return Geometry(kernel, strides, (sides[0][0], sides[1][0]), size, (small[0], small[1]))


def transposed(size: tuple[int, int], kernel: Size, strides: Size, padding: Padding) -> Geometry:
    """Return the geometry of a transposed convolution of images of a size; `large` is the size of what it returns.

    Raises:
        TypeError, ValueError: for impossible sizes, and where nothing would be left of the image.

    Examples:
        >>> transposed((14, 14), 3, 2, (mirrored(3, 2, 1, 1),) * 2).large
        (28, 28)
    """
    kernel, strides = pair("kernel_size", kernel), pair("strides", strides)
    low, large = [], []
    for axis, name in enumerate(("height", "width")):
        k, step = kernel[axis], strides[axis]
        if isinstance(padding, str) and padding in ("SAME", "VALID"):
            # As lax.conv_transpose has it: the output is size·step, or that and what is left of the kernel.
            total = k + step - 2 + (max(k - step, 0) if padding == "VALID" else 0)
            before = k - 1 if padding == "VALID" or step > k - 1 else -(-total // 2)
            after = total - before
        else:
            before, after = _sides(padding)[axis]
        out = (size[axis] - 1) * step + 1 + before + after - k + 1
        if out < 1:
            raise ValueError(
                f"a transposed convolution of {name} {size[axis]} with kernel {k}, stride {step} and padding "
                f"{before, after} leaves {out} pixels: give more padding"
            )
        low.append(k - 1 - before)
        large.append(out)
    return Geometry(kernel, strides, (low[0], low[1]), (large[0], large[1]), size)


def mirrored(kernel: int, stride: int, padding: int, output_padding: int = 0) -> tuple[int, int]:
    """Return (before, after), the padding of the transposed convolution that undoes the size of a strided one.

    A convolution makes ⌊(n + 2·padding − kernel)/stride⌋ + 1 pixels of n, and the remainder of that division is the
    `output_padding` that brings n back. PyTorch's `ConvTranspose2d` takes the same two numbers as they stand.

    Raises:
        TypeError, ValueError: unless kernel and stride are whole numbers ≥ 1, padding one ≥ 0, and output_padding one
            from 0 to stride − 1.

    Examples:
        >>> mirrored(3, 2, 1, output_padding=1)
        (1, 2)
    """
    checks.whole("kernel", kernel)
    checks.whole("stride", stride)
    checks.whole("padding", padding, low=0)
    checks.whole("output_padding", output_padding, low=0, high=stride - 1, why=", less than the stride")
    return kernel - 1 - padding, kernel - 1 - padding + output_padding
