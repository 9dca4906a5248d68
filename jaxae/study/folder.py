"""The folder of a run: it appears whole or not at all, and everything in it is text, numbers or pictures."""

import csv
import itertools
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from jaxae.result import Fit

__all__ = ["appearing", "read_json", "usable_target", "write_history", "write_json"]


def usable_target(out: Path) -> Path:
    """Return the folder to write, or refuse one that holds something else than an earlier run."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file, but the results need a folder: give another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / "config.json").is_file():
        raise ValueError(f"{out} holds something else than a trained model: give a new folder with --out")
    return out


class appearing:  # noqa: N801  (used as a verb)
    """A folder that appears under its name when the block ends well, and leaves nothing behind when it does not."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __enter__(self) -> Path:
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(dir=self.target.parent, prefix=f".{self.target.name}."))
        except OSError as error:
            raise ValueError(f"cannot write to {self.target}: {error.strerror}; give another --out") from None
        return self.folder

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        os.chmod(self.folder, 0o755)
        if self.target.exists():
            old = Path(tempfile.mkdtemp(dir=self.target.parent, prefix=f".{self.target.name}.old."))
            os.replace(self.target, old / "run")
            os.replace(self.folder, self.target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(self.folder, self.target)


def write_history(path: Path, fitted: Fit) -> None:
    """Write a row for every member and epoch."""
    names: list[str] = [name for name in ("loss", "validation") if name in fitted.history]
    names += [name for name in fitted.history if name not in names]
    table = {name: np.atleast_2d(fitted.history[name]) for name in names}
    members, epochs = next(iter(table.values())).shape
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["member", "epoch", *names])
        for member, epoch in itertools.product(range(members), range(epochs)):
            writer.writerow([member, epoch + 1, *(repr(float(table[name][member, epoch])) for name in names)])


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Return what a file of a trained folder holds, or say that it is no trained folder."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        raise ValueError(
            f"{path.parent} is no trained folder: it has no readable {path.name}; jaxae train writes one"
        ) from None
