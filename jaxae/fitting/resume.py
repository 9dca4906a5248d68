"""A run as it was when it was saved: what is saved of it, and how it goes on from there."""

import hashlib
import os
import re
import time
import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxae import __version__, checks, keys
from jaxae.checkpoint import DamagedError, Steps
from jaxae.fitting.course import Course, arguments
from jaxae.fitting.log import Log
from jaxae.fitting.program import Run

__all__ = ["CHANGEABLE", "OtherFitError", "Saves", "identity", "resumed"]

CHANGEABLE = ("data", "program", "jax", "jaxae", "patience")
"""What may differ from the saved fit where that is accepted; of anything else, no arrays would fit."""


class OtherFitError(ValueError):
    """What was saved is another fit.

    Attributes:
        what: which it is, without advice.
        changed: names of what differs, where that alone stands in the way.
    """

    def __init__(self, what: str, advice: str, changed: tuple[str, ...] = ()) -> None:
        super().__init__(f"{what}: {advice}")
        self.what, self.changed = what, changed


class Saves:
    """Saves a course now and then, and says when that fails; a fit goes on without."""

    def __init__(self, steps: Steps, identity: Mapping[str, Any], log: Log, course: Course) -> None:
        """Begin to save a course that stands where it is saved, or at its beginning."""
        self.steps, self.identity, self.log = steps, identity, log
        self._since = time.perf_counter()
        self._safe = {_step(course)} - {0}

    def _epoch(self, step: int) -> float:
        """Return the epochs that a step comes after."""
        return step / self.steps.per_epoch if step % self.steps.per_epoch else step // self.steps.per_epoch

    def after(self, course: Course) -> None:
        """Save a course after a chunk, where it is time to."""
        every = self.steps.keep.every
        waited = time.perf_counter() - self._since >= self.steps.keep.seconds
        saving = self.steps.peers.any(self.steps.saving)
        due = bool(self.steps.peers.of_first(waited and not saving))
        if due or (every is not None and course.epoch % every == 0):
            self._begin(course)
        elif not saving:
            self.finish()

    def last(self, course: Course) -> bool:
        """Save a course where it ends, and return whether all of it is on the disk."""
        self.finish()
        if _step(course) not in self._safe:
            self._begin(course)
            self.finish()
        return _step(course) in self._safe

    def _begin(self, course: Course) -> None:
        self.finish()
        self._since = time.perf_counter()
        try:
            self.steps.save(_step(course), named(course), self.identity, _value(course))
        except OSError as error:
            self._failed(error, _step(course))

    def finish(self) -> None:
        """Wait for what is being written, and say how it ended."""
        try:
            step = self.steps.finished()
        except OSError as error:
            self._failed(error)
        else:
            if step is not None:
                self._safe.add(step)
                self.log.note("saved", epoch=self._epoch(step), seconds=round(time.perf_counter() - self._since, 3))

    def _failed(self, error: OSError, step: int | None = None) -> None:
        epoch = None if step is None else self._epoch(step)
        self.log.note("failed", epoch=epoch, error=str(error))
        what = "the last save" if epoch is None else f"saving epoch {epoch:.6g}"
        kept = f"epoch {self._epoch(max(self._safe)):.6g}" if self._safe else "nothing"
        warnings.warn(
            f"{what} in {self.steps.folder} failed ({error}); the fit goes on, and what was saved before, {kept}, is "
            "as it was: make room, or give another folder",
            RuntimeWarning,
            stacklevel=2,
        )


def _step(course: Course) -> int:
    """Return the number that a course is saved under where it stands."""
    return course.done if course.program.saves_per_epoch == 1 else course.batches


def identity(course: Course, record: Mapping[str, Any], accept: Collection[str]) -> dict[str, Any]:
    """Return what a fit must have in common with one that it goes on from, in JSON types.

    Args:
        course: before its first epoch.
        record: how the fit runs.
        accept: what may differ, of `CHANGEABLE`.

    Raises:
        ValueError: if accept names anything else.
    """
    checks.known("change to accept", accept, CHANGEABLE)
    return {
        **{name: record[name] for name in ("batch_size", "patience", "lanes", "key", "data")},
        "hparams": {name: np.asarray(column).tolist() for name, column in course.hyper.items()},
        "seeds": None if course.seed is None else course.seed.tolist(),
        "program": _fingerprint(course),
        "jax": jax.__version__,
        "jaxae": __version__,
        "devices": len(record["devices"]),
        "data_devices": record["data_devices"],
        "threads": _threads(),
    }


