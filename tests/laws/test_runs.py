"""What every run keeps, whatever its loss: it is a pure function of arrays and a key."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxae as ja

from .cases import BATCH, DATA, EPOCHS, LOSSES, ROWS, differ, learner_of, model_of, same_bits, train, trained


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_is_traced_once_a_program_and_no_key_is_used_twice(name):
    run, counted = trained(name)
    with jax.debug_key_reuse(True):
        run(jax.random.key(0), jnp.float32(1e-2))
        assert counted.count == 1
        run(jax.random.key(1), jnp.float32(1e-3))
    assert counted.count == 1


def test_a_key_used_twice_would_be_noticed():
    def careless(model, batch, key):
        noisy = batch.x + jax.random.normal(key, batch.x.shape) + jax.random.uniform(key, batch.x.shape)
        return ja.losses.reconstruction(model, ja.Batch(noisy), None)

    learner = learner_of("reconstruction", wrap=lambda _: careless)
    with pytest.raises(jax.errors.KeyReuseError):
        ja.train(model_of("reconstruction"), learner, DATA, jax.random.key(0), epochs=1, batch_size=BATCH)


@pytest.mark.parametrize("name", LOSSES)
def test_the_same_key_gives_the_same_bits_and_another_gives_others(name):
    run = trained(name)[0]
    first, again, other = (run(jax.random.key(seed), jnp.float32(1e-2)) for seed in (3, 3, 4))
    same_bits(first, again)
    assert differ(first[0].variables, other[0].variables)
    assert differ(first[0].opt_state, other[0].opt_state)
    assert differ(first[1], other[1])
    assert (first[0].step, other[0].step) == (EPOCHS * (ROWS // BATCH),) * 2
    assert all(np.shape(values) == (EPOCHS,) and np.isfinite(values).all() for values in first[1].values())


@pytest.mark.parametrize("name", LOSSES)
def test_running_on_is_running_longer(name):
    # A loop of one epoch is inlined, so that one epoch and then more is the hard case. Two parts of different lengths
    # cost a third program: one loss has it.
    parts = (1, 2) if name == "elbo" else (1, 1)
    learner = learner_of(name)
    state = ja.start(learner, model_of(name).init(jax.random.key(5), DATA.x))

    @functools.partial(jax.jit, static_argnums=1)
    def run(state, epochs):
        return ja.run(learner, state, DATA, jax.random.key(6), epochs=epochs, batch_size=BATCH)

    whole, history = run(state, sum(parts))
    begun, before = run(state, parts[0])
    ended, after = run(begun, parts[1])
    assert differ(begun.variables, ended.variables)
    same_bits(ended, whole)
    same_bits(jax.tree.map(lambda a, b: jnp.concatenate([a, b]), before, after), history)


@pytest.mark.parametrize("name", LOSSES)
def test_a_run_makes_no_host_transfer(name):
    key, lr = jax.random.key(7), jnp.float32(1e-2)
    run = trained(name)[0]
    run(key.copy(), lr)
    with jax.transfer_guard("disallow"):
        jax.block_until_ready(run(key, lr))


@pytest.mark.parametrize("name", ["generator"])
def test_nor_does_it_while_it_is_compiled(name):
    key, lr = jax.random.key(7), jnp.float32(1e-2)
    jax.block_until_ready((key, lr, DATA))
    with jax.transfer_guard("disallow"):
        jax.block_until_ready(jax.jit(functools.partial(train, name))(key, lr))
        with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
            jax.jit(lambda x: x + 1)(np.ones(3))
