"""Symmetric autoencoder of MNIST, 784→256→256→32 and mirrored; without --data, of scikit-learn's digits."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jaxae as ja

if TYPE_CHECKING:
    from jaxae.data import Scaling
    from jaxae.report import Check, Picture
    from jaxae.study import Source, Study
    from jaxae.types import Array, Key, Learner, Score

UNITS = {"loss": "squared units per image", "mean_squared_error": "squared units", "psnr": "dB"}
CONTROLS = dict.fromkeys(("mean_squared_error", "psnr", "probe_accuracy"), "PCA with as many components")
OF_OWN_DATA = ()
STAND_IN = {"epochs": 400}
"""Settings for the digits that stand in, which are 50 times fewer."""


@dataclass(frozen=True)
class Settings:
    """pixels → widths → latent and mirrored, ReLU between; squared error.

    Attributes:
        latent: dimension of the code.
        widths: hidden layers of the encoder; the decoder has them in reverse.
        schedule: cosine lets the learning rate rise over a twentieth of the run and then fall; constant is plain Adam.
        learning_rate: of Adam at its highest; 1e-3 is customary with a constant one.
        epochs: passes over the training images.
        batch_size: images per step.
    """

    latent: int = 32
    widths: tuple[int, ...] = (256, 256)
    schedule: Literal["cosine", "constant"] = "cosine"
    learning_rate: float = 2e-3
    epochs: int = 20
    batch_size: int = 128

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        from jaxae import checks

        checks.settings(self)


def source(settings: Settings, key: "Key") -> "Source":
    """Return the 1,797 digits that scikit-learn bundles, with their labels."""
    from jaxae.study import pixels

    return pixels.digits()


def read(settings: Settings, path: Any, impute: Any, key: "Key") -> "Source":
    """Return the images of a file, or of a folder in MNIST's format."""
    from jaxae.study import pixels

    return pixels.read_images(path, key)


def scaling(settings: Settings, values: Any, columns: Any) -> "Scaling":
    """Return the division by the brightest value that the pixels can have: 1, 16 or 255."""
    from jaxae.study import pixels

    return pixels.full_scale(values, columns)


def model(settings: Settings, shape: tuple[int, ...]) -> Any:
    """Return the autoencoder of so many pixels."""
    import math

    variables = math.prod(shape)
    return ja.models.AE(
        encoder=ja.networks.MLP((*settings.widths, settings.latent)),
        decoder=ja.networks.MLP((*reversed(settings.widths), variables)),
    )


def encode(model: Any, x: Any) -> "Array":
    """Return the codes."""
    return model.encode(x)


def decode(model: Any, z: Any) -> "Array":
    """Return the reconstructions."""
    return model.decode(z)


def learner(model: Any, settings: Settings, steps: int, *, learning_rate: Any) -> "Learner":
    """Return Adam on the squared error."""
    from jaxae.study import pixels

    loss = ja.objective(model, ja.losses.reconstruction)
    return ja.descend(loss, pixels.adam(settings.schedule, learning_rate, steps))


def score(model: Any, settings: Settings) -> "Score":
    """Return the squared error."""
    return ja.score(model, ja.losses.reconstruction)


def evaluate(study: "Study", *, key: "Key") -> dict[str, float]:
    """Return how near reconstructions are, how much smaller the code is, and what it says of labels."""
    import sys

    import jax

    from jaxae.study import pixels

    made = pixels.reconstruction(sys.modules[__name__], study)
    return {
        "mean_squared_error": ja.metrics.mean_squared_error(study.test, made),
        "psnr": ja.metrics.psnr(study.test, made),
        "compression_ratio": ja.metrics.compression_ratio(study.test.shape[1], study.settings.latent),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(study.variables["params"])),
        **pixels.probe(sys.modules[__name__], study),
    }


def controls(study: "Study") -> dict[str, float]:
    """Return the same of PCA with as many components."""
    from jaxae.study import pixels

    return pixels.by_pca(study)


def checks(study: "Study", metrics: dict[str, float], controls: dict[str, float], *, key: "Key") -> list["Check"]:
    """Return whether it beats PCA, and is no better on the images it has seen."""
    from jaxae.study import pixels

    seen, held_out = (
        float(score(study.model, study.settings)(study.variables, ja.Batch(rows[:2000])).mean())
        for rows in (study.train, study.validation)
    )
    return [
        *pixels.beside_controls(metrics, controls, CONTROLS, ("mean_squared_error", "probe_accuracy")),
        ja.report.checks.generalisation_gap(seen, held_out, name="squared error"),
    ]


def pictures(study: "Study", folder: Path, *, key: "Key") -> list["Picture"]:
    """Draw test images and their reconstructions, and maps of the codes."""
    import numpy as np

    from jaxae.study import pixels

    codes = np.asarray(encode(study.bound, study.test[:2000]))
    return [
        *pixels.sheets(folder, study, np.asarray(decode(study.bound, codes[:16]))),
        *pixels.code_pictures(folder, study, codes, key),
    ]
