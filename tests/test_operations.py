"""What a trained folder can do: denoise, detect, compress, probe, draw at conditions, hand on its encoder."""

import csv
import json
import os
import re
import shutil
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxae import checkpoint, cli, data, recipes, study

HEADER = "pressure,flow,heat,valve,level"
UNITS = np.asarray([1, 10, 0.1, 5, 1])


def write(path: Path, header: str, rows) -> Path:
    path.write_text("\n".join([header, *(",".join(str(cell) for cell in row) for row in rows)]) + "\n")
    return path


def run(*words) -> None:
    assert cli.main([str(word) for word in words]) == 0


def refused(capsys, *words) -> str:
    """Return the one sentence that a refused command prints."""
    capsys.readouterr()
    assert cli.main([str(word) for word in words]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("jaxae: ")]
    assert len(lines) == 1
    return lines[0]


def columns(path: Path) -> dict[str, list[str]]:
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


def numbers(path: Path) -> np.ndarray:
    return np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)


def plant(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Rows of one process with two factors; a shift of the third variable is an anomaly."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 2)) @ np.random.default_rng(9).normal(size=(2, 5)) + 0.1 * rng.normal(size=(n, 5))
    rows[:, 2] += shift
    return rows * UNITS + [0, 100, -3, 7, 1]


def graded(n: int, seed: int):
    """Rows whose first column follows a temperature and whose second follows a grade."""
    rng = np.random.default_rng(seed)
    temperature, ore = rng.uniform(300, 500, n).round(), rng.random(n) < 0.5
    first, second = 0.1 * temperature + 0.5 * rng.normal(size=n), 100 * ore + rng.normal(size=n)
    return [(*row, "ore" if is_ore else "scrap") for *row, is_ore in zip(first, second, temperature, ore, strict=True)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small trained model of every kind that the tests need, and the files they were trained on."""
    root = tmp_path_factory.mktemp("operations")
    normal, strange = plant(600, 0), plant(30, 1, shift=3.0)
    write(root / "plant.csv", HEADER, normal)
    both = [(*row, label) for rows, label in ((normal, 0), (strange, 1)) for row in rows]
    write(root / "labelled.csv", f"{HEADER},fault", both)
    write(root / "new.csv", HEADER, [*plant(5, 2), *strange[:5]])
    write(root / "grades.csv", "a,b,temperature,grade", graded(600, 3))
    stamps = [f"2024-01-{1 + i // 1440:02d}T{i // 60 % 24:02d}:{i % 60:02d}:00" for i in range(1500)]
    wave = np.sin(np.arange(1500) / 4) + 0.05 * np.random.default_rng(4).normal(size=1500)
    wave[1300:1303] += 4
    write(root / "sensor.csv", "when,value", zip(stamps, wave, strict=True))
    train, few = ("train", "--no-cache", "--out"), ("--set", "batch_size=20", "epochs=40", "learning_rate=1e-2")
    run(*train, root / "denoising", "denoising", "--data", root / "plant.csv", *few, "widths=32", "latent=3")
    labels = ("--data", root / "labelled.csv", *few, "label=fault", "widths=16", "latent=2")
    run(*train, root / "anomaly", "anomaly", *labels)
    ensemble = ("--data", root / "labelled.csv", "--set", "members=3", "label=fault")
    run(*train, root / "detector", "detector", *ensemble)
    run(*train, root / "svdd", "detector", *ensemble, "kind=svdd", "learning_rate=1e-3")
    run(*train, root / "nats", "detector", *ensemble, "kind=variational", "latent=2")
    given = ("condition=temperature,grade", "widths=16", "latent=1")
    run(*train, root / "conditional", "conditional-vae", "--data", root / "grades.csv", *few, *given)
    windows = ("length=24", "widths=12", "latent=3", "rate=0.01", "epochs=30", "batch_size=50")
    run(*train, root / "series", "series", "--data", root / "sensor.csv", "--set", *windows)
    own = ("--set", "rows=200", "batch_size=50", "epochs=2", "variables=5")
    run(*train, root / "gan", "gan", *own)
    return root


class TestRareValues:
    @pytest.mark.parametrize("recipe", ["conditional-vae", "vae"])
    def test_a_column_that_is_constant_among_the_held_out_rows(self, tmp_path, recipe):
        """Of 400 rows one has another value: it trains, and all that are held out are alike."""
        rows = np.c_[plant(400, 0), np.zeros(400)]
        train = data.split(jax.random.split(jax.random.key(0), 5)[1], 400, fractions=(0.5, 0.2, 0.3))[0]
        rows[train[0], 5] = 1
        words = ["--data", write(tmp_path / "rare.csv", f"{HEADER},rare", rows), "--epochs", "1", "--no-cache"]
        more = ["--set", "condition=flow"] if recipe == "conditional-vae" else []
        run("train", recipe, *words, *more, "--out", tmp_path / "run")
        assert "rare" in json.loads((tmp_path / "run" / "config.json").read_text())["scaling"]["columns"]


class TestEnsemble:
    @pytest.mark.parametrize("name", ["detector", "svdd"])
    def test_alarms_scores_and_reasons(self, folder, tmp_path, name):
        run("detect", folder / name, "--data", folder / "new.csv", "--rate", "0.02", "--out", tmp_path / "a.csv")
        found = columns(tmp_path / "a.csv")
        score = np.array(found["score"], float)
        assert score[5:].min() > score[:5].max()
        parts = np.array([found[f"contribution_{each}"] for each in HEADER.split(",")], float)
        np.testing.assert_allclose(parts.sum(0), score, rtol=1e-3)
        if name == "detector":
            assert found["alarm"] == ["0"] * 5 + ["1"] * 5
            assert all(because.startswith(HEADER.split(",")[2]) for because in found["because"][5:])
        else:
            assert all(re.match(r"\w+ makes \d+% of it", because) for because in found["because"])

    def test_scores_in_nats_may_be_below_0(self, folder, tmp_path):
        """A likelihood is a density: of rows that are reproduced well minus its logarithm is below 0."""
        run("detect", folder / "nats", "--data", folder / "new.csv", "--rate", "0.02", "--out", tmp_path / "a.csv")
        found = columns(tmp_path / "a.csv")
        score = np.array(found["score"], float)
        assert score[:5].max() < 0 < score[5:].min() and found["alarm"] == ["0"] * 5 + ["1"] * 5
        parts = np.array([found[f"contribution_{each}"] for each in HEADER.split(",")], float)
        np.testing.assert_allclose(parts.sum(0), score, rtol=1e-3)
        assert all(because.startswith(HEADER.split(",")[2]) for because in found["because"][5:])

    def test_reasons_are_in_the_users_units(self, folder, tmp_path):
        run("detect", folder / "detector", "--data", folder / "new.csv", "--out", tmp_path / "a.csv")
        values = numbers(folder / "new.csv")
        said = [
            re.search(r"sd above what its row implies \((\S+), not (\S+)\)", each)
            for each in columns(tmp_path / "a.csv")["because"][5:]
        ]
        np.testing.assert_allclose([float(each[1]) for each in said], values[5:, 2], rtol=1e-3)
        # Each was moved by three units of its column.
        implied = values[5:, 2] - np.array([float(each[2]) for each in said])
        assert (implied > 0.5 * 3 * UNITS[2]).all()

    def test_its_scores_are_those_of_the_estimator(self, folder):
        loaded = study.load(folder / "detector", recipes.find)
        rows = numbers(folder / "new.csv")
        scaled = loaded.study.scaling.apply(rows)
        found = loaded.detect(rows, rate=0.05)
        np.testing.assert_allclose(found.score, -loaded.study.bound.score_samples(scaled), rtol=1e-4)
        assert 0.3 < np.median(np.load(folder / "detector" / "reference.npy")) < 3

    def test_it_reconstructs_what_it_can(self, folder, tmp_path, capsys):
        run("reconstruct", folder / "detector", "--data", folder / "plant.csv", "--out", tmp_path / "r.csv")
        rows = numbers(folder / "plant.csv")
        assert (((numbers(tmp_path / "r.csv") - rows) / rows.std(0)) ** 2).mean() < 0.5
        words = ("--data", folder / "new.csv", "--out", tmp_path / "x.csv")
        assert "Deep SVDD reconstructs nothing" in refused(capsys, "reconstruct", folder / "svdd", *words)

    @pytest.mark.parametrize("words", ["--seeds 3", "--sweep learning_rate=1e-3,1e-2", "--search halving"])
    def test_it_is_a_population_already(self, tmp_path, capsys, words):
        words = (*words.split(), "--out", tmp_path / "d")
        assert "trains an ensemble of its own" in refused(capsys, "train", "detector", *words)

    def test_it_begins_from_the_start(self, folder, tmp_path, capsys):
        words = ("--init", folder / "denoising", "--data", folder / "plant.csv", "--out", tmp_path / "d")
        assert "trains by itself" in refused(capsys, "train", "detector", *words)

    @pytest.mark.parametrize("given", ["kind=forest", "noise=-1", "trim=1"])
    def test_settings_that_are_refused(self, tmp_path, capsys, given):
        assert given.split("=")[0] in refused(capsys, "train", "detector", "--set", given, "--out", tmp_path / "d")


class TestDenoise:
    def test_rows_come_back_cleaner_in_their_columns_and_units(self, folder, tmp_path):
        clean = plant(200, 5)
        noisy = clean + 0.5 * clean.std(0) * np.random.default_rng(6).normal(size=clean.shape)
        write(tmp_path / "noisy.csv", HEADER, noisy)
        run("denoise", folder / "denoising", "--data", tmp_path / "noisy.csv", "--out", tmp_path / "clean.csv")
        assert (tmp_path / "clean.csv").read_text().splitlines()[0] == HEADER
        left = (numbers(tmp_path / "clean.csv") - clean) / clean.std(0)
        # Two factors in five variables: a projection alone leaves 2/5 of the noise's 0.25.
        assert (left**2).mean() < 0.6 * 0.25

    def test_a_model_that_was_not_trained_to(self, capsys, folder, tmp_path):
        said = refused(capsys, "denoise", folder / "anomaly", "--out", tmp_path / "x.csv")
        assert (
            "cannot denoise; it can encode, decode, reconstruct, detect, compress" in said
            and not (tmp_path / "x.csv").exists()
        )

    @pytest.mark.parametrize(
        ("header", "cells", "words"),
        [
            (HEADER, [1, "", 3, 4, 5], "bad.csv has no value in row 1"),
            (HEADER, [1, "inf", 3, 4, 5], "bad.csv is infinite in row 1"),
            (HEADER, [1, "hot", 3, 4, 5], "'hot'"),
            ("pressure,flow", [1, 2], "lacks 3 of the 5 expected columns"),
        ],
    )
    @pytest.mark.parametrize("operation", ["denoise", "detect", "compress"])
    def test_bad_rows(self, capsys, folder, tmp_path, header, cells, words, operation):
        write(tmp_path / "bad.csv", header, [cells, [1, 2, 3, 4, 5][: len(cells)]])
        model = folder / ("denoising" if operation == "denoise" else "anomaly")
        out = tmp_path / ("x.npz" if operation == "compress" else "x.csv")
        assert words in refused(capsys, operation, model, "--data", tmp_path / "bad.csv", "--out", out)
        assert not out.exists()


class TestDetect:
    def test_alarms_p_values_and_what_contributes(self, capsys, folder, tmp_path):
        out = tmp_path / "alarms.csv"
        run("detect", folder / "anomaly", "--data", folder / "new.csv", "--rate", "0.02", "--out", out)
        assert "5 alarms in 10 rows, of which about 0.2 would be raised by normal rows" in capsys.readouterr().err
        found = columns(out)
        names = [f"contribution_{name}" for name in HEADER.split(",")]
        assert list(found) == ["score", "p_value", "alarm", *names, "because"]
        assert found["alarm"] == ["0"] * 5 + ["1"] * 5
        score, p_value = (np.asarray(found[name], float) for name in ("score", "p_value"))
        np.testing.assert_allclose(sum(np.asarray(found[name], float) for name in names), score, rtol=1e-6)
        assert (p_value[5:] <= 0.02).all() and (p_value[:5] > 0.02).all()
        # The fault shifts the third variable; a code of two factors explains a part of it by others.
        assert all("heat" in because for because in found["because"][5:])
        assert found["because"][5].count("%") == 3

    def test_p_values_count_the_held_out_normal_rows(self, folder, tmp_path):
        run("detect", folder / "anomaly", "--data", folder / "new.csv", "--rate", "0.1", "--out", tmp_path / "a.csv")
        found, normal = columns(tmp_path / "a.csv"), np.load(folder / "anomaly" / "reference.npy")
        expected = [(1 + (normal >= float(score)).sum()) / (1 + len(normal)) for score in found["score"]]
        np.testing.assert_allclose(np.asarray(found["p_value"], float), expected, rtol=1e-6)

    def test_labelled_anomalies_only_test(self, folder):
        config = json.loads((folder / "anomaly" / "config.json").read_text())
        metrics = json.loads((folder / "anomaly" / "metrics.json").read_text())
        assert config["data"]["columns"] == HEADER.split(",")
        split = config["data"]["split"]
        assert sum(split.values()) == 630 and split["test"] >= 30 + 600 // 10
        assert metrics["metrics"]["auroc"] > 0.99 and metrics["metrics"]["detection_rate"] > 0.9

    @pytest.mark.parametrize(
        ("rate", "words"),
        [
            ("0", "rate is 0, but must be"),
            ("1", "rate is 1, but must be"),
            ("nan", "rate is nan"),
            ("0.0001", "0.0001"),
        ],
    )
    def test_rates_that_cannot_be(self, capsys, folder, tmp_path, rate, words):
        out = tmp_path / "x.csv"
        said = refused(capsys, "detect", folder / "anomaly", "--data", folder / "new.csv", "--rate", rate, "--out", out)
        assert words in said and not out.exists()

    def test_a_gan_cannot(self, capsys, folder, tmp_path):
        said = refused(capsys, "detect", folder / "gan", "--data", folder / "new.csv", "--out", tmp_path / "x.csv")
        assert "cannot detect; it can sample" in said

    @pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"\x93NUMPY")])
    def test_without_its_reference_no_alarm_is_raised(self, capsys, folder, tmp_path, damage):
        shutil.copytree(folder / "anomaly", tmp_path / "run")
        damage(tmp_path / "run" / "reference.npy")
        words = ("detect", tmp_path / "run", "--data", folder / "new.csv", "--out", tmp_path / "x.csv")
        assert "reference.npy is missing or damaged, so no alarm can be calibrated" in refused(capsys, *words)

    @pytest.mark.parametrize(
        ("label", "header", "words"),
        [
            ("falt", f"{HEADER},fault", "bad.csv has no column 'falt'; it has 'fault'"),
            (
                "fault",
                f"{HEADER},fault",
                "fault must hold 0 for normal rows and another number for anomalies; row 1 holds 'yes'",
            ),
        ],
    )
    def test_labels_that_are_none(self, capsys, tmp_path, label, header, words):
        write(tmp_path / "bad.csv", header, [(*row, "yes") for row in plant(40, 0)])
        said = refused(
            capsys,
            "train",
            "anomaly",
            "--data",
            tmp_path / "bad.csv",
            "--set",
            f"label={label}",
            "--out",
            tmp_path / "r",
        )
        assert words in said and not (tmp_path / "r").exists()

    @pytest.mark.parametrize(
        ("labels", "words"),
        [
            ([1] * 40, "fault marks every row as an anomaly: 0 must stand for the normal ones"),
            ([0, 0, "", *[1] * 37], "fault has no value in row 3: write 0 for normal rows and 1 for anomalies"),
        ],
    )
    @pytest.mark.parametrize("recipe", ["anomaly", "series"])
    def test_labels_are_never_filled_in(self, capsys, tmp_path, recipe, labels, words):
        write(tmp_path / "bad.csv", f"{HEADER},fault", [(*row, y) for row, y in zip(plant(40, 0), labels, strict=True)])
        options = ("--data", tmp_path / "bad.csv", "--set", "label=fault", "--impute", "mean", "--out", tmp_path / "r")
        assert words in refused(capsys, "train", recipe, *options)

    def test_too_few_rows_for_the_rate_are_refused_before_training(self, capsys, tmp_path):
        write(tmp_path / "few.csv", HEADER, plant(40, 0))
        words = ("--data", tmp_path / "few.csv", "--set", "rate=0.001", "--out", tmp_path / "r")
        assert "0.001" in refused(capsys, "train", "anomaly", *words)
        assert not any(line.startswith("epoch") for line in capsys.readouterr().err.splitlines())

    def test_by_default_at_the_rate_of_the_settings(self, capsys, folder, tmp_path):
        run("detect", folder / "anomaly", "--data", folder / "new.csv", "--out", tmp_path / "a.csv")
        assert "at a rate of 0.05" in capsys.readouterr().err

    def test_the_rate_of_a_noise_is_none_of_alarms(self, capsys, folder, tmp_path):
        run("detect", folder / "denoising", "--data", folder / "new.csv", "--rate", "0.02", "--out", tmp_path / "a.csv")
        capsys.readouterr()
        words = ("detect", folder / "denoising", "--data", folder / "new.csv", "--out", tmp_path / "a.csv")
        assert "90 reference scores cannot hold a false alarm rate of 0.01" in refused(capsys, *words)

    @pytest.mark.parametrize("name", ["anomaly", "detector", "nats", "denoising"])
    def test_a_broken_reading_is_an_alarm(self, folder, tmp_path, name):
        broken = [[value, 100, -3, 7, 1] for value in (1e30, -1e300)]
        write(tmp_path / "broken.csv", HEADER, [plant(1, 2)[0], *broken])
        words = ("--rate", "0.02", "--out", tmp_path / "a.csv")
        run("detect", folder / name, "--data", tmp_path / "broken.csv", *words)
        found = columns(tmp_path / "a.csv")
        assert found["alarm"] == ["0", "1", "1"]
        assert all(np.isfinite(float(score)) for score in found["score"])
        assert all("pressure" in words for words in found["because"][1:])

    def test_a_detector_is_passed_on_as_it_is(self, capsys, folder, tmp_path):
        said = refused(capsys, "export", folder / "detector", "--out", tmp_path / "model.safetensors")
        assert "holds an ensemble" in said and "estimators.save" in said

    def test_a_row_is_as_strange_alone_as_among_others(self, tmp_path):
        """Of whole numbers many rows are equal, so their scores must be, whatever the size of the batch."""
        rows = np.random.default_rng(3).integers(0, 3, (400, 4))
        write(tmp_path / "whole.csv", "a,b,c,d", rows)
        words = ("--set", "batch_size=50", "epochs=3", "widths=8", "latent=2")
        run("train", "anomaly", "--data", tmp_path / "whole.csv", *words, "--out", tmp_path / "run", "--no-cache")
        trained = study.load(tmp_path / "run", recipes.find)
        together = trained.detect(rows.astype(float), rate=0.1).p_value
        alone = [trained.detect(row[None].astype(float), rate=0.1).p_value[0] for row in rows[:30]]
        np.testing.assert_array_equal(together[:30], alone)

    def test_words_have_no_place_in_an_array(self, capsys, folder, tmp_path):
        words = ("--data", folder / "new.csv", "--out", tmp_path / "a.npy")
        assert "can hold no words, and 'because' are words" in refused(capsys, "detect", folder / "anomaly", *words)


class TestPlacesToWrite:
    @pytest.mark.parametrize("operation", ["encode", "reconstruct", "detect"])
    def test_not_over_the_rows_themselves(self, capsys, folder, tmp_path, operation):
        shutil.copy(folder / "new.csv", tmp_path / "rows.csv")
        words = ("--data", tmp_path / "rows.csv", "--out", tmp_path / "." / "rows.csv")
        assert "which would be lost" in refused(capsys, operation, folder / "anomaly", *words)
        assert (tmp_path / "rows.csv").read_bytes() == (folder / "new.csv").read_bytes()

    def test_not_into_the_trained_folder(self, capsys, folder):
        before = (folder / "anomaly" / "scores.csv").read_bytes()
        words = ("--data", folder / "new.csv", "--out", folder / "anomaly" / "scores.csv")
        assert "lies in the trained folder" in refused(capsys, "encode", folder / "anomaly", *words)
        assert (folder / "anomaly" / "scores.csv").read_bytes() == before


class TestDamagedFolders:
    @pytest.mark.parametrize("name", ["config.json", "metrics.json"])
    @pytest.mark.parametrize("content", ["{}", "[]", "{"])
    def test_what_does_not_describe_a_model(self, capsys, folder, tmp_path, name, content):
        shutil.copytree(folder / "anomaly", tmp_path / "run")
        (tmp_path / "run" / name).write_text(content)
        said = refused(capsys, "encode", tmp_path / "run", "--data", folder / "new.csv", "--out", tmp_path / "x.csv")
        assert "does not describe a trained model" in said or "is no trained folder" in said

    def test_only_alarms_need_the_reference(self, folder, tmp_path):
        shutil.copytree(folder / "anomaly", tmp_path / "run")
        (tmp_path / "run" / "reference.npy").unlink()
        run("encode", tmp_path / "run", "--data", folder / "new.csv", "--out", tmp_path / "x.csv")


class TestDetectInASeries:
    def test_stamps_are_kept_and_the_event_is_found(self, folder, tmp_path):
        run("detect", folder / "series", "--rate", "0.01", "--out", tmp_path / "events.csv")
        found = columns(tmp_path / "events.csv")
        assert list(found)[:5] == ["when", "score", "p_value", "alarm", "event"]
        assert found["when"][1300] == "2024-01-01T21:40:00" and len(found["when"]) == 1500
        alarm, event = (np.asarray(found[name], int) for name in ("alarm", "event"))
        assert alarm[1300:1303].all() and alarm.mean() < 0.05
        assert len(set(event[1300:1303])) == 1 and event[1300] > 0
        assert (event[alarm == 1] > 0).all()

    def test_reconstruction_keeps_the_stamps(self, folder, tmp_path):
        run("reconstruct", folder / "series", "--out", tmp_path / "smooth.csv")
        found = columns(tmp_path / "smooth.csv")
        assert list(found) == ["when", "value"] and len(found["value"]) == 1500

    def test_stamps_that_are_not_evenly_spaced_are_said_so(self, folder, tmp_path, capsys):
        lines = (folder / "sensor.csv").read_text().splitlines()
        (tmp_path / "gap.csv").write_text("\n".join(lines[:200] + lines[230:400] + lines[399:1000]) + "\n")
        words = ("--set", "length=24", "widths=8", "epochs=1", "batch_size=50", "rate=0.05")
        run("train", "series", "--data", tmp_path / "gap.csv", *words, "--out", tmp_path / "run", "--no-cache")
        notes = json.loads((tmp_path / "run" / "config.json").read_text())["data"]["notes"]
        assert any("not evenly spaced" in note and "1 longer than the usual 60 s" in note for note in notes)
        assert any("1 of 0 s" in note for note in notes)

    @pytest.mark.parametrize(
        ("stamps", "words"),
        [
            ([f"2024-01-01T00:{i // 60:02d}:{i % 60:02d}+01:00" for i in range(300)], None),
            ([f"2024-01-01T00:00:{i // 10:02d}.{i % 10}" for i in range(300)], None),
            ([str(1_700_000_000 + 60 * i) for i in range(300)], "when rises from every point to the next: if it says"),
        ],
    )
    def test_stamps_of_every_kind(self, tmp_path, stamps, words):
        recipe = recipes.find("series")
        write(tmp_path / "s.csv", "when,value", zip(stamps, np.sin(np.arange(300) / 4), strict=True))
        source = recipe.read(recipe.Settings(), tmp_path / "s.csv", None, None)
        assert [note for note in source.notes if "evenly" in note] == []
        if words is None:
            assert source.stamp == "when" and source.columns == ("value",)
        else:
            assert any(words in note for note in source.notes) and source.columns == ("when", "value")
            named = recipe.read(recipe.Settings(stamp="when"), tmp_path / "s.csv", None, None)
            assert named.stamps == tuple(stamps) and named.columns == ("value",)

    def test_labelled_points_do_not_calibrate(self, tmp_path):
        """Half of the calibration points are labelled: the threshold is that of the others."""
        wave = np.sin(np.arange(1000) / 4) + 0.05 * np.random.default_rng(4).normal(size=1000)
        wave[550:580] += 3
        label = np.isin(np.arange(1000), np.arange(545, 590)).astype(int)
        rows = np.column_stack([wave, label])
        write(tmp_path / "s.csv", "value,fault", rows)
        words = ("length=24", "widths=8", "latent=2", "epochs=3", "batch_size=50", "rate=0.05", "label=fault")
        run("train", "series", "--data", tmp_path / "s.csv", "--set", *words, "--out", tmp_path / "r", "--no-cache")
        assert len(np.load(tmp_path / "r" / "reference.npy")) == 100 - 45
        found = json.loads((tmp_path / "r" / "config.json").read_text())["data"]["notes"]
        assert not any("learn from" in note for note in found)

    def test_rows_without_anything_normal(self, capsys, tmp_path):
        label = (np.arange(1000) >= 600).astype(int)
        write(tmp_path / "s.csv", "value,fault", np.column_stack([np.sin(np.arange(1000) / 4), label]))
        words = ("--data", tmp_path / "s.csv", "--set", "label=fault", "--out", tmp_path / "r")
        assert "fault marks all points of the last 40 %" in refused(capsys, "train", "series", *words)

    def test_fewer_points_than_a_window(self, capsys, folder, tmp_path):
        lines = (folder / "sensor.csv").read_text().splitlines()
        (tmp_path / "short.csv").write_text("\n".join(lines[:20]) + "\n")
        said = refused(
            capsys, "detect", folder / "series", "--data", tmp_path / "short.csv", "--out", tmp_path / "x.csv"
        )
        assert "19" in said and "24" in said

    def test_stamps_that_do_not_exist(self, capsys, folder, tmp_path):
        words = ("--data", folder / "sensor.csv", "--set", "stamp=wen", "--out", tmp_path / "run")
        assert "sensor.csv has no column 'wen'; it has 'when'" in refused(capsys, "train", "series", *words)


class TestCompress:
    def test_there_and_back(self, capsys, folder, tmp_path):
        files, errors = {}, {}
        run("reconstruct", folder / "anomaly", "--data", folder / "plant.csv", "--out", tmp_path / "exact.csv")
        for bits in (2, 8, 16):
            codes, rows = tmp_path / f"{bits}.npz", tmp_path / f"{bits}.csv"
            capsys.readouterr()
            words = ("--data", folder / "plant.csv", "--bits", bits, "--out", codes)
            run("compress", folder / "anomaly", *words)
            said = capsys.readouterr().out
            run("decompress", folder / "anomaly", "--data", codes, "--out", rows)
            assert f"{codes.stat().st_size:,} bytes" in said and "scaled units" in said
            assert rows.read_text().splitlines()[0] == HEADER
            files[bits] = codes.stat().st_size
            errors[bits] = np.abs((numbers(rows) - numbers(tmp_path / "exact.csv")) / UNITS).max()
        assert files[2] < files[8] < files[16] and errors[2] > errors[8] > errors[16]
        # 600 rows of 2 numbers: a step from 2 to 8 bits is 900 bytes, one to 16 bits 1,200 more.
        assert files[8] - files[2] == 900 and files[16] - files[8] == 1200
        assert errors[16] < 1e-3

    def test_the_stated_error_is_that_of_what_comes_back(self, folder, tmp_path):
        trained = study.load(folder / "anomaly", recipes.find)
        rows = plant(100, 7)
        stated = study.compress(trained, rows, tmp_path / "codes.npz", bits=3)
        back = study.decompress(trained, tmp_path / "codes.npz")
        scale = trained.study.scaling.scale
        assert stated.error == pytest.approx((((back - rows) / scale) ** 2).mean(), rel=1e-4)
        own = ((trained.reconstruct(rows) - rows) / scale) ** 2
        assert stated.error_unquantised == pytest.approx(own.mean(), rel=1e-4)
        assert stated.error > stated.error_unquantised and stated.original_bytes == 2000
        assert stated.bytes == (tmp_path / "codes.npz").stat().st_size

    @pytest.mark.parametrize("bits", [0, 17, -1])
    def test_precisions_that_cannot_be(self, capsys, folder, tmp_path, bits):
        words = ("--data", folder / "plant.csv", "--out", tmp_path / "x.npz", f"--bits={bits}")
        said = refused(capsys, "compress", folder / "anomaly", *words)
        assert f"bits is {bits}, but must be a whole number from 1 to 16" in said and not (tmp_path / "x.npz").exists()

    def test_a_file_of_another_kind(self, capsys, folder, tmp_path):
        words = ("--data", folder / "plant.csv", "--out", tmp_path / "x.csv")
        assert "must end in .npz" in refused(capsys, "compress", folder / "anomaly", *words)

    def test_models_that_cannot(self, capsys, folder, tmp_path):
        out = ("--out", tmp_path / "x.npz")
        said = refused(capsys, "compress", folder / "conditional", "--data", folder / "grades.csv", *out)
        assert "cannot compress; it can encode, decode, reconstruct, detect, sample" in said
        said = refused(capsys, "compress", folder / "series", "--data", folder / "sensor.csv", *out)
        assert "cannot compress; it can encode, reconstruct, detect" in said
        said = refused(capsys, "compress", folder / "gan", "--data", folder / "plant.csv", *out)
        assert "cannot compress; it can sample" in said

    def test_what_cannot_be_decompressed(self, capsys, folder, tmp_path):
        codes, out = tmp_path / "codes.npz", ("--out", tmp_path / "x.csv")
        run("compress", folder / "anomaly", "--data", folder / "plant.csv", "--out", codes)
        said = refused(capsys, "decompress", folder / "denoising", "--data", codes, *out)
        assert "was written with another model" in said
        said = refused(capsys, "decompress", folder / "anomaly", "--data", tmp_path / "no.npz", *out)
        assert "no.npz does not exist" in said
        said = refused(capsys, "decompress", folder / "anomaly", "--data", folder / "plant.csv", *out)
        assert "is no file of codes, or it is damaged" in said
        content = bytearray(codes.read_bytes())
        content[len(content) // 2] ^= 1
        codes.write_bytes(content)
        assert "is no file of codes, or it is damaged" in refused(
            capsys, "decompress", folder / "anomaly", "--data", codes, *out
        )
        assert not (tmp_path / "x.csv").exists()


class TestProbe:
    @pytest.fixture
    def kinds(self, tmp_path):
        """Rows whose kind follows the sign of their first factor, in words and in numbers."""
        rows = plant(200, 8)
        return write(
            tmp_path / "kinds.csv",
            f"{HEADER},kind,number",
            [(*row, "high" if row[0] > 0 else "low", int(row[0] > 0)) for row in rows],
        )

    @pytest.mark.parametrize("label", ["kind", "number"])
    def test_codes_beside_components_and_rows(self, capsys, folder, kinds, label):
        run("probe", folder / "anomaly", "--data", kinds, "--label", label)
        lines = capsys.readouterr().out.splitlines()
        assert [line.split(":")[0] for line in lines] == ["codes", "2 principal components", "the rows themselves"]
        # The label is a linear function of two factors and little noise.
        assert all(float(line.split(": ")[1].split(" ±")[0]) > 0.85 for line in lines)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (("--label", "knd"), "kinds.csv has no column 'knd'; it has 'kind'"),
            (("--label", "kind", "--folds", "1"), "folds is 1, but must be a whole number ≥ 2"),
            (("--label", "kind", "--folds", "150"), "each on 150 rows or more"),
            (("--label", "pressure"), "pressure is a column that the model was trained on"),
        ],
    )
    def test_labels_that_cannot_be_probed(self, capsys, folder, kinds, options, words):
        assert words in refused(capsys, "probe", folder / "anomaly", "--data", kinds, *options)

    def test_codes_of_windows(self, capsys, folder):
        words = ("--data", folder / "sensor.csv", "--label", "when")
        assert "codes of this model are of windows" in refused(capsys, "probe", folder / "series", *words)

    def test_a_row_without_a_label(self, capsys, folder, tmp_path):
        rows = [(*row, kind) for row, kind in zip(plant(20, 8), ["a", "b"] * 9 + ["", "a"], strict=True)]
        write(tmp_path / "gap.csv", f"{HEADER},kind", rows)
        words = ("--data", tmp_path / "gap.csv", "--label", "kind")
        assert "kind has no value in row 19" in refused(capsys, "probe", folder / "anomaly", *words)


class TestGiven:
    def test_rows_follow_the_conditions(self, folder, tmp_path, recwarn):
        out = tmp_path / "drawn.csv"
        words = ("--given", "temperature=320,480", "grade=ore,scrap", "--rows", "200")
        run("sample", folder / "conditional", *words, "--out", out)
        found = columns(out)
        assert list(found) == ["grade", "temperature", "a", "b"] and len(found["a"]) == 800
        a, b, temperature = (np.asarray(found[name], float) for name in ("a", "b", "temperature"))
        ore = np.asarray(found["grade"]) == "ore"
        assert set(temperature) == {320, 480}
        # Standard deviations are 0.5 and 1; a model trained so briefly is near, not exact.
        for value in (320, 480):
            assert a[temperature == value].mean() == pytest.approx(0.1 * value, abs=2)
        assert b[ore].mean() == pytest.approx(100, abs=8) and b[~ore].mean() == pytest.approx(0, abs=8)

    def test_the_same_seed_draws_the_same_rows(self, folder, tmp_path):
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            words = ("--given", "temperature=400", "grade=ore", "--rows", "5", "--seed", seed)
            run("sample", folder / "conditional", *words, "--out", tmp_path / f"{name}.csv")
        first, again, other = ((tmp_path / f"{name}.csv").read_bytes() for name in "abc")
        assert first == again != other

    def test_outside_the_training_range_one_is_warned(self, capsys, folder, tmp_path):
        words = ("--given", "temperature=900,1000", "grade=ore", "--rows", "3", "--out", tmp_path / "x.csv")
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            run("sample", folder / "conditional", *words)
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("jaxae: ")]
        assert len(said) == 1 and "temperature 900, 1000 is outside 300 to 500" in said[0]

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (("temperature=400",), "give a value for 'grade': the model is conditioned on 'temperature', 'grade'"),
            (("temprature=400", "grade=ore"), "there is no condition 'temprature'; there is: temperature"),
            (("temperature=hot", "grade=ore"), "temperature is 'hot', but must be a number"),
            (("temperature=nan", "grade=ore"), "temperature must be n finite numbers"),
            (("temperature=400", "grade=or"), "grade is 'or', but the model knows 'ore', 'scrap'"),
            (("temperature", "grade=ore"), "--given 'temperature' is no setting: write --given name=value"),
        ],
    )
    def test_conditions_that_are_none(self, capsys, folder, tmp_path, given, words):
        out = tmp_path / "x.csv"
        assert words in refused(capsys, "sample", folder / "conditional", "--given", *given, "--out", out)
        assert not out.exists()

    def test_no_conditions_at_all(self, capsys, folder, tmp_path):
        said = refused(capsys, "sample", folder / "conditional", "--out", tmp_path / "x.csv")
        assert "give a value for 'temperature', 'grade'" in said
        words = ("--given", "temperature=400", "--out", tmp_path / "x.csv")
        assert "this model is conditioned on nothing" in refused(capsys, "sample", folder / "gan", *words)

    def test_rows_to_encode_bring_their_conditions(self, capsys, folder, tmp_path):
        run("reconstruct", folder / "conditional", "--data", folder / "grades.csv", "--out", tmp_path / "r.csv")
        assert (tmp_path / "r.csv").read_text().splitlines()[0] == "a,b"
        write(tmp_path / "less.csv", "a,b,temperature", [(1, 2, 400)])
        words = ("--data", tmp_path / "less.csv", "--out", tmp_path / "x.csv")
        assert "grade" in refused(capsys, "encode", folder / "conditional", *words)

    def test_words_may_hold_a_comma_and_look_like_numbers(self, tmp_path):
        rng = np.random.default_rng(0)
        kinds = ['"brass, hard"', "01", "02"]
        rows = [(*row, kinds[i % 3]) for i, row in enumerate(rng.normal(size=(90, 2)))]
        write(tmp_path / "k.csv", "a,b,kind", rows)
        words = ("--set", "condition=kind", "batch_size=20", "epochs=1", "widths=8", "latent=1")
        run("train", "conditional-vae", "--data", tmp_path / "k.csv", *words, "--out", tmp_path / "r", "--no-cache")
        run("sample", tmp_path / "r", "--given", "kind=brass, hard", "--rows", "2", "--out", tmp_path / "x.csv")
        assert columns(tmp_path / "x.csv")["kind"] == ["brass, hard"] * 2
        write(tmp_path / "one.csv", "a,b,kind", [(1, 2, "01"), (1, 2, "02")])
        run("encode", tmp_path / "r", "--data", tmp_path / "one.csv", "--out", tmp_path / "z.csv")

    @pytest.mark.parametrize(
        ("condition", "words"),
        [
            ("condition=temprature", "grades.csv has no column 'temprature'; it has 'temperature'"),
            ("condition=a,b,temperature,grade", "grades.csv has no column beside 'a', 'b', 'temperature', 'grade'"),
            ("condition=grade,grade", "condition is grade,grade, which names a column twice"),
            ("one_hot=grade", "there is no condition 'grade' for one_hot; there is: temperature"),
        ],
    )
    def test_conditions_that_cannot_be_trained_on(self, capsys, folder, tmp_path, condition, words):
        options = ("--data", folder / "grades.csv", "--set", condition, "--out", tmp_path / "r")
        assert words in refused(capsys, "train", "conditional-vae", *options)
        assert not (tmp_path / "r").exists()


class TestInit:
    def params(self, path):
        return checkpoint.load(path / "model.safetensors").variables["params"]

    def test_training_begins_with_the_other_encoder(self, folder, tmp_path):
        """With a vanishing learning rate the encoder stays what it was; the decoder is a new one."""
        few = ("--set", "batch_size=100", "epochs=1", "widths=16", "latent=2", "learning_rate=1e-12", "weight_decay=0")
        words = ("autoencoder", "--data", folder / "plant.csv", *few, "--no-cache", "--init", folder / "anomaly")
        run("train", *words, "--out", tmp_path / "run")
        old, new = self.params(folder / "anomaly"), self.params(tmp_path / "run")
        for leaf in ("kernel", "bias"):
            np.testing.assert_allclose(
                new["encoder"]["Dense_0"][leaf], old["encoder"]["Dense_0"][leaf], rtol=1e-6, atol=1e-9
            )
        assert not np.allclose(new["decoder"]["Dense_0"]["kernel"], old["decoder"]["Dense_0"]["kernel"])

        config = json.loads((tmp_path / "run" / "config.json").read_text())
        assert config["init"]["folder"] == str(folder / "anomaly") and len(config["init"]["sha256"]) == 64

    def test_the_other_model_is_not_replaced(self, capsys, folder):
        words = (
            "autoencoder",
            "--data",
            folder / "plant.csv",
            "--init",
            folder / "anomaly",
            "--out",
            folder / "anomaly",
        )
        assert "holds the model to begin with, which would be lost" in refused(capsys, "train", *words)

    def test_columns_in_another_order(self, capsys, folder, tmp_path):
        write(tmp_path / "o.csv", ",".join(reversed(HEADER.split(","))), plant(60, 0)[:, ::-1])
        words = ("autoencoder", "--data", tmp_path / "o.csv", "--set", "widths=16", "latent=2", "batch_size=20")
        said = refused(capsys, "train", *words, "--init", folder / "anomaly", "--out", tmp_path / "run")
        assert "it must be the same columns in the same order" in said

    def test_an_encoder_of_another_shape(self, capsys, folder, tmp_path):
        words = ("autoencoder", "--data", folder / "plant.csv", "--set", "widths=17", "latent=2")
        said = refused(capsys, "train", *words, "--init", folder / "anomaly", "--out", tmp_path / "run")
        assert "(5, 16)" in said and "(5, 17)" in said and not (tmp_path / "run").exists()

    def test_a_folder_without_an_encoder(self, capsys, folder, tmp_path):
        words = ("autoencoder", "--data", folder / "plant.csv", "--init", folder / "gan", "--out", tmp_path / "run")
        assert "has no encoder to begin with" in refused(capsys, "train", *words)
        words = ("autoencoder", "--init", tmp_path / "nowhere", "--out", tmp_path / "run")
        assert "nowhere" in refused(capsys, "train", *words)


def test_missing_values_become_what_the_training_rows_say(tmp_path):
    """A value far from the others in a row that does not train says nothing about the fill."""
    rows = plant(100, 0)
    cells = [[*row] for row in rows]
    cells[3][1] = cells[50][1] = ""
    write(tmp_path / "gaps.csv", HEADER, cells)
    words = ("--impute", "mean", "--set", "batch_size=20", "epochs=1", "widths=8", "latent=2", "--no-cache")
    run("train", "autoencoder", "--data", tmp_path / "gaps.csv", *words, "--out", tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    fill = config["data"]["fills"]["mean"][1]
    assert (
        f"2 missing values of 'flow' were filled with the mean of the training rows, {fill:.6g}"
        in (config["data"]["notes"])
    )
    present = np.delete(rows[:, 1], [3, 50])
    assert fill != pytest.approx(present.mean(), rel=1e-9)  # not that of the whole file
    run("encode", tmp_path / "run", "--out", tmp_path / "codes.csv")  # the same rows, filled in the same way


def test_a_share_of_the_dense_part_is_a_fraction():
    with pytest.raises(ValueError, match="weight is 5"):
        recipes.find("sparse").Settings(penalty="top_k", weight=5.0)


def test_twenty_sparse_autoencoders_in_one_population_stay_finite(tmp_path):
    recipe = recipes.find("sparse")
    settings = recipe.Settings(epochs=3, rows=500, batch_size=50, widths=(16,))
    study.train("sparse", recipe, settings, out=tmp_path / "run", seeds=20, progress=False)
    members = json.loads((tmp_path / "run" / "metrics.json").read_text())["members"]
    assert len(members) == 20 and {member["status"] for member in members} == {"trained"}
    assert np.isfinite([list(member["metrics"].values()) for member in members]).all()


@pytest.mark.slow
@pytest.mark.skipif("JAXAE_DATA" not in os.environ, reason="JAXAE_DATA names no folder with real data")
def test_images_and_labels_from_the_folder_of_mnist(tmp_path, optimised):
    recipe = recipes.find("mnist-shallow")
    path = Path(os.environ["JAXAE_DATA"]) / "mnist"
    study.train("mnist-shallow", recipe, recipe.Settings(epochs=1), out=tmp_path / "run", path=path, progress=False)
    config, metrics = (json.loads((tmp_path / "run" / f"{name}.json").read_text()) for name in ("config", "metrics"))
    assert config["data"]["split"] == {"train": 59_000, "validation": 1000, "test": 10_000}
    assert metrics["metrics"]["cross_entropy"] < 0.12 and metrics["metrics"]["probe_accuracy"] > 0.8
