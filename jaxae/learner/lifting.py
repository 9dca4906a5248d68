"""NNX modules as models."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import nnx

from jaxae import checks
from jaxae.types import Array, Key, Variables

__all__ = ["Lifted", "lift"]


class Lifted(NamedTuple):
    """An NNX module as a pure model: `init`, `bind` and `apply` as a Linen module has them.

    Its variables are plain nested dictionaries by name (the layers of a list by "0", "1", ...): `params`, and in
    `state` everything else that the module keeps (batch norm's running averages), less the state of its random streams,
    which come from the keys that are given.

    Attributes:
        make: (nnx.Rngs) -> the NNX module.
    """

    make: Callable[[nnx.Rngs], nnx.Module]

    def init(self, key: Key, x: Array | None = None, cond: Array | None = None) -> dict[str, Any]:
        """Return the variables of a fresh module; x and cond are taken for likeness with Linen and not used."""
        _, *(params, _, state) = nnx.split(self.make(nnx.Rngs(key)), nnx.Param, nnx.RngState, ...)
        return {"params": _named(params), "state": _named(state)}

    def bind(self, variables: Variables) -> Any:
        """Return the module with these variables, in inference mode."""
        return self._merge(variables, None, training=False)

    def apply(
        self,
        variables: Variables,
        *args: Any,
        method: Callable[..., Any],
        mutable: Collection[str] = (),
        rngs: Mapping[str, Key] | None = None,
    ) -> Any:
        """Return method(module, *args), and with `mutable` also the state that the call wrote.

        Batch norm trains when `mutable` is not empty, dropout drops when `rngs` has a `dropout` key.
        """
        module = self._merge(variables, (rngs or {}).get("dropout"), training=bool(mutable))
        result = method(module, *args)
        if not mutable:
            return result
        _, *(_, _, state) = nnx.split(module, nnx.Param, nnx.RngState, ...)
        return result, {"state": _named(state)}

    def _merge(self, variables: Variables, dropout_key: Key | None, *, training: bool) -> Any:
        abstract = nnx.eval_shape(lambda: self.make(nnx.Rngs(0)))
        graph, *(params, streams, state) = nnx.split(abstract, nnx.Param, nnx.RngState, ...)
        nnx.replace_by_pure_dict(params, cast(dict[str, Any], variables["params"]))
        nnx.replace_by_pure_dict(state, cast(dict[str, Any], variables["state"]))

        def stream(number: int, leaf: Any) -> Array:
            if not checks.is_key(leaf):
                return jnp.zeros(leaf.shape, leaf.dtype)
            if dropout_key is None:
                # Nothing draws from the stream; its leaf only has to be there.
                return jax.random.wrap_key_data(jnp.zeros((*leaf.shape, 2), jnp.uint32), impl="threefry2x32")
            # Every layer has a stream of its own, and needs a key of its own: else all would drop the same units.
            return jax.random.split(jax.random.fold_in(dropout_key, number), leaf.shape)

        leaves, structure = jax.tree.flatten(streams)
        streams = jax.tree.unflatten(structure, map(stream, range(len(leaves)), leaves))
        module = nnx.merge(graph, params, streams, state)
        module.set_attributes(use_running_average=not training, raise_if_not_found=False)
        module.set_attributes(deterministic=dropout_key is None, raise_if_not_found=False)
        return module


def _named(state: nnx.State) -> dict[str, Any]:
    def named(tree: Any) -> Any:
        return {str(name): named(branch) for name, branch in tree.items()} if isinstance(tree, Mapping) else tree

    return named(nnx.to_pure_dict(state))


def lift(make: Callable[[nnx.Rngs], nnx.Module]) -> Lifted:
    """Return an NNX module as a model that `objective`, `score` and `train` take.

    Args:
        make: (nnx.Rngs) -> the module, with the methods of its family (`encode`, `decode`, ...).

    Raises:
        TypeError: if make is a module that was made already, or no function.

    Examples:
        >>> import jax
        >>> from flax import nnx
        >>> class Linear(nnx.Module):
        ...     def __init__(self, rngs):
        ...         self.layer = nnx.Linear(3, 2, rngs=rngs)
        >>> sorted(lift(Linear).init(jax.random.key(0))["params"]["layer"])
        ['bias', 'kernel']
    """
    if isinstance(make, nnx.Module):
        raise TypeError(
            f"make is a finished {type(make).__name__}, but must be a function that makes one: lift(lambda rngs: "
            f"{type(make).__name__}(..., rngs=rngs))"
        )
    checks.function("make", make, "lift(lambda rngs: Network(rngs=rngs))")
    return Lifted(make)
