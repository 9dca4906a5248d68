"""The same bits for every length of a chunk, number of processes and, in lanes, number of devices and of members.

XLA's threads on a CPU are as many in every run: they are as many as cores, or as host devices where these are more, and
another number of them may round otherwise.
"""

import sys
import tempfile
from typing import Any

import jax
import numpy as np

from benchmarks.reliability.layouts import mesh_of
from benchmarks.reliability.rows import row
from benchmarks.reliability.runs import Job, Run, trained

LENGTHS = (1, 2, 3, 5, 12)
EPOCHS = 12
THREADS = 8
"""As many as the most devices of a process."""

POPULATIONS = ((64, 1), (1, 8), (2, 1), (5, 2), (16, 4), (33, 3), (64, 8))
"""Members in lanes of 2, and devices; every member is compared with that of the first."""


def in_lanes(family: str, populations: tuple[tuple[int, int], ...]) -> list[str]:
    """Return which populations have a member whose variables, state or history have other bits than in the first."""
    expected: list[np.ndarray] = []
    missed = []
    for members, devices in populations:
        fitted = trained(family, 7, epochs=2, seeds=members, lanes=2, mesh=mesh_of(devices), progress=False)
        found = [np.asarray(leaf) for leaf in jax.tree.leaves((fitted.variables, fitted.state, fitted.history))]
        expected = expected or found
        pairs = zip(found, expected, strict=True)
        if any(own.tobytes() != all_of_them[:members].tobytes() for own, all_of_them in pairs):
            missed.append(f"{family}, {members} members on {devices} devices")
    return missed


def measured(short: bool) -> dict[str, Any]:
    """Return the counts of runs, and of those whose bits are those of the first."""
    found = {"runs": 0, "same bits": 0}
    missed = []
    jax.config.update("jax_num_cpu_devices", THREADS)
    families = ["vae"] if short else ["autoencoder", "denoising", "vae", "gan", "conv"]
    with tempfile.TemporaryDirectory() as place:
        for family in families:
            first = Job(family, f"{place}/{family}", epochs=EPOCHS, every=EPOCHS, members=4)
            others = [first._replace(every=length) for length in (LENGTHS[1:2] if short else LENGTHS)]
            counts = ((2, 2),) if short else ((2, 1), (2, 2), (4, 1), (4, 2), (4, 4), (8, 1), (3, 1), (3, 3))
            others += [first._replace(devices=devices, processes=processes) for devices, processes in counts]
            alone = [first._replace(members=None, every=length) for length in (() if short else LENGTHS)]
            for jobs in ([first, *others], alone):
                digests = []
                for number, job in enumerate(jobs):
                    own = job._replace(folder=f"{job.folder}-{job.members}-{number}")
                    status, digest, said = Run(own, place, NPROC=str(THREADS)).ended()
                    digests.append(digest if status == 0 else said)
                    if digests[-1] != digests[0]:
                        changed = {
                            name: value for name, value in job._asdict().items() if getattr(jobs[0], name) != value
                        }
                        missed.append(f"{family}, {changed}: {digest[:8] or said[-200:]} for {digests[0][:8]}")
                found["runs"] += len(digests)
                found["same bits"] += sum(digest == digests[0] for digest in digests)
                print(f"{family}: {found}; {missed or 'nothing'} missed", file=sys.stderr, flush=True)
    populations = ((5, 2), (2, 1)) if short else POPULATIONS
    for family in families:
        others = in_lanes(family, populations)
        missed += others
        found["runs"] += len(populations)
        found["same bits"] += len(populations) - len(others)
        print(f"populations of {family}: {found}; {others or 'nothing'} missed", file=sys.stderr, flush=True)
    return {**found, "threads": THREADS, "missed": missed, "goal": "all", "met": found["same bits"] == found["runs"]}


if __name__ == "__main__":
    row("invariance", measured)
