"""A recipe run from data to report."""

import dataclasses
import importlib.metadata
import os
import platform
import shutil
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
from jaxae.study.alarms import alarm_rate, calibrating
from jaxae.study.folder import ASKED, LOG, appearing, ask, forget, usable_target, write_history, write_json
from jaxae.study.judged import histories, judge
from jaxae.study.members import Members, Range, members, trained
from jaxae.study.nouns import Source, Study, trains_itself
from jaxae.study.prepared import prepared, sourced
from jaxae.study.trained import Trained

__all__ = ["train"]

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
    if trains_itself(recipe) and (init is not None or distributed):
        raise ValueError(
            "this recipe trains by itself, in one process and from the start: leave init and distributed out"
        )
    encoder = {} if init is None else _encoder(init)
    target = usable_target(Path(out), None if path is None else Path(path))
    if init is not None and init.folder.resolve() == target.resolve():
        raise ValueError(f"{out} holds the model to begin with, which would be lost: give another --out")
    keys = dict(zip(RANDOM_DRAWS, jax.random.split(jax.random.key(seed), len(RANDOM_DRAWS)), strict=True))
    source = sourced(recipe, settings, keys, path, impute)
    study = prepared(recipe, settings, source, keys["split"], impute)._replace(key=keys["shared"])
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
    unsaved = unfinished is None or asked.search is not None or trains_itself(recipe)
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
        write_history(folder / "history.csv", histories(fits))
        write_json(folder / "timing.json", _timing(fits))
        judge(folder, recipe, groups, keys["evaluation"], asked)
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


def _mesh(axis: str) -> jax.sharding.Mesh | None:
    count = len(jax.devices())
    if count == 1:
        return None
    return jax.make_mesh((count,), (axis,), axis_types=(jax.sharding.AxisType.Auto,))


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
