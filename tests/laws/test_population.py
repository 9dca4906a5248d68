"""What every population keeps: its members never meet, so who trains together, and where, changes nothing."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jaxae as ja
from jaxae.networks import MLP
from jaxae.population import spread

from .cases import DATA, LOSSES, differ, same_bits, train, trained

LANES = 4
WORDS = np.random.default_rng(0).integers(2**32, size=(9, 2), dtype=np.uint32)
RATES = np.geomspace(1e-3, 3e-2, 9, dtype=np.float32)
COLLECTIVES = r"all-reduce|all-gather|collective-permute|all-to-all|reduce-scatter|collective-broadcast"


def members(rows, *, rates=RATES):
    """Return (keys, lr) of some members: new keys every time, since a key is used once."""
    return jax.random.wrap_key_data(jnp.asarray(WORDS[rows])), jnp.asarray(rates[rows])


def mesh_of(devices):
    return devices and jax.make_mesh((devices,), ("members",), axis_types=(AxisType.Auto,))


@functools.cache
def population(name, devices=None, lanes=LANES):
    return spread(lambda own, _: train(name, *own), mesh_of(devices), lanes)


@functools.cache
def everyone(name):
    """Return all members, trained in lanes on one device."""
    return jax.device_get(population(name)(members(slice(9)), None))


@functools.cache
def sharded(name, lanes):
    """Return the compiled program of eight members on two devices, and where its arguments lie."""
    sharding = NamedSharding(mesh_of(2), PartitionSpec("members"))
    own = jax.device_put(members(slice(8)), sharding)
    return jax.jit(lambda own: population(name, 2, lanes)(own, None)).lower(own).compile(), sharding


def rows(tree, which):
    return jax.tree.map(lambda leaf: leaf[which], tree)


@pytest.mark.parametrize("name", LOSSES)
def test_a_member_is_that_run_alone(name):
    key, lr = rows(members(slice(9)), 3)
    alone = jax.device_get(trained(name)[0](key, lr))
    own = rows(everyone(name), 3)
    # vmap makes batched products of products, which sum in another order: rounding of float32. Adam divides a gradient
    # by its own size, so where one is nearly 0 the rounding moves a parameter by some share of lr = 3.6e-3.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), own, alone)
    # The tolerance tells members apart.
    assert not np.allclose(rows(everyone(name)[1]["loss"], 2), alone[1]["loss"], rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "devices", "counts"),
    [
        ("elbo", None, (1, 5)),
        ("reconstruction", 1, (4,)),
        ("reconstruction", 4, (1, 6)),
    ],
)
def test_in_lanes_a_member_has_the_same_bits_in_every_population(name, devices, counts):
    for count in counts:
        out = population(name, devices)(members(slice(count)), None)
        same_bits(jax.device_get(out), rows(everyone(name), slice(count)))
    last = population(name, devices)(members(slice(8, 9)), None)
    same_bits(jax.device_get(last), rows(everyone(name), slice(8, 9)))


def test_a_loop_of_one_group_is_not_inlined():
    """XLA rounds a run that it inlines otherwise: so the number of groups is known at run time only."""
    vae = ja.models.VAE(MLP((16,)), MLP((16, 8)), latent=2)
    data = ja.Batch(jax.random.uniform(jax.random.key(0), (64, 8)))
    learner = ja.descend(ja.objective(vae, ja.losses.importance_weighted), optax.adam(1e-2))
    run = spread(lambda key, _: ja.train(vae, learner, data, key, epochs=1, batch_size=64), lanes=1)
    alone, first = run(members(slice(1))[0], None), run(members(slice(2))[0], None)
    same_bits(alone, rows(first, slice(1)))


@pytest.mark.slow
@pytest.mark.usefixtures("optimised")
def test_in_lanes_several_devices_round_as_one_does():
    """What XLA partitions it simplifies in another order, Adam's divisions say: so every device has its own program."""
    vae = ja.models.VAE(MLP((16, 8)), MLP((8, 16, 15)), latent=4)
    data = ja.Batch(jax.random.uniform(jax.random.key(0), (32, 15)))
    learner = ja.descend(ja.objective(vae, ja.losses.elbo), optax.adam(1e-3))

    def member(key, _):
        return ja.train(vae, learner, data, key, epochs=3, batch_size=16)

    one, three = (spread(member, mesh_of(devices), 2)(members(slice(6))[0], None) for devices in (None, 3))
    same_bits(jax.device_get(one), jax.device_get(three))


