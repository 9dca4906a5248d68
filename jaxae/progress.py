"""Progress of long work: what a chunk of training reports, and a printer for terminals and for plain logs."""

import math
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import NamedTuple, TextIO

import numpy as np

__all__ = ["Progress", "printer"]


class Progress(NamedTuple):
    """Where a fit stands after a chunk.

    Attributes:
        epoch: epochs done by the members that still train, with a part of one where rows come from disk.
        epochs: epochs asked for.
        loss: (members,) mean loss of the last epoch, or of that under way; NaN for a member that has ended; empty
            before the first.
        validation: (members,) of the last epoch, or None without validation.
        training: members that still train.
        compile_seconds: tracing and compiling, until the first step could run.
        run_seconds: training since then.
        steps_per_second: member-steps per second, compile time left out.
        about: what part of the work this is, where it is one of several.
        since: the epoch that the fit went on from, or 0.
    """

    epoch: float
    epochs: int
    loss: np.ndarray
    validation: np.ndarray | None
    training: int
    compile_seconds: float
    run_seconds: float
    steps_per_second: float
    about: str = ""
    since: float = 0

    def seconds_left(self) -> float:
        """Return the seconds until the last epoch at the rate so far, NaN before the first epoch."""
        done = self.epoch - self.since
        return self.run_seconds / done * (self.epochs - self.epoch) if done > 0 else math.nan

    def line(self) -> str:
        """Return one line for people."""
        about = [self.about] if self.about else []
        if not self.epoch:
            what = "one run" if self.training == 1 else f"{self.training} runs"
            said = f"compiled {what} of {self.epochs} epochs as one program in {self.compile_seconds:.1f} s"
            return " · ".join([*about, said])
        parts = [*about, f"epoch {self.epoch:.6g}/{self.epochs}", f"loss {_summary(self.loss)}"]
        if self.validation is not None:
            parts.append(f"validation {_summary(self.validation)}")
        if len(self.loss) > 1:
            parts.append(f"{self.training}/{len(self.loss)} members")
        unit = "member-steps/s" if len(self.loss) > 1 else "steps/s"
        parts += [f"{self.steps_per_second:,.0f} {unit}", f"{self.seconds_left():.0f} s left"]
        return " · ".join(parts)


def _summary(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "not finite"
    median = f"{np.median(finite):.4g}"
    return median if len(values) == 1 else f"{median} ({finite.min():.4g}–{finite.max():.4g})"


def printer(stream: TextIO | None = None, *, every: float = 2.0) -> Callable[[Progress], None]:
    """Return a callback that prints progress: one line redrawn on a terminal, plain lines at intervals elsewhere.

    Args:
        stream: where to print; None is standard error as it is when called.
        every: seconds between plain lines at least; the first and the last are always printed.
    """
    last = -math.inf

    def show(progress: Progress) -> None:
        nonlocal last
        out = stream or sys.stderr
        first, done = progress.epoch == 0, progress.epoch == progress.epochs or progress.training == 0
        if out.isatty() and os.environ.get("TERM") != "dumb":
            width = shutil.get_terminal_size().columns - 1
            out.write("\r\x1b[K" + progress.line()[:width] + ("\n" if first or done else ""))
        elif first or done or time.monotonic() - last >= every:
            last = time.monotonic()
            out.write(progress.line() + "\n")
        out.flush()

    return show
