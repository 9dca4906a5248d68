"""What a GPU does in one training step."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

__all__ = ["per_step", "traced"]

STEPS = 200
"""Steps of the shorter of two traces, in whole passes over the data."""


def per_step(runner: Any) -> dict[str, float]:
    """Return the kernels that a step launches, copies counted too, and the microseconds that it is at work on them.

    Steps are traced, and then twice as many; the difference is what they do without what begins and ends a run. Time
    in which none of them runs is none of theirs.

    Args:
        runner: a row of `benchmarks.compiled`.
    """
    each = runner.system.steps_per_epoch
    steps = -(-STEPS // each) * each
    (few, some_ns), (many, more_ns) = (traced(lambda n=n: runner.rate(n)) for n in (steps, 2 * steps))
    return {"kernels": round((many - few) / steps, 1), "busy_us": round((more_ns - some_ns) / 1e3 / steps, 2)}


def traced(run: Callable[[], Any]) -> tuple[int, int]:
    """Return how many kernels ran, and the nanoseconds that all of them took."""
    launched = busy = 0
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level, options.host_tracer_level = 0, 1  # of the host next to nothing
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            run()
        for path in Path(folder).rglob("*.xplane.pb"):
            for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
                if not plane.name.startswith("/device:GPU"):
                    continue
                for line in plane.lines:
                    if line.name.startswith("Stream"):
                        for event in line.events:
                            launched += 1
                            busy += int(event.duration_ns)
    return launched, busy
