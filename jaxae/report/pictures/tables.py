"""Pictures of tables: real rows beside generated ones, and rows beside their reconstructions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from jaxae.report.pictures.canvas import DIVERGING, FAINT, PALETTE, Picture, canvas, clear, grid, write_numbers
from jaxae.report.words import listed, number, plural, short, with_unit

__all__ = ["correlations", "marginals", "reconstructions"]

_MOST_PANELS = 16
_BINS = 30


def marginals(
    folder: str | os.PathLike[str],
    real: ArrayLike,
    generated: ArrayLike,
    columns: Sequence[str],
    *,
    units: Mapping[str, str] | str = "",
    name: str = "marginals",
    title: str = "Every column, real and generated",
    caption: str | None = None,
) -> Picture:
    """Return the picture of the distribution of every column in real and in generated rows.

    Above each stands the Kolmogorov–Smirnov statistic KS = maxₓ |F_r(x) − F_g(x)|, the largest distance between the two
    distribution functions: 0 for equal ones, 1 for disjoint ones. Of more than 16
    columns the 16 of largest KS are drawn.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        real: (n, d).
        generated: (m, d), in the same units.
        columns: d names.
        units: by column, or one for all.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence that also says which columns are drawn.

    Raises:
        ValueError: if the shapes do not fit.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     marginals(folder, [[0.0], [1.0]], [[0.0], [1.0]], ["age"], units="years").file
        'marginals.png'
    """
    left, right = _two_tables(real, generated, columns, "real", "generated")
    distance = np.asarray([_ks(a, b) for a, b in zip(left.T, right.T, strict=True)])
    chosen = _worst(distance)
    rows: list[list[object]] = []
    with canvas(folder, name, height=0.5 + 1.85 * -(-len(chosen) // 4)) as figure:
        for place, (axes, column) in enumerate(zip(grid(figure, len(chosen), columns=4), chosen, strict=True)):
            edges = _edges(left[:, column], right[:, column])
            a, b = _shares(left[:, column], edges), _shares(right[:, column], edges)
            axes.stairs(a, edges, fill=True, color=FAINT, alpha=0.6, label="real")
            axes.stairs(b, edges, color=PALETTE[1], lw=1.5, label="generated")
            axes.set_title(f"{short(columns[column], 15)}   KS {number(distance[column], digits=2)}")
            axes.set_ylim(bottom=0)
            axes.locator_params(axis="x", nbins=4)
            axes.locator_params(axis="y", nbins=4)
            axes.set_xlabel(units if isinstance(units, str) else units.get(columns[column], ""))
            if place % 4 == 0:
                axes.set_ylabel("share of rows")
            rows += [
                [columns[column], low, high, share, other, distance[column]]
                for low, high, share, other in zip(edges[:-1], edges[1:], a, b, strict=True)
            ]
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    write_numbers(folder, name, ["column", "from", "to", "real", "generated", "ks"], rows)
    if caption is None:
        caption = (
            f"Share of {plural(len(left), 'real row')} and {plural(len(right), 'generated row')} in each of {_BINS} "
            "bins; the outermost bins hold the tails. KS is the largest distance between the two distribution "
            f"functions, 0 at best and 1 at worst.{_which(chosen, columns, 'largest KS')}"
        )
    return Picture(f"{name}.png", title, caption)


def correlations(
    folder: str | os.PathLike[str],
    real: ArrayLike,
    generated: ArrayLike,
    columns: Sequence[str],
    *,
    name: str = "correlations",
    title: str = "How columns hang together, real and generated",
    caption: str | None = None,
) -> Picture:
    """Return the picture of both correlation matrices and of their difference (generated − real), on one colour scale.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        real: (n, d).
        generated: (m, d).
        columns: d names.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence with the largest difference.

    Raises:
        ValueError: if the shapes do not fit.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     correlations(folder, [[0.0, 0.0], [1.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]], ["a", "b"]).file
        'correlations.png'
    """
    left, right = _two_tables(real, generated, columns, "real", "generated")
    matrices = {"real": _correlation(left), "generated": _correlation(right)}
    matrices["difference"] = matrices["generated"] - matrices["real"]
    write_numbers(
        folder,
        name,
        ["column", "other", *matrices],
        (
            [columns[i], columns[j], *(matrix[i, j] for matrix in matrices.values())]
            for i in range(len(columns))
            for j in range(len(columns))
        ),
    )
    places, labels = np.arange(len(columns)), [short(column, 14) for column in columns]
    with canvas(folder, name, height=3.1 + (0.55 if len(columns) <= 24 else 0.0)) as figure:
        panels = grid(figure, 3, columns=3)
        for position, (axes, (label, matrix)) in enumerate(zip(panels, matrices.items(), strict=True)):
            picture = axes.imshow(matrix, cmap=DIVERGING, vmin=-1, vmax=1, interpolation="nearest")
            axes.set_facecolor("#d5d9de")  # shows through where there is no correlation
            clear(axes)
            axes.set_title(label if position < 2 else "generated − real")
            if len(columns) <= 24:
                size = 8 if len(columns) <= 14 else 6.5
                axes.set_xticks(places, labels, rotation=90, fontsize=size)
                axes.set_yticks(places, labels if position == 0 else [""] * len(places), fontsize=size)
                axes.tick_params(length=0)
            else:
                axes.set_xlabel(f"columns 1 to {len(columns)}")
            if len(columns) <= 6:
                for (i, j), value in np.ndenumerate(matrix):
                    if np.isfinite(value):
                        axes.text(j, i, _digits(value, 2), ha="center", va="center", fontsize=7,
                                  color="white" if abs(value) > 0.6 else "#1f2933")  # fmt: skip
        bar = figure.colorbar(picture, ax=panels, label="correlation", shrink=0.75, pad=0.015, fraction=0.03)
        bar.outline.set_visible(False)
    if caption is None:
        finite = np.abs(matrices["difference"][np.isfinite(matrices["difference"])])
        largest = number(float(finite.max()), digits=2) if finite.size else "–"
        caption = f"Correlation of every column with every other; the largest difference is {largest}."
        if not all(np.isfinite(matrix).all() for matrix in matrices.values()):
            caption += " Grey: a column that does not vary has no correlation."
    return Picture(f"{name}.png", title, caption)


def reconstructions(
    folder: str | os.PathLike[str],
    original: ArrayLike,
    reconstruction: ArrayLike,
    columns: Sequence[str],
    *,
    units: Mapping[str, str] | str = "",
    rows: int = 1000,
    name: str = "reconstructions",
    title: str = "Every column and its reconstruction",
    caption: str | None = None,
) -> Picture:
    """Return the picture of reconstructed against original values, a panel per column.

    Above each stands R² = 1 − Σ(x − x̂)² / Σ(x − x̄)² over all rows: 1 for a perfect reconstruction, 0 for one no better
    than the mean. Of more than 16 columns the 16 of smallest R² are drawn.

    Args:
        folder: an existing folder, in which ``<name>.png`` and ``<name>.csv`` are written.
        original: (n, d).
        reconstruction: (n, d), in the same units.
        columns: d names.
        units: by column, or one for all.
        rows: how many rows are drawn at most, spread evenly over the table.
        name: stem of the two files.
        title: of the picture.
        caption: how to read it; by default a sentence that also says which columns are drawn.

    Raises:
        ValueError: if the shapes do not fit.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     reconstructions(folder, [[0.0], [1.0]], [[0.1], [0.9]], ["age"]).file
        'reconstructions.png'
    """
    x, xhat = _two_tables(original, reconstruction, columns, "original", "reconstruction")
    if len(x) != len(xhat):
        raise ValueError(f"original and reconstruction must have the same rows, not {len(x)} and {len(xhat)}")
    r2 = np.asarray([_r2(a, b) for a, b in zip(x.T, xhat.T, strict=True)])
    chosen = _worst(-r2)
    drawn = np.unique(np.linspace(0, len(x) - 1, min(rows, len(x))).round().astype(int))
    write_numbers(
        folder,
        name,
        ["column", "row", "original", "reconstruction", "r2"],
        ([columns[j], i, x[i, j], xhat[i, j], r2[j]] for j in chosen for i in drawn),
    )
    alpha = float(np.clip(150 / len(drawn), 0.25, 0.8))
    with canvas(folder, name, height=0.2 + 2.1 * -(-len(chosen) // 4)) as figure:
        for place, (axes, column) in enumerate(zip(grid(figure, len(chosen), columns=4), chosen, strict=True)):
            a, b = x[drawn, column], xhat[drawn, column]
            both = np.concatenate([a, b])
            both = both[np.isfinite(both)]
            if both.size:
                ends = [both.min(), both.max()]
                axes.plot(ends, ends, color="#52606d", lw=0.9, ls=(0, (4, 3)), zorder=1)
            axes.scatter(a, b, s=9, alpha=alpha, color=PALETTE[0], linewidths=0)
            axes.set_title(f"{short(columns[column], 15)}   R² {_digits(r2[column], 3)}")
            axes.locator_params(nbins=4)
            unit = units if isinstance(units, str) else units.get(columns[column], "")
            if place // 4 == (len(chosen) - 1) // 4 or place + 4 >= len(chosen) or unit:
                axes.set_xlabel(with_unit("original", unit))
            if place % 4 == 0:
                axes.set_ylabel("reconstruction")
    if caption is None:
        caption = (
            f"Reconstructed against original values of {plural(len(drawn), 'row')}; a perfect reconstruction lies on "
            f"the dashed line. R², over all {plural(len(x), 'row')}, is 1 at best and 0 for what the mean would do."
            f"{_which(chosen, columns, 'smallest R²')}"
        )
    return Picture(f"{name}.png", title, caption)


def _two_tables(
    first: ArrayLike, second: ArrayLike, columns: Sequence[str], a: str, b: str
) -> tuple[np.ndarray, np.ndarray]:
    left, right = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    for table, label in ((left, a), (right, b)):
        if table.ndim != 2 or table.shape[1] != len(columns) or not table.size:
            raise ValueError(f"{label} must have shape (rows, {len(columns)}), one column per name, not {table.shape}")
    return left, right


def _worst(badness: np.ndarray) -> list[int]:
    """Return the columns to draw, in the table's order: all, or the 16 worst; undefined ones come last."""
    order = np.argsort(-np.where(np.isnan(badness), -np.inf, badness), kind="stable")
    return sorted(int(column) for column in order[:_MOST_PANELS])


