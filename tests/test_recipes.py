"""Every recipe, found by name: it keeps the contract, and a small run of it gives everything it promises."""

import dataclasses
import inspect
import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxae import recipes, study

SMALL = {
    "autoencoder": {"epochs": 2, "rows": 200, "batch_size": 50},
    "vae": {"epochs": 2, "rows": 400, "variables": 5, "widths": (16, 8), "batch_size": 50},
    "gan": {"epochs": 2, "rows": 400, "variables": 4, "widths": (8, 16), "batch_size": 50},
    "digits-vae": {"epochs": 2, "widths": (32,)},
    "denoising": {"epochs": 2, "rows": 200, "batch_size": 50, "variables": 6, "widths": (16, 8), "latent": 3},
    "detector": {"epochs": 2, "rows": 200, "members": 2, "widths": (8,), "calibration_rows": 300, "test_rows": 200}
    | {"anomalies": 20},
    "anomaly": {"epochs": 2, "rows": 200, "batch_size": 40, "widths": (8,), "calibration_rows": 300, "test_rows": 200}
    | {"anomalies": 20},
    "sparse": {"epochs": 2, "rows": 300, "batch_size": 50, "widths": (16,)},
    "conditional-vae": {"epochs": 2, "rows": 400, "batch_size": 50, "widths": (16, 8)},
    "series": {"epochs": 2, "points": 2200, "length": 24, "latent": 3, "widths": (8,), "rate": 0.05},
    "mnist-autoencoder": {"epochs": 2, "widths": (16,)},
    "mnist-vae": {"epochs": 2, "widths": (16,)},
    "mnist-shallow": {"epochs": 2},
    "conv-vae": {"epochs": 1, "widths": (4, 8), "latent": 4},
    "class-vae": {"epochs": 1, "widths": (4, 8), "latent": 4},
    "conv-autoencoder": {"epochs": 1, "widths": (4, 8), "latent": 4, "size": 8, "batch_size": 100},
    "resize-autoencoder": {"epochs": 1, "widths": (4, 8), "latent": 4, "size": 8, "batch_size": 100},
    "dcgan": {"epochs": 1, "width": 4, "latent": 4},
    "class-gan": {"epochs": 1, "width": 4, "latent": 4},
}


@pytest.fixture(scope="module", params=recipes.names())
def trained(request, tmp_path_factory):
    """One small run of every recipe: (name, folder)."""
    recipe = recipes.find(request.param)
    folder = tmp_path_factory.mktemp(request.param) / "run"
    settings = recipe.Settings(**SMALL[request.param])
    study.train(request.param, recipe, settings, out=folder, progress=False)
    return request.param, folder


@pytest.mark.parametrize("name", recipes.names())
class TestContract:
    def test_first_line_says_what_it_is(self, name):
        first = recipes.find(name).__doc__.splitlines()[0]
        assert first.endswith(".") and len(first) < 120

    def test_settings_are_a_frozen_dataclass_with_defaults(self, name):
        settings = recipes.find(name).Settings()
        assert dataclasses.is_dataclass(settings) and settings.epochs >= 1 and settings.batch_size >= 1
        with pytest.raises(dataclasses.FrozenInstanceError):
            settings.epochs = 3

    def test_what_can_be_swept_is_a_setting(self, name):
        recipe = recipes.find(name)
        fields = {field.name for field in dataclasses.fields(recipe.Settings)}
        assert study.sweepable(recipe) or hasattr(recipe, "fit")
        assert set(study.sweepable(recipe)) <= fields

    def test_functions_in_reading_order(self, name):
        recipe = recipes.find(name)
        order = ["source", "scaling", "model", "learner", "score", "evaluate", "controls", "checks", "pictures"]
        if hasattr(recipe, "fit"):
            order[3:5] = ["fit"]
        functions = [getattr(recipe, function) for function in order]
        # Some come from another recipe.
        lines = [inspect.getsourcelines(one)[1] for one in functions if one.__module__ == recipe.__name__]
        assert lines == sorted(lines)

    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("epochs", 0),
            ("batch_size", 0),
            ("learning_rate", 0.0),
            ("learning_rate", float("nan")),
            ("widths", (0,)),
            ("latent", 0),
        ],
    )
    def test_impossible_settings_are_refused(self, name, setting, value):
        if setting not in {field.name for field in dataclasses.fields(recipes.find(name).Settings)}:
            assert setting == "widths" and name in {"mnist-shallow", "dcgan", "class-gan"}
            return
        with pytest.raises(ValueError, match=setting):
            recipes.find(name).Settings(**{setting: value})


def test_figures_are_finite_and_documented(trained):
    _, folder = trained
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["metrics"] and metrics["controls"]
    assert np.isfinite(list({**metrics["metrics"], **metrics["controls"]}.values())).all()
    assert all(check["text"] for check in metrics["checks"])


def test_every_picture_is_named_and_has_its_numbers(trained):
    _, folder = trained
    pictures = json.loads((folder / "pictures.json").read_text())
    assert len(pictures) >= 2
    for picture in pictures:
        assert (folder / picture["file"]).stat().st_size > 1000 and picture["caption"]
        assert any((folder / picture["file"]).with_suffix(kind).is_file() for kind in (".csv", ".npz"))


