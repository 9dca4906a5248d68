"""Training steps per second of the three convolutional systems, beside PyTorch and beside Flax's own layers in a loop.

`python -m benchmarks.convolutions` measures every case in one process, all rivals in turn and several times over, with
compilation apart, and writes `benchmarks/results/convolutions.json`. jaxae's side is a whole run (`ja.run`: the batches
gathered by index from a resident data set). The rivals:

    flax     the same run with `flax.linen.Conv` and `ConvTranspose`
    eager    PyTorch, channels last, Adam(fused=True)
    compile  the same under `torch.compile`

PyTorch is left out where it is not installed. Ratios are of medians; their spread is that of the ratios of each repeat.
With `--profile`, the operations that take most of a step are listed too. Peak memory is that of a process which does
nothing else: see `peak`.
"""

import argparse
import collections
import functools
import gzip
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

import jaxae as ja
from benchmarks import readme
from benchmarks.measure import most_resident, resident
from jaxae.convolution import mirrored
from jaxae.networks import ConvDecoder, ConvEncoder, Stage, mirror

RESULTS = Path(__file__).parent / "results" / "convolutions.json"
REST = 0.3
"""Seconds before each measurement: the threads of the rival before it may spin on for a while, and take a core."""
HALVED = (Stage(32), Stage(64), Stage(128), Stage(256))


def a6(size: int) -> Any:
    """Return the convolutional autoencoder: four strided convolutions with batch norm, a code of 128, mirrored."""
    start, back = mirror(HALVED, (size, size, 3))
    return ja.models.AE(
        ConvEncoder(HALVED, norm=True, width=128), nn.Sequential([ConvDecoder(start, back, norm=True), nn.sigmoid])
    )


def b2(size: int) -> Any:
    """Return the resize-convolution autoencoder with a code of 128."""
    start, back = mirror(HALVED, (size, size, 3), resize=True)
    return ja.models.AE(
        ConvEncoder(HALVED, average=True, width=128),
        nn.Sequential([ConvDecoder(start, back, resize=True, align_corners=True), nn.sigmoid]),
    )


def e2(size: int) -> Any:
    """Return the class-conditional variational autoencoder of 28 × 28 pixels with a code of 20."""
    leaky = functools.partial(nn.leaky_relu, negative_slope=0.01)
    encoder = (Stage(16, 6, 2, 0), Stage(32, 4, 2, 0), Stage(64, 2, 2, 0))
    decoder = (Stage(32, 2, 2, 0), Stage(16, 4, 3, 1), Stage(1, 6, 3, 4))
    return ja.models.VAE(
        ConvEncoder(encoder, activation=leaky), ConvDecoder((2, 2, 64), decoder, activation=leaky), latent=20
    )


class Case(NamedTuple):
    """What is measured.

    Attributes:
        system: its name in `benchmarks.eager_images`.
        size: height and width of an image.
        batch_size: images per step.
        model: size -> the model.
        loss: of jaxae.
        target: the ratio to PyTorch that was asked for.
    """

    system: str
    size: int
    batch_size: int
    model: Callable[[int], Any]
    loss: Any
    target: float


CASES = {
    "E2": Case("E2", 28, 128, e2, ja.losses.elbo, 1.2),
    "A6 at 64 px": Case("A6", 64, 32, a6, ja.losses.reconstruction, 1.0),
    "A6 at 224 px": Case("A6", 224, 16, a6, ja.losses.reconstruction, 1.0),
    "B2": Case("B2", 64, 32, b2, ja.losses.reconstruction, 0.8),
}


class _FlaxEncoder(nn.Module):
    """A `ConvEncoder` as anyone would write it with Flax's layers."""

    stages: tuple[Stage, ...]
    activation: Callable[[Any], Any] = nn.relu
    norm: bool = False
    average: bool = False
    width: int | None = None

    @nn.compact
    def __call__(self, x: Any, cond: Any = None) -> Any:
        if cond is not None:
            planes = jnp.broadcast_to(cond[:, None, None], (*x.shape[:3], cond.shape[-1]))
            x = jnp.concatenate([x, planes], -1)
        for stage in self.stages:
            size, stride, pad = (stage.kernel,) * 2, (stage.stride,) * 2, ((stage.padding,) * 2,) * 2
            x = self.activation(nn.Conv(stage.features, size, stride, pad)(x))
            x = ja.networks.BatchNorm()(x) if self.norm else x
        x = x.mean((1, 2)) if self.average else x.reshape(len(x), -1)
        return x if self.width is None else nn.Dense(self.width)(x)


