"""A recipe run from data to report, and what a trained folder can do afterwards.

A recipe is a module (see `jaxae.recipes`); everything that recipes share is here: reading, splitting and scaling the
data, the population, the folder that appears whole or not at all.
"""

import csv
import dataclasses
import functools
import importlib.metadata
import inspect
import itertools
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxae import __version__, checkpoint, checks, data, losses, report
from jaxae.fitting import fit
from jaxae.learner import score
from jaxae.population import grid
from jaxae.progress import Progress
from jaxae.result import Fit
from jaxae.types import Batch, Key, Score, Variables

__all__ = ["Source", "Study", "Trained", "evidence", "load", "sweepable", "train"]

RANDOM_DRAWS = ("data", "split", "fit", "evaluation")
"""What the key of a study is split into, in this order."""


class Source(NamedTuple):
    """Rows as they come, before anything is done to them.

    Attributes:
        values: (n, d) float64 in the user's units.
        columns: d names.
        labels: (n,) int for colouring pictures, or None; no model sees them.
        notes: what was left out or filled in, in words.
    """

    values: np.ndarray
    columns: tuple[str, ...]
    labels: np.ndarray | None = None
    notes: tuple[str, ...] = ()


class Study(NamedTuple):
    """A trained model beside its data: what a recipe's evaluation and pictures are made from.

    Attributes:
        settings: the recipe's settings.
        model: the module.
        variables: of the member at hand.
        train: (n, variables) float32 rows, scaled as the model sees them.
        validation: rows by which the best epoch and the best member were chosen.
        test: rows that nothing has seen but the final figures.
        labels: of the test rows, or None.
        scaling: from the user's columns and units to the model's, and back.
    """

    settings: Any
    model: Any
    variables: Variables
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    labels: np.ndarray | None
    scaling: data.Scaling

    @property
    def bound(self) -> Any:
        """The model with its variables."""
        return self.model.bind(self.variables)


@functools.cache
def _bounds(model: Any, nll: Callable[..., Any]) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """Return the compiled (variables, x, key) -> both bounds, one program for all members of a population."""
    elbo = score(model, losses.elbo, nll=nll)
    tighter = score(model, losses.importance_weighted, nll=nll, samples=16)

    def mean(values: Score, variables: Variables, x: jax.Array, keys: Key) -> jax.Array:
        return -jax.lax.map(lambda key: values(variables, Batch(x), key).mean(), keys).mean()

    def both(variables: Variables, x: jax.Array, key: Key) -> tuple[jax.Array, jax.Array]:
        first, second = jax.random.split(key)
        return (
            mean(elbo, variables, x, jax.random.split(first, 64)),
            mean(tighter, variables, x, jax.random.split(second, 4)),
        )

    return jax.jit(both)


def evidence(study: Study, rows: np.ndarray, key: Key, nll: Callable[..., Any]) -> dict[str, float]:
    """Return the mean bounds on the log-likelihood of rows (n, variables), in nats per row.

    `elbo` averages 64 draws of every row's posterior; `importance_weighted_bound` has 16 samples and averages 4 draws.
    """
    elbo, tighter = _bounds(study.model, nll)(study.variables, rows, key)
    return {"elbo": float(elbo), "importance_weighted_bound": float(tighter)}


