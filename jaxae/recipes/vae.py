"""Variational autoencoder of a table, its evidence lower bound beside the exact likelihood of factor analysis."""

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
    "loss": "nats per row",
    "nll": "nats per row",
    "kl": "nats per row",
    "elbo": "nats per row",
    "importance_weighted_bound": "nats per row",
    "exact_log_likelihood": "nats per row",
    "sample_mean_error": "standard deviations",
}
CONTROLS = {
    "exact_log_likelihood": "factor analysis",
    **dict.fromkeys(("sample_mean_error", "sample_covariance_error", "sample_ks"), "training rows as if samples"),
}
OF_OWN_DATA = ("rows", "variables")


@dataclass(frozen=True)
class Settings:
    """n → widths → (mean, logvar) of latent, and back to a normal likelihood whose scales are learned, one per column.

    Standardised columns; Adam with a cosine decay. Two equal widths give the variant with equal hidden layers.

    Attributes:
        latent: dimension of the code.
        widths: hidden layers of the encoder; the decoder has them in reverse.
        beta: weight of the KL term; 1 is the bound itself.
        free_bits: nats per latent dimension that cost nothing.
        learning_rate: of Adam at the start.
        epochs: passes over the training rows.
        batch_size: rows per step.
        rows: of the generated data, where none are given.
        variables: of the generated data.
    """

    latent: int = 4
    widths: tuple[int, ...] = (128, 64)
    beta: float = 1.0
    free_bits: float = 0.0
    learning_rate: float = 2e-3
    epochs: int = 200
    batch_size: int = 128
    rows: int = 10_000
    variables: int = 15

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
    """Return the variational autoencoder of so many variables."""
    (variables,) = shape
    return ja.models.VAE(
        encoder=ja.networks.MLP(settings.widths, activate_final=True),
        decoder=ja.networks.SharedScale(ja.networks.MLP((*reversed(settings.widths), variables))),
        latent=settings.latent,
    )


def encode(model: Any, x: Any) -> "Array":
    """Return the means of the posteriors."""
    return model.encode(x).mean


def decode(model: Any, z: Any) -> "Array":
    """Return the means of the likelihoods."""
    return model.decode(z).mean


def sample(model: Any, key: "Key", n: int) -> "Array":
    """Return rows drawn from the likelihoods of codes drawn from the prior."""
    import jax

    code_key, noise_key = jax.random.split(key)
    return model.sample(code_key, n).sample(noise_key)


def learner(model: Any, settings: Settings, steps: int, *, learning_rate: Any, beta: Any, free_bits: Any) -> "Learner":
    """Return Adam on the negative evidence lower bound."""
    import optax

    loss = ja.objective(model, ja.losses.elbo, nll=ja.distributions.normal, beta=beta, free_bits=free_bits)
    return ja.descend(loss, optax.adam(optax.cosine_decay_schedule(learning_rate, steps)))


def score(model: Any, settings: Settings) -> "Score":
    """Return the negative evidence lower bound itself, whatever beta trains."""
    return ja.score(model, ja.losses.elbo, nll=ja.distributions.normal)


def evaluate(study: "Study", *, key: "Key") -> dict[str, float]:
    """Return the bounds on the likelihood of held-out rows, and the prior's samples beside those rows."""
    import jax
    import numpy as np

    from jaxae.study import comparable, evidence

    bound_key, sample_key = jax.random.split(key)
    real, samples = comparable(study.test, np.asarray(sample(study.bound, sample_key, len(study.test))))
    moments = ja.metrics.moments(real, samples)
    return {
        **evidence(study, "test", bound_key, ja.distributions.normal),
        "active_units": int(ja.latent.active_units(encode(study.bound, study.test)).sum()),
        "mean_squared_error": ja.metrics.mean_squared_error(
            study.test, np.asarray(decode(study.bound, encode(study.bound, study.test)))
        ),
        "sample_mean_error": moments["mean"],
        "sample_covariance_error": moments["covariance"],
        "sample_ks": float(ja.metrics.ks(real, samples).max()),
    }


def controls(study: "Study") -> dict[str, float]:
    """Return the exact log-likelihood of the held-out rows by factor analysis, and training rows as if samples."""
    from sklearn.decomposition import FactorAnalysis

    from jaxae.study import comparable

    factors = min(study.settings.latent, study.train.shape[1])
    exact = FactorAnalysis(factors, svd_method="lapack").fit(study.train)
    real, rows = comparable(study.test, study.train[: len(study.test)])
    moments = ja.metrics.moments(real, rows)
    return {
        "exact_log_likelihood": float(exact.score(study.test)),
        "sample_mean_error": moments["mean"],
        "sample_covariance_error": moments["covariance"],
        "sample_ks": float(ja.metrics.ks(real, rows).max()),
    }


def checks(study: "Study", metrics: dict[str, float], controls: dict[str, float], *, key: "Key") -> list["Check"]:
    """Return whether the bound is near the exact likelihood of a linear model, and the code in use."""
    from jaxae.study import gap

    return [
        ja.report.checks.against_control(
            metrics["elbo"],
            controls["exact_log_likelihood"],
            name="evidence lower bound",
            control_name="factor analysis",
            lower_is_better=False,
            slack=0.02,
        ),
        ja.report.checks.active_units(ja.latent.active_units(encode(study.bound, study.test))),
        gap(study, key, ja.distributions.normal),
    ]


def pictures(study: "Study", folder: Path, *, key: "Key") -> list["Picture"]:
    """Draw what each latent unit carries, the codes, and the prior's samples beside held-out rows."""
    import numpy as np

    posterior = study.bound.encode(study.test)
    codes, carried = np.asarray(posterior.mean), np.asarray(posterior.kl_per_dimension()).mean(0)
    original, samples = (
        study.scaling.invert(np.asarray(rows)) for rows in (study.test, sample(study.bound, key, len(study.test)))
    )
    columns, varies = study.scaling.columns, study.scaling.varying
    drawn = [ja.report.pictures.units(folder, carried, np.asarray(ja.latent.active_units(codes)))]
    if study.settings.latent > 1:
        first, second = np.argsort(-carried, kind="stable")[:2]
        drawn.append(
            ja.report.pictures.scatter(
                folder,
                codes[:, [first, second]],
                colour=original[:, 0],
                colour_name=columns[0],
                axes=(f"latent unit {first}", f"latent unit {second}"),
            )
        )
    drawn.append(ja.report.pictures.marginals(folder, original, samples, columns))
    if varies.sum() > 1:
        drawn.append(
            ja.report.pictures.correlations(folder, original[:, varies], samples[:, varies], study.scaling.names)
        )
    return drawn
