"""Trees of arrays as arrays whose names have slashes, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["flat", "nested", "under"]


def flat(prefix: str, tree: Any) -> dict[str, Any]:
    """Return {name: leaf} of a tree of mappings.

    Raises:
        ValueError: for a name with a slash.

    Examples:
        >>> flat("variables", {"params": {"w": 1}})
        {'variables/params/w': 1}
    """
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    found: dict[str, Any] = {}
    for name, branch in tree.items():
        if "/" in str(name):
            raise ValueError(f"the variables have a name with a slash, {name!r}: rename that submodule to save them")
        found |= flat(f"{prefix}/{name}", branch)
    return found


def nested(arrays: Mapping[str, Any], collections: list[str]) -> dict[str, Any]:
    """Return the tree of named arrays, with these collections at its root whether they hold anything or not.

    Raises:
        ValueError: if one name is a leaf and a branch.

    Examples:
        >>> nested({"params/w": 1}, ["params", "empty"])
        {'params': {'w': 1}, 'empty': {}}
    """
    tree: dict[str, Any] = {name: {} for name in collections}
    for name, leaf in arrays.items():
        *branches, last = name.split("/")
        node = tree
        for branch in branches:
            node = node.setdefault(branch, {})
            if not isinstance(node, dict):
                break
        if not isinstance(node, dict) or last in node:
            raise ValueError(f"{name!r} is both an array and what holds others")
        node[last] = leaf
    return tree


def under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin so, without that beginning."""
    return {name.removeprefix(prefix): leaf for name, leaf in arrays.items() if name.startswith(prefix)}
