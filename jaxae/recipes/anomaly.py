"""Anomaly detection in a table: an autoencoder of normal rows, its alarms calibrated on rows of their own."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jaxae as ja

if TYPE_CHECKING:
    from jaxae.data import Scaling
    from jaxae.report import Check, Picture
    from jaxae.study import Source, Study
    from jaxae.types import Array, Key, Learner, Score

PARTS = {"train": 0.5, "validation": 0.1, "calibration": 0.25, "test": 0.15}
"""Shares of a file's normal rows; rows that are labelled as anomalies are all kept for the test."""
RATES = (0.001, 0.01, 0.05)
"""False alarm rates that the figures state beside the one that is set."""
UNITS = {"loss": "squared standardised units per row", "mean_squared_error": "squared standardised units"}
PCA = "PCA's residual, as many components"
CONTROLS = {
    "mean_squared_error": PCA,
    **{f"auroc{kind}": PCA for kind in ("", "_single", "_joint")},
    **{f"average_precision{kind}": PCA for kind in ("", "_single", "_joint")},
    **{f"detection_rate{kind}": PCA for kind in ("", "_single", "_joint")},
    "false_positive_rate": PCA,
    **{f"false_positive_rate_at_{rate:g}": "the rate asked for" for rate in RATES},
}
OF_OWN_DATA = ("rows", "variables", "calibration_rows", "test_rows", "anomalies")


@dataclass(frozen=True)
class Settings:
    """n → widths → latent and mirrored, ReLU between; a row's score is its mean squared error.

    Attributes:
        latent: dimension of the code.
        widths: hidden layers of the encoder; the decoder has them in reverse.
        rate: of false alarms among normal rows, at which alarms are raised.
        label: column of a file that is 0 for normal rows and another number for anomalies; without it all are normal.
        learning_rate: of AdamW at the start of a cosine decay.
        weight_decay: of AdamW; 0 is Adam.
        epochs: passes over the training rows.
        batch_size: rows per step.
        rows: of the generated data that train and validate, where none are given.
        variables: of the generated data.
        calibration_rows: generated normal rows that the alarms are calibrated on.
        test_rows: generated normal rows that are judged.
        anomalies: generated anomalies of each of two patterns, made by the process of the normal rows.
    """

    latent: int = 3
    widths: tuple[int, ...] = (64, 32)
    rate: float = 0.05
    label: str | None = None
    learning_rate: float = 5e-3
    weight_decay: float = 0.1
    epochs: int = 300
    batch_size: int = 100
    rows: int = 1000
    variables: int = 10
    calibration_rows: int = 200_000
    test_rows: int = 10_000
    anomalies: int = 1000

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        from jaxae import checks

        checks.settings(self, above_0=("learning_rate", "rate"), below_1=("rate",))


def source(settings: Settings, key: "Key") -> "Source":
    """Return normal rows of a process in which two hidden factors drive every variable, and anomalies of the same."""
    import jax
    import numpy as np

    from jaxae import study

    counts = {
        "train": settings.rows - settings.rows // 5,
        "validation": settings.rows // 5,
        "calibration": settings.calibration_rows,
        "test": settings.test_rows,
    }
    normal_key, *keys = jax.random.split(key, 1 + len(ja.data.PATTERNS))
    normal = study.process(settings, normal_key, rows=sum(counts.values()))
    strange = [
        ja.data.anomalies(own, normal.truth, rows=settings.anomalies, pattern=pattern)
        for own, pattern in zip(keys, ja.data.PATTERNS, strict=True)
    ]
    labels = np.repeat(np.arange(1 + len(strange)), [len(normal.values), *map(len, strange)])
    ends = np.cumsum(list(counts.values()))
    parts = dict(zip(counts, np.split(np.arange(len(labels)), ends[:-1]), strict=True))
    return normal._replace(values=np.concatenate([normal.values, *strange]), labels=labels, parts=parts)


