"""Generative adversarial network that draws images of a chosen class; the discriminator sees it by projection."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jaxae as ja
from jaxae.recipes import dcgan
from jaxae.recipes.class_vae import read, source
from jaxae.recipes.dcgan import OF_OWN_DATA, STAND_IN, UNITS, final, judge, learner, scaling, score

if TYPE_CHECKING:
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

CONTROLS = {**dcgan.CONTROLS, "recognised": "test images"}
ASKED = 1000
"""Images that are drawn of the classes in turn, to be recognised."""


@dataclass(frozen=True)
class Settings:
    """The networks of `dcgan`, with the class beside the generator's noise and before the discriminator.

    Attributes:
        latent: dimension of the generator's noise.
        width: channels beside the image; they double with every halving.
        condition: how the discriminator sees the class: projection multiplies its embedding with the features of the
            image, concatenation gives it as constant planes beside the image.
        discriminator_steps: to one step of the generator.
        learning_rate: of both players at the start.
        noise: standard deviation of the noise that the discriminator's inputs get at the start; it fades to 0.
        epochs: passes over the training images.
        batch_size: images per step.
        size: side of the square that image files are cut and resized to; none leaves them as they are.
    """

    latent: int = 64
    width: int = 32
    condition: Literal["projection", "concatenation"] = "projection"
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


def model(settings: Settings, shape: tuple[int, ...]) -> Any:
    """Return the two players for images of that shape."""
    from jaxae.study import players

    projected = settings.condition == "projection"
    generator, discriminator = players.networks(settings.width, shape, logit=not projected)
    return ja.models.GAN(
        generator, ja.networks.Projection(discriminator) if projected else discriminator, latent=settings.latent
    )


def sample(model: Any, key: "Key", n: int, cond: Any) -> "Array":
    """Return generated images of the classes asked for."""
    return model.generate(key, n, cond)


def evaluate(study: "Study", *, key: "Key") -> dict[str, float]:
    """Return how far generated images are from test images, and in how many a classifier sees the class asked for."""
    import sys

    import jax

    from jaxae.study import generated, players

    recipe = sys.modules[__name__]
    made_key, asked_key = jax.random.split(key)
    made = generated.drawn(recipe, study, made_key, study.cond["test"][: generated.MOST])
    asked, images = generated.of_every_class(recipe, study, asked_key, ASKED)
    return {
        "recognised": generated.recognised(study.judge, images, asked),
        **generated.distances(study.judge, study.test, made),
        **players.scores(study, made),
    }


def controls(study: "Study") -> dict[str, float]:
    """Return the same figures of real images: what a perfect model would reach."""
    return {**dcgan.controls(study), "recognised": study.judge.accuracy}


def checks(study: "Study", metrics: dict[str, float], controls: dict[str, float], *, key: "Key") -> list["Check"]:
    """Return whether classes are recognised, and generated and real images lie among each other."""
    from jaxae.study import generated

    return [generated.check_recognised(metrics, controls), *dcgan.checks(study, metrics, controls, key=key)]


def pictures(study: "Study", folder: Path, *, key: "Key") -> list["Picture"]:
    """Draw generated images of every class, and walks from one noise to another."""
    import sys

    import jax

    from jaxae.study import generated, players

    class_key, walk_key = jax.random.split(key)
    return [
        *generated.class_sheets(sys.modules[__name__], folder, study, class_key, shown=players.shown),
        *players.walks(folder, study, walk_key),
    ]
