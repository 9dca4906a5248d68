"""The rows of a study: read, split, filled, scaled."""

import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from jaxae import data
from jaxae.study.nouns import PARTS, Source, Study
from jaxae.types import Key

__all__ = ["prepared", "sourced"]


def sourced(recipe: ModuleType, settings: Any, keys: Mapping[str, Key], path: Any, impute: Any) -> Source:
    """Return the rows of a file, or the recipe's own where there is none."""
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


def prepared(recipe: ModuleType, settings: Any, source: Source, key: Key, impute: Any = None) -> Study:
    """Return the rows split, filled and scaled, with the model for them and no variables.

    Raises:
        ValueError: for a column that has no value among the rows that train, and fewer than two that vary.
    """
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
