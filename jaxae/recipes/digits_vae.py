"""Variational autoencoder of handwritten digits, 8 × 8 pixels from scikit-learn or any images in a file."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    "mean_squared_error": "PCA with as many components",
    "psnr": "PCA with as many components",
}
OF_OWN_DATA = ()


@dataclass(frozen=True)
class Settings:
    """pixels → widths → (mean, logvar) of latent, and back to Bernoulli logits; Adam with a cosine decay.

    Attributes:
        latent: dimension of the code.
        widths: hidden layers of the encoder; the decoder has them in reverse.
        beta: weight of the KL term; 1 is the bound itself.
        learning_rate: of Adam at the start.
        epochs: passes over the training images.
        batch_size: images per step.
    """

    latent: int = 8
    widths: tuple[int, ...] = (256, 128)
    beta: float = 1.0
    learning_rate: float = 2e-3
    epochs: int = 100
    batch_size: int = 64

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
    import optax

    loss = ja.objective(model, ja.losses.elbo, beta=beta)
    return ja.descend(loss, optax.adam(optax.cosine_decay_schedule(learning_rate, steps)))


def score(model: Any, settings: Settings) -> "Score":
    """Return the negative evidence lower bound itself, whatever beta trains."""
    return ja.score(model, ja.losses.elbo)


def evaluate(study: "Study", *, key: "Key") -> dict[str, float]:
    """Return the bounds on the likelihood of held-out images, and how near their reconstructions are."""
    import numpy as np

    from jaxae.study import evidence

    reconstruction = np.asarray(decode(study.bound, encode(study.bound, study.test)))
    return {
        **evidence(study, "test", key, ja.distributions.bernoulli),
        "active_units": int(ja.latent.active_units(encode(study.bound, study.test)).sum()),
        "mean_squared_error": ja.metrics.mean_squared_error(study.test, reconstruction),
        "psnr": ja.metrics.psnr(study.test, reconstruction),
    }


def controls(study: "Study") -> dict[str, float]:
    """Return the error of PCA with as many components, and the likelihood of independent pixels."""
    from jaxae.study import pixels

    pca = pixels.by_pca(study)
    return {
        "elbo": pixels.independent_likelihood(study),
        **{name: pca[name] for name in ("mean_squared_error", "psnr")},
    }


def checks(study: "Study", metrics: dict[str, float], controls: dict[str, float], *, key: "Key") -> list["Check"]:
    """Return whether it beats independent pixels and keeps up with PCA, uses its code, and the gap to seen rows."""
    from jaxae.study import gap

    return [
        ja.report.checks.against_control(
            metrics["elbo"],
            controls["elbo"],
            name="evidence lower bound",
            control_name="independent pixels",
            lower_is_better=False,
        ),
        ja.report.checks.against_control(
            metrics["mean_squared_error"],
            controls["mean_squared_error"],
            name="mean squared error",
            control_name="PCA with as many components",
            lower_is_better=True,
            slack=0.05,
        ),
        ja.report.checks.active_units(ja.latent.active_units(encode(study.bound, study.test))),
        gap(study, key, ja.distributions.bernoulli),
    ]


def pictures(study: "Study", folder: Path, *, key: "Key") -> list["Picture"]:
    """Draw held-out images and their reconstructions, new images, and the codes."""
    import numpy as np

    from jaxae.study import pixels

    codes = np.asarray(encode(study.bound, study.test))
    new = np.asarray(sample(study.bound, key, 64))
    drawn = pixels.sheets(folder, study, np.asarray(decode(study.bound, codes[:16])), new)
    carried = np.asarray(study.bound.encode(study.test).kl_per_dimension()).mean(0)
    drawn.append(ja.report.pictures.units(folder, carried, np.asarray(ja.latent.active_units(codes))))
    if study.settings.latent > 1:
        first, second = np.argsort(-carried, kind="stable")[:2]
        drawn.append(
            ja.report.pictures.scatter(
                folder,
                codes[:, [first, second]],
                colour=study.labels,
                colour_name="digit",
                axes=(f"latent unit {first}", f"latent unit {second}"),
            )
        )
    return drawn
