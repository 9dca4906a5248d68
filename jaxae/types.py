"""The nouns of the library: what every other file speaks of."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

__all__ = ["Array", "Batch", "Key", "Learner", "Loss", "Metrics", "Objective", "Score", "TrainState", "Variables"]

Array = jax.Array
Key = jax.Array
"""A typed pseudo-random key, as `jax.random.key(0)` gives it."""
Variables = Mapping[str, Any]
"""Collections of arrays by name: `{"params": ..., "batch_stats": ...}`."""
Metrics = dict[str, Array]


class Batch(NamedTuple):
    """Examples and, optionally, what they are conditioned on.

    Attributes:
        x: (n, ...) the examples.
        cond: (n, ...) one condition per example, or None.
    """

    x: Array | np.ndarray
    cond: Array | np.ndarray | None = None


Loss = Callable[..., tuple[Array, Metrics]]
"""One number per example: (model, batch, key, *, hyperparameters) -> ((n,) values, metrics).

The model has its variables bound; the key may be None, which means no randomness, for scoring; hyperparameters are
keyword-only. A value does not depend on the other examples of its batch, unless the loss is about the batch and says
so.
"""


class Objective(Protocol):
    """What a learner descends: a pure function of arrays, the mean loss over a batch."""

    def __call__(self, variables: Variables, batch: Batch, key: Key, /) -> tuple[Array, tuple[Variables, Metrics]]:
        """Return (scalar, (variables with their state updated, scalar metrics))."""


class Score(Protocol):
    """The loss of every example, in inference mode."""

    def __call__(self, variables: Variables, batch: Batch, key: Key | None = None, /) -> Array:
        """Return (n,) values."""


class Learner(NamedTuple):
    """One way of changing variables: two pure functions.

    Attributes:
        init: variables -> opt_state.
        step: (variables, opt_state, batch, key) -> (variables, opt_state, metrics).
    """

    init: Callable[[Variables], Any]
    step: Callable[[Variables, Any, Batch, Key], tuple[Variables, Any, Metrics]]


class TrainState(NamedTuple):
    """All that a run carries from step to step: arrays only, no key and no function.

    Attributes:
        step: () int32, the number of steps taken.
        variables: the model's variables.
        opt_state: whatever the learner's `init` made.
    """

    step: Array
    variables: Variables
    opt_state: Any
