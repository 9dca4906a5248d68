"""What the pictures of a sweep show, and the numbers beside them."""

import csv

import numpy as np
import pytest
from matplotlib.image import imread

from jaxae.report import pictures


def point(mean, members=2, lost=0, **hparams):
    known = mean is not None
    return {
        "hparams": hparams,
        "mean": mean,
        "sd": 0.5 if known else None,
        "low": mean - 1 if known else None,
        "high": mean + 1 if known else None,
        "members": list(range(members)),
        "lost": lost,
    }


def member(validation, **hparams):
    return {"hparams": hparams, "validation": validation}


def rows(folder, name):
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def whole(folder, name):
    """Expect a picture as wide as a page that ends before its border on every side."""
    image = (255 * imread(folder / f"{name}.png")[..., :3]).round().astype(int)
    assert image.shape[1] == 1000 and 100 < len(image) < 1400
    for edge in (image[:2], image[-2:], image[:, :2], image[:, -2:]):
        assert (edge == 255).all()
    return image


class TestPoints:
    def test_every_number_is_in_the_file(self, tmp_path):
        table = [point(1.0, lr=0.1), point(3.5, lr=0.2, members=4, lost=1), point(None, lr=9.0, lost=2)]
        picture = pictures.points(tmp_path, table, unit="nats")
        assert "95 % bootstrap" in picture.caption and picture.file == "points.png"
        found = rows(tmp_path, "points")
        assert [row["lr"] for row in found] == ["0.1", "0.2", "9.0"]
        assert [row["mean"] for row in found] == ["1.0", "3.5", "nan"]
        assert found[1]["low"] == "2.5" and found[1]["members"] == "4" and found[1]["lost"] == "1"
        whole(tmp_path, "points")

    def test_only_the_best_are_drawn_of_many(self, tmp_path):
        picture = pictures.points(tmp_path, [point(float(i), lr=float(i)) for i in range(300)])
        assert "The best 40 of 300 points" in picture.caption
        assert len(rows(tmp_path, "points")) == 300
        whole(tmp_path, "points")

    def test_single_members_have_no_interval(self, tmp_path):
        table = [point(1.0, lr=0.1) | {"low": None, "high": None, "sd": None}]
        assert "interval" not in pictures.points(tmp_path, table).caption
        assert "bars" not in pictures.points(tmp_path, table).caption

    def test_few_members_have_a_deviation(self, tmp_path):
        few = point(1.0, lr=0.1) | {"low": None, "high": None, "sd": 0.2}
        caption = pictures.points(tmp_path, [few]).caption
        assert caption.endswith("bars of few members one standard deviation to either side.")
        both = pictures.points(tmp_path, [few, point(2.0, lr=0.3)]).caption
        assert "bars their 95 % bootstrap intervals, of few members one standard deviation" in both

    @pytest.mark.parametrize("table", [[], [point(None, lr=1.0)]])
    def test_nothing_to_draw(self, tmp_path, table):
        with pytest.raises(ValueError, match="no point has a mean"):
            pictures.points(tmp_path, table)
        assert not list(tmp_path.iterdir())


class TestHeatMap:
    def table(self):
        return [point(lr * 10 + beta, lr=lr, beta=beta) for lr in (1.0, 2.0) for beta in (0.0, 1.0, 2.0)]

    def test_every_cell_is_in_the_file(self, tmp_path):
        picture = pictures.heat_map(tmp_path, self.table())
        found = {(float(row["lr"]), float(row["beta"])): float(row["mean"]) for row in rows(tmp_path, "heat_map")}
        assert found == {(lr, beta): lr * 10 + beta for lr in (1.0, 2.0) for beta in (0.0, 1.0, 2.0)}
        assert "star marks the smallest" in picture.caption and "not trained" not in picture.caption
        whole(tmp_path, "heat_map")

    def test_what_is_missing_or_diverged_has_no_colour(self, tmp_path):
        table = [*self.table()[:-2], point(None, lr=2.0, beta=1.0)]
        picture = pictures.heat_map(tmp_path, table)
        assert "was not trained, or every member of it diverged" in picture.caption
        assert [row["mean"] for row in rows(tmp_path, "heat_map")].count("nan") == 2
        whole(tmp_path, "heat_map")

    def test_two_hyperparameters_and_no_others(self, tmp_path):
        with pytest.raises(ValueError, match="the points have 1: draw `parallel`"):
            pictures.heat_map(tmp_path, [point(1.0, lr=1.0)])

    def test_another_cell_is_the_best_in_another_picture(self, tmp_path):
        pictures.heat_map(tmp_path, self.table(), name="a")
        pictures.heat_map(tmp_path, [row | {"mean": 30 - row["mean"]} for row in self.table()], name="b")
        assert (whole(tmp_path, "a") != whole(tmp_path, "b")).any()


class TestParallel:
    def table(self):
        draws = np.random.default_rng(0)
        return [member(float(i), lr=10 ** draws.uniform(-4, -1), beta=draws.uniform(), constant=1.0) for i in range(12)]

    def test_every_member_is_in_the_file(self, tmp_path):
        picture = pictures.parallel(tmp_path, self.table(), unit="nats")
        found = rows(tmp_path, "parallel")
        assert list(found[0]) == ["member", "lr", "beta", "validation"]  # what never differs is no axis
        assert [float(row["lr"]) for row in found] == [row["hparams"]["lr"] for row in self.table()]
        assert "diverged" not in picture.caption
        whole(tmp_path, "parallel")

    def test_members_that_diverged_are_told(self, tmp_path):
        picture = pictures.parallel(tmp_path, [*self.table(), member(None, lr=1.0, beta=0.5, constant=1.0)])
        assert "1 member diverged" in picture.caption
        assert rows(tmp_path, "parallel")[-1]["validation"] == "nan"
        whole(tmp_path, "parallel")

    @pytest.mark.parametrize(
        "table", [[member(1.0, lr=1.0), member(2.0, lr=1.0)], [member(None, lr=1.0), member(None, lr=2.0)]]
    )
    def test_nothing_to_draw(self, tmp_path, table):
        with pytest.raises(ValueError, match="nothing to draw"):
            pictures.parallel(tmp_path, table)
        assert not list(tmp_path.iterdir())
