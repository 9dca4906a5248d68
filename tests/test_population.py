"""Grids and populations of members that can be computed by hand. The laws of populations are in tests/laws."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jaxae as ja
from jaxae.hyperparameters import grid
from jaxae.population import everywhere, over_rows, spread, sweep


def keys(count: int, seed: int = 0):
    return jax.random.split(jax.random.key(seed), count)


def mesh(devices: int, kind=AxisType.Auto):
    return jax.make_mesh((devices,), ("members",), axis_types=(kind,), devices=jax.devices()[:devices])


def member(key, scale=1.0, shift=0.0):
    return {"draw": scale * jax.random.normal(key, (2,)) + shift, "shift": jnp.asarray(shift)}


@pytest.mark.parametrize("devices", [None, 1, 3])
@pytest.mark.parametrize("lanes", [None, 2])
@pytest.mark.parametrize("chunk", [None, 4, 100])
def test_a_population_is_its_members(devices, lanes, chunk):
    population = sweep(member, None if devices is None else mesh(devices), chunk=chunk, lanes=lanes)
    out = population(keys(5), grid(scale=[1.0, 2.0], shift=[0.0, 10.0, 20.0]))
    assert out["draw"].shape == (6, 5, 2) and out["shift"].shape == (6, 5)
    points = itertools.product([1.0, 2.0], [0.0, 10.0, 20.0])
    for point, (scale, shift) in enumerate(points):
        for seed in range(5):
            alone = member(keys(5)[seed], scale, shift)
            np.testing.assert_allclose(out["draw"][point, seed], alone["draw"], rtol=1e-6, atol=1e-6)


def test_without_hparams_the_axis_is_the_seeds():
    out = sweep(member)(keys(3))
    assert out["draw"].shape == (3, 2)
    np.testing.assert_array_equal(out["draw"][1], member(keys(3)[1])["draw"])


def test_every_seed_is_shared_by_all_points():
    draws = sweep(lambda key, scale: jax.random.normal(key))(keys(4), grid(scale=[1.0, 2.0]))
    np.testing.assert_array_equal(draws[0], draws[1])
    assert len(set(np.asarray(draws[0]).tolist())) == 4


def test_chunks_come_back_in_host_memory():
    out = sweep(member, chunk=2)(keys(3))
    assert isinstance(out["draw"], np.ndarray)


def test_keys_are_results_too():
    found = sweep(lambda key: {"key": key}, chunk=2)(keys(3))["key"]
    np.testing.assert_array_equal(jax.random.key_data(found), jax.random.key_data(keys(3)))


def test_one_program_serves_all_chunks():
    traces = 0

    def counted(key):
        nonlocal traces
        traces += 1
        return jax.random.normal(key)

    sweep(counted, chunk=2)(keys(7))
    assert traces == 1


def test_members_of_any_count_fit_on_any_mesh():
    for count, devices in itertools.product((1, 2, 5), (1, 2, 4)):
        out = spread(lambda x, y: x * y, mesh(devices))(jnp.arange(float(count)), 2.0)
        np.testing.assert_array_equal(out, 2 * np.arange(count))


@pytest.mark.parametrize("lanes", [None, 1, 2])
@pytest.mark.parametrize("devices", [None, 2])
def test_states_in_place_are_as_any_others_and_used_up(devices, lanes):
    def advance(pair, slope):
        state, own = pair
        return state * slope + own, (state - own).sum()

    states = np.arange(12.0, dtype=np.float32).reshape(6, 2)
    own, given = jnp.arange(6.0)[:, None], jnp.asarray(states)
    out, more = spread(advance, devices and mesh(devices), lanes, in_place=True)((given, own), 2.0)
    np.testing.assert_array_equal(out, 2 * states + own)
    np.testing.assert_array_equal(more, (states - own).sum(1))
    # What lies on other devices is a copy.
    assert given.is_deleted() == (devices is None)


@pytest.mark.parametrize("lanes", [None, 1, 2])
def test_states_in_place_may_hold_keys(lanes):
    def advance(pair, _):
        key, use = jax.random.split(pair[0])
        return key, jax.random.bits(use)

    given = keys(5)
    expected = jax.vmap(lambda key: advance((key, None), None))(jax.random.clone(given))
    out, more = spread(advance, lanes=lanes, in_place=True)((given, jnp.zeros(5)), None)
    np.testing.assert_array_equal(jax.random.key_data(out), jax.random.key_data(expected[0]))
    np.testing.assert_array_equal(more, expected[1])


def test_states_in_place_are_not_copied():
    """XLA copies a population's states where a loop over it reshapes them, and where they are not used up."""

    def compiled(in_place):
        def advance(pair, _):
            return jnp.sin(pair[0]) @ pair[0], pair[1]

        run = spread(advance, lanes=1, in_place=in_place)
        given = jnp.ones((7, 30, 30)), jnp.ones(7)
        together = jax.jit(lambda *pair: run(pair, None), donate_argnums=0)
        return together.lower(*given).compile().as_text()

    assert not re.search(r"f32\[7,30,30\]\S* (copy|broadcast)\(", compiled(True))
    assert re.search(r"f32\[7,30,30\]\S* (copy|broadcast)\(", compiled(False))


