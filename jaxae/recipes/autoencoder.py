"""Autoencoder of a table, beside PCA with as many components."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jaxae as ja

if TYPE_CHECKING:
    from jaxae.data import Scaling
    from jaxae.report import Check, Picture
    from jaxae.study import Source, Study
    from jaxae.types import Array, Key, Learner, Score

UNITS = {"loss": "squared standardised units", "mean_squared_error": "squared standardised units"}
CONTROLS = dict.fromkeys(("mean_squared_error", "explained_variance"), "PCA with as many components")
OF_OWN_DATA = ("rows", "variables")


@dataclass(frozen=True)
class Settings:
    """n → widths → latent and mirrored, ReLU between; standardised columns; AdamW with a cosine decay.

    Attributes:
        latent: dimension of the code.
        widths: hidden layers of the encoder; the decoder has them in reverse.
        learning_rate: of AdamW at the start.
        weight_decay: of AdamW; 0 is Adam.
        epochs: passes over the training rows.
        batch_size: rows per step.
        rows: of the generated data, where none are given.
        variables: of the generated data.
    """

    latent: int = 2
    widths: tuple[int, ...] = (64, 32)
    learning_rate: float = 5e-3
    weight_decay: float = 0.1
    epochs: int = 300
    batch_size: int = 100
    rows: int = 1000
    variables: int = 10

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        from jaxae import checks

        checks.settings(self)


def source(settings: Settings, key: "Key") -> "Source":
    """Return rows of a process in which two hidden factors drive every variable."""
    from jaxae import study

    return study.process(settings, key)


def scaling(settings: Settings, values: Any, columns: Any) -> "Scaling":
    """Return the standardisation by the training rows."""
    return ja.data.standard(values, columns)


def model(settings: Settings, shape: tuple[int, ...]) -> Any:
    """Return the autoencoder of so many variables."""
    (variables,) = shape
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


def learner(model: Any, settings: Settings, steps: int, *, learning_rate: Any, weight_decay: Any) -> "Learner":
    """Return AdamW on the squared error."""
    import optax

    rate = optax.cosine_decay_schedule(learning_rate, steps)
    return ja.descend(ja.objective(model, ja.losses.reconstruction), optax.adamw(rate, weight_decay=weight_decay))


def score(model: Any, settings: Settings) -> "Score":
    """Return the squared error."""
    return ja.score(model, ja.losses.reconstruction)


def evaluate(study: "Study", *, key: "Key") -> dict[str, float]:
    """Return the error on held-out rows."""
    import numpy as np

    reconstruction = np.asarray(decode(study.bound, encode(study.bound, study.test)))
    return {
        "mean_squared_error": ja.metrics.mean_squared_error(study.test, reconstruction),
        "explained_variance": ja.metrics.explained_variance(study.test, reconstruction),
    }


def controls(study: "Study") -> dict[str, float]:
    """Return the same for PCA with as many components, fitted on the same training rows."""
    from sklearn.decomposition import PCA

    pca = PCA(min(study.settings.latent, *study.train.shape), svd_solver="full").fit(study.train)
    reconstruction = pca.inverse_transform(pca.transform(study.test))
    return {
        "mean_squared_error": ja.metrics.mean_squared_error(study.test, reconstruction),
        "explained_variance": ja.metrics.explained_variance(study.test, reconstruction),
    }


def checks(study: "Study", metrics: dict[str, float], controls: dict[str, float], *, key: "Key") -> list["Check"]:
    """Return whether it is as good as PCA, and no better on the rows it has seen."""
    import numpy as np

    def error(rows: Any) -> float:
        return ja.metrics.mean_squared_error(rows, np.asarray(decode(study.bound, encode(study.bound, rows))))

    name = "mean_squared_error"
    return [
        ja.report.checks.against_control(
            metrics[name],
            controls[name],
            name="mean squared error",
            control_name="PCA with as many components",
            lower_is_better=True,
            slack=0.05,
        ),
        ja.report.checks.generalisation_gap(error(study.train), error(study.validation), name="mean squared error"),
    ]


def pictures(study: "Study", folder: Path, *, key: "Key") -> list["Picture"]:
    """Draw the held-out rows' codes, and every column beside its reconstruction."""
    import numpy as np

    codes = encode(study.bound, study.test)
    original, reconstruction = (
        study.scaling.invert(np.asarray(rows)) for rows in (study.test, decode(study.bound, codes))
    )
    drawn = [ja.report.pictures.reconstructions(folder, original, reconstruction, study.scaling.columns)]
    if study.settings.latent > 1:
        drawn.insert(
            0,
            ja.report.pictures.scatter(
                folder, np.asarray(codes)[:, :2], colour=original[:, 0], colour_name=study.scaling.columns[0]
            ),
        )
    return drawn
