"""Steps that are undone where what they make is not finite."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxae import checks
from jaxae.learner.steps import ENDED, SKIPPED, spoilt_losses
from jaxae.types import Array, Batch, Key, Learner, Metrics, Variables

__all__ = ["Skipping", "skip_nonfinite"]


class Skipping(NamedTuple):
    """State of `skip_nonfinite`.

    Attributes:
        inner: state of the learner whose steps they are.
        in_a_row: () int32, the steps that were undone since the last one that was not.
    """

    inner: Any
    in_a_row: Array


def skip_nonfinite(learner: Learner, *, patience: int = 10) -> Learner:
    """Return the learner whose steps are undone where they are not finite.

    A step after which a loss is not finite, or anything in the variables or the optimizer's state that was finite is
    not any more, leaves both as they were before it; the next step is another one, of other rows and another key.
    After `patience` such steps in a row the run has ended: what it has stays as it is. With a patience of 1 that is a
    run that stops right before its first bad step.

    Two metrics are added: `skipped`, the share of steps that were undone, and `ended`. The means of other metrics are
    those of the steps that stand. `fit` counts and names the steps, and takes a member that has ended for diverged.

    Of a population each member has its own: the others do not notice. Put it around everything that is to be undone
    together: around a chain, and around `averaged`.

    Args:
        learner: what takes the steps.
        patience: steps undone in a row that end the run, ≥ 1.

    Raises:
        TypeError: if patience is no whole number.
        ValueError: if patience < 1; when first used, if the learner skips steps itself.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> def step(variables, opt_state, batch, key):
        ...     w = variables["w"] / batch
        ...     return {"w": w}, opt_state, {"loss": w}
        >>> learner = skip_nonfinite(Learner(lambda variables: (), step))
        >>> variables = {"w": jnp.array(6.0)}
        >>> state = learner.init(variables)
        >>> for divisor in (2.0, 0.0, 3.0):
        ...     variables, state, metrics = learner.step(variables, state, jnp.array(divisor), jax.random.key(0))
        ...     print(float(variables["w"]), float(metrics["skipped"]))
        3.0 0.0
        3.0 1.0
        1.0 0.0
    """
    checks.whole("patience", patience)

    def init(variables: Variables) -> Skipping:
        return Skipping(learner.init(variables), jnp.zeros((), jnp.int32))

    def step(variables: Variables, opt_state: Skipping, batch: Batch, key: Key) -> tuple[Variables, Any, Metrics]:
        new_variables, new_inner, metrics = learner.step(variables, opt_state.inner, batch, key)
        before, after = (variables, opt_state.inner), (new_variables, new_inner)
        if SKIPPED in metrics:
            raise ValueError(f"the learner has a metric {SKIPPED!r} already: put skip_nonfinite around it once")
        good = (opt_state.in_a_row < patience) & _finite(before, after, metrics)
        variables, inner = jax.tree.map(lambda new, old: jnp.where(good, new, old), after, before)
        in_a_row = jnp.where(good, 0, jnp.minimum(opt_state.in_a_row + 1, patience))
        flags = {SKIPPED: ~good, ENDED: in_a_row >= patience}
        metrics = {**metrics, **{name: flag.astype(jnp.float32) for name, flag in flags.items()}}
        return variables, Skipping(inner, in_a_row), metrics

    return Learner(init, step)


def _finite(before: Any, after: Any, metrics: Metrics) -> Array:
    """Return whether all losses are finite, and all that was: some optimizers begin with an infinite best value."""
    found = [~spoilt_losses(metrics).any()]
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        if jnp.issubdtype(new.dtype, jnp.floating):
            found.append((jnp.isfinite(new) | ~jnp.isfinite(old)).all())
    return jnp.stack(found).all()
