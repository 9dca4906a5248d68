"""Studies of images: what recipes share, how generated images are judged, and folders of image files end to end."""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxae as ja
from jaxae import recipes, study
from jaxae.study import generated, pixels


def folder_of(path: Path, *, sides=(12, 12), colour=True, kinds=("bright", "dark"), each=30) -> Path:
    """Write labelled images that a model can tell apart: noise around a light or a dark level."""
    path.mkdir()
    random = np.random.default_rng(0)
    for place, kind in enumerate(kinds):
        level = 40 + 150 * place
        shape = (each, *sides, 3 if colour else 1)
        ja.data.write_images(path / kind, np.clip(random.normal(level, 20, shape), 0, 255))
    return path


def digits(**changed) -> study.Study:
    """Return the digits as a recipe prepares them, with their labels."""
    source = pixels.digits()
    scaling = pixels.full_scale(source.values, source.columns)
    order = np.random.default_rng(0).permutation(len(source.values))  # they stand writer by writer
    parts = {"train": order[:1500], "validation": order[1500:1600], "test": order[1600:1700]}
    rows = {part: scaling.apply(source.values[numbers]) for part, numbers in parts.items()}
    none = study.Study(None, None, {}, *rows.values(), source.labels[parts["test"]], scaling)
    return none._replace(source=source, parts=parts, key=jax.random.key(0), **changed)


# what is shared


def test_photographs_are_split_into_parts_that_share_no_pixel():
    made = ja.data.photos(jax.random.key(0), size=8, rows=400)
    assert made.values.shape == (400, 192) and made.values.dtype == np.uint8 and made.shape == (8, 8, 3)
    assert [len(made.parts[part]) for part in ("train", "validation", "test")] == [280, 60, 60]
    seen = {part: {row.tobytes() for row in made.values[numbers]} for part, numbers in made.parts.items()}
    assert not seen["train"] & seen["test"] and not seen["validation"] & seen["test"]
    again = ja.data.photos(jax.random.key(0), size=8, rows=400)
    np.testing.assert_array_equal(made.values, again.values)
    assert not np.array_equal(made.values, ja.data.photos(jax.random.key(1), size=8, rows=400).values)


@pytest.mark.parametrize(("given", "named"), [({"size": 97}, "size"), ({"size": 0}, "size"), ({"rows": 5}, "rows")])
def test_photographs_of_impossible_sizes_are_refused(given, named):
    with pytest.raises(ValueError, match=named):
        ja.data.photos(jax.random.key(0), **given)


def test_bytes_are_scaled_as_bytes_however_dark():
    dark = np.full((3, 4), 7, np.uint8)
    assert pixels.full_scale(dark, "abcd").scale.tolist() == [255] * 4
    assert pixels.full_scale(dark.astype(float), "abcd").scale.tolist() == [16] * 4
    ends = pixels.centred(dark, "abcd").apply([[0, 255, 127.5, 51]])
    np.testing.assert_allclose(ends, [[-1, 1, 0, -0.6]], rtol=1e-6)


def test_the_scaling_of_images_is_kept_in_two_numbers():
    names = tuple(f"pixel_{row}_{column}" for row in range(2) for column in range(3))
    scaling = ja.data.Scaling(names, np.zeros(6), np.full(6, 255.0))
    kept = scaling.to_json((2, 3, 1))
    assert kept == {"columns": None, "offset": 0.0, "scale": 255.0}
    back = ja.data.Scaling.from_json(json.loads(json.dumps(kept)), (2, 3, 1))
    assert back.columns == names and back.scale.tolist() == [255.0] * 6
    of_table = ja.data.Scaling(("a", "b"), np.zeros(2), np.array([1.0, 2.0]))
    table = ja.data.Scaling.from_json(json.loads(json.dumps(of_table.to_json())))
    assert table.columns == ("a", "b") and table.scale.tolist() == [1.0, 2.0]


def test_blocks_give_what_the_whole_does(monkeypatch):
    monkeypatch.setattr(pixels, "ROWS", 7)
    x, cond = np.arange(40.0).reshape(20, 2), np.ones((20, 1))
    np.testing.assert_array_equal(pixels.in_blocks(lambda x, cond: x + cond, x, cond), x + cond)
    np.testing.assert_array_equal(pixels.in_blocks(lambda x: 2 * x, x, None), 2 * x)


def test_images_without_labels_have_no_class():
    with pytest.raises(ValueError, match="no labels to be conditioned on: give a folder with one folder for each"):
        pixels.by_class(pixels.digits()._replace(labels=None))


# how generated images are judged


@pytest.fixture(scope="module")
def judged():
    own = digits()
    return own, generated.judge(own)


def test_the_classifier_knows_digits(judged):
    own, judge = judged
    assert judge.accuracy > 0.9
    assert judge.features(own.test).shape == (100, generated.FEATURES)
    np.testing.assert_allclose(judge.probabilities(own.test).sum(1), 1, rtol=1e-5)
    assert generated.recognised(judge, own.test, own.labels) == judge.accuracy


