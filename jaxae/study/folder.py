"""The folder of a run: it appears whole or not at all, and everything in it is text, numbers or pictures."""

import csv
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["appearing", "ask", "asked", "forget", "read_json", "usable_target", "write_history", "write_json"]


OWN_FILES = {
    "config.json",
    "history.csv",
    "log.jsonl",
    "metrics.json",
    "model.safetensors",
    "pictures.json",
    "reference.npy",
    "report.html",
    "timing.json",
}
"""What every run writes, beside the pictures that `pictures.json` lists."""

ASKED = "command.json"
LOG = "log.jsonl"


def usable_target(out: Path, source: Path | None = None) -> Path:
    """Return the folder to write, absolute, or refuse one in which something of the user's would be lost.

    Args:
        out: free, an empty folder, or one that holds an earlier run and nothing else.
        source: the file with the data, which must not be in it.

    Raises:
        ValueError: for any other, and where nothing can be written.
    """
    target = Path(os.path.abspath(out))
    if target.exists() and not target.is_dir():
        raise ValueError(f"{out} is a file, but the results need a folder: give another --out")
    if target == Path.cwd() or target in Path.cwd().parents:
        raise ValueError(f"{out} is the folder you are in, which cannot be replaced: give another --out")
    if source is not None and target in Path(os.path.abspath(source)).parents:
        raise ValueError(f"{out} holds the data {source}, which would be lost: give another --out")
    foreign = sorted(path.name for path in target.iterdir() if path.name not in _own(target)) if target.is_dir() else []
    if foreign:
        raise ValueError(
            f"{out} holds something else than a trained model, {foreign[0]}, which would be lost: give "
            "another --out, or move it away"
        )
    ancestor = next(parent for parent in target.parents if parent.exists())
    try:
        os.rmdir(tempfile.mkdtemp(dir=ancestor, prefix=f".{target.name}."))
    except OSError as error:
        raise ValueError(f"cannot write to {out}: {error.strerror}; give another --out") from None
    return target


def _own(folder: Path) -> set[str]:
    """Return the names of the files that an earlier run wrote into the folder; none where there was none."""
    try:
        config, pictures = (json.loads((folder / name).read_text()) for name in ("config.json", "pictures.json"))
        stems = [Path(picture["file"]).stem for picture in pictures]
        models = {each["file"] for each in config.get("architectures", ())}
        drawn = {f"{stem}.{kind}" for stem in stems for kind in ("png", "csv", "npz")}
        return OWN_FILES | models | drawn if config["recipe"] else set()
    except (OSError, ValueError, TypeError, KeyError):
        return set()


class appearing:  # noqa: N801  (used as a verb)
    """A folder that appears under its name when the block ends well, and leaves nothing behind when it does not."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __enter__(self) -> Path:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(dir=self.target.parent, prefix=f".{self.target.name}."))
        return self.folder

    def __exit__(self, kind: Any, *_: Any) -> None:
        old = self.folder.with_name(self.folder.name + ".old")
        try:
            if kind is None:
                umask = os.umask(0)
                os.umask(umask)
                os.chmod(self.folder, 0o777 & ~umask)
                if self.target.exists():
                    os.replace(self.target, old)
                os.replace(self.folder, self.target)
        except OSError:
            if old.exists() and not self.target.exists():
                os.replace(old, self.target)
            raise
        finally:
            shutil.rmtree(old, ignore_errors=True)
            shutil.rmtree(self.folder, ignore_errors=True)


def ask(folder: Path, command: str) -> None:
    """Write into the folder of a training that is under way what was asked for, and where one was.

    Raises:
        ValueError: if the folder holds anything else, or cannot be written to.
    """
    foreign = _foreign(folder)
    if foreign:
        raise ValueError(
            f"{folder} is where this training would be saved, but it holds something else, {foreign[0]}: move it away, "
            "or give another --out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / ASKED, {"command": command, "folder": os.getcwd()})
    except OSError as error:
        raise ValueError(f"cannot write to {folder}: {error.strerror}; give another --out") from None


def forget(folder: Path) -> None:
    """Remove the folder of a training that is over; any other stays."""
    if (folder / ASKED).exists() and not _foreign(folder):
        shutil.rmtree(folder, ignore_errors=True)


def _foreign(folder: Path) -> list[str]:
    """Return the names in the folder of a training that is under way that no training wrote."""
    names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    return [name for name in names if name not in (ASKED, LOG) and not name.isdigit()]


def asked(folder: Path) -> tuple[str, str]:
    """Return what `ask` wrote: the command, and the folder that it was given in."""
    found = json.loads((folder / ASKED).read_text())
    return found["command"], found["folder"]


def write_history(path: Path, history: Mapping[str, np.ndarray]) -> None:
    """Write a row for every member and epoch."""
    names: list[str] = [name for name in ("loss", "validation") if name in history]
    names += [name for name in history if name not in names]
    table = {name: np.atleast_2d(history[name]) for name in names}
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
