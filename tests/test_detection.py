"""jaxae.detection: the threshold by counting, then its laws, then what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxae.detection import Detector, calibrate, conformal_threshold, cross_p_values, p_values, tail_threshold


def itself(x):
    return x


def test_the_threshold_by_hand():
    scores = jnp.array([5.0, 1.0, 4.0, 2.0, 3.0])
    # ⌈0.8 · 4⌉ = 4: the fifth of five; ⌈0.5 · 4⌉ = 2: the third.
    assert calibrate(itself, scores, 0.8).threshold == 5
    assert calibrate(itself, scores, 0.5).threshold == 3
    assert calibrate(itself, scores, 0.51).threshold == 4


def test_an_alarm_is_a_score_above_the_threshold():
    detector = Detector(lambda x: 2 * x, jnp.float32(3))
    assert detector(jnp.array([1.0, 1.5, 1.6, jnp.inf, -jnp.inf])).tolist() == [False, False, True, True, False]
    assert detector(jnp.array([1.0, 1.5, 1.6])).dtype == bool


def test_a_score_that_is_no_number_is_an_alarm():
    # NaN > threshold is False: a broken sensor passed for normal.
    assert Detector(itself, jnp.float32(3))(jnp.array([jnp.nan, 1.0])).tolist() == [True, False]


@pytest.mark.parametrize("quantile", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_at_most_the_promised_share_of_the_reference_alarms(quantile, rng):
    for n in (20, 100, 101, 1234):
        if n < round(1 / (1 - quantile)):
            continue
        scores = jnp.float32(rng.permutation(n))
        detector = calibrate(itself, scores, quantile)
        above = int(detector(scores).sum())
        assert above <= (1 - quantile) * n + 1e-9
        # And no more is given away than the one example that the threshold is.
        assert above + 1 >= (1 - quantile) * (n - 1) - 1e-9
        assert float(detector.threshold) in set(scores.tolist())


def test_new_examples_alarm_about_as_often_as_promised(rng):
    draws = rng.normal(size=(2, 50_000))
    alarms = calibrate(itself, jnp.float32(draws[0]), 0.95)(jnp.float32(draws[1])).mean()
    # Threshold and count both vary, each by the binomial's standard deviation.
    assert abs(alarms - 0.05) < 5 * np.sqrt(2 * 0.05 * 0.95 / 50_000)


def test_ties_do_not_alarm():
    assert not calibrate(itself, jnp.ones(40), 0.9)(jnp.ones(40)).any()


def test_a_detector_runs_compiled():
    detector = calibrate(itself, jnp.arange(100.0), 0.95)
    assert jax.jit(lambda x: detector(x))(jnp.array([10.0, 99.0])).tolist() == [False, True]


@pytest.mark.parametrize("quantile, n", [(0.5, 2), (0.8, 5), (0.9, 10), (0.95, 20), (0.99, 100), (0.999, 1000)])
def test_the_fewest_examples_that_place_a_quantile(quantile, n):
    # 1/(1 − 0.9) is 10.000000000000002 in floating point: 10 rows were refused with "give at least 10".
    calibrate(itself, jnp.arange(float(n)), quantile)
    with pytest.raises(ValueError, match=f"{n - 1} reference examples .* give at least {n}"):
        calibrate(itself, jnp.arange(float(n - 1)), quantile)


def test_the_fewest_examples_are_rounded_up():
    with pytest.raises(ValueError, match=r"6 reference examples .* give at least 7"):
        calibrate(itself, jnp.arange(6.0), 0.85)


@pytest.mark.parametrize("quantile", [0, 1, -0.5, 1.5, float("nan")])
def test_a_quantile_that_is_no_fraction_is_refused(quantile):
    with pytest.raises(ValueError, match=r"quantile is .*between 0 and 1"):
        calibrate(itself, jnp.arange(100.0), quantile)


def test_a_percentile_is_answered_with_the_quantile():
    with pytest.raises(ValueError, match=r"write 0\.95 for 95 %"):
        calibrate(itself, jnp.arange(100.0), 95)


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, -jnp.inf])
def test_scores_that_are_not_finite_are_refused(value):
    with pytest.raises(ValueError, match="2 of 100 reference scores are not finite"):
        calibrate(itself, jnp.arange(100.0).at[jnp.array([3, 50])].set(value))


@pytest.mark.parametrize("shape", [(100, 1), (100, 3), ()])
def test_scores_that_are_not_one_per_example_are_refused(shape):
    with pytest.raises(ValueError, match=r"one number per example, \(n,\)"):
        calibrate(lambda x: jnp.ones(shape), jnp.ones(100))


def test_conformal_threshold_by_hand():
    scores = [5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 7.0, 6.0, 8.0]
    # ⌈10 · 0.8⌉ = 8th of nine; ⌈10 · 0.75⌉ = 8th too, the next whole rank; ⌈10 · 0.9⌉ = 9th.
    assert [conformal_threshold(scores, rate) for rate in (0.2, 0.25, 0.1)] == [8, 8, 9]
    # However near to 1 the rate is, the least score is the lowest threshold that there is.
    assert [conformal_threshold(scores, rate) for rate in (0.95, 0.999, 1 - 1e-12)] == [1, 1, 1]


def test_too_few_reference_scores_for_a_rate():
    with pytest.raises(
        ValueError, match=r"9 reference scores cannot hold a false alarm rate of 0.05: give at least 19"
    ):
        conformal_threshold(np.arange(9.0), 0.05)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 5.0])
def test_impossible_rates(rate):
    with pytest.raises(ValueError, match="rate is"):
        conformal_threshold(np.arange(99.0), rate)


def test_p_values_by_counting(rng):
    reference, scores = rng.integers(0, 9, 50).astype(float), rng.integers(-1, 11, 30).astype(float)
    expected = [(1 + sum(r >= s for r in reference)) / 51 for s in scores]
    np.testing.assert_allclose(p_values(scores, reference), expected)


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.33])
def test_an_alarm_is_a_small_p_value(rng, rate):
    reference, scores = rng.normal(size=99), rng.normal(size=500)
    alarms = scores > conformal_threshold(reference, rate)
    np.testing.assert_array_equal(alarms, p_values(scores, reference) <= rate + 1e-12)


def test_false_alarms_are_as_many_as_asked_for(rng):
    # Over reference and example together: 3,000 independent draws of both, a standard error of .004.
    rate = 0.05
    alarms = [rng.normal() > conformal_threshold(rng.normal(size=39), rate) for _ in range(3000)]
    assert abs(np.mean(alarms) - rate) < 0.016


@pytest.mark.parametrize("bad", [[], [[1.0]], [np.nan, 1.0]])
def test_references_that_are_no_scores(bad):
    with pytest.raises(ValueError, match="reference"):
        p_values([1.0], bad)


def test_a_detector_needs_a_function():
    with pytest.raises(TypeError, match="score is None, but must be a function"):
        calibrate(None, jnp.ones(30))


def test_one_number_is_no_reference():
    with pytest.raises(ValueError, match="reference is a single number"):
        calibrate(lambda x: x.sum(-1), jnp.ones(()))
    assert calibrate(lambda x: np.asarray(x), list(range(100))).threshold == 95


def test_scores_may_be_numpys():
    assert calibrate(lambda x: np.asarray(x), np.arange(100.0)).threshold == 95


@pytest.mark.parametrize(
    ("draw", "quantile"),
    [
        (lambda rng, n: rng.exponential(3, n), lambda rate: -3 * np.log(rate)),
        (lambda rng, n: rng.uniform(2, 4, n), lambda rate: 4 - 2 * rate),
        (lambda rng, n: rng.pareto(4, n), lambda rate: rate ** (-1 / 4) - 1),
    ],
    ids=["exponential", "bounded", "heavy"],
)
@pytest.mark.parametrize("rate", [1e-2, 1e-4])
def test_the_tail_is_that_of_the_distribution(draw, quantile, rate, rng):
    # 10,000 scores cannot place one of 10,000 by counting.
    found = [tail_threshold(draw(rng, 10_000), rate) for _ in range(10)]
    assert abs(np.mean(found) / quantile(rate) - 1) < (0.03 if rate == 1e-2 else 0.15)


def test_the_tail_moves_with_the_scores(rng):
    scores = rng.normal(size=2000)
    found = tail_threshold(scores, 1e-3)
    np.testing.assert_allclose(tail_threshold(1e6 * scores + 5, 1e-3), 1e6 * found + 5, rtol=1e-4)
    assert tail_threshold(scores, 1e-4) > found > tail_threshold(scores, 1e-2)
    # Where both can be placed they agree.
    np.testing.assert_allclose(found, conformal_threshold(scores, 1e-3), atol=0.5)


@pytest.mark.parametrize(
    ("scores", "how", "said"),
    [
        (np.arange(100.0), {"rate": 0.01}, "10 of 100 reference scores exceed their quantile 0.9.*at least 20"),
        (np.ones(1000), {"rate": 0.01}, "0 of 1000 reference scores exceed"),
        (np.arange(1000.0), {"rate": 0.2}, "rate is 0.2, but must be below tail, 0.1"),
        (np.arange(1000.0), {"rate": 0.01, "tail": 1.0}, "tail is 1"),
        ([np.nan] * 1000, {"rate": 0.01}, "1000 of 1000 reference scores are not finite"),
    ],
)
def test_tails_that_are_refused(scores, how, said):
    with pytest.raises(ValueError, match=said):
        tail_threshold(scores, **how)


def test_cross_p_values_by_hand():
    found = cross_p_values([[1.5, 0.0], [3.0, 9.0]], [[1.0, 2.0, 3.0], [3.0]])
    # Of the first: 2 of three are at least 1.5, and 1 of one at least 3; of the second all three, and none.
    np.testing.assert_array_equal(found, [4 / 5, 4 / 5])
    alone = cross_p_values([[2.5]], [[1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(alone, p_values([2.5], [1.0, 2.0, 3.0]))


def test_cross_p_values_are_at_most_twice_as_often_small():
    """Models are means: each fold is scored by the distance from the mean of the others."""
    rng = np.random.default_rng(0)
    small = []
    for _ in range(2000):
        x, new = rng.normal(size=20), rng.normal()
        folds = np.arange(20) % 4
        centres = [x[folds != k].mean() for k in range(4)]
        references = [np.abs(x[folds == k] - centres[k]) for k in range(4)]
        scores = [[abs(new - centre)] for centre in centres]
        small.append(cross_p_values(scores, references)[0] <= 0.1)
    assert 0.05 < np.mean(small) < 0.13


@pytest.mark.parametrize(
    ("scores", "references", "said"),
    [
        ([1.0, 2.0], [[1.0], [2.0]], r"scores must be \(k, n\) finite numbers"),
        ([[1.0]], [[1.0], [2.0]], "one row for each of the 2 references"),
        ([[np.nan]], [[1.0]], "finite"),
        ([[1.0]], [[]], "reference must be"),
    ],
)
def test_cross_p_values_that_are_refused(scores, references, said):
    with pytest.raises(ValueError, match=said):
        cross_p_values(scores, references)
