"""In lanes the same bits for every number of members and of devices: each member is compared with that of the first.

XLA's threads on a CPU are as many in every run, as `invariance` says.
"""

import sys
from typing import Any

import jax
import numpy as np

from benchmarks.reliability.invariance import FAMILIES, THREADS
from benchmarks.reliability.layouts import mesh_of
from benchmarks.reliability.rows import row
from benchmarks.reliability.runs import trained

POPULATIONS = ((64, 1), (1, 8), (2, 1), (5, 2), (16, 4), (33, 3), (64, 8))
"""Members in lanes of 2, and devices."""


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
    """Return the counts of populations, and of those whose members' bits are those of the first."""
    jax.config.update("jax_num_cpu_devices", THREADS)
    found = {"populations": 0, "same bits": 0}
    missed = []
    populations = ((5, 2), (2, 1)) if short else POPULATIONS
    for family in ["vae"] if short else FAMILIES:
        others = in_lanes(family, populations)
        missed += others
        found["populations"] += len(populations)
        found["same bits"] += len(populations) - len(others)
        print(f"{family}: {found}; {others or 'nothing'} missed", file=sys.stderr, flush=True)
    met = found["same bits"] == found["populations"]
    return {**found, "threads": THREADS, "missed": missed, "goal": "all", "met": met}


if __name__ == "__main__":
    row("lanes", measured)