class _FlaxDecoder(nn.Module):
    """A `ConvDecoder` as anyone would write it with Flax's layers."""

    start: tuple[int, int, int]
    stages: tuple[Stage, ...]
    activation: Callable[[Any], Any] = nn.relu
    norm: bool = False
    resize: bool = False

    @nn.compact
    def __call__(self, z: Any, cond: Any = None) -> Any:
        z = z if cond is None else jnp.concatenate([z, cond], -1)
        h = nn.Dense(int(np.prod(self.start)))(z).reshape(len(z), *self.start)
        for i, stage in enumerate(self.stages):
            size, stride = (stage.kernel,) * 2, (stage.stride,) * 2
            if self.resize:
                n, height, width, c = h.shape
                h = jax.image.resize(h, (n, stage.stride * height, stage.stride * width, c), "bilinear")
                h = nn.Conv(stage.features, size, padding=stage.padding)(h)
            else:
                pads = [mirrored(stage.kernel, stage.stride, stage.padding, more) for more in stage.output_padding]
                h = nn.ConvTranspose(stage.features, size, stride, pads)(h)
            if i < len(self.stages) - 1:
                h = self.activation(h)
                h = ja.networks.BatchNorm()(h) if self.norm else h
        return h


def plain(model: Any) -> Any:
    """Return the model with Flax's own layers in the place of jaxae's."""
    encoder = model.encoder
    decoder = model.decoder if isinstance(model.decoder, ConvDecoder) else model.decoder.layers[0]
    own = _FlaxEncoder(encoder.stages, encoder.activation, encoder.norm, encoder.average, encoder.width)
    back: Any = _FlaxDecoder(decoder.start, decoder.stages, decoder.activation, decoder.norm, decoder.resize)
    if isinstance(model, ja.models.VAE):
        return ja.models.VAE(own, back, latent=model.latent)
    return ja.models.AE(own, nn.Sequential([back, nn.sigmoid]))


class Run:
    """A whole run of one system as one program, so many steps a call."""

    def __init__(self, case: Case, model: Any, steps: int) -> None:
        learner = ja.descend(ja.objective(model, case.loss), optax.adam(1e-3))
        rows = np.random.default_rng(0)
        n = steps * case.batch_size
        channels = 1 if case.system == "E2" else 3
        cond = np.eye(10, dtype=np.float32)[rows.integers(10, size=n)] if case.system == "E2" else None
        data = ja.Batch(rows.uniform(size=(n, case.size, case.size, channels)).astype(np.float32), cond)
        self.data = jax.tree.map(jnp.asarray, data)
        first = jax.tree.map(lambda leaf: leaf[:1], self.data)
        self.state = ja.start(learner, jax.jit(model.init)(jax.random.key(0), *first))
        self.steps = steps

        def steps_of(state: Any, data: ja.Batch) -> Any:
            return ja.run(learner, state, data, jax.random.key(1), epochs=1, batch_size=case.batch_size)

        began = time.perf_counter()
        self.program = jax.jit(steps_of, donate_argnums=0).lower(self.state, self.data).compile()
        self.compile_s = time.perf_counter() - began

    def rate(self) -> float:
        """Return steps per second of one call."""
        began = time.perf_counter()
        self.state, _ = jax.block_until_ready(self.program(self.state, self.data))
        return self.steps / (time.perf_counter() - began)

    def profile(self, most: int = 15) -> list[dict[str, Any]]:
        """Return the operations that took most of one call: name, what it came from, milliseconds of a step."""
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder):
                self.rate()
            (file,) = Path(folder).rglob("*.trace.json.gz")
            events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
        spent: collections.Counter[str] = collections.Counter()
        for event in events:
            operation = event.get("args", {}).get("hlo_op", "")
            if event.get("ph") == "X" and operation and not operation.startswith(("while", "call")):
                spent[operation] += event["dur"]
        named = {}
        for line in self.program.as_text().splitlines():
            found = re.match(r"\s*(?:ROOT )?%([\w.\-]+) = (\S+) .*op_name=\"([^\"]*)\"", line)
            if found:
                named.setdefault(found[1], f"{found[2].split('{')[0]} {found[3].rsplit('closed_call/', 1)[-1]}")
        return [
            {"operation": name, "from": named.get(name, ""), "ms": round(micro / 1e3 / self.steps, 3)}
            for name, micro in spent.most_common(most)
        ]


def peak(side: str, name: str) -> dict[str, float]:
    """Return the most resident memory of this process during a few steps of one side, in MiB.

    Compilation and the first steps are over before it is watched. What the process held before there was a model, the
    libraries, is told apart. Of jaxae's, also the buffers of the program, data and state included, as XLA plans them.
    """
    case = CASES[name]
    if side == "jaxae":
        jax.block_until_ready(jnp.ones(()) + 1)
        before = resident("VmRSS")
        run = Run(case, case.model(case.size), 4)
        step: Callable[[], float] = run.rate
        planned = run.program.memory_analysis()
        buffers = planned.temp_size_in_bytes + planned.argument_size_in_bytes
    else:
        from benchmarks.eager_images import Runner

        before, buffers = resident("VmRSS"), None
        runner = Runner(case.system, threads=2, batch_size=case.batch_size, size=case.size, batches=4)
        step = functools.partial(runner.rate, 4)
    step()
    most = most_resident(lambda: (step(), step()))
    found = {"libraries_mib": round(before), "peak_mib": round(most), "run_mib": round(most - before)}
    return found if buffers is None else {**found, "buffers_mib": round(buffers / 2**20)}


