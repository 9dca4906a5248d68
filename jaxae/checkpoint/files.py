"""A `Fit` in one file: safetensors with a JSON header, checked by a digest. Loading runs no code and rebuilds no class.

The digest covers names, shapes, dtypes, bytes and the JSON: safetensors itself accepts a flipped bit as another number.
"""

import hashlib
import inspect
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxae import checks
from jaxae.result import Fit, Status
from jaxae.types import Learner, TrainState

__all__ = ["load", "save"]

FORMAT = "jaxae.fit"
VERSION = 1


def save(fit: Fit, path: str | os.PathLike[str]) -> Path:
    """Write a fit to one file, whole or not at all, and return its path.

    Args:
        fit: a single run or a population.
        path: of the file; by convention it ends in `.safetensors`.

    Raises:
        ValueError: if a name of the variables contains "/", the path is a folder, or its folder does not exist or
            cannot be written to.

    Examples:
        >>> import tempfile, numpy as np, jaxae as ja
        >>> from jaxae.result import Fit, Status
        >>> state = ja.TrainState(np.int32(3), {"params": {"w": np.ones(2)}}, ())
        >>> fit = Fit(state.variables, state, {}, {}, None, Status(*np.zeros((7,), np.int32)), {"epochs": 1})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     load(save(fit, f"{folder}/model.safetensors")).state.step.item()
        3
    """
    from safetensors.numpy import save as encode

    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the path of a file in it")
    arrays = {
        **_flat("variables", fit.variables),
        **_flat("state/variables", fit.state.variables),
        **{f"state/opt_state/{i}": _words(leaf) for i, leaf in enumerate(jax.tree.leaves(fit.state.opt_state))},
        "state/step": fit.state.step,
        **{f"history/{name}": values for name, values in fit.history.items()},
        **{f"hparams/{name}": values for name, values in fit.hparams.items()},
        **{f"status/{name}": values for name, values in fit.status._asdict().items()},
        **({} if fit.seeds is None else {"seeds": fit.seeds}),
    }
    arrays = {name: np.asarray(leaf, order="C") for name, leaf in jax.device_get(arrays).items()}
    config = json.dumps({"record": fit.record, "collections": list(fit.variables)}, sort_keys=True)
    header = {"format": FORMAT, "version": str(VERSION), "config": config, "sha256": _digest(config, arrays)}
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise ValueError(
            f"cannot write {path}: {error.strerror}; choose a folder that exists and can be written to"
        ) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_ordered(encode(arrays, metadata=header)))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    return path


def load(path: str | os.PathLike[str], learner: Learner | Callable[..., Learner] | None = None) -> Fit:
    """Return the fit that `save` wrote.

    Args:
        path: of the file.
        learner: the learner, or its factory, that the fit was trained with: needed to go on training, since it knows
            the structure of the optimizer's state. Without it `state.opt_state` is the list of that state's arrays.

    Raises:
        ValueError: if the file is missing, damaged, of another format or version, or does not fit the learner.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}: give the path of a saved fit")
    try:
        with safe_open(path, "numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
    except (SafetensorError, OSError, ValueError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no readable safetensors file ({error}): it is damaged or something else") from None
    if header.get("format") != FORMAT or header.get("version") != str(VERSION):
        raise ValueError(
            f"{path} has format {header.get('format')!r} version {header.get('version')!r}, but this "
            f"program reads {FORMAT!r} version '{VERSION}'"
        )
    if header.get("sha256") != _digest(header.get("config", ""), arrays):
        raise ValueError(f"{path} is damaged: its content does not match its digest; restore it from a copy")
    config = json.loads(header["config"])
    variables = _nested("variables", arrays, config["collections"])
    last = _nested("state/variables", arrays, config["collections"])
    leaves = [
        arrays[f"state/opt_state/{i}"] for i in range(sum(name.startswith("state/opt_state/") for name in arrays))
    ]
    hparams = _under("hparams/", arrays)
    seeds = arrays.get("seeds")
    # A member that was taken out of its population keeps its hyperparameters in the record.
    own = {name: column[0] for name, column in hparams.items()} or config["record"].get("hparams", {})
    opt_state = leaves if learner is None else _opt_state(path, leaves, learner, last, own, seeds is not None)
    counts = _under("status/", arrays)
    # Files from before steps could be skipped, or members dropped by a search, do not have those.
    none = dict.fromkeys(("dropped_epoch", "skipped", "skipped_step"), np.zeros_like(arrays["status/epochs"]))
    status = Status(**{**none, **counts})
    state = TrainState(arrays["state/step"], last, opt_state)
    return Fit(variables, state, _under("history/", arrays), hparams, seeds, status, config["record"])


def _ordered(content: bytes) -> bytes:
    """Return a safetensors file with its header in alphabetical order: the library writes it in a random one."""
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


def _flat(prefix: str, tree: Any) -> dict[str, Any]:
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    flat: dict[str, Any] = {}
    for name, branch in tree.items():
        if "/" in str(name):
            raise ValueError(f"the variables have a name with a slash, {name!r}: rename that submodule to save them")
        flat |= _flat(f"{prefix}/{name}", branch)
    return flat


def _nested(prefix: str, arrays: Mapping[str, np.ndarray], collections: list[str]) -> dict[str, Any]:
    tree: dict[str, Any] = {name: {} for name in collections}
    for name, leaf in _under(prefix + "/", arrays).items():
        *branches, last = name.split("/")
        node = tree
        for branch in branches:
            node = node.setdefault(branch, {})
        node[last] = leaf
    return tree


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): leaf for name, leaf in arrays.items() if name.startswith(prefix)}


def _opt_state(
    path: Path, leaves: list[np.ndarray], learner: Any, variables: Any, hparams: Mapping[str, Any], many: bool
) -> Any:
    if not isinstance(learner, Learner):
        try:
            inspect.signature(learner).bind(**hparams)
        except TypeError as error:
            raise ValueError(
                f"{path} holds a fit with hparams {', '.join(hparams) or 'none'}, which the factory does not take "
                f"({error}): load it with the factory that trained it"
            ) from None
        learner = learner(**hparams)
    init = jax.vmap(learner.init) if many else learner.init
    expected, tree = jax.tree.flatten(jax.eval_shape(init, variables))
    found = [(leaf.shape, leaf.dtype) for leaf in leaves]
    words = jax.eval_shape(lambda variables: [_words(leaf) for leaf in jax.tree.leaves(init(variables))], variables)
    if found != [(leaf.shape, leaf.dtype) for leaf in words]:
        raise ValueError(
            f"{path} holds an optimizer state of {len(found)} arrays that does not fit this learner's "
            f"{len(expected)}: load it with the learner that trained it"
        )
    keyed = [
        jax.random.wrap_key_data(jnp.asarray(leaf), impl=jax.random.key_impl(jnp.empty((), like.dtype)))
        if checks.is_key(like)
        else leaf
        for leaf, like in zip(leaves, expected, strict=True)
    ]
    return jax.tree.unflatten(tree, keyed)


def _words(leaf: Any) -> Any:
    """Return a key, which some optimizers carry, as plain words."""
    return jax.random.key_data(leaf) if checks.is_key(leaf) else leaf


def _digest(config: str, arrays: Mapping[str, np.ndarray]) -> str:
    root = hashlib.sha256(config.encode())
    for name in sorted(arrays):
        leaf = arrays[name]
        root.update(f"\n{name} {leaf.dtype.name} {leaf.shape}\n".encode())
        root.update(np.ascontiguousarray(leaf).view(np.uint8).data)
    return root.hexdigest()
