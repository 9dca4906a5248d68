"""Processes that train together: one program on the devices of all of them, in which every process does the same.

What a process knows for itself alone, such as the time or a signal, it tells the others before anything depends on it.
"""

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxae import checks, keys

__all__ = ["TRY_AGAIN", "Peers", "connect", "peers", "place", "read", "watched"]

HEARTBEAT = 30
"""Seconds without a sign of life after which a process counts as dead."""

TRY_AGAIN = 75
"""Exit status of a program that can be started again."""
GONE = ("Gloo", "UNAVAILABLE", "DEADLINE_EXCEEDED", "onnection", "eartbeat")
"""Of what JAX says where a process that it exchanges something with is gone, one or another."""
WRITING = 3600
"""Seconds that the others wait at their end for the first process, which writes the results."""


def connect(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    heartbeat: int = HEARTBEAT,
) -> None:
    """Join this process with the others of a run: `jax.distributed.initialize`, set up for fits that can be stopped.

    To be called before JAX is used. Under SLURM, Open MPI, Kubernetes and on TPU pods JAX finds out by itself what is
    left out here.

    Args:
        coordinator: host:port of the first process, the same in all.
        processes: how many there are.
        process: the number of this one, from 0.
        heartbeat: seconds without a sign of life after which a process counts as dead, and the others end.

    Raises:
        ValueError: if something is neither given nor found out, or JAX was used already.
    """
    given = {"coordinator": coordinator, "processes": processes, "process": process}
    missing = [name for name, value in given.items() if value is None]
    if coordinator is not None and not coordinator.rpartition(":")[2].isdigit():
        raise ValueError(f"coordinator is {coordinator!r}, but must be HOST:PORT: 10.0.0.1:1234")
    if processes is not None:
        checks.whole("processes", processes)
    if process is not None:
        checks.whole("process", process, low=0, high=None if processes is None else processes - 1)
    checks.whole("heartbeat", heartbeat)
    # It would catch SIGTERM, and then wait for a sign that a loop in chunks never gives.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            heartbeat_timeout_seconds=heartbeat,
            shutdown_timeout_seconds=WRITING,
        )
    except ValueError as error:
        raise ValueError(
            f"this process cannot join others ({error}): give {', '.join(missing)}, or start it by a launcher that JAX "
            "knows, such as srun or mpirun"
        ) from None
    except RuntimeError as error:
        raise ValueError(f"this process cannot join others: {error}") from None


class Peers(NamedTuple):
    """The processes of a fit. In one that has a single process everything is as that process says.

    Attributes:
        several: whether there is more than one.
    """

    several: bool = False

    @property
    def first(self) -> bool:
        """Whether this process is the one that speaks and writes for all."""
        return not self.several or jax.process_index() == 0

    def of_first(self, number: int) -> int:
        """Return the whole number that the first process has."""
        if not self.several:
            return number
        from jax.experimental import multihost_utils

        return int(multihost_utils.broadcast_one_to_all(np.asarray(number, np.int32)))

    def any(self, flag: bool) -> bool:
        """Return whether any process says so."""
        return flag if not self.several else bool(self._all(int(flag)).any())

    def well(self, error: Exception | None, what: str) -> None:
        """Raise the error of this process, or of another one.

        Raises:
            ValueError: if only others have one.
        """
        failed = [error is not None] if not self.several else self._all(int(error is not None)).astype(bool)
        if error is not None:
            raise error
        if any(failed):
            raise ValueError(f"process {int(np.argmax(failed))} could not {what}: see what it says")

    def same(self, words: str, what: str) -> None:
        """Refuse to go on where processes were given different things.

        Raises:
            ValueError: in every process.
        """
        if self.several:
            import zlib

            sums = self._all(zlib.crc32(words.encode()) >> 1)
            if (sums != sums[0]).any():
                raise ValueError(
                    f"process {int(np.argmax(sums != sums[0]))} was given another {what} than process 0: give all "
                    "processes the same arguments and data"
                )

    def _all(self, number: int) -> np.ndarray:
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.process_allgather(np.asarray(number, np.int32))).reshape(-1)


def peers(mesh: Mesh | None) -> Peers:
    """Return the processes whose devices a mesh holds.

    Raises:
        ValueError: if it holds those of several processes, but not of all.
    """
    if mesh is None or not mesh.is_multi_process:
        return Peers()
    held = {device.process_index for device in mesh.devices.flat}
    if len(held) < jax.process_count():
        raise ValueError(
            f"the mesh holds devices of {len(held)} of {jax.process_count()} processes, but must hold some of all, or "
            "of one: jax.make_mesh((jax.device_count(),), ...)"
        )
    return Peers(several=True)


def place(tree: Any, mesh: Mesh, spec: PartitionSpec) -> Any:
    """Return arrays that every process has as arrays on the devices of all; those that lie so stay as they are."""
    sharding = NamedSharding(mesh, spec)

    def one(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            return leaf if leaf.sharding.is_equivalent_to(sharding, leaf.ndim) else _resharded(sharding)(leaf)
        array = np.asarray(keys.words(leaf))
        return keys.like(jax.make_array_from_callback(array.shape, sharding, lambda index: array[index]), leaf)

    return jax.tree.map(one, tree)


def read(tree: Any) -> Any:
    """Return arrays, wherever they lie, as ones that this process has whole, on the host; keys as plain words.

    All processes must ask for the same.
    """
    leaves, structure = jax.tree.flatten(jax.tree.map(keys.words, tree))
    apart = [i for i, leaf in enumerate(leaves) if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable]
    if apart:
        mesh = leaves[apart[0]].sharding.mesh
        whole = _resharded(NamedSharding(mesh, PartitionSpec()))([leaves[i] for i in apart])
        for i, leaf in zip(apart, whole, strict=True):
            leaves[i] = leaf.addressable_data(0)
    return jax.tree.unflatten(structure, jax.device_get(leaves))


@functools.cache
def _resharded(sharding: NamedSharding) -> Any:
    return jax.jit(lambda tree: tree, out_shardings=sharding)


@contextlib.contextmanager
def watched(peers: Peers, seconds: float, doing: str) -> Iterator[None]:
    """End this process, with status 75 and a message, where another one is gone or does not answer.

    A process that is gone breaks what the block exchanges with it, or JAX itself ends this one when no sign of life has
    come for as long as `connect` says. One that lives and does nothing shows by the time that the block takes. Nothing
    less than the end of the process would do: what JAX does at an interpreter's exit waits for the others.

    Args:
        peers: the processes of a fit.
        seconds: that the block takes at most.
        doing: what it does, for the message.
    """
    if not peers.several:
        yield
        return

    def end(why: str) -> None:
        sys.stderr.write(
            f"jaxae: {why} in {doing}; this process ends, and the same call goes on from what was saved, with the "
            "processes that are left\n"
        )
        sys.stderr.flush()
        os._exit(TRY_AGAIN)

    timer = threading.Timer(seconds, end, [f"another process gave no answer for {seconds:.0f} s"])
    timer.daemon = True
    timer.start()
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        said = str(error)
        if not any(sign in said for sign in GONE):
            raise
        end(f"another process is gone ({said.splitlines()[0][:100]})")
    finally:
        timer.cancel()
