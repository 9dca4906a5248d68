"""What a fit leaves behind: arrays, and in words what became of every member."""

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxae import checks
from jaxae.types import TrainState, Variables

__all__ = ["Fit", "Status", "stack"]


class Status(NamedTuple):
    """What became of a run, or of every member of a population.

    Attributes:
        epochs: () or (members,) int, epochs that were kept.
        best_epoch: the epoch, counted from 1, whose variables were the best by validation; without validation, the
            last one. 0 is the state before training.
        diverged_epoch: the epoch in which something stopped being finite, or 0.
        diverged_step: the first step, counted from 1, whose loss was not finite; or, where only the parameters were
            not, the last step of that epoch; or, where the bad steps were skipped, the one that was one too many; or 0.
        dropped_epoch: the epoch after which a search gave a member up, or 0.
        skipped: steps that were undone since they were not finite, which only `learner.skip_nonfinite` does.
        skipped_step: the first of them, counted from 1, or 0.
    """

    epochs: np.ndarray
    best_epoch: np.ndarray
    diverged_epoch: np.ndarray
    diverged_step: np.ndarray
    dropped_epoch: np.ndarray
    skipped: np.ndarray
    skipped_step: np.ndarray


class Fit(NamedTuple):
    """A trained model, or a population of them: every array of a population has a leading axis (members,).

    Attributes:
        variables: the ones to use: the best by validation, else the last.
        state: the last finite state, to go on training from.
        history: {name: (epochs,) or (members, epochs)} mean metrics of every epoch; NaN after a member's end.
            `validation` is among them when there was validation.
        hparams: {name: (members,)}; empty for a single run.
        seeds: (members,) int, or None for a single run: member i trained with jax.random.fold_in(key, seeds[i]).
        status: what became of every member.
        record: how it ran: epochs, batch size, key, data, devices, compile and run time in seconds,
            and the steps of all members in that time. JSON types only.
    """

    variables: Variables
    state: TrainState
    history: dict[str, np.ndarray]
    hparams: dict[str, np.ndarray]
    seeds: np.ndarray | None
    status: Status
    record: dict[str, Any]

    @property
    def members(self) -> int | None:
        """The number of members, or None for a single run."""
        return None if self.seeds is None else len(self.seeds)

    def final(self) -> np.ndarray:
        """Return () or (members,) the value that members are ranked by, smaller is better.

        The validation of the best epoch where there was validation, else the loss of the last kept epoch; +inf for a
        member that diverged or kept no epoch.
        """
        name = "validation" if "validation" in self.history else "loss"
        if name not in self.history:
            raise ValueError(
                f"history has {', '.join(self.history)}, but neither validation nor loss to rank members "
                "by: give fit a validation set and a score"
            )
        values = np.atleast_2d(self.history[name])
        epoch = np.atleast_1d(self.status.best_epoch if name == "validation" else self.status.epochs)
        found = values[np.arange(len(values)), np.maximum(epoch, 1) - 1]
        lost = (epoch == 0) | (np.atleast_1d(self.status.diverged_epoch) > 0) | ~np.isfinite(found)
        ranked = np.where(lost, np.inf, found)
        return ranked[0] if self.members is None else ranked

    def best(self) -> int:
        """Return the number of the best member by `final`.

        Raises:
            ValueError: for a single run, or if every member diverged.
        """
        if self.members is None:
            raise ValueError("this is a single run: there is no member to choose")
        ranked = self.final()
        if not np.isfinite(ranked).any():
            raise ValueError("every member diverged: lower the learning rate or scale the data")
        return int(np.argmin(ranked))

    def take(self, member: int | Sequence[int] | np.ndarray) -> "Fit":
        """Return one member of a population as a single run, or several as a smaller population.

        Args:
            member: its number; or several, in any order: `fit.take(np.argsort(fit.final())[:5])` is the best five.

        Raises:
            TypeError: if member is no whole number.
            ValueError: for a single run, no members, or a member that does not exist.
        """
        if self.members is None:
            raise ValueError("this is a single run already: there is no member to take")
        if np.ndim(member):
            if not len(member):  # type: ignore[arg-type]
                raise ValueError("no member was named: give the number of at least one")
            for one in member:  # type: ignore[union-attr]
                checks.whole("member", one, low=0, high=self.members - 1)
            variables, state, history, hparams, seeds, status = jax.tree.map(
                lambda leaf: leaf[np.asarray(member)],
                (self.variables, self.state, self.history, self.hparams, self.seeds, self.status),
            )
            return Fit(variables, state, history, hparams, seeds, status, self.record)
        checks.whole("member", member, low=0, high=self.members - 1)
        member = operator.index(member)  # type: ignore[arg-type]
        variables, state, history, status = jax.tree.map(
            lambda leaf: leaf[member], (self.variables, self.state, self.history, self.status)
        )
        hparams = {name: column[member].item() for name, column in self.hparams.items()}
        record = {**self.record, "member": int(member), "seed": int(np.asarray(self.seeds)[member]), "hparams": hparams}
        return Fit(variables, state, history, {}, None, status, record)

    def describe(self, member: int | None = None) -> str:
        """Return in words what became of a member: "trained", "stopped early after epoch 9", or how it diverged.

        Steps that were skipped follow: "trained; skipped 2 steps, the first step 17".

        Raises:
            TypeError: if member is no whole number.
            ValueError: for a population without a member, a member that does not exist, or a single run with one.
        """
        if (member is None) != (self.members is None):
            raise ValueError(
                "this is a population: say which member, describe(0)"
                if member is None
                else "this is a single run, which has no members: describe()"
            )
        if member is not None and self.members is not None:
            checks.whole("member", member, low=0, high=self.members - 1)
        status = self.status if member is None else jax.tree.map(lambda leaf: leaf[member], self.status)
        count = int(status.skipped)
        skipped = f"; skipped {count} step{'s' * (count > 1)}, the first step {int(status.skipped_step)}"
        return self._end(status) + (skipped if count else "")

    def _end(self, status: Status) -> str:
        if status.dropped_epoch:
            return f"dropped after epoch {int(status.dropped_epoch)}"
        if status.diverged_epoch:
            return f"diverged in epoch {int(status.diverged_epoch)} at step {int(status.diverged_step)}"
        if status.epochs < self.record["epochs"]:
            return f"stopped early after epoch {int(status.epochs)}"
        return "trained"


