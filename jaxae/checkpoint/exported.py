"""A model's functions as StableHLO beside it, for programs that have JAX and know nothing of its modules."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxlib.mlir.dialects import stablehlo

from jaxae.checkpoint.model import FORMAT, FUNCTIONS, VERSION, checked, one_of, read_model
from jaxae.checkpoint.tensors import HEADER_LIMIT, LIMIT, refused, write
from jaxae.models import GAN, VAE
from jaxae.networks import conditioned
from jaxae.types import Array, Batch, Key, Score, Variables

__all__ = ["export", "load_functions", "write_exported"]

PLATFORMS = ("cpu", "cuda", "tpu")

STABLEHLO = "1.13.0"
"""Version that functions are written in: older than that of jaxlib 0.10 (1.17), so that 0.10 reads what 0.12 wrote.

By itself jax.export writes one of four weeks ago, which last year's JAX refuses.
"""


def export(
    module: Any, variables: Variables, batch: Batch, path: str | os.PathLike[str], *, score: Score | None = None
) -> Path:
    """Write a model as `save_model` does, with its functions beside it as StableHLO for any number of examples.

    They are those of encode, decode, score and sample that the model has; a `Normal` is a pair of mean and log
    variance. Each takes the variables first, and lies in the file as bytes that `jax.export.deserialize` reads;
    `load_model` leaves them alone.

    Args:
        module: as for `save_model`.
        variables: of one model.
        batch: examples such as it takes.
        path: of the file.
        score: the loss of every example, as `ja.score` makes it; of one that looks at the whole batch, every example is
            a batch of its own. None writes none.

    Raises:
        TypeError, ValueError: as `save_model` does.

    Examples:
        >>> import tempfile, jax, jax.numpy as jnp, jaxae as ja
        >>> ae, data = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((4,))), ja.Batch(jnp.ones((5, 4)))
        >>> variables = ae.init(jax.random.key(0), data.x)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = export(ae, variables, data, f"{folder}/ae.safetensors")
        ...     functions = load_functions(path, ja.checkpoint.load_model(path).root)
        >>> sorted(functions), functions["encode"](data.x).shape
        (['decode', 'encode'], (5, 2))
    """
    write_exported(module, variables, batch, path, score)
    return Path(path)


def write_exported(
    module: Any, variables: Variables, batch: Batch, path: str | os.PathLike[str], score: Score | None
) -> tuple[list[str], str]:
    """Write what `export` says, and return the names of the functions and the root that the file has."""
    config, arrays = checked(module, variables, batch, path)
    (n,) = jax.export.symbolic_shape("n")
    example = one_of(batch)

    def many(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((n, *leaf.shape[1:]), leaf.dtype)

    given = [many(leaf) for leaf in example if leaf is not None]
    cond = given[1:]
    held = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype), dict(variables))

    def made(own: Callable[..., Any], *columns: Any) -> np.ndarray:
        exported = jax.export.export(jax.jit(own), platforms=PLATFORMS)(held, *columns)
        older = stablehlo.serialize_portable_artifact_str(exported.mlir_module(), STABLEHLO)
        return np.frombuffer(dataclasses.replace(exported, mlir_module_serialized=older).serialize(), np.uint8)

    functions = {}
    if hasattr(module, "encode"):
        encode = _each(lambda variables, *rows: module.bind(variables).encode(*rows))
        functions["encode"] = made(encode, *given)
        code = jax.eval_shape(lambda variables, *rows: encode(variables, *rows), held, *_ones(given))
        code = code[0] if isinstance(code, tuple) else code
        decode = _each(lambda variables, *rows: module.bind(variables).decode(*rows))
        functions["decode"] = made(decode, many(code), *cond)
    if score is not None:
        functions["score"] = made(_each(lambda variables, *rows: score(variables, Batch(*rows))), *given)
    if isinstance(module, VAE | GAN):

        def sample(variables: Variables, words: Array, rows: Array) -> Any:
            z = jax.random.normal(jax.random.wrap_key_data(words, impl="threefry2x32"), (rows.shape[0], module.latent))
            return _each(lambda variables, z, *cond: drawn(variables, z, cond[0] if cond else None))(
                variables, z, *([rows] if cond else [])
            )

        def drawn(variables: Variables, z: Array, cond: Array | None) -> Any:
            bound = module.bind(variables)
            return conditioned(bound.generator if isinstance(module, GAN) else bound.decode, z, cond)

        words = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0, impl="threefry2x32")))
        rows = cond[0] if cond else jax.ShapeDtypeStruct((n, 0), jnp.float32)
        functions["sample"] = made(sample, words, rows)
    arrays |= {FUNCTIONS + name: each for name, each in functions.items()}
    return sorted(functions), write(path, FORMAT, VERSION, config, arrays)


def load_functions(
    path: str | os.PathLike[str], root: str, *, limit: int = LIMIT, header_limit: int = HEADER_LIMIT
) -> dict[str, Callable[..., Any]]:
    """Return the functions that `export` wrote, by name, the model's variables bound.

    They are compiled programs: to call them is to trust whoever made them. So the root is asked for, which the sender
    tells in another way than the file itself.

    Args:
        path: of the file.
        root: that the file must have.
        limit: bytes of the file that are read at most.
        header_limit: bytes of its header.

    Returns:
        {"encode": (x, cond) -> z, "decode": (z, cond) -> x, "score": (x, cond) -> (n,), "sample": (key, n, cond) -> x},
        those that there are, each without cond where the model has none.

    Raises:
        TypeError: if path is no path.
        ValueError: if root is no SHA-256 in hexadecimal.
        RefusedError: as `load_model` does, and if there is no function in the file, or this version of JAX cannot read
            them.

    Examples:
        >>> import tempfile, jax, jax.numpy as jnp, jaxae as ja
        >>> vae = ja.models.VAE(ja.networks.MLP((8,)), ja.networks.MLP((4,)), latent=2)
        >>> variables, data = vae.init(jax.random.key(0), jnp.ones((1, 4))), ja.Batch(jnp.ones((5, 4)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = export(vae, variables, data, f"{folder}/vae.safetensors")
        ...     functions = load_functions(path, ja.checkpoint.load_model(path).root)
        >>> functions["sample"](jax.random.key(1), 3).shape
        (3, 4)
    """
    if root is None:
        raise ValueError(
            "root is None, but a compiled program is loaded by the root that its sender told, and no other"
        )
    model, written = read_model(path, root, limit, header_limit)
    if not written:
        raise refused(path, "holds no functions: export writes them, save_model does not")
    try:
        found = {name: jax.export.deserialize(bytearray(each.tobytes())) for name, each in sorted(written.items())}
    except Exception as error:  # that of a flat buffer that another version wrote may be any
        raise refused(path, f"holds functions that this version of JAX cannot read: {error}") from None
    variables = jax.tree.map(jnp.asarray, model.variables)

    def bound(name: str) -> Callable[..., Any]:
        call = found[name].call
        if name != "sample":
            return lambda *arrays: call(variables, *(jnp.asarray(array) for array in arrays))

        def sample(key: Key, n: int, cond: Any = None) -> Any:
            rows = jnp.zeros((n, 0), jnp.float32) if cond is None else jnp.asarray(cond)
            return call(variables, jax.random.key_data(key), rows)

        return sample

    return {name: bound(name) for name in found}


def _each(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function of one batch as that of a batch of any length: example by example, each a batch of one.

    Models look at the length of their batch, which an exported program leaves open.
    """

    def all_of(variables: Variables, *columns: Array) -> Any:
        def one(*rows: Array) -> Any:
            made = function(variables, *(row[None] for row in rows))
            return jax.tree.map(lambda leaf: leaf[0], tuple(made) if isinstance(made, tuple) else made)

        return jax.vmap(one)(*columns)

    return all_of


def _ones(specs: list[Any]) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct((1, *spec.shape[1:]), spec.dtype) for spec in specs]
