"""Collectives in what a fit of a population compiles for two devices: members never communicate, so there are none.

XLA itself writes down every program that it compiles, whatever Python hides it; those are searched.
"""

import os
import re
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.reliability.rows import row
from benchmarks.reliability.runs import FAMILIES, system

MEMBERS, DEVICES = 4, 2
COLLECTIVE = (
    r"\b(?:all-reduce|all-gather|collective-permute|all-to-all|reduce-scatter|collective-broadcast)(?:-start)?\("
)


def spread(text: str) -> bool:
    """Return whether a program runs on several devices."""
    return re.search(r"num_partitions=[2-9]", text) is not None


def seen(folder: Path, before: set[Path]) -> tuple[int, int]:
    """Return how many programs on several devices were written down since, and the collectives in them."""
    texts = [path.read_text() for path in {*folder.glob("*after_optimizations.txt")} - before]
    found = [text for text in texts if spread(text)]
    return len(found), sum(len(re.findall(COLLECTIVE, text)) for text in found)


def fit(family: str, lanes: int | None) -> None:
    """Train a population of a family on all devices."""
    import jax

    import jaxae as ja

    given = system(family)
    model = given.model()
    ja.fit(
        model,
        lambda rate: given.learner(model, rate),
        given.data(),
        key=jax.random.key(0),
        epochs=2,
        batch_size=given.batch_size,
        hparams=ja.grid(rate=[1e-3, 1e-2]),
        seeds=MEMBERS // 2,
        mesh=jax.make_mesh((DEVICES,), ("members",), axis_types=(jax.sharding.AxisType.Auto,)),
        lanes=lanes,
        progress=False,
    )


def measured(short: bool) -> dict[str, Any]:
    """Return the collectives of every family, and of a program that is known to have one."""
    families = ["vae"] if short else list(FAMILIES)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        flags = f"--xla_dump_to={place} --xla_dump_hlo_as_text"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
        # Not before the flags are set, which XLA reads once.
        import jax
        import jax.numpy as jnp
        from jax.sharding import NamedSharding, PartitionSpec

        jax.config.update("jax_num_cpu_devices", DEVICES)
        mesh = jax.make_mesh((DEVICES,), ("members",), axis_types=(jax.sharding.AxisType.Auto,))
        x = jax.device_put(jnp.arange(4.0), NamedSharding(mesh, PartitionSpec("members")))
        jax.block_until_ready(jax.jit(lambda x: x - x.mean())(x))
        control = seen(folder, set())[1]
        counts, programs = {}, {}
        for family in families:
            before = set(folder.glob("*"))
            for lanes in (None,) if short else (None, 2):
                fit(family, lanes)
            programs[family], counts[family] = seen(folder, before)
    met = control > 0 and all(programs.values()) and not any(counts.values())
    found = {"collectives": counts, "programs": programs, "in a program that has some": control}
    return {**found, "goal": "0 in every family", "met": met}


if __name__ == "__main__":
    row("collectives", measured)
