"""What pictures of conditions, denoising, detection, series and variables show, and the numbers beside them."""

import csv
import re

import numpy as np
import pytest

from jaxae.report import Picture, pictures
from jaxae.report.pictures import arguments

nan, inf = np.nan, np.inf
LONG = "the temperature of the water behind the second heat exchanger, in $ and °C"
STRANGE = ["年齢", LONG, "$x$\n_{", "_y"]


def written(folder, name):
    """Return the whole text of a picture's numbers, line by line."""
    return (folder / f"{name}.csv").read_text(encoding="utf-8").splitlines()


def rows(folder, name):
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def column(table, name, **where):
    return np.asarray([float(row[name]) for row in table if all(row[key] == value for key, value in where.items())])


def pixels(folder, name):
    from matplotlib.image import imread

    image = imread(folder / f"{name}.png")[..., :3]
    return (255 * image).round().astype(int)


def whole(folder, name):
    """Expect a picture as wide as a page, and of a height that fits one, that ends before its border on every side."""
    image = pixels(folder, name)
    assert image.shape[1] == 1000 and 100 < len(image) < 1300
    for edge in (image[:4], image[-4:], image[:, :4], image[:, -4:]):
        assert (edge == 255).all()


def refused(folder, draw, says):
    """Expect the words, and that nothing was written before them."""
    with pytest.raises(ValueError, match=re.escape(says)):
        draw(folder)
    assert not list(folder.iterdir())


def along(folder, columns=("flow", "level"), m=5, **options):
    """Draw curves over m conditions, all numbers of a kind equal but for the condition's own part."""
    given = np.linspace(300, 400, m)
    mean = np.outer(given, np.arange(1, len(columns) + 1))
    return pictures.condition_curves(folder, given, mean, mean - 9, mean + 9, columns, **options)


def bare(folder, columns=("flow", "level"), m=3, **changed):
    """The same with some of the arrays changed."""
    given = {"given": np.arange(m), "mean": np.zeros((m, 2)), "low": np.zeros((m, 2)), "high": np.ones((m, 2))}
    return pictures.condition_curves(folder, **({"columns": list(columns)} | given | changed))


def walk(rng, n, d):
    return np.cumsum(rng.normal(size=(n, d)), 1)


def drawings(rng):
    """One call of every drawing function: name -> function of a folder and of what else is given."""
    truth, labels = walk(rng, 6, 4), np.arange(40) % 5 == 0
    series, points = rng.normal(size=(50, 2)), rng.normal(size=(40, 2))
    real = (rng.uniform(290, 410, 30), rng.normal(size=(30, 2)))
    return {
        "condition-curves": lambda d, **k: along(d, real=real, truth=np.ones((5, 2)), training_range=(310, 390), **k),
        "denoised": lambda d, **k: pictures.denoised(d, truth, truth + 1, truth - 0.1, STRANGE, **k),
        "gains": lambda d, **k: pictures.gains(d, {"a": 3.0, "b": -1.0}, {"b": 2.0, "a": 9.0}, {"a": 8, "b": 4}, **k),
        "scores": lambda d, **k: pictures.scores(d, {"normal": points[:, 0], "_odd": points[:9, 1] + 3}, 2.5, **k),
        "detection-curves": lambda d, **k: pictures.detection_curves(
            d, labels, {"_model": points[:, 0] + labels, LONG: points[:, 1]}, **k
        ),
        "timeline": lambda d, **k: pictures.timeline(
            d, series, ["flow", LONG], reconstruction=series * 0.9, score=series[:, 0] ** 2, threshold=4.0,
            events=[[3, 9]], true_events=[[8, 20]], units={"flow": "kg/h"}, unit="kg²", **k,
        ),
        "activations": lambda d, **k: pictures.activations(d, [0.5, 0.0], points[:2], STRANGE[:2], **k),
        "contributions": lambda d, **k: pictures.contributions(d, points**2, STRANGE[:2], **k),
        "latent-maps": lambda d, **k: pictures.maps(d, {"PCA": points, LONG: -points}, colour=labels * 1, **k),
    }  # fmt: skip


NAMES = tuple(drawings(np.random.default_rng(0)))


def corners(rng):
    """Drawings at the edge of what is allowed: name -> function of a folder."""
    many = [f"variable no. {j} of many" for j in range(60)]
    wide, labels = rng.normal(size=(30, 60)), np.arange(30) < 3
    one, flat = rng.normal(size=(30, 1)), np.ones(30)
    return {
        "conditions of one column": lambda d: along(d, ["flow"], units="kg/h", condition_name="temperature (K)"),
        "one condition": lambda d: along(d, m=1, real=([300.0], [[1.0, 2.0]])),
        "conditions of four": lambda d: along(d, STRANGE, truth=np.ones((5, 4)), units=LONG, condition_name=LONG),
        "denoised, one variable": lambda d: pictures.denoised(d, [[0.0]], [[1.0]], [[0.5]], ["flow"], unit="kg/h"),
        "denoised, nothing varies": lambda d: pictures.denoised(d, wide * 0, wide * 0, wide * 0, many, rows=2),
        "denoised, eight rows": lambda d: pictures.denoised(d, wide, -wide, wide, many, rows=8, unit=LONG),
        "gains of one": lambda d: pictures.gains(d, {LONG: 0.0}, {LONG: 0.0}, unit=""),
        "gains below": lambda d: pictures.gains(d, {"a": -30.0}, {"a": -3.0}, {"a": -0.1}, control_name=LONG),
        "gains of many": lambda d: pictures.gains(d, dict.fromkeys(many[:40], 3), dict.fromkeys(many[:40], 9)),
        "scores that do not vary": lambda d: pictures.scores(d, {"normal": flat}),
        "scores far from the threshold": lambda d: pictures.scores(d, {"normal": flat}, 1e6, unit=LONG),
        "scores over decades": lambda d: pictures.scores(d, {"normal": 10.0 ** one[:, 0] ** 3}, 100.0),
        "scores of many": lambda d: pictures.scores(d, dict(zip(many[:30], wide, strict=False)), 0.0),
        "detectors of many": lambda d: pictures.detection_curves(d, labels, dict(zip(many, wide.T[:8], strict=False))),
        "detectors that do not vary": lambda d: pictures.detection_curves(d, labels, {"model": flat}),
        "one point": lambda d: pictures.timeline(
            d, [[1.0]], ["flow"], score=[1.0], threshold=2.0, events=[[0, 1]], true_events=[[0, 1]], stamps=["2024-01"]
        ),
        "a series that does not vary": lambda d: pictures.timeline(d, wide * 0, many, reconstruction=wide),
        "a series of long names": lambda d: pictures.timeline(
            d, wide[:, :4], STRANGE, score=10.0 ** one[:, 0] ** 3, stamps=[LONG] * 30, units=LONG, unit=LONG
        ),
        "one unit": lambda d: pictures.activations(d, [1.0], [[2.0]], [LONG], truth=[[True]], unit=LONG),
        "units of many": lambda d: pictures.activations(d, np.ones(200), np.zeros((200, 60)), many),
        "one contribution": lambda d: pictures.contributions(d, [[0.0]], [LONG]),
        "contributions of many": lambda d: pictures.contributions(d, wide**2, many, rows=[LONG] * 30),
        "one map of one dot": lambda d: pictures.maps(d, {"年齢": [[0.0, 1.0]]}),
        "five maps": lambda d: pictures.maps(d, dict.fromkeys("abcde", wide[:, :2]), colour=flat, colour_name="K"),
    }


