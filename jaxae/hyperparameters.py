"""Points of a sweep as columns, one row per point: a grid, rows side by side, or random draws."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxae import checks
from jaxae.types import Array, Key

__all__ = ["Draw", "check_draws", "choices", "draw", "grid", "integers", "log_uniform", "points", "uniform", "zipped"]

Draw = Callable[[Key, int], Array]
"""(key, n) -> n independent values, (n,)."""


def grid(**axes: Iterable[Any]) -> dict[str, Array]:
    """Return the Cartesian product of the axes as columns, the last axis varying fastest.

    Args:
        **axes: values of each hyperparameter, numbers.

    Returns:
        {name: (points,)} with points the product of the axes' lengths; floats are float32.

    Raises:
        ValueError: without axes, or for an empty or non-finite one.
        TypeError: for values that are no numbers.

    Examples:
        >>> {name: column.tolist() for name, column in grid(beta=[1, 4], rate=[0.5, 0.25]).items()}
        {'beta': [1, 1, 4, 4], 'rate': [0.5, 0.25, 0.5, 0.25]}
    """
    values = _axes("grid", axes)
    columns = np.meshgrid(*values.values(), indexing="ij")
    return {name: jnp.asarray(column.ravel()) for name, column in zip(values, columns, strict=True)}


def zipped(**axes: Iterable[Any]) -> dict[str, Array]:
    """Return the axes themselves as columns: point i has the i-th value of each.

    Args:
        **axes: values of each hyperparameter, numbers, as many of each.

    Returns:
        {name: (points,)}; floats are float32.

    Raises:
        ValueError: without axes, for an empty or non-finite one, and for axes of different lengths.
        TypeError: for values that are no numbers.

    Examples:
        >>> {name: column.tolist() for name, column in zipped(beta=[1, 4], rate=[0.5, 0.25]).items()}
        {'beta': [1, 4], 'rate': [0.5, 0.25]}
    """
    values = _axes("zipped", axes)
    points(values)
    return {name: jnp.asarray(column) for name, column in values.items()}


def draw(key: Key, n: int, /, **axes: Draw) -> dict[str, Array]:
    """Return n random points as columns, every hyperparameter drawn independently.

    Args:
        key: typed key.
        n: number of points.
        **axes: how each hyperparameter is drawn: `uniform`, `log_uniform`, `integers`, `choices`, or any function
            (key, n) -> (n,).

    Returns:
        {name: (n,)}.

    Raises:
        TypeError: if key is no typed key, n no whole number, or an axis no such function.
        ValueError: without axes, for n < 1, and for an axis that gives another number of values.

    Examples:
        >>> import jax
        >>> columns = draw(jax.random.key(0), 64, rate=log_uniform(1e-4, 1e-2), width=integers(2, 8))
        >>> columns["rate"].shape, int(columns["width"].min()), int(columns["width"].max())
        ((64,), 2, 8)

    References:
        Bergstra & Bengio, Random search for hyper-parameter optimization, 2012.
    """
    checks.typed_key(key)
    checks.whole("n", n)
    check_draws(axes)
    columns = {}
    for (name, axis), own_key in zip(axes.items(), jax.random.split(key, len(axes)), strict=True):
        columns[name] = axis(own_key, n)
        if columns[name].shape != (n,):
            raise ValueError(f"axis {name} gave values of shape {columns[name].shape}, but must give ({n},)")
    return columns


def check_draws(axes: Mapping[str, Any]) -> None:
    """Refuse what `draw` cannot draw.

    Raises:
        TypeError: for what is no mapping, and an axis that is no function.
        ValueError: without axes.
    """
    if not isinstance(axes, Mapping):
        raise TypeError(
            f"axes is {type(axes).__name__}, but must say by name how values are drawn: "
            '{"rate": log_uniform(1e-4, 1e-2)}'
        )
    if not axes:
        raise ValueError("draw was given no axis: draw(key, 64, rate=log_uniform(1e-4, 1e-2))")
    for name, axis in axes.items():
        if not callable(axis):
            raise TypeError(
                f"axis {name} is {axis!r}, but must say how its values are drawn: uniform, log_uniform, integers or "
                "choices; for given values write grid or zipped"
            )


def uniform(low: float, high: float) -> Draw:
    """Return draws from low ≤ value < high, all equally likely.

    Raises:
        TypeError: for what is no number.
        ValueError: unless low < high, both finite.

    Examples:
        >>> import jax
        >>> bool((uniform(-1.0, 1.0)(jax.random.key(0), 100) >= -1).all())
        True
    """
    _ordered(low, high)
    return lambda key, n: jax.random.uniform(key, (n,), minval=low, maxval=high)


def log_uniform(low: float, high: float) -> Draw:
    """Return draws whose logarithms are uniform: as many between 0.001 and 0.01 as between 0.01 and 0.1.

    Raises:
        TypeError: for what is no number.
        ValueError: unless 0 < low < high, both finite.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> values = log_uniform(1e-4, 1e-2)(jax.random.key(0), 1000)
        >>> bool(abs(jnp.median(values) / 1e-3 - 1) < 0.2)
        True
    """
    _ordered(low, high)
    if low <= 0:
        raise ValueError(f"low is {low}, but a logarithm needs > 0: uniform({low}, {high}) has no such limit")
    span = np.log(low), np.log(high)
    # Rounding may not carry a value past the limits.
    return lambda key, n: jnp.exp(jax.random.uniform(key, (n,), minval=span[0], maxval=span[1])).clip(low, high)


def integers(low: int, high: int) -> Draw:
    """Return draws of whole numbers from low to high, both among them, all equally likely.

    Raises:
        TypeError: for what is no whole number.
        ValueError: if low > high.

    Examples:
        >>> import jax
        >>> sorted(set(integers(2, 4)(jax.random.key(0), 100).tolist()))
        [2, 3, 4]
    """
    checks.whole("low", low, low=-(2**31))
    checks.whole("high", high, low=low, high=2**31 - 2)
    return lambda key, n: jax.random.randint(key, (n,), low, high + 1)


def choices(*values: float) -> Draw:
    """Return draws from a few values, all equally likely.

    Raises:
        TypeError: for values that are no numbers.
        ValueError: without values, or for one that is not finite.

    Examples:
        >>> import jax
        >>> sorted(set(choices(0.5, 1.0, 4.0)(jax.random.key(0), 100).tolist()))
        [0.5, 1.0, 4.0]
    """
    allowed = jnp.asarray(_axis("choices", values))
    return lambda key, n: jax.random.choice(key, allowed, (n,))


def points(hparams: Mapping[str, Any]) -> int:
    """Return the number of points of columns {name: (points,)}, 1 without columns.

    Raises:
        TypeError: for what is no mapping.
        ValueError: for columns of different lengths, empty ones, and what is no column.

    Examples:
        >>> points({"beta": [0.5, 1.0, 2.0]}), points({})
        (3, 1)
    """
    if not isinstance(hparams, Mapping):
        raise TypeError(f"hparams is {type(hparams).__name__}, but must be columns by name: grid(lr=[1e-3, 1e-2])")
    lengths = {name: np.shape(column) for name, column in hparams.items()}
    if any(len(shape) != 1 or not shape[0] for shape in lengths.values()) or len(set(lengths.values())) > 1:
        raise ValueError(
            f"hparams have shapes {lengths}, but must be columns of one length: use grid(...), zipped(...) or draw(...)"
        )
    return next(iter(lengths.values()))[0] if lengths else 1


def _axes(kind: str, axes: Mapping[str, Iterable[Any]]) -> dict[str, np.ndarray]:
    if not axes:
        raise ValueError(f"{kind} was given no axis: {kind}(beta=[1, 4])")
    return {name: _axis(f"axis {name}", values) for name, values in axes.items()}


def _axis(name: str, values: Iterable[Any]) -> np.ndarray:
    """Return the values as an array (n,), or refuse what are no finite numbers."""
    if not (callable(values) or isinstance(values, Iterable)) or getattr(values, "ndim", 1) == 0:
        raise TypeError(f"{name} is {values!r}, but must be several values: [{values!r}]")
    if callable(values):
        raise TypeError(f"{name} says how values are drawn, but given values are needed here: draw(key, n, ...)")
    axis = np.asarray(list(values))
    if not axis.size:
        raise ValueError(f"{name} is empty, but needs at least one value")
    if axis.ndim != 1 or not np.issubdtype(axis.dtype, np.number):
        raise TypeError(
            f"{name} holds {axis.dtype} of shape {axis.shape}, but must hold plain numbers: "
            "compare architectures by fit_each"
        )
    if not np.isfinite(axis).all():
        raise ValueError(f"{name} is {axis.tolist()}, but its values must be finite")
    # What JAX keeps of them, which are 32 bits unless told otherwise.
    with np.errstate(over="ignore"):
        kept = np.asarray(jnp.asarray(axis))
    if not np.isfinite(kept).all() or (axis.dtype.kind in "iu" and (kept != axis).any()):
        raise ValueError(f"{name} is {axis.tolist()}, of which {kept.dtype} cannot hold all: give smaller numbers")
    return axis


def _ordered(low: float, high: float) -> None:
    checks.finite("low", low)
    checks.finite("high", high)
    if not low < high:
        raise ValueError(f"low is {low} and high is {high}, but low must be less than high")