def measured(name: str, repeats: int, profiled: bool, with_torch: bool) -> dict[str, Any]:
    """Return the row of one case."""
    case = CASES[name]
    model = case.model(case.size)
    steps = 64 if case.system == "E2" else 8
    runs = {"jaxae": Run(case, model, steps), "flax": Run(case, plain(model), 2 if case.size > 28 else 16)}
    rates: dict[str, Callable[[], float]] = {label: run.rate for label, run in runs.items()}
    first = {label: run.compile_s for label, run in runs.items()}
    if with_torch:
        from benchmarks.eager_images import Runner

        for label, compiled in (("eager", False), ("compile", True)):
            runner = Runner(
                case.system, compile=compiled, threads=2, batch_size=case.batch_size, size=case.size, batches=steps
            )
            first[label] = runner.warm_up()
            rates[label] = functools.partial(runner.rate, steps)
    for rate in rates.values():
        rate()
    found: dict[str, list[float]] = {label: [] for label in rates}
    for repeat in range(repeats):
        for label, rate in rates.items():
            if label != "flax" or repeat < 3:  # so slow that three times tell enough
                time.sleep(REST)
                found[label].append(rate())
    row: dict[str, Any] = {
        "batch_size": case.batch_size,
        "target": case.target,
        "steps_per_s": {
            label: {
                "median": round(statistics.median(of), 3),
                "least": round(min(of), 3),
                "most": round(max(of), 3),
                "first_s": round(first[label], 1),
            }
            for label, of in found.items()
        },
        "ratio": {},
    }
    for label in rates:
        if label != "jaxae":
            pairs = [own / other for own, other in zip(found["jaxae"], found[label], strict=False)]
            row["ratio"][label] = {
                "median": round(statistics.median(found["jaxae"]) / statistics.median(found[label]), 3),
                "least": round(min(pairs), 3),
                "most": round(max(pairs), 3),
            }
    if profiled:
        row["profile"] = runs["jaxae"].profile()
    return row


def table(results: dict[str, Any]) -> str:
    """Return the Markdown table of README.md."""
    rivals = {"eager": "PyTorch", "compile": "`torch.compile`", "flax": "Flax's layers in a scan"}
    lines = [
        "Training steps per second of the convolutional systems, in proportion to a rival's in the same process "
        "(median, and the range of the repeats); `python -m benchmarks.convolutions` measures them again.",
        "",
        f"| system | batch | steps/s | {' | '.join(f'to {name}' for name in rivals.values())} | asked of PyTorch |",
        "|---|---|---|" + "---|" * (len(rivals) + 1),
    ]
    for name, row in results["cases"].items():
        ratios = [
            f"{one['median']:.2f} ({one['least']:.2f}–{one['most']:.2f})" if (one := row["ratio"].get(rival)) else ""
            for rival in rivals
        ]
        rate = row["steps_per_s"]["jaxae"]["median"]
        lines.append(f"| {name} | {row['batch_size']} | {rate:.1f} | {' | '.join(ratios)} | {row['target']} |")
    machine = results["machine"]
    about = f"{machine['processor']} {machine['device']} ({machine['cores']} cores), jax {machine['jax']}"
    return "\n".join([*lines, "", f"Measured on {about}, torch {machine['torch']}, two threads each."])


def main() -> None:
    """Measure the cases that are named, or all, and write them to the file of results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--peak", choices=["jaxae", "eager"], help="print the peak memory of one side only")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.peak:
        print(json.dumps(peak(given.peak, given.cases[0])))
        return
    with_torch = importlib.util.find_spec("torch") is not None
    results = json.loads(given.out.read_text()) if given.out.exists() else {}
    results["machine"] = {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "device": f"{len(jax.devices())} × {jax.devices()[0].device_kind}",
        "python": platform.python_version(),
        "jax": jax.__version__,
        "torch": importlib.metadata.version("torch") if with_torch else None,
        "threads": 2,
        "matmul_precision": str(jax.config.jax_default_matmul_precision or "default"),
    }
    for name in given.cases:
        row = measured(name, given.repeats, given.profile, with_torch)
        sides = ("jaxae", "eager") if with_torch else ("jaxae",)
        row["peak_memory"] = {
            side: json.loads(
                subprocess.run(
                    [sys.executable, "-m", "benchmarks.convolutions", name, "--peak", side],
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout
            )
            for side in sides
        }
        results.setdefault("cases", {})[name] = row
        given.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        readme.rewrite("convolutions", table(results))
        print(name, {label: of["median"] for label, of in row["steps_per_s"].items()}, row["ratio"], flush=True)


if __name__ == "__main__":
    main()
