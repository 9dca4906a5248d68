"""Fitted estimators in files: what is loaded is what was saved, or it is refused."""

import json

import numpy as np
import pandas
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression

from jaxae.checkpoint import RefusedError
from jaxae.checkpoint.tensors import read, write
from jaxae.estimators import (
    Autoencoder,
    AutoencoderDetector,
    ConditionalGenerator,
    ConvolutionalDetector,
    DeepSVDD,
    Denoiser,
    SeriesDetector,
    SparseAutoencoder,
    SparseDetector,
    VariationalAutoencoder,
    VariationalDetector,
    load,
    save,
)

SHORT = {"steps": 20, "widths": (8,)}
DETECTORS = [
    AutoencoderDetector(**SHORT, members=2, noise=(0.1, 1.0)),
    VariationalDetector(**SHORT, members=2),
    SparseDetector(steps=20, members=4, contamination="cross"),
    DeepSVDD(**SHORT, members=2, random_state=np.random.RandomState(0)),
    ConvolutionalDetector(image=(2, 2, 1), steps=20, members=2, channels=(4,), latent=2),
]
CODERS = [Autoencoder(**SHORT), SparseAutoencoder(steps=20), VariationalAutoencoder(**SHORT), Denoiser(**SHORT)]


@pytest.fixture(scope="module")
def x():
    return pandas.DataFrame(np.random.default_rng(0).normal(size=(200, 4)), columns=list("abcd"))


