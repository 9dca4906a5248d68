"""Anomaly detection by an ensemble: members trained together, alarms calibrated on rows of their own."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jaxae as ja
from jaxae.recipes.anomaly import OF_OWN_DATA, PARTS, RATES, checked, drawn, evaluated, judged, read, scaling
from jaxae.recipes.anomaly import source as process

if TYPE_CHECKING:
    from jaxae.report import Check, Picture
    from jaxae.study import Source, Study
    from jaxae.types import Array, Key

__all__ = ["OF_OWN_DATA", "PARTS", "read", "scaling"]

UNITS = {"loss": "mean over the members", "mean_score": "1 for a typical training row; of variational in nats"}
PCA = "PCA's residual, 90 % of the variance"
CONTROLS = {
    **{
        f"{figure}{kind}": PCA
        for figure in ("auroc", "average_precision", "detection_rate")
        for kind in ("", "_single", "_joint")
    },
    "false_positive_rate": PCA,
    **{f"false_positive_rate_at_{rate:g}": "the rate asked for" for rate in RATES},
}


@dataclass(frozen=True)
class Settings:
    """`estimators.AutoencoderDetector` and its kin; a typical row scores about 1, or of `variational` in nats.

    Attributes:
        kind: of the members: autoencoders that take noise out, variational or sparse ones, or Deep SVDD.
        members: of the ensemble.
        noise: standard deviations of the noise that autoencoders take out, which members take in turn.
        widths: hidden layers: of autoencoders to the code and back, of variational ones to the code, of Deep SVDD all.
        latent: dimension of the code of variational ones, or units of sparse ones.
        trim: share of a batch that a step leaves out, as it fits it worst: for rows of which some are anomalies.
        rate: of false alarms among normal rows, at which alarms are raised.
        label: column of a file that is 0 for normal rows and another number for anomalies; without it all are normal.
        learning_rate: of Adam at the first step, from where it falls to 0; 0.001 suits Deep SVDD, 0.02 sparse ones.
        epochs: passes over the training rows, as far as `steps` allows.
        steps: of every member, at most.
        batch_size: rows per step, drawn with replacement.
        rows: of the generated data that train and validate, where none are given.
        variables: of the generated data.
        calibration_rows: generated normal rows that the alarms are calibrated on.
        test_rows: generated normal rows that are judged.
        anomalies: generated anomalies of each of two patterns, made by the process of the normal rows.
    """

    kind: Literal["autoencoder", "variational", "sparse", "svdd"] = "autoencoder"
    members: int = 8
    noise: tuple[float, ...] = (0.3, 1.0, 3.0, 10.0)
    widths: tuple[int, ...] = (64, 64)
    latent: int = 8
    trim: float = 0.1
    rate: float = 0.05
    label: str | None = None
    learning_rate: float = 5e-3
    epochs: int = 100
    steps: int = 400
    batch_size: int = 64
    rows: int = 1000
    variables: int = 10
    calibration_rows: int = 20_000
    test_rows: int = 10_000
    anomalies: int = 1000

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        from jaxae import checks

        checks.settings(self, above_0=("learning_rate", "rate"), below_1=("rate", "trim"), from_0=("trim",))
        if not self.noise or min(self.noise) < 0:
            raise ValueError(f"noise is {self.noise}, but must be numbers from 0: 0.3,1")


class Ensemble(NamedTuple):
    """What stands for a model: an estimator that is yet without what its fit leaves.

    Attributes:
        settings: of the recipe.
        variables: of the table.
    """

    settings: Settings
    variables: int

    def init(self, key: "Key", x: "Array") -> dict[str, Any]:
        """Return variables of those shapes that a fit leaves."""
        import jax
        import numpy as np

        from jaxae import ensembles

        family, members = unfitted(self.settings)._family(), self.settings.members
        begun = jax.vmap(lambda key: ensembles.begun(family, self.variables, key))(jax.random.split(key, members))
        zeros = np.zeros(self.variables, np.float32)
        own = {"column": zeros, "member": np.zeros(members, np.float32), "middle": zeros, "residual": zeros}
        return {**begun, "scales": own}

    def bind(self, variables: Any) -> Any:
        """Return the fitted estimator."""
        detector = unfitted(self.settings)
        own = dict(variables)
        scales = own.pop("scales")
        detector.variables_, detector.n_features_in_, detector.seed_ = own, self.variables, 0
        detector._trained = detector._family()
        detector.mean_, detector.scale_ = scales["middle"], scales["column"]
        detector.member_scale_, detector.residual_scale_ = scales["member"], scales["residual"]
        # It is asked for scores alone: alarms are calibrated by the folder's own rows.
        detector.calibration_scores_, detector.offset_ = scales["member"], 0.0
        detector.calibration_folds_ = scales["member"][:0].astype(int)
        return detector


def unfitted(settings: Settings) -> Any:
    """Return the estimator of the settings."""
    from jaxae import estimators

    common: dict[str, Any] = {
        "members": settings.members,
        "steps": settings.steps,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "trim": settings.trim,
        # No rows are held out of those that train: those that calibrate are a part of their own.
        "contamination": 0.1,
    }
    match settings.kind:
        case "autoencoder":
            return estimators.AutoencoderDetector(noise=settings.noise, widths=settings.widths, **common)
        case "variational":
            return estimators.VariationalDetector(latent=settings.latent, widths=settings.widths, **common)
        case "sparse":
            return estimators.SparseDetector(units=settings.latent, **common)
        case _:
            return estimators.DeepSVDD(widths=settings.widths, **common)


def source(settings: Settings, key: "Key") -> "Source":
    """Return normal rows of a process in which two hidden factors drive every variable, and anomalies of the same."""
    return process(settings, key)  # type: ignore[arg-type]  # it asks for what both have


def model(settings: Settings, shape: tuple[int, ...]) -> Ensemble:
    """Return the ensemble of so many variables."""
    (variables,) = shape
    return Ensemble(settings, variables)


def fit(study: "Study", key: "Key") -> Any:
    """Return the trained ensemble."""
    import time

    import jax
    import numpy as np

    from jaxae.result import Fit, Status
    from jaxae.types import TrainState

    settings, began = study.settings, time.perf_counter()
    steps = min(settings.steps, settings.epochs * -(-len(study.train) // settings.batch_size))
    seed = int(jax.random.randint(key, (), 0, 2**31 - 1))
    detector = unfitted(settings).set_params(steps=steps, random_state=seed).fit(study.train)
    # Of Deep SVDD nothing is reconstructed, nor anything left of it.
    residual = getattr(detector, "residual_scale_", 0 * detector.scale_)
    scales = {
        "column": detector.scale_,
        "member": detector.member_scale_,
        "middle": detector.mean_,
        "residual": residual,
    }
    variables = {**detector.variables_, "scales": {name: np.float32(values) for name, values in scales.items()}}
    loss = detector.loss_curve_.mean(0)
    count, none = np.array(len(loss), np.int32), np.array(0, np.int32)
    record = {
        "epochs": len(loss),
        "batch_size": settings.batch_size,
        "devices": [str(jax.devices()[0])],
        "compile_seconds": 0.0,
        "run_seconds": time.perf_counter() - began,
        "steps": steps * settings.members,
    }
    status = Status(count, count, none, none, none, none, none)
    state = TrainState(jax.numpy.int32(steps), variables, ())
    return Fit(variables, state, {"loss": loss}, {}, None, status, record)


def errors(study: "Study", rows: Any, cond: Any) -> Any:
    """Return what every entry of rows (n, variables) adds to its row's score, times the variables."""
    import numpy as np

    return np.asarray(study.bound.contributions(np.asarray(rows, np.float64)), np.float64) * rows.shape[1]


