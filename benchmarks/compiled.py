"""The rows of a table of throughput that JAX fills: one system in training, by how much of it is one program.

    op by op    the learner's step as it stands, every operation dispatched by itself
    jit         the step compiled, called in a Python loop
    scan        a loop over steps written by hand, compiled, its state donated: the most that JAX gives
    fit         jaxae's public `fit`, of one model or of many members at once, spread over the devices

All of them train the same system on the same rows, with a new order of them every pass.
"""

import time
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

import jaxae as ja
from benchmarks.systems import SYSTEMS, System

__all__ = ["FORMS", "Fit", "Gemm", "matmul_flops"]

LEARNING_RATE = 1e-3


class _Steps:
    """Steps of one model, as many as asked for, by `_take`."""

    members = 1

    def __init__(self, system: System) -> None:
        self.system = system
        self.model = system.model()
        self.learner = system.learner(self.model, LEARNING_RATE)
        self.data = jax.tree.map(jnp.asarray, system.data())
        first = jax.tree.map(lambda leaf: leaf[:1], self.data)
        variables = jax.jit(self.model.init)(jax.random.key(0), *first)
        self.state = ja.start(self.learner, variables)
        self.key = jax.random.key(1)

    def _take(self, steps: int) -> Any:
        raise NotImplementedError

    def rate(self, steps: int) -> float:
        """Return steps per second over so many steps."""
        began = time.perf_counter()
        jax.block_until_ready(self._take(steps))
        return steps / (time.perf_counter() - began)

    def first(self) -> float:
        """Return the seconds of the first step, compilation included."""
        return 1 / self.rate(1)


class _InALoop(_Steps):
    def __init__(self, system: System) -> None:
        super().__init__(system)
        self.one = self.learner.step
        # Rows gathered once a pass, as the PyTorch rows are.
        self.order = np.random.default_rng(0)

    def _take(self, steps: int) -> Any:
        state, size = self.state, self.system.batch_size
        variables, opt_state = state.variables, state.opt_state
        for i in range(steps):
            place = i % self.system.steps_per_epoch
            if self.system.steps_per_epoch == 1:
                batch = self.data
            else:
                if place == 0:
                    rows = self.order.permutation(self.system.rows)[: self.system.steps_per_epoch * size]
                    batches = jax.tree.map(
                        lambda leaf, rows=rows: leaf[rows].reshape(-1, size, *leaf.shape[1:]), self.data
                    )
                batch = jax.tree.map(lambda leaf, place=place: leaf[place], batches)
            variables, opt_state, _ = self.one(variables, opt_state, batch, jax.random.fold_in(self.key, i))
        self.state = state._replace(variables=variables, opt_state=opt_state)
        return self.state


class OpByOp(_InALoop):
    """Every operation dispatched by itself."""


class Jit(_InALoop):
    """A compiled step in a Python loop."""

    def __init__(self, system: System) -> None:
        super().__init__(system)
        self.one = jax.jit(self.learner.step, donate_argnums=(0, 1))


