"""Calls some of whose arguments are drawn at random: a result without NaN and of its shape, or a refusal by name."""

import collections
import re
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benchmarks.reliability.inputs.calls import Call, answer

__all__ = ["generated"]

LEFT_OUT = {
    "fit", "fit of a population", "run", "train", "search.halving", "search.hyperband", "search.evolution",
    "checkpoint.save", "checkpoint.load", "data.read", "data.write", "data.images", "data.image_folder",
    "data.write_images", "data.check_target", "data.is_table", "data.digits", "sweep(member)", "spread(member)",
    "metrics.classifier_two_sample", "latent.tsne", "metrics.linear_probe",
}  # fmt: skip
"""What would compile a program, read a file or fit a forest every time."""
DOCUMENTED = {"losses.sparse", "statistics.summaries"}
"""What is documented to be NaN: of units outside 0…1, and an interval of too few seeds."""
NUMBERS = (-1.0, 0.0, 0.05, 0.5, 1.0, 1.5, 2.0, 101.0, float("nan"), float("inf"), -float("inf"))
WORDS = (None, "1", True, (), (1.0, 0.0), [0.5])
WHOLE = (-1, 0, 1, 2, 3, 7, 10**6, 2.0, 0.5)
VALUES = (-2.0, -1.0, 0.0, 0.25, 0.5, 1.0, 2.0, 3.0)
DTYPES = ("float32", "float32", "float32", "float64", "float16", "bfloat16", "int32", "uint8", "bool")
SHAPES = ((), (6,), (0, 4), (1, 4), (6, 1), (6, 0), (6, 3), (2, 8, 8, 1), (2, 6, 1))
"""Few, since JAX compiles for every shape anew."""
MOST = 200
"""Rows that a whole number may ask for, where it is taken: what is more is refused, or left out here."""


def generated(known: Mapping[str, Call], count: int, faults: list[str]) -> dict[str, int]:
    """Return what became of so many calls, and add what is wrong with one to the faults."""
    names = sorted(known.keys() - LEFT_OUT)
    found: collections.Counter[str] = collections.Counter()

    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def one(draw: Any) -> None:
        name = draw.draw(st.sampled_from(names))
        call = known[name]
        chosen = draw.draw(st.sets(st.sampled_from(sorted(call.given)), min_size=1, max_size=2)) if call.given else ()
        changed = {argument: draw.draw(_like(call.given[argument])) for argument in sorted(chosen)}
        found["calls"] += 1
        outcome, fault = _outcome(name, call, changed)
        found[outcome] += 1
        if fault:
            told = {argument: _told(value) for argument, value in changed.items()}
            faults.append(f"{name}({told}): {fault}")

    one()
    return dict(found)


def _outcome(name: str, call: Call, changed: Mapping[str, Any]) -> tuple[str, str]:
    """Return what became of a call, and what is wrong with that."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = answer(call, changed)
    except (TypeError, ValueError, FileNotFoundError) as error:
        said = str(error)
        named = any(re.search(rf"\b{re.escape(argument)}\b", said) for argument in _names(name, call))
        return ("refused", "") if named else ("unnamed", f"{type(error).__name__} names no argument: {said[:200]}")
    except Exception as error:
        return "other errors", f"{type(error).__name__}: {str(error)[:200]}"
    given = {**call.given, **changed}
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(result) if _numeric(leaf)]
    wild = any(np.isnan(leaf.astype(np.float64)).any() for leaf in leaves if leaf.dtype.kind not in "bOSU")
    if wild and name not in DOCUMENTED and all(_finite(value) for value in given.values()):
        return "nan", "is NaN for finite arguments"
    if call.shape is not None and (shape := jax.tree.leaves(result)[0].shape) != call.shape(given):
        return "other shapes", f"has shape {shape} and not {call.shape(given)}"
    return "answered", ""


def _names(name: str, call: Call) -> list[str]:
    """Return the names that a message may call an argument by."""
    more = {
        "networks.Dropout": ["dropout"],
        "distributions.normal": ["decoder", "mean", "logvar"],
        "hyperparameters.choices": ["choices"],
        "windows.spread": ["windows"],
    }
    if name.startswith("models.") or name.endswith("Scale"):
        # A network names what it is given x.
        more[name] = ["network", "x"]
    if name.startswith(("losses.", "adversarial.")):
        # What the model makes of x is refused by its own name.
        more[name] = ["mean", "code", "logits", "prediction", "values"]
    # Tables are refused by their columns, and widths by one of them.
    return [*call.given, *more.get(name, ()), "column", "columns", "width", "rows", "batch", "conditions"]


def _like(value: Any) -> st.SearchStrategy[Any]:
    """Return arguments of the kind of one that is taken, good and bad."""
    if hasattr(value, "dtype") and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        bad = [jax.random.PRNGKey(0), np.uint32(3), jax.random.split(value, 2)]
        return st.sampled_from([value, *bad, *WORDS])
    if isinstance(value, np.ndarray | jax.Array):
        return _arrays(np.shape(value))
    if isinstance(value, bool) or value is None or callable(value):
        return st.sampled_from([value, *WORDS])
    if isinstance(value, int):
        return st.sampled_from([value, *(number for number in WHOLE if number <= MOST), *WORDS])
    if isinstance(value, float):
        return st.sampled_from([value, *NUMBERS, np.float32(0.5), *WORDS])
    return st.sampled_from([value, *WORDS])


@st.composite
def _arrays(draw: Any, like: tuple[int, ...]) -> Any:
    """Return arrays of a shape like one that is taken, of any dtype, now and then with a value that is not finite."""
    shape = draw(st.sampled_from([like, like, like, *SHAPES]))
    dtype = jnp.dtype(draw(st.sampled_from(DTYPES)))
    size = int(np.prod(shape))
    seed = draw(st.integers(0, 7))
    values = np.random.default_rng(seed).choice(VALUES, size)
    if draw(st.booleans()):
        values = np.abs(values) / 3
    wild = draw(st.sampled_from([None, None, None, np.nan, np.inf, -np.inf, 255.0]))
    if wild is not None and size and jnp.issubdtype(dtype, jnp.floating):
        values[seed % size] = wild
    with np.errstate(invalid="ignore"):
        array = values.astype(dtype).reshape(shape)
    return jnp.asarray(array) if draw(st.booleans()) else array


def _numeric(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray | jax.Array | float | int | np.generic) and not (
        hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    )


def _finite(value: Any) -> bool:
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(value) if _numeric(leaf)]
    return all(np.isfinite(leaf.astype(np.float64)).all() for leaf in leaves if leaf.dtype.kind not in "bOSU")


def _told(value: Any) -> str:
    if isinstance(value, np.ndarray | jax.Array):
        return f"{type(value).__name__} {value.dtype}{value.shape}"
    return f"{value!r:.60}"
