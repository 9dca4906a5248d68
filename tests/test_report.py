"""What a run leaves for its reader: pictures and their numbers, checks in words, the page."""

import ast
import base64
import csv
import doctest
import importlib
import json
import re
import shutil
import struct
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import jaxae.report
from jaxae.report import Check, Picture, checks, pictures, words, write_page

HOUSE = Path(jaxae.report.__file__).parent
MODULES = sorted(
    "jaxae.report" + "".join(f".{part}" for part in path.relative_to(HOUSE).with_suffix("").parts)
    for path in HOUSE.rglob("*.py")
    if path.name != "__init__.py"
)


def rows(path):
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def column(table, name):
    return np.asarray([float(row[name]) for row in table])


def size(path):
    data = Path(path).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


MEMBERS = [
    {
        "member": i,
        "seed": i % 2,
        "hparams": {"beta": [0.1, 1.0, 10.0][i // 2], "act": "relu", "<script>": i // 2},
        "status": "diverged in epoch 3 at step 12" if i == 5 else "trained",
        "validation": None if i == 5 else [0.9, 0.8, 0.3, 0.4, 2.0][i],
        "metrics": {} if i == 5 else {"mse": 0.1 * (i + 1)},
    }
    for i in range(6)
]


def drawings(rng):
    """One call of every drawing function: name -> function of a folder."""
    real, other = rng.normal(size=(60, 3)), rng.normal(size=(50, 3))
    names = ["age", "income in $", "$x$ <script>"]
    square = rng.random(size=(5, 4, 6))
    return {
        "curves": lambda d: pictures.curves(
            d, {"loss": [3.0, 2.0, 1.0], "validation": [3.0, 2.5, 2.0], "kl": [1, 2, 3]}
        ),
        "latent": lambda d: pictures.scatter(d, real[:, :2], colour=np.arange(60) % 3, groups=["a", "b", "c"]),
        "marginals": lambda d: pictures.marginals(d, real, other, names, units={"age": "years"}),
        "correlations": lambda d: pictures.correlations(d, real, other, names),
        "reconstructions": lambda d: pictures.reconstructions(d, real, real * 0.9, names),
        "images": lambda d: pictures.images(d, {"original": square, "difference": square - 0.5}),
        "samples": lambda d: pictures.sheet(d, square),
        "members": lambda d: pictures.members(d, MEMBERS, best=2, unit="nats"),
        "controls": lambda d: pictures.bars(d, {"mse": 0.1, "auc": 0.9}, {"mse of PCA": 0.4, "auc of chance": 0.5}),
        "units": lambda d: pictures.units(d, [1.5, 0.0, 0.7], [True, False, True]),
    }


NAMES = tuple(drawings(np.random.default_rng(0)))


class TestPictures:
    @pytest.mark.parametrize("name", NAMES)
    def test_a_picture_and_its_numbers_are_written_the_same_each_time(self, name, rng, tmp_path):
        import matplotlib

        draw = drawings(rng)[name]
        before = dict(matplotlib.rcParams)
        first, second = tmp_path / "first", tmp_path / "second"
        for folder in (first, second):
            folder.mkdir()
            picture = draw(folder)
            assert isinstance(picture, Picture) and picture.file == f"{name}.png" and picture.title and picture.caption
            assert sorted(path.name for path in folder.iterdir()) == [f"{name}.csv", f"{name}.png"]
        width, height = size(first / f"{name}.png")
        assert width == 1000 and 100 < height < 1300
        for file in first.iterdir():
            assert file.read_bytes() == (second / file.name).read_bytes()
        assert dict(matplotlib.rcParams) == before

    def test_a_style_of_the_user_changes_nothing(self, rng, tmp_path):
        import matplotlib

        draw = drawings(rng)["curves"]
        draw(tmp_path)
        plain = (tmp_path / "curves.png").read_bytes()
        with matplotlib.rc_context({"lines.linewidth": 9.0, "figure.facecolor": "red", "font.size": 30}):
            draw(tmp_path)
        assert (tmp_path / "curves.png").read_bytes() == plain

    def test_names_in_any_script_are_drawn(self, tmp_path):
        pictures.correlations(tmp_path, np.eye(3), np.eye(3), ["年齢", "a\nb", "$_{"])
        assert [row["column"] for row in rows(tmp_path / "correlations.csv")[::3]] == ["年齢", "a\nb", "$_{"]


class TestCurves:
    def test_one_run(self, rng, tmp_path):
        loss, validation = rng.random(4), rng.random(4).astype(np.float32)
        pictures.curves(tmp_path, {"loss": loss, "validation": validation})
        table = rows(tmp_path / "curves.csv")
        assert list(table[0]) == ["member", "epoch", "loss", "validation"]
        np.testing.assert_array_equal(column(table, "epoch"), [1, 2, 3, 4])
        np.testing.assert_array_equal(column(table, "loss"), loss)
        np.testing.assert_array_equal(column(table, "validation").astype(np.float32), validation)

    def test_a_population_with_members_that_ended(self, tmp_path):
        nan = np.nan
        loss = np.asarray([[4.0, 3.0, 2.0, nan], [5.0, nan, nan, nan], [6.0, 1.0, 8.0, nan]])
        pictures.curves(tmp_path, {"loss": loss})
        table = rows(tmp_path / "curves.csv")
        np.testing.assert_array_equal(column(table[:12], "loss").reshape(3, 4), loss)
        bands = {row["member"]: [] for row in table[12:]}
        for row in table[12:]:
            bands[row["member"]].append(float(row["loss"]))
        np.testing.assert_array_equal(bands["lowest"], [4, 1, 2, nan])
        np.testing.assert_array_equal(bands["median"], [5, 2, 5, nan])
        np.testing.assert_array_equal(bands["highest"], [6, 3, 8, nan])

    @pytest.mark.parametrize(
        ("lost", "says"),
        [
            (0, "the median of 4 members, the band"),
            (1, "the median of 3 members (1 diverged at once and is not drawn), the band"),
            (2, "the median of 2 members (2 diverged at once and are not drawn), the band"),
            (4, "All 4 members diverged at once, so there is nothing to draw."),
        ],
    )
    def test_the_caption_counts_the_members_that_are_drawn(self, lost, says, tmp_path):
        loss = np.ones((4, 3))
        loss[:, 1:] = np.nan
        loss[:lost] = [np.nan, np.inf, np.nan]
        picture = pictures.curves(tmp_path, {"loss": loss, "validation": np.where(np.isfinite(loss), 2.0, np.nan)})
        assert says in picture.caption

    @pytest.mark.parametrize(
        "history",
        [
            {"loss": [1.0]},
            {"validation": [1.0, 2.0]},
            {"generator/loss": [1.0, -2.0], "discriminator/loss": [1.0, 2.0]},
            {"loss": [1000.0, 1.0, 0.001]},
            {"loss": [1.0, np.inf, np.nan], "validation": [np.nan] * 3},
            {"loss": np.full((40, 3), np.nan)},
            {"loss": np.ones((40, 3))} | {f"metric {i}": np.ones((40, 3)) for i in range(7)},
        ],
    )
    def test_histories_of_every_kind(self, history, tmp_path):
        pictures.curves(tmp_path, history)
        assert size(tmp_path / "curves.png")[0] == 1000

    @pytest.mark.parametrize(
        "history", [{}, {"loss": []}, {"loss": [1.0], "kl": [1.0, 2.0]}, {"loss": np.ones((1, 2, 3))}]
    )
    def test_histories_without_one_shape_are_refused(self, history, tmp_path):
        with pytest.raises(ValueError, match="history must hold"):
            pictures.curves(tmp_path, history)


class TestMembers:
    def test_numbers(self, tmp_path):
        picture = pictures.members(tmp_path, MEMBERS, best=2)
        table = rows(tmp_path / "members.csv")
        assert list(table[0]) == ["member", "seed", "beta", "act", "<script>", "status", "validation", "best"]
        np.testing.assert_array_equal(column(table, "validation"), [0.9, 0.8, 0.3, 0.4, 2.0, np.nan])
        np.testing.assert_array_equal(column(table, "beta"), [0.1, 0.1, 1, 1, 10, 10])
        np.testing.assert_array_equal(column(table, "best"), [0, 0, 1, 0, 0, 0])
        assert "1 of them" in picture.caption

    @pytest.mark.parametrize(
        "change",
        [
            {"hparams": {}},
            {"validation": None},
            {"validation": float("nan"), "status": "diverged in epoch 1 at step 1"},
            {"hparams": {"widths": [64, 64]}},
        ],
    )
    def test_tables_of_every_kind(self, change, tmp_path):
        pictures.members(tmp_path, [member | change for member in MEMBERS])
        pictures.members(tmp_path, [MEMBERS[0] | change], best=0)

    def test_no_members(self, tmp_path):
        with pytest.raises(ValueError, match="at least one member"):
            pictures.members(tmp_path, [])


class TestBars:
    def test_numbers_and_their_controls(self, tmp_path):
        pictures.bars(tmp_path, {"mse": 0.1, "kl": 3.0}, {"mse of PCA": 0.4, "chance": float("nan")}, model="VAE")
        table = [(row["metric"], row["of"], float(row["value"])) for row in rows(tmp_path / "controls.csv")]
        assert table[:2] == [("mse", "VAE", 0.1), ("mse", "PCA", 0.4)]
        assert table[2][:2] == ("chance", "control") and np.isnan(table[2][2]) and len(table) == 3

    def test_without_controls_the_metrics_stand_alone(self, tmp_path):
        pictures.bars(tmp_path, {"elbo": -3.0}, {})
        assert [row["metric"] for row in rows(tmp_path / "controls.csv")] == ["elbo"]
        with pytest.raises(ValueError, match="nothing to draw"):
            pictures.bars(tmp_path, {}, {})


class TestLatents:
    def test_points(self, rng, tmp_path):
        points = rng.normal(size=(7, 2)).astype(np.float32)
        pictures.scatter(tmp_path, points, colour=[0, 1, 2, 0, 1, 2, 0], groups=["a", "b"])
        table = rows(tmp_path / "latent.csv")
        np.testing.assert_array_equal(np.stack([column(table, "x"), column(table, "y")], 1), points)
        assert [row["group"] for row in table] == ["a", "b", "2", "a", "b", "2", "a"]

    @pytest.mark.parametrize("colour", [None, np.arange(50), np.linspace(0, 1, 50), np.arange(50) > 9])
    def test_colours_of_every_kind(self, colour, rng, tmp_path):
        pictures.scatter(tmp_path, rng.normal(size=(50, 2)), colour=colour, name="here")
        table = rows(tmp_path / "here.csv")
        assert list(table[0]) == (["x", "y"] if colour is None else ["x", "y", "colour"])

    def test_other_shapes_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match=r"\(n, 2\)"):
            pictures.scatter(tmp_path, np.ones((4, 3)))
        with pytest.raises(ValueError, match="colour must have shape"):
            pictures.scatter(tmp_path, np.ones((4, 2)), colour=[1, 2])
        with pytest.raises(ValueError, match=r"\(k,\)"):
            pictures.units(tmp_path, [1.0, 2.0], [True])

    @pytest.mark.parametrize("k", [1, 8, 40, 100])
    def test_units(self, k, tmp_path):
        kl = np.linspace(0, 2, k)
        pictures.units(tmp_path, kl, kl > 0.1)
        table = rows(tmp_path / "units.csv")
        np.testing.assert_array_equal(column(table, "kl"), kl)
        np.testing.assert_array_equal(column(table, "active"), kl > 0.1)


class TestTables:
    def test_marginals_are_shares_with_the_ks_statistic(self, rng, tmp_path):
        from scipy.stats import ks_2samp

        real, generated = rng.normal(size=(200, 2)), rng.normal(0.5, 1, size=(150, 2))
        pictures.marginals(tmp_path, real, generated, ["a", "b"])
        table = rows(tmp_path / "marginals.csv")
        for j, name in enumerate("ab"):
            own = [row for row in table if row["column"] == name]
            edges = np.append(column(own, "from"), float(own[-1]["to"]))
            low, high = np.quantile(np.concatenate([real[:, j], generated[:, j]]), [0.001, 0.999])
            np.testing.assert_allclose(edges[[0, -1]], [low, high])
            expected = np.histogram(np.clip(real[:, j], edges[0], edges[-1]), edges)[0] / 200
            np.testing.assert_array_equal(column(own, "real"), expected)
            assert column(own, "generated").sum() == pytest.approx(1)
            assert column(own, "ks")[0] == pytest.approx(ks_2samp(real[:, j], generated[:, j]).statistic)

    def test_of_many_columns_the_worst_are_drawn_and_named(self, rng, tmp_path):
        real = rng.normal(size=(100, 20))
        shift = np.where(np.arange(20) < 4, 0.0, 3.0)
        names = [f"c{i}" for i in range(20)]
        for picture in (
            pictures.marginals(tmp_path, real, real + shift, names),
            pictures.reconstructions(tmp_path, real, real + shift, names),
        ):
            assert "Of 20 columns the 16" in picture.caption and "c4, c5" in picture.caption
            drawn = {row["column"] for row in rows(tmp_path / picture.file.replace("png", "csv"))}
            assert drawn == set(names[4:])

    def test_columns_that_do_not_vary(self, tmp_path):
        flat = np.column_stack([np.full(5, 1e9), np.zeros(5), np.arange(5.0), np.full(5, np.nan)])
        pictures.marginals(tmp_path, flat, flat, list("abcd"))
        pictures.reconstructions(tmp_path, flat, flat, list("abcd"))
        picture = pictures.correlations(tmp_path, flat, flat, list("abcd"))
        table = rows(tmp_path / "correlations.csv")
        assert [row["real"] == "nan" for row in table] == [(i, j) != (2, 2) for i in range(4) for j in range(4)]
        assert "Grey" in picture.caption

    def test_correlations(self, rng, tmp_path):
        real, generated = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4)), rng.normal(size=(40, 4))
        pictures.correlations(tmp_path, real, generated, list("abcd"))
        table = rows(tmp_path / "correlations.csv")
        # atol: the two ways of summing differ in the last bits
        expected = [np.corrcoef(real.T), np.corrcoef(generated.T)]
        np.testing.assert_allclose(column(table, "real").reshape(4, 4), expected[0], atol=1e-14)
        np.testing.assert_allclose(column(table, "generated").reshape(4, 4), expected[1], atol=1e-14)
        np.testing.assert_array_equal(column(table, "difference"), column(table, "generated") - column(table, "real"))

    @pytest.mark.parametrize("d", [1, 10, 20, 40])
    def test_correlations_of_any_width(self, d, rng, tmp_path):
        table = rng.normal(size=(30, d))
        pictures.correlations(tmp_path, table, -table, [f"a long name of column {i}" for i in range(d)])
        assert len(rows(tmp_path / "correlations.csv")) == d * d

    def test_reconstructions(self, rng, tmp_path):
        from sklearn.metrics import r2_score

        x = rng.normal(size=(30, 2))
        xhat = x + 0.3 * rng.normal(size=x.shape)
        picture = pictures.reconstructions(tmp_path, x, xhat, ["a", "b"], rows=4)
        table = rows(tmp_path / "reconstructions.csv")
        assert [(row["column"], row["row"]) for row in table] == [(c, i) for c in "ab" for i in ("0", "10", "19", "29")]
        at = [0, 10, 19, 29]
        np.testing.assert_array_equal(column(table, "original"), x[at].T.ravel())
        np.testing.assert_array_equal(column(table, "reconstruction"), xhat[at].T.ravel())
        assert column(table, "r2")[0] == pytest.approx(r2_score(x[:, 0], xhat[:, 0]))
        assert "4 rows" in picture.caption and "30 rows" in picture.caption

    def test_other_shapes_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match=r"generated must have shape \(rows, 2\)"):
            pictures.marginals(tmp_path, np.ones((3, 2)), np.ones((3, 3)), ["a", "b"])
        with pytest.raises(ValueError, match="same rows"):
            pictures.reconstructions(tmp_path, np.ones((3, 2)), np.ones((4, 2)), ["a", "b"])


