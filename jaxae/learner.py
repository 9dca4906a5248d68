"""Ways of changing variables: an objective, gradient descent on it, and how learners combine.

A `Learner` is a pair of pure functions, so learners compose as optax's gradient transformations do: a GAN is
`chain(discriminator=repeat(descend(...), 2), generator=descend(...))`, a warm-up is `schedule(factory, beta=...)`.
"""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from jaxae import checks, threefry
from jaxae.types import Array, Batch, Key, Learner, Loss, Metrics, Objective, Score, Variables

__all__ = [
    "Lifted",
    "WarmStart",
    "chain",
    "descend",
    "lift",
    "objective",
    "repeat",
    "schedule",
    "score",
    "warm_start",
]


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
    _check(model, loss, hparams)
    loss = functools.partial(loss, **hparams)

    def evaluate(variables: Variables, batch: Batch, key: Key) -> tuple[Array, tuple[Variables, Metrics]]:
        loss_key, dropout_key = threefry.split(key)
        state = [name for name in variables if name != "params"]
        (values, metrics), written = model.apply(
            variables, batch, loss_key, method=_as_method(loss), mutable=state, rngs={"dropout": dropout_key}
        )
        _one_number_per_example(values, batch)
        if "loss" in metrics:
            raise ValueError(
                "the loss returned a metric named 'loss', which is the name of its mean: rename the metric"
            )
        means = jax.tree.map(jnp.mean, {"loss": values, **metrics})
        return means["loss"], ({**variables, **written}, means)

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
    _check(model, loss, hparams)
    loss = functools.partial(loss, **hparams)

    def values(variables: Variables, batch: Batch, key: Key | None = None) -> Array:
        result, _ = model.apply(variables, batch, key, method=_as_method(loss))
        _one_number_per_example(result, batch)
        return result

    return values


def _check(model: Any, loss: Any, hparams: Mapping[str, Any]) -> None:
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
        return variables, opt_state, jax.tree.map(lambda values: values.mean(0), metrics)

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


class Lifted(NamedTuple):
    """An NNX module as a pure model: `init`, `bind` and `apply` as a Linen module has them.

    Its variables are plain nested dictionaries by name (the layers of a list by "0", "1", ...): `params`, and in
    `state` everything else that the module keeps (batch norm's running averages), less the state of its random streams,
    which come from the keys that are given.

    Attributes:
        make: (nnx.Rngs) -> the NNX module.
    """

    make: Callable[[nnx.Rngs], nnx.Module]

    def init(self, key: Key, x: Array | None = None, cond: Array | None = None) -> dict[str, Any]:
        """Return the variables of a fresh module; x and cond are taken for likeness with Linen and not used."""
        _, *(params, _, state) = nnx.split(self.make(nnx.Rngs(key)), nnx.Param, nnx.RngState, ...)
        return {"params": _named(params), "state": _named(state)}

    def bind(self, variables: Variables) -> Any:
        """Return the module with these variables, in inference mode."""
        return self._merge(variables, None, training=False)

    def apply(
        self,
        variables: Variables,
        *args: Any,
        method: Callable[..., Any],
        mutable: Collection[str] = (),
        rngs: Mapping[str, Key] | None = None,
    ) -> Any:
        """Return method(module, *args), and with `mutable` also the state that the call wrote.

        Batch norm trains when `mutable` is not empty, dropout drops when `rngs` has a `dropout` key.
        """
        module = self._merge(variables, (rngs or {}).get("dropout"), training=bool(mutable))
        result = method(module, *args)
        if not mutable:
            return result
        _, *(_, _, state) = nnx.split(module, nnx.Param, nnx.RngState, ...)
        return result, {"state": _named(state)}

    def _merge(self, variables: Variables, dropout_key: Key | None, *, training: bool) -> Any:
        abstract = nnx.eval_shape(lambda: self.make(nnx.Rngs(0)))
        graph, *(params, streams, state) = nnx.split(abstract, nnx.Param, nnx.RngState, ...)
        nnx.replace_by_pure_dict(params, cast(dict[str, Any], variables["params"]))
        nnx.replace_by_pure_dict(state, cast(dict[str, Any], variables["state"]))

        def stream(number: int, leaf: Any) -> Array:
            if not checks.is_key(leaf):
                return jnp.zeros(leaf.shape, leaf.dtype)
            if dropout_key is None:
                # Nothing draws from the stream; its leaf only has to be there.
                return jax.random.wrap_key_data(jnp.zeros((*leaf.shape, 2), jnp.uint32), impl="threefry2x32")
            # Every layer has a stream of its own, and needs a key of its own: else all would drop the same units.
            return jax.random.split(jax.random.fold_in(dropout_key, number), leaf.shape)

        leaves, structure = jax.tree.flatten(streams)
        streams = jax.tree.unflatten(structure, map(stream, range(len(leaves)), leaves))
        module = nnx.merge(graph, params, streams, state)
        module.set_attributes(use_running_average=not training, raise_if_not_found=False)
        module.set_attributes(deterministic=dropout_key is None, raise_if_not_found=False)
        return module


