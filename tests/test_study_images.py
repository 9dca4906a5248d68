"""Studies of images: what recipes share, how generated images are judged, and folders of image files end to end."""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxae as ja
from jaxae import recipes, study
from jaxae.study import generated, pixels, prepared


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


@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize(
    ("array", "full"),
    [
        (np.full((60, 8, 8), 14, np.uint8), 255),  # bytes are bytes, however dark
        (np.eye(8, dtype=np.uint8)[None].repeat(60, 0), 1),
        (np.eye(8, dtype=bool)[None].repeat(60, 0), 1),
        (np.full((60, 8, 8), 3900, np.uint16), 255),
        (np.full((60, 8, 8), 3, np.uint16), 255),
        (np.full((60, 8, 8), 14.0), 16),
        (np.full((60, 8, 8), 14), 16),
        (np.full((60, 8, 8), 0.5), 1),
        (np.full((60, 8, 8), 99.0), 255),
    ],
)
def test_the_scale_of_pixels_is_that_of_their_kind_whatever_the_shape(tmp_path, array, full, channels):
    np.save(tmp_path / "images.npy", array[..., None] if channels else array)
    recipe = recipes.find("conv-autoencoder")
    source = pixels.read_images(tmp_path / "images.npy", jax.random.key(0))
    made = prepared.prepared(recipe, recipe.Settings(widths=(4,), latent=2), source, jax.random.key(1))
    assert set(made.scaling.scale.tolist()) == {full} and made.train.max() <= 1
    ends = pixels.centred(np.array([[0.0], [full]]), "a").apply(np.array([[0.0], [full], [full / 2]]))
    np.testing.assert_allclose(ends[:, 0], [-1, 1, 0], atol=1e-6)


@pytest.mark.parametrize("wild", [-50.0, 1e6])
def test_a_wild_pixel_is_refused_in_whatever_part_it_lies(tmp_path, wild):
    images = np.random.default_rng(0).uniform(size=(60, 8, 8))
    recipe = recipes.find("conv-autoencoder")
    for place in (0, 30, 59):
        np.save(tmp_path / "images.npy", np.where(np.arange(60)[:, None, None] == place, wild, images))
        source = pixels.read_images(tmp_path / "images.npy", jax.random.key(0))
        with pytest.raises(ValueError, match="must lie in 0…1, 0…16 or 0…255"):
            prepared.prepared(recipe, recipe.Settings(), source, jax.random.key(1))


def labelled(path, labels, test=None):
    """Write images that show their own number, with labels, perhaps with test images of their own."""
    images = np.repeat(np.arange(len(labels)) % 200, 64).reshape(-1, 8, 8).astype(np.uint8)
    if test is None:
        np.savez(path, X=images, y=labels)
    else:
        own = np.repeat(np.arange(len(test)) % 200, 64).reshape(-1, 8, 8).astype(np.uint8)
        np.savez(path, x_train=images, y_train=labels, x_test=own, y_test=test)
    return path


def test_every_part_has_its_share_of_every_class(tmp_path):
    labels = np.repeat([0, 1, 2], [100, 40, 1])
    source = pixels.read_images(labelled(tmp_path / "a.npz", labels), jax.random.key(3))
    counts = {part: np.bincount(labels[rows], minlength=3).tolist() for part, rows in source.parts.items()}
    assert counts == {"train": [70, 28, 1], "validation": [15, 6, 0], "test": [15, 6, 0]}
    assert sorted(np.concatenate(list(source.parts.values())).tolist()) == list(range(141))
    assert len(set(labels[source.parts["test"]][:8].tolist())) == 2  # mixed, not one class after another


def test_official_test_images_are_mixed_and_stay_test_images(tmp_path):
    labels, test = np.repeat([0, 1], 100), np.repeat([0, 1], 50)
    source = pixels.read_images(labelled(tmp_path / "a.npz", labels, test), jax.random.key(3))
    own = source.parts["test"]
    assert sorted(own.tolist()) == list(range(200, 300)) and 10 < (source.labels[own][:50] == 0).sum() < 40
    # A sixtieth would be 3 images to choose the best epoch by.
    assert len(source.parts["validation"]) == 40


@pytest.mark.parametrize(
    ("labels", "test", "words"),
    [
        (np.zeros(30, int), None, "30 images are too few to train on and to judge by: give at least 40"),
        (np.zeros(60, int), np.zeros(3, int), "60 images to train on and 3 to test on are too few"),
        (np.zeros(10, int), np.zeros(60, int), "10 images to train on and 60 to test on are too few"),
        (np.zeros(60, int), np.arange(60) % 2, "the class '1' has images to test on but none to train on"),
    ],
)
def test_too_few_images_are_refused_before_training(tmp_path, labels, test, words):
    with pytest.raises(ValueError, match=words):
        pixels.read_images(labelled(tmp_path / "a.npz", labels, test), jax.random.key(0))


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_a_learning_rate_may_be_traced(schedule):
    """As a sweep over it does; the rate of every step is that of the schedule with a number."""
    params = {"a": np.zeros(3, np.float32)}

    def after(rate):
        tx = pixels.adam(schedule, rate, 16)
        state, total = tx.init(params), params
        for _ in range(5):
            updates, state = tx.update({"a": np.ones(3, np.float32)}, state)
            total = jax.tree.map(lambda a, b: a + b, total, updates)
        return total["a"]

    np.testing.assert_allclose(jax.jit(after)(2e-3), after(2e-3), rtol=1e-5)
    assert np.abs(after(2e-3)).min() > 1e-5


