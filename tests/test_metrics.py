"""Evaluation: closed forms and independent libraries first, then laws, then what is refused."""

from itertools import product

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
import skimage.metrics
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxae import metrics

few = settings(max_examples=25, deadline=None, derandomize=True)
values = st.floats(-100, 100).map(lambda v: round(v, 3))  # no subnormal numbers, whose squares vanish; ties happen

LABELLED = [metrics.auroc, metrics.average_precision, metrics.detection_rate, metrics.false_positive_rate]
PAIRS = [
    metrics.mean_squared_error,
    metrics.pixel_errors,
    metrics.snr,
    metrics.psnr,
    metrics.ssim,
    metrics.explained_variance,
    *LABELLED,
]


def classify(real, generated):
    return metrics.classifier_two_sample(real, generated, seed=0)


FEATURES = [metrics.frechet_distance, metrics.kernel_distance, metrics.manifold]  # more in test_metrics_features
TABLES = [metrics.ks, metrics.correlation_distance, metrics.moments, classify, metrics.energy_distance, *FEATURES]


def table(rows, columns, values=values):
    return hnp.arrays(np.float64, (rows, columns), elements=values)


# signal


def test_mean_squared_error_is_the_mean_over_every_entry():
    assert metrics.mean_squared_error([[1, 2], [3, 4]], [[1, 0], [6, 4]]) == (0 + 4 + 9 + 0) / 4
    assert metrics.mean_squared_error(2, 5) == 9


def test_mean_squared_error_is_computed_in_float64():
    x = jnp.full(1000, 0.1, jnp.float32)
    exact = float(np.float64(np.float32(0.1))) ** 2
    assert metrics.mean_squared_error(x, jnp.zeros(1000)) == pytest.approx(exact, rel=1e-14)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.int32, jnp.uint8, jnp.bool_])
def test_jax_arrays_of_every_real_dtype_are_taken(dtype):
    found = metrics.mean_squared_error(jnp.array([1, 0, 1], dtype), jnp.array([0, 0, 0], dtype))
    assert found == 2 / 3
    assert type(found) is float


def test_unsigned_bytes_do_not_wrap_around():
    assert metrics.mean_squared_error(np.array([0], np.uint8), np.array([255], np.uint8)) == 255**2


def test_pixel_errors_are_the_mean_and_the_largest_over_every_entry():
    assert metrics.pixel_errors([[1, 2], [3, 4]], [[1, 0], [6, 4]]) == metrics.PixelErrors(mean=5 / 4, max=3)
    assert metrics.pixel_errors(np.array([0], np.uint8), np.array([255], np.uint8)) == (255, 255)
    assert [type(found) for found in metrics.pixel_errors(jnp.zeros(2), jnp.ones(2))] == [float, float]


@few
@given(table(4, 3), table(4, 3), st.floats(0.01, 100))
def test_pixel_errors_bracket_the_root_mean_square_and_carry_the_unit(x, y, scale):
    mean, largest = metrics.pixel_errors(x, y)
    root = np.sqrt(metrics.mean_squared_error(x, y))
    assert mean <= root * (1 + 1e-12) and root <= largest * (1 + 1e-12)
    assert metrics.pixel_errors(y, x) == (mean, largest)
    assert metrics.pixel_errors(scale * x, scale * y) == pytest.approx((scale * mean, scale * largest), abs=1e-9)
    assert metrics.pixel_errors(x, x) == (0, 0)


@pytest.mark.parametrize(
    ("example", "latent", "expected"),
    [
        ((224, 224, 3), 128, 1176),
        (784, 784, 1),
        ((28, 28), (7, 7, 2), 8),
        ([28, 28], np.int64(1568), 0.5),
        (np.zeros((5, 64)).shape[1:], jnp.zeros((5, 16)).shape[1:], 4),
        ((), (), 1),
    ],
)
def test_compression_ratio_by_hand(example, latent, expected):
    found = metrics.compression_ratio(example, latent)
    assert found == expected and type(found) is float


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    ("bad", "error"),
    [(0, ValueError), ((28, 0), ValueError), (-1, ValueError)]
    + [(bad, TypeError) for bad in (2.0, (28, 28.0), True, "784", None, np.zeros((5, 64)))],
)
def test_compression_ratio_says_what_a_size_is(place, bad, error):
    arguments = [784, 16]
    arguments[place] = bad
    with pytest.raises(
        error, match=rf"(?s){['example', 'latent'][place]} is .* whole number ≥ 1: give .*x\.shape\[1:\]"
    ):
        metrics.compression_ratio(*arguments)


