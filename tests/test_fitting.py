"""`fit`: what it gives is what `train` gives, and what becomes of runs that stop, diverge or go on another day."""

import functools
import json
import re
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType

import jaxae as ja
from jaxae.checkpoint import Keep, Steps
from jaxae.distributions import per_example
from jaxae.fitting import course, resume
from jaxae.fitting.resume import CHANGEABLE
from tests.line import Line, errors

ROWS, FEATURES, BATCH, STEPS = 24, 5, 8, 3
DATA = ja.Batch(jax.random.uniform(jax.random.key(0), (ROWS, FEATURES)))
VALID = ja.Batch(jax.random.uniform(jax.random.key(1), (10, FEATURES)))


def squared(spoil=1.0):
    def objective(variables, batch, key):
        noise = 1 + 0.5 * jax.random.normal(key, (len(batch.x),))
        value = (errors(variables, batch) * noise).mean() * spoil
        return value, (variables, {"loss": value})

    return objective


def learner(lr=0.1):
    return ja.descend(squared(), optax.sgd(lr, momentum=0.9))


def spoilt(bad):
    """Return the learner whose loss is NaN at step `bad`, counted from 1."""

    def at(spoil):
        return ja.descend(squared(spoil), optax.sgd(0.1, momentum=0.9))

    return ja.schedule(at, spoil=lambda step: jnp.where(step + 1 == bad, jnp.nan, 1.0))


def key():
    return jax.random.key(1)


def fit(learner=None, data=DATA, **given):
    arguments = {"key": key(), "epochs": 5, "batch_size": BATCH, "progress": False} | given
    return ja.fit(Line(), learner or LEARNER, data, **arguments)


LEARNER = learner()
SCORED = {"validation": VALID, "score": errors}


@functools.cache
def epoch(learner):
    return jax.jit(lambda state, key: ja.run(learner, state, DATA, key, epochs=1, batch_size=BATCH))


def trained(epochs, learner=LEARNER):
    """Return the state and the losses of that many epochs: epoch by epoch they have the bits of one `train`."""
    state, run_key = ja.training.initialise(Line(), learner, DATA, key())
    losses = []
    for _ in range(epochs):
        state, history = epoch(learner)(state, run_key.copy())
        losses.append(history.get("loss"))
    return state, losses


def mesh_of(devices):
    return jax.make_mesh((devices,), ("members",), axis_types=(AxisType.Auto,))


def rows_of(devices, kind=AxisType.Auto):
    return jax.make_mesh((devices,), ("data",), axis_types=(kind,), devices=jax.devices()[:devices])


