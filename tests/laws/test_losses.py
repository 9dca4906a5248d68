"""What every loss keeps: one number per example, which knows nothing of its neighbours. And the bounds of the VAE's."""

import functools
import inspect
import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxae as ja
from jaxae.distributions import Normal

from .cases import DATA, LOSSES, ROWS, model_of, same_bits

OF_THE_BATCH = [name for name in LOSSES if "about the whole batch" in inspect.getdoc(LOSSES[name])]
NEEDS_KEY = [name for name in LOSSES if "if key is None" in inspect.getdoc(LOSSES[name])]


@functools.cache
def scored(name):
    model = model_of(name)
    score = jax.jit(ja.score(model, LOSSES[name]))
    return score, model.init(jax.random.key(1), DATA.x)


def test_the_losses_are_found():
    assert {"elbo", "reconstruction", "discriminator", "generator"} <= set(LOSSES)
    assert OF_THE_BATCH == ["sparse"] and {"discriminator", "generator"} <= set(NEEDS_KEY)


@pytest.mark.parametrize("name", LOSSES)
def test_one_number_per_example(name):
    score, variables = scored(name)
    values = score(variables, DATA, jax.random.key(2))
    assert values.shape == (ROWS,)
    assert np.isfinite(values).all()


@pytest.mark.parametrize("name", LOSSES)
def test_an_example_does_not_know_its_neighbours(name):
    score, variables = scored(name)
    mine = slice(4, 9)
    others = ja.Batch(jnp.asarray(1 - DATA.x).at[mine].set(DATA.x[mine]))
    before, after = (score(variables, batch, jax.random.key(3)) for batch in (DATA, others))
    if name in OF_THE_BATCH:
        assert (before[mine] != after[mine]).all(), f"{name} says that it is about the batch, but it is not"
    else:
        # The same program and shapes: not even rounding may differ.
        np.testing.assert_array_equal(before[mine], after[mine])
    if name != "generator":
        assert (np.delete(before, range(4, 9)) != np.delete(after, range(4, 9))).all()


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in OF_THE_BATCH + NEEDS_KEY])
@pytest.mark.parametrize("rows", [1, 7])
def test_padding_changes_nothing(name, rows):
    score, variables = scored(name)
    short = score(variables, ja.Batch(DATA.x[:rows]))
    # Another shape is another program, whose sums may round differently: a few ulp of float32.
    np.testing.assert_allclose(short, score(variables, DATA)[:rows], rtol=2e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_score_is_a_function_of_its_key(name):
    score, variables = scored(name)
    first, again = (score(variables, DATA, jax.random.key(4)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    if name in NEEDS_KEY:
        with pytest.raises(ValueError, match="give a key"):
            score(variables, DATA)
    else:
        np.testing.assert_array_equal(score(variables, DATA), score(variables, DATA, None))
    # A loss either draws for every example or does not draw at all.
    other = score(variables, DATA, jax.random.key(5))
    draws = name in (*NEEDS_KEY, "elbo", "importance_weighted")
    assert ((first != other) == draws).all()


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_descended_is_its_mean_and_has_a_slope(name):
    score, variables = scored(name)
    objective = jax.jit(jax.value_and_grad(ja.objective(model_of(name), LOSSES[name]), has_aux=True))
    (value, (after, metrics)), grads = objective(variables, DATA, jax.random.key(6))
    same_bits(after, variables)
    same_bits(metrics["loss"], value)
    assert all(metric.shape == () and np.isfinite(metric) for metric in metrics.values())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    # A player's loss need not move the other player, but what it moves it moves whole.
    slopes = {part: {bool(leaf.any()) for leaf in jax.tree.leaves(tree)} for part, tree in grads["params"].items()}
    assert {True} in slopes.values() and {True, False} not in slopes.values()
    # The objective gives the loss the first half of its key. Two programs: some rounding of float32.
    scores = score(variables, DATA, jax.random.split(jax.random.key(6))[0])
    np.testing.assert_allclose(value, scores.mean(), rtol=1e-5)


# z ~ N(0, I), x = Wz + ε with ε ~ N(0, scale²·I): then log p(x) = log N(x; 0, WWᵀ + scale²·I).
WEIGHTS = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
SCALE = 0.7
EVENT = np.array([0.8, -1.1, 0.3, 0.9], np.float32)
DRAWS = 20_000


def linear_gaussian(mean, covariance):
    """Return the model with the posterior N(mean, diag(covariance)) for every example."""
    shape = (DRAWS, 2)
    posterior = Normal(jnp.broadcast_to(mean[None], shape), jnp.broadcast_to(jnp.log(covariance)[None], shape))
    return SimpleNamespace(encode=lambda x, cond: posterior, decode=lambda z, cond: z @ WEIGHTS.T)


def log_evidence():
    covariance = WEIGHTS @ WEIGHTS.T + SCALE**2 * np.eye(4)
    quadratic = EVENT @ np.linalg.solve(covariance, EVENT)
    return -0.5 * (quadratic + np.linalg.slogdet(covariance)[1] + 4 * math.log(2 * math.pi))


def bound(loss, model, seed, **hparams):
    batch = ja.Batch(jnp.broadcast_to(EVENT[None], (DRAWS, 4)))
    nll = functools.partial(ja.distributions.gaussian, scale=SCALE)
    values = jax.jit(lambda key: loss(model, batch, key, nll=nll, **hparams)[0])(jax.random.key(seed))
    return -np.asarray(values, np.float64)


def test_the_bounds_tighten_towards_the_evidence():
    # A posterior that is wrong in place and width, so that every gap is wide.
    model = linear_gaussian(jnp.array([0.3, -0.2]), jnp.array([0.4, 0.9]))
    bounds = [bound(ja.losses.elbo, model, 0)] + [
        bound(ja.losses.importance_weighted, model, k, samples=k) for k in (2, 3, 4, 8)
    ]
    means = [values.mean() for values in bounds]
    errors = [values.std() / math.sqrt(DRAWS) for values in bounds]
    for i in range(len(bounds) - 1):
        # Four standard errors of the difference: wrong in one of 30,000 seeds.
        assert means[i + 1] - means[i] > 4 * math.hypot(errors[i], errors[i + 1])
    assert log_evidence() - means[-1] > 4 * errors[-1]


def test_one_weighted_sample_is_the_elbo():
    model = linear_gaussian(jnp.array([0.3, -0.2]), jnp.array([0.4, 0.9]))
    elbo, weighted = bound(ja.losses.elbo, model, 0), bound(ja.losses.importance_weighted, model, 1, samples=1)
    error = math.hypot(elbo.std(), weighted.std()) / math.sqrt(DRAWS)
    assert abs(elbo.mean() - weighted.mean()) < 4 * error


def test_the_elbo_equals_its_closed_form():
    mean, variance = np.array([0.3, -0.2]), np.array([0.4, 0.9])
    residual = EVENT - WEIGHTS @ mean
    trace = (WEIGHTS**2 @ variance).sum()
    expected = -0.5 * ((residual @ residual + trace) / SCALE**2 + 4 * math.log(2 * math.pi * SCALE**2))
    expected -= 0.5 * (mean**2 + variance - 1 - np.log(variance)).sum()
    values = bound(ja.losses.elbo, linear_gaussian(jnp.asarray(mean), jnp.asarray(variance)), 2)
    assert abs(values.mean() - expected) < 4 * values.std() / math.sqrt(DRAWS)


@pytest.mark.parametrize("samples", [1, 3])
def test_every_weight_is_the_evidence_under_the_true_posterior(samples):
    # W with orthogonal columns has a diagonal posterior, so that q can be exact: then no draw matters.
    global_weights = np.linalg.qr(WEIGHTS)[0].astype(np.float32) * np.array([1.5, 0.8], np.float32)
    precision = 1 + (global_weights**2).sum(0) / SCALE**2
    mean = global_weights.T @ EVENT / SCALE**2 / precision
    model = linear_gaussian(jnp.asarray(mean), jnp.asarray(1 / precision))
    model.decode = lambda z, cond: z @ global_weights.T
    covariance = global_weights @ global_weights.T + SCALE**2 * np.eye(4)
    quadratic = EVENT @ np.linalg.solve(covariance, EVENT)
    evidence = -0.5 * (quadratic + np.linalg.slogdet(covariance)[1] + 4 * math.log(2 * math.pi))
    values = bound(ja.losses.importance_weighted, model, samples, samples=samples)
    # Sums of squares up to about 60 nats for the outermost draws, in float32.
    np.testing.assert_allclose(values, evidence, atol=2e-4)
