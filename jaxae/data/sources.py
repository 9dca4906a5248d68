"""Data that needs no file: synthetic processes drawn from a key, and scikit-learn's digits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxae import checks
from jaxae.data.files import Table
from jaxae.data.formats import pixels

if TYPE_CHECKING:
    from jax import Array

__all__ = [
    "CONDITIONAL_NOISE",
    "PATTERNS",
    "Conditional",
    "Digits",
    "Process",
    "anomalies",
    "conditional",
    "conditional_mean",
    "digits",
    "process",
]

PATTERNS = ("single", "joint")
"""Kinds of anomaly: +5 on one variable; +3 on variables 2, 5 and 7 together."""
CONDITIONAL_NOISE = 2.0
"""Standard deviation of the noise on every variable that depends on the temperature."""


class Process(NamedTuple):
    """Rows of a synthetic process, and what more rows of the same process are made with.

    Attributes:
        values: (n, d) float64.
        weights: (d, 2) float64, each variable's weights of the two factors.
        noise: The standard deviation of the noise on each variable.
    """

    values: np.ndarray
    weights: np.ndarray
    noise: float


class Conditional(NamedTuple):
    """Five variables and the temperature that they depend on.

    Attributes:
        values: (n, 5) float64.
        temperature: (n, 1) float64, in kelvin.
    """

    values: np.ndarray
    temperature: np.ndarray


class Digits(NamedTuple):
    """Images of handwritten digits, and which digit each shows.

    Attributes:
        images: Columns pixel_<row>_<column> with values 0 to 16.
        labels: (n,) int64, 0 to 9.
    """

    images: Table
    labels: np.ndarray


def process(key: Array, *, rows: int, variables: int | None = None, noise: float = 0.1, weights: Any = None) -> Process:
    """Return rows of a linear process with two hidden factors.

    Variable i is wᵢ₁·z₁ + wᵢ₂·z₂ + noise·ε, with z₁, z₂ and ε standard normal in every row. The `weights` w are
    standard normal, drawn once; give those of an earlier result to draw more rows, such as anomalies, of the same
    process.

    Args:
        key: A typed JAX key.
        rows: The number of rows, at least 1.
        variables: The number of variables, at least 1; not with `weights`, which tell it.
        noise: The standard deviation of the noise, at least 0.
        weights: (variables, 2) finite, or None to draw them.

    Raises:
        TypeError: `key` is not a typed key, or a count not an integer.
        ValueError: A number is out of its range, or not just one of `variables` and `weights` is given.

    Example:
        >>> import jax
        >>> old, new = jax.random.split(jax.random.key(0))
        >>> first = process(old, rows=100, variables=10)
        >>> more = process(new, rows=5, weights=first.weights)
        >>> more.values.shape
        (5, 10)
    """
    checks.typed_key(key)
    checks.whole("rows", rows)
    checks.not_negative("noise", noise)
    if (variables is None) == (weights is None):
        raise ValueError("give either variables, to draw new weights, or weights, to draw from the same process")
    import jax

    mixing, factors, residual = jax.random.split(key, 3)
    if variables is not None:
        checks.whole("variables", variables)
        weights = jax.random.normal(mixing, (variables, 2))
    weights = np.asarray(weights, np.float64)
    if weights.ndim != 2 or weights.shape[1] != 2 or len(weights) == 0 or not np.isfinite(weights).all():
        raise ValueError(f"weights must be finite of shape (variables, 2); got shape {weights.shape}: {weights}")
    z = np.asarray(jax.random.normal(factors, (rows, 2)), np.float64)
    epsilon = np.asarray(jax.random.normal(residual, (rows, len(weights))), np.float64)
    return Process(z @ weights.T + noise * epsilon, weights, noise)


def conditional(key: Array, *, rows: int) -> Conditional:
    """Return rows of five variables that depend on a temperature T, uniform on 300 to 500 K.

    They are 0.001·T² − 0.3·T + 50, 100·exp(−5000/T), 0.5·T + 50, −0.002·T + 2 and 0.01·T, each with normal noise of
    standard deviation `CONDITIONAL_NOISE` = 2.

    Args:
        key: A typed JAX key.
        rows: The number of rows, at least 1.

    Raises:
        TypeError: `key` is not a typed key, or `rows` not an integer.
        ValueError: `rows` is below 1.

    Example:
        >>> import jax
        >>> values, temperature = conditional(jax.random.key(0), rows=4)
        >>> values.shape, temperature.shape
        ((4, 5), (4, 1))
    """
    checks.typed_key(key)
    checks.whole("rows", rows)
    import jax

    uniform, residual = jax.random.split(key)
    t = np.asarray(jax.random.uniform(uniform, (rows, 1), minval=300.0, maxval=500.0), np.float64)
    noise = np.asarray(jax.random.normal(residual, (rows, 5)), np.float64)
    return Conditional(conditional_mean(t[:, 0]) + CONDITIONAL_NOISE * noise, t)


def conditional_mean(temperature: Any) -> np.ndarray:
    """Return the means (n, 5) of the five variables of `conditional` at temperatures (n,) in kelvin.

    Raises:
        ValueError: The shape is another, or a temperature is not finite and above 0.

    Example:
        >>> conditional_mean([400.0]).round(4).tolist()
        [[90.0, 0.0004, 250.0, 1.2, 4.0]]
    """
    t = np.asarray(temperature, np.float64)
    if t.ndim != 1:
        raise ValueError(f"temperature must be (n,) numbers above 0; got shape {t.shape}")
    checks.positive("temperature", t)
    curves = (0.001 * t**2 - 0.3 * t + 50, 100 * np.exp(-5000 / t), 0.5 * t + 50, -0.002 * t + 2, 0.01 * t)
    return np.stack(curves, axis=1)


def anomalies(key: Array, normal: Process, *, rows: int, pattern: str, variable: int = 0) -> np.ndarray:
    """Return anomalous rows of a process: normal rows of the same weights and noise, moved by a pattern.

    Args:
        key: A typed JAX key.
        normal: Where the normal rows came from.
        rows: The number of rows, at least 1.
        pattern: "single" adds 5 to one variable; "joint" adds 3 to variables 2, 5 and 7 together.
        variable: The one that "single" moves.

    Returns:
        (rows, d) float64.

    Raises:
        TypeError: `key` is not a typed key, `normal` no process, or a count not an integer.
        ValueError: There is no such pattern, or the process has too few variables for it.

    Example:
        >>> import jax
        >>> normal = process(jax.random.key(0), rows=10, variables=8)
        >>> anomalies(jax.random.key(1), normal, rows=4, pattern="joint").shape
        (4, 8)
    """
    checks.known("pattern", [pattern], PATTERNS)
    if not isinstance(normal, Process):
        raise TypeError(f"normal is {type(normal).__name__}, but must be a Process: data.process(key, rows=1000, ...)")
    variables = len(normal.weights)
    places, shift = ([variable], 5.0) if pattern == "single" else ([2, 5, 7], 3.0)
    if pattern == "single":
        checks.whole("variable", variable, low=0, high=variables - 1)
    elif variables < 8:
        raise ValueError(
            f"the pattern 'joint' moves variables 2, 5 and 7, but the process has {variables}: give 8 or more"
        )
    values = process(key, rows=rows, weights=normal.weights, noise=normal.noise).values
    values[:, places] += shift
    return values


def digits() -> Digits:
    """Return the 1,797 handwritten digits of 8×8 pixels that come with scikit-learn.

    References:
        Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.

    Example:
        >>> images, labels = digits()
        >>> images.values.shape, images.columns[-1], labels[:3].tolist()
        ((1797, 64), 'pixel_7_7', [0, 1, 2])
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return Digits(Table(np.asarray(bunch.data, np.float64), pixels(8, 8)), np.asarray(bunch.target, np.int64))