@pytest.mark.parametrize(("lanes", "expected"), [(1, 1), (2, 0)])
@pytest.mark.parametrize("devices", [None, 2])
def test_members_one_after_another_may_be_another_program(lanes, devices, expected):
    def together(own, shared):
        return own + shared, jnp.zeros(())

    def by_itself(own, shared):
        return jax.lax.while_loop(lambda x: x < 3, lambda x: x + 1, own) - own + own + shared, jnp.ones(())

    given = jnp.arange(3.0, 8.0)
    out, which = spread(together, devices and mesh(devices), lanes, by_itself=by_itself)(given, 2.0)
    np.testing.assert_array_equal(out, given + 2)
    np.testing.assert_array_equal(which, np.full(5, expected))


def mesh_with(**axes):
    return jax.make_mesh(tuple(axes.values()), tuple(axes), axis_types=(AxisType.Auto,) * len(axes))


def rows_on_devices(mesh):
    ae = ja.models.AE(ja.networks.MLP((16, 3), norm=True, dropout=0.25), ja.networks.MLP((8,)))
    data = ja.Batch(jax.random.normal(jax.random.key(0), (48, 8)))
    learner = ja.descend(ja.objective(ae, ja.losses.reconstruction), optax.adam(1e-2))
    learner = learner if mesh is None else over_rows(learner, mesh)
    return lambda key, _: ja.train(ae, learner, data, key, epochs=2, batch_size=16)


def test_rows_of_a_batch_on_several_devices_are_one_batch():
    mesh = mesh_with(data=4)
    expected = jax.jit(rows_on_devices(None))(jax.random.key(3), None)
    found = everywhere(rows_on_devices(mesh), mesh)(jax.random.key(3), None)
    # Sums over the batch are made of four; what is drawn, dropout's masks included, is the same.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected)
    assert all(leaf.is_fully_replicated for leaf in jax.tree.leaves(found))
    own = jax.device_put(jax.random.key(3), NamedSharding(mesh, PartitionSpec()))
    text = jax.jit(rows_on_devices(mesh)).lower(own, None).compile().as_text()
    assert "all-reduce" in text and "f32[4,16]" in text  # a quarter of the batch on each, 16 units wide


@pytest.mark.parametrize("lanes", [None, 2])
def test_members_and_rows_are_spread_together(lanes):
    mesh, key = mesh_with(members=2, data=2), jax.random.key(5)
    expected = spread(rows_on_devices(None), None, lanes)(jax.random.split(key, 3), None)
    found = spread(rows_on_devices(mesh), mesh, lanes)(jax.random.split(jax.random.clone(key), 3), None)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected)


def test_a_mesh_of_two_axes_is_used_whole():
    two = jax.make_mesh((2, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
    out = spread(lambda x, _: x + 1, two)(jnp.arange(8.0), None)
    np.testing.assert_array_equal(out, np.arange(1, 9))
    assert len(out.sharding.device_set) == 4


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"chunk": 0}, ValueError, "chunk is 0"),
        ({"chunk": 2.5}, TypeError, "chunk is 2.5"),
        ({"lanes": 0}, ValueError, "lanes is 0"),
        ({"lanes": "2"}, TypeError, "lanes is '2'"),
    ],
)
def test_what_a_sweep_refuses(given, error, words):
    with pytest.raises(error, match=words):
        sweep(member, **given)


def test_a_mesh_of_explicit_axes_is_refused():
    with pytest.raises(ValueError, match="need Auto axes"):
        sweep(member, mesh(2, AxisType.Explicit))


@pytest.mark.parametrize(
    ("key", "hparams", "error", "words"),
    [
        (0, {}, TypeError, r"jax\.random\.key\(0\)"),
        (np.zeros((3, 2), np.uint32), {}, TypeError, "legacy uint32 key"),
        (None, {}, TypeError, "must be a typed key"),
        ("keys", {"scale": [1.0], "shift": [1.0, 2.0]}, ValueError, "columns of one length"),
        ("keys", {"scale": 1.0}, ValueError, "columns of one length"),
        ("keys", {"scale": []}, ValueError, "columns of one length"),
    ],
)
def test_what_a_population_refuses(key, hparams, error, words):
    with pytest.raises(error, match=words):
        sweep(member)(keys(2) if isinstance(key, str) else key, hparams)


def test_one_key_is_no_population():
    with pytest.raises(ValueError, match="key has shape"):
        sweep(member)(jax.random.key(0))


def test_a_chunk_is_never_larger_than_the_population():
    ran = []

    def noted(key, a):
        jax.debug.callback(lambda _: ran.append(1), a)
        return a

    sweep(noted, chunk=50)(keys(1), {"a": jnp.arange(3.0)})
    jax.effects_barrier()
    assert len(ran) == 3


def test_what_is_no_member_and_no_mesh_is_named():
    with pytest.raises(TypeError, match="member is None, but must be a function"):
        sweep(None)
    with pytest.raises(TypeError, match=r"mesh is str, but must be a mesh of devices: jax\.make_mesh"):
        sweep(member, "cpu")


def test_a_hyperparameter_that_the_member_does_not_take_is_refused():
    with pytest.raises(ValueError, match="no hyperparameter of the member 'scael'; there is: scale"):
        sweep(member)(keys(2), {"scael": [1.0]})
    out = sweep(lambda key, **others: others["any"])(keys(2), {"any": [1.0]})
    assert out.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("mapped", [(jnp.ones(3), jnp.ones(2)), (jnp.ones(3), 1.0), jnp.ones((0, 2))])
def test_members_have_one_row_in_every_leaf(mapped):
    with pytest.raises(ValueError, match="mapped has leaves of lengths"):
        spread(lambda own, _: own)(mapped, None)
