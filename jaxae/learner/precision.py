"""Models that compute in half precision while their parameters are kept in full."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxae.learner.warming import WarmStart
from jaxae.types import Array, Key, Variables

__all__ = ["InBfloat16", "in_bfloat16"]


class InBfloat16(NamedTuple):
    """A model that computes in bfloat16: `init`, `bind` and `apply` as the model itself has them.

    Attributes:
        model: a Linen module, or what `warm_start` made of one.
    """

    model: Any

    def init(self, key: Key, x: Array | None = None, cond: Array | None = None) -> Variables:
        """Return fresh variables, in float32."""
        return self.model.init(key, x, cond)

    def bind(self, variables: Variables) -> Any:
        """Return the model with these variables, in inference mode and full precision."""
        return self.model.bind(variables)

    def apply(self, variables: Variables, *args: Any, **kwargs: Any) -> Any:
        """Return what the model's own `apply` does, in float32, the model's methods having computed in bfloat16."""
        half = {**variables, "params": _cast(variables["params"], jnp.float32, jnp.bfloat16)}
        with nn.intercept_methods(_computes):
            result = self.model.apply(half, *args, **kwargs)
        return _cast(result, jnp.bfloat16, jnp.float32)


def _cast(tree: Any, old: Any, new: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(new) if getattr(leaf, "dtype", None) == old else leaf, tree)


def _computes(
    method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: nn.module.InterceptorContext
) -> Any:
    # Every network's input is cast, and not the model's alone, since some inputs are drawn inside it: a GAN's z.
    result = method(*_cast(args, jnp.float32, jnp.bfloat16), **_cast(kwargs, jnp.float32, jnp.bfloat16))
    # What leaves the model is what losses see.
    return result if context.module.path else _cast(result, jnp.bfloat16, jnp.float32)


def in_bfloat16(model: Any) -> InBfloat16:
    """Return the model that computes in bfloat16, with parameters in float32, for `objective` or `score`.

    Its methods see their inputs and the parameters in bfloat16, and what they return is in float32 again: losses,
    metrics, gradients, the optimizer's state and batch norm's averages are in full precision. bfloat16 has float32's
    range, so that no loss needs to be scaled, and three significant digits.

    It halves the memory of activations, and is meant for accelerators that multiply such numbers faster, where it was
    not measured; a CPU multiplies them slower (x86-64 with AVX-512: 118 GF/s, against 190 in float32). The trained
    variables are those of the model itself, in full precision.

    Args:
        model: a Linen module, or what `warm_start` made of one. Layers of NNX take a `dtype` of their own:
            `nnx.Linear(8, 2, dtype=jnp.bfloat16, rngs=rngs)`.

    Raises:
        TypeError: if the model is no Linen module.

    Examples:
        >>> import jax, jax.numpy as jnp, jaxae as ja
        >>> ae = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((8,)))
        >>> x = jnp.ones((5, 8))
        >>> objective = ja.objective(in_bfloat16(ae), ja.losses.reconstruction)
        >>> value, _ = objective(ae.init(jax.random.key(0), x), ja.Batch(x), jax.random.key(1))
        >>> value.dtype
        dtype('float32')

    References:
        Micikevicius et al., Mixed precision training, 2018; Kalamkar et al., A study of BFLOAT16 for deep learning
        training, 2019.
    """
    inner = model.model if isinstance(model, WarmStart) else model
    if not isinstance(inner, nn.Module):
        raise TypeError(
            f"the model is {type(inner).__name__}, but must be a Linen module; layers of NNX take a dtype of their "
            "own: nnx.Linear(8, 2, dtype=jnp.bfloat16, rngs=rngs)"
        )
    return InBfloat16(model)
