"""What happens in a fit, as lines of JSON in a file: for machines what progress is for people."""

import json
import os
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxae.progress import Progress

__all__ = ["Log"]

NAMED = 16
"""Members whose losses are all written; of more, the least, the median and the greatest."""


class Log:
    """A file of events, one a line, added to what is there; without a path, nowhere.

    Every line has `event` and `time`, seconds since 1970. The events:

        begun    a fit begins or goes on: about, epoch, epochs, members, compile_seconds
        chunk    so many epochs later, or a part of one where rows come from disk: epoch, loss, validation, alive,
                 seconds, steps_per_second, memory
        saved    an epoch is on the disk, all of it: epoch, seconds that it took
        failed   an epoch could not be saved: epoch, error
        diverged a member did: member, epoch, step
        skipped  a member's learner undid steps that were not finite: member, steps (so far), first
        stopped  by a signal: epoch, signal
        ended    epoch
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        """Open nothing yet: every event opens and closes the file, so that whoever reads it sees all of it.

        Raises:
            ValueError: if the file cannot be written.
        """
        self.path = None if path is None else Path(path)
        if self.path is not None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("ab+") as file:
                    # Who wrote last may have been killed in the middle of a line.
                    if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
                        file.write(b"\n")
            except OSError as error:
                raise ValueError(f"cannot write the log {path}: {error.strerror}; give another path") from None

    def note(self, event: str, **what: Any) -> None:
        """Add an event; a log that cannot be written any more stops no fit."""
        if self.path is None:
            return
        told = {name: _plain(value) for name, value in what.items()}
        line = json.dumps({"event": event, "time": round(time.time(), 3), **told})
        try:
            with self.path.open("a") as file:
                file.write(line + "\n")
        except OSError:
            pass

    def chunk(self, progress: Progress, seconds: float) -> None:
        """Add what a chunk came to."""
        if self.path is not None:
            self.note(
                "chunk",
                epoch=progress.epoch,
                loss=_members(progress.loss),
                validation=None if progress.validation is None else _members(progress.validation),
                alive=progress.training,
                seconds=round(seconds, 3),
                steps_per_second=round(progress.steps_per_second, 1),
                memory=_memory(),
            )


def _members(values: np.ndarray) -> Any:
    """Return what there is to say of one number per member."""
    if len(values) <= NAMED:
        return [float(value) for value in values]
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    return {"least": float(finite.min()), "median": float(np.median(finite)), "greatest": float(finite.max())}


def _memory() -> list[int]:
    """Return the most bytes that every device has held; of one that does not count, such as a CPU, nothing."""
    stats = [device.memory_stats() for device in jax.local_devices()]
    return [each["peak_bytes_in_use"] for each in stats if each and "peak_bytes_in_use" in each]


def _plain(value: Any) -> Any:
    """Return a value in JSON's types, which have no NaN."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
