"""Losses: `(model, batch, key, **hyperparameters) -> ((n,) values, metrics)`, one number per example.

Each is at once a training loss (`learner.objective`), an anomaly score (`learner.score`) and a formula that any object
with `encode` and `decode` can test. With key None a loss is deterministic: no noise is added, and a posterior's mean
stands for its sample.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy

from jaxae import checks
from jaxae.distributions import Normal, bernoulli, per_example, squared_error
from jaxae.types import Array, Batch, Key, Metrics

__all__ = [
    "contractive",
    "elbo",
    "importance_weighted",
    "reconstruction",
    "sparse",
    "sparse_l1",
    "sparse_top_k",
]

Likelihood = Callable[[Any, Any], Array]
"""(what the decoder returned, x) -> (n,) nats or squared units."""
Noise = Callable[[Key, Any], Array]


def reconstruction(
    model: Any, batch: Batch, key: Key | None, /, *, nll: Likelihood = squared_error, noise: Noise | None = None
) -> tuple[Array, Metrics]:
    """Return the error of the clean example's reconstruction, nll(decode(encode(noise(x))), x).

    Args:
        model: has `encode(x, cond)` and `decode(z, cond)`.
        batch: x (n, ...), cond (n, ...) or None.
        key: draws the noise; None adds none.
        nll: error of a reconstruction per example: `squared_error`, or a likelihood of `distributions`.
        noise: (key, x) -> corrupted x, for a denoising autoencoder; None trains a plain one.

    Returns:
        (n,) squared units of x (or nats), summed over the example; no metrics.

    Raises:
        TypeError: for a variational autoencoder, and arguments that are not as above.

    Examples:
        >>> import jax.numpy as jnp
        >>> from types import SimpleNamespace
        >>> halves = SimpleNamespace(encode=lambda x, cond: x, decode=lambda z, cond: z / 2)
        >>> reconstruction(halves, Batch(jnp.ones((1, 4))), None)[0].tolist()
        [1.0]

    References:
        Vincent et al., Extracting and composing robust features with denoising autoencoders, 2008.
    """
    _check(model, batch, key, nll)
    if noise is not None:
        checks.function("noise", noise, "noise.gaussian")
    corrupted = batch.x if noise is None or key is None else noise(key, batch.x)
    code = model.encode(corrupted, batch.cond)
    if isinstance(code, Normal):
        raise TypeError("encode returned a Normal, so this is a variational autoencoder: train it with losses.elbo")
    return nll(model.decode(code, batch.cond), batch.x), {}


def _check(model: Any, batch: Batch, key: Key | None, nll: Likelihood, *more: str) -> None:
    checks.loss_arguments(model, batch, key, "encode", "decode", *more)
    checks.function("nll", nll, "distributions.squared_error")


def _posterior(model: Any, batch: Batch) -> Normal:
    posterior = model.encode(batch.x, batch.cond)
    if not isinstance(posterior, Normal):
        raise TypeError(
            f"encode returned {type(posterior).__name__}, but this loss needs a Normal: use models.VAE, or "
            "losses.reconstruction for an autoencoder"
        )
    return posterior


def elbo(
    model: Any,
    batch: Batch,
    key: Key | None,
    /,
    *,
    nll: Likelihood = bernoulli,
    beta: float | Array = 1.0,
    free_bits: float | Array = 0.0,
) -> tuple[Array, Metrics]:
    """Return the negative evidence lower bound, −E_q[log p(x|z)] + beta·KL(q(z|x) ‖ N(0, I)), with one sample of q.

    A warm-up is a schedule of beta: `learner.schedule(lambda beta: descend(objective(vae, elbo, beta=beta), tx),
    beta=optax.linear_schedule(0, 1, 1000))`.

    Args:
        model: `encode(x, cond)` returns a `Normal`; `decode(z, cond)` returns what `nll` takes.
        batch: x (n, ...), cond (n, ...) or None.
        key: draws z; None takes the posterior's mean instead (then the value is a score, not a bound).
        nll: negative log-likelihood per example, of `distributions`.
        beta: weight of the KL term, ≥ 0; 1 gives the bound itself.
        free_bits: nats per latent dimension that cost nothing, ≥ 0: each dimension's KL counts as at least this.

    Returns:
        (n,) nats, summed over the example; metrics `nll` and `kl` (n,).

    Raises:
        TypeError: if `encode` returns no `Normal`, and for arguments that are not as above.
        ValueError: if beta or free_bits is negative.

    Examples:
        >>> import jax.numpy as jnp
        >>> from types import SimpleNamespace
        >>> prior = SimpleNamespace(encode=lambda x, cond: Normal(0 * x, 0 * x), decode=lambda z, cond: z)
        >>> round(float(elbo(prior, Batch(jnp.zeros((1, 1))), None)[0][0]), 4)
        0.6931

    References:
        Kingma & Welling, Auto-encoding variational Bayes, 2014; Higgins et al., beta-VAE, 2017;
        Kingma et al., Improved variational inference with inverse autoregressive flow (free bits), 2016.
    """
    _check(model, batch, key, nll)
    checks.not_negative("beta", beta)
    checks.not_negative("free_bits", free_bits)
    posterior = _posterior(model, batch)
    z = posterior.mean if key is None else posterior.sample(key)
    error = nll(model.decode(z, batch.cond), batch.x)
    kl = posterior.kl_per_dimension()
    return error + beta * per_example(jnp.maximum(kl, free_bits)), {"nll": error, "kl": per_example(kl)}


def importance_weighted(
    model: Any, batch: Batch, key: Key | None, /, *, nll: Likelihood = bernoulli, samples: int = 5
) -> tuple[Array, Metrics]:
    """Return −log (1/k) Σᵢ p(x|zᵢ)·p(zᵢ)/q(zᵢ|x) with k samples of q: a bound that tightens with k.

    Args:
        model: as for `elbo`; the latent space is flat, (n, latent).
        batch: x (n, ...), cond (n, ...) or None.
        key: draws the k samples; None takes the posterior's mean once (then the value is a score, not a bound).
        nll: negative log-likelihood per example, of `distributions`.
        samples: k ≥ 1.

    Returns:
        (n,) nats, summed over the example; metric `effective_samples` (n,), from 1 to k.

    Raises:
        TypeError: if `encode` returns no `Normal` or samples is not a whole number, and for arguments that are not as
            above.
        ValueError: if samples < 1.

    Examples:
        >>> import jax.numpy as jnp
        >>> from types import SimpleNamespace
        >>> prior = SimpleNamespace(encode=lambda x, cond: Normal(0 * x, 0 * x), decode=lambda z, cond: 0 * z)
        >>> round(float(importance_weighted(prior, Batch(jnp.zeros((1, 1))), jax.random.key(0))[0][0]), 4)
        0.6931

    References:
        Burda et al., Importance weighted autoencoders, 2016.
    """
    _check(model, batch, key, nll)
    checks.whole("samples", samples)
    posterior = _posterior(model, batch)
    prior = Normal(jnp.zeros_like(posterior.mean), jnp.zeros_like(posterior.logvar))

    def log_weight(z: Array) -> Array:
        return prior.log_prob(z) - posterior.log_prob(z) - nll(model.decode(z, batch.cond), batch.x)

    if key is None:
        log_weights = log_weight(posterior.mean)[None]
    else:
        # The samples are unrolled rather than vmapped: a bound model is called once for each, at its own trace level.
        log_weights = jnp.stack([log_weight(posterior.sample(k)) for k in jax.random.split(key, samples)])
    share = jax.nn.softmax(log_weights, axis=0)
    bound = jax.nn.logsumexp(log_weights, axis=0) - jnp.log(len(log_weights))
    return -bound, {"effective_samples": 1 / (share**2).sum(0)}


def sparse(
    model: Any,
    batch: Batch,
    key: Key | None,
    /,
    *,
    nll: Likelihood = squared_error,
    rate: float | Array = 0.1,
    weight: float | Array = 0.05,
) -> tuple[Array, Metrics]:
    """Return the reconstruction error plus weight·Σⱼ KL(rate ‖ mean activation of unit j over the batch).

    The penalty is about the whole batch and the same for every example of it. It is defined for units bounded to
    0…1: end the encoder in a sigmoid. A mean activation outside 0…1 gives NaN, never a silently wrong number; for
    unbounded units use `sparse_l1`.

    Args:
        model: `encode` returns a code (n, units) in [0, 1].
        batch: x (n, ...), cond (n, ...) or None.
        key: not used.
        nll: error of a reconstruction per example.
        rate: the mean activation asked for, in (0, 1).
        weight: of the penalty, ≥ 0.

    Returns:
        (n,) squared units of x (or nats); metrics `error` and `activation` (n,).

    Raises:
        TypeError: for arguments that are not as above.
        ValueError: if rate is outside (0, 1) or weight is negative.

    Examples:
        >>> import jax.numpy as jnp
        >>> from types import SimpleNamespace
        >>> model = SimpleNamespace(encode=lambda x, cond: x, decode=lambda z, cond: z)
        >>> round(float(sparse(model, Batch(jnp.full((2, 3), 0.1)), None, rate=0.1, weight=1.0)[0][0]), 4)
        0.0

    References:
        Ng, Sparse autoencoder, CS294A lecture notes, 2011.
    """
    _check(model, batch, key, nll)
    checks.fraction("rate", rate, open_ends=True)
    _check(model, batch, key, nll)
    checks.not_negative("weight", weight)
    code = model.encode(batch.x, batch.cond)
    error = nll(model.decode(code, batch.cond), batch.x)
    mean = code.mean(0)
    divergence = rate * jnp.log(rate) - xlogy(rate, mean) + (1 - rate) * jnp.log1p(-rate) - xlogy(1 - rate, 1 - mean)
    return error + weight * divergence.sum(), {"error": error, "activation": per_example(code) / code[0].size}


def sparse_l1(
    model: Any,
    batch: Batch,
    key: Key | None,
    /,
    *,
    nll: Likelihood = squared_error,
    weight: float | Array = 0.05,
) -> tuple[Array, Metrics]:
    """Return the reconstruction error plus weight·Σⱼ |code of unit j|, for units of any range.

    Args:
        model: `encode` returns a code (n, units).
        batch: x (n, ...), cond (n, ...) or None.
        key: not used.
        nll: error of a reconstruction per example.
        weight: of the penalty, ≥ 0.

    Returns:
        (n,) squared units of x (or nats); metrics `error` and `activation` (n,), the mean absolute code.

    Raises:
        TypeError: for arguments that are not as above.
        ValueError: if weight is negative.

    Examples:
        >>> import jax.numpy as jnp
        >>> from types import SimpleNamespace
        >>> model = SimpleNamespace(encode=lambda x, cond: -x, decode=lambda z, cond: -z)
        >>> sparse_l1(model, Batch(jnp.ones((1, 3))), None, weight=0.5)[0].tolist()
        [1.5]

    References:
        Tibshirani, Regression shrinkage and selection via the lasso, 1996.
    """
    _check(model, batch, key, nll)
    checks.not_negative("weight", weight)
    code = model.encode(batch.x, batch.cond)
    error = nll(model.decode(code, batch.cond), batch.x)
    size = per_example(jnp.abs(code))
    return error + weight * size, {"error": error, "activation": size / code[0].size}


def sparse_top_k(
    model: Any,
    batch: Batch,
    key: Key | None,
    /,
    *,
    nll: Likelihood = squared_error,
    weight: float | Array = 0.1,
) -> tuple[Array, Metrics]:
    """Return (1 − weight)·error of the sparse code's reconstruction + weight·error of the dense code's.

    The dense part keeps units alive that are never among the largest. A schedule of weight from 1 down lets all of them
    find their place first.

    Args:
        model: `encode` returns a sparse code (n, units), and `dense` the same code before any unit was silenced:
            `models.SparseAE`.
        batch: x (n, ...), cond (n, ...) or None.
        key: not used.
        nll: error of a reconstruction per example.
        weight: of the dense part, from 0 to 1.

    Returns:
        (n,) squared units of x (or nats); metrics `error` (n,), that of the sparse code.

    Raises:
        TypeError: for arguments that are not as above.
        ValueError: if weight is outside [0, 1].

    Examples:
        >>> import jax.numpy as jnp
        >>> from types import SimpleNamespace
        >>> model = SimpleNamespace(encode=lambda x, cond: 0 * x, dense=lambda x, cond: x, decode=lambda z, cond: z)
        >>> sparse_top_k(model, Batch(jnp.ones((1, 4))), None, weight=0.25)[0].tolist()
        [3.0]

    References:
        Makhzani & Frey, k-sparse autoencoders, 2014; Gao et al., Scaling and evaluating sparse autoencoders, 2024.
    """
    _check(model, batch, key, nll, "dense")
    checks.fraction("weight", weight)
    error = nll(model.decode(model.encode(batch.x, batch.cond), batch.cond), batch.x)
    dense = nll(model.decode(model.dense(batch.x, batch.cond), batch.cond), batch.x)
    return (1 - weight) * error + weight * dense, {"error": error}


def contractive(
    model: Any,
    batch: Batch,
    key: Key | None,
    /,
    *,
    nll: Likelihood = squared_error,
    weight: float | Array = 0.1,
) -> tuple[Array, Metrics]:
    """Return the reconstruction error plus weight·‖∂ encode(x) / ∂x‖²_F, the exact Jacobian of every example.

    One backward pass for every unit of the code. The encoder must treat its examples one by one: with batch norm in
    training the Jacobian of one example is not defined.

    Args:
        model: `encode` returns a code (n, units).
        batch: x (n, ...), cond (n, ...) or None.
        key: not used.
        nll: error of a reconstruction per example.
        weight: of the penalty, ≥ 0.

    Returns:
        (n,) squared units of x (or nats); metrics `error` and `contraction` (n,).

    Raises:
        TypeError: for arguments that are not as above.
        ValueError: if weight is negative.

    Examples:
        >>> import jax.numpy as jnp
        >>> from types import SimpleNamespace
        >>> model = SimpleNamespace(encode=lambda x, cond: 2 * x, decode=lambda z, cond: z / 2)
        >>> contractive(model, Batch(jnp.ones((1, 3))), None, weight=1.0)[0].tolist()
        [12.0]

    References:
        Rifai et al., Contractive auto-encoders: explicit invariance during feature extraction, 2011.
    """
    _check(model, batch, key, nll)
    checks.floats("x of batch", batch.x)
    checks.not_negative("weight", weight)
    code, pull = jax.vjp(lambda x: model.encode(x, batch.cond), batch.x)
    units = jnp.eye(code[0].size, dtype=code.dtype).reshape(-1, 1, *code.shape[1:])
    rows = jax.vmap(lambda unit: pull(jnp.broadcast_to(unit, code.shape))[0])(units)
    contraction = jax.vmap(per_example)(rows**2).sum(0)
    error = nll(model.decode(code, batch.cond), batch.x)
    return error + weight * contraction, {"error": error, "contraction": contraction}
