"""Autoencoder of a time series: windows of it, their errors averaged back to points, alarms merged to events."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jaxae as ja

if TYPE_CHECKING:
    from jaxae.data import Scaling
    from jaxae.report import Check, Picture
    from jaxae.study import Source, Study
    from jaxae.types import Array, Key, Learner, Score

PARTS = {"train": 0.4, "validation": 0.1, "calibration": 0.1, "test": 0.4}
"""Shares of the points, in the order of time."""
BATCH = 10_000
"""Windows that are reconstructed together, at most: bounds the memory."""
UNITS = {
    "loss": "squared scaled units per window",
    "mean_squared_error": "squared scaled units",
    "false_alarms": "points per 1,000 normal ones",
    "false_events": "per 1,000 normal points",
}
Z_SCORE = "moving z-score, same calibration"
CONTROLS = {
    "mean_squared_error": "the point before",
    **dict.fromkeys(("events_found", "false_alarms", "false_events"), Z_SCORE),
}
OF_OWN_DATA = ("points",)


@dataclass(frozen=True)
class Settings:
    """length → widths → latent and mirrored, ReLU between, sigmoid at the end; every column scaled to 0…1.

    Attributes:
        length: points of a window.
        stride: points from one window to the next.
        latent: dimension of the code.
        widths: hidden layers of the encoder; the decoder has them in reverse.
        dropout: rate after every layer of the encoder; 0.5 is customary, and blurs what is normal.
        combine: which of a point's errors in the windows that hold it is its score, the least or their mean.
        rate: of false alarms among normal points, at which alarms are raised.
        gap: quiet points between two alarms that are still one event.
        stamp: column of a file that says when; none takes the first one with dates.
        label: column of a file that is 0 for normal points and another number for anomalies; no model sees it.
        learning_rate: of Adam at the start of a cosine decay.
        epochs: passes over the training windows.
        batch_size: windows per step.
        points: of the generated series, where none is given.
    """

    length: int = 72
    stride: int = 1
    latent: int = 10
    widths: tuple[int, ...] = (24,)
    dropout: float = 0.0
    combine: Literal["least", "mean"] = "least"
    rate: float = 0.005
    gap: int = 12
    stamp: str | None = None
    label: str | None = None
    learning_rate: float = 1e-2
    epochs: int = 100
    batch_size: int = 64
    points: int = 8000

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        from jaxae import checks

        checks.settings(self, above_0=("learning_rate", "rate"), below_1=("rate", "dropout"), from_0=("gap",))
        checks.whole("stride", self.stride, high=self.length, why=", the length")


def source(settings: Settings, key: "Key") -> "Source":
    """Return a periodic series with events of several kinds in its last part."""
    import numpy as np

    from jaxae.study import Source

    made = ja.data.series(key, points=settings.points)
    labels = np.zeros(len(made.values), int)
    for start, stop in made.events:
        labels[start:stop] = 1
    return Source(
        made.values,
        ("value",),
        labels,
        parts=parts_in_time(len(labels)),
        stamps=tuple(made.stamps),
        stamp="time",
        truth=made,
    )


def parts_in_time(points: int) -> dict[str, Any]:
    """Return the points of every part, one after another."""
    import numpy as np

    ends = np.round(points * np.cumsum(list(PARTS.values()))).astype(int)
    return dict(zip(PARTS, np.split(np.arange(points), ends[:-1]), strict=True))


def read(settings: Settings, path: Any, impute: Any, key: "Key") -> "Source":
    """Return the points of a file in their order, their stamps, and their labels where it has them."""
    import numpy as np

    from jaxae.study import Source, counted, marked

    kept = tuple(name for name in (settings.stamp, settings.label) if name is not None)
    table = ja.data.read(path, impute=impute, keep=kept)
    notes = list(table.notes)
    words = {name: cells for name, cells in table.text.items() if name != settings.label}
    stamp = settings.stamp or next((name for name, cells in words.items() if times(cells) is not None), None)
    stamps: tuple[str, ...] = ()
    if stamp is not None:
        stamps = tuple(table.text[stamp])
        notes = [note for note in notes if stamp not in note]
        notes += irregularities(stamp, stamps)
    else:
        rising = [
            name for name, column in zip(table.columns, table.values.T, strict=True) if (np.diff(column) > 0).all()
        ]
        notes += [f"{name} rises from every point to the next: if it says when, write stamp={name}" for name in rising]
    parts = parts_in_time(len(table.values))
    labels = None
    if settings.label is not None:
        labels = marked(settings.label, table.text[settings.label])
        if labels[parts["test"]].all() or labels[parts["calibration"]].all():
            raise ValueError(
                f"{settings.label} marks all points of the last 40 %, or of the tenth before them: alarms need normal "
                "points there"
            )
        notes.append(counted(settings.label, labels))
        learned = int(labels[np.concatenate([parts["train"], parts["validation"]])].sum())
        notes += (
            [f"{learned} of the points to learn from are labelled anomalies: the model learns them"] if learned else []
        )
    return Source(
        table.values,
        table.columns,
        labels,
        tuple(notes),
        parts=parts,
        stamps=stamps,
        stamp=stamp,
        filled=table.filled,
    )


def times(cells: Any) -> Any:
    """Return the cells as dates, (n,) datetime64[s], or None where one is none."""
    import datetime

    import numpy as np

    try:
        found = [datetime.datetime.fromisoformat(cell.strip()) for cell in cells]
        # Those with a zone are compared in one zone; NumPy knows none.
        utc = [at if at.tzinfo is None else at.astimezone(datetime.UTC).replace(tzinfo=None) for at in found]
        return np.asarray(utc, "datetime64[ms]")
    except (ValueError, TypeError):
        return None


def irregularities(name: str, stamps: Any) -> list[str]:
    """Return in words where the steps between stamps are not all the same."""
    import numpy as np

    at = times(stamps)
    if at is None or len(at) < 3:
        return []
    steps = np.diff(at).astype(np.int64)
    usual = int(np.median(steps))
    found = {
        f"longer than the usual {usual / 1000:g} s": steps > usual,
        "back": steps < 0,
        "of 0 s": steps == 0,
        f"shorter than the usual {usual / 1000:g} s": (steps > 0) & (steps < usual),
    }
    words = [f"{int(where.sum())} {kind}" for kind, where in found.items() if where.any()]
    if not words:
        return []
    first = int(np.flatnonzero(steps != usual)[0])
    return [
        f"the stamps in {name!r} are not evenly spaced: of {len(steps)} steps {', '.join(words)}, the first after "
        f"{stamps[first]}; points are taken in their order all the same"
    ]


def scaling(settings: Settings, values: Any, columns: Any) -> "Scaling":
    """Return the map of every column's training range to 0…1."""
    return ja.data.min_max(values, columns)


