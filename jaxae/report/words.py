"""Numbers and names as a reader sees them, the same on pictures, in checks and on the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["beside", "listed", "number", "plural", "short", "with_unit"]

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SEPARATORS = " ,;:._-/()[]"


def number(value: float | None, *, digits: int = 4, trim: bool = False) -> str:
    """Return a number for people: integers whole, others with ``digits`` significant digits.

    Args:
        value: the number; None and NaN are words, not errors.
        digits: significant digits of numbers that are no integers.
        trim: drop trailing zeros (0.5 rather than 0.5000), for settings rather than measurements.

    Examples:
        >>> number(12345), number(0.123456), number(-1.5e-7), number(0.5, trim=True), number(None)
        ('12,345', '0.1235', '−1.500 × 10⁻⁷', '0.5', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, (int, np.integer)):
        return f"{int(value):,}".replace("-", "−")
    value = float(value)
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    # The exponent after rounding: 9.9999 has four digits as 10.00, not as 10.000.
    mantissa, exponent = f"{abs(value):.{digits - 1}e}".split("e")
    power = int(exponent)
    if -4 <= power < 6:
        text = f"{abs(value):,.{max(0, digits - 1 - power)}f}"
        if trim and "." in text:
            text = text.rstrip("0").rstrip(".")
    else:
        if trim and "." in mantissa:
            mantissa = mantissa.rstrip("0").rstrip(".")
        factor = "" if trim and mantissa == "1" else f"{mantissa} × "
        text = f"{factor}10{str(power).translate(_SUPERSCRIPT)}"
    return ("−" if value < 0 else "") + text


def plural(count: int, noun: str) -> str:
    """Return the count with its noun, e.g. ``1 row`` or ``1,200 rows``.

    Examples:
        >>> plural(1, "row"), plural(1200, "row")
        ('1 row', '1,200 rows')
    """
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[object], *, most: int = 6) -> str:
    """Return the names as one phrase, and past ``most`` of them how many more there are.

    Examples:
        >>> listed(["a", "b", "c"]), listed(range(9), most=2)
        ('a, b and c', '0, 1 and 7 more')
    """
    shown = [str(name) for name in names[:most]]
    if len(names) > most:
        shown.append(f"{number(len(names) - most)} more")
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def short(name: object, width: int = 24) -> str:
    """Return a name on one line of at most ``width`` characters.

    Examples:
        >>> short("a very long name of a column", 12)
        'a very long…'
    """
    line = " ".join(str(name).split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def with_unit(label: str, unit: str) -> str:
    """Return the label of an axis with its unit in brackets, or whichever of the two there is.

    Examples:
        >>> with_unit("loss", "nats"), with_unit("loss", ""), with_unit("", "nats")
        ('loss (nats)', 'loss', 'nats')
    """
    return f"{label} ({unit})" if label and unit else label or unit


def beside(metrics: Mapping[str, object], controls: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return for every metric the controls that belong beside it, by what sets each control apart.

    A control belongs to the longest metric name with which its own begins or ends as whole words; what is left of its
    name is its label ("control" where nothing is left). A control of no metric stands under its own name.

    Args:
        metrics: by name; the values are not read.
        controls: value by name, e.g. ``{"mse of PCA": 0.4, "mean_mse": 1.0}``.

    Examples:
        >>> beside({"mse": 0.1, "auc": 0.9}, {"mse of PCA": 0.4, "mean_mse": 1.0, "chance": 0.5})
        {'mse': {'PCA': 0.4, 'mean': 1.0}, 'auc': {}, 'chance': {'control': 0.5}}
    """
    grouped: dict[str, dict[str, float]] = {name: {} for name in metrics}
    for control, value in controls.items():
        owner, label = control, "control"
        for name in sorted(metrics, key=len):
            if control == name:
                owner, label = name, "control"
            elif control.startswith(name) and control[len(name)] in _SEPARATORS:
                owner, label = name, control[len(name) :].strip(_SEPARATORS).removeprefix("of ") or "control"
            elif control.endswith(name) and control[-len(name) - 1] in _SEPARATORS:
                owner, label = name, control[: -len(name)].strip(_SEPARATORS) or "control"
        grouped.setdefault(owner, {})[label] = value
    return grouped
