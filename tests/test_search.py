"""Searches on a problem small enough to be run by hand: who is dropped, who takes over, and what stays as it is."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType

import jaxae as ja
from jaxae import search
from jaxae.hyperparameters import log_uniform, uniform
from tests.line import Line, errors

ROWS, FEATURES, BATCH = 24, 5, 8
DATA = ja.Batch(jax.random.uniform(jax.random.key(0), (ROWS, FEATURES)))
VALID = ja.Batch(jax.random.uniform(jax.random.key(1), (10, FEATURES)))
RATES = np.array([1e-3, 0.1, 3e-3, 0.03, 0.3, 1e30, 0.2, 1e-4, 0.05], np.float32)


def objective(variables, batch, key):
    noise = 1 + 0.5 * jax.random.normal(key, (len(batch.x),))
    value = (errors(variables, batch) * noise).mean()
    return value, (variables, {"loss": value})


def learner(lr):
    return ja.descend(objective, optax.sgd(lr, momentum=0.9))


def key():
    return jax.random.key(7)


def mesh_of(devices):
    return devices and jax.make_mesh(
        (devices,), ("members",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices]
    )


COMMON = {"batch_size": BATCH, "validation": VALID, "score": errors, "progress": False}


def halving(**given):
    arguments = {"key": key(), "epochs": 9, "hparams": {"lr": RATES}, "lanes": 1} | COMMON | given
    return search.halving(Line(), learner, DATA, **arguments)


def evolution(**given):
    arguments = {"key": key(), "epochs": 7, "hparams": {"lr": RATES[:5]}, "every": 2, "share": 0.4, "lanes": 1}
    return search.evolution(Line(), learner, DATA, **(arguments | COMMON | given))


def rows(tree, i):
    return jax.tree.map(lambda leaf: leaf[i], tree)


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def everyone():
    """Return all members, each trained to the end."""
    with pytest.warns(RuntimeWarning, match="member 5"):
        return ja.fit(Line(), learner, DATA, key=key(), epochs=9, hparams={"lr": RATES}, lanes=1, **COMMON)


@pytest.mark.parametrize(("devices", "seeds"), [(None, None), (2, None), (3, 2)])
def test_halving_is_the_same_search_by_hand(everyone, devices, seeds):
    if seeds:
        with pytest.warns(RuntimeWarning, match="diverged"):
            everyone = ja.fit(
                Line(), learner, DATA, key=key(), epochs=9, hparams={"lr": RATES}, seeds=2, lanes=1, **COMMON
            )
    with pytest.warns(RuntimeWarning, match="diverged"):
        found = halving(mesh=mesh_of(devices), seeds=seeds)
    validation = np.where(np.isnan(everyone.history["validation"]), np.inf, everyone.history["validation"])
    alive, dropped = list(range(everyone.members)), {}
    for budget in (1, 3):
        best = validation[:, :budget].min(1)
        ranked = sorted(alive, key=lambda i: best[i])
        keep = sorted(ranked[: -(-len(alive) // 3)])
        dropped |= {i: budget for i in alive if i not in keep}
        alive = keep
    assert alive == np.flatnonzero(found.status.epochs == 9).tolist()
    assert found.record["rungs"][-1] == {"epochs": 9, "members": len(alive)}
    for i in range(everyone.members):
        if i in dropped and everyone.status.diverged_epoch[i] == 0:
            assert found.describe(i) == f"dropped after epoch {dropped[i]}"
        epochs = dropped.get(i, 9)
        # What a member did until then is what it does alone.
        same(found.history["validation"][i][:epochs], everyone.history["validation"][i][:epochs])
        assert np.isnan(found.history["validation"][i][epochs:]).all()
    for i in alive:
        same(
            jax.tree.map(lambda leaf, i=i: leaf[i], found.state),
            jax.tree.map(lambda leaf, i=i: leaf[i], everyone.state),
        )
    assert found.best() in alive
    same(found.hparams, everyone.hparams)
    same(found.seeds, everyone.seeds)


def test_a_member_that_diverged_is_dropped_and_says_so():
    with pytest.warns(RuntimeWarning, match="member 5 .*diverged"):
        found = halving()
    assert found.describe(5).startswith("diverged in epoch 1")
    assert np.isfinite(found.take(found.best()).variables["params"]["w"]).all()


def test_where_all_but_one_diverge_one_goes_on():
    with pytest.warns(RuntimeWarning, match="diverged"):
        found = halving(hparams={"lr": np.float32([1e30, 0.1, 1e30, 1e30])}, factor=2)
    assert [found.describe(i)[:8] for i in range(4)] == ["diverged", "trained", "diverged", "diverged"]
    assert [rung["members"] for rung in found.record["rungs"]] == [4, 1, 1, 1, 1]


def test_dropped_members_cost_nothing_more():
    """The steps that are taken are those of the rungs, and not of everyone to the end."""
    seen = []
    halving(progress=seen.append, hparams={"lr": np.full(9, 0.1, np.float32)})
    assert [now.training for now in seen if now.epoch in (1, 3, 9)] == [9, 3, 1]


def test_hyperband_spends_alike_on_every_bracket():
    found = search.hyperband(
        Line(), learner, DATA, key=key(), epochs=9, axes={"lr": log_uniform(1e-3, 0.3)}, lanes=1, **COMMON
    )
    counts = [[(rung["epochs"], rung["members"]) for rung in b["rungs"]] for b in found.record["brackets"]]
    # Li et al. 2018, table 1, with R = 9 and η = 3.
    assert counts == [[(1, 9), (3, 3), (9, 1)], [(3, 5), (9, 2)], [(9, 3)]]
    assert found.members == 9 + 5 + 3 and len(set(found.hparams["lr"].tolist())) == found.members
    assert found.status.epochs[found.best()] == 9


def by_hand(lr, epochs, every, share, factors, limits=(0, np.inf)):
    """Return the validation of every epoch, the learning rates and the parents: one member after another."""
    states, keys, history, rates, parents = [], [], [[] for _ in lr], [[] for _ in lr], []
    lr = np.array(lr)
    steps = [
        jax.jit(lambda state, own, rate: ja.run(learner(rate), state, DATA, own, epochs=1, batch_size=BATCH))
    ] * len(lr)
    for i, rate in enumerate(lr):
        state, own = ja.training.initialise(Line(), learner(rate), DATA, jax.random.fold_in(key(), i))
        states.append(state)
        keys.append(jax.random.key_data(own))
    best = [(np.inf, None)] * len(lr)
    exchange_key = jax.random.fold_in(key(), np.uint32(2**32 - 1))
    for epoch in range(1, epochs + 1):
        for i, step in enumerate(steps):
            states[i], _ = step(states[i], jax.random.wrap_key_data(keys[i]), lr[i])
            history[i].append(float(errors(states[i].variables, VALID).mean()))
            rates[i].append(lr[i])
            best[i] = min(best[i], (history[i][-1], states[i].variables), key=lambda pair: pair[0])
        if epoch % every == 0 and epoch < epochs:
            count = int(share * len(lr))
            order = sorted(range(len(lr)), key=lambda i: history[i][-1])
            parent_key, factor_key = jax.random.split(jax.random.fold_in(exchange_key, epoch))
            chosen = np.asarray(jax.random.choice(parent_key, jnp.asarray(order[:count]), (count,)))
            by = np.asarray(
                jax.random.choice(jax.random.split(factor_key, 1)[0], jnp.asarray(factors, jnp.float32), (len(lr),))
            )
            own = list(range(len(lr)))
            before, rate, kept = list(states), lr.copy(), list(best)
            for loser, parent in zip(order[-count:], chosen.tolist(), strict=True):
                own[loser], states[loser], best[loser] = parent, before[parent], kept[parent]
                lr[loser] = np.clip(rate[parent] * by[loser], *limits)
            parents.append(own)
            # A history is that of the line of descent.
            history, rates = [list(history[i]) for i in own], [list(rates[i]) for i in own]
    return np.array(history), np.array(rates), parents, [variables for _, variables in best]


@pytest.mark.parametrize("limits", [None, (1e-3, 0.11)])
def test_evolution_is_the_same_exchange_by_hand(limits):
    start = np.minimum(RATES[:5], 0.11)
    found = evolution(hparams={"lr": start}, limits=None if limits is None else {"lr": limits})
    history, rates, parents, best = by_hand(start, 7, 2, 0.4, (0.8, 1.25), limits or (0, np.inf))
    assert [exchange["parents"] for exchange in found.record["exchanges"]] == parents
    assert [exchange["epoch"] for exchange in found.record["exchanges"]] == [2, 4, 6]
    np.testing.assert_allclose(found.history["validation"], history, rtol=1e-4)
    np.testing.assert_allclose(found.history["hparams/lr"], rates, rtol=1e-6)
    np.testing.assert_array_equal(found.status.best_epoch, history.argmin(1) + 1)
    np.testing.assert_array_equal(found.hparams["lr"], found.history["hparams/lr"][np.arange(5), history.argmin(1)])
    # What members are ranked by is what their variables reach.
    reached = [errors(rows(found.variables, i), VALID).mean() for i in range(5)]
    np.testing.assert_allclose(found.final(), reached, rtol=1e-5)
    for i, variables in enumerate(best):
        own = jax.tree.map(lambda leaf, i=i: leaf[i], found.variables)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), own, variables)
    assert any(parent != i for own in parents for i, parent in enumerate(own))


def test_evolution_changes_no_bit_on_more_devices():
    one, two = evolution(), evolution(mesh=mesh_of(2))
    same(one.history, two.history)
    same(one.state, two.state)


def test_a_member_that_diverged_lives_again():
    found = evolution(hparams={"lr": np.float32([0.1, 1e30, 0.03, 0.05, 0.02])})
    assert np.isfinite(found.history["loss"][1]).all()
    assert found.record["exchanges"][0]["parents"][1] != 1 and found.hparams["lr"][1] < 1
    assert found.describe(1) == "trained"


def test_where_everyone_diverged_nobody_takes_over():
    with pytest.warns(RuntimeWarning, match="diverged"):
        found = evolution(hparams={"lr": np.full(4, 1e30, np.float32)})
    assert all(exchange["parents"] == [0, 1, 2, 3] for exchange in found.record["exchanges"])
    assert np.isinf(found.final()).all()


@pytest.mark.parametrize(
    ("run", "given", "error", "words"),
    [
        (halving, {"factor": 1}, ValueError, "factor is 1"),
        (halving, {"first": 9}, ValueError, "first is 9.*fewer than epochs"),
        (halving, {"hparams": None, "seeds": None}, ValueError, "factory needs lr"),
        (halving, {"hparams": {"lr": [0.1]}}, ValueError, "at least two members, but was given 1"),
        (halving, {"validation": None, "score": None}, ValueError, "held-out rows"),
        (halving, {"epochs": 2.0}, TypeError, "epochs is 2.0"),
        (evolution, {"every": 7}, ValueError, "every is 7"),
        (evolution, {"share": 0.6}, ValueError, "share is 0.6"),
        (evolution, {"factors": (0.0, 2.0)}, ValueError, "factors"),
        (evolution, {"hparams": {"lr": [1, 2]}}, ValueError, "floats > 0"),
        (evolution, {"hparams": {"lr": [0.0, 0.1]}}, ValueError, "floats > 0"),
        (evolution, {"limits": {"rate": (0, 1)}}, ValueError, "rate"),
        (evolution, {"limits": {"lr": (1.0, 0.5)}}, ValueError, "the lower one first"),
        (evolution, {"limits": {"lr": (0.5, 1.0)}}, ValueError, "start within"),
    ],
)
def test_what_a_search_refuses(run, given, error, words):
    with pytest.raises(error, match=words):
        run(**given)


def test_hyperband_needs_an_epoch_for_every_factor():
    with pytest.raises(ValueError, match="epochs is 2"):
        search.hyperband(Line(), learner, DATA, key=key(), epochs=2, axes={"lr": uniform(0.01, 0.1)}, **COMMON)


def test_brackets_of_any_number_of_epochs_end_like_halves():
    found = search.hyperband(
        Line(), learner, DATA, key=key(), epochs=20, axes={"lr": log_uniform(1e-3, 0.3)}, lanes=1, **COMMON
    )
    epochs = [[rung["epochs"] for rung in bracket["rungs"]] for bracket in found.record["brackets"]]
    assert epochs == [[2, 6, 20], [6, 20], [20]]


def test_warnings_of_hyperband_name_members_among_all_brackets():
    with pytest.warns(RuntimeWarning) as caught:
        found = search.hyperband(
            Line(), learner, DATA, key=key(), epochs=3, axes={"lr": log_uniform(1e10, 1e30)}, lanes=1, **COMMON
        )
    named = sorted(int(str(one.message).split()[1]) for one in caught)
    assert named == np.flatnonzero(found.status.diverged_epoch).tolist() and max(named) > 3
    assert "key" not in found.record


def test_a_search_comes_back_from_its_file(tmp_path):
    given = {"hparams": {"lr": RATES[:4]}, "lanes": 1}
    ja.checkpoint.save(halving(**given), tmp_path / "found.safetensors")
    loaded = ja.checkpoint.load(tmp_path / "found.safetensors")
    assert sorted(loaded.status.dropped_epoch.tolist()) == [0, 0, 1, 1] or loaded.status.dropped_epoch.any()
