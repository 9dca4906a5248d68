"""Images of every usual kind: arrays, folders of image files, and images written to files."""

import gzip
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from jaxae import data

PLAIN = settings(max_examples=25, deadline=None)
PIXELS = st.tuples(st.integers(1, 12), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3])).flatmap(
    lambda shape: arrays(np.uint8, shape)
)
GRAY = np.array([[0, 50, 100], [150, 200, 250]], np.uint8)
COLOUR = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 10


def save(path, pixels, **options):
    """Write one image file, by Pillow, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    image.save(path, **options)
    return path


def png(depth, kind, width, height, rows, *, before=(), after=()):
    """Return the bytes of a PNG file, by its specification (ISO 15948)."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows))
    parts = [chunk(*part) for part in before], [chunk(*part) for part in after]
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(parts[0]) + body + b"".join(parts[1]) + chunk(b"IEND", b"")


def only(tmp_path):
    """Return the only image of a folder, (height, width, channels)."""
    return data.image_folder(tmp_path)[0]


class TestFolder:
    def test_gray_images_have_one_channel(self, tmp_path):
        save(tmp_path / "b.png", GRAY)
        save(tmp_path / "a.PNG", 255 - GRAY)
        found = data.images(tmp_path)
        assert found.values.dtype == np.uint8 and found.shape == (2, 3, 1)
        assert found.values.tolist() == [(255 - GRAY).ravel().tolist(), GRAY.ravel().tolist()]
        assert found.labels is None and found.classes == () and found.test == 0
        assert found.columns == tuple(f"pixel_{r}_{c}" for r in range(2) for c in range(3))
        assert found.notes == ("all images are gray: they have one channel",)

    def test_colour_anywhere_makes_three_channels(self, tmp_path):
        save(tmp_path / "a.png", COLOUR)
        save(tmp_path / "b.png", GRAY)
        found = data.images(tmp_path)
        assert found.shape == (2, 3, 3) and found.values.dtype == np.uint8
        np.testing.assert_array_equal(found.values.reshape(2, 2, 3, 3), [COLOUR, np.repeat(GRAY[:, :, None], 3, 2)])
        assert found.columns[:4] == ("pixel_0_0_red", "pixel_0_0_green", "pixel_0_0_blue", "pixel_0_1_red")
        assert "1 of 2 images are gray, which was repeated in red, green and blue" in found.notes

    def test_jpeg_is_what_pillow_decodes(self, tmp_path):
        for name in ("a.jpg", "b.JPEG"):
            save(tmp_path / name, COLOUR, format="JPEG")
        with Image.open(tmp_path / "a.jpg") as image:
            expected = np.asarray(image)
        folder = data.image_folder(tmp_path)
        np.testing.assert_array_equal(folder[:], [expected, expected])

    def test_folders_are_classes_in_order(self, tmp_path):
        for name, gray in (("dog", 3), ("Ant", 1), ("cat", 2)):
            for number in (10, 9):
                save(tmp_path / name / f"{number}.png", np.full((2, 2), 10 * gray + number, np.uint8))
        found = data.images(tmp_path)
        assert found.classes == ("Ant", "cat", "dog") and found.labels.tolist() == [0, 0, 1, 1, 2, 2]
        assert found.labels.dtype == np.int64
        assert found.values[:, 0].tolist() == [20, 19, 30, 29, 40, 39]
        assert "labels are the names of 3 folders: 'Ant', 'cat', 'dog'" in found.notes

    @pytest.mark.parametrize("names", [("train", "test"), ("Train", "TEST")])
    def test_the_official_split_has_its_test_images_last(self, tmp_path, names):
        for number, (part, kind) in enumerate([(0, "b"), (0, "a"), (1, "b"), (1, "c")]):
            save(tmp_path / names[part] / kind / "1.png", np.full((1, 1), number, np.uint8))
        found = data.images(tmp_path)
        assert found.test == 2 and found.classes == ("a", "b", "c")
        assert found.values.ravel().tolist() == [1, 0, 2, 3] and found.labels.tolist() == [0, 1, 1, 2]

    def test_an_official_split_without_classes(self, tmp_path):
        for name, gray in (("train/a", 1), ("train/b", 2), ("test/a", 3)):
            save(tmp_path / f"{name}.png", np.full((1, 1), gray, np.uint8))
        save(tmp_path / "val" / "a.png", GRAY)
        (tmp_path / "readme.txt").touch()
        found = data.images(tmp_path)
        assert found.values.ravel().tolist() == [1, 2, 3] and found.test == 1 and found.labels is None
        assert "left out, for they lie beside 'train', 'test': 'readme.txt', 'val'" in found.notes

    def test_train_alone_is_no_class_and_among_others_is_one(self, tmp_path):
        save(tmp_path / "alone" / "train" / "a" / "1.png", GRAY)
        found = data.image_folder(tmp_path / "alone")
        assert found.classes == ("a",) and found.test == 0
        for name in ("train", "bus"):
            save(tmp_path / "traffic" / name / "1.png", GRAY)
        assert data.image_folder(tmp_path / "traffic").classes == ("bus", "train")

    def test_other_files_are_named_and_hidden_ones_passed_over(self, tmp_path):
        save(tmp_path / "a" / "1.png", GRAY)
        save(tmp_path / "a" / "deeper" / "2.png", GRAY)
        for name in (".DS_Store", "a/._1.png", ".cache.png", "a/labels.txt", "readme.md", "a/old.bmp"):
            (tmp_path / name).touch()
        (tmp_path / "empty").mkdir()
        found = data.image_folder(tmp_path)
        assert len(found) == 1 and found.classes == ("a",)
        assert (
            "left out, for they are no PNG or JPEG images in their place: 'a/deeper', 'a/labels.txt', 'a/old.bmp', "
            "'readme.md'"
        ) in found.notes

    def test_one_image_of_one_pixel(self, tmp_path):
        save(tmp_path / "a.png", np.array([[7]], np.uint8))
        found = data.images(tmp_path)
        assert found.values.tolist() == [[7]] and found.shape == (1, 1, 1) and found.columns == ("pixel_0_0",)

    def test_it_is_the_same_in_whatever_order_files_were_made(self, tmp_path, rng):
        pixels = rng.integers(0, 256, (6, 3, 3), np.uint8)
        for place, order in (("x", range(6)), ("y", reversed(range(6)))):
            for number in order:
                save(tmp_path / place / f"{number % 2}" / f"{number}.png", pixels[number])
        first, second = data.images(tmp_path / "x"), data.images(tmp_path / "y")
        assert data.fingerprint(first.values) == data.fingerprint(second.values)
        assert first.columns == second.columns and first.labels.tolist() == second.labels.tolist()


