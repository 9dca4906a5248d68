"""The run log as TensorBoard reads it."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["to_tensorboard"]


def to_tensorboard(log: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    """Write the log of a fit, `fit(log=...)`, as scalars by epoch for TensorBoard, and return the file.

    It replaces what an earlier call wrote in that folder, so a log that has grown is written anew.

    Scalars are `loss` and `validation` (of every member, or the least, median and greatest of many), `alive`,
    `steps_per_second`, `memory`, and for members that it befell `skipped`, the number of their steps, and `diverged`,
    the step.

    Args:
        log: file of the log.
        folder: that TensorBoard is shown; made where there is none.

    Raises:
        ImportError: where tensorboardX is not installed.
        ValueError: if there is no such log, or it is none.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise ImportError("writing for TensorBoard needs tensorboardX: pip install 'jaxae[tensorboard]'") from None
    log, folder = Path(log), Path(folder)
    scalars = list(_scalars(_events(log)))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"events.out.tfevents.{log.stem}"
    with tempfile.TemporaryDirectory(dir=folder) as draft:
        writer = SummaryWriter(draft)
        for name, value, epoch, when in scalars:
            writer.add_scalar(name, value, epoch, walltime=when)
        writer.close()
        (made,) = Path(draft).iterdir()
        os.replace(made, path)
    return path


def _events(log: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = log.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read the log {log} ({error}): give the file that was given as fit(log=...)") from None
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
            yield {"event": event["event"], "time": float(event["time"]), **event}
        except (ValueError, TypeError, KeyError):
            if number == len(lines) or not line.endswith("}"):
                continue  # what a kill cut off
            raise ValueError(
                f"line {number} of {log} is no event of a fit: give the file that was given as fit(log=...)"
            ) from None


def _scalars(events: Iterator[dict[str, Any]]) -> Iterator[tuple[str, float, int, float]]:
    """Yield name, value, epoch and time."""
    epoch = 0
    for event in events:
        epoch = event.get("epoch", epoch) if event["event"] == "chunk" else epoch
        found: dict[str, Any] = {}
        if event["event"] == "chunk":
            for name in ("loss", "validation"):
                found |= _members(name, event[name], "member")
            found |= {name: event[name] for name in ("alive", "steps_per_second")}
            found |= _members("memory", event["memory"], "device")
        elif event["event"] == "skipped":
            found[f"skipped/member_{event['member']}"] = event["steps"]
        elif event["event"] == "diverged":
            found[f"diverged/member_{event['member']}"] = event["step"]
        for name, value in found.items():
            if value is not None:
                yield name, value, epoch, event["time"]


def _members(name: str, values: Any, of: str) -> dict[str, Any]:
    if isinstance(values, dict):
        return {f"{name}/{which}": value for which, value in values.items()}
    if values and len(values) == 1:
        return {name: values[0]}
    return {f"{name}/{of}_{i}": value for i, value in enumerate(values or ())}
