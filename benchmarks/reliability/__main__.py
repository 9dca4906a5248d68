"""Run rows of the table of reliability, and write what they found: see the package's docstring."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from benchmarks import readme, reliability
from benchmarks.reliability.table import RESULTS, ROWS, table
from benchmarks.throughput import machine


def main() -> int:
    """Run the rows that are named, or all, and return 1 where one misses its goal."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=reliability.__doc__)
    parser.add_argument("rows", nargs="*", metavar="row", help=f"of {', '.join(ROWS)} (default: all)")
    parser.add_argument("--short", action="store_true", help="few cases; writes no results")
    given = parser.parse_args()
    missed = 0
    for name in given.rows or ROWS:
        command = [sys.executable, "-m", f"benchmarks.reliability.{name}", *["--short"] * given.short]
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        print(ran.stdout, end="", flush=True)
        missed += ran.returncode != 0
        if not given.short and ran.stdout.strip():
            results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            results["machine"] = machine("cpu", False)
            results.setdefault("rows", {})[name] = json.loads(ran.stdout.splitlines()[-1])
            RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
            readme.rewrite("reliability", table(results))
    return missed > 0


if __name__ == "__main__":
    sys.exit(main())
