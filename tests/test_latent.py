"""jaxae.latent: ways through a latent space, and what a posterior uses of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxae import latent

PLAIN = settings(max_examples=30, deadline=None)
VECTORS = arrays(np.float32, 3, elements=st.floats(-8, 8, width=32).map(lambda x: round(x * 8) / 8))
LINES = [latent.interpolate, latent.slerp]


def test_interpolate_by_hand():
    out = latent.interpolate(np.array([0.0, 4.0]), np.array([2.0, 0.0]), 5)
    np.testing.assert_array_equal(out, [[0, 4], [0.5, 3], [1, 2], [1.5, 1], [2, 0]])


def test_slerp_by_hand():
    out = latent.slerp(np.array([2.0, 0.0]), np.array([0.0, 2.0]), 4)
    turns = np.deg2rad([0, 30, 60, 90])
    # Sines in float32.
    np.testing.assert_allclose(out, 2 * np.stack([np.cos(turns), np.sin(turns)], axis=1), atol=1e-6)


def test_slerp_is_shoemakes_formula(rng):
    a, b = rng.normal(size=(2, 6))
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    omega = np.arccos(a @ b)
    t = np.linspace(0, 1, 7)[:, None]
    expected = (np.sin((1 - t) * omega) * a + np.sin(t * omega) * b) / np.sin(omega)
    # The formula in float64 against ours in float32.
    np.testing.assert_allclose(latent.slerp(a, b, 7), expected, atol=1e-6)


@pytest.mark.parametrize("factor", [1.0, 3.0, 0.0])
def test_slerp_of_parallel_vectors_is_the_straight_line(factor):
    a = np.array([3.0, -4.0, 12.0], np.float32)
    out = latent.slerp(a, factor * a, 5)
    # One rounding of float32 on numbers up to 36.
    np.testing.assert_allclose(out, latent.interpolate(a, factor * a, 5), rtol=1e-6, atol=1e-6)


def test_slerp_from_nothing_to_nothing_stays_there():
    np.testing.assert_array_equal(latent.slerp(np.zeros(3), np.zeros(3), 3), np.zeros((3, 3)))


@pytest.mark.parametrize("a", [[1.0, 0.0], [0.6, 0.8, 0.0], [-2.0, 1.0, 2.0]])
def test_slerp_of_opposite_vectors_takes_a_half_circle(a):
    a = np.array(a, np.float32)
    out = np.asarray(latent.slerp(a, -a, 5))
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), np.linalg.norm(a), rtol=1e-6)
    np.testing.assert_allclose(out[2] @ a, 0, atol=1e-5)
    steps = np.linalg.norm(np.diff(out, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-5)


@pytest.mark.parametrize("line", LINES)
@PLAIN
@given(a=VECTORS, b=VECTORS)
def test_lines_hold_both_ends_to_the_bit(line, a, b):
    out = line(a, b, 4)
    assert out.shape == (4, 3)
    np.testing.assert_array_equal(out[0], a)
    np.testing.assert_array_equal(out[-1], b)


@PLAIN
@given(a=VECTORS, b=VECTORS)
def test_slerp_changes_its_length_evenly(a, b):
    lengths = jnp.linalg.norm(latent.slerp(a, b, 5), axis=1)
    # float32 rounding of the unit vectors, at most some units in the last place of lengths up to 14.
    np.testing.assert_allclose(lengths, np.linspace(np.linalg.norm(a), np.linalg.norm(b), 5), atol=2e-5)


@pytest.mark.parametrize("line", LINES)
def test_lines_are_traced_and_batched(line):
    a, b = np.eye(3, dtype=np.float32)[:2]
    out = jax.jit(jax.vmap(lambda x, y: line(x, y, 4)))(np.stack([a, b]), np.stack([b, a]))
    np.testing.assert_allclose(out[0], out[1][::-1], atol=1e-6)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize(
    "a, b, steps, message",
    [
        (np.zeros(3), np.zeros(2), 3, r"one shape \(k,\); got \(3,\) and \(2,\)"),
        (np.zeros((2, 2)), np.zeros((2, 2)), 3, r"one shape \(k,\)"),
        (np.zeros(2), np.zeros(2), 1, "steps is 1, but must be a whole number ≥ 2, for both ends"),
    ],
)
def test_bad_lines(line, a, b, steps, message):
    with pytest.raises(ValueError, match=message):
        line(a, b, steps)


def test_one_dimension_has_no_great_circle():
    with pytest.raises(ValueError, match="at least 2 dimensions; got 1; use interpolate"):
        latent.slerp(np.ones(1), np.ones(1), 3)


def test_complex_vectors_are_refused():
    with pytest.raises(TypeError, match="real numbers; got complex64"):
        latent.interpolate(np.ones(2, np.complex64), np.ones(2), 3)


def test_steps_and_dimension_are_whole_numbers():
    with pytest.raises(TypeError, match=r"steps is 3\.0, but must be a whole number"):
        latent.interpolate(np.ones(2), np.ones(2), 3.0)
    with pytest.raises(TypeError, match=r"dimension is 0\.0, but must be a whole number"):
        latent.traverse(np.ones(2), 0.0, np.ones(2))


def test_low_precision_is_kept():
    a = jnp.ones(2, jnp.bfloat16)
    assert latent.slerp(a, -a, 3).dtype == jnp.bfloat16


def test_traverse_by_hand():
    out = latent.traverse(np.array([1, 2, 3]), 1, [-0.5, 0.0, 0.5])
    np.testing.assert_array_equal(out, [[1, -0.5, 3], [1, 0, 3], [1, 0.5, 3]])


@pytest.mark.parametrize(
    "z, dimension, values, message",
    [
        (np.zeros(3), 3, np.zeros(2), "dimension is 3, but must be a whole number from 0 to 2"),
        (np.zeros(3), -1, np.zeros(2), "dimension is -1, but must be a whole number from 0 to 2"),
        (np.zeros((1, 3)), 0, np.zeros(2), r"z must be \(k,\) and values \(m,\); got shapes \(1, 3\) and \(2,\)"),
        (np.zeros(3), 0, 1.0, "values"),
    ],
)
def test_bad_traverse(z, dimension, values, message):
    with pytest.raises(ValueError, match=message):
        latent.traverse(z, dimension, values)


def test_active_units_by_hand():
    means = np.array([[-1.0, 0.0, 5.0, 0.0], [1.0, 0.1, 5.0, 0.3]])  # variances 1, 0.0025, 0, 0.0225
    assert latent.active_units(means).tolist() == [True, False, False, True]
    assert latent.active_units(means, threshold=0.001).tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    "means, threshold, message",
    [
        (np.zeros(3), 0.01, r"means must be \(n, k\) with n at least 2; got shape \(3,\)"),
        (np.zeros((1, 3)), 0.01, "n at least 2"),
        (np.zeros((2, 3)), -0.1, "threshold is -0.1, but must be a finite number ≥ 0"),
    ],
)
def test_bad_active_units(means, threshold, message):
    with pytest.raises(ValueError, match=message):
        latent.active_units(means, threshold=threshold)


def test_aggregate_moments_by_hand():
    mean, covariance = latent.aggregate_moments(np.array([[-1.0, 2.0], [1.0, 4.0]]), np.log([[0.5, 1.0], [1.5, 3.0]]))
    np.testing.assert_array_equal(mean, [0, 3])
    np.testing.assert_allclose(covariance, [[2, 1], [1, 3]], rtol=1e-6)


def test_aggregate_moments_are_those_of_samples(rng):
    means, logvars = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    rows = rng.integers(0, 4, 200_000)
    z = means[rows] + np.exp(logvars[rows] / 2) * rng.normal(size=(200_000, 3))
    moments = latent.aggregate_moments(means, logvars)
    # Sampling error about 3 / sqrt(200000) = 0.007; five of them.
    np.testing.assert_allclose(moments.mean, z.mean(axis=0), atol=0.035)
    np.testing.assert_allclose(moments.covariance, np.cov(z.T), atol=0.035 * float(moments.covariance.max()))


def test_the_posterior_that_is_the_prior_has_its_moments():
    mean, covariance = latent.aggregate_moments(np.zeros((5, 2)), np.zeros((5, 2)))
    np.testing.assert_array_equal(mean, np.zeros(2))
    np.testing.assert_array_equal(covariance, np.eye(2))


@pytest.mark.parametrize("shapes", [((2, 3), (2, 2)), ((3,), (3,)), ((0, 2), (0, 2))])
def test_bad_moments(shapes):
    with pytest.raises(ValueError, match=r"one shape \(n, k\)"):
        latent.aggregate_moments(np.zeros(shapes[0]), np.zeros(shapes[1]))


class TestQuantise:
    @pytest.mark.parametrize("bits", [1, 3, 8, 16])
    def test_the_error_is_at_most_half_a_step(self, bits):
        codes = np.asarray(jax.random.normal(jax.random.key(0), (50, 4))) * np.float32([1, 10, 0.01, 3])
        quantised = latent.quantise(codes, bits)
        back = np.asarray(quantised.codes())
        half = (codes.max(0) - codes.min(0)) / (2**bits - 1) / 2
        # Rounding of float32 beside it, of the size of the codes themselves.
        assert (np.abs(back - codes) <= half * (1 + 1e-3) + 4e-7 * np.abs(codes).max(0)).all()
        assert quantised.levels.dtype == np.uint16 and int(quantised.levels.max()) == 2**bits - 1

    def test_a_unit_that_does_not_vary_comes_back_whole(self):
        codes = np.full((5, 2), 0.3, np.float32)
        np.testing.assert_array_equal(latent.quantise(codes, 4).codes(), codes)

    def test_a_range_wider_than_the_largest_float_is_refused(self):
        with pytest.raises(ValueError, match="span more than the largest float"):
            latent.quantise(np.float32([[-3e38], [3e38]]), 2)

    @pytest.mark.parametrize("bits", [0, 17])
    def test_impossible_bits(self, bits):
        with pytest.raises(ValueError, match=f"bits is {bits}"):
            latent.quantise(np.ones((2, 2)), bits)

    def test_codes_that_are_not_finite(self):
        with pytest.raises(ValueError, match="1 codes are not finite"):
            latent.quantise(np.array([[1.0], [np.nan]]), 8)


class TestMaps:
    def test_lda_is_scikit_learns_up_to_shrinkage_and_sets_groups_apart(self, rng):
        labels = np.repeat(np.arange(3), 40)
        codes = rng.normal(size=(120, 5)) + 6 * np.eye(5)[labels]
        plane = latent.lda(codes, labels)
        centres = np.stack([plane[labels == k].mean(0) for k in range(3)])
        nearest = np.linalg.norm(plane[:, None] - centres[None], axis=-1).argmin(1)
        assert plane.shape == (120, 2) and (nearest == labels).mean() > 0.98

    def test_lda_with_a_collapsed_unit(self, rng):
        codes = np.column_stack([rng.normal(size=(30, 2)), np.zeros(30)])
        assert np.isfinite(latent.lda(codes, np.repeat(np.arange(3), 10))).all()

    def test_lda_of_two_groups_is_refused(self, rng):
        with pytest.raises(ValueError, match="2 groups"):
            latent.lda(rng.normal(size=(6, 2)), [0, 0, 0, 1, 1, 1])

    @pytest.mark.parametrize("units", [4, 5, 9])
    def test_lda_of_groups_too_small_to_vary_everywhere_is_refused(self, rng, units):
        with pytest.raises(ValueError, match=f"codes vary in fewer than {units} directions within the groups"):
            latent.lda(rng.normal(size=(6, units)), [0, 0, 1, 1, 2, 2])

    def test_tsne_keeps_neighbours_and_is_a_function_of_its_seed(self, rng):
        codes = np.concatenate([rng.normal(size=(20, 4)), 30 + rng.normal(size=(20, 4))])
        plane, again = (latent.tsne(codes, seed=1) for _ in range(2))
        np.testing.assert_array_equal(plane, again)
        apart = np.linalg.norm(plane[:, None] - plane[None], axis=-1) + np.diag(np.full(40, np.inf))
        assert ((apart.argmin(1) < 20) == (np.arange(40) < 20)).all()


@pytest.mark.parametrize("threshold", [np.nan, -1.0, np.inf])
def test_a_threshold_that_is_no_variance_is_refused(threshold):
    """Nothing is above NaN, so that no unit would have been active, without a word."""
    with pytest.raises(ValueError, match=r"threshold is .*≥ 0"):
        latent.active_units(jnp.ones((3, 2)), threshold=threshold)


def test_maps_of_codes_name_what_they_refuse(rng):
    codes = rng.normal(size=(9, 3))
    codes[2, 1] = np.nan
    with pytest.raises(ValueError, match="codes holds nan in row 2 and column 1"):
        latent.tsne(codes, seed=0)
    with pytest.raises(ValueError, match="codes holds nan in row 2 and column 1"):
        latent.lda(codes, np.arange(9) % 3)
    with pytest.raises(ValueError, match="seed is -1"):
        latent.tsne(codes[3:], seed=-1)