def read(settings: Settings, path: Any, impute: Any, key: "Key") -> "Source":
    """Return the rows of a file, those with a label other than 0 only among the test rows."""
    import numpy as np

    from jaxae import study

    if settings.label is None:
        table = ja.data.read(path, impute=impute)
        return study.Source(table.values, table.columns, None, table.notes, filled=table.filled)
    table = ja.data.read(path, impute=impute, keep=(settings.label,))
    labels = study.marked(settings.label, table.text[settings.label])
    normal = np.flatnonzero(labels == 0)
    split = ja.data.split(key, len(normal), fractions=tuple(PARTS.values()))
    parts = {part: normal[number] for part, number in zip(PARTS, split, strict=True)}
    parts["test"] = np.concatenate([parts["test"], np.flatnonzero(labels)])
    notes = (*table.notes, study.counted(settings.label, labels))
    return study.Source(table.values, table.columns, labels, notes, parts=parts, filled=table.filled)


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


def residual_of(study: "Study") -> Any:
    """Return x -> (n,) the mean squared error of each row, the anomaly score."""
    import jax

    error = jax.jit(score(study.model, study.settings))
    return lambda x: error(study.variables, ja.Batch(x)) / x.shape[1]


def residual_of_pca(study: "Study") -> Any:
    """Return x -> (n,) the mean squared residual of PCA with as many components, on the same training rows."""
    from sklearn.decomposition import PCA

    pca = PCA(min(study.settings.latent, *study.train.shape), svd_solver="full").fit(study.train)
    return lambda x: ((x - pca.inverse_transform(pca.transform(x))) ** 2).mean(1)


def kinds(study: "Study") -> dict[str, Any]:
    """Return which test rows are of each kind: "normal", and the names of the anomalies, (n,) bool."""
    names = ja.data.PATTERNS if study.source.truth is not None else ("anomaly",)
    labels = study.labels if study.labels is not None else 0 * study.test[:, 0]
    found = {name: labels == number for number, name in enumerate(("normal", *names))}
    return {name: rows for name, rows in found.items() if rows.any()}


def judged(study: "Study", residual: Any) -> dict[str, float]:
    """Return how well scores tell anomalies from normal rows, and how often calibrated alarms are false."""
    import numpy as np

    from jaxae.detection import conformal_threshold

    reference, scores = (np.asarray(residual(rows), np.float64) for rows in (study.calibration, study.test))
    of = kinds(study)
    normal = scores[of.pop("normal")]
    threshold = conformal_threshold(reference, study.settings.rate)
    found: dict[str, float] = {}
    for name, rows in of.items():
        both, labels = np.concatenate([normal, scores[rows]]), np.repeat([0, 1], [len(normal), rows.sum()])
        suffix = "" if name == "anomaly" else f"_{name}"
        found[f"auroc{suffix}"] = ja.metrics.auroc(labels, both)
        found[f"average_precision{suffix}"] = ja.metrics.average_precision(labels, both)
        found[f"detection_rate{suffix}"] = float((scores[rows] > threshold).mean())
    found["false_positive_rate"] = float((normal > threshold).mean())
    found["mean_squared_error"] = float(normal.mean())
    return found


def evaluate(study: "Study", *, key: "Key") -> dict[str, float]:
    """Return how well anomalies are told from normal rows, and the false alarms at several rates."""
    return evaluated(study, residual_of(study))


def evaluated(study: "Study", residual: Any) -> dict[str, float]:
    """Return how well scores tell anomalies from normal rows, and the false alarms at several rates."""
    import numpy as np

    from jaxae.detection import p_values

    reference, normal = (
        np.asarray(residual(rows), np.float64) for rows in (study.calibration, study.test[kinds(study)["normal"]])
    )
    p = p_values(normal, reference)
    enough = [rate for rate in RATES if rate * (len(reference) + 1) >= 1]
    return {
        **judged(study, residual),
        **{f"false_positive_rate_at_{rate:g}": float((p <= rate).mean()) for rate in enough},
    }


