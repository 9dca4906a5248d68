"""Health checks of a run in words: each returns whether it passed and one sentence with the numbers behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxae.report.words import listed, number, plural

__all__ = [
    "Check",
    "active_units",
    "against_control",
    "between",
    "beyond_training_range",
    "constant_columns",
    "diverged",
    "generalisation_gap",
    "improved",
    "inside",
    "silent_units",
    "skipped",
    "within",
]


class Check(NamedTuple):
    """One thing that was looked at: what it is called, whether it passed, and what to think of it."""

    name: str
    passed: bool
    text: str


def against_control(
    value: float, control: float, *, name: str, control_name: str, lower_is_better: bool, slack: float = 0.0
) -> Check:
    """Return whether the model beats a control.

    It passes when ``value < control + slack |control|`` (or ``value > control - slack |control|`` where higher is
    better), so without slack a tie fails.

    Args:
        value: metric of the model.
        control: the same metric of the control.
        name: of the metric.
        control_name: of the control, e.g. "PCA with as many components".
        lower_is_better: whether a small metric is a good one.
        slack: fraction of the control by which the model may be worse and still pass.

    Examples:
        >>> against_control(0.1, 0.4, name="error", control_name="PCA", lower_is_better=True).text
        'error is 0.1000 against 0.4000 of PCA (75.0 % lower).'
    """
    margin = slack * abs(control)
    passed = bool(value < control + margin if lower_is_better else value > control - margin)
    title = f"{name} against {control_name}"
    if not (np.isfinite(value) and np.isfinite(control)):
        return Check(
            title,
            False,
            f"{name} is {number(value)} against {number(control)} of {control_name}, which cannot be compared: "
            "look for missing or extreme values in the data, and for a diverged run.",
        )
    change = ""
    if control and value != control:
        change = f" ({number(100 * abs(value - control) / abs(control), digits=3)} % "
        change += f"{'lower' if value < control else 'higher'})"
    text = f"{name} is {number(value)} against {number(control)} of {control_name}{change}"
    if passed:
        return Check(title, True, text + ".")
    wanted = "lower" if lower_is_better else "higher"
    return Check(
        title,
        False,
        f"{text}, and {wanted} is better: the model does no better than this control; train longer, change the model, "
        "or use the control.",
    )


def within(value: float, limit: float, *, name: str, perfect: float) -> Check:
    """Return whether a distance between generated and real rows stays within a limit.

    Args:
        value: the distance.
        limit: the largest one that passes.
        name: of the distance.
        perfect: the same distance between real rows, which not even a perfect model is expected to undercut.

    Examples:
        >>> within(0.05, 0.1, name="KS", perfect=0.03).text
        'KS is 0.05000, within 0.1000; real rows among themselves reach 0.03000.'
    """
    passed = bool(value <= limit)
    text = f"{name} is {number(value)}, {'within' if passed else 'above'} {number(limit)}; "
    text += f"real rows among themselves reach {number(perfect)}"
    advice = "" if passed else ": doubt samples where it is large, train longer, or give more rows"
    return Check(name, passed, text + advice + ".")


def between(value: float, low: float, high: float, *, name: str) -> Check:
    """Return whether a rate lies within the range that chance allows it.

    Args:
        value: the rate.
        low: the smallest that passes.
        high: the largest that passes.
        name: of the rate.

    Examples:
        >>> between(0.012, 0.0076, 0.0127, name="false alarm rate for 0.01").text
        'false alarm rate for 0.01 is 0.01200, within 0.007600 to 0.01270.'
    """
    if low <= value <= high:
        return Check(name, True, f"{name} is {number(value)}, within {number(low)} to {number(high)}.")
    if np.isnan(value):
        return Check(name, False, f"{name} is not a number: there was nothing to take it of.")
    side, advice = (
        ("below", "the calibration rows may hold anomalies")
        if value < low
        else ("above", "new rows may differ from those that the alarms were calibrated on; calibrate on more of them")
    )
    return Check(name, False, f"{name} is {number(value)}, {side} {number(low)} to {number(high)}: {advice}.")


def beyond_training_range(share: float, *, most: float = 0.01, name: str = "test points") -> Check:
    """Return whether few rows lie outside the range of the training rows, which is all that the model has seen.

    Args:
        share: of the rows that do, from 0 to 1.
        most: the largest share that passes.
        name: of the rows.

    Examples:
        >>> beyond_training_range(0.6).text
        '60.00% of the test points lie outside the range of the training rows: what is new is strange to the model, \
so doubt its alarms there, and train on rows of this kind.'
    """
    title, shown = (
        "values beyond the training range",
        f"{share:.2%} of the {name} lie outside the range of the training rows",
    )
    if share <= most:
        return Check(title, True, f"{shown}.")
    advice = "what is new is strange to the model, so doubt its alarms there, and train on rows of this kind"
    return Check(title, False, f"{shown}: {advice}.")


def active_units(active: ArrayLike) -> Check:
    """Return whether the posterior kept any latent unit alive; only a latent without one fails.

    Args:
        active: (k,) bool, True for a unit that carries information.

    Examples:
        >>> active_units([True, True, False]).passed, active_units([False, False]).passed
        (True, False)
    """
    mask = np.atleast_1d(np.asarray(active, dtype=bool))
    title, asleep = "latent units in use", [int(unit) for unit in np.flatnonzero(~mask)]
    if not mask.any():
        return Check(
            title,
            False,
            f"None of the {plural(mask.size, 'latent unit')} carries information (posterior collapse): the decoder "
            "ignores the latent, so distrust codes and samples; lower beta, warm it up, or weaken the decoder.",
        )
    if asleep:
        awake, one = int(mask.sum()), len(asleep) == 1
        return Check(
            title,
            True,
            f"{number(awake)} of {plural(mask.size, 'latent unit')} {'carries' if awake == 1 else 'carry'} information "
            f"and the rest ({'unit' if one else 'units'} {listed(asleep)}) {'equals' if one else 'equal'} the prior: a "
            "smaller latent would do, or, if reconstructions are poor, a lower beta.",
        )
    counted = "The one latent unit carries" if mask.size == 1 else f"All {number(mask.size)} latent units carry"
    return Check(title, True, f"{counted} information; if reconstructions are poor, try a larger latent.")


def silent_units(active: ArrayLike) -> Check:
    """Return whether every unit of a sparse code speaks for some row.

    Args:
        active: (k,) bool, True for a unit that is active on at least one row.

    Examples:
        >>> silent_units([True, True]).passed, silent_units([True, False]).passed
        (True, False)
    """
    mask = np.atleast_1d(np.asarray(active, dtype=bool))
    title, silent = "units that never speak", [int(unit) for unit in np.flatnonzero(~mask)]
    if not mask.size:
        return Check(title, False, "The code has no unit.")
    if not silent:
        return Check(title, True, f"Each of the {plural(mask.size, 'unit')} speaks for some held-out row.")
    return Check(
        title,
        False,
        f"{number(len(silent))} of {plural(mask.size, 'unit')} ({listed(silent)}) never "
        f"{'speaks' if len(silent) == 1 else 'speak'}: "
        "lower the weight of the penalty, train longer, or use fewer units.",
    )


def generalisation_gap(train: float, validation: float, *, slack: float = 0.2, name: str = "loss") -> Check:
    """Return whether a loss on validation rows stays within ``slack |train|`` above the same on training rows.

    Args:
        train: the loss on training rows at the end (lower is better).
        validation: the same loss on rows not trained on.
        slack: the gap allowed, as a fraction of the training loss.
        name: of the loss, e.g. "mean squared error".

    Examples:
        >>> generalisation_gap(1.0, 1.1).passed, generalisation_gap(1.0, 1.5).passed
        (True, False)
    """
    title = "training against validation"
    numbers = f"The {name} is {number(train)} on training rows and {number(validation)} on validation rows"
    if not (np.isfinite(train) and np.isfinite(validation)):
        return Check(
            title,
            False,
            f"{numbers}: without two finite numbers nothing is known about new rows; lower the learning rate and look "
            "at the data.",
        )
    gap = validation - train
    if gap <= slack * abs(train):
        return Check(title, True, f"{numbers}: the model does about as well on rows it has not seen.")
    share = f" ({number(100 * gap / abs(train), digits=3)} % higher)" if train else ""
    return Check(
        title,
        False,
        f"{numbers}{share}: the model may remember its rows, or the split be uneven; trust only numbers on held-out "
        "rows; stop earlier, use a smaller model or more data.",
    )


def constant_columns(names: Sequence[str]) -> Check:
    """Return whether every column varies.

    Args:
        names: the columns found to hold one value only.

    Examples:
        >>> constant_columns([]).passed, constant_columns(["site"]).passed
        (True, False)
    """
    title = "columns that vary"
    if not names:
        return Check(title, True, "Every column varies over the training rows.")
    verb = "holds" if len(names) == 1 else "hold"
    return Check(
        title,
        False,
        f"{plural(len(names), 'column')} ({listed(names)}) {verb} one value only and can teach the model nothing: "
        "drop what should not be there, or look at why it does not vary.",
    )


def diverged(statuses: Sequence[str]) -> Check:
    """Return whether no member diverged.

    Args:
        statuses: one per member, as in ``metrics.json``; those of diverged members begin with "diverged".

    Examples:
        >>> diverged(["trained", "diverged in epoch 3 at step 12"]).passed
        False
    """
    title = "members that diverged"
    lost = [member for member, status in enumerate(statuses) if status.startswith("diverged")]
    advice = "lower the learning rate, clip gradients, or look for extreme values in the data"
    if not lost:
        every = "The run" if len(statuses) == 1 else f"All {plural(len(statuses), 'member')}"
        return Check(title, True, f"{every} stayed finite to the end.")
    if len(statuses) == 1:
        return Check(title, False, f"The run {statuses[0]}, so its model is of no use: {advice}.")
    if len(lost) == len(statuses):
        return Check(title, False, f"All {plural(len(lost), 'member')} diverged, so no model is of use: {advice}.")
    return Check(
        title,
        False,
        f"{number(len(lost))} of {plural(len(statuses), 'member')} diverged "
        f"({'member' if len(lost) == 1 else 'members'} {listed(lost)}); the others are untouched by it, but settings "
        f"near those are fragile: {advice}.",
    )


def inside(name: str, best: float, tried: Sequence[float]) -> Check:
    """Return whether the best value of a hyperparameter lies between others that were tried.

    Args:
        name: of the hyperparameter.
        best: its value in the best member.
        tried: all its values, numbers.

    Examples:
        >>> inside("beta", 4.0, [0.5, 1.0, 4.0]).passed, inside("beta", 1.0, [0.5, 1.0, 4.0]).passed
        (False, True)
    """
    title = f"range of {name}"
    low, high = min(tried), max(tried)
    if low < best < high:
        return Check(title, True, f"The best {name}, {best:g}, lies between others that were tried.")
    side, other = ("largest", "larger") if best == high else ("smallest", "smaller")
    return Check(title, False, f"The best {name}, {best:g}, is the {side} that was tried: try {other} ones too.")


def skipped(statuses: Sequence[str]) -> Check:
    """Return whether no member skipped steps.

    Args:
        statuses: one per member, as in ``metrics.json``; those of members that skipped steps say so after a semicolon.

    Examples:
        >>> skipped(["trained", "trained; skipped 2 steps, the first step 17"]).passed
        False
    """
    title = "steps that were skipped"
    found = {member: status.partition("; ")[2] for member, status in enumerate(statuses) if "; skipped" in status}
    if not found:
        return Check(title, True, "No step had to be skipped.")
    named = [f"{'The run' if len(statuses) == 1 else f'Member {member}'} {how}" for member, how in found.items()]
    if len(named) == 1:
        said = f"{named[0]}, since they were not finite"
    else:
        said = (
            f"{number(len(found))} of {plural(len(statuses), 'member')} skipped steps that were not finite "
            f"(members {listed(list(found))})"
        )
    return Check(title, False, f"{said}: lower the learning rate or clip gradients.")


def improved(losses: ArrayLike, *, steep: float = 0.05) -> Check:
    """Return whether the loss went down, and had nearly stopped doing so in the last tenth of the epochs.

    Args:
        losses: (epochs,) one loss per epoch; NaN after an early stop is left out.
        steep: share of the whole fall that the last tenth of the epochs (at least one) may bring.

    Examples:
        >>> improved([1.0, 0.2, 0.1, 0.1]).passed, improved([1.0, 0.5]).passed, improved([1.0, 1.2]).passed
        (True, False, False)
    """
    values = np.asarray(losses, dtype=float).ravel()
    values = values[np.isfinite(values)]
    title = "the loss went down"
    if values.size < 2:
        return Check(
            title,
            False,
            f"There is a finite loss for {plural(values.size, 'epoch')} only, so whether training helps cannot be "
            "seen: train for more epochs.",
        )
    fall = values[0] - values[-1]
    numbers = f"{number(values[0])} in the first epoch to {number(values[-1])} in the last of {number(values.size)}"
    if fall <= 0:
        return Check(
            title,
            False,
            f"The loss went from {numbers} without going down: doubt every number of this run; lower the learning "
            "rate, and look at the scaling of the data.",
        )
    last = max(1, values.size // 10)
    share = (values[-1 - last] - values[-1]) / fall
    brought = f"{number(100 * share, digits=2)} %" if share > 0 else "none"
    if share > steep:
        # Of two epochs the last brings the whole fall, which says nothing.
        part = f", and {brought} of that in the last {'epoch' if last == 1 else plural(last, 'epoch')}"
        return Check(
            title,
            False,
            f"The loss fell from {numbers}{part if values.size > 2 else ''}: it is still falling, so train longer.",
        )
    which = "epoch" if values.size < 10 else "tenth of the epochs"
    return Check(title, True, f"The loss fell from {numbers}; the last {which} brought {brought} of that.")
