"""jaxae.distributions against scipy and float64, then the laws, then what is refused."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from jaxae import distributions
from jaxae.distributions import Normal

N = 100_000


def normals(rng, shape=(4, 3)):
    """Fields in float32, which float64 references must start from."""
    return Normal(*rng.normal(size=(2, *shape)).astype(np.float32))


# Normal


@pytest.mark.parametrize("shape", [(4, 3), (4,), (2, 3, 3, 1)])
def test_log_prob_is_scipys(rng, shape):
    normal, x = normals(rng, shape), rng.normal(size=shape).astype(np.float32)
    mean, logvar = (np.float64(field) for field in normal)
    expected = scipy.stats.norm.logpdf(np.float64(x), mean, np.exp(logvar / 2)).reshape(shape[0], -1).sum(-1)
    out = Normal(*map(jnp.asarray, normal)).log_prob(jnp.asarray(x))
    assert out.shape == shape[:1]
    # Sums of some ten float32 terms.
    np.testing.assert_allclose(out, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("mean, logvar", [(0.0, 0.0), (1.5, -1.0), (-0.3, 0.7), (4.0, 1.0), (0.0, -6.0)])
def test_kl_is_the_integral(mean, logvar):
    q = scipy.stats.norm(mean, np.exp(logvar / 2))
    ends = mean + np.array([-12, 12]) * np.exp(logvar / 2)
    expected, _ = scipy.integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - scipy.stats.norm.logpdf(z)), *ends, epsabs=1e-12
    )
    kl = Normal(jnp.array([[mean]]), jnp.array([[logvar]])).kl()
    # Float32 rounding; the integral is good to 1e-10.
    np.testing.assert_allclose(kl, [expected], rtol=1e-6, atol=1e-9)


def kl_float64(mean, logvar):
    """The power series of exp(v) − 1 − v where its closed form cancels."""
    mean, v = np.float64(mean), np.float64(logvar)
    k = np.arange(2, 60)
    series = (np.sign(v) ** k * np.exp(k * np.log(np.abs(v) + (v == 0)) - scipy.special.gammaln(k + 1))).sum()
    return 0.5 * (mean**2 + (v != 0) * (series if abs(v) < 1 else np.expm1(v) - v))


@pytest.mark.parametrize("size", [1e-7, 1e-6, 1e-5, 1e-4, 1.3e-3, 0.017, 0.19, 0.1999999, 0.2, 0.2000001, 0.5, 3.0])
def test_kl_keeps_its_digits_near_the_prior(size):
    # exp(logvar) − 1 − logvar in float32 is 3.3 times off at 1e-4; expm1(logvar) − logvar, a thousandth.
    for logvar in np.float32([size, -size]):
        kl = Normal(jnp.zeros((1, 1)), jnp.full((1, 1), logvar)).kl()
        np.testing.assert_allclose(kl, [kl_float64(0, logvar)], rtol=2e-6)
        kl = Normal(jnp.full((1, 1), np.float32(1e-4)), jnp.full((1, 1), logvar)).kl()
        np.testing.assert_allclose(kl, [kl_float64(np.float32(1e-4), logvar)], rtol=2e-6)


@pytest.mark.parametrize("logvar", [1e-6, -1e-4, 1e-3, 0.1999, 0.2001, -0.5, 3.0, -50.0, -1e6])
def test_the_gradient_of_kl(logvar):
    mean, v = jnp.full((1, 2), 0.5), jnp.full((1, 2), logvar, jnp.float32)
    slope = jax.grad(lambda normal: normal.kl().sum())(Normal(mean, v))
    np.testing.assert_array_equal(slope.mean, mean)
    # Beyond the series the gradient is that of expm1, exp(v), less 1: half an ulp of 1 on expm1(0.2).
    np.testing.assert_allclose(slope.logvar, 0.5 * np.expm1(np.float64(v)), rtol=1e-6)


def test_log_prob_per_dimension_is_scipys(rng):
    mean, logvar, x = rng.normal(size=(3, 4, 2, 3))
    out = Normal(jnp.asarray(mean), jnp.asarray(logvar)).log_prob_per_dimension(jnp.asarray(x))
    np.testing.assert_allclose(out, scipy.stats.norm.logpdf(x, mean, np.exp(logvar / 2)), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="x"):
        Normal(jnp.asarray(mean), jnp.asarray(logvar)).log_prob_per_dimension(jnp.zeros((4, 3)))


def test_kl_per_dimension_sums_to_kl(rng):
    normal = Normal(*map(jnp.asarray, normals(rng, (4, 3, 2))))
    each = normal.kl_per_dimension()
    expected = [kl_float64(m, v) for m, v in zip(np.ravel(normal.mean), np.ravel(normal.logvar), strict=True)]
    np.testing.assert_allclose(each.ravel(), expected, rtol=1e-6)
    np.testing.assert_allclose(normal.kl(), each.sum((1, 2)), rtol=1e-6)


def test_kl_is_zero_exactly_at_the_prior_and_positive_elsewhere(rng):
    assert Normal(jnp.zeros((2, 3)), jnp.zeros((2, 3))).kl().tolist() == [0.0, 0.0]
    small = Normal(*(jnp.asarray(1e-5 * field) for field in normals(rng, (50, 1))))
    assert (small.kl() > 0).all()


def test_a_sample_has_the_mean_and_the_variance():
    mean, logvar = 2.0, -1.0
    z = np.asarray(Normal(jnp.full((N, 1), mean), jnp.full((N, 1), logvar)).sample(jax.random.key(0)), np.float64)
    scale = np.exp(logvar / 2)
    assert scipy.stats.kstest((z[:, 0] - mean) / scale, "norm").pvalue > 1e-3
    assert abs(z.mean() - mean) < 5 * scale / np.sqrt(N)
    assert abs(z.std() - scale) < 5 * scale / np.sqrt(2 * N)


def test_a_sample_is_differentiable_in_both_fields(rng):
    normal = Normal(*map(jnp.asarray, normals(rng)))
    slope = jax.grad(lambda normal: normal.sample(jax.random.key(0)).sum())(normal)
    np.testing.assert_array_equal(slope.mean, 1)
    # z = mean + exp(logvar/2)·ε, so that ∂z/∂logvar = (z − mean)/2; the subtraction costs an ulp of z.
    expected = (normal.sample(jax.random.key(0)) - normal.mean) / 2
    np.testing.assert_allclose(slope.logvar, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("logvar", [(4, 1), (1, 3), (3,), (4, 3, 1)])
def test_fields_of_different_shapes_are_refused(logvar):
    normal = Normal(jnp.zeros((4, 3)), jnp.zeros(logvar))
    for method in (normal.kl, normal.kl_per_dimension):
        with pytest.raises(ValueError, match="logvar has shape"):
            method()
    with pytest.raises(ValueError, match="logvar has shape"):
        normal.sample(jax.random.key(0))
    with pytest.raises(ValueError, match="logvar has shape"):
        normal.log_prob(jnp.zeros((4, 3)))


# likelihoods


def test_squared_error_by_hand():
    out = distributions.squared_error(jnp.array([[1.0, 2.0], [0.0, 5.0]]), jnp.array([[0.0, 4.0], [0.0, 2.0]]))
    assert out.tolist() == [1 + 4, 9]


@pytest.mark.parametrize("scale", [0.05, 1.0, 7.0])
def test_gaussian_is_scipys(rng, scale):
    mean, x = rng.normal(size=(2, 5, 3)).astype(np.float32)
    expected = -scipy.stats.norm.logpdf(np.float64(x), np.float64(mean), np.float64(np.float32(scale))).sum(-1)
    # exp(−2·log scale) in float32 costs some ulps of the exponent.
    np.testing.assert_allclose(distributions.gaussian(mean, x, scale=scale), expected, rtol=5e-6)
    traced = jax.jit(lambda scale: distributions.gaussian(mean, x, scale=scale))(scale)
    np.testing.assert_allclose(traced, expected, rtol=5e-6)


def test_gaussian_takes_a_scale_for_every_variable(rng):
    mean, x = rng.normal(size=(2, 5, 3)).astype(np.float32)
    scale = np.float32([0.5, 1, 2])
    expected = -scipy.stats.norm.logpdf(np.float64(x), np.float64(mean), scale[None]).sum(-1)
    np.testing.assert_allclose(distributions.gaussian(mean, x, scale=scale), expected, rtol=5e-6)


def test_gaussian_is_least_at_the_root_mean_square():
    x = jnp.array([[3.0, -1.0, 2.0, 0.0]])
    slope = jax.grad(lambda scale: distributions.gaussian(jnp.zeros_like(x), x, scale=scale).sum())
    # The slope is a difference of two terms 4/scale.
    assert abs(slope(jnp.sqrt(14 / 4))) < 1e-5
    assert slope(1.0) < -1


def test_normal_is_scipys_with_a_shared_and_a_predicted_scale(rng):
    mean, logvar, x = rng.normal(size=(3, 5, 3)).astype(np.float32)
    shared = np.broadcast_to(logvar[:1], (5, 3))
    for v in (logvar, shared):
        expected = -scipy.stats.norm.logpdf(np.float64(x), np.float64(mean), np.exp(np.float64(v) / 2)).sum(-1)
        out = distributions.normal(Normal(jnp.asarray(mean), jnp.asarray(v)), jnp.asarray(x))
        np.testing.assert_allclose(out, expected, rtol=2e-6, atol=2e-6)


def test_bernoulli_is_the_cross_entropy_in_float64(rng):
    logits = np.float32(rng.normal(scale=5, size=(50, 4)))
    for x in (np.float32(rng.random((50, 4))), np.float32(rng.integers(0, 2, (50, 4)))):
        a, b = np.float64(logits), np.float64(x)
        expected = -(b * scipy.special.log_expit(a) + (1 - b) * scipy.special.log_expit(-a)).sum(-1)
        np.testing.assert_allclose(distributions.bernoulli(logits, x), expected, rtol=2e-6)


def test_bernoulli_is_scipys_for_bits(rng):
    logits, x = np.float32(rng.normal(size=(50, 4))), rng.integers(0, 2, (50, 4))
    expected = -scipy.stats.bernoulli.logpmf(x, scipy.special.expit(np.float64(logits))).sum(-1)
    np.testing.assert_allclose(distributions.bernoulli(logits, np.float32(x)), expected, rtol=2e-6)


@pytest.mark.parametrize(
    "logit, x, value, slope",
    [
        (1e4, 1.0, 0.0, 0.0),
        (1e4, 0.0, 1e4, 1.0),
        (-1e4, 0.0, 0.0, 0.0),
        (-1e4, 1.0, 1e4, -1.0),
        (1e4, 0.25, 7500.0, 0.75),
        (3e38, 0.0, 3e38, 1.0),
        (0.0, 0.25, np.log(2), 0.25),
    ],
)
def test_bernoulli_at_its_limits(logit, x, value, slope):
    def nll(logit):
        return distributions.bernoulli(jnp.full((1, 1), 1.0) * logit, jnp.full((1, 1), x))[0]

    np.testing.assert_allclose(jax.value_and_grad(nll)(logit), (np.float32(value), slope), rtol=1e-7)


@pytest.mark.parametrize("x", [0.0, 0.25, 1.0])
def test_bernoulli_has_the_derivatives_of_the_cross_entropy(x):
    logits = np.float32([-30, -8, -1, -1e-3, 0, 1e-3, 1, 8, 30])

    def nll(logit, x):
        return distributions.bernoulli(logit[None, None], x[None, None])[0]

    p, q = scipy.special.expit(np.float64(logits)), scipy.special.expit(-np.float64(logits))
    xs = jnp.full(len(logits), x)
    first, second = jax.grad(nll), jax.grad(jax.grad(nll))
    # To a relative accuracy, also where the prediction is all but certain.
    np.testing.assert_allclose(jax.vmap(first)(logits, xs), (1 - x) * p - x * q, rtol=2e-6)
    np.testing.assert_allclose(jax.vmap(second)(logits, xs), p * q, rtol=2e-6)
    np.testing.assert_allclose(jax.vmap(jax.grad(nll, 1))(logits, xs), -logits, rtol=2e-6)


def test_multinomial_is_scipys(rng):
    logits, counts = np.float32(rng.normal(size=(20, 6))), rng.integers(0, 9, (20, 6))
    counts[0] = 0
    p = scipy.special.softmax(np.float64(logits), -1)
    expected = -scipy.stats.multinomial.logpmf(counts, counts.sum(-1), p)
    # Differences of log factorials of about 60, each good to an ulp.
    np.testing.assert_allclose(distributions.multinomial(logits, np.float32(counts)), expected, rtol=1e-5, atol=1e-5)


def test_multinomial_of_bits_is_finite_at_large_logits():
    logits, counts = jnp.array([[1e4, -1e4, 0.0]]), jnp.array([[1.0, 0.0, 0.0]])
    value, slope = jax.value_and_grad(lambda logits: distributions.multinomial(logits, counts)[0])(logits)
    # JAX's gammaln(2) is 1e-6 in float32.
    np.testing.assert_allclose(value, 0, atol=2e-6)
    np.testing.assert_array_equal(slope, 0)


# laws


LIKELIHOODS = [
    distributions.squared_error,
    distributions.gaussian,
    distributions.bernoulli,
    distributions.multinomial,
    lambda mean, x: distributions.normal(Normal(mean, jnp.zeros_like(mean)), x),
]


@pytest.mark.parametrize("nll", LIKELIHOODS)
def test_one_number_per_example_independent_of_the_others(rng, nll):
    prediction, x = np.float32(rng.random((2, 6, 4)))
    values = nll(prediction, x)
    assert values.shape == (6,)
    for i in range(6):
        np.testing.assert_allclose(nll(prediction[i : i + 1], x[i : i + 1])[0], values[i], rtol=1e-6)


@pytest.mark.parametrize("nll", [nll for nll in LIKELIHOODS if nll is not distributions.multinomial])
def test_images_are_summed_over_the_event(rng, nll):
    prediction, x = np.float32(rng.random((2, 6, 3, 2, 2)))
    np.testing.assert_allclose(nll(prediction, x), nll(prediction.reshape(6, -1), x.reshape(6, -1)), rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3), (3, 4), (1, 2)])
def test_per_example_sums_over_everything_but_the_first_axis(shape):
    assert distributions.per_example(jnp.ones((5, *shape))).tolist() == [float(np.prod(shape))] * 5
    assert distributions.per_example(jnp.arange(3.0)).tolist() == [0, 1, 2]


# refused


@pytest.mark.parametrize("nll", LIKELIHOODS)
@pytest.mark.parametrize("shape", [(4, 1), (1, 3), (3,), (4, 3, 1), ()])
def test_shapes_that_would_broadcast_are_refused(nll, shape):
    with pytest.raises(ValueError, match="has shape"):
        nll(jnp.zeros((4, 3)), jnp.zeros(shape))


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf, np.array([1.0, -1.0])])
def test_a_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ValueError, match=r"scale is .*finite number > 0"):
        distributions.gaussian(jnp.zeros((1, 2)), jnp.zeros((1, 2)), scale=scale)


def test_normal_refuses_a_bare_mean_and_says_what_to_wrap():
    with pytest.raises(TypeError, match=r"networks\.SharedScale"):
        distributions.normal(jnp.zeros((1, 2)), jnp.zeros((1, 2)))


@pytest.mark.parametrize("nll", LIKELIHOODS)
def test_predictions_that_are_whole_numbers_are_refused(nll):
    """Of uint8 a difference wraps round, without a word."""
    with pytest.raises(TypeError, match="holds uint8, but must hold floats"):
        nll(np.zeros((2, 3), np.uint8), np.ones((2, 3), np.float32))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float32, np.float64])
def test_a_target_of_zeros_and_ones_may_have_any_type(dtype):
    x = np.array([[0, 1, 1]], dtype)
    np.testing.assert_allclose(distributions.bernoulli(jnp.zeros((1, 3)), x), [3 * math.log(2)], rtol=1e-6)


@pytest.mark.parametrize("x", [[[0.0, 255.0]], [[-0.5, 0.5]], [[np.nan, 0.5]]])
def test_pixels_outside_0_1_are_refused_where_they_are_known(x):
    for array in (np.float32(x), jnp.float32(x)):
        with pytest.raises(ValueError, match=r"x holds .*0…1: divide pixels by their brightest, x / 255"):
            distributions.bernoulli(jnp.zeros((1, 2)), array)
    # Of a traced array nothing is known.
    assert jax.jit(distributions.bernoulli)(jnp.zeros((1, 2)), jnp.float32(x)).shape == (1,)


def test_negative_counts_and_images_of_them_are_refused():
    with pytest.raises(ValueError, match="counts holds -1, but must be ≥ 0"):
        distributions.multinomial(jnp.zeros((1, 2)), np.array([[-1.0, 2.0]]))
    with pytest.raises(ValueError, match=r"logits has shape \(1, 2, 2\), but must be \(n, items\)"):
        distributions.multinomial(jnp.zeros((1, 2, 2)), jnp.zeros((1, 2, 2)))


def test_a_normal_of_whole_numbers_is_refused():
    with pytest.raises(TypeError, match="mean holds int32"):
        Normal(jnp.zeros((1, 2), int), jnp.zeros((1, 2))).kl()
    with pytest.raises(TypeError, match="legacy uint32 key"):
        Normal(jnp.zeros((1, 2)), jnp.zeros((1, 2))).sample(jax.random.PRNGKey(0))


def test_a_single_number_is_no_example():
    for nll in (distributions.squared_error, distributions.bernoulli):
        with pytest.raises(ValueError, match="single number"):
            nll(jnp.zeros(()), jnp.zeros(()))
    with pytest.raises(ValueError, match="values is a single number"):
        distributions.per_example(jnp.zeros(()))
    with pytest.raises(TypeError, match="values is float, but must be an array"):
        distributions.per_example(1.0)


@pytest.mark.parametrize("kind", [np, jnp])
def test_of_no_examples_there_are_no_numbers(kind):
    none = kind.zeros((0, 4), np.float32)
    for values in (
        distributions.per_example(none),
        distributions.squared_error(none, none),
        distributions.bernoulli(none, none),
        Normal(none, none).kl(),
        Normal(none, none).log_prob(none),
    ):
        assert values.shape == (0,)
    assert distributions.per_example(kind.ones((2, 0))).tolist() == [0, 0]
