"""Convolutional variational autoencoder of images; without --data, of scikit-learn's digits."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jaxae as ja
from jaxae.recipes.mnist_vae import (
    CONTROLS,
    OF_OWN_DATA,
    UNITS,
    checks,
    controls,
    decode,
    encode,
    evaluate,
    learner,
    sample,
    scaling,
    score,
    source,
)
from jaxae.recipes.mnist_vae import pictures as flat_pictures

if TYPE_CHECKING:
    from jaxae.report import Picture
    from jaxae.study import Source, Study
    from jaxae.types import Key

__all__ = [
    "CONTROLS",
    "OF_OWN_DATA",
    "STAND_IN",
    "UNITS",
    "Settings",
    "checks",
    "controls",
    "decode",
    "encode",
    "evaluate",
    "learner",
    "model",
    "pictures",
    "read",
    "sample",
    "scaling",
    "score",
    "source",
]

STAND_IN = {"epochs": 200}
"""Settings for the digits that stand in, which are 50 times fewer than MNIST's."""


@dataclass(frozen=True)
class Settings:
    """Each convolution of 4 × 4 pixels halves the image; (mean, logvar) of latent; mirrored to Bernoulli logits.

    Attributes:
        latent: dimension of the code.
        widths: channels of the encoder's convolutions; the decoder has them in reverse.
        residual: residual blocks after every convolution.
        beta: weight of the KL term; 1 is the bound itself.
        schedule: cosine lets the learning rate rise over a twentieth of the run and then fall; constant is plain Adam.
        learning_rate: of Adam at its highest.
        epochs: passes over the training images.
        batch_size: images per step.
        size: side of the square that image files are cut and resized to; none leaves them as they are.
    """

    latent: int = 20
    widths: tuple[int, ...] = (32, 64, 128)
    residual: int = 0
    beta: float = 1.0
    schedule: Literal["cosine", "constant"] = "cosine"
    learning_rate: float = 4e-3
    epochs: int = 20
    batch_size: int = 128
    size: int | None = None

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        from jaxae import checks

        checks.settings(self, from_0=("residual",))


def read(settings: Settings, path: Any, impute: Any, key: "Key") -> "Source":
    """Return the images of a file or a folder."""
    from jaxae.study import pixels

    return pixels.read_images(path, key, settings.size)


def model(settings: Settings, shape: tuple[int, ...]) -> Any:
    """Return the variational autoencoder of images of that shape."""
    import functools

    from flax import linen as nn

    from jaxae.networks import ConvDecoder, ConvEncoder, Stage, mirror

    h, w, channels = shape
    stages = tuple(Stage(width, 4) for width in settings.widths)
    start, back = mirror(stages, (h, w, channels))
    leaky = functools.partial(nn.leaky_relu, negative_slope=0.01)
    return ja.models.VAE(
        encoder=ConvEncoder(stages, activation=leaky, residual=settings.residual, image=(h, w, channels)),
        decoder=ConvDecoder(start, back, activation=leaky, residual=settings.residual, rows=True),
        latent=settings.latent,
    )


def pictures(study: "Study", folder: Path, *, key: "Key") -> list["Picture"]:
    """Draw test images and their reconstructions, new images, the units, maps of codes, and walks among them."""
    import sys

    from jaxae.study import pixels
    from jaxae.study.walks import walks

    codes = pixels.codes(sys.modules[__name__], study, study.test[:2000])
    return [
        *flat_pictures(study, folder, key=key),
        *walks(folder, study, codes, lambda z, rows: decode(study.bound, z), across=ja.latent.slerp),
    ]
