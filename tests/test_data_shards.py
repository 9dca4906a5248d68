"""Rows on disk: they are those of the files, and what is wrong with a file is said before anything is trained."""

import os
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jaxae.data import fingerprint, shards

ROWS = np.random.default_rng(0).normal(size=(23, 3)).astype(np.float32)
SIZES = ([23], [8, 8, 7], [1, 0, 21, 1])
NAMES = ("a", "b", "c")


def arrays(folder: Path, sizes, rows=ROWS, name="part") -> list[Path]:
    paths, ends = [], np.cumsum(sizes)
    for number, (size, end) in enumerate(zip(sizes, ends, strict=True)):
        paths.append(folder / f"{name}-{number}.npy")
        np.save(paths[-1], rows[end - size : end])
    return paths


def tables(folder: Path, sizes, rows=ROWS, names=NAMES, name="part") -> list[Path]:
    paths, ends = [], np.cumsum(sizes)
    for number, (size, end) in enumerate(zip(sizes, ends, strict=True)):
        paths.append(folder / f"{name}-{number}.parquet")
        pl.DataFrame({n: rows[end - size : end, i] for i, n in enumerate(names)}).write_parquet(paths[-1])
    return paths


@pytest.mark.parametrize("write", [arrays, tables])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_are_those_of_the_files(tmp_path, write, sizes, dtype):
    rows = ROWS.astype(dtype) + dtype(1e-9)
    paths = write(tmp_path, sizes, rows)
    before = sorted(tmp_path.iterdir())
    for given in (tmp_path, paths, str(tmp_path)):
        x = shards(given).x
        assert (x.shape, len(x), x.dtype, x.row_bytes) == ((23, 3), 23, np.float32, 12)
        for numbers in (np.arange(23), np.asarray([0, 7, 8, 22]), np.asarray([21]), np.arange(0)):
            np.testing.assert_array_equal(x.take(numbers), rows[numbers].astype(np.float32))
        # The same digest as the rows have in memory, however they are cut.
        assert x.fingerprint == fingerprint(rows.astype(np.float32))
    assert sorted(tmp_path.iterdir()) == before


def test_arrays_of_any_form(tmp_path):
    images = np.random.default_rng(1).random((6, 4, 5, 2), np.float32)
    np.save(tmp_path / "a.npy", np.asfortranarray(images))
    np.save(tmp_path / "b.npy", images.astype(">f4"))
    assert shards(tmp_path / "a.npy").x.fingerprint == fingerprint(images)
    np.testing.assert_array_equal(shards(tmp_path / "a.npy").x.take(np.asarray([1, 4])), images[[1, 4]])
    np.testing.assert_array_equal(shards(tmp_path / "b.npy").x.take(np.asarray([1, 4])), images[[1, 4]])


def test_conditions_are_files_of_their_own_or_columns(tmp_path):
    paths = arrays(tmp_path, [20, 3], ROWS[:, :2])
    given = arrays(tmp_path, [7, 16], ROWS[:, 2:], "given")
    table = tables(tmp_path, [9, 14])
    for found in (
        shards(paths, given),
        shards(table, conditions=("c",)),
        shards(table, columns=("a", "b"), conditions=["c"]),
    ):
        np.testing.assert_array_equal(found.x.take(np.arange(23)), ROWS[:, :2])
        np.testing.assert_array_equal(found.cond.take(np.arange(23)), ROWS[:, 2:])
    turned = shards(table, columns=("c", "a"))
    np.testing.assert_array_equal(turned.x.take(np.arange(23)), ROWS[:, [2, 0]])
    assert turned.cond is None


def test_columns_of_words_are_left_out_by_name(tmp_path):
    pl.DataFrame({"site": ["x", "y"], "a": [1.0, 2.0], "n": [1, 2]}).write_parquet(tmp_path / "t.parquet")
    assert shards(tmp_path / "t.parquet", columns=("a",)).x.take(np.arange(2)).tolist() == [[1], [2]]
    with pytest.raises(TypeError, match=r"column 'site' of .*t.parquet holds String, but all must hold Float32"):
        shards(tmp_path / "t.parquet")
    with pytest.raises(TypeError, match=r"column 'n' of .*t.parquet holds Int64"):
        shards(tmp_path / "t.parquet", columns=("a", "n"))


def damaged(value, row=9, column=1, dtype=np.float32):
    rows = ROWS.astype(dtype)
    rows[row, column] = value
    return rows


@pytest.mark.parametrize(
    ("write", "rows", "message"),
    [
        (arrays, damaged(np.nan), "part-1.npy holds nan in row 1 and column 1 (counted from 0)"),
        (arrays, damaged(np.inf, 22), "part-2.npy holds inf in row 6 and column 1"),
        (arrays, damaged(1e300, 0, 2, np.float64), "part-0.npy holds 1e+300 in row 0 and column 2"),
        (tables, damaged(np.nan), "part-1.parquet holds nan in row 1 and column 'b' (counted from 0)"),
    ],
)
def test_what_is_not_finite_is_named(tmp_path, write, rows, message):
    write(tmp_path, [8, 8, 7], rows)
    with pytest.raises(ValueError, match=re.escape(message)):
        shards(tmp_path)


