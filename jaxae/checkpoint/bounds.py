"""What a model costs while it is only looked at: it is traced and never run, and a model in a file is no bomb."""

import math
from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn

from jaxae.convolution import Conv, ConvTranspose, ResizeConv
from jaxae.convolution.geometry import pair
from jaxae.types import Batch

__all__ = ["initial"]

CALLS = 8
"""Calls of modules for each array: a layer has one array or more, and layers lie in blocks, networks and a model."""
ARRAYS = 800
"""Of a model: it is traced layer by layer, some milliseconds each."""
PIXELS = 3 * 2**19
"""Of an image inside a model: tables of their places are made before anything runs, 24 bytes each."""
WEIGHTS = 5 * 10**6
"""Of a resize convolution, for both axes together: so are they, 8 bytes each."""
TAPS = 2**14
"""Of all kernels and strides of a model: a convolution is written out tap by tap."""


def initial(model: Any, example: Batch, arrays: int) -> Any:
    """Return shapes and dtypes of the variables that a model begins with.

    Args:
        model: with as many layers as there are arrays, at most.
        example: shapes of x (1, ...) and cond (1, ...), or None.
        arrays: so many its variables are said to be.

    Raises:
        ValueError: if the model is larger than its arrays, or costs too much to look at; and what it raises itself.
    """
    if arrays > ARRAYS:
        raise ValueError(f"it has {arrays} arrays, but at most {ARRAYS} are allowed")
    spent = {"calls": 0, "taps": 0}

    def bounded(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        spent["calls"] += 1
        if spent["calls"] > CALLS * (arrays + 8):
            raise ValueError(f"it describes more layers than its {arrays} arrays can be of")
        module = context.module
        if isinstance(module, Conv | ConvTranspose | ResizeConv) and context.method_name == "__call__":
            _check(module, args[0].shape, spent)
        return call(*args, **kwargs)

    key = jax.eval_shape(jax.random.key, 0)
    with nn.intercept_methods(bounded):
        return jax.eval_shape(model.init, key, *(leaf for leaf in example if leaf is not None))


def _check(module: Any, shape: tuple[int, ...], spent: dict[str, int]) -> None:
    """Refuse a convolution of images (n, h, w, c) whose tables would be large, and add its taps to those spent."""
    if len(shape) != 4:  # which it refuses itself
        return
    kernel = pair("kernel_size", module.kernel_size)
    steps = pair("scale", module.scale) if isinstance(module, ResizeConv) else pair("strides", module.strides)
    grows = (1, 1) if isinstance(module, Conv) else steps
    sides = [(side + 2 * taps) * factor for side, taps, factor in zip(shape[1:3], kernel, grows, strict=True)]
    if math.prod(sides) > PIXELS:
        raise ValueError(
            f"it describes images of about {sides[0]} × {sides[1]} pixels, but at most {PIXELS} are allowed"
        )
    if isinstance(module, ResizeConv):
        weights = sum(n * m * (taps + 1) for n, m, taps in zip(shape[1:3], sides, kernel, strict=True))
        if weights > WEIGHTS:
            raise ValueError(
                f"it describes a resize convolution of {weights} weights, but at most {WEIGHTS} are allowed"
            )
    spent["taps"] += math.prod(kernel) + math.prod(steps)
    if spent["taps"] > TAPS:
        raise ValueError(f"it describes convolutions of more than {TAPS} taps together")