def sweepable(recipe: ModuleType) -> list[str]:
    """Return the settings that can differ between the members of one population: the learner's keyword arguments."""
    parameters = inspect.signature(recipe.learner).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


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
    sweep: Mapping[str, Sequence[Any]] | None = None,
    progress: bool | Callable[[Progress], None] = True,
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
        sweep: values of settings that `sweepable` names: one member per combination and seed.
        progress: as for `fit`.
        command: to be repeated in the report.

    Raises:
        TypeError, ValueError: for anything that cannot be trained on or written to, before anything is compiled.
        FloatingPointError: if every member diverged; nothing is written.
    """
    columns = _grid(recipe, settings, sweep or {})
    if seeds is not None:
        checks.whole("seeds", seeds)
    checks.whole("seed", seed, low=0, high=2**32 - 1)
    target = _target(Path(out))
    keys = dict(zip(RANDOM_DRAWS, jax.random.split(jax.random.key(seed), len(RANDOM_DRAWS)), strict=True))
    source = _source(recipe, settings, keys["data"], path, impute)
    study = _prepared(recipe, settings, source, keys["split"])
    rows = len(study.train)
    checks.whole("batch_size", settings.batch_size, high=rows, why=", the number of training rows")
    steps = settings.epochs * (rows // settings.batch_size)
    defaults = {option: [getattr(settings, option)] for option in sweepable(recipe) if option not in (sweep or {})}
    many = seeds is not None or bool(sweep)

    def factory(**hparams: Any) -> Any:
        return recipe.learner(study.model, settings, steps, **hparams)

    judge = recipe.score(study.model, settings)
    with _appearing(target) as folder:
        fitted = fit(
            study.model,
            factory if many else factory(**{option: values[0] for option, values in defaults.items()}),
            Batch(study.train),
            key=keys["fit"],
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            hparams=grid(**{**defaults, **columns}) if many else None,
            seeds=(seeds or 1) if many else None,
            mesh=_mesh() if many else None,
            validation=None if judge is None else Batch(study.validation),
            score=judge,
            progress=progress,
        )
        if not np.isfinite(fitted.final()).any():
            what = "the run" if fitted.members is None else "every member"
            raise FloatingPointError(
                f"{what} {fitted.describe(None if fitted.members is None else 0)}: lower the "
                "learning rate; nothing was written"
            )
        checkpoint.save(fitted, folder / "model.safetensors")
        config = _config(name, recipe, settings, source, study, seed, seeds, sweep or {}, command, path, impute, fitted)
        _write_json(folder / "config.json", config)
        _write_history(folder / "history.csv", fitted)
        _write_json(folder / "timing.json", _timing(fitted, rows // settings.batch_size))
        _judge(folder, recipe, study, fitted, keys["evaluation"], sorted(sweep or {}))
        report.write_page(folder)
    return target


class Trained(NamedTuple):
    """A trained folder: its operations take and give rows in the user's columns and units.

    Attributes:
        recipe: the module.
        study: with the variables of the member at hand; its rows are empty.
        config: what `config.json` holds.
    """

    recipe: ModuleType
    study: Study
    config: dict[str, Any]

    @property
    def latent_columns(self) -> tuple[str, ...]:
        """Names of the columns of a code."""
        return tuple(f"z{i}" for i in range(self.study.settings.latent))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Return the codes (n, latent) of rows (n, d)."""
        return np.asarray(self._operation("encode")(self.study.bound, jnp.asarray(self.study.scaling.apply(values))))

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return the rows (n, d) of codes (n, latent)."""
        decoded = self._operation("decode")(self.study.bound, jnp.asarray(codes, jnp.float32))
        return self.study.scaling.invert(np.asarray(decoded))

    def reconstruct(self, values: np.ndarray) -> np.ndarray:
        """Return the reconstructions (n, d) of rows (n, d)."""
        return self.decode(self.encode(values))

    def sample(self, key: Key, n: int) -> np.ndarray:
        """Return n new rows (n, d)."""
        checks.whole("rows", n)
        return self.study.scaling.invert(np.asarray(self._operation("sample")(self.study.bound, key, n)))

    def _operation(self, name: str) -> Callable[..., Any]:
        if not hasattr(self.recipe, name):
            able = [other for other in ("encode", "decode", "sample") if hasattr(self.recipe, other)]
            raise ValueError(f"a model of recipe {self.config['recipe']!r} cannot {name}; it can {', '.join(able)}")
        return getattr(self.recipe, name)


def load(folder: str | os.PathLike[str], find: Callable[[str], ModuleType], member: int | None = None) -> Trained:
    """Return a trained folder, ready to use.

    Args:
        folder: that `train` wrote.
        find: recipe's name -> its module.
        member: of a population; None takes the best by validation.

    Raises:
        ValueError: if the folder is no trained folder, damaged, or has no such member.
    """
    folder = Path(folder)
    config, metrics = (_read_json(folder / name) for name in ("config.json", "metrics.json"))
    recipe = find(config["recipe"])
    try:
        settings = recipe.Settings(
            **{name: tuple(value) if isinstance(value, list) else value for name, value in config["settings"].items()}
        )
        scaling = data.Scaling(
            tuple(config["scaling"]["columns"]),
            *(np.asarray(config["scaling"][part], np.float64) for part in ("offset", "scale")),
        )
        model = recipe.model(settings, int(scaling.varying.sum()))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / 'config.json'} does not describe a trained {config['recipe']}: {error}") from None
    fitted = checkpoint.load(folder / "model.safetensors")
    if fitted.members is not None:
        fitted = fitted.take(metrics["best"] if member is None else member)
    elif member not in (None, 0):
        raise ValueError(f"member is {member}, but {folder} holds a single run: leave it out")
    none = np.zeros((0, int(scaling.varying.sum())), np.float32)
    study = Study(settings, model, _usable(recipe, fitted), none, none, none, None, scaling)
    return Trained(recipe, study, config)


def _grid(recipe: ModuleType, settings: Any, sweep: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    able = sweepable(recipe)
    existing = [field.name for field in dataclasses.fields(settings)]
    for name, values in sweep.items():
        if name in existing and name not in able:
            raise ValueError(
                f"{name} shapes the program, so its values cannot share one: run it once for each; what "
                f"can be swept is {', '.join(able)}"
            )
        checks.known("setting to sweep", [name], able)
        if not values:
            raise ValueError(f"the sweep over {name} has no values: write {name}=1,2,4")
        for value in values:
            dataclasses.replace(settings, **{name: value})
    return {name: list(values) for name, values in sweep.items()}


def _source(recipe: ModuleType, settings: Any, key: Key, path: Any, impute: Any) -> Source:
    if path is None:
        return recipe.source(settings, key)
    table = data.read(path, impute=impute)
    return Source(table.values, table.columns, None, table.notes)


def _prepared(recipe: ModuleType, settings: Any, source: Source, key: Key) -> Study:
    parts = data.split(key, len(source.values))
    scaling = recipe.scaling(source.values[parts[0]], source.columns)
    if scaling.varying.sum() < 2:
        raise ValueError(
            f"the data have {int(scaling.varying.sum())} usable column ({', '.join(scaling.names)}), but a "
            "model relates at least two that vary: give more columns"
        )
    train_rows, validation, test = (scaling.apply(source.values[part]) for part in parts)
    labels = None if source.labels is None else source.labels[parts[2]]
    model = recipe.model(settings, train_rows.shape[1])
    return Study(settings, model, {}, train_rows, validation, test, labels, scaling)


def _target(out: Path) -> Path:
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file, but the results need a folder: give another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / "config.json").is_file():
        raise ValueError(f"{out} holds something else than a trained model: give a new folder with --out")
    return out


class _appearing:  # noqa: N801  (used as a verb)
    """A folder that appears under its name when the block ends well, and leaves nothing behind when it does not."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __enter__(self) -> Path:
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(dir=self.target.parent, prefix=f".{self.target.name}."))
        except OSError as error:
            raise ValueError(f"cannot write to {self.target}: {error.strerror}; give another --out") from None
        return self.folder

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        os.chmod(self.folder, 0o755)
        if self.target.exists():
            old = Path(tempfile.mkdtemp(dir=self.target.parent, prefix=f".{self.target.name}.old."))
            os.replace(self.target, old / "run")
            os.replace(self.folder, self.target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(self.folder, self.target)


def _mesh() -> jax.sharding.Mesh | None:
    count = len(jax.devices())
    if count == 1:
        return None
    return jax.make_mesh((count,), ("members",), axis_types=(jax.sharding.AxisType.Auto,))


def _usable(recipe: ModuleType, fitted: Fit) -> Variables:
    return recipe.final(fitted) if hasattr(recipe, "final") else fitted.variables


def _judge(folder: Path, recipe: ModuleType, study: Study, fitted: Fit, key: Key, swept: Sequence[str]) -> None:
    """Write metrics.json, the pictures and their list."""
    count = fitted.members or 1
    singles = [fitted] if fitted.members is None else [fitted.take(i) for i in range(count)]
    best = 0 if fitted.members is None else fitted.best()
    final = np.atleast_1d(fitted.final())
    members = []
    for i, single in enumerate(singles):
        alive = bool(np.isfinite(final[i]))
        own = study._replace(variables=_usable(recipe, single))
        members.append(
            {
                "member": i,
                "seed": single.record.get("seed", 0),
                # The shortest number that is this float32: what the user wrote.
                "hparams": {name: json.loads(str(fitted.hparams[name][i])) for name in swept},
                "status": single.describe(),
                "validation": float(final[i]) if alive else None,
                "metrics": recipe.evaluate(own, key=jax.random.fold_in(key, i)) if alive else {},
            }
        )
    chosen = study._replace(variables=_usable(recipe, singles[best]))
    metrics, controls = members[best]["metrics"], recipe.controls(chosen)
    found = [
        *recipe.checks(chosen, metrics, controls, key=jax.random.fold_in(key, count)),
        report.checks.constant_columns(
            [name for name, varies in zip(study.scaling.columns, study.scaling.varying, strict=True) if not varies]
        ),
    ]
    history = singles[best].history
    if "loss" in history:
        found.append(report.checks.improved(history["loss"]))
    if count > 1:
        found.append(report.checks.diverged([member["status"] for member in members]))
    _write_json(
        folder / "metrics.json",
        {
            "best": best,
            "select": "validation" if "validation" in fitted.history else "loss",
            "metrics": metrics,
            "controls": controls,
            "units": {name: unit for name, unit in recipe.UNITS.items() if name in metrics or name in controls},
            "checks": [check._asdict() for check in found],
            "members": members,
        },
    )
    pictures = [report.pictures.curves(folder, fitted.history, units=recipe.UNITS)]
    if count > 1:
        pictures.append(report.pictures.members(folder, members, best=best, unit=recipe.UNITS.get("loss", "")))
    pictures += recipe.pictures(chosen, folder, key=jax.random.fold_in(key, count + 1))
    _write_json(folder / "pictures.json", [picture._asdict() for picture in pictures])


def _config(
    name: str,
    recipe: ModuleType,
    settings: Any,
    source: Source,
    study: Study,
    seed: int,
    seeds: int | None,
    sweep: Mapping[str, Sequence[Any]],
    command: str,
    path: Any,
    impute: Any,
    fitted: Fit,
) -> dict[str, Any]:
    packages = ("jax", "jaxlib", "flax", "optax", "numpy", "scikit-learn")
    return {
        "recipe": name,
        "about": (recipe.__doc__ or "").splitlines()[0],
        "settings": dataclasses.asdict(settings),
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "seed": seed,
        "seeds": seeds,
        "sweep": {option: list(values) for option, values in sweep.items()},
        "command": command,
        "key": {"seed": seed, "implementation": str(jax.random.key_impl(jax.random.key(seed))), "split": RANDOM_DRAWS},
        "data": {
            "source": "the recipe's own data" if path is None else str(path),
            "impute": impute,
            "rows": len(source.values),
            "columns": source.columns,
            "fingerprint": data.fingerprint(source.values),
            "notes": source.notes,
            "split": {"train": len(study.train), "validation": len(study.validation), "test": len(study.test)},
        },
        "scaling": {
            "columns": study.scaling.columns,
            "offset": study.scaling.offset.tolist(),
            "scale": study.scaling.scale.tolist(),
        },
        "versions": {
            "jaxae": __version__,
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in packages},
        },
        "device": f"{len(fitted.record['devices'])} × {jax.devices()[0].device_kind}",
    }


def _timing(fitted: Fit, steps_per_epoch: int) -> dict[str, Any]:
    members = fitted.members or 1
    epochs = int(np.max(fitted.status.epochs))
    seconds = fitted.record["run_seconds"]
    steps = int(np.sum(fitted.status.epochs)) * steps_per_epoch
    return {
        "compile_s": fitted.record["compile_seconds"],
        "run_s": seconds,
        "members": members,
        "epochs": epochs,
        "steps": steps,
        "member_steps_per_s": steps / seconds if seconds else None,
    }


def _write_history(path: Path, fitted: Fit) -> None:
    names: list[str] = [name for name in ("loss", "validation") if name in fitted.history]
    names += [name for name in fitted.history if name not in names]
    table = {name: np.atleast_2d(fitted.history[name]) for name in names}
    members, epochs = next(iter(table.values())).shape
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["member", "epoch", *names])
        for member, epoch in itertools.product(range(members), range(epochs)):
            writer.writerow([member, epoch + 1, *(repr(float(table[name][member, epoch])) for name in names)])


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        raise ValueError(
            f"{path.parent} is no trained folder: it has no readable {path.name}; jaxae train writes one"
        ) from None
