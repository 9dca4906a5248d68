"""Learners made of others: in turn, several times, and with hyperparameters that follow schedules."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxae import checks, threefry
from jaxae.learner.steps import means
from jaxae.types import Array, Batch, Key, Learner, Metrics, Variables

__all__ = ["chain", "repeat", "schedule"]


def chain(**learners: Learner) -> Learner:
    """Return the learner that takes a step of each in turn on the same batch, each with its own key.

    Metrics are named `<learner>/<metric>`.

    Raises:
        TypeError: for what is no learner.
        ValueError: without learners.

    Examples:
        >>> import jax
        >>> count = Learner(lambda v: 0, lambda v, s, b, k: (v, s + 1, {"n": s}))
        >>> chain(first=count, second=count).step({}, {"first": 0, "second": 5}, None, jax.random.key(0))[1]
        {'first': 1, 'second': 6}
    """
    if not learners:
        raise ValueError("chain was given no learner: chain(discriminator=..., generator=...)")
    for name, learner in learners.items():
        _check_learner(name, learner)

    def init(variables: Variables) -> dict[str, Any]:
        return {name: learner.init(variables) for name, learner in learners.items()}

    def step(variables: Variables, opt_state: Any, batch: Batch, key: Key) -> tuple[Variables, Any, Metrics]:
        after: dict[str, Any] = {}
        metrics: Metrics = {}
        for (name, learner), own_key in zip(learners.items(), threefry.split(key, len(learners)), strict=True):
            variables, after[name], new = learner.step(variables, opt_state[name], batch, own_key)
            metrics |= {f"{name}/{metric}": value for metric, value in new.items()}
        return variables, after, metrics

    return Learner(init, step)


def _check_learner(name: str, learner: Any) -> None:
    if not isinstance(learner, Learner):
        raise TypeError(
            f"{name} is {type(learner).__name__}, but must be a Learner: descend(objective(model, loss), tx)"
        )


def repeat(learner: Learner, times: int) -> Learner:
    """Return the learner that takes `times` steps on the same batch, each with its own key; metrics are their means.

    Raises:
        TypeError: if learner is no learner, or times is not a whole number.
        ValueError: if times < 1.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> count = Learner(lambda v: jnp.zeros(()), lambda v, s, b, k: (v, s + 1, {"n": s}))
        >>> _, state, metrics = repeat(count, 3).step({}, jnp.zeros(()), None, jax.random.key(0))
        >>> float(state), float(metrics["n"])
        (3.0, 1.0)
    """
    _check_learner("learner", learner)
    checks.whole("times", times)

    def step(variables: Variables, opt_state: Any, batch: Batch, key: Key) -> tuple[Variables, Any, Metrics]:
        def body(carry: tuple[Variables, Any], key: Key) -> tuple[tuple[Variables, Any], Metrics]:
            variables, opt_state, metrics = learner.step(*carry, batch, key)
            return (variables, opt_state), metrics

        (variables, opt_state), metrics = jax.lax.scan(body, (variables, opt_state), threefry.split(key, times))
        return variables, opt_state, means(metrics)

    return Learner(learner.init, step)


def schedule(factory: Callable[..., Learner], **schedules: Callable[[Array], Array]) -> Learner:
    """Return the learner `factory(**hyperparameters)` whose hyperparameters follow schedules of the step.

    A warm-up of the KL weight, a decaying noise and a learning-rate schedule are all this. Its own state counts the
    steps, so it stops and goes on with the rest.

    Args:
        factory: (**hyperparameters) -> Learner; the state its learners make must not depend on the values.
        **schedules: one for each hyperparameter: step -> value, as optax's schedules are.

    Raises:
        TypeError: if factory or a schedule is no function.
        ValueError: without schedules.

    Examples:
        >>> import jax, jax.numpy as jnp, optax
        >>> def factory(beta):
        ...     return Learner(lambda v: (), lambda v, s, b, k: (v, s, {"beta": beta}))
        >>> learner = schedule(factory, beta=optax.linear_schedule(0.0, 1.0, 2))
        >>> state = learner.init({})
        >>> for _ in range(3):
        ...     _, state, metrics = learner.step({}, state, None, jax.random.key(0))
        >>> float(metrics["beta"])
        1.0
    """
    if not schedules:
        raise ValueError("schedule was given no schedule: schedule(factory, beta=optax.linear_schedule(0, 1, 1000))")
    checks.function("factory", factory, "lambda beta: descend(objective(model, loss, beta=beta), tx)")
    for name, value in schedules.items():
        checks.function(name, value, "optax.linear_schedule(0, 1, 1000), or optax.constant_schedule(1.0)")

    def at(count: Array) -> Learner:
        return factory(**{name: value(count) for name, value in schedules.items()})

    def init(variables: Variables) -> tuple[Array, Any]:
        count = jnp.zeros((), jnp.int32)
        return count, at(count).init(variables)

    def step(variables: Variables, opt_state: Any, batch: Batch, key: Key) -> tuple[Variables, Any, Metrics]:
        count, inner = opt_state
        variables, inner, metrics = at(count).step(variables, inner, batch, key)
        return variables, (count + 1, inner), metrics

    return Learner(init, step)
