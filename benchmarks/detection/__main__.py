"""Measure every method under both protocols, and write what they found: see the package's docstring."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from scipy.stats import binom

from benchmarks import detection
from benchmarks.detection.methods import METHODS, RATES, available
from benchmarks.detection.protocols import PROTOCOLS
from benchmarks.detection.results import keep, read
from benchmarks.throughput import machine

SEEDS = 5
STEADY = ("jaxae", "PyOD AutoEncoder")
"""Methods whose answers are also compared from seed to seed, on the same split."""
CPU = "CPU s of a pass"


def job(method: str, protocol: str, seeds: list[tuple[int, int]], cache: str) -> dict[str, Any]:
    """Return what a process of its own found."""
    given = json.dumps({"method": method, "protocol": protocol, "seeds": seeds})
    own = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    command = [sys.executable, "-m", "benchmarks.detection.job", given]
    ran = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, cwd=Path(__file__).parents[2], env=os.environ | own
    )
    return json.loads(ran.stdout.splitlines()[-1])


def by_table(found: dict[str, Any], figure: str) -> dict[str, list[float]]:
    """Return a figure's values of all seeds by table."""
    values: dict[str, list[float]] = {}
    for row in found["rows"]:
        values.setdefault(row["table"], []).append(row[figure])
    return values


def summary(found: dict[str, Any], steady: dict[str, Any] | None, warm: float | None) -> dict[str, Any]:
    """Return what is said of one method under one protocol."""
    out: dict[str, Any] = {
        figure: statistics.mean(map(statistics.mean, by_table(found, figure).values()))
        for figure in ("auroc", "average_precision")
    }
    out["auroc by table"] = {
        name: round(statistics.mean(values), 4) for name, values in by_table(found, "auroc").items()
    }
    out[CPU] = round(found["cpu_s"], 1)
    if warm is not None:
        out |= {"CPU s of a warm pass": round(warm, 1), "programs": found["programs"]}
    for figure in ("fit_s", "score_s"):
        out[figure] = round(statistics.mean(row[figure] for row in found["rows"]), 3)
    if steady is not None:
        out["deviation from seed to seed"] = statistics.mean(map(statistics.stdev, by_table(steady, "auroc").values()))
    out["false alarms"] = {}
    for rate in map(str, RATES):
        placed = [row for row in found["rows"] if rate in row["false"]]
        inside = [
            binom.ppf(0.005, row["normal"], float(rate))
            <= row["false"][rate]
            <= binom.ppf(0.995, row["normal"], float(rate))
            for row in placed
        ]
        normal = sum(row["normal"] for row in placed)
        out["false alarms"][rate] = {
            "placed": len(placed),
            "of": len(found["rows"]),
            "rate": sum(row["false"][rate] for row in placed) / normal if normal else None,
            "inside the interval": int(sum(inside)),
        }
    return out


def table(results: dict[str, Any]) -> str:
    """Return README's table."""
    lines = []
    for protocol, methods in results["protocols"].items():
        lines += [
            f"{protocol.capitalize()} training:",
            "",
            f"| method | AUROC | average precision | from seed to seed | false alarms at 5 % | {CPU} |",
            "|---|---|---|---|---|---|",
        ]
        for name, found in methods.items():
            steady = found.get("deviation from seed to seed")
            warm = found.get("CPU s of a warm pass")
            false = found["false alarms"]["0.05"]["rate"]
            lines.append(
                f"| {name} | {found['auroc']:.3f} | {found['average_precision']:.3f} | "
                f"{'' if steady is None else f'{steady:.4f}'} | {false:.2%} | {found[CPU]:.1f}"
                f"{'' if warm is None else f', with compiled programs kept {warm:.1f}'} |"
            )
        own, rival = methods.get("jaxae"), methods.get("PyOD AutoEncoder")
        if own and rival:
            lost = {
                name: f"{name} {value:.3f} against {rival['auroc by table'][name]:.3f}"
                for name, value in own["auroc by table"].items()
                if value < rival["auroc by table"][name]
            }
            said = "; ".join(lost.values()) or "none"
            lines += [
                "",
                f"AUROC below PyOD's AutoEncoder on {len(lost)} of {len(own['auroc by table'])} tables: {said}.",
            ]
        lines.append("")
    own = results["protocols"]["clean"].get("jaxae")
    if own:
        told = [
            f"{float(rate):.1%}: {each['rate']:.2%}, inside the binomial's 99 % interval in "
            f"{each['inside the interval']} of {each['placed']} splits"
            for rate, each in own["false alarms"].items()
            if each["placed"]
        ]
        lines += [f"False alarms of jaxae on new normal rows at {'; '.join(told)}.", ""]
    where = results["machine"]
    lines.append(
        f"Measured on {where['device']}, {where['cores']} cores, jax {where['jax']}, {results['seeds']} seeds; CPU "
        f"seconds are those of fitting and scoring all {results['tables']} tables once."
    )
    return "\n".join(lines)


def measured(method: str, protocol: str, splits: list[tuple[int, int]]) -> dict[str, Any]:
    """Return what came of one method under one protocol."""
    compiled = method.startswith("jaxae")
    with tempfile.TemporaryDirectory() as cache:
        # The first pass is timed, of compiled methods with an empty cache; then with what it kept.
        first, warm = job(method, protocol, splits[:1], cache), None
        if compiled:
            warm = job(method, protocol, splits[:1], cache)["cpu_s"]
        more = job(method, protocol, splits[1:], cache)["rows"] if splits[1:] else []
        steady = None
        if method in STEADY and splits[1:]:
            steady = job(method, protocol, [(0, seed) for _, seed in splits], cache)
    return summary(first | {"rows": first["rows"] + more}, steady, warm)


def main() -> None:
    """Run all jobs, and write after each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=detection.__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="with fewer nothing is written")
    parser.add_argument("--protocol", choices=list(PROTOCOLS), help="this one alone; the other's results stay")
    parser.add_argument("--method", choices=available(), help="this one alone; the others' results stay")
    asked = parser.parse_args()
    splits = [(seed, seed) for seed in range(asked.seeds)]
    kept = read("detection")
    for protocol in [asked.protocol] if asked.protocol else PROTOCOLS:
        for method in [asked.method] if asked.method else available():
            own = measured(method, protocol, splits)
            print(
                f"{protocol}: {method}: AUROC {own['auroc']:.4f}, AP {own['average_precision']:.4f}, {own[CPU]} CPU s",
                flush=True,
            )
            if asked.seeds < SEEDS:
                continue
            protocols = {name: dict(kept.get("protocols", {}).get(name, {})) for name in PROTOCOLS}
            protocols[protocol][method] = own
            # In the order of the methods, whichever was measured first.
            protocols = {
                name: {each: rows[each] for each in METHODS if each in rows} for name, rows in protocols.items()
            }
            kept = {
                "machine": machine("cpu", False),
                "seeds": asked.seeds,
                "tables": len(own["auroc by table"]),
                "protocols": protocols,
            }
            keep("detection", kept, table(kept))


if __name__ == "__main__":
    main()
