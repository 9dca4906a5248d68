"""What a fit says while it goes on, and what it records of how it went."""

import operator
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxae.data import Stored, fingerprint
from jaxae.fitting.course import Course, Program, progress
from jaxae.fitting.log import Log
from jaxae.hosts import read
from jaxae.population import DATA
from jaxae.progress import Progress, printer
from jaxae.result import Fit
from jaxae.types import Array, Key

__all__ = ["Watch", "filled_up", "recorded", "warn_of"]


class Watch:
    """Times a fit and shows how it goes; compiling is over where a course has begun."""

    def __init__(
        self, show: bool | Callable[[Progress], None], began: float, log: str | os.PathLike[str] | None = None
    ) -> None:
        """Begin to watch.

        Args:
            show: True prints, False does not, and a function is called.
            began: when the fit began, by `time.perf_counter`.
            log: file that every event is added to.

        Raises:
            ValueError: if the log cannot be written.
        """
        self._show = printer() if show is True else show or (lambda _: None)
        self.log = Log(log)
        self._diverged: set[int] = set()
        self._skipped: dict[int, tuple[int, int]] = {}
        self._began = began
        self._compile_seconds = self._run_seconds = 0.0
        self._about = ""
        self._steps = self._done = 0
        self._first = 0.0
        self._since = began

    def compiled(self, course: Course, about: str = "") -> None:
        """Note that a course has begun: what went before was compiling."""
        now = time.perf_counter()
        self._compile_seconds += now - self._since
        self._since, self._about, self._done = now, about, course.batches
        self._first = self._first or course.epoch
        self._diverged, self._skipped = set(_diverged(course)), _skipped(course)
        self.log.note(
            "begun",
            about=about,
            epoch=course.epoch,
            epochs=course.program.epochs,
            members=int(np.size(course.run.training)),
            compile_seconds=round(self._compile_seconds, 3),
        )
        self._show(progress(course._replace(done=0, within=0), self._compile_seconds, 0.0, 0, about, self._first))

    def after(self, course: Course) -> None:
        """Note that a course has advanced."""
        now = time.perf_counter()
        seconds = now - self._since
        self._run_seconds += seconds
        self._steps += (course.batches - self._done) * int(np.size(course.run.training))
        self._since, self._done = now, course.batches
        said = progress(course, self._compile_seconds, self._run_seconds, self._steps, self._about, self._first)
        self.log.chunk(said, seconds)
        before, self._skipped = self._skipped, _skipped(course)
        for member, (count, first) in self._skipped.items():
            if before.get(member) != (count, first):
                self.log.note("skipped", member=member, steps=count, first=first)
        for member, (epoch, step) in _diverged(course).items():
            if member not in self._diverged:
                self._diverged.add(member)
                self.log.note("diverged", member=member, epoch=epoch, step=step)
        self._show(said)

    def seconds(self) -> dict[str, float]:
        """Return the seconds of compiling and of running so far, and the steps of all members that they went to."""
        return {
            "steps": operator.index(self._steps),
            "compile_seconds": self._compile_seconds,
            "run_seconds": self._run_seconds + time.perf_counter() - self._since,
        }


def _diverged(course: Course) -> dict[int, tuple[int, int]]:
    """Return the epoch and the step in which members diverged, by member."""
    return _of_members(course.run.diverged_epoch, course.run.diverged_step)


def _skipped(course: Course) -> dict[int, tuple[int, int]]:
    """Return how many steps were skipped and the first of them, by member."""
    return _of_members(course.run.skipped, course.run.skipped_step)


def _of_members(which: Array, step: Array) -> dict[int, tuple[int, int]]:
    each, steps = map(np.atleast_1d, read((which, step)))
    return {int(member): (int(each[member]), int(steps[member])) for member in np.flatnonzero(each)}


def recorded(program: Program, key: Key, patience: int | None, lanes: int | None, mesh: Mesh | None) -> dict[str, Any]:
    """Return how a fit runs, in JSON types."""
    return {
        # Whole numbers of any make, NumPy's too, as those that JSON knows.
        "epochs": operator.index(program.epochs),
        "batch_size": operator.index(program.batch_size),
        "patience": None if patience is None else operator.index(patience),
        "lanes": None if lanes is None else operator.index(lanes),
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "data": [
            leaf.fingerprint if isinstance(leaf, Stored) else fingerprint(np.asarray(leaf))
            for leaf in jax.tree.leaves((program.data[:2], program.validation))
        ],
        "devices": [str(device) for device in (mesh.devices.flat if mesh else jax.devices()[:1])],
        "data_devices": mesh.shape.get(DATA, 1) if mesh else 1,
    }


def filled_up(fitted: Fit, epochs: int) -> Fit:
    """Return a fit that ended before the last epoch with a history as long as that of others, NaN from there on."""

    def fill(values: np.ndarray) -> np.ndarray:
        rest = np.full((*values.shape[:-1], epochs - values.shape[-1]), np.nan, values.dtype)
        return np.concatenate([values, rest], -1)

    return fitted._replace(history={name: fill(values) for name, values in fitted.history.items()})


def warn_of(fitted: Fit) -> None:
    """Say of every member that it diverged, skipped steps, or that no validation of it was a number."""
    status = fitted.status
    diverged, best_epoch, skipped = map(np.atleast_1d, (status.diverged_epoch, status.best_epoch, status.skipped))
    for member in np.flatnonzero((diverged > 0) | (best_epoch == 0) | (skipped > 0)):
        if fitted.members is None:
            who, how = "the run", fitted.describe()
        else:
            values = ", ".join(f"{name}={column[member]:g}" for name, column in fitted.hparams.items())
            who = f"member {member} ({values or f'seed {np.asarray(fitted.seeds)[member]}'})"
            how = fitted.describe(int(member))
        advice = "lower the learning rate, clip the gradient, or scale the data"
        if diverged[member]:
            kept = "last finite state" if skipped[member] else "state before that epoch"
            what = f"{who} {how}; its {kept} is kept: {advice}"
        elif best_epoch[member] == 0:
            what = f"no validation of {who} was finite, so its variables are those before training: look at the score"
        else:
            what = f"{who} {how}, since they were not finite: {advice}"
        warnings.warn(what, RuntimeWarning, stacklevel=3)
