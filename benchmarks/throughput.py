"""Steps per second of a small autoencoder, by how much of its training is one program.

`python -m benchmarks.throughput` measures n=10 → 64 → 32 → 2 and mirrored, 1,000 rows, full batch, Adam: JAX op by op,
a jitted step in a Python loop, a whole run as one program, populations of it as one program, and torch eager (skipped
where torch is missing). The rows are measured in turn, several times over, in one process; the first call, with its
compilation, stands apart. Writes `benchmarks/results/throughput.json`.
"""

import itertools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

import jaxae as ja

RESULTS = Path(__file__).parent / "results" / "throughput.json"
REPEATS = 7
WIDTHS = (64, 32)


def rows() -> np.ndarray:
    """Return the training rows."""
    process = ja.data.process(jax.random.key(0), rows=1000, variables=10)
    return np.asarray(process.values, np.float32)


def jax_rows(x: np.ndarray) -> dict[str, tuple[int, Callable[[], Any]]]:
    """Return by name: (member-steps of one call, the call)."""
    ae = ja.models.AE(ja.networks.MLP((*WIDTHS, 2)), ja.networks.MLP((*reversed(WIDTHS), 10)))
    learner = ja.descend(ja.objective(ae, ja.losses.reconstruction), optax.adam(1e-3))
    data = ja.Batch(jax.device_put(x))
    key = jax.random.key(1)
    variables = ae.init(key, x[:1])
    step = jax.jit(learner.step)

    def loop(one: Callable[..., Any], steps: int) -> Any:
        state = variables, learner.init(variables)
        for i in range(steps):
            *state, _ = one(*state, data, jax.random.fold_in(key, i))
        return state

    whole = jax.jit(lambda key: ja.train(ae, learner, data, key, epochs=1000, batch_size=len(x)))
    found: dict[str, tuple[int, Callable[[], Any]]] = {
        "jax, op by op": (5, lambda: loop(learner.step, 5)),
        "jax, a jitted step in a loop": (300, lambda: loop(step, 300)),
        "jaxae, a whole run": (1000, lambda: whole(key)),
    }
    count = jax.device_count()
    mesh = jax.make_mesh((count,), ("members",), axis_types=(jax.sharding.AxisType.Auto,)) if count > 1 else None
    for members in (8, 64):

        def member(key: jax.Array, epochs: int = 2000 // members) -> Any:
            return ja.train(ae, learner, data, key, epochs=epochs, batch_size=len(x))

        many = ja.sweep(member, mesh)
        keys = jax.random.split(jax.random.key(2), members)
        steps = 2000 // members * members
        found[f"jaxae, {members} runs as one program"] = (steps, lambda many=many, keys=keys: many(keys))
    return found


def torch_rows(x: np.ndarray) -> dict[str, tuple[int, Callable[[], Any]]]:
    """Return the eager baseline as a fair opponent would write it: one thread, fused Adam."""
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(1)
    data = torch.from_numpy(x)
    sizes = (10, *WIDTHS, 2, *reversed(WIDTHS), 10)
    layers: list[Any] = []
    for i, (wide, narrow) in enumerate(itertools.pairwise(sizes)):
        layers += [torch.nn.Linear(wide, narrow), *([] if i in (2, 5) else [torch.nn.ReLU()])]
    net = torch.nn.Sequential(*layers)
    adam = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)

    def loop() -> None:
        for _ in range(300):
            adam.zero_grad(set_to_none=True)
            ((net(data) - data) ** 2).sum(-1).mean().backward()
            adam.step()

    return {"torch, eager, fused Adam, one thread": (300, loop)}


def main() -> None:
    """Measure all rows in turn and write the file."""
    x = rows()
    found = jax_rows(x) | torch_rows(x)
    first, rates = {}, {name: [] for name in found}
    for name, (_, call) in found.items():
        began = time.perf_counter()
        jax.block_until_ready(call())
        first[name] = time.perf_counter() - began
    for _ in range(REPEATS):
        for name, (steps, call) in found.items():
            began = time.perf_counter()
            jax.block_until_ready(call())
            rates[name].append(steps / (time.perf_counter() - began))
    base = statistics.median(rates["jax, a jitted step in a loop"])
    table = {
        name: {
            "member_steps_per_s": statistics.median(values),
            "least": min(values),
            "most": max(values),
            "ratio_to_jitted_step": statistics.median(values) / base,
            "first_call_s": first[name],
        }
        for name, values in rates.items()
    }
    machine = {
        "device": f"{jax.device_count()} × {jax.devices()[0].device_kind}",
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "jax": jax.__version__,
    }
    RESULTS.write_text(json.dumps({"machine": machine, "repeats": REPEATS, "rows": table}, indent=1) + "\n")
    for name, row in table.items():
        print(
            f"{name:42s} {row['member_steps_per_s']:10,.0f}/s  ×{row['ratio_to_jitted_step']:.2f}  "
            f"({row['least']:,.0f}–{row['most']:,.0f}; first call {row['first_call_s']:.1f} s)"
        )


if __name__ == "__main__":
    if jax.config.jax_num_cpu_devices < 0:  # type: ignore[attr-defined]
        jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    main()
