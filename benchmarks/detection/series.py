"""Events in real series: how many are found, and how many alarms are false, beside PyOD on the same windows.

    python -m benchmarks.detection.series      needs JAXAE_DATA; writes benchmarks/results/detection.json, and README

The first half of every series trains, as it is, and the second is judged. All detectors see the same windows of 48
points, and the same rule makes scores of points and thresholds of them (`estimators.SeriesDetector`): the last quarter
of the first half places the threshold. An event is found if a point in its window, as NAB labels it, raises an alarm.
"""

import csv
import gzip
import json
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator

from benchmarks.detection.methods import METHODS, available
from benchmarks.detection.results import keep

SEEDS = 5
RATES = (0.01, 0.004)
PYOD = ("PyOD AutoEncoder", "PyOD ECOD", "PyOD IForest")


class Rows(BaseEstimator):
    """A method of the tables, called as scikit-learn calls a detector."""

    def __init__(self, name: str, seed: int = 0) -> None:
        self.name = name
        self.seed = seed

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Train on rows."""
        self.own_ = METHODS[self.name](X.astype(np.float32), self.seed)
        return self

    def score_samples(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return minus the scores of rows."""
        return -np.asarray(self.own_.score(X.astype(np.float32)), np.float64)


def methods() -> dict[str, Callable[[int], Any]]:
    """Return the detectors of windows by name: seed -> one that is not fitted."""
    from jaxae.estimators import AutoencoderDetector, DeepSVDD

    found: dict[str, Callable[[int], Any]] = {
        "jaxae AutoencoderDetector": lambda seed: AutoencoderDetector(random_state=seed),
        "jaxae DeepSVDD": lambda seed: DeepSVDD(random_state=seed),
    }
    found |= {name: lambda seed, name=name: Rows(name, seed) for name in PYOD if name in available()}  # type: ignore[misc]
    return found


def read(path: Path, windows: list[list[str]]) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Return the points (t, 1) of a series and its labelled windows as half-open pairs of points."""
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    stamps = np.asarray([row["timestamp"] for row in rows], "datetime64[s]")
    found = []
    for begin, end in windows:
        inside = np.flatnonzero((stamps >= np.datetime64(begin, "s")) & (stamps <= np.datetime64(end, "s")))
        found.append((int(inside[0]), int(inside[-1]) + 1))
    return np.asarray([[float(row["value"])] for row in rows]), found


def judged(x: np.ndarray, windows: list[tuple[int, int]], detector: Any) -> dict[float, dict[str, float]]:
    """Return by rate what came of the second half of a series."""
    from jaxae.detection import conformal_threshold
    from jaxae.estimators import SeriesDetector
    from jaxae.metrics import series_alarms

    half = len(x) // 2
    fitted = SeriesDetector(detector, rate=max(RATES)).fit(x[:half])
    scores = -fitted.score_samples(x[half:])
    own = [(max(begin - half, 0), end - half) for begin, end in windows if end > half]
    found = {}
    for rate in RATES:
        told = series_alarms(scores > conformal_threshold(fitted.calibration_scores_, rate), own)
        found[rate] = {
            "events": told.windows,
            "found": told.found,
            "normal": told.normal,
            "false": told.false_alarms,
            "nab": told.nab,
        }
    return found


def main() -> None:
    """Measure, and write."""
    folder = Path(os.environ["JAXAE_DATA"], "nab")
    labelled = json.loads((folder / "windows.json").read_text())
    rows: dict[str, dict[str, dict[str, list[dict[str, float]]]]] = {}
    for name, windows in labelled.items():
        x, own = read(folder / f"{name}.gz", windows)
        for method, made in methods().items():
            runs = [judged(x, own, made(seed)) for seed in range(1 if method == "PyOD ECOD" else SEEDS)]
            for rate in RATES:
                found = [run[rate] for run in runs]
                rows.setdefault(f"{rate:g}", {}).setdefault(method, {})[name.removesuffix(".csv")] = found
                print(f"{name} {method} {rate:g}: {found}", flush=True)
    series = {"seeds": SEEDS, "rows": rows}
    keep("series", series, table(series))


def table(series: dict[str, Any]) -> str:
    """Return README's table: sums over the series, means over the seeds."""
    lines = []
    for rate, methods in series["rows"].items():
        names = list(next(iter(methods.values())))
        lines += [
            f"At a rate of {float(rate):.1%}, events found and false alarms per 1,000 normal points; NAB's score last:",
            "",
            f"| detector of windows | all | {' | '.join(names)} | NAB |",
            f"|{'---|' * (len(names) + 3)}",
        ]
        for method, own in methods.items():
            cells = []
            whole = {"events": 0.0, "found": 0.0, "normal": 0.0, "false": 0.0}
            for name in names:
                means = {key: statistics.mean(run[key] for run in own[name]) for key in whole}
                whole = {key: whole[key] + means[key] for key in whole}
                cells.append(told(means))
            nab = statistics.mean(statistics.mean(run["nab"] for run in own[name]) for name in names)
            lines.append(f"| {method} | {told(whole)} | {' | '.join(cells)} | {nab:.0f} |")
        lines.append("")
    return "\n".join(lines[:-1])


def told(own: dict[str, float]) -> str:
    """Return in a cell what was found and what was false."""
    return f"{own['found']:.1f} of {own['events']:g}, {1000 * own['false'] / own['normal']:.1f}"


if __name__ == "__main__":
    main()
