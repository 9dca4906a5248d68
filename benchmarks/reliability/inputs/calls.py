"""What a call is, and which functions there are to call."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

import jaxae as ja

__all__ = [
    "CODES",
    "COLUMNS",
    "IMAGES",
    "LABELS",
    "NAMES",
    "RANDOM",
    "ROWS",
    "Call",
    "X",
    "answer",
    "public",
    "rows_of",
    "shape_of",
]

ROWS, COLUMNS = 6, 4
NAMES = ("a", "b", "c", "d")
LABELS = np.array([0, 1, 0, 1, 0, 1])
RANDOM = np.random.default_rng(0)
X = RANDOM.uniform(size=(ROWS, COLUMNS)).astype(np.float32)
CODES = RANDOM.normal(size=(ROWS, 3)).astype(np.float32)
IMAGES = RANDOM.uniform(size=(2, 8, 8, 1)).astype(np.float32)


class Call(NamedTuple):
    """A function, and arguments that it takes.

    Attributes:
        function: what is called.
        given: its arguments by name.
        shape: given -> the shape of what it returns; None where that is something else than one array.
    """

    function: Callable[..., Any]
    given: dict[str, Any]
    shape: Callable[[Mapping[str, Any]], tuple[int, ...]] | None = None


def answer(call: Call, changed: Mapping[str, Any]) -> Any:
    """Return what a function makes of its arguments, some of which are changed."""
    given = {**call.given, **changed}
    positional: list[Any] = []
    for name, parameter in inspect.signature(call.function).parameters.items():
        if parameter.kind is parameter.POSITIONAL_ONLY and name in given:
            positional.append(given.pop(name))
        elif parameter.kind is parameter.VAR_POSITIONAL and name in given:
            several = given.pop(name)
            positional += several if isinstance(several, Iterable) else [several]
    return call.function(*positional, **given)


def public() -> set[str]:
    """Return the names of all public functions but those that draw reports, or need several processes."""
    modules = {name: getattr(ja, name) for name in ja.__all__ if inspect.ismodule(getattr(ja, name))}
    found = {name for name in ja.__all__ if inspect.isfunction(getattr(ja, name))}
    for name in set(modules) - {"report", "hosts"}:
        found |= {f"{name}.{own}" for own in modules[name].__all__ if inspect.isfunction(getattr(modules[name], own))}
    # What stands in the root too is called by its name there.
    return {name for name in found if "." not in name or name.partition(".")[2] not in found}


def rows_of(name: str) -> Callable[[Mapping[str, Any]], tuple[int, ...]]:
    """Return given -> (n,), as many as an argument has rows."""
    return lambda given: (len(given[name]),)


def shape_of(name: str) -> Callable[[Mapping[str, Any]], tuple[int, ...]]:
    """Return given -> the shape of an argument."""
    return lambda given: np.shape(given[name])
