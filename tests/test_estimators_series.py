"""Detectors of a series' strange points: by windows, in events, and one point after another."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from jaxae.estimators import AutoencoderDetector, SeriesDetector

SHORT = AutoencoderDetector(steps=100, members=2, widths=(16, 16))


def series(seed, t=1200, variables=2):
    rng = np.random.default_rng(seed)
    at = np.arange(t)[:, None] + rng.uniform(0, 60)
    return np.sin(at / 8 + np.arange(variables)) * [1.0, 50.0][:variables] + 0.05 * rng.normal(size=(t, variables))


@pytest.fixture(scope="module", params=["last", "least", "mean"])
def fitted(request):
    return SeriesDetector(SHORT, length=16, combine=request.param).fit(series(0))


def broken():
    found = series(1, 400)
    found[200:215, 1] = found[200, 1]
    return found


def test_an_event_is_found_and_its_variable_named(fitted):
    x = broken()
    events = fitted.events(x)
    assert any(start < 215 + 16 and stop > 200 for start, stop in events)
    # A series with all that it has been trained on raises few alarms.
    assert (fitted.predict(series(2)) == -1).mean() < 0.05
    strange = fitted.score_samples(x).argmin()
    assert 190 <= strange < 231
    assert fitted.contributions(x)[strange].argmax() == 1 or fitted.combine == "mean"


def test_contributions_add_up_to_the_score(fitted):
    x = broken()
    found = fitted.contributions(x)
    assert found.shape == x.shape
    np.testing.assert_allclose(found.sum(1), -fitted.score_samples(x), rtol=1e-6)


def test_a_stream_gives_the_answers_of_the_batch(fitted):
    x = broken()[190:260]
    stream = fitted.stream()
    parts = [stream.push(point) for point in x]
    counts = np.array([len(part) for part in parts])
    assert not counts[:15].any() and counts[15] == (16 if fitted.combine == "last" else 1) and (counts[16:] == 1).all()
    found = np.concatenate([*parts, stream.close()])
    assert len(stream.push(np.zeros(parts and stream.detector.n_features_in_))) == 0  # another series begins
    np.testing.assert_allclose(found, -fitted.score_samples(x), rtol=1e-4)


def test_least_is_the_windows_that_explains_best():
    detector = SeriesDetector(SHORT, length=16, combine="least").fit(series(0))
    x = broken()
    mean = clone(detector).set_params(combine="mean").fit(series(0))
    assert (detector.score_samples(x) >= mean.score_samples(x) - 1e-9).all()


def test_alarms_on_new_normal_series_are_as_often_as_asked():
    found = [
        (SeriesDetector(SHORT, length=8, rate=0.05).fit(series(seed)).predict(series(100 + seed)) == -1).mean()
        for seed in range(6)
    ]
    assert 0.02 < np.mean(found) < 0.1


def test_any_detector_of_rows_will_do():
    detector = SeriesDetector(IsolationForest(random_state=0), length=16).fit(series(0))
    scores = detector.score_samples(broken())
    assert scores.shape == (400,) and np.isfinite(scores).all()
    with pytest.raises(AttributeError, match="IsolationForest does not say"):
        detector.contributions(broken())
    found = detector.stream()
    streamed = np.concatenate([*(found.push(point) for point in broken()[:40]), found.close()])
    np.testing.assert_allclose(streamed, -detector.score_samples(broken()[:40]))


def test_strides_and_thresholds():
    detector = SeriesDetector(SHORT, length=16, stride=5).fit(series(0))
    assert detector.score_samples(series(1, 43)).shape == (43,)
    with pytest.raises(ValueError, match="stride is 5, but a stream"):
        detector.stream()
    moved = series(3) + 100
    assert (detector.predict(moved) == -1).all()
    detector.recalibrate(moved, rate=0.1)
    assert (detector.predict(moved) == -1).mean() <= 0.1
    np.testing.assert_array_equal(detector.p_values(moved) <= 0.1, detector.predict(moved) == -1)
    assert detector.set_threshold(1e9).events(moved).shape == (0, 2)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"length": 1}, "length is 1"),
        ({"length": 400}, r"the series has 1200 points \(n_samples = 1200\), but must have at least 1600, 4 windows"),
        ({"stride": 17}, "stride is 17"),
        ({"stride": 2, "combine": "last"}, "stride is 2, but must be 1 for combine"),
        ({"combine": "most"}, "combine is 'most'"),
        ({"gap": -1}, "gap is -1"),
        ({"rate": 1.5}, "rate is 1.5"),
    ],
)
def test_what_is_refused(parameters, said):
    with pytest.raises(ValueError, match=said):
        SeriesDetector(**({"detector": SHORT, "length": 16} | parameters)).fit(series(0))


def test_a_series_too_short_for_its_rate():
    with pytest.warns(
        UserWarning, match=r"300 held-out rows cannot hold a false alarm rate of 0.001.*at least 3996 rows"
    ):
        detector = SeriesDetector(SHORT, length=16, rate=0.001).fit(series(0))
    assert detector.threshold_ == detector.calibration_scores_.max()


# Points depend on those around them, and a single point is no window.
OF_ROWS = {"check_methods_sample_order_invariance", "check_methods_subset_invariance"}


@parametrize_with_checks([SeriesDetector(AutoencoderDetector(steps=20, members=2, widths=(8, 8)), length=2, rate=0.3)])
@pytest.mark.filterwarnings("ignore:.*held-out rows cannot hold")
def test_the_checks_of_scikit_learn_that_are_not_about_single_rows(estimator, check):
    if check.func.__name__ not in OF_ROWS:
        check(estimator)


def test_series_that_are_refused(fitted):
    with pytest.raises(ValueError, match=r"the series has 15 points \(n_samples = 15\), but a window has 16"):
        fitted.predict(series(0, 15))
    with pytest.raises(ValueError, match="NaN"):
        fitted.predict(np.full((30, 2), np.nan))
    with pytest.raises(NotFittedError):
        SeriesDetector().stream()
    for point in ([1.0], [np.nan, 1.0], [1.0, 2.0, 3.0]):
        with pytest.raises(ValueError, match=r"a point must be \(2,\) finite numbers"):
            fitted.stream().push(point)


def test_what_scores_no_rows_is_no_detector():
    with pytest.raises(TypeError, match=r"detector is StandardScaler\(\), but must have score_samples"):
        SeriesDetector(StandardScaler(), length=8).fit(series(0))
