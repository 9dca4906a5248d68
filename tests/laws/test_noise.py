"""What every corruption keeps."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxae as ja

NOISES = {name: getattr(ja.noise, name) for name in ja.noise.__all__}
# Nowhere 0 or 1, which are what some noises write.
X = jax.random.uniform(jax.random.key(0), (40, 3, 2), minval=0.2, maxval=0.8)


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_shape_and_dtype_stay(noise, dtype):
    noisy = noise(jax.random.key(1), X.astype(dtype))
    assert (noisy.shape, noisy.dtype) == (X.shape, dtype)
    assert (noisy != X.astype(dtype)).any()


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_the_key_is_all_the_chance_there_is(noise):
    first, again, other = (noise(jax.random.key(seed), X) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_an_example_does_not_know_its_neighbours(noise):
    others = (1 - X).at[3:7].set(X[3:7])
    before, after = (noise(jax.random.key(1), x) for x in (X, others))
    np.testing.assert_array_equal(before[3:7], after[3:7])


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_two_rows_that_are_equal_are_corrupted_differently(noise):
    rows = noise(jax.random.key(1), jnp.full((40, 6), 0.5))
    assert len(np.unique(rows, axis=0)) > 1


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_no_key_is_used_twice_and_its_strength_can_be_traced(noise):
    (strength,) = {"scale", "rate"} & set(inspect.signature(noise).parameters)

    def noisy(key, value):
        return noise(key, X, **{strength: value})

    with jax.debug_key_reuse(True):
        traced = jax.jit(noisy)(jax.random.key(1), 0.25)
    # Compiled as one program, x + scale·ε is rounded once rather than twice: an ulp of 1 in float32.
    np.testing.assert_allclose(traced, noisy(jax.random.key(1), 0.25), rtol=1e-6, atol=1.2e-7)


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_no_noise_is_the_identity(noise):
    (strength,) = {"scale", "rate"} & set(inspect.signature(noise).parameters)
    quiet = functools.partial(noise, **{strength: 0.0})
    np.testing.assert_array_equal(quiet(jax.random.key(1), X), X)