def examples(settings: Settings, rows: Any) -> Any:
    """Return the windows (m, length · columns) of points (n, columns)."""
    windows, _ = ja.windows.cut(rows, settings.length, stride=settings.stride)
    return windows.reshape(len(windows), -1)


def model(settings: Settings, shape: tuple[int, ...]) -> Any:
    """Return the autoencoder of windows of so many numbers."""
    from flax import linen as nn

    (variables,) = shape
    widths = (*settings.widths, settings.latent)
    return ja.models.AE(
        encoder=ja.networks.MLP(widths, dropout=settings.dropout, activate_final=True),
        decoder=nn.Sequential((ja.networks.MLP((*reversed(settings.widths), variables)), nn.sigmoid)),
    )


def encode(model: Any, x: Any) -> "Array":
    """Return the codes of windows."""
    return model.encode(x)


def reconstructed(study: "Study", rows: Any) -> tuple[Any, Any, Any]:
    """Return the windows of points (n, columns), their reconstructions, and where each starts."""
    import jax.numpy as jnp
    import numpy as np

    settings = study.settings
    windows, starts = ja.windows.cut(rows, settings.length, stride=settings.stride)
    flat = windows.reshape(len(windows), -1)
    made = [study.bound(jnp.asarray(flat[first : first + BATCH])) for first in range(0, len(flat), BATCH)]
    return windows, np.concatenate([np.asarray(part) for part in made]).reshape(windows.shape), starts


def reconstruct(study: "Study", rows: Any) -> Any:
    """Return for every point (n, columns) the mean of its reconstructions in all windows that hold it."""
    _, made, starts = reconstructed(study, rows)
    return ja.windows.join(made, starts, len(rows))


def errors(study: "Study", rows: Any, cond: Any = None) -> Any:
    """Return for every point (n, columns) the least or the mean of its squared errors in all windows that hold it.

    An event spoils the reconstruction of whole windows, and so their mean also at normal points that lie near it; but
    each of those has a window without the event.
    """
    import numpy as np

    windows, made, starts = reconstructed(study, rows)
    combine = ja.windows.least if study.settings.combine == "least" else ja.windows.join
    # In float64, so that a broken reading of 1e30 is an alarm and not an overflow.
    return combine((windows.astype(np.float64) - made) ** 2, starts, len(rows))


def events(settings: Settings, alarms: Any) -> Any:
    """Return the number of the event that each point belongs to, counted from 1, or 0; (n,) int."""
    import numpy as np

    numbers = np.zeros(len(alarms), int)
    for number, (start, stop) in enumerate(ja.windows.events(alarms, gap=settings.gap), 1):
        numbers[start:stop] = number
    return numbers


def learner(model: Any, settings: Settings, steps: int, *, learning_rate: Any) -> "Learner":
    """Return Adam on the squared error of windows."""
    import optax

    rate = optax.cosine_decay_schedule(learning_rate, steps)
    return ja.descend(ja.objective(model, ja.losses.reconstruction), optax.adam(rate))


def score(model: Any, settings: Settings) -> "Score":
    """Return the squared error of windows."""
    return ja.score(model, ja.losses.reconstruction)


def points(study: "Study", part: str) -> Any:
    """Return the scaled points (n, columns) of a part."""
    return study.scaling.apply(study.source.values[study.parts[part]])