class Scan(_Steps):
    """The loop that someone would write by hand: passes over shuffled rows, the metrics of the last one recorded."""

    def __init__(self, system: System) -> None:
        super().__init__(system)
        learner, size, each = self.learner, system.batch_size, system.steps_per_epoch

        def step(state: Any, batch: ja.Batch, key: Any) -> Any:
            variables, opt_state, metrics = learner.step(state.variables, state.opt_state, batch, key)
            return ja.TrainState(state.step + 1, variables, opt_state), metrics

        def run(state: Any, data: ja.Batch, key: Any, passes: Any) -> Any:
            def one_pass(_: Any, carry: Any) -> Any:
                state, _ = carry
                key_of_pass = jax.random.fold_in(key, state.step)
                if each == 1:
                    return step(state, data, key_of_pass)
                order_key, step_key = jax.random.split(key_of_pass)
                order = jax.random.permutation(order_key, system.rows)[: each * size].reshape(each, size)

                def one(state: Any, row: Any) -> Any:
                    batch = jax.tree.map(lambda leaf: leaf[row], data)
                    return step(state, batch, jax.random.fold_in(step_key, state.step))

                state, metrics = jax.lax.scan(one, state, order)
                return state, jax.tree.map(jnp.mean, metrics)

            nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), jax.eval_shape(one_pass, 0, (state, None))[1])
            return jax.lax.fori_loop(0, passes, one_pass, (state, nothing))

        self.run = jax.jit(run, donate_argnums=0)

    def _take(self, steps: int) -> Any:
        self.state, metrics = self.run(self.state, self.data, self.key, steps // self.system.steps_per_epoch)
        return metrics

    def rate(self, steps: int) -> float:
        """Return steps per second over so many steps, whole passes of them."""
        each = self.system.steps_per_epoch
        return super().rate(-(-steps // each) * each)

    def first(self) -> float:
        """Return the seconds of compiling."""
        began = time.perf_counter()
        jax.block_until_ready(self._take(0))
        return time.perf_counter() - began


class Fit:
    """jaxae's `fit` of one model, or of many at once."""

    def __init__(self, system: System, members: int | None = None, chunk: int | None = None) -> None:
        self.system, self.members, self.chunk = system, members or 1, chunk
        self.model = system.model()
        self.data = system.data()
        devices = min(jax.device_count(), members or 1)
        self.population: dict[str, Any] = {}
        if members is not None:
            axes = (jax.sharding.AxisType.Auto,)
            mesh = None
            if devices > 1:
                mesh = jax.make_mesh((devices,), ("members",), axis_types=axes, devices=jax.devices()[:devices])
            self.population = {"seeds": members, "mesh": mesh, "chunk": chunk}

    def _fit(self, epochs: int) -> Any:
        return ja.fit(
            self.model,
            self.system.learner(self.model, LEARNING_RATE),
            self.data,
            key=jax.random.key(0),
            epochs=epochs,
            batch_size=self.system.batch_size,
            progress=False,
            **self.population,
        )

    def rate(self, steps: int) -> float:
        """Return member-steps per second over so many steps of every member; what it compiles is left out."""
        epochs = -(-steps // self.system.steps_per_epoch)
        record = self._fit(epochs).record
        return epochs * self.system.steps_per_epoch * self.members / record["run_seconds"]

    def first(self) -> float:
        """Return the seconds of compiling."""
        return self._fit(1).record["compile_seconds"]


FORMS: dict[str, Callable[..., Any]] = {"op by op": OpByOp, "jit": Jit, "scan": Scan}


def matmul_flops(name: str) -> int:
    """Return the floating-point operations of the products in one training step, convolutions counted as products."""
    system = SYSTEMS[name]
    # Of one example, times those of a batch: what a layout adds for the sake of speed does not count.
    learner, batch, variables, opt_state = system.shapes()
    step = jax.make_jaxpr(learner.step)(variables, opt_state, batch, jax.random.key(0))
    return system.batch_size * _flops(step.jaxpr)


def _flops(jaxpr: Any) -> int:
    from jax.extend import core

    found = 0
    for equation in jaxpr.eqns:
        times = equation.params["length"] if equation.primitive.name == "scan" else 1
        for inner in core.jaxprs_in_params(equation.params):
            found += times * _flops(inner)
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            inner_size = int(np.prod([equation.invars[0].aval.shape[axis] for axis in contracted]))
            found += 2 * inner_size * int(np.prod(equation.outvars[0].aval.shape))
    return found


class Gemm:
    """Square products, one on every device at once: the most floating-point operations that the machine gives."""

    members = 1
    SIDE: ClassVar = {"cpu": 1536, "gpu": 8192}

    def __init__(self) -> None:
        side = self.SIDE[jax.default_backend()]
        self.product = jax.jit(lambda a: a @ a * (1 / side))
        # Of values that no precision rounds alike: a GPU is faster on zeros and ones.
        a = jax.random.uniform(jax.random.key(0), (side, side), minval=0.5, maxval=1.5)
        self.held = [jax.device_put(a, device) for device in jax.devices()]

    def first(self) -> float:
        """Return the seconds of the first product, compilation included."""
        began = time.perf_counter()
        self.rate(1)
        return time.perf_counter() - began

    def rate(self, steps: int) -> float:
        """Return products per second, those of all devices together, over so many of each."""
        began = time.perf_counter()
        for _ in range(steps):
            self.held = [self.product(one) for one in self.held]
        jax.block_until_ready(self.held)
        return steps * len(self.held) / (time.perf_counter() - began)
