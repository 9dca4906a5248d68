"""Convolutional variational autoencoder that draws images of a chosen class; digits, or labelled images of your own."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jaxae as ja

if TYPE_CHECKING:
    from jaxae.data import Scaling
    from jaxae.report import Check, Picture
    from jaxae.study import Source, Study
    from jaxae.types import Array, Key, Learner, Score

UNITS = {
    "loss": "nats per image",
    "nll": "nats per image",
    "kl": "nats per image",
    "elbo": "nats per image",
    "importance_weighted_bound": "nats per image",
    "psnr": "dB",
    "frechet_distance": "in features of a classifier of these images",
}
CONTROLS = {
    "elbo": "independent pixels of each class",
    **dict.fromkeys(("mean_squared_error", "psnr"), "PCA with as many components"),
    "recognised": "test images",
    **dict.fromkeys(
        ("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage", "classifier_score"),
        "training images as if generated",
    ),
}
OF_OWN_DATA = ()
STAND_IN = {"epochs": 200}
"""Settings for the digits that stand in, which are 50 times fewer."""
ASKED = 1000
"""Images that are drawn of the classes in turn, to be recognised."""


@dataclass(frozen=True)
class Settings:
    """The class is ten constant planes beside the image, and ten numbers beside the code; Bernoulli likelihood.

    28 × 28 pixels: convolutions of 6, 4 and 2 pixels with stride 2 and no padding to 2 × 2; back by transposed
    convolutions of 2, 4 and 6 pixels with strides 2, 3 and 3. Images of another size are halved and doubled by
    convolutions of 3 pixels instead.

    Attributes:
        latent: dimension of the code.
        widths: channels of the encoder's convolutions; the decoder has them in reverse.
        beta: weight of the KL term; 1 is the bound itself.
        schedule: cosine lets the learning rate rise over a twentieth of the run and then fall; constant is plain Adam.
        learning_rate: of Adam at its highest.
        epochs: passes over the training images.
        batch_size: images per step.
        size: side of the square that image files are cut and resized to; none leaves them as they are.
    """

    latent: int = 20
    widths: tuple[int, ...] = (16, 32, 64)
    beta: float = 1.0
    schedule: Literal["cosine", "constant"] = "cosine"
    learning_rate: float = 5e-3
    epochs: int = 20
    batch_size: int = 128
    size: int | None = None

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        from jaxae import checks

        checks.settings(self)


def source(settings: Settings, key: "Key") -> "Source":
    """Return the 1,797 digits that scikit-learn bundles, conditioned on what they show."""
    from jaxae.study import pixels

    return pixels.by_class(pixels.digits())


def read(settings: Settings, path: Any, impute: Any, key: "Key") -> "Source":
    """Return the images of a file or a folder, conditioned on their class."""
    from jaxae.study import pixels

    return pixels.read_classes(path, key, settings.size)


def scaling(settings: Settings, values: Any, columns: Any) -> "Scaling":
    """Return the division by the brightest value that the pixels can have: 1, 16 or 255."""
    from jaxae.study import pixels

    return pixels.full_scale(values, columns)


def model(settings: Settings, shape: tuple[int, ...]) -> Any:
    """Return the variational autoencoder of images of that shape."""
    import functools

    from flax import linen as nn

    from jaxae.networks import ConvDecoder, ConvEncoder, Stage, mirror

    h, w, channels = shape
    if (h, w) == (28, 28) and len(settings.widths) == 3:
        first, second, third = settings.widths
        stages: tuple[Stage, ...] = (Stage(first, 6, 2, 0), Stage(second, 4, 2, 0), Stage(third, 2, 2, 0))
        start: tuple[int, int, int] = (2, 2, third)
        back: tuple[Stage, ...] = (Stage(second, 2, 2, 0), Stage(first, 4, 3, 1), Stage(channels, 6, 3, 4))
    else:
        stages = tuple(Stage(width) for width in settings.widths)
        start, back = mirror(stages, (h, w, channels))
    leaky = functools.partial(nn.leaky_relu, negative_slope=0.01)
    return ja.models.VAE(
        encoder=ConvEncoder(stages, activation=leaky, image=(h, w, channels)),
        decoder=ConvDecoder(start, back, activation=leaky, rows=True),
        latent=settings.latent,
    )


def encode(model: Any, x: Any, cond: Any) -> "Array":
    """Return the means of the posteriors."""
    return model.encode(x, cond).mean


def decode(model: Any, z: Any, cond: Any) -> "Array":
    """Return the expected pixels."""
    import jax

    return jax.nn.sigmoid(model.decode(z, cond))


def sample(model: Any, key: "Key", n: int, cond: Any) -> "Array":
    """Return the expected pixels of codes drawn from the prior, of the classes asked for."""
    import jax

    return jax.nn.sigmoid(model.sample(key, n, cond))


def learner(model: Any, settings: Settings, steps: int, *, learning_rate: Any, beta: Any) -> "Learner":
    """Return Adam on the negative evidence lower bound given the class."""
    from jaxae.study import pixels

    return ja.descend(
        ja.objective(model, ja.losses.elbo, beta=beta), pixels.adam(settings.schedule, learning_rate, steps)
    )


def score(model: Any, settings: Settings) -> "Score":
    """Return the negative evidence lower bound itself, whatever beta trains."""
    return ja.score(model, ja.losses.elbo)


def judge(study: "Study") -> Any:
    """Return the features and the classes by which generated images are judged."""
    from jaxae.study import generated

    return generated.judge(study)


def evaluate(study: "Study", *, key: "Key") -> dict[str, float]:
    """Return the bounds on the likelihood of test images, their reconstructions, and how generated images are seen."""
    import sys

    import jax
    import numpy as np

    from jaxae.study import evidence, generated, pixels

    recipe = sys.modules[__name__]
    evidence_key, asked_key, more_key = jax.random.split(key, 3)
    codes = pixels.codes(recipe, study, study.test, study.cond["test"])
    reconstruction = pixels.reconstruction(recipe, study)
    asked, images = generated.of_every_class(recipe, study, asked_key, ASKED)
    more = generated.drawn(recipe, study, more_key, study.cond["test"][: generated.MOST])
    return {
        **evidence(study, "test", evidence_key, ja.distributions.bernoulli),
        "active_units": int(np.sum(ja.latent.active_units(codes))),
        "mean_squared_error": ja.metrics.mean_squared_error(study.test, reconstruction),
        "psnr": ja.metrics.psnr(study.test, reconstruction),
        "recognised": generated.recognised(study.judge, images, asked),
        **generated.distances(study.judge, study.test, more),
    }


def controls(study: "Study") -> dict[str, float]:
    """Return the likelihood of independent pixels of each class, what PCA reaches, and figures of real images."""
    from jaxae.study import generated, pixels

    pca = pixels.by_pca(study)
    return {
        "elbo": pixels.independent_likelihood(study),
        **{name: pca[name] for name in ("mean_squared_error", "psnr")},
        "recognised": study.judge.accuracy,
        **generated.distances(study.judge, study.test, study.train),
    }


def checks(study: "Study", metrics: dict[str, float], controls: dict[str, float], *, key: "Key") -> list["Check"]:
    """Return whether it beats independent pixels, its classes are recognised, it uses its code, and the gap."""
    import sys

    from jaxae.study import gap, generated, pixels

    codes = pixels.codes(sys.modules[__name__], study, study.test, study.cond["test"])
    return [
        *pixels.beside_controls(metrics, controls, CONTROLS, ("elbo", "mean_squared_error")),
        generated.check_recognised(metrics, controls),
        *generated.check_manifold(metrics, controls),
        ja.report.checks.active_units(ja.latent.active_units(codes)),
        gap(study, key, ja.distributions.bernoulli),
    ]


def pictures(study: "Study", folder: Path, *, key: "Key") -> list["Picture"]:
    """Draw test images and their reconstructions, images of every class, walks in the latent space, maps of codes."""
    import sys

    import jax
    import numpy as np

    from jaxae.study import generated, pixels
    from jaxae.study.walks import walks

    recipe = sys.modules[__name__]
    class_key, map_key = jax.random.split(key)
    few, cond = study.test[:2000], study.cond["test"][:2000]
    codes = pixels.codes(recipe, study, few, cond)
    carried = pixels.in_blocks(lambda x, cond: study.bound.encode(x, cond).kl_per_dimension(), few, cond).mean(0)
    return [
        *pixels.sheets(folder, study, np.asarray(decode(study.bound, codes[:16], cond[:16]))),
        *generated.class_sheets(recipe, folder, study, class_key),
        *walks(folder, study, codes, lambda z, rows: decode(study.bound, z, cond[rows]), across=ja.latent.slerp),
        ja.report.pictures.units(folder, carried, np.asarray(ja.latent.active_units(codes))),
        *pixels.code_pictures(folder, study, codes, map_key),
    ]
