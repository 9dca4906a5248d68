"""Features of images: closed forms and brute force first, then laws, then what is refused (more in test_metrics)."""

from itertools import combinations
from math import comb, prod

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.spatial.distance
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxae import metrics

few = settings(max_examples=25, deadline=None, derandomize=True)
numbers = st.floats(-10, 10).map(lambda v: round(v, 3))
grid = st.integers(-3, 3).map(float)  # squares, sums and roots of equal sums are exact, so that ties are ties


def table(rows, columns, values=numbers):
    return hnp.arrays(np.float64, (rows, columns), elements=values)


def sample(rng, rows, mean, covariance):
    """Return rows whose mean and covariance are the given ones, not those of a draw."""
    draw = rng.normal(size=(rows, len(mean)))
    white = np.linalg.qr(draw - draw.mean(axis=0))[0] * np.sqrt(rows - 1)
    return mean + white @ np.linalg.cholesky(covariance).T


def covariance(rng, d):
    root = rng.normal(size=(d, d))
    return root @ root.T + 0.1 * np.eye(d)


# frechet_distance


def test_frechet_distance_in_one_dimension_is_a_distance_of_means_and_of_deviations():
    assert metrics.frechet_distance([[0], [2]], [[1], [5], [9]]) == pytest.approx((1 - 5) ** 2 + (np.sqrt(2) - 4) ** 2)


def test_frechet_distance_of_covariances_that_commute(rng):
    a, b, shift = np.array([1.0, 4.0, 9.0]), np.array([16.0, 4.0, 1.0]), np.array([0.0, 3.0, 4.0])
    real, generated = sample(rng, 10, 0 * shift, np.diag(a)), sample(rng, 7, shift, np.diag(b))
    assert metrics.frechet_distance(real, generated) == pytest.approx(25 + 9 + 0 + 4, rel=1e-12)


@pytest.mark.parametrize(("d", "n", "m"), [(2, 5, 9), (5, 30, 20), (24, 60, 200)])
def test_frechet_distance_is_the_formula_with_scipys_matrix_root(rng, d, n, m):
    means, (first, second) = rng.normal(size=(2, d)), (covariance(rng, d) for _ in range(2))
    real, generated = sample(rng, n, means[0], first), sample(rng, m, means[1], second)
    root = scipy.linalg.sqrtm(first @ second)
    expected = np.sum((means[0] - means[1]) ** 2) + np.trace(first + second - 2 * root.real)
    assert metrics.frechet_distance(real, generated) == pytest.approx(expected, rel=1e-9)  # 1e-9: sqrtm


def test_frechet_distance_of_two_rows_each_by_hand(rng):
    # the covariance of two rows is u uᵀ/2 with their difference u, and tr (u uᵀ v vᵀ)^½ = |u·v|
    real, generated = rng.normal(size=(2, 2, 6))
    u, v, shift = real[0] - real[1], generated[0] - generated[1], real.mean(0) - generated.mean(0)
    expected = shift @ shift + u @ u / 2 + v @ v / 2 - abs(u @ v)
    assert metrics.frechet_distance(real, generated) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "m", "d"), [(4, 7, 12), (7, 4, 12), (30, 4, 12), (4, 30, 12), (30, 20, 1)])
def test_frechet_distance_without_full_rank(rng, n, m, d):
    real, generated = rng.normal(size=(n, d)), 2 * rng.normal(size=(m, d)) + 1
    real[:, 0] = 5.0
    a, b = ((x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (real, generated))
    # the eigenvalues of S_real S_generated are the squared singular values of a bᵀ
    overlap = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    expected = np.sum((real.mean(0) - generated.mean(0)) ** 2) + np.sum(a**2) + np.sum(b**2) - 2 * overlap
    assert metrics.frechet_distance(real, generated) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("n", "d"), [(50, 5), (10, 40), (2, 1), (300, 100)])
