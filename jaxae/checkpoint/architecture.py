"""Models as data: modules and activations by names out of a closed list, and plain numbers, words and tuples.

Nothing in such data names a place that code is imported from, and nothing is called but what the list holds. How
parameters are drawn, and the form that a convolution is computed in, are no part of a trained model and are left out.
"""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

from flax import linen as nn

from jaxae import convolution, models, networks

__all__ = ["build", "described"]

KNOWN: dict[str, Callable[..., Any]] = {"LinenDense": nn.Dense} | {
    kind.__name__: kind
    for kind in (
        models.AE,
        models.GAN,
        models.SparseAE,
        models.VAE,
        networks.MLP,
        networks.Atoms,
        networks.BatchNorm,
        networks.ConvDecoder,
        networks.ConvEncoder,
        networks.Dense,
        networks.Dropout,
        networks.PredictedScale,
        networks.Projection,
        networks.Residual,
        networks.SharedScale,
        networks.Stage,
        convolution.Conv,
        convolution.ConvTranspose,
        convolution.ResizeConv,
        nn.Sequential,
        nn.celu,
        nn.elu,
        nn.gelu,
        nn.hard_tanh,
        nn.leaky_relu,
        nn.relu,
        nn.relu6,
        nn.selu,
        nn.sigmoid,
        nn.silu,
        nn.soft_sign,
        nn.softplus,
        nn.tanh,
    )
}
"""All that a model in a file can be made of: modules by the name of their class, activations by that of their function.

What is added here can be saved and loaded; nothing else knows of it.
"""
LEFT_OUT = {"parent", "kernel_init", "bias_init", "form"}
SMALL = {"kernel", "kernel_size", "stride", "strides", "scale", "padding", "output_padding"}
"""Fields whose numbers are those of pixels beside each other."""
LARGEST_SMALL = 64
LARGEST = 2**31 - 1
DEEPEST = 32
MOST = 2000
"""Numbers, words, modules and activations in the description of a model."""


def described(model: Any) -> Any:
    """Return a model, or a part of one, as JSON types.

    Raises:
        TypeError: naming what is not in the closed list.

    Examples:
        >>> import jaxae as ja
        >>> described(networks.Stage(8, 4))
        {'Stage': {'features': 8, 'kernel': 4, 'stride': 2, 'padding': 1, 'output_padding': [0, 0]}}
        >>> build(described(ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((8,))))).encoder.widths
        (2,)
    """
    if model is None or isinstance(model, bool | str):
        return model
    if isinstance(model, Integral):
        return int(model)
    if isinstance(model, Real):
        return float(model)
    kind: Any = type(model)
    if kind in (list, tuple):
        return [described(each) for each in model]
    name = _name(kind)
    if name is not None:
        return {name: {field: described(getattr(model, field)) for field in _fields(kind) if _told(model, field)}}
    partly = isinstance(model, functools.partial) and not model.args
    function, settings = (model.func, model.keywords) if partly else (model, {})
    name = _name(function)
    if name in ACTIVATIONS:
        return {name: {setting: described(value) for setting, value in settings.items()}}
    raise TypeError(
        f"the model has a part {str(model)[:80]!r}, but a file can hold {', '.join(KNOWN)} alone, with numbers, words "
        "and tuples: build it of those"
    )


def build(data: Any) -> Any:
    """Return the model, or the part of one, that `described` returned the data of.

    Raises:
        ValueError: for anything that it could not have returned.
    """
    if _count(data, 0) > MOST:
        raise ValueError(f"it describes a model of more than {MOST} parts")
    return _built(data, "")


def _built(data: Any, field: str) -> Any:
    if data is None or isinstance(data, bool | str):
        return data
    if isinstance(data, int):
        largest = LARGEST_SMALL if field in SMALL else LARGEST
        if abs(data) > largest:
            raise ValueError(f"{field or 'a number'} is {data}, but at most {largest} is allowed")
        return data
    if isinstance(data, float):
        if not math.isfinite(data):
            raise ValueError(f"{field or 'a number'} is {data}, but must be finite")
        return data
    if isinstance(data, list):
        return tuple(_built(each, field) for each in data)
    ((name, settings),) = data.items() if len(data) == 1 else (("", None),)
    if name not in KNOWN or not isinstance(settings, dict):
        raise ValueError(f"it describes {repr(data)[:60]}, but a model is made of {', '.join(KNOWN)}")
    known = KNOWN[name]
    allowed = ACTIVATIONS[name] if name in ACTIVATIONS else _fields(known)
    for setting in settings:
        if setting not in allowed:
            raise ValueError(f"it gives {name} a setting {setting[:40]!r}, but there is {', '.join(allowed) or 'none'}")
    values = {setting: _built(value, setting) for setting, value in settings.items()}
    if name in ACTIVATIONS:
        return functools.partial(known, **values) if values else known
    return known(**values)


def _count(data: Any, depth: int) -> int:
    if depth > DEEPEST:
        raise ValueError(f"it describes a model that is nested more than {DEEPEST} deep")
    if isinstance(data, dict):
        return 1 + sum(_count(each, depth + 1) for each in data.values())
    return 1 + sum(_count(each, depth + 1) for each in data) if isinstance(data, list) else 1


def _fields(kind: Any) -> tuple[str, ...]:
    names = kind._fields if issubclass(kind, tuple) else tuple(field.name for field in dataclasses.fields(kind))
    return tuple(name for name in names if name not in LEFT_OUT)


def _name(thing: Any) -> str | None:
    return next((name for name, known in KNOWN.items() if known is thing), None)


def _told(model: Any, field: str) -> bool:
    value = getattr(model, field)
    if field == "name":  # who has none is named by its place, here and when it is built again
        return value is not None
    # A type that is left at its default, such as Flax's of parameters, needs no word.
    return not (callable(value) and _name(value) is None and value is getattr(type(model), field, None))


def _settings(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return what an activation takes beside the array."""
    return tuple(inspect.signature(function).parameters)[1:]


ACTIVATIONS: Mapping[str, tuple[str, ...]] = {
    name: _settings(known) for name, known in KNOWN.items() if not isinstance(known, type)
}
"""The settings of every activation in the list."""