CORNERS = tuple(corners(np.random.default_rng(0)))


class TestPictures:
    @pytest.mark.parametrize("name", NAMES)
    def test_a_picture_and_its_numbers_are_the_same_each_time_under_any_name(self, name, rng, tmp_path):
        draw = drawings(rng)[name]
        first, second = tmp_path / "first", tmp_path / "second"
        first.mkdir()
        picture = draw(first)
        assert isinstance(picture, Picture) and picture.file == f"{name}.png" and picture.title
        assert picture.caption.endswith(".") and "\n" not in picture.caption
        whole(first, name)
        second.mkdir()
        own = {"title": "A title", "caption": "How to read it"}
        assert draw(str(second), name="here", **own) == Picture(file="here.png", **own)
        for folder, stem in ((first, name), (second, "here")):
            assert sorted(path.name for path in folder.iterdir()) == [f"{stem}.csv", f"{stem}.png"]
        for kind in ("csv", "png"):
            assert (first / f"{name}.{kind}").read_bytes() == (second / f"here.{kind}").read_bytes()

    @pytest.mark.parametrize("case", CORNERS)
    def test_nothing_is_cut_off_at_the_border(self, case, rng, tmp_path):
        picture = corners(rng)[case](tmp_path)
        whole(tmp_path, picture.file.removesuffix(".png"))


class TestArguments:
    def test_vectors(self):
        found = arguments.vector("score", [1, 2])
        assert found.dtype == np.float64 and found.tolist() == [1.0, 2.0]

    @pytest.mark.parametrize(
        ("values", "length", "says"),
        [
            ([], None, "score must have shape (n,), one number per row, not (0,)"),
            (3.0, None, "score must have shape (n,), one number per row, not ()"),
            ([[1.0]], 1, "score must have shape (1,), one number per row, not (1, 1)"),
            ([1.0, 2.0], 3, "score must have shape (3,), one number per row, not (2,)"),
            ([1.0, nan, inf], 3, "score must be finite, but score[1] is nan (2 of 3 are not finite): leave those rows"),
        ],
    )
    def test_other_vectors_are_refused(self, values, length, says):
        with pytest.raises(ValueError, match=re.escape(says)):
            arguments.vector("score", values, length)

    def test_tables(self):
        found = arguments.table("values", [[1, 2]], ["a", "b"], 1)
        assert found.dtype == np.float64 and found.tolist() == [[1.0, 2.0]]

    @pytest.mark.parametrize(
        ("values", "count", "says"),
        [
            ([1.0, 2.0], None, "values must have shape (rows, 2), one column per name, not (2,)"),
            ([[1.0]], None, "values must have shape (rows, 2), one column per name, not (1, 1)"),
            (np.ones((0, 2)), None, "values must have shape (rows, 2), one column per name, not (0, 2)"),
            (np.ones((3, 2)), 4, "values must have shape (4, 2), one column per name, not (3, 2)"),
            ([[1.0, -inf]], 1, "values must be finite, but values[0, 1] is -inf (1 of 2 are not finite)"),
        ],
    )
    def test_other_tables_are_refused(self, values, count, says):
        with pytest.raises(ValueError, match=re.escape(says)):
            arguments.table("values", values, ["a", "b"], count)

    def test_pairs(self):
        for nothing in (None, [], np.zeros((0, 2))):
            assert arguments.pairs("events", nothing, 5).shape == (0, 2)
        assert arguments.pairs("events", np.asarray([[0, 1], [0, 5]], np.uint8), 5).tolist() == [[0, 1], [0, 5]]

    @pytest.mark.parametrize(
        ("spans", "says"),
        [
            ([[0.0, 1.0]], "events must be (k, 2) whole numbers, [start, stop) each, not float64 (1, 2)"),
            ([0, 1], "events must be (k, 2) whole numbers, [start, stop) each, not int64 (2,)"),
            ([[0, 1, 2]], "events must be (k, 2) whole numbers, [start, stop) each, not int64 (1, 3)"),
            ([[True, False]], "events must be (k, 2) whole numbers, [start, stop) each, not bool (1, 2)"),
            ([[0, 5], [4, 6]], "events must hold pairs 0 ≤ start < stop ≤ 5, the points of the series, not [4, 6]"),
            ([[-1, 2]], "events must hold pairs 0 ≤ start < stop ≤ 5, the points of the series, not [-1, 2]"),
            ([[2, 2]], "events must hold pairs 0 ≤ start < stop ≤ 5, the points of the series, not [2, 2]"),
        ],
    )
    def test_other_pairs_are_refused(self, spans, says):
        with pytest.raises(ValueError, match=re.escape(says)):
            arguments.pairs("events", spans, 5)

    @pytest.mark.parametrize(
        ("badness", "most", "drawn"),
        [
            ([1.0, 2.0], 2, [0, 1]),
            ([1.0, 3.0, 2.0], 1, [1]),
            ([1.0, 1.0, 1.0], 2, [0, 1]),
            ([nan, 0.0, nan, 0.5], 3, [0, 1, 3]),
            ([nan, nan], 1, [0]),
        ],
    )
    def test_the_worst_are_chosen_in_the_order_of_the_table(self, badness, most, drawn):
        assert arguments.chosen(np.asarray(badness), most) == drawn

    def test_what_was_chosen_is_said(self):
        assert arguments.which([0, 1], ["a", "b"], "that come first") == ""
        one = arguments.which([1], ["a", "b"], "that comes first")
        assert one == " Of 2 columns the 1 that comes first is drawn: b."


