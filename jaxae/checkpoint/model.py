"""A trained model in one file to pass on: what it is made of as data, its variables, and a root to know it by."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn

from jaxae import checks
from jaxae.checkpoint.architecture import build, described
from jaxae.checkpoint.bounds import initial
from jaxae.checkpoint.tensors import (
    DTYPES,
    HEADER_LIMIT,
    LIMIT,
    check_finite,
    named,
    read,
    refused,
    write,
)
from jaxae.checkpoint.trees import flat, nested
from jaxae.types import Batch, Variables

__all__ = ["FUNCTIONS", "Model", "load_model", "save_model"]

FORMAT = "jaxae.model"
VERSION = 1
FUNCTIONS = "functions/"
"""What the names of compiled functions begin with; they lie beside the variables, and are not looked at here."""
DIMENSIONS = 8


class Model(NamedTuple):
    """A model as it came out of a file.

    Attributes:
        module: the Flax module.
        variables: its variables, on the host.
        example: shapes and dtypes of what it takes, as `jax.ShapeDtypeStruct` of one example, (1, ...).
        root: SHA-256 over all that the file holds, in hexadecimal: who has it from its sender knows the file by it.
    """

    module: Any
    variables: Variables
    example: Batch
    root: str

    @property
    def bound(self) -> Any:
        """The module with its variables."""
        return self.module.bind(self.variables)


def save_model(module: Any, variables: Variables, batch: Batch, path: str | os.PathLike[str]) -> Path:
    """Write a trained model to one file, whole or not at all, and return its path.

    Args:
        module: a model of `models` made of `networks`, activations of `flax.linen` and `nn.Sequential`.
        variables: of one model; a member of a population is `fit.take(member).variables`.
        batch: examples such as it takes, of which only shapes and dtypes are kept.
        path: of the file; by convention it ends in `.safetensors`.

    Raises:
        TypeError: if the model has a part that is not in the closed list, batch is no Batch, or path no path.
        ValueError: if the variables are not those of this model and such examples, or not finite, or the file cannot
            be written.

    Examples:
        >>> import tempfile, jax, jax.numpy as jnp, jaxae as ja
        >>> vae = ja.models.VAE(ja.networks.MLP((8,)), ja.networks.MLP((4,)), latent=2)
        >>> data = ja.Batch(jnp.ones((5, 4)))
        >>> variables = vae.init(jax.random.key(0), data.x)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     loaded = load_model(save_model(vae, variables, data, f"{folder}/vae.safetensors"))
        >>> loaded.bound.sample(jax.random.key(1), 3).shape
        (3, 4)
    """
    write(path, FORMAT, VERSION, *checked(module, variables, batch, path))
    return Path(path)


def checked(
    module: Any, variables: Variables, batch: Batch, path: str | os.PathLike[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return config and arrays of a model's file, or refuse what is no model, as `save_model` says."""
    checks.path("path", path)
    checks.batch("batch", batch)
    data, example = described(module), one_of(batch)
    if not isinstance(module, nn.Module):
        raise TypeError(f"module is {module!r:.60}, but must be a model: models.AE(encoder, decoder)")
    again = build(data)
    own = jax.device_get(flat("variables", variables))
    for name, leaf in own.items():
        check_finite(path, name, np.asarray(leaf))
    try:
        _same(flat("variables", initial(again, example, len(own))), own)
    except (ValueError, TypeError) as error:
        raise ValueError(f"these variables are not those of this model for such examples: {error}") from None
    return {"model": data, **{name: _written(leaf) for name, leaf in example._asdict().items()}}, own


def load_model(
    path: str | os.PathLike[str],
    *,
    root: str | None = None,
    limit: int = LIMIT,
    header_limit: int = HEADER_LIMIT,
) -> Model:
    """Return the model that `save_model` wrote; nothing in the file is run, and functions in it are left alone.

    The module is built of a closed list of names. Names, shapes and dtypes of the variables must be those that its
    `init` makes, their numbers finite, and all of it what the root is of.

    Args:
        path: of the file.
        root: that the sender of the file told; None takes any file that is whole.
        limit: bytes of the file that are read at most.
        header_limit: bytes of its header.

    Raises:
        TypeError: if path is no path.
        ValueError: if root is no SHA-256 in hexadecimal.
        RefusedError: for everything that can be wrong with the file.

    Examples:
        >>> import tempfile, jax, jax.numpy as jnp, jaxae as ja
        >>> ae, data = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((4,))), ja.Batch(jnp.ones((5, 4)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save_model(ae, ae.init(jax.random.key(0), data.x), data, f"{folder}/ae.safetensors")
        ...     loaded = load_model(path, limit=10_000)
        >>> loaded.bound.encode(data.x).shape, len(loaded.root)
        ((5, 2), 64)
    """
    return read_model(path, root, limit, header_limit)[0]


