"""jaxae.windows: series as windows, and back."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxae import windows

PLAIN = settings(max_examples=50, deadline=None)


def test_cut_by_hand():
    out, starts = windows.cut(np.arange(7), 3, stride=2)
    assert out.tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
    assert starts.tolist() == [0, 2, 4]
    assert out.dtype == np.arange(7).dtype
    assert starts.dtype == np.int64


def test_the_last_window_ends_with_the_series():
    out, starts = windows.cut(np.arange(8), 3, stride=3)
    assert out.tolist() == [[0, 1, 2], [3, 4, 5], [5, 6, 7]]
    assert starts.tolist() == [0, 3, 5]


def test_series_of_vectors():
    series = np.arange(8.0).reshape(4, 2)
    out, starts = windows.cut(jnp.asarray(series), 3)
    np.testing.assert_array_equal(out, [series[0:3], series[1:4]])
    assert starts.tolist() == [0, 1]
    assert out.dtype == np.float32


def test_a_window_as_long_as_the_series():
    out, starts = windows.cut([1.0, 2.0], 2)
    assert out.tolist() == [[1, 2]]
    assert starts.tolist() == [0]


def test_windows_do_not_share_memory():
    series = np.zeros(4)
    out, _ = windows.cut(series, 2)
    out[0, 1] = 9
    assert out[1, 0] == 0
    assert series[1] == 0


@st.composite
def series_and_windows(draw):
    total = draw(st.integers(1, 30))
    shape = draw(st.sampled_from([(total,), (total, 2)]))
    dtype = draw(st.sampled_from([np.float64, np.float32, np.int32]))
    length = draw(st.integers(1, total))
    return draw(arrays(dtype, shape)), length, draw(st.integers(1, length))


@PLAIN
@given(case=series_and_windows())
def test_join_undoes_cut_to_the_bit(case):
    series, length, stride = case
    series = np.where(np.isfinite(series), series, 0).astype(series.dtype)
    back = windows.join(*windows.cut(series, length, stride=stride), len(series))
    np.testing.assert_array_equal(back, series)
    assert back.dtype == (np.float64 if series.dtype == np.int32 else series.dtype)


@PLAIN
@given(case=series_and_windows())
def test_every_window_is_a_stretch_of_the_series_and_every_point_is_covered(case):
    series, length, stride = case
    series = np.where(np.isfinite(series), series, 0)
    out, starts = windows.cut(series, length, stride=stride)
    covered = np.zeros(len(series), bool)
    for window, start in zip(out, starts, strict=True):
        np.testing.assert_array_equal(window, series[start : start + length])
        covered[start : start + length] = True
    assert covered.all()
    assert (np.diff(starts) > 0).all()


@pytest.mark.parametrize(
    "series, length, stride, message",
    [
        (np.zeros(3), 4, 1, "length is 4, but must be a whole number from 1 to 3, the points of the series"),
        (np.zeros(3), 0, 1, "but must be a whole number from 1 to 3"),
        (np.zeros(0), 1, 1, "series has no points"),
        (np.zeros(3), 2, 0, "from 1 to 2, the length, so that every point is covered"),
        (np.zeros(3), 2, -1, "but must be a whole number from 1 to 2"),
        (np.zeros(5), 2, 3, "but must be a whole number from 1 to 2"),
        (np.zeros((2, 2, 2)), 1, 1, r"series must be \(t,\) or \(t, d\); got shape \(2, 2, 2\)"),
        (np.float64(1.0), 1, 1, "series must be"),
        ([0.0, np.nan, 0.0], 2, 1, r"series\[1\] is nan"),
        ([[0.0, 1.0], [0.0, np.inf]], 2, 1, r"series\[1, 1\] is inf"),
        (["a", "b"], 2, 1, "series must be real numbers"),
    ],
)
def test_bad_cut(series, length, stride, message):
    with pytest.raises(ValueError, match=message):
        windows.cut(series, length, stride=stride)


def test_length_and_stride_are_whole_numbers():
    with pytest.raises(TypeError, match=r"length is 2\.0, but must be a whole number"):
        windows.cut(np.zeros(4), 2.0)
    with pytest.raises(TypeError, match=r"stride is 1\.5, but must be a whole number"):
        windows.cut(np.zeros(4), 2, stride=1.5)


def test_total_and_gap_are_whole_numbers():
    with pytest.raises(TypeError, match=r"total is 2\.0, but must be a whole number"):
        windows.join([[1.0, 2.0]], [0], 2.0)
    with pytest.raises(TypeError, match=r"gap is 0\.5, but must be a whole number"):
        windows.events([True], gap=0.5)


def test_join_by_hand():
    assert windows.join([[0.0, 2.0], [4.0, 6.0]], [0, 1], 3).tolist() == [0, 3, 6]
    assert windows.join([[4, 6], [0, 3]], [1, 0], 3).tolist() == [0, 3.5, 6]


def test_join_of_vectors():
    out = windows.join(np.array([[[0.0, 1.0]], [[2.0, 3.0]]]), [1, 0], 2)
    assert out.tolist() == [[2, 3], [0, 1]]


@pytest.mark.parametrize(
    "values, starts, total, message",
    [
        ([1.0, 2.0], [0, 1], 2, r"windows must be \(m, length, ...\)"),
        (np.zeros((0, 2)), np.zeros(0, int), 2, "m and length at least 1"),
        ([[1.0, np.nan]], [0], 2, r"windows\[0, 1\] is nan"),
        ([[1.0, 2.0]], [0.0], 2, r"starts must be \(1,\) integers"),
        ([[1.0, 2.0]], [0, 1], 3, r"starts must be \(1,\) integers, one per window; got int64 of \(2,\)"),
        ([[1.0, 2.0], [1.0, 2.0]], [0, 0], 2, "two windows start at one point"),
        ([[1.0, 2.0]], [1], 2, "windows of 2 points from 1 to 1 reach outside the series of 2 points"),
        ([[1.0, 2.0]], [-1], 2, "reach outside"),
        ([[1.0, 2.0]], [0], 3, "point 2 of 3 is in no window"),
    ],
)
def test_bad_join(values, starts, total, message):
    with pytest.raises(ValueError, match=message):
        windows.join(values, starts, total)


def test_spread_by_hand():
    assert windows.spread([1.0, 3.0, 8.0], [0, 1, 2], 2, 4).tolist() == [1, 2, 5.5, 8]


@PLAIN
@given(total=st.integers(1, 30), score=st.floats(-1e9, 1e9), length=st.integers(1, 30))
def test_equal_scores_stay_what_they_are(total, score, length):
    length = min(length, total)
    _, starts = windows.cut(np.zeros(total), length)
    np.testing.assert_array_equal(windows.spread(np.full(len(starts), score), starts, length, total), score)


@pytest.mark.parametrize(
    "scores, starts, length, total, message",
    [
        ([[1.0]], [0], 1, 1, r"scores must be \(m,\), one per window; got shape \(1, 1\)"),
        ([np.nan], [0], 1, 1, r"scores\[0\] is nan"),
        ([1.0], [0], 0, 1, "length is 0, but must be a whole number"),
        ([1.0], [0], 1, 2, "point 1 of 2 is in no window"),
        ([1.0], [0, 1], 1, 2, r"starts must be \(1,\)"),
    ],
)
def test_bad_spread(scores, starts, length, total, message):
    with pytest.raises(ValueError, match=message):
        windows.spread(scores, starts, length, total)


@pytest.mark.parametrize(
    "alarms, gap, expected",
    [
        ("", 0, []),
        ("000", 0, []),
        ("111", 0, [[0, 3]]),
        ("0110100", 0, [[1, 3], [4, 5]]),
        ("0110100", 1, [[1, 5]]),
        ("1001", 1, [[0, 1], [3, 4]]),
        ("1001", 2, [[0, 4]]),
        ("1010001", 1, [[0, 3], [6, 7]]),
    ],
)
def test_events_by_hand(alarms, gap, expected):
    out = windows.events(np.array([flag == "1" for flag in alarms], bool), gap=gap)
    assert out.shape == (len(expected), 2)
    assert out.dtype == np.int64
    assert out.tolist() == expected


@PLAIN
@given(alarms=arrays(bool, st.integers(0, 40)), gap=st.integers(0, 5))
def test_events_cover_the_alarms_and_are_further_apart_than_the_gap(alarms, gap):
    out = windows.events(alarms, gap=gap)
    inside = np.zeros(len(alarms), bool)
    for start, stop in out:
        assert alarms[start]
        assert alarms[stop - 1]
        inside[start:stop] = True
    assert not (alarms & ~inside).any()
    assert (out[1:, 0] - out[:-1, 1] > gap).all()
    if gap == 0:
        np.testing.assert_array_equal(inside, alarms)


def test_bad_events():
    with pytest.raises(TypeError, match="alarms must be boolean; got float64; write scores > threshold"):
        windows.events([0.0, 1.0])
    with pytest.raises(ValueError, match=r"alarms must be \(t,\), one per point; got shape \(2, 2\)"):
        windows.events(np.zeros((2, 2), bool))
    with pytest.raises(ValueError, match="gap is -1, but must be a whole number"):
        windows.events(np.zeros(2, bool), gap=-1)


def test_least_against_a_loop(rng):
    series = rng.normal(size=(23, 2))
    cuts, starts = windows.cut(series, 5, stride=3)
    values = rng.normal(size=cuts.shape)
    expected = np.full(series.shape, np.inf)
    for start, window in zip(starts, values, strict=True):
        for place, point in enumerate(window):
            expected[start + place] = np.minimum(expected[start + place], point)
    np.testing.assert_array_equal(windows.least(values, starts, 23), expected)


def test_least_of_windows_that_leave_a_gap():
    with pytest.raises(ValueError, match="point 2 of 5 is in no window"):
        windows.least(np.ones((2, 2)), [0, 3], 5)