class TestKinds:
    def test_a_palette_becomes_its_colours(self, tmp_path):
        image = Image.fromarray(np.array([[0, 1]], np.uint8))
        image.putpalette([255, 0, 0, 0, 0, 255])
        save(tmp_path / "a.png", image)
        assert only(tmp_path).tolist() == [[[255, 0, 0], [0, 0, 255]]]
        assert "1 of 1 images have a palette, whose colours were put in" in data.image_folder(tmp_path).notes

    def test_cmyk_becomes_rgb(self, tmp_path):
        save(tmp_path / "a.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), quality=95)
        found = data.image_folder(tmp_path)
        np.testing.assert_allclose(found[0][4, 4], [255, 0, 0], atol=3)  # JPEG is lossy
        assert any("1 of 1 images have the colours of print" in note for note in found.notes)

    def test_transparency_lies_over_white(self, tmp_path):
        save(tmp_path / "a.png", np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 255, 51]]], np.uint8))
        # 0.2 · colour + 0.8 · 255
        assert only(tmp_path).tolist() == [[[10, 20, 30], [255, 255, 255], [204, 224, 255]]]
        assert "1 of 1 images have transparency: they were laid over white" in data.image_folder(tmp_path).notes

    def test_gray_with_transparency_stays_gray(self, tmp_path):
        save(tmp_path / "a.png", Image.fromarray(np.array([[[0, 51], [9, 255]]], np.uint8)))
        assert only(tmp_path).tolist() == [[[204], [9]]]

    def test_images_without_transparency_have_no_note_of_it(self, tmp_path):
        save(tmp_path / "a.png", COLOUR)
        assert not any("transparency" in note for note in data.image_folder(tmp_path).notes)

    def test_a_transparent_palette_colour(self, tmp_path):
        image = Image.fromarray(np.array([[0, 1]], np.uint8))
        image.putpalette([255, 0, 0, 0, 0, 255])
        save(tmp_path / "a.png", image, transparency=1)
        assert only(tmp_path).tolist() == [[[255, 0, 0], [255, 255, 255]]]

    @pytest.mark.parametrize(
        "depth, rows, clear, expected",
        [
            (1, b"\0\x80", 0, [255, 255]),
            (1, b"\0\x80", 1, [255, 0]),
            (2, b"\0\x90", 1, [170, 255]),
            (4, b"\0\x5a", 5, [255, 170]),
            (8, b"\0\x05\x0a", 5, [255, 10]),
            (16, b"\0\x01\x01\x02\x02", 257, [255, 2]),
        ],
    )
    def test_one_gray_that_is_transparent(self, tmp_path, depth, rows, clear, expected):
        content = png(depth, 0, 2, 1, rows, before=[(b"tRNS", struct.pack(">H", clear))])
        (tmp_path / "a.png").write_bytes(content)
        assert only(tmp_path).ravel().tolist() == expected

    def test_one_colour_of_16_bits_that_is_transparent(self, tmp_path):
        rows = b"\0" + bytes([1, 9, 2, 9, 3, 9]) + bytes([4, 9, 5, 9, 6, 9])
        content = png(16, 2, 2, 1, rows, before=[(b"tRNS", bytes([1, 9, 2, 9, 3, 9]))])
        (tmp_path / "a.png").write_bytes(content)
        assert only(tmp_path).tolist() == [[[255, 255, 255], [4, 5, 6]]]

    @pytest.mark.parametrize("depth, row, expected", [(1, 0x80, [255, 0]), (2, 0x90, [170, 85]), (4, 0x5A, [85, 170])])
    def test_few_bits_fill_the_scale(self, tmp_path, depth, row, expected):
        (tmp_path / "a.png").write_bytes(png(depth, 0, 2, 1, bytes([0, row])))
        assert only(tmp_path).ravel().tolist() == expected

    def test_gray_of_16_bits_keeps_its_depth(self, tmp_path):
        values = np.array([[0, 1, 257], [300, 40000, 65535]], np.uint16)
        save(tmp_path / "deep.png", values)
        save(tmp_path / "shallow.png", GRAY)
        found = data.images(tmp_path)
        assert found.values.dtype == np.float32 and found.shape == (2, 3, 1)
        np.testing.assert_array_equal(found.values[0], (values.ravel() / 257).astype(np.float32))
        np.testing.assert_array_equal(found.values[1], GRAY.ravel())
        assert found.values[0, [0, 2, 5]].tolist() == [0, 1, 255]
        assert "1 of 2 images have 16 bits: their values were divided by 257, to 0…255" in found.notes
        save(tmp_path / "colour.png", COLOUR)
        assert data.image_folder(tmp_path)[1].shape == (2, 3, 3)

    @pytest.mark.parametrize("kind, count", [(2, 3), (4, 2), (6, 4)])
    def test_16_bits_with_colour_or_transparency_are_read_as_8(self, tmp_path, kind, count):
        (tmp_path / "a.png").write_bytes(png(16, kind, 1, 1, b"\0" + bytes([200, 7] * (count - 1) + [255, 255])))
        found = data.image_folder(tmp_path)
        assert found.dtype == np.uint8 and found.channels == (1 if kind == 4 else 3) and found[0].flat[0] == 200
        assert "1 of 1 images have 16 bits with colour or transparency, of which 8 were read" in found.notes

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["gray", "deep", "colour", "jpeg", "late"])
    def test_images_stand_as_exif_says(self, tmp_path, orientation, kind):
        exif = Image.Exif()
        exif[274] = orientation
        pixels = COLOUR if kind in ("colour", "jpeg") else GRAY.astype(np.uint16) * 257 if kind == "deep" else GRAY
        path = tmp_path / ("a.jpg" if kind == "jpeg" else "a.png")
        if kind == "late":  # ExifTool writes it behind the pixels
            rows = b"".join(b"\0" + bytes(row) for row in GRAY)
            path.write_bytes(png(8, 0, 3, 2, rows, after=[(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))]))
            stored = GRAY
        else:
            save(path, pixels, exif=exif)
            with Image.open(path) as image:
                stored = np.asarray(image)
        square = stored.astype(np.float64) / (257 if kind == "deep" else 1)
        flips = {1: square, 2: np.flip(square, 1), 3: np.rot90(square, 2), 4: np.flip(square, 0)}
        flips |= {5: square.swapaxes(0, 1), 6: np.rot90(square, -1), 8: np.rot90(square)}
        flips[7] = np.rot90(flips[5], 2)
        found = data.image_folder(tmp_path)
        assert found.size == flips[orientation].shape[:2]
        np.testing.assert_array_equal(found[0].squeeze(), flips[orientation])
        turned = "1 of 1 images were turned or mirrored, as their EXIF says"
        assert (turned in found.notes) == (orientation > 1)

    def test_exif_that_cannot_be_read_is_noted(self, tmp_path):
        rows = b"".join(b"\0" + bytes(row) for row in GRAY)
        (tmp_path / "a.png").write_bytes(png(8, 0, 3, 2, rows, before=[(b"eXIf", b"no TIFF at all")]))
        found = data.image_folder(tmp_path)
        assert found[0].squeeze().tolist() == GRAY.tolist()
        assert "1 of 1 images have EXIF that cannot be read, and stand as they are stored" in found.notes

    def test_the_first_of_several_pictures(self, tmp_path):
        first, second = (Image.fromarray(np.full((8, 8, 3), gray, np.uint8)) for gray in (50, 200))
        save(tmp_path / "a.jpg", first, format="MPO", save_all=True, append_images=[second])
        save(tmp_path / "b.png", first, save_all=True, append_images=[second])
        found = data.image_folder(tmp_path)
        assert found[:].mean((1, 2, 3)).tolist() == [50, 50]
        assert "2 of 2 images hold several pictures: the first was taken" in found.notes