def read_model(
    path: str | os.PathLike[str], root: str | None, limit: int, header_limit: int
) -> tuple[Model, dict[str, np.ndarray]]:
    """Return the model of a file, and the bytes of its functions by name."""
    content = read(path, FORMAT, VERSION, root=root, limit=limit, header_limit=header_limit)
    own = {name: leaf for name, leaf in content.arrays.items() if not name.startswith(FUNCTIONS)}
    functions = {name.removeprefix(FUNCTIONS): content.arrays[name] for name in content.arrays.keys() - own.keys()}
    for name, leaf in functions.items():
        if leaf.dtype != np.uint8 or leaf.ndim != 1 or not name.isidentifier():
            raise refused(path, f"is damaged: {named(FUNCTIONS + name)} is no function as bytes")
    for name, leaf in own.items():
        check_finite(path, name, leaf)
    if content.config.keys() != {"model", *Batch._fields}:
        raise refused(path, f"is damaged: its config must be of model, {', '.join(Batch._fields)} and nothing else")
    try:
        module = build(content.config["model"])
        example = Batch(**{name: _read(name, content.config[name]) for name in Batch._fields})
        names = flat("variables", initial(module, example, len(own)))
    except Exception as error:  # whatever a model that nobody ever ran may raise
        raise refused(path, f"holds no model that can be built: {_first(error)}") from None
    try:
        _same(names, own)
    except ValueError as error:
        raise refused(path, f"is not what its model needs: {error}") from None
    variables = nested(
        {name.removeprefix("variables/"): own[name] for name in names},
        list(dict.fromkeys(name.split("/")[1] for name in names)),
    )
    return Model(module, variables, example, content.root), functions


def one_of(batch: Batch) -> Batch:
    """Return shapes and dtypes of one example of a batch, (1, ...)."""
    return Batch(_one(batch.x), None if batch.cond is None else _one(batch.cond))


def _one(leaf: Any) -> Any:
    if not getattr(leaf, "shape", ()) or checks.is_key(leaf):
        raise ValueError(f"the batch holds {str(leaf)[:40]}, but must hold arrays of examples (n, ...)")
    return jax.ShapeDtypeStruct((1, *leaf.shape[1:]), jax.dtypes.canonicalize_dtype(leaf.dtype))


def _written(leaf: Any) -> Any:
    return None if leaf is None else {"shape": list(leaf.shape[1:]), "dtype": str(leaf.dtype)}


def _read(name: str, told: Any) -> Any:
    if told is None and name != "x":
        return None
    if not isinstance(told, dict) or told.keys() != {"shape", "dtype"}:
        raise ValueError(f"{name} must have shape and dtype")
    shape, dtype = told["shape"], {str(dtype): dtype for dtype in DTYPES.values()}.get(str(told["dtype"]))
    if dtype is None:
        raise ValueError(f"{name} has the unknown dtype {named(told['dtype'])}")
    if not isinstance(shape, list) or not all(type(side) is int and 0 < side < 2**31 for side in shape):
        raise ValueError(f"{name} has a shape that is no list of whole numbers from 1")
    if len(shape) > DIMENSIONS:
        raise ValueError(f"{name} has {len(shape)} dimensions, but at most {DIMENSIONS} are allowed")
    return jax.ShapeDtypeStruct((1, *shape), dtype)


def _same(expected: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Refuse arrays that are not those expected, by name, shape and dtype."""
    for name in [*expected, *own]:
        wanted, found = (
            f"{side[name].dtype} {tuple(side[name].shape)}" if name in side else "nothing" for side in (expected, own)
        )
        if wanted != found:
            raise ValueError(f"{named(name)} is {found}, but must be {wanted}")


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
