"""jaxae.data: files and sources to arrays and back."""

import gzip
import hashlib
import os
import pathlib
import re
import struct
import subprocess
import sys

import jax
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxae import data

FINITE = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=True)
TABLES = st.tuples(st.integers(2, 6), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=FINITE)
)
MODERATE = st.floats(-1e6, 1e6).map(lambda x: x if abs(x) > 1e-100 else 0.0)  # a square must not vanish
PLAIN = settings(max_examples=30, deadline=None)

real = pytest.mark.skipif("JAXAE_DATA" not in os.environ, reason="JAXAE_DATA does not name the folder of real data")


def real_file(name):
    return pathlib.Path(os.environ["JAXAE_DATA"], name)


@pytest.fixture
def made(tmp_path):
    """Write content under a name and return the path."""

    def make(name, content):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def idx(array, code=0x08):
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


# read: what is given back


@pytest.mark.parametrize("name, separator", [("a.csv", ","), ("a.CSV", ","), ("a.tsv", "\t")])
def test_text_with_a_header(made, name, separator):
    table = data.read(made(name, "flow,level\n1,2.5\n-3e2,+.5\n".replace(",", separator)))
    np.testing.assert_array_equal(table.values, [[1.0, 2.5], [-300.0, 0.5]])
    assert table.values.dtype == np.float64
    assert table.columns == ("flow", "level")
    assert table.notes == ()


@pytest.mark.parametrize("name", ["a.csv.gz", "a.tsv.gz"])
def test_compressed_text(made, name):
    separator = "," if "csv" in name else "\t"
    table = data.read(made(name, gzip.compress(b"a,b\n1,2\n3,4\n".replace(b",", separator.encode()))))
    assert table.values.tolist() == [[1, 2], [3, 4]]


def test_text_without_a_header_says_so(made):
    table = data.read(made("a.csv", "1,2\n3,4\n"))
    assert table.columns == ("x0", "x1")
    assert table.values.tolist() == [[1, 2], [3, 4]]
    assert table.notes == ("a.csv has no header: its columns are taken in order",)


def test_a_gap_in_the_first_row_of_numbers_does_not_make_it_a_header(made):
    table = data.read(made("a.csv", "1,\n3,4\n5,6\n"), impute="mean")
    assert table.values.tolist() == [[1, 5], [3, 4], [5, 6]]


def test_a_header_that_holds_some_numbers_is_noted(made):
    table = data.read(made("a.csv", "site,2020,2021\nnorth,1,2\nsouth,3,4\n"))
    assert table.columns == ("2020", "2021")
    assert "is its header, though it holds numbers: '2020', '2021'" in table.notes[0]


def test_byte_order_mark_windows_lines_spaces_and_quotes(made):
    table = data.read(made("a.csv", b'\xef\xbb\xbf"fl,ow", level \r\n 1 ,"2"\r\n3,4\r\n'))
    assert table.columns == ("fl,ow", "level")
    assert table.values.tolist() == [[1, 2], [3, 4]]


def test_text_columns_are_left_out_and_named(made):
    table = data.read(made("a.csv", "time,a,site\n2024-01-01,1,n\n2024-01-02,2,\n"))
    assert table.columns == ("a",)
    assert table.notes == ("left out, for they hold no numbers: 'time', 'site'",)


def test_booleans_become_zero_and_one(made):
    assert data.read(made("a.csv", "a,b\ntrue,False\nfalse,TRUE\n")).values.tolist() == [[1, 0], [0, 1]]


def test_empty_lines_at_the_end_are_left_out(made):
    table = data.read(made("a.csv", "a,b\n1,2\n3,4\n\n\n"))
    assert table.values.tolist() == [[1, 2], [3, 4]]
    assert table.notes == ("empty lines at the end of a.csv were left out: 2",)


@pytest.mark.parametrize("gap", ["", "NaN", "null", "NA", " "])
@pytest.mark.parametrize("impute, fill", [("mean", 3.0), ("median", 2.0)])
def test_imputation_says_how_many_and_where(made, gap, impute, fill):
    table = data.read(made("a.csv", f"a,b\n1,1\n2,1\n6,1\n{gap},1\n"), impute=impute)
    assert table.values[:, 0].tolist() == [1, 2, 6, fill]
    assert table.notes == (f"1 missing values of 'a' were filled with its {impute}, {fill:g}",)