def test_snr_and_psnr_by_hand():
    assert metrics.snr([3, 4], [3, 4.5]) == pytest.approx(20)  # 25 / 0.25
    assert metrics.psnr([0, 0], [0, 0.2]) == pytest.approx(10 * np.log10(50))  # 1 / 0.02
    assert metrics.psnr([0, 0], [0, 51], peak=255) == pytest.approx(10 * np.log10(50))


def test_snr_and_psnr_of_equal_arrays_are_infinite():
    assert metrics.snr([1.0], [1.0]) == np.inf
    assert metrics.psnr([1.0], [1.0]) == np.inf


@few
@given(table(4, 3), table(4, 3), st.floats(0.01, 100))
def test_psnr_is_symmetric_and_both_ratios_forget_the_unit(x, y, scale):
    x[0, 0], y[0, 0] = 1.0, 2.0
    assert metrics.psnr(x, y, peak=7) == metrics.psnr(y, x, peak=7)
    assert metrics.psnr(scale * x, scale * y, peak=7 * scale) == pytest.approx(metrics.psnr(x, y, peak=7), abs=1e-9)
    assert metrics.snr(scale * x, scale * y) == pytest.approx(metrics.snr(x, y), abs=1e-9)


def ssim_by_windows(x, y, peak, window):
    """One image with channels, one window after the other, straight from the definition."""
    h, w, channels = x.shape
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    found = []
    for i, j, c in product(range(h - window + 1), range(w - window + 1), range(channels)):
        a, b = (image[i : i + window, j : j + window, c].ravel() for image in (x, y))
        (var_a, cov), (_, var_b) = np.cov(a, b)
        luminance = (2 * a.mean() * b.mean() + c1) / (a.mean() ** 2 + b.mean() ** 2 + c1)
        found.append(luminance * (2 * cov + c2) / (var_a + var_b + c2))
    return np.mean(found)


