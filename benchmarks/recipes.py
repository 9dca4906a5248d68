"""What every recipe reaches on held-out rows, by default and with four other seeds: `python -m benchmarks.recipes`.

Writes `benchmarks/results/recipes.json` and the table in README.md that is made from it. Cases on real data are
measured where JAXAE_DATA names the folder that holds them, and else stay as they were. Two cores take two hours.
"""

import argparse
import csv
import gzip
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binom

from benchmarks import readme

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "recipes.json"
SEEDS = (0, 1, 2, 3, 4)


class Figure(NamedTuple):
    """A line of the table: a metric, in proportion to its control or beside it, and the range that is asked for."""

    name: str
    metric: str
    over: str | None = None
    low: float | None = None
    high: float | None = None
    beside: str | None = None

    def of(self, run: dict[str, Any]) -> float:
        """Return its value in one run."""
        value = run["metrics"][self.metric]
        return value if self.over is None else value / run["controls"][self.over]

    def control(self, run: dict[str, Any]) -> float | None:
        """Return the control that stands beside it, or None."""
        return None if self.over else run["controls"].get(self.beside or self.metric)

    def asked(self) -> str:
        """Return the range in words."""
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g}"
        return "" if self.low is self.high else f"≥ {self.low:g}" if self.high is None else f"≤ {self.high:g}"


class Case(NamedTuple):
    """A command: a recipe, its options, the data it is given, and the figures that it is measured for."""

    recipe: str
    options: str
    figures: tuple[Figure, ...]
    data: Callable[[Path, Path], Path] | None = None
    about: str = ""
    seeds: int = len(SEEDS)

    @property
    def name(self) -> str:
        """What the results are filed under."""
        return " ".join(part for part in (self.recipe, self.options, f"on {self.about}" if self.about else "") if part)


def mnist(source: Path, folder: Path) -> Path:
    """Return the folder of MNIST's four files."""
    return source / "mnist"


def tennessee_eastman(source: Path, folder: Path) -> Path:
    """Write the rows of normal operation, training and test run together, as one table."""
    train, test = (np.loadtxt(source / "tep" / name) for name in ("d00.dat.gz", "d00_te.dat.gz"))
    names = [f"XMEAS{i}" for i in range(1, 42)] + [f"XMV{i}" for i in range(1, 12)]
    path = folder / "tep.csv"
    np.savetxt(path, np.concatenate([train.T, test]), delimiter=",", header=",".join(names), comments="")
    return path


def benchmark_series(name: str) -> Callable[[Path, Path], Path]:
    """Return what writes one series of the Numenta benchmark with the windows of its anomalies as labels."""

    def write(source: Path, folder: Path) -> Path:
        windows = json.loads((source / "nab" / "windows.json").read_text())[f"{name}.csv"]
        path = folder / f"{name}.csv"
        with gzip.open(source / "nab" / f"{name}.csv.gz", "rt") as rows, open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("timestamp", "value", "label"))
            for stamp, value in list(csv.reader(rows))[1:]:
                writer.writerow((stamp, value, int(any(start <= stamp <= end for start, end in windows))))
        return path

    return write


def false_alarms(rate: float) -> Figure:
    """Return the false alarm rate on 10,000 normal rows, with the binomial 99 % interval of the rate asked for."""
    low, high = (float(value) / 10_000 for value in binom.interval(0.99, 10_000, rate))
    return Figure(f"false alarm rate where {rate:g} is asked for", f"false_positive_rate_at_{rate:g}", None, low, high)


def series_figures(name: str, points: float | None = None) -> tuple[Figure, ...]:
    """Return the figures of a series: how many events there are, and what is found of them."""
    return (
        Figure(f"{name}: events in the test part", "true_events", beside="none"),
        Figure(f"{name}: events found", "events_found"),
        Figure(f"{name}: false alarms per 1,000 points", "false_alarms", high=points),
    )


