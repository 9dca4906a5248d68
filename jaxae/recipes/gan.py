"""Generative adversarial network of a table, its samples judged against held-out rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jaxae as ja

if TYPE_CHECKING:
    from jaxae.data import Scaling
    from jaxae.report import Check, Picture
    from jaxae.result import Fit
    from jaxae.study import Source, Study
    from jaxae.types import Array, Key, Learner, Score

SAMPLES = 10_000
"""Generated rows that are judged: so many that only the held-out rows' own scatter is left."""
UNITS = {"sample_mean_error": "standard deviations", "validation": "energy score"}
CONTROLS = dict.fromkeys(
    (
        "ks",
        "correlation_distance",
        "two_sample_accuracy",
        "energy_distance",
        "sample_mean_error",
        "sample_covariance_error",
    ),
    "training rows as if samples",
)
OF_OWN_DATA = ("rows", "variables")


@dataclass(frozen=True)
class Settings:
    """Noise of latent → widths → n (LeakyReLU, batch norm, tanh) against n → reversed widths → 1 (LeakyReLU, dropout).

    Columns scaled to −1…1; Adam with β₁ = 0.5 and a cosine decay, so many discriminator steps to one of the generator.

    Attributes:
        latent: dimension of the generator's noise.
        widths: hidden layers of the generator; the discriminator has the larger ones in reverse.
        dropout: rate in the discriminator.
        discriminator_steps: to one step of the generator.
        learning_rate: of both players at the start.
        noise: standard deviation of the noise that the discriminator's inputs get at the start; it fades to 0.
        epochs: passes over the training rows.
        batch_size: rows per step.
        rows: of the generated data, where none are given.
        variables: of the generated data.
    """

    latent: int = 16
    widths: tuple[int, ...] = (64, 128, 256)
    dropout: float = 0.3
    discriminator_steps: int = 2
    learning_rate: float = 5e-4
    noise: float = 0.2
    epochs: int = 120
    batch_size: int = 128
    rows: int = 10_000
    variables: int = 10

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        from jaxae import checks

        checks.settings(self, below_1=("dropout",))


def source(settings: Settings, key: "Key") -> "Source":
    """Return rows of a process in which two hidden factors drive every variable."""
    from jaxae import study

    return study.process(settings, key)


def scaling(settings: Settings, values: Any, columns: Any) -> "Scaling":
    """Return the map of every column's training range to −1…1."""
    return ja.data.min_max(values, columns, low=-1.0, high=1.0)


def model(settings: Settings, shape: tuple[int, ...]) -> Any:
    """Return the two players for so many variables."""
    import functools

    from flax import linen as nn

    (variables,) = shape
    leaky = functools.partial(nn.leaky_relu, negative_slope=0.2)
    generator = ja.networks.MLP((*settings.widths, variables), activation=leaky, norm=True)
    widths = (*reversed(settings.widths), 1)
    return ja.models.GAN(
        generator=nn.Sequential((generator, nn.tanh)),
        discriminator=ja.networks.MLP(widths, activation=leaky, dropout=settings.dropout),
        latent=settings.latent,
    )


def sample(model: Any, key: "Key", n: int) -> "Array":
    """Return generated rows."""
    return model.generate(key, n)


def learner(model: Any, settings: Settings, steps: int, *, learning_rate: Any, noise: Any) -> "Learner":
    """Return the two players, each with its own Adam and its own fading noise on what the discriminator sees."""
    import functools

    import optax

    def player(loss: Any, name: str, steps: int) -> "Learner":
        adam = optax.adam(optax.cosine_decay_schedule(learning_rate, steps), b1=0.5)

        def noisy(scale: Any) -> "Learner":
            corrupt = functools.partial(ja.noise.gaussian, scale=scale)
            return ja.descend(ja.objective(model, loss, noise=corrupt), adam, wrt=(name,))

        return ja.schedule(noisy, scale=optax.linear_schedule(noise, 0.0, steps))

    times = settings.discriminator_steps
    return ja.chain(
        discriminator=ja.repeat(player(ja.adversarial.discriminator, "discriminator", steps * times), times),
        generator=player(ja.adversarial.generator, "generator", steps),
    )


def score(model: Any, settings: Settings) -> "Score":
    """Return the energy score, since the players' losses do not say how good the samples are."""
    return ja.score(model, ja.adversarial.energy_score)


def final(fit: "Fit") -> Any:
    """Return the variables after the last step, where both players' rates have fallen to 0.

    The energy score hardly sees correlations: the epoch that it likes best can have them wrong.
    """
    return fit.state.variables


def evaluate(study: "Study", *, key: "Key") -> dict[str, float]:
    """Return how far generated rows are from held-out rows, and what the discriminator makes of both."""
    import jax
    import numpy as np

    generated = np.asarray(sample(study.bound, key, SAMPLES))
    real, fake = (float(jax.nn.sigmoid(study.bound.discriminate(rows)).mean()) for rows in (study.test, generated))
    return {**_distances(study.test, generated), "discriminator_real": real, "discriminator_fake": fake}


def controls(study: "Study") -> dict[str, float]:
    """Return the same distances for training rows in the place of generated ones: what a perfect model would reach."""
    return _distances(study.test, study.train)


def _distances(real: Any, generated: Any) -> dict[str, float]:
    from jaxae.study import comparable

    real, generated = comparable(real, generated)
    moments = ja.metrics.moments(real, generated)
    two_sample = ja.metrics.classifier_two_sample(real, generated, seed=0)
    return {
        "ks": float(ja.metrics.ks(real, generated).max()),
        "correlation_distance": ja.metrics.correlation_distance(real, generated),
        "two_sample_accuracy": two_sample.accuracy,
        "energy_distance": ja.metrics.energy_distance(real, generated),
        "sample_mean_error": moments["mean"],
        "sample_covariance_error": moments["covariance"],
    }


def checks(study: "Study", metrics: dict[str, float], controls: dict[str, float], *, key: "Key") -> list["Check"]:
    """Return whether marginals, correlations and a classifier can tell generated rows from held-out ones."""
    limits = {
        "ks": (0.1, "the largest KS statistic of a column"),
        "correlation_distance": (0.1, "the largest difference of a correlation"),
        "two_sample_accuracy": (0.65, "the accuracy of a classifier that tells generated from held-out rows"),
    }
    return [
        ja.report.checks.within(metrics[name], limit, name=words, perfect=controls[name])
        for name, (limit, words) in limits.items()
    ]


def pictures(study: "Study", folder: Path, *, key: "Key") -> list["Picture"]:
    """Draw generated beside held-out rows: every column, and how the columns hang together."""
    import numpy as np

    real, generated = (
        study.scaling.invert(np.asarray(rows)) for rows in (study.test, sample(study.bound, key, len(study.test)))
    )
    varies = study.scaling.varying
    drawn = [ja.report.pictures.marginals(folder, real, generated, study.scaling.columns)]
    if varies.sum() > 1:
        drawn.append(
            ja.report.pictures.correlations(folder, real[:, varies], generated[:, varies], study.scaling.names)
        )
    return drawn
