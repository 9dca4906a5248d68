"""A trained folder, ready to use in the user's columns and units."""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxae import checkpoint, checks, data
from jaxae.detection import FARTHEST
from jaxae.study.alarms import Alarms, alarms, detects, errors
from jaxae.study.folder import read_json
from jaxae.study.nouns import Source, Study, usable
from jaxae.types import Key

__all__ = ["Trained", "load"]

OPERATIONS = ("encode", "decode", "reconstruct", "denoise", "detect", "compress", "sample")
Conditions = Mapping[str, Sequence[Any]]


class Trained(NamedTuple):
    """A trained folder: its operations take and give rows in the user's columns and units.

    Rows of a conditional model come with their conditions, {name: n values}.

    Attributes:
        recipe: the module.
        study: with the variables of the member at hand; its rows are empty.
        config: what `config.json` holds.
        folder: that it was loaded from.
        calibrated: whether the folder's reference scores, which alarms are calibrated on, are this member's.
        fingerprint: SHA-256 of the member's variables.
    """

    recipe: ModuleType
    study: Study
    config: dict[str, Any]
    folder: Path
    calibrated: bool
    fingerprint: str

    @property
    def latent_columns(self) -> tuple[str, ...]:
        """Names of the columns of a code."""
        return tuple(f"z{i}" for i in range(self.study.settings.latent))

    def encode(self, values: np.ndarray, conditions: Conditions | None = None) -> np.ndarray:
        """Return the codes (n, latent) of rows (n, d)."""
        self.require("encode")
        rows = self.study.scaling.apply(values)
        if hasattr(self.recipe, "examples"):
            rows = self.recipe.examples(self.study.settings, rows)
        return np.asarray(self.recipe.encode(self.study.bound, jnp.asarray(rows), *self._cond(conditions)))

    def decode(self, codes: np.ndarray, conditions: Conditions | None = None) -> np.ndarray:
        """Return the rows (n, d) of codes (n, latent)."""
        self.require("decode")
        decoded = self.recipe.decode(self.study.bound, jnp.asarray(codes, jnp.float32), *self._cond(conditions))
        return self.study.scaling.invert(np.asarray(decoded))

    def reconstruct(self, values: np.ndarray, conditions: Conditions | None = None) -> np.ndarray:
        """Return the reconstructions (n, d) of rows (n, d)."""
        self.require("reconstruct")
        if hasattr(self.recipe, "reconstruct"):
            return self.study.scaling.invert(self.recipe.reconstruct(self.study, self.study.scaling.apply(values)))
        return self.decode(self.encode(values, conditions), conditions)

    def denoise(self, values: np.ndarray) -> np.ndarray:
        """Return the rows (n, d) that a denoising model takes for the clean ones behind noisy rows (n, d)."""
        self.require("denoise")
        rows = jnp.asarray(self.study.scaling.apply(values))
        return self.study.scaling.invert(np.asarray(self.recipe.denoise(self.study.bound, rows)))

    def sample(self, key: Key, n: int, conditions: Conditions | None = None) -> np.ndarray:
        """Return n new rows (n, d); of a conditional model one for each row of the conditions."""
        self.require("sample")
        checks.whole("rows", n)
        drawn = self.recipe.sample(self.study.bound, key, n, *self._cond(conditions))
        return self.study.scaling.invert(np.asarray(drawn))

    def pictures(self, values: np.ndarray) -> np.ndarray:
        """Return images (n, height, width, channels) in 0…255, clipped, of rows (n, pixels) in the user's units.

        Raises:
            ValueError: if the model's rows are no images.
        """
        shape = self.study.source.shape
        if shape is None:
            raise ValueError(f"the rows of a model of recipe {self.config['recipe']!r} are no images")
        scaling = self.study.scaling
        # The brightest pixel there can be is where the scaling, of 0…1 or of −1…1, is 1.
        bright = np.asarray(values) / (scaling.offset + scaling.scale)
        return np.clip(255 * bright, 0, 255).reshape(-1, *shape)

    def detect(self, values: np.ndarray, *, rate: float, conditions: Conditions | None = None) -> Alarms:
        """Return scores, alarms and p-values of rows (n, d), and each variable's share of the score.

        Args:
            values: (n, d); an entry too far out for float32 counts as `detection.FARTHEST`.
            rate: of false alarms among new normal rows, in (0, 1).
            conditions: of a conditional model.
        """
        self.require("detect")
        if not self.calibrated:
            raise ValueError("alarms are calibrated for the best member of a population alone: leave member out")
        cond = self._cond(conditions)
        rows = self.study.scaling.apply(values, farthest=FARTHEST)
        found = errors(self.recipe, self.study, rows, np.asarray(cond[0]) if cond else None)
        return alarms(found, _reference(self.folder), rate)

    def explain(self, values: np.ndarray, found: Alarms) -> list[str]:
        """Return for each row of values (n, d) in words which variables make it strange; `detect` found the alarms."""
        if hasattr(self.recipe, "explain"):
            return self.recipe.explain(self.study, np.asarray(values, np.float64))
        return found.because(self.study.scaling.names)

    def read(self, path: str | os.PathLike[str], impute: Any = None, label: str | None = None) -> Source:
        """Return the rows of a file with the columns that the model was trained on, its conditions and its stamps.

        Args:
            path: file, or folder of images.
            impute: as for `data.read`.
            label: column with the label of each row; a folder of images has its own.

        Raises:
            ValueError: for a file without those columns, or with a label missing.
        """
        shape = self.study.source.shape
        if shape is not None and (Path(path).is_dir() or not data.is_table(path)):
            return self._images(path, shape)
        known = () if self.study.conditions is None else self.study.conditions.names
        stamp = self.config["data"].get("stamp")
        if label in self.study.scaling.columns:
            raise ValueError(
                f"{label} is a column that the model was trained on, so its codes know it: train without it"
            )
        keep = tuple(dict.fromkeys((*known, *([stamp] if stamp else []), *([label] if label else []))))
        table = data.read(path, columns=self.study.scaling.columns, impute=impute, keep=keep)
        labels = None if label is None else table.text[label]
        if labels is not None and "" in labels:
            raise ValueError(f"{label} has no value in row {labels.index('') + 1}: fill it in or leave the row out")
        return Source(
            table.values,
            table.columns,
            None if labels is None else np.asarray(labels),
            notes=table.notes,
            conditions=None if self.study.conditions is None else self.study.conditions.parsed(table.text),
            stamps=tuple(table.text[stamp]) if stamp else (),
            stamp=stamp,
        )

    def _images(self, path: str | os.PathLike[str], shape: tuple[int, int, int]) -> Source:
        found = data.images(path, size=shape[:2] if getattr(self.study.settings, "size", None) else None)
        given, values = found.shape or (1, found.values.shape[1], 1), found.values
        if given == (*shape[:2], 1) and shape[2] == 3:
            values = np.repeat(values, 3, axis=1)  # grey is a colour
        elif given != shape:
            sizes = [" × ".join(map(str, size)) for size in (given, shape)]
            raise ValueError(
                f"{path} holds images of {sizes[0]} (height × width × channels), but the model was trained on images "
                f"of {sizes[1]}"
            )
        values = self._scaled_alike(path, found, values)
        known = self.study.conditions
        conditions = None if known is None or found.kinds is None else {known.names[0]: found.kinds}
        return Source(values, self.study.scaling.columns, found.labels, found.notes, conditions=conditions, shape=shape)

    def _scaled_alike(self, path: Any, found: data.Images, values: np.ndarray) -> np.ndarray:
        """Return pixels on the scale that the model was trained on, or refuse those that are on another."""
        full = float((self.study.scaling.offset + self.study.scaling.scale).max())
        if found.full is not None:
            return values if found.full == full else values * (full / found.full)
        low, high = float(values.min()), float(values.max())
        if low < 0 or high > full or (full > 1 >= high > 0):
            raise ValueError(
                f"the pixels of {path} go from {low:g} to {high:g}, but the model was trained on 0…{full:g}: bring "
                "them to that scale"
            )
        return values

    def _cond(self, conditions: Conditions | None) -> tuple[jax.Array, ...]:
        known = self.study.conditions
        if known is None:
            if conditions:
                raise ValueError(f"conditions {', '.join(conditions)} were given, but this model takes none")
            return ()
        if conditions is None:
            how = "give their values"
            if self.study.source.shape is not None:
                how = f"sort the images into one folder for each {known.names[0]}, as those of the training were"
            raise ValueError(f"this model is conditioned on {', '.join(known.names)}: {how}")
        for sentence in known.outside(conditions):
            warnings.warn(sentence, stacklevel=3)
        return (jnp.asarray(known.apply(conditions)),)

    def can(self, operation: str) -> bool:
        """Return whether the model can do one of `OPERATIONS`."""
        both = hasattr(self.recipe, "encode") and hasattr(self.recipe, "decode")
        match operation:
            case "detect":
                return detects(self.recipe)
            case "reconstruct":
                return both or hasattr(self.recipe, "reconstruct")
            case "compress":
                return both and self.study.conditions is None
            case _:
                return hasattr(self.recipe, operation)

    def require(self, operation: str) -> None:
        """Refuse what the model cannot do.

        Raises:
            ValueError: with what it can.
        """
        if not self.can(operation):
            able = ", ".join(other for other in OPERATIONS if self.can(other))
            raise ValueError(f"a model of recipe {self.config['recipe']!r} cannot {operation}; it can {able}")


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
    config, metrics = (read_json(folder / name) for name in ("config.json", "metrics.json"))
    try:
        recipe, best = find(config["recipe"]), metrics["best"]
        # Operations need them.
        _ = config["data"]["impute"], config["data"]["fills"], config["data"]["source"], config["data"]["fingerprint"]
        # Folders from before there were several have none.
        alone: Mapping[str, Any] = {"settings": {}, "file": "model.safetensors", "members": None}
        architectures = config.get("architectures", [alone])
        if member is not None and len(architectures) > 1:
            checks.whole("member", member, low=0, high=sum(each["members"] for each in architectures) - 1)
        own, place = _architecture(architectures, best if member is None else member)
        given = {**config["settings"], **own["settings"]}
        settings = recipe.Settings(
            **{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        )
        shape = None if config["data"]["shape"] is None else tuple(config["data"]["shape"])
        scaling = data.Scaling.from_json(config["scaling"], shape)
        conditions = data.Conditions.from_json(config["conditions"]) if config.get("conditions") else None
        none = np.zeros((0, int(scaling.varying.sum())), np.float32)
        if hasattr(recipe, "examples"):
            none = recipe.examples(settings, np.zeros((settings.length, none.shape[1]), np.float32))[:0]
        model = recipe.model(settings, shape or (none.shape[1],))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{folder} does not describe a trained model: config.json or metrics.json was changed ({error}); restore "
            "them from a copy"
        ) from None
    fitted = checkpoint.load(folder / own["file"])
    if fitted.members is not None:
        fitted = fitted.take(place)
        if fitted.status.diverged_epoch:
            warnings.warn(
                f"member {member} {fitted.describe()}: what it gives is that of its last good state", stacklevel=2
            )
    elif member not in (None, 0):
        raise ValueError(f"member is {member}, but {folder} holds a single run: leave it out")
    variables = usable(recipe, fitted)
    example = [jnp.zeros((1, none.shape[1]))] + ([] if conditions is None else [jnp.zeros((1, conditions.width))])
    expected = jax.eval_shape(model.init, jax.random.key(0), *example)
    shapes = [
        [(jax.tree_util.keystr(path), leaf.shape) for path, leaf in jax.tree.leaves_with_path(tree)]
        for tree in (expected, dict(variables))
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{folder / own['file']} is no model of the settings in config.json: one of the two was "
            "changed; restore it from a copy"
        )
    empty = Source(np.zeros((0, 0)), (), shape=shape)
    study = Study(settings, model, variables, none, none, none, None, scaling, conditions=conditions, source=empty)
    leaves = sorted(
        (jax.tree_util.keystr(at), data.fingerprint(leaf)) for at, leaf in jax.tree.leaves_with_path(variables)
    )
    fingerprint = data.fingerprint(np.frombuffer(repr(leaves).encode(), np.uint8))
    # A population's reference is that of its best member.
    return Trained(recipe, study, config, folder, member in (None, best), fingerprint)


def _architecture(architectures: Sequence[Mapping[str, Any]], member: int) -> tuple[Mapping[str, Any], int]:
    """Return the architecture of a member, and its number among the members of that one."""
    place = member
    for architecture in architectures[:-1]:
        if place < architecture["members"]:
            return architecture, place
        place -= architecture["members"]
    return architectures[-1], place


def _reference(folder: Path) -> np.ndarray:
    path = folder / "reference.npy"
    try:
        scores = np.load(path, allow_pickle=False)
        if scores.ndim != 1 or scores.dtype != np.float64 or not np.isfinite(scores).all():
            raise ValueError("no finite scores")
    except (OSError, ValueError, EOFError):
        raise ValueError(
            f"{path} is missing or damaged, so no alarm can be calibrated: restore it from a copy"
        ) from None
    return scores