GAIN = Figure("SNR gain, dB", "snr_gain", low=3)
OF_WIENER = Figure("SNR gain / that of the Wiener filter", "snr_gain", "snr_gain", low=0.95)
OF_LINEAR = Figure("SNR gain / that of the best linear filter", "snr_gain", "snr_gain")
COSINE = Figure("cosine with the true dictionary", "dictionary_cosine", low=0.9)
INPUTS = Figure("share of the input variables found", "input_variables_found")
PROBE = Figure("accuracy of a linear probe of the codes", "probe_accuracy")
PSNR = Figure("PSNR of test images, dB", "psnr")
SSIM = Figure("structural similarity", "ssim")
RECOGNISED = Figure("share of 1,000 drawn images recognised as the class asked for", "recognised", low=0.95)
GENERATED = (
    Figure("Fréchet distance, in features of a classifier of MNIST", "frechet_distance"),
    Figure("precision", "precision"),
    Figure("recall", "recall"),
)
NAB = (
    "nyc_taxi",
    "machine_temperature_system_failure",
    "ec2_request_latency_system_failure",
    "ec2_cpu_utilization_5f5533",
    "rds_cpu_utilization_cc0c53",
    "TravelTime_387",
)
CASES = (
    Case("autoencoder", "", (Figure("error / error of PCA", "mean_squared_error", "mean_squared_error", high=1.05),)),
    Case("vae", "", (Figure("ELBO / exact log-likelihood", "elbo", "exact_log_likelihood", low=0.98),)),
    Case(
        "gan",
        "",
        (
            Figure("largest KS of a column", "ks", high=0.1),
            Figure("largest difference of a correlation", "correlation_distance", high=0.1),
            Figure("accuracy of a two-sample classifier", "two_sample_accuracy", high=0.65),
        ),
    ),
    Case("digits-vae", "", (Figure("ELBO, nats per image", "elbo"),)),
    Case("denoising", "", (GAIN, OF_WIENER)),
    Case("denoising", "dropout=0.2", (OF_LINEAR,)),
    *(Case("denoising", f"noise={noise}", (GAIN, OF_LINEAR)) for noise in ("salt_and_pepper", "masking", "dropout")),
    *(
        Case("denoising", options, (GAIN._replace(low=None), OF_LINEAR), tennessee_eastman, "TEP")
        for options in ("", "latent=52 widths=208")
    ),
    Case(
        "anomaly",
        "",
        (
            Figure("AUROC, +5 on one variable", "auroc_single", low=0.99),
            Figure("AUROC, +3 on three variables", "auroc_joint", low=0.99),
            *map(false_alarms, (0.001, 0.01, 0.05)),
        ),
    ),
    Case("sparse", "", (COSINE, INPUTS)),
    *(Case("sparse", options, (COSINE, INPUTS)) for options in ("penalty=l1", "penalty=top_k")),
    Case("sparse", "atoms=20", (COSINE._replace(low=None), INPUTS)),
    Case(
        "conditional-vae",
        "",
        (
            Figure("largest error of a mean, of 21 temperatures, sd", "conditional_mean_error", high=0.25),
            Figure("largest error of a spread", "conditional_spread_error", high=0.25),
        ),
    ),
    Case("series", "", series_figures("generated")),
    *(Case("series", "label=label", series_figures(name), benchmark_series(name), name) for name in NAB),
    Case(
        "mnist-autoencoder",
        "",
        (Figure("error / error of PCA", "mean_squared_error", "mean_squared_error", high=1), PROBE),
        mnist,
        "MNIST",
    ),
    Case(
        "mnist-shallow",
        "",
        (Figure("test cross-entropy, nats per pixel", "cross_entropy", high=0.099),),
        mnist,
        "MNIST",
    ),
    Case(
        "mnist-shallow",
        "schedule=constant learning_rate=5e-3",
        (Figure("test cross-entropy, nats per pixel", "cross_entropy", high=0.099),),
        mnist,
        "MNIST",
    ),
    Case(
        "mnist-vae",
        "",
        (Figure("test ELBO, nats per image", "elbo", low=-102), PROBE._replace(low=0.93)),
        mnist,
        "MNIST",
    ),
    Case(
        "mnist-vae",
        "schedule=constant learning_rate=1e-3",
        (Figure("test ELBO, nats per image", "elbo", low=-104.5), PROBE._replace(low=0.93)),
        mnist,
        "MNIST",
    ),
    Case("conv-autoencoder", "latent=16", (PSNR, SSIM), seeds=1),
    Case("conv-autoencoder", "latent=32 epochs=10 batch_size=128", (PSNR, SSIM), mnist, "MNIST", seeds=1),
    Case("conv-vae", "", (Figure("test ELBO, nats per image", "elbo", low=-100),), mnist, "MNIST", seeds=1),
    Case(
        "class-vae",
        "",
        (Figure("test ELBO given the label, nats per image", "elbo", low=-100.5), RECOGNISED),
        mnist,
        "MNIST",
        seeds=1,
    ),
    Case(
        "class-vae",
        "widths=32,64,128 learning_rate=4e-3",
        (Figure("test ELBO given the label, nats per image", "elbo", low=-97), RECOGNISED),
        mnist,
        "MNIST",
        seeds=1,
    ),
    Case("dcgan", "", GENERATED, mnist, "MNIST", seeds=3),
    Case("class-gan", "", (RECOGNISED, *GENERATED), mnist, "MNIST", seeds=1),
)


