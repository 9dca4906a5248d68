"""Fits in processes of their own, and what they left behind."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["FAMILIES", "Job", "Run", "arrays", "events", "system", "trained"]

FAMILIES = {
    "autoencoder": "A1",
    "denoising": "A2",
    "vae": "A3",
    "sparse": "A5",
    "conditional vae": "A7",
    "gan": "A8",
    "conv": "E2",
    "series": "C1",
}
"""Names of `benchmarks.systems`, whose rows are cut down."""
ROWS = 96
BATCH = 32
DIGITS = 64
"""Of a digest."""
HEARTBEAT = 10
"""Seconds after which a process without a sign of life counts as dead."""


class Job(NamedTuple):
    """A fit.

    Attributes:
        family: of `FAMILIES`.
        folder: its checkpoint; the log lies beside it.
        epochs: in all.
        every: epochs of a chunk, each of which is saved.
        members: of a population in lanes of 2, or None.
        devices: that the members are spread over, or the rows of a single run's batches.
        processes: that share the devices.
        rest: seconds of sleep after every chunk, so that a signal falls outside a save as well.
    """

    family: str
    folder: str
    epochs: int = 40
    every: int = 4
    members: int | None = None
    devices: int = 1
    processes: int = 1
    rest: float = 0.0

    @property
    def log(self) -> Path:
        """File of events."""
        return Path(self.folder + ".jsonl")


def system(family: str) -> Any:
    """Return the system of a family, with few rows."""
    from benchmarks.systems import SYSTEMS

    found = SYSTEMS[FAMILIES[family]]
    return found._replace(rows=ROWS, batch_size=min(BATCH, found.batch_size))


def trained(family: str, seed: int, **how: Any) -> Any:
    """Return the fit of a family's system by a key of this seed; how else is for `ja.fit` to know."""
    import jax

    import jaxae as ja

    given = system(family)
    model = given.model()
    key, batch_size = jax.random.key(seed), given.batch_size
    return ja.fit(model, given.learner(model, 1e-3), given.data(), key=key, batch_size=batch_size, **how)


class Run:
    """A job in processes of its own."""

    def __init__(self, job: Job, cache: str, **environment: str) -> None:
        self.job = job
        command = [sys.executable, "-m", "benchmarks.reliability.runs", json.dumps(job._asdict())]
        own = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.before = len(events(job))
        own |= {"JAX_PLATFORMS": "cpu", **environment}
        pipes |= {"cwd": Path(__file__).parents[2], "env": os.environ | own}
        with socket.socket() as free:
            free.bind(("localhost", 0))
            where = [f"localhost:{free.getsockname()[1]}"]
        self.processes = [subprocess.Popen([*command, *where, str(i)], **pipes) for i in range(job.processes)]
        self.process = self.processes[0]

    def new_events(self) -> list[dict[str, Any]]:
        """Return the events that this process has logged so far."""
        return events(self.job)[self.before :]

    def wait_for(self, event: str, count: int = 1) -> bool:
        """Return whether so many such events came before the process ended."""
        while sum(each["event"] == event for each in self.new_events()) < count:
            if any(process.poll() is not None for process in self.processes):
                return False
            time.sleep(0.002)
        return True

    def ended(self) -> tuple[int, str, str]:
        """Return the exit status, the digest of the fit, and what was said; where processes differ, what they said."""
        found = self.each_ended()
        alike = len({each[:2] for each in found}) == 1
        return found[0] if alike else (-1, "", "".join(each[2] for each in found))

    def each_ended(self) -> list[tuple[int, str, str]]:
        """Return status, digest and what was said of every process."""
        said = [process.communicate() for process in self.processes]
        # Gloo says something, too.
        return [
            (process.returncode, "".join(line for line in out.splitlines() if len(line) == DIGITS), err)
            for process, (out, err) in zip(self.processes, said, strict=True)
        ]


def events(job: Job) -> list[dict[str, Any]]:
    """Return the whole lines of a job's log."""
    if not job.log.exists():
        return []

    def parsed() -> Iterator[dict[str, Any]]:
        for line in job.log.read_text().splitlines():
            try:
                yield json.loads(line)
            except ValueError:  # a line that a kill cut off
                continue

    return list(parsed())


def arrays(folder: str | Path, epoch: int) -> dict[str, np.ndarray]:
    """Return what was saved at an epoch, read and checked."""
    from jaxae.checkpoint import Keep, Steps

    steps = Steps(folder, Keep())
    like = {name: np.zeros(shape, dtype) for name, (shape, dtype, _) in steps.about(epoch)["arrays"].items()}
    found = steps.read(epoch, like)
    steps.close()
    return {name: np.asarray(leaf) for name, leaf in found.items()}


def digest(tree: Any) -> str:
    """Return a digest of every bit of a tree of arrays."""
    import jax

    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        found.update(jax.tree_util.keystr(path).encode() + np.asarray(leaf).tobytes())
    return found.hexdigest()


def main() -> None:
    """Train the job of the first argument, and print the digest of all that came of it."""
    job, where, number = Job(**json.loads(sys.argv[1])), sys.argv[2], int(sys.argv[3])
    import jax

    jax.config.update("jax_num_cpu_devices", job.devices // job.processes)
    import jaxae as ja
    from jaxae import hosts

    if job.processes > 1:
        hosts.connect(where, job.processes, number, heartbeat=HEARTBEAT)
    from jaxae.fitting import course

    course.CHUNK_EPOCHS = job.every
    population: dict[str, Any] = {} if job.members is None else {"seeds": job.members, "lanes": 2}
    if job.devices > 1:
        axis = "data" if job.members is None else "members"
        population["mesh"] = jax.make_mesh((job.devices,), (axis,), axis_types=(jax.sharding.AxisType.Auto,))
    fitted = trained(
        job.family,
        7,
        epochs=job.epochs,
        checkpoint=job.folder,
        keep=ja.checkpoint.Keep(seconds=1e9, last=3, every=job.every),
        log=job.log,
        progress=lambda _: time.sleep(job.rest),
        **population,
    )
    print(digest((fitted.variables, fitted.state, fitted.history, fitted.status)))


if __name__ == "__main__":
    main()
