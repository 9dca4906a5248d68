"""Variational autoencoder of MNIST, 784→512→20 and back; without --data, of scikit-learn's digits."""

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
}
CONTROLS = {
    "elbo": "independent pixels",
    **dict.fromkeys(("mean_squared_error", "psnr", "probe_accuracy"), "PCA with as many components"),
}
OF_OWN_DATA = ()
STAND_IN = {"epochs": 400}
"""Settings for the digits that stand in, which are 50 times fewer."""


@dataclass(frozen=True)
class Settings:
    """pixels → widths → (mean, logvar) of latent → widths → Bernoulli logits; summed over pixels, averaged over images.

    Attributes:
        latent: dimension of the code.
        widths: hidden layers of the encoder; the decoder has them in reverse.
        beta: weight of the KL term; 1 is the bound itself.
        schedule: cosine lets the learning rate rise over a twentieth of the run and then fall; constant is plain Adam.
        learning_rate: of Adam at its highest; 1e-3 is customary with a constant one.
        epochs: passes over the training images.
        batch_size: images per step.
    """

    latent: int = 20
    widths: tuple[int, ...] = (512,)
    beta: float = 1.0
    schedule: Literal["cosine", "constant"] = "cosine"
    learning_rate: float = 5e-3
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
    """Return the variational autoencoder of so many pixels."""
    import math

    variables = math.prod(shape)
    return ja.models.VAE(
        encoder=ja.networks.MLP(settings.widths, activate_final=True),
        decoder=ja.networks.MLP((*reversed(settings.widths), variables)),
        latent=settings.latent,
    )


def encode(model: Any, x: Any) -> "Array":
    """Return the means of the posteriors."""
    return model.encode(x).mean


def decode(model: Any, z: Any) -> "Array":
    """Return the expected pixels."""
    import jax

    return jax.nn.sigmoid(model.decode(z))


def sample(model: Any, key: "Key", n: int) -> "Array":
    """Return the expected pixels of codes drawn from the prior."""
    import jax

    return jax.nn.sigmoid(model.sample(key, n))


def learner(model: Any, settings: Settings, steps: int, *, learning_rate: Any, beta: Any) -> "Learner":
    """Return Adam on the negative evidence lower bound."""
    from jaxae.study import pixels

    return ja.descend(
        ja.objective(model, ja.losses.elbo, beta=beta), pixels.adam(settings.schedule, learning_rate, steps)
    )


def score(model: Any, settings: Settings) -> "Score":
    """Return the negative evidence lower bound itself, whatever beta trains."""
    return ja.score(model, ja.losses.elbo)


def evaluate(study: "Study", *, key: "Key") -> dict[str, float]:
    """Return the bounds on the likelihood of test images, their reconstructions, and what codes say of labels."""
    import sys

    import numpy as np

    from jaxae.study import evidence, pixels

    codes = pixels.codes(sys.modules[__name__], study, study.test)
    reconstruction = np.asarray(decode(study.bound, codes))
    return {
        **evidence(study, "test", key, ja.distributions.bernoulli),
        "active_units": int(ja.latent.active_units(codes).sum()),
        "mean_squared_error": ja.metrics.mean_squared_error(study.test, reconstruction),
        "psnr": ja.metrics.psnr(study.test, reconstruction),
        **pixels.probe(sys.modules[__name__], study),
    }


def controls(study: "Study") -> dict[str, float]:
    """Return the likelihood of independent pixels, and what PCA with as many components reaches."""
    from jaxae.study import pixels

    return {"elbo": pixels.independent_likelihood(study), **pixels.by_pca(study)}


def checks(study: "Study", metrics: dict[str, float], controls: dict[str, float], *, key: "Key") -> list["Check"]:
    """Return whether it beats independent pixels and PCA, uses its code, and the gap to seen images."""
    import numpy as np

    from jaxae.study import gap, pixels

    return [
        *pixels.beside_controls(metrics, controls, CONTROLS, ("elbo", "mean_squared_error", "probe_accuracy")),
        ja.report.checks.active_units(ja.latent.active_units(np.asarray(encode(study.bound, study.test)))),
        gap(study, key, ja.distributions.bernoulli),
    ]


def pictures(study: "Study", folder: Path, *, key: "Key") -> list["Picture"]:
    """Draw test images and their reconstructions, new images, the units, and maps of the codes."""
    import jax
    import numpy as np

    from jaxae.study import pixels

    sample_key, map_key = jax.random.split(key)
    few = study.test[:2000]
    codes = np.asarray(encode(study.bound, few))
    new = np.asarray(sample(study.bound, sample_key, 64))
    carried = np.asarray(study.bound.encode(few).kl_per_dimension()).mean(0)
    return [
        *pixels.sheets(folder, study, np.asarray(decode(study.bound, codes[:16])), new),
        ja.report.pictures.units(folder, carried, np.asarray(ja.latent.active_units(codes))),
        *pixels.code_pictures(folder, study, codes, map_key),
    ]