@pytest.mark.parametrize(
    ("h", "w", "window", "peak"), [(7, 7, 7, 1.0), (9, 12, 7, 1.0), (8, 5, 3, 255.0), (6, 9, 5, 2)]
)
def test_ssim_is_its_definition_window_by_window(rng, h, w, window, peak):
    x = peak * rng.uniform(size=(3, h, w, 2))
    y = 0.7 * x + 0.3 * peak * rng.uniform(size=x.shape)
    found = metrics.ssim(x, y, peak=peak, window=window)
    expected = [ssim_by_windows(a, b, peak, window) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-10)  # the variance as a difference of means loses some digits
    grey = metrics.ssim(x[..., 0], y[..., 0], peak=peak, window=window)
    expected = [ssim_by_windows(a[..., :1], b[..., :1], peak, window) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(grey, expected, rtol=1e-10)


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
@pytest.mark.parametrize(
    ("h", "w", "window", "peak"), [(7, 7, 7, 1.0), (28, 28, 7, 2.0), (33, 17, 3, 255.0), (16, 21, 11, 1.0)]
)
def test_ssim_is_scikit_images(rng, channels, h, w, window, peak):
    x = peak * rng.uniform(size=(2, h, w, *channels))
    y = 0.7 * x + 0.3 * peak * rng.uniform(size=x.shape)
    axis = -1 if channels else None
    expected = [
        skimage.metrics.structural_similarity(a, b, win_size=window, data_range=peak, channel_axis=axis)
        for a, b in zip(x, y, strict=True)
    ]
    # both take variances as differences of means, in which the roundings of their sums show
    np.testing.assert_allclose(metrics.ssim(x, y, peak=peak, window=window), expected, rtol=1e-10)


def test_ssim_of_bytes_is_scikit_images(rng):
    x = rng.integers(0, 256, size=(2, 20, 15, 3), dtype=np.uint8)
    y = np.clip(x + rng.normal(0, 20, size=x.shape), 0, 255).astype(np.uint8)
    expected = [skimage.metrics.structural_similarity(a, b, channel_axis=-1) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(metrics.ssim(x, y, peak=255), expected, rtol=1e-10)


def test_ssim_of_flat_images_is_the_luminance_term():
    black, white = np.zeros((1, 8, 8)), np.ones((1, 8, 8))
    np.testing.assert_allclose(metrics.ssim(black, white), [1e-4 / (1 + 1e-4)], rtol=1e-12)


def test_ssim_laws(rng):
    x, y = rng.uniform(size=(2, 4, 10, 9))
    found = metrics.ssim(x, y)
    assert found.shape == (4,)
    np.testing.assert_allclose(metrics.ssim(x, x), 1, rtol=1e-12)
    np.testing.assert_allclose(metrics.ssim(y, x), found, rtol=1e-12)
    np.testing.assert_allclose(metrics.ssim(255 * x, 255 * y, peak=255), found, rtol=1e-10)
    np.testing.assert_allclose(metrics.ssim(x[:, ::-1], y[:, ::-1]), found, rtol=1e-10)
    np.testing.assert_allclose(metrics.ssim(x[2:3], y[2:3]), found[2:3], rtol=1e-12)
    assert np.all(np.abs(found) < 0.5)
    assert np.all(metrics.ssim(x, 0.9 * x + 0.1 * y) > found)
    assert np.all(metrics.ssim(x, 1 - x) < 0)


@pytest.mark.parametrize(
    ("shape", "window", "message"),
    [
        ((1, 7, 9), 9, "window is 9; give an odd integer from 3 to 7"),
        ((1, 8, 8), 9, "from 3 to 7"),
        ((1, 8, 8), 4, "window is 4; give an odd integer from 3 to 7"),
        ((1, 8, 8), 1, "from 3 to 7"),
        ((1, 2, 8), 3, "2 × 8; SSIM needs at least 3 × 3"),
        ((8, 8), 7, r"x has shape \(8, 8\).*x\[None\]"),
        ((1, 1, 8, 8, 1), 7, "give images"),
    ],
)
def test_ssim_says_which_windows_and_shapes_work(shape, window, message):
    with pytest.raises(ValueError, match=message):
        metrics.ssim(np.zeros(shape), np.zeros(shape), window=window)


@pytest.mark.parametrize("window", [7.0, "7", True, None])
def test_ssim_window_is_an_integer(window):
    with pytest.raises(TypeError, match=r"window is .* give an integer"):
        metrics.ssim(np.zeros((1, 8, 8)), np.zeros((1, 8, 8)), window=window)


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim])
@pytest.mark.parametrize("peak", [0, -1.0, [1.0], np.nan])
def test_peak_is_one_number_above_zero(metric, peak):
    with pytest.raises(ValueError, match="peak"):
        metric(np.zeros((1, 8, 8)), np.ones((1, 8, 8)), peak=peak)


@few
@given(table(6, 3), table(6, 3))
def test_explained_variance_is_the_variance_weighted_r2(x, reconstruction):
    x[:2] = [[0, 0, 0], [1, 2, 3]]
    expected = sklearn.metrics.r2_score(x, reconstruction, multioutput="variance_weighted")
    assert metrics.explained_variance(x, reconstruction) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_explained_variance_of_itself_of_its_means_and_of_images(rng):
    x = rng.normal(size=(50, 4, 3))
    assert metrics.explained_variance(x, x) == 1
    assert metrics.explained_variance(x, np.broadcast_to(x.mean(0), x.shape)) == pytest.approx(0, abs=1e-14)
    assert metrics.explained_variance(x, 0.5 * (x + x.mean(0))) == pytest.approx(0.75)
    assert metrics.explained_variance(x, -x) < 0


@pytest.mark.parametrize("x", [[[0.1], [0.1], [0.1]], [[1.0, 2.0]]])
def test_explained_variance_needs_rows_that_vary(x):
    with pytest.raises(ValueError, match=f"All {len(x)} rows of x are equal"):
        metrics.explained_variance(x, x)
    with pytest.raises(ValueError, match="give rows"):
        metrics.explained_variance(1.0, 1.0)


def test_snr_needs_a_signal():
    with pytest.raises(ValueError, match="clean is zero everywhere"):
        metrics.snr([0, 0], [1, 0])


# detection


