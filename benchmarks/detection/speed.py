"""How long a detector takes to be of use, and to score a large table: its own numbers, without rivals.

    python -m benchmarks.detection.speed       writes benchmarks/results/detection.json, and README

A fresh process, whose compiled programs were kept by one before it, imports the package, fits 1,000 rows of 20 columns
and scores them. Another fits and scores 1,000,000 rows of 50 columns.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection.results import keep

REPEATS = 7
LARGE = (1_000_000, 50)


def timed(rows: int, columns: int) -> dict[str, float]:
    """Return seconds of importing, fitting and scoring, and the process's memory at its most, in MiB."""
    import resource

    draw = np.random.default_rng(0)
    x = draw.normal(size=(rows, 5)) @ draw.normal(size=(5, columns)) + 0.1 * draw.normal(size=(rows, columns))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    from jaxae.estimators import AutoencoderDetector

    imported = time.perf_counter()
    detector = AutoencoderDetector().fit(x)
    fitted = time.perf_counter()
    detector.score_samples(x)
    return {
        "import_s": imported - began,
        "fit_s": fitted - imported,
        "score_s": time.perf_counter() - fitted,
        "mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "table_mib": x.nbytes / 2**20,
    }


def child(cache: str, rows: int, columns: int) -> dict[str, float]:
    """Return what a fresh process measured."""
    own = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    command = [sys.executable, "-m", "benchmarks.detection.speed", str(rows), str(columns)]
    root = Path(__file__).parents[2]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=root, env=os.environ | own)
    return json.loads(ran.stdout.splitlines()[-1])


def main() -> None:
    """Measure, and write."""
    found: dict[str, Any] = {"cores": os.cpu_count(), "repeats": REPEATS}
    with tempfile.TemporaryDirectory() as cache:
        for name, size in (("1,000 × 20", (1_000, 20)), ("1,000,000 × 50", LARGE)):
            child(cache, *size)
            runs = [child(cache, *size) for _ in range(REPEATS if name == "1,000 × 20" else 3)]
            found[name] = {
                key: [round(each(run[key] for run in runs), 3) for each in (statistics.median, min, max)]
                for key in runs[0]
            }
            print(name, found[name])
    keep("speed", found, table(found))


def table(found: dict[str, Any]) -> str:
    """Return README's table."""
    lines = ["| rows × columns | import | fit | score | memory beyond the table |", "|---|---|---|---|---|"]
    for name in ("1,000 × 20", "1,000,000 × 50"):
        cells = ["{:.2f} s [{:.2f}–{:.2f}]".format(*found[name][key]) for key in ("import_s", "fit_s", "score_s")]
        lines.append(f"| {name} | {' | '.join(cells)} | {found[name]['mib'][0]:,.0f} MiB |")
    return "\n".join(
        [
            *lines,
            "",
            f"Medians of fresh processes with compiled programs kept, on {found['cores']} cores; least and most.",
        ]
    )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(timed(int(sys.argv[1]), int(sys.argv[2]))))
    else:
        main()
