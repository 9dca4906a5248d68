"""Ensembles on padded tables: what is padded changes nothing, and what is left out is not seen."""

import dataclasses

import jax
import numpy as np
import pytest
import scipy.stats
from flax import linen as nn

from jaxae import ensembles
from jaxae.distributions import Normal
from jaxae.ensembles import (
    Autoencoding,
    Conditional,
    Members,
    Spheres,
    Table,
    Variational,
    padded,
    programs,
    scored,
    shuffled,
    trained,
)

SMALL = Autoencoding((6, 4, 6), nn.tanh)
CODED = Variational((6,), 2, 3, True)
ROUND = Spheres((6, 4))
UNDER = Conditional((6,), 2, 2)
SPARSE = Autoencoding((7,), nn.sigmoid, rate=0.1, weight=0.05)
KEY = jax.random.key(7)


def table(x, rows=64, columns=8):
    out = np.zeros((rows, columns), np.float32)
    out[: len(x), : x.shape[1]] = x
    return Table(out, np.int32(len(x)), np.int32(x.shape[1]))


def fit(own, members=None, family=SMALL, key=0, **more):
    members = members or Members([0.5, 0.0, 1.0], [-1, -1, -1], [False] * 3, [1.0, 0.5, 1.0])
    folds = more.pop("folds", 1)
    order, _ = shuffled(jax.random.key(100), int(own.n), folds)
    how = {"order": order, "folds": folds, "steps": 20, "learning_rate": 1e-2, "batch_size": 8, "trim": 0.1} | more
    return trained(family, own, members, jax.random.key(key), **how)


def score(family, variables, x, weights=(1.0, 1.0, 1.0), entries=False):
    return scored(family, variables, x, np.asarray(weights), jax.random.clone(KEY), entries)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)


@pytest.mark.parametrize("family", [SMALL, CODED, ROUND, SPARSE, UNDER], ids=lambda own: type(own).__name__)
def test_padding_changes_nothing(x, family):
    found = []
    for own in (table(x, 32, 6), table(x, 64, 16)):
        variables, losses = fit(own, family=family, folds=3)
        (entries, made), values = programs._found(family, variables, own, np.ones(3, np.float32), jax.random.clone(KEY))
        assert np.asarray(losses).std() > 0
        found.append((losses, entries[: len(x), :5], made[: len(x), :5], values[:, : len(x)]))
        assert not np.asarray(entries)[:, 5:].any()
    # Products with more zeros in them are summed in another order.
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-5)


def test_padded_columns_are_not_trained(x):
    trained, begun = (fit(table(x), steps=steps)[0]["params"] for steps in (20, 0))
    for path in (("encoder", "Dense_0", "kernel"), ("decoder", "Dense_1", "kernel")):
        one, other = (np.asarray(part[path[0]][path[1]][path[2]]) for part in (trained, begun))
        axis = 1 if path[0] == "encoder" else 2
        unused, used = np.split(one - other, [5], axis)[::-1]
        assert not unused.any() and used.any()


def test_padded_rows_are_never_drawn(x):
    own = table(x)
    own.x[len(x) :] = np.nan
    assert np.isfinite(fit(own)[1]).all()


def test_rows_that_are_left_out_are_never_drawn(x):
    _, folds = shuffled(jax.random.key(100), len(x), 4)
    for fold in range(4):
        broken = np.where((folds == fold)[:, None], np.nan, x)
        members = Members([0.5, 0.5], [fold, (fold + 1) % 4], [False, True], [1.0, 1.0])
        losses = fit(table(broken), members, folds=4)[1]
        assert np.isfinite(losses[0]).all() and not np.isfinite(losses[1]).all()


def test_every_row_that_is_not_left_out_is_drawn(x):
    seen = np.zeros(len(x), bool)
    for row in range(len(x)):
        broken = x.copy()
        broken[row] = np.nan
        seen[row] = not np.isfinite(fit(table(broken), Members([0.0], [-1], [False], [1.0]), steps=60)[1]).all()
    assert seen.all()


def test_a_bootstrap_sample_is_the_same_throughout(x):
    """Of 30 rows drawn 30 times with replacement 19 are seen, of whom the deviation is 2; and those are seen always."""
    seen = []
    for steps in (60, 120):
        found = np.zeros((2, len(x)), bool)
        for row in range(len(x)):
            broken = x.copy()
            broken[row] = np.nan
            members = Members([0.0, 0.0], [-1, -1], [True, True], [1.0, 1.0])
            found[:, row] = ~np.isfinite(fit(table(broken), members, steps=steps)[1]).all(1)
        seen.append(found)
    np.testing.assert_array_equal(*seen)
    assert all(11 <= count <= 27 for count in seen[0].sum(1)) and (seen[0][0] != seen[0][1]).any()


