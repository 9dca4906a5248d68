"""Objectives and scores: the only seam between training and Flax."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxae import checks, threefry
from jaxae.learner.steps import RESERVED
from jaxae.types import Array, Batch, Key, Loss, Metrics, Objective, Score, Variables

__all__ = ["accumulate", "objective", "score"]


def objective(model: Any, loss: Loss, /, **hparams: Any) -> Objective:
    """Return the pure function (variables, batch, key) -> (mean loss, (variables, metrics)) that a learner descends.

    The only seam between training and Flax. The model runs in training mode: batch norm uses the batch's statistics
    and updates its running averages, dropout drops. The mean over the batch is taken here and nowhere else.

    Args:
        model: a Linen module, or what `lift` made of an NNX module.
        loss: (bound model, batch, key, **hparams) -> ((n,) values, metrics).
        **hparams: the loss's hyperparameters; they may be traced.

    Raises:
        TypeError: if model is no model, or loss no function.
        ValueError: if the loss has no such hyperparameter.

    Examples:
        >>> import jax, jax.numpy as jnp, jaxae as ja
        >>> ae = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((8,)))
        >>> x = jnp.ones((5, 8))
        >>> value, (variables, metrics) = ja.objective(ae, ja.losses.reconstruction)(
        ...     ae.init(jax.random.key(0), x), ja.Batch(x), jax.random.key(1))
        >>> value.shape, sorted(metrics)
        ((), ['loss'])
    """
    loss = _with(model, loss, hparams)

    def evaluate(variables: Variables, batch: Batch, key: Key) -> tuple[Array, tuple[Variables, Metrics]]:
        loss_key, dropout_key = threefry.split(key)
        state = [name for name in variables if name != "params"]
        (values, metrics), written = model.apply(
            variables, batch, loss_key, method=_as_method(loss), mutable=state, rngs={"dropout": dropout_key}
        )
        _one_number_per_example(values, batch)
        for name in RESERVED:
            if name in metrics:
                raise ValueError(
                    f"the loss returned a metric named {name!r}, which is the name of "
                    f"{'its mean' if name == 'loss' else 'what skip_nonfinite says of a step'}: rename the metric"
                )
        means = jax.tree.map(jnp.mean, {"loss": values, **metrics})
        return means["loss"], ({**variables, **written}, means)

    return evaluate


def accumulate(objective: Objective, parts: int, /) -> Objective:
    """Return the objective of a batch taken in equal parts, one after another: their mean, and so its gradient.

    The memory of activations is that of one part. Where a loss is about each example alone, value and gradient are
    those of the whole batch, to rounding, but for what is random: every part has a key of its own. What is about a
    batch is about a part of it: batch norm uses the statistics of a part, and updates its running averages once for
    each; a penalty on mean activations (`losses.sparse`) is that of a part.

    Args:
        objective: (variables, batch, key) -> (scalar, (variables, metrics)); differentiated once.
        parts: ≥ 1, a divisor of the number of rows.

    Raises:
        TypeError: if parts is no whole number.
        ValueError: if parts < 1; when first used, if the rows cannot be divided so.

    Examples:
        >>> import jax, jax.numpy as jnp, jaxae as ja
        >>> ae = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((8,)))
        >>> x = jax.random.normal(jax.random.key(0), (12, 8))
        >>> whole = ja.objective(ae, ja.losses.reconstruction)
        >>> variables = ae.init(jax.random.key(1), x)
        >>> values = [f(variables, ja.Batch(x), jax.random.key(2))[0] for f in (whole, accumulate(whole, 4))]
        >>> bool(jnp.allclose(*values))
        True
    """
    checks.whole("parts", parts)

    def evaluate(variables: Variables, batch: Batch, key: Key) -> tuple[Array, tuple[Variables, Metrics]]:
        n = len(batch.x)
        if n % parts:
            raise ValueError(
                f"a batch of {n} rows cannot be taken in {parts} equal parts: choose a batch_size that {parts} divides"
            )
        each = jax.tree.map(lambda leaf: jnp.reshape(leaf, (parts, n // parts, *leaf.shape[1:])), batch)
        keys = threefry.split(key, parts)
        begun = {name: tree for name, tree in variables.items() if name != "params"}

        # The gradient of each part is taken as it comes. That of the loop would be taken at the loop's end, with the
        # activations of all parts kept, or computed once more.
        def forward(params: Variables) -> tuple[Any, Variables]:
            def one(carry: tuple[Variables, Variables], own: tuple[Batch, Key]) -> Any:
                grads, state = carry

                def loss(params: Variables) -> tuple[Array, tuple[Variables, Metrics]]:
                    return objective({**state, "params": params}, *own)

                (value, (written, metrics)), more = jax.value_and_grad(loss, has_aux=True)(params)
                state = {name: tree for name, tree in written.items() if name != "params"}
                return (jax.tree.map(jnp.add, grads, more), state), (value, metrics)

            zeros = jax.tree.map(jnp.zeros_like, params)
            (grads, state), made = jax.lax.scan(one, (zeros, begun), (each, keys))
            value, metrics = jax.tree.map(lambda values: values.mean(0), made)
            return (value, (state, metrics)), jax.tree.map(lambda leaf: leaf / parts, grads)

        def backward(grads: Variables, cotangent: Any) -> tuple[Variables]:
            return (jax.tree.map(lambda leaf: cotangent[0] * leaf, grads),)

        mean = jax.custom_vjp(lambda params: forward(params)[0])
        mean.defvjp(forward, backward)
        value, (state, metrics) = mean(variables["params"])
        return value, ({**state, "params": variables["params"]}, metrics)

    return evaluate


def score(model: Any, loss: Loss, /, **hparams: Any) -> Score:
    """Return (variables, batch, key=None) -> (n,), the loss of every example in inference mode.

    Batch norm uses its running averages and nothing drops. Without a key the score is deterministic.

    Args:
        model: a Linen module, or what `lift` made of an NNX module.
        loss: (bound model, batch, key, **hparams) -> ((n,) values, metrics).
        **hparams: the loss's hyperparameters.

    Raises:
        TypeError: if model is no model, or loss no function.
        ValueError: if the loss has no such hyperparameter.

    Examples:
        >>> import jax, jax.numpy as jnp, jaxae as ja
        >>> ae = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((8,)))
        >>> x = jnp.ones((5, 8))
        >>> ja.score(ae, ja.losses.reconstruction)(ae.init(jax.random.key(0), x), ja.Batch(x)).shape
        (5,)
    """
    loss = _with(model, loss, hparams)

    def values(variables: Variables, batch: Batch, key: Key | None = None) -> Array:
        result, _ = model.apply(variables, batch, key, method=_as_method(loss))
        _one_number_per_example(result, batch)
        return result

    return values


def _with(model: Any, loss: Any, hparams: Mapping[str, Any]) -> Callable[..., Any]:
    """Return the loss with its hyperparameters, or refuse what is no model, no loss or none of them."""
    if not callable(getattr(model, "apply", None)) or isinstance(model, type):
        given = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(
            f"model is {given}, but must be a Linen module, or what lift makes of an NNX module: "
            "ja.models.AE(encoder, decoder)"
        )
    checks.function("loss", loss, "ja.losses.reconstruction")
    parameters = inspect.signature(loss).parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        named = [parameter.name for parameter in parameters if parameter.kind is not parameter.POSITIONAL_ONLY]
        checks.known("hyperparameter of the loss", hparams, named)
    return functools.partial(loss, **hparams)


def _as_method(loss: Callable[..., Any]) -> Callable[..., Any]:
    # Linen takes a method's name from its __name__, which a partial does not have.
    def method(model: Any, *args: Any) -> tuple[Array, Metrics]:
        result = loss(model, *args)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping)):
            raise TypeError(
                f"the loss returned {type(result).__name__}, but must return (values (n,), metrics): "
                "return values, {}"
            )
        return result

    return method


def _one_number_per_example(values: Array, batch: Batch) -> None:
    if jnp.shape(values) != (len(batch.x),):
        raise ValueError(
            f"the loss returned shape {jnp.shape(values)} for {len(batch.x)} examples, but must return one "
            f"number per example, ({len(batch.x)},): sum over the event, do not average over the batch"
        )
