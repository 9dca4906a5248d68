"""Transformers: codes and back, noise taken out, new rows, and what they refuse."""

import numpy as np
import pandas
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from jaxae.estimators import Autoencoder, Denoiser, SparseAutoencoder, VariationalAutoencoder

SHORT = {"steps": 30}


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(500, 2))
    return 10 + hidden @ rng.normal(size=(2, 6)) * np.array([1, 1, 1, 100, 1, 0.01])


def test_a_linear_autoencoder_reaches_principal_components(x):
    """Of rows in two dimensions the residual of PCA is 0; on the way there half of it would be .5."""
    coder = Autoencoder(2, widths=(32,), steps=2000).fit(x)
    codes = coder.transform(x)
    assert codes.shape == (500, 2) and codes.dtype == np.float32
    made = coder.inverse_transform(codes)
    shares = ((made - x) ** 2).mean(0) / x.var(0)
    assert shares.max() < 0.01
    pca = PCA(1).fit((x - x.mean(0)) / x.std(0))
    one = Autoencoder(1, widths=(32,), steps=2000).fit(x)
    residual = (((one.inverse_transform(one.transform(x)) - x) / x.std(0)) ** 2).mean()
    assert residual < 1.05 * (1 - pca.explained_variance_ratio_[0])


def test_codes_stand_in_a_pipeline():
    rows, digits = load_digits(return_X_y=True)
    coder = Autoencoder(10, steps=400)
    accuracy = cross_val_score(make_pipeline(coder, LogisticRegression(max_iter=500)), rows, digits, cv=2).mean()
    assert accuracy > 0.8


def test_names_of_the_new_columns(x):
    frame = pandas.DataFrame(x, columns=list("abcdef"))
    coder = Autoencoder(2, **SHORT).fit(frame).set_output(transform="pandas")
    assert list(coder.transform(frame).columns) == ["autoencoder0", "autoencoder1"]
    denoiser = Denoiser(**SHORT).fit(frame).set_output(transform="pandas")
    assert list(denoiser.transform(frame).columns) == list("abcdef")


def test_few_units_speak(x):
    active, free = (SparseAutoencoder(30, weight=weight, steps=1000).fit(x) for weight in (0.5, 1e-6))
    codes = active.transform(x)
    assert codes.shape == (500, 30) and codes.min() >= 0 and codes.max() <= 1
    assert abs(codes.mean() - 0.1) < 0.03 < abs(free.transform(x).mean() - 0.1)


def test_codes_are_spread_like_the_prior_and_new_rows_like_the_old(x):
    noisy = x + 0.1 * x.std(0) * np.random.default_rng(1).normal(size=x.shape)
    coder = VariationalAutoencoder(2, steps=3000).fit(noisy)
    codes = coder.transform(noisy)
    assert np.abs(codes.mean(0)).max() < 0.3 and np.abs(codes.std(0) - 1).max() < 0.3
    made = coder.sample(4000, random_state=1)
    assert made.shape == (4000, 6)
    np.testing.assert_allclose(made.mean(0), x.mean(0), atol=0.15 * x.std(0).max())
    np.testing.assert_allclose(made.std(0) / x.std(0), 1, atol=0.15)
    np.testing.assert_allclose(np.corrcoef(made.T), np.corrcoef(x.T), atol=0.15)
    # A column's noise has a tenth of its variance's root.
    np.testing.assert_allclose(coder.residual_scale_ / x.std(0), 0.1, atol=0.05)


def test_new_rows_depend_on_the_seed_alone(x):
    coder = VariationalAutoencoder(**SHORT).fit(x)
    np.testing.assert_array_equal(coder.sample(5, random_state=3), coder.sample(5, random_state=3))
    assert (coder.sample(5, random_state=3) != coder.sample(5, random_state=4)).any()
    with pytest.raises(ValueError, match="n_samples is 0"):
        coder.sample(0)
    with pytest.raises(NotFittedError):
        VariationalAutoencoder().sample(3)


def test_noise_is_taken_out(x):
    noisy = x + 0.5 * x.std(0) * np.random.default_rng(2).normal(size=x.shape)
    found = Denoiser(0.5).fit(x).transform(noisy)
    # Two of six dimensions are left of it at best, by projection.
    left = (((found - x) / x.std(0)) ** 2).mean() / 0.25
    assert left < 0.5


def test_a_fit_gives_the_same_bits_again(x):
    one, other = (clone(Autoencoder(2, **SHORT)).fit(x) for _ in range(2))
    np.testing.assert_array_equal(one.transform(x), other.transform(x))
    assert one.loss_curve_.shape == (30,)
    assert (clone(one).set_params(random_state=1).fit(x).transform(x) != one.transform(x)).any()


@pytest.mark.parametrize(
    ("estimator", "said"),
    [
        (Autoencoder(0), "latent is 0"),
        (Autoencoder(2, widths=5), "widths is 5"),
        (Autoencoder(2, noise=-1.0), "noise is -1"),
        (Autoencoder(2, steps=0), "steps is 0"),
        (Autoencoder(2, learning_rate=1e30, steps=50), "members 0 diverged"),
        (SparseAutoencoder(0), "units is 0"),
        (SparseAutoencoder(activity=1.0), "activity is 1"),
        (SparseAutoencoder(weight=0.0), "weight is 0"),
        (VariationalAutoencoder(-1), "latent is -1"),
        (Denoiser(0.0), "noise is 0"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value).replace(" ", ""),
)
def test_parameters_that_are_refused(estimator, said, x):
    with pytest.raises((ValueError, TypeError), match=said):
        estimator.fit(x)


def test_codes_of_another_size_are_refused(x):
    coder = Autoencoder(2, **SHORT).fit(x)
    with pytest.raises(ValueError, match="X has 3 columns, but a code has 2"):
        coder.inverse_transform(np.zeros((4, 3)))


def test_the_scale_around_a_code_is_that_of_the_data():
    """However little columns vary around what their code says, a short training learns how much."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 1)) * [1.0, 2.0, -3.0] + 0.02 * rng.normal(size=(2000, 3))
    fitted = VariationalAutoencoder(latent=1).fit(x)
    apart = np.sqrt(((fitted.inverse_transform(fitted.transform(x)) - x) ** 2).mean(0))
    assert (fitted.residual_scale_ > 0.8 * apart).all() and (fitted.residual_scale_ < 3 * apart).all()
    assert (np.abs(np.corrcoef(fitted.sample(4000).T)) > 0.998).all()


def test_columns_that_are_reproduced_exactly_stay_numbers():
    x = np.random.default_rng(0).normal(size=(300, 1)) * [1.0, 2.0, -1.0, 0.0]
    fitted = VariationalAutoencoder(latent=1, widths=(8,), steps=3000, learning_rate=0.02).fit(x)
    assert np.isfinite(fitted.loss_curve_).all() and (fitted.residual_scale_ >= 0.99e-3 * fitted.scale_).all()
    assert (np.abs(fitted.sample(100)[:, 3]) < 0.01).all()