class TestSheets:
    def test_pixels(self, rng, tmp_path):
        block = rng.random(size=(3, 2, 5))
        pictures.images(tmp_path, {"original": block, "difference": -block})
        table = list(csv.reader((tmp_path / "images.csv").read_text().splitlines()))
        assert table[0] == ["label", "image", "row", *(f"pixel {i}" for i in range(5))]
        assert [line[0] for line in table[1:]] == ["original"] * 6 + ["difference"] * 6
        values = np.asarray([line[3:] for line in table[1:]], dtype=float)
        np.testing.assert_array_equal(values.reshape(2, 3, 2, 5), [block, -block])
        assert "Red is above" in pictures.images(tmp_path, {"difference": block}).caption

    @pytest.mark.parametrize("shape", [(1, 1, 1), (1, 28, 28), (7, 8, 8), (40, 8, 8), (3, 4, 40), (3, 40, 4)])
    def test_any_number_and_size(self, shape, rng, tmp_path):
        block = rng.random(size=shape)
        pictures.sheet(tmp_path, block)
        pictures.images(tmp_path, {"original": block, "reconstruction": block * 0, "difference": block})
        for name in ("samples", "images"):
            width, height = size(tmp_path / f"{name}.png")
            assert width == 1000 and 100 < height < 1300

    def test_other_shapes_are_refused(self, tmp_path):
        for bad in ({}, {"a": np.ones((2, 3))}, {"a": np.ones((0, 2, 2))}):
            with pytest.raises(ValueError, match=r"\(k, h, w\)"):
                pictures.images(tmp_path, bad)
        with pytest.raises(ValueError, match="one size"):
            pictures.images(tmp_path, {"a": np.ones((1, 2, 2)), "b": np.ones((1, 2, 3))})
        with pytest.raises(ValueError, match=r"\(n, h, w\)"):
            pictures.sheet(tmp_path, np.ones((2, 2)))