def test_frechet_distance_of_equal_samples_is_zero(rng, n, d):
    real = 100 * rng.normal(size=(n, d)) + 7
    real[:, d // 2] = real[:, 0]
    # squared rounding errors of 1e-16 relative; the roots of eigenvalues would leave 1e-8 of the variance, here 100
    assert 0 <= metrics.frechet_distance(real, real) < 1e-18 * np.sum(np.var(real, axis=0)) * d
    assert 0 <= metrics.frechet_distance(real, rng.permutation(real)) < 1e-12 * np.sum(np.var(real, axis=0)) * d


def test_frechet_distance_is_exact_when_it_is_tiny(rng):
    real = sample(rng, 40, np.zeros(3), covariance(rng, 3))
    expected = 1e-12 * np.sum(real**2) / 39
    assert metrics.frechet_distance(real, (1 + 1e-6) * real) == pytest.approx(expected, rel=1e-6)


@few
@given(table(6, 3), table(4, 3), st.floats(0.1, 10))
def test_frechet_distance_laws(real, generated, scale):
    found = metrics.frechet_distance(real, generated)
    rotation = scipy.stats.ortho_group(3, seed=0).rvs()
    # roundings of squares, of 1e4 at most
    moved = metrics.frechet_distance(scale * real @ rotation + 5, scale * generated @ rotation + 5)
    assert found >= 0
    assert moved == pytest.approx(scale**2 * found, rel=1e-9, abs=1e-9)
    assert metrics.frechet_distance(generated, real) == pytest.approx(found, rel=1e-9, abs=1e-9)
    assert metrics.frechet_distance(real[::-1], generated[::-1]) == pytest.approx(found, rel=1e-9, abs=1e-9)
    assert metrics.frechet_distance(real, real + np.array([3, 4, 0])) == pytest.approx(25, rel=1e-9)
    assert found >= np.sum((real.mean(0) - generated.mean(0)) ** 2)


# kernel_distance


def kernel_by_loops(real, generated):
    def mean(x, y, same):
        pairs = [(i, j) for i in range(len(x)) for j in range(len(y)) if not (same and i == j)]
        return sum((float(np.dot(x[i], y[j])) / x.shape[1] + 1) ** 3 for i, j in pairs) / len(pairs)

    return mean(real, real, True) + mean(generated, generated, True) - 2 * mean(real, generated, False)


@few
@given(table(5, 3), table(4, 3))
def test_kernel_distance_is_its_definition_pair_by_pair(real, generated):
    found = metrics.kernel_distance(real, generated)
    # kernel values are at most 101³, of which 1e-8 is 1e-14
    assert found == pytest.approx(kernel_by_loops(real, generated), abs=1e-8)
    assert metrics.kernel_distance(generated, real) == pytest.approx(found, abs=1e-8)
    assert metrics.kernel_distance(real[::-1], generated[::-1]) == pytest.approx(found, abs=1e-8)
    rotation = scipy.stats.ortho_group(3, seed=0).rvs()
    assert metrics.kernel_distance(real @ rotation, generated @ rotation) == pytest.approx(found, abs=1e-8)


@pytest.mark.parametrize("n", [2, 4])
def test_kernel_distance_over_all_splits_of_a_pool_is_zero_on_average(rng, n):
    """Every pair of different rows is as often within either part as across: unbiased, whatever the pool."""
    pool = 2 * rng.normal(size=(7, 3)) + 1
    parts = [list(part) for part in combinations(range(7), n)]
    found = [metrics.kernel_distance(pool[part], np.delete(pool, part, axis=0)) for part in parts]
    assert abs(np.mean(found)) < 1e-12 * np.max(np.abs(found))
    assert min(found) < 0 < max(found)


def test_kernel_distance_estimates_the_distance_of_the_moments(rng):
    # in one dimension k(x, y) = Σⱼ (3 over j) (x y)ʲ, so that the distance is Σⱼ (3 over j) (difference of E xʲ)²
    shift = 0.5
    differences = [0, shift, shift**2, shift**3 + 3 * shift]
    expected = sum(comb(3, j) * difference**2 for j, difference in enumerate(differences))
    found = [metrics.kernel_distance(rng.normal(size=(40, 1)), rng.normal(shift, size=(30, 1))) for _ in range(400)]
    assert abs(np.mean(found) - expected) < 4 * np.std(found) / np.sqrt(400)


def test_kernel_distance_sees_a_lost_mode_and_a_shift(rng):
    real, same = rng.normal(size=(2, 300, 4)) + 2 * rng.choice([-1, 1], size=(2, 300, 1))
    null = abs(metrics.kernel_distance(real, same))
    assert metrics.kernel_distance(real, same[same.mean(axis=1) > 0]) > 10 * null
    assert metrics.kernel_distance(real, same + 1) > 10 * null


def test_kernel_distance_leaves_out_the_pair_of_a_row_with_itself_before_it_sums(rng):
    far = np.array([1e5, 0.0])
    real, generated = rng.normal(size=(4, 2)) * [0, 1], rng.normal(size=(5, 2)) * [0, 1]
    real[0] += far  # its kernel with itself is 1e29, with the others below 100
    assert metrics.kernel_distance(real, generated) == pytest.approx(kernel_by_loops(real, generated), rel=1e-9)


def test_kernel_distance_over_several_blocks(rng):
    real, generated = rng.normal(size=(2500, 2)), rng.normal(0.3, size=(3000, 2))  # 9 million pairs, blocks of 4

    def within(x):
        kernel = (x @ x.T / 2 + 1) ** 3
        return (kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1))

    across = ((real @ generated.T / 2 + 1) ** 3).mean()
    expected = within(real) + within(generated) - 2 * across
    assert metrics.kernel_distance(real, generated) == pytest.approx(expected, abs=1e-10)


