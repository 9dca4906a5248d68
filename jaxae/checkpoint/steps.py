"""A fit while it trains, as steps in a folder that Orbax keeps; every array has a checksum, which Orbax's do not.

A step is an epoch at whose end the fit was saved, or a batch of a long one. It appears under its number when all
of it is on the disk, whenever the process that writes it is killed.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxae import checks
from jaxae.checkpoint.restored import UnreadableError, restored
from jaxae.hosts import Peers, read
from jaxae.types import Array

__all__ = ["DamagedError", "Keep", "Steps"]

FORMAT = "jaxae.steps"
VERSION = 1
UNFINISHED = ".orbax-checkpoint-tmp"
DAMAGED = ".damaged"
LOCK = "lock"
ALONE = Peers()


class DamagedError(ValueError):
    """What was saved cannot be read as it was written."""


class Keep(NamedTuple):
    """How often a fit is saved while it trains, and which of its saves stay.

    Attributes:
        seconds: between two saves at least; the end is always saved.
        last: so many of the newest stay, ≥ 1.
        best: so many of the best stay, by the least validation, or loss without validation, of any member.
        every: the epochs that are multiples of this are saved, and stay; None has none.
    """

    seconds: float = 60.0
    last: int = 2
    best: int = 1
    every: int | None = None


class Steps:
    """The saves of one fit.

    Saving goes on in the background, one save at a time; `finished` says when it is over, and how it ended.
    """

    def __init__(self, folder: str | os.PathLike[str], keep: Keep, per_epoch: int = 1, peers: Peers = ALONE) -> None:
        """Look at a folder; nothing is written yet.

        Args:
            folder: of a fit that was saved before, or one that is empty or not there; of several processes, one that
                all of them see.
            keep: which saves stay.
            per_epoch: places of an epoch at which it can be saved; steps are numbered by them.
            peers: the processes that save together: each what it holds, at the same time.

        Raises:
            TypeError, ValueError: if the folder is a file or holds anything else, or keep is not as `Keep` says.
        """
        if not isinstance(keep, Keep):
            raise TypeError(f"keep is {keep!r}, but must be a Keep: ja.checkpoint.Keep(last=3)")
        checks.whole("last of keep", keep.last)
        checks.whole("best of keep", keep.best, low=0)
        if keep.every is not None:
            checks.whole("every of keep", keep.every)
        if not keep.seconds >= 0:
            raise ValueError(f"seconds of keep is {keep.seconds}, but must be ≥ 0")
        self.folder, self.keep, self.per_epoch = Path(os.path.abspath(folder)), keep, per_epoch
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{folder} is a file, but a fit is saved in a folder while it trains: give another path")
        for entry in self.folder.iterdir() if self.folder.exists() else ():
            name = entry.name
            if not (name.isdigit() or name == LOCK or name.endswith(DAMAGED) or UNFINISHED in name):
                raise ValueError(f"{folder} holds something else than a saved fit, {name}: give another folder")
        self.peers = peers
        self._opened: Any = None
        self._saving: int | None = None
        self._lock: Any = None

    def claim(self) -> None:
        """Make the folder, and keep every process of another fit from writing into it until `close`.

        Raises:
            ValueError: if another process has claimed it, or it cannot be written to.
        """
        error = None
        try:
            if self.peers.first:
                self._claim()
        except ValueError as own:
            error = own
        self.peers.well(error, f"write to {self.folder}")
        if not self.folder.is_dir():
            error = ValueError(f"this process does not see {self.folder}: give a folder that all processes share")
        self.peers.well(error, f"see {self.folder}")

    def _claim(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / LOCK).open("w")
        except OSError as error:
            raise ValueError(f"cannot write to {self.folder}: {error.strerror}; give another folder") from None
        self._lock = lock
        try:
            import fcntl
        except ImportError:  # where there is none, nobody is kept out
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise ValueError(
                f"{self.folder} is being written to by another process: wait for it, or give another folder"
            ) from None

    @property
    def _manager(self) -> Any:
        if self._opened is None:
            # Takes seconds to import, and nothing needs it before the first save.
            import orbax.checkpoint as ocp
            from orbax.checkpoint import checkpoint_managers as policies

            kept = [policies.LatestN(self.keep.last)]
            if self.keep.best:
                best = policies.BestN(
                    get_metric_fn=_worth, reverse=True, n=self.keep.best, keep_checkpoints_without_metrics=False
                )
                kept.append(best)
            if self.keep.every is not None:
                kept.append(policies.EveryNSteps(self.keep.every * self.per_epoch))
            options = ocp.CheckpointManagerOptions(
                preservation_policy=policies.AnyPreservationPolicy(kept),
                # Or what the best are told by would not be written, and forgotten by the next process.
                best_fn=_worth,
                best_mode="min",
                # What is unfinished may be another process's, which has claimed the folder.
                cleanup_tmp_directories=self._lock is not None,
            )
            self._opened = ocp.CheckpointManager(self.folder, options=options)
        return self._opened

    def epochs(self) -> list[int]:
        """Return the epochs that are saved, in their order: those on the disk, and not those still being written.

        Raises:
            OSError: if the folder cannot be read any more.
        """
        if not self.folder.exists():
            return []
        return sorted(int(entry.name) for entry in self.folder.iterdir() if entry.name.isdigit())

    def save(self, epoch: int, arrays: Mapping[str, Any], record: Mapping[str, Any], value: float) -> None:
        """Begin to save an epoch, and return while the disk still writes; nothing else may be being saved.

        Args:
            epoch: the number of the step.
            arrays: {name: array}, on devices or on the host.
            record: what they belong to, in JSON types.
            value: that the best are told by, smaller is better; not finite is worse than any.

        Raises:
            OSError: if it cannot be written, as far as that shows at once.
        """
        import orbax.checkpoint as ocp

        # Orbax refuses arrays without entries; whoever reads them knows them by their shape.
        held = {name: array for name, array in arrays.items() if math.prod(np.shape(array))}
        sums = _checksums(held)
        content = {
            "format": FORMAT,
            "version": VERSION,
            "epoch": int(epoch),
            "record": dict(record),
            "arrays": {
                name: [list(np.shape(array)), str(array.dtype), sums.get(name, [0, 0])]
                for name, array in arrays.items()
            },
        }
        about = {"content": content, "sha256": _digest(content)}
        args = ocp.args.Composite(arrays=ocp.args.StandardSave(held), about=ocp.args.JsonSave(about))
        metrics = {"value": float(value)} if np.isfinite(value) else None
        try:
            self._manager.save(int(epoch), args=args, metrics=metrics, force=True)
        except Exception as error:
            self._opened = None
            raise _as_written(error) from error
        self._saving = int(epoch)

    def finished(self) -> int | None:
        """Wait until nothing is being saved, and return the epoch that was, if any.

        Raises:
            OSError: if it could not be written; what was saved before is as it was.
        """
        epoch, self._saving = self._saving, None
        if epoch is None:
            return None
        failed = None
        try:
            self._manager.wait_until_finished()
            if epoch not in self.epochs():
                failed = OSError(f"epoch {epoch} is not in {self.folder}, though nothing said why")
        except Exception as error:
            failed = _as_written(error)
        if self.peers.any(failed is not None):
            # It would go on to count what is not there.
            self._opened = None
            raise failed or OSError("another process could not write its part")
        return epoch

    @property
    def saving(self) -> bool:
        """Whether a save is still being written."""
        return self._saving is not None and self._manager.is_saving_in_progress()

    def close(self) -> None:
        """Wait for what is being written, and let the folder go."""
        self._shut()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def set_aside(self, epoch: int) -> None:
        """Rename what was saved at an epoch, so that it counts no longer and can be saved again."""
        if self.peers.first:
            aside = self.folder / f"{epoch}{DAMAGED}"
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(self.folder / str(epoch), aside)
        self.peers.well(None, "set it aside")
        self._shut()

    def _shut(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def about(self, epoch: int) -> dict[str, Any]:
        """Return what an epoch's step says of itself: `record`, and shape, dtype and checksum of its `arrays`.

        Raises:
            DamagedError: if it is not what was written.
            ValueError: if it is of another version.
        """
        import orbax.checkpoint as ocp

        path = self.folder / str(epoch)
        try:
            found = restored(path, about=ocp.args.JsonRestore())
            content, digest = found["content"], found["sha256"]
        except (UnreadableError, LookupError, TypeError) as error:
            raise DamagedError(
                f"{path} is damaged: what it says of itself cannot be read ({_short(error, path)})"
            ) from None
        if digest != _digest(content):
            raise DamagedError(f"{path} is damaged: what it says of itself does not match its digest")
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise ValueError(
                f"{path} has format {content['format']!r} version {content['version']}, but this program reads "
                f"{FORMAT!r} version {VERSION}"
            )
        return content

    def read(self, epoch: int, like: Mapping[str, Any]) -> dict[str, Array]:
        """Return the arrays of an epoch, of the shapes, dtypes and shardings of those given, or on the host like those.

        Raises:
            DamagedError: if one of them cannot be read, or is not what was written; the message names it.
        """
        import orbax.checkpoint as ocp

        path, told = self.folder / str(epoch), self.about(epoch)["arrays"]
        wanted = {
            name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
            if isinstance(leaf, jax.Array)
            else leaf
            for name, leaf in like.items()
            if math.prod(leaf.shape)
        }
        found, damaged = {}, None
        try:
            found = restored(path, arrays=ocp.args.StandardRestore(wanted))
        except UnreadableError as error:
            said = _short(error, path)
            name = max((name for name in like if name in said), key=len, default="an array")
            damaged = DamagedError(f"{path} is damaged: {name} cannot be read ({said[:100]})")
        if self.peers.any(damaged is not None):
            raise damaged or DamagedError(f"{path} is damaged: another process cannot read its part")
        for name, own in _checksums(found).items():
            if own != told[name][2]:
                raise DamagedError(f"{path} is damaged: {name} is not what was written")
        return {name: found.get(name, leaf) for name, leaf in like.items()}


def _worth(metrics: Any) -> float:
    return metrics["value"]


def _checksums(arrays: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return two sums of every array's words, the same however it is spread over devices.

    One weighs every word by an odd number of its own, so no word can change alone; the other mixes word and place.
    """
    on_host = {name: array for name, array in arrays.items() if not isinstance(array, jax.Array)}
    sums = {name: np.stack(_sums(np, array.reshape(-1).view(_words(array)))) for name, array in on_host.items()}
    # Those of devices never change their shape, so they are compiled for once.
    sums |= read(_on_devices({name: array for name, array in arrays.items() if name not in on_host}))
    return {name: both.tolist() for name, both in sums.items()}


