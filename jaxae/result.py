"""What a fit leaves behind: arrays, and in words what became of every member."""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxae import checks
from jaxae.types import TrainState, Variables

__all__ = ["Fit", "Status"]


class Status(NamedTuple):
    """What became of a run, or of every member of a population.

    Attributes:
        epochs: () or (members,) int, epochs that were kept.
        best_epoch: the epoch, counted from 1, whose variables were the best by validation; without validation, the
            last one. 0 is the state before training.
        diverged_epoch: the epoch in which something stopped being finite, or 0.
        diverged_step: the first step, counted from 1, whose loss was not finite; or, where only the parameters were
            not, the last step of that epoch; or 0.
    """

    epochs: np.ndarray
    best_epoch: np.ndarray
    diverged_epoch: np.ndarray
    diverged_step: np.ndarray


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
        record: how it ran: epochs, batch size, key, data, devices, compile and run time in seconds. JSON types only.
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

    def take(self, member: int) -> "Fit":
        """Return one member of a population as a single run.

        Raises:
            TypeError: if member is no whole number.
            ValueError: for a single run, or a member that does not exist.
        """
        if self.members is None:
            raise ValueError("this is a single run already: there is no member to take")
        checks.whole("member", member, low=0, high=self.members - 1)
        variables, state, history, status = jax.tree.map(
            lambda leaf: leaf[member], (self.variables, self.state, self.history, self.status)
        )
        hparams = {name: column[member].item() for name, column in self.hparams.items()}
        record = {**self.record, "member": int(member), "seed": int(np.asarray(self.seeds)[member]), "hparams": hparams}
        return Fit(variables, state, history, {}, None, status, record)

    def describe(self, member: int | None = None) -> str:
        """Return in words what became of a member: "trained", "stopped early after epoch 9", or how it diverged.

        Raises:
            ValueError: for a population without a member, or a single run with one.
        """
        if (member is None) != (self.members is None):
            raise ValueError(
                "this is a population: say which member, describe(0)"
                if member is None
                else "this is a single run, which has no members: describe()"
            )
        status = self.status if member is None else jax.tree.map(lambda leaf: leaf[member], self.status)
        if status.diverged_epoch:
            return f"diverged in epoch {int(status.diverged_epoch)} at step {int(status.diverged_step)}"
        if status.epochs < self.record["epochs"]:
            return f"stopped early after epoch {int(status.epochs)}"
        return "trained"
