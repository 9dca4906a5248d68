"""Keys as plain words: there and back nothing changes, and what is no key stays what it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxae import keys, threefry


def test_the_words_of_a_key_are_those_it_was_made_of():
    assert keys.words(jax.random.key(7)).tolist() == [0, 7]
    assert keys.words(jax.random.key(7, impl="rbg")).tolist() == [0, 7, 0, 7]
    assert keys.like(np.array([0, 7], np.uint32), jax.random.key(1)) == jax.random.key(7)


def tree():
    """A tree with keys of three generators, arrays of both kinds, and numbers."""
    return {
        "threefry": jax.random.split(jax.random.key(0), (2, 3)),
        "rbg": [jax.random.key(1, impl="rbg"), jax.random.split(jax.random.key(2, impl="rbg"), 2)],
        "unrolled": threefry.unrolled(jax.random.key(3)),
        "words": jnp.arange(2, dtype=jnp.uint32),
        "host": np.arange(4, dtype=np.uint32).reshape(2, 2),
        "number": 0.5,
    }


def described(leaf):
    return jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf) if isinstance(leaf, float) else leaf.dtype)


@pytest.mark.parametrize("read", [lambda leaf: leaf, np.asarray], ids=["on the device", "on the host"])
@pytest.mark.parametrize("of", [lambda leaf: leaf, described], ids=["like arrays", "like descriptions"])
def test_a_tree_comes_back_as_it_was(read, of):
    given = tree()
    words = jax.tree.map(keys.words, given)
    assert not any(jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key) for leaf in jax.tree.leaves(words))
    found = jax.tree.map(keys.like, jax.tree.map(read, words), jax.tree.map(of, given))
    assert jax.tree.structure(found) == jax.tree.structure(given)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(given), strict=True):
        assert jnp.result_type(ours) == jnp.result_type(theirs) and jnp.shape(ours) == jnp.shape(theirs)
        np.testing.assert_array_equal(keys.words(ours), keys.words(theirs))


def test_what_is_no_key_is_the_very_same():
    for leaf in (jnp.ones(2), np.ones(2, np.uint32), 0.5, None):
        assert keys.words(leaf) is leaf and keys.like(leaf, np.ones(3)) is leaf


def test_keys_may_be_of_another_shape_than_the_one_they_are_like():
    many = jax.random.split(jax.random.key(0, impl="rbg"), 3)
    found = keys.like(keys.words(many), jax.random.key(1, impl="rbg"))
    assert found.dtype == many.dtype and (found == many).all()


def test_in_a_program_a_key_goes_there_and_back_for_nothing():
    program = jax.make_jaxpr(lambda key, like: keys.like(keys.words(key), like))(*jax.random.split(jax.random.key(0)))
    assert [str(equation.primitive) for equation in program.eqns] == ["random_unwrap", "random_wrap"]


def test_words_that_no_key_of_the_generator_has_are_refused():
    with pytest.raises(TypeError):
        keys.like(np.zeros(3, np.uint32), jax.random.key(0))
    with pytest.raises(TypeError):
        keys.like(np.zeros(2, np.int32), jax.random.key(0))
