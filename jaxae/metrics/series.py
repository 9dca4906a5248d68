"""Alarms of a series beside its labelled windows: by point, by event, and as the Numenta Anomaly Benchmark counts."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxae.metrics.arguments import binary, finite

__all__ = ["SeriesAlarms", "series_alarms"]

FALSE = 0.11
"""What a false alarm costs beside a missed window, in NAB's standard profile."""
FAR = 3.0
"""Lengths of a window after it from where on an alarm is as false as any."""


class SeriesAlarms(NamedTuple):
    """What became of the alarms of a series.

    Attributes:
        windows: labelled ones.
        found: of them, those with at least one alarm.
        normal: points in no window.
        false_alarms: alarms in no window.
        false_events: runs of those.
        precision: share of the alarms that lie in a window; NaN without an alarm.
        recall: share of the windows' points that raise an alarm; NaN without a window.
        f1: harmonic mean of both; 0 where both are, NaN where one is.
        delay: mean share of a found window that passes before its first alarm; NaN where none is found.
        nab: NAB's normalised score, 100 where every window is found at its first point and nothing else, 0 for no alarm
            at all; NaN without a window.
    """

    windows: int
    found: int
    normal: int
    false_alarms: int
    false_events: int
    precision: float
    recall: float
    f1: float
    delay: float
    nab: float


def series_alarms(alarms: ArrayLike, windows: ArrayLike) -> SeriesAlarms:
    """Return how alarms agree with labelled windows, counted in every way that is usual.

    NAB's score counts for each window its first alarm, σ(y) = 2/(1 + exp(5y)) − 1 at its place y from −1 at the
    window's first point to 0 at its end, over σ(−1), or −1 if there is none; and for every alarm outside 0.11·σ at its
    place after the last window, in lengths of that window, or −0.11 before any window and three lengths after one.

    Args:
        alarms: (t,) zeros and ones, or booleans.
        windows: (k, 2) half-open pairs [start, stop) of points, in order, that do not overlap; (0, 2) for none.

    Raises:
        ValueError: if the alarms are no such vector, or a window is empty, overlaps the one before, or reaches outside
            the series.

    Examples:
        >>> found = series_alarms([0, 0, 0, 1, 0, 0, 0, 1], [[2, 5]])
        >>> found.found, found.false_alarms, found.precision, round(found.delay, 2)
        (1, 1, 0.5, 0.33)

    References:
        Lavin & Ahmad, Evaluating real-time anomaly detection algorithms: the Numenta anomaly benchmark, 2015.
    """
    raised = binary("alarms", finite("alarms", alarms))
    pairs = _pairs(windows, len(raised))
    inside = np.zeros(len(raised), bool)
    delays, score = [], 0.0
    for start, stop in pairs:
        inside[start:stop] = True
        first = np.flatnonzero(raised[start:stop])
        if len(first):
            place = int(first[0]) / (stop - start)
            delays.append(place)
            score += _sigmoid(place - 1) / _sigmoid(-1.0)
        else:
            score -= 1
    outside = raised & ~inside
    for at in np.flatnonzero(outside):
        before = pairs[pairs[:, 1] <= at]
        after = math.inf if not len(before) else (at - before[-1, 1] + 1) / (before[-1, 1] - before[-1, 0])
        score += FALSE * (-1.0 if after > FAR else _sigmoid(after))
    precision = float((raised & inside).sum() / raised.sum()) if raised.any() else math.nan
    recall = float(raised[inside].mean()) if inside.any() else math.nan
    both = precision + recall
    return SeriesAlarms(
        windows=len(pairs),
        found=len(delays),
        normal=int((~inside).sum()),
        false_alarms=int(outside.sum()),
        false_events=int((np.diff(outside.astype(int), prepend=0) == 1).sum()),
        precision=precision,
        recall=recall,
        f1=0.0 if both == 0 else 2 * precision * recall / both,
        delay=float(np.mean(delays)) if delays else math.nan,
        nab=100 * (score + len(pairs)) / (2 * len(pairs)) if len(pairs) else math.nan,
    )


def _sigmoid(place: float) -> float:
    return 2 / (1 + math.exp(5 * place)) - 1


def _pairs(windows: ArrayLike, total: int) -> np.ndarray:
    try:
        pairs = np.asarray(windows)
    except ValueError:
        raise ValueError("windows must be (k, 2) whole numbers, [start, stop); got rows of unlike length.") from None
    if pairs.size == 0 and pairs.dtype.kind in "iuf":
        return np.zeros((0, 2), np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise ValueError(f"windows must be (k, 2) whole numbers, [start, stop); got {pairs.dtype} of {pairs.shape}.")
    for i, (start, stop) in enumerate(pairs):
        earliest = pairs[i - 1, 1] if i else 0
        if not earliest <= start < stop <= total:
            raise ValueError(
                f"windows[{i}] is [{start}, {stop}), but must hold a point, begin at {earliest} or later, and end by "
                f"{total}; give them in order and apart."
            )
    return pairs
