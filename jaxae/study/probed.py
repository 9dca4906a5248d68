"""What a trained encoder's codes say of labels, beside principal components and the rows themselves."""

from typing import Any, SupportsIndex

import numpy as np

from jaxae import checks, metrics
from jaxae.study.trained import Trained

__all__ = ["probe"]


def probe(
    trained: Trained, values: np.ndarray, labels: Any, *, conditions: Any = None, folds: SupportsIndex = 5
) -> Any:
    """Return the accuracies of linear classifiers on codes, on as many principal components, and on the scaled rows.

    Every part of the rows is classified by a model that was fitted on the others, and so are the components; the
    encoder is the trained one.

    Args:
        trained: with an encoder of rows.
        values: (n, d) in the user's units.
        labels: (n,) numbers or words, at least two kinds.
        conditions: of a conditional model.
        folds: parts of the rows, at least 2 and at most as many as the rarest label has rows.

    Returns:
        name -> (folds,) accuracies in [0, 1].

    Raises:
        TypeError: if folds is no whole number.
        ValueError: if the model's codes are of windows, a condition says the label, or a label has too few rows.
    """
    from sklearn.decomposition import PCA
    from sklearn.model_selection import StratifiedKFold

    checks.whole("folds", folds, low=2)
    count = int(folds)
    trained.require("encode")
    if hasattr(trained.recipe, "examples"):
        raise ValueError("codes of this model are of windows, not of rows, so labels of rows cannot be probed")
    labels = np.asarray(labels)
    for name, told in (conditions or {}).items():
        pairs = set(zip(map(str, told), labels.tolist(), strict=True))
        if len(pairs) == len(set(map(str, told))) == len(set(labels.tolist())):
            raise ValueError(
                f"the encoder is told {name}, which says the label, so a probe of its codes would find what it was "
                "told: probe a model without conditions"
            )
    kinds, counts = np.unique(labels, return_counts=True)
    if len(kinds) < 2 or counts.min() < count:
        raise ValueError(
            f"labels must have at least two values, each on {count} rows or more; they have {len(kinds)}, the rarest "
            f"on {counts.min()} rows: give more rows or fewer folds"
        )
    scaled, codes = trained.study.scaling.apply(values), trained.encode(values, conditions)
    few = min(codes.shape[1], *scaled.shape)
    found: dict[str, list[float]] = {}
    for seen, new in StratifiedKFold(count, shuffle=True, random_state=0).split(scaled, labels):
        pca = PCA(few, svd_solver="full").fit(scaled[seen])
        features = {"codes": codes, f"{few} principal components": pca.transform(scaled), "the rows themselves": scaled}
        for name, columns in features.items():
            accuracy = metrics.linear_probe(columns[seen], labels[seen], columns[new], labels[new])
            found.setdefault(name, []).append(accuracy)
    return {name: np.asarray(accuracies) for name, accuracies in found.items()}