def test_parquet(tmp_path):
    frame = pl.DataFrame(
        {
            "i": pl.Series([1, 2], dtype=pl.Int16),
            "f": pl.Series([0.5, 1.5], dtype=pl.Float32),
            "b": [True, False],
            "digits": ["3", "4"],
            "kind": pl.Series(["x", "y"], dtype=pl.Categorical),
            "day": pl.Series(["2024-01-01", "2024-01-02"]).str.to_date(),
            "list": [[1], [2]],
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    table = data.read(tmp_path / "a.parquet")
    assert table.columns == ("i", "f", "b", "digits")
    assert table.values.tolist() == [[1, 0.5, 1, 3], [2, 1.5, 0, 4]]
    assert table.notes == ("left out, for they hold no numbers: 'kind', 'day', 'list'",)


def test_parquet_nulls_are_missing(tmp_path):
    pl.DataFrame({"a": [1, None, 3]}).write_parquet(tmp_path / "a.parquet")
    assert data.read(tmp_path / "a.parquet", impute="mean").values.ravel().tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match=r"column 'a' of .* has no value in row 2"):
        data.read(tmp_path / "a.parquet")


@pytest.mark.parametrize("shape, width", [((3,), 1), ((3, 2), 2), ((3, 2, 2), 4)])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, bool])
def test_npy_is_flattened(tmp_path, shape, width, dtype):
    array = (np.arange(np.prod(shape)) % 2).reshape(shape).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    table = data.read(tmp_path / "a.npy")
    np.testing.assert_array_equal(table.values, array.reshape(3, width))
    assert table.columns == tuple(f"x{i}" for i in range(width))
    assert table.notes == ()


def test_npz_takes_x_or_the_only_table(tmp_path):
    x = np.arange(6.0).reshape(3, 2)
    np.savez(tmp_path / "x.npz", X=x, y=np.zeros((3, 2)))
    np.savez(tmp_path / "only.npz", features=x, labels=np.zeros(3), names=np.array(["a", None], object))
    np.testing.assert_array_equal(data.read(tmp_path / "x.npz").values, x)
    np.testing.assert_array_equal(data.read(tmp_path / "only.npz").values, x)


@pytest.mark.parametrize("name", ["a.idx", "a-idx3-ubyte", "a.idx3-ubyte", "a.idx.gz", "a-idx3-ubyte.gz"])
def test_idx_images(made, name):
    images = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    content = idx(images)
    table = data.read(made(name, gzip.compress(content) if name.endswith(".gz") else content))
    np.testing.assert_array_equal(table.values, images.reshape(2, 6))
    assert table.columns == ("pixel_0_0", "pixel_0_1", "pixel_0_2", "pixel_1_0", "pixel_1_1", "pixel_1_2")


@pytest.mark.parametrize("code, dtype", [(0x08, ">u1"), (0x09, ">i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4")])
def test_idx_labels_of_every_type(made, code, dtype):
    table = data.read(made("a-idx1-ubyte", idx(np.array([3, 1, 2], dtype), code)))
    assert table.values.tolist() == [[3], [1], [2]]
    assert table.columns == ("x0",)


# read: the columns of a trained model


def test_extra_columns_are_left_out_whatever_they_hold(made):
    path = made("a.csv", "id,a,mixed,b,empty\nq,1,1,2,\nr,3,x,4,\n")
    table = data.read(path, columns=["a", "b"])
    assert table.columns == ("a", "b")
    assert table.values.tolist() == [[1, 2], [3, 4]]
    assert table.notes == ("left out, for they were not asked for: 'id', 'mixed', 'empty'",)


def test_without_names_the_position_counts(made, tmp_path):
    np.save(tmp_path / "a.npy", np.eye(2))
    assert data.read(tmp_path / "a.npy", columns=("a", "b")).columns == ("a", "b")
    assert data.read(made("a.csv", "1,2\n3,4\n"), columns=("a", "b")).columns == ("a", "b")


@pytest.mark.parametrize(
    "content, message",
    [
        ("a,c\n1,2\n3,4\n", r"lacks 1 of the 2 expected columns: 'b'; it has 'a', 'c'"),
        ("b,a\n1,2\n3,4\n", r"another order: expected 'a', 'b'; given 'b', 'a'"),
        ("b,z,a\n1,2,3\n3,4,5\n", r"another order: expected 'a', 'b'; given 'b', 'a'"),
        ("1,2,3\n4,5,6\n", r"has 3 columns without names, and 2 are expected: 'a', 'b'"),
        ("a,b\n1,x\n2,y\n", r"holds no numbers in 'b', which is needed"),
        ("a,b\n1,\n2,\n", r"column 'b' of .* has no value in any row"),
    ],
)
def test_what_does_not_fit_the_model(made, content, message):
    with pytest.raises(ValueError, match=message):
        data.read(made("a.csv", content), columns=("a", "b"))


def test_names_in_the_file_are_compared_even_with_generated_ones(made):
    with pytest.raises(ValueError, match="lacks 2 of the 2"):
        data.read(made("a.csv", "a,b\n1,2\n3,4\n"), columns=("x0", "x1"))


