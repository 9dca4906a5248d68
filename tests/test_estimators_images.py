"""Detectors of images: what they find, what their scales are, and what they refuse."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from jaxae.estimators import ConvolutionalDetector

GIVEN = {"image": (8, 8, 1), "members": 2, "rate": 0.1}


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return x, y


@pytest.fixture(scope="module")
def fitted(digits):
    x, y = digits
    return ConvolutionalDetector(**GIVEN).fit(x[y == 3][::2])


def test_it_finds_other_digits_and_better_than_principal_components(fitted, digits):
    x, y = digits
    train, held = x[y == 3][::2], x[y == 3][1::2]
    new, label = np.r_[held, x[y != 3]], np.r_[np.zeros(len(held)), np.ones((y != 3).sum())]
    own = roc_auc_score(label, -fitted.score_samples(new))
    pca = PCA(16).fit(train)
    rival = roc_auc_score(label, ((pca.inverse_transform(pca.transform(new)) - new) ** 2).sum(1))
    assert own > 0.99 and own > rival, (own, rival)


def test_parts_add_up_and_counterparts_are_images(fitted, digits):
    x = digits[0][:20]
    np.testing.assert_allclose(fitted.contributions(x).sum(1), -fitted.score_samples(x), rtol=1e-4)
    assert fitted.counterparts(x).shape == x.shape
    usual = digits[0][digits[1] == 3][::2]
    assert ((fitted.counterparts(usual) - usual) ** 2).mean() < 0.4 * usual.var(0).mean()


def test_all_pixels_of_a_channel_have_one_scale(digits):
    """A pixel that is nearly always 0 would otherwise be the loudest of all where once it is not."""
    pairs = np.stack([digits[0], 100 + 3 * digits[0]], -1).reshape(len(digits[0]), -1)
    fitted = ConvolutionalDetector(image=(8, 8, 2), members=2, steps=2, channels=(4,), contamination=0.1).fit(pairs)
    values = digits[0].reshape(-1)
    np.testing.assert_allclose(fitted.mean_, np.tile([values.mean(), 100 + 3 * values.mean()], 64))
    np.testing.assert_allclose(fitted.scale_, np.tile([values.std(), 3 * values.std()], 64))


def test_it_sees_where_pixels_are():
    """A convolution of a signal: the same bump elsewhere is as usual, an upright one is not."""
    rng = np.random.default_rng(0)
    at = np.arange(32)[None]

    def bumps(n, sign):
        return sign * np.exp(-0.5 * (at - rng.uniform(8, 24, (n, 1))) ** 2 / 2) + 0.02 * rng.normal(size=(n, 32))

    fitted = ConvolutionalDetector(members=2, latent=4, rate=0.1).fit(bumps(400, 1.0))
    assert (fitted.predict(bumps(200, 1.0)) == 1).mean() > 0.8
    assert (fitted.predict(bumps(200, -1.0)) == -1).all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"image": (8, 8)}, r"image is \(8, 8\), but must be \(height, width, channels\)"),
        ({"image": "8x8x1"}, "image is '8x8x1'"),
        ({"image": (4, 4, 1)}, "of 16 numbers, but rows have 64 columns"),
        ({"image": (64, 0, 1)}, "a number in image is 0"),
        ({"channels": ()}, "channels is ()"),
        ({"channels": (0,)}, "a number in channels is 0"),
        ({"latent": 0}, "latent is 0"),
        ({"noise": -1.0}, "noise is -1"),
    ],
)
def test_what_cannot_be_is_refused(given, words, digits):
    with pytest.raises((TypeError, ValueError), match=words):
        ConvolutionalDetector(**{**GIVEN, **given}).fit(digits[0])
