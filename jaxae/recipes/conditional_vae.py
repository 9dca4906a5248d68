"""Conditional variational autoencoder of a table: rows at a chosen temperature, site, or both."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jaxae as ja

if TYPE_CHECKING:
    from jaxae.data import Scaling
    from jaxae.report import Check, Picture
    from jaxae.study import Source, Study
    from jaxae.types import Array, Key, Learner, Score

TEMPERATURES = 21
"""Temperatures at which generated rows are judged, evenly over the range of the training rows."""
SAMPLES = 5000
"""Rows that are generated at each."""
UNITS = {
    "loss": "nats per row",
    "nll": "nats per row",
    "kl": "nats per row",
    "elbo": "nats per row",
    "importance_weighted_bound": "nats per row",
    "conditional_mean_error": "true standard deviations",
    "sample_mean_error": "standard deviations",
}
CONTROLS = {
    "elbo": "normal rows around a linear function of the condition",
    "sample_mean_error": "training rows as if samples",
    "sample_ks": "training rows as if samples",
}
OF_OWN_DATA = ("rows",)


@dataclass(frozen=True)
class Settings:
    """(n, condition) → widths → (mean, logvar) of latent; (latent, condition) → widths → n with a learned scale each.

    Continuous conditions are scaled to 0…1 over the training rows; words are one-hot.

    Attributes:
        condition: columns that the others depend on.
        one_hot: conditions of numbers that are names of groups.
        latent: dimension of the code.
        widths: hidden layers of the encoder; the decoder has them in reverse.
        beta: weight of the KL term; 1 is the bound itself.
        learning_rate: of Adam at the start of a cosine decay.
        epochs: passes over the training rows.
        batch_size: rows per step.
        rows: of the generated data, where none are given.
    """

    condition: tuple[str, ...] = ("temperature",)
    one_hot: tuple[str, ...] = ()
    latent: int = 4
    widths: tuple[int, ...] = (128, 64)
    beta: float = 1.0
    learning_rate: float = 2e-3
    epochs: int = 100
    batch_size: int = 128
    rows: int = 20_000

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        from jaxae import checks

        checks.settings(self)
        if not self.condition:
            raise ValueError("condition is empty, but this model needs at least one: name columns, condition=a,b")
        if len(set(self.condition)) < len(self.condition):
            raise ValueError(f"condition is {','.join(self.condition)}, which names a column twice: give it once")
        checks.known("condition", self.one_hot, self.condition, " for one_hot")


def source(settings: Settings, key: "Key") -> "Source":
    """Return rows of five variables that depend on a temperature."""
    from jaxae import checks
    from jaxae.study import Source

    checks.known("condition of the generated data", settings.condition, ["temperature"])
    made = ja.data.conditional(key, rows=settings.rows)
    names = ("x0", "x1", "x2", "x3", "x4")
    return Source(made.values, names, conditions={"temperature": made.temperature[:, 0]}, truth=made)


def read(settings: Settings, path: Any, impute: Any, key: "Key") -> "Source":
    """Return the rows of a file without its condition columns, and those."""
    from jaxae.study import Source, parsed

    table = ja.data.read(path, impute=impute, keep=settings.condition)
    conditions = {name: parsed(table.text[name]) for name in settings.condition}
    return Source(table.values, table.columns, notes=table.notes, conditions=conditions, filled=table.filled)


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


def encode(model: Any, x: Any, cond: Any) -> "Array":
    """Return the means of the posteriors."""
    return model.encode(x, cond).mean


def decode(model: Any, z: Any, cond: Any) -> "Array":
    """Return the means of the likelihoods."""
    return model.decode(z, cond).mean


def sample(model: Any, key: "Key", n: int, cond: Any) -> "Array":
    """Return a row for each of n conditions, drawn from the likelihood of a code drawn from the prior."""
    import jax

    code_key, noise_key = jax.random.split(key)
    return model.sample(code_key, n, cond).sample(noise_key)


def errors(study: "Study", rows: Any, cond: Any) -> Any:
    """Return the squared error of every entry in units of its learned variance."""
    import jax.numpy as jnp
    import numpy as np

    likelihood = study.bound.decode(encode(study.bound, rows, cond), cond)
    mean, precision = (np.asarray(part) for part in (likelihood.mean, jnp.exp(-likelihood.logvar)))
    # In float64, so that a broken reading of 1e30 is an alarm and not an overflow.
    return (rows.astype(np.float64) - mean) ** 2 * precision


def learner(model: Any, settings: Settings, steps: int, *, learning_rate: Any, beta: Any) -> "Learner":
    """Return Adam on the negative evidence lower bound given the condition."""
    import optax

    loss = ja.objective(model, ja.losses.elbo, nll=ja.distributions.normal, beta=beta)
    return ja.descend(loss, optax.adam(optax.cosine_decay_schedule(learning_rate, steps)))


def score(model: Any, settings: Settings) -> "Score":
    """Return the negative evidence lower bound itself, whatever beta trains."""
    return ja.score(model, ja.losses.elbo, nll=ja.distributions.normal)


def curves(study: "Study", key: "Key") -> Any:
    """Return evenly spaced values of the first continuous condition and rows generated at each, in the user's units.

    Other conditions are drawn from the held-out rows. None without a continuous condition.

    Returns:
        name, (m,) values, (m, SAMPLES, columns) rows.
    """
    import jax
    import numpy as np

    known: Any = study.conditions
    given_by: Any = study.source.conditions
    name = next((name for name, levels in zip(known.names, known.levels, strict=True) if levels is None), None)
    if name is None:
        return None
    train, test = (
        {other: np.asarray(column)[study.parts[part]] for other, column in given_by.items()}
        for part in ("train", "test")
    )
    values = np.linspace(train[name].min(), train[name].max(), TEMPERATURES)
    drawn = jax.jit(lambda variables, key, cond: sample(study.model.bind(variables), key, SAMPLES, cond))
    rows = []
    for i, value in enumerate(values):
        which_key, sample_key = jax.random.split(jax.random.fold_in(key, i))
        which = np.asarray(jax.random.randint(which_key, (SAMPLES,), 0, len(study.test)))
        given = {other: column[which] for other, column in test.items()} | {name: np.full(SAMPLES, value)}
        rows.append(study.scaling.invert(np.asarray(drawn(study.variables, sample_key, known.apply(given)))))
    return name, values, np.stack(rows)


def evaluate(study: "Study", *, key: "Key") -> dict[str, float]:
    """Return the bounds on the likelihood of held-out rows, and rows generated for their conditions beside them."""
    import jax
    import numpy as np

    from jaxae.study import comparable, evidence

    bound_key, sample_key, curve_key = jax.random.split(key, 3)
    made = np.asarray(sample(study.bound, sample_key, len(study.test), study.cond["test"]))
    real, samples = comparable(study.test, made)
    found = {
        **evidence(study, "test", bound_key, ja.distributions.normal),
        "sample_mean_error": ja.metrics.moments(real, samples)["mean"],
        "sample_ks": float(ja.metrics.ks(real, samples).max()),
    }
    if study.source.truth is not None:
        _, temperatures, rows = curves(study, curve_key)
        truth, noise = ja.data.conditional_mean(temperatures), ja.data.CONDITIONAL_NOISE
        found["conditional_mean_error"] = float(np.abs(rows.mean(1) - truth).max() / noise)
        found["conditional_spread_error"] = float(np.abs(rows.std(1) / noise - 1).max())
    return found


def controls(study: "Study") -> dict[str, float]:
    """Return the likelihood of normal rows around a linear function of the condition, and training rows as samples."""
    import numpy as np

    from jaxae.study import comparable

    def design(part: str) -> Any:
        return np.column_stack([np.ones(len(study.cond[part])), study.cond[part].astype(np.float64)])

    weights = np.linalg.lstsq(design("train"), study.train, rcond=None)[0]
    residual = study.train - design("train") @ weights
    covariance = np.cov(residual, rowvar=False, bias=True) + 1e-9 * np.eye(residual.shape[1])
    left = study.test - design("test") @ weights
    quadratic = (left * np.linalg.solve(covariance, left.T).T).sum(1).mean()
    constant = np.linalg.slogdet(covariance)[1] + left.shape[1] * np.log(2 * np.pi)
    real, rows = comparable(study.test, study.train[: len(study.test)])
    return {
        "elbo": float(-0.5 * (quadratic + constant)),
        "sample_mean_error": ja.metrics.moments(real, rows)["mean"],
        "sample_ks": float(ja.metrics.ks(real, rows).max()),
    }


def checks(study: "Study", metrics: dict[str, float], controls: dict[str, float], *, key: "Key") -> list["Check"]:
    """Return whether it does as well as a linear function of the condition, and no better on the rows it has seen."""
    from jaxae.study import gap

    found = [
        ja.report.checks.against_control(
            metrics["elbo"],
            controls["elbo"],
            name="evidence lower bound",
            control_name=CONTROLS["elbo"],
            lower_is_better=False,
            slack=0.02,
        ),
        gap(study, key, ja.distributions.normal),
    ]
    if "conditional_mean_error" in metrics:
        limits = {"conditional_mean_error": (0.25, "mean"), "conditional_spread_error": (0.25, "spread")}
        found += [
            ja.report.checks.between(
                metrics[name], 0.0, limit, name=f"error of the {words} at {TEMPERATURES} temperatures"
            )
            for name, (limit, words) in limits.items()
        ]
    return found


def pictures(study: "Study", folder: Path, *, key: "Key") -> list["Picture"]:
    """Draw generated rows over the condition beside real ones, and every column of both."""
    import jax
    import numpy as np

    curve_key, sample_key = jax.random.split(key)
    columns = study.scaling.columns
    original, samples = (
        study.scaling.invert(np.asarray(rows))
        for rows in (study.test, sample(study.bound, sample_key, len(study.test), study.cond["test"]))
    )
    drawn = [ja.report.pictures.marginals(folder, original, samples, columns)]
    found = curves(study, curve_key)
    if found is not None:
        name, values, rows = found
        low, high = np.quantile(rows, [0.025, 0.975], axis=1)
        conditions: Any = study.source.conditions
        real = np.asarray(conditions[name])[study.parts["test"]]
        truth = None if study.source.truth is None else ja.data.conditional_mean(values)
        drawn.insert(
            0,
            ja.report.pictures.condition_curves(
                folder,
                values,
                rows.mean(1),
                low,
                high,
                columns,
                condition_name=name,
                real=(real, original),
                truth=truth,
            ),
        )
    return drawn
