"""jaxae.learner.skip_nonfinite: by hand, then in `fit`: what is skipped, frozen, named, and left alone."""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxae as ja
from jaxae import learner, models, networks
from jaxae.checkpoint import load, save
from jaxae.learner.steps import means, over_epoch

ROWS, FEATURES, BATCH, STEPS = 24, 5, 8, 3
DATA = ja.Batch(jax.random.uniform(jax.random.key(0), (ROWS, FEATURES)))
VALID = ja.Batch(jax.random.uniform(jax.random.key(1), (10, FEATURES)))
NEVER = 10**6


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


class Line:
    """The smallest model: x·w should be 1."""

    def init(self, key, x, cond=None):
        return {"params": {"w": jax.random.normal(key, x.shape[1:])}}


def errors(variables, batch, key=None):
    return (batch.x @ variables["params"]["w"] - 1) ** 2


def descent(spoil=1.0, steep=1.0, lr=0.1):
    """Return Adam on the error, whose loss is multiplied by `spoil`, and whose gradient alone by `steep`."""

    @jax.custom_vjp
    def through(params):
        return params

    through.defvjp(lambda params: (params, None), lambda _, slope: (jax.tree.map(lambda leaf: steep * leaf, slope),))

    def objective(variables, batch, key):
        noise = 1 + 0.1 * jax.random.normal(key, (len(batch.x),))
        value = (errors({"params": through(variables["params"])}, batch) * noise).mean() * spoil
        return value, (variables, {"loss": value, "twice": 2 * value})

    return ja.descend(objective, optax.adam(lr))


def poisoned(*bad, patience=10, kind="loss"):
    """Return the learner that skips, of which the steps `bad`, counted from 1, are not finite."""
    steps = jnp.asarray(bad)
    value = {"loss": jnp.nan, "gradient": jnp.inf, "parameters": jnp.inf}[kind]

    def at(factor):
        if kind != "parameters":
            inner = descent(factor) if kind == "loss" else descent(steep=factor)
            return learner.skip_nonfinite(inner, patience=patience)
        inner = descent()

        def step(variables, state, batch, key):
            variables, state, metrics = inner.step(variables, state, batch, key)
            return {"params": {"w": variables["params"]["w"].at[1].multiply(factor)}}, state, metrics

        return learner.skip_nonfinite(ja.Learner(inner.init, step), patience=patience)

    # The count of steps lies outside of what is undone.
    return ja.schedule(at, factor=lambda step: jnp.where((step + 1 == steps).any(), value, 1.0))


KINDS = ("loss", "gradient", "parameters")


def fit(learner, **given):
    given = {"epochs": 5, "progress": False, **given}
    return ja.fit(Line(), learner, DATA, key=jax.random.key(2), batch_size=BATCH, **given)