@pytest.mark.parametrize(("n", "folds"), [(1, 4), (7, 4), (30, 3), (64, 4)])
def test_folds_share_the_rows(n, folds):
    order, fold = shuffled(jax.random.key(1), n, folds)
    order = np.asarray(order)
    assert sorted(order) == list(range(len(order))) and sorted(order[:n]) == list(range(n))
    counts = np.bincount(fold, minlength=folds)
    assert len(counts) == folds and counts.max() - counts.min() <= 1
    assert (np.diff(fold[order[:n]]) >= 0).all()


def test_a_member_of_fewer_units_keeps_to_them(x):
    """Units that it has not are dead from the beginning to the end; those that it has learn."""
    members = Members([0.5, 0.5], [-1, -1], [False, False], [1.0, 0.4])
    begun, ended = (fit(table(x), members, steps=steps)[0]["params"] for steps in (0, 40))
    for layer, after, left in (("encoder/Dense_0", "encoder/Dense_1", 3), ("decoder/Dense_0", "decoder/Dense_1", 3)):
        own, nxt = ((ended[part][name]["kernel"][1]) for part, name in (one.split("/") for one in (layer, after)))
        assert not np.asarray(own)[:, left:].any() and not np.asarray(nxt)[left:].any()
        part, name = layer.split("/")
        changed = np.asarray(own) != np.asarray(begun[part][name]["kernel"][1])
        assert changed[:, :left].any(0).all()
        assert not np.asarray(ended[part][name]["bias"][1])[left:].any()
    # As if it had been made so: the layer after has a variance of one over so many inputs.
    wide = Autoencoding((400, 400), nn.relu)
    many = Members([0.0, 0.0], [-1, -1], [False, False], [1.0, 0.25])
    kernel = fit(table(x), many, family=wide, steps=0)[0]["params"]["decoder"]["Dense_0"]["kernel"]
    np.testing.assert_allclose([np.var(kernel[0]), np.var(kernel[1][:100, :100])], [1 / 400, 1 / 100], rtol=0.05)


def test_a_member_does_not_depend_on_the_others(x):
    keys = jax.random.split(jax.random.key(0), 3)
    order, _ = shuffled(jax.random.key(100), len(x), 1)
    together = fit(table(x))[0]
    held = programs.Held(table(x), order[:64], np.int32(1), np.int32(20), np.float32(1e-2))
    own = Members(np.float32([0.0]), np.int32([-1]), np.array([False]), np.float32([0.5]))
    alone, _ = programs._program(SMALL, 8, 0.1, False)((keys[1:2], own), held)
    for one, leaf in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
        np.testing.assert_allclose(one[0], leaf[1], rtol=1e-4, atol=1e-6)


def test_one_program_serves_tables_of_many_sizes(x):
    def used(n, columns, steps, rate):
        own = fit(padded(x[:n, :columns], 64), steps=steps, learning_rate=rate, folds=2)[0]
        score(SMALL, own, x[:n, :columns])

    compiled = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, seconds, **_: compiled.append(event))
    jax.clear_caches()
    used(30, 5, 20, 1e-2)
    assert any("backend_compile" in event for event in compiled)
    compiled.clear()
    for n, columns, steps, rate in ((10, 3, 5, 1e-3), (20, 5, 9, 1e-2), (30, 1, 60, 1e-1)):
        used(n, columns, steps, rate)
    jax.monitoring.clear_event_listeners()
    assert not any("backend_compile" in event for event in compiled)


def test_the_history_is_the_mean_over_parts_of_the_run(x):
    losses = fit(table(x), steps=200)[1]
    assert losses.shape == (3, ensembles.POINTS)
    # Without noise nothing is left over; what is fitted is fitted better at the end.
    assert losses[1, -5:].mean() < losses[1, :5].mean()


def test_errors_are_those_of_the_model(x):
    variables = fit(table(x))[0]
    weights = np.array([1.0, 2.0, 3.0])
    # The padding that `scored` chooses is another one.
    wide = fit(padded(x, 64))[0]
    found = score(SMALL, wide, x, weights, entries=True)
    model = SMALL.model(16)
    alone = [jax.tree.map(lambda leaf, i=i: leaf[i], wide) for i in range(3)]
    made = [np.asarray(model.apply(one, padded(x, 64).x))[: len(x), :5] for one in alone]
    squares = (np.stack(made) - x) ** 2
    np.testing.assert_allclose(found.values, squares.sum(2), rtol=1e-4)
    np.testing.assert_allclose(found.entries, np.tensordot(weights, squares, 1), rtol=1e-4)
    np.testing.assert_allclose(found.made, np.tensordot(weights, made, 1), rtol=1e-4, atol=1e-5)
    assert score(SMALL, wide, x, weights)[1:] == (None, None)
    assert jax.tree.structure(variables) == jax.tree.structure(wide)