@pytest.mark.parametrize(
    "columns, error, message",
    [
        ("ab", TypeError, "sequence of names; got 'ab'"),
        ([0, 1], TypeError, "sequence of names"),
        ([], ValueError, "columns is empty"),
        (["a", "a"], ValueError, "got 'a' at position 2"),
        (["a", " "], ValueError, "got ' ' at position 2"),
    ],
)
def test_bad_columns(made, columns, error, message):
    with pytest.raises(error, match=message):
        data.read(made("a.csv", "a,b\n1,2\n3,4\n"), columns=columns)


# read: what cannot be read


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b\n", "has 0 rows of data, but at least 2 are"),
        ("a,b\n1,2\n", "has 1 rows of data, but at least 2 are"),
        ("1,2\n", "has 1 rows of data, but at least 2 are"),
        ("a,b\nx,y\nz,w\n", "no numeric column; its columns are 'a', 'b'"),
        ("a,b,a\n1,2,3\n4,5,6\n", "more than one column named 'a'"),
        ("a, a\n1,2\n4,5\n", "more than one column named 'a'"),
        (",a\n0,1\n1,2\n", r"column 1 of .* has no name; .*to_csv\(index=False\)"),
        ("a,b\n1,2\n3,oops\n", "column 'b' of .* holds numbers and text: row 2 is 'oops'"),
        ("a,b\n1,?\n3,4\n", "column 'b' of .* holds numbers and text: row 1 is '[?]'"),
        ("a,b\n1,true\n3,4\n", "column 'b' of .* holds numbers and text: row 1 is 'true'"),
        ("a,b\n1,2\n3,\n,4\n", r"column 'b' of .* has no value in row 2 \(2 missing in all\)"),
        ("a,b\n1,2\n3\n5,6\n", "column 'b' of .* has no value in row 2"),
        ("a,b\n1,2\n\n5,6\n", "column 'a' of .* has no value in row 2"),
        ("a,b\n1,\n3,NaN\n", "column 'b' of .* has no value in any row; remove"),
        ("a,b\n1,2\n3,-inf\n", "column 'b' of .* is infinite in row 2"),
        ("a,b\n1,2\n1e400,4\n", "column 'a' of .* is infinite in row 2"),
        ("a,b\n1,2\n1,2,3\n", "not a table: line 3 has 3 values, the first line 2"),
        ('a,b\n1,2\n"1,3\n', "not a table: a quotation mark is opened"),
        (b"a,b\n1,2\n\xff,3\n", "not UTF-8 text; save it as UTF-8"),
        ("a;b\n1;2\n3;4\n", "separates its values by ';'; write it with ','"),
    ],
)
def test_bad_text(made, content, message):
    with pytest.raises(ValueError, match=message):
        data.read(made("a.csv", content))


def test_infinity_is_an_error_even_when_gaps_are_filled(made):
    with pytest.raises(ValueError, match="infinite in row 2"):
        data.read(made("a.csv", "a\n1\ninf\nNaN\n"), impute="mean")


def test_a_column_without_a_value_cannot_be_filled(made):
    with pytest.raises(ValueError, match="no value in any row"):
        data.read(made("a.csv", "a,b\n1,\n3,\n"), impute="median")


def test_unknown_imputation(made):
    with pytest.raises(ValueError, match="impute must be 'mean', 'median', values by column, or None; got 'zero'"):
        data.read(made("a.csv", "a\n1\n2\n"), impute="zero")


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv does not exist"):
        data.read(tmp_path / "none.csv")


def test_a_folder(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        data.read(tmp_path)


def test_unknown_suffix_lists_those_that_work(made):
    with pytest.raises(ValueError, match=r"no suffix that can be read; those that can: \.csv.*\.parquet.*\.npz"):
        data.read(made("a.xlsx", "x"))


@pytest.mark.parametrize("cut", [slice(None, 8), slice(None, -9), slice(4, None)])
def test_damaged_gzip(made, cut):
    with pytest.raises(ValueError, match=r"a\.csv\.gz is not a whole gzip file"):
        data.read(made("a.csv.gz", gzip.compress(b"a,b\n1,2\n3,4\n")[cut]))


@pytest.mark.parametrize("size", [0, 1, 7, 60, 200, -1, -9, -40])
def test_damaged_parquet(tmp_path, size):
    data.write(tmp_path / "a.parquet", np.eye(4), list("abcd"))
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(content[:size])
    with pytest.raises(ValueError, match=r"b\.parquet is not a Parquet file"):
        data.read(tmp_path / "b.parquet")


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("size", [0, 3, 20, 100, -1, -60])
def test_damaged_numpy(tmp_path, suffix, size):
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, np.eye(4))
    else:
        np.savez_compressed(path, X=np.eye(4))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(
        ValueError, match=r"a\.np[yz] is (empty|not a NumPy file: its first bytes|damaged or cut short)"
    ):
        data.read(path)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_damaged_numpy_by_byte(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, np.eye(4))
    else:
        np.savez(path, X=np.eye(4))
    whole = path.read_bytes()
    refused = 0
    for spot in range(len(whole)):
        path.write_bytes(whole[:spot] + bytes([whole[spot] ^ 0x2A]) + whole[spot + 1 :])
        try:
            assert np.isfinite(data.read(path).values).all()
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > len(whole) / 8


