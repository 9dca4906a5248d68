"""Every member of a study judged on held-out rows, and the pictures of the best of them."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np

from jaxae import report
from jaxae.result import Fit
from jaxae.statistics import effects, summaries
from jaxae.study.alarms import reference
from jaxae.study.folder import write_json
from jaxae.study.members import Members
from jaxae.study.nouns import Study, usable
from jaxae.types import Key

__all__ = ["histories", "judge"]

EVALUATED = 64
"""Members that are judged by all metrics, the best by validation; of the others that validation is known."""


def judge(folder: Path, recipe: ModuleType, groups: Sequence[tuple[Study, Fit]], key: Key, asked: Members) -> None:
    """Write metrics.json, the pictures and their list."""
    singles: list[tuple[Study, Fit]] = []
    for study, fitted in groups:
        members = [fitted] if fitted.members is None else [fitted.take(i) for i in range(fitted.members)]
        singles += [(study, member) for member in members]
    count = len(singles)
    final = np.concatenate([np.atleast_1d(fitted.final()) for _, fitted in groups])
    best = int(np.argmin(final))
    courses = histories([fitted for _, fitted in groups])
    judged_by = recipe.judge(groups[0][0]) if hasattr(recipe, "judge") else None
    table: list[dict[str, Any]] = []
    most = np.sort(final)[min(EVALUATED, count) - 1]
    for i, (study, single) in enumerate(singles):
        alive = bool(np.isfinite(final[i]))
        judged = alive and final[i] <= most
        own = study._replace(variables=usable(recipe, single), judge=judged_by)
        hparams = {**dataclasses.asdict(study.settings), **single.record.get("hparams", {})}
        table.append(
            {
                "member": i,
                "seed": single.record.get("seed", 0),
                "hparams": {name: _plain(hparams[name]) for name in asked.swept},
                "status": single.describe(),
                "validation": float(final[i]) if alive else None,
                "metrics": recipe.evaluate(own, key=jax.random.fold_in(key, i)) if judged else {},
            }
        )
    study, single = singles[best]
    study, swept = study._replace(judge=judged_by), asked.swept
    chosen = study._replace(variables=usable(recipe, single))
    scores = reference(recipe, chosen)
    if scores is not None:
        np.save(folder / "reference.npy", scores, allow_pickle=False)
    metrics, controls = table[best]["metrics"], recipe.controls(chosen)
    found = recipe.checks(chosen, metrics, controls, key=jax.random.fold_in(key, count))
    if not (study.scaling.varying.all() and (np.ptp(study.train, axis=0) == 0).any()):
        # A recipe that keeps constant columns, as those of images, has its reasons.
        kept = zip(study.scaling.columns, study.scaling.varying, strict=True)
        found.append(report.checks.constant_columns([name for name, varies in kept if not varies]))
    # Members of an evolution have no settings of their own from beginning to end.
    swept_over = (
        {}
        if count == 1 or asked.search == "evolution"
        else _swept_over(final, table, swept, jax.random.fold_in(key, count + 2))
    )
    history = single.history
    if "loss" in history:
        found.append(report.checks.improved(history["loss"]))
    statuses = [member["status"] for member in table]
    if count > 1:
        found.append(report.checks.diverged(statuses))
    if asked.points is None and asked.search is None:
        tried = {name: [member["hparams"][name] for member in table] for name in swept}
        found += [
            report.checks.inside(name, values[best], values)
            for name, values in tried.items()
            # Of two values the best is always the one or the other end; widths have no order.
            if len(set(values)) > 2 and not isinstance(values[best], str)
        ]
    if any(name.endswith("skipped") for name in history):
        found.append(report.checks.skipped(statuses))
    write_json(
        folder / "metrics.json",
        {
            "best": best,
            "select": "validation" if "validation" in history else "loss",
            "metrics": metrics,
            "controls": controls,
            "control_names": {name: recipe.CONTROLS[name] for name in controls},
            "units": {name: unit for name, unit in recipe.UNITS.items() if {name} & {*metrics, *controls, *history}},
            "checks": [check._asdict() for check in found],
            "members": table,
            **swept_over,
        },
    )
    pictures = [report.pictures.curves(folder, courses, units=recipe.UNITS)]
    if count > 1:
        pictures += _of_sweep(folder, table, swept_over.get("points", []), best, recipe.UNITS.get("loss", ""), swept)
    pictures += recipe.pictures(chosen, folder, key=jax.random.fold_in(key, count + 1))
    write_json(folder / "pictures.json", [picture._asdict() for picture in pictures])


def _swept_over(
    final: np.ndarray, table: Sequence[Mapping[str, Any]], swept: Sequence[str], key: Key
) -> dict[str, Any]:
    """Return what metrics.json tells of the points of a sweep and of its hyperparameters."""
    columns = {name: np.array([member["hparams"][name] for member in table]) for name in swept}
    found = summaries(final, columns, key)
    points = [
        {
            **summary._asdict(),
            "members": summary.members.tolist(),
            **{name: _or_none(getattr(summary, name)) for name in ("mean", "sd", "low", "high")},
        }
        for summary in found
    ]
    return {
        "points": points,
        "effects": {name: effect._asdict() for name, effect in effects(final, columns).items()},
    }


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _of_sweep(
    folder: Path,
    table: Sequence[Mapping[str, Any]],
    points: Sequence[Mapping[str, Any]],
    best: int,
    unit: str,
    swept: Sequence[str],
) -> list[report.pictures.Picture]:
    """Draw the members; of a sweep also its points, and how its hyperparameters go together."""
    drawn = [report.pictures.members(folder, table, best=best, unit=unit)]
    if not swept:
        return drawn
    if not points:
        several = any(len({str(member["hparams"][name]) for member in table}) > 1 for name in swept)
        return [*drawn, report.pictures.parallel(folder, table, unit=unit)] if several else drawn
    drawn.append(report.pictures.points(folder, points, unit=unit))
    values = [{point["hparams"][name] for point in points} for name in swept]
    if len(swept) == 2 and len(points) == len(values[0]) * len(values[1]) and min(map(len, values)) > 1:
        drawn.append(report.pictures.heat_map(folder, points, unit=unit))
    elif len(swept) > 1:
        drawn.append(report.pictures.parallel(folder, table, unit=unit))
    return drawn


def histories(fits: Sequence[Fit]) -> dict[str, np.ndarray]:
    """Return the history of all members; that of a single run as it is."""
    if len(fits) == 1:
        return fits[0].history
    return {name: np.concatenate([np.atleast_2d(fit.history[name]) for fit in fits]) for name in fits[0].history}


def _plain(value: Any) -> Any:
    """Return a swept value as JSON has it: widths as the command line writes them, and a float as its user did."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return json.loads(str(np.float32(value))) if isinstance(value, float) else value