def test_pixels_given_the_class_are_independent_in_each_class():
    own = digits()
    train, test = (own.labels_of(part) for part in ("train", "test"))
    whole = pixels.independent_likelihood(own)
    given = pixels.independent_likelihood(own._replace(conditions=ja.data.conditions({"class": list(map(str, train))})))
    expected = []
    for row, kind in zip(own.test, test, strict=True):
        rows = own.train[train == kind].astype(float)
        mean = (rows.sum(0) + 0.5) / (len(rows) + 1)
        expected.append((row * np.log(mean) + (1 - row) * np.log(1 - mean)).sum())
    np.testing.assert_allclose(given, np.mean(expected), rtol=1e-6)
    assert given > whole + 3


def test_what_a_poor_classifier_sees_is_doubted():
    found = generated.check_recognised({"recognised": 0.33}, {"recognised": 0.18})
    assert not found.passed and "itself right on only 18 % of test images" in found.text
    assert generated.check_recognised({"recognised": 0.95}, {"recognised": 0.98}).passed


def test_an_error_of_colours_does_not_cancel(tmp_path):
    images = np.zeros((4, 8, 8, 3), np.float32)
    own = digits()
    own = own._replace(test=images.reshape(4, -1), source=own.source._replace(shape=(8, 8, 3)))
    made = np.tile([0.5, 0.25, 0.0], (4, 64)).reshape(4, -1)
    (picture,) = pixels.sheets(tmp_path, own, made)
    assert "|difference|" in (tmp_path / "images.csv").read_text() and "cancel" not in picture.caption
    lines = [line for line in (tmp_path / "images.csv").read_text().splitlines() if "|difference|" in line]
    assert len(lines) == 4 * 8 and all(line.endswith(",0.25,0.25") for line in lines)


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
    path = folder_of(tmp_path / "images", sides=(10, 14), each=20)
    recipe = recipes.find("conv-autoencoder")
    settings = recipe.Settings(epochs=1, widths=(4,), latent=2, batch_size=8, size=8)
    study.train("conv-autoencoder", recipe, settings, out=tmp_path / "run", path=path, progress=False)
    loaded = study.load(tmp_path / "run", recipes.find)
    assert loaded.study.source.shape == (8, 8, 3)
    rows = loaded.read(path)
    assert rows.values.shape == (40, 192) and loaded.reconstruct(rows.values).shape == (40, 192)


@pytest.mark.parametrize("recipe", ["conv-autoencoder", "conv-vae", "dcgan", "class-gan", "class-vae"])
def test_a_folder_without_images_is_refused_by_every_recipe(recipe, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "notes.txt").write_text("none")
    found = recipes.find(recipe)
    with pytest.raises(ValueError, match=r"notes.txt"):
        study.train(recipe, found, found.Settings(), out=tmp_path / "run", path=tmp_path / "images", progress=False)
    assert not (tmp_path / "run").exists()


def test_sizes_that_do_not_come_back_are_refused_before_anything_is_written(tmp_path):
    path = folder_of(tmp_path / "images", sides=(10, 10), each=20)
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


def test_new_images_are_brought_to_the_scale_of_the_training_or_refused(trained, tmp_path):
    loaded = study.load(trained / "run", recipes.find)
    images = np.random.default_rng(0).uniform(size=(4, 12, 12, 3))
    for name, array, words in (
        ("unit", images, "go from 0.* to 0.* trained on 0…255"),
        ("huge", images * 1e6, "trained on 0…255"),
        ("negative", images - 0.5, "trained on 0…255"),
    ):
        np.save(tmp_path / f"{name}.npy", array)
        with pytest.raises(ValueError, match=words):
            loaded.read(tmp_path / f"{name}.npy")
    masks = images > 0.5
    np.save(tmp_path / "masks.npy", masks)
    np.testing.assert_array_equal(loaded.read(tmp_path / "masks.npy").values, 255 * masks.reshape(4, -1))


def test_a_model_that_is_told_the_class_is_not_probed_for_it(trained):
    loaded = study.load(trained / "run", recipes.find)
    rows = loaded.read(trained / "images")
    with pytest.raises(ValueError, match="told class, which says the label"):
        study.probe(loaded, rows.values, rows.labels, conditions=rows.conditions)


def test_images_of_a_model_of_classes_need_classes(trained, tmp_path):
    loaded = study.load(trained / "run", recipes.find)
    np.save(tmp_path / "a.npy", np.full((3, 12, 12, 3), 99, np.uint8))
    rows = loaded.read(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="sort the images into one folder for each class"):
        loaded.reconstruct(rows.values, rows.conditions)


def test_maps_and_walks_of_classes_say_what_they_show(trained):
    pictures = {each["file"]: each for each in json.loads((trained / "run" / "pictures.json").read_text())}
    assert "All are of one class" in pictures["traversal.png"]["caption"]
    assert "changes half way" in pictures["interpolation.png"]["caption"]
    numbers = (trained / "run" / "latent-maps.csv").read_text()
    assert "dark" in numbers and "LDA" not in numbers and "class" in pictures["latent-maps.png"]["caption"]


def test_a_sweep_over_the_learning_rate_of_images(trained, tmp_path):
    recipe = recipes.find("conv-vae")
    settings = recipe.Settings(epochs=1, widths=(4,), latent=2, batch_size=16)
    out = study.train(
        "conv-vae",
        recipe,
        settings,
        out=tmp_path / "run",
        path=trained / "images",
        sweep={"learning_rate": [1e-3, 1e-2]},
        progress=False,
    )
    assert len(json.loads((out / "metrics.json").read_text())["points"]) == 2
