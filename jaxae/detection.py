"""Anomaly detection: a score, larger for stranger examples, and a threshold from examples held to be normal."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxae import checks
from jaxae.types import Array

__all__ = ["Detector", "calibrate"]


class Detector(NamedTuple):
    """An alarm: True where the score exceeds the threshold, or is no number.

    Attributes:
        score: x (n, ...) -> (n,), larger is stranger.
        threshold: () the score above which an example is an anomaly.
    """

    score: Callable[[Any], Array]
    threshold: Array

    def __call__(self, x: Any) -> Array:
        """Return the alarms, (n,) bool."""
        return ~(self.score(x) <= self.threshold)


def calibrate(score: Callable[[Any], Array], reference: Any, quantile: float = 0.95) -> Detector:
    """Return the detector whose threshold a share `quantile` of the reference examples does not exceed.

    The threshold is one of the reference's own scores: at most (1 − quantile)·n of them lie above it. Calibrate on
    rows that were not trained on: on training rows the scores are too small and the false alarms on new rows too many.

    Args:
        score: x (n, ...) -> (n,), larger is stranger.
        reference: (n, ...) examples held to be normal.
        quantile: in (0, 1); 0.95 alarms on about 5 % of normal examples.

    Raises:
        ValueError: if quantile is outside (0, 1), if the scores are not (n,) finite numbers, or if there are fewer
            than 1/(1 − quantile) of them, too few to place the quantile.

    Examples:
        >>> import jax.numpy as jnp
        >>> detector = calibrate(lambda x: x, jnp.arange(100.0), 0.95)
        >>> detector(jnp.array([90.0, 99.0])).tolist()
        [False, True]

    References:
        Laxhammar & Falkman, Conformal prediction for distribution-independent anomaly detection, 2010.
    """
    checks.fraction("quantile", quantile, open_ends=True)
    scores = score(reference)
    if scores.ndim != 1:
        raise ValueError(f"the score returned shape {scores.shape}, but must return one number per example, (n,)")
    needed = round(1 / (1 - quantile), 6)  # 1/(1 − 0.9) is more than 10
    if len(scores) < needed:
        raise ValueError(
            f"{len(scores)} reference examples cannot place the quantile {quantile:g}: "
            f"give at least {math.ceil(needed)}"
        )
    if not bool(jnp.isfinite(scores).all()):
        raise ValueError(
            f"{int((~jnp.isfinite(scores)).sum())} of {len(scores)} reference scores are not finite: "
            "look for NaN in the data or a model that diverged"
        )
    return Detector(score, jnp.quantile(scores, quantile, method="higher"))
