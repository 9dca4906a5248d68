"""The benchmark of throughput, which stands beside the package in its source tree."""

import subprocess
import sys
from pathlib import Path

import jaxae
from jaxae.cli.commands import Bench

__all__ = ["bench"]


def bench(command: Bench) -> None:
    """Run `python -m benchmarks` in the source tree that this package is imported from.

    Raises:
        ValueError: if it is no source tree, or the benchmark ended with an error.
    """
    root = Path(jaxae.__file__).parents[1]
    if not (root / "benchmarks" / "throughput.py").is_file():
        raise ValueError(
            "the benchmarks are not part of an installed package: clone the source, install it with pip install -e . "
            "and run jaxae bench, or python -m benchmarks, there"
        )
    words = [*command.systems, "--device", command.device]
    words += ["--repeats", str(command.repeats), "--seconds", str(command.seconds)]
    words += ["--quick"] * command.quick
    words += ["--out", str(command.out.resolve())] if command.out else []
    ended = subprocess.run([sys.executable, "-m", "benchmarks", *words], cwd=root, check=False).returncode
    if ended:
        raise ValueError(f"the benchmark ended with status {ended}: what it said is above")