class TestSize:
    def test_different_sizes_are_refused_with_two_of_them_and_the_fix(self, tmp_path):
        for name, shape in (("a", (2, 3)), ("b", (2, 3)), ("c", (5, 4))):
            save(tmp_path / f"{name}.png", np.zeros(shape, np.uint8))
        with pytest.raises(
            ValueError,
            match=r"different sizes: .*a\.png is 2×3 pixels .height × width., .*c\.png 5×4; bring all to one with "
            r"size=64, on the command line --set size=64",
        ):
            data.images(tmp_path)

    def test_the_centre_is_cut_and_resized(self, tmp_path):
        wide = np.zeros((4, 8), np.uint8)
        wide[:, :2], wide[:, 2:6], wide[:, 6:] = 10, 20, 30
        save(tmp_path / "a.png", wide)
        save(tmp_path / "b.png", np.full((4, 4), 9, np.uint8))
        found = data.images(tmp_path, size=4)
        assert found.shape == (4, 4, 1) and found.values.tolist() == [[20] * 16, [9] * 16]
        assert (
            found.notes[-1] == "1 of 2 images were cut at their centre to the aspect of 4×4 and resized to it (Lanczos)"
        )
        assert data.images(tmp_path, size=(2, 6)).shape == (2, 6, 1)

    @pytest.mark.parametrize("channels", [1, 3])
    def test_it_is_lanczos_as_pillow_has_it(self, tmp_path, rng, channels):
        pixels = rng.integers(0, 256, (9, 9, 3), np.uint8)[:, :, :channels]
        save(tmp_path / "a.png", pixels.squeeze())
        expected = Image.fromarray(pixels.squeeze()).resize((5, 5), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(data.image_folder(tmp_path, size=5)[0].squeeze(), np.asarray(expected))

    @pytest.mark.parametrize("name", ["npy", "npz", "idx"])
    def test_arrays_become_what_files_become(self, tmp_path, rng, name):
        pixels = rng.integers(0, 256, (3, 7, 9), np.uint8)
        for row, image in enumerate(pixels):
            save(tmp_path / "files" / f"{row}.png", image)
        path = tmp_path / f"a.{name}"
        if name == "idx":
            path.write_bytes(bytes([0, 0, 8, 3]) + np.array(pixels.shape, ">i4").tobytes() + pixels.tobytes())
        else:
            np.save(path, pixels) if name == "npy" else np.savez(path, X=pixels)
        found, files = data.images(path, size=(4, 5)), data.images(tmp_path / "files", size=(4, 5))
        np.testing.assert_array_equal(found.values, files.values)
        assert found.columns == files.columns and found.shape == files.shape == (4, 5, 1)
        assert found.values.dtype == np.float64 and "resized to it (Lanczos)" in found.notes[-1]

    def test_deep_images_are_resized_at_their_depth_within_their_range(self, tmp_path):
        step = np.zeros((8, 8), np.uint16)
        step[:, 4:] = 65535
        save(tmp_path / "deep.png", step)
        save(tmp_path / "shallow.png", (step / 257).astype(np.uint8))
        found = data.images(tmp_path, size=11).values
        assert found.dtype == np.float32 and found.min() == 0 and found.max() == 255
        np.testing.assert_allclose(found[0], found[1], atol=0.51)  # the second is rounded to bytes
        assert (found[0] != np.round(found[0])).any()

    def test_a_flat_square_and_a_table_are_resized_too(self, tmp_path):
        np.save(tmp_path / "a.npy", np.tile(np.array([[1.0], [3.0]]), (1, 16)))
        found = data.images(tmp_path / "a.npy", size=2)
        np.testing.assert_allclose(found.values, [[1] * 4, [3] * 4])
        (tmp_path / "a.csv").write_text("label,pixel_0_0,pixel_0_1\n5,7,7\n6,9,9\n")
        found = data.images(tmp_path / "a.csv", size=3)
        np.testing.assert_allclose(found.values, [[7] * 9, [9] * 9])
        assert found.labels.tolist() == [5, 6] and found.shape == (3, 3, 1)

    @pytest.mark.parametrize("name", ["a.npy", "a.csv"])
    def test_an_unknown_shape_cannot_be_resized(self, tmp_path, name):
        data.write(tmp_path / name, np.ones((2, 3)), ["a", "b", "c"])
        with pytest.raises(ValueError, match=r"does not say how high and wide"):
            data.images(tmp_path / name, size=2)

    def test_a_size_that_the_images_have_changes_nothing(self, tmp_path):
        save(tmp_path / "a.png", GRAY)
        found = data.images(tmp_path, size=(2, 3))
        assert found.values.tolist() == [GRAY.ravel().tolist()] and not any("resized" in note for note in found.notes)

    @pytest.mark.parametrize(
        "size, error, message",
        [
            (0, ValueError, "size is 0"),
            (2.5, TypeError, "size is 2.5"),
            (True, TypeError, "size is True"),
            ("64", TypeError, "size is '64'"),
            ((4, -1), ValueError, "size is -1"),
            ((1, 2, 3), ValueError, r"one number, the side of a square, or \(height, width\)"),
        ],
    )
    def test_sizes_that_are_none(self, tmp_path, size, error, message):
        save(tmp_path / "a.png", GRAY)
        for read in (data.images, data.image_folder):
            with pytest.raises(error, match=message):
                read(tmp_path, size=size)


def flipped(content, name=b"IDAT", shift=8):
    """Return a PNG file with one bit of a chunk turned over."""
    spot = content.index(name) + shift
    return content[:spot] + bytes([content[spot] ^ 1]) + content[spot + 1 :]


class TestDamage:
    @pytest.mark.parametrize(
        "name, content, message",
        [
            ("m.png", b"", r"m\.png is empty"),
            ("m.png", b"hello", r"m\.png is no PNG image, or damaged or cut short: replace or remove it"),
            ("m.jpg", b"\xff\xd8\xff", r"m\.jpg is no JPEG image, or damaged"),
            ("m.png", b"\x89PNG\r\n\x1a\n", r"m\.png is no PNG image, or damaged"),
        ],
    )
    def test_the_first_is_named_and_all_are_counted(self, tmp_path, name, content, message):
        for good in ("a.png", "z.png"):
            save(tmp_path / good, GRAY)
        for bad in (name, f"n{name}"):
            (tmp_path / bad).write_bytes(content)
        for read in (data.images, data.image_folder):
            with pytest.raises(ValueError, match=rf"{message}.* \(2 of 4 images cannot be read\)"):
                read(tmp_path)

    @pytest.mark.parametrize("name, kind", [("a.png", "JPEG"), ("a.jpg", "PNG"), ("a.jpeg", "PNG")])
    def test_the_wrong_suffix(self, tmp_path, name, kind):
        save(tmp_path / name, COLOUR, format=kind)
        with pytest.raises(ValueError, match=rf"holds a {kind} image, and its name says \w+: give it the other suffix"):
            data.image_folder(tmp_path)

    def test_another_kind_with_the_suffix_of_png(self, tmp_path):
        save(tmp_path / "a.png", COLOUR, format="BMP")
        with pytest.raises(ValueError, match=r"a\.png is no PNG image"):
            data.image_folder(tmp_path)

    def test_headers_are_read_and_pixels_are_not(self, tmp_path, rng):
        noise = rng.integers(0, 256, (40, 40, 3), np.uint8)
        for name in ("0.png", "3.jpg"):
            save(tmp_path / name, noise)
        whole = save(tmp_path / "1.png", noise).read_bytes()
        (tmp_path / "1.png").write_bytes(flipped(whole, shift=500))
        (tmp_path / "2.png").write_bytes(whole[: len(whole) // 2])
        picture = (tmp_path / "3.jpg").read_bytes()
        (tmp_path / "4.jpg").write_bytes(picture[: len(picture) // 2])
        folder = data.image_folder(tmp_path)
        assert len(folder) == 5 and folder.size == (40, 40)
        np.testing.assert_array_equal(folder[0], noise)
        for row, name in ((1, "1.png"), (2, "2.png"), (4, "4.jpg")):
            with pytest.raises(ValueError, match=rf"{name} is no \w+ image, or damaged or cut short"):
                folder[row]
        with pytest.raises(ValueError, match=r"1\.png is no PNG image.*\(2 of 3 images cannot be decoded\)"):
            folder[1:4]
        with pytest.raises(ValueError, match=r"1\.png is no PNG image.*\(3 of 5 images cannot be decoded\)"):
            data.images(tmp_path)

    @pytest.mark.parametrize("name, end", [("a.png", 4), ("a.jpg", 0)])
    def test_cut_anywhere(self, tmp_path, rng, name, end):
        content = save(tmp_path / name, rng.integers(0, 256, (6, 6, 3), np.uint8)).read_bytes()
        for length in range(len(content) - end):  # a PNG file ends with a checksum of nothing
            (tmp_path / name).write_bytes(content[:length])
            with pytest.raises(ValueError, match=name):
                data.images(tmp_path)

    def test_flipped_bytes_of_png_are_found(self, tmp_path, rng):
        exif = Image.Exif()
        exif[274] = 6
        path = save(tmp_path / "a.png", rng.integers(0, 256, (3, 3, 3), np.uint8), exif=exif)
        content = path.read_bytes()
        for spot in range(len(content) - 12):  # the last chunk holds nothing but its name
            path.write_bytes(content[:spot] + bytes([content[spot] ^ 0x2A]) + content[spot + 1 :])
            with pytest.raises(ValueError, match=r"a\.png"):
                data.images(tmp_path)

    def test_flipped_bytes_of_jpeg_are_found_or_decoded(self, tmp_path, rng):
        exif = Image.Exif()
        exif[274] = 6
        path = save(tmp_path / "a.jpg", rng.integers(0, 256, (4, 4, 3), np.uint8), exif=exif)
        content = path.read_bytes()
        refused = 0
        for spot in range(len(content)):
            path.write_bytes(content[:spot] + bytes([content[spot] ^ 0x2A]) + content[spot + 1 :])
            try:
                assert data.images(tmp_path).values.dtype == np.uint8
            except ValueError as error:
                assert str(path) in str(error)
                refused += 1
        assert refused > 50

    @pytest.mark.parametrize("pixels", [100, 250])
    def test_bombs_are_refused(self, tmp_path, monkeypatch, pixels):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 99)  # above it Pillow warns, above twice that it raises
        save(tmp_path / "a.png", np.zeros((1, pixels), np.uint8))
        with pytest.raises(ValueError, match=r"a\.png has more pixels than the 99 that .*: make it smaller"):
            data.image_folder(tmp_path)

    def test_a_bomb_of_text(self, tmp_path):
        text = b"k\0\0" + zlib.compress(b" " * 2_000_000)
        (tmp_path / "a.png").write_bytes(png(8, 0, 1, 1, b"\0\0", before=[(b"zTXt", text)]))
        with pytest.raises(ValueError, match=r"a\.png is no PNG image, or damaged"):
            data.image_folder(tmp_path)

    def test_a_folder_that_changes_while_it_is_read(self, tmp_path):
        path = save(tmp_path / "a.png", GRAY)
        folder = data.image_folder(tmp_path)
        save(path, GRAY.T)
        with pytest.raises(ValueError, match="another size than it had"):
            folder[0]
        save(path, COLOUR)
        with pytest.raises(ValueError, match="has colour, which its header did not say before"):
            folder[0]
        path.unlink()
        with pytest.raises(ValueError, match=r"a\.png cannot be read: No such file"):
            folder[0]

    def test_a_broken_link(self, tmp_path):
        (tmp_path / "a.png").symlink_to(tmp_path / "none.png")
        with pytest.raises(ValueError, match=r"a\.png cannot be read"):
            data.image_folder(tmp_path)


class TestNoFolderOfImages:
    def test_what_is_there_is_said(self, tmp_path):
        with pytest.raises(ValueError, match=r"has no image \(\.png, \.jpg, \.jpeg\) .*; it is empty: name a folder"):
            data.images(tmp_path)
        (tmp_path / "scan.tif").touch()
        for read in (data.images, data.image_folder):
            with pytest.raises(ValueError, match=r"has no image .* lacks train-images-idx3.*; it has 'scan.tif'"):
                read(tmp_path)

    def test_no_such_folder(self, tmp_path):
        for read in (data.images, data.image_folder):
            with pytest.raises(FileNotFoundError, match="none does not exist"):
                read(tmp_path / "none")

    @pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.webp"])
    def test_one_image(self, tmp_path, name):
        (tmp_path / name).touch()
        with pytest.raises(ValueError, match="is one image: give the folder that the images lie in"):
            data.images(tmp_path / name)
        with pytest.raises(ValueError, match="is a file: give the folder that the images lie in"):
            data.image_folder(tmp_path / name)
        with pytest.raises(FileNotFoundError):
            data.images(tmp_path / f"none{name}")

    def test_images_beside_folders_of_images(self, tmp_path):
        save(tmp_path / "a.png", GRAY)
        save(tmp_path / "cat" / "b.png", GRAY)
        with pytest.raises(ValueError, match=r"has images, 'a\.png' first, beside folders of images, 'cat' first"):
            data.image_folder(tmp_path)

    def test_images_beside_train_and_test(self, tmp_path):
        for name in ("a.png", "train/b.png", "test/c.png"):
            save(tmp_path / name, GRAY)
        with pytest.raises(ValueError, match=r"has images, 'a\.png' first, beside 'train', 'test': move"):
            data.image_folder(tmp_path)

    def test_classes_to_train_on_only(self, tmp_path):
        for name in ("train/x/b.png", "test/c.png"):
            save(tmp_path / name, GRAY)
        with pytest.raises(ValueError, match="has labels for some of its images only: sort train and test"):
            data.image_folder(tmp_path)

    def test_nothing_to_test_on(self, tmp_path):
        save(tmp_path / "train" / "x" / "b.png", GRAY)
        (tmp_path / "test").mkdir()
        with pytest.raises(ValueError, match=r"test has no image .*: put its images there, or remove it"):
            data.image_folder(tmp_path)


class TestLazy:
    @pytest.fixture
    def folder(self, tmp_path):
        for row in range(5):
            save(tmp_path / f"{row}.png", np.full((2, 3), row, np.uint8))
        return data.image_folder(tmp_path)

    def test_rows_and_slices(self, folder):
        assert len(folder) == 5 and folder[2].shape == (2, 3, 1) and folder[2].dtype == np.uint8
        assert folder[-1].max() == folder[np.int64(4)].max() == 4
        assert folder[1:4].shape == (3, 2, 3, 1) and folder[::-2][:, 0, 0, 0].tolist() == [4, 2, 0]
        assert folder[5:].shape == (0, 2, 3, 1)
        assert [image.max() for image in folder] == [0, 1, 2, 3, 4]

    def test_beyond_the_end_and_by_other_things(self, folder):
        with pytest.raises(IndexError):
            folder[5]
        with pytest.raises(TypeError):
            folder["0"]

    def test_it_is_what_images_gives(self, folder):
        found = data.images(folder.paths[0].parent)
        np.testing.assert_array_equal(found.values, folder[:].reshape(5, 6))
        assert found.shape == (*folder.size, folder.channels) and found.notes == folder.notes

    def test_bytes_are_never_floats(self, tmp_path):
        folder = tmp_path / "many"
        data.write_images(folder, np.zeros((50, 64, 64, 3), np.uint8))
        assert data.images(folder).values.nbytes == 50 * 64 * 64 * 3


class TestArrays:
    @pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, bool])
    def test_without_channels_they_are_as_read_gives_them(self, tmp_path, rng, dtype):
        array = rng.integers(0, 2, (4, 3, 5)).astype(dtype)
        np.save(tmp_path / "a.npy", array)
        found = data.images(tmp_path / "a.npy")
        np.testing.assert_array_equal(found.values, data.read(tmp_path / "a.npy").values)
        assert found.values.dtype == np.float64 and found.shape == (3, 5, 1) and found.notes == ()
        assert found.columns[-1] == "pixel_2_4"

    @pytest.mark.parametrize(
        "dtype, kept", [(np.uint8, np.uint8), (bool, np.uint8), (np.float32, np.float32), (">f4", np.float32)]
    )
    @pytest.mark.parametrize("channels", [1, 3])
    def test_with_channels_they_stay_what_they_are(self, tmp_path, rng, dtype, kept, channels):
        array = rng.integers(0, 2, (4, 2, 5, channels)).astype(dtype)
        np.save(tmp_path / "a.npy", array)
        found = data.images(tmp_path / "a.npy")
        assert found.values.dtype == kept and found.shape == (2, 5, channels)
        np.testing.assert_array_equal(found.values, array.reshape(4, -1))

    def test_one_image_is_enough(self, tmp_path):
        np.save(tmp_path / "a.npy", np.ones((1, 2, 2)))
        assert data.images(tmp_path / "a.npy").shape == (2, 2, 1)

    @pytest.mark.parametrize("dtype", ["<u2", ">u2"])
    @pytest.mark.parametrize("shape", [(2, 4), (2, 2, 2), (2, 2, 1, 2)])
    def test_16_bits_become_0_to_255(self, tmp_path, dtype, shape):
        values = np.array([0, 257, 65535, 300, 1, 2, 3, 4])
        shape = shape if len(shape) < 4 else (1, 2, 4, 1)
        np.save(tmp_path / "a.npy", values.reshape(shape).astype(dtype))
        found = data.images(tmp_path / "a.npy")
        assert found.values.dtype == np.float32
        np.testing.assert_array_equal(found.values.ravel(), (values / 257).astype(np.float32))
        assert "has 16 bits: its values were divided by 257, to 0…255" in found.notes[0]

    @pytest.mark.parametrize("scale, dtype", [(255, np.uint8), (255, np.float64), (1, np.float32), (65535, np.uint16)])
    def test_the_fourth_channel_is_the_opacity(self, tmp_path, scale, dtype):
        array = np.array([[[[0, 0.4, 1, 0.2], [0.4, 0.4, 0.4, 1], [0, 0, 0, 0]]]]) * scale
        np.save(tmp_path / "a.npy", np.round(array, 6).astype(dtype))
        found = data.images(tmp_path / "a.npy")
        assert found.shape == (1, 3, 3) and "has transparency: it was laid over white" in found.notes[-1]
        full = min(scale, 255)
        expected = np.array([0.8, 0.88, 1, 0.4, 0.4, 0.4, 1, 1, 1]) * full
        np.testing.assert_allclose(found.values[0], expected, atol=0.5 if dtype == np.uint8 else 1e-5 * full)

    def test_opacity_is_as_in_files(self, tmp_path, rng):
        array = rng.integers(0, 256, (2, 4, 5, 4), np.uint8)
        np.save(tmp_path / "a.npy", array)
        for row, image in enumerate(array):
            save(tmp_path / "files" / f"{row}.png", image)
        np.testing.assert_array_equal(data.images(tmp_path / "a.npy").values, data.images(tmp_path / "files").values)
        white = Image.new("RGBA", (5, 4), "white")
        pillow = np.asarray(Image.alpha_composite(white, Image.fromarray(array[0])).convert("RGB"), int)
        assert abs(data.image_folder(tmp_path / "files")[0] - pillow).max() <= 1  # Pillow rounds in another way

    @pytest.mark.parametrize("colour, opacity", [(200.0, 1.0), (-1.0, 1.0), (300.0, 255.0)])
    def test_opacity_on_another_scale_than_the_colours(self, tmp_path, colour, opacity):
        array = np.full((2, 2, 2, 4), colour)
        array[..., 3] = opacity
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(ValueError, match=r"give all four in 0…1, or all in 0…255"):
            data.images(tmp_path / "a.npy")

    @pytest.mark.parametrize("channels", [1, 3, 4])
    def test_channels_in_front_are_refused(self, tmp_path, channels):
        np.save(tmp_path / "a.npy", np.zeros((5, channels, 8, 8)))
        with pytest.raises(ValueError, match=r"must be that of the channels: write array\.transpose\(0, 2, 3, 1\)"):
            data.images(tmp_path / "a.npy")

    @pytest.mark.parametrize(
        "array, message",
        [
            (np.zeros((2, 8, 8, 2)), r"shape \(2, 8, 8, 2\), .*: give 1, 3 or 4 channels"),
            (np.zeros((2, 2, 2, 2, 3)), r"shape \(2, 2, 2, 2, 3\); needed are"),
            (np.zeros((0, 4, 4)), r"shape \(0, 4, 4\); needed are"),
            (np.zeros((2, 0, 4)), r"shape \(2, 0, 4\); needed are"),
            (np.float64(1), r"shape \(\); needed are"),
            (np.zeros((2, 2, 2), complex), "holds complex128"),
            (np.array([[[0.0]], [[np.nan]], [[np.inf]]]), "has nan or infinity in 2 images, number 2 first"),
        ],
    )
    def test_what_is_no_array_of_images(self, tmp_path, array, message):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(ValueError, match=message):
            data.images(tmp_path / "a.npy")

    @pytest.mark.parametrize("width, shape", [(1, (1, 1, 1)), (49, (7, 7, 1)), (50, None)])
    def test_flat_squares(self, tmp_path, width, shape):
        np.save(tmp_path / "a.npy", np.ones((3, width)))
        found = data.images(tmp_path / "a.npy")
        assert found.shape == shape and found.columns == tuple(f"x{i}" for i in range(width))
        assert found.values.dtype == np.float64

    @pytest.mark.parametrize(
        "names, shape",
        [
            (["pixel_0_0", "pixel_0_1"], (1, 2, 1)),
            (["pixel_0_0", "pixel_1_0"], (2, 1, 1)),
            (["pixel_0_0_red", "pixel_0_0_green", "pixel_0_0_blue"], (1, 1, 3)),
            (["a", "b", "c", "d"], (2, 2, 1)),
            (["a", "b", "c"], None),
            (["pixel_0_0", "pixel_1_0", "pixel_0_1", "pixel_1_1"], None),
            (["pixel_0_1", "pixel_0_0", "pixel_1_0", "pixel_99999_99999"], None),
        ],
    )
    def test_tables_by_their_names(self, tmp_path, names, shape):
        data.write(tmp_path / "a.csv", np.ones((2, len(names))), names)
        found = data.images(tmp_path / "a.csv")
        assert found.shape == shape and found.columns == tuple(names) and found.values.dtype == np.float64

    def test_idx_has_a_shape(self, tmp_path):
        path = tmp_path / "a.idx.gz"
        path.write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + np.array([2, 3, 4], ">i4").tobytes() + bytes(range(24))))
        found = data.images(path)
        assert found.shape == (3, 4, 1) and found.values.dtype == np.float64 and found.values[1, 0] == 12


