"""How much a table of features says of labels."""

from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from jaxae import checks
from jaxae.metrics.arguments import finite

__all__ = ["linear_probe", "matched_cosine"]


def linear_probe(
    train: ArrayLike, train_labels: Any, test: ArrayLike, test_labels: Any, *, iterations: SupportsIndex = 1000
) -> float:
    """Return the share of test rows that a linear classifier on the features gets right.

    scikit-learn's multinomial logistic regression (its usual L2 penalty) on features standardised by the training rows.

    Args:
        train: (n, k) features, finite, for example the codes of an encoder.
        train_labels: (n,) at least two groups.
        test: (m, k) features of other rows, finite.
        test_labels: (m,).
        iterations: of the solver, at most.

    Returns:
        The accuracy in [0, 1].

    Raises:
        TypeError: features that are no real numbers, or iterations that are no integer.
        ValueError: shapes that do not fit, values that are not finite, or a single group.

    Example:
        >>> from jaxae import metrics
        >>> metrics.linear_probe([[0.0], [0.1], [1.0], [1.1]], [0, 0, 1, 1], [[0.2], [0.9]], [0, 1])
        1.0

    References:
        Alain, Bengio. Understanding intermediate layers using linear classifier probes. 2016.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    checks.whole("iterations", iterations)
    features = {"train": finite("train", train), "test": finite("test", test)}
    labels = {"train": np.asarray(train_labels), "test": np.asarray(test_labels)}
    for name, table in features.items():
        if table.ndim != 2 or labels[name].shape != table.shape[:1]:
            raise ValueError(
                f"{name} has shape {table.shape} and its labels {labels[name].shape}; give features (n, k) and "
                "one label for each row."
            )
    if features["train"].shape[1] != features["test"].shape[1]:
        raise ValueError(f"train has {features['train'].shape[1]} features, test {features['test'].shape[1]}.")
    if len(np.unique(labels["train"])) < 2:
        raise ValueError("train_labels holds one group; a classifier needs at least two.")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=int(iterations)))
    probe.fit(features["train"], labels["train"])
    return float(np.mean(probe.predict(features["test"]) == labels["test"]))


def matched_cosine(found: ArrayLike, true: ArrayLike) -> tuple[float, np.ndarray]:
    """Return how well directions were recovered: the mean |cosine| of each true one with its own found one.

    The pairs are those with the largest sum of |cosine| (the assignment problem), each found direction used once.

    Args:
        found: (k, d) directions, finite, k ≥ j; one of length 0 has cosine 0.
        true: (j, d) directions, finite, none of length 0.

    Returns:
        the mean in [0, 1], and for each true direction the number of its found one, (j,) int64.

    Raises:
        TypeError: directions that are no real numbers.
        ValueError: shapes that do not fit, fewer found directions than true ones, or a true one of length 0.

    Example:
        >>> from jaxae import metrics
        >>> mean, place = metrics.matched_cosine([[0.0, 2.0], [-3.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]])
        >>> mean, place.tolist()
        (1.0, [1, 0])

    References:
        Kuhn. The Hungarian method for the assignment problem. 1955.
    """
    from scipy.optimize import linear_sum_assignment

    rows, targets = finite("found", found), finite("true", true)
    if rows.ndim != 2 or targets.ndim != 2 or rows.shape[1] != targets.shape[1] or len(rows) < len(targets):
        raise ValueError(
            f"found has shape {rows.shape} and true {targets.shape}; give (k, d) and (j, d) with at least as many "
            "found as true directions."
        )
    lengths, own = (np.linalg.norm(table, axis=1) for table in (rows, targets))
    if not own.all():
        raise ValueError(f"true direction {int(np.argmin(own))} is zero everywhere; leave it out.")
    cosine = np.abs(targets @ rows.T) / (own[:, None] * np.where(lengths > 0, lengths, 1)[None, :])
    places, chosen = linear_sum_assignment(-cosine)
    return float(cosine[places, chosen].mean()), chosen.astype(np.int64)