def stack(fits: Sequence[Fit]) -> Fit:
    """Return runs and populations of one architecture as one population, in their order, in host memory.

    Its record is the first one's; a single run's hyperparameters and seed are those that its record holds.

    Args:
        fits: with the same arrays in variables and state, the same metrics in the history, and the same names of
            hyperparameters.

    Raises:
        TypeError: for what is no Fit.
        ValueError: for no fits, and where those differ.

    Examples:
        >>> from jaxae.types import TrainState
        >>> state = TrainState(np.int32(3), {"params": {"w": np.ones(2)}}, ())
        >>> one = Fit(state.variables, state, {}, {}, None, Status(*np.ones((7,), np.int32)), {"epochs": 1})
        >>> stack([one, one]).variables["params"]["w"].shape
        (2, 2)
    """
    checks.several("fits", fits, "fits, as ja.fit returns them")
    if not fits:
        raise ValueError("fits is empty, so there is no fit to stack: give at least one")
    for fit in fits:
        if not isinstance(fit, Fit):
            raise TypeError(f"fits holds {type(fit).__name__}, but must hold what ja.fit returned")
    populations = [_as_population(fit) for fit in fits]
    epochs = max((values.shape[1] for fit in populations for values in fit.history.values()), default=0)
    populations = [fit._replace(history=_padded(fit.history, epochs)) for fit in populations]
    parts = [(fit.variables, fit.state, fit.history, fit.hparams, fit.seeds, fit.status) for fit in populations]
    shapes = [
        {jax.tree_util.keystr(path): leaf.shape[1:] for path, leaf in jax.tree.leaves_with_path(part)} for part in parts
    ]
    for i, shape in enumerate(shapes):
        if shape != shapes[0]:
            name = next(name for name in {**shapes[0], **shape} if shapes[0].get(name) != shape.get(name))
            raise ValueError(
                f"fit {i} has {shape.get(name, 'nothing')} where the first has {shapes[0].get(name, 'nothing')} "
                f"({name}): members of one population have the same layers, optimizer, metrics and hyperparameters"
            )
    variables, state, history, hparams, seeds, status = jax.tree.map(
        lambda *leaves: np.concatenate(jax.device_get(leaves)), *parts
    )
    own = ("member", "seed", "hparams", "rungs", "brackets", "exchanges")
    record = {name: value for name, value in fits[0].record.items() if name not in own}
    return Fit(variables, state, history, hparams, seeds, status, record)


def _as_population(fit: Fit) -> Fit:
    if fit.seeds is not None:
        return fit
    hparams = {name: np.asarray([value]) for name, value in fit.record.get("hparams", {}).items()}
    seeds = np.asarray([fit.record.get("seed", 0)], np.int32)
    arrays = (fit.variables, fit.state, fit.history, fit.status)
    variables, state, history, status = jax.tree.map(lambda leaf: np.asarray(leaf)[None], arrays)
    return Fit(variables, state, history, hparams, seeds, status, fit.record)


def _padded(history: dict[str, np.ndarray], epochs: int) -> dict[str, np.ndarray]:
    rest = {name: np.full((len(v), epochs - v.shape[1]), np.nan, v.dtype) for name, v in history.items()}
    return {name: np.concatenate([values, rest[name]], 1) for name, values in history.items()}
