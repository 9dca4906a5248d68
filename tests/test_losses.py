"""jaxae.losses with fake models: hand numbers, a linear-Gaussian model in closed form, then real modules."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import scipy.stats
from flax import linen as nn

from jaxae import distributions, learner, losses, models, networks, noise
from jaxae.distributions import Normal
from jaxae.types import Batch

N = 20_000
HALVES = SimpleNamespace(encode=lambda x, cond: x / 2, decode=lambda z, cond: z)
"""Gives back half of x."""


def linear_gaussian(mean_error=0.0, logvar_error=0.0):
    """z ~ N(0, I₂), x ~ N(Wz + b, s²I₅), W with orthogonal columns: the true posterior is diagonal.

    Returns a model whose posterior misses the true one by the given errors, its likelihood, and log p(x) in float64.
    """
    scale, b = 0.6, np.array([0.3, -0.2, 0.0, 1.0, 0.5])
    w = np.array([[1.0, 1, 1, 1, 0], [0.5, -0.5, 0.5, -0.5, 0]]).T
    variance = 1 / (1 + (w**2).sum(0) / scale**2)
    read = w * variance / scale**2

    def encode(x, cond):
        mean = (x - jnp.float32(b)[None]) @ jnp.float32(read) + mean_error
        return Normal(mean, jnp.broadcast_to(jnp.float32(np.log(variance) + logvar_error)[None], mean.shape))

    def decode(z, cond):
        return z @ jnp.float32(w.T) + jnp.float32(b)[None]

    evidence = scipy.stats.multivariate_normal(b, w @ w.T + scale**2 * np.eye(5)).logpdf
    gap = _kl(mean_error, variance * np.exp(logvar_error), 0.0, variance)
    return SimpleNamespace(encode=encode, decode=decode), _gaussian(scale), evidence, gap


def _gaussian(scale):
    return functools.partial(distributions.gaussian, scale=scale)


def _kl(mean, variance, other_mean, other_variance):
    """KL of two diagonal normals, in float64."""
    ratio = variance / other_variance
    return 0.5 * np.sum(ratio - 1 - np.log(ratio) + (mean - other_mean) ** 2 / other_variance)


X = np.array([0.9, -1.0, 0.4, 1.2, 0.0])
COPIES = Batch(jnp.broadcast_to(jnp.float32(X)[None], (N, 5)))


def evaluate(loss, model, batch, key=None, **hparams):
    """The loss as one compiled program, which is sooner built than all its operations one by one."""
    return jax.jit(lambda batch, key: loss(model, batch, key, **hparams))(batch, key)


# reconstruction


def test_reconstruction_by_hand():
    values, metrics = evaluate(losses.reconstruction, HALVES, Batch(jnp.array([[2.0, 4.0], [6.0, 0.0]])), None)
    assert values.tolist() == [1 + 4, 9]
    assert metrics == {}


def test_reconstruction_takes_any_likelihood():
    x = jnp.array([[1.0, 0.0]])
    values, _ = evaluate(losses.reconstruction, HALVES, Batch(x), None, nll=distributions.bernoulli)
    np.testing.assert_allclose(values, [np.log1p(np.exp(-0.5)) + np.log(2)], rtol=1e-6)


def test_the_noise_is_on_the_input_and_the_target_is_clean():
    x = jnp.ones((3, 4))
    blank = functools.partial(noise.masking, rate=1.0)
    values, _ = evaluate(losses.reconstruction, HALVES, Batch(x), jax.random.key(0), noise=blank)
    assert values.tolist() == [4, 4, 4]
    values, _ = evaluate(losses.reconstruction, HALVES, Batch(x), None, noise=blank)
    assert values.tolist() == [1, 1, 1]


def test_the_condition_reaches_encoder_and_decoder():
    seen = SimpleNamespace(encode=lambda x, cond: x + cond, decode=lambda z, cond: z + 10 * cond)
    batch = Batch(jnp.zeros((2, 1)), jnp.array([[1.0], [2.0]]))
    assert evaluate(losses.reconstruction, seen, batch, None)[0].tolist() == [11**2, 22**2]
    assert evaluate(losses.sparse_l1, seen, batch, None, weight=0.0)[0].tolist() == [11**2, 22**2]
    assert evaluate(losses.contractive, seen, batch, None, weight=0.0)[0].tolist() == [11**2, 22**2]
    posterior = SimpleNamespace(encode=lambda x, cond: Normal(x + cond, 0 * x), decode=seen.decode)
    values, _ = evaluate(losses.elbo, posterior, batch, None, nll=distributions.squared_error, beta=0.0)
    assert values.tolist() == [11**2, 22**2]


# elbo


def test_elbo_by_hand():
    model = SimpleNamespace(
        encode=lambda x, cond: Normal(jnp.array([[2.0, 0.0]]), jnp.log(jnp.array([[1.0, 4.0]]))),
        decode=lambda z, cond: z,
    )
    nll, kl = (2 - 3) ** 2 + (0 - 1) ** 2, np.array([2.0, 0.5 * (4 - 1 - np.log(4))])
    elbo = functools.partial(losses.elbo, nll=distributions.squared_error)
    batch = Batch(jnp.array([[3.0, 1.0]]))
    values, metrics = elbo(model, batch, None)
    np.testing.assert_allclose(values, [nll + kl.sum()], rtol=1e-6)
    np.testing.assert_allclose(metrics["nll"], [nll], rtol=1e-6)
    np.testing.assert_allclose(metrics["kl"], [kl.sum()], rtol=1e-6)
    np.testing.assert_allclose(elbo(model, batch, None, beta=0.25)[0], [nll + kl.sum() / 4], rtol=1e-6)
    assert elbo(model, batch, None, beta=0)[0].tolist() == [nll]


def test_elbo_of_the_true_posterior_is_the_evidence():
    model, nll, evidence, _ = linear_gaussian()
    values, _ = evaluate(losses.elbo, model, COPIES, jax.random.key(0), nll=nll)
    values = np.asarray(values, np.float64)
    assert values.std() > 0.1
    # Five standard errors.
    assert abs(values.mean() + evidence(X)) < 5 * values.std() / np.sqrt(N)


@pytest.mark.parametrize("errors", [(0.3, 0.0), (0.0, 0.8), (-0.2, -0.5)])
def test_elbo_misses_the_evidence_by_the_posteriors_divergence(errors):
    model, nll, evidence, gap = linear_gaussian(*errors)
    values, _ = evaluate(losses.elbo, model, COPIES, jax.random.key(1), nll=nll)
    values = np.asarray(values, np.float64)
    assert gap > 0.05
    assert abs(values.mean() - (gap - evidence(X))) < 5 * values.std() / np.sqrt(N)


def test_without_a_key_elbo_is_deterministic_and_takes_the_mean():
    model, nll, _, _ = linear_gaussian()
    first, second = (evaluate(losses.elbo, model, Batch(COPIES.x[:3]), None, nll=nll)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert len(set(first.tolist())) == 1
    posterior = model.encode(COPIES.x[:3], None)
    np.testing.assert_allclose(first, nll(model.decode(posterior.mean, None), COPIES.x[:3]) + posterior.kl(), rtol=1e-6)
    assert len(set(evaluate(losses.elbo, model, Batch(COPIES.x[:3]), jax.random.key(0), nll=nll)[0].tolist())) == 3


def test_free_bits_are_a_floor_for_every_dimension_of_every_example():
    mean = jnp.array([[2.0, 0.0], [0.2, 0.6]])  # KL 2, 0 and 0.02, 0.18
    model = SimpleNamespace(encode=lambda x, cond: Normal(x, 0 * x), decode=lambda z, cond: 0 * z)
    elbo = functools.partial(losses.elbo, nll=lambda z, x: jnp.zeros(len(x)), free_bits=0.1)
    values, metrics = elbo(model, Batch(mean), None, beta=2.0)
    np.testing.assert_allclose(values, [2 * (2 + 0.1), 2 * (0.1 + 0.18)], rtol=1e-6)
    np.testing.assert_allclose(metrics["kl"], [2.0, 0.2], rtol=1e-6)
    slope = jax.grad(lambda mean: elbo(model, Batch(mean), None)[0].sum())(mean)
    np.testing.assert_allclose(slope, [[2, 0], [0, 0.6]], rtol=1e-6)


@pytest.mark.parametrize("name", ["beta", "free_bits"])
@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_elbo_refuses_a_negative_weight(name, value):
    with pytest.raises(ValueError, match=f"{name} is .*≥ 0"):
        losses.elbo(HALVES, COPIES, None, **{name: value})


# importance weighted


@pytest.mark.parametrize("samples", [1, 4])
def test_importance_weighted_is_the_evidence_at_the_true_posterior(samples):
    # Every weight p(x, z)/q(z|x) is p(x), whatever z: no sampling error is left.
    model, nll, evidence, _ = linear_gaussian()
    values, metrics = evaluate(
        losses.importance_weighted, model, Batch(COPIES.x[:50]), jax.random.key(0), nll=nll, samples=samples
    )
    # Float32 log densities of some ten terms of size ten.
    np.testing.assert_allclose(values, np.full(50, -evidence(X)), atol=2e-5)
    np.testing.assert_allclose(metrics["effective_samples"], np.full(50, samples), rtol=1e-4)


def test_importance_weighted_tightens_with_the_samples():
    model, nll, evidence, gap = linear_gaussian(0.25, 0.6)
    bounds, errors = [], []
    for samples in (1, 4, 16):
        values, metrics = evaluate(
            losses.importance_weighted, model, Batch(COPIES.x[:4000]), jax.random.key(2), nll=nll, samples=samples
        )
        values = np.asarray(values, np.float64)
        bounds.append(values.mean() + evidence(X))
        errors.append(5 * values.std() / np.sqrt(len(values)))
        assert (metrics["effective_samples"] >= 1 - 1e-5).all()
        assert (metrics["effective_samples"] <= samples * (1 + 1e-5)).all()
    # One sample is the ELBO.
    assert abs(bounds[0] - gap) < errors[0]
    assert bounds[0] - errors[0] > bounds[1] + errors[1]
    assert bounds[1] - errors[1] > bounds[2] + errors[2]
    assert -errors[2] < bounds[2] < 0.05


def test_effective_samples_by_hand():
    # Weights 1, 1, 0, 0 through a likelihood that accepts half of the space; q is the prior.
    model = SimpleNamespace(encode=lambda x, cond: Normal(0 * x, 0 * x), decode=lambda z, cond: z)
    nll = lambda z, x: jnp.where(z[:, 0] > 0, 0.0, 1e4)  # noqa: E731
    values, metrics = evaluate(
        losses.importance_weighted, model, Batch(jnp.zeros((400, 1))), jax.random.key(3), nll=nll, samples=4
    )
    accepted = np.round(np.asarray(metrics["effective_samples"]))
    np.testing.assert_allclose(metrics["effective_samples"], accepted, rtol=1e-5)
    some = np.asarray(values) < 5000
    np.testing.assert_allclose(values[some], np.log(4 / accepted[some]), atol=1e-6)
    assert set(accepted[some].tolist()) == {1, 2, 3, 4}
    # Each of four samples is refused with probability one half.
    assert abs((~some).sum() - 400 / 16) < 5 * np.sqrt(400 / 16)


def test_without_a_key_importance_weighted_takes_the_mean_once():
    model, nll, _, _ = linear_gaussian(0.3, 0.2)
    batch = Batch(COPIES.x[:2])
    values, metrics = evaluate(losses.importance_weighted, model, batch, None, nll=nll, samples=7)
    posterior = model.encode(batch.x, None)
    prior = Normal(0 * posterior.mean, 0 * posterior.logvar)
    z = posterior.mean
    expected = nll(model.decode(z, None), batch.x) - prior.log_prob(z) + posterior.log_prob(z)
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert metrics["effective_samples"].tolist() == [1, 1]


def test_importance_weighted_refuses_what_is_no_number_of_samples():
    with pytest.raises(ValueError, match="samples is 0"):
        losses.importance_weighted(HALVES, COPIES, jax.random.key(0), samples=0)
    with pytest.raises(TypeError, match=r"samples is 2\.0"):
        losses.importance_weighted(HALVES, COPIES, jax.random.key(0), samples=2.0)


# sparse


def test_sparse_by_hand():
    code = jnp.array([[0.1, 0.8], [0.3, 0.6]])
    model = SimpleNamespace(encode=lambda x, cond: code, decode=lambda z, cond: jnp.zeros((2, 2)))
    values, metrics = evaluate(losses.sparse, model, Batch(jnp.array([[1.0, 0], [0, 2]])), None, rate=0.1, weight=3.0)
    mean = np.array([0.2, 0.7])
    penalty = (scipy.special.rel_entr(0.1, mean) + scipy.special.rel_entr(0.9, 1 - mean)).sum()
    np.testing.assert_allclose(values, [1 + 3 * penalty, 4 + 3 * penalty], rtol=1e-6)
    assert metrics["error"].tolist() == [1, 4]
    np.testing.assert_allclose(metrics["activation"], [0.45, 0.45], rtol=1e-6)


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_sparse_is_least_where_the_mean_is_the_rate(rate):
    model = SimpleNamespace(encode=lambda x, cond: x, decode=lambda z, cond: z)

    def penalty(mean):
        return evaluate(losses.sparse, model, Batch(mean * jnp.ones((4, 2))), None, rate=rate, weight=1.0)[0].sum()

    value, slope = jax.value_and_grad(penalty)(rate)
    # Float32 logarithms cancel: eight terms of an ulp each; the slope is a difference of eight ones.
    np.testing.assert_allclose(value, 0, atol=2e-6)
    np.testing.assert_allclose(slope, 0, atol=1e-5)
    assert penalty(rate + 0.05) > 0.01
    assert penalty(rate - 0.04) > 0.01


@pytest.mark.parametrize("level", [-0.1, 1.1, 40.0])
def test_sparse_is_nan_for_units_that_are_not_bounded_to_0_1(level):
    model = SimpleNamespace(encode=lambda x, cond: x, decode=lambda z, cond: z)
    assert np.isnan(evaluate(losses.sparse, model, Batch(jnp.full((3, 2), level)), None)[0]).all()


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_sparse_is_infinite_for_a_dead_or_saturated_unit(level):
    model = SimpleNamespace(encode=lambda x, cond: x, decode=lambda z, cond: z)
    assert np.isposinf(evaluate(losses.sparse, model, Batch(jnp.full((3, 2), level)), None)[0]).all()


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, np.nan])
def test_sparse_refuses_a_rate_that_no_unit_can_have(rate):
    with pytest.raises(ValueError, match=r"rate is .*between 0 and 1"):
        losses.sparse(HALVES, COPIES, None, rate=rate)


def test_sparse_l1_by_hand():
    model = SimpleNamespace(encode=lambda x, cond: x - 1, decode=lambda z, cond: 0 * z)
    batch = Batch(jnp.array([[3.0, -1.0, 1.0], [1.0, 1.0, 0.0]]))
    values, metrics = evaluate(losses.sparse_l1, model, batch, None, weight=0.5)
    assert values.tolist() == [11 + 0.5 * 4, 2 + 0.5 * 1]
    assert metrics["error"].tolist() == [11, 2]
    np.testing.assert_allclose(metrics["activation"], [4 / 3, 1 / 3], rtol=1e-6)


@pytest.mark.parametrize("loss", [losses.sparse, losses.sparse_l1, losses.contractive])
def test_a_negative_penalty_is_refused(loss):
    with pytest.raises(ValueError, match=r"weight is -1.*≥ 0"):
        loss(HALVES, COPIES, None, weight=-1)


# contractive


def test_contractive_of_a_layer_of_sigmoids_is_rifais_formula(rng):
    w, x = rng.normal(size=(5, 3)), rng.normal(size=(7, 5))
    model = SimpleNamespace(
        encode=lambda x, cond: jax.nn.sigmoid(x @ jnp.float32(w)), decode=lambda z, cond: jnp.zeros((7, 5))
    )
    values, metrics = evaluate(losses.contractive, model, Batch(jnp.float32(x)), None, weight=0.7)
    h = scipy.special.expit(x @ w)
    contraction = ((h * (1 - h)) ** 2 * (w**2).sum(0)).sum(1)
    np.testing.assert_allclose(metrics["contraction"], contraction, rtol=1e-5)
    np.testing.assert_allclose(metrics["error"], (x**2).sum(1), rtol=1e-5)
    np.testing.assert_allclose(values, (x**2).sum(1) + 0.7 * contraction, rtol=1e-5)


def test_contractive_of_an_image_encoder_is_jacfwds(rng):
    kernel = jnp.float32(rng.normal(size=(4, 4, 2, 3)) / 10)
    x = jnp.float32(rng.normal(size=(6, 4, 4, 2)))
    encode = lambda x, cond: jnp.tanh(jnp.einsum("nhwc,hwcd->nd", x, kernel)) ** 2  # noqa: E731
    model = SimpleNamespace(encode=encode, decode=lambda z, cond: x)
    _, metrics = evaluate(losses.contractive, model, Batch(x), None)
    jacobians = jax.vmap(jax.jacfwd(lambda x: encode(x[None], None)[0]))(x)
    np.testing.assert_allclose(metrics["contraction"], (jacobians**2).sum((1, 2, 3, 4)), rtol=1e-5)


def test_contractive_trains_a_module():
    ae = models.AE(networks.MLP((4, 3), activation=nn.tanh), networks.MLP((5,)))
    x = jax.random.normal(jax.random.key(0), (6, 5))
    variables = ae.init(jax.random.key(1), x)

    def by_hand(variables):
        def encode(x):
            return ae.apply(variables, x[None], method="encode")[0]

        jacobians = jax.vmap(jax.jacfwd(encode))(x)
        error = ((ae.apply(variables, x) - x) ** 2).sum(-1)
        return (error + 0.3 * (jacobians**2).sum((1, 2))).mean()

    objective = learner.objective(ae, losses.contractive, weight=0.3)
    grads = jax.jit(jax.grad(lambda variables: objective(variables, Batch(x), jax.random.key(2))[0]))(variables)
    # Sums of some tens of float32 products in another order.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6),
        grads,
        jax.jit(jax.grad(by_hand))(variables),
    )


def test_contractive_takes_a_module_with_dropout():
    ae = models.AE(networks.MLP((64, 3), dropout=0.5), networks.MLP((5,)))
    x = jnp.ones((6, 5))
    variables = ae.init(jax.random.key(1), x)
    descend = learner.descend(learner.objective(ae, losses.contractive), optax.sgd(0.1))
    variables, _, metrics = jax.jit(descend.step)(variables, descend.init(variables), Batch(x), jax.random.key(2))
    assert np.isfinite(metrics["loss"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables))


def test_contractive_refuses_batch_norm_in_training_and_scores_with_it():
    ae = models.AE(networks.MLP((4, 3), norm=True), networks.MLP((5,)))
    x = jax.random.normal(jax.random.key(0), (6, 5))
    variables = ae.init(jax.random.key(1), x)
    objective = learner.objective(ae, losses.contractive)
    # It left a dead tracer in the running averages, and an error that named neither.
    with pytest.raises(ValueError, match=r"batch norm trains inside a gradient.*norm=False"):
        jax.grad(lambda variables: objective(variables, Batch(x), jax.random.key(2))[0])(variables)
    with pytest.raises(ValueError, match="batch norm trains inside a gradient"):
        objective(variables, Batch(x), jax.random.key(2))
    values = jax.jit(learner.score(ae, losses.contractive, weight=1.0))(variables, Batch(x))
    bound = ae.bind(variables)
    jacobians = jax.jit(jax.vmap(jax.jacfwd(lambda x: ae.apply(variables, x[None], method="encode")[0])))(x)
    expected = ((bound(x) - x) ** 2).sum(-1) + (jacobians**2).sum((1, 2))
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_batch_norm_in_the_decoder_trains_beside_a_contractive_encoder():
    ae = models.AE(networks.MLP((3,)), networks.MLP((4, 5), norm=True))
    x = jax.random.normal(jax.random.key(0), (6, 5))
    variables = ae.init(jax.random.key(1), x)
    _, (written, _) = jax.jit(learner.objective(ae, losses.contractive))(variables, Batch(x), jax.random.key(2))
    assert (written["batch_stats"]["decoder"]["BatchNorm_0"]["BatchNorm_0"]["mean"] != 0).any()


# laws


@pytest.mark.parametrize("loss", [losses.reconstruction, losses.elbo, losses.contractive, losses.sparse_l1])
def test_one_number_per_example_independent_of_the_others(loss, rng):
    if loss is losses.elbo:
        model, nll, _, _ = linear_gaussian()
        loss = functools.partial(loss, nll=nll)
    else:
        model = SimpleNamespace(encode=lambda x, cond: jnp.tanh(x), decode=lambda z, cond: z)
    x = jnp.float32(rng.normal(size=(4, 5)))
    values, _ = loss(model, Batch(x), None)
    assert values.shape == (4,)
    for i in range(4):
        np.testing.assert_allclose(loss(model, Batch(x[i : i + 1]), None)[0], values[i : i + 1], rtol=2e-6)


def test_a_loss_names_the_family_it_is_for():
    plain = SimpleNamespace(encode=lambda x, cond: x, decode=lambda z, cond: z)
    vague = SimpleNamespace(encode=lambda x, cond: Normal(x, x), decode=lambda z, cond: z)
    batch = Batch(jnp.ones((2, 3)))
    for loss in (losses.elbo, losses.importance_weighted):
        with pytest.raises(TypeError, match=r"needs a Normal: use models\.VAE"):
            loss(plain, batch, None)
    with pytest.raises(TypeError, match=r"train it with losses\.elbo"):
        losses.reconstruction(vague, batch, None)


def test_sparse_top_k_mixes_two_errors_by_hand():
    model = SimpleNamespace(encode=lambda x, cond: 0 * x, dense=lambda x, cond: x / 2, decode=lambda z, cond: z)
    batch = Batch(jnp.array([[2.0, 4.0]]))
    values, metrics = losses.sparse_top_k(model, batch, None, weight=0.2)
    # 0.8 · (4 + 16) + 0.2 · (1 + 4)
    np.testing.assert_allclose(values, [17.0], rtol=1e-6)
    np.testing.assert_allclose(metrics["error"], [20.0])


@pytest.mark.parametrize("weight", [-0.1, 1.1])
def test_sparse_top_k_refuses_a_weight_that_is_no_share(weight):
    model = SimpleNamespace(encode=lambda x, cond: x, dense=lambda x, cond: x, decode=lambda z, cond: z)
    with pytest.raises(ValueError, match="weight is"):
        losses.sparse_top_k(model, Batch(jnp.ones((1, 2))), None, weight=weight)


EVERY_LOSS = [getattr(losses, name) for name in losses.__all__]


@pytest.mark.parametrize("loss", EVERY_LOSS)
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": object()}, "model is object, which has no encode, but this loss needs encode and decode"),
        ({"batch": jnp.ones((2, 3))}, "batch is .*, but must be a Batch"),
        ({"key": jax.random.PRNGKey(0)}, "legacy uint32 key"),
        ({"nll": "bernoulli"}, "nll is 'bernoulli', but must be a function"),
        ({"batch": Batch([[1.0]])}, r"x of batch is list, but must be an array"),
        ({"batch": Batch(jnp.ones((2, 3)), True)}, r"cond of batch is bool, but must be an array"),
    ],
)
def test_a_loss_says_what_it_cannot_be_taken_of(loss, given, words):
    model = SimpleNamespace(encode=lambda x, cond: x, decode=lambda z, cond: z, dense=lambda x, cond: x)
    given = {"model": model, "batch": Batch(jnp.ones((2, 3))), "key": jax.random.key(0)} | given
    with pytest.raises(TypeError, match=words):
        loss(given.pop("model"), given.pop("batch"), given.pop("key"), **given)


@pytest.mark.parametrize("loss", EVERY_LOSS)
@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (Batch(np.float32(1)), "x of batch is a single number"),
        (Batch(np.ones((2, 3)), np.ones((3, 1))), r"cond of batch has shape \(3,\), but x has \(2,\)"),
    ],
)
def test_a_batch_without_rows_of_its_own_is_refused(loss, batch, words):
    model = SimpleNamespace(encode=lambda x, cond: x, decode=lambda z, cond: z, dense=lambda x, cond: x)
    with pytest.raises(ValueError, match=words):
        loss(model, batch, None)


def test_whole_numbers_have_no_jacobian():
    model = SimpleNamespace(encode=lambda x, cond: x, decode=lambda z, cond: z)
    with pytest.raises(TypeError, match="x of batch holds int32, but must hold floats"):
        losses.contractive(model, Batch(np.ones((2, 3), np.int32)), None)


@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_a_loss_of_no_rows_is_refused(loss):
    model = SimpleNamespace(encode=lambda x, cond: x, decode=lambda z, cond: z, dense=lambda x, cond: x)
    with pytest.raises(ValueError, match="batch has no rows"):
        loss(model, Batch(jnp.ones((0, 3))), None)
