"""Which models a study trains: one, or a population over seeds and settings, perhaps with a search among them."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple, get_args

import jax
import numpy as np

from jaxae import checks, hyperparameters, search
from jaxae.fitting import fit
from jaxae.progress import Progress
from jaxae.result import Fit
from jaxae.study.folder import LOG
from jaxae.study.nouns import Study, sweepable, trains_itself
from jaxae.types import Key, Score

__all__ = ["Members", "Range", "Search", "members", "trained"]

Search = Literal["halving", "hyperband", "evolution"]
ARCHITECTURE = ("latent", "width", "widths")
"""Settings that shape the model alone: what is swept over them trains one program after another."""
FACTOR = 3
"""One in how many members stays at a rung of a search by halving."""
EXCHANGES = 10
"""How many times the members of population-based training take over from each other."""


class Range(NamedTuple):
    """Values of a setting that are drawn: between two limits, the logarithm of them where the range is logarithmic."""

    low: float
    high: float
    logarithmic: bool = False

    def __str__(self) -> str:
        """Return it as the command line writes it."""
        return f"{self.low:g}..{self.high:g}" + (":log" if self.logarithmic else "")


class Members(NamedTuple):
    """The population that is asked for; a single run where there are neither seeds nor a sweep.

    Attributes:
        architectures: values of settings that shape the model, one program for each; a single one without any.
        sweep: by setting, the values that it takes, or the range that they are drawn from.
        points: how many points are drawn; None trains every combination of the values.
        seeds: runs per point, or None.
        search: how members make room for each other while they train; None trains all to the end.
    """

    architectures: tuple[dict[str, Any], ...]
    sweep: dict[str, Sequence[Any] | Range]
    points: int | None
    seeds: int | None
    search: Search | None

    @property
    def many(self) -> bool:
        """Whether it is a population."""
        return self.seeds is not None or bool(self.sweep) or len(self.architectures) > 1

    @property
    def swept(self) -> list[str]:
        """The settings in which members differ."""
        return sorted({*self.sweep, *self.architectures[0]})


def members(
    recipe: ModuleType,
    settings: Any,
    *,
    sweep: Mapping[str, Sequence[Any] | Range],
    points: int | None,
    seeds: int | None,
    chosen: str | None,
) -> Members:
    """Return the population that is asked for, or refuse what cannot be trained.

    Raises:
        TypeError, ValueError: for settings that no population can share, values that they cannot have, and a search
            without what it needs.
    """
    if trains_itself(recipe) and (sweep or seeds is not None or points is not None or chosen is not None):
        raise ValueError(
            "this recipe trains an ensemble of its own, and no population of them: leave sweep, seeds, points and "
            "search out, and run it once for each"
        )
    fields = {field.name: field for field in dataclasses.fields(settings)}
    able = [*sweepable(recipe), *(name for name in ARCHITECTURE if name in fields)]
    for name, values in sweep.items():
        if name in fields and name not in able:
            raise ValueError(
                f"{name} shapes the data or the program, so members cannot differ in it: run it once for each value; "
                f"what can be swept is {', '.join(able)}"
            )
        checks.known("setting to sweep", [name], able)
        if isinstance(values, Range):
            if name in ARCHITECTURE:
                raise ValueError(
                    f"{name} shapes the program, and every value needs one of its own: name them, {name}=4,8,16"
                )
            _axis(values, isinstance(fields[name].default, int))
            values = values[:2]
        elif not values or len(set(values)) < len(values):
            written = f"{name}=8/16,8" if isinstance(fields[name].default, tuple) else f"{name}=1,2,4"
            raise ValueError(f"the sweep over {name} has {'two equal' if values else 'no'} values: write {written}")
        for value in values:
            dataclasses.replace(settings, **{name: value})
    shaped = {name: values for name, values in sweep.items() if name in ARCHITECTURE and not isinstance(values, Range)}
    architectures = tuple(dict(zip(shaped, values, strict=True)) for values in itertools.product(*shaped.values()))
    sweep = {name: values for name, values in sweep.items() if name not in shaped}
    if seeds is not None:
        checks.whole("seeds", seeds)
    if points is not None:
        checks.whole("points", points)
        if not any(isinstance(values, Range) for values in sweep.values()):
            if sweep:
                raise ValueError(
                    "points are drawn from ranges, but every value is given: leave points out, or write "
                    f"{next(iter(sweep))}=low..high"
                )
            raise ValueError(
                "points are drawn of what is swept, but nothing is: add --sweep learning_rate=1e-4..1e-2:log"
            )
    drawn = {name: values for name, values in sweep.items() if isinstance(values, Range)}
    if drawn and points is None and chosen != "hyperband":
        name = next(iter(drawn))
        raise ValueError(f"{name} is the range {drawn[name]}, from which points are drawn: say how many, --points 32")
    if chosen is None:
        return Members(architectures, sweep, points, seeds, None)
    checks.known("search", [chosen], get_args(Search))
    if settings.epochs < (FACTOR if chosen == "hyperband" else 2):
        raise ValueError(f"a search needs at least {FACTOR} epochs, but this is {settings.epochs}: add --epochs 9")
    if chosen == "hyperband" and (not sweep or len(drawn) < len(sweep) or points is not None or seeds is not None):
        raise ValueError(
            "hyperband draws as many points as its brackets need, from ranges: give all that is swept as "
            "name=low..high, without points and seeds"
        )
    if chosen == "evolution" and (not sweep or seeds is not None):
        raise ValueError("evolution begins with one member per point of a sweep: give --sweep, and leave seeds out")
    given = math.prod(len(values) for values in sweep.values() if not isinstance(values, Range))
    count = (points or given) * (seeds or 1)
    if chosen != "hyperband" and count < 2:
        raise ValueError(f"a search needs at least two members, but this is {count}: add seeds or points")
    return Members(architectures, sweep, points, seeds, chosen)  # type: ignore[arg-type]  # known to be one of them


def trained(
    recipe: ModuleType,
    study: Study,
    asked: Members,
    *,
    model: Any,
    steps: int,
    key: Key,
    draw_key: Key,
    mesh: jax.sharding.Mesh | None,
    checkpoint: Path | None,
    accept: Sequence[str],
    progress: bool | Callable[[Progress], None],
) -> Fit:
    """Return the trained model, or population of them.

    Args:
        recipe: its module.
        study: with rows and settings.
        asked: what is to be trained.
        model: where it begins: `study.model`, or one with a given encoder.
        steps: of one run.
        key: of the fit.
        draw_key: draws the points.
        mesh: that the members are spread over.
        checkpoint: as for `fit`; a search has none.
        accept: as for `fit`.
        progress: as for `fit`.
    """
    settings = study.settings
    if trains_itself(recipe):
        return recipe.fit(study, key)
    defaults = {option: getattr(settings, option) for option in sweepable(recipe) if option not in asked.sweep}

    def factory(**hparams: Any) -> Any:
        return recipe.learner(study.model, settings, steps, **{**defaults, **hparams})

    judge: Score | None = recipe.score(study.model, settings)
    if asked.search is not None and judge is None:
        raise ValueError("this recipe has no score on held-out rows, by which a search could rank its members")
    common: dict[str, Any] = {
        "key": key,
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "validation": None if judge is None else study.batch("validation"),
        "score": judge,
        "progress": progress,
    }
    data = study.batch("train")
    saved: dict[str, Any] = {}
    if checkpoint is not None:
        saved = {"checkpoint": checkpoint, "accept": accept, "log": checkpoint.parent / LOG}
    if not asked.many:
        return fit(model, factory(), data, **saved, **common)
    common["mesh"] = mesh
    whole = {name: isinstance(getattr(settings, name), int) for name in asked.sweep}
    axes = {
        name: _axis(values, whole[name]) if isinstance(values, Range) else hyperparameters.choices(*values)
        for name, values in asked.sweep.items()
    }
    if asked.search == "hyperband":
        return search.hyperband(model, factory, data, axes=axes, factor=FACTOR, **common)
    columns: dict[str, Any] | None
    if asked.points is not None:
        drawn = hyperparameters.draw(draw_key, asked.points, **axes)
        # Whole numbers may be drawn twice: the same run again would tell nothing.
        table = np.stack([np.asarray(column, np.float64) for column in drawn.values()])
        rows = np.sort(np.unique(table, axis=1, return_index=True)[1])
        columns = {name: column[rows] for name, column in drawn.items()}
    else:
        columns = hyperparameters.grid(**asked.sweep) if asked.sweep else None
    if asked.search == "halving":
        count = hyperparameters.points(columns or {}) * (asked.seeds or 1)
        rungs = int(math.log(count, FACTOR) + 1e-9)
        first = max(1, min(settings.epochs - 1, settings.epochs // FACTOR**rungs))
        return search.halving(
            model, factory, data, hparams=columns, seeds=asked.seeds, first=first, factor=FACTOR, **common
        )
    if asked.search == "evolution" and columns is not None:
        limits = {name: (values.low, values.high) for name, values in asked.sweep.items() if isinstance(values, Range)}
        every = max(1, settings.epochs // EXCHANGES)
        return search.evolution(model, factory, data, hparams=columns, every=every, limits=limits, **common)
    return fit(model, factory, data, hparams=columns, seeds=asked.seeds or 1, **saved, **common)


def _axis(values: Range, whole: bool) -> hyperparameters.Draw:
    """Return how values of a range are drawn: whole numbers where the setting is one."""
    if values.logarithmic and values.low <= 0:
        raise ValueError(f"{values} is a logarithmic range, which begins above 0: leave :log out, or begin above 0")
    if not whole:
        return (hyperparameters.log_uniform if values.logarithmic else hyperparameters.uniform)(values.low, values.high)
    if values.logarithmic:
        raise ValueError(f"{values} is a logarithmic range of whole numbers: leave :log out")
    return hyperparameters.integers(int(values.low), int(values.high))
