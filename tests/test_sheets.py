"""What sheets of images show: the pixels of grey and colour images, read back from the picture and from the file."""

import csv
import json
import re
import zipfile

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.image import imread

from jaxae.report import pictures, write_page

MAGENTA = (255, 0, 255)
INK = (0x1F, 0x29, 0x33)
nan, inf = np.nan, np.inf


def colours(rng, *shape):
    """Return colours of whole bytes, none of them white, and magenta in the first pixel of the first image only."""
    images = rng.integers(0, 200, (*shape, 3)) / 255
    images.reshape(-1, 3)[0] = (1.0, 0.0, 1.0)
    return images


def greys(rng, *shape):
    """Return greys in the middle of one of 256 steps, so that rounding does not matter."""
    return (rng.integers(0, 200, shape) + 0.5) / 256


def picture_of(folder, name):
    return (255 * imread(folder / f"{name}.png")[..., :3]).round().astype(int)


def mosaic_in(image, shape):
    """Return the mosaic that begins with magenta, one pixel each, and how often each of its pixels was repeated."""
    here = np.argwhere((image == MAGENTA).all(-1))
    (top, left), (bottom, right) = here.min(0), here.max(0)
    times = 1 + bottom - top
    assert times == 1 + right - left and len(here) == times**2
    part = image[top : top + times * shape[0], left : left + times * shape[1]]
    first = part[::times, ::times]
    np.testing.assert_array_equal(part, first.repeat(times, 0).repeat(times, 1))
    return first, times


