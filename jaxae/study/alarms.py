"""How strange rows are to a trained model, which of their variables make it so, and when that is an alarm."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxae.detection import conformal_threshold, p_values
from jaxae.study.nouns import Study

__all__ = ["Alarms", "alarm_rate", "alarms", "calibrating", "detects", "errors", "reference"]

ROWS = 10_000
"""Rows that are reconstructed together, at most: bounds the memory."""


class Alarms(NamedTuple):
    """What is strange about each row.

    Attributes:
        score: (n,) mean over the variables of the squared error, in the model's units.
        alarm: (n,) bool, True where the score exceeds the threshold.
        p_value: (n,) how likely a normal row scores at least so high.
        contributions: (n, variables) each variable's share of the score; they add up to it.
        threshold: for the false alarm rate that was asked for.
    """

    score: np.ndarray
    alarm: np.ndarray
    p_value: np.ndarray
    contributions: np.ndarray
    threshold: float

    def because(self, names: Sequence[str], most: int = 3) -> list[str]:
        """Return for each row in words which variables contribute most to its score, and their shares.

        Args:
            names: of the variables.
            most: how many to name.

        Examples:
            >>> one = np.ones(1)
            >>> Alarms(4 * one, one > 0, one, np.array([[1.0, 3.0]]), 2.0).because(["flow", "heat"])
            ['heat 75%, flow 25%']
        """
        order = np.argsort(-self.contributions, axis=1, kind="stable")[:, :most]
        size = np.abs(self.contributions).sum(1, keepdims=True)  # the score, where nothing takes away from it
        shares = self.contributions / np.maximum(size, np.finfo(float).tiny)
        return [", ".join(f"{names[j]} {shares[i, j]:.0%}" for j in best) for i, best in enumerate(order)]


def detects(recipe: ModuleType) -> bool:
    """Return whether a model of the recipe can score rows."""
    return hasattr(recipe, "errors") or (hasattr(recipe, "encode") and hasattr(recipe, "decode"))


def errors(recipe: ModuleType, study: Study, rows: np.ndarray, cond: np.ndarray | None = None) -> np.ndarray:
    """Return the squared error (n, variables) of every entry of scaled rows (n, variables).

    The recipe's own `errors` where it has one (a likelihood with scales divides by its variance), else the squared
    distance to the reconstruction.
    """
    if hasattr(recipe, "errors"):
        return np.asarray(recipe.errors(study, rows, cond))
    found = np.empty(rows.shape)
    given = () if cond is None else (cond,)
    for first in range(0, len(rows), ROWS):
        part = slice(first, first + ROWS)
        own = [jnp.asarray(column[part]) for column in given]
        code = recipe.encode(study.bound, jnp.asarray(rows[part]), *own)
        # In float64, so that a broken reading of 1e30 is an alarm and not an overflow.
        found[part] = (rows[part].astype(np.float64) - np.asarray(recipe.decode(study.bound, code, *own))) ** 2
    return found


def reference(recipe: ModuleType, study: Study) -> np.ndarray | None:
    """Return the scores (m,) of the rows that alarms are calibrated on, or None where the model cannot score.

    They are a part of their own, or else the held-out rows: neither trains the model, nor chooses its best epoch.
    Those that a label marks as anomalies are left out.
    """
    if not detects(recipe):
        return None
    part, normal = calibrating(study)
    rows = study.scaling.apply(study.source.values[study.parts[part]])
    return _shares(errors(recipe, study, rows, study.cond.get(part))).sum(1)[normal]


def calibrating(study: Study) -> tuple[str, np.ndarray]:
    """Return the part whose rows calibrate alarms, and which of them no label marks as an anomaly, (n,) bool."""
    part = "calibration" if "calibration" in study.parts else "test"
    marks = study.labels_of(part) if alarm_rate(study.settings) is not None else None
    return part, np.ones(len(study.parts[part]), bool) if marks is None else marks == 0


def alarm_rate(settings: Any) -> float | None:
    """Return the false alarm rate that the settings of a recipe ask for, or None where it is no detector.

    A detector's settings name a column of labels too; a rate alone is something else, of noise or of activity.
    """
    return settings.rate if hasattr(settings, "label") else None


def _shares(found: np.ndarray) -> np.ndarray:
    return found.astype(np.float64) / found.shape[1]


def alarms(found: np.ndarray, normal: np.ndarray, rate: float) -> Alarms:
    """Return the alarms of rows with squared errors `found` (n, variables), beside the scores (m,) of normal ones.

    Raises:
        ValueError: if rate is outside (0, 1), or there are too few normal scores for it.
    """
    contributions = _shares(found)
    score = contributions.sum(1)
    compared, reference = _comparable(score), _comparable(normal)
    threshold = conformal_threshold(reference, rate)
    return Alarms(score, compared > threshold, p_values(compared, reference), contributions, threshold)


def _comparable(scores: np.ndarray) -> np.ndarray:
    """Return scores (n,) at five digits.

    A row's score depends in its last float32 digits on how many rows are scored with it; two equal rows of a table of
    whole numbers must stay equal.
    """
    size = 10.0 ** (np.floor(np.log10(np.maximum(np.abs(scores), np.finfo(float).tiny))) - 4)
    return np.round(scores / size) * size
