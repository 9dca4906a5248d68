"""Words beside numbers in tables: kept as they stand, written again; and conditions made of them."""

import json
import re

import jax
import numpy as np
import pytest

from jaxae import data


def write(path, text):
    path.write_text(text)
    return path


class TestKeptColumns:
    def test_words_and_numbers_as_they_stand(self, tmp_path):
        file = write(tmp_path / "plant.csv", "when,flow,site,heat\n2024-01-01,1.50,north,3\n,2.5,,4\n")
        table = data.read(file, keep=["site", "flow"])
        assert table.columns == ("heat",) and table.values.tolist() == [[3], [4]]
        assert table.text["site"] == ("north", "") and table.text["flow"] == ("1.50", "2.5")
        assert table.text["when"] == ("2024-01-01", "")
        assert table.notes == ("left out, for they hold no numbers: 'when'",)

    def test_beside_the_columns_of_a_trained_model(self, tmp_path):
        file = write(tmp_path / "plant.csv", "when,flow,site,heat\na,1,n,3\nb,2,s,4\n")
        table = data.read(file, columns=["flow", "heat"], keep=["when"])
        assert table.columns == ("flow", "heat") and dict(table.text) == {"when": ("a", "b")}

    def test_a_missing_one_is_answered_with_those_that_exist(self, tmp_path):
        file = write(tmp_path / "plant.csv", "flow,site\n1,n\n2,s\n")
        with pytest.raises(ValueError, match="has no column 'sit'; it has 'site', 'flow'"):
            data.read(file, keep=["sit"])

    def test_arrays_have_no_names(self, tmp_path):
        np.save(tmp_path / "a.npy", np.ones((3, 2)))
        with pytest.raises(ValueError, match="no names for its columns, so 'site' cannot be found"):
            data.read(tmp_path / "a.npy", keep=["site"])

    def test_parquet_dates_are_words(self, tmp_path):
        import datetime

        import polars as pl

        days = [datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)]
        pl.DataFrame({"day": days, "flow": [1.0, 2.0]}).write_parquet(tmp_path / "p.parquet")
        assert data.read(tmp_path / "p.parquet").text["day"] == ("2024-01-01", "2024-01-02")


class TestWrite:
    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_words_and_whole_numbers_come_back(self, tmp_path, suffix):
        file = tmp_path / f"t.{suffix}"
        because = ["x7 62 %, x3", 'a "quoted" one']
        data.write(file, [[0.5, 1.0], [0.25, 0.0]], ["score", "alarm"], text={"because": because}, whole=["alarm"])
        table = data.read(file, keep=["because"])
        assert table.columns == ("score", "alarm") and table.text["because"] == tuple(because)
        np.testing.assert_array_equal(table.values, [[0.5, 1], [0.25, 0]])
        if suffix == "csv":
            assert file.read_text().splitlines()[1] == '"x7 62 %, x3",0.5,1'

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"text": {"a": ["x"]}}, "column 'a' has 1 words for 2 rows"),
            ({"whole": ["score"]}, "column 'score' holds numbers that are not whole"),
            ({"whole": ["alarm"]}, "there is no column 'alarm'"),
            ({"text": {"score": ["x", "y"]}}, "columns must be names that differ"),
        ],
    )
    def test_refusals(self, tmp_path, arguments, words):
        with pytest.raises(ValueError, match=re.escape(words)):
            data.write(tmp_path / "t.csv", [[0.5], [1.0]], ["score"], **arguments)
        assert list(tmp_path.iterdir()) == []

    def test_npy_holds_no_words(self, tmp_path):
        with pytest.raises(ValueError, match="can hold no words"):
            data.write(tmp_path / "t.npy", [[1.0]], ["a"], text={"b": ["x"]})


MIXED = {"t": [300.0, 500.0, 350.0], "site": ["south", "north", "south"], "line": [2.0, 10.0, 2.0]}