def controls(study: "Study") -> dict[str, float]:
    """Return the same for PCA's residual, and the false alarm rates that were asked for."""
    enough = [rate for rate in RATES if rate * (len(study.calibration) + 1) >= 1]
    return judged(study, residual_of_pca(study)) | {f"false_positive_rate_at_{rate:g}": rate for rate in enough}


def checks(study: "Study", metrics: dict[str, float], controls: dict[str, float], *, key: "Key") -> list["Check"]:
    """Return whether it ranks as PCA's residual does, and false alarms are as many as were asked for."""
    return checked(study, residual_of(study), metrics, controls, control_name=PCA, score_name="mean squared error")


def checked(
    study: "Study",
    residual: Any,
    metrics: dict[str, float],
    controls: dict[str, float],
    *,
    control_name: str,
    score_name: str,
) -> list["Check"]:
    """Return whether scores rank as PCA's residual does, and false alarms are as many as were asked for."""
    from scipy.stats import betabinom

    from jaxae.detection import conformal_rank

    normal, reference = int(kinds(study)["normal"].sum()), len(study.calibration)
    rates = {study.settings.rate: "false_positive_rate"}
    rates |= {
        rate: f"false_positive_rate_at_{rate:g}" for rate in RATES if f"false_positive_rate_at_{rate:g}" in metrics
    }
    found = [
        ja.report.checks.against_control(
            metrics[name],
            controls[name],
            name=name.replace("auroc", "area under the ROC curve").replace("_", ", pattern "),
            control_name=control_name,
            lower_is_better=False,
            slack=0.01,
        )
        for name in metrics
        if name.startswith("auroc")
    ]
    for rate, name in rates.items():
        # The false alarm rate of a threshold at this rank of the reference is itself random, with a beta distribution.
        rank = conformal_rank(reference, rate)
        chance = betabinom(normal, reference + 1 - rank, rank)
        low, high = (int(chance.ppf(q)) / normal for q in (0.005, 0.995))
        found.append(ja.report.checks.between(metrics[name], low, high, name=f"false alarm rate for {rate:g}"))
    found.append(
        ja.report.checks.generalisation_gap(
            float(residual(study.train).mean()), float(residual(study.validation).mean()), name=score_name
        )
    )
    return found


def pictures(study: "Study", folder: Path, *, key: "Key") -> list["Picture"]:
    """Draw the scores of every kind with the threshold, ROC and precision-recall curves, and what makes alarms."""
    import numpy as np

    errors = np.asarray((study.test - decode(study.bound, encode(study.bound, study.test))) ** 2) / study.test.shape[1]
    unit = UNITS["mean_squared_error"]
    return drawn(study, folder, residual_of(study), residual_of_pca(study), errors, unit=unit)


def drawn(study: "Study", folder: Path, residual: Any, control: Any, errors: Any, *, unit: str) -> list["Picture"]:
    """Draw the scores of every kind with the threshold, both curves, and the errors (n, variables) of test rows."""
    import numpy as np

    from jaxae.detection import conformal_threshold

    scores, linear = (np.asarray(of(study.test), np.float64) for of in (residual, control))
    of = kinds(study)
    threshold = conformal_threshold(np.asarray(residual(study.calibration)), study.settings.rate)
    found = [ja.report.pictures.scores(folder, {name: scores[rows] for name, rows in of.items()}, threshold, unit=unit)]
    if len(of) > 1:
        found.append(ja.report.pictures.detection_curves(folder, ~of["normal"], {"this model": scores, "PCA": linear}))
    shown = [place for name, rows in of.items() if name != "normal" for place in np.flatnonzero(rows)[:10]]
    shown = shown or list(np.argsort(-scores)[:20])
    which = [next(name for name, rows in of.items() if rows[place]) for place in shown]
    found.append(
        ja.report.pictures.contributions(
            folder, errors[shown], study.scaling.names, rows=[f"{name} {i}" for i, name in enumerate(which)], unit=unit
        )
    )
    return found
