"""The convolutional systems in PyTorch and their losses per example, and how Flax's arrays lie in torch's parameters.

Flax keeps channels last: images (n, h, w, c), kernels (h, w, in, out), and a dense layer after a flattened image has
its rows in the order h, w, c. Torch keeps channels first in all three. A `Layout` says how one array becomes the other,
both ways, so that weights go there and gradients come back. The modules are the benchmark's.
"""

import collections
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.eager_images import (
    ConditionalVariationalAutoencoder,
    ConvolutionalAutoencoder,
    ResizeAutoencoder,
)

Order = Callable[[np.ndarray], np.ndarray]


class RectangularAutoencoder(ConvolutionalAutoencoder):
    """A6 of images of height × width, multiples of 16: only the two dense layers know the size."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__(16)
        self.sides = (height // 16, width // 16)
        places = self.sides[0] * self.sides[1]
        self.to_code, self.from_code = nn.Linear(256 * places, 128), nn.Linear(128, 256 * places)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.to_code(self.encoder(x).flatten(1))
        return code, self.decoder(self.from_code(code).unflatten(1, (256, *self.sides)))


class Layout(NamedTuple):
    """How Flax's array becomes torch's, and how torch's becomes Flax's. Neither changes a number or the dtype."""

    to_torch: Order
    to_flax: Order


def _flipped(kernel: np.ndarray) -> np.ndarray:
    return kernel[:, :, ::-1, ::-1]


SAME = Layout(lambda array: array, lambda array: array)
"""Biases, and scale, bias, mean and var of batch norm: one number per channel in both.

In training torch averages the unbiased variance, n/(n − 1) times the biased one that Flax averages, with n pixels of
the batch per channel; both normalise with the biased one.
"""

DENSE = Layout(np.transpose, np.transpose)
"""(in, out) and (out, in)."""

CONV = Layout(lambda kernel: kernel.transpose(3, 2, 0, 1), lambda weight: weight.transpose(2, 3, 1, 0))
"""(h, w, in, out) and (out, in, h, w); both slide the kernel as it is."""

TRANSPOSED = Layout(
    lambda kernel: _flipped(kernel.transpose(2, 3, 0, 1)), lambda weight: _flipped(weight).transpose(2, 3, 0, 1)
)
"""(h, w, in, out) and (in, out, h, w), flipped: `nn.ConvTranspose` of Flax slides its kernel over the dilated image,
while torch adds the kernel at the place of every pixel, which is the same with the kernel turned round.
"""

IMAGE = Layout(lambda x: np.moveaxis(x, -1, -3), lambda x: np.moveaxis(x, -3, -1))
"""(n, h, w, c) and (n, c, h, w)."""


def from_image(height: int, width: int, channels: int) -> Layout:
    """Return the layout of the kernel of a dense layer that takes a flattened image: (h·w·c, out) and (out, c·h·w)."""
    return Layout(
        lambda kernel: np.moveaxis(kernel.reshape(height, width, channels, -1), (3, 2), (0, 1)).reshape(
            kernel.shape[1], -1
        ),
        lambda weight: np.moveaxis(weight.reshape(-1, channels, height, width), (0, 1), (3, 2)).reshape(
            -1, weight.shape[0]
        ),
    )


def to_image(height: int, width: int, channels: int) -> Layout:
    """Return the layout of the kernel of a dense layer that makes an image: (in, h·w·c) and (c·h·w, in)."""
    there, back = from_image(height, width, channels)
    return Layout(lambda kernel: there(kernel.T).T, lambda weight: back(weight.T).T)


def bias_of_image(height: int, width: int, channels: int) -> Layout:
    """Return the layout of the bias of a dense layer that makes an image: (h·w·c,) and (c·h·w,)."""
    return Layout(
        lambda bias: bias.reshape(height, width, channels).transpose(2, 0, 1).reshape(-1),
        lambda bias: bias.reshape(channels, height, width).transpose(1, 2, 0).reshape(-1),
    )


def padding_of_dilated(kernel: int, padding: int, output_padding: int = 0) -> tuple[int, int]:
    """Return what to pad the dilated image with, before and after, for torch's padding of a transposed convolution.

    Negative where the output is cropped.
    """
    return kernel - 1 - padding, kernel - 1 - padding + output_padding


def layouts(module: nn.Module) -> dict[str, Layout]:
    """Return the layout of every parameter and running average of one of the modules, by its name in torch."""
    image = {
        ConvolutionalAutoencoder: lambda: (module.side, module.side, 256),
        RectangularAutoencoder: lambda: (*module.sides, 256),
        ResizeAutoencoder: lambda: (4, 4, 256),
        ConditionalVariationalAutoencoder: lambda: (2, 2, 64),
    }[type(module)]()
    found = {}
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d):
            found |= {f"{name}.weight": CONV, f"{name}.bias": SAME}
        elif isinstance(layer, nn.ConvTranspose2d):
            found |= {f"{name}.weight": TRANSPOSED, f"{name}.bias": SAME}
        elif isinstance(layer, nn.Linear):
            found |= {f"{name}.weight": DENSE, f"{name}.bias": SAME}
        elif isinstance(layer, nn.BatchNorm2d):
            found |= {f"{name}.{leaf}": SAME for leaf in ("weight", "bias", "running_mean", "running_var")}
    found |= {"from_code.weight": to_image(*image), "from_code.bias": bias_of_image(*image)}
    # B2's code is made of the mean over all places, which has no order of places.
    if isinstance(module, ConvolutionalAutoencoder):
        found["to_code.weight"] = from_image(*image)
    if isinstance(module, ConditionalVariationalAutoencoder):
        found["head.weight"] = from_image(*image)
    return found


def paths(module: nn.Module) -> dict[str, tuple[str, ...]]:
    """Return where every parameter and running average is among Flax's variables, by its name in torch.

    Layers of a kind come in the same order in both, only named differently.
    """
    # A decoder of pixels stands before a sigmoid, one of logits stands alone.
    decoder = ("decoder",) if isinstance(module, ConditionalVariationalAutoencoder) else ("decoder", "layers_0")
    dense = {"to_code": ("encoder", "Dense_0"), "from_code": (*decoder, "Dense_0"), "head": ("head",)}
    leaves = {"weight": "kernel", "bias": "bias"}
    of_norm = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
    found: dict[str, tuple[str, ...]] = {}
    count: collections.Counter[tuple[str, str]] = collections.Counter()
    for name, layer in module.named_modules():
        part = name.split(".")[0]
        norm = isinstance(layer, nn.BatchNorm2d)
        if isinstance(layer, nn.Linear):
            place = dense[part]
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
            kind = type(layer).__name__.removesuffix("2d")
            if isinstance(module, ResizeAutoencoder) and part == "decoder":
                kind = "ResizeConv"
            # jaxae's batch norm is a module around Flax's.
            within = ("BatchNorm_0",) if norm else ()
            place = (*(decoder if part == "decoder" else (part,)), f"{kind}_{count[part, kind]}", *within)
            count[part, kind] += 1
        else:
            continue
        for own, leaf in (of_norm if norm else leaves).items():
            found[f"{name}.{own}"] = ("batch_stats" if own.startswith("running") else "params", *place, leaf)
    return found


class Pair(NamedTuple):
    """A leaf of Flax's variables, the torch tensor that is the same, and how one lies in the other."""

    path: tuple[str, ...]
    tensor: Tensor
    layout: Layout


