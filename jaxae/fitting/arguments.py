"""What a fit is given: refused where it cannot be trained on, arranged as one row per member."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxae import checks
from jaxae.data import Shards
from jaxae.hyperparameters import points
from jaxae.population import DATA, check_axes
from jaxae.training import check_run
from jaxae.types import Array, Batch, Key, Learner, Score

__all__ = ["arrange", "check", "check_mesh"]


def check(
    data: Batch | Shards,
    key: Key,
    epochs: int,
    batch_size: int,
    validation: Batch | None,
    score: Score | None,
    patience: int | None,
) -> None:
    """Refuse what no fit can start from: see `fit`."""
    checks.whole("epochs", epochs)
    if isinstance(data, Shards):
        checks.typed_key(key)
        rows = len(data.x)
        checks.whole("batch_size", batch_size, high=rows, why=", the number of examples")
        if batch_size > rows // 2:
            raise ValueError(
                f"batch_size is {batch_size} of {rows} rows of the shards, which must fit into memory anyway: train on "
                "Batch(x), or in batches of at most half of them"
            )
    else:
        check_run(data, key, batch_size)
    if (validation is None) != (score is None):
        given, other = (
            ("validation", "score=ja.score(model, loss)") if score is None else ("score", "validation=Batch(x)")
        )
        raise ValueError(
            f"{given} was given alone, but validation rows and the score that judges them go together: add {other}"
        )
    if patience is not None:
        checks.whole("patience", patience)
        if validation is None:
            raise ValueError(
                "patience was given, but early stopping needs validation rows: add validation=Batch(x) "
                "and score=ja.score(model, loss)"
            )
    if validation is not None and not isinstance(validation, Batch):
        raise TypeError(f"validation is {type(validation).__name__}, but must be a Batch: write Batch(x)")
    if validation is not None:
        _check_validation(validation, data)
    for name, batch in (("data", None if isinstance(data, Shards) else data), ("validation", validation)):
        for part, array in batch._asdict().items() if batch is not None else ():
            if array is not None:
                checks.finite_floats(f"{name}.{part}", np.asarray(array))


def check_mesh(mesh: Mesh | None, batch_size: int, *, many: bool) -> None:
    """Refuse a mesh that members, or the rows of a batch, cannot be spread over."""
    if mesh is None:
        return
    check_axes(mesh)
    axes = [name for name in mesh.axis_names if name != DATA]
    if not many and axes:
        raise ValueError(
            f"the mesh has the axes {', '.join(map(str, axes))}, which are about members, for a single run: add "
            f"seeds=..., or call its axis {DATA!r} to spread the rows of each batch"
        )
    if many and not axes:
        raise ValueError(
            f"the mesh has the axis {DATA!r} alone, but members need one of their own: jax.make_mesh((1, "
            f"{mesh.size}), ('members', {DATA!r}), ...)"
        )
    parts = mesh.shape.get(DATA, 1)
    if batch_size % parts:
        raise ValueError(
            f"batch_size is {batch_size}, but must be a multiple of the {parts} devices of the mesh's axis {DATA!r}"
        )


def _check_validation(validation: Batch, data: Batch | Shards) -> None:
    for name, array, other in zip(Batch._fields, validation, data[:2], strict=True):
        if array is None and other is None:
            continue
        if array is None or other is None:
            raise ValueError(
                f"data.{name} is {'None' if other is None else 'given'} and validation.{name} "
                f"{'None' if array is None else 'given'}: give it for both or for none"
            )
        if not getattr(array, "shape", ()):
            raise TypeError(f"validation.{name} is {type(array).__name__}, but must be an array (n, ...)")
        if not len(array):
            raise ValueError("validation has no rows: give some, or leave it out")
        checks.same_shape(f"an example of validation.{name}", array.shape[1:], f"one of data.{name}", other.shape[1:])
        checks.same_shape(f"validation.{name}", array.shape[:1], "validation.x", validation.x.shape[:1])


def arrange(
    learner: Learner | Callable[..., Learner], hparams: Mapping[str, Any] | None, seeds: int | None
) -> tuple[Callable[..., Learner], dict[str, Array], np.ndarray | None]:
    """Return the factory, one column per hyperparameter with a row per member, and the members' seeds."""
    if seeds is not None:
        checks.whole("seeds", seeds)
    if hparams is not None and not isinstance(hparams, Mapping):
        points(hparams)  # says what it must be
    columns = {name: np.atleast_1d(column) for name, column in (hparams or {}).items()}
    count = points(columns)
    for name, column in columns.items():
        if not (jnp.issubdtype(column.dtype, jnp.number) or column.dtype == bool):
            raise TypeError(
                f"hparams {name} holds {column.dtype}, but must hold plain numbers: compare architectures in "
                "separate fits"
            )
        if not np.isfinite(column).all():
            raise ValueError(f"hparams {name} holds {column.tolist()}, but its values must be finite")
    if isinstance(learner, Learner):
        if columns:
            raise ValueError(
                f"hparams {', '.join(columns)} were given with a finished learner, which takes none: give "
                "a factory, lambda " + ", ".join(columns) + ": descend(...)"
            )

        def factory(**_: Any) -> Learner:
            return learner
    elif not callable(learner):
        raise TypeError(
            f"learner is {type(learner).__name__}, but must be a Learner or a factory of one: "
            "ja.descend(ja.objective(model, loss), optax.adam(1e-3))"
        )
    else:
        parameters = inspect.signature(learner).parameters
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            checks.known("hyperparameter of the factory", columns, parameters)
        missing = [
            name
            for name, parameter in parameters.items()
            if name not in columns
            and parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        ]
        if missing:
            raise ValueError(
                f"the factory needs {', '.join(missing)}, but hparams has {', '.join(columns) or 'none'}: "
                f"add hparams=grid({missing[0]}=[...])"
            )
        factory = learner
    seed = np.tile(np.arange(seeds or 1, dtype=np.int32), count)
    many = hparams is not None or seeds is not None
    hyper = {name: jnp.asarray(np.repeat(column, seeds or 1)) for name, column in columns.items()}
    return factory, hyper, seed if many else None
