"""How long `jaxae train` takes to its first useful result, when everything is compiled: `python -m benchmarks.start`.

The autoencoder of the table of systems (10 columns, 1,000 rows, 64 and 32 units, a code of 2), trained again and again
in fresh processes on a warm cache of compiled programs. Times are from the start of the process to the lines that it
prints; where they go is told by the modules that it imports and by the functions that take most of it. Writes
`benchmarks/results/start.json`.
"""

import argparse
import json
import os
import platform
import pstats
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax

RESULTS = Path(__file__).parent / "results" / "start.json"
ROOT = Path(__file__).parents[1]
TRAIN = ["train", "autoencoder", "--set", "rows=1429", "batch_size=1000", "latent=2", "--epochs", "100"]
LINES = {
    "device found": r"^training ",
    "compiled": r"^compiled ",
    "first epochs": r"^epoch ",
    "figures": r"held-out rows",
    "report": r"^report: ",
}


def timeline(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    """Return by name the seconds from the start of a process to the line that begins so."""
    found: dict[str, float] = {}
    began = time.perf_counter()
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": environment}
    with subprocess.Popen(command, cwd=ROOT, bufsize=1, **pipes) as process:
        for line in process.stdout or ():
            for name, pattern in LINES.items():
                if name not in found and re.search(pattern, line):
                    found[name] = time.perf_counter() - began
    if process.returncode or len(found) < len(LINES):
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode} after {', '.join(found) or 'nothing'}")
    return {**found, "end": time.perf_counter() - began}


def imports(environment: dict[str, str], out: str, most: int = 15) -> list[dict[str, Any]]:
    """Return the packages whose own modules take most of the imports, in milliseconds."""
    command = [sys.executable, "-X", "importtime", "-m", "jaxae", *TRAIN, "--out", out]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    spent: dict[str, int] = {}
    for line in ended.stderr.splitlines():
        row = re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", line)
        if row:
            package = row[2].split(".")[0]
            spent[package] = spent.get(package, 0) + int(row[1])
    longest = sorted(spent.items(), key=lambda item: -item[1])[:most]
    return [{"package": name, "ms": round(micro / 1e3)} for name, micro in longest]


def functions(environment: dict[str, str], out: str, most: int = 25) -> list[dict[str, Any]]:
    """Return the functions that take most of the process, with what they call, while it is profiled."""
    with tempfile.NamedTemporaryFile() as file:
        command = [sys.executable, "-m", "cProfile", "-o", file.name, "-m", "jaxae", *TRAIN, "--out", out]
        subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
        stats: Any = pstats.Stats(file.name)
    rows = sorted(stats.stats.items(), key=lambda item: -item[1][3])
    named = [
        {"function": f"{'/'.join(Path(path).parts[-2:])}:{name}", "s": round(cumulative, 2), "own_s": round(own, 2)}
        for (path, _, name), (_, _, own, cumulative, _) in rows
        if path != "~" and "importlib" not in path and "runpy" not in path
    ]
    return named[:most]


def main() -> None:
    """Warm the cache, measure, profile, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONUNBUFFERED": "1", "XDG_CACHE_HOME": folder, "JAX_PLATFORMS": "cpu"}
        out = str(Path(folder) / "out")
        command = [sys.executable, "-m", "jaxae", *TRAIN, "--out", out]
        cold = timeline(command, environment)
        timeline(command, environment)
        warm = [timeline(command, environment) for _ in range(given.repeats)]
        results = {
            "machine": {
                "processor": platform.machine(),
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "jax": jax.__version__,
            },
            "command": " ".join(["jaxae", *TRAIN]),
            "cold_s": {name: round(seconds, 2) for name, seconds in cold.items()},
            "warm_s": {
                name: {
                    "median": round(statistics.median(run[name] for run in warm), 2),
                    "least": round(min(run[name] for run in warm), 2),
                    "most": round(max(run[name] for run in warm), 2),
                }
                for name in warm[0]
            },
            "imports_ms": imports(environment, out),
            "functions": functions(environment, out),
        }
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps({name: results[name] for name in ("cold_s", "warm_s")}, indent=1))


if __name__ == "__main__":
    main()
