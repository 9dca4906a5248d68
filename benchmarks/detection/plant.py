"""Faults of a simulated chemical plant: how often they are seen, beside PCA, and which variables are named.

    python -m benchmarks.detection.plant      needs JAXAE_DATA; writes benchmarks/results/detection.json, and README

The detector and PCA are fitted to three of four rows of normal operation. Their thresholds are placed twice: by the
fourth, as one would, and by another run of normal operation, so that both raise as many false alarms there. PCA's score
is the larger of its two statistics, T² of the components that hold 90 % of the variance and Q of the rest, each in
units of its own threshold.
"""

import gzip
import os
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection.results import keep

RATES, SEEDS, FAULTS, UNSEEN = (0.01, 0.05), 5, range(1, 15), (3, 9)
"""Faults 3 and 9 do not stand out from normal operation."""
BEGINS = 160
"""Row of a test file at which its fault begins."""
AT_FIRST = 100
"""Rows from there on, of three minutes each, that say what caused it: later the whole plant is off."""
NAMED = 3
NAMES = [f"XMEAS({i})" for i in range(1, 42)] + [f"XMV({i})" for i in range(1, 12)]
COOLING = {"XMV(10)", "XMEAS(9)", "XMEAS(21)"}
INVOLVED = {
    1: {"XMEAS(1)", "XMV(3)", "XMEAS(4)", "XMV(4)"},
    4: COOLING,
    6: {"XMEAS(1)", "XMV(3)"},
    11: COOLING,
    14: COOLING,
}
"""By the description of the process: the feeds of A (1) and of A and C (4); the reactor's temperature (9), its cooling
water (XMV 10) and what of it flows off (21). Downs & Vogel, A plant-wide industrial process control problem, 1993."""


def read(name: str) -> np.ndarray:
    """Return the rows of a file."""
    with gzip.open(Path(os.environ["JAXAE_DATA"], "tep", f"{name}.dat.gz")) as file:
        rows = np.loadtxt(file)
    return rows.T if len(rows) == len(NAMES) else rows


def pca(train: np.ndarray, held: np.ndarray) -> Any:
    """Return rows -> (n,) the larger of PCA's two statistics."""
    offset, scale = train.mean(0), train.std(0)
    _, values, axes = np.linalg.svd((train - offset) / scale, full_matrices=False)
    variances = values**2 / len(train)
    kept = int(np.searchsorted(np.cumsum(variances) / variances.sum(), 0.9)) + 1

    def both(rows: np.ndarray) -> np.ndarray:
        parts = ((rows - offset) / scale @ axes.T) ** 2
        return np.stack([(parts[:, :kept] / variances[:kept]).sum(1), parts[:, kept:].sum(1)])

    units = np.quantile(both(held), 0.95, axis=1)[:, None]
    return lambda rows: (both(rows) / units).max(0)


def main() -> None:
    """Measure, and write."""
    from jaxae.detection import conformal_threshold
    from jaxae.estimators import AutoencoderDetector

    normal, fresh = read("d00"), read("d00_te")
    tests = {"normal": fresh} | {str(fault): read(f"d{fault:02d}_te")[BEGINS:] for fault in FAULTS}
    seen: dict[str, dict[str, list[float]]] = {}
    named: dict[str, list[list[str]]] = {str(fault): [] for fault in INVOLVED}
    for seed in range(SEEDS):
        order = np.random.default_rng(seed).permutation(len(normal))
        held, train = np.split(normal[order], [len(normal) // 4])
        detector = AutoencoderDetector(contamination=0.05, random_state=seed).fit(train)
        methods = {"jaxae": lambda rows, own=detector: -own.score_samples(rows), "PCA": pca(train, held)}
        for who, score in methods.items():
            scores = {name: score(rows) for name, rows in tests.items()}
            for rate in RATES:
                places = {
                    "held out": conformal_threshold(score(held), rate),
                    "same": float(np.quantile(scores["normal"], 1 - rate)),
                }
                for how, place in places.items():
                    row = seen.setdefault(f"{who}, {how}, {rate:.0%}", {})
                    for name, each in scores.items():
                        row.setdefault(name, []).append(float((each > place).mean()))
        for fault in INVOLVED:
            entries = detector.contributions(tests[str(fault)][:AT_FIRST])
            shares = (entries / entries.sum(1, keepdims=True)).mean(0)
            named[str(fault)].append([NAMES[i] for i in np.argsort(-shares)[:NAMED]])
    plant = {
        "seeds": SEEDS,
        "seen": {row: {name: statistics.mean(each) for name, each in own.items()} for row, own in seen.items()},
        "named": named,
    }
    keep("plant", plant, table(plant))


def table(plant: dict[str, Any]) -> str:
    """Return README's table."""
    shown = {
        f"{who} at {rate:.0%}": plant["seen"][f"{who}, same, {rate:.0%}"] for rate in RATES for who in ("jaxae", "PCA")
    }
    counted = [str(fault) for fault in FAULTS if fault not in UNSEEN]

    def mean(own: dict[str, float]) -> float:
        return statistics.mean(own[fault] for fault in counted)

    lines = [f"| fault | {' | '.join(shown)} |", f"|{'---|' * (len(shown) + 1)}"]
    for fault in map(str, FAULTS):
        lines.append(f"| {fault} | {' | '.join(f'{own[fault]:.1%}' for own in shown.values())} |")
    lines.append(
        f"| all but {UNSEEN[0]} and {UNSEEN[1]} | {' | '.join(f'{mean(own):.2%}' for own in shown.values())} |"
    )
    placed = [
        f"{who} at {rate:.0%} {mean(own):.2%}, with {own['normal']:.1%} of false alarms in the other run"
        for rate in RATES
        for who in ("jaxae", "PCA")
        for own in [plant["seen"][f"{who}, held out, {rate:.0%}"]]
    ]
    said = []
    for fault, each in plant["named"].items():
        involved = sum(bool(INVOLVED[int(fault)] & set(names)) for names in each)
        first = ", ".join(each[0])
        said.append(
            f"{fault}: {first} (of {len(each)} seeds {involved} name one of {', '.join(sorted(INVOLVED[int(fault)]))})"
        )
    return "\n".join(
        [
            *lines,
            "",
            f"With thresholds from held-out rows of the training run: {'; '.join(placed)}.",
            "",
            f"The {NAMED} variables that contribute most in the first five hours of a fault, beside those that the "
            f"process's description names: {'; '.join(said)}.",
        ]
    )


if __name__ == "__main__":
    main()