def test_auroc_and_average_precision_by_hand():
    labels, scores = [0, 1, 0, 1, 1], [1, 1, 2, 3, 4]  # of 6 pairs 4 in order, 1 tied
    assert metrics.auroc(labels, scores) == pytest.approx(4.5 / 6)
    # thresholds 4, 3, 2, 1: precision 1, 1, 2/3, 3/5 where recall grows by 1/3, 1/3, 0, 1/3
    assert metrics.average_precision(labels, scores) == pytest.approx((1 + 1 + 3 / 5) / 3)


@few
@given(hnp.arrays(np.float64, 12, elements=st.integers(-5, 5).map(float)), st.integers(1, 11))
def test_auroc_is_the_share_of_pairs_in_order(scores, normal):
    labels = np.arange(12) >= normal
    difference = scores[labels][:, None] - scores[~labels]
    expected = np.mean((difference > 0) + 0.5 * (difference == 0))
    assert metrics.auroc(labels, scores) == pytest.approx(expected, abs=1e-12)
    assert metrics.auroc(labels, -scores) == pytest.approx(1 - expected, abs=1e-12)
    assert metrics.auroc(labels, scores**3 + scores) == metrics.auroc(labels, scores)
    assert metrics.average_precision(labels, scores**3 + scores) == metrics.average_precision(labels, scores)


def test_rates_by_hand():
    labels, alarms = [0, 0, 0, 0, 1, 1, 1], [True, False, False, False, True, True, False]
    assert metrics.detection_rate(labels, alarms) == 2 / 3
    assert metrics.false_positive_rate(labels, alarms) == 1 / 4


@few
@given(hnp.arrays(np.bool_, 10), hnp.arrays(np.bool_, 10))
def test_rates_are_recall_of_either_class(labels, alarms):
    labels[:2] = [False, True]
    assert metrics.detection_rate(labels, alarms) == pytest.approx(sklearn.metrics.recall_score(labels, alarms))
    false = sklearn.metrics.recall_score(labels, ~alarms, pos_label=0)
    assert metrics.false_positive_rate(labels, ~alarms) == pytest.approx(1 - false)
    assert metrics.false_positive_rate(~labels, alarms) == metrics.detection_rate(labels, alarms)


@pytest.mark.parametrize("metric", [metrics.auroc, metrics.average_precision])
@pytest.mark.parametrize("label", [0, 1])
def test_a_ranking_needs_both_classes(metric, label):
    with pytest.raises(ValueError, match=f"labels holds only {label}"):
        metric([label, label], [0.1, 0.2])


def test_a_rate_needs_its_own_class_only():
    with pytest.raises(ValueError, match="labels holds no 1"):
        metrics.detection_rate([0, 0], [0, 1])
    with pytest.raises(ValueError, match="labels holds no 0"):
        metrics.false_positive_rate([1, 1], [0, 1])
    assert metrics.detection_rate([1, 1], [0, 1]) == metrics.false_positive_rate([0, 0], [0, 1]) == 0.5


@pytest.mark.parametrize("metric", LABELLED)
@pytest.mark.parametrize("labels", [[-1, 1], [0, 2], [0.5, 1]])
def test_labels_are_zero_or_one(metric, labels):
    with pytest.raises(ValueError, match=r"labels holds .* allowed are 0"):
        metric(labels, [0, 1])


@pytest.mark.parametrize("metric", LABELLED)
def test_labels_are_a_vector(metric):
    with pytest.raises(ValueError, match=r"labels has shape \(2, 1\).*ravel"):
        metric([[0], [1]], [[0], [1]])


@pytest.mark.parametrize("metric", [metrics.detection_rate, metrics.false_positive_rate])
def test_alarms_are_no_scores(metric):
    with pytest.raises(ValueError, match=r"alarms holds 0.3.*alarms > threshold"):
        metric([0, 1], [0.3, 0.9])


# samples


def test_ks_by_hand():
    np.testing.assert_allclose(metrics.ks([[0, 0], [1, 0], [2, 0]], [[1, 5]]), [1 / 3, 1])