def _named(state: nnx.State) -> dict[str, Any]:
    def named(tree: Any) -> Any:
        return {str(name): named(branch) for name, branch in tree.items()} if isinstance(tree, Mapping) else tree

    return named(nnx.to_pure_dict(state))


def lift(make: Callable[[nnx.Rngs], nnx.Module]) -> Lifted:
    """Return an NNX module as a model that `objective`, `score` and `train` take.

    Args:
        make: (nnx.Rngs) -> the module, with the methods of its family (`encode`, `decode`, ...).

    Raises:
        TypeError: if make is a module that was made already, or no function.

    Examples:
        >>> import jax
        >>> from flax import nnx
        >>> class Linear(nnx.Module):
        ...     def __init__(self, rngs):
        ...         self.layer = nnx.Linear(3, 2, rngs=rngs)
        >>> sorted(lift(Linear).init(jax.random.key(0))["params"]["layer"])
        ['bias', 'kernel']
    """
    if isinstance(make, nnx.Module):
        raise TypeError(
            f"make is a finished {type(make).__name__}, but must be a function that makes one: lift(lambda rngs: "
            f"{type(make).__name__}(..., rngs=rngs))"
        )
    checks.function("make", make, "lift(lambda rngs: Network(rngs=rngs))")
    return Lifted(make)


class WarmStart(NamedTuple):
    """A model that begins with given parameters: `init`, `bind` and `apply` as the model itself has them.

    Attributes:
        model: a Linen module, or what `lift` made of an NNX module.
        params: by submodule, what `init` puts in the place of fresh parameters.
    """

    model: Any
    params: Mapping[str, Any]

    def init(self, key: Key, x: Array | None = None, cond: Array | None = None) -> dict[str, Any]:
        """Return fresh variables, but for the given parameters.

        Raises:
            ValueError: if the model has no such submodule, or one of other arrays.
        """
        variables = self.model.init(key, x, cond)
        fresh = variables["params"]
        checks.known("submodule", self.params, fresh)
        for name, given in self.params.items():
            shapes = [
                {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree.leaves_with_path(tree)}
                for tree in (given, fresh[name])
            ]
            if shapes[0] != shapes[1]:
                raise ValueError(
                    f"the given parameters of {name} have shapes {shapes[0]}, but this model's have {shapes[1]}: both "
                    "need the same layers, widths and columns"
                )
        given = jax.tree.map(jnp.asarray, dict(self.params))
        return {**variables, "params": {**fresh, **given}}

    def bind(self, variables: Variables) -> Any:
        """Return the model with these variables, in inference mode."""
        return self.model.bind(variables)

    def apply(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the model's own `apply` does."""
        return self.model.apply(*args, **kwargs)


def warm_start(model: Any, params: Mapping[str, Any]) -> WarmStart:
    """Return the model whose training begins with the given parameters in the named submodules, fresh ones elsewhere.

    To train a model from another one's encoder, `warm_start(vae, {"encoder": trained.variables["params"]["encoder"]})`;
    to keep that encoder as it is, descend with `wrt` naming the other submodules.

    Args:
        model: a Linen module, or what `lift` made of an NNX module.
        params: by submodule, parameters of the shapes that the model's own have.

    Raises:
        TypeError: if params is no mapping.
        ValueError: when first used, if the model has no such submodule, or one of other shapes.

    Examples:
        >>> import jax, jax.numpy as jnp, jaxae as ja
        >>> x = jnp.ones((1, 8))
        >>> first = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((8,))).init(jax.random.key(0), x)
        >>> deeper = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((16, 8)))
        >>> begun = warm_start(deeper, {"encoder": first["params"]["encoder"]}).init(jax.random.key(1), x)
        >>> ours, theirs = (params["params"]["encoder"]["Dense_0"]["kernel"] for params in (begun, first))
        >>> bool((ours == theirs).all())
        True

    References:
        Erhan et al., Why does unsupervised pre-training help deep learning?, 2010.
    """
    if not isinstance(params, Mapping):
        raise TypeError(
            f"params is {type(params).__name__}, but must be parameters by submodule: "
            '{"encoder": variables["params"]["encoder"]}'
        )
    return WarmStart(model, params)
