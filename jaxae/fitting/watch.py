"""What a fit says while it goes on, and what it records of how it went."""

import operator
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxae.data import fingerprint
from jaxae.fitting.course import Course, Program, progress
from jaxae.progress import Progress, printer
from jaxae.result import Fit
from jaxae.types import Key

__all__ = ["Watch", "filled_up", "recorded", "warn_of"]


class Watch:
    """Times a fit and shows how it goes; compiling is over where a course has begun."""

    def __init__(self, show: bool | Callable[[Progress], None], began: float) -> None:
        """Begin to watch.

        Args:
            show: True prints, False does not, and a function is called.
            began: when the fit began, by `time.perf_counter`.
        """
        self._show = printer() if show is True else show or (lambda _: None)
        self._began = began
        self._compile_seconds = self._run_seconds = 0.0
        self._about = ""
        self._steps = self._done = 0
        self._since = began

    def compiled(self, course: Course, about: str = "") -> None:
        """Note that a course has begun: what went before was compiling."""
        now = time.perf_counter()
        self._compile_seconds += now - self._since
        self._since, self._about, self._done = now, about, course.done
        self._show(progress(course._replace(done=0), self._compile_seconds, 0.0, 0, about))

    def after(self, course: Course) -> None:
        """Note that a course has advanced."""
        now = time.perf_counter()
        self._run_seconds += now - self._since
        self._steps += (course.done - self._done) * course.program.steps_per_epoch * int(np.size(course.run.training))
        self._since, self._done = now, course.done
        self._show(progress(course, self._compile_seconds, self._run_seconds, self._steps, self._about))

    def seconds(self) -> dict[str, float]:
        """Return the seconds of compiling and of running so far."""
        return {
            "compile_seconds": self._compile_seconds,
            "run_seconds": self._run_seconds + time.perf_counter() - self._since,
        }


def recorded(program: Program, key: Key, patience: int | None, lanes: int | None, mesh: Mesh | None) -> dict[str, Any]:
    """Return how a fit runs, in JSON types."""
    return {
        # Whole numbers of any make, NumPy's too, as those that JSON knows.
        "epochs": operator.index(program.epochs),
        "batch_size": operator.index(program.batch_size),
        "patience": None if patience is None else operator.index(patience),
        "lanes": None if lanes is None else operator.index(lanes),
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "data": [fingerprint(np.asarray(leaf)) for leaf in jax.tree.leaves((program.data, program.validation))],
        "devices": [str(device) for device in (mesh.devices.flat if mesh else jax.devices()[:1])],
    }


def filled_up(fitted: Fit, epochs: int) -> Fit:
    """Return a fit that ended before the last epoch with a history as long as that of others, NaN from there on."""

    def fill(values: np.ndarray) -> np.ndarray:
        rest = np.full((*values.shape[:-1], epochs - values.shape[-1]), np.nan, values.dtype)
        return np.concatenate([values, rest], -1)

    return fitted._replace(history={name: fill(values) for name, values in fitted.history.items()})


def warn_of(fitted: Fit) -> None:
    """Say of every member that it diverged, or that no validation of it was a number."""
    diverged, best_epoch = map(np.atleast_1d, (fitted.status.diverged_epoch, fitted.status.best_epoch))
    for member in np.flatnonzero((diverged > 0) | (best_epoch == 0)):
        if fitted.members is None:
            who, how = "the run", fitted.describe()
        else:
            values = ", ".join(f"{name}={column[member]:g}" for name, column in fitted.hparams.items())
            who = f"member {member} ({values or f'seed {np.asarray(fitted.seeds)[member]}'})"
            how = fitted.describe(int(member))
        if diverged[member]:
            what = f"{who} {how}; its state before that epoch is kept: lower the learning rate, clip the gradient, or "
            what += "scale the data"
        else:
            what = f"no validation of {who} was finite, so its variables are those before training: look at the score"
        warnings.warn(what, RuntimeWarning, stacklevel=3)
