"""A `Fit` in one safetensors file, checked by a digest: loading it runs no code and rebuilds no class."""

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxae import checks, keys
from jaxae.checkpoint.tensors import HEADER_LIMIT, LIMIT, check_finite, named, read, refused, write
from jaxae.checkpoint.trees import flat, nested, under
from jaxae.result import Fit, Status
from jaxae.types import Learner, TrainState

__all__ = ["load", "save"]

FORMAT = "jaxae.fit"
VERSION = 1
PARTS = ("variables", "state", "history", "hparams", "status", "seeds")
"""What the names of arrays begin with."""
PARAMETERS = ("variables/params/", "state/variables/params/")


def save(fit: Fit, path: str | os.PathLike[str]) -> Path:
    """Write a fit to one file, whole or not at all, and return its path.

    Args:
        fit: a single run or a population.
        path: of the file; by convention it ends in `.safetensors`.

    Raises:
        TypeError: if fit is no Fit, or path no path.
        ValueError: if a name of the variables contains "/", a parameter is not finite, the path is a folder, or its
            folder does not exist or cannot be written to.

    Examples:
        >>> import tempfile, numpy as np, jaxae as ja
        >>> from jaxae.result import Fit, Status
        >>> state = ja.TrainState(np.int32(3), {"params": {"w": np.ones(2)}}, ())
        >>> fit = Fit(state.variables, state, {}, {}, None, Status(*np.zeros((7,), np.int32)), {"epochs": 1})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     load(save(fit, f"{folder}/model.safetensors")).state.step.item()
        3
    """
    if not isinstance(fit, Fit):
        raise TypeError(f"fit is {type(fit).__name__}, but must be what ja.fit returned: save_model writes a model")
    checks.path("path", path)
    arrays = {
        **flat("variables", fit.variables),
        **flat("state/variables", fit.state.variables),
        **{f"state/opt_state/{i}": keys.words(leaf) for i, leaf in enumerate(jax.tree.leaves(fit.state.opt_state))},
        "state/step": fit.state.step,
        **{f"history/{name}": values for name, values in fit.history.items()},
        **{f"hparams/{name}": values for name, values in fit.hparams.items()},
        **{f"status/{name}": values for name, values in fit.status._asdict().items()},
        **({} if fit.seeds is None else {"seeds": fit.seeds}),
    }
    arrays = jax.device_get(arrays)
    for name, leaf in arrays.items():
        if name.startswith(PARAMETERS):
            check_finite(path, name, np.asarray(leaf))
    config = {"record": fit.record, "collections": list(fit.variables)}
    write(path, FORMAT, VERSION, config, arrays)
    return Path(path)


def load(
    path: str | os.PathLike[str],
    learner: Learner | Callable[..., Learner] | None = None,
    *,
    limit: int = LIMIT,
    header_limit: int = HEADER_LIMIT,
) -> Fit:
    """Return the fit that `save` wrote.

    Args:
        path: of the file.
        learner: the learner, or its factory, that the fit was trained with: needed to go on training, since it knows
            the structure of the optimizer's state. Without it `state.opt_state` is the list of that state's arrays.
        limit: bytes of the file that are read at most.
        header_limit: bytes of its header.

    Raises:
        TypeError: if path is no path.
        RefusedError: if the file is missing, damaged, too large, of another format or version, or does not fit the
            learner; or a parameter is not finite, which `fit` never returns. A history of a member that diverged holds
            NaN.
    """
    content = read(path, FORMAT, VERSION, limit=limit, header_limit=header_limit)
    arrays, config = content.arrays, content.config
    fit = _checked(path, config, arrays)
    if learner is None:
        return fit
    # A member that was taken out of its population keeps its hyperparameters in the record.
    own = {name: column[0] for name, column in fit.hparams.items()} or fit.record.get("hparams", {})
    leaves, many = fit.state.opt_state, fit.seeds is not None
    opt_state = _opt_state(path, leaves, learner, fit.state.variables, own, many)
    return fit._replace(state=fit.state._replace(opt_state=opt_state))


def _checked(path: str | os.PathLike[str], config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Fit:
    """Return the fit of these arrays, the optimizer's as a list, or refuse what no fit was saved as."""
    collections, record = config.get("collections"), config.get("record")
    if not isinstance(record, dict) or not isinstance(collections, list):
        raise refused(path, "is damaged: its config must have a record and collections")
    for name, leaf in arrays.items():
        if name.split("/")[0] not in PARTS:
            raise refused(path, f"is damaged: {named(name)} is no part of a fit")
        if name.startswith(PARAMETERS):
            check_finite(path, name, leaf)
    step: Any = arrays.get("state/step")
    seeds, history = arrays.get("seeds"), under("history/", arrays)
    hparams, counts, kept = under("hparams/", arrays), under("status/", arrays), under("state/opt_state/", arrays)
    # Files from before steps could be skipped, or members dropped by a search, do not have those.
    none = dict.fromkeys(("dropped_epoch", "skipped", "skipped_step"), np.zeros_like(counts.get("epochs", 0)))
    counts = {**none, **counts}
    lead = () if seeds is None else seeds.shape
    told = {**counts, "step": step}
    if counts.keys() != set(Status._fields) or any(
        leaf is None or leaf.shape != lead or leaf.dtype.kind not in "iu" for leaf in told.values()
    ):
        raise refused(path, "is damaged: its step and status are not whole numbers of one run, or of each member")
    if len(lead) > 1 or any(leaf.shape[:1] != lead for leaf in arrays.values() if lead):
        raise refused(path, "is damaged: its arrays are not of as many members as there are seeds")
    if kept.keys() != {str(i) for i in range(len(kept))}:
        raise refused(path, "is damaged: the arrays of its optimizer's state are not counted from 0")
    try:
        variables = nested(under("variables/", arrays), collections)
        last = nested(under("state/variables/", arrays), collections)
    except (ValueError, TypeError) as error:
        raise refused(path, f"is damaged: {error}") from None
    state = TrainState(step, last, [kept[str(i)] for i in range(len(kept))])
    return Fit(variables, state, history, hparams, seeds, Status(**counts), record)


def _opt_state(
    path: str | os.PathLike[str],
    leaves: list[np.ndarray],
    learner: Any,
    variables: Any,
    hparams: Mapping[str, Any],
    many: bool,
) -> Any:
    if not isinstance(learner, Learner):
        try:
            inspect.signature(learner).bind(**hparams)
        except TypeError as error:
            raise refused(
                path,
                f"holds a fit with hparams {', '.join(hparams) or 'none'}, which the factory does not take ({error}): "
                "load it with the factory that trained it",
            ) from None
        learner = learner(**hparams)
    init = jax.vmap(learner.init) if many else learner.init
    expected, tree = jax.tree.flatten(jax.eval_shape(init, variables))
    found = [(leaf.shape, leaf.dtype) for leaf in leaves]
    words = jax.eval_shape(lambda variables: [keys.words(leaf) for leaf in jax.tree.leaves(init(variables))], variables)
    if found != [(leaf.shape, leaf.dtype) for leaf in words]:
        raise refused(
            path,
            f"holds an optimizer state of {len(found)} arrays that does not fit this learner's {len(expected)}: load "
            "it with the learner that trained it",
        )
    return jax.tree.unflatten(tree, [keys.like(leaf, own) for leaf, own in zip(leaves, expected, strict=True)])