@few
@given(table(7, 2, st.integers(-4, 4).map(float)), table(5, 2, st.integers(-4, 4).map(float)))
def test_ks_is_scipys_and_forgets_monotone_maps_and_order(real, generated):
    found = metrics.ks(real, generated)
    expected = [scipy.stats.ks_2samp(x, y, method="asymp").statistic for x, y in zip(real.T, generated.T, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_array_equal(metrics.ks(generated, real), found)
    np.testing.assert_array_equal(metrics.ks(real[::-1], generated), found)
    np.testing.assert_array_equal(metrics.ks(np.exp(real), np.exp(generated)), found)
    np.testing.assert_array_equal(metrics.ks(real, real), 0)


def test_correlation_distance_by_hand(rng):
    up, down = [[0, 0], [1, 1], [2, 2]], [[0, 2], [1, 1], [2, 0]]
    assert metrics.correlation_distance(up, down) == pytest.approx(2)
    assert metrics.correlation_distance(up, [[0, 1], [1, 0], [2, 1]]) == pytest.approx(1)
    real, generated = rng.normal(size=(30, 3)), rng.normal(size=(20, 3)) @ [[1, 0.5, 0], [0, 1, 0], [0, 0, 1]]
    expected = max(
        abs(scipy.stats.pearsonr(real[:, i], real[:, j])[0] - scipy.stats.pearsonr(generated[:, i], generated[:, j])[0])
        for i, j in [(0, 1), (0, 2), (1, 2)]
    )
    assert metrics.correlation_distance(real, generated) == pytest.approx(expected)


def test_correlation_distance_forgets_scale_and_shift_but_not_sign(rng):
    real, generated = rng.normal(size=(2, 40, 3))
    generated[:, 1] += generated[:, 0]
    found = metrics.correlation_distance(real, generated)
    assert found == metrics.correlation_distance(generated, real)
    assert metrics.correlation_distance(real, generated * [1, 10, 100] + 5) == pytest.approx(found)
    assert metrics.correlation_distance(real, generated * [1, -1, 1]) != pytest.approx(found)
    assert metrics.correlation_distance(real, real) == 0


@pytest.mark.parametrize(("metric", "names"), [(metrics.correlation_distance, (0, 1)), (metrics.moments, (0,))])
@pytest.mark.parametrize("value", [0.0, 0.1])
def test_constant_columns_are_named(metric, names, value):
    varied = np.array([[0, 1, 5, 2], [1, 0, 3, 9], [2, 2, 4, 4.0]])
    constant = varied.copy()
    constant[:, [1, 3]] = value
    for place in names:
        arguments = [varied, varied]
        arguments[place] = constant
        with pytest.raises(ValueError, match=rf"{['real', 'generated'][place]} is constant in columns \[1, 3\]"):
            metric(*arguments)


def test_a_correlation_needs_two_columns():
    with pytest.raises(ValueError, match="one column"):
        metrics.correlation_distance([[0], [1]], [[0], [1]])


def test_moments_by_hand():
    real = [[0, 0], [2, 4]]  # std √2, 2√2; covariance [[2, 4], [4, 8]], of norm 10
    generated = [[1, 0], [1, 0]]  # covariance 0
    assert metrics.moments(real, generated) == pytest.approx({"mean": 2 / np.sqrt(8), "covariance": 1})
    assert metrics.moments([[0], [2]], [[3], [9]]) == pytest.approx({"mean": 5 / np.sqrt(2), "covariance": 8})


def test_moments_laws(rng):
    real = rng.normal(size=(30, 3)) * [1, 2, 3]
    assert metrics.moments(real, real) == {"mean": 0, "covariance": 0}
    assert metrics.moments(real, real[::-1]) == pytest.approx({"mean": 0, "covariance": 0}, abs=1e-14)
    shift = 2 * real.std(axis=0, ddof=1) * [0, -1, 0]
    assert metrics.moments(real, real + shift) == pytest.approx({"mean": 2, "covariance": 0}, abs=1e-12)
    centred = real - real.mean(0)
    assert metrics.moments(centred, 3 * centred) == pytest.approx({"mean": 0, "covariance": 8}, abs=1e-12)


def test_a_classifier_that_is_always_right(rng):
    real = rng.normal(size=(20, 3))
    accuracy, p_value = metrics.classifier_two_sample(real, real + 50, seed=0)
    assert accuracy == 1
    assert p_value == pytest.approx(0.5**40)


def test_a_classifier_that_can_only_guess(rng):
    real, generated = rng.normal(size=(2, 150, 2))
    accuracy, p_value = metrics.classifier_two_sample(real, generated, seed=0)
    assert abs(accuracy - 0.5) < 0.1  # 3.5 standard errors of 300 guesses
    right = round(300 * accuracy)
    assert p_value == pytest.approx(scipy.stats.binom.sf(right - 1, 300, 0.5))


def test_a_classifier_sees_what_the_marginals_hide(rng):
    real = rng.multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], size=150)
    generated = np.stack([rng.permutation(column) for column in real.T], axis=1)
    np.testing.assert_array_equal(metrics.ks(real, generated), 0)
    assert metrics.classifier_two_sample(real, generated, seed=0).p_value < 1e-3


