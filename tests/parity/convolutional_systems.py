"""The table of convolutional systems: what a recipe or the benchmark builds, beside the same in PyTorch."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

import jaxae as ja
from benchmarks.convolutions import a6, b2, e2
from benchmarks.eager_images import (
    ConditionalVariationalAutoencoder,
    ConvolutionalAutoencoder,
    ResizeAutoencoder,
)
from jaxae import recipes

from .convolutional import RectangularAutoencoder, negative_elbo, squared_error


class System(NamedTuple):
    """One row of the table of systems.

    Attributes:
        shape: of an image, (height, width, channels).
        model: () -> the Flax model.
        module: () -> the torch module.
        loss: of jaxae.
        torch_loss: (module, x, cond, draw) -> (n,).
        draws: columns of the normal draw that the loss makes from its key; where there are any, x has a label.
        rows: the model is a recipe's, which takes and returns images as rows.
    """

    shape: tuple[int, int, int]
    model: Callable[[], Any]
    module: Callable[[], nn.Module]
    loss: Callable[..., Any] = ja.losses.reconstruction
    torch_loss: Callable[..., Any] = squared_error
    draws: int = 0
    rows: bool = False


def of_recipe(system: System, name: str, **settings: Any) -> System:
    """Return the system with the model that the recipe builds for images of its shape."""
    found = recipes.find(name)
    return system._replace(model=lambda: found.model(found.Settings(**settings), system.shape), rows=True)


SYSTEMS = {
    "A6": System((64, 64, 3), lambda: a6(64), lambda: ConvolutionalAutoencoder(64)),
    "B2": System((64, 64, 3), lambda: b2(64), ResizeAutoencoder),
    "E2": System(
        (28, 28, 1), lambda: e2(28), ConditionalVariationalAutoencoder, ja.losses.elbo, negative_elbo, draws=20
    ),
}
OBLONG = of_recipe(
    SYSTEMS["A6"]._replace(shape=(48, 80, 3), module=lambda: RectangularAutoencoder(48, 80)), "conv-autoencoder"
)
"""A6 as a recipe, of images that are no squares."""
SHORT = of_recipe(SYSTEMS["B2"]._replace(module=lambda: ResizeAutoencoder(latent=37)), "resize-autoencoder", latent=37)
"""B2 as a recipe, with a code of 37."""
DIGITS = of_recipe(SYSTEMS["E2"], "class-vae")
"""E2 as a recipe."""
