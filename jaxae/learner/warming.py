"""Models that begin with the parameters of others."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxae import checks
from jaxae.types import Array, Key, Variables

__all__ = ["WarmStart", "warm_start"]


class WarmStart(NamedTuple):
    """A model that begins with given parameters: `init`, `bind` and `apply` as the model itself has them.

    Attributes:
        model: a Linen module, or what `lift` made of an NNX module.
        params: by submodule, what `init` puts in the place of fresh parameters.
    """

    model: Any
    params: Mapping[str, Any]

    def init(self, key: Key, x: Array | None = None, cond: Array | None = None) -> dict[str, Any]:
        """Return fresh variables, but for the given parameters.

        Raises:
            ValueError: if the model has no such submodule, or one of other arrays.
        """
        variables = self.model.init(key, x, cond)
        fresh = variables["params"]
        checks.known("submodule", self.params, fresh)
        for name, given in self.params.items():
            shapes = [
                {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree.leaves_with_path(tree)}
                for tree in (given, fresh[name])
            ]
            if shapes[0] != shapes[1]:
                raise ValueError(
                    f"the given parameters of {name} have shapes {shapes[0]}, but this model's have {shapes[1]}: both "
                    "need the same layers, widths and columns"
                )
        given = jax.tree.map(jnp.asarray, dict(self.params))
        return {**variables, "params": {**fresh, **given}}

    def bind(self, variables: Variables) -> Any:
        """Return the model with these variables, in inference mode."""
        return self.model.bind(variables)

    def apply(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the model's own `apply` does."""
        return self.model.apply(*args, **kwargs)


def warm_start(model: Any, params: Mapping[str, Any]) -> WarmStart:
    """Return the model whose training begins with the given parameters in the named submodules, fresh ones elsewhere.

    To train a model from another one's encoder, `warm_start(vae, {"encoder": trained.variables["params"]["encoder"]})`;
    to keep that encoder as it is, descend with `wrt` naming the other submodules.

    Args:
        model: a Linen module, or what `lift` made of an NNX module.
        params: by submodule, parameters of the shapes that the model's own have.

    Raises:
        TypeError: if params is no mapping.
        ValueError: when first used, if the model has no such submodule, or one of other shapes.

    Examples:
        >>> import jax, jax.numpy as jnp, jaxae as ja
        >>> x = jnp.ones((1, 8))
        >>> first = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((8,))).init(jax.random.key(0), x)
        >>> deeper = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((16, 8)))
        >>> begun = warm_start(deeper, {"encoder": first["params"]["encoder"]}).init(jax.random.key(1), x)
        >>> ours, theirs = (params["params"]["encoder"]["Dense_0"]["kernel"] for params in (begun, first))
        >>> bool((ours == theirs).all())
        True

    References:
        Erhan et al., Why does unsupervised pre-training help deep learning?, 2010.
    """
    if not isinstance(params, Mapping):
        raise TypeError(
            f"params is {type(params).__name__}, but must be parameters by submodule: "
            '{"encoder": variables["params"]["encoder"]}'
        )
    return WarmStart(model, params)