class TestChecks:
    @pytest.mark.parametrize(
        ("value", "control", "lower", "slack", "passed"),
        [
            (0.1, 0.4, True, 0.0, True),
            (0.4, 0.4, True, 0.0, False),
            (0.5, 0.4, True, 0.0, False),
            (0.41, 0.4, True, 0.1, True),
            (0.45, 0.4, True, 0.1, False),
            (0.9, 0.5, False, 0.0, True),
            (0.5, 0.5, False, 0.0, False),
            (0.46, 0.5, False, 0.1, True),
            (-50.0, -40.0, True, 0.0, True),
            (-41.0, -40.0, False, 0.1, True),
            (float("nan"), 0.4, True, 0.0, False),
            (0.1, float("inf"), True, 0.0, False),
            (0.1, 0.0, True, 0.0, False),
        ],
    )
    def test_against_control(self, value, control, lower, slack, passed):
        check = checks.against_control(
            value, control, name="error", control_name="PCA", lower_is_better=lower, slack=slack
        )
        assert check.passed is passed
        assert check.name == "error against PCA"
        assert words.number(value) in check.text and words.number(control) in check.text

    def test_against_a_control_that_is_no_model(self):
        check = checks.against_control(
            -9.0, -4.0, name="bound", control_name="the exact log-likelihood", lower_is_better=False
        )
        assert "higher is better: the model does no better than this control;" in check.text
        assert check.text.count("the exact log-likelihood") == 1

    @pytest.mark.parametrize(
        ("active", "passed", "says"),
        [
            ([True, True], True, "All 2"),
            ([True], True, "The one"),
            ([True, False, False], True, "1 of 3 latent units carries information and the rest (units 1 and 2) equal "),
            ([True, True, False], True, "2 of 3 latent units carry information and the rest (unit 2) equals the prior"),
            ([False, False], False, "None of the 2"),
            ([], False, "None of the 0"),
        ],
    )
    def test_active_units(self, active, passed, says):
        check = checks.active_units(active)
        assert check.passed is passed and says in check.text

    @pytest.mark.parametrize(
        ("train", "validation", "passed"),
        [
            *((1, 1, True), (1, 1.2, True), (1, 1.3, False), (1, 0.5, True), (-10, -9, True), (-10, -7, False)),
            *((0, 0, True), (0, 1, False), (1, np.nan, False), (np.inf, 1, False)),
        ],
    )
    def test_generalisation_gap(self, train, validation, passed):
        assert checks.generalisation_gap(train, validation).passed is passed

    def test_the_quantity_of_a_gap_is_named(self):
        name = "mean squared error"
        far, near = checks.generalisation_gap(0.8, 1.024, name=name), checks.generalisation_gap(0.8, 0.8, name=name)
        said = "The mean squared error is 0.8000 on training rows and 1.024 on validation rows (28.0 % higher): the "
        assert far.text.startswith(said + "model may remember its rows, or the split be uneven; trust only")
        lost = checks.generalisation_gap(0.8, np.nan, name=name)
        assert lost.text.startswith("The mean squared error is 0.8000 on training rows and not a number on validation")
        assert all("loss" not in check.text for check in (far, near, lost))
        assert "The loss is 1 on training rows" in checks.generalisation_gap(1, 1).text

    def test_constant_columns(self):
        assert checks.constant_columns([]).passed is True
        check = checks.constant_columns([f"c{i}" for i in range(9)])
        assert check.passed is False and "9 columns" in check.text and "c5 and 3 more" in check.text

    def test_diverged(self):
        lost, kept = "diverged in epoch 3 at step 12", "stopped early at epoch 9"
        assert checks.diverged([kept, "trained"]).passed is True
        assert "epoch 3 at step 12" in checks.diverged([lost]).text
        assert "1 of 3 members diverged (member 1)" in checks.diverged([kept, lost, kept]).text
        assert "4 of 8 members diverged (members 4, 5, 6 and 7)" in checks.diverged([kept] * 4 + [lost] * 4).text
        assert "no model is of use" in checks.diverged([lost, lost]).text

    def test_skipped(self):
        skipped = "trained; skipped 2 steps, the first step 17"
        assert checks.skipped(["trained", "diverged in epoch 3 at step 12"]).passed is True
        assert "The run skipped 2 steps, the first step 17, since" in checks.skipped([skipped]).text
        assert "Member 1 skipped 2 steps, the first step 17, since" in checks.skipped(["trained", skipped]).text
        found = checks.skipped([skipped, "trained", "diverged in epoch 3 at step 12; skipped 1 step, the first step 3"])
        assert found.passed is False and "2 of 3 members skipped steps" in found.text
        assert "(members 0 and 2)" in found.text

    @pytest.mark.parametrize(
        ("losses", "passed", "says"),
        [
            (2.0 ** -np.arange(20), True, "last of 20; the last tenth of the epochs brought 0.00057 % of that."),
            (np.linspace(10, 1, 61), False, ", and 10 % of that in the last 6 epochs: it is still falling, so train"),
            ([1.0, 0.5], False, "in the last of 2: it is still falling, so train longer."),
            ([1.0, 0.5, np.nan], False, "in the last of 2: it is still falling, so train longer."),
            ([1.0, 0.5, 0.0], False, ", and 50 % of that in the last epoch: it is still falling"),
            ([2.0, 1.02, 1.0], True, "last of 3; the last epoch brought 2.0 % of that."),
            ([5.0, 1.0, 2.0], True, "the last epoch brought none of that."),
            ([1.0, 2.0], False, "without going down"),
            ([1.0, 1.0], False, "without going down"),
            ([1.0], False, "1 epoch"),
            ([], False, "0 epochs"),
            ([5.0, 1.0, 1.0, np.nan], True, "last of 3"),
            ([-1.0, -5.0, -5.0], True, "−1.000 in the first"),
        ],
    )
    def test_improved(self, losses, passed, says):
        check = checks.improved(losses)
        assert check.passed is passed and says in check.text

    @pytest.mark.parametrize(("value", "passed"), [(0.05, True), (0.1, True), (0.11, False), (np.nan, False)])
    def test_within(self, value, passed):
        check = checks.within(value, 0.1, name="KS", perfect=0.03)
        assert check.passed is passed and words.number(value) in check.text and "0.03000" in check.text

    @pytest.mark.parametrize(
        ("value", "passed", "says"),
        [
            (0.5, True, "rate is 0.5000, within 0.2500 to 0.7500."),
            (0.25, True, "rate is 0.2500, within 0.2500 to 0.7500."),
            (0.75, True, "rate is 0.7500, within 0.2500 to 0.7500."),
            (0.0, False, "rate is 0, below 0.2500 to 0.7500: the calibration rows may hold anomalies."),
            (0.8, False, "rate is 0.8000, above 0.2500 to 0.7500: new rows may differ from those that the alarms were"),
        ],
    )
    def test_between(self, value, passed, says):
        check = checks.between(value, 0.25, 0.75, name="rate")
        assert check.name == "rate" and check.passed is passed and check.text.startswith(says)

    def test_a_rate_that_is_not_a_number_is_not_between(self):
        check = checks.between(np.nan, 0.25, 0.75, name="rate")
        assert check.passed is False and check.text == "rate is not a number: there was nothing to take it of."

    @pytest.mark.parametrize(
        ("active", "passed", "says"),
        [
            ([True, True, True], True, "Each of the 3 units speaks for some held-out row."),
            ([True], True, "Each of the 1 unit speaks"),
            ([True, False], False, "1 of 2 units (1) never speaks: lower the weight of the penalty, train longer, or"),
            ([0, 1, 0], False, "2 of 3 units (0 and 2) never speak: "),
            ([], False, "The code has no unit."),
            ([False] * 9, False, "9 of 9 units (0, 1, 2, 3, 4, 5 and 3 more) never speak: "),
        ],
    )
    def test_silent_units(self, active, passed, says):
        check = checks.silent_units(active)
        assert check.name == "units that never speak" and check.passed is passed and check.text.startswith(says)

    @pytest.mark.parametrize(("share", "passed"), [(0.0, True), (0.01, True), (0.0101, False), (1.0, False)])
    def test_beyond_the_training_range(self, share, passed):
        check = checks.beyond_training_range(share, name="rows")
        assert check.passed is passed and check.text.startswith(f"{share:.2%} of the rows lie outside the range")
        assert check.text.endswith("range of the training rows.") is passed

    def test_a_check_is_plain_data(self):
        check = checks.improved(np.linspace(10, 1, 60))
        assert Check(**json.loads(json.dumps(check._asdict()))) == check
        assert check.text.endswith(".") and "\n" not in check.text


