"""The weights of a Flax model in a torch module, and back."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from flax.traverse_util import flatten_dict, unflatten_dict
from torch import Tensor, nn

KINDS = {
    "kernel": (nn.Linear, "weight"),
    "bias": (nn.Linear, "bias"),
    "scale": (nn.BatchNorm1d, "weight"),
    "shift": (nn.BatchNorm1d, "bias"),
    "mean": (nn.BatchNorm1d, "running_mean"),
    "var": (nn.BatchNorm1d, "running_var"),
}
"""Where torch keeps what Flax calls by these names; `shift` is the bias of batch norm."""


class Pair(NamedTuple):
    """A leaf of the Flax tree, and the torch tensors that are its columns side by side."""

    path: tuple[str, ...]
    tensors: list[Tensor]


def pairs(variables: Any, module: nn.Module) -> list[Pair]:
    """Return which leaf is which tensors: layers of a kind come in the same order in both, only named differently."""
    paths: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for path in sorted(flatten_dict(variables)):
        leaf = "shift" if path[-1] == "bias" and "BatchNorm" in path[-2] else path[-1]
        paths.setdefault((path[1], leaf), []).append(path)
    found = []
    for (part, leaf), own in paths.items():
        if leaf == "logvar":
            tensors = [[module.logvar_of_columns]]
        elif part == "head":
            # One layer makes both in jaxae, the means first.
            tensors = [[getattr(layer, KINDS[leaf][1]) for layer in (module.mean, module.logvar)]]
        else:
            kind, name = KINDS[leaf]
            tensors = [[getattr(layer, name)] for layer in getattr(module, part).modules() if isinstance(layer, kind)]
        found += [Pair(path, columns) for path, columns in zip(own, tensors, strict=True)]
    # A parameter that is copied nowhere would keep torch's own draw, and be missed by every comparison.
    copied = {id(tensor) for pair in found for tensor in pair.tensors}
    assert {id(parameter) for parameter in module.parameters()} <= copied
    return found


def copy(variables: Any, module: nn.Module) -> list[Pair]:
    """Put the Flax variables into the torch module, and return which is which."""
    flat, found = flatten_dict(variables), pairs(variables, module)
    with torch.no_grad():
        for path, tensors in found:
            for tensor, columns in zip(tensors, np.split(np.asarray(flat[path]), len(tensors), -1), strict=True):
                # A kernel is (inputs, outputs) in Flax and (outputs, inputs) in torch; copy_ would broadcast.
                assert tensor.shape == columns.T.shape
                tensor.copy_(torch.tensor(columns.T))
    return found


def tree(found: list[Pair], of: Callable[[Tensor], Tensor] = lambda tensor: tensor) -> dict[str, Any]:
    """Return the tensors, or something of each, as the Flax tree."""
    return unflatten_dict(
        {path: np.concatenate([of(tensor).detach().numpy().T for tensor in tensors], -1) for path, tensors in found}
    )
