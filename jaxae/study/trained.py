"""A trained folder, ready to use in the user's columns and units."""

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxae import checkpoint, checks, data
from jaxae.study.folder import read_json
from jaxae.study.nouns import Study, usable
from jaxae.types import Key

__all__ = ["Trained", "load"]


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
    config, metrics = (read_json(folder / name) for name in ("config.json", "metrics.json"))
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
    variables = usable(recipe, fitted)
    none = np.zeros((0, int(scaling.varying.sum())), np.float32)
    expected = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, none.shape[1])))
    shapes = [
        [(jax.tree_util.keystr(path), leaf.shape) for path, leaf in jax.tree.leaves_with_path(tree)]
        for tree in (expected, dict(variables))
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{folder / 'model.safetensors'} is no model of the settings in config.json: one of the two was "
            "changed; restore it from a copy"
        )
    study = Study(settings, model, variables, none, none, none, None, scaling)
    return Trained(recipe, study, config)