class TestWords:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            *((0, "0"), (0.0, "0"), (9.9999, "10.00"), (1234.56, "1,235"), (123456.7, "123,457")),
            *((0.00012346, "0.0001235"), (1e6, "1.000 × 10⁶"), (-5, "−5"), (-0.25, "−0.2500")),
            *((float("nan"), "not a number"), (-np.inf, "−∞")),
        ],
    )
    def test_number(self, value, text):
        assert words.number(value) == text

    def test_trimmed(self):
        assert [words.number(v, trim=True) for v in (0.1, 100.0, 1e-5, 2.5e7)] == ["0.1", "100", "10⁻⁵", "2.5 × 10⁷"]

    def test_controls_find_their_metric(self):
        metrics = {"mse": 1.0, "mse of images": 2.0, "auc": 3.0}
        controls = {"mse": 1.0, "mse of images, PCA": 2.0, "pca_auc": 3.0, "aucune": 4.0}
        assert words.beside(metrics, controls) == {
            "mse": {"control": 1.0},
            "mse of images": {"PCA": 2.0},
            "auc": {"pca": 3.0},
            "aucune": {"control": 4.0},
        }


class Reader(HTMLParser):
    """Follow a page tag by tag, and fail where one is left open or closed twice."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.words = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["style"], []):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert reader.open == []
    return reader


def records():
    return {
        "config.json": {
            "recipe": "tabular",
            "about": "A VAE of a table & its rows",
            "settings": {"latent": 4, "lr": 0.001, "widths": [64, 64]},
            "epochs": 3,
            "batch_size": 128,
            "seed": 7,
            "seeds": 2,
            "sweep": {"beta": [0.1, 1.0, 10.0]},
            "command": "jaxae tabular 'a <b>.csv'",
            "data": {
                "source": "a <b>.csv",
                "rows": 1200,
                "columns": ["age", "<script>alert(1)</script>"],
                "fingerprint": "sha256:abc",
                "notes": ["3 rows were dropped"],
                "split": {"train": 1000, "validation": 100, "test": 100},
            },
            "versions": {"jax": "0.10.2"},
            "device": "one CPU",
        },
        "metrics.json": {
            "best": 2,
            "select": "validation",
            "metrics": {"mse": 0.123456, "auc": 0.9},
            "controls": {"mse of PCA": 0.4, "auc of chance": 0.5},
            "checks": [
                {"name": "good news", "passed": True, "text": "All went well."},
                {"name": "bad news", "passed": False, "text": "It did <b>not</b>."},
            ],
            "members": MEMBERS,
            "units": {"mse": "mg²"},
        },
        "timing.json": {"compile_s": 1.5, "run_s": 2.25, "member_steps_per_s": 1234.5, "device": "one CPU"},
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder as training leaves it, drawn once."""
    folder = tmp_path_factory.mktemp("trained")
    for name, record in records().items():
        (folder / name).write_text(json.dumps(record), encoding="utf-8")
    lines = [f"{m},{e},{1 / e + m},{'' if m == 5 else 2 / e + m}" for m in range(6) for e in (1, 2, 3)]
    (folder / "history.csv").write_text("\n".join(["member,epoch,loss,validation", *lines]) + "\n")
    (folder / "model.safetensors").write_bytes(b"weights")
    block = np.random.default_rng(0).random((4, 3, 3))
    listed = [pictures.members(folder, MEMBERS, best=2), pictures.sheet(folder, block, title='A "<i>"')]
    (folder / "pictures.json").write_text(json.dumps([picture._asdict() for picture in listed]))
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


