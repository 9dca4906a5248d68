"""A recipe run from data to report."""

import dataclasses
import importlib.metadata
import json
import os
import platform
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np

from jaxae import __version__, checkpoint, checks, data, report
from jaxae.detection import conformal_threshold
from jaxae.hosts import Peers
from jaxae.learner import warm_start
from jaxae.population import DATA
from jaxae.progress import Progress, printer
from jaxae.result import Fit
from jaxae.statistics import effects, summaries
from jaxae.study.alarms import alarm_rate, calibrating, reference
from jaxae.study.folder import ASKED, LOG, appearing, ask, forget, usable_target, write_history, write_json
from jaxae.study.members import Members, Range, members, trained
from jaxae.study.nouns import PARTS, Source, Study, usable
from jaxae.study.trained import Trained
from jaxae.types import Key

__all__ = ["train"]

EVALUATED = 64
"""Members that are judged by all metrics, the best by validation; of the others that validation is known."""
TIMED = ("compile_seconds", "run_seconds", "steps")
"""What a fit's record tells of the process that made it."""
RANDOM_DRAWS = ("data", "split", "fit", "evaluation", "shared")
"""What the key of a study is split into, in this order."""


def train(
    name: str,
    recipe: ModuleType,
    settings: Any,
    *,
    out: str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    impute: Any = None,
    seed: int = 0,
    seeds: int | None = None,
    sweep: Mapping[str, Sequence[Any] | Range] | None = None,
    points: int | None = None,
    search: str | None = None,
    init: Trained | None = None,
    unfinished: str | os.PathLike[str] | None = None,
    anew: bool = False,
    accept: Sequence[str] = (),
    progress: bool | Callable[[Progress], None] = True,
    distributed: bool = False,
    command: str = "",
) -> Path:
    """Train a recipe, judge it on held-out rows and write its folder, whole or not at all; return the folder.

    Args:
        name: of the recipe.
        recipe: its module.
        settings: an instance of its `Settings`.
        out: folder to write; one that holds an earlier run is replaced, any other that is not empty is refused.
        path: file with the data; None takes the recipe's own.
        impute: "mean" or "median" fills in missing values; None refuses them.
        seed: everything random follows from it.
        seeds: train a population of so many seeds (per grid point).
        sweep: values of settings that `sweepable` names: one member per combination and seed; or ranges of them.
        points: of the sweep that are drawn, rather than every combination.
        search: "halving", "hyperband" or "evolution": how members make room for each other while they train.
        init: trained model whose encoder the training begins with; of rows with the same columns.
        unfinished: folder in which the training is saved now and then, and from which the same call goes on; it is
            removed once the results are written, or every member diverged. A search is not saved.
        anew: forget what is in that folder, and begin again.
        accept: what may have changed since, as for `fit`.
        progress: as for `fit`.
        distributed: train on the devices of all processes, which `hosts.connect` joined: members spread over them, or
            the rows of a single run's batches. The first process writes the folder.
        command: to be repeated in the report.

    Raises:
        TypeError, ValueError: for anything that cannot be trained on or written to, before anything is compiled.
        FloatingPointError: if every member diverged; nothing is written.
        Stopped: as `fit` does, where `unfinished` is given.
    """
    asked = members(recipe, settings, sweep=sweep or {}, points=points, seeds=seeds, chosen=search)
    checks.whole("seed", seed, low=0, high=2**32 - 1)
    if hasattr(recipe, "fit") and (init is not None or distributed):
        raise ValueError(
            "this recipe trains by itself, in one process and from the start: leave init and distributed out"
        )
    encoder = {} if init is None else _encoder(init)
    target = usable_target(Path(out), None if path is None else Path(path))
    if init is not None and init.folder.resolve() == target.resolve():
        raise ValueError(f"{out} holds the model to begin with, which would be lost: give another --out")
    keys = dict(zip(RANDOM_DRAWS, jax.random.split(jax.random.key(seed), len(RANDOM_DRAWS)), strict=True))
    source = _source(recipe, settings, keys, path, impute)
    study = _prepared(recipe, settings, source, keys["split"], impute)._replace(key=keys["shared"])
    source = study.source
    if init is not None and study.scaling.names != init.study.scaling.names:
        raise ValueError(
            f"the encoder to begin with takes {', '.join(init.study.scaling.names[:5])}, …, but these rows have "
            f"{', '.join(study.scaling.names[:5])}, …: it must be the same columns in the same order"
        )
    rows = len(study.train)
    if rows < settings.batch_size == recipe.Settings().batch_size:
        note = f"the batch size is all {rows} training rows, fewer than the recipe's {settings.batch_size}"
        settings, source = dataclasses.replace(settings, batch_size=rows), source._replace(notes=(*source.notes, note))
        study = study._replace(settings=settings)
    rate = alarm_rate(settings)
    if rate is not None:
        # Refuses, before anything is compiled, a rate that so few rows cannot hold.
        conformal_threshold(np.arange(calibrating(study)[1].sum()), rate)
    checks.whole("batch_size", settings.batch_size, high=rows, why=", the number of training rows")
    steps = settings.epochs * (rows // settings.batch_size)
    # All are built before the first is trained, so that one which cannot be is refused at once.
    shape = source.shape or (study.train.shape[1],)
    studies = [study]
    if len(asked.architectures) > 1 or asked.architectures[0]:
        own = [dataclasses.replace(settings, **architecture) for architecture in asked.architectures]
        studies = [study._replace(settings=each, model=recipe.model(each, shape)) for each in own]
    # What trains by itself takes too little time to be saved on the way.
    unsaved = unfinished is None or asked.search is not None or hasattr(recipe, "fit")
    saved = None if unsaved else Path(str(unfinished))
    show = printer() if progress is True else progress or (lambda _: None)
    peers = Peers(several=distributed and jax.process_count() > 1)
    if saved is not None and peers.first:
        if anew:
            forget(saved)
        if not (saved / ASKED).exists():
            ask(saved, command)
    peers.well(None, "begin")

    def noted(now: Progress) -> None:
        if saved is not None and not now.epoch:
            # Only now is it sure that this is what is in the folder.
            ask(saved, command)
        show(now)

    words = jax.random.key_data(keys["fit"])
    groups = [
        (
            each,
            trained(
                recipe,
                each,
                asked,
                model=each.model if init is None else warm_start(each.model, encoder),
                steps=steps,
                # The same for every architecture, so that they see the same rows in the same order.
                key=jax.random.wrap_key_data(words),
                # Beyond what the same key is split into, so that what is drawn besides changes no other key.
                draw_key=jax.random.fold_in(jax.random.key(seed), len(RANDOM_DRAWS)),
                mesh=_mesh("members" if asked.many else DATA) if asked.many or distributed else None,
                # Every architecture is a fit of its own.
                checkpoint=None if saved is None else saved / str(number),
                accept=accept,
                progress=noted,
            ),
        )
        for number, each in enumerate(studies)
    ]
    fits = [fitted for _, fitted in groups]
    if not any(np.isfinite(fitted.final()).any() for fitted in fits):
        what = "the run" if not asked.many else "every member"
        how = fits[0].describe(None if fits[0].members is None else 0)
        if saved is not None and peers.first:
            forget(saved)
        raise FloatingPointError(f"{what} {how}: lower the learning rate; nothing was written")
    if not peers.first:
        return target
    with appearing(target) as folder:
        files = []
        for number, fitted in enumerate(fits):
            files.append("model.safetensors" if len(fits) == 1 else f"model-{number}.safetensors")
            # Times go to timing.json alone, so that the same command writes the same bits.
            timeless = {name: value for name, value in fitted.record.items() if name not in TIMED}
            checkpoint.save(fitted._replace(record=timeless), folder / files[-1])
        config = _config(name, recipe, settings, source, study, seed, asked, command, path, impute, fits[0])
        config["architectures"] = [
            {"settings": architecture, "file": file, "members": fitted.members or 1}
            for architecture, file, fitted in zip(asked.architectures, files, fits, strict=True)
        ]
        config["init"] = None if init is None else {"folder": os.path.abspath(init.folder), "sha256": init.fingerprint}
        write_json(folder / "config.json", config)
        write_history(folder / "history.csv", _histories(fits))
        write_json(folder / "timing.json", _timing(fits))
        _judge(folder, recipe, groups, keys["evaluation"], asked)
        if saved is not None:
            shutil.copyfile(saved / LOG, folder / LOG)
        report.write_page(folder)
    if saved is not None:
        forget(saved)
    return target


def _encoder(init: Trained) -> dict[str, Any]:
    """Return the encoder's parameters of a trained model, by submodule."""
    params = init.study.variables["params"]
    if "encoder" not in params:
        raise ValueError(f"{init.folder} has no encoder to begin with; it has {', '.join(params)}")
    return {"encoder": params["encoder"]}


def _source(recipe: ModuleType, settings: Any, keys: Mapping[str, Key], path: Any, impute: Any) -> Source:
    if path is None:
        return recipe.source(settings, keys["data"])
    if hasattr(recipe, "read"):
        return recipe.read(settings, path, impute, keys["split"])
    table = data.read(path, impute=impute)
    return Source(table.values, table.columns, None, table.notes, filled=table.filled)


def _refilled(source: Source, filled: np.ndarray, fills: np.ndarray, impute: str) -> Source:
    """Return the source with its missing values filled anew, by what the training rows alone say."""
    empty = np.isnan(fills[0])
    if empty.any():
        raise ValueError(
            f"column {source.columns[int(np.argmax(empty))]!r} has no value in any row that trains: remove the column"
        )
    fill = fills[0 if impute == "mean" else 1]
    notes = [note for note in source.notes if "missing values of" not in note]
    notes += [
        f"{count} missing values of {name!r} were filled with the {impute} of the training rows, {value:.6g}"
        for name, count, value in zip(source.columns, filled.sum(0), fill, strict=True)
        if count
    ]
    return source._replace(values=np.where(filled, fill, source.values), notes=tuple(notes))


def _prepared(recipe: ModuleType, settings: Any, source: Source, key: Key, impute: Any = None) -> Study:
    parts = source.parts
    if parts is None:
        shares = getattr(recipe, "PARTS", PARTS)
        parts = dict(zip(shares, data.split(key, len(source.values), fractions=tuple(shares.values())), strict=True))
    fills = np.zeros((2, 0))
    if source.shape is None:  # no pixel is ever missing
        known = source.values if source.filled is None else np.where(source.filled, np.nan, source.values)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a column without any value is refused below
            fills = np.stack([part(known[parts["train"]], 0) for part in (np.nanmean, np.nanmedian)])
    if source.filled is not None:
        source = _refilled(source, source.filled, fills, impute)
    known = source.values[parts["train"]]
    if source.shape is not None:
        # The scale of pixels is that of the file, or of all images: not of those that happen to train.
        limits = (0.0, source.full) if source.full else (float(source.values.min()), float(source.values.max()))
        known = np.repeat(np.array(limits)[:, None], len(source.columns), axis=1)
    scaling = recipe.scaling(settings, known, source.columns)
    rows = {part: scaling.apply(source.values[number]) for part, number in parts.items()}
    if hasattr(recipe, "examples"):
        rows = {part: recipe.examples(settings, values) for part, values in rows.items()}
    elif scaling.varying.sum() < 2:
        raise ValueError(
            f"the data have {int(scaling.varying.sum())} usable column ({', '.join(scaling.names)}), but a "
            "model relates at least two that vary: give more columns"
        )
    conditions, cond = None, {}
    if source.conditions is not None:
        by_part = {
            part: {name: np.asarray(column)[number] for name, column in source.conditions.items()}
            for part, number in parts.items()
        }
        conditions = data.conditions(by_part["train"], one_hot=getattr(settings, "one_hot", ()))
        cond = {part: conditions.apply(columns) for part, columns in by_part.items()}
        source = source._replace(notes=(*source.notes, *conditions.described()))
    labels = None if source.labels is None else source.labels[parts["test"]]
    model = recipe.model(settings, source.shape or (rows["train"].shape[1],))
    return Study(
        settings,
        model,
        {},
        rows["train"],
        rows["validation"],
        rows["test"],
        labels,
        scaling,
        fills,
        rows.get("calibration", rows["test"]),
        conditions,
        cond,
        source,
        parts,
    )


def _mesh(axis: str) -> jax.sharding.Mesh | None:
    count = len(jax.devices())
    if count == 1:
        return None
    return jax.make_mesh((count,), (axis,), axis_types=(jax.sharding.AxisType.Auto,))


def _judge(folder: Path, recipe: ModuleType, groups: Sequence[tuple[Study, Fit]], key: Key, asked: Members) -> None:
    """Write metrics.json, the pictures and their list."""
    singles: list[tuple[Study, Fit]] = []
    for study, fitted in groups:
        members = [fitted] if fitted.members is None else [fitted.take(i) for i in range(fitted.members)]
        singles += [(study, member) for member in members]
    count = len(singles)
    final = np.concatenate([np.atleast_1d(fitted.final()) for _, fitted in groups])
    best = int(np.argmin(final))
    histories = _histories([fitted for _, fitted in groups])
    judge = recipe.judge(groups[0][0]) if hasattr(recipe, "judge") else None
    table: list[dict[str, Any]] = []
    most = np.sort(final)[min(EVALUATED, count) - 1]
    for i, (study, single) in enumerate(singles):
        alive = bool(np.isfinite(final[i]))
        judged = alive and final[i] <= most
        own = study._replace(variables=usable(recipe, single), judge=judge)
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
    study, swept = study._replace(judge=judge), asked.swept
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
    pictures = [report.pictures.curves(folder, histories, units=recipe.UNITS)]
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


def _config(
    name: str,
    recipe: ModuleType,
    settings: Any,
    source: Source,
    study: Study,
    seed: int,
    asked: Members,
    command: str,
    path: Any,
    impute: Any,
    fitted: Fit,
) -> dict[str, Any]:
    packages = ("jax", "jaxlib", "flax", "optax", "numpy", "scikit-learn")
    return {
        "recipe": name,
        "about": (recipe.__doc__ or "").splitlines()[0],
        # Those of the recipe's own data say nothing about a file.
        "settings": {
            option: value
            for option, value in dataclasses.asdict(settings).items()
            if path is None or option not in recipe.OF_OWN_DATA
        },
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "seed": seed,
        "seeds": asked.seeds,
        "sweep": {
            **{
                option: list({str(each[option]): each[option] for each in asked.architectures}.values())
                for option in asked.architectures[0]
            },
            **{option: str(v) if isinstance(v, Range) else list(v) for option, v in asked.sweep.items()},
        },
        "points": asked.points,
        "search": asked.search,
        "command": command,
        "key": {"seed": seed, "implementation": str(jax.random.key_impl(jax.random.key(seed))), "split": RANDOM_DRAWS},
        "data": {
            "source": "the recipe's own data" if path is None else os.path.abspath(path),
            "impute": impute,
            "fills": None if source.shape else dict(zip(("mean", "median"), study.fills.tolist(), strict=True)),
            "rows": len(source.values),
            "columns": None if data.pixel_columns(source.columns, source.shape) else source.columns,
            "shape": source.shape,
            "fingerprint": data.fingerprint(source.values),
            "notes": source.notes,
            "stamp": source.stamp,
            "split": {part: len(numbers) for part, numbers in study.parts.items()},
        },
        "conditions": None if study.conditions is None else study.conditions.to_json(),
        "scaling": study.scaling.to_json(source.shape),
        "versions": {
            "jaxae": __version__,
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in packages},
        },
        "device": f"{len(fitted.record['devices'])} × {jax.devices()[0].device_kind}",
    }


def _timing(fits: Sequence[Fit]) -> dict[str, Any]:
    """Return how long these fits took; of one that went on from an earlier process, what this one did."""
    seconds = sum(fitted.record["run_seconds"] for fitted in fits)
    steps = sum(fitted.record["steps"] for fitted in fits)
    return {
        "compile_s": sum(fitted.record["compile_seconds"] for fitted in fits),
        "run_s": seconds,
        "members": sum(fitted.members or 1 for fitted in fits),
        "epochs": max(int(np.max(fitted.status.epochs)) for fitted in fits),
        "steps": steps,
        "member_steps_per_s": steps / seconds if seconds else None,
    }


def _histories(fits: Sequence[Fit]) -> dict[str, np.ndarray]:
    """Return the history of all members; that of a single run as it is."""
    if len(fits) == 1:
        return fits[0].history
    return {name: np.concatenate([np.atleast_2d(fit.history[name]) for fit in fits]) for name in fits[0].history}


def _plain(value: Any) -> Any:
    """Return a swept value as JSON has it: widths as the command line writes them, and a float as its user did."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return json.loads(str(np.float32(value))) if isinstance(value, float) else value
