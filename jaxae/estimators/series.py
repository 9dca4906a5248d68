"""A detector of a series' strange points, made of a detector of strange rows: its rows are windows of the series."""

from __future__ import annotations

from collections import deque
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from jaxae import checks, windows
from jaxae.estimators.detectors import AutoencoderDetector
from jaxae.estimators.standardised import validated
from jaxae.estimators.thresholded import Thresholded, held_out_threshold

__all__ = ["SeriesDetector", "Stream"]

HELD = 4
"""One of so many parts of the points, the last, is held out for the threshold."""
COMBINE = ("last", "least", "mean")


class SeriesDetector(Thresholded, BaseEstimator):
    """Finds points of a series, of one or several variables, that are strange beside those around them.

    The series is cut into windows, which are the rows of a detector. What a point adds to a window's score, times the
    points of a window, is its score by that window; a point's score is that of the window that ends with it, or the
    least or the mean over all windows that hold it. A detector without `contributions` gives all points of a window its
    score.

    Rows are points in their order: the answer for one depends on those around it. The last quarter of the points is not
    trained on but places the threshold. Neighbouring points are alike, so that the rate of false alarms is held on
    average over many series, and not guaranteed in one.

    Args:
        detector: of windows, that has `fit` and `score_samples`; None is an `AutoencoderDetector`.
        length: points of a window.
        stride: points from one window to the next.
        combine: "last", "least" or "mean"; of "last" the stride must be 1.
        rate: of false alarms among normal points.
        gap: quiet points between two alarms that are still one event.

    Attributes:
        detector_: the fitted detector of windows.
        n_features_in_, feature_names_in_: variables of the series.
        threshold_, offset_: of a point's score, and minus that.
        calibration_scores_: of the points that placed it.

    Examples:
        >>> import numpy as np
        >>> t = np.arange(1200)
        >>> series = np.sin(t / 8)[:, None] + 0.05 * np.random.default_rng(0).normal(size=(1200, 1))
        >>> detector = SeriesDetector(length=24, rate=0.01).fit(series)
        >>> broken = series.copy()
        >>> broken[300:320] = 0.0
        >>> any(start < 310 < stop for start, stop in detector.events(broken))
        True

    References:
        Malhotra et al., LSTM-based encoder-decoder for multi-sensor anomaly detection, 2016 (windows and their errors).
    """

    _numbers = ("n_features_in_", "threshold_", "offset_")

    def __init__(
        self,
        detector: Any = None,
        *,
        length: int = 48,
        stride: int = 1,
        combine: Literal["last", "least", "mean"] = "mean",
        rate: float = 0.01,
        gap: int = 12,
    ) -> None:
        self.detector = detector
        self.length = length
        self.stride = stride
        self.combine = combine
        self.rate = rate
        self.gap = gap

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Train the detector of windows on the first three quarters of a series, and put the threshold by the last.

        Args:
            X: (t, variables) points in their order, normal, finite; t at least four windows.
            y: not used.

        Raises:
            ValueError, TypeError: for another series, and for parameters that are not as the class says.
        """
        x = validated(self, X)
        self._check()
        held = len(x) // HELD
        if held < self.length:
            raise ValueError(
                f"the series has {len(x)} points (n_samples = {len(x)}), but must have at least {HELD * self.length}, "
                f"{HELD} windows: give a longer one, or a smaller length"
            )
        detector = AutoencoderDetector() if self.detector is None else clone(self.detector)
        if "contamination" in detector.get_params() and detector.contamination == "auto":
            # No window need be held out: the points that are hold the threshold.
            detector.set_params(contamination=0.1)
        rows, _ = self._cut(x[:-held])
        self.detector_ = detector.fit(rows)
        self.calibration_scores_ = self._points(x[-held:])[1]
        return self.set_threshold(held_out_threshold(self.calibration_scores_, self.rate, HELD))

    def score_samples(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return minus the scores of the points X (t, variables) of one series: (t,), the higher the more usual."""
        return -self._points(self._series(X))[1]

    def events(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the alarms as half-open pairs [start, stop) of points, (k, 2); those `gap` apart are one."""
        return windows.events(self.predict(X) == -1, gap=self.gap)

    def contributions(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return what every variable adds to the score of each point, (t, variables).

        Raises:
            AttributeError: if the detector of windows has none.
        """
        entries, _ = self._points(self._series(X))
        if entries is None:
            raise AttributeError(f"{type(self.detector_).__name__} does not say what adds to its scores")
        return entries

    def stream(self) -> Stream:
        """Return what takes points one after another, and gives their scores as soon as they are known."""
        check_is_fitted(self)
        if self.stride != 1:
            raise ValueError(f"stride is {self.stride}, but a stream scores every window: fit with stride=1")
        return Stream(self)

    def _shapes(self) -> dict[str, tuple[int | None, ...]]:
        return {"calibration_scores_": (None,)}

    def _series(self, X: Any) -> np.ndarray:  # noqa: N803
        check_is_fitted(self)
        x = validated(self, X, reset=False)
        if len(x) < self.length:
            raise ValueError(
                f"the series has {len(x)} points (n_samples = {len(x)}), but a window has {self.length}: give at least "
                "as many"
            )
        return x

    def _cut(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cut, starts = windows.cut(x, self.length, stride=self.stride)
        return cut.reshape(len(cut), -1), starts

    def _points(self, x: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        """Return what every variable adds to the score of a point (t, variables), if that is known, and the scores."""
        rows, starts = self._cut(x)
        found = self._windowed(rows)
        joined = self._joined(found, starts, len(x))
        if found.shape[2:] == x.shape[1:] and hasattr(self.detector_, "contributions"):
            return joined, joined.sum(1)
        return None, joined[:, 0]

    def _windowed(self, rows: np.ndarray) -> np.ndarray:
        """Return the scores of the points of windows, (m, length, variables) or (m, length, 1)."""
        if hasattr(self.detector_, "contributions"):
            entries = self.detector_.contributions(rows).astype(np.float64)
            return entries.reshape(len(rows), self.length, -1) * self.length
        scores = -np.asarray(self.detector_.score_samples(rows), np.float64)
        return np.repeat(scores, self.length).reshape(len(rows), self.length, 1)

    def _joined(self, found: np.ndarray, starts: np.ndarray, total: int) -> np.ndarray:
        if self.combine == "last":
            return np.concatenate([found[0], found[1:, -1]])
        if self.combine == "mean":
            return windows.join(found, starts, total)
        # Of all variables together, so that those of a point are of one window.
        best = found.sum(2)
        least = np.full(total, np.inf)
        joined = np.zeros((total, found.shape[2]))
        for point in range(self.length):
            places = starts + point
            better = best[:, point] < least[places]
            least[places[better]] = best[better, point]
            joined[places[better]] = found[better, point]
        return joined

    def _check(self) -> None:
        checks.whole("length", self.length, low=2)
        checks.whole("stride", self.stride, high=self.length, why=", the length, so that every point is covered")
        checks.whole("gap", self.gap, low=0)
        checks.fraction("rate", self.rate, open_ends=True)
        if self.detector is not None and not hasattr(self.detector, "score_samples"):
            raise TypeError(f"detector is {self.detector!r:.80}, but must have score_samples: AutoencoderDetector()")
        if self.combine not in COMBINE:
            raise ValueError(f"combine is {self.combine!r}, but must be one of {', '.join(map(repr, COMBINE))}")
        if self.combine == "last" and self.stride != 1:
            raise ValueError(
                f'stride is {self.stride}, but must be 1 for combine="last": a window ends with every point'
            )


class Stream:
    """Points of a series one after another, and their scores in the same order: those of `score_samples`, times −1.

    With combine "last" a point's score is known at once, after the first window; else when the last window that holds
    it is complete, `length` − 1 points later.

    Args:
        detector: fitted, with stride 1.

    Examples:
        >>> import numpy as np
        >>> series = np.sin(np.arange(400.0) / 5)[:, None]
        >>> detector = SeriesDetector(length=10, combine="last").fit(series)
        >>> stream = detector.stream()
        >>> scores = np.concatenate([stream.push(point) for point in series[:30]])
        >>> bool(np.allclose(scores, -detector.score_samples(series[:30]), rtol=1e-3))
        True
    """

    def __init__(self, detector: SeriesDetector) -> None:
        self.detector = detector
        self.last: deque[np.ndarray] = deque(maxlen=detector.length)
        self.open: deque[list[np.ndarray]] = deque()

    def push(self, point: Any) -> np.ndarray:
        """Return the scores that are known with this point (variables,): none, one or several, larger if stranger.

        Raises:
            ValueError: for a point that is not of so many finite numbers.
        """
        own = self.detector
        x = np.asarray(point, np.float64)
        if x.shape != (own.n_features_in_,) or not np.isfinite(x).all():
            raise ValueError(f"a point must be ({own.n_features_in_},) finite numbers; got {point!r:.60}")
        self.last.append(x)
        self.open.append([])
        if len(self.last) < own.length:
            return np.zeros(0)
        (scores,) = own._windowed(np.concatenate(self.last)[None])
        if own.combine == "last":
            known = [row.sum() for row in (scores if len(self.open) == own.length else scores[-1:])]
            self.open.clear()
            return np.asarray(known)
        for seen, score in zip(self.open, scores, strict=True):
            seen.append(score.sum())
        return np.asarray([self._combined(self.open.popleft())])

    def close(self) -> np.ndarray:
        """Return the scores of the points that are left, as the series ends here; the next point begins another."""
        left = [self._combined(seen) for seen in self.open if seen]
        self.open.clear()
        self.last.clear()
        return np.asarray(left)

    def _combined(self, seen: list[Any]) -> float:
        return float(np.mean(seen) if self.detector.combine == "mean" else np.min(seen))