@pytest.mark.parametrize("prior", [False, True])
def test_nats_are_those_of_the_likelihood(x, prior):
    family = dataclasses.replace(CODED, prior=prior, draws=100)
    variables = fit(padded(x, 64), family=family)[0]
    found = score(family, variables, x, entries=True)
    alone = jax.tree.map(lambda leaf: np.asarray(leaf[0]), variables)
    bound = family.model(16).bind(alone)
    posterior = bound.encode(padded(x, 64).x)
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(100):
        z = posterior.mean + np.exp(0.5 * posterior.logvar) * np.float32(rng.normal(size=posterior.mean.shape))
        made = bound.decode(z)
        scale = np.exp(0.5 * np.asarray(made.logvar))
        draws.append(-scipy.stats.norm.logpdf(padded(x, 64).x, made.mean, scale)[: len(x), :5].sum(1))
    expected = np.mean(draws, 0) + prior * np.asarray(posterior.kl())[: len(x)]
    # Two means of 100 draws.
    np.testing.assert_allclose(found.values[0], expected, atol=6 * np.max(np.std(draws, 0)) * np.sqrt(2 / 100))
    np.testing.assert_allclose(found.entries.sum(1), found.values.sum(0), rtol=1e-4)


def test_equal_rows_have_equal_values(x):
    variables = fit(padded(x, 64), family=CODED)[0]
    values = score(CODED, variables, np.r_[x, x[::-1]]).values
    np.testing.assert_array_equal(values[:, :30], values[:, :29:-1])


def test_rows_are_scored_in_parts(x, monkeypatch):
    variables = fit(padded(x, 64))[0]
    whole = score(SMALL, variables, x, entries=True)
    monkeypatch.setattr(programs, "TOGETHER", 7)
    parts = score(SMALL, variables, x, entries=True)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_tables_are_padded_to_a_few_sizes():
    shapes = {padded(np.ones((n, columns))).x.shape for n in (1, 9_000, 16_384) for columns in range(1, 177)}
    assert shapes == {(2**14, 16), (2**14, 48), (2**14, 96), (2**14, 176)}
    assert padded(np.ones((16_385, 200))).x.shape == (2**16, 256)


def test_what_entries_add_to_a_distance(x):
    """By finite differences along t·x: the network is homogeneous, so that f(t·x) = t·f(x)."""
    own = padded(x, 64)
    variables = fit(own, family=ROUND)[0]
    found = score(ROUND, variables, x, (1.0, 0.0, 0.0), entries=True)
    np.testing.assert_allclose(found.entries.sum(1), found.values[0], rtol=1e-4, atol=1e-5)
    one = jax.tree.map(lambda leaf: np.asarray(leaf[0], np.float64), variables)
    first, second = (one["params"]["encoder"][f"Dense_{i}"]["kernel"] for i in range(2))
    centre = one["centre"]["centre"]

    def placed(rows):
        hidden = rows @ first[:5]
        return np.where(hidden > 0, hidden, 0.01 * hidden) @ second

    np.testing.assert_allclose(((placed(x) - centre) ** 2).sum(1), found.values[0], rtol=1e-4)
    hidden = x.astype(np.float64) @ first[:5]
    slopes = np.where(hidden > 0, 1.0, 0.01)
    parts = np.einsum("nj,jh,nh,ho->njo", x, first[:5], slopes, second)
    own_parts = np.einsum("njo,no->nj", parts, placed(x) - centre)
    rest = -((placed(x) - centre) * centre).sum(1) / 5
    np.testing.assert_allclose(found.entries, own_parts + rest[:, None], rtol=1e-3, atol=1e-4)


def test_the_centre_is_the_mean_of_the_first_outputs(x):
    own = padded(x, 64)
    variables = fit(own, family=ROUND, steps=0)[0]
    one = jax.tree.map(lambda leaf: leaf[0], variables)
    mean = np.asarray(ROUND.model(16).apply({**one, "centre": {"centre": np.zeros(4, np.float32)}}, own.x))[:30].mean(0)
    expected = np.where(np.abs(mean) < 0.1, np.where(mean < 0, -0.1, 0.1), mean)
    np.testing.assert_allclose(one["centre"]["centre"], expected, rtol=1e-5)
    again = fit(own, family=ROUND, steps=30)[0]
    np.testing.assert_array_equal(again["centre"]["centre"], variables["centre"]["centre"])


@pytest.mark.parametrize("family", [SMALL, CODED], ids=["autoencoding", "variational"])
def test_codes_and_back_are_those_of_the_model(x, family, monkeypatch):
    monkeypatch.setattr(programs, "TOGETHER", 7)
    own = padded(x, 64)
    one = jax.tree.map(lambda leaf: leaf[0], fit(own, family=family)[0])
    bound = family.model(16).bind(one)
    codes = bound.encode(own.x)
    codes = np.asarray(codes.mean if isinstance(codes, Normal) else codes)[:30]
    rows = bound.decode(codes)
    rows = np.asarray(rows.mean if isinstance(rows, Normal) else rows)[:, :5]
    np.testing.assert_allclose(ensembles.encoded(family, one, x), codes, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ensembles.decoded(family, one, codes, 5), rows, rtol=1e-5, atol=1e-6)