def test_a_generator_that_copies_falls_below_guessing(rng):
    real = rng.normal(size=(100, 2))
    accuracy, p_value = metrics.classifier_two_sample(real, real, seed=0)
    assert accuracy < 0.4
    assert p_value > 0.99


def test_the_classifier_is_a_function_of_its_seed_and_of_equal_groups(rng):
    real, generated = rng.normal(size=(2, 40, 2))
    found = metrics.classifier_two_sample(real, generated, seed=0, folds=4)
    assert metrics.classifier_two_sample(real, generated, seed=np.int64(0), folds=4) == found
    assert any(metrics.classifier_two_sample(real, generated, seed=seed, folds=4) != found for seed in (1, 2, 3))
    more = np.concatenate([generated, np.full((60, 2), 1e3)])
    assert metrics.classifier_two_sample(real, more, seed=0, folds=4) == found


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seed": -1}, ValueError, "seed is -1; give an integer from 0 to 4294967295"),
        ({"seed": 2**32}, ValueError, "seed is 4294967296"),
        ({"seed": None}, TypeError, "seed is None"),
        ({"seed": 0, "folds": 1}, ValueError, "folds is 1; give an integer from 2 to 6"),
        ({"seed": 0, "folds": 7}, ValueError, "folds is 7; give an integer from 2 to 6"),
        ({"seed": 0, "folds": 2.0}, TypeError, "folds is 2.0"),
    ],
)
def test_the_classifier_says_which_seeds_and_folds_work(arguments, error, message):
    with pytest.raises(error, match=message):
        metrics.classifier_two_sample(np.zeros((6, 1)), np.zeros((8, 1)), **arguments)


def test_energy_distance_by_hand():
    # means over pairs: 2 · (5 + 0)/2 - 0 - (0 + 5 + 5 + 0)/4
    assert metrics.energy_distance([[0, 0]], [[3, 4], [0, 0]]) == pytest.approx(2.5)


@few
@given(table(6, 1), table(4, 1))
def test_energy_distance_in_one_dimension_is_scipys_squared(real, generated):
    expected = scipy.stats.energy_distance(real[:, 0], generated[:, 0]) ** 2
    # the means are of size 200, their difference is exact to some roundings of that
    assert metrics.energy_distance(real, generated) == pytest.approx(expected, abs=1e-11)


@few
@given(table(6, 3), table(4, 3), st.floats(0.1, 10))
def test_energy_distance_laws(real, generated, scale):
    found = metrics.energy_distance(real, generated)
    rotation = scipy.stats.ortho_group(3, seed=0).rvs()
    moved = metrics.energy_distance(scale * real @ rotation + 5, scale * generated @ rotation + 5)
    assert found >= -1e-11
    assert metrics.energy_distance(generated, real) == pytest.approx(found, abs=1e-11)
    assert moved == pytest.approx(scale * found, abs=1e-9)
    assert metrics.energy_distance(real, np.repeat(generated, 2, axis=0)) == pytest.approx(found, abs=1e-11)
    assert metrics.energy_distance(real, real) == 0


def test_energy_distance_over_several_blocks(rng):
    real, generated = rng.normal(size=(2500, 2)), rng.normal(0.3, size=(3000, 2))  # 7.5 million pairs, blocks of 4
    pairs = [scipy.spatial.distance.cdist(x, y).mean() for x, y in [(real, generated), (real, real)]]
    within = scipy.spatial.distance.pdist(generated).sum() * 2 / 3000**2
    assert metrics.energy_distance(real, generated) == pytest.approx(2 * pairs[0] - pairs[1] - within, abs=1e-11)