def quietly(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return fit(*args, **kwargs)


def by_hand(learner, bad, last):
    """Return the state after `last` steps of a loop that leaves out the steps `bad`, with a run's own keys and rows."""
    state, run_key = ja.training.initialise(Line(), learner, DATA, jax.random.key(2))
    order_key, step_key = jax.random.split(run_key)
    step = jax.jit(learner.step)
    variables, opt_state, losses = state.variables, state.opt_state, []
    for number in range(1, last + 1):
        epoch, place = divmod(number - 1, STEPS)
        order = jax.random.permutation(jax.random.fold_in(order_key, epoch * STEPS), ROWS)
        batch = ja.Batch(DATA.x[order[place * BATCH : (place + 1) * BATCH]])
        after = step(variables, opt_state, batch, jax.random.fold_in(step_key, number - 1))
        losses.append(np.nan if number in bad else float(after[2]["loss"]))
        if number not in bad:
            variables, opt_state = after[:2]
    return variables, opt_state, losses


# Steps


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_step_is_as_if_it_had_not_been(kind):
    variables = Line().init(jax.random.key(0), DATA.x)
    ill = poisoned(2, kind=kind)
    step, state = jax.jit(ill.step), ill.init(variables)
    first, state, metrics = step(variables, state, DATA, jax.random.key(1))
    assert (metrics["skipped"], metrics["ended"], state[1].in_a_row) == (0, 0, 0)
    plain = descent()
    expected, moments, _ = plain.step(variables, plain.init(variables), DATA, jax.random.key(1))
    np.testing.assert_allclose(first["params"]["w"], expected["params"]["w"], rtol=1e-5)
    second, left, metrics = step(first, state, DATA, jax.random.key(2))
    same(second, first)
    same(left[1].inner, state[1].inner)
    assert (metrics["skipped"], metrics["ended"], left[1].in_a_row) == (1, 0, 1)
    third, left, metrics = step(second, left, DATA, jax.random.key(3))
    expected, _, _ = plain.step(expected, moments, DATA, jax.random.key(3))
    np.testing.assert_allclose(third["params"]["w"], expected["params"]["w"], rtol=1e-5)
    assert (metrics["skipped"], left[1].in_a_row) == (0, 0)


def counting(*bad):
    """Return the learner that adds 1 to w, and makes it infinite where the batch is one of `bad`."""
    steps = jnp.asarray(bad)

    def step(variables, opt_state, batch, key):
        ill = (batch == steps).any()
        return {"w": variables["w"] + jnp.where(ill, jnp.inf, 1.0)}, opt_state + 1, {"loss": batch * 1.0}

    return ja.Learner(lambda variables: jnp.zeros((), jnp.int32), step)


def steps_of(learner, count):
    variables, found = {"w": jnp.zeros(())}, []
    state = learner.init(variables)
    step = jax.jit(learner.step)
    for number in range(1, count + 1):
        variables, state, metrics = step(variables, state, jnp.asarray(number), jax.random.key(0))
        found.append((float(variables["w"]), int(state.inner), float(metrics["skipped"]), float(metrics["ended"])))
    return found


def test_so_many_in_a_row_end_it():
    found = steps_of(learner.skip_nonfinite(counting(2, 4, 5, 7, 8, 9), patience=3), 11)
    assert [w for w, *_ in found] == [1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3]
    assert [count for _, count, *_ in found] == [1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3]
    assert [skipped for *_, skipped, _ in found] == [0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1]
    assert [ended for *_, ended in found] == [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]


def test_a_patience_of_one_freezes():
    found = steps_of(learner.skip_nonfinite(counting(3), patience=1), 5)
    assert [w for w, *_ in found] == [1, 2, 2, 2, 2]
    assert [ended for *_, ended in found] == [0, 0, 1, 1, 1]


def test_what_was_infinite_from_the_beginning_is_no_reason():
    # As the best value of optax.contrib.reduce_on_plateau is.
    inner = ja.Learner(lambda v: jnp.asarray(jnp.inf), lambda v, s, b, k: ({"w": v["w"] + 1}, s, {}))
    guarded = learner.skip_nonfinite(inner)
    variables, _, metrics = guarded.step({"w": jnp.zeros(())}, guarded.init({}), None, jax.random.key(0))
    assert (variables["w"], metrics["skipped"]) == (1, 0)


def test_an_optimizer_that_overflows_counts_too():
    # A slope of 1e30 squares to infinity in Adam's second moment: its updates are 0 from then on, and nothing shows it.
    inner = ja.schedule(lambda steep: descent(steep=steep), steep=lambda step: jnp.where(step == 0, 1e30, 1.0))
    variables = Line().init(jax.random.key(0), DATA.x)
    for one, stuck in ((inner, True), (learner.skip_nonfinite(inner), False)):
        after, state, metrics = jax.jit(one.step)(variables, one.init(variables), DATA, jax.random.key(1))
        assert np.isfinite(after["params"]["w"]).all() and np.isfinite(metrics["loss"])
        moments = jax.tree.leaves(state)
        assert all(np.isfinite(leaf).all() for leaf in moments) != stuck


def test_a_step_that_a_player_skipped_is_no_reason_for_the_whole_game():
    inside = learner.skip_nonfinite(ja.chain(careful=poisoned(1), other=descent()))
    variables = Line().init(jax.random.key(0), DATA.x)
    after, state, metrics = jax.jit(inside.step)(variables, inside.init(variables), DATA, jax.random.key(1))
    assert (metrics["careful/skipped"], metrics["skipped"], state.in_a_row) == (1, 0, 0)
    assert (after["params"]["w"] != variables["params"]["w"]).all()


def test_it_is_put_on_once_and_refuses_no_patience():
    twice = learner.skip_nonfinite(learner.skip_nonfinite(descent()))
    variables = Line().init(jax.random.key(0), DATA.x)
    with pytest.raises(ValueError, match="put skip_nonfinite around it once"):
        twice.step(variables, twice.init(variables), DATA, jax.random.key(0))
    for patience, error in ((0, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="patience is"):
            learner.skip_nonfinite(descent(), patience=patience)


def test_a_loss_may_not_give_its_metrics_those_names():
    ae = models.AE(networks.MLP((2,)), networks.MLP((FEATURES,)))
    variables = ae.init(jax.random.key(1), DATA.x)
    for name in ("skipped", "ended"):
        loss = lambda model, batch, key, name=name: (jnp.ones(ROWS), {name: jnp.zeros(ROWS)})  # noqa: E731
        with pytest.raises(ValueError, match=f"a metric named '{name}'.*rename"):
            ja.objective(ae, loss)(variables, DATA, jax.random.key(0))


# Means over steps


def test_means_are_of_the_steps_that_stand():
    nan = np.nan
    metrics = {
        "a/loss": jnp.array([1.0, nan, 3.0, 8.0]),
        "a/skipped": jnp.array([0.0, 1.0, 0.0, 0.0]),
        "a/ended": jnp.array([0.0, 0.0, 0.0, 1.0]),
        "b/loss": jnp.array([1.0, 2.0, 3.0, 4.0]),
        "ab/loss": jnp.array([1.0, nan, 3.0, 4.0]),
    }
    found = means(metrics)
    assert (found["a/loss"], found["a/skipped"], found["a/ended"], found["b/loss"]) == (4, 0.25, 0.25, 2.5)
    assert np.isnan(found["ab/loss"])
    assert set(over_epoch(metrics)) == {"a/loss", "a/skipped", "b/loss", "ab/loss"}
    all_of_them = means({"loss": jnp.array([nan, nan]), "skipped": jnp.ones(2)})
    assert np.isnan(all_of_them["loss"]) and all_of_them["skipped"] == 1


def test_a_step_that_was_skipped_in_part_counts_in_part():
    # Two steps at a time, as `repeat` gives: 3 of 4 stand, with losses 1, 2 and 6.
    found = means({"loss": jnp.array([1.5, 6.0]), "skipped": jnp.array([0.0, 0.5])})
    assert float(found["loss"]) == 3
    repeated = learner.repeat(poisoned(2), 3)
    variables = Line().init(jax.random.key(0), DATA.x)
    *_, metrics = jax.jit(repeated.step)(variables, repeated.init(variables), DATA, jax.random.key(1))
    np.testing.assert_allclose(metrics["skipped"], 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(metrics["twice"], 2 * metrics["loss"], rtol=1e-6)


# In a fit


def shares(bad):
    shares = np.zeros(5)
    for step in bad:
        shares[(step - 1) // STEPS] += 1 / STEPS
    return shares


@pytest.mark.parametrize("seeds", [None, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_skipped_steps_are_left_out_counted_and_named(kind, seeds):
    bad = (5, 9, 10)
    with pytest.warns(RuntimeWarning, match="skipped 3 steps, the first step 5, since they were not finite"):
        fitted = fit(poisoned(*bad, kind=kind), seeds=seeds)
    one = fitted if seeds is None else fitted.take(0)
    assert one.describe() == "trained; skipped 3 steps, the first step 5"
    assert (one.status.epochs, one.status.skipped, one.status.skipped_step, one.status.diverged_epoch) == (5, 3, 5, 0)
    np.testing.assert_allclose(one.history["skipped"], shares(bad), rtol=1e-6)
    assert "ended" not in one.history and np.isfinite(one.final())
    if seeds is None:
        variables, _, losses = by_hand(descent(), bad, 15)
        np.testing.assert_allclose(one.variables["params"]["w"], variables["params"]["w"], rtol=1e-4)
        epochs = np.nanmean(np.reshape(losses, (5, STEPS)), 1)
        np.testing.assert_allclose(one.history["loss"], epochs, rtol=1e-4)
        np.testing.assert_allclose(one.history["twice"], 2 * epochs, rtol=1e-4)
    assert int(one.state.step) == 15


@pytest.mark.parametrize("seeds", [None, 1])
@pytest.mark.parametrize(("patience", "bad", "end"), [(1, (5,), 5), (2, (2, 8, 9), 9)])
def test_a_run_that_ends_keeps_the_state_before_its_bad_steps(patience, bad, end, seeds):
    epoch = -(-end // STEPS)
    said = (
        f"diverged in epoch {epoch} at step {end}; skipped {len(bad)} steps?, the first step {bad[0]}; its last finite"
    )
    with pytest.warns(RuntimeWarning, match=said):
        fitted = fit(poisoned(*bad, patience=patience), seeds=seeds, validation=VALID, score=errors)
    one = fitted if seeds is None else fitted.take(0)
    assert (one.status.epochs, one.status.diverged_epoch, one.status.diverged_step) == (epoch - 1, epoch, end)
    assert (one.status.skipped, one.status.skipped_step) == (len(bad), bad[0])
    assert np.isposinf(one.final())
    if seeds is None:
        variables, opt_state, _ = by_hand(descent(), bad, end)
        np.testing.assert_allclose(one.state.variables["params"]["w"], variables["params"]["w"], rtol=1e-4)
        same(one.state.opt_state[1].inner[0].count, opt_state[0].count)
    assert np.isnan(one.history["loss"][epoch:]).all() and np.isfinite(one.history["loss"][:epoch]).all()


def test_alone_and_in_a_population_are_told_alike():
    for learner_of in (poisoned(5, 9), poisoned(4, 5, 6, patience=3)):
        alone, many = quietly(learner_of, epochs=4), quietly(learner_of, epochs=4, seeds=1)
        # Another key, since a member's is folded; what is counted is the same.
        for name, value in alone.status._asdict().items():
            assert value == getattr(many.status, name)[0], name


def test_where_only_one_player_skips_the_other_is_still_watched():
    pair = ja.chain(careful=poisoned(4), careless=ja.schedule(descent, spoil=lambda s: jnp.where(s == 7, jnp.nan, 1.0)))
    for seeds in (None, 1):
        fitted = quietly(pair, seeds=seeds)
        one = fitted if seeds is None else fitted.take(0)
        assert (one.status.diverged_epoch, one.status.diverged_step, one.status.epochs) == (3, 8, 2)
        assert (one.status.skipped, one.status.skipped_step, int(one.state.step)) == (1, 4, 6)
        assert np.isfinite(one.state.variables["params"]["w"]).all()
        assert sorted(one.history) == [
            "careful/loss", "careful/skipped", "careful/twice", "careless/loss", "careless/twice"
        ]  # fmt: skip


@pytest.mark.parametrize(("kind", "patience", "lanes"), [("gradient", 10, 2), ("parameters", 1, None)])
def test_the_other_members_do_not_notice(kind, lanes, patience, optimised):
    def factory(bad):
        return poisoned(bad, patience=patience, kind=kind)

    healthy = fit(factory, hparams={"bad": [NEVER] * 4}, lanes=lanes)
    assert not healthy.status.skipped.any()
    with pytest.warns(RuntimeWarning, match=r"member 1 \(bad=5\) (trained|diverged in epoch 2 at step 5); skipped 1"):
        ill = fit(factory, hparams={"bad": [NEVER, 5, NEVER, NEVER]}, lanes=lanes)
    assert ill.status.skipped.tolist() == [0, 1, 0, 0] and ill.status.skipped_step.tolist() == [0, 5, 0, 0]
    for i in (0, 2, 3):
        same(ill.take(i)[:3], healthy.take(i)[:3])
    assert np.isfinite(ill.state.variables["params"]["w"]).all()
    assert (ill.state.variables["params"]["w"][1] != healthy.state.variables["params"]["w"][1]).any()


@pytest.mark.parametrize("lanes", [None, 2])
def test_clipping_by_the_global_norm_is_each_members_own(lanes, optimised):
    def factory(bad):
        def at(spoil):
            def objective(variables, batch, key):
                value = 100 * errors(variables, batch).mean() * spoil
                return value, (variables, {"loss": value})

            return ja.descend(objective, optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(0.1)))

        return ja.schedule(at, spoil=lambda step: jnp.where(step + 1 == bad, jnp.nan, 1.0))

    healthy = fit(factory, hparams={"bad": [NEVER] * 4}, lanes=lanes)
    ill = quietly(factory, hparams={"bad": [NEVER, 5, NEVER, NEVER]}, lanes=lanes)
    assert ill.status.diverged_step.tolist() == [0, 5, 0, 0]
    for i in (0, 2, 3):
        same(ill.take(i)[:3], healthy.take(i)[:3])


@pytest.mark.parametrize("seeds", [None, 2])
def test_skips_go_on_after_a_checkpoint_and_into_a_file(tmp_path, seeds):
    one = poisoned(5, 9, 13, 14, patience=2)
    whole = quietly(one, seeds=seeds)
    for epochs in (3, 5):
        fitted = quietly(one, seeds=seeds, epochs=epochs, checkpoint=tmp_path / "fit")
    same(fitted[:3], whole[:3])
    same(fitted.status, whole.status)
    assert (np.ravel(fitted.status.skipped) == 4).all() and (np.ravel(fitted.status.diverged_step) == 14).all()
    save(fitted, tmp_path / "fit.safetensors")
    same(load(tmp_path / "fit.safetensors").status, whole.status)


def test_the_log_names_who_skipped(tmp_path, monkeypatch):
    from jaxae.fitting import course

    monkeypatch.setattr(course, "CHUNK_EPOCHS", 1)
    quietly(lambda bad: poisoned(bad, 11), hparams={"bad": [5, NEVER, 8]}, epochs=4, log=tmp_path / "log")
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    skipped = [(e["member"], e["steps"], e["first"]) for e in events if e["event"] == "skipped"]
    assert skipped == [(0, 1, 5), (2, 1, 8), (0, 2, 5), (1, 1, 11), (2, 2, 8)]


def test_a_skipping_run_without_bad_steps_is_the_run_itself():
    guarded, plain = fit(poisoned(NEVER)), fit(ja.schedule(descent, spoil=lambda step: 1.0))
    np.testing.assert_allclose(guarded.history["loss"], plain.history["loss"], rtol=1e-5)
    np.testing.assert_allclose(guarded.variables["params"]["w"], plain.variables["params"]["w"], rtol=1e-4)
    assert (guarded.status.skipped, guarded.status.skipped_step) == (0, 0)
    assert (guarded.history["skipped"] == 0).all()
    state, history = ja.train(Line(), poisoned(5), DATA, jax.random.key(2), epochs=5, batch_size=BATCH)
    np.testing.assert_allclose(history["skipped"], shares((5,)), rtol=1e-6)
    assert np.isfinite(history["loss"]).all() and int(state.step) == 15