# manifold


def manifold_by_loops(real, generated, k):
    def radius(x, i):
        return sorted(np.linalg.norm(x[i] - x[j]) for j in range(len(x)) if j != i)[k - 1]

    n, m = len(real), len(generated)
    in_real = np.array([[np.linalg.norm(y - x) <= radius(real, i) for i, x in enumerate(real)] for y in generated])
    in_generated = np.array(
        [[np.linalg.norm(x - y) <= radius(generated, j) for j, y in enumerate(generated)] for x in real]
    )
    return (
        sum(any(in_real[j]) for j in range(m)) / m,
        sum(any(in_generated[i]) for i in range(n)) / n,
        sum(sum(in_real[j]) for j in range(m)) / (k * m),
        sum(any(in_real[:, i]) for i in range(n)) / n,
    )


@pytest.mark.parametrize("k", [1, 3, 6])
@pytest.mark.parametrize("scale", [0.3, 1.0, 2.0])
def test_manifold_is_its_definition_row_by_row(rng, k, scale):
    real, generated = rng.normal(size=(12, 2)), scale * rng.normal(size=(7, 2)) + 0.5
    assert metrics.manifold(real, generated, k=k) == pytest.approx(manifold_by_loops(real, generated, k), abs=1e-12)


@few
@given(table(7, 2, grid), table(5, 2, grid), st.integers(1, 4))
def test_manifold_with_ties(real, generated, k):
    found = metrics.manifold(real, generated, k=k)
    assert found == pytest.approx(manifold_by_loops(real, generated, k), abs=1e-12)
    assert metrics.manifold(real[::-1], generated[::-1], k=k) == pytest.approx(found)
    back = metrics.manifold(generated, real, k=k)
    assert (back.precision, back.recall) == pytest.approx((found.recall, found.precision))
    assert all(0 <= value <= 1 for value in (found.precision, found.recall, found.coverage))
    assert found.density >= found.precision / k
    # the balls of real grow with k, and those of generated
    more = metrics.manifold(real, generated, k=4)
    assert more.precision >= found.precision and more.recall >= found.recall and more.coverage >= found.coverage


@few
@given(table(9, 3, grid), st.floats(0.1, 10))
def test_manifold_of_rotated_moved_scaled_tables_is_the_same(real, scale):
    # off the lattice of ties, so that no rounding decides
    real = real + np.random.default_rng(1).normal(size=real.shape)
    generated = np.random.default_rng(2).normal(size=(6, 3))
    rotation = scipy.stats.ortho_group(3, seed=0).rvs()
    moved = metrics.manifold(scale * real @ rotation + 5, scale * generated @ rotation + 5, k=2)
    assert moved == pytest.approx(metrics.manifold(real, generated, k=2))


@pytest.mark.parametrize("k", [1, 2, 5])
def test_manifold_of_equal_tables(rng, k):
    real = rng.normal(size=(20, 3))
    # every ball holds its own row and k others, the k-th on its surface
    assert metrics.manifold(real, real, k=k) == pytest.approx((1, 1, (k + 1) / k, 1))