@pytest.mark.parametrize(("devices", "chunk"), [(None, 1), (None, 6), (2, 6)])
@pytest.mark.parametrize("name", ["reconstruction"])
def test_in_lanes_chunks_change_no_bit(name, devices, chunk):
    population = ja.sweep(lambda key, lr: train(name, key, lr), mesh_of(devices), chunk, LANES)
    for which in (0, 5):
        out = population(members([which])[0], {"lr": jnp.asarray(RATES)})
        assert all(isinstance(leaf, np.ndarray) and leaf.shape[:2] == (9, 1) for leaf in jax.tree.leaves(out))
        same_bits(rows(out, (which, 0)), rows(everyone(name), which))


@pytest.mark.parametrize("name", LOSSES)
def test_sharding_over_the_same_lanes_changes_no_bit_and_needs_no_collective(name):
    """A bias starts at zero, whatever the key: with `check_vma` its gradient is summed over the devices."""
    program, sharding = sharded(name, LANES)
    same_bits(jax.device_get(program(jax.device_put(members(slice(8)), sharding))), rows(everyone(name), slice(8)))
    text = program.as_text()
    assert "while" in text
    assert not re.findall(COLLECTIVES, text)


def test_sharding_without_lanes_changes_no_bit_and_needs_no_collective():
    program, sharding = sharded("elbo", None)
    out = program(jax.device_put(members(slice(8)), sharding))
    # A device vmaps all of its members: the same width as half of them on one device.
    halves = [population("elbo", None, None)(members(half), None) for half in (slice(4), slice(4, 8))]
    same_bits(jax.device_get(out), jax.tree.map(lambda *leaves: np.concatenate(leaves), *halves))
    assert not re.findall(COLLECTIVES, program.as_text())


def test_the_gradient_of_a_shared_constant_is_each_members_own():
    """A run that is scanned is refused with `check_vma`; a bare step is wrong without a word: it gets the sum."""

    def slope(x, _):
        return jax.grad(lambda bias: (x - bias) ** 2)(jnp.zeros(()))

    x = jnp.arange(4.0)
    np.testing.assert_array_equal(spread(slope, mesh_of(2))(x, None), -2 * x)


def test_a_collective_would_be_found():
    sharding = NamedSharding(mesh_of(2), PartitionSpec("members"))
    text = jax.jit(lambda x: x - x.mean()).lower(jax.device_put(jnp.arange(4.0), sharding)).compile().as_text()
    assert re.findall(COLLECTIVES, text)


@pytest.mark.parametrize(("devices", "lanes"), [(None, None), (2, LANES)])
def test_a_member_that_diverges_changes_no_other(devices, lanes):
    run = population("elbo", devices, lanes)
    healthy = jax.device_get(run(members(slice(4)), None))
    ill = jax.device_get(run(members(slice(4), rates=np.where(np.arange(9) == 1, np.float32(1e30), RATES)), None))
    assert not np.isfinite(ill[1]["loss"][1]).all()
    same_bits(rows(healthy, np.array([0, 2, 3])), rows(ill, np.array([0, 2, 3])))
    assert differ(rows(healthy, 1), rows(ill, 1))


def test_a_population_makes_no_host_transfer():
    program, sharding = sharded("elbo", LANES)
    own = jax.device_put(members(slice(8)), sharding)
    jax.block_until_ready((own, DATA))
    with jax.transfer_guard("disallow"):
        jax.block_until_ready(program(own))
