"""How strange rows are to a trained model, which of their variables make it so, and when that is an alarm."""

from types import ModuleType
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxae.detection import conformal_threshold, p_values
from jaxae.study.nouns import Study

__all__ = ["Alarms", "alarms", "detects", "errors", "reference"]

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
    found = np.empty(rows.shape, np.float32)
    given = () if cond is None else (cond,)
    for first in range(0, len(rows), ROWS):
        part = slice(first, first + ROWS)
        own = [jnp.asarray(column[part]) for column in given]
        code = recipe.encode(study.bound, jnp.asarray(rows[part]), *own)
        found[part] = (rows[part] - np.asarray(recipe.decode(study.bound, code, *own))) ** 2
    return found


def reference(recipe: ModuleType, study: Study) -> np.ndarray | None:
    """Return the scores (m,) of the rows that alarms are calibrated on, or None where the model cannot score.

    They are a part of their own, or else the held-out rows: neither trains the model, nor chooses its best epoch.
    """
    if not detects(recipe):
        return None
    part = "calibration" if "calibration" in study.parts else "test"
    rows = study.scaling.apply(study.source.values[study.parts[part]])
    return _shares(errors(recipe, study, rows, study.cond.get(part))).sum(1)


def _shares(found: np.ndarray) -> np.ndarray:
    return found.astype(np.float64) / found.shape[1]


def alarms(found: np.ndarray, normal: np.ndarray, rate: float) -> Alarms:
    """Return the alarms of rows with squared errors `found` (n, variables), beside the scores (m,) of normal ones.

    Raises:
        ValueError: if rate is outside (0, 1), or there are too few normal scores for it.
    """
    contributions = _shares(found)
    score = contributions.sum(1)
    threshold = conformal_threshold(normal, rate)
    return Alarms(score, score > threshold, p_values(score, normal), contributions, threshold)
