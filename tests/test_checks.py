"""jaxae.checks: what is refused, and that the message says what to write instead."""

import dataclasses
import pathlib
import re
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxae import checks

RANGES = [checks.fraction, checks.positive, checks.not_negative]


# keys


def test_a_typed_key_passes():
    checks.typed_key(jax.random.key(0))
    checks.typed_key(jax.random.key(0, impl="rbg"))
    checks.typed_key(jax.random.split(jax.random.key(0), 3), shape=(3,))
    jax.jit(lambda key: checks.typed_key(key))(jax.random.key(0))


@pytest.mark.parametrize("key", [0, None, "key", np.zeros(2), np.zeros(2, np.int32), jnp.zeros(())])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(TypeError, match=r"key is .*write jax\.random\.key\(0\)"):
        checks.typed_key(key)


def test_a_legacy_key_is_named():
    with pytest.raises(TypeError, match="legacy uint32 key"):
        checks.typed_key(jax.random.PRNGKey(0))


@pytest.mark.parametrize("shape", [(), (2,), (3, 1)])
def test_keys_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"shape \(3,\).*jax\.random\.split"):
        checks.typed_key(jax.random.split(jax.random.key(0), 3), shape)


# whole numbers


@pytest.mark.parametrize("value", [1, 7, np.int64(3), np.uint8(3), np.array(3)])
def test_a_whole_number_passes(value):
    checks.whole("times", value)


@pytest.mark.parametrize("value", [1.0, "1", None, True, np.True_, [1], 2.5, np.float32(2)])
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(TypeError, match=r"times is .*must be a whole number ≥ 1"):
        checks.whole("times", value)


def test_a_size_that_an_exported_program_leaves_open_passes():
    (n,) = jax.export.symbolic_shape("n")
    checks.whole("n", n)
    exported = jax.export.export(jax.jit(lambda x: checks.whole("n", x.shape[0])))
    exported(jax.ShapeDtypeStruct((n,), np.float32))


def test_a_traced_number_is_no_whole_number():
    with pytest.raises(TypeError, match="times is"):
        jax.jit(lambda times: checks.whole("times", times))(3)


@pytest.mark.parametrize("value", [4, 6])
def test_both_ends_of_a_range_pass(value):
    checks.whole("size", value, low=4, high=6)


@pytest.mark.parametrize("value", [3, 7, -5])
def test_a_whole_number_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match=f"size is {value}, but must be a whole number from 4 to 6, as I said"):
        checks.whole("size", value, low=4, high=6, why=", as I said")


# ranges


@pytest.mark.parametrize("value", [0, 0.5, 1, np.float32(0.25), jnp.float32(1), np.array([0.0, 1.0])])
def test_a_fraction_passes(value):
    checks.fraction("rate", value)


@pytest.mark.parametrize("value", [-0.1, 1.5, np.nan, np.inf, np.array([0.5, -0.1]), jnp.array([[0.5], [2.0]])])
def test_what_is_no_fraction_is_refused(value):
    with pytest.raises(ValueError, match=r"rate is .*must be a fraction from 0 to 1"):
        checks.fraction("rate", value)


@pytest.mark.parametrize("value", [0, 1, -1, np.nan])
def test_the_ends_can_be_left_out(value):
    checks.fraction("rate", 0.5, open_ends=True)
    with pytest.raises(ValueError, match="must be a fraction between 0 and 1"):
        checks.fraction("rate", value, open_ends=True)


def test_a_percentage_is_answered_with_its_fraction():
    with pytest.raises(ValueError, match=re.escape("quantile is 95, but must be a fraction from 0 to 1: write 0.95")):
        checks.fraction("quantile", 95)
    with pytest.raises(ValueError, match=r"from 0 to 1$"):
        checks.fraction("quantile", 101)


@pytest.mark.parametrize("value", [1e-30, 3, np.float32(2), jnp.float32(2), np.array([1.0, 2.0])])
def test_positive_passes(value):
    checks.positive("scale", value)
    checks.not_negative("scale", value)


@pytest.mark.parametrize("value", [-1e-30, -3, np.nan, np.inf, -np.inf, np.array([1.0, -1.0]), jnp.float32(np.nan)])
def test_what_is_negative_or_not_finite_is_refused(value):
    with pytest.raises(ValueError, match=r"scale is .*must be a finite number > 0"):
        checks.positive("scale", value)
    with pytest.raises(ValueError, match=r"scale is .*must be a finite number ≥ 0"):
        checks.not_negative("scale", value)


def test_zero_is_not_negative_but_not_positive():
    checks.not_negative("beta", 0.0)
    checks.not_negative("beta", np.zeros(2))
    with pytest.raises(ValueError, match="beta is 0"):
        checks.positive("beta", 0.0)
    with pytest.raises(ValueError, match="beta is 0"):
        checks.positive("beta", np.array([1.0, 0.0]))


@pytest.mark.parametrize("check", RANGES)
def test_a_traced_number_passes(check):
    jax.jit(lambda value: check("value", value))(-7.0)
    jax.vmap(lambda value: check("value", value))(jnp.array([-7.0, np.nan]))


@pytest.mark.parametrize("check", [*RANGES, checks.finite])
@pytest.mark.parametrize("value", ["0.5", None, [0.5], jax.random.key(0), np.datetime64("2024-01-01"), 1j, object()])
def test_what_is_no_number_is_refused(check, value):
    with pytest.raises(TypeError, match=r"rate is .*, but must be a (finite number|fraction)"):
        check("rate", value)


def test_finite_passes_whatever_is():
    checks.finite("low", -3)
    checks.finite("low", jnp.asarray([1.0, -1.0], jnp.bfloat16))
    for value in (np.nan, np.inf, np.array([0.0, -np.inf])):
        with pytest.raises(ValueError, match=r"low is .*finite number$"):
            checks.finite("low", value)


