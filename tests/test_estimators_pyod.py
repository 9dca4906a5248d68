"""The detector in the clothes of PyOD's: its attributes and answers, where PyOD is installed."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

pytest.importorskip("pyod")

from pyod.models.base import BaseDetector

from jaxae.estimators.pyod import AutoEncoder


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(270, 4)) @ rng.normal(size=(4, 6))
    return np.r_[normal, rng.uniform(-9, 9, size=(30, 6))], np.repeat([0, 1], [270, 30])


@pytest.fixture(scope="module")
def fitted(rows):
    return AutoEncoder(epoch_num=6, hidden_neuron_list=[16, 8], contamination=0.1).fit(rows[0])


def test_it_is_a_detector_of_pyod(fitted, rows):
    x, labels = rows
    assert isinstance(fitted, BaseDetector)
    assert len(fitted.history_["loss"]) == 6
    assert fitted.labels_.sum() == 30 and (fitted.labels_ == (fitted.decision_scores_ > fitted.threshold_)).all()
    assert roc_auc_score(labels, fitted.decision_scores_) > 0.8
    np.testing.assert_array_equal(fitted.predict(x), fitted.labels_)


def test_probabilities_confidence_and_rejection(fitted, rows):
    x, _ = rows
    for method in ("linear", "unify"):
        found = fitted.predict_proba(x, method=method)
        assert found.shape == (300, 2) and found.min() >= 0 and found.max() <= 1
    labels, confidence = fitted.predict(x, return_confidence=True)
    assert labels.shape == confidence.shape and 0 <= confidence.min() <= confidence.max() <= 1
    assert set(fitted.predict_with_rejection(x, c_r=0.1)) <= {-2, 0, 1}


def test_widths_are_mirrored(fitted):
    assert fitted.model.widths == (16, 8, 16)
