"""What every family of models keeps: it is small named parts and plain methods, and each example is its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxae as ja

from .cases import DATA, ROWS, build, same_bits


def bound(name):
    model = build(name)
    return model, model.init(jax.random.key(0), DATA.x)


@pytest.mark.parametrize("name", ja.models.__all__)
def test_variables_depend_on_the_key_alone(name):
    model, variables = bound(name)
    same_bits(variables, model.init(jax.random.key(0), 1 - DATA.x[:2]))
    other = model.init(jax.random.key(1), DATA.x)
    kernels = [
        (a, b) for a, b in zip(jax.tree.leaves(variables), jax.tree.leaves(other), strict=True) if np.ndim(a) > 1
    ]
    assert kernels and all((a != b).any() for a, b in kernels)


@pytest.mark.parametrize("name", ja.models.__all__)
def test_every_part_is_a_submodule_by_its_own_name(name):
    model, variables = bound(name)
    parts = {field for field in model.__dataclass_fields__ if isinstance(getattr(model, field), tuple | int)} | {
        "parent",
        "name",
    }
    assert set(model.__dataclass_fields__) - parts <= set(variables["params"])


@pytest.mark.parametrize("name", ja.models.__all__)
def test_an_example_does_not_know_its_neighbours(name):
    model, variables = bound(name)
    call = jax.jit(model.apply)
    others = (1 - DATA.x).at[3:7].set(DATA.x[3:7])
    assert len(call(variables, DATA.x)) == ROWS
    same_bits(call(variables, DATA.x)[3:7], call(variables, others)[3:7])


@pytest.mark.parametrize("name", ja.models.__all__)
def test_it_takes_conditions_and_listens_to_them(name):
    model = build(name)
    cond = jnp.eye(2)[np.arange(ROWS) % 2]
    variables = model.init(jax.random.key(0), DATA.x, cond)
    out = model.apply(variables, DATA.x, cond)
    assert (out != model.apply(variables, DATA.x, cond[::-1])).all()


@pytest.mark.parametrize("name", ja.models.__all__)
def test_what_it_draws_follows_from_the_key(name):
    model, variables = bound(name)
    model = model.bind(variables)
    draw = getattr(model, "sample", None) or getattr(model, "generate", None)
    if draw is None:
        assert name in {"AE", "SparseAE"}, f"{name} has neither sample nor generate: say here that it draws nothing"
        return
    with jax.debug_key_reuse(True):
        same_bits(draw(jax.random.key(1), 4), draw(jax.random.key(1), 4))
        assert (draw(jax.random.key(1), 4) != draw(jax.random.key(2), 4)).all()
