"""How well scores and alarms agree with labels: 0 is normal, 1 is an anomaly."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxae.metrics.arguments import Floats, binary, same_shape

__all__ = ["auroc", "average_precision", "detection_rate", "false_positive_rate"]


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the receiver operating characteristic.

    It is the probability that an anomaly scores above a normal example, ties counting half:
    P(s₁ > s₀) + ½ P(s₁ = s₀).

    Args:
        labels: (n,) of 0 (normal) and 1 (anomaly), both present.
        scores: (n,), finite, higher for what is more anomalous.

    Returns:
        One number in [0, 1]; 0.5 for scores that know nothing.

    Raises:
        TypeError: an argument is not of real numbers.
        ValueError: the shapes differ or are not (n,), an argument is empty, a score is not finite, a label is not
            0 or 1, or only one class is present.

    Example:
        >>> from jaxae import metrics
        >>> metrics.auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
        0.75

    References:
        Hanley, McNeil. The meaning and use of the area under a receiver operating characteristic curve. 1982.
    """
    from sklearn.metrics import roc_auc_score

    anomalous, scores = _both_classes(labels, scores)
    return float(roc_auc_score(anomalous, scores))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the average precision Σₖ (Rₖ - Rₖ₋₁) Pₖ over the thresholds k, with recall R and precision P.

    It is scikit-learn's step sum: nothing is interpolated between the points of the precision-recall curve.

    Args:
        labels: (n,) of 0 (normal) and 1 (anomaly), both present.
        scores: (n,), finite, higher for what is more anomalous.

    Returns:
        One number in (0, 1]; about the share of anomalies for scores that know nothing.

    Raises:
        TypeError: an argument is not of real numbers.
        ValueError: the shapes differ or are not (n,), an argument is empty, a score is not finite, a label is not
            0 or 1, or only one class is present.

    Example:
        >>> from jaxae import metrics
        >>> metrics.average_precision([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
        0.8333333333333333

    References:
        Davis, Goadrich. The relationship between precision-recall and ROC curves. 2006.
    """
    from sklearn.metrics import average_precision_score

    anomalous, scores = _both_classes(labels, scores)
    return float(average_precision_score(anomalous, scores))


def detection_rate(labels: ArrayLike, alarms: ArrayLike) -> float:
    """Return the share of anomalies that raised an alarm: Σ labels · alarms / Σ labels (recall).

    Args:
        labels: (n,) of 0 (normal) and 1 (anomaly), at least one 1.
        alarms: (n,) of 0 (silent) and 1 (alarm).

    Returns:
        One number in [0, 1].

    Raises:
        TypeError: an argument is not of real numbers.
        ValueError: the shapes differ or are not (n,), an argument is empty, a value is not 0 or 1, or there is no
            anomaly.

    Example:
        >>> from jaxae import metrics
        >>> metrics.detection_rate([0, 0, 1, 1], [0, 1, 1, 0])
        0.5
    """
    anomalous, alarmed = _labels_and_alarms(labels, alarms)
    if not anomalous.any():
        raise ValueError("labels holds no 1, and without an anomaly there is none to detect; give at least one.")
    return float(alarmed[anomalous].mean())


def false_positive_rate(labels: ArrayLike, alarms: ArrayLike) -> float:
    """Return the share of normal examples that raised an alarm: Σ (1 - labels) · alarms / Σ (1 - labels).

    Args:
        labels: (n,) of 0 (normal) and 1 (anomaly), at least one 0.
        alarms: (n,) of 0 (silent) and 1 (alarm).

    Returns:
        One number in [0, 1].

    Raises:
        TypeError: an argument is not of real numbers.
        ValueError: the shapes differ or are not (n,), an argument is empty, a value is not 0 or 1, or there is no
            normal example.

    Example:
        >>> from jaxae import metrics
        >>> metrics.false_positive_rate([0, 0, 0, 0, 1], [0, 1, 0, 0, 1])
        0.25
    """
    anomalous, alarmed = _labels_and_alarms(labels, alarms)
    if anomalous.all():
        raise ValueError("labels holds no 0, and without a normal example no alarm is false; give at least one.")
    return float(alarmed[~anomalous].mean())


def _both_classes(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    label_values, score_values = same_shape(labels=labels, scores=scores)
    anomalous = binary("labels", label_values)
    if anomalous.all() or not anomalous.any():
        raise ValueError(f"labels holds only {int(anomalous[0])}; give examples of both 0 (normal) and 1 (anomaly).")
    return anomalous, score_values


def _labels_and_alarms(labels: ArrayLike, alarms: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    label_values, alarm_values = same_shape(labels=labels, alarms=alarms)
    return binary("labels", label_values), binary("alarms", alarm_values)
