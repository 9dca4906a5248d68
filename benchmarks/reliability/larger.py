"""Data larger than memory: shards four times what a process may hold train to the bits of memory, nearly as fast.

The limit is the kernel's on a process's own memory (RLIMIT_DATA), to which files that are mapped do not count: those
the kernel keeps as long as it has room, so what is timed here is read from its cache and not from a disk. In short the
data are four times what the process may take beyond what JAX and the compiled program hold; in full, four times all of
it.
"""

import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import resident
from benchmarks.reliability.rows import row
from benchmarks.reliability.runs import digest

TIMES = 4
MIB = 2**20
BEYOND = 128
"""MiB that a process may take beyond what it has before it sees the data."""
GOAL = 1.15
SHARDS = 16
LONG = (("D1", 784, 160 * MIB, 2), ("A1", 10, 40 * MIB, 10))
"""Systems, the columns and bytes of their rows, and the epochs that are timed together."""
SHORT = (("A1", 10, 4 * MIB, 2),)


def write(folder: Path, bytes_: int, columns: int) -> int:
    """Write shards of so many bytes, and return the number of their rows."""
    draw, rows = np.random.default_rng(0), math.ceil(bytes_ / SHARDS / columns / 4)
    for number in range(SHARDS):
        shard = np.lib.format.open_memmap(folder / f"{number:02d}.npy", "w+", np.float32, (rows, columns))
        for first in range(0, rows, 2**12):
            shard[first : first + 2**12] = draw.random((len(shard[first : first + 2**12]), columns), np.float32)
    return rows * SHARDS


def trained(name: str, data: Any, epochs: int) -> Any:
    """Return the fit of a system on rows; of the least one of wide rows, where time is not the point."""
    import jax

    import jaxae as ja
    from benchmarks.systems import SYSTEMS, autoencoder

    given = SYSTEMS.get(name) or SYSTEMS["A1"]._replace(model=autoencoder((), 2, 784), batch_size=256)
    model = given.model()
    return ja.fit(
        model,
        given.learner(model, 1e-3),
        data,
        key=jax.random.key(7),
        epochs=epochs,
        batch_size=given.batch_size,
        progress=False,
    )


def read(folder: str) -> Any:
    """Return all rows of a folder, in memory."""
    import jaxae as ja

    return ja.Batch(np.concatenate([np.load(path) for path in sorted(Path(folder).glob("*.npy"))]))


def limited(job: dict[str, Any]) -> dict[str, Any]:
    """Train on a folder within a limit, or say what stood in the way."""
    import jaxae as ja

    if job["limit"]:
        resource.setrlimit(resource.RLIMIT_DATA, (job["limit"], resource.RLIM_INFINITY))
    try:
        data = ja.data.shards(job["folder"], memory=job["memory"]) if job["stored"] else read(job["folder"])
        fitted = trained(job["system"], data, 1)
    except (MemoryError, RuntimeError, ValueError) as error:
        return {"failed": f"{type(error).__name__}: {error}"[:200]}
    return {"digest": digest((fitted.variables, fitted.state, fitted.history))}


def held(job: dict[str, Any]) -> dict[str, Any]:
    """Return the bytes of its own that a process holds when a small fit over shards is over."""
    import jaxae as ja

    trained(job["system"], ja.data.shards(job["folder"], memory=job["memory"]), 1)
    return {"bytes": int(resident("VmData") * MIB)}


def timed(job: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds of a step over shards by those in memory, in turn, and whether the bits agree."""
    import jaxae as ja

    # As little memory as if they were so many times larger than it.
    stored = ja.data.shards(job["folder"], memory=job["memory"])
    given, epochs = {"memory": read(job["folder"]), "shards": stored}, job["epochs"]
    found: dict[str, list[float]] = {name: [] for name in given}
    digests = set()
    for _ in range(job["repeats"]):
        for name, data in given.items():
            fitted = trained(job["system"], data, epochs)
            found[name].append(fitted.record["run_seconds"] / fitted.record["steps"])
            digests.add(digest((fitted.variables, fitted.state, fitted.history)))
    ratios = [ours / theirs for ours, theirs in zip(found["shards"], found["memory"], strict=True)]
    return {
        "ratio": round(statistics.median(ratios), 3),
        "range": [round(min(ratios), 3), round(max(ratios), 3)],
        "step_us": {name: round(statistics.median(values) * 1e6, 1) for name, values in found.items()},
        "same bits": len(digests) == 1,
    }


def child(work: str, **job: Any) -> dict[str, Any]:
    """Return what a process of its own found."""
    command = [sys.executable, "-m", "benchmarks.reliability.larger", json.dumps({"work": work, **job})]
    own = {"JAX_COMPILATION_CACHE_DIR": job["cache"], "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    environment = os.environ | {"JAX_PLATFORMS": "cpu", **own}
    root = Path(__file__).parents[2]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=root, env=environment)
    return json.loads(ran.stdout.splitlines()[-1]) if not ran.returncode else {"failed": ran.stderr[-300:]}


def measured(short: bool) -> dict[str, Any]:
    """Return bits under the limit, and times without."""
    system, beyond = "least", BEYOND * MIB
    memory = beyond // 4
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory() as cache:
        folder = Path(place)
        write(folder, 4 * MIB, 784)
        job = {"system": system, "folder": place, "memory": memory, "cache": cache}
        base = child("held", **job)["bytes"]
        limit = base + beyond
        data = TIMES * (beyond if short else limit)
        rows = write(folder, data, 784)
        ours = child("limited", **job, stored=True, limit=limit)
        in_memory = child("limited", **job, stored=False, limit=limit)
        free = child("limited", **job, stored=False, limit=0)
    found: dict[str, Any] = {
        "limit_mb": limit // MIB,
        "beyond_start_mb": beyond // MIB,
        "data_mb": data // MIB,
        "rows": rows,
        "same bits": "digest" in ours and ours == free,
        "in memory": in_memory.get("failed", "fits"),
    }
    if "failed" in ours:
        found["failed"] = ours["failed"]
    met = found["same bits"] and "failed" in in_memory
    for name, columns, size, epochs in SHORT if short else LONG:
        with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory() as cache:
            write(Path(place), size, columns)
            job = {"system": name, "folder": place, "memory": size // TIMES, "cache": cache}
            found[name] = child("timed", **job, epochs=epochs, repeats=1 if short else 9)
        met &= found[name].get("same bits", False)
        # Times of seconds, beside other tests, say nothing.
        met &= short or found[name].get("ratio", math.inf) <= GOAL
    return {**found, "goal": f"same bits; steps ≤ {GOAL} × in memory", "met": met}


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("{"):
        given = json.loads(sys.argv[1])
        print(json.dumps({"held": held, "limited": limited, "timed": timed}[given["work"]](given)))
    else:
        row("larger", measured)