class TestConditions:
    def test_by_hand(self):
        known = data.conditions(MIXED, one_hot=["line"])
        assert known.levels == (None, ("north", "south"), ("2", "10")) and known.width == 5
        np.testing.assert_allclose(
            known.apply(MIXED), [[0, 0, 1, 1, 0], [1, 1, 0, 0, 1], [0.25, 0, 1, 1, 0]], rtol=1e-6
        )

    def test_there_and_back_through_json(self):
        known = data.conditions(MIXED, one_hot=["line"])
        assert data.Conditions.from_json(json.loads(json.dumps(known.to_json()))) == known

    def test_outside_the_training_range_is_said_and_extrapolated(self):
        known = data.conditions({"t": [300.0, 500.0]})
        assert known.outside({"t": [300.0, 400.0]}) == []
        (sentence,) = known.outside({"t": [250.0, 600.0, 400.0]})
        assert sentence.startswith("t 250, 600 is outside 300 to 500")
        np.testing.assert_allclose(known.apply({"t": [600.0]}), [[1.5]])

    def test_every_combination(self):
        known = data.conditions(MIXED, one_hot=["line"])
        found = known.product({"site": ["north"], "t": ["400", "380"], "line": ["2", "10"]})
        assert found == {"t": [400, 400, 380, 380], "site": ["north"] * 4, "line": ["2", "10", "2", "10"]}

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (lambda: data.conditions({}), "there is no condition"),
            (lambda: data.conditions({"t": [1.0, 1.0]}), "condition 't' is 1 in every row"),
            (lambda: data.conditions({"t": [1.0, np.nan]}), "t must be n finite numbers"),
            (lambda: data.conditions({"s": ["a", ""]}), "condition 's' is empty in row 2"),
            (lambda: data.conditions({"s": ["a", "a"]}), "condition 's' has 1 different words"),
            (lambda: data.conditions({"s": [str(i) + "x" for i in range(101)]}), "has 101 different words"),
            (lambda: data.conditions(MIXED, one_hot=["lin"]), "no condition 'lin' for one_hot; there is: line"),
            (lambda: data.conditions(MIXED).apply({"t": [1.0]}), "a value for 'site', 'line' is missing"),
            (lambda: data.conditions({"s": ["a", "b"]}).apply({"s": ["c"]}), "s is 'c', but the model knows 'a', 'b'"),
            (lambda: data.conditions({"t": [0.0, 1.0]}).product({"t": ["hot"]}), "t is 'hot', but must be a number"),
            (lambda: data.conditions({"t": [0.0, 1.0]}).product({}), "give a value for 't'"),
            (
                lambda: data.conditions({"t": [0.0, 1.0]}).product({"u": ["1"]}),
                "there is no condition 'u'; there is: t",
            ),
        ],
    )
    def test_refusals(self, call, words):
        with pytest.raises(ValueError, match=re.escape(words)):
            call()

    @pytest.mark.parametrize("one_hot", ["line", None, True])
    def test_what_is_no_list_of_conditions(self, one_hot):
        with pytest.raises(TypeError, match=r"one_hot is .*, but must be names of columns"):
            data.conditions(MIXED, one_hot=one_hot)


class TestMadeData:
    def test_anomalies_are_the_same_process_but_for_the_pattern(self):
        normal = data.process(jax.random.key(0), rows=20_000, variables=10)
        single, joint = (
            data.anomalies(jax.random.key(i), normal, rows=20_000, pattern=pattern)
            for i, pattern in enumerate(data.PATTERNS)
        )
        shift = single.mean(0) - normal.values.mean(0)
        # The standard error of a mean of 20,000 rows is about a hundredth of a variable's spread.
        np.testing.assert_allclose(shift, 5 * np.eye(10)[0], atol=0.1)
        np.testing.assert_allclose(joint.mean(0) - normal.values.mean(0), 3 * np.isin(range(10), [2, 5, 7]), atol=0.1)
        np.testing.assert_allclose(np.cov(single.T), np.cov(normal.values.T), atol=0.25)

    def test_a_joint_anomaly_needs_eight_variables(self):
        normal = data.process(jax.random.key(0), rows=3, variables=7)
        with pytest.raises(ValueError, match="the process has 7: give 8 or more"):
            data.anomalies(jax.random.key(1), normal, rows=2, pattern="joint")

    def test_conditional_rows_lie_around_their_means(self):
        made = data.conditional(jax.random.key(0), rows=50_000)
        residual = made.values - data.conditional_mean(made.temperature[:, 0])
        np.testing.assert_allclose(residual.mean(0), 0, atol=0.05)
        np.testing.assert_allclose(residual.std(0), data.CONDITIONAL_NOISE, rtol=0.02)

    def test_dictionary_rows_are_what_they_say(self):
        made = data.dictionary(jax.random.key(0), rows=3000, variables=12, atoms=7, active=3, loads=4, noise=0.1)
        np.testing.assert_allclose(np.linalg.norm(made.atoms, axis=1), 1)
        assert ((made.codes > 0).sum(1) == 3).all() and ((made.atoms != 0).sum(1) == 4).all()
        assert made.codes[made.codes > 0].min() >= 0.5 and made.codes.max() <= 1.5
        assert (made.values - made.codes @ made.atoms).std() == pytest.approx(0.1, rel=0.03)
        np.testing.assert_allclose((made.codes > 0).mean(0), 3 / 7, atol=0.05)

    @pytest.mark.parametrize("points", [1440, 4000, 8000])
    def test_series_events_lie_apart_and_late(self, points):
        made = data.series(jax.random.key(points), points=points, events=4)
        assert made.events.min() >= 0.6 * points and made.events.max() < points
        assert (made.events[1:, 0] - made.events[:-1, 1] > 1.5 * 48).all()
        assert len(made.stamps) == points and len(set(made.stamps)) == points

    def test_series_too_short_for_its_events(self):
        with pytest.raises(ValueError, match="three days apart"):
            data.series(jax.random.key(0), points=500, events=6)

    def test_the_first_part_is_periodic(self):
        made = data.series(jax.random.key(1), points=4000, noise=0.0)
        week = made.values[: 48 * 14, 0].reshape(2, -1)
        # One swell every seven periods: the second fortnight's half is the first again.
        np.testing.assert_allclose(week[0], week[1], atol=1e-9)