def _which(chosen: Sequence[int], columns: Sequence[str], why: str) -> str:
    if len(chosen) == len(columns):
        return ""
    names = listed([columns[column] for column in chosen], most=_MOST_PANELS)
    return f" Of {len(columns)} columns the {len(chosen)} with the {why} are drawn: {names}."


def _edges(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return bin edges over the middle 99.8 % of both, so that one wild value does not flatten the picture."""
    both = np.concatenate([a, b])
    both = both[np.isfinite(both)]
    low, high = np.quantile(both, [0.001, 0.999]) if both.size else (0.0, 1.0)
    # Around a constant, a width that survives rounding however large the constant is.
    pad = 0.5 * max(1.0, abs(low)) if high - low <= 1e-9 * max(abs(low), abs(high), 1e-300) else 0.0
    return np.linspace(low - pad, high + pad, _BINS + 1)


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    finite = values[np.isfinite(values)]
    counts, _ = np.histogram(np.clip(finite, edges[0], edges[-1]), edges)
    return counts / max(1, finite.size)


def _ks(a: np.ndarray, b: np.ndarray) -> float:
    a, b = np.sort(a[np.isfinite(a)]), np.sort(b[np.isfinite(b)])
    if not (a.size and b.size):
        return float("nan")
    at = np.concatenate([a, b])
    gaps = np.searchsorted(a, at, side="right") / a.size - np.searchsorted(b, at, side="right") / b.size
    return float(np.abs(gaps).max())


def _correlation(table: np.ndarray) -> np.ndarray:
    """Return the matrix of Pearson correlations, NaN for columns that do not vary."""
    centred = table - table.mean(axis=0)
    scale = np.sqrt((centred**2).sum(axis=0))
    # The mean of equal numbers is off by rounding, so a constant column's spread need not be exactly zero.
    scale[np.ptp(table, axis=0) == 0] = np.nan
    return np.clip((centred / scale).T @ (centred / scale), -1.0, 1.0)


def _r2(x: np.ndarray, xhat: np.ndarray) -> float:
    keep = np.isfinite(x) & np.isfinite(xhat)
    x, xhat = x[keep], xhat[keep]
    if not x.size or np.ptp(x) == 0:
        return float("nan")
    return float(1 - ((x - xhat) ** 2).sum() / ((x - x.mean()) ** 2).sum())


def _digits(value: float, decimals: int) -> str:
    if np.isnan(value):
        return "undefined"
    if value <= -10:
        return number(value, digits=2)
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")  # + 0.0: no negative zero
