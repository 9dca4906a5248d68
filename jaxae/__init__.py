"""Autoencoders, VAEs and small GANs in JAX, whose whole training runs are pure functions.

The verbs are here; the parts they combine are in the modules: `losses`, `adversarial`, `noise`, `distributions`,
`convolution`, `networks`, `models`, `hyperparameters`, `metrics`, `windows`, `latent`, `data`, `checkpoint`,
`search`, `statistics`, `hosts`, `estimators`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxae import (
        adversarial,
        checkpoint,
        convolution,
        data,
        distributions,
        estimators,
        hosts,
        hyperparameters,
        latent,
        losses,
        metrics,
        models,
        networks,
        noise,
        report,
        search,
        statistics,
        windows,
    )
    from jaxae.detection import Detector, calibrate, p_values
    from jaxae.fitting import Fit, fit
    from jaxae.hyperparameters import draw, grid, zipped
    from jaxae.learner import (
        accumulate,
        averaged,
        averages,
        chain,
        descend,
        in_bfloat16,
        lift,
        objective,
        repeat,
        schedule,
        score,
        skip_nonfinite,
        trimmed,
        warm_start,
    )
    from jaxae.population import sweep
    from jaxae.training import run, start, train
    from jaxae.types import Batch, Learner, Loss, Objective, TrainState

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "Detector",
    "Fit",
    "Learner",
    "Loss",
    "Objective",
    "TrainState",
    "accumulate",
    "adversarial",
    "averaged",
    "averages",
    "calibrate",
    "chain",
    "checkpoint",
    "convolution",
    "data",
    "descend",
    "distributions",
    "draw",
    "estimators",
    "fit",
    "grid",
    "hosts",
    "hyperparameters",
    "in_bfloat16",
    "latent",
    "lift",
    "losses",
    "metrics",
    "models",
    "networks",
    "noise",
    "objective",
    "p_values",
    "repeat",
    "report",
    "run",
    "schedule",
    "score",
    "search",
    "skip_nonfinite",
    "start",
    "statistics",
    "sweep",
    "train",
    "trimmed",
    "warm_start",
    "windows",
    "zipped",
]

_HOME = {
    **dict.fromkeys(("Detector", "calibrate", "p_values"), "detection"),
    **dict.fromkeys(("Fit", "fit"), "fitting"),
    **dict.fromkeys(("accumulate", "averaged", "averages", "chain", "descend", "in_bfloat16", "lift"), "learner"),
    **dict.fromkeys(("objective", "repeat", "schedule", "score", "skip_nonfinite", "trimmed"), "learner"),
    "warm_start": "learner",
    **dict.fromkeys(("draw", "grid", "zipped"), "hyperparameters"),
    "sweep": "population",
    **dict.fromkeys(("run", "start", "train"), "training"),
    **dict.fromkeys(("Batch", "Learner", "Loss", "Objective", "TrainState"), "types"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is: the command line's help must answer without importing JAX."""
    if name in _HOME:
        return getattr(importlib.import_module(f"jaxae.{_HOME[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"jaxae.{name}")
    raise AttributeError(f"module 'jaxae' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