def test_a_member_whose_checksum_is_wrong(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.full((4, 4), 7.0))
    content = (tmp_path / "a.npz").read_bytes()
    spot = content.index(struct.pack("<d", 7.0))
    (tmp_path / "a.npz").write_bytes(content[:spot] + b"\xff" + content[spot + 1 :])
    with pytest.raises(ValueError, match="is damaged"):
        data.read(tmp_path / "a.npz")


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_python_objects_are_never_loaded(tmp_path, suffix):
    array = np.array([[1, None], [2, 3]], object)
    if suffix == "npy":
        np.save(tmp_path / "a.npy", array, allow_pickle=True)
    else:
        np.savez(tmp_path / "a.npz", X=array)
    with pytest.raises(ValueError, match="Python objects, which are never loaded"):
        data.read(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize(
    "array, message",
    [
        (np.float64(1.0), r"float64 of shape \(\)"),
        (np.ones((2, 2), complex), "holds complex128"),
        (np.array([["a"], ["b"]]), "holds <U1"),
        (np.ones((1, 2)), "has 1 rows"),
        (np.ones((0, 2)), "has 0 rows"),
        (np.ones((2, 0)), "no numeric column"),
        (np.array([[1.0, 2.0], [3.0, np.nan]]), "column 'x1' of .* has no value in row 2"),
        (np.array([[1.0, 2.0], [np.inf, 4.0]]), "column 'x0' of .* is infinite in row 2"),
    ],
)
def test_arrays_that_are_no_table(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=message):
        data.read(tmp_path / "a.npy")


def test_an_array_with_the_wrong_number_of_features(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(3))
    with pytest.raises(ValueError, match="has 3 columns without names, and 2 are expected"):
        data.read(tmp_path / "a.npy", columns=("a", "b"))


def test_npz_without_one_table_names_its_keys(tmp_path):
    np.savez(tmp_path / "none.npz", audio=np.zeros(4), rate=8000)
    np.savez(tmp_path / "two.npz", a=np.eye(2), b=np.eye(2))
    with pytest.raises(ValueError, match="holds 0 arrays of two or more dimensions among its keys 'audio', 'rate'"):
        data.read(tmp_path / "none.npz")
    with pytest.raises(ValueError, match=r"holds 2 arrays .* 'a', 'b'; name the table 'X'"):
        data.read(tmp_path / "two.npz")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty"),
        (b"\x01\x00\x08\x01", "not an IDX file: its first four bytes are 01 00 08 01"),
        (b"\x00\x00\x07\x01", "not an IDX file"),
        (b"\x00\x00\x08\x03\x00\x00", "header is not whole"),
        (idx(np.ones((3, 2, 2), np.uint8))[:-1], r"12 bytes of data for shape \(3, 2, 2\), and holds 11"),
    ],
)
def test_damaged_idx(made, content, message):
    with pytest.raises(ValueError, match=message):
        data.read(made("a.idx", content))


# write


@PLAIN
@given(values=TABLES, suffix=st.sampled_from(["csv", "parquet", "npy"]))
def test_what_is_written_is_read_to_the_bit(tmp_path_factory, values, suffix):
    path = tmp_path_factory.mktemp("law") / f"a.{suffix}"
    columns = tuple("abcd"[: values.shape[1]])
    data.write(path, values, columns)
    table = data.read(path, columns=columns)
    assert table.values.tobytes() == values.tobytes()
    assert table.columns == columns


@PLAIN
@given(
    columns=st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], include_characters=' ,"\n'), min_size=1)
        .map(str.strip)
        .filter(lambda name: name and not name[0].isdigit()),
        min_size=2,
        max_size=4,
        unique=True,
    ),
    suffix=st.sampled_from(["csv", "parquet"]),
)
def test_names_are_kept(tmp_path_factory, columns, suffix):
    path = tmp_path_factory.mktemp("law") / f"a.{suffix}"
    data.write(path, np.ones((2, len(columns) + 1)), ["first", *("_" + name for name in columns)])
    assert data.read(path).columns == ("first", *("_" + name for name in columns))


def test_csv_is_plain_text(tmp_path):
    data.write(tmp_path / "a.csv", [[0.1, 1.0]], ["a", "b,c"])
    assert (tmp_path / "a.csv").read_text() == 'a,"b,c"\n0.1,1.0\n'


