"""A population that is saved on some devices and restored on others: the same bits, and the same bits when it goes on.

Lanes have a fixed width, so that a member's bits do not depend on who trains beside it.
"""

import itertools
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

import jaxae as ja
from benchmarks.reliability.rows import row
from benchmarks.reliability.runs import FAMILIES, digest, trained
from jaxae.checkpoint import Keep, Steps

EACH = 3
"""Families of every pair of layouts, of which there are twenty."""
LAYOUTS = (1, 2, 3, 4, 8)
MEMBERS, LANES = 5, 2
SAVED, EPOCHS = 3, 5
"""Epochs that are saved, and those that the population trains in the end."""


def mesh_of(devices: int) -> Mesh:
    """Return so many of the devices."""
    return jax.make_mesh((devices,), ("members",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])


def fitted(family: str, devices: int, epochs: int, folder: Path | None = None) -> ja.Fit:
    """Return the population of a family after so many epochs, gone on with where it was saved in the folder."""
    how = {"seeds": MEMBERS, "lanes": LANES, "mesh": mesh_of(devices), "checkpoint": folder}
    return trained(family, 5, epochs=epochs, progress=False, **how)


def as_read(folder: Path, devices: int, saved: ja.Fit) -> bool:
    """Return whether every array, read onto other devices, lies there and has the bits that the fit ended with."""
    steps = Steps(folder, Keep())
    shapes = {name: (shape, dtype) for name, (shape, dtype, _) in steps.about(SAVED)["arrays"].items()}
    mesh = mesh_of(devices)

    def empty(shape: list[int], dtype: str) -> jax.Array:
        # Members that the devices do not divide lie on all of them.
        spec = PartitionSpec("members") if shape and shape[0] % devices == 0 else PartitionSpec()
        return jax.device_put(jnp.zeros(shape, dtype), NamedSharding(mesh, spec))

    like = {name: empty(*each) for name, each in shapes.items()}
    found = steps.read(SAVED, like)
    steps.close()
    own = {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path({"state": saved.state, "history": saved.history})
    }
    return own.keys() <= found.keys() and all(
        found[name].sharding == like[name].sharding and np.asarray(found[name]).tobytes() == leaf.tobytes()
        for name, leaf in own.items()
    )


def measured(short: bool) -> dict[str, Any]:
    """Return the counts of all combinations."""
    jax.config.update("jax_num_cpu_devices", max(LAYOUTS))
    families = itertools.cycle(FAMILIES)
    wanted = [(next(families), *pair) for pair in itertools.permutations(LAYOUTS, 2) for _ in range(EACH)]
    if short:
        wanted = [("autoencoder", 2, 3)]
    found = dict.fromkeys(("combinations", "read bit by bit", "gone on to the same bits"), 0)
    missed: dict[str, int] = {}
    expected: dict[tuple[str, int], str] = {}
    saves: dict[tuple[str, int], tuple[Path, ja.Fit]] = {}
    with tempfile.TemporaryDirectory() as place:
        jax.config.update("jax_compilation_cache_dir", f"{place}/cache")
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        for number, (family, first, second) in enumerate(wanted):
            if (family, second) not in expected:
                expected[family, second] = told(fitted(family, second, EPOCHS))
            if (family, first) not in saves:
                folder = Path(place, f"{number}-saved")
                saves[family, first] = folder, fitted(family, first, SAVED, folder)
            folder, saved = saves[family, first]
            found["combinations"] += 1
            found["read bit by bit"] += as_read(folder, second, saved)
            copy = Path(shutil.copytree(folder, Path(place, f"{number}-copy")))
            with warnings.catch_warnings():
                # In lanes there is nothing to warn of: the bits do not depend on the devices.
                warnings.simplefilter("error")
                same = told(fitted(family, second, EPOCHS, copy)) == expected[family, second]
            found["gone on to the same bits"] += same
            if not same:
                missed[f"{first} to {second}"] = missed.get(f"{first} to {second}", 0) + 1
            shutil.rmtree(copy)
    count = found["combinations"]
    met = found["read bit by bit"] == found["gone on to the same bits"] == count == len(wanted)
    return {**found, "missed, by devices": missed, "goal": f"{len(wanted)} of {len(wanted)}", "met": met}


def told(fit: ja.Fit) -> str:
    """Return a digest of everything that a fit came to."""
    return digest((fit.variables, fit.state, fit.history, fit.status))


if __name__ == "__main__":
    row("layouts", measured)
