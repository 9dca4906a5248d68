"""Averages of the variables over the steps."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxae import checks
from jaxae.types import Array, Batch, Key, Learner, Metrics, TrainState, Variables

__all__ = ["Averaged", "averaged", "averages"]


class Averaged(NamedTuple):
    """State of `averaged`.

    Attributes:
        inner: state of the learner whose variables they are.
        average: of the variables, as they are.
        steps: () int32, that were taken.
    """

    inner: Any
    average: Variables
    steps: Array


def averaged(learner: Learner, decay: float | Array) -> Learner:
    """Return the learner that keeps an exponential moving average of its variables beside them.

    After step t it is (1 − decay)/(1 − decayᵗ) · Σₛ decayᵗ⁻ˢ · variables(s) over the steps s from 1 to t: begun at
    nothing and corrected for it, so that the variables before training do not count. All floats are averaged, batch
    norm's running averages too; anything else is as it was last.

    Training goes on from the variables themselves, which are also those that `fit` validates and keeps the best of;
    `averages(fitted.state)` returns the averages, to be used in their place.

    Args:
        learner: what takes the steps.
        decay: of a step's weight with every further step, from 0 up to but not including 1: 0.999 averages over about
            the last thousand. It may be traced.

    Raises:
        ValueError: if decay is outside [0, 1).

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> learner = averaged(Learner(lambda v: (), lambda v, s, b, k: ({"w": v["w"] + 1}, s, {})), 0.5)
        >>> variables = {"w": jnp.array(0.0)}
        >>> state = learner.init(variables)
        >>> for _ in range(2):
        ...     variables, state, _ = learner.step(variables, state, None, jax.random.key(0))
        >>> float(variables["w"]), round(float(averages(state)["w"]), 4)
        (2.0, 1.6667)

    References:
        Polyak & Juditsky, Acceleration of stochastic approximation by averaging, 1992; Kingma & Ba, Adam: a method for
        stochastic optimization (section 7.2), 2015; Yazıcı et al., The unusual effectiveness of averaging in GAN
        training, 2019.
    """
    checks.fraction("decay", decay)
    if not isinstance(decay, jax.core.Tracer) and decay == 1:
        raise ValueError("decay is 1, which never forgets the first step: it must be < 1, such as 0.999")

    def init(variables: Variables) -> Averaged:
        return Averaged(learner.init(variables), variables, jnp.zeros((), jnp.int32))

    def step(variables: Variables, opt_state: Averaged, batch: Batch, key: Key) -> tuple[Variables, Any, Metrics]:
        variables, inner, metrics = learner.step(variables, opt_state.inner, batch, key)
        steps = opt_state.steps + 1
        # 1 − decayᵗ to the last digits: near 1 the power itself would have lost most of them.
        rate = jnp.log(jnp.asarray(decay, jnp.float32))
        weight = jnp.expm1(rate) / jnp.expm1(steps * rate)

        def one(new: Array, old: Array) -> Array:
            floats = jnp.issubdtype(new.dtype, jnp.floating)
            return optax.incremental_update(new, old, weight.astype(new.dtype)) if floats else new

        average = jax.tree.map(one, variables, opt_state.average)
        return variables, Averaged(inner, average, steps), metrics

    return Learner(init, step)


def averages(state: Any) -> Variables:
    """Return the averaged variables that a state holds, of every member where it is a population's.

    Args:
        state: `fitted.state`, what `train` returned, or an optimizer's state, in which one learner is `averaged`.

    Raises:
        ValueError: if no learner is averaged, or several.

    Examples:
        >>> import jax.numpy as jnp
        >>> averages(Averaged((), {"w": jnp.ones(2)}, jnp.zeros((), jnp.int32)))["w"].tolist()
        [1.0, 1.0]
    """
    inside = state.opt_state if isinstance(state, TrainState) else state
    leaves = jax.tree.leaves(inside, is_leaf=lambda node: isinstance(node, Averaged))
    found = [leaf for leaf in leaves if isinstance(leaf, Averaged)]
    if len(found) != 1:
        raise ValueError(
            f"the state holds averages of {len(found)} learners, but must of one: wrap the learner, averaged(learner, "
            "0.999), once and around a chain; a fit that was loaded has them where load was given that learner"
        )
    return found[0].average