def test_jax_arrays_are_written(tmp_path):
    data.write(tmp_path / "a.npy", jax.numpy.eye(2), ["a", "b"])
    np.testing.assert_array_equal(data.read(tmp_path / "a.npy").values, np.eye(2))


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npy"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"a.{suffix}"
    data.write(path, np.eye(2), ["a", "b"])
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ValueError, match=rf"a\.{suffix} cannot be written: No space left on device"):
        data.write(path, np.ones((9, 2)), ["a", "b"])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "values, columns, message",
    [
        (np.ones(2), ["a", "b"], r"shape \(n, d\) with n at least 1; got float64 of shape \(2,\)"),
        (np.ones((0, 2)), ["a", "b"], "n at least 1"),
        (np.ones((2, 2), complex), ["a", "b"], "real numbers"),
        ([["x", "y"]], ["a", "b"], "real numbers"),
        (np.ones((2, 3)), ["a", "b"], "values has 3 columns, and 2 names were given: 'a', 'b'"),
        ([[1.0, np.nan]], ["a", "b"], "values is nan in column 'b', row 1"),
        ([[1.0, 2.0], [np.inf, 2.0]], ["a", "b"], "values is inf in column 'a', row 2"),
        (np.ones((2, 2)), ["a", "a"], "got 'a' at position 2"),
        (np.ones((2, 2)), ["a", ""], "got '' at position 2"),
        (np.ones((2, 2)), ["a", "b "], "got 'b ' at position 2"),
        (np.ones((2, 2)), ["0", "1"], "read as one without a header"),
        (np.ones((2, 2)), ["0", "NA"], "read as one without a header"),
    ],
)
def test_bad_tables_are_not_written(tmp_path, values, columns, message):
    with pytest.raises(ValueError, match=message):
        data.write(tmp_path / "a.csv", values, columns)
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_numbers_are_kept_by_parquet(tmp_path):
    data.write(tmp_path / "a.parquet", np.eye(2), ["0", "1"])
    assert data.read(tmp_path / "a.parquet").columns == ("0", "1")


@pytest.mark.parametrize("name", ["a.xlsx", "a", "a.csv.gz"])
def test_unknown_suffix_is_not_written(tmp_path, name):
    with pytest.raises(ValueError, match=r"those that can: \.csv, \.parquet, \.npy"):
        data.write(tmp_path / name, np.eye(2), ["a", "b"])


