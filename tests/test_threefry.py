"""Threefry with its rounds written out gives JAX's bits."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxae as ja
from jaxae import threefry
from jaxae.threefry import unrolled


@pytest.fixture
def key():
    return jax.random.key(20_000_003)


def words(key):
    return jax.random.key_data(key)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 0), (40, 50)])
@pytest.mark.parametrize("width", [8, 16, 32, 64])
def test_bits_are_jaxs(key, shape, width):
    with jax.enable_x64(width == 64):
        kind = jnp.dtype(f"uint{width}")
        expected = jax.random.bits(jax.random.clone(key), shape, kind)
        np.testing.assert_array_equal(jax.random.bits(unrolled(key), shape, kind), expected)


@pytest.mark.parametrize("draw", [jax.random.normal, jax.random.uniform, jax.random.permutation, jax.random.gumbel])
def test_what_is_drawn_of_them_is_jaxs(key, draw):
    given = 9 if draw is jax.random.permutation else (9,)
    np.testing.assert_array_equal(draw(unrolled(jax.random.clone(key)), given), draw(key, given))


@pytest.mark.parametrize("shape", [1, 2, 5, (2, 3)])
def test_derived_keys_are_jaxs(key, shape):
    np.testing.assert_array_equal(
        words(jax.random.split(unrolled(jax.random.clone(key)), shape)),
        words(jax.random.split(jax.random.clone(key), shape)),
    )
    for number in (0, 1, 2**31 - 1, np.uint32(2**32 - 1), jnp.int32(-7)):
        found = jax.random.fold_in(unrolled(jax.random.clone(key)), number)
        np.testing.assert_array_equal(words(found), words(jax.random.fold_in(jax.random.clone(key), number)))


def test_of_many_keys_at_once_as_of_each(key):
    keys = jax.random.split(key, 4)
    expected = jax.vmap(lambda key: jax.random.bits(key, (3,)))(jax.random.clone(keys))
    np.testing.assert_array_equal(jax.vmap(lambda key: jax.random.bits(key, (3,)))(unrolled(keys)), expected)


def test_many_keys_draw_in_one_loop_of_one_turn(key):
    """A number of turns that went with the key would make every member's loop wait for all the others'."""
    keys = unrolled(jax.random.split(key, 4))
    text = str(jax.make_jaxpr(jax.vmap(lambda key: jax.random.bits(key, (300,))))(keys))
    assert "threefry2x32 " not in text
    inside = jax.jit(jax.vmap(lambda key: jax.random.bits(key, (300,)))).lower(keys).compile().as_text()
    assert "u32[4,300]" in inside and "pred[4]" not in inside


def test_other_generators_stay_as_they_are(monkeypatch):
    other = jax.random.key(0, impl="rbg")
    assert unrolled(other) is other
    ours = unrolled(jax.random.key(0))
    assert unrolled(ours) is ours
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    key = jax.random.key(0)
    assert unrolled(key) is key


def test_bits_that_depend_on_how_they_are_sharded_stay_as_they_are(key):
    with jax.threefry_partitionable(False):
        assert unrolled(key) is key


def test_what_can_not_be_counted_is_refused(key):
    with pytest.raises(ValueError, match="draw it in parts"):
        jax.jit(lambda key: jax.random.bits(key, (2**17, 2**16))).lower(unrolled(key))
    with pytest.raises(TypeError, match=r"unrolled\(jax\.random\.key\(seed\)\)"):
        jax.random.key(0, impl=jax.random.key_impl(unrolled(key)))


@pytest.mark.parametrize("number", [1, 2, 7])
def test_keys_that_are_handed_on_are_plain(key, number):
    found, expected = threefry.split(jax.random.clone(key), number), jax.random.split(jax.random.clone(key), number)
    assert found.dtype == key.dtype
    np.testing.assert_array_equal(words(found), words(expected))
    found = threefry.fold_in(jax.random.clone(key), number)
    assert found.dtype == key.dtype
    np.testing.assert_array_equal(words(found), words(jax.random.fold_in(key, number)))


def test_losses_and_learners_get_plain_keys():
    """Some of JAX's distributions take no others, and a learner may keep a key beside one of its own."""

    def noisy(model, batch, key):
        counts = jax.random.poisson(key, 3.0, batch.x.shape)
        return ((model.decode(model.encode(batch.x)) - batch.x - counts) ** 2).sum(-1), {}

    ae = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((3,)))
    descend = ja.descend(ja.objective(ae, noisy), optax.sgd(1e-3))

    def step(variables, opt_state, batch, key):
        own_key, kept = jax.random.split(key)
        variables, inner, metrics = descend.step(variables, opt_state[0], batch, own_key)
        return variables, (inner, kept), metrics

    keeps = ja.Learner(lambda variables: (descend.init(variables), jax.random.key(0)), step)
    learner = ja.chain(first=ja.repeat(keeps, 2), second=keeps)
    for batch_size in (4, 8):
        state, _ = ja.train(ae, learner, ja.Batch(jnp.ones((8, 3))), jax.random.key(1), epochs=2, batch_size=batch_size)
        assert state.opt_state["first"][1].dtype == jax.random.key(0).dtype