class TestPage:
    def test_same_folder_same_bytes(self, run):
        first = write_page(run).read_bytes()
        assert write_page(str(run)) == run / "report.html"
        assert (run / "report.html").read_bytes() == first
        assert not [path for path in run.iterdir() if path.name.startswith(".")]

    def test_the_place_of_the_folder_is_not_on_the_page(self, run):
        first = write_page(run).read_bytes()
        moved = run.rename(run.with_name("elsewhere"))
        assert write_page(moved).read_bytes() == first

    def test_it_is_whole_and_needs_nothing_from_outside(self, run):
        source = write_page(run).read_text(encoding="utf-8")
        reader = read(run / "report.html")
        assert source.startswith("<!DOCTYPE html>") and "http" not in source and "<script" not in source
        images = [attrs for tag, attrs in reader.tags if tag == "img"]
        embedded = [base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) for image in images]
        assert embedded == [(run / name).read_bytes() for name in ("members.png", "samples.png")]
        assert all(image["alt"] and image["width"] == "1000" for image in images)
        assert images[1]["alt"].startswith('A "<i>"')
        assert not [tag for tag, _ in reader.tags if tag in {"link", "iframe", "object", "i", "b.csv"}]
        targets = [attrs["href"] for tag, attrs in reader.tags if tag == "a"]
        ids = {attrs["id"] for _, attrs in reader.tags if "id" in attrs}
        for target in targets:
            assert target[1:] in ids if target.startswith("#") else (run / target).is_file()

    def test_it_says_what_how_well_and_what_to_doubt(self, run):
        write_page(run)
        text = read(run / "report.html").text
        for says in (
            "A VAE of a table & its rows",
            "A population of 6 models (tabular) was trained on 1,200 rows of 2 columns from a <b>.csv for 3 epochs in "
            "batches of 128, on one CPU.",
            "1,000 for training, 100 for validation and 100 for test",
            "beta over 0.1, 1 and 10",
            "member 2 (seed 0, beta 1, <script> 1), the best of 6 by validation",
            "Its training loss went from 3.000 to 2.333 (lowest 2.333 in epoch 3).",
            "mse 0.1235 0.4000 mg²",
            "auc 0.9000 0.5000",
            "1 of 2 checks failed.",
            "Diverged: member 5.",
            "<script>alert(1)</script>",
            "3 rows were dropped",
            "jaxae tabular 'a <b>.csv'",
            "sha256:abc",
            "1.500 s",
            "model.safetensors 7 bytes",
        ):
            assert says in text, says
        order = ["What was trained", "How well", "What to doubt", "Members", "Pictures", "Data", "Settings", "Files"]
        places = [text.index(f"{title} ", text.index("Files")) for title in order[:-1]]
        assert places == sorted(places)
        assert text.index("bad news") < text.index("good news")

    def test_members_by_validation(self, run):
        source = write_page(run).read_text(encoding="utf-8")
        section = source[source.index('<h2 id="members"') : source.index('<h2 id="pictures"')]
        assert re.findall(r'<th scope="row">([^<]*)</th>', section) == ["2 ★ best", "3", "1", "0", "4", "5"]
        assert section.count('<tr class="best">') == 1 and section.count('<tr class="lost">') == 1

    def test_many_members_fold(self, run):
        many = [member | {"member": i} for i, member in enumerate(MEMBERS * 5)]
        change(run / "metrics.json", members=many)
        write_page(run)
        reader = read(run / "report.html")
        assert "All 30 members" in reader.text and ("details", {}) in reader.tags

    def test_status_stands_beside_the_member_on_one_line(self, run):
        source = write_page(run).read_text(encoding="utf-8")
        section = source[source.index('<h2 id="members"') : source.index('<h2 id="pictures"')]
        assert re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', section)[:3] == ["Member", "Status", "Seed"]
        assert '<th scope="row">2 ★ best</th><td>trained</td>' in section
        assert '<th scope="row">5</th><td>diverged in epoch 3 at step 12</td>' in section
        assert section.index('<div class="lines">') < section.index("<table>")
        assert ".lines th, .lines td { white-space: nowrap; }" in source

    def test_controls_are_named(self, run):
        change(run / "metrics.json", controls={"mse": 0.4, "chance": 0.5})
        write_page(run)
        text = read(run / "report.html").text
        said = "Metric This model control Unit mse 0.1235 0.4000 mg² auc 0.9000 chance – 0.5000"
        assert f"On held-out rows, each beside a control. {said}" in text
        names = {"mse": "factor <analysis>", "chance": "a coin", "auc": "has no control", "elbo": "is no metric"}
        change(run / "metrics.json", control_names=names)
        write_page(run)
        text = read(run / "report.html").text
        assert "Metric This model control Which control Unit mse 0.1235 0.4000 factor <analysis> mg² auc 0.9000" in text
        assert "chance – 0.5000 a coin" in text and "has no control" not in text and "is no metric" not in text

    def test_steps_are_those_of_all_members(self, run):
        change(run / "timing.json", steps=60800)
        write_page(run)
        assert "steps, all members together 60,800" in read(run / "report.html").text
        change(run / "metrics.json", members=MEMBERS[:1], best=0)
        write_page(run)
        assert "s steps 60,800" in read(run / "report.html").text

    def test_settings_are_those_of_the_record(self, run):
        source = write_page(run).read_text(encoding="utf-8")
        section = source[source.index('<h2 id="settings"') : source.index('<h2 id="how-to-do-it-again"')]
        assert re.findall(r'<th scope="row">([^<]*)</th>', section) == ["latent", "lr", "widths"]

    def test_numbers_are_short(self, run):
        long = 0.19999999999999996
        change(run / "config.json", settings={"lr": long}, sweep={"beta": [long, 1.0]})
        change(run / "timing.json", compile_s=long, run_s=long, steps=long, member_steps_per_s=long)
        members = [m | {"validation": long, "metrics": {"mse": long}, "hparams": {"beta": long + m["member"]}}
                   for m in MEMBERS]  # fmt: skip
        change(run / "metrics.json", metrics={"mse": long}, controls={"mse": long}, members=members)
        (run / "history.csv").write_text(f"member,epoch,loss\n2,1,{long}\n2,2,{long}\n")
        source = write_page(run).read_text(encoding="utf-8")
        assert str(long) not in source and "0.1999" not in source and "0.2000" in source

    def test_nothing_failed(self, run):
        change(run / "metrics.json", checks=[{"name": "a", "passed": True, "text": "Fine."}])
        write_page(run)
        assert "Nothing stood out" in read(run / "report.html").text

    def test_the_least_there_can_be(self, run):
        for path in run.iterdir():
            path.unlink()
        (run / "config.json").write_text('{"recipe": "digits"}')
        (run / "metrics.json").write_text('{"metrics": {"mse": NaN}}')
        (run / "timing.json").write_text("{}")
        (run / "history.csv").write_text("member,epoch,loss\n0,1,0.5\n0,2,0.25\n")
        write_page(run)
        text = read(run / "report.html").text
        assert "One model (digits) was trained." in text and "mse not a number" in text
        assert "The training loss went from 0.5000 to 0.2500" in text
        assert "Pictures" not in text and "Members" not in text and "validation" not in text

    def test_no_member_is_best(self, run):
        change(run / "metrics.json", best=None, metrics={}, controls={})
        write_page(run)
        assert "No member was chosen as the best. No metric on held-out rows" in read(run / "report.html").text

    def test_one_member_without_validation(self, run):
        change(run / "metrics.json", members=[MEMBERS[0] | {"validation": None}], best=0, controls={}, checks=None)
        (run / "history.csv").write_text("member,epoch,loss\n0,1,0.5\n")
        (run / "pictures.json").unlink()
        write_page(run)
        assert "One model" in read(run / "report.html").text

    @pytest.mark.parametrize("name", ["config.json", "metrics.json", "timing.json", "history.csv", "samples.png"])
    @pytest.mark.parametrize("content", [None, b"", b"[1, 2", b"[]", b"\xff\xfe"])
    def test_missing_and_garbled_files_are_named(self, name, content, run):
        if content is None:
            (run / name).unlink()
        else:
            (run / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"is no trained folder: {re.escape(name)}"):
            write_page(run)
        assert not (run / "report.html").exists()

    @pytest.mark.parametrize(
        ("name", "values", "says"),
        [
            ("config.json", {"recipe": None}, "'recipe' is missing"),
            ("config.json", {"settings": 3}, "'settings' is 3"),
            ("metrics.json", {"units": {"mse": 3}}, "'mse' is 3"),
            ("metrics.json", {"members": [{"validation": "low"}]}, "'validation' is 'low'"),
            ("config.json", {"data": {"columns": 5}}, "'columns' is 5"),
            ("metrics.json", {"metrics": {"mse": "low"}}, "'mse' is 'low'"),
            ("metrics.json", {"controls": {"mse": {}}}, "'mse' is {}"),
            ("metrics.json", {"control_names": ["PCA"]}, "'control_names' is ['PCA']"),
            ("metrics.json", {"control_names": {"mse": 0.4}}, "'mse' is 0.4"),
            ("metrics.json", {"best": 6}, "'best' is 6"),
            ("metrics.json", {"members": [3]}, "'members' holds 3"),
            ("metrics.json", {"checks": [{"name": "x"}]}, "'checks'"),
        ],
    )
    def test_garbled_records_are_named(self, name, values, says, run):
        change(run / name, **values)
        with pytest.raises(ValueError, match=name) as error:
            write_page(run)
        assert says in str(error.value)

    @pytest.mark.parametrize(
        "content", ["{", "3", '[{"file": "a.png"}]', '["a.png"]', '[{"file":"../a.png","title":"t"}]']
    )
    def test_garbled_lists_of_pictures(self, content, run):
        (run / "pictures.json").write_text(content)
        with pytest.raises(ValueError, match=r"pictures\.json"):
            write_page(run)

    @pytest.mark.parametrize(
        "content", ["epoch,loss\n1,2\n", "member,epoch,loss\n0,1\n", "member,epoch,loss\n0,1,low\n"]
    )
    def test_garbled_histories(self, content, run):
        (run / "history.csv").write_text(content)
        with pytest.raises(ValueError, match=r"history\.csv"):
            write_page(run)

    def test_no_folder(self, tmp_path):
        with pytest.raises(ValueError, match="is no trained folder: there is no such folder"):
            write_page(tmp_path / "nowhere")


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_the_documentation(name):
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.failed == 0