def test_places_that_cannot_be_written_to(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the folder .*none does not exist"):
        data.write(tmp_path / "none" / "a.csv", np.eye(2), ["a", "b"])
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        data.write(tmp_path / "b.csv", np.eye(2), ["a", "b"])


# fingerprint


def test_fingerprint_is_a_sha256_of_dtype_shape_and_bytes():
    array = np.arange(3, dtype="<i4")
    expected = hashlib.sha256(b"int32 <i4 (3,) " + array.tobytes()).hexdigest()
    assert data.fingerprint(array) == expected
    assert data.fingerprint(jax.numpy.arange(3)) == expected


def test_fingerprint_tells_dtype_shape_and_value_apart():
    zeros = np.zeros((2, 2), np.float32)
    others = [np.zeros((2, 2), np.int32), np.zeros(4, np.float32), zeros + 1, -zeros, np.zeros((0, 2), np.float32)]
    prints = {data.fingerprint(array) for array in [zeros, *others]}
    assert len(prints) == 6
    half = jax.numpy.zeros(2, jax.numpy.bfloat16)
    assert data.fingerprint(half) != data.fingerprint(np.asarray(half).view("V2"))


def test_fingerprint_does_not_depend_on_layout():
    array = np.arange(6.0).reshape(2, 3)
    assert data.fingerprint(np.asfortranarray(array)) == data.fingerprint(array)


def test_fingerprint_refuses_objects():
    with pytest.raises(TypeError, match="got an array of object"):
        data.fingerprint([None])


# Scaling

ROWS = np.array([[1.0, 7.0, 10.0], [3.0, 7.0, 30.0]])


def test_standard_by_hand():
    scaling = data.standard(ROWS, ["a", "b", "c"])
    assert scaling.columns == ("a", "b", "c")
    np.testing.assert_array_equal(scaling.offset, [2.0, 7.0, 20.0])
    np.testing.assert_array_equal(scaling.scale, [1.0, 0.0, 10.0])
    np.testing.assert_array_equal(scaling.varying, [True, False, True])
    assert scaling.names == ("a", "c")
    x = scaling.apply(ROWS)
    np.testing.assert_array_equal(x, [[-1, -1], [1, 1]])
    assert x.dtype == np.float32
    assert scaling.invert(x).dtype == np.float64
    np.testing.assert_array_equal(scaling.invert(x), ROWS)


def test_standard_is_scikit_learns(rng):
    from sklearn.preprocessing import StandardScaler

    values = rng.normal(3.0, 5.0, (50, 4))
    expected = StandardScaler().fit_transform(values)
    # Both are computed in float64; ours is rounded to float32 at the end.
    np.testing.assert_allclose(data.standard(values, "abcd").apply(values), expected, rtol=2e-7)


def test_min_max_by_hand():
    scaling = data.min_max([[10.0, 1.0], [20.0, 1.0], [30.0, 1.0]], ["a", "b"], low=-1.0, high=1.0)
    np.testing.assert_array_equal(scaling.apply([[10.0, 1.0], [20.0, 1.0], [30.0, 5.0]]), [[-1.0], [0.0], [1.0]])
    np.testing.assert_array_equal(scaling.invert([[-1.0], [0.5]]), [[10.0, 1.0], [25.0, 1.0]])


@PLAIN
@given(values=arrays(np.float64, (5, 3), elements=MODERATE), fit=st.sampled_from([data.standard, data.min_max]))
def test_invert_undoes_apply(values, fit):
    values[:, 0] = [0, 1, 2, 3, 4]  # one column that varies
    scaling = fit(values, ["a", "b", "c"])
    back = scaling.invert(scaling.apply(values))
    # float32 rounds x to 2**-24 of itself, at most 3 in these scalings; the rest is float64 rounding of the offset.
    # A column within rounding of constant comes back as its offset.
    np.testing.assert_allclose(back, values, rtol=1e-14, atol=3 * 2**-24 * np.ptp(values, axis=0).max())


@PLAIN
@given(values=arrays(np.float64, (5, 2), elements=MODERATE))
def test_min_max_stays_within_0_and_1(values):
    values[:, 0] = [0, 1, 2, 3, 4]
    x = data.min_max(values, ["a", "b"]).apply(values)
    assert x.min() == 0
    assert x.max() == 1


def test_a_column_that_differs_by_rounding_only_is_constant():
    scaling = data.standard([[0.1 + 0.2, 1.0], [0.3, 2.0]], ["a", "b"])
    np.testing.assert_array_equal(scaling.varying, [False, True])
    # The mean of equal values may be rounded away from them, and so their deviation from 0.
    equal = data.standard(np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 3.0]]), ["a", "b"])
    assert equal.scale[0] == 0
    assert equal.offset[0] == 0.1


def test_a_narrow_column_far_from_0_varies():
    values = 1e8 + np.array([[0.0], [1e-3]])
    np.testing.assert_allclose(data.standard(values, ["a"]).apply(values), [[-1], [1]], rtol=1e-4)


@pytest.mark.parametrize("fit", [data.standard, data.min_max])
@pytest.mark.parametrize(
    "values, message",
    [
        (np.ones((3, 2)), "every column is constant"),
        (np.ones((1, 2)), "at least two rows; got 1"),
        (np.ones((0, 2)), "at least two rows; got 0"),
        (np.ones((3, 3)), r"must be \(n, 2\), the columns 'a', 'b'; got shape \(3, 3\)"),
        (np.ones(3), r"got shape \(3,\)"),
        ([["x", "y"], ["z", "w"]], "must be real numbers; got <U1"),
        ([[1.0, 2.0], [1.0, np.nan]], "column 'b', row 2 is nan"),
        ([[1.0, 2.0], [np.inf, 2.0]], "column 'a', row 2 is inf"),
        ([[1.0, -1e308], [2.0, 1e308]], r"column 'b' goes from -1e\+308 to 1e\+308, whose spread"),
        ([[1.0, 0.0], [2.0, 5e-324]], "column 'b' goes from 0 to .* another unit"),
    ],
)
def test_bad_values_to_fit(fit, values, message):
    with pytest.raises(ValueError, match=message):
        fit(values, ["a", "b"])


@pytest.mark.parametrize("low, high", [(1.0, 1.0), (1.0, 0.0), (0.0, np.inf), (np.nan, 1.0)])
def test_bad_range(low, high):
    with pytest.raises(ValueError, match=r"low must be below high|must be a finite number"):
        data.min_max(ROWS, ["a", "b", "c"], low=low, high=high)


def test_bad_values_to_scale():
    scaling = data.standard(ROWS, ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"must be \(n, 3\), the columns 'a', 'b', 'c'; got shape \(1, 2\)"):
        scaling.apply(np.ones((1, 2)))
    with pytest.raises(ValueError, match="column 'b', row 1 is nan"):
        scaling.apply([[1.0, np.nan, 2.0]])
    with pytest.raises(ValueError, match=r"column 'c', row 1: 1e\+300 is too far"):
        scaling.apply([[1.0, 7.0, 1e300]])
    with pytest.raises(ValueError, match=r"must be \(n, 2\), the columns 'a', 'c'"):
        scaling.invert(np.ones((1, 3)))
    with pytest.raises(ValueError, match="column 'c', row 1 is inf"):
        scaling.invert([[1.0, np.inf]])