class TestArchives:
    @pytest.mark.parametrize("key", ["y", "label", "labels"])
    @pytest.mark.parametrize("images", ["X", "pictures"])
    def test_labels(self, tmp_path, key, images):
        np.savez(tmp_path / "a.npz", **{images: np.ones((3, 2, 2)), key: np.array([[2], [0], [1]], np.uint8)})
        found = data.images(tmp_path / "a.npz")
        assert found.labels.tolist() == [2, 0, 1] and found.labels.dtype == np.int64
        assert found.notes == (f"labels are {key!r} of a.npz",)

    def test_what_is_left_out_is_named(self, tmp_path):
        np.savez(tmp_path / "a.npz", X=np.ones((3, 2, 2)), y=np.arange(3), label=np.arange(3), names=np.ones(2))
        assert data.images(tmp_path / "a.npz").notes[-1] == "left out of a.npz: 'label', 'names'"

    @pytest.mark.parametrize(
        "labels, message",
        [
            (np.array([0.5, 1, 2]), "'y' of .* must hold whole numbers"),
            (np.array([np.inf, 1, 2]), "'y' of .* must hold whole numbers"),
            (np.eye(3), r"\(of rows with a single 1: rows\.argmax\(1\)\)"),
            (np.array(["a", "b", "c"]), "holds <U1"),
            (np.arange(4), "has 4 labels for the 3 images"),
            (np.int64(3), r"of shape \(\)"),
        ],
    )
    def test_labels_that_are_none(self, tmp_path, labels, message):
        np.savez(tmp_path / "a.npz", X=np.ones((3, 2, 2)), y=labels)
        with pytest.raises(ValueError, match=message):
            data.images(tmp_path / "a.npz")

    @pytest.mark.parametrize("shape", [(3, 3), (3, 3, 3)])
    def test_keras(self, tmp_path, rng, shape):
        train, test = rng.integers(0, 256, (5, *shape), np.uint8), rng.integers(0, 256, (2, *shape), np.uint8)
        labels = {"y_train": np.arange(5)[:, None], "y_test": np.arange(2)[:, None]}
        np.savez(tmp_path / "a.npz", x_train=train, x_test=test, **labels)
        found = data.images(tmp_path / "a.npz")
        assert found.test == 2 and found.labels.tolist() == [0, 1, 2, 3, 4, 0, 1]
        assert found.shape == (3, 3, 1 if len(shape) == 2 else 3) and found.values.dtype == np.uint8
        np.testing.assert_array_equal(found.values, np.concatenate([train, test]).reshape(7, -1))
        assert data.images(tmp_path / "a.npz", size=2).shape[:2] == (2, 2)

    def test_keras_in_part(self, tmp_path):
        np.savez(tmp_path / "a.npz", x_train=np.ones((5, 3, 3)), x_val=np.ones((2, 3, 3)))
        found = data.images(tmp_path / "a.npz")
        assert found.test == 0 and found.labels is None and found.notes == ("left out of a.npz: 'x_val'",)
        np.savez(tmp_path / "a.npz", x_train=np.ones((5, 3, 3)), y_train=np.ones(5), x_test=np.ones((2, 3, 3)))
        with pytest.raises(ValueError, match="labels for some of its images only"):
            data.images(tmp_path / "a.npz")
        np.savez(tmp_path / "a.npz", x_train=np.ones((5, 3, 3)), x_test=np.ones((2, 4, 4)))
        with pytest.raises(ValueError, match="different sizes: bring all to one with size=64"):
            data.images(tmp_path / "a.npz")
        found = data.images(tmp_path / "a.npz", size=2)
        assert found.test == 2 and found.shape == (2, 2, 1)

    def test_neither_is_refused_with_the_keys(self, tmp_path):
        np.savez(tmp_path / "a.npz", a=np.ones((2, 2)), b=np.ones((2, 2)))
        with pytest.raises(ValueError, match=r"holds 2 arrays .* keys 'a', 'b'; name the table 'X'"):
            data.images(tmp_path / "a.npz")

    def test_damaged(self, tmp_path):
        np.savez(tmp_path / "a.npz", X=np.ones((9, 2, 2)), y=np.arange(9))
        content = (tmp_path / "a.npz").read_bytes()
        (tmp_path / "a.npz").write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match="damaged or cut short"):
            data.images(tmp_path / "a.npz")