def test_a_missing_cell_is_named(tmp_path):
    pl.DataFrame({"a": [1.0, None], "b": [1.0, 2.0]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"t.parquet holds nan in row 1 and column 'a'"):
        shards(tmp_path)


def test_rows_beyond_the_first_block_are_looked_at(tmp_path):
    rows = np.zeros((300_000, 10), np.float32)  # more than a block of 8 MiB
    rows[299_999, 3] = np.nan
    np.save(tmp_path / "big.npy", rows)
    with pytest.raises(ValueError, match="row 299999 and column 3"):
        shards(tmp_path)


def two(folder, first, second):
    np.save(folder / "a.npy", first)
    np.save(folder / "b.npy", second)
    return folder


def other_columns(folder):
    tables(folder, [23])
    tables(folder, [23], names=("a", "b", "d"), name="q")
    return folder


def both_kinds(folder):
    arrays(folder, [23])
    tables(folder, [23])
    return folder


def cut(folder):
    (path,) = arrays(folder, [23])
    os.truncate(path, 200)
    return folder


def text(folder, name):
    (folder / name).write_text("a,b\n1,2\n")
    return folder / name


def objects(folder):
    np.save(folder / "o.npy", np.asarray([{}, 1], object), allow_pickle=True)
    return folder


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (lambda folder: folder, ValueError, "holds no shards: give a folder with .npy or .parquet files"),
        (lambda folder: [], ValueError, "x is empty, so no shards were given"),
        (lambda folder: None, TypeError, "x is None, but must be a path, or several, in a list or tuple"),
        (lambda folder: [0.5], TypeError, "a path of x is 0.5, but must be a path"),
        (lambda folder: folder / "a.npy", FileNotFoundError, "in x, .*a.npy does not exist"),
        (lambda folder: text(folder, "a.csv"), ValueError, "a.csv is no shard, which ends in .npy or .parquet"),
        (both_kinds, ValueError, "part-0.npy and .*part-0.parquet are shards of different kinds"),
        (
            lambda folder: two(folder, ROWS, ROWS[:, :2]),
            ValueError,
            r"b.npy holds float32 of shape \(rows, 2\), but .*a.npy holds float32 of shape \(rows, 3\)",
        ),
        (
            lambda folder: two(folder, ROWS, ROWS.astype(float)),
            ValueError,
            r"b.npy holds float64 .*a.npy holds float32",
        ),
        (
            lambda folder: two(folder, ROWS.astype(int), ROWS),
            TypeError,
            "a.npy holds int64, but must hold floats: save",
        ),
        (lambda folder: two(folder, ROWS, ROWS > 0), ValueError, "b.npy holds bool"),
        (lambda folder: two(folder, ROWS[:0], ROWS[:0]), ValueError, "a.npy and the others have no rows"),
        (lambda folder: two(folder, np.float32(1), ROWS), ValueError, "a.npy holds no rows"),
        (
            other_columns,
            ValueError,
            "q-0.parquet has the columns 'a', 'b', 'd', but .*part-0.parquet has 'a', 'b', 'c'",
        ),
        (cut, ValueError, "part-0.npy is no NumPy file that can be mapped"),
        (objects, ValueError, "o.npy holds Python objects, which are never loaded"),
        (lambda folder: text(folder, "a.npy"), ValueError, "a.npy is no NumPy file that can be mapped"),
        (lambda folder: text(folder, "a.parquet"), ValueError, "a.parquet is not a Parquet file, or it is damaged"),
    ],
)
def test_what_is_refused(tmp_path, given, error, message):
    with pytest.raises(error, match=message):
        shards(given(tmp_path))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"columns": ("a", "z")}, "part-0.parquet has no column 'z'; it has 'a', 'b', 'c'"),
        ({"conditions": ("z",)}, "has no column 'z'"),
        ({"conditions": NAMES}, "all columns of part-0.parquet are conditions"),
        ({"cond": "part-0.parquet", "conditions": ("c",)}, "cond and conditions were both given"),
        ({"cond": "few.npy"}, r"cond has shape \(5,\), but x has \(23,\)"),
        ({"spool": "nowhere"}, "cannot be unpacked in nowhere: No such file"),
        ({"memory": 0}, "memory is 0"),
    ],
)
def test_arguments_that_cannot_be(tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    tables(tmp_path, [23])
    np.save("few.npy", ROWS[:5])
    with pytest.raises(ValueError, match=message):
        shards("part-0.parquet", **given)


def test_arrays_have_no_names(tmp_path):
    arrays(tmp_path, [23])
    with pytest.raises(ValueError, match=r"conditions was given for .*part-0.npy, whose columns have no names"):
        shards(tmp_path, conditions=("a",))


def rewritten(path):
    np.save(path, ROWS[8:16] + 1)


def same_size(path):
    with path.open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\0\0\0\0")


@pytest.mark.parametrize(
    ("change", "how"), [(rewritten, "was changed"), (same_size, "was changed"), (Path.unlink, "is gone")]
)
def test_a_shard_that_changes_is_not_read(tmp_path, change, how):
    paths = arrays(tmp_path, [8, 8, 7])
    x = shards(tmp_path).x
    os.utime(paths[1], ns=(0, 0))
    change(paths[1])
    with pytest.raises(ValueError, match=f"part-1.npy {how} since it was opened"):
        x.take(np.arange(23))
    np.testing.assert_array_equal(x.take(np.arange(8)), ROWS[:8])  # the others are as they were


def test_what_is_unpacked_does_not_change_with_its_file(tmp_path):
    (path,) = tables(tmp_path, [23])
    x = shards(tmp_path).x
    path.unlink()
    np.testing.assert_array_equal(x.take(np.arange(23)), ROWS)