def test_model_output_in_low_precision_is_inverted():
    scaling = data.standard(ROWS, ["a", "b", "c"])
    out = scaling.invert(jax.numpy.ones((1, 2), jax.numpy.bfloat16))
    np.testing.assert_array_equal(out, [[3.0, 7.0, 30.0]])


# split


def test_split_sizes_by_hand():
    assert [len(part) for part in data.split(jax.random.key(0), 100)] == [70, 15, 15]
    assert [len(part) for part in data.split(jax.random.key(0), 10, fractions=(0.5, 0.5))] == [5, 5]
    (whole,) = data.split(jax.random.key(0), 3, fractions=(1.0,))
    assert sorted(whole) == [0, 1, 2]


@PLAIN
@given(n=st.integers(10, 60), seed=st.integers(0, 99))
def test_split_is_a_partition(n, seed):
    parts = data.split(jax.random.key(seed), n)
    assert sorted(np.concatenate(parts).tolist()) == list(range(n))
    assert all(part.dtype == np.int64 for part in parts)
    for part, again in zip(parts, data.split(jax.random.key(seed), n), strict=True):
        np.testing.assert_array_equal(part, again)


def test_split_depends_on_the_key():
    first, second = (data.split(key, 50)[0] for key in jax.random.split(jax.random.key(0)))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    "n, fractions, message",
    [
        (3, (0.7, 0.15, 0.15), "3 rows in fractions .* are parts of 2, 1, 0 rows, and no part may be empty"),
        (0, (1.0,), "n is 0, but must be a whole number"),
        (-4, (0.5, 0.5), "n is -4, but must be a whole number"),
        (10, (0.5, 0.4), r"sum to 1; got \(0\.5, 0\.4\)"),
        (10, (1.5, -0.5), "above 0"),
        (10, (), "above 0 and sum to 1"),
        (10, (np.nan, 1.0), "above 0"),
    ],
)
def test_bad_split(n, fractions, message):
    with pytest.raises(ValueError, match=message):
        data.split(jax.random.key(0), n, fractions=fractions)


def test_counts_are_whole_numbers():
    with pytest.raises(TypeError, match=r"n is 10\.0, but must be a whole number"):
        data.split(jax.random.key(0), 10.0)
    with pytest.raises(TypeError, match="rows is '3', but must be a whole number"):
        data.process(jax.random.key(0), rows="3", variables=2)


# sources


def test_process_is_its_formula():
    values, weights, noise = data.process(jax.random.key(0), rows=40, variables=6, noise=0.0)
    assert (values.shape, weights.shape, noise) == ((40, 6), (6, 2), 0.0)
    # Without noise the rows lie in the plane that the weights span.
    z, *_ = np.linalg.lstsq(weights, values.T, rcond=None)
    np.testing.assert_allclose(weights @ z, values.T, atol=1e-12)
    noisy = data.process(jax.random.key(0), rows=40, variables=6, noise=0.5)
    np.testing.assert_array_equal(noisy.weights, weights)
    clean = data.process(jax.random.key(0), rows=40, weights=weights, noise=0.0)
    np.testing.assert_array_equal(clean.values, values)


def test_process_has_the_stated_moments():
    weights = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    values = data.process(jax.random.key(0), rows=20_000, weights=weights).values
    expected = weights @ weights.T + 0.01 * np.eye(3)
    # A covariance's sampling error is at most sqrt(2) * 4 / sqrt(20000) = 0.04; five of them.
    np.testing.assert_allclose(np.cov(values.T), expected, atol=0.2)
    residual = values[:, 2] - values[:, 0] - values[:, 1] / 2
    np.testing.assert_allclose(residual.std(), 0.1 * np.sqrt(2.25), rtol=0.03)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"rows": 0, "variables": 2}, "rows is 0, but must be a whole number"),
        ({"rows": 2, "variables": 0}, "variables is 0, but must be a whole number"),
        ({"rows": 2, "variables": 2, "noise": -0.1}, "noise is -0.1, but must be a finite number ≥ 0"),
        ({"rows": 2}, "either variables, .* or weights"),
        ({"rows": 2, "variables": 2, "weights": np.eye(2)}, "either variables, .* or weights"),
        ({"rows": 2, "weights": np.ones((3, 3))}, r"finite of shape \(variables, 2\); got shape \(3, 3\)"),
        ({"rows": 2, "weights": [[1.0, np.nan]]}, "weights must be finite"),
    ],
)
def test_bad_process(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.process(jax.random.key(0), **arguments)


def test_conditional_is_its_formula():
    values, temperature = data.conditional(jax.random.key(0), rows=5_000)
    assert values.shape == (5_000, 5)
    assert temperature.shape == (5_000, 1)
    assert 300 <= temperature.min() < 301
    assert 499 < temperature.max() <= 500
    t = temperature[:, 0]
    curves = [0.001 * t**2 - 0.3 * t + 50, 100 * np.exp(-5000 / t), 0.5 * t + 50, -0.002 * t + 2, 0.01 * t]
    noise = values - np.stack(curves, axis=1)
    # Sampling errors: 2 / sqrt(5000) = 0.03 of a mean, 0.02 of a deviation; five of each.
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.15)
    np.testing.assert_allclose(noise.std(axis=0), 2, atol=0.1)
    assert abs(np.corrcoef(noise.T) - np.eye(5)).max() < 0.08