# what every one of them refuses


@pytest.mark.parametrize("metric", PAIRS)
def test_shapes_agree(metric):
    with pytest.raises(ValueError, match=r"shapes differ: .* \(3,\), .* \(1,\)"):
        metric([0, 1, 1], [1])


@pytest.mark.parametrize("metric", TABLES)
def test_tables_are_tables_of_the_same_columns(metric):
    good = np.arange(20.0).reshape(10, 2)
    with pytest.raises(ValueError, match="real has 2 columns, generated has 1"):
        metric(good, good[:, :1])
    with pytest.raises(ValueError, match=r"real has shape \(10,\).*reshape\(-1, 1\)"):
        metric(good[:, 0], good)
    with pytest.raises(ValueError, match=r"generated has shape \(1, 10, 2\).*for images"):
        metric(good, good[None])


@pytest.mark.parametrize("metric", [metrics.correlation_distance, metrics.moments, classify, *FEATURES])
def test_one_row_has_no_spread(metric):
    with pytest.raises(ValueError, match="generated has 1 rows; give at least 2"):
        metric(np.eye(5), np.ones((1, 5)))


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("metric", PAIRS + TABLES)
def test_nothing_empty_or_infinite_or_not_real(metric, place):
    good = np.arange(20.0).reshape(10, 2) if metric in TABLES else np.array([0.0, 1.0])
    for bad, error, message in [
        (np.zeros((0, *good.shape[1:])), ValueError, r"is empty, shape \(0"),
        (np.where(good == 1, np.nan, good), ValueError, "has 1 NaN or infinite values of"),
        (np.where(good == 1, -np.inf, good), ValueError, "has 1 NaN or infinite values of"),
        (good + 1j, TypeError, "dtype complex128; give real numbers"),
        (good.astype(str), TypeError, "give real numbers"),
        (good.astype(object), TypeError, "dtype object"),
        (good.astype("timedelta64[s]"), TypeError, "give real numbers"),
    ]:
        arguments = [good, good]
        arguments[place] = bad
        with pytest.raises(error, match=message):
            metric(*arguments)


@pytest.mark.parametrize("metric", PAIRS + TABLES)
def test_arguments_are_left_as_they_were(metric, rng):
    x = rng.uniform(size=(1, 8, 8)) if metric is metrics.ssim else rng.normal(size=(12, 2))
    x = np.array([0.0, 1.0, 1.0]) if metric in LABELLED else x
    first, second = x.copy(), x[::-1].copy()
    kept = first.copy(), second.copy()
    metric(first, second)
    np.testing.assert_array_equal(first, kept[0])
    np.testing.assert_array_equal(second, kept[1])


class TestFilters:
    def test_wiener_is_the_conditional_mean_of_a_normal(self):
        rng = np.random.default_rng(0)
        mixing, noise = rng.normal(size=(3, 3)), 0.7
        clean = rng.normal(size=(200_000, 3)) @ mixing + [1.0, -2.0, 0.5]
        found = metrics.wiener(clean, noise)
        covariance = mixing.T @ mixing
        exact = np.linalg.inv(covariance + noise**2 * np.eye(3)) @ covariance
        # Sampling error of a covariance over 200,000 rows.
        np.testing.assert_allclose(found.weights, exact, atol=0.01)
        np.testing.assert_allclose(found(clean.mean(0)[None])[0], clean.mean(0), atol=1e-9)

    def test_no_linear_filter_is_better(self):
        rng = np.random.default_rng(1)
        clean = rng.normal(size=(50_000, 2)) @ rng.normal(size=(2, 4))
        noisy = clean + 0.5 * rng.normal(size=clean.shape)
        best, fitted = metrics.wiener(clean, 0.5), metrics.linear_filter(clean, noisy)
        np.testing.assert_allclose(fitted.weights, best.weights, atol=0.02)
        error = np.mean((best(noisy) - clean) ** 2)
        for _ in range(5):
            other = metrics.LinearFilter(best.weights + 0.05 * rng.normal(size=(4, 4)), best.offset)
            assert np.mean((other(noisy) - clean) ** 2) > error

    def test_least_squares_against_scikit_learn(self):
        from sklearn.linear_model import LinearRegression

        rng = np.random.default_rng(2)
        clean, noisy = rng.normal(size=(40, 3)), rng.normal(size=(40, 3))
        expected = LinearRegression().fit(noisy, clean).predict(noisy)
        np.testing.assert_allclose(metrics.linear_filter(clean, noisy)(noisy), expected, atol=1e-10)

    def test_refusals(self):
        with pytest.raises(ValueError, match=r"scale is 0\.0"):
            metrics.wiener([[1.0], [2.0]], 0.0)
        with pytest.raises(ValueError, match="n at least 2"):
            metrics.wiener([[1.0]], 1.0)
        with pytest.raises(ValueError, match=r"n above d \+ 1"):
            metrics.linear_filter([[1.0], [2.0]], [[1.0], [2.0]])


