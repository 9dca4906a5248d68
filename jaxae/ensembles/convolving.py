"""Autoencoders of convolutions, for rows that are images."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxae.ensembles.families import Reconstructing
from jaxae.ensembles.tables import Table
from jaxae.models import AE
from jaxae.networks import ConvDecoder, ConvEncoder, Stage, mirror
from jaxae.types import Array, Key, Variables

__all__ = ["Convolving"]


@dataclass(frozen=True)
class Convolving(Reconstructing):
    """Autoencoders whose layers are convolutions of 3 × 3 pixels that halve an image, and back.

    Attributes:
        image: (height, width, channels) of a row.
        channels: of the encoder's convolutions; the decoder has them in reverse.
        latent: dimension of the code.
        activation: after every convolution but the last.
    """

    image: tuple[int, int, int]
    channels: tuple[int, ...]
    latent: int
    activation: Callable[[Array], Array] = nn.relu

    def model(self, columns: int) -> AE:
        """Return the model of tables that are padded to so many columns."""
        stages = tuple(Stage(features) for features in self.channels)
        start, back = mirror(stages, self.image)
        own = math.prod(self.image)

        def cut(x: Array) -> Array:
            return x[:, :own]

        def pad(x: Array) -> Array:
            return jnp.pad(x, ((0, 0), (0, columns - own)))

        encoder = ConvEncoder(stages, self.activation, width=self.latent, image=self.image)
        decoder = ConvDecoder(start, back, self.activation, activate_start=True, rows=True)
        return AE(nn.Sequential([cut, encoder]), nn.Sequential([decoder, pad]))

    def begin(self, model: Any, key: Key, table: Table, share: Array) -> Variables:
        """Return the variables with which training on a table begins."""
        return model.init(key, table.x[:1])
