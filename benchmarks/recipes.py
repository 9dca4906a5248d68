"""What every recipe reaches on held-out rows, by default and with four other seeds: `python -m benchmarks.recipes`.

Writes `benchmarks/results/recipes.json` and the table in README.md that is made from it; a few minutes on two cores.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "recipes.json"
SEEDS = (0, 1, 2, 3, 4)
FIGURES = {
    "autoencoder": {"error / error of PCA": ("ratio", "mean_squared_error", "mean_squared_error", 1.05)},
    "vae": {"ELBO / exact log-likelihood": ("ratio", "elbo", "exact_log_likelihood", 0.98)},
    "gan": {
        "largest KS of a column": ("model", "ks", "ks", 0.1),
        "largest difference of a correlation": ("model", "correlation_distance", "correlation_distance", 0.1),
        "accuracy of a two-sample classifier": ("model", "two_sample_accuracy", "two_sample_accuracy", 0.65),
    },
    "digits-vae": {"ELBO, nats per image": ("model", "elbo", "elbo", None)},
}
"""recipe -> figure -> (a ratio to the control or the model's own value, metric, control, what is asked for)."""


def measure(recipe: str, seed: int) -> dict[str, Any]:
    """Return the metrics and controls of one run."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "jaxae", "train", recipe, "--seed", str(seed), "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        metrics = json.loads((out / "metrics.json").read_text())
        config = json.loads((out / "config.json").read_text())
    return {
        "seed": seed,
        "metrics": metrics["metrics"],
        "controls": metrics["controls"],
        "settings": config["settings"],
        "versions": config["versions"],
        "device": config["device"],
    }


def figure(run: dict[str, Any], kind: str, metric: str, control: str) -> float:
    """Return one figure of one run."""
    value = run["metrics"][metric]
    return value / run["controls"][control] if kind == "ratio" else value


def table(results: dict[str, Any]) -> str:
    """Return the Markdown table of README.md."""
    seeds = next(iter(results["recipes"].values()))
    lines = [
        "Held-out rows; the default seed, then four others. `python -m benchmarks.recipes` measures them again.",
        "",
        "| recipe | figure | asked | " + " | ".join(f"seed {run['seed']}" for run in seeds) + " | control, seed 0 |",
        "|---|---|---|" + "---|" * (len(seeds) + 1),
    ]
    for recipe, runs in results["recipes"].items():
        for name, (kind, metric, control, asked) in FIGURES[recipe].items():
            values = [f"{figure(run, kind, metric, control):.3f}" for run in runs]
            bound = "" if asked is None else f"{'≥' if metric == 'elbo' else '≤'} {asked}"
            beside = "" if kind == "ratio" else f"{runs[0]['controls'][control]:.3f}"
            lines.append(f"| `{recipe}` | {name} | {bound} | " + " | ".join(values) + f" | {beside} |")
    machine = results["machine"]
    measured = f"{machine['device']} ({machine['cores']} cores), jax {machine['jax']}, Python {machine['python']}"
    lines += ["", f"Measured on {measured}."]
    return "\n".join(lines)


def rewrite_readme(results: dict[str, Any]) -> None:
    """Put the table between its two markers in README.md."""
    path = ROOT / "README.md"
    before, rest = path.read_text().split("<!-- results:begin -->")
    _, after = rest.split("<!-- results:end -->")
    path.write_text(f"{before}<!-- results:begin -->\n{table(results)}\n<!-- results:end -->{after}")


def main() -> None:
    """Measure, or with --table only rewrite the table from the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true", help="only rewrite README.md from the results file")
    parser.add_argument("recipes", nargs="*", default=list(FIGURES), help="which to measure (default: all)")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"recipes": {}}
    for recipe in [] if arguments.table else arguments.recipes:
        results["recipes"][recipe] = [measure(recipe, seed) for seed in SEEDS]
        run = results["recipes"][recipe][0]
        results["machine"] = {
            "device": f"{platform.machine()} {run['device']}",
            "cores": os.cpu_count(),
            "jax": run["versions"]["jax"],
            "python": run["versions"]["python"],
        }
        for name, (kind, metric, control, _) in FIGURES[recipe].items():
            print(recipe, name, *(f"{figure(run, kind, metric, control):.4f}" for run in results["recipes"][recipe]))
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    rewrite_readme(results)


if __name__ == "__main__":
    main()