def test_distances_tell_real_images_from_noise_and_from_one_class(judged):
    own, judge = judged
    noise = np.random.default_rng(0).uniform(size=(100, 64)).astype(np.float32)
    ones = own.train[own.labels_of("train") == 1]
    real, other, single = (generated.distances(judge, own.test, images) for images in (own.train, noise, ones))
    assert real.keys() == set(generated.FIGURES)
    assert real["frechet_distance"] < 0.3 * other["frechet_distance"]
    assert other["precision"] < 0.5 < real["precision"]
    assert single["recall"] < 0.5 * real["recall"] and single["classifier_score"] < 2 < real["classifier_score"]


def test_images_without_labels_are_judged_by_principal_components():
    own = digits()
    judge = generated.judge(own._replace(source=own.source._replace(labels=None)))
    assert judge.features(own.test).shape == (100, 64) and judge.probabilities is None
    assert "classifier_score" not in generated.distances(judge, own.test, own.train)
    with pytest.raises(ValueError, match="no classifier to recognise them by"):
        generated.recognised(judge, own.test, own.labels)


# folders of image files, end to end


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A class-conditional model of a folder of colour images."""
    home = tmp_path_factory.mktemp("images")
    path = folder_of(home / "images")
    recipe = recipes.find("class-vae")
    settings = recipe.Settings(epochs=2, widths=(4, 8), latent=2, batch_size=16)
    study.train("class-vae", recipe, settings, out=home / "run", path=path, progress=False)
    return home


def test_a_folder_of_classes_becomes_a_model_of_them(trained):
    config = json.loads((trained / "run" / "config.json").read_text())
    assert config["data"]["shape"] == [12, 12, 3] and config["data"]["columns"] is None
    assert (trained / "run" / "config.json").stat().st_size < 10_000
    assert "one of 'bright', 'dark'" in " ".join(config["data"]["notes"])
    loaded = study.load(trained / "run", recipes.find)
    drawn = loaded.sample(jax.random.key(0), 3, {"class": ["dark", "bright", "dark"]})
    assert drawn.shape == (3, 432) and loaded.pictures(drawn).shape == (3, 12, 12, 3)
    with pytest.raises(ValueError, match="'darkk', but the model knows 'dark'"):
        loaded.sample(jax.random.key(0), 1, {"class": ["darkk"]})
    assert {picture["file"] for picture in json.loads((trained / "run" / "pictures.json").read_text())} >= {
        "classes.png",
        "traversal.png",
        "interpolation.png",
        "images.png",
    }


def test_images_of_other_sizes_and_grey_ones_later(trained, tmp_path):
    loaded = study.load(trained / "run", recipes.find)
    rows = loaded.read(folder_of(tmp_path / "grey", colour=False, each=2))
    assert rows.values.shape == (4, 432) and rows.conditions == {"class": ("bright", "bright", "dark", "dark")}
    np.testing.assert_array_equal(rows.values[:, 0::3], rows.values[:, 2::3])
    with pytest.raises(ValueError, match=r"images of 9 × 9 × 3 .* trained on images of 12 × 12 × 3"):
        loaded.read(folder_of(tmp_path / "small", sides=(9, 9), each=2))


def test_images_are_drawn_into_png_files(trained, tmp_path, monkeypatch, capsys):
    from jaxae.cli import main

    out = tmp_path / "drawn"
    command = ["sample", str(trained / "run"), "--given", "class=dark,bright", "--rows", "2", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["jaxae", *command])
    assert not main()
    assert sorted(file.name for file in out.iterdir()) == [
        f"{k}-{i}.png" for k, i in (("bright", 2), ("bright", 3))
    ] + [f"dark-{i}.png" for i in (0, 1)]
    assert ja.data.images(out).shape == (12, 12, 3)
    monkeypatch.setattr(sys, "argv", ["jaxae", *command])
    assert main() and "not empty" in capsys.readouterr().err


def test_a_size_resizes_now_and_later(tmp_path):
    path = folder_of(tmp_path / "images", sides=(10, 14), each=15)
    recipe = recipes.find("conv-autoencoder")
    settings = recipe.Settings(epochs=1, widths=(4,), latent=2, batch_size=8, size=8)
    study.train("conv-autoencoder", recipe, settings, out=tmp_path / "run", path=path, progress=False)
    loaded = study.load(tmp_path / "run", recipes.find)
    assert loaded.study.source.shape == (8, 8, 3)
    rows = loaded.read(path)
    assert rows.values.shape == (30, 192) and loaded.reconstruct(rows.values).shape == (30, 192)


@pytest.mark.parametrize("recipe", ["conv-autoencoder", "conv-vae", "dcgan", "class-gan", "class-vae"])
def test_a_folder_without_images_is_refused_by_every_recipe(recipe, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "notes.txt").write_text("none")
    found = recipes.find(recipe)
    with pytest.raises(ValueError, match=r"notes.txt"):
        study.train(recipe, found, found.Settings(), out=tmp_path / "run", path=tmp_path / "images", progress=False)
    assert not (tmp_path / "run").exists()


def test_sizes_that_do_not_come_back_are_refused_before_anything_is_written(tmp_path):
    path = folder_of(tmp_path / "images", sides=(10, 10), each=15)
    recipe = recipes.find("resize-autoencoder")
    with pytest.raises(ValueError, match=r"nearest sizes that work are 8 and 12"):
        study.train(
            "resize-autoencoder",
            recipe,
            recipe.Settings(widths=(4, 8), batch_size=8),
            out=tmp_path / "run",
            path=path,
            progress=False,
        )
    assert not (tmp_path / "run").exists()