def reconstruct(study: "Study", rows: Any) -> Any:
    """Return the nearest rows (n, variables) that the ensemble knows as normal."""
    import numpy as np

    if study.settings.kind == "svdd":
        raise ValueError("Deep SVDD reconstructs nothing: it maps rows near a point; train another kind for that")
    return study.bound.counterparts(np.asarray(rows, np.float64))


def explain(study: "Study", values: Any) -> list[str]:
    """Return in words what makes rows strange, in the user's columns and units."""
    return in_units(study).explain(values[:, study.scaling.varying], names=study.scaling.names)


def in_units(study: "Study") -> Any:
    """Return the same detector, of rows that were never scaled."""
    scaling, detector = study.scaling, study.bound
    offset, scale = scaling.offset[scaling.varying], scaling.scale[scaling.varying]
    detector.mean_ = detector.mean_ * scale + offset
    detector.scale_, detector.residual_scale_ = detector.scale_ * scale, detector.residual_scale_ * scale
    return detector


def residual_of(study: "Study") -> Any:
    """Return x -> (n,) the score of each row."""
    import numpy as np

    detector = study.bound
    return lambda x: -detector.score_samples(np.asarray(x, np.float64))


def residual_of_pca(study: "Study") -> Any:
    """Return x -> (n,) the squared distance from the components that hold 90 % of the training rows' variance."""
    from sklearn.decomposition import PCA as Components  # noqa: N811

    pca = Components(0.9, svd_solver="full").fit(study.train)
    return lambda x: ((x - pca.inverse_transform(pca.transform(x))) ** 2).sum(1)


def evaluate(study: "Study", *, key: "Key") -> dict[str, float]:
    """Return how well anomalies are told from normal rows, and the false alarms at several rates."""
    found = evaluated(study, residual_of(study))
    return found | {"mean_score": found.pop("mean_squared_error")}


def controls(study: "Study") -> dict[str, float]:
    """Return the same for PCA's residual, and the false alarm rates that were asked for."""
    found = judged(study, residual_of_pca(study))
    del found["mean_squared_error"]
    enough = [rate for rate in RATES if rate * (len(study.calibration) + 1) >= 1]
    return found | {f"false_positive_rate_at_{rate:g}": rate for rate in enough}


def checks(study: "Study", metrics: dict[str, float], controls: dict[str, float], *, key: "Key") -> list["Check"]:
    """Return whether it ranks as PCA's residual does, and false alarms are as many as were asked for."""
    return checked(study, residual_of(study), metrics, controls, control_name=PCA, score_name="score")


def pictures(study: "Study", folder: Path, *, key: "Key") -> list["Picture"]:
    """Draw the scores of every kind with the threshold, ROC and precision-recall curves, and what makes alarms."""
    parts = errors(study, study.test, None) / study.test.shape[1]
    unit = "nats" if study.settings.kind == "variational" else UNITS["mean_score"]
    found = drawn(study, folder, residual_of(study), residual_of_pca(study), parts, unit=unit)
    if study.settings.kind != "svdd":
        found.append(strangest(study, folder, parts.sum(1)))
    return found


def strangest(study: "Study", folder: Path, scores: Any) -> "Picture":
    """Draw the test row that scores highest, in the user's units, beside what the ensemble makes of it."""
    seen, detector = study.scaling.varying, in_units(study)
    row = study.scaling.invert(study.test[[scores.argmax()]])[:, seen]
    return ja.report.pictures.alarm(
        folder,
        row[0],
        detector.counterparts(row)[0],
        detector.residual_scale_,
        study.scaling.names,
        title="Why the strangest test row is strange",
    )
