"""Pictures of anomaly detection: how scores are distributed, and how well they tell anomalies apart."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from jaxae.report.pictures.arguments import vector
from jaxae.report.pictures.canvas import (
    FAINT,
    PALETTE,
    Picture,
    canvas,
    logarithmic,
    spans_decades,
    write_numbers,
)
from jaxae.report.words import listed, number, plural, short, with_unit

__all__ = ["detection_curves", "scores"]

_BINS = 40
_MOST_POINTS = 2000  # of a curve: more than a panel has pixels
_COLOURS = (PALETTE[1], PALETTE[0], PALETTE[2], PALETTE[3], PALETTE[4], PALETTE[6], PALETTE[5], PALETTE[7], PALETTE[8])


def scores(
    folder: str | os.PathLike[str],
    groups: Mapping[str, ArrayLike],
    threshold: float | None = None,
    *,
    unit: str = "",
    name: str = "scores",
    title: str = "Anomaly scores",
    caption: str | None = None,
) -> Picture:
    """Return the picture of how the anomaly scores of every group of rows are distributed, as shares of the group.

    Bins are shared by the groups and reach from just above their lower edge to their upper edge, so that those above
    the threshold hold exactly the scores above it. The axis is logarithmic where positive scores span decades.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        groups: by label, the (n,) scores of its rows; the first group is drawn in grey, usually the normal rows.
        threshold: above it a score is an alarm.
        unit: of the scores.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence with how many rows of each group lie above the threshold.

    Raises:
        ValueError: if there is no group, or scores or threshold are not finite numbers.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     scores(folder, {"normal": [0.1, 0.2], "pattern 1": [0.9]}, 0.5).caption
        'Share of the rows of each group at every score. Above the threshold lie 0 of 2 normal and 1 of 1 pattern 1.'
    """
    found = {label: vector(f"groups[{label!r}]", values) for label, values in groups.items()}
    if not found:
        raise ValueError("groups must hold the scores of at least one group by its label, not {}")
    if threshold is not None and not np.isfinite(threshold):
        raise ValueError(f"threshold must be a finite number, or None for none, not {threshold}")
    edges, log = _edges(np.concatenate(list(found.values())), threshold)
    counts = {label: _counts(values, edges) for label, values in found.items()}
    write_numbers(
        folder,
        name,
        ["group", "from", "to", "rows", "share", "threshold"],
        (
            [label, low, high, int(rows), rows / len(found[label]), "" if threshold is None else float(threshold)]
            for label in found
            for low, high, rows in zip(edges[:-1], edges[1:], counts[label], strict=True)
        ),
    )
    names = [short(label) for label in found]
    beside = len(names) > 5 or sum(map(len, names)) > 80
    with canvas(folder, name, height=max(3.9, 0.4 + 0.178 * len(names)) if beside else 3.9) as figure:
        axes = figure.add_subplot()
        handles = []
        for place, label in enumerate(found):
            share = counts[label] / len(found[label])
            if place == 0:
                handles.append(axes.stairs(share, edges, fill=True, color=FAINT, alpha=0.6))
                continue
            shade, dashes = _COLOURS[(place - 1) % len(_COLOURS)], ("-", "--", ":")[(place - 1) // len(_COLOURS) % 3]
            axes.stairs(share, edges, fill=True, color=shade, alpha=0.1)
            handles.append(axes.stairs(share, edges, color=shade, lw=1.6, ls=dashes))
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(bottom=0)
        if log:
            logarithmic(axes, "x")
        if threshold is not None:
            axes.axvline(threshold, color="#1f2933", lw=1.2, ls=(0, (4, 3)))
            axes.annotate(f"threshold {number(threshold)}", (threshold, 1.0), (0, 4), va="bottom", ha="center",
                          xycoords=axes.get_xaxis_transform(), textcoords="offset points", fontsize=8.5)  # fmt: skip
        axes.set(xlabel=with_unit("anomaly score", unit), ylabel="share of the group's rows")
        # Groups by the column, as many as a line holds; long legends stand beside the picture.
        if beside:
            figure.legend(handles, names, loc="outside right upper")
        else:
            figure.legend(handles, names, loc="outside upper right", ncols=len(names))
    if caption is None:
        caption = "Share of the rows of each group at every score."
        if log and min(map(np.min, found.values())) < (1 - 1e-9) * edges[0]:  # not by the rounding of 10^x
            caption += " The first bin also holds what is lower."
        if threshold is not None:
            above = [f"{number(int((v > threshold).sum()))} of {number(len(v))} {label}" for label, v in found.items()]
            caption += f" Above the threshold lie {listed(above, most=len(above))}."
    return Picture(f"{name}.png", title, caption)


def detection_curves(
    folder: str | os.PathLike[str],
    labels: ArrayLike,
    scores: Mapping[str, ArrayLike],
    *,
    name: str = "detection-curves",
    title: str = "How well anomalies are told apart",
    caption: str | None = None,
) -> Picture:
    """Return the picture of the ROC and the precision–recall curve of every detector.

    The area under the first is AUROC, the chance that an anomaly scores above a normal row; the average precision is
    Σ (Rᵢ − Rᵢ₋₁) Pᵢ over the thresholds. A curve of more than 2,000 corners is drawn at 2,000 of them.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        labels: (n,) whole numbers or bools, 0 for normal rows and anything else for anomalies.
        scores: by detector, (n,), larger is stranger; the model first, then its controls.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence with the counts.

    Raises:
        ValueError: if the shapes differ, scores are not finite, or all rows are of one kind.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     detection_curves(folder, [0, 0, 1], {"model": [0.1, 0.2, 0.9]}).file
        'detection-curves.png'
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    kinds = np.asarray(labels)
    if kinds.ndim != 1 or kinds.dtype.kind not in "biu":
        raise ValueError(f"labels must be (n,) whole numbers, 0 for normal, not {kinds.dtype} of shape {kinds.shape}")
    truth = kinds != 0
    if truth.all() or not truth.any():
        there = "anomalies" if truth.any() else "normal rows"
        raise ValueError(f"labels must hold normal rows (0) and anomalies, but all {truth.size} are {there}")
    found = {label: vector(f"scores[{label!r}]", values, truth.size) for label, values in scores.items()}
    if not found:
        raise ValueError("scores must hold the scores of at least one detector by its name, not {}")
    share = float(truth.mean())
    ends = np.asarray([0.0, 1.0])
    # By detector and panel: x, y, threshold, and the area that the legend names.
    lines: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {}
    areas = {}
    for label, values in found.items():
        wrong, right, at = roc_curve(truth, values)
        precision, recall, levels = precision_recall_curve(truth, values, drop_intermediate=True)
        lines[label] = (_thinned(wrong, right, at), _thinned(recall, precision, np.append(levels, np.inf)))
        areas[label] = (float(roc_auc_score(truth, values)), float(average_precision_score(truth, values)))
    write_numbers(
        folder,
        name,
        ["detector", "curve", "x", "y", "threshold", "area"],
        [
            *(
                [label, curve, *point, area]
                for label, both in lines.items()
                for curve, line, area in zip(("ROC", "precision-recall"), both, areas[label], strict=True)
                for point in zip(*line, strict=True)
            ),
            *(["chance", "ROC", x, x, "", 0.5] for x in ends),
            *(["chance", "precision-recall", x, share, "", share] for x in ends),
        ],
    )
    shades = [PALETTE[0], PALETTE[9], *_COLOURS[:1], *_COLOURS[2:]]
    with canvas(folder, name, height=4.75 + 0.19 * len(found)) as figure:
        roc, pr = figure.subplots(1, 2)
        for axes, chance in ((roc, ends), (pr, np.full(2, share))):
            handles, texts = axes.plot(ends, chance, color="#52606d", lw=0.9, ls=(0, (4, 3))), ["chance"]
        for place, (label, both) in reversed(list(enumerate(lines.items()))):  # the model over its controls
            text = f"{short(label, 40)}: AUROC {_decimals(areas[label][0])}"
            text += f", average precision {_decimals(areas[label][1])}"
            style = {"color": shades[place % len(shades)], "lw": 2.0 if place == 0 else 1.4}
            handles, texts = roc.plot(*both[0][:2], **style) + handles, [text, *texts]
            pr.plot(*both[1][:2], drawstyle="steps-post", **style)
        roc.set(xlabel="share of normal rows that are flagged", ylabel="share of anomalies that are flagged")
        pr.set(xlabel="recall: share of anomalies that are flagged", ylabel="precision: share of flags that are right")
        for axes, heading in ((roc, "ROC"), (pr, "Precision and recall")):
            axes.set_title(heading, fontweight="bold")
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
            axes.set_aspect("equal")
        figure.legend(handles, texts, loc="outside lower center")
    if caption is None:
        count = int(truth.sum())
        anomalies = "1 anomaly" if count == 1 else f"{number(count)} anomalies"
        caption = (
            f"{anomalies} among {plural(truth.size, 'row')}; every point of a line is one threshold. Dashed is what "
            f"chance reaches: AUROC 0.5, and a precision of the anomalies' share, {_decimals(share)}. Both areas are 1 "
            "at best."
        )
    return Picture(f"{name}.png", title, caption)


