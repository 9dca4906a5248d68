"""Convolutional autoencoder of images: strided convolutions to a short code, transposed ones back."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jaxae as ja
from jaxae.recipes.mnist_autoencoder import OF_OWN_DATA, decode, encode, learner, scaling, score

if TYPE_CHECKING:
    from jaxae.report import Check, Picture
    from jaxae.study import Source, Study
    from jaxae.types import Key

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

UNITS = {
    "loss": "squared error per image",
    "psnr": "dB",
    "mean_error": "of the range of a pixel",
    "max_error": "of the range of a pixel",
}
CONTROLS = dict.fromkeys(("mean_squared_error", "psnr", "ssim", "probe_accuracy"), "PCA with as many components")
CROP = 32
"""Side of the crops of the recipe's own photographs, where no size is asked for."""


@dataclass(frozen=True)
class Settings:
    """Convolutions of 3 × 3 pixels halve the image; a dense layer makes the code; mirrored, with a sigmoid at the end.

    ReLU and then batch norm after every convolution but the last; squared error. Own data: crops of two photographs.

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
    learning_rate: float = 2e-3
    epochs: int = 40
    batch_size: int = 32
    size: int | None = None

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        from jaxae import checks

        checks.settings(self)


def source(settings: Settings, key: "Key") -> "Source":
    """Return crops of two photographs, those to test on from parts of them that no other crop touches."""
    from jaxae.study import Source

    made = ja.data.photos(key, size=settings.size or CROP)
    return Source(made.values, made.columns, parts=made.parts, shape=made.shape)


def read(settings: Settings, path: Any, impute: Any, key: "Key") -> "Source":
    """Return the images of a file or a folder."""
    from jaxae.study import pixels

    return pixels.read_images(path, key, settings.size)


def model(settings: Settings, shape: tuple[int, ...]) -> Any:
    """Return the autoencoder of images of that shape."""
    from flax import linen as nn

    from jaxae.networks import ConvDecoder, ConvEncoder, Stage, mirror

    h, w, channels = shape
    stages = tuple(Stage(width) for width in settings.widths)
    start, back = mirror(stages, (h, w, channels))
    return ja.models.AE(
        encoder=ConvEncoder(stages, norm=True, width=settings.latent, image=(h, w, channels)),
        decoder=nn.Sequential((ConvDecoder(start, back, norm=True, rows=True), nn.sigmoid)),
    )


def evaluate(study: "Study", *, key: "Key") -> dict[str, float]:
    """Return how near reconstructions of test images are, and how much smaller the code is."""
    import sys

    import jax

    from jaxae.study import pixels

    recipe = sys.modules[__name__]
    made = pixels.reconstruction(recipe, study)
    errors = ja.metrics.pixel_errors(study.test, made)
    return {
        "mean_squared_error": ja.metrics.mean_squared_error(study.test, made),
        "psnr": ja.metrics.psnr(study.test, made),
        **pixels.similarity(study, made),
        "mean_error": errors.mean,
        "max_error": errors.max,
        "compression_ratio": ja.metrics.compression_ratio(study.shape, study.settings.latent),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(study.variables["params"])),
        **pixels.probe(recipe, study),
    }


def controls(study: "Study") -> dict[str, float]:
    """Return the same of PCA with as many components."""
    from jaxae.study import pixels

    return pixels.by_pca(study, similar=True)


def checks(study: "Study", metrics: dict[str, float], controls: dict[str, float], *, key: "Key") -> list["Check"]:
    """Return whether it beats PCA, and is no better on the images it has seen."""
    import jax

    from jaxae.study import pixels

    errors = jax.jit(score(study.model, study.settings))
    seen, held_out = (
        float(pixels.in_blocks(lambda x: errors(study.variables, ja.Batch(x)), rows[:2000]).mean())
        for rows in (study.train, study.validation)
    )
    return [
        *pixels.beside_controls(metrics, controls, CONTROLS, ("mean_squared_error", "probe_accuracy")),
        ja.report.checks.generalisation_gap(seen, held_out, name="squared error"),
    ]


def pictures(study: "Study", folder: Path, *, key: "Key") -> list["Picture"]:
    """Draw test images, their reconstructions and the differences, walks in the latent space, and maps of codes."""
    import sys

    import numpy as np

    from jaxae.study import pixels
    from jaxae.study.walks import walks

    codes = pixels.codes(sys.modules[__name__], study, study.test[:2000])
    return [
        *pixels.sheets(folder, study, np.asarray(decode(study.bound, codes[:16]))),
        *walks(folder, study, codes, lambda z, rows: decode(study.bound, z), across=ja.latent.interpolate),
        *pixels.code_pictures(folder, study, codes, key),
    ]
