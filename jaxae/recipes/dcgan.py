"""Generative adversarial network of images, by convolutions; judged in the features of a classifier of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jaxae as ja
from jaxae.recipes.conv_vae import read, source
from jaxae.recipes.gan import final, learner, score

if TYPE_CHECKING:
    from jaxae.data import Scaling
    from jaxae.report import Check, Picture
    from jaxae.study import Study
    from jaxae.types import Array, Key

__all__ = [
    "CONTROLS",
    "OF_OWN_DATA",
    "STAND_IN",
    "UNITS",
    "Settings",
    "checks",
    "controls",
    "evaluate",
    "final",
    "judge",
    "learner",
    "model",
    "pictures",
    "read",
    "sample",
    "scaling",
    "score",
    "source",
]

UNITS = {
    "frechet_distance": "in features of a classifier of these images, or in principal components without labels",
    "validation": "energy score",
}
CONTROLS = dict.fromkeys(
    ("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage", "classifier_score"),
    "training images as if generated",
)
OF_OWN_DATA = ()
STAND_IN = {"epochs": 200}
"""Settings for the digits that stand in, which are 50 times fewer than MNIST's."""


@dataclass(frozen=True)
class Settings:
    """Noise → a small image → transposed convolutions of 4 × 4 pixels that double it (batch norm, ReLU) → tanh.

    Against it, convolutions of 4 × 4 pixels that halve the image (batch norm but in the first, LeakyReLU 0.2) → one
    logit. As many as it takes to come from 8 pixels or fewer, or an odd number: 28 from 7, 32 from 4. Pixels scaled to
    −1…1; Adam with β₁ = 0.5 and a cosine decay.

    Attributes:
        latent: dimension of the generator's noise.
        width: channels beside the image; they double with every halving.
        discriminator_steps: to one step of the generator.
        learning_rate: of both players at the start.
        noise: standard deviation of the noise that the discriminator's inputs get at the start; it fades to 0.
        epochs: passes over the training images.
        batch_size: images per step.
        size: side of the square that image files are cut and resized to; none leaves them as they are.
    """

    latent: int = 64
    width: int = 32
    discriminator_steps: int = 1
    learning_rate: float = 5e-4
    noise: float = 0.1
    epochs: int = 20
    batch_size: int = 128
    size: int | None = None

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        from jaxae import checks

        checks.settings(self)


def scaling(settings: Settings, values: Any, columns: Any) -> "Scaling":
    """Return the map of 0 and the brightest value that the pixels can have, 1, 16 or 255, to −1 and 1."""
    from jaxae.study import pixels

    return pixels.centred(values, columns)


def model(settings: Settings, shape: tuple[int, ...]) -> Any:
    """Return the two players for images of that shape."""
    from jaxae.study import players

    generator, discriminator = players.networks(settings.width, shape, logit=True)
    return ja.models.GAN(generator, discriminator, latent=settings.latent)


def sample(model: Any, key: "Key", n: int) -> "Array":
    """Return generated images."""
    return model.generate(key, n)


def judge(study: "Study") -> Any:
    """Return the features by which generated images are judged."""
    from jaxae.study import generated

    return generated.judge(study)


def evaluate(study: "Study", *, key: "Key") -> dict[str, float]:
    """Return how far generated images are from test images, and what the discriminator makes of both."""
    import sys

    from jaxae.study import generated, players

    made = generated.drawn(sys.modules[__name__], study, key, min(len(study.test), generated.MOST))
    return {**generated.distances(study.judge, study.test, made), **players.scores(study, made)}


def controls(study: "Study") -> dict[str, float]:
    """Return the same distances for training images as if generated: what a perfect model would reach."""
    from jaxae.study import generated

    return generated.distances(study.judge, study.test, study.train)


def checks(study: "Study", metrics: dict[str, float], controls: dict[str, float], *, key: "Key") -> list["Check"]:
    """Return whether generated images lie among the real ones, and the real ones among them."""
    from jaxae.study import generated

    return generated.check_manifold(metrics, controls)


def pictures(study: "Study", folder: Path, *, key: "Key") -> list["Picture"]:
    """Draw generated images, beside real ones, and walks from one noise to another."""
    import sys

    import jax

    from jaxae.study import generated, players

    recipe = sys.modules[__name__]
    sample_key, walk_key = jax.random.split(key)
    return [
        *players.sheets(folder, study, generated.drawn(recipe, study, sample_key, 64)),
        *players.walks(folder, study, walk_key),
    ]
