"""jaxae.noise: the statistics of every corruption, then its laws, then what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxae import noise

N = 100_000
RATED = [noise.salt_and_pepper, noise.masking, noise.dropout]
STRENGTHS = {noise.gaussian: "scale", **dict.fromkeys(RATED, "rate")}


def within_binomial(count, n, p):
    """Five standard deviations: one fixed draw in two million falls outside by chance."""
    return abs(count - n * p) <= 5 * np.sqrt(n * p * (1 - p))


# exact


@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_gaussian_is_a_centred_normal_of_the_given_scale(scale):
    x = jnp.full((N,), 7.0)
    out = np.asarray(noise.gaussian(jax.random.key(0), x, scale=scale), np.float64) - 7
    assert scipy.stats.kstest(out / scale, "norm").pvalue > 1e-3
    assert abs(out.mean()) < 5 * scale / np.sqrt(N)
    # A standard deviation's own: scale/√(2n).
    assert abs(out.std() - scale) < 5 * scale / np.sqrt(2 * N)


def test_gaussian_is_independent_between_entries():
    out = np.asarray(noise.gaussian(jax.random.key(1), jnp.zeros((N, 2)), scale=1.0))
    assert abs(np.corrcoef(out.T)[0, 1]) < 5 / np.sqrt(N)
    assert len(np.unique(out)) > N


def test_gaussian_clips_and_leaves_the_inside_alone():
    x = jnp.full((N,), 0.5)
    free = noise.gaussian(jax.random.key(2), x, scale=0.4)
    clipped = noise.gaussian(jax.random.key(2), x, scale=0.4, clip=(0.0, 1.0))
    np.testing.assert_array_equal(clipped, np.clip(free, 0, 1))
    assert within_binomial((clipped == 0).sum(), N, scipy.stats.norm.cdf(-0.5 / 0.4))
    assert within_binomial((clipped == 1).sum(), N, scipy.stats.norm.cdf(-0.5 / 0.4))


@pytest.mark.parametrize("rate", [0.02, 0.3, 1.0])
def test_salt_and_pepper_replaces_half_by_low_and_half_by_high(rate):
    out = noise.salt_and_pepper(jax.random.key(3), jnp.full((N,), 0.5), rate=rate, low=-1.0, high=2.0)
    low, high, kept = ((out == value).sum() for value in (-1.0, 2.0, 0.5))
    assert low + high + kept == N
    assert within_binomial(low, N, rate / 2)
    assert within_binomial(high, N, rate / 2)


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.9])
def test_masking_zeroes_a_share_and_does_not_rescale(rate):
    out = noise.masking(jax.random.key(4), jnp.full((N,), 0.7), rate=rate)
    zeros, kept = (out == 0).sum(), (out == jnp.float32(0.7)).sum()
    assert zeros + kept == N
    assert within_binomial(zeros, N, rate)


@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_dropout_zeroes_a_share_and_keeps_the_mean(rate):
    # 1 − rate is a power of two or three quarters: the division by it is exact or one rounding.
    out = noise.dropout(jax.random.key(5), jnp.full((N,), 3.0), rate=rate)
    zeros, kept = (out == 0).sum(), (out == jnp.float32(3 / (1 - rate))).sum()
    assert zeros + kept == N
    assert within_binomial(zeros, N, rate)
    assert abs(out.mean() - 3) < 5 * 3 * np.sqrt(rate / (1 - rate) / N)


@pytest.mark.parametrize("corrupt", RATED)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_a_small_rate_holds_in_half_precision(corrupt, dtype):
    # A uniform draw in bfloat16 is a multiple of 1/128: a rate of 0.01 compared with it became 0.0156.
    out = corrupt(jax.random.key(6), jnp.full((N,), 0.5, dtype), rate=0.01)
    changed = (out == 0).sum() + (out == 1).sum()
    assert out.dtype == dtype
    assert within_binomial(changed, N, 0.01)


# laws


@pytest.mark.parametrize("corrupt", STRENGTHS)
def test_the_shape_and_the_dtype_stay(corrupt):
    for shape in [(5,), (2, 4, 4, 1)]:
        for dtype in (jnp.float32, jnp.bfloat16):
            out = corrupt(jax.random.key(0), jnp.ones(shape, dtype))
            assert (out.shape, out.dtype) == (shape, dtype)


@pytest.mark.parametrize("corrupt", STRENGTHS)
def test_the_same_key_gives_the_same_result_and_another_another(corrupt):
    x = jax.random.normal(jax.random.key(9), (20, 20))
    once = corrupt(jax.random.key(0), x)
    np.testing.assert_array_equal(once, corrupt(jax.random.key(0), x))
    assert (once != corrupt(jax.random.key(1), x)).any()


@pytest.mark.parametrize("corrupt, strength", STRENGTHS.items())
def test_strength_zero_is_the_identity(corrupt, strength):
    x = jax.random.normal(jax.random.key(9), (20, 20))
    np.testing.assert_array_equal(corrupt(jax.random.key(0), x, **{strength: 0}), x)


@pytest.mark.parametrize("corrupt, strength", STRENGTHS.items())
def test_a_traced_strength_gives_what_the_number_gives(corrupt, strength):
    x = jax.random.normal(jax.random.key(9), (20, 20))
    values = np.array([0.1, 0.25, 0.5], np.float32)

    def apply(value):
        return corrupt(jax.random.key(0), x, **{strength: value})

    for value, row in zip(values, jax.jit(jax.vmap(apply))(values), strict=True):
        # One rounding: compiled, a product and a sum may be fused.
        np.testing.assert_allclose(row, apply(float(value)), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("corrupt, strength", STRENGTHS.items())
def test_a_partial_is_a_corruption(corrupt, strength):
    partial = functools.partial(corrupt, **{strength: 0.5})
    x = jnp.ones((4, 4))
    np.testing.assert_array_equal(partial(jax.random.key(0), x), corrupt(jax.random.key(0), x, **{strength: 0.5}))


def test_a_strength_for_every_variable():
    x = jnp.ones((1000, 2))
    out = noise.gaussian(jax.random.key(0), x, scale=jnp.array([[0.0, 1.0]]))
    np.testing.assert_array_equal(out[:, 0], 1)
    assert out[:, 1].std() > 0.9
    out = noise.masking(jax.random.key(0), x, rate=jnp.array([[0.0, 1.0]]))
    np.testing.assert_array_equal(out.mean(0), [1, 0])


# refused


@pytest.mark.parametrize("corrupt", RATED)
@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), 2])
def test_a_rate_outside_0_1_is_refused(corrupt, rate):
    with pytest.raises(ValueError, match=r"rate is .*fraction from 0 to 1"):
        corrupt(jax.random.key(0), jnp.ones(3), rate=rate)


@pytest.mark.parametrize("corrupt", RATED)
def test_a_rate_in_percent_is_answered_with_the_fraction(corrupt):
    with pytest.raises(ValueError, match=r"write 0\.3 for 30 %"):
        corrupt(jax.random.key(0), jnp.ones(3), rate=30)


@pytest.mark.parametrize("scale", [-0.1, float("nan"), float("inf")])
def test_a_scale_that_is_negative_or_not_finite_is_refused(scale):
    with pytest.raises(ValueError, match=r"scale is .*finite number ≥ 0"):
        noise.gaussian(jax.random.key(0), jnp.ones(3), scale=scale)


@pytest.mark.parametrize("clip", [(1.0, 0.0), (0.5, 0.5), (float("nan"), 1.0)])
def test_a_clip_that_is_no_range_is_refused(clip):
    with pytest.raises(ValueError, match=r"must be \(low, high\) with low < high"):
        noise.gaussian(jax.random.key(0), jnp.ones(3), clip=clip)


def test_masking_takes_rate_1_and_dropout_points_to_it():
    np.testing.assert_array_equal(noise.masking(jax.random.key(0), jnp.ones(50), rate=1), 0)
    with pytest.raises(ValueError, match=r"use noise\.masking"):
        noise.dropout(jax.random.key(0), jnp.ones(3), rate=1)


@pytest.mark.parametrize("corrupt", [noise.gaussian, noise.salt_and_pepper, noise.masking, noise.dropout])
def test_keys_and_examples_of_another_kind_are_refused(corrupt):
    with pytest.raises(TypeError, match="legacy uint32 key"):
        corrupt(jax.random.PRNGKey(0), jnp.ones(3))
    with pytest.raises(TypeError, match=r"x holds uint8, but must hold floats.*scale pixels"):
        corrupt(jax.random.key(0), np.full(3, 200, np.uint8))


@pytest.mark.parametrize("clip", [1.0, (0.0,), (0.0, np.nan)])
def test_a_clip_of_one_end_is_refused(clip):
    with pytest.raises(ValueError, match=r"clip is .*low < high"):
        noise.gaussian(jax.random.key(0), jnp.ones(3), clip=clip)


def test_salt_is_a_finite_number():
    with pytest.raises(ValueError, match="high is nan"):
        noise.salt_and_pepper(jax.random.key(0), jnp.ones(3), high=np.nan)
