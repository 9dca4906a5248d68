"""What a fit is given: refused where it cannot be trained on, arranged as one row per member."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxae import checks
from jaxae.hyperparameters import points
from jaxae.training import check_run
from jaxae.types import Array, Batch, Key, Learner, Score

__all__ = ["arrange", "check"]


def check(
    data: Batch,
    key: Key,
    epochs: int,
    batch_size: int,
    validation: Batch | None,
    score: Score | None,
    patience: int | None,
) -> None:
    """Refuse what no fit can start from: see `fit`."""
    checks.whole("epochs", epochs)
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
    for name, batch in (("data", data), ("validation", validation)):
        for part, array in batch._asdict().items() if batch is not None else ():
            if array is not None:
                checks.finite_floats(f"{name}.{part}", np.asarray(array))


def _check_validation(validation: Batch, data: Batch) -> None:
    for name, array, other in zip(Batch._fields, validation, data, strict=True):
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