def _threads() -> int | None:
    """Return among how many threads XLA divides loops and products on a CPU, which their last bits depend on.

    They are as many as cores, or as host devices where these are more; the variable NPROC stands for the cores.
    """
    if jax.default_backend() != "cpu":
        return None
    given = os.environ.get("NPROC", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(int(given) if given.isdigit() else cores, jax.local_device_count())


def _fingerprint(course: Course) -> str:
    """Return a digest of what a member computes, from its beginning on: of another model or learner it is another."""
    begin, advance = course.program.member
    # How many batches of shards come together is no part of it.
    own, shared = arguments(course, batches=1)
    own, shared = _shapes(own, axes=int(course.seed is not None)), _shapes(shared)
    digest = hashlib.sha256()
    for traced in (
        jax.make_jaxpr(begin)((own[1][0].order, own[1][1]), _shapes(course.program.example)),
        jax.make_jaxpr(advance)(own, shared),
    ):
        # Where functions lie in memory is another place in every process.
        digest.update(re.sub(r"0x[0-9a-f]+", "", str(traced.jaxpr)).encode())
        for constant in _constants(traced):
            digest.update(np.asarray(keys.words(constant)).tobytes())
    return digest.hexdigest()


def _shapes(tree: Any, axes: int = 0) -> Any:
    """Return shapes and dtypes, less leading axes, and nothing of where arrays lie: a trace that knows is another."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf)[axes:], leaf.dtype), tree)


def _constants(value: Any) -> Iterator[Any]:
    """Yield every array that a traced function closes over, those of functions in it included: no text shows them."""
    if isinstance(value, core.ClosedJaxpr):
        yield from value.consts
        value = value.jaxpr
    if isinstance(value, core.Jaxpr):
        for equation in value.eqns:
            yield from _constants(tuple(equation.params.values()))
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _constants(each)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def named(course: Course) -> dict[str, Any]:
    """Return every array that a course needs to go on, by name; keys as plain words."""
    arrays: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(course.run):
        name = _name(path)
        if name in arrays:
            raise ValueError(
                f"two arrays of the fit are called {name}: rename what has a slash in its name to save them"
            )
        arrays[name] = keys.words(leaf)
    return {**arrays, **{f"history/{name}": values for name, values in course.history.items()}}


def resumed(course: Course, steps: Steps, own: Mapping[str, Any], accept: Collection[str]) -> Course:
    """Return a course as it was when it was saved last; where that is damaged, the time before.

    Args:
        course: before its first epoch.
        steps: where it was saved.
        own: its `identity`.
        accept: what may differ from the saved one.

    Raises:
        DamagedError: if nothing that was saved can be read.
        OtherFitError: if what was saved is another fit.
    """
    damaged: dict[int, DamagedError] = {}
    for epoch in reversed(steps.epochs()):
        try:
            found = _at(course, steps, epoch, own, accept)
        except DamagedError as error:
            warnings.warn(f"{error}; the save before it is tried", RuntimeWarning, stacklevel=2)
            damaged[epoch] = error
            continue
        for each in damaged:
            steps.set_aside(each)
        return found
    if damaged:
        raise next(iter(damaged.values()))
    return course


def _at(course: Course, steps: Steps, epoch: int, own: Mapping[str, Any], accept: Collection[str]) -> Course:
    about, path = steps.about(epoch), steps.folder
    _compare(about["record"], own, path, accept)
    per_epoch = course.program.saves_per_epoch
    done, within = divmod(epoch, per_epoch)
    if epoch > course.program.epochs * per_epoch:
        raise OtherFitError(
            f"{path} holds a fit of {epoch / per_epoch:.6g} epochs, more than the {course.program.epochs} asked for",
            "give another folder, or at least as many epochs",
        )
    fresh = named(course._replace(history={}))
    expected = {name: [list(leaf.shape), str(leaf.dtype)] for name, leaf in fresh.items()}
    saved = {name: each[:2] for name, each in about["arrays"].items()}
    history = {name: each for name, each in saved.items() if name.startswith("history/")}
    for name in dict.fromkeys([*expected, *(name for name in saved if name not in history)]):
        if saved.get(name) != expected.get(name):
            raise OtherFitError(
                f"{path} holds a fit of another model, whose {name} is {_said(saved.get(name))} and not "
                f"{_said(expected.get(name))}",
                "give another folder, or the model and learner of that fit",
            )
    like = {**fresh, **{name: np.zeros(*each) for name, each in history.items()}}
    arrays = steps.read(epoch, like)
    rows = {name.removeprefix("history/"): np.asarray(arrays[name]) for name in history}
    was = about["record"]
    moved = _moved(was, own)
    if moved:
        where, advice = moved
        warnings.warn(
            f"{path} was saved {where}: it equals the uninterrupted fit to rounding, not to the bit{advice}",
            RuntimeWarning,
            stacklevel=2,
        )
    run = _in_place_of(course.run, arrays)
    if own["patience"] != about["record"]["patience"]:
        waiting = True if own["patience"] is None else run.epochs - run.best_epoch < own["patience"]
        run = run._replace(training=(run.diverged_epoch == 0) & waiting)
    if own["data"] != about["record"]["data"]:
        # What was best on other rows says nothing.
        run = run._replace(best_loss=jnp.full_like(run.best_loss, jnp.inf))
    return course._replace(run=run, history=rows, done=done, within=within)


def _moved(was: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what of the place that a fit goes on in may change its last bits, and what would keep them."""
    apart = own["data_devices"] != was.get("data_devices", 1)
    if apart or (own["devices"] != was["devices"] and own["lanes"] is None and own["seeds"] is not None):
        advice = "" if apart else "; lanes=... would keep the bits"
        return f"on {was['devices']} devices and goes on on {own['devices']}", advice
    if own["threads"] != was.get("threads", own["threads"]):
        where = f"where XLA works with {was['threads']} threads and goes on with {own['threads']}"
        return where, f"; NPROC={was['threads']} in the environment would keep the bits"
    return None


def _compare(saved: Mapping[str, Any], own: Mapping[str, Any], path: Any, accept: Collection[str]) -> None:
    placed = ("devices", "data_devices", "threads")
    other = [name for name in own if name not in placed and saved.get(name) != own[name]]
    changed = [name for name in other if name not in accept]
    if not changed:
        return
    where = [f"{name} ({saved.get(name)!s:.40}, now {own[name]!s:.40})" for name in changed]
    advice = "give another folder, or the arguments of that fit to go on with it"
    if set(changed) <= set(CHANGEABLE):
        advice += f"; or accept={tuple(changed)!r} to go on all the same"
    raise OtherFitError(f"{path} holds a fit with another {', '.join(where)}", advice, tuple(changed))


def _said(array: Any) -> str:
    return "missing" if array is None else f"{array[1]}{tuple(array[0])}"


def _in_place_of(run: Run, arrays: Mapping[str, Any]) -> Run:
    """Return the saved run on the devices of the fresh one."""

    def one(path: Any, fresh: Any) -> Any:
        leaf = arrays[_name(path)]
        if not fresh.committed:
            # Where the fresh run is bound to no device the saved one must not be either, or it is compiled for anew.
            leaf = jnp.asarray(np.asarray(leaf))
        return keys.like(leaf, fresh)

    return jax.tree_util.tree_map_with_path(one, run)


def _value(course: Course) -> float:
    """Return what tells how good a course is at its last epoch: of its best member."""
    name = "validation" if "validation" in course.history else "loss"
    values = np.atleast_2d(course.history.get(name, np.full((1, 1), np.nan)))[:, -1]
    return float(np.min(values[np.isfinite(values)], initial=np.inf))