def test_manifold_of_equal_tables_of_few_values():
    real = np.repeat([[0.0], [1.0]], 4, axis=0)  # with k below 4 the radii are 0, and an open ball would be empty
    assert metrics.manifold(real, real, k=3) == pytest.approx((1, 1, 4 / 3, 1))


def test_manifold_of_disjoint_tables_is_zero(rng):
    real = rng.normal(size=(20, 3))
    assert metrics.manifold(real, real + 1e3) == (0, 0, 0, 0)


def test_manifold_by_hand_when_one_of_two_modes_is_lost(rng):
    modes = np.array([[0.0], [100.0]])
    real = (modes[:, None] + rng.normal(size=(2, 50, 1))).reshape(100, 1)
    kept = rng.normal(size=(100, 1))
    full = metrics.manifold(real, (modes[:, None] + rng.normal(size=(2, 50, 1))).reshape(100, 1))
    lost = metrics.manifold(real, kept)
    assert lost.precision > 0.9 and full.precision > 0.9
    assert full.recall > 0.9 and full.coverage > 0.9
    assert lost.recall <= 0.5 and lost.coverage <= 0.5


def test_manifold_when_a_mode_is_made_up(rng):
    real = rng.normal(size=(100, 1))
    invented = np.concatenate([rng.normal(size=(100, 1)), rng.normal(100, size=(100, 1))])
    found = metrics.manifold(real, invented)
    assert found.precision <= 0.5 and found.density < 0.7
    assert found.recall > 0.9 and found.coverage > 0.9


def test_one_row_far_out_deceives_precision_more_than_density(rng):
    """The example of Naeem et al.: its ball is large."""
    real, generated = rng.normal(size=(100, 4)), rng.normal(size=(100, 4)) + 3
    before = metrics.manifold(real, generated)
    after = metrics.manifold(np.concatenate([real, np.full((1, 4), 8.0)]), generated)
    assert before.precision < 0.3 and after.precision > 0.9
    assert after.density - before.density < 0.25
    assert after.coverage == pytest.approx(before.coverage, abs=0.02)


@pytest.mark.parametrize(("n", "m", "k"), [(4, 4, 1), (4, 4, 3), (3, 5, 2), (5, 3, 2)])
def test_density_and_coverage_over_all_splits_of_a_pool_have_the_expectations_of_naeem(rng, n, m, k):
    pool = rng.normal(size=(n + m, 2))
    parts = [list(part) for part in combinations(range(n + m), n)]
    found = [metrics.manifold(pool[part], np.delete(pool, part, axis=0), k=k) for part in parts]
    assert np.mean([each.density for each in found]) == pytest.approx(1)
    # not covered is a row whose k nearest of the n + m - 1 others are all of its own table
    alone = prod((n - j) / (n + m - j) for j in range(1, k + 1))
    assert np.mean([each.coverage for each in found]) == pytest.approx(1 - alone)


def test_manifold_over_several_blocks(rng):
    real, generated = rng.normal(size=(2500, 2)), rng.normal(1, size=(2300, 2))
    across = scipy.spatial.distance.cdist(real, generated)
    radii = [np.sort(scipy.spatial.distance.cdist(x, x), axis=1)[:, 5] for x in (real, generated)]
    held, holding = across <= radii[0][:, None], across <= radii[1]
    expected = held.any(0).mean(), holding.any(1).mean(), held.sum() / (5 * 2300), held.any(1).mean()
    assert metrics.manifold(real, generated) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("k", "error", "message"),
    [
        (0, ValueError, "k is 0; give an integer from 1 to 3"),
        (4, ValueError, "k is 4; give an integer from 1 to 3"),
        (2.0, TypeError, "k is 2.0 of type float; give an integer"),
        (True, TypeError, "k is True"),
    ],
)
def test_manifold_says_which_k_work(k, error, message):
    with pytest.raises(error, match=message):
        metrics.manifold(np.zeros((6, 1)), np.zeros((4, 1)), k=k)


# classifier_score


