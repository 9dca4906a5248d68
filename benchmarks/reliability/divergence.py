"""Members that are poisoned at a random step: they are named, and no bit of any other member changes.

Three poisons: a loss that is NaN, a gradient that is infinite while its loss is not, and a parameter that becomes
infinite. Three policies: the member goes back to the end of its last good epoch, the step is skipped, or the member is
frozen right before it.

What it costs to be able to: members of `fit`, which looks at every epoch's losses and variables, beside the same
members in one program that looks at nothing, step by step the same and with the same history; and with a learner that
looks at every step.
"""

import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxae as ja
from benchmarks.reliability.rows import row
from benchmarks.reliability.runs import FAMILIES, system
from benchmarks.systems import SYSTEMS

POISONINGS = 500
MEMBERS = 32
EPOCHS = 6
NEVER = 10**6
POISONS = ("loss", "gradient", "parameter")
POLICIES: dict[str, Callable[[ja.Learner], ja.Learner]] = {
    "go back": lambda learner: learner,
    "skip": ja.skip_nonfinite,
    "freeze": lambda learner: ja.skip_nonfinite(learner, patience=1),
}
TIMED = {"A1": 150, "A3": 150, "A5": 150}
"""Systems whose training is timed, and for how many epochs."""
TOGETHER = 16
REPEATS = 9
OVERHEAD = 1.03


class Poisoned(NamedTuple):
    """A model whose losses, and apart from them its parameters' gradients, are multiplied by a number.

    Attributes:
        model: a Linen module.
        losses: 1, or NaN.
        gradients: 1, or infinity.
    """

    model: Any
    losses: Any
    gradients: Any

    def apply(self, variables: Any, *args: Any, **kwargs: Any) -> Any:
        """Return what the model's own `apply` does, poisoned."""

        def poison(_: None, slope: Any) -> Any:
            return (jax.tree.map(lambda leaf: leaf * self.gradients, slope),)

        through = jax.custom_vjp(lambda params: params)
        through.defvjp(lambda params: (params, None), poison)
        (values, metrics), written = self.model.apply(
            {**variables, "params": through(variables["params"])}, *args, **kwargs
        )
        return (values * self.losses, metrics), written


def learner(family: Any, model: Any, policy: str, bad: Any, poison: Any) -> ja.Learner:
    """Return the learner of a family that is poisoned at the step `bad`, counted from 1, under a policy."""

    def at(ill: Any) -> ja.Learner:
        def of(name: str, value: float, usual: float) -> Any:
            return jnp.where(ill & (poison == POISONS.index(name)), value, usual)

        inner = family.learner(Poisoned(model, of("loss", jnp.nan, 1.0), of("gradient", jnp.inf, 1.0)), 1e-3)

        def step(variables: Any, opt_state: Any, batch: ja.Batch, key: Any) -> Any:
            variables, opt_state, metrics = inner.step(variables, opt_state, batch, key)
            leaves, tree = jax.tree.flatten(variables["params"])
            leaves[0] = leaves[0].at[(0,) * leaves[0].ndim].add(of("parameter", jnp.inf, 0.0))
            return {**variables, "params": jax.tree.unflatten(tree, leaves)}, opt_state, metrics

        return POLICIES[policy](ja.Learner(inner.init, step))

    # The schedule counts every step, those that are undone too.
    return ja.schedule(at, ill=lambda step: step + 1 == bad)


def fitted(family: str, policy: str, bad: list[int], poison: list[int]) -> tuple[ja.Fit, int]:
    """Return a population whose members are poisoned at their bad step, and the steps of an epoch."""
    given = system(family)
    model = given.model()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = ja.fit(
            model,
            lambda bad, poison: learner(given, model, policy, bad, poison),
            given.data(),
            key=jax.random.key(3),
            epochs=EPOCHS,
            batch_size=given.batch_size,
            hparams={"bad": np.asarray(bad, np.int32), "poison": np.asarray(poison, np.int32)},
            lanes=4,
            progress=False,
        )
    return found, given.steps_per_epoch


