"""Denoising autoencoder of a table: fresh noise in every step, beside the best linear filter."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jaxae as ja

if TYPE_CHECKING:
    from jaxae.data import Scaling
    from jaxae.report import Check, Picture
    from jaxae.study import Source, Study
    from jaxae.types import Array, Key, Learner, Score

COPIES = 64
"""Noisy copies of every training row that the linear filter is fitted on, at most, but for few rows of many columns."""
FITTED = 200_000
"""Noisy rows that the linear filter is fitted on, at most, but at least one copy of each."""
UNITS = {
    "loss": "squared scaled units per row",
    "snr_before": "dB",
    "snr_after": "dB",
    "snr_gain": "dB",
    "clean_mean_squared_error": "squared scaled units",
}
CONTROLS = dict.fromkeys(("snr_after", "snr_gain"), "best linear filter")
OF_OWN_DATA = ("rows", "variables")


@dataclass(frozen=True)
class Settings:
    """n → widths → latent and mirrored, ReLU between; the noise is drawn anew for every row in every step.

    Attributes:
        noise: kind of noise: gaussian, salt_and_pepper, masking, or dropout (rescaled by 1/(1 − rate)).
        scale: standard deviation of Gaussian noise, in scaled units.
        rate: share of the entries that the other kinds change.
        range: standard scales columns to mean 0 and deviation 1; unit to 0…1, keeps the noise in there, and ends in a
            sigmoid.
        latent: dimension of the code.
        widths: hidden layers of the encoder; the decoder has them in reverse.
        dropout: rate after the first layer and before the last; 0.2 is customary, and restores less.
        learning_rate: of AdamW at the start of a cosine decay.
        weight_decay: of AdamW; 0 is Adam.
        epochs: passes over the training rows.
        batch_size: rows per step.
        rows: of the generated data, where none are given.
        variables: of the generated data.
    """

    noise: Literal["gaussian", "salt_and_pepper", "masking", "dropout"] = "gaussian"
    scale: float = 0.5
    rate: float = 0.3
    range: Literal["standard", "unit"] = "standard"
    latent: int = 16
    widths: tuple[int, ...] = (128, 64)
    dropout: float = 0.0
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    epochs: int = 300
    batch_size: int = 100
    rows: int = 2000
    variables: int = 20

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        from jaxae import checks

        checks.settings(self, above_0=("learning_rate", "scale", "rate"), below_1=("dropout", "rate"))


def source(settings: Settings, key: "Key") -> "Source":
    """Return rows of a process in which two hidden factors drive every variable."""
    from jaxae import study

    return study.process(settings, key)


def scaling(settings: Settings, values: Any, columns: Any) -> "Scaling":
    """Return the standardisation by the training rows, or their map to 0…1."""
    return (ja.data.standard if settings.range == "standard" else ja.data.min_max)(values, columns)


def model(settings: Settings, shape: tuple[int, ...]) -> Any:
    """Return the autoencoder of so many variables."""
    from flax import linen as nn

    (variables,) = shape
    depth = len(settings.widths)
    rates = tuple(settings.dropout if layer == 0 else 0.0 for layer in range(depth))
    decoder = ja.networks.MLP((*reversed(settings.widths), variables), dropout=rates[::-1])
    return ja.models.AE(
        encoder=ja.networks.MLP((*settings.widths, settings.latent), dropout=rates),
        decoder=decoder if settings.range == "standard" else nn.Sequential((decoder, nn.sigmoid)),
    )


def encode(model: Any, x: Any) -> "Array":
    """Return the codes."""
    return model.encode(x)


def decode(model: Any, z: Any) -> "Array":
    """Return the rows that codes stand for."""
    return model.decode(z)


def denoise(model: Any, x: Any) -> "Array":
    """Return the clean rows behind noisy ones."""
    return model(x)


def corruption(settings: Settings, kind: str) -> Any:
    """Return (key, x) -> noisy x of one kind, in scaled units."""
    import functools

    unit = settings.range == "unit"
    ends = (0.0, 1.0) if unit else (-3.0, 3.0)
    bound: dict[str, dict[str, Any]] = {
        "gaussian": {"scale": settings.scale, "clip": ends if unit else None},
        "salt_and_pepper": {"rate": settings.rate, "low": ends[0], "high": ends[1]},
        "masking": {"rate": settings.rate},
        "dropout": {"rate": settings.rate},
    }
    return functools.partial(getattr(ja.noise, kind), **bound[kind])


def learner(model: Any, settings: Settings, steps: int, *, learning_rate: Any, weight_decay: Any) -> "Learner":
    """Return AdamW on the squared distance between the clean row and what is made of the noisy one."""
    import optax

    loss = ja.objective(model, ja.losses.reconstruction, noise=corruption(settings, settings.noise))
    rate = optax.cosine_decay_schedule(learning_rate, steps)
    return ja.descend(loss, optax.adamw(rate, weight_decay=weight_decay))


def score(model: Any, settings: Settings) -> "Score":
    """Return the same error, with noise drawn anew."""
    return ja.score(model, ja.losses.reconstruction, noise=corruption(settings, settings.noise))


def noisy(study: "Study") -> Any:
    """Return the held-out rows with the noise that was trained against, the same for model and filter."""
    import jax
    import numpy as np

    return np.asarray(corruption(study.settings, study.settings.noise)(jax.random.fold_in(study.key, 1), study.test))


def ratios(study: "Study", restored: Any) -> dict[str, float]:
    """Return the signal-to-noise ratio of held-out rows after a denoiser, and what it gained."""
    after, before = (ja.metrics.snr(study.test, rows) for rows in (restored, noisy(study)))
    return {"snr_after": after, "snr_gain": after - before}


def evaluate(study: "Study", *, key: "Key") -> dict[str, float]:
    """Return the signal-to-noise ratio of held-out rows with noise, before and after."""
    import numpy as np

    return {
        "snr_before": ja.metrics.snr(study.test, noisy(study)),
        **ratios(study, np.asarray(denoise(study.bound, noisy(study)))),
        "clean_mean_squared_error": ja.metrics.mean_squared_error(
            study.test, np.asarray(denoise(study.bound, study.test))
        ),
    }


def linear(study: "Study") -> Any:
    """Return the best linear filter for the noise: Wiener's for Gaussian noise, else least squares on many copies."""
    import jax
    import numpy as np

    settings = study.settings
    if settings.noise == "gaussian" and settings.range == "standard":
        return ja.metrics.wiener(study.train, settings.scale)
    n, columns = study.train.shape
    count = max(1, min(COPIES, FITTED // n), 50 * columns // n)
    copies = jax.random.split(jax.random.fold_in(study.key, 0), count)
    corrupted = np.asarray(jax.vmap(corruption(settings, settings.noise), (0, None))(copies, study.train))
    return ja.metrics.linear_filter(np.tile(study.train, (count, 1)), corrupted.reshape(-1, columns))


def controls(study: "Study") -> dict[str, float]:
    """Return the same for the best linear filter, fitted on the training rows."""
    return ratios(study, linear(study)(noisy(study)))


def checks(study: "Study", metrics: dict[str, float], controls: dict[str, float], *, key: "Key") -> list["Check"]:
    """Return whether it comes near the best linear filter, its code is large enough, and seen rows are no better."""
    import jax
    import numpy as np

    error = jax.jit(score(study.model, study.settings))
    seen, held_out = (
        float(np.mean(error(study.variables, study.batch(part), jax.random.fold_in(key, 0))))
        for part in ("train", "validation")
    )
    lost, added = metrics["clean_mean_squared_error"], ja.metrics.mean_squared_error(study.test, noisy(study))
    few, columns = study.settings.latent, study.test.shape[1]
    text = (
        f"a code of {few} numbers loses {lost:.3g} squared scaled units of a row without noise; noise adds {added:.3g}"
    )
    if lost > added:
        text += f": give it more numbers (latent={columns}, or less) and the layers as many (widths={4 * columns})"
    return [
        ja.report.checks.Check("the code is large enough", lost <= added, f"{text}."),
        ja.report.checks.against_control(
            metrics["snr_gain"],
            controls["snr_gain"],
            name="gain in the signal-to-noise ratio",
            control_name="the best linear filter",
            lower_is_better=False,
            slack=0.05,
        ),
        ja.report.checks.generalisation_gap(seen, held_out, name="error of denoised rows"),
    ]


def pictures(study: "Study", folder: Path, *, key: "Key") -> list["Picture"]:
    """Draw held-out rows clean, noisy and denoised, and every column beside what was made of it."""
    import numpy as np

    original, restored = (
        study.scaling.invert(np.asarray(rows)) for rows in (study.test, denoise(study.bound, noisy(study)))
    )
    names = study.scaling.names
    scaled = (study.test, noisy(study), np.asarray(denoise(study.bound, noisy(study))))
    after, before = (ja.metrics.snr(study.test, rows) for rows in (scaled[2], scaled[1]))
    filtered = ja.metrics.snr(study.test, linear(study)(scaled[1]))
    kind = study.settings.noise
    return [
        ja.report.pictures.denoised(folder, *scaled, names),
        ja.report.pictures.gains(
            folder, {kind: before}, {kind: after}, {kind: filtered}, control_name="best linear filter"
        ),
        ja.report.pictures.reconstructions(folder, original, restored, study.scaling.columns),
    ]