@pytest.mark.parametrize("classes", [1, 2, 10, 1000])
def test_classifier_score_is_one_of_a_classifier_that_cannot_tell_and_the_classes_of_one_that_can(classes):
    assert metrics.classifier_score(np.full((7, classes), 1 / classes)) == pytest.approx(1, rel=1e-12)
    assert metrics.classifier_score(np.tile(np.eye(classes), (3, 1))) == pytest.approx(classes, rel=1e-12)


def test_classifier_score_of_a_generator_that_lost_classes_counts_those_that_are_left():
    assert metrics.classifier_score(np.eye(10)[[2, 5, 7, 2, 5, 7]]) == pytest.approx(3)
    assert metrics.classifier_score(np.eye(10)[[4, 4, 4]]) == pytest.approx(1)
    assert metrics.classifier_score(np.eye(10)[:1]) == pytest.approx(1)


def test_classifier_score_is_a_difference_of_entropies(rng):
    table = rng.dirichlet(np.full(6, 0.5), size=40)
    information = scipy.stats.entropy(table.mean(0)) - scipy.stats.entropy(table, axis=1).mean()
    assert metrics.classifier_score(table) == pytest.approx(np.exp(information), rel=1e-12)


@few
@given(table(6, 4))
def test_classifier_score_laws(logits):
    table = scipy.special.softmax(logits, axis=1)
    found = metrics.classifier_score(table)
    assert 1 - 1e-12 <= found <= 4 + 1e-12
    assert metrics.classifier_score(table[::-1, ::-1]) == pytest.approx(found)
    assert metrics.classifier_score(np.repeat(table, 2, axis=0)) == pytest.approx(found)
    merged = np.stack([table[:, 0] + table[:, 1], table[:, 2] + table[:, 3]], axis=1)
    assert metrics.classifier_score(merged) <= found + 1e-12  # one who tells fewer classes apart knows less


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16])
def test_classifier_score_takes_a_softmax_of_the_device(rng, dtype):
    exact = scipy.special.softmax(5 * rng.normal(size=(50, 10)), axis=1)
    found = metrics.classifier_score(jnp.asarray(exact, dtype))
    assert found == pytest.approx(metrics.classifier_score(exact), rel=10 * float(jnp.finfo(dtype).eps))


@pytest.mark.parametrize(
    ("probabilities", "error", "message"),
    [
        ([0.5, 0.5], ValueError, r"probabilities has shape \(2,\); give a table \(n, classes\)"),
        (np.ones((1, 2, 2)), ValueError, r"probabilities has shape \(1, 2, 2\)"),
        ([[0.5, 0.5], [1.3, -0.3]], ValueError, r"holds -0.3, allowed is ≥ 0; give probabilities.*softmax\(logits"),
        ([[0.5, 0.5], [3.0, 1.0]], ValueError, r"Row 1 of probabilities has the sum 4.*softmax\(logits"),
        ([[50.0, 50.0]], ValueError, "Row 0 of probabilities has the sum 100, allowed is 1 to within 0.001"),
        ([[0.9], [0.8]], ValueError, r"Row 1 of probabilities has the sum 0.8.*np.stack\(\[1 - p, p\]"),
        ([[0.5, 0.498]], ValueError, "Row 0 of probabilities has the sum 0.998"),
        (np.zeros((0, 3)), ValueError, "probabilities is empty"),
        ([[np.nan, 1.0]], ValueError, "probabilities has 1 NaN"),
        ([["a", "b"]], TypeError, "give real numbers"),
    ],
)
def test_classifier_score_says_what_probabilities_are(probabilities, error, message):
    with pytest.raises(error, match=message):
        metrics.classifier_score(probabilities)


# what they give


@pytest.mark.parametrize("metric", [metrics.frechet_distance, metrics.kernel_distance])
def test_a_distance_is_a_python_float(metric, rng):
    real, generated = jnp.asarray(rng.normal(size=(2, 9, 2)), jnp.float32)
    assert type(metric(real, generated)) is float


def test_the_other_numbers_are_python_floats(rng):
    real, generated = rng.normal(size=(2, 9, 2))
    assert all(type(value) is float for value in metrics.manifold(real, generated))
    assert type(metrics.classifier_score(np.eye(3))) is float
