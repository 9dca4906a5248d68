"""Densities and errors in nats: pure functions that give one number per example, summed over the event."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from jaxae import checks
from jaxae.layout import events
from jaxae.threefry import unrolled
from jaxae.types import Array, Key

__all__ = ["Normal", "bernoulli", "gaussian", "multinomial", "normal", "per_example", "squared_error"]


def per_example(values: Array) -> Array:
    """Return the sums of (n, ...) values over everything but the first axis, shape (n,).

    Raises:
        TypeError: for what is no array.
        ValueError: for a single number, which has no first axis.

    Examples:
        >>> import jax.numpy as jnp
        >>> per_example(jnp.ones((2, 3, 4))).tolist()
        [12.0, 12.0]
    """
    checks.rows("values", values)
    # By its size, since of no rows -1 could be any.
    return values.reshape(values.shape[0], math.prod(values.shape[1:])).sum(-1)


class Normal(NamedTuple):
    """Diagonal normal distribution, the posterior or the predicted likelihood of a model.

    Attributes:
        mean: (n, ...) means.
        logvar: (n, ...) logarithms of the variances, of the same shape. The methods raise a ValueError for another, and
            a TypeError for fields that hold no floats.

    Examples:
        >>> import jax.numpy as jnp
        >>> Normal(jnp.ones((1, 2)), jnp.zeros((1, 2))).kl().tolist()
        [1.0]
    """

    mean: Array
    logvar: Array

    def sample(self, key: Key) -> Array:
        """Return mean + exp(logvar / 2)·ε with ε ~ N(0, I): differentiable in both (Kingma & Welling, 2014)."""
        checks.typed_key(key)
        self._check()
        return self.mean + jnp.exp(0.5 * self.logvar) * jax.random.normal(
            unrolled(key), self.mean.shape, self.mean.dtype
        )

    def log_prob(self, x: Array) -> Array:
        """Return the log density of x (n, ...) in nats, shape (n,)."""
        self._check()
        checks.same_shape("x", x.shape, "mean", self.mean.shape)
        (x, mean, logvar), axis = events(x, self.mean, self.logvar)
        return _log_density(x, mean, logvar).sum(axis)

    def log_prob_per_dimension(self, x: Array) -> Array:
        """Return the log density of every entry of x (n, ...) in nats, shape (n, ...)."""
        self._check()
        checks.same_shape("x", x.shape, "mean", self.mean.shape)
        return _log_density(x, self.mean, self.logvar)

    def kl_per_dimension(self) -> Array:
        """Return KL(self ‖ N(0, 1)) of every dimension in nats, shape (n, ...).

        ½(mean² + exp(logvar) − 1 − logvar), to the last digits near the prior too.
        """
        self._check()
        return _divergence(self.mean, self.logvar)

    def kl(self) -> Array:
        """Return KL(self ‖ N(0, I)) in nats, shape (n,)."""
        self._check()
        (mean, logvar), axis = events(self.mean, self.logvar)
        return _divergence(mean, logvar).sum(axis)

    def _check(self) -> None:
        checks.floats("mean", self.mean)
        _check("logvar", self.logvar, "mean", self.mean)


def _log_density(x: Array, mean: Array, logvar: Array) -> Array:
    return -0.5 * ((x - mean) ** 2 * jnp.exp(-logvar) + logvar + math.log(2 * math.pi))


def _divergence(mean: Array, logvar: Array) -> Array:
    return 0.5 * (mean**2 + _exponential_remainder(logvar))


def _exponential_remainder(x: Array) -> Array:
    # exp(x) − 1 − x. At x = 1e-4 in float32, exp(x) − 1 − x is wrong threefold and expm1(x) − x by a thousandth.
    small = jnp.abs(x) < 0.2
    near = jnp.where(small, x, 0)
    series = jnp.ones_like(near)
    for order in range(12, 2, -1):
        series = 1 + near / order * series
    return jnp.where(small, 0.5 * near**2 * series, jnp.expm1(x) - x)


def squared_error(prediction: Array, x: Array) -> Array:
    """Return Σ (prediction − x)², shape (n,), in squared units of x.

    Args:
        prediction: (n, ...).
        x: (n, ...) the target, of the same shape.

    Raises:
        TypeError: if the prediction holds no floats.
        ValueError: if the shapes differ.

    Examples:
        >>> import jax.numpy as jnp
        >>> squared_error(jnp.zeros((1, 2)), jnp.ones((1, 2))).tolist()
        [2.0]
    """
    _check("prediction", prediction, "x", x)
    (prediction, x), axis = events(prediction, x)
    return ((prediction - x) ** 2).sum(axis)


def gaussian(mean: Array, x: Array, *, scale: float | Array = 1.0) -> Array:
    """Return −log N(x; mean, scale²·I) in nats, shape (n,): the Gaussian likelihood of a fixed scale.

    For a scale that is learned or predicted, let the decoder return a `Normal` (`networks.SharedScale`,
    `networks.PredictedScale`) and use `normal`.

    Args:
        mean: (n, ...).
        x: (n, ...) of the same shape.
        scale: standard deviation, > 0.

    Raises:
        TypeError: if the mean holds no floats, or scale is no number.
        ValueError: if the shapes differ or scale is not positive.

    Examples:
        >>> import jax.numpy as jnp
        >>> round(float(gaussian(jnp.zeros((1, 1)), jnp.zeros((1, 1)))[0]), 4)
        0.9189
    """
    checks.positive("scale", scale)
    _check("mean", mean, "x", x)
    return -Normal(mean, jnp.broadcast_to(2 * jnp.log(scale), mean.shape)).log_prob(x)


def normal(prediction: Normal, x: Array) -> Array:
    """Return −log N(x; mean, exp(logvar)) in nats, shape (n,): the Gaussian likelihood that a decoder predicts.

    Args:
        prediction: `Normal` with fields of shape (n, ...).
        x: (n, ...) of the same shape.

    Raises:
        TypeError: if the prediction is not a `Normal` of floats.
        ValueError: if the shapes differ.

    Examples:
        >>> import jax.numpy as jnp
        >>> round(float(normal(Normal(jnp.zeros((1, 1)), jnp.zeros((1, 1))), jnp.zeros((1, 1)))[0]), 4)
        0.9189
    """
    if not isinstance(prediction, Normal):
        raise TypeError(
            f"the decoder returned {type(prediction).__name__}, but this likelihood needs a Normal: wrap "
            "the decoder in networks.SharedScale or networks.PredictedScale, or use distributions.gaussian"
        )
    return -prediction.log_prob(x)


def bernoulli(logits: Array, x: Array) -> Array:
    """Return −Σ x·log σ(logits) + (1 − x)·log σ(−logits) in nats, shape (n,).

    Finite with a finite gradient at any finite logit. For x strictly inside (0, 1) this is the cross-entropy that
    image models train on; it is a likelihood only for x in {0, 1}.

    Args:
        logits: (n, ...).
        x: (n, ...) in [0, 1], of the same shape.

    Raises:
        TypeError: if the logits hold no floats.
        ValueError: if the shapes differ, or x is known, and not in [0, 1] to rounding: traced values are not looked at.

    Examples:
        >>> import jax.numpy as jnp
        >>> round(float(bernoulli(jnp.zeros((1, 1)), jnp.ones((1, 1)))[0]), 4)
        0.6931
    """
    _check("logits", logits, "x", x)
    checks.within(
        "x", x, 0, 1, "divide pixels by their brightest, x / 255, or take another likelihood for x of any size"
    )
    (logits, x), axis = events(logits, x)
    # x·softplus(−logits) + (1 − x)·softplus(logits), with one logarithm instead of two. By `where`, not `abs`, both
    # sides of 0 are the same smooth function to any derivative.
    size = jnp.where(logits > 0, logits, -logits)
    return (size * jnp.where(logits > 0, 1 - x, x) + jnp.log1p(jnp.exp(-size))).sum(axis)


def multinomial(logits: Array, counts: Array) -> Array:
    """Return −log Multinomial(counts; N = Σ counts, p = softmax(logits)) in nats, shape (n,).

    Args:
        logits: (n, items).
        counts: (n, items), ≥ 0; for implicit feedback 0 or 1.

    Raises:
        TypeError: if the logits hold no floats.
        ValueError: if the shapes differ or are not (n, items), or counts are known, and one is negative.

    Examples:
        >>> import jax.numpy as jnp
        >>> round(float(multinomial(jnp.zeros((1, 2)), jnp.array([[1.0, 0.0]]))[0]), 4)
        0.6931

    References:
        Liang et al., Variational autoencoders for collaborative filtering, 2018.
    """
    _check("logits", logits, "counts", counts)
    if logits.ndim != 2:
        raise ValueError(f"logits has shape {logits.shape}, but must be (n, items): logits[None] for one example")
    checks.within("counts", counts, 0, math.inf, "count how often each item was seen, 0 where it was not")
    log_coefficient = gammaln(counts.sum(-1) + 1) - gammaln(counts + 1).sum(-1)
    return -log_coefficient - (counts * jax.nn.log_softmax(logits)).sum(-1)


def _check(name: str, prediction: Array, other: str, x: Array) -> None:
    checks.floats(name, prediction)
    checks.rows(name, prediction)
    checks.same_shape(name, prediction.shape, other, jnp.shape(x))