def told(status: Any, policy: str, bad: int, poison: int, steps: int) -> bool:
    """Return whether a poisoned member is named with what is known of it, and nothing else."""
    epoch = -(-bad // steps)
    if policy == "skip":
        return (status.skipped, status.skipped_step, status.diverged_epoch, status.epochs) == (1, bad, 0, EPOCHS)
    if policy == "freeze":
        known = (status.skipped, status.skipped_step, status.diverged_step) == (1, bad, bad)
    else:
        # A loss that follows shows what the step made of the variables, or the end of the epoch does.
        last = bad if POISONS[poison] == "loss" else epoch * steps
        known = status.skipped == 0 and bad <= status.diverged_step <= last
    return bool(known and (status.diverged_epoch, status.epochs) == (epoch, epoch - 1))


def overhead(name: str, epochs: int) -> dict[str, list[float]]:
    """Return the seconds of a step of fits that watch their members by those of none that does: median, least, most."""
    given = SYSTEMS[name]
    model, data, keys = given.model(), given.data(), jax.random.split(jax.random.key(1), TOGETHER)
    learner = given.learner(model, 1e-3)

    def member(key: Any) -> Any:
        return ja.train(model, learner, data, key, epochs=epochs, batch_size=given.batch_size)

    bare = ja.sweep(member)

    def unwatched() -> float:
        began = time.perf_counter()
        jax.block_until_ready(bare(keys))
        return (time.perf_counter() - began) / (TOGETHER * epochs * given.steps_per_epoch)

    def watched(learner: ja.Learner) -> float:
        own = {"epochs": epochs, "batch_size": given.batch_size, "seeds": TOGETHER, "progress": False}
        record = ja.fit(model, learner, data, key=jax.random.key(1), **own).record
        return record["run_seconds"] / record["steps"]

    ways: dict[str, Callable[[], float]] = {
        policy: lambda own=own: watched(own(learner))  # type: ignore[misc]
        for policy, own in POLICIES.items()
    }
    found: dict[str, list[float]] = {policy: [] for policy in POLICIES}
    unwatched()
    for _ in range(REPEATS):
        for policy, way in ways.items():
            before, own, after = unwatched(), way(), unwatched()
            found[policy].append(own / statistics.mean([before, after]))
    return {
        policy: [round(each, 3) for each in (statistics.median(own), min(own), max(own))]
        for policy, own in found.items()
    }


def measured(short: bool) -> dict[str, Any]:
    """Return the counts of all poisonings."""
    if short:
        # What is counted is the same, and compiled in half the time.
        jax.config.update("jax_disable_most_optimizations", True)
    draw = random.Random(0)
    names = ("poisoned", "named", "healthy", "changed", "false alarms", "not finite")
    found: dict[str, Any] = dict.fromkeys(names, 0)
    families = ["autoencoder"] if short else list(FAMILIES)
    members = 8 if short else MEMBERS
    rounds = 1 if short else -(-POISONINGS // (len(FAMILIES) * MEMBERS // 2))
    for policy in POLICIES:
        count = 0
        for family in families:
            well, steps = fitted(family, policy, [NEVER] * members, [0] * members)
            expected = [jax.tree.leaves(jax.device_get(well.take(i).state)) for i in range(members)]
            found["false alarms"] += int((well.status.diverged_epoch + well.status.skipped > 0).sum())
            for _ in range(rounds):
                ill = set(draw.sample(range(members), members // 2))
                bad = [draw.randrange(1, EPOCHS * steps + 1) if i in ill else NEVER for i in range(members)]
                poison = [draw.randrange(len(POISONS)) for _ in range(members)]
                many, _ = fitted(family, policy, bad, poison)
                for i in range(members):
                    one = many.take(i)
                    leaves = jax.tree.leaves(jax.device_get(one.state))
                    if i in ill:
                        count += 1
                        found["named"] += told(one.status, policy, bad[i], poison[i], steps)
                        found["not finite"] += not all(np.isfinite(leaf).all() for leaf in leaves)
                    else:
                        found["healthy"] += 1
                        found["false alarms"] += bool(one.status.diverged_epoch or one.status.skipped)
                        same = (a.tobytes() == b.tobytes() for a, b in zip(leaves, expected[i], strict=True))
                        found["changed"] += not all(same)
        found["poisoned"] += count
        found[policy] = count
    bad_ones = found["changed"] + found["false alarms"] + found["not finite"]
    met = found["named"] == found["poisoned"] and not bad_ones
    if not short:
        met &= all(found[policy] >= POISONINGS for policy in POLICIES)
        found["time of a step"] = {name: overhead(name, epochs) for name, epochs in TIMED.items()}
        met &= all(own["go back"][0] <= OVERHEAD for own in found["time of a step"].values())
    goal = f"all named; 0 changed, 0 false alarms; a step that may go back ≤ {OVERHEAD} × one that is not watched"
    return {**found, "goal": goal, "met": met}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:
        # A fit of the same family and policy is the same program.
        jax.config.update("jax_compilation_cache_dir", cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        row("divergence", measured)