@jax.jit
def _on_devices(arrays: Mapping[str, Array]) -> dict[str, Array]:
    def sums(array: Array) -> Array:
        if jnp.issubdtype(array.dtype, jnp.complexfloating):
            array = jnp.stack([array.real, array.imag], -1)
        array = array.astype(jnp.uint8) if array.dtype == bool else array
        return jnp.stack(_sums(jnp, jax.lax.bitcast_convert_type(array, _words(array)).reshape(-1)))

    return {name: sums(array) for name, array in arrays.items()}


def _words(array: Any) -> Any:
    """Return the unsigned type of an array's words: as wide as its numbers, or four bytes."""
    width = np.dtype(array.dtype).itemsize
    return np.dtype(f"uint{8 * (width if width < 4 else 4)}")


def _sums(library: Any, words: Any) -> list[Any]:
    words = words.astype(library.uint32)
    place = library.arange(words.size, dtype=library.uint32)
    mixed = words ^ (place * library.uint32(0x9E3779B1))
    mixed = (mixed ^ (mixed >> library.uint32(16))) * library.uint32(0x85EBCA6B)
    mixed ^= mixed >> library.uint32(13)
    weighted = words * (library.uint32(2) * place + library.uint32(1))
    return [library.sum(each, dtype=library.uint32) for each in (weighted, mixed)]


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _short(error: Exception, path: Path | None = None) -> str:
    first = (str(error) if path is None else str(error).replace(str(path), "")).strip().splitlines()[:1]
    return (first[0] if first else type(error).__name__)[:120]


def _as_written(error: Exception) -> OSError:
    return error if isinstance(error, OSError) else OSError(_short(error))