@pytest.mark.parametrize("estimator", [*DETECTORS, *CODERS], ids=lambda own: type(own).__name__)
def test_what_is_loaded_is_what_was_saved(estimator, x, tmp_path):
    fitted = estimator.fit(x)
    path = save(fitted, tmp_path / "it.safetensors")
    again = load(path)
    assert type(again) is type(fitted)
    for name, value in fitted.get_params().items():
        assert again.get_params()[name] == value or name == "random_state"
    for method in ("decision_function", "p_values", "contributions", "transform"):
        if hasattr(fitted, method):
            np.testing.assert_array_equal(getattr(again, method)(x), getattr(fitted, method)(x))
    if hasattr(fitted, "explain"):
        assert again.explain(x[:2]) == fitted.explain(x[:2])
    if hasattr(fitted, "sample"):
        np.testing.assert_array_equal(again.sample(3), fitted.sample(3))
    np.testing.assert_array_equal(again.loss_curve_, fitted.loss_curve_)
    # The same file comes of what was loaded, and a refit gives the same bits.
    assert save(again, tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    with pytest.raises(ValueError, match="feature names should match"):
        (again.transform if hasattr(again, "transform") else again.predict)(x[list("dcba")])


def test_a_series_detector_and_what_it_is_made_of(tmp_path):
    x = np.sin(np.arange(400.0) / 5)[:, None]
    fitted = SeriesDetector(DETECTORS[0], length=10).fit(x)
    again = load(save(fitted, tmp_path / "series.safetensors"))
    np.testing.assert_array_equal(again.decision_function(x), fitted.decision_function(x))
    np.testing.assert_array_equal(again.contributions(x), fitted.contributions(x))


@pytest.mark.parametrize("y", [["a", "b"] * 100, [3, 7] * 100, [True, False] * 100, list(np.arange(200) / 7)])
def test_a_generator_and_its_conditions(x, y, tmp_path):
    fitted = ConditionalGenerator(**SHORT).fit(x, y)
    again = load(save(fitted, tmp_path / "it.safetensors"))
    np.testing.assert_array_equal(again.sample(y[:5]), fitted.sample(y[:5]))
    assert again.classes_.tolist() == fitted.classes_.tolist() and again.classes_.dtype == fitted.classes_.dtype


def test_numbers_of_numpy_are_parameters_too(x, tmp_path):
    given = {
        "steps": np.int64(20),
        "noise": np.array([0.1, 1.0]),
        "rate": np.float32(0.1),
        "bootstrap": np.bool_(False),
    }
    fitted = AutoencoderDetector(widths=(8,), members=2, **given).fit(x)
    again = load(save(fitted, tmp_path / "it.safetensors"))
    np.testing.assert_array_equal(again.score_samples(x), fitted.score_samples(x))
    assert again.get_params()["steps"] == 20 and again.get_params()["noise"] == (0.1, 1.0)


def test_what_is_not_saved(x, tmp_path):
    path = tmp_path / "it.safetensors"
    with pytest.raises(NotFittedError):
        save(AutoencoderDetector(), path)
    with pytest.raises(TypeError, match=r"estimator is LinearRegression, but must be one of Autoencoder, "):
        save(LinearRegression(), path)
    fitted = AutoencoderDetector(steps=2, members=2, rate=0.1).fit(x)
    with pytest.raises(TypeError, match=r"noise is \{.*\}, but only numbers, text and lists of them can be saved"):
        save(fitted.set_params(noise={1.0}), path)
    assert not path.exists()


CHANGES = {
    "another class": lambda config, arrays: config.update({"class": "os.system"}),
    "no class": lambda config, arrays: config.pop("class"),
    "another parameter": lambda config, arrays: config["parameters"].update(command="ls"),
    "members": lambda config, arrays: config["parameters"].update(members=3),
    "widths": lambda config, arrays: config["parameters"].update(widths=[9]),
    "huge widths": lambda config, arrays: config["parameters"].update(widths=[2**60]),
    "steps": lambda config, arrays: config["parameters"].update(steps="many"),
    "columns": lambda config, arrays: config["numbers"].update(n_features_in_=5),
    "no threshold": lambda config, arrays: config["numbers"].pop("threshold_"),
    "a word for a number": lambda config, arrays: config["numbers"].update(threshold_="high"),
    "another number": lambda config, arrays: config["numbers"].update(fit=3),
    "names": lambda config, arrays: config.update(names=["a"]),
    "classes": lambda config, arrays: config.update(classes=["a", "b"]),
    "an inner one": lambda config, arrays: config.update(inner={"class": "DeepSVDD"}),
    "folds": lambda config, arrays: arrays.update(calibration_folds_=np.full(50, 4, np.int32)),
    "fewer folds": lambda config, arrays: arrays.update(calibration_folds_=np.zeros(3, np.int32)),
    "no scale": lambda config, arrays: arrays.pop("scale_"),
    "another scale": lambda config, arrays: arrays.update(scale_=np.ones(5)),
    "whole numbers": lambda config, arrays: arrays.update(scale_=np.ones(4, int)),
    "no number": lambda config, arrays: arrays.update(scale_=np.full(4, np.nan)),
    "another array": lambda config, arrays: arrays.update(more=np.ones(4)),
    "no kernel": lambda config, arrays: arrays.pop("variables_/params/encoder/Dense_0/kernel"),
    "another kernel": lambda config, arrays: arrays.update(
        {"variables_/params/encoder/Dense_0/kernel": np.zeros((2, 3, 3), np.float32)}
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_is_refused(change, x, tmp_path):
    path = save(AutoencoderDetector(**SHORT, members=2).fit(x), tmp_path / "it.safetensors")
    content = read(path, "jaxae.estimator", 1)
    config, arrays = json.loads(json.dumps(content.config)), dict(content.arrays)
    change(config, arrays)
    write(path, "jaxae.estimator", 1, config, arrays)
    with pytest.raises(RefusedError, match=r"it\.safetensors") as caught:
        load(path)
    assert len(str(caught.value)) <= 300


def test_the_root_of_the_sender(x, tmp_path):
    path = save(AutoencoderDetector(**SHORT, members=2).fit(x), tmp_path / "it.safetensors")
    root = read(path, "jaxae.estimator", 1).root
    assert load(path, root=root).n_features_in_ == 4
    with pytest.raises(RefusedError, match="was expected"):
        load(path, root="0" * 64)