# arrays


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, jnp.bfloat16])
def test_floats_of_any_width_pass(dtype):
    checks.floats("x", np.zeros(2, dtype))
    checks.floats("x", jnp.zeros(2, jnp.bfloat16))
    jax.jit(lambda x: checks.floats("x", x))(np.float32(1))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros(2, np.uint8), r"x holds uint8.*x\.astype\(np\.float32\)"),
        (np.zeros(2, bool), "x holds bool"),
        (jnp.zeros(2, complex), "x holds complex64"),
        ([0.5], r"x is list.*np\.asarray\(x, np\.float32\)"),
        (None, "x is NoneType"),
    ],
)
def test_what_holds_no_floats_is_refused(given, words):
    with pytest.raises(TypeError, match=words):
        checks.floats("x", given)


def test_both_ends_of_a_range_and_what_rounding_adds_pass():
    for x in (np.array([0.0, 1.0]), jnp.array([0.0, 1.0], jnp.bfloat16), np.float32([-2e-6, 1 + 2e-6]), np.zeros(0)):
        checks.within("x", x, 0, 1, "")
    checks.within("counts", np.array([0, 10**6]), 0, np.inf, "")
    jax.jit(lambda x: checks.within("x", x, 0, 1, ""))(np.float32([255]))


@pytest.mark.parametrize("x", [[0.5, 255.0], [-0.1, 0.5], [0.5, np.nan], [np.inf, 0.5]])
def test_what_is_known_to_be_outside_is_refused(x):
    for array in (np.array(x), jnp.array(x)):
        with pytest.raises(ValueError, match=r"x holds (255|-0\.1|nan|inf), but must lie in 0…1: divide"):
            checks.within("x", array, 0, 1, "divide")
    with pytest.raises(ValueError, match="counts holds -1, but must be ≥ 0: count"):
        checks.within("counts", np.array([-1, 3]), 0, np.inf, "count")


def test_a_function_passes_and_a_word_is_refused():
    checks.function("activation", jnp.tanh, "tanh")
    with pytest.raises(TypeError, match=r"activation is 'relu', but must be a function: flax\.linen\.relu"):
        checks.function("activation", "relu", "flax.linen.relu")


# shapes and names


def test_shapes_must_be_equal_not_only_broadcast():
    checks.same_shape("mean", (2, 3), "x", (2, 3))
    with pytest.raises(ValueError, match=re.escape("mean has shape (2, 1), but x has (2, 3)")):
        checks.same_shape("mean", (2, 1), "x", (2, 3))


def test_the_nearest_name_comes_first_and_none_is_lost():
    names = ["kl", "encoder", "decoder", "head"]
    assert checks.nearest("decodr", names)[0] == "decoder"
    assert sorted(checks.nearest("decodr", names)) == sorted(names)
    assert checks.nearest("zzz", iter(names)) == names


def test_a_known_name_passes_and_another_is_refused():
    checks.known("submodule", ["encoder"], {"encoder": 0, "decoder": 1})
    checks.known("submodule", [], [])
    with pytest.raises(ValueError, match="there is no submodule 'decodr'; there is: decoder, encoder, head"):
        checks.known("submodule", ["encoder", "decodr"], iter(["encoder", "head", "decoder"]))
    with pytest.raises(ValueError, match="there is: none"):
        checks.known("submodule", ["encoder"], [])


# settings


@dataclasses.dataclass(frozen=True)
class Settings:
    kind: Literal["plain", "fancy"] = "plain"
    rate: float = 0.5
    learning_rate: float = 0.1
    widths: tuple[int, ...] = (8,)
    count: int = 1
    label: str | None = None
    weight: float | None = None
    names: tuple[str, ...] = ("a",)


def test_possible_settings_pass():
    checks.settings(Settings(), below_1=("rate",))
    checks.settings(Settings(weight=0.0, label="x", rate=0.0), below_1=("rate",))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kind": "fanci"}, "kind is 'fanci', but must be one of fancy, plain"),
        ({"rate": 1.0}, "rate is 1, but must be below 1"),
        ({"rate": 1.5}, "rate is 1.5, but must be a fraction"),
        ({"learning_rate": 0.0}, "learning_rate is 0"),
        ({"widths": (8, 0)}, "widths is 0"),
        ({"count": 0}, "count is 0"),
        ({"weight": -1.0}, "weight is -1"),
        ({"weight": float("nan")}, "weight is nan"),
    ],
)
def test_impossible_settings_are_refused(given, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        checks.settings(Settings(**given), below_1=("rate",))


# paths, several things, rows


def test_a_path_is_words_or_a_path():
    checks.path("path", "model")
    checks.path("path", pathlib.Path("model"))
    for value in (None, True, (), [0.5], b"model"):
        with pytest.raises(TypeError, match=r"path is .*, but must be a path"):
            checks.path("path", value)


def test_a_word_is_not_several():
    for value in (["a"], (), {"a"}, np.ones(2)):
        checks.several("names", value, "names")
    for value in ("a", None, True, 1):
        with pytest.raises(TypeError, match=f"names is {value!r}, but must be names, in a list or tuple"):
            checks.several("names", value, "names")


def test_rows_are_of_an_array():
    checks.rows("x", np.ones((0, 2)))
    jax.jit(lambda x: checks.rows("x", x))(jnp.ones(1))
    with pytest.raises(TypeError, match=r"x of batch is list, but must be an array \(n, \.\.\.\): np\.asarray\(x\)"):
        checks.rows("x of batch", [1.0])
    with pytest.raises(ValueError, match=r"x is a single number, but must be \(n, \.\.\.\): x\[None\]"):
        checks.rows("x", np.float32(1))