def expected(images, columns):
    """Return the bytes of images in lines, white between them, written out one image after the other."""
    shades = (255 * images).round() if images.ndim == 4 else colormaps["gray"](images, bytes=True)[..., :3]
    k, h, w = images.shape[:3]
    gap, lines = max(1, round(w / 12)), -(-k // columns)
    sheet = np.full((lines * (h + gap) - gap, columns * (w + gap) - gap, 3), 255)
    for i in range(k):
        y, x = (i // columns) * (h + gap), (i % columns) * (w + gap)
        sheet[y : y + h, x : x + w] = shades[i]
    return sheet


def texts(folder, name):
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def archive(folder, name):
    """Return an archive's blocks by label, and everything else in it."""
    with np.load(folder / f"{name}.npz") as file:
        arrays = dict(file)
    labels = arrays.pop("labels").tolist()
    return {label: arrays.pop(f"row_{i}") for i, label in enumerate(labels)}, arrays


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def drawings(rng):
    """One call of each function that draws sheets, small and large: stem and suffix -> function of a folder."""
    way = colours(rng, 2, 4, 6, 5)
    large = colours(rng, 2, 7, 80, 96)
    return {
        "images.csv": lambda d: pictures.images(d, {"original": way[0], "difference": way[0] - way[1]}),
        "images.npz": lambda d: pictures.images(d, {"original": large[0], "difference": large[0] - large[1]}),
        "samples.csv": lambda d: pictures.sheet(d, way[0]),
        "samples.npz": lambda d: pictures.sheet(d, large.reshape(14, 80, 96, 3)),
        "classes.csv": lambda d: pictures.classes(d, {"cat": way[0], "$x$": way[1, :2]}),
        "classes.npz": lambda d: pictures.classes(d, {"cat": large[0], "dog": large[1]}),
        "traversal.csv": lambda d: pictures.traversal(d, way, [-2, -1, 0, 1], ["size", "tilt"]),
        "traversal.npz": lambda d: pictures.traversal(d, large, np.linspace(-3, 3, 7), ["size", "tilt"]),
        "interpolation.csv": lambda d: pictures.interpolation(d, way),
        "interpolation.npz": lambda d: pictures.interpolation(d, large),
    }


class TestEverySheet:
    @pytest.mark.parametrize("name", tuple(drawings(np.random.default_rng(0))))
    def test_a_picture_and_its_numbers_are_the_same_each_time(self, name, rng, tmp_path):
        draw, (stem, kind) = drawings(rng)[name], name.split(".")
        first, second = tmp_path / "first", tmp_path / "second"
        for folder in (first, second):
            folder.mkdir()
            picture = draw(str(folder))
            assert picture.file == f"{stem}.png" and picture.title
            assert picture.caption.endswith(".") and "\n" not in picture.caption
            assert files(folder) == sorted([f"{stem}.{kind}", f"{stem}.png"])
        for file in first.iterdir():
            assert file.read_bytes() == (second / file.name).read_bytes()
        image = picture_of(first, stem)
        assert 1000 <= image.shape[1] < 2500
        for edge in (image[:2], image[-2:], image[:, :2], image[:, -2:]):
            assert (edge == 255).all()

    def test_an_archive_says_nothing_of_when_it_was_written(self, rng, tmp_path):
        drawings(rng)["traversal.npz"](tmp_path)
        with zipfile.ZipFile(tmp_path / "traversal.npz") as file:
            assert {entry.date_time for entry in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
            assert {entry.compress_type for entry in file.infolist()} == {zipfile.ZIP_DEFLATED}

    def test_own_words(self, rng, tmp_path):
        own = {"name": "here", "title": "A title", "caption": "How to read it"}
        way = colours(rng, 1, 2, 3, 3)
        for picture in (
            pictures.images(tmp_path, {"a": way[0]}, **own),
            pictures.sheet(tmp_path, way[0], **own),
            pictures.classes(tmp_path, {"a": way[0]}, **own),
            pictures.traversal(tmp_path, way, [0, 1], ["a"], **own),
            pictures.interpolation(tmp_path, way, **own),
        ):
            assert picture == pictures.Picture("here.png", "A title", "How to read it")
        assert files(tmp_path) == ["here.csv", "here.png"]


class TestPixels:
    @pytest.mark.parametrize(
        ("shape", "columns"),
        [((6, 5, 7), 3), ((7, 8, 8), 4), ((1, 9, 4), None), ((1, 1, 1), 1), ((48, 32, 32), 12), ((8, 224, 224), 4)],
    )
    def test_colours_of_a_sheet(self, shape, columns, rng, tmp_path):
        images = colours(rng, *shape)
        pictures.sheet(tmp_path, images, columns=columns)
        wanted = expected(images, columns or 1)
        found, _ = mosaic_in(picture_of(tmp_path, "samples"), wanted.shape)
        np.testing.assert_array_equal(found, wanted)

    @pytest.mark.parametrize("shape", [(3, 6, 5), (11, 64, 64)])
    def test_rows_stand_below_each_other(self, shape, rng, tmp_path):
        images = colours(rng, *shape)
        mask = greys(rng, *shape)
        mask[0, 0, :2] = 0, 1  # the whole range of grey
        pictures.images(tmp_path, {"original": images, "mask": mask, "difference": images - 0.5})
        image, columns = picture_of(tmp_path, "images"), min(shape[0], 8)
        wanted = expected(images, columns)
        found, times = mosaic_in(image, wanted.shape)
        np.testing.assert_array_equal(found, wanted)
        left = np.argwhere((image == MAGENTA).all(-1)).min(0)[1]
        below = image[:, left : left + times * wanted.shape[1]][:, ::times]
        wanted = expected(mask, columns)
        assert any(
            np.array_equal(below[top : top + times * len(wanted) : times], wanted)
            for top in range(len(below) - times * len(wanted))
        )

    @pytest.mark.parametrize("columns", [16, 20])
    def test_every_pixel_of_large_grey_images_is_drawn(self, columns, rng, tmp_path):
        images = greys(rng, 20, 96, 96)
        images[0, 0, :2] = 0, 1
        pictures.sheet(tmp_path, images, columns=columns)
        image = picture_of(tmp_path, "samples")
        wanted = expected(images, columns)
        top, left = np.argwhere((image == 0).all(-1)).min(0)
        np.testing.assert_array_equal(image[top : top + len(wanted), left : left + wanted.shape[1]], wanted)

    def test_large_images_make_no_huge_file(self, rng, tmp_path):
        ramp = np.linspace(0, 1, 224)
        images = np.stack([np.outer(ramp, ramp**p) for p in rng.uniform(0.5, 2, 24)]).reshape(8, 3, 224, 224)
        pictures.images(tmp_path, {"original": np.moveaxis(images, 1, -1), "reconstruction": np.ones((8, 224, 224, 3))})
        assert 1700 < picture_of(tmp_path, "images").shape[1] < 2500
        assert (tmp_path / "images.png").stat().st_size < 2e6
        assert (tmp_path / "images.npz").stat().st_size < 8e6

    def test_one_channel_is_grey(self, rng, tmp_path):
        images = greys(rng, 3, 4, 5)
        both = (tmp_path / "flat", tmp_path / "channel")
        for folder, given in zip(both, (images, images[..., None]), strict=True):
            folder.mkdir()
            pictures.sheet(folder, given)
            pictures.images(folder, {"original": given, "difference": given - 0.5})
            pictures.traversal(folder, given[None], [0, 1, 2], ["a"])
        assert files(both[0]) == files(both[1])
        for file in both[0].iterdir():
            assert file.read_bytes() == (both[1] / file.name).read_bytes()

    def test_colours_outside_are_clipped_and_it_is_said(self, rng, tmp_path):
        images = colours(rng, 2, 4, 4)
        images[0, 1, 2], images[1, 3, 3] = (-0.5, 0.2, 1.25), (0.0, 1.5, 1.0)
        picture = pictures.sheet(tmp_path, images, columns=2)
        assert picture.caption == (
            "2 images. Of 96 values of colour 3 outside 0…1 (all run from −0.500 to 1.50) are drawn clipped."
        )
        wanted = expected(images.clip(0, 1), 2)
        np.testing.assert_array_equal(mosaic_in(picture_of(tmp_path, "samples"), wanted.shape)[0], wanted)
        assert texts(tmp_path, "samples")[4] == ["", "0", "1", "red", *map(repr, images[0, 1, :, 0].tolist())]
        images[0, 1, 2] = images[1, 3, 3] = 1.0
        assert pictures.sheet(tmp_path, images).caption == "2 images."

    def test_colours_that_are_not_finite_are_white_and_it_is_said(self, rng, tmp_path):
        images = colours(rng, 2, 4, 4)
        images[0, 1, 2, 0], images[1, 3, 3, 1] = nan, inf
        picture = pictures.sheet(tmp_path, images, columns=2)
        assert picture.caption == "2 images. White too: 2 pixels whose colour is not finite."
        images[0, 1, 2] = images[1, 3, 3] = 1.0
        wanted = expected(images, 2)
        np.testing.assert_array_equal(mosaic_in(picture_of(tmp_path, "samples"), wanted.shape)[0], wanted)

    def test_only_the_ends_are_framed(self, rng, tmp_path):
        way = colours(rng, 2, 5, 24, 24)
        pictures.interpolation(tmp_path, way)
        image = picture_of(tmp_path, "interpolation")
        wanted = expected(way[0], 5)
        here, times = np.argwhere((image == MAGENTA).all(-1)).min(0), mosaic_in(image, (1, 1))[1]
        row = image[here[0] + 12 * times, max(here[1] - 2 * times, 0) :]
        framed = [(row[i * 26 * times : (2 + i * 26) * times] == INK).all(-1).any() for i in range(6)]
        assert framed == [True, True, False, False, True, True]
        for i in range(5):  # and no frame lies on an image
            tile = image[here[0] :: times, here[1] + i * 26 * times :: times][:24, :24]
            np.testing.assert_array_equal(tile, wanted[:24, i * 26 : i * 26 + 24])

    def test_values_stand_above_the_columns(self, rng, tmp_path):
        way, found = greys(rng, 2, 3, 8, 8), []
        for values in ([1, 2, 3], [1, 2, 4]):
            pictures.traversal(tmp_path, way, values, ["size", "tilt"])
            found.append(picture_of(tmp_path, "traversal"))
        changed = np.argwhere((found[0] != found[1]).any(-1))
        (top, left), (bottom, right) = changed.min(0), changed.max(0)
        assert bottom - top < 15 and right - left < 15 and bottom < 40 and left > 400


class TestNumbers:
    def test_colours_as_text(self, rng, tmp_path):
        images, mask = colours(rng, 2, 3, 4), greys(rng, 1, 3, 4)
        pictures.images(tmp_path, {"original": images, "mask": mask, "difference": images - 0.5})
        table = texts(tmp_path, "images")
        assert table[0] == ["label", "image", "row", "channel", *(f"pixel {i}" for i in range(4))]
        lines = [line[:4] for line in table[1:]]
        assert lines[:4] == [["original", "0", str(i // 3), ("red", "green", "blue")[i % 3]] for i in range(4)]
        assert lines[18:21] == [["mask", "0", str(i), ""] for i in range(3)]
        values = np.asarray([line[4:] for line in table[1:]], float)
        np.testing.assert_array_equal(np.moveaxis(values[:18].reshape(2, 3, 3, 4), 2, -1), images)
        np.testing.assert_array_equal(values[18:21], mask[0])
        np.testing.assert_array_equal(values[21:].reshape(2, 3, 4), (images - 0.5).mean(-1))

    def test_colours_in_an_archive(self, rng, tmp_path):
        images, mask = colours(rng, 6, 100, 100), greys(rng, 5, 100, 100)
        pictures.images(tmp_path, {"original": images, "a/b": mask, "difference": images - 0.5})
        assert files(tmp_path) == ["images.npz", "images.png"]
        blocks, rest = archive(tmp_path, "images")
        assert list(blocks) == ["original", "a/b", "difference"] and not rest
        assert {block.dtype for block in blocks.values()} == {np.dtype(np.float32)}
        np.testing.assert_array_equal(blocks["original"], images.astype(np.float32))
        np.testing.assert_array_equal(blocks["a/b"], mask.astype(np.float32))
        np.testing.assert_array_equal(blocks["difference"], (images - 0.5).mean(-1).astype(np.float32))

    def test_text_up_to_a_limit_and_only_one_of_the_two(self, tmp_path):
        pictures.sheet(tmp_path, np.zeros((1, 500, 400)))
        assert files(tmp_path) == ["samples.csv", "samples.png"]
        pictures.sheet(tmp_path, np.zeros((1, 501, 400)))
        assert files(tmp_path) == ["samples.npz", "samples.png"]
        pictures.sheet(tmp_path, np.zeros((1, 5, 4)))
        assert files(tmp_path) == ["samples.csv", "samples.png"]

    def test_no_file_goes_that_is_of_no_earlier_picture(self, tmp_path):
        (tmp_path / "samples.npz").write_bytes(b"of the user")
        pictures.sheet(tmp_path, np.zeros((1, 5, 4)))
        assert (tmp_path / "samples.npz").read_bytes() == b"of the user"

    def test_ways(self, rng, tmp_path):
        way = greys(rng, 2, 3, 2, 2)
        pictures.traversal(tmp_path, way, [-1.5, 0, 3], ["size", "tilt"])
        table = texts(tmp_path, "traversal")
        assert table[0] == ["label", "image", "value", "row", "pixel 0", "pixel 1"]
        assert [line[:4] for line in table[1:4]] == [
            ["size", "0", "-1.5", "0"], ["size", "0", "-1.5", "1"], ["size", "1", "0.0", "0"]
        ]  # fmt: skip
        np.testing.assert_array_equal(np.asarray([line[4:] for line in table[1:]], float).reshape(way.shape), way)
        pictures.interpolation(tmp_path, way)
        table = texts(tmp_path, "interpolation")
        assert [line[:4] for line in table[::5]] == [
            ["label", "image", "share", "row"], ["pair 1", "2", "1.0", "0"], ["pair 2", "1", "0.5", "1"]
        ]  # fmt: skip

    def test_ways_in_an_archive(self, rng, tmp_path):
        way, values = colours(rng, 2, 7, 80, 64), np.linspace(-3, 3, 7)
        pictures.traversal(tmp_path, way, values, ["size", "tilt"])
        blocks, rest = archive(tmp_path, "traversal")
        np.testing.assert_array_equal([blocks["size"], blocks["tilt"]], way.astype(np.float32))
        np.testing.assert_array_equal(rest.pop("value"), values)
        assert not rest
        pictures.interpolation(tmp_path, way)
        blocks, rest = archive(tmp_path, "interpolation")
        assert list(blocks) == ["pair 1", "pair 2"]
        np.testing.assert_array_equal(rest["share"], np.linspace(0, 1, 7))

    def test_the_page_leads_to_whichever_there_is(self, rng, tmp_path):
        (tmp_path / "config.json").write_text('{"recipe": "pixels"}')
        (tmp_path / "metrics.json").write_text('{"metrics": {}}')
        (tmp_path / "timing.json").write_text("{}")
        (tmp_path / "history.csv").write_text("member,epoch,loss\n0,1,0.5\n")
        drawn = [
            pictures.sheet(tmp_path, colours(rng, 1, 300, 300), name="large"),
            pictures.sheet(tmp_path, colours(rng, 1, 3, 3), name="small"),
        ]
        (tmp_path / "pictures.json").write_text(json.dumps([picture._asdict() for picture in drawn]))
        page = write_page(tmp_path).read_text(encoding="utf-8")
        told = re.findall(r'<a href="([a-z.]+)">\1</a> holds its numbers', page)
        assert told == ["large.npz", "small.csv"]


class TestCaptions:
    def test_grey_stays_as_it_was(self, tmp_path):
        block = np.asarray([[[0.0, 0.25]], [[0.5, 1.0]]])
        says = " Grey runs from 0 (black) to 1 (white)."
        assert pictures.sheet(tmp_path, block).caption == "2 images." + says
        assert pictures.images(tmp_path, {"original": block, "difference": -block}).caption == (
            f"2 images of each kind.{says} Red is above and blue below zero, up to 1.00."
        )

    def test_a_difference_of_colours(self, rng, tmp_path):
        images = colours(rng, 2, 3, 3)
        change = np.zeros_like(images)
        change[0, 0, 0] = (0.5, 0.0, 0.25)
        assert pictures.images(tmp_path, {"original": images, "difference": change}).caption == (
            "2 images of each kind. Red is above and blue below zero, up to 0.250. "
            "For difference that is the mean over red, green and blue: opposite ones cancel."
        )
        one_map = pictures.images(tmp_path, {"original": images, "difference": change.mean(-1)}).caption
        assert "mean over" not in one_map

    def test_classes(self, rng, tmp_path):
        three, two = colours(rng, 3, 2, 2), colours(rng, 2, 2, 2)
        for samples, says in (
            ({"a": three, "b": three}, "3 samples of each of 2 classes."),
            ({"a": three, "b": two}, "2 to 3 samples of each of 2 classes."),
            ({"a": three[:1]}, "1 sample of it."),
        ):
            assert pictures.classes(tmp_path, samples).caption == f"Each row is a class: {says}"
        grey = pictures.classes(tmp_path, {"difference": greys(rng, 1, 2, 2)}).caption
        assert "Grey runs" in grey and "Red" not in grey

    def test_ways(self, rng, tmp_path):
        way = colours(rng, 1, 3, 2, 2)
        assert "set to 3 values from −2 to 2.5 (above" in pictures.traversal(tmp_path, way, [-2, 0, 2.5], ["a"]).caption
        assert "set to 1 value (above" in pictures.traversal(tmp_path, way[:, :1], [0], ["a"]).caption
        caption = pictures.interpolation(tmp_path, way).caption
        assert caption == (
            "1 pair of images: the framed ends of each row are the reconstructions of the two, not the images "
            "themselves, and between them 1 image, each at the share of the way from code to code above it."
        )
        assert pictures.interpolation(tmp_path, way[:, :2]).caption.endswith("not the images themselves.")


class TestColumns:
    @pytest.mark.parametrize(("width", "wide"), [(8, 16), (32, 16), (33, 8)])
    def test_wide_images_stand_fewer_in_a_line(self, width, wide, rng, tmp_path):
        images = colours(rng, 17, 2, width)
        wanted = expected(images, wide)
        for draw in (pictures.images, pictures.classes):
            picture = draw(tmp_path, {"a": images})
            found, _ = mosaic_in(picture_of(tmp_path, picture.file.removesuffix(".png")), wanted.shape)
            np.testing.assert_array_equal(found, wanted)

    def test_long_ways_keep_their_texts_apart(self, rng, tmp_path):
        way = greys(rng, 3, 61, 4, 4)
        pictures.traversal(tmp_path, way, np.linspace(-3, 3, 61), ["size", "tilt", "width " * 20])
        head = (picture_of(tmp_path, "traversal")[:20] < 200).any((0, 2))
        gaps = np.diff(np.flatnonzero(head))
        assert (gaps > 12).sum() >= 5  # words far apart, not one line of digits


class TestRefusals:
    @pytest.mark.parametrize("shape", [(), (3,), (4, 4), (2, 4, 4, 2), (2, 3, 4, 4), (1, 2, 4, 4, 3), (0, 4, 4)])
    def test_other_shapes(self, shape, tmp_path):
        bad = np.zeros(shape)
        for draw, says in (
            (lambda: pictures.sheet(tmp_path, bad), "images must have shape (n, h, w) or (n, h, w, 1) for grey"),
            (lambda: pictures.images(tmp_path, {"a": bad}), "rows['a'] must have shape (k, h, w) or (k, h, w, 1) for"),
            (lambda: pictures.classes(tmp_path, {"a": bad}), "samples['a'] must have shape (k, h, w) or"),
        ):
            with pytest.raises(ValueError, match=re.escape(says)) as refused:
                draw()
            assert str(refused.value).endswith(f"for colour, none of them 0, not {shape}")
        assert not files(tmp_path)

    @pytest.mark.parametrize("shape", [(2, 4, 4), (1, 2, 4, 4, 2), (1, 0, 4, 4), (1, 1, 2, 4, 4, 3)])
    def test_other_shapes_of_ways(self, shape, tmp_path):
        bad = np.zeros(shape)
        with pytest.raises(ValueError, match=re.escape("images must have shape (units, steps, h, w) or")):
            pictures.traversal(tmp_path, bad, [0, 1], ["a"])
        with pytest.raises(ValueError, match=re.escape("images must have shape (pairs, steps, h, w) or")):
            pictures.interpolation(tmp_path, bad)
        assert not files(tmp_path)

    def test_bytes_are_no_colours_in_0_to_1(self, tmp_path):
        says = "images in colour must lie in 0…1, and are whole numbers up to 200: divide them by 255"
        with pytest.raises(ValueError, match=says):
            pictures.sheet(tmp_path, np.full((1, 2, 2, 3), 200, np.uint8))
        assert "to 200 (white)" in pictures.sheet(tmp_path, np.full((1, 2, 2, 1), 200, np.uint8)).caption

    def test_what_does_not_fit_together(self, tmp_path):
        way = np.zeros((2, 3, 4, 4))
        for draw, says in (
            (lambda: pictures.images(tmp_path, {}), "rows must hold images of shape (k, h, w)"),
            (lambda: pictures.classes(tmp_path, {}), "samples must hold images of shape (k, h, w)"),
            (
                lambda: pictures.images(tmp_path, {"a": np.ones((1, 2, 2)), "b": np.ones((1, 2, 3, 3))}),
                "all images must have one size, not {'a': (2, 2), 'b': (2, 3)}",
            ),
            (lambda: pictures.sheet(tmp_path, way[0], columns=0), "columns must be at least 1, not 0"),
            (
                lambda: pictures.traversal(tmp_path, way, [0, 1], ["a", "b"]),
                "values must have shape (3,), one number per step, not (2,)",
            ),
            (lambda: pictures.traversal(tmp_path, way, [0, 1, nan], ["a", "b"]), "values must be finite"),
            (lambda: pictures.traversal(tmp_path, way, [0, 1, 2], ["a"]), "units must be 2 different names"),
            (lambda: pictures.traversal(tmp_path, way, [0, 1, 2], ["a", "a"]), "units must be 2 different names"),
            (lambda: pictures.interpolation(tmp_path, way[:, :1]), "at least 2 steps, the two ends, not shape (2, 1,"),
        ):
            with pytest.raises(ValueError, match=re.escape(says)):
                draw()
        assert not files(tmp_path)