def pairs(module: nn.Module) -> dict[str, Pair]:
    """Return which leaf is which tensor, by its name in torch."""
    tensors, found, order = module.state_dict(keep_vars=True), paths(module), layouts(module)
    # A parameter that is copied nowhere would keep torch's own draw, and be missed by every comparison.
    assert {name for name, _ in module.named_parameters()} <= found.keys() == order.keys()
    return {name: Pair(path, tensors[name], order[name]) for name, path in found.items()}


def put(tensor: Tensor, layout: Layout, array: np.ndarray) -> None:
    """Copy Flax's array into torch's parameter or running average."""
    there = torch.tensor(np.ascontiguousarray(layout.to_torch(array)))
    # copy_ would broadcast, and round, in silence.
    assert there.shape == tensor.shape and there.dtype == tensor.dtype
    with torch.no_grad():
        tensor.copy_(there)


def take(tensor: Tensor, layout: Layout) -> np.ndarray:
    """Return torch's parameter, running average or gradient as Flax has it."""
    return np.ascontiguousarray(layout.to_flax(tensor.detach().numpy()))


# Losses: one number per example, images in torch's order; the mean over examples is taken by whoever descends them


def squared_error(model: nn.Module, x: Tensor, cond: Tensor | None, draw: Tensor | None) -> Tensor:
    """A6 and B2: summed over the image."""
    return (model(x)[1] - x).square().sum((1, 2, 3))


def negative_elbo(model: nn.Module, x: Tensor, cond: Tensor, draw: Tensor) -> Tensor:
    """E2: nats per image."""
    mean, logvar, logits = model(x, cond, draw)
    nll = functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((1, 2, 3))
    return nll - 0.5 * (1 + logvar - mean.square() - logvar.exp()).sum(1)