def test_report_imports_neither_jax_nor_the_rest_of_the_house():
    for path in HOUSE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in {"jax", "flax", "optax"}, (path, name)
                assert not name.startswith("jaxae") or name.startswith("jaxae.report"), (path, name)


def test_importing_report_loads_neither_jax_nor_matplotlib():
    # The roof imports JAX; with an empty roof only what report itself wants is loaded.
    program = (
        "import sys, types; roof = types.ModuleType('jaxae'); roof.__path__ = [sys.argv[1]]; "
        "sys.modules['jaxae'] = roof; import jaxae.report; "
        "sys.exit(bool({'jax', 'matplotlib', 'flax', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program, str(HOUSE.parent)], check=False).returncode == 0


@pytest.mark.parametrize(
    ("best", "passed", "said"),
    [
        (1.0, True, "The best beta, 1, lies between others that were tried."),
        (4.0, False, "The best beta, 4, is the largest that was tried: try larger ones too."),
        (0.5, False, "The best beta, 0.5, is the smallest that was tried: try smaller ones too."),
    ],
)
def test_whether_the_best_lies_at_the_end_of_what_was_tried(best, passed, said):
    assert checks.inside("beta", best, [0.5, 1.0, 1.0, 4.0]) == checks.Check("range of beta", passed, said)
