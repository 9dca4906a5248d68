"""Networks of dense layers."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxae import checks
from jaxae.layout import feature_major
from jaxae.networks.layers import BatchNorm, Dropout, check_rate
from jaxae.types import Array

__all__ = ["MLP", "Atoms", "Dense", "keep_largest"]

ENTRYWISE = frozenset(
    {nn.celu, nn.elu, nn.gelu, nn.hard_tanh, nn.leaky_relu, nn.relu, nn.relu6, nn.selu, nn.sigmoid, nn.silu}
    | {nn.soft_sign, nn.softplus, nn.tanh, jnp.tanh}
)
"""Activations that take no notice of the order of the axes."""


class Dense(nn.Module):
    """A dense layer, x @ kernel + bias, whose examples are rows or columns.

    Its parameters and their shapes are those of `flax.linen.Dense`.

    Attributes:
        features: columns of the output.
        kernel_init: how the kernel is drawn.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> x = jnp.ones((3, 8))
        >>> dense = Dense(2)
        >>> variables = dense.init(jax.random.key(0), x)
        >>> dense.apply(variables, x).shape, dense.apply(variables, x.T, columns=True).shape
        ((3, 2), (2, 3))
    """

    features: int
    kernel_init: nn.initializers.Initializer = nn.linear.default_kernel_init

    @nn.compact
    def __call__(self, x: Array, columns: bool = False) -> Array:
        """Return (n, features) of x (n, inputs), or (features, n) of x (inputs, n) where the examples are columns.

        Raises:
            TypeError: if features is no whole number.
            ValueError: if features is < 1, or x a single example or without features.
        """
        checks.whole("features", self.features)
        if x.ndim < 2:
            raise ValueError(f"x has shape {x.shape}, but a dense layer takes (n, features): x[None] for one example")
        inputs = x.shape[0 if columns else -1]
        if inputs == 0:
            raise ValueError(f"x has shape {x.shape}, but a dense layer needs at least one feature")
        kernel = self.param("kernel", self.kernel_init, (inputs, self.features))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias)
        if not columns:
            return x @ kernel + bias[None]
        # The bias as one more input, always 1: its gradient falls out of the kernel's product.
        ones = jnp.ones((1, x.shape[1]), x.dtype)
        factors = jnp.concatenate([kernel, bias[None]]), jnp.concatenate([x, ones])
        return jax.lax.dot_general(*factors, (((0,), (0,)), ((), ())))


class MLP(nn.Module):
    """Dense layers: Dense, activation, batch norm, dropout, and so on; the last is linear.

    Attributes:
        widths: one output width per layer.
        activation: after every layer but the last.
        norm: batch norm after every activation.
        dropout: rate after every activation (and norm), or one rate for each of them.
        activate_final: treat the last layer like the others.
        kernel_init: how the kernels are drawn: Flax's default is LeCun's normal of variance 1/inputs.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> x = jnp.ones((3, 8))
        >>> network = MLP((64, 2), dropout=0.2)
        >>> network.apply(network.init(jax.random.key(0), x), x).shape
        (3, 2)
    """

    widths: tuple[int, ...]
    activation: Callable[[Array], Array] = nn.relu
    norm: bool = False
    dropout: float | tuple[float, ...] = 0.0
    activate_final: bool = False
    kernel_init: nn.initializers.Initializer = nn.linear.default_kernel_init

    @nn.compact
    def __call__(self, x: Array, cond: Array | None = None) -> Array:
        """Return (n, widths[-1]) from x (n, features) and, side by side with it, cond (n, conditions).

        Raises:
            TypeError: if widths is no tuple, a width no whole number, or activation no function.
            ValueError: if x or cond is not of rank 2, if the two differ in length, if a width is < 1, if a rate of
                dropout is outside [0, 1), or if there is not one rate for each activation.
        """
        for name, array in (("x", x), ("cond", cond)):
            if array is not None and array.ndim != 2:
                raise ValueError(
                    f"{name} has shape {array.shape}, but an MLP takes (n, features): "
                    f"flatten it with {name}.reshape(len({name}), -1)"
                )
        if not isinstance(self.widths, Sequence):
            raise TypeError(f"widths is {self.widths!r}, but must be a tuple with one width per layer: MLP((64, 2))")
        if not self.widths:
            raise ValueError("widths is empty, but an MLP needs at least one layer: MLP((64, 2))")
        checks.function("activation", self.activation, "flax.linen.relu")
        activated = len(self.widths) - (not self.activate_final)
        rates = self.dropout if isinstance(self.dropout, Sequence) else (self.dropout,) * activated
        for rate in [self.dropout] if isinstance(self.dropout, float | int) else rates:
            check_rate(rate)
        if len(rates) != activated:
            raise ValueError(
                f"dropout has {len(rates)} rates, but the layers {self.widths} have {activated} activations: give one "
                "rate for each, or a single number for all"
            )
        if cond is not None:
            checks.same_shape("cond", cond.shape[:1], "x", x.shape[:1])
            x = jnp.concatenate([x, cond], -1)
        for width in self.widths:
            checks.whole("width", width)
        columns = not self.norm and feature_major(len(x), max(x.shape[-1], *self.widths))
        x = x.T if columns else x
        for i, width in enumerate(self.widths):
            x = Dense(width, self.kernel_init)(x, columns)
            if i < activated:
                x = self.activation(x.T).T if columns and not _entrywise(self.activation) else self.activation(x)
                x = BatchNorm()(x) if self.norm else x
                x = Dropout(rates[i])(x) if rates[i] else x
        return x.T if columns else x


def _entrywise(activation: Callable[[Array], Array]) -> bool:
    return (activation.func if isinstance(activation, functools.partial) else activation) in ENTRYWISE


class Atoms(nn.Module):
    """A linear decoder whose directions, one per unit of the code, have length 1, as a penalty on the code needs.

    gain·z @ (kernel / row lengths) + bias. With free lengths a decoder answers such a penalty with a small code and
    long directions, and nothing is sparse.

    Attributes:
        width: columns of the output.
        gain: how far a unit at 1 moves the output.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> atoms, z = Atoms(8), jnp.eye(3)
        >>> jnp.linalg.norm(atoms.apply(atoms.init(jax.random.key(0), z), z), axis=1).round(5).tolist()
        [1.0, 1.0, 1.0]

    References:
        Olshausen & Field, Emergence of simple-cell receptive field properties by learning a sparse code, 1996.
    """

    width: int
    gain: float = 1.0

    @nn.compact
    def __call__(self, z: Array, cond: Array | None = None) -> Array:
        """Return (n, width) from the code z (n, units); cond is not used.

        Raises:
            TypeError: if width is no whole number, or z holds no floats.
            ValueError: if width is < 1, gain is not finite and > 0, or z is not of rank 2.
        """
        checks.whole("width", self.width)
        checks.positive("gain", self.gain)
        if z.ndim != 2:
            raise ValueError(f"z has shape {z.shape}, but must be (n, units): z.reshape(len(z), -1)")
        checks.floats("z", z)
        kernel = self.param("kernel", nn.initializers.normal(1.0), (z.shape[-1], self.width), z.dtype)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.width,), z.dtype)
        atoms = kernel / jnp.linalg.norm(kernel, axis=1, keepdims=True)
        return self.gain * (z @ atoms) + bias[None]


def keep_largest(code: Array, k: int) -> Array:
    """Return the code (n, units) with the k largest units of every example as they are and 0 elsewhere.

    Raises:
        TypeError: if k is no whole number.
        ValueError: if code is not (n, units), or k not from 1 to the number of units.

    Examples:
        >>> import jax.numpy as jnp
        >>> keep_largest(jnp.array([[1.0, 3.0, 2.0]]), 2).tolist()
        [[0.0, 3.0, 2.0]]
    """
    if code.ndim != 2:
        raise ValueError(f"code has shape {code.shape}, but must be (n, units): code.reshape(len(code), -1)")
    checks.whole("k", k, high=code.shape[-1], why=", the units of the code")
    values, places = jax.lax.top_k(code, k)
    # By scatter: four times faster than a mask of the units above the k-th.
    return jnp.zeros_like(code).at[jnp.arange(len(code))[:, None], places].set(values)