def same(a, b):
    """Fail unless two trees are equal, to the bit."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    pairs = zip(jax.tree.leaves(jax.device_get(a)), jax.tree.leaves(jax.device_get(b)), strict=True)
    for x, y in pairs:
        x, y = np.asarray(x), np.asarray(y)
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        assert x.tobytes() == y.tobytes(), f"{x} against {y}"


def close(a, b):
    """Fail unless two trees are equal to rounding: sums in another order, of some tens of numbers around 1."""
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), a, b)


def same_fit(a, b):
    """Fail unless two fits are equal but for what their records tell of the process."""
    same(a[:6], b[:6])
    times = {"compile_seconds", "run_seconds", "steps"}
    assert {k: v for k, v in a.record.items() if k not in times} == {
        k: v for k, v in b.record.items() if k not in times
    }


@pytest.fixture(scope="module")
def grid():
    return ja.grid(lr=[0.01, 0.05, 0.1])


@pytest.fixture(scope="module")
def single():
    return fit(epochs=8, **SCORED)


@pytest.fixture(scope="module")
def population(grid):
    return fit(learner, hparams=grid, seeds=2, lanes=2)


# One run


def test_a_fit_is_that_train(optimised):
    vae = ja.models.VAE(ja.networks.MLP((6,)), ja.networks.MLP((6, FEATURES)), latent=2)
    learner = ja.descend(ja.objective(vae, ja.losses.elbo), optax.adam(1e-2))
    fitted = ja.fit(vae, learner, DATA, key=key(), epochs=4, batch_size=10, progress=False)
    state, history = jax.jit(lambda key: ja.train(vae, learner, DATA, key, epochs=4, batch_size=10))(key())
    same(fitted.state, state)
    same(fitted.history, history)
    same(fitted.variables, state.variables)
    assert (fitted.hparams, fitted.seeds, fitted.members, fitted.describe()) == ({}, None, None, "trained")
    assert tuple(map(int, fitted.status)) == (4, 4, 0, 0, 0, 0, 0)


def test_validation_changes_no_bit_of_the_run(single):
    state, losses = trained(8)
    same(single.state, state)
    same(single.history["loss"], np.concatenate(losses))


def test_the_best_epoch_is_the_one_with_the_smallest_validation(single):
    # The mean in the fit and here are two programs: rounding of float32.
    each = [errors(trained(epochs)[0].variables, VALID).mean() for epochs in range(1, 9)]
    np.testing.assert_allclose(single.history["validation"], each, rtol=1e-5)
    best = int(np.argmin(each)) + 1
    assert 1 < best < 8, "this seed shows nothing: the best epoch is the first or the last"
    assert int(single.status.best_epoch) == best
    same(single.variables, trained(best)[0].variables)
    assert float(single.final()) == single.history["validation"].min()


def test_patience_ends_a_run(single):
    best = int(single.status.best_epoch)
    assert best + 2 < 8 and single.history["validation"].argmin() == best - 1
    fitted = fit(epochs=8, patience=2, **SCORED)
    end = int(fitted.status.epochs)
    # The first epoch that is the second in a row without a better one.
    minima = np.minimum.accumulate(single.history["validation"])
    waits = [e + 1 - (np.argmax(single.history["validation"] == minima[e]) + 1) for e in range(8)]
    assert end == 1 + next(e for e in range(8) if waits[e] == 2) < 8
    assert fitted.describe() == f"stopped early after epoch {end}"
    same(fitted.state, trained(end)[0])
    for name, values in fitted.history.items():
        same(values[:end], single.history[name][:end])
        assert values.shape == (8,) and np.isnan(values[end:]).all()


def test_every_validation_row_counts_once():
    # One more than fits into a part, and what is scored is known: the mean of the rows.
    x = jax.random.uniform(jax.random.key(2), (1025, FEATURES)).at[-1].set(1e4)
    fitted = fit(epochs=1, validation=ja.Batch(x), score=lambda variables, batch, key: per_example(batch.x))
    # A sum of 1,025 float32 numbers of which one is large.
    np.testing.assert_allclose(fitted.history["validation"], [np.asarray(x, np.float64).sum(1).mean()], rtol=1e-5)


def test_every_epoch_and_part_scores_with_its_own_key():
    rows = ja.Batch(jnp.ones((2049, FEATURES)))
    seen = []

    def score(variables, batch, key):
        draw = jax.random.uniform(key)
        jax.debug.callback(lambda value: seen.append(float(value)), draw)
        return jnp.broadcast_to(draw, len(batch.x))

    fit(epochs=3, validation=rows, score=score)
    jax.effects_barrier()
    assert len(seen) == len(set(seen)) == 9


@pytest.mark.parametrize("lanes", [None, 1, 2])
def test_members_score_with_keys_of_their_own(lanes):
    def noisy(variables, batch, key):
        return 0 * errors(variables, batch) + jax.random.normal(key, (len(batch.x),))

    fitted = fit(seeds=3, lanes=lanes, validation=VALID, score=noisy)
    assert len(np.unique(fitted.history["validation"])) == 15
    single = fit(key=jax.random.fold_in(key(), 2), validation=VALID, score=noisy)
    np.testing.assert_allclose(fitted.history["validation"][2], single.history["validation"], rtol=1e-5)


def test_without_a_finite_validation_the_untrained_variables_are_named_as_such():
    with pytest.warns(RuntimeWarning, match="no validation of the run was finite") as caught:
        fitted = fit(epochs=2, validation=VALID, score=lambda v, batch, key: jnp.full(len(batch.x), jnp.nan))
    assert len(caught) == 1 and caught[0].filename == __file__
    assert (int(fitted.status.best_epoch), int(fitted.status.epochs)) == (0, 2)
    assert np.isposinf(fitted.final())


def test_float64_and_numpy_data_are_the_same_data():
    same_fit(fit(data=ja.Batch(np.asarray(DATA.x, np.float64)), epochs=2), fit(epochs=2))


def test_conditions_reach_the_model():
    class Conditioned(Line):
        def init(self, key, x, cond):
            assert cond.shape == (1, 2)
            return super().init(key, x)

    def objective(variables, batch, key):
        value = ((batch.x @ variables["params"]["w"] - batch.cond[:, 0]) ** 2).mean()
        return value, (variables, {"loss": value})

    data = ja.Batch(DATA.x, jnp.stack([DATA.x.sum(1), DATA.x[:, 0]], 1))
    tx = optax.sgd(0.3)
    fitted = ja.fit(
        Conditioned(), ja.descend(objective, tx), data, key=key(), epochs=200, batch_size=24, progress=False
    )
    # cond is the sum of x, so w is 1 everywhere.
    np.testing.assert_allclose(fitted.variables["params"]["w"], 1, atol=0.1)


def test_a_learner_without_metrics_has_no_history():
    still = ja.Learner(lambda variables: (), lambda variables, state, batch, key: (variables, state, {}))
    fitted = fit(still)
    assert fitted.history == {} and fitted.describe() == "trained"


# Many runs


@pytest.mark.parametrize("devices", [None, 2])
def test_a_population_in_lanes_is_those_trains(grid, population, devices):
    fitted = fit(learner, hparams=grid, seeds=2, lanes=2, mesh=devices and mesh_of(devices))
    same(fitted[:6], population[:6])

    def member(seed, lr):
        own = jax.random.fold_in(key(), seed)
        return ja.train(Line(), learner(lr), DATA, own, epochs=5, batch_size=BATCH)

    pairs = (jnp.array([0, 1] * 3), jnp.repeat(grid["lr"], 2))
    state, history = ja.population.spread(lambda own, _: member(*own), lanes=2)(pairs, None)
    same(fitted.state, state)
    same(fitted.history, history)


def test_the_axes_of_a_population(grid, population):
    assert population.members == 6
    np.testing.assert_array_equal(population.seeds, [0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(population.hparams["lr"], np.repeat(np.asarray(grid["lr"]), 2))
    assert population.history["loss"].shape == (6, 5) and np.isfinite(population.history["loss"]).all()
    assert [np.shape(part) for part in population.status] == [(6,)] * 7
    assert {leaf.shape[0] for leaf in jax.tree.leaves((population.state, population.variables))} == {6}


@pytest.mark.parametrize("lanes", [None, 2])
def test_a_member_alone(population, lanes):
    alone = fit(learner, hparams={"lr": [0.1]}, lanes=lanes)
    if lanes:
        same(alone.take(0)[:4], population.take(4)[:4])
    else:
        # vmap of one and of two lanes: rounding of float32 over 15 steps of a convex problem.
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
            jax.device_get(alone.take(0)[:3]),
            jax.device_get(population.take(4)[:3]),
        )


def test_seeds_alone_make_a_population_of_a_finished_learner(population):
    fitted = fit(LEARNER, seeds=2, lanes=2)
    assert fitted.hparams == {} and fitted.seeds.tolist() == [0, 1]
    # A learning rate that is a constant of the program is folded into it: rounding of float32 over 15 steps.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b[4:], rtol=1e-4), fitted.variables, dict(population.variables)
    )


def test_every_member_has_its_own_end_and_best_epoch(grid):
    given = {"hparams": grid, "lanes": 2, "epochs": 8, **SCORED}
    whole, fitted = fit(learner, **given), fit(learner, patience=1, **given)
    ends = fitted.status.epochs
    assert len(set(ends.tolist())) > 1 and ends.min() < 8, "these seeds show nothing: all members end together"
    for i, end in enumerate(ends):
        waited = whole.history["validation"][i, : end + 1]
        assert np.isnan(fitted.history["validation"][i, end:]).all()
        same(fitted.history["validation"][i, :end], waited[:end])
        best = int(np.argmin(waited[:end])) + 1
        assert int(fitted.status.best_epoch[i]) == best
        assert end == 8 or best == end - 1
        # No two epochs have the same validation, so this tells which epoch the variables are of.
        value = errors(fitted.take(i).variables, VALID).mean()
        np.testing.assert_allclose(value, waited[best - 1], rtol=1e-5)


# Runs that diverge


@pytest.mark.parametrize(("devices", "chunk"), [(None, 1), (2, 4), (None, 100)])
def test_chunks_of_members_change_no_bit_and_stay_in_host_memory(grid, population, devices, chunk):
    seen = []
    given = {"hparams": grid, "seeds": 2, "lanes": 1, "mesh": devices and mesh_of(devices)}
    chunked = fit(learner, chunk=chunk, progress=seen.append, **given)
    same_fit(chunked, fit(learner, **given))
    if chunk < 6:
        assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves((chunked.state, chunked.variables)))
        assert {now.about for now in seen} == {
            f"members {first}–{min(first + chunk, 6) - 1} of 6" for first in range(0, 6, chunk)
        }
        assert seen[-1].line().startswith(seen[-1].about + " · epoch 5/5")


def test_one_program_trains_all_chunks():
    traces = []

    def counted(variables, batch, key):
        traces.append(1)
        return squared()(variables, batch, key)

    fit(ja.descend(counted, optax.sgd(0.1)), seeds=2)
    once = len(traces)
    traces.clear()
    fit(ja.descend(counted, optax.sgd(0.1)), seeds=7, chunk=2)
    assert len(traces) == once


def test_what_became_of_members_of_chunks_is_told_of_each():
    with pytest.warns(RuntimeWarning, match="member 3 .*diverged"):
        fitted = fit(learner, hparams={"lr": np.float32([0.01, 0.02, 0.03, 1e30, 0.05])}, chunk=2)
    assert [fitted.describe(i)[:8] for i in range(5)] == ["trained", "trained", "trained", "diverged", "trained"]


@pytest.mark.parametrize(("bad", "epoch"), [(1, 1), (8, 3), (15, 5)])
def test_a_diverging_run_goes_back_to_its_last_good_epoch(optimised, bad, epoch):
    learner = spoilt(bad)
    with pytest.warns(RuntimeWarning, match=f"the run diverged in epoch {epoch} at step {bad}; its state") as caught:
        fitted = fit(learner, **SCORED)
    assert len(caught) == 1 and caught[0].filename == __file__
    good = epoch - 1
    assert tuple(map(int, fitted.status))[:3:2] == (good, epoch)
    assert int(fitted.status.diverged_step) == bad
    assert fitted.describe() == f"diverged in epoch {epoch} at step {bad}"
    loss, validation = fitted.history["loss"], fitted.history["validation"]
    assert loss.shape == (5,) and np.isfinite(loss[:good]).all() and np.isnan(loss[good:]).all()
    assert np.isfinite(validation[:good]).all() and np.isnan(validation[epoch:]).all()
    if good:
        same(fitted.state, trained(good, learner)[0])
        assert 0 < int(fitted.status.best_epoch) <= good
    else:
        same(fitted.state, trained(0, learner)[0])
        same(fitted.variables, fitted.state.variables)
    assert np.isposinf(fitted.final())


def late(bad):
    """Return a learner whose parameters, but no loss, are infinite after a step."""
    inner = learner()

    def step(variables, state, batch, key):
        variables, new, metrics = inner.step(variables, state[1], batch, key)
        poison = jnp.where(state[0] + 1 == bad, jnp.inf, 0.0)
        return jax.tree.map(lambda leaf: leaf + poison, variables), (state[0] + 1, new), metrics

    return ja.Learner(lambda variables: (jnp.zeros((), jnp.int32), inner.init(variables)), step)


def test_parameters_that_no_loss_has_seen_count_too():
    # Spoilt after step 6, the last of epoch 2: no loss of that epoch saw it.
    with pytest.warns(RuntimeWarning, match="in epoch 2 at step 6"):
        fitted = fit(late(6))
    assert int(fitted.status.epochs) == 1
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fitted.state))
    # Spoilt after step 4: the loss of step 5 shows it.
    with pytest.warns(RuntimeWarning, match="in epoch 2 at step 5"):
        fit(late(4))


def test_the_players_of_a_chain_are_watched_too():
    pair = ja.chain(healthy=learner(), ill=spoilt(5))
    with pytest.warns(RuntimeWarning, match="in epoch 2 at step 5"):
        fitted = fit(pair)
    assert sorted(fitted.history) == ["healthy/loss", "ill/loss"]


@pytest.mark.parametrize(
    "make",
    [
        *(functools.partial(*own) for own in ((spoilt, 8), (late, 3), (late, 8))),
        lambda: ja.skip_nonfinite(late(8), patience=1),
    ],
    ids=["loss 8", "parameter 3", "parameter 8", "frozen"],
)
def test_members_one_after_another_go_back_as_they_do_together_and_alone(make):
    """Alone and one after another a member is taken back once, at the end of a chunk; together after every epoch."""
    own = make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        single, together = (fit(own, seeds=3, lanes=lanes, **SCORED) for lanes in (1, 3))
        alone = fit(own, key=jax.random.fold_in(key(), 1), **SCORED)
    assert 0 < int(alone.status.diverged_epoch) < 5
    for name in single.status._fields:
        np.testing.assert_array_equal(getattr(single.status, name), getattr(together.status, name), err_msg=name)
        assert getattr(single.status, name)[1] == getattr(alone.status, name), name
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    for part in ("variables", "state", "history"):
        jax.tree.map(close, getattr(single, part), getattr(together, part))
        jax.tree.map(close, jax.tree.map(lambda leaf: leaf[1], getattr(single, part)), getattr(alone, part))


@pytest.mark.parametrize("lanes", [None, 2])
def test_a_member_that_diverges_changes_no_other(lanes):
    given = {"lanes": lanes, "mesh": mesh_of(2), "seeds": 1}
    healthy = fit(learner, hparams={"lr": [0.01, 0.02, 0.05, 0.1]}, **given)
    with pytest.warns(RuntimeWarning, match=re.escape("member 1 (lr=1e+30) diverged in epoch 1 at step")) as caught:
        ill = fit(learner, hparams={"lr": [0.01, 1e30, 0.05, 0.1]}, **given)
    assert len(caught) == 1
    for i in (0, 2, 3):
        same(ill.take(i)[:4], healthy.take(i)[:4])
        assert int(ill.status.diverged_epoch[i]) == 0
    assert np.isposinf(ill.final()[1]) and ill.best() != 1
    assert ill.describe(1).startswith("diverged") and ill.describe(0) == "trained"


def test_each_warning_names_its_member():
    with pytest.warns(RuntimeWarning) as caught:
        fitted = fit(lambda bad, weight: spoilt(bad), hparams={"bad": [2, 99, 5], "weight": [0.5, 0.5, 0.25]})
    said = [str(warning.message) for warning in caught]
    assert len(said) == 2
    assert said[0].startswith("member 0 (bad=2, weight=0.5) diverged in epoch 1 at step 2")
    assert said[1].startswith("member 2 (bad=5, weight=0.25) diverged in epoch 2 at step 5")
    assert fitted.best() == 1


def test_a_member_without_hyperparameters_is_named_by_its_seed():
    with pytest.warns(RuntimeWarning) as caught:
        fitted = fit(spoilt(1), seeds=2)
    assert [str(warning.message)[:26] for warning in caught] == [f"member {i} (seed {i}) diverged" for i in (0, 1)]
    with pytest.raises(ValueError, match="every member diverged"):
        fitted.best()


# Progress


@pytest.mark.parametrize(
    ("given", "members", "tx"),
    [
        (SCORED, 1, optax.sgd),
        (SCORED, 1, optax.inject_hyperparams(optax.sgd)),
        ({"hparams": {"lr": [0.01, 0.05, 0.1]}, "lanes": 1, "mesh": mesh_of(2), **SCORED}, 3, optax.sgd),
        ({"hparams": {"lr": [0.01, 0.05, 0.1]}}, 3, optax.inject_hyperparams(optax.sgd)),
    ],
    ids=["single", "single, injected", "sharded", "vmapped, injected"],
)
def test_progress_tells_every_chunk_and_no_chunk_compiles_anything(given, members, tx):
    seen, compiled = [], []
    traced = 0

    def counted(variables, batch, key):
        nonlocal traced
        traced += 1
        return squared()(variables, batch, key)

    def compiling(event, seconds, **_):
        if "backend_compile" in event:
            compiled.append(seconds)

    def show(progress):
        seen.append((progress, traced, len(compiled)))

    def factory(lr=0.1):
        return ja.descend(counted, tx(lr))

    jax.monitoring.register_event_duration_secs_listener(compiling)
    try:
        fitted = fit(factory, epochs=30, progress=show, **given)
    finally:
        jax.monitoring.clear_event_listeners()
    epochs = [progress.epoch for progress, _, _ in seen]
    assert epochs[0] == 0 and epochs[-1] == 30 and len(epochs) > 3
    assert epochs == sorted(set(epochs))
    # Chunks of several lengths ran.
    assert len(set(np.diff(epochs))) > 1
    assert {count for _, count, _ in seen} == {traced} and traced > 0
    assert {count for _, _, count in seen} == {len(compiled)} and compiled
    last = seen[-1][0]
    assert (last.epochs, last.training) == (30, members)
    same(last.loss, np.atleast_1d(fitted.history["loss"][..., -1]))
    if "score" in given:
        same(last.validation, np.atleast_1d(fitted.history["validation"][..., -1]))
    else:
        assert last.validation is None
    assert last.compile_seconds > 0 and last.run_seconds > 0
    assert last.steps_per_second == pytest.approx(30 * STEPS * members / last.run_seconds)


def test_progress_prints_unless_told_not_to(capsys):
    fit(epochs=2, progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "epoch 2/2" in err
    fit(epochs=2, progress=False)
    assert capsys.readouterr() == ("", "")


def test_the_record_is_json():
    fitted = fit(epochs=np.int64(2), batch_size=np.int32(8), patience=np.int64(1), **SCORED)
    record = json.loads(json.dumps(fitted.record))
    assert record == fitted.record
    assert (record["epochs"], record["batch_size"], record["patience"]) == (2, 8, 1)
    assert record["key"] == np.asarray(jax.random.key_data(key())).tolist()
    assert len(record["data"]) == 2 and record["compile_seconds"] > 0


# Going on


@pytest.mark.parametrize(
    ("given", "parts"),
    [({}, (1, 8, 8)), (SCORED, (3, 8)), ({**SCORED, "patience": 2}, (1, 3, 8))],
    ids=["plain", "scored", "patient"],
)
def test_going_on_gives_the_bits_of_an_uninterrupted_run(tmp_path, given, parts):
    whole = fit(epochs=8, **given)
    for epochs in parts:
        fitted = fit(epochs=epochs, checkpoint=tmp_path / "fit.safetensors", **given)
        assert {values.shape for values in fitted.history.values()} == {(epochs,)}
    same_fit(fitted, whole)


def test_a_population_goes_on_with_the_same_bits(tmp_path, grid):
    given = {"hparams": grid, "seeds": 2, "lanes": 2, "mesh": mesh_of(2), "patience": 1, **SCORED}
    whole = fit(learner, epochs=8, **given)
    for epochs in (3, 8):
        fitted = fit(learner, epochs=epochs, checkpoint=tmp_path / "fit", **given)
    same_fit(fitted, whole)


@pytest.mark.parametrize(
    "given",
    [{}, SCORED, {"seeds": 3, "lanes": 1, "mesh": mesh_of(2), **SCORED}, {"seeds": 3}],
    ids=["plain", "scored", "sharded", "vmapped"],
)
def test_a_fit_that_goes_on_compiles_nothing_once_it_trains(tmp_path, given):
    seen, compiled = [], []

    def compiling(event, seconds, **_):
        if "backend_compile" in event:
            compiled.append(seconds)

    fit(epochs=2, checkpoint=tmp_path / "fit", **given)
    jax.monitoring.register_event_duration_secs_listener(compiling)
    try:
        fit(epochs=8, checkpoint=tmp_path / "fit", progress=lambda _: seen.append(len(compiled)), **given)
    finally:
        jax.monitoring.clear_event_listeners()
    assert len(seen) > 1 and len(set(seen)) == 1


def test_what_diverged_stays_so(tmp_path):
    given = {"hparams": {"bad": [5, 99]}, "lanes": 2}
    with pytest.warns(RuntimeWarning, match="member 0"):
        whole = fit(spoilt, epochs=5, **given)
    for epochs in (1, 3, 5):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fitted = fit(spoilt, epochs=epochs, checkpoint=tmp_path / "fit", **given)
        assert len(caught) == (epochs > 1)
    same_fit(fitted, whole)


def test_a_fit_that_was_killed_goes_on(tmp_path):
    epochs, given = [], {"checkpoint": tmp_path / "fit", "keep": Keep(seconds=0), **SCORED}

    def kill(progress):
        epochs.append(progress.epoch)
        if progress.epoch > 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(epochs=30, progress=kill, **given)
    killed = len(epochs)
    fitted = fit(epochs=30, progress=lambda progress: epochs.append(progress.epoch), **given)
    same_fit(fitted, fit(epochs=30, **SCORED))
    # It did not begin anew.
    assert epochs[killed] == 0 and epochs[killed + 1] > epochs[killed - 3]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_stops_a_fit_once_it_is_saved(tmp_path, name):
    before = signal.getsignal(getattr(signal, name))

    def told(progress):
        if progress.epoch:
            signal.raise_signal(getattr(signal, name))

    with pytest.raises(SystemExit, match=f"{name} stopped the fit after epoch 1 of 30, saved in .*fit") as stopped:
        fit(epochs=30, checkpoint=tmp_path / "fit", progress=told)
    assert stopped.value.code == 75
    assert saved_epochs(tmp_path / "fit") == [1]
    assert signal.getsignal(getattr(signal, name)) is before
    same_fit(fit(epochs=30, checkpoint=tmp_path / "fit"), fit(epochs=30))


def test_a_second_signal_acts_at_once(tmp_path):
    def told(progress):
        if progress.epoch:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(epochs=30, checkpoint=tmp_path / "fit", progress=told)


def test_rows_of_batches_on_several_devices(tmp_path):
    """A single run over devices is that run to rounding, and goes on from its saves to the bit, or to rounding."""
    expected = fit(epochs=6, **SCORED)
    whole = fit(epochs=6, mesh=rows_of(2), **SCORED)
    close(whole.variables, expected.variables)
    close(whole.history, expected.history)
    assert whole.record["data_devices"] == 2 and "data_devices" in expected.record
    fit(epochs=3, mesh=rows_of(2), checkpoint=tmp_path / "fit", **SCORED)
    shutil.copytree(tmp_path / "fit", tmp_path / "other")
    same(fit(epochs=6, mesh=rows_of(2), checkpoint=tmp_path / "fit", **SCORED).variables, whole.variables)
    with pytest.warns(RuntimeWarning, match=r"saved on 2 devices and goes on on 1: .* to rounding, not to the bit$"):
        found = fit(epochs=6, checkpoint=tmp_path / "other", **SCORED)
    close(found.variables, expected.variables)


def test_another_number_of_threads_is_said(tmp_path, monkeypatch):
    """XLA divides products among its threads, and so may round otherwise where they are more."""
    monkeypatch.setenv("NPROC", "16")
    fit(epochs=3, checkpoint=tmp_path / "fit", **SCORED)
    fit(epochs=4, checkpoint=tmp_path / "fit", **SCORED)
    monkeypatch.setenv("NPROC", "64")
    with pytest.warns(RuntimeWarning, match=r"with 16 threads and goes on with 64: .*; NPROC=16 in the environment"):
        fit(epochs=6, checkpoint=tmp_path / "fit", **SCORED)


def test_members_and_rows_are_spread_together(grid):
    mesh = jax.make_mesh((2, 2), ("members", "data"), axis_types=(AxisType.Auto,) * 2)
    expected = fit(learner, hparams=grid, seeds=2, epochs=3)
    found = fit(learner, hparams=grid, seeds=2, epochs=3, mesh=mesh)
    close((found.variables, found.history), (expected.variables, expected.history))


def saved_epochs(folder):
    return Steps(folder, Keep()).epochs()


def test_saves_are_kept_as_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(course, "CHUNK_EPOCHS", 1)
    monkeypatch.setattr(Steps, "saving", False)  # a chunk waits for the save before it
    # The score of this learner falls for 4 epochs, and rises from there on.
    rising = ja.descend(squared(), optax.sgd(lambda step: jnp.where(step < 4 * STEPS, 0.05, -0.05)))
    given = {"learner": rising, "epochs": 11, **SCORED}
    for keep, expected in (
        (Keep(seconds=0, last=1, best=0), [11]),
        (Keep(seconds=0, last=2, best=0), [10, 11]),
        (Keep(seconds=0, last=1, best=1), [4, 11]),
        (Keep(seconds=1e9, last=1, best=0, every=3), [3, 6, 9, 11]),
    ):
        fit(checkpoint=tmp_path / repr(keep), keep=keep, **given)
        assert saved_epochs(tmp_path / repr(keep)) == expected


def test_a_chunk_ends_where_a_save_is_to_stay(tmp_path):
    fit(epochs=23, checkpoint=tmp_path, keep=Keep(every=10))
    assert saved_epochs(tmp_path) == [10, 20, 23]


@pytest.fixture(scope="module")
def saved(tmp_path_factory, grid):
    folder = tmp_path_factory.mktemp("saved")
    fit(checkpoint=folder / "single", epochs=1, **SCORED)
    fit(learner, hparams=grid, seeds=2, lanes=2, checkpoint=folder / "many", epochs=1)
    return folder


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"key": jax.random.key(8)}, ["key"]),
        ({"batch_size": 7}, ["batch_size", "program"]),
        ({"data": ja.Batch(DATA.x.at[3, 2].add(1e-3))}, ["data"]),
        ({"validation": ja.Batch(VALID.x[1:])}, ["data", "program"]),
        ({"validation": None, "score": None}, ["data", "program"]),
        ({"patience": 3}, ["patience", "program"]),
        ({"seeds": 1}, ["seeds"]),
        ({"learner": ja.descend(squared(), optax.sgd(0.06, momentum=0.9))}, ["program"]),
        ({"learner": learner, "hparams": {"lr": [0.1]}}, ["hparams"]),
    ],
    ids=lambda given: "" if isinstance(given, list) else next(iter(given)),
)
def test_a_checkpoint_of_another_fit_is_refused(saved, given, names):
    with pytest.raises(ValueError, match="holds a fit with another") as refused:
        fit(**{**SCORED, "checkpoint": saved / "single", **given})
    assert all(f"{name} (" in str(refused.value) for name in names)
    assert ("accept=" in str(refused.value)) == (set(names) <= set(CHANGEABLE))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"hparams": ja.grid(lr=[0.01, 0.05, 0.2])}, "hparams"),
        ({"hparams": ja.grid(lr=[0.01, 0.05])}, "hparams"),
        ({"seeds": 1, "hparams": ja.grid(lr=[0.01, 0.01, 0.05, 0.05, 0.1, 0.1])}, "seeds"),
        ({"lanes": 3}, "lanes"),
    ],
)
def test_a_checkpoint_of_another_population_is_refused(saved, given, name):
    many = {"hparams": ja.grid(lr=[0.01, 0.05, 0.1]), "seeds": 2, "lanes": 2, "checkpoint": saved / "many"}
    with pytest.raises(ValueError, match=rf"another .*{name} \("):
        fit(learner, **{**many, **given})


def test_what_is_accepted_may_differ(saved, tmp_path):
    shutil.copytree(saved / "single", tmp_path / "fit")
    other = ja.Batch(DATA.x + 1)
    fitted = fit(checkpoint=tmp_path / "fit", epochs=3, data=other, accept=["data"], **SCORED)
    # The first epoch is that of the other data, the others are not.
    whole = fit(epochs=3, **SCORED)
    assert fitted.history["loss"][0] == whole.history["loss"][0]
    assert not np.isclose(fitted.history["loss"][1:], whole.history["loss"][1:]).any()


def test_other_versions_are_refused_and_accepted(saved, tmp_path, monkeypatch):
    shutil.copytree(saved / "single", tmp_path / "fit")
    given = {"checkpoint": tmp_path / "fit", "epochs": 1, **SCORED}
    monkeypatch.setattr(resume, "__version__", "9.9")
    with pytest.raises(ValueError, match=r"another jaxae \(.*, now 9\.9\)"):
        fit(**given)
    fit(accept=["jaxae"], **given)


def test_a_checkpoint_of_other_arrays_is_refused(saved):
    with pytest.raises(ValueError, match=r"another model, whose state/opt_state\S* is .*missing"):
        fit(ja.descend(squared(), optax.adam(0.1)), checkpoint=saved / "single", accept=["program"], **SCORED)


def test_fewer_epochs_than_were_trained_cannot_be_given_back(tmp_path):
    path = tmp_path / "fit"
    fit(epochs=3, checkpoint=path)
    with pytest.raises(ValueError, match="3 epochs, more than the 2 asked for"):
        fit(epochs=2, checkpoint=path)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"keep": Keep()}, ValueError, "keep was given without a checkpoint"),
        ({"accept": ["data"]}, ValueError, "accept was given without a checkpoint"),
        ({"checkpoint": "PATH", "accept": ["key"]}, ValueError, "no change to accept 'key'"),
        ({"checkpoint": "PATH", "keep": 3}, TypeError, "keep is 3"),
        ({"checkpoint": "PATH", "keep": Keep(last=0)}, ValueError, "last of keep is 0"),
        ({"checkpoint": "PATH", "keep": Keep(best=-1)}, ValueError, "best of keep is -1"),
        ({"checkpoint": "PATH", "keep": Keep(every=0)}, ValueError, "every of keep is 0"),
        ({"checkpoint": "PATH", "keep": Keep(seconds=float("nan"))}, ValueError, "seconds of keep is nan"),
    ],
)
def test_what_saving_refuses(tmp_path, given, error, words):
    given = {name: tmp_path / "fit" if value == "PATH" else value for name, value in given.items()}
    with pytest.raises(error, match=words):
        fit(**given)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"something else than a saved fit, notes\.txt"):
        fit(checkpoint=tmp_path)
    with pytest.raises(ValueError, match=r"notes\.txt is a file"):
        fit(checkpoint=tmp_path / "notes.txt")


def test_a_save_that_fails_is_told_and_the_fit_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(course, "CHUNK_EPOCHS", 1)
    monkeypatch.setattr(Steps, "saving", False)  # a chunk waits for the save before it
    save, given = Steps.save, {"keep": Keep(seconds=0, last=9), "epochs": 5}

    def full(self, epoch, *rest):
        if epoch == 3:
            raise OSError(28, "No space left on device")
        save(self, epoch, *rest)

    monkeypatch.setattr(Steps, "save", full)
    with pytest.warns(RuntimeWarning, match=r"saving epoch 3 in .* failed .*No space left.*epoch 2, is as it was"):
        fitted = fit(checkpoint=tmp_path / "fit", **given)
    same_fit(fitted, fit(epochs=5))
    assert saved_epochs(tmp_path / "fit") == [1, 2, 4, 5]


def damage(folder, epoch):
    for path in (folder / str(epoch)).rglob("*"):
        if path.is_file():
            path.write_bytes(b"")


def test_a_damaged_save_gives_way_to_the_one_before_and_is_written_again(tmp_path):
    whole = fit(epochs=9, checkpoint=tmp_path, keep=Keep(every=3, last=3))
    damage(tmp_path, 9)
    with pytest.warns(RuntimeWarning, match="9 is damaged.*the save before it is tried"):
        fitted = fit(epochs=9, checkpoint=tmp_path, keep=Keep(every=3, last=3))
    same_fit(fitted, whole)
    # From here on there is nothing to warn of.
    same_fit(fit(epochs=9, checkpoint=tmp_path, keep=Keep(every=3, last=3)), whole)


def test_where_every_save_is_damaged_none_is_gone_on_from(tmp_path):
    fit(epochs=2, checkpoint=tmp_path)
    damage(tmp_path, 2)
    with pytest.warns(RuntimeWarning, match="2 is damaged"), pytest.raises(ja.checkpoint.DamagedError, match="damaged"):
        fit(epochs=2, checkpoint=tmp_path)
    assert saved_epochs(tmp_path) == [2]


@pytest.mark.parametrize(
    "given", [{"seeds": 5, "lanes": 2}, {"seeds": 4}, {"seeds": 4, "lanes": 1, "mesh": mesh_of(2)}]
)
def test_what_a_population_saves_is_not_what_it_trains_on_in_the_meantime(tmp_path, monkeypatch, given):
    """Its states are used up by the next chunk while they are still being written."""
    monkeypatch.setattr(course, "CHUNK_EPOCHS", 1)
    fit(epochs=4, checkpoint=tmp_path, keep=Keep(every=1), **given)
    for epoch in (1, 2, 3, 4):
        steps = Steps(tmp_path, Keep())
        told = steps.about(epoch)["arrays"]
        found = steps.read(epoch, {name: np.zeros(shape, dtype) for name, (shape, dtype, _) in told.items()})
        whole = fit(epochs=epoch, **given)
        np.testing.assert_array_equal(found["state/variables/params/w"], whole.state.variables["params"]["w"])
        np.testing.assert_array_equal(found["history/loss"], whole.history["loss"])


def test_a_single_run_that_diverged_stays_so(tmp_path):
    for epochs in (2, 5, 5):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fitted = fit(spoilt(8), epochs=epochs, checkpoint=tmp_path)
        assert len(caught) == (epochs > 2)
    assert (fitted.status.epochs, fitted.status.diverged_epoch, fitted.status.diverged_step) == (2, 3, 8)


def test_a_longer_patience_lets_a_run_that_had_stopped_go_on(tmp_path):
    rising = ja.descend(squared(), optax.sgd(lambda step: jnp.where(step < 2 * STEPS, 0.05, -0.05)))
    given = {"learner": rising, "epochs": 9, "checkpoint": tmp_path, **SCORED}
    assert fit(patience=2, **given).status.epochs == 4
    assert fit(patience=4, accept=["patience", "program"], **given).status.epochs == 6


def test_a_signal_while_the_end_is_saved_is_heeded(tmp_path, monkeypatch):
    save = Steps.save

    def signalled(self, *rest):
        signal.raise_signal(signal.SIGTERM)
        save(self, *rest)

    monkeypatch.setattr(Steps, "save", signalled)
    with pytest.raises(SystemExit, match="after epoch 3 of 3"):
        fit(epochs=3, checkpoint=tmp_path)
    assert saved_epochs(tmp_path) == [3]


def test_a_signal_that_is_ignored_stays_so(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)

    def told(progress):
        signal.raise_signal(signal.SIGINT)

    try:
        assert fit(epochs=3, checkpoint=tmp_path, progress=told).describe() == "trained"
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def constant_loss(constant):
    """Return a learner whose loss has a constant inside a function of its own."""

    @jax.jit
    def shifted(values):
        return values - constant

    def objective(variables, batch, key):
        value = (shifted(errors(variables, batch)) ** 2).mean()
        return value, (variables, {"loss": value})

    return ja.descend(objective, optax.sgd(0.01))


def test_constants_and_beginnings_belong_to_the_program(tmp_path):
    given = {"checkpoint": tmp_path, "epochs": 2}
    fit(constant_loss(jnp.arange(1.0, 9.0)), **given)
    fit(constant_loss(jnp.arange(1.0, 9.0)), **given)
    with pytest.raises(ValueError, match="another program"):
        fit(constant_loss(jnp.arange(2.0, 10.0)), **given)

    class Ones(Line):
        def init(self, key, x, cond=None):
            return jax.tree.map(jnp.ones_like, super().init(key, x, cond))

    with pytest.raises(ValueError, match="another program"):
        ja.fit(Ones(), constant_loss(jnp.arange(1.0, 9.0)), DATA, key=key(), batch_size=BATCH, progress=False, **given)


def test_progress_counts_from_where_it_went_on(tmp_path):
    fit(epochs=3, checkpoint=tmp_path)
    seen = []
    fitted = fit(epochs=5, checkpoint=tmp_path, progress=seen.append)
    assert (seen[-1].since, seen[-1].epoch) == (3, 5) and fitted.record["steps"] == 2 * STEPS
    half = seen[-1]._replace(epoch=4, run_seconds=2.0)
    assert half.seconds_left() == 2.0


def test_the_program_is_told_by_the_same_digest_in_every_process(saved):
    """Else nothing would go on after a process has ended."""
    code = (
        "import sys; sys.path.insert(0, '.'); import tests.test_fitting as t, jax; "
        f"t.fit(checkpoint={str(saved / 'single')!r}, epochs=1, **t.SCORED)"
    )
    subprocess.run([sys.executable, "-c", "import tests.conftest; " + code], check=True, cwd=Path(__file__).parents[1])


# The log


def logged(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_log_tells_what_happened(tmp_path, monkeypatch):
    monkeypatch.setattr(course, "CHUNK_EPOCHS", 2)
    log = tmp_path / "logs" / "fit.jsonl"
    seen = []
    fitted = fit(epochs=5, log=log, checkpoint=tmp_path / "fit", progress=seen.append, **SCORED)
    events = logged(log)
    assert [event["event"] for event in events] == ["begun", "chunk", "chunk", "chunk", "saved", "ended"]
    begun, *chunks, saved, ended = events
    assert (begun["epoch"], begun["epochs"], begun["members"]) == (0, 5, 1) and begun["compile_seconds"] > 0
    assert [chunk["epoch"] for chunk in chunks] == [1, 3, 5] == [progress.epoch for progress in seen[1:]]
    for chunk, progress in zip(chunks, seen[1:], strict=True):
        epoch = progress.epoch - 1
        assert chunk["loss"] == [float(fitted.history["loss"][epoch])]
        assert chunk["validation"] == [float(fitted.history["validation"][epoch])]
        assert (chunk["alive"], chunk["memory"]) == (1, [])
        assert chunk["steps_per_second"] == pytest.approx(progress.steps_per_second, abs=0.1)
        assert 0 < chunk["seconds"] <= progress.run_seconds + 1e-3
    assert saved["epoch"] == ended["epoch"] == 5
    times = [event["time"] for event in events]
    assert times == sorted(times)
    fit(epochs=6, log=log, checkpoint=tmp_path / "fit", **SCORED)
    assert [event["event"] for event in logged(log)[6:]] == ["begun", "chunk", "saved", "ended"]
    assert logged(log)[6]["about"] == "on from epoch 5"


def test_a_log_names_who_diverged_and_has_no_nan(tmp_path):
    with pytest.warns(RuntimeWarning, match="member 0"):
        fitted = fit(spoilt, epochs=5, hparams={"bad": [5, 99]}, log=tmp_path / "log")
    (diverged,) = [event for event in logged(tmp_path / "log") if event["event"] == "diverged"]
    assert (diverged["member"], diverged["epoch"], diverged["step"]) == (0, 2, 5)
    last = [event for event in logged(tmp_path / "log") if event["event"] == "chunk"][-1]
    assert last["loss"] == [None, float(fitted.history["loss"][1, -1])] and last["alive"] == 1
    assert "NaN" not in (tmp_path / "log").read_text()


def test_a_log_of_many_members_says_how_they_lie(tmp_path):
    fitted = fit(seeds=17, epochs=1, log=tmp_path / "log")
    (chunk,) = [event for event in logged(tmp_path / "log") if event["event"] == "chunk"]
    last = fitted.history["loss"][:, -1]
    assert chunk["loss"] == {"least": last.min(), "median": np.median(last), "greatest": last.max()}


def test_a_log_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot write the log"):
        fit(log=tmp_path)


def test_a_log_tells_of_a_save_that_failed_and_of_a_stop(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    def told(progress):
        if progress.epoch:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Steps, "save", full)
    with pytest.warns(RuntimeWarning, match="failed"), pytest.raises(OSError, match="could not be saved"):
        fit(log=tmp_path / "log", checkpoint=tmp_path / "fit", progress=told)
    *_, stopped, failed = logged(tmp_path / "log")
    assert (stopped["event"], stopped["epoch"], stopped["signal"]) == ("stopped", 1, "SIGTERM")
    assert (failed["event"], failed["epoch"]) == ("failed", 1) and "No space left" in failed["error"]


# What no fit begins with


def holed(value, dtype=np.float32):
    x = np.array(DATA.x, dtype)
    x[5, 3] = value
    return x


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"data": DATA.x}, TypeError, "must be a Batch: write Batch"),
        ({"data": ja.Batch([[1.0, 2.0]])}, TypeError, "data.x is list, but must be an array"),
        ({"data": ja.Batch(DATA.x, [[1.0]] * ROWS)}, TypeError, "data.cond is list, but must be an array"),
        ({"data": ja.Batch(DATA.x[:0])}, ValueError, "no rows"),
        ({"data": ja.Batch(DATA.x, DATA.x[:7])}, ValueError, r"cond has shape \(7,\), but x has \(24,\)"),
        ({"data": ja.Batch(np.arange(48).reshape(24, 2))}, TypeError, r"data.x holds int64.*astype\(np.float32\)"),
        ({"data": ja.Batch(DATA.x > 0.5)}, TypeError, "data.x holds bool"),
        ({"data": ja.Batch(holed(np.nan))}, ValueError, r"data.x holds nan in row 5 and column 3 \(counted from 0\)"),
        ({"data": ja.Batch(holed(-np.inf))}, ValueError, "data.x holds -inf in row 5 and column 3"),
        ({"data": ja.Batch(holed(1e300, np.float64))}, ValueError, r"1e\+300 in row 5 and column 3.*no finite float32"),
        ({"data": ja.Batch(DATA.x, holed(np.nan)[:, 3])}, ValueError, r"data.cond holds nan in row 5 \(counted"),
        ({"data": ja.Batch(DATA.x, holed(np.nan)[..., None])}, ValueError, "in row 5 and column 3, 0 "),
        ({"validation": ja.Batch(holed(np.nan)), "score": errors}, ValueError, "validation.x holds nan in row 5"),
        ({"validation": ja.Batch(DATA.x[:0]), "score": errors}, ValueError, "validation has no rows"),
        ({"validation": DATA.x, "score": errors}, TypeError, "validation is .*, but must be a Batch"),
        ({"validation": VALID}, ValueError, "validation was given alone.*add score="),
        ({"score": errors}, ValueError, "score was given alone.*add validation="),
        (
            {"validation": ja.Batch(VALID.x[:, :2]), "score": errors},
            ValueError,
            r"validation\.x has shape \(2,\).*\(5,\)",
        ),
        ({"validation": ja.Batch(VALID.x, VALID.x), "score": errors}, ValueError, "for both or for none"),
        (
            {"data": ja.Batch(DATA.x, DATA.x), "validation": ja.Batch(VALID.x, VALID.x[:3]), "score": errors},
            ValueError,
            r"validation\.cond has shape \(3,\), but validation\.x has \(10,\)",
        ),
        ({"validation": ja.Batch([[1.0]]), "score": errors}, TypeError, "validation.x is list"),
        ({"seeds": 2, "mesh": "cpu"}, TypeError, "mesh is str"),
        ({"learner": learner, "hparams": [0.1]}, TypeError, r"hparams is list.*grid\("),
        ({"learner": lambda: optax.sgd(0.1)}, TypeError, "learner is .*, but must be a Learner"),
        ({"checkpoint": "new", "accept": "program"}, TypeError, r"accept is the string.*accept=\('program',\)"),
        ({"checkpoint": "new", "accept": ["model"]}, ValueError, "no change to accept 'model'"),
        ({"patience": 3}, ValueError, "patience was given, but early stopping needs validation"),
        ({"patience": 0, **SCORED}, ValueError, "patience is 0"),
        ({"key": 0}, TypeError, r"write jax.random.key\(0\)"),
        ({"key": np.array([0, 1], np.uint32)}, TypeError, "a legacy uint32 key"),
        ({"epochs": 0}, ValueError, "epochs is 0, but must be a whole number ≥ 1"),
        ({"epochs": -1}, ValueError, "epochs is -1"),
        ({"epochs": 2.5}, TypeError, "epochs is 2.5"),
        ({"epochs": 2.0}, TypeError, "epochs is 2.0"),
        ({"epochs": True}, TypeError, "epochs is True"),
        ({"batch_size": 0}, ValueError, "batch_size is 0, but must be a whole number from 1 to 24"),
        ({"batch_size": -8}, ValueError, "batch_size is -8"),
        ({"batch_size": 25}, ValueError, "batch_size is 25, .* from 1 to 24, the number of examples"),
        ({"batch_size": None}, TypeError, "batch_size is None"),
        ({"learner": learner, "seeds": 0, "hparams": {"lr": [0.1]}}, ValueError, "seeds is 0"),
        ({"seeds": 1.0}, TypeError, "seeds is 1.0"),
        ({"seeds": 2, "lanes": 0}, ValueError, "lanes is 0"),
        ({"mesh": mesh_of(2)}, ValueError, "the mesh has the axes .*, which are about members, for a single run"),
        ({"mesh": rows_of(2), "batch_size": 7}, ValueError, "batch_size is 7, but must be a multiple of the 2 devices"),
        ({"learner": learner, "seeds": 2, "mesh": rows_of(2)}, ValueError, "axis 'data' alone, but members need one"),
        ({"mesh": rows_of(2, AxisType.Explicit)}, ValueError, "the mesh has axes of type .*Explicit.*AxisType.Auto"),
        ({"lanes": 4}, ValueError, "lanes was given for a single run"),
        ({"learner": optax.sgd(0.1)}, TypeError, "learner is .*, but must be a Learner or a factory"),
        ({"learner": lambda lr: learner(lr)}, ValueError, r"the factory needs lr.*hparams=grid\(lr="),
        ({"hparams": {"lr": [0.1]}}, ValueError, "hparams lr were given with a finished learner"),
        ({"learner": learner, "hparams": {"rl": [0.1]}}, ValueError, "no hyperparameter of the factory 'rl'.*is: lr"),
        (
            {"learner": lambda batch, beta, lr: learner(lr), "hparams": {"betta": [0.1], "lr": [0.1]}},
            ValueError,
            "'betta'; there is: beta, batch, lr",
        ),
        (
            {"learner": lambda lr, *, beta: learner(lr), "hparams": {"lr": [0.1]}},
            ValueError,
            r"needs beta, but hparams has lr: add hparams=grid\(beta",
        ),
        (
            {"learner": lambda a, b: learner(a), "hparams": {"a": [0.1], "b": [1, 2]}},
            ValueError,
            "must be columns of one length",
        ),
        ({"learner": learner, "hparams": {"lr": []}}, ValueError, "must be columns of one length"),
        ({"learner": learner, "hparams": {"lr": [[0.1]]}}, ValueError, "must be columns of one length"),
        ({"learner": learner, "hparams": {"lr": [0.1, np.nan]}}, ValueError, r"hparams lr holds \[0.1, nan\]"),
        ({"learner": learner, "hparams": {"lr": ["a"]}}, TypeError, "hparams lr holds <U1, but must hold plain num"),
    ],
    ids=lambda given: "_".join(given) if isinstance(given, dict) else "",
)
def test_what_is_refused(given, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        fit(log="log.jsonl", **given)
    assert not list(tmp_path.iterdir())


# What the parts of a fit refuse, before anything is compiled or written


@pytest.fixture
def compiled():
    """Return the list of what is compiled while a test runs."""
    found = []

    def note(event, seconds, fun_name="", **_):
        # "stage" moves a NumPy array to the device.
        if event == "/jax/core/compile/backend_compile_duration" and fun_name != "jit(stage)":
            found.append(fun_name)

    jax.monitoring.register_event_duration_secs_listener(note)
    yield found
    jax.monitoring.clear_event_listeners()


def refused(compiled, tmp_path, words, *args, **given):
    given = {"epochs": 2, "checkpoint": tmp_path / "steps", "log": tmp_path / "log.jsonl", "progress": False} | given
    own_key = key()
    jax.clear_caches()
    compiled.clear()
    with pytest.raises(ValueError, match=words):
        ja.fit(*args, key=own_key, batch_size=given.pop("batch_size", BATCH), **given)
    assert not compiled and not list(tmp_path.iterdir())


VAE = ja.models.VAE(ja.networks.MLP((4,)), ja.networks.MLP((FEATURES,)), latent=2)


def likely(**hparams):
    return ja.descend(ja.objective(VAE, ja.losses.elbo, **hparams), optax.sgd(0.1))


@pytest.mark.parametrize("wrap", [lambda learner: learner, lambda learner: ja.repeat(learner, 2)])
@pytest.mark.parametrize("batch_size", [1, BATCH, ROWS])
def test_a_likelihood_sees_the_worst_pixel_of_all_rows(compiled, tmp_path, wrap, batch_size):
    for row, value in ((ROWS - 1, 255.0), (7, -0.5)):
        x = np.array(DATA.x)
        x[row, 2] = value
        words = rf"x holds {value:g}, but must lie in 0…1"
        for rows in (x, jnp.asarray(x)):
            refused(compiled, tmp_path, words, VAE, wrap(likely()), ja.Batch(rows), batch_size=batch_size)


def test_a_score_sees_the_worst_pixel_of_the_validation_rows(compiled, tmp_path):
    judged = {"validation": ja.Batch(VALID.x.at[9, 4].set(2.0)), "score": ja.score(VAE, ja.losses.elbo)}
    refused(compiled, tmp_path, "x holds 2, but must lie in 0…1", VAE, likely(), DATA, **judged)


@pytest.mark.parametrize(
    "hparams",
    [
        ja.grid(beta=[0.0, 1.0, -1.0, 2.0], free_bits=[0.0, 0.1]),
        ja.zipped(beta=[1.0, 0.0, 1.0], free_bits=[0.1, 0.0, -1.0]),
    ],
)
def test_a_loss_sees_the_ends_of_every_hyperparameter(compiled, tmp_path, hparams):
    refused(compiled, tmp_path, "(beta|free_bits) is -1, but must be", VAE, likely, DATA, hparams=hparams, seeds=3)


@pytest.mark.parametrize("model", [Line, "line"])
def test_what_is_no_model_is_named(tmp_path, model):
    with pytest.raises(TypeError, match=r"model is (the class Line|str), but must be a Linen module"):
        ja.fit(model, LEARNER, DATA, key=key(), epochs=1, batch_size=BATCH, log=tmp_path / "log.jsonl")
    assert not list(tmp_path.iterdir())


def test_a_model_of_other_rows_is_refused(compiled, tmp_path):
    refused(
        compiled, tmp_path, r"logits has shape \(8, 5\), but x has \(8, 4\)", VAE, likely(), ja.Batch(DATA.x[:, :4])
    )


def test_what_is_fine_at_its_ends_is_taken(optimised):
    """The rows that are looked at are in their places again when it trains."""
    x = DATA.x.at[ROWS - 1].set(1.0).at[3].set(0.0)
    given = {"epochs": 2, "batch_size": BATCH}
    state, _ = jax.jit(lambda key: ja.train(VAE, likely(), ja.Batch(x), key, **given))(key())
    same(ja.fit(VAE, likely(), ja.Batch(x), key=key(), **given, progress=False).state, state)


def test_a_factory_may_take_any_name_and_have_defaults():
    def factory(lr=0.1, **others):
        assert set(others) <= {"beta"}
        return learner(lr)

    same(fit(factory).state, fit().state)
    fitted = fit(factory, hparams={"beta": [1, 2]}, lanes=2)
    same(fitted.take(0).variables, fitted.take(1).variables)
