"""One run: a pure function of arrays and a key, scanned over epochs and batches."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxae import checks, threefry
from jaxae.learner.steps import over_epoch
from jaxae.types import Array, Batch, Key, Learner, Metrics, TrainState, Variables

__all__ = ["check_run", "epoch", "initialise", "order", "run", "start", "step_on", "step_words", "train"]


def check_run(data: Batch, key: Key, batch_size: int) -> None:
    """Refuse what no run can start from.

    Raises:
        TypeError: if data is no Batch, x holds no floats, key is no typed key or batch_size no whole number.
        ValueError: if batch_size is not from 1 to n, x and cond differ in length, or a NumPy array is not finite.
    """
    if not isinstance(data, Batch):
        raise TypeError(f"data is {type(data).__name__}, but must be a Batch: write Batch(x)")
    for name, array in data._asdict().items():
        if not getattr(array, "shape", ()) and not (name == "cond" and array is None):
            raise TypeError(f"data.{name} is {type(array).__name__}, but must be an array (n, ...): np.asarray({name})")
        if name == "x":
            checks.floats("data.x", array)
        if isinstance(array, np.ndarray) and np.issubdtype(array.dtype, np.floating):
            # What is on a device already stays there: a run makes no host transfer.
            checks.finite_floats(f"data.{name}", array)
    n = len(data.x)
    if data.cond is not None:
        checks.same_shape("cond", data.cond.shape[:1], "x", data.x.shape[:1])
    checks.typed_key(key)
    if not n:
        raise ValueError("the data have no rows, so there is nothing to train on")
    checks.whole("batch_size", batch_size, high=n, why=", the number of examples")


def start(learner: Learner, variables: Variables) -> TrainState:
    """Return the state before the first step.

    Raises:
        TypeError: if learner is no Learner, or variables no mapping.

    Examples:
        >>> start(Learner(lambda variables: (), None), {"params": {}}).step.item()
        0
    """
    _check_learner(learner)
    if not isinstance(variables, Mapping):
        raise TypeError(
            f"variables is {type(variables).__name__}, but must be collections by name: model.init(key, x, cond)"
        )
    return TrainState(jnp.zeros((), jnp.int32), variables, learner.init(variables))


def _check_learner(learner: Learner) -> None:
    if not isinstance(learner, Learner):
        raise TypeError(
            f"learner is {type(learner).__name__}, but must be a Learner: ja.descend(ja.objective(model, loss), tx)"
        )


def epoch(
    learner: Learner, state: TrainState, data: Batch, order_key: Key, step_key: Key, *, batch_size: int
) -> tuple[TrainState, dict[str, Array]]:
    """Return the state after one shuffled pass over the data, and the metrics of every step.

    Where all rows are one batch, they stay in their order.

    The order of the rows and the key of every step follow from the keys and `state.step` alone, so a run that is
    stopped between two epochs goes on with the same bits. The rows that do not fill a last batch are left out of this
    pass; another order leaves out others in the next.

    Args:
        learner: what takes the steps.
        state: where to go on from.
        data: x (n, ...), cond (n, ...) or None.
        order_key: half of the run's key, which is split once, outside the loop over epochs: it shuffles.
        step_key: the other half: folded with the number of the step, it is the step's key.
        batch_size: from 1 to n.

    Returns:
        the state, and the metrics, each (n // batch_size,).
    """
    n = len(data.x)
    steps = n // batch_size
    if batch_size == n:
        # To sort all rows anew would take a tenth of a small model's step, and change nothing.
        state, metrics = _step(learner, state, data, threefry.fold_in(step_key, state.step))
        return state, jax.tree.map(lambda value: jnp.asarray(value)[None], metrics)
    rows = order(order_key, state.step, n)[: steps * batch_size].reshape(steps, batch_size)

    def one(state: TrainState, own: tuple[Array, Array]) -> tuple[TrainState, Metrics]:
        return step_on(learner, state, data, *own, step_key)

    return jax.lax.scan(one, state, (rows, step_words(step_key, state.step, steps)))


def order(order_key: Key, step: Array, n: int) -> Array:
    """Return (n,) int32, the order of the rows in the epoch that begins at a step.

    Examples:
        >>> import jax
        >>> sorted(order(jax.random.key(0), 0, 4).tolist())
        [0, 1, 2, 3]
    """
    return jax.random.permutation(jax.random.fold_in(order_key, step), n)


def step_words(step_key: Key, first: Array, steps: int) -> Array:
    """Return (steps, ...) the words of the keys of so many steps from the first one on.

    All at once: one by one they would cost a tenth of the smallest steps. As plain words, since JAX's search for reused
    keys takes those of a mapped loop in a population for used ones.

    Examples:
        >>> import jax
        >>> step_words(jax.random.key(0), 3, 5).shape
        (5, 2)
    """
    return jax.random.key_data(jax.vmap(threefry.fold_in, (None, 0))(step_key, first + jnp.arange(steps)))


def step_on(
    learner: Learner, state: TrainState, data: Batch, rows: Array, words: Array, step_key: Key
) -> tuple[TrainState, Metrics]:
    """Return the state after a step on some rows of the data, and its metrics.

    Args:
        learner: what takes the step.
        state: where to go on from.
        data: in which the rows lie.
        rows: (batch_size,) their numbers.
        words: of the step's key.
        step_key: a key of the kind that the words are of.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> count = Learner(lambda v: (), lambda v, s, batch, key: (v, s, {"sum": batch.x.sum()}))
        >>> key, rows = jax.random.key(0), jnp.asarray([0, 3])
        >>> words = step_words(key, 0, 1)[0]
        >>> state, metrics = step_on(count, start(count, {}), Batch(jnp.arange(4.0)), rows, words, key)
        >>> state.step.item(), metrics["sum"].item()
        (1, 3.0)
    """
    own_key = jax.random.wrap_key_data(words, impl=jax.random.key_impl(step_key))
    return _step(learner, state, jax.tree.map(lambda array: array[rows], data), own_key)


def _step(learner: Learner, state: TrainState, batch: Batch, own_key: Key) -> tuple[TrainState, Metrics]:
    variables, opt_state, metrics = learner.step(state.variables, state.opt_state, batch, own_key)
    return TrainState(state.step + 1, variables, opt_state), metrics


def run(
    learner: Learner, state: TrainState, data: Batch, key: Key, *, epochs: int, batch_size: int
) -> tuple[TrainState, dict[str, Array]]:
    """Return the state after `epochs` passes over the data, and the mean metrics of every epoch.

    Pure: jit it, vmap it, differentiate through it. run(1) and then run(2) is run(3), to the bit.

    Args:
        learner: what takes the steps.
        state: where to go on from: `start(learner, variables)`, or what an earlier run returned.
        data: x (n, ...), cond (n, ...) or None.
        key: typed key of the whole run, the same for every part of it.
        epochs: ≥ 1.
        batch_size: from 1 to n.

    Returns:
        the state, and history[name]: (epochs,).

    Raises:
        TypeError: if key is no typed key, data are no Batch of floats, epochs or batch_size is no whole number, or any
            other argument is something else.
        ValueError: if epochs or batch_size is out of range, or x and cond differ in length.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> count = Learner(lambda v: (), lambda v, s, batch, key: (v, s, {"mean": batch.x.mean()}))
        >>> data = Batch(jnp.ones((10, 2)))
        >>> state, history = run(count, start(count, {}), data, jax.random.key(0), epochs=3, batch_size=4)
        >>> state.step.item(), history["mean"].tolist()
        (6, [1.0, 1.0, 1.0])
    """
    _check_learner(learner)
    if not isinstance(state, TrainState):
        raise TypeError(f"state is {type(state).__name__}, but must be a TrainState: ja.start(learner, variables)")
    checks.whole("epochs", epochs)
    check_run(data, key, batch_size)
    data = jax.tree.map(jnp.asarray, data)
    order_key, step_key = jax.random.split(key)

    def one(state: TrainState, _: None) -> tuple[TrainState, Metrics]:
        state, metrics = epoch(learner, state, data, order_key, step_key, batch_size=batch_size)
        return state, over_epoch(metrics)

    return jax.lax.scan(one, state, length=epochs)


def initialise(model: Any, learner: Learner, data: Batch, key: Key) -> tuple[TrainState, Key]:
    """Return the state before the first step of a fresh model, and the key of its run.

    Args:
        model: has `init(key, x, cond)`.
        learner: what will take the steps.
        data: its first example gives the shapes.
        key: typed key; one half draws the variables, the other is returned.

    Raises:
        TypeError: if model is no model, learner no Learner, or key no typed key.
    """
    checks.typed_key(key)
    _check_learner(learner)
    if not callable(getattr(model, "init", None)) or isinstance(model, type):
        given = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"model is {given}, but must be a Linen module: ja.models.AE(encoder, decoder)")
    init_key, run_key = jax.random.split(key)
    first = jax.tree.map(lambda array: jnp.asarray(array[:1]), data)
    return start(learner, model.init(init_key, *first)), run_key


def train(
    model: Any, learner: Learner, data: Batch, key: Key, *, epochs: int, batch_size: int
) -> tuple[TrainState, dict[str, Array]]:
    """Return the state of a fresh model after `epochs` passes over the data, and its history: init, start, run.

    Args:
        model: a Linen module, or what `lift` made of an NNX module.
        learner: what takes the steps.
        data: x (n, ...), cond (n, ...) or None.
        key: typed key: it draws the variables and everything random in the run.
        epochs: ≥ 1.
        batch_size: from 1 to n.

    Returns:
        the state, and history[name]: (epochs,).

    Raises:
        TypeError: if key is no typed key, data are no Batch of floats, epochs or batch_size is no whole number, or any
            other argument is something else.
        ValueError: if epochs or batch_size is out of range, or x and cond differ in length.

    Examples:
        >>> import jax, jax.numpy as jnp, jaxae as ja, optax
        >>> ae = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((8,)))
        >>> learner = ja.descend(ja.objective(ae, ja.losses.reconstruction), optax.adam(1e-2))
        >>> data = ja.Batch(jax.random.normal(jax.random.key(0), (32, 8)))
        >>> state, history = train(ae, learner, data, jax.random.key(1), epochs=5, batch_size=16)
        >>> history["loss"].shape, bool(history["loss"][-1] < history["loss"][0])
        ((5,), True)
    """
    checks.whole("epochs", epochs)
    check_run(data, key, batch_size)
    state, run_key = initialise(model, learner, data, key)
    return run(learner, state, data, run_key, epochs=epochs, batch_size=batch_size)