class TestProbes:
    def test_probe_of_separable_and_of_meaningless_features(self):
        rng = np.random.default_rng(0)
        labels = np.repeat(["a", "b", "c"], 60)
        good = np.eye(3)[np.repeat([0, 1, 2], 60)] + 0.05 * rng.normal(size=(180, 3))
        assert metrics.linear_probe(good, labels, good, labels) == 1.0
        noise = rng.normal(size=(180, 3))
        other = rng.normal(size=(3000, 3))
        chance = metrics.linear_probe(noise, labels, other, rng.choice(["a", "b", "c"], 3000))
        assert abs(chance - 1 / 3) < 0.04

    def test_probe_does_not_mind_the_units_of_its_features(self):
        rng = np.random.default_rng(1)
        labels = rng.integers(0, 2, 100)
        x = rng.normal(size=(100, 2)) + labels[:, None]
        first = metrics.linear_probe(x[:50], labels[:50], x[50:], labels[50:])
        assert first == metrics.linear_probe(1e4 * x[:50], labels[:50], 1e4 * x[50:], labels[50:])

    def test_probe_refusals(self):
        with pytest.raises(ValueError, match="one group"):
            metrics.linear_probe([[0.0], [1.0]], [0, 0], [[0.0]], [0])
        with pytest.raises(ValueError, match="1 features, test 2"):
            metrics.linear_probe([[0.0], [1.0]], [0, 1], [[0.0, 1.0]], [0])
        with pytest.raises(ValueError, match="one label for each row"):
            metrics.linear_probe([[0.0], [1.0]], [0], [[0.0]], [0])

    def test_matched_cosine_finds_a_permutation_of_any_signs_and_lengths(self):
        rng = np.random.default_rng(2)
        true = rng.normal(size=(4, 6))
        order = rng.permutation(5)
        found = np.vstack([true, rng.normal(size=(1, 6))])[order] * rng.uniform(-3, 3, size=(5, 1))
        mean, place = metrics.matched_cosine(found, true)
        assert mean == pytest.approx(1.0)
        np.testing.assert_array_equal(order[place], np.arange(4))

    def test_matched_cosine_uses_each_direction_once(self):
        mean, place = metrics.matched_cosine([[1.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [1.0, 1.0]])
        assert sorted(place) == [0, 1] and mean == pytest.approx(0.5)

    def test_matched_cosine_refusals(self):
        with pytest.raises(ValueError, match="at least as many found"):
            metrics.matched_cosine([[1.0]], [[1.0], [2.0]])
        with pytest.raises(ValueError, match="true direction 1 is zero"):
            metrics.matched_cosine(np.eye(2), [[1.0, 0.0], [0.0, 0.0]])


def test_a_filter_takes_rows_of_its_own_columns():
    found = metrics.wiener([[1.0, 0.0], [-1.0, 2.0]], scale=1.0)
    for noisy in ([[1.0]], [1.0, 2.0], [[1.0, 2.0, 3.0]]):
        with pytest.raises(ValueError, match=r"noisy has shape .*; give a table \(n, 2\)"):
            found(noisy)


@pytest.mark.parametrize(("iterations", "error"), [(0, ValueError), (2.5, TypeError), ("9", TypeError)])
def test_a_probe_takes_a_number_of_iterations(iterations, error):
    with pytest.raises(error, match="iterations is"):
        metrics.linear_probe([[0.0], [1.0]], [0, 1], [[0.0]], [0], iterations=iterations)
