"""One method under one protocol, in this process: prints what came of every table and seed as a line of JSON."""

import json
import sys
import time
from typing import Any

import numpy as np

from benchmarks.detection.methods import METHODS
from benchmarks.detection.protocols import PROTOCOLS, tables


def run(method: str, protocol: str, seeds: list[tuple[int, int]]) -> dict[str, Any]:
    """Return the figures of all tables.

    Args:
        method: of `METHODS`.
        protocol: of `PROTOCOLS`.
        seeds: of the split and of the method.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    compiled = _counted() if method.startswith("jaxae") else []
    rows: list[dict[str, Any]] = []
    cpu = 0.0
    for name, x, y in tables():
        for split_seed, seed in seeds:
            split = PROTOCOLS[protocol](x, y, split_seed)
            began, began_cpu = time.perf_counter(), time.process_time()
            fitted = METHODS[method](split.train, seed)
            fit_s = time.perf_counter() - began
            scores = np.asarray(fitted.score(split.test), np.float64)
            cpu += time.process_time() - began_cpu
            scores = np.nan_to_num(scores, nan=np.finfo(float).max, posinf=np.finfo(float).max)
            normal = scores[split.labels == 0]
            rows.append(
                {
                    "table": name,
                    "split": split_seed,
                    "seed": seed,
                    "auroc": float(roc_auc_score(split.labels, scores)),
                    "average_precision": float(average_precision_score(split.labels, scores)),
                    "normal": len(normal),
                    "false": {str(rate): int((normal > at).sum()) for rate, at in fitted.thresholds.items()},
                    "fit_s": fit_s,
                    "score_s": time.perf_counter() - began - fit_s,
                }
            )
    return {"method": method, "protocol": protocol, "cpu_s": cpu, "programs": len(compiled), "rows": rows}


def _counted() -> list[str]:
    import jax

    compiled: list[str] = []

    def heard(event: str, seconds: float, **_: Any) -> None:
        if "backend_compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(heard)
    return compiled


if __name__ == "__main__":
    print(json.dumps(run(**json.loads(sys.argv[1]))))