def moving_z_score(study: "Study", part: str) -> Any:
    """Return the largest squared distance of a column from the mean of the window before it, in deviations, (n,).

    The window reaches back into the part before, so that every point of a part has one.
    """
    import numpy as np

    length, first = study.settings.length, int(study.parts[part][0])
    values = study.scaling.apply(study.source.values)[first - length : study.parts[part][-1] + 1]
    windows, _ = ja.windows.cut(values[:-1], length)
    spread = np.maximum(windows.std(1), 1e-6)
    return (((values[length:] - windows.mean(1)) / spread) ** 2).max(1).astype(np.float64)


def own_score(study: "Study", part: str) -> Any:
    """Return the scores of the points of a part, (n,)."""
    import numpy as np

    return errors(study, points(study, part)).astype(np.float64).mean(1)


def alarmed(study: "Study", scorer: Any) -> tuple[Any, Any, float]:
    """Return scores and alarms of the test points, and the threshold that the calibration points give."""
    from jaxae.detection import conformal_threshold
    from jaxae.study import calibrating

    part, normal = calibrating(study)
    scores = scorer(study, "test")
    threshold = conformal_threshold(scorer(study, part)[normal], study.settings.rate)
    return scores, scores > threshold, threshold


def judged(study: "Study", scorer: Any) -> dict[str, float]:
    """Return how many true events have an alarm, and the alarms and events outside of them."""
    _, alarms, _ = alarmed(study, scorer)
    found = ja.windows.events(alarms, gap=study.settings.gap)
    if study.labels is None:
        return {"alarms_per_1000": 1000 * float(alarms.mean()), "events": len(found)}
    true = ja.windows.events(study.labels == 1)
    normal = study.labels == 0
    false = [not (study.labels[start:stop] == 1).any() for start, stop in found]
    return {
        "events_found": sum(bool(alarms[start:stop].any()) for start, stop in true),
        "false_alarms": 1000 * float(alarms[normal].mean()),
        "false_events": 1000 * sum(false) / int(normal.sum()),
    }


def evaluate(study: "Study", *, key: "Key") -> dict[str, float]:
    """Return the error on the test points, and what the alarms among them are worth."""
    true = {} if study.labels is None else {"true_events": len(ja.windows.events(study.labels == 1))}
    test = points(study, "test")
    return {
        "mean_squared_error": ja.metrics.mean_squared_error(test, reconstruct(study, test)),
        **true,
        **judged(study, own_score),
    }


def controls(study: "Study") -> dict[str, float]:
    """Return the same for a moving z-score, and the error of the point before."""
    rows = points(study, "test")
    before = float(((rows[1:] - rows[:-1]) ** 2).mean())
    found = {name: value for name, value in judged(study, moving_z_score).items() if name in CONTROLS}
    return {"mean_squared_error": before, **found}


def checks(study: "Study", metrics: dict[str, float], controls: dict[str, float], *, key: "Key") -> list["Check"]:
    """Return whether the test points are of the kind it has seen, events are found, and seen windows no better."""
    seen, held_out = (
        float(score(study.model, study.settings)(study.variables, ja.Batch(rows)).mean())
        for rows in (study.train, study.validation)
    )
    # Scaled by the range of the training points.
    test, rate = points(study, "test"), study.settings.rate
    false = metrics.get("false_alarms", metrics.get("alarms_per_1000", 0.0)) / 1000
    found = [
        ja.report.checks.against_control(
            metrics["mean_squared_error"],
            controls["mean_squared_error"],
            name="mean squared error of the reconstruction",
            control_name=CONTROLS["mean_squared_error"],
            lower_is_better=True,
        ),
        ja.report.checks.between(false, 0.0, 3 * rate, name=f"share of alarms where {rate:g} is asked for"),
        ja.report.checks.generalisation_gap(seen, held_out, name="squared error of a window"),
        ja.report.checks.beyond_training_range(float(((test < 0) | (test > 1)).any(1).mean())),
    ]
    if metrics.get("true_events"):
        found.append(
            ja.report.checks.between(
                metrics["events_found"] / metrics["true_events"], 1.0, 1.0, name="share of the labelled events found"
            )
        )
    return found


def pictures(study: "Study", folder: Path, *, key: "Key") -> list["Picture"]:
    """Draw the test points with reconstruction, score and events, and the scores of normal and labelled points."""
    scores, alarms, threshold = alarmed(study, own_score)
    number = study.parts["test"]
    true = None if study.labels is None else ja.windows.events(study.labels == 1)
    groups = {"normal": scores} if study.labels is None else {"normal": scores[study.labels == 0]}
    if true is not None and len(true):
        groups["in an event"] = scores[study.labels == 1]
    return [
        ja.report.pictures.timeline(
            folder,
            study.source.values[number],
            study.scaling.columns,
            reconstruction=study.scaling.invert(reconstruct(study, points(study, "test"))),
            score=scores,
            threshold=threshold,
            events=ja.windows.events(alarms, gap=study.settings.gap),
            true_events=true,
            stamps=[study.source.stamps[i] for i in number] if study.source.stamps else None,
        ),
        ja.report.pictures.scores(folder, groups, threshold, unit=UNITS["mean_squared_error"]),
    ]