class TestMnist:
    def test_its_folder_can_be_resized_and_has_a_shape(self, tmp_path, rng):
        for part, shape in (("train", (4, 6, 6)), ("t10k", (2, 6, 6))):
            header = bytes([0, 0, 8, 3]) + np.array(shape, ">i4").tobytes()
            (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(header + bytes(rng.integers(0, 256, shape, np.uint8)))
            header = bytes([0, 0, 8, 1]) + np.array(shape[:1], ">i4").tobytes()
            (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(header + bytes(range(shape[0])))
        save(tmp_path / "sample.png", GRAY)  # the files of MNIST go first
        found = data.images(tmp_path)
        assert found.shape == (6, 6, 1) and found.test == 2 and found.values.dtype == np.float64
        found = data.images(tmp_path, size=(3, 4))
        assert found.shape == (3, 4, 1) and found.test == 2 and found.labels.tolist() == [0, 1, 2, 3, 0, 1]
        assert found.columns[-1] == "pixel_2_3" and sum("resized" in note for note in found.notes) == 2

    @pytest.mark.skipif("JAXAE_DATA" not in os.environ, reason="JAXAE_DATA does not name the folder of real data")
    def test_its_digits_as_png_files_are_the_same(self, tmp_path):
        found = data.images(Path(os.environ["JAXAE_DATA"], "mnist"))
        assert found.values.shape == (70_000, 784) and found.shape == (28, 28, 1) and found.test == 10_000
        data.write_images(tmp_path / "png", found.values[:300].reshape(-1, 28, 28, 1))
        np.testing.assert_array_equal(data.images(tmp_path / "png").values, found.values[:300])


class TestWriteImages:
    @PLAIN
    @given(pixels=PIXELS)
    def test_bytes_come_back(self, tmp_path_factory, pixels):
        folder = tmp_path_factory.mktemp("written") / "images"
        data.write_images(folder, pixels)
        found = data.images(folder)
        np.testing.assert_array_equal(found.values.reshape(pixels.shape), pixels)
        assert found.values.dtype == np.uint8 and found.shape == pixels.shape[1:]

    @PLAIN
    @given(pixels=PIXELS, size=st.integers(1, 6))
    def test_resizing_is_the_same_in_files_and_in_arrays(self, tmp_path_factory, pixels, size):
        folder = tmp_path_factory.mktemp("written")
        data.write_images(folder / "images", pixels)
        np.save(folder / "a.npy", pixels)
        files, array = data.images(folder / "images", size=size), data.images(folder / "a.npy", size=size)
        np.testing.assert_array_equal(files.values, array.values)
        assert files.shape == array.shape == (size, size, pixels.shape[3])

    def test_floats_are_rounded(self, tmp_path):
        data.write_images(tmp_path / "a", np.array([0.0, 0.6, 127.4, 254.51, 255.0, 3.0]).reshape(1, 2, 3, 1))
        assert data.images(tmp_path / "a").values.tolist() == [[0, 1, 127, 255, 255, 3]]

    def test_numbers_and_names(self, tmp_path):
        data.write_images(tmp_path / "a", np.zeros((11, 1, 1, 1), np.uint8))
        assert sorted(os.listdir(tmp_path / "a")) == [f"{row:02d}.png" for row in range(11)]
        (tmp_path / "b").mkdir()  # an empty one is as good as none
        data.write_images(tmp_path / "b", np.array([5, 4]).reshape(2, 1, 1, 1), names=["zebra", "Übung 1"])
        assert sorted(os.listdir(tmp_path / "b")) == ["zebra.png", "Übung 1.png"]
        assert data.images(tmp_path / "b").values.tolist() == [[5], [4]]

    def test_the_same_images_are_the_same_bytes(self, tmp_path, rng):
        pixels = rng.integers(0, 256, (2, 5, 5, 3), np.uint8)
        for name in "ab":
            data.write_images(tmp_path / name, pixels)
        assert (tmp_path / "a/1.png").read_bytes() == (tmp_path / "b/1.png").read_bytes()

    @pytest.mark.parametrize(
        "images, message",
        [
            (np.zeros((2, 3, 3)), r"shape \(n, height, width, 1 or 3\).*; got float64 of shape \(2, 3, 3\)"),
            (np.zeros((2, 3, 3, 4)), r"got float64 of shape \(2, 3, 3, 4\)"),
            (np.zeros((0, 3, 3, 1)), r"got float64 of shape \(0, 3, 3, 1\)"),
            (np.zeros((2, 3, 3, 1), bool), "got bool"),
            (np.zeros((2, 3, 3, 1), complex), "got complex128"),
            (np.full((2, 3, 3, 1), -0.25), "images go from -0.25 to -0.25, but must lie in 0…255: scale or clip"),
            (np.full((2, 3, 3, 1), 256), "images go from 256 to 256"),
            (np.full((2, 3, 3, 1), np.nan), "images go from nan to nan"),
        ],
    )
    def test_what_is_no_image(self, tmp_path, images, message):
        with pytest.raises(ValueError, match=message):
            data.write_images(tmp_path / "a", images)
        assert not os.listdir(tmp_path)

    @pytest.mark.parametrize(
        "names, message",
        [
            (["a"], r"names must be 2 names, one for each image; got \['a'\]"),
            ("ab", "names must be 2 names"),
            (["a", "A"], "names has 'A' twice"),
            (["a", "b/c"], "names has 'b/c', which is no file's name on every system"),
            (["a", ".b"], r"names has '\.b', which is no file's name"),
            (["", "b"], "names has '', which is no file's name"),
            ([1, 2], "names has 1, which is no file's name"),
        ],
    )
    def test_what_is_no_name(self, tmp_path, names, message):
        with pytest.raises(ValueError, match=message):
            data.write_images(tmp_path / "a", np.zeros((2, 1, 1, 1)), names)
        assert not os.listdir(tmp_path)

    def test_nothing_is_written_over(self, tmp_path):
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "old.png").write_bytes(b"old")
        with pytest.raises(ValueError, match=r"a is not empty, it has 'old\.png': give a new folder"):
            data.write_images(tmp_path / "a", np.zeros((2, 1, 1, 1)))
        with pytest.raises(ValueError, match="is a file; give the name of a new folder"):
            data.write_images(tmp_path / "a" / "old.png", np.zeros((2, 1, 1, 1)))
        with pytest.raises(FileNotFoundError, match="does not exist; make it first"):
            data.write_images(tmp_path / "none" / "a", np.zeros((2, 1, 1, 1)))
        assert os.listdir(tmp_path) == ["a"] and (tmp_path / "a" / "old.png").read_bytes() == b"old"

    def test_all_or_none(self, tmp_path, monkeypatch):
        save_image, written = Image.Image.save, []

        def fails_at_the_second(image, path, **options):
            written.append(path)
            if len(written) == 2:
                raise OSError(28, "No space left on device")
            save_image(image, path, **options)

        monkeypatch.setattr(Image.Image, "save", fails_at_the_second)
        with pytest.raises(ValueError, match="a cannot be written: No space left on device"):
            data.write_images(tmp_path / "a", np.zeros((3, 1, 1, 1)))
        assert len(written) == 2 and not os.listdir(tmp_path)
