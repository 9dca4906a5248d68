"""Members that are poisoned at a random step: they are named, and no bit of any other member changes."""

import random
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxae as ja
from benchmarks.reliability.rows import row
from benchmarks.reliability.runs import FAMILIES, system

POISONINGS = 500
MEMBERS = 8
EPOCHS = 6
NEVER = 10**6


def fitted(family: str, bad: list[int]) -> tuple[ja.Fit, int]:
    """Return a population whose members get a learning rate of NaN at their bad step, and the steps of an epoch."""
    given = system(family)
    model = given.model()

    def factory(bad: Any) -> ja.Learner:
        def at(rate: Any) -> ja.Learner:
            return given.learner(model, rate)

        return ja.schedule(at, rate=lambda step: jnp.where(step + 1 == bad, jnp.nan, 1e-3))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = ja.fit(
            model,
            factory,
            given.data(),
            key=jax.random.key(3),
            epochs=EPOCHS,
            batch_size=given.batch_size,
            hparams={"bad": np.asarray(bad, np.int32)},
            lanes=4,
            progress=False,
        )
    return found, given.steps_per_epoch


def measured(short: bool) -> dict[str, Any]:
    """Return the counts of all poisonings."""
    draw = random.Random(0)
    found = dict.fromkeys(("poisoned", "named", "healthy", "changed", "false alarms", "not rolled back"), 0)
    families, rounds = (["vae"], 1) if short else (list(FAMILIES), -(-POISONINGS // (len(FAMILIES) * MEMBERS // 2)))
    for family in families:
        well, steps = fitted(family, [NEVER] * MEMBERS)
        expected = [jax.tree.leaves(jax.device_get(well.take(i).state)) for i in range(MEMBERS)]
        found["false alarms"] += int((well.status.diverged_epoch > 0).sum())
        for _ in range(rounds):
            ill = sorted(draw.sample(range(MEMBERS), MEMBERS // 2))
            bad = [draw.randrange(1, EPOCHS * steps + 1) if i in ill else NEVER for i in range(MEMBERS)]
            many, _ = fitted(family, bad)
            for i in range(MEMBERS):
                epoch = int(many.status.diverged_epoch[i])
                leaves = jax.tree.leaves(jax.device_get(many.take(i).state))
                if i in ill:
                    found["poisoned"] += 1
                    found["named"] += epoch == -(-bad[i] // steps)
                    found["not rolled back"] += not all(np.isfinite(leaf).all() for leaf in leaves)
                else:
                    found["healthy"] += 1
                    found["false alarms"] += epoch > 0
                    same = (a.tobytes() == b.tobytes() for a, b in zip(leaves, expected[i], strict=True))
                    found["changed"] += not all(same)
    met = found["named"] == found["poisoned"] and not (
        found["changed"] or found["false alarms"] or found["not rolled back"]
    )
    return {**found, "goal": "all named; 0 changed, 0 false alarms", "met": met}


if __name__ == "__main__":
    row("divergence", measured)
