"""Convolutional autoencoder of images whose decoder enlarges them bilinearly between convolutions."""

from dataclasses import dataclass
from typing import Any, Literal

import jaxae as ja
from jaxae.recipes.conv_autoencoder import (
    CONTROLS,
    OF_OWN_DATA,
    UNITS,
    checks,
    controls,
    decode,
    encode,
    evaluate,
    learner,
    pictures,
    read,
    scaling,
    score,
    source,
)

__all__ = [
    "CONTROLS",
    "OF_OWN_DATA",
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
    "scaling",
    "score",
    "source",
]


@dataclass(frozen=True)
class Settings:
    """Convolutions of 3 × 3 pixels halve the image; the mean of every channel, and a dense layer, make the code.

    Back from a dense layer: bilinear enlargement by 2 and a convolution of 3 × 3 pixels, as often as the image was
    halved; ReLU between, a sigmoid at the end; squared error. The strides must divide the image.

    Attributes:
        latent: numbers in the code.
        widths: channels of the encoder's convolutions; the decoder has them in reverse.
        schedule: cosine lets the learning rate rise over a twentieth of the run and then fall; constant is plain Adam.
        learning_rate: of Adam at its highest; 1e-3 is customary with a constant one.
        epochs: passes over the training images.
        batch_size: images per step.
        size: side of the square that images are cut and resized to; none leaves files as they are.
    """

    latent: int = 128
    widths: tuple[int, ...] = (32, 64, 128, 256)
    schedule: Literal["cosine", "constant"] = "cosine"
    learning_rate: float = 1e-3
    epochs: int = 40
    batch_size: int = 32
    size: int | None = None

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        from jaxae import checks

        checks.settings(self)


def model(settings: Settings, shape: tuple[int, ...]) -> Any:
    """Return the autoencoder of images of that shape."""
    from flax import linen as nn

    from jaxae.networks import ConvDecoder, ConvEncoder, Stage, mirror

    h, w, channels = shape
    stages = tuple(Stage(width) for width in settings.widths)
    start, back = mirror(stages, (h, w, channels), resize=True)
    decoder = ConvDecoder(start, back, resize=True, align_corners=True, rows=True)
    return ja.models.AE(
        encoder=ConvEncoder(stages, average=True, width=settings.latent, image=(h, w, channels)),
        decoder=nn.Sequential((decoder, nn.sigmoid)),
    )
