"""Alarms beside labelled windows: by hand, then at the limits, then what is refused."""

import math

import numpy as np
import pytest

from jaxae.metrics import series_alarms


def alarms(*places, total=100):
    found = np.zeros(total, bool)
    found[list(places)] = True
    return found


def sigmoid(y):
    return 2 / (1 + math.exp(5 * y)) - 1


def test_counts_by_hand():
    found = series_alarms(alarms(5, 6, 22, 23, 40, 90), [[20, 30], [60, 70]])
    assert found[:5] == (2, 1, 80, 4, 3)
    assert found.precision == 2 / 6 and found.recall == 2 / 20
    assert found.f1 == pytest.approx(2 * (1 / 3) * 0.1 / (1 / 3 + 0.1))
    assert found.delay == 0.2


def test_nab_by_hand():
    found = series_alarms(alarms(5, 22, 23, 33, 95), [[20, 30], [60, 70]])
    # The first window is found at a fifth, the second missed; 33 is .4 lengths after the one, 95 2.6 after the other.
    score = sigmoid(-0.8) / sigmoid(-1) - 1 + 0.11 * (-1 + sigmoid(0.4) + sigmoid(2.6))
    assert found.nab == pytest.approx(100 * (score + 2) / 4)
    far = series_alarms(alarms(62, total=100), [[20, 30]])
    assert far.nab == pytest.approx(100 * (-1 - 0.11 + 1) / 2)


def test_the_limits_of_nab():
    windows = [[20, 30], [60, 70]]
    assert series_alarms(alarms(20, 60), windows).nab == pytest.approx(100)
    assert series_alarms(alarms(), windows).nab == 0
    assert series_alarms(alarms(0, 1, 2), windows).nab < 0
    late, early = series_alarms(alarms(29, 69), windows).nab, series_alarms(alarms(21, 61), windows).nab
    assert 50 < late < early < 100


def test_nothing_to_divide_by():
    quiet = series_alarms(alarms(), [[3, 4]])
    assert math.isnan(quiet.precision) and quiet.recall == 0 and math.isnan(quiet.delay) and math.isnan(quiet.f1)
    normal = series_alarms(alarms(1, 2, 9), np.zeros((0, 2), int))
    assert (normal.windows, normal.false_alarms, normal.false_events, normal.normal) == (0, 3, 2, 100)
    assert math.isnan(normal.recall) and math.isnan(normal.nab) and normal.precision == 0
    assert series_alarms(alarms(1), []).false_alarms == 1


@pytest.mark.parametrize(
    ("windows", "said"),
    [
        ([[5, 5]], r"windows\[0\] is \[5, 5\), but must hold a point"),
        ([[90, 101]], "end by 100"),
        ([[-1, 4]], "begin at 0 or later"),
        ([[20, 30], [29, 40]], r"windows\[1\] is \[29, 40\), but must hold a point, begin at 30"),
        ([20, 30], r"windows must be \(k, 2\) whole numbers"),
        ([[1.5, 3.0]], "float64"),
    ],
)
def test_windows_that_are_refused(windows, said):
    with pytest.raises(ValueError, match=said):
        series_alarms(alarms(), windows)


def test_alarms_that_are_refused():
    with pytest.raises(ValueError, match="alarms"):
        series_alarms([0, 1, 2], [[0, 1]])
    with pytest.raises(ValueError, match="alarms is empty"):
        series_alarms([], [])