def measure(case: Case, seed: int, source: str | None) -> dict[str, Any]:
    """Return the metrics and controls of one run."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "jaxae", "train", case.recipe, "--seed", str(seed), "--out", str(out)]
        command += ["--set", *case.options.split()] if case.options else []
        if case.data is not None:
            command += ["--data", str(case.data(Path(str(source)), Path(folder)))]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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


def table(results: dict[str, Any]) -> str:
    """Return the Markdown table of README.md."""
    lines = [
        "Held-out rows; the default seed, then others. `python -m benchmarks.recipes` measures them again.",
        "",
        "| recipe | figure | asked | " + " | ".join(f"seed {seed}" for seed in SEEDS) + " | control, seed 0 |",
        "|---|---|---|" + "---|" * (len(SEEDS) + 1),
    ]
    for case in CASES:
        runs = results["cases"].get(case.name)
        if runs is None:
            continue
        called = f"`{case.recipe}`" + (f" `{case.options}`" if case.options and "label" not in case.options else "")
        called += f" on {'NAB' if case.about in NAB else case.about}" if case.about else ""
        for figure in case.figures:
            cells = [f"{figure.of(run):.4g}" for run in runs]
            values = " | ".join([*cells, *[""] * (len(SEEDS) - len(cells))])
            beside = figure.control(runs[0])
            shown = "" if beside is None else f"{beside:.4g}"
            lines.append(f"| {called} | {figure.name} | {figure.asked()} | {values} | {shown} |")
    machine = results["machine"]
    measured = f"{machine['device']} ({machine['cores']} cores), jax {machine['jax']}, Python {machine['python']}"
    lines += ["", f"Measured on {measured}."]
    return "\n".join(lines)


def main() -> None:
    """Measure, or with --table only rewrite the table from the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true", help="only rewrite README.md from the results file")
    parser.add_argument("recipes", nargs="*", help="recipes, or whole names of cases, to measure (default: all)")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"cases": {}}
    source = os.environ.get("JAXAE_DATA")
    for case in [] if arguments.table else CASES:
        if arguments.recipes and not {case.recipe, case.name} & set(arguments.recipes):
            continue
        if case.data is not None and source is None:
            print(f"{case.name}: left as it was, since JAXAE_DATA names no folder of data")
            continue
        started = time.perf_counter()
        runs = results["cases"][case.name] = [measure(case, seed, source) for seed in SEEDS[: case.seeds]]
        results["machine"] = {
            "device": f"{platform.machine()} {runs[0]['device']}",
            "cores": os.cpu_count(),
            "jax": runs[0]["versions"]["jax"],
            "python": runs[0]["versions"]["python"],
        }
        for figure in case.figures:
            print(case.name, "|", figure.name, figure.asked(), *(f"{figure.of(run):.4f}" for run in runs), flush=True)
        print(f"{time.perf_counter() - started:.0f} s", flush=True)
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    readme.rewrite("results", table(results))


if __name__ == "__main__":
    main()