class TestImages:
    def folder(self, tmp_path, rng, parts=("train", "t10k"), labelled=("train", "t10k")):
        for part, rows in zip(parts, (6, 3), strict=False):
            pixels = rng.integers(0, 256, (rows, 4, 5), np.uint8)
            header = bytes([0, 0, 8, 3]) + np.array(pixels.shape, ">i4").tobytes()
            (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
            if part in labelled:
                labels = np.arange(rows, dtype=np.uint8)
                header = bytes([0, 0, 8, 1]) + np.array([rows], ">i4").tobytes()
                (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
        return tmp_path

    def test_a_folder_trains_first_and_tests_last(self, tmp_path, rng):
        found = data.images(self.folder(tmp_path, rng))
        assert found.values.shape == (9, 20) and found.test == 3 and found.columns[-1] == "pixel_3_4"
        assert found.labels.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2]

    def test_a_column_of_labels(self, tmp_path):
        file = tmp_path / "images.csv"
        file.write_text("label,p0,p1\n3,0,255\n1,7,9\n")
        found = data.images(file)
        assert found.columns == ("p0", "p1") and found.labels.tolist() == [3, 1]
        assert found.values.tolist() == [[0, 255], [7, 9]] and "labels are the column 'label'" in found.notes
        file.write_text("label,p0,p1\n3.5,0,255\n1,7,9\n")
        with pytest.raises(ValueError, match="must hold whole numbers"):
            data.images(file)

    def test_a_folder_without_test_images(self, tmp_path, rng):
        found = data.images(self.folder(tmp_path, rng, parts=("train",)))
        assert found.test == 0 and len(found.values) == 6

    def test_a_file_finds_its_labels(self, tmp_path, rng):
        found = data.images(self.folder(tmp_path, rng) / "t10k-images-idx3-ubyte")
        assert found.labels.tolist() == [0, 1, 2] and "t10k-labels-idx1-ubyte" in found.notes[-1] and not found.test

    def test_some_labels_only_are_refused(self, tmp_path, rng):
        with pytest.raises(ValueError, match="labels for some of its images only"):
            data.images(self.folder(tmp_path, rng, labelled=("train",)))

    def test_labels_of_another_number(self, tmp_path, rng):
        self.folder(tmp_path, rng)
        (tmp_path / "train-labels-idx1-ubyte").write_bytes((tmp_path / "t10k-labels-idx1-ubyte").read_bytes())
        with pytest.raises(ValueError, match="has 3 labels for the 6 images"):
            data.images(tmp_path)

    def test_another_folder(self, tmp_path):
        (tmp_path / "thesis.tex").touch()
        with pytest.raises(ValueError, match=r"lacks train-images-idx3-ubyte .* it has 'thesis.tex'"):
            data.images(tmp_path)