def _edges(values: np.ndarray, threshold: float | None) -> tuple[np.ndarray, bool]:
    """Return bin edges, one of them the threshold, and whether they are even on a logarithmic axis."""
    positive = values[values > 0]
    log = bool(values.min() >= 0 and (threshold is None or threshold > 0) and spans_decades(positive))
    seen = values
    if log:
        # One score of nearly 0 must not push all others into a corner.
        seen = np.maximum(values, np.quantile(positive, 0.001, method="lower"))
    if threshold is not None:
        seen = np.append(seen, threshold)
    low, high = np.log10([seen.min(), seen.max()]) if log else (seen.min(), seen.max())
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-300):
        pad = 0.5 * max(1.0, abs(low))
        low, high = low - pad, high + pad
    step = (high - low) / _BINS
    at = low if threshold is None else np.log10(threshold) if log else threshold
    # At least one bin on either side of a threshold, so that none holds scores of both.
    below = 0 if threshold is None else max(1, int(np.ceil((at - low) / step - 1e-9)))
    above = max(1, int(np.ceil((high - at) / step - 1e-9)))
    places = at + step * np.arange(-below, above + 1)
    edges = 10**places if log else places
    if threshold is not None:
        edges[below] = threshold
    return edges, log


def _counts(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return how many values lie in (edgeᵢ, edgeᵢ₊₁]; the outermost bins hold the tails."""
    bins = len(edges) - 1
    return np.bincount(np.clip(np.searchsorted(edges, values) - 1, 0, bins - 1), minlength=bins)


def _thinned(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> list[np.ndarray]:
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MOST_POINTS)).round().astype(int))
    return [x[keep], y[keep], at[keep]]


def _decimals(value: float) -> str:
    return f"{value:.3f}"
