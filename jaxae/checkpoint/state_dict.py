"""Weights as PyTorch lays them out, and back: plain numpy arrays by torch's names, so that torch is not needed.

| here | there |
|---|---|
| `params/a/b/kernel` of a dense layer, (in, out) | `a.b.weight`, (out, in) |
| `kernel` of a convolution, or of a resize convolution, (h, w, in, out) | `weight`, (out, in, h, w) |
| `kernel` of a transposed convolution, (h, w, in, out) | `weight`, (in, out, h, w), turned by 180° |
| `bias`, and every other parameter | the same |
| `scale`, `bias` of batch norm | `weight`, `bias` |
| `batch_stats`: `mean`, `var` of batch norm | `running_mean`, `running_var` |

Torch's layers must compute the same: `nn.BatchNorm2d(c, eps=1e-5)`, and `nn.ConvTranspose2d` with the stage's padding
and output padding. Images are (n, c, h, w) there, so a dense layer at a flattened image counts its pixels in another
order: `takes` and `makes` name such layers.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxae.checkpoint.trees import flat, nested
from jaxae.networks.stages import Shape
from jaxae.types import Variables

__all__ = ["from_state_dict", "to_state_dict"]

Order = Callable[[np.ndarray], np.ndarray]
OF_NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def to_state_dict(
    variables: Variables, *, takes: Mapping[str, Shape] | None = None, makes: Mapping[str, Shape] | None = None
) -> dict[str, np.ndarray]:
    """Return the variables of one model as torch's `state_dict` has them.

    Args:
        variables: {"params": ..., "batch_stats": ...}.
        takes: {layer: (height, width, channels)} of dense layers, by torch's name, that take a flattened image.
        makes: the same of those that make one.

    Raises:
        TypeError: for what is no mapping.
        ValueError: for a layer that is not there or is not of that size, and a collection that torch has no place for.

    Examples:
        >>> import jax, jax.numpy as jnp, jaxae as ja
        >>> ae = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((4,)))
        >>> state = to_state_dict(ae.init(jax.random.key(0), jnp.ones((1, 4))))
        >>> {name: array.shape for name, array in state.items()}
        {'encoder.Dense_0.weight': (2, 4), 'encoder.Dense_0.bias': (2,),
         'decoder.Dense_0.weight': (4, 2), 'decoder.Dense_0.bias': (4,)}
    """
    _check(variables=variables, takes=takes or {}, makes=makes or {})
    places = _places(variables, takes or {}, makes or {})
    return {place.name: np.ascontiguousarray(place.there(np.asarray(leaf))) for place, leaf in places}


def from_state_dict(
    state: Mapping[str, Any],
    like: Variables,
    *,
    takes: Mapping[str, Shape] | None = None,
    makes: Mapping[str, Shape] | None = None,
) -> dict[str, Any]:
    """Return variables, on the host, from what torch's `state_dict` has, or `to_state_dict` returned.

    Args:
        state: {name: array}; torch's own tensors on the CPU do, as numpy sees them. `num_batches_tracked` is left out.
        like: variables of the same model, or their shapes, `jax.eval_shape(model.init, key, x)`.
        takes: as for `to_state_dict`.
        makes: as for `to_state_dict`.

    Raises:
        TypeError: for what is no mapping.
        ValueError: naming what is missing, too many, or of another shape.

    Examples:
        >>> import jax, jax.numpy as jnp, jaxae as ja
        >>> ae = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((4,)))
        >>> variables = ae.init(jax.random.key(0), jnp.ones((1, 4)))
        >>> back = from_state_dict(to_state_dict(variables), variables)
        >>> jax.tree.map(lambda leaf: leaf.shape, back["params"]["encoder"])
        {'Dense_0': {'bias': (2,), 'kernel': (4, 2)}}
    """
    _check(state=state, like=like, takes=takes or {}, makes=makes or {})
    places = _places(like, takes or {}, makes or {})
    given = {name: np.asarray(array) for name, array in state.items() if not name.endswith("num_batches_tracked")}
    names = {place.name for place, _ in places}
    for name in [*names, *given]:
        if name not in given or name not in names:
            what = "is missing in the state" if name in names else "stands in the state, but is not of this model"
            raise ValueError(f"{name} {what}: rename the state's layers as to_state_dict(variables) names them")
    found = {}
    for place, leaf in places:
        array, shape = given[place.name], place.there(np.empty(leaf.shape, bool)).shape
        if array.shape != shape:
            raise ValueError(f"{place.name} has shape {array.shape}, but must have {shape}")
        found[place.path] = np.ascontiguousarray(place.back(array)).astype(leaf.dtype, casting="same_kind")
    return nested(found, list(like))


def _check(**given: Any) -> None:
    for name, value in given.items():
        if not isinstance(value, Mapping):
            raise TypeError(
                f"{name} is {value!r:.40}, but must be a mapping of names: what init returns, or a state_dict"
            )


class _Place(NamedTuple):
    path: str
    name: str
    there: Order
    back: Order


def _places(variables: Variables, takes: Mapping[str, Shape], makes: Mapping[str, Shape]) -> list[tuple[_Place, Any]]:
    """Return where every leaf lies in torch, and how one becomes the other, beside the leaf."""
    found, layers = [], set()
    for path, leaf in flat("", variables).items():
        if "/" not in path.removeprefix("/"):
            raise ValueError(f"variables have {path.removeprefix('/')!r} in no layer: give what init returns")
        collection, *layer, last = path.removeprefix("/").split("/")
        kind = layer[-1].rsplit("_", 1)[0] if layer else ""
        norm = kind == "BatchNorm"
        if collection != "params" and not (collection == "batch_stats" and norm):
            raise ValueError(f"{path} has no place in a state_dict, which holds params, and batch_stats of batch norm")
        if norm and layer[-2:-1] and layer[-2].startswith("BatchNorm_"):
            layer = layer[:-1]  # batch norm here is a module around Flax's
        name = ".".join(layer)
        names = OF_NORM if norm else {"kernel": "weight"}
        there, back = _orders(name, kind, last, tuple(leaf.shape), takes.get(name), makes.get(name))
        found.append((_Place(path.removeprefix("/"), ".".join([*layer, names.get(last, last)]), there, back), leaf))
        layers |= {name} if last == "kernel" and len(leaf.shape) == 2 else set()
    for name in [*takes, *makes]:
        if name not in layers:
            raise ValueError(f"there is no dense layer {name!r}; there is: {', '.join(sorted(layers)) or 'none'}")
    return found


def _orders(
    layer: str, kind: str, leaf: str, shape: tuple[int, ...], takes: Shape | None, makes: Shape | None
) -> tuple[Order, Order]:
    """Return how an array becomes torch's, and torch's becomes it."""
    if leaf == "kernel" and len(shape) == 4:
        if kind == "ConvTranspose":
            # Flax slides its kernel over the dilated image, torch adds the kernel at the place of every pixel.
            return (
                lambda kernel: kernel[::-1, ::-1].transpose(2, 3, 0, 1),
                lambda weight: weight.transpose(2, 3, 0, 1)[::-1, ::-1],
            )
        return lambda kernel: kernel.transpose(3, 2, 0, 1), lambda weight: weight.transpose(2, 3, 1, 0)
    if leaf == "kernel" and len(shape) != 2:
        raise ValueError(f"{layer} has a kernel of shape {shape}, but only dense layers and convolutions have a place")
    outputs = _pixels(layer, makes, shape[-1]) if shape else np.arange(0)
    if leaf == "kernel":
        inputs = _pixels(layer, takes, shape[0])
        return lambda kernel: kernel[inputs][:, outputs].T, lambda weight: weight.T[np.argsort(inputs)][
            :, np.argsort(outputs)
        ]
    if leaf == "bias" and makes is not None:
        return lambda bias: bias[outputs], lambda bias: bias[np.argsort(outputs)]
    return lambda array: array, lambda array: array


def _pixels(layer: str, image: Shape | None, count: int) -> np.ndarray:
    """Return where torch's numbers stand here: those of an image channel by channel, then what stands beside them."""
    if image is None:
        return np.arange(count)
    size = math.prod(image)
    if size > count:
        raise ValueError(f"{layer} has {count} numbers, but an image {image} has {size}")
    return np.concatenate([np.arange(size).reshape(image).transpose(2, 0, 1).reshape(-1), np.arange(size, count)])
