"""Gradient descent on an objective."""

from collections.abc import Collection, Mapping
from typing import Any

import jax
import optax

from jaxae import checks
from jaxae.types import Array, Batch, Key, Learner, Metrics, Objective, Variables

__all__ = ["descend"]


def descend(objective: Objective, tx: optax.GradientTransformation, *, wrt: Collection[str] | None = None) -> Learner:
    """Return the learner that follows the objective's gradient in the submodules named by `wrt`.

    Everything that belongs to the other submodules stays as it is, parameters and state alike: each player of a GAN
    updates its own running averages of batch norm in its own step (from real and from fake examples for the
    discriminator, from its own fakes for the generator) and leaves the other's alone, though both use the batch's
    statistics.

    Args:
        objective: (variables, batch, key) -> (scalar, (variables, metrics)).
        tx: an optax gradient transformation.
        wrt: names of submodules, or None for all.

    Raises:
        TypeError: if objective is no function, wrt is a string, or tx is no gradient transformation.
        ValueError: when first used, if wrt names no submodule or one that does not exist.

    Examples:
        >>> import jax, jax.numpy as jnp, optax
        >>> def square(variables, batch, key):
        ...     value = jnp.sum(variables["params"]["w"] ** 2)
        ...     return value, (variables, {"loss": value})
        >>> learner = descend(square, optax.sgd(0.25))
        >>> variables = {"params": {"w": jnp.array([2.0])}}
        >>> learner.step(variables, learner.init(variables), None, jax.random.key(0))[0]["params"]["w"].tolist()
        [1.0]
    """
    checks.function("objective", objective, "ja.objective(model, loss)")
    if isinstance(wrt, str):
        raise TypeError(f"wrt is the string {wrt!r}, but must be a tuple of names: write wrt=({wrt!r},)")
    if not isinstance(tx, optax.GradientTransformation):
        raise TypeError(f"tx is {type(tx).__name__}, but must be an optax gradient transformation: optax.adam(1e-3)")

    def part(tree: Mapping[str, Any]) -> dict[str, Any]:
        return {name: leaves for name, leaves in tree.items() if wrt is None or name in wrt}

    def init(variables: Variables) -> Any:
        if wrt is not None:
            checks.known("submodule", wrt, variables["params"])
            if not wrt:
                raise ValueError(f"wrt is empty; there is: {', '.join(variables['params'])}")
        return tx.init(part(variables["params"]))

    def step(variables: Variables, opt_state: Any, batch: Batch, key: Key) -> tuple[Variables, Any, Metrics]:
        def value(params: Variables) -> tuple[Array, tuple[Variables, Metrics]]:
            return objective({**variables, "params": {**variables["params"], **params}}, batch, key)

        params = part(variables["params"])
        grads, (written, metrics) = jax.grad(value, has_aux=True)(params)
        updates, opt_state = tx.update(grads, opt_state, params)
        own = {name: part(tree) for name, tree in written.items()} | {"params": optax.apply_updates(params, updates)}
        return {name: {**variables[name], **tree} for name, tree in own.items()}, opt_state, metrics

    return Learner(init, step)