class TestConditionCurves:
    def test_numbers_in_the_order_of_the_condition(self, tmp_path):
        given, mean = np.asarray([400, 300]), np.asarray([[2.0, 20.0], [1.0, 10.0]])
        picture = pictures.condition_curves(
            tmp_path, given, mean, mean - 0.5, mean + np.asarray([0.5, 5]), ["flow", "level"],
            real=([350], [[1.4, 14.0]]), truth=mean + 0.25, training_range=(300, 399),
        )  # fmt: skip
        assert written(tmp_path, "condition-curves") == [
            "column,rows,condition,value,low,high,true,in_training_range",
            "flow,generated,300.0,1.0,0.5,1.5,1.25,1",
            "flow,generated,400.0,2.0,1.5,2.5,2.25,0",
            "flow,real,350.0,1.4,,,,",
            "level,generated,300.0,10.0,9.5,15.0,10.25,1",
            "level,generated,400.0,20.0,19.5,25.0,20.25,0",
            "level,real,350.0,14.0,,,,",
        ]
        assert given.tolist() == [400, 300] and mean.tolist() == [[2.0, 20.0], [1.0, 10.0]]
        for says in (
            "Generated at 2 conditions: the line is the mean, the band the spread of generated rows.",
            "Dots are 1 real row. Dashed is the truth.",
            "Grey lies outside the training range, 300 to 399: 1 of the conditions.",
        ):
            assert says in picture.caption

    def test_without_anything_beside_them(self, tmp_path):
        picture = bare(tmp_path, band="the middle half")
        assert picture.caption == "Generated at 3 conditions: the line is the mean, the band the middle half."
        assert written(tmp_path, "condition-curves")[1] == "flow,generated,0.0,0.0,0.0,1.0,,1"

    def test_ends_of_the_training_range_lie_within(self, tmp_path):
        picture = bare(tmp_path, training_range=(0.0, 2.0))
        assert "Grey" not in picture.caption
        assert set(column(rows(tmp_path, "condition-curves"), "in_training_range")) == {1.0}

    def test_the_farthest_from_the_truth_are_drawn(self, tmp_path):
        names, truth = [f"c{j}" for j in range(14)], np.outer([0.0, 1.0, 2.0], 10.0 ** np.arange(-7, 7))
        far = np.arange(14.0)
        far[5], truth[:, 6] = 20, 3.0  # the seventh has no spread to measure by, and comes last with the first
        mean = truth + far * np.ptp(truth, axis=0)
        picture = pictures.condition_curves(tmp_path, [1, 2, 3], mean, mean, mean, names, truth=truth)
        drawn = [name for name in names if name not in ("c0", "c6")]
        assert list(dict.fromkeys(row["column"] for row in rows(tmp_path, "condition-curves"))) == drawn
        assert f"Of 14 columns the 12 farthest from the truth are drawn: {', '.join(drawn[:-1])} and" in picture.caption
        picture = pictures.condition_curves(
            tmp_path, [1, 2, 3], mean, mean, mean, names, band=LONG, real=([9], mean[:1])
        )
        whole(tmp_path, "condition-curves")
        assert "Of 14 columns the 12 that come first are drawn: c0, c1," in picture.caption

    def test_of_many_real_rows_a_thousand_are_spread_evenly(self, tmp_path):
        own = np.arange(2998.0)
        picture = bare(tmp_path, columns=["flow", "level"], real=(own, np.stack([own, -own], 1)))
        dots = column(rows(tmp_path, "condition-curves"), "condition", column="flow", rows="real")
        np.testing.assert_array_equal(dots, np.arange(0, 2998, 3))
        assert "Dots are 1,000 real rows." in picture.caption

    def test_the_band_of_one_condition_is_seen(self, tmp_path):
        pictures.condition_curves(tmp_path, [300], [[1.0]], [[0.0]], [[2.0]], ["flow"])
        narrow = pixels(tmp_path, "condition-curves")[60:]
        shade = (255 + 0.2 * (np.asarray([0, 0x72, 0xB2]) - 255)).round()  # a fifth of the line's blue on white
        assert (np.abs(narrow - shade) <= 2).all(-1).sum() > 1000

    @pytest.mark.parametrize(
        ("changed", "says"),
        [
            ({"given": [[1.0], [2.0], [3.0]]}, "given must have shape (n,), one number per condition, not (3, 1)"),
            ({"given": [1.0, nan, 3.0]}, "given must be finite, but given[1] is nan"),
            ({"mean": np.zeros((2, 2))}, "mean must have shape (3, 2), one column per name, not (2, 2)"),
            ({"high": np.zeros((3, 1))}, "high must have shape (3, 2), one column per name, not (3, 1)"),
            ({"columns": ["flow"]}, "mean must have shape (3, 1), one column per name, not (3, 2)"),
            ({"truth": np.full((3, 2), nan)}, "truth must be finite, but truth[0, 0] is nan (6 of 6 are not finite)"),
            ({"low": np.full((3, 2), 1.5)}, "low must not exceed high: the band would end before it begins"),
            ({"training_range": (2, 1)}, "training_range must be (lowest, highest) condition, not (2, 1)"),
            ({"training_range": (1, nan)}, "training_range must be (lowest, highest) condition, not (1, nan)"),
            ({"real": ([], np.ones((0, 2)))}, "real[0] must have shape (n,), one number per row, not (0,)"),
            ({"real": ([1.0], np.ones((2, 2)))}, "real[1] must have shape (1, 2), one column per name, not (2, 2)"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, changed, says, tmp_path):
        refused(tmp_path, lambda folder: bare(folder, **changed), says)


class TestDenoised:
    def test_numbers_and_errors(self, tmp_path):
        clean, noisy, restored = [[0, 0], [1, 1]], [[3, 4], [1, 1]], [[0, 0], [1, 2]]
        picture = pictures.denoised(tmp_path, clean, noisy, restored, ["flow", "level"])
        before, after = repr(np.sqrt(12.5).item()), repr(np.sqrt(0.5).item())
        assert written(tmp_path, "denoised") == [
            "row,column,clean,noisy,denoised,rms_before,rms_after",
            f"0,flow,0.0,3.0,0.0,{before},0.0",
            f"0,level,0.0,4.0,0.0,{before},0.0",
            f"1,flow,1.0,1.0,1.0,0.0,{after}",
            f"1,level,1.0,1.0,2.0,0.0,{after}",
        ]
        # √((12.5 + 0) / 2) and √((0 + 0.5) / 2)
        assert picture.caption.startswith("2 rows, variable by variable")
        assert picture.caption.endswith("Over 2 rows the RMS error is 2.50 before and 0.500 after.")

    def test_the_first_rows_are_drawn_and_all_are_counted(self, rng, tmp_path):
        table = walk(rng, 9, 3)
        picture = pictures.denoised(tmp_path, table, table + 2, table, list("abc"), rows=1)
        assert [row["row"] for row in rows(tmp_path, "denoised")] == ["0"] * 3
        assert picture.caption.startswith("One row, ") and "Over 9 rows the RMS error is 2.00 before" in picture.caption

    def test_one_variable_is_seen(self, tmp_path):
        pictures.denoised(tmp_path, [[0.0]], [[1.0]], [[0.5]], ["flow"])
        panel = pixels(tmp_path, "denoised")[60:]
        assert (panel == [0, 0x72, 0xB2]).all(-1).sum() > 20

    @pytest.mark.parametrize(
        ("changed", "says"),
        [
            ({"clean": [1.0, 2.0]}, "clean must have shape (rows, 2), one column per name, not (2,)"),
            ({"clean": np.ones((0, 2))}, "clean must have shape (rows, 2), one column per name, not (0, 2)"),
            ({"noisy": np.ones((2, 2))}, "noisy must have shape (3, 2), one column per name, not (2, 2)"),
            ({"restored": np.full((3, 2), nan)}, "restored must be finite, but restored[0, 0] is nan"),
            ({"columns": ["a", "b", "c"]}, "clean must have shape (rows, 3), one column per name, not (3, 2)"),
            ({"rows": 0}, "rows must be 1 to 8, the rows to draw, not 0"),
            ({"rows": 9}, "rows must be 1 to 8, the rows to draw, not 9"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, changed, says, tmp_path):
        given = dict.fromkeys(("clean", "noisy", "restored"), np.ones((3, 2))) | {"columns": ["a", "b"]}
        refused(tmp_path, lambda folder: pictures.denoised(folder, **(given | changed)), says)


class TestGains:
    def test_numbers_in_the_order_of_the_noisy_rows(self, tmp_path):
        picture = pictures.gains(
            tmp_path, {"Gaussian": 3, "drift": 1.0}, {"drift": 1.0, "Gaussian": 9.5}, {"Gaussian": 9.5, "drift": 0.5},
            control_name="a Wiener filter of one hundred and one taps",
        )  # fmt: skip
        assert written(tmp_path, "gains") == [
            "noise,rows,dB",
            "Gaussian,before,3.0",
            "Gaussian,after the model,9.5",
            "Gaussian,after a Wiener filter of one hundred and one taps,9.5",
            "drift,before,1.0",
            "drift,after the model,1.0",
            "drift,after a Wiener filter of one hundred and one taps,0.5",
        ]
        # A tie is no gain, and beats nobody.
        assert picture.caption.endswith(
            "gains for 1 of 2 kinds of noise, and does better than a Wiener filter of one hundred and one taps for 1."
        )

    def test_without_control_or_unit(self, tmp_path):
        picture = pictures.gains(tmp_path, {"a": -2.0}, {"a": -1.0}, unit="")
        assert written(tmp_path, "gains") == ["noise,rows,ratio", "a,before,-2.0", "a,after the model,-1.0"]
        assert picture.caption.endswith("gains for 1 of 1 kind of noise.")
        picture = pictures.gains(tmp_path, {"a": 2.0}, {"a": 1.0}, {"a": 0.0})
        assert picture.caption.endswith("for 0 of 1 kind of noise, and does better than the control for 1.")
        assert written(tmp_path, "gains")[-1] == "a,after the control,0.0"

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            (({}, {}), "before must hold the ratio of at least one kind of noise by its name, not {}"),
            (({"a": 1}, {"b": 1}), "the same kinds of noise: 'after the model' holds ['b'], not ['a']"),
            (({"a": 1}, {"a": 1}, {}), "the same kinds of noise: 'after the control' holds [], not ['a']"),
            (({"a": nan}, {"a": 1}), "ratios must be finite, but 'before' for 'a' is nan: leave it out"),
            (({"a": 1}, {"a": inf}), "ratios must be finite, but 'after the model' for 'a' is inf: leave it out"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, given, says, tmp_path):
        refused(tmp_path, lambda folder: pictures.gains(folder, *given), says)


class TestScores:
    def test_hand_numbers(self, tmp_path):
        picture = pictures.scores(tmp_path, {"normal": [0, 1, 2, 4], "odd": [4]}, 2, unit="mm")
        table = rows(tmp_path, "scores")
        assert list(table[0]) == ["group", "from", "to", "rows", "share", "threshold"]
        filled = [(row["group"], float(row["to"]), row["rows"], row["share"]) for row in table if row["rows"] != "0"]
        # Forty bins of a tenth, each with its upper edge.
        expected = [("normal", 0.1), ("normal", 1.0), ("normal", 2.0), ("normal", 4.0), ("odd", 4.0)]
        assert [row[0] for row in filled] == [group for group, _ in expected] and len(table) == 80
        np.testing.assert_allclose([row[1] for row in filled], [to for _, to in expected])
        assert [row[2:] for row in filled] == [("1", "0.25")] * 4 + [("1", "1.0")]
        assert {row["threshold"] for row in table} == {"2.0"}
        assert picture.caption.endswith("Above the threshold lie 1 of 4 normal and 1 of 1 odd.")

    @pytest.mark.parametrize("seed", range(2))
    @pytest.mark.parametrize("decades", [1, 4])
    def test_bins_above_the_threshold_hold_what_is_above_it(self, seed, decades, tmp_path):
        rng = np.random.default_rng(seed)
        groups = {"normal": 10 ** (decades * rng.random(200)), "odd": 10 ** (decades * rng.random(30))}
        threshold = float(groups["normal"][seed])  # a score at the threshold is no alarm
        pictures.scores(tmp_path, groups, threshold)
        table = rows(tmp_path, "scores")
        for label, values in groups.items():
            low, high = column(table, "from", group=label), column(table, "to", group=label)
            np.testing.assert_array_equal(low[1:], high[:-1])
            steps = np.diff(np.log(low)) if decades == 4 else np.diff(low)
            np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
            counts = column(table, "rows", group=label)
            assert counts[low >= threshold].sum() == (values > threshold).sum()
            low[0], high[-1] = -inf, inf
            np.testing.assert_array_equal(counts, ((values[:, None] > low) & (values[:, None] <= high)).sum(0))
            np.testing.assert_array_equal(column(table, "share", group=label), counts / len(values))

    def test_what_lies_below_the_first_bin_is_said(self, tmp_path):
        decades = np.logspace(0, 2, 50)
        assert "lower" not in pictures.scores(tmp_path, {"normal": decades}).caption
        picture = pictures.scores(tmp_path, {"normal": np.append(decades, 0.0)})
        assert "The first bin also holds what is lower." in picture.caption
        table = rows(tmp_path, "scores")
        assert column(table, "from").min() > 0.9 and column(table, "rows").sum() == 51

    @pytest.mark.parametrize(
        ("value", "threshold"), [(0.0, None), (0.0, 0.0), (-3.0, -1.0), (1e9, None), (1e9, 1e9), (1e-9, 1e-9)]
    )
    def test_constant_scores_lie_in_one_bin(self, value, threshold, tmp_path):
        picture = pictures.scores(tmp_path, {"normal": [value] * 7}, threshold)
        table = rows(tmp_path, "scores")
        assert column(table, "share").tolist().count(1.0) == 1 and column(table, "share").sum() == 1
        assert ("0 of 7 normal" in picture.caption) == (threshold is not None)
        assert {row["threshold"] for row in table} == {"" if threshold is None else repr(threshold)}

    def test_groups_whose_names_begin_with_an_underscore_are_in_the_legend(self, tmp_path):
        seen = []
        for label in ("_a", "_b"):
            pictures.scores(tmp_path, {"normal": [1.0, 2.0], label: [3.0]})
            seen.append((tmp_path / "scores.png").read_bytes())
        assert seen[0] != seen[1]

    @pytest.mark.parametrize(
        ("groups", "threshold", "says"),
        [
            ({}, None, "groups must hold the scores of at least one group by its label, not {}"),
            ({"normal": []}, None, "groups['normal'] must have shape (n,), one number per row, not (0,)"),
            ({"normal": [[1.0]]}, None, "groups['normal'] must have shape (n,), one number per row, not (1, 1)"),
            ({"a": [1.0], "b": [inf]}, None, "groups['b'] must be finite, but groups['b'][0] is inf"),
            ({"normal": [1.0]}, nan, "threshold must be a finite number, or None for none, not nan"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, groups, threshold, says, tmp_path):
        refused(tmp_path, lambda folder: pictures.scores(folder, groups, threshold), says)


class TestDetectionCurves:
    def test_hand_numbers(self, tmp_path):
        picture = pictures.detection_curves(tmp_path, [0, 0, 3, 3], {"model": [0.125, 0.5, 0.25, 0.75]})
        third = repr(2 / 3)
        area = repr(0.5 * 1 + 0.5 * (2 / 3))
        # By falling threshold an anomaly, a normal row, an anomaly, a normal row; 3 of 4 pairs are in order.
        assert written(tmp_path, "detection-curves") == [
            "detector,curve,x,y,threshold,area",
            "model,ROC,0.0,0.0,inf,0.75",
            "model,ROC,0.0,0.5,0.75,0.75",
            "model,ROC,0.5,0.5,0.5,0.75",
            "model,ROC,0.5,1.0,0.25,0.75",
            "model,ROC,1.0,1.0,0.125,0.75",
            f"model,precision-recall,1.0,0.5,0.125,{area}",
            f"model,precision-recall,1.0,{third},0.25,{area}",
            f"model,precision-recall,0.5,0.5,0.5,{area}",
            f"model,precision-recall,0.5,1.0,0.75,{area}",
            f"model,precision-recall,0.0,1.0,inf,{area}",
            "chance,ROC,0.0,0.0,,0.5",
            "chance,ROC,1.0,1.0,,0.5",
            "chance,precision-recall,0.0,0.5,,0.5",
            "chance,precision-recall,1.0,0.5,,0.5",
        ]
        assert picture.caption.startswith("2 anomalies among 4 rows;") and "share, 0.500." in picture.caption

    def test_any_label_but_0_is_an_anomaly(self, rng, tmp_path):
        kinds, values = np.asarray([0, -1, 2, 0, 0, 1]), rng.normal(size=6)
        seen = []
        for labels in (kinds, kinds != 0):
            assert pictures.detection_curves(tmp_path, labels, {"model": values}).caption.startswith("3 anomalies amo")
            seen.append(written(tmp_path, "detection-curves"))
        assert seen[0] == seen[1]

    def test_areas_are_those_of_the_whole_curve(self, rng, tmp_path):
        labels = np.arange(9000) % 2
        values = rng.normal(size=9000).round(3) + 0.5 * labels
        pictures.detection_curves(tmp_path, labels, {"model": values, "control": -values})
        table = rows(tmp_path, "detection-curves")
        odd, normal = values[labels == 1][:, None], values[labels == 0]
        auroc = (odd > normal).mean() + 0.5 * (odd == normal).mean()
        for detector, area in (("model", auroc), ("control", 1 - auroc)):
            areas = column(table, "area", detector=detector, curve="ROC")
            np.testing.assert_allclose(areas, area, rtol=1e-12)
            for curve, first, last in (("ROC", (0, 0), (1, 1)), ("precision-recall", (1, 0.5), (0, 1))):
                line = [column(table, axis, detector=detector, curve=curve) for axis in "xy"]
                assert len(line[0]) <= 2000 and (line[0][0], line[1][0]) == first and (line[0][-1], line[1][-1]) == last

    def test_constant_scores_do_as_well_as_chance(self, tmp_path):
        picture = pictures.detection_curves(tmp_path, [True, False, False, False], {"model": [2.0] * 4})
        table = rows(tmp_path, "detection-curves")
        assert set(column(table, "area", curve="ROC")) == {0.5}
        assert set(column(table, "area", curve="precision-recall")) == {0.25}
        assert picture.caption.startswith("1 anomaly among 4 rows;")

    def test_detectors_whose_names_begin_with_an_underscore_are_in_the_legend(self, tmp_path):
        seen = []
        for label in ("_a", "_b"):
            pictures.detection_curves(tmp_path, [0, 1], {label: [0.0, 1.0]})
            seen.append((tmp_path / "detection-curves.png").read_bytes())
        assert seen[0] != seen[1]

    @pytest.mark.parametrize(
        ("labels", "scores", "says"),
        [
            ([0.0, 1.0], {"m": [1, 2]}, "labels must be (n,) whole numbers, 0 for normal, not float64 of shape (2,)"),
            ([[0, 1]], {"m": [1, 2]}, "labels must be (n,) whole numbers, 0 for normal, not int64 of shape (1, 2)"),
            ([0, 0], {"m": [1, 2]}, "must hold normal rows (0) and anomalies, but all 2 are normal rows"),
            ([1, 2, 1], {"m": [1, 2, 3]}, "must hold normal rows (0) and anomalies, but all 3 are anomalies"),
            ([0, 1], {}, "scores must hold the scores of at least one detector by its name, not {}"),
            ([0, 1], {"m": [1, 2], "PCA": [1]}, "scores['PCA'] must have shape (2,), one number per row, not (1,)"),
            ([0, 1], {"m": [1, nan]}, "scores['m'] must be finite, but scores['m'][1] is nan"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, labels, scores, says, tmp_path):
        refused(tmp_path, lambda folder: pictures.detection_curves(folder, labels, scores), says)


class TestTimeline:
    def test_numbers(self, tmp_path):
        picture = pictures.timeline(
            tmp_path, [[0, 1], [9, 1], [0, 2]], ["flow", "level"], reconstruction=[[0, 1], [1, 1], [0, 1]],
            score=[0.5, 8, 0.25], threshold=4, events=[[1, 2]], true_events=[[0, 1], [1, 3]], stamps=["a", "b", "c"],
        )  # fmt: skip
        assert written(tmp_path, "timeline") == [
            "index,stamp,flow,level,reconstruction of flow,reconstruction of level,score,threshold,in_event,"
            "in_true_event",
            "0,a,0.0,1.0,0.0,1.0,0.5,4.0,0,1",
            "1,b,9.0,1.0,1.0,1.0,8.0,4.0,1,1",
            "2,c,0.0,2.0,0.0,1.0,0.25,4.0,0,1",
        ]
        assert picture.caption == (
            "3 points. Shaded: 1 detected event; 2 true events, the bars along the bottom. "
            "1 of 2 true events overlaps a detected one."
        )

    def test_values_alone(self, tmp_path):
        picture = pictures.timeline(tmp_path, [[3.5]], ["flow"])
        assert written(tmp_path, "timeline") == ["index,flow,in_event,in_true_event", "0,3.5,0,0"]
        assert picture.caption == "1 point."

    @pytest.mark.parametrize(
        ("events", "true", "says"),
        [
            ([], None, "5 points. Shaded: 0 detected events."),
            (None, [[0, 1]], "5 points. There is 1 true event, the bars along the bottom."),
            (None, [[0, 1], [4, 5]], "5 points. There are 2 true events, the bars along the bottom."),
            ([], [[0, 5]], "bottom. 0 of 1 true event overlap a detected one."),
            ([[0, 2]], [[2, 3]], "bottom. 0 of 1 true event overlap a detected one."),
            ([[4, 5]], [[0, 5]], "bottom. 1 of 1 true event overlaps a detected one."),
            ([[0, 5]], [[0, 1], [4, 5]], "bottom. 2 of 2 true events overlap a detected one."),
        ],
    )
    def test_events_are_counted(self, events, true, says, tmp_path):
        picture = pictures.timeline(tmp_path, np.ones((5, 1)), ["flow"], events=events, true_events=true)
        assert picture.caption.endswith(says)

    def test_events_at_both_ends(self, tmp_path):
        pictures.timeline(tmp_path, np.ones((5, 1)), ["flow"], events=[[0, 1], [4, 5]], true_events=[[0, 5], [2, 3]])
        table = rows(tmp_path, "timeline")
        assert column(table, "in_event").tolist() == [1, 0, 0, 0, 1]
        assert column(table, "in_true_event").tolist() == [1] * 5

    def test_the_largest_errors_for_their_spread_are_drawn(self, rng, tmp_path):
        values = rng.normal(size=(200, 22)) * 10.0 ** (np.arange(22) % 5)
        far = np.where(np.isin(np.arange(22), (3, 8, 9, 21)), 2.0, 1.0)
        values[:, 0] = 1.0  # what does not vary has no spread to measure by
        names = [f"c{j}" for j in range(22)]
        picture = pictures.timeline(tmp_path, values, names, reconstruction=values + far * (values.std(0) + 1e-9))
        assert picture.caption.endswith(
            "Of 22 columns the 4 with the largest error for their spread are drawn: c3, c8, c9 and c21."
        )
        assert list(rows(tmp_path, "timeline")[0])[1:5] == ["c3", "c8", "c9", "c21"]
        picture = pictures.timeline(tmp_path, values, names)
        assert picture.caption.endswith("the 4 that come first are drawn: c0, c1, c2 and c3.")

    def test_columns_may_bear_any_name(self, tmp_path):
        names = ["index", "score", "score", "in_event"]
        pictures.timeline(tmp_path, [[1, 2, 3, 4]], names, score=[5], events=[[0, 1]])
        assert written(tmp_path, "timeline") == [
            "index,index,score,score,in_event,score,in_event,in_true_event",
            "0,1.0,2.0,3.0,4.0,5.0,1,0",
        ]

    def test_of_a_long_series_every_point_is_written_and_its_peaks_are_drawn(self, tmp_path):
        series = np.zeros((20000, 1))
        pictures.timeline(tmp_path, series, ["flow"])
        without = (tmp_path / "timeline.png").read_bytes()
        series[12345] = 1.0
        pictures.timeline(tmp_path, series, ["flow"])
        assert (tmp_path / "timeline.png").read_bytes() != without
        np.testing.assert_array_equal(column(rows(tmp_path, "timeline"), "flow"), series[:, 0])

    @pytest.mark.parametrize(
        ("changed", "says"),
        [
            ({"values": np.ones(4)}, "values must have shape (rows, 2), one column per name, not (4,)"),
            ({"values": np.ones((0, 2))}, "values must have shape (rows, 2), one column per name, not (0, 2)"),
            ({"columns": ["flow"]}, "values must have shape (rows, 1), one column per name, not (4, 2)"),
            ({"values": np.full((4, 2), nan)}, "values must be finite, but values[0, 0] is nan (8 of 8"),
            ({"reconstruction": np.ones((3, 2))}, "reconstruction must have shape (4, 2), one column per name, not (3"),
            ({"score": np.ones(3)}, "score must have shape (4,), one number per point, not (3,)"),
            ({"threshold": 1.0}, "threshold must be a finite number on the scale of score, which must be given: 1.0"),
            ({"score": np.ones(4), "threshold": inf}, "threshold must be a finite number on the scale of score"),
            ({"events": [[3, 5]]}, "events must hold pairs 0 ≤ start < stop ≤ 4, the points of the series, not [3, 5]"),
            (
                {"true_events": [[1.0, 2.0]]},
                "true_events must be (k, 2) whole numbers, [start, stop) each, not float64",
            ),
            ({"stamps": ["a", "b"]}, "stamps must name each of the 4 points, not 2"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, changed, says, tmp_path):
        given = {"values": np.ones((4, 2)), "columns": ["flow", "level"]}
        refused(tmp_path, lambda folder: pictures.timeline(folder, **(given | changed)), says)


class TestActivations:
    def test_numbers(self, tmp_path):
        influence = [[0.5, -2.0], [0.25, 0.0], [1.0, 0.5]]
        truth = np.asarray([[False, True], [False, False], [False, True]])
        picture = pictures.activations(tmp_path, [0.5, 0, 1], influence, ["flow", "level"], truth=truth)
        assert written(tmp_path, "activations") == [
            "unit,frequency,column,influence,true",
            "0,0.5,flow,0.5,0",
            "0,0.5,level,-2.0,1",
            "1,0.0,flow,0.25,0",
            "1,0.0,level,0.0,0",
            "2,1.0,flow,1.0,0",
            "2,1.0,level,0.5,1",
        ]
        assert "; 1 of 3 units never is." in picture.caption
        # The strongest, whatever its sign; the second unit has no truth to be right about.
        assert picture.caption.endswith("the strongest influence is on one of them for 1 of 2 units.")

    def test_without_truth(self, tmp_path):
        picture = pictures.activations(tmp_path, [0.0, 0.0], np.zeros((2, 30)), [f"c{j}" for j in range(30)])
        table = rows(tmp_path, "activations")
        assert list(table[0]) == ["unit", "frequency", "column", "influence"] and len(table) == 60
        assert "; 2 of 2 units never are." in picture.caption and "Squares" not in picture.caption

    @pytest.mark.parametrize(
        ("changed", "says"),
        [
            ({"frequency": [[0.5, 0.5]]}, "frequency must have shape (n,), one number per unit, not (1, 2)"),
            ({"frequency": [0.5, 1.5]}, "frequency must be shares of rows in [0, 1], not 0.5 to 1.5"),
            ({"frequency": [-0.5, 0.5]}, "frequency must be shares of rows in [0, 1], not -0.5 to 0.5"),
            ({"frequency": [nan, 0.5]}, "frequency must be finite, but frequency[0] is nan"),
            ({"frequency": [0.5]}, "influence must have shape (1, 3), one column per name, not (2, 3)"),
            ({"columns": ["a"]}, "influence must have shape (2, 1), one column per name, not (2, 3)"),
            ({"influence": np.full((2, 3), inf)}, "influence must be finite, but influence[0, 0] is inf"),
            ({"truth": np.ones((2, 3))}, "truth must be bool of shape (2, 3), not float64 of shape (2, 3)"),
            ({"truth": np.ones((3, 2), bool)}, "truth must be bool of shape (2, 3), not bool of shape (3, 2)"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, changed, says, tmp_path):
        given = {"frequency": [0.5, 0.5], "influence": np.ones((2, 3)), "columns": ["a", "b", "c"]}
        refused(tmp_path, lambda folder: pictures.activations(folder, **(given | changed)), says)


class TestContributions:
    def test_the_first_rows_beside_the_mean_of_all(self, tmp_path):
        picture = pictures.contributions(tmp_path, [[0.5, 4], [1.5, 0], [1, 2]], ["flow", "level"], most=2)
        assert written(tmp_path, "contributions") == [
            "row,column,contribution,mean",
            "row 0,flow,0.5,1.0",
            "row 0,level,4.0,2.0",
            "row 1,flow,1.5,1.0",
            "row 1,level,0.0,2.0",
        ]
        assert picture.caption.startswith("Every line is one row (the first 2 of 3 rows), every cell")
        assert picture.caption.endswith("The bars are the mean over 3 rows.")

    def test_rows_may_have_names(self, tmp_path):
        picture = pictures.contributions(tmp_path, [[1.0], [2.0]], ["flow"], rows=["a leak", "a leak"])
        assert [row["row"] for row in rows(tmp_path, "contributions")] == ["a leak", "a leak"]
        assert picture.caption.startswith("Every line is one row, every cell")

    def test_of_many_columns_those_with_the_largest_mean_are_drawn(self, rng, tmp_path):
        mean = np.append(np.arange(29.0), 100.0)
        names = [f"c{j}" for j in range(30)]
        picture = pictures.contributions(tmp_path, mean * rng.random(size=(40, 1)), names, most=1)
        assert [row["column"] for row in rows(tmp_path, "contributions")] == names[6:]
        assert "Of 30 columns the 24 with the largest mean are drawn: c6, c7," in picture.caption

    def test_what_takes_away_from_a_score(self, tmp_path):
        picture = pictures.contributions(tmp_path, [[1.0, -0.5]], ["a", "b"])
        assert [float(row["contribution"]) for row in rows(tmp_path, "contributions")] == [1.0, -0.5]
        assert "the redder, the more of it, the bluer, the less" in picture.caption
        assert "bluer" not in pictures.contributions(tmp_path, [[1.0, 0.5]], ["a", "b"]).caption

    @pytest.mark.parametrize(
        ("changed", "says"),
        [
            ({"shares": np.ones(3)}, "shares must have shape (rows, 2), one column per name, not (3,)"),
            ({"shares": np.ones((0, 2))}, "shares must have shape (rows, 2), one column per name, not (0, 2)"),
            ({"columns": ["a", "b", "c"]}, "shares must have shape (rows, 3), one column per name, not (3, 2)"),
            ({"shares": [[1.0, nan]]}, "shares must be finite, but shares[0, 1] is nan (1 of 2 are not finite)"),
            ({"rows": ["a"]}, "rows must name each of the 3 rows of shares, not 1"),
            ({"most": 0}, "most must be 1 to 100, the rows to show, not 0"),
            ({"most": 101}, "most must be 1 to 100, the rows to show, not 101"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, changed, says, tmp_path):
        given = {"shares": np.ones((3, 2)), "columns": ["a", "b"]}
        refused(tmp_path, lambda folder: pictures.contributions(folder, **(given | changed)), says)


class TestMaps:
    def test_numbers(self, tmp_path):
        points = {"PCA": [[0, 1], [2, 3]], "LDA": [[0.5, 0], [1, 0]]}
        picture = pictures.maps(tmp_path, points, colour=[1, 0], groups=["zero", "one"], colour_name="digit")
        assert written(tmp_path, "latent-maps") == [
            "map,row,x,y,colour,group",
            "PCA,0,0,1,1,one",
            "PCA,1,2,3,0,zero",
            "LDA,0,0.5,0.0,1,one",
            "LDA,1,1.0,0.0,0,zero",
        ]
        says = "Every dot is one of 2 rows, the same on each map (PCA and LDA); the colour is digit."
        assert picture.caption == says

    @pytest.mark.parametrize("colour", [None, [True, False, True], [0.5, 1.5, 2.5], np.arange(3)])
    def test_one_map_in_colours_of_every_kind(self, colour, rng, tmp_path):
        picture = pictures.maps(tmp_path, {"PCA": rng.normal(size=(3, 2))}, colour=colour)
        assert picture.caption == "Every dot is one of 3 rows."
        table = rows(tmp_path, "latent-maps")
        assert list(table[0]) == ["map", "row", "x", "y"] + ([] if colour is None else ["colour"])
        assert colour is None or [row["colour"] for row in table] == [str(value) for value in colour]

    @pytest.mark.parametrize(
        ("points", "colour", "says"),
        [
            ({}, None, "points must hold (n, 2) arrays by map, of the same n rows, not of {}"),
            ({"a": np.ones((1, 2)), "b": np.ones((3, 2))}, None, "of the same n rows, not of {'a': 1, 'b': 3}"),
            ({"a": np.ones((2, 3))}, None, "points['a'] must have shape (n, 2), not (2, 3): choose two latent units"),
            ({"a": np.ones((0, 2))}, None, "points['a'] must have shape (n, 2), not (0, 2)"),
            ({"a": [[0, 1], [2, np.nan]]}, None, "points['a'] must be finite, and row 1 is not"),
            ({"a": np.ones((2, 2))}, [1, 2, 3], "colour must have shape (2,), one number per point, not (3,)"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, points, colour, says, tmp_path):
        refused(tmp_path, lambda folder: pictures.maps(folder, points, colour=colour), says)


class TestAlarm:
    def test_numbers_and_words(self, tmp_path):
        picture = pictures.alarm(tmp_path, [5.0, 1.0, 0.0], [2.0, 1.1, 0.5], [0.5, 0.2, 1.0], ["flow", "heat", "level"])
        found = rows(tmp_path, "alarm")
        assert [row["column"] for row in found] == ["flow", "heat", "level"]
        np.testing.assert_allclose([float(row["deviation"]) for row in found], [6, -0.5, -0.5])
        assert picture.caption.startswith("flow is 6.0 standard deviations above what its row implies (5, not 2).")

    def test_of_many_the_farthest(self, tmp_path):
        names = [f"c{i}" for i in range(30)]
        picture = pictures.alarm(tmp_path, -np.arange(30.0), np.zeros(30), np.ones(30), names)
        assert "c29 is 29.0 standard deviations below" in picture.caption
        assert "The 20 farthest of 30 variables." in picture.caption
        assert len(rows(tmp_path, "alarm")) == 30

    @pytest.mark.parametrize(
        ("changed", "says"),
        [
            ({"scale": [1.0, 0.0]}, "scale must be above 0, but the smallest is 0"),
            ({"implied": [1.0]}, "implied must"),
            ({"values": [nan, 1.0]}, "values must be finite"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, changed, says, tmp_path):
        given = {"values": [1.0, 2.0], "implied": [1.0, 2.0], "scale": [1.0, 1.0], "columns": ["a", "b"]}
        refused(tmp_path, lambda folder: pictures.alarm(folder, **(given | changed)), says)
