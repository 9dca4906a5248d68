"""One row of the table of throughput in a process of its own, told over its standard input what to do.

A row that is told nothing does nothing, so rows of JAX and of PyTorch take turns on one machine, and each has threads,
devices and memory of its own. `benchmarks.throughput` starts the rows; alone:

    echo rate | python -m benchmarks.measure '{"system": "A1", "side": "jaxae", "form": "fit"}'

It begins with a line of how many seconds its first steps took, compilation included. Then every line of input is
answered by one line: `rate` by (member-)steps per second, `memory` by the most MiB it holds, and `kernels` by what a
step of JAX launches on a GPU.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Row", "most_resident", "resident"]


class Row(NamedTuple):
    """What is measured, and how.

    Attributes:
        system: its name in `benchmarks.systems`.
        side: "jaxae", "torch" or "peak", the machine's products.
        form: of jaxae a key of `benchmarks.compiled.FORMS`; of torch "eager", "compile" or "reduce-overhead".
        members: models at once; None is one model that is no population.
        chunk: members in device memory together, where not all.
        batches: minibatches that the data have, where not the system's own.
        threads: of torch.
        processes: that run at once, each the whole row.
        device: "cpu" or "gpu".
        precision: of a GPU's products: "float32", or "tensorfloat32", JAX's default there.
        seconds: that one rate takes, about.
    """

    system: str
    side: str
    form: str
    members: int | None = None
    chunk: int | None = None
    batches: int | None = None
    threads: int = 1
    processes: int = 1
    device: str = "cpu"
    precision: str = "float32"
    seconds: float = 1.0

    @property
    def name(self) -> str:
        """How a table calls it."""
        parts = [self.side, self.form, self.members and f"{self.members:,} members"]
        parts += [self.chunk and f"{self.chunk} at a time"]
        if self.side == "torch" and self.device == "cpu":
            parts += [f"{self.threads} thread" + "s" * (self.threads > 1)]
            parts += [self.processes > 1 and f"{self.processes} processes"]
        parts += [self.device == "gpu" and self.precision]
        return ", ".join(str(part) for part in parts if part)


def resident(name: str) -> float:
    """Return what Linux counts of this process's memory, in MiB: VmRSS, what it holds, or VmHWM, the most so far."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def most_resident(work: Callable[[], Any]) -> float:
    """Return the most MiB that this process holds while it works, what compiling has left on the heap given back."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    work()
    return resident("VmHWM")


def built(row: Row) -> Any:
    """Return what has `first() -> seconds` and `rate(steps) -> steps per second`."""
    if row.side == "torch":
        return _built_of_torch(row)
    import jax

    if row.device == "cpu":
        many = row.members is not None or row.side == "peak"
        jax.config.update("jax_num_cpu_devices", (os.cpu_count() or 1) if many else 1)
    else:
        jax.config.update("jax_default_matmul_precision", row.precision)
    from benchmarks import compiled
    from benchmarks.systems import SYSTEMS

    if row.side == "peak":
        return compiled.Gemm()
    system = SYSTEMS[row.system]
    if row.batches:
        system = system._replace(rows=row.batches * system.batch_size)
    if row.form == "fit":
        return compiled.Fit(system, row.members, row.chunk)
    return compiled.FORMS[row.form](system)


def _built_of_torch(row: Row) -> Any:
    from benchmarks.systems import SYSTEMS

    system = SYSTEMS[row.system]
    name, cuda = system.eager or row.system, "cuda" if row.device == "gpu" else "cpu"
    mode = row.form if row.form == "reduce-overhead" else None
    given: dict[str, Any] = {"threads": row.threads, "compile": row.form != "eager", "device": cuda}
    given["tf32"] = row.precision != "float32"
    given["batches"] = row.batches or system.steps_per_epoch
    if isinstance(system.columns, int):
        from benchmarks import eager

        if row.members is not None:
            return eager.Population(name, row.members, mode=mode, **given)
        return eager.Runner(name, mode=mode, **given)
    from benchmarks import eager_images

    size = {"batch_size": system.batch_size, "size": system.shape[0]}
    return eager_images.Runner(name, mode=mode or "default", **given, **size)


def main() -> None:
    """Build the row of the argument, and answer until the input ends."""
    row = Row(**json.loads(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w")
    # What libraries print does not answer anything.
    os.dup2(2, 1)

    def answer(what: Any) -> None:
        print(json.dumps(what), file=answers, flush=True)

    runner = built(row)
    with _alone(row):
        first = runner.first() if hasattr(runner, "first") else runner.warm_up()
    members = getattr(runner, "members", 1)
    # Rows of a GPU start together; how many steps fill the time they find out then, and so take rather too few.
    steps = _enough(row, runner, members) if row.device == "gpu" else None
    answer(first)
    for line in sys.stdin:
        if line.strip() == "rate":
            steps = steps or _enough(row, runner, members)
            answer(runner.rate(steps))
        elif line.strip() == "kernels":
            from benchmarks import kernels

            answer(kernels.per_step(runner))
        else:
            answer(_most_memory(row, runner))


@contextlib.contextmanager
def _alone(row: Row) -> Iterator[None]:
    """Keep a GPU from rows of JAX that wait to compile: XLA times kernels to choose among them, and would time others.

    On an H200 a program compiled beside 20 others had kernels that took four times as long.
    """
    if row.device == "cpu" or row.side == "torch":
        yield
        return
    with open(Path(tempfile.gettempdir()) / "jaxae-benchmarks.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _enough(row: Row, runner: Any, members: int) -> int:
    """Return how many steps fill the time: ever more, until they take long enough to tell."""
    steps, rate = 1, runner.rate(1)
    while steps * members / rate < row.seconds / 4:
        steps = max(2 * steps, round(row.seconds / 4 * rate / members))
        rate = runner.rate(steps)
    # Of a large population a few, however long they take: `fit` begins and ends with work of its own.
    return max(4 if row.members else 1, round(row.seconds * rate / members))


def _most_memory(row: Row, runner: Any) -> float:
    """Return the most MiB that the process holds while it trains, or of a GPU's memory."""
    if row.device == "gpu":
        if row.side == "torch":
            import torch

            return torch.cuda.max_memory_allocated() / 2**20
        import jax

        return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0) / 2**20
    return most_resident(lambda: runner.rate(1))


if __name__ == "__main__":
    main()
