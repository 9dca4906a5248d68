"""A long series as short windows, and back: values, scores per point, and runs of alarms."""

from typing import Any

import numpy as np

from jaxae import checks

__all__ = ["cut", "events", "join", "least", "spread"]


def cut(series: Any, length: int, *, stride: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return the windows of a series and the point at which each starts.

    Window i holds the points startsᵢ to startsᵢ + length. Starts are `stride` apart; where the last of these windows
    would not reach the end, one more is added that ends with the series (so its start is less than a stride after the
    one before). Every point is thus in at least one window.

    Args:
        series: (t,) or (t, d), finite real numbers.
        length: Points per window, 1 to t.
        stride: Points from one start to the next, 1 to `length`.

    Returns:
        The windows (m, length) or (m, length, d) in the dtype of the series, and their starts (m,) int64, ascending.

    Raises:
        TypeError: `length` or `stride` is not an integer.
        ValueError: The shape is another, the series shorter than a window, the stride out of its range, or a value
            not finite.

    Example:
        >>> windows, starts = cut([0.0, 1.0, 2.0, 3.0, 4.0], 2, stride=2)
        >>> windows.tolist(), starts.tolist()
        ([[0.0, 1.0], [2.0, 3.0], [3.0, 4.0]], [0, 2, 3])
    """
    array = _finite("series", series)
    if array.ndim not in (1, 2):
        raise ValueError(f"series must be (t,) or (t, d); got shape {array.shape}")
    if not len(array):
        raise ValueError(f"series has no points: its shape is {array.shape}")
    checks.whole("length", length, high=len(array), why=", the points of the series")
    checks.whole("stride", stride, high=length, why=", the length, so that every point is covered")
    last = len(array) - length
    starts = np.arange(0, last + 1, stride, dtype=np.int64)
    if starts[-1] < last:
        starts = np.append(starts, last)
    views = np.lib.stride_tricks.sliding_window_view(array, length, axis=0)
    # The view puts the points of a window last; taking the starts makes a copy that the caller may write to.
    return np.moveaxis(views[starts], -1, 1), starts


def join(windows: Any, starts: Any, total: int) -> np.ndarray:
    """Return the series whose every point is the mean of the windows that cover it.

    join(*cut(s, ...), len(s)) is s.

    Args:
        windows: (m, length, ...) finite real numbers.
        starts: (m,) int, the point at which each window starts; all different.
        total: t, the points of the series.

    Returns:
        (t, ...), float64 for windows of integers, else in their dtype.

    Raises:
        TypeError: `total` is not an integer.
        ValueError: A shape is another, a value not finite, two windows start at one point, a window reaches outside
            the series, or a point is in no window.

    Example:
        >>> join([[1.0, 2.0], [4.0, 5.0]], [0, 1], 3).tolist()
        [1.0, 3.0, 5.0]
    """
    array, first = _placed(windows, starts, total)
    dtype = array.dtype if array.dtype.kind == "f" else np.dtype(np.float64)
    mean = np.zeros((total, *array.shape[2:]), np.result_type(dtype, np.float64))
    count = np.zeros(total, np.int64)
    ones = (1,) * (array.ndim - 2)
    for point in range(array.shape[1]):
        # A running mean rather than a sum: the mean of equal values is then that value to the bit.
        index = first + point
        count[index] += 1
        mean[index] += (array[:, point] - mean[index]) / count[index].reshape(-1, *ones)
    _all_covered(count > 0)
    return mean.astype(dtype)


def least(windows: Any, starts: Any, total: int) -> np.ndarray:
    """Return the series whose every point is the least of its values in the windows that cover it.

    Of errors it is the judgement of the window that explains a point best.

    Args:
        windows: (m, length, ...) finite real numbers.
        starts: (m,) int, the point at which each window starts; all different.
        total: t, the points of the series.

    Returns:
        (t, ...), in the dtype of the windows.

    Raises:
        TypeError, ValueError: As `join`.

    Example:
        >>> least([[1.0, 2.0], [4.0, 5.0]], [0, 1], 3).tolist()
        [1.0, 2.0, 5.0]
    """
    array, first = _placed(windows, starts, total)
    smallest = np.full((total, *array.shape[2:]), array.max(), array.dtype)
    covered = np.zeros(total, bool)
    for point in range(array.shape[1]):
        # The starts differ, so no two windows put a value of the same place at one point.
        index = first + point
        covered[index] = True
        smallest[index] = np.minimum(smallest[index], array[:, point])
    _all_covered(covered)
    return smallest


def spread(scores: Any, starts: Any, length: int, total: int) -> np.ndarray:
    """Return for each point the mean score of the windows that cover it.

    Args:
        scores: (m,) finite, one per window.
        starts: (m,) int, the point at which each window starts; all different.
        length: Points per window, at least 1.
        total: t, the points of the series.

    Returns:
        (t,), float64 for scores of integers, else in their dtype.

    Raises:
        TypeError: `length` or `total` is not an integer.
        ValueError: As `join`.

    Example:
        >>> spread([1.0, 3.0], [0, 1], 2, 3).tolist()
        [1.0, 2.0, 3.0]
    """
    array = _finite("scores", scores)
    checks.whole("length", length)
    if array.ndim != 1:
        raise ValueError(f"scores must be (m,), one per window; got shape {array.shape}")
    return join(np.broadcast_to(array[:, None], (len(array), length)), starts, total)


def events(alarms: Any, *, gap: int = 0) -> np.ndarray:
    """Return the runs of alarms as half-open pairs [start, stop), merged over at most `gap` quiet points.

    Args:
        alarms: (t,) bool, one per point.
        gap: The quiet points between two runs that are still one event, at least 0.

    Returns:
        (k, 2) int64, ascending; (0, 2) without an alarm.

    Raises:
        TypeError: `alarms` is not boolean, or `gap` not an integer.
        ValueError: The shape is another, or `gap` is below 0.

    Example:
        >>> alarms = np.array([False, True, True, False, True, False])
        >>> events(alarms).tolist(), events(alarms, gap=1).tolist()
        ([[1, 3], [4, 5]], [[1, 5]])
    """
    array = np.asarray(alarms)
    checks.whole("gap", gap, low=0)
    if array.dtype != np.bool_:
        raise TypeError(f"alarms must be boolean; got {array.dtype}; write scores > threshold")
    if array.ndim != 1:
        raise ValueError(f"alarms must be (t,), one per point; got shape {array.shape}")
    edges = np.diff(array.astype(np.int8), prepend=0, append=0)
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    apart = starts[1:] - stops[:-1] > gap
    kept = np.append(starts[:1], starts[1:][apart]), np.append(stops[:-1][apart], stops[-1:])
    return np.stack(kept, axis=1).astype(np.int64)


def _placed(windows: Any, starts: Any, total: int) -> tuple[np.ndarray, np.ndarray]:
    array = _finite("windows", windows)
    if array.ndim < 2 or 0 in array.shape[:2]:
        raise ValueError(f"windows must be (m, length, ...), m and length at least 1; got shape {array.shape}")
    checks.whole("total", total)
    return array, _starts(starts, array.shape[0], array.shape[1], total)


def _all_covered(covered: np.ndarray) -> None:
    if not covered.all():
        raise ValueError(
            f"point {np.argmin(covered)} of {len(covered)} is in no window; give windows that cover every point"
        )


def _finite(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be real numbers; got {array.dtype}")
    faults = np.argwhere(~np.isfinite(array))
    if len(faults):
        where = ", ".join(map(str, faults[0]))
        raise ValueError(f"{name}[{where}] is {array[tuple(faults[0])]}; fill it in or cut the series there")
    return array


def _starts(starts: Any, count: int, length: int, total: int) -> np.ndarray:
    array = np.asarray(starts)
    if array.dtype.kind not in "iu" or array.shape != (count,):
        raise ValueError(f"starts must be ({count},) integers, one per window; got {array.dtype} of {array.shape}")
    if len(np.unique(array)) != count:
        raise ValueError("starts must differ; two windows start at one point")
    if array.min() < 0 or array.max() + length > total:
        raise ValueError(
            f"windows of {length} points from {array.min()} to {array.max()} reach outside the series of {total} points"
        )
    return array.astype(np.int64)