def test_what_it_can_do_works_in_the_users_units(trained):
    name, folder = trained
    loaded = study.load(folder, recipes.find)
    columns = len(loaded.study.scaling.columns)
    n = 7 if name != "series" else 30
    conditions = {"temperature": np.linspace(310, 490, n), "class": [str(i) for i in np.arange(n) % 10]}
    known = loaded.study.conditions
    given = () if known is None else ({known.names[0]: conditions[known.names[0]]},)
    if hasattr(loaded.recipe, "encode"):
        rows = loaded.study.scaling.invert(np.zeros((n, loaded.study.scaling.varying.sum())))
        codes = 7 if name != "series" else 30 - 24 + 1
        assert loaded.encode(rows, *given).shape == (codes, loaded.study.settings.latent)
        assert loaded.reconstruct(rows, *given).shape == (n, columns)
        found = loaded.detect(rows, rate=0.05, conditions=given[0] if given else None)
        assert found.score.shape == found.alarm.shape == found.p_value.shape == (n,)
        np.testing.assert_allclose(found.contributions.sum(1), found.score)
        np.testing.assert_array_equal(found.alarm, found.p_value <= 0.05)
    if hasattr(loaded.recipe, "denoise"):
        assert loaded.denoise(rows).shape == (n, columns)
    if hasattr(loaded.recipe, "sample"):
        first, again = (loaded.sample(jax.random.key(1), n, *given) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        assert first.shape == (n, columns) and not np.array_equal(first, loaded.sample(jax.random.key(2), n, *given))
    if name in {"digits-vae", "mnist-vae", "conv-vae", "class-vae", "dcgan", "class-gan"}:
        assert (first >= 0).all() and (first <= 16).all()
        assert loaded.pictures(first).shape == (n, 8, 8, 1)


def test_unknown_recipe_is_answered_nearest_first():
    with pytest.raises(ValueError, match="no recipe 'vea'; there is: vae"):
        recipes.find("vea")


def test_a_compiled_model_does_what_the_module_does():
    recipe = recipes.find("vae")
    settings = recipe.Settings(latent=2, widths=(4,), variables=3)
    model, rows = recipe.model(settings, (3,)), np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    variables = model.init(jax.random.key(0), rows)
    scaling = recipe.scaling(settings, rows, ("a", "b", "c"))
    bound, plain = study.Study(settings, model, variables, rows, rows, rows, None, scaling).bound, model.bind(variables)
    assert bound.latent == 2
    np.testing.assert_allclose(bound.encode(rows).mean, plain.encode(rows).mean, rtol=1e-5)
    np.testing.assert_allclose(bound(rows).mean, plain(rows).mean, rtol=1e-5)
    for n in (3, 4):
        found, expected = (one.sample(jax.random.key(2), n).mean for one in (bound, plain))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(AttributeError, match="encoded"):
        bound.encoded(rows)


@pytest.mark.parametrize("n", [1, 50, 1100])
def test_evidence_of_a_model_that_ignores_its_code_is_exact(n):
    """With a posterior equal to the prior and a constant decoder both bounds are the likelihood itself."""
    recipe = recipes.find("vae")
    settings = recipe.Settings(latent=2, widths=(4,), variables=3)
    model = recipe.model(settings, (3,))
    rows = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    used = model.init(jax.random.key(0), rows[:1])
    variables = jax.tree.map(np.zeros_like, used)
    scaling = recipe.scaling(settings, np.float32([[0, 0, 0], [1, 1, 1]]), ("a", "b", "c"))
    one = study.Study(settings, model, variables, rows, rows, rows, None, scaling)
    from jaxae import distributions

    bounds = study.evidence(one, "test", jax.random.key(1), distributions.normal)
    exact = -0.5 * (rows.astype(float) ** 2 + np.log(2 * np.pi)).sum(1).mean()
    assert bounds["elbo"] == pytest.approx(exact, rel=1e-5)
    assert bounds["importance_weighted_bound"] == pytest.approx(exact, rel=1e-5)
    bounds = study.evidence(one._replace(variables=used), "test", jax.random.key(1), distributions.normal)
    assert bounds["importance_weighted_bound"] > bounds["elbo"] + 0.01


@pytest.mark.slow
@pytest.mark.skipif("JAXAE_DATA" not in os.environ, reason="JAXAE_DATA names no folder with real data")
def test_digits_from_an_idx_file(tmp_path, optimised):
    recipe = recipes.find("digits-vae")
    path = Path(os.environ["JAXAE_DATA"]) / "mnist" / "t10k-images-idx3-ubyte.gz"
    settings = recipe.Settings(epochs=2, widths=(64,), batch_size=100)
    study.train("digits-vae", recipe, settings, out=tmp_path / "run", path=path, progress=False)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["metrics"]["elbo"] > metrics["controls"]["elbo"]


@pytest.mark.skipif("JAXAE_DATA" not in os.environ, reason="JAXAE_DATA names no folder with real data")
def test_autoencoder_of_plant_data(tmp_path, optimised):
    import gzip

    with gzip.open(Path(os.environ["JAXAE_DATA"]) / "tep" / "d00_te.dat.gz", "rt") as file:
        rows = np.loadtxt(file)
    np.save(tmp_path / "plant.npy", rows)
    recipe = recipes.find("autoencoder")
    settings = recipe.Settings(epochs=60, latent=8)
    study.train("autoencoder", recipe, settings, out=tmp_path / "run", path=tmp_path / "plant.npy", progress=False)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["metrics"]["explained_variance"] > 0.3
