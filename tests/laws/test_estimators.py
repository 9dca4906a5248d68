"""What every detector keeps, whatever rows it is given."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone

from jaxae.detection import conformal_threshold
from jaxae.estimators import (
    AutoencoderDetector,
    ConvolutionalDetector,
    DeepSVDD,
    SparseDetector,
    VariationalDetector,
    load,
    save,
)

GIVEN = {"steps": 20, "members": 2}
DETECTORS = [
    AutoencoderDetector(widths=(8,), **GIVEN),
    AutoencoderDetector(widths=(8,), steps=20, members=4, contamination="cross"),
    VariationalDetector(widths=(8,), latent=2, draws=2, **GIVEN),
    VariationalDetector(widths=(8,), latent=2, draws=2, criterion="elbo", **GIVEN),
    SparseDetector(units=8, **GIVEN),
    DeepSVDD(widths=(8, 4), **GIVEN),
    ConvolutionalDetector(channels=(4,), latent=2, **GIVEN),
]
ROWS = arrays(np.float64, st.tuples(st.integers(1, 12), st.just(5)), elements=st.floats(-1e12, 1e12))


@pytest.fixture(params=range(len(DETECTORS)), ids=lambda i: f"{type(DETECTORS[i]).__name__}{i}", scope="module")
def fitted(request):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5)) + [0, 10, -3, 0, 1e3]
    return clone(DETECTORS[request.param]).fit(x)


@given(rows=ROWS, seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=25)
def test_a_rows_answers_depend_on_no_other_row(fitted, rows, seed):
    order = np.random.default_rng(seed).permutation(len(rows))
    for ask in (fitted.score_samples, fitted.p_values, fitted.contributions, fitted.uncertainty):
        whole = ask(rows)
        np.testing.assert_array_equal(ask(rows[order]), whole[order])
        np.testing.assert_array_equal(ask(rows[:1]), whole[:1])


@given(rows=ROWS)
@settings(deadline=None, max_examples=25)
def test_answers_agree_with_each_other(fitted, rows):
    scores, alarms = -fitted.score_samples(rows), fitted.predict(rows) == -1
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(alarms, scores > fitted.threshold_)
    np.testing.assert_allclose(fitted.decision_function(rows), fitted.threshold_ - scores, rtol=1e-12)
    size = np.abs(fitted.contributions(rows)).sum(1)
    np.testing.assert_allclose(fitted.contributions(rows).sum(1), scores, rtol=1e-3, atol=1e-5 * size.max())
    p = fitted.p_values(rows)
    assert ((p > 0) & (p <= 1)).all()
    if fitted.contamination == "auto":
        # The higher the score the smaller it is, and an alarm is one that is at most the rate.
        order = np.argsort(scores, kind="stable")
        assert (np.diff(p[order]) <= 0).all()
        np.testing.assert_array_equal(alarms, p <= fitted.rate)


@given(rate=st.floats(0.02, 0.9), other=st.floats(0.02, 0.9))
@settings(deadline=None, max_examples=25)
def test_a_higher_rate_is_a_lower_threshold(fitted, rate, other):
    scores = fitted.calibration_scores_
    low, high = sorted((rate, other))
    assert conformal_threshold(scores, high) <= conformal_threshold(scores, low)
    # Of the m scores and a new one, at most a share of the rate may be above.
    assert (scores > conformal_threshold(scores, rate)).sum() + 1 <= rate * (len(scores) + 1) + 1e-9


@given(
    scale=arrays(np.float64, 5, elements=st.floats(1e-6, 1e6)), shift=arrays(np.float64, 5, elements=st.floats(-9, 9))
)
@settings(deadline=None, max_examples=5)
def test_units_of_columns_do_not_matter(scale, shift):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5))
    first, second = (AutoencoderDetector(widths=(8,), rate=0.1, **GIVEN).fit(own) for own in (x, (x + shift) * scale))
    np.testing.assert_allclose(second.score_samples((x + shift) * scale), first.score_samples(x), rtol=1e-2)


def test_saving_is_the_identity(fitted, tmp_path):
    again = load(save(fitted, tmp_path / "it.safetensors"))
    rows = np.random.default_rng(1).normal(size=(50, 5)) * 20
    for name in ("score_samples", "p_values", "predict", "contributions", "uncertainty"):
        np.testing.assert_array_equal(getattr(again, name)(rows), getattr(fitted, name)(rows))