def test_bad_conditional():
    with pytest.raises(ValueError, match="rows is -1, but must be a whole number"):
        data.conditional(jax.random.key(0), rows=-1)


@pytest.mark.parametrize(
    "draw",
    [
        lambda key: data.split(key, 10),
        lambda key: data.process(key, rows=2, variables=2),
        lambda key: data.conditional(key, rows=2),
    ],
)
@pytest.mark.parametrize(
    "key, message",
    [
        (np.zeros(2, np.uint32), "a legacy uint32 key, but must be a typed key: write jax.random.key(0)"),
        (0, "key is int 0, but must be a typed key"),
        (None, "key is NoneType None, but must be a typed key"),
    ],
)
def test_keys_are_typed(draw, key, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        draw(key)
    with pytest.raises(ValueError, match=r"key has shape \(2,\), but must have \(\)"):
        draw(jax.random.split(jax.random.key(0)))


def test_digits():
    images, labels = data.digits()
    assert images.values.shape == (1797, 64)
    assert images.values.min() == 0
    assert images.values.max() == 16
    assert images.columns[:2] == ("pixel_0_0", "pixel_0_1")
    assert images.columns[-1] == "pixel_7_7"
    np.testing.assert_array_equal(np.unique(labels), np.arange(10))


# the rest


def test_importing_data_imports_neither_jax_nor_polars():
    code = "import sys; from jaxae import data; print(sorted({'jax', 'polars', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@real
@pytest.mark.parametrize(
    "name, shape, total",
    [("mnist/t10k-images-idx3-ubyte.gz", (10000, 784), None), ("mnist/t10k-labels-idx1-ubyte.gz", (10000, 1), 44434)],
)
def test_mnist(name, shape, total):
    table = data.read(real_file(name))
    assert table.values.shape == shape
    assert total is None or table.values.sum() == total
    assert table.values.max() == (255 if shape[1] == 784 else 9)


@real
def test_adbench():
    assert data.read(real_file("adbench/4_breastw.npz")).values.shape == (683, 9)


@real
def test_nab():
    table = data.read(real_file("nab/nyc_taxi.csv.gz"))
    assert table.values.shape == (10320, 1)
    assert table.columns == ("value",)
    assert table.notes == ("left out, for they hold no numbers: 'timestamp'",)


@real
def test_movielens():
    assert data.read(real_file("movielens/ratings.csv.gz")).values.shape == (78154, 4)


@real
def test_spoken_digits_are_no_table():
    with pytest.raises(ValueError, match="among its keys 'audio', 'offsets'"):
        data.read(real_file("fsdd/fsdd.npz"))


def test_imputation_by_values_of_earlier_rows(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n,1\n,2\n")
    table = data.read(path, impute={"a": 7.5, "b": 0.0})
    np.testing.assert_array_equal(table.values, [[7.5, 1], [7.5, 2]])
    assert "filled with that of the rows that train, 7.5" in table.notes[0]
    with pytest.raises(ValueError, match=r"column 'a' of .* has no value in any row"):
        data.read(path, impute={"b": 0.0})


def test_one_row_is_enough_where_the_columns_are_known(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    np.testing.assert_array_equal(data.read(path, columns=("a", "b")).values, [[1, 2]])


def test_what_more_anomalies_and_means_refuse():
    with pytest.raises(TypeError, match="normal is ndarray, but must be a Process"):
        data.anomalies(jax.random.key(0), np.ones((8, 2)), rows=2, pattern="joint")
    for temperature in (0.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="temperature is"):
            data.conditional_mean([300.0, temperature])
    with pytest.raises(TypeError, match="high is '1', but must be a finite number"):
        data.min_max([[0.0], [1.0]], ["a"], high="1")


def test_pixels_are_several_columns():
    for columns in (None, True, "pixel_0_0"):
        with pytest.raises(TypeError, match=r"columns is .*, but must be names, in a list or tuple"):
            data.pixel_columns(columns, (1, 1, 1))
