"""jaxae.trimmed: by hand, then its gradient and what it learns, then what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from line import Line

import jaxae as ja

KEY = jax.random.key(0)


def itself(model, batch, key, /, scale=1.0):
    return batch.x * scale, {"twice": 2 * batch.x}


def line(model, batch, key, /):
    params = model["params"]
    return (params["w"] * batch.x[:, 0] - batch.x[:, 1]) ** 2, {}


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.0, [1.0, 9.0, 2.0, 4.0]),
        (0.24, [1.0, 9.0, 2.0, 4.0]),
        (0.25, [4 / 3, 0.0, 8 / 3, 16 / 3]),
        (0.5, [2.0, 0.0, 4.0, 0.0]),
        (0.99, [4.0, 0.0, 0.0, 0.0]),
    ],
)
def test_the_largest_values_are_left_out(share, expected):
    values, metrics = ja.trimmed(itself, share)(None, ja.Batch(jnp.array([1.0, 9.0, 2.0, 4.0])), KEY)
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    np.testing.assert_array_equal(metrics["twice"], [2, 18, 4, 8])


def test_the_mean_is_that_of_the_rest(rng):
    x = jnp.float32(rng.exponential(size=100))
    values, _ = ja.trimmed(itself, 0.13)(None, ja.Batch(x), KEY)
    np.testing.assert_allclose(values.mean(), np.sort(x)[:87].mean(), rtol=1e-5)


def test_equal_values_are_left_out_one_by_one():
    values, _ = ja.trimmed(itself, 0.5)(None, ja.Batch(jnp.ones(6)), KEY)
    assert sorted(values.tolist()) == [0, 0, 0, 2, 2, 2]


def test_a_score_leaves_nothing_out():
    x = jnp.array([1.0, 9.0])
    np.testing.assert_array_equal(ja.trimmed(itself, 0.5)(None, ja.Batch(x), None)[0], x)


def test_hyperparameters_go_through():
    values, _ = ja.trimmed(itself, 0.5)(None, ja.Batch(jnp.array([1.0, 9.0])), KEY, scale=3.0)
    np.testing.assert_allclose(values, [6, 0])


def test_what_is_left_out_has_no_gradient():
    x = jnp.array([[1.0, 2.0], [1.0, 3.0], [1.0, 50.0], [2.0, 4.0]])

    def mean(w, x):
        return ja.trimmed(line, 0.25)({"params": {"w": w}}, ja.Batch(x), KEY)[0].mean()

    found = jax.grad(mean)(1.0, x)
    np.testing.assert_allclose(found, 2 * np.mean([(1 - 2) * 1, (1 - 3) * 1, (2 - 4) * 2]), rtol=1e-6)


def test_outliers_do_not_move_the_line(rng):
    t = rng.uniform(1, 2, 200).astype(np.float32)
    y = 3 * t
    y[:40] = 100
    data = ja.Batch(np.stack([t, y], 1))

    class Slope(Line):
        def init(self, key, x, cond=None):
            return {"params": {"w": jnp.zeros(())}}

    def slope(share):
        def objective(variables, batch, key):
            value = ja.trimmed(line, share)(variables, batch, key)[0].mean()
            return value, (variables, {"loss": value})

        learner = ja.descend(objective, optax.adam(0.1))
        state, _ = ja.train(Slope(), learner, data, jax.random.key(1), epochs=200, batch_size=200)
        return float(state.variables["params"]["w"])

    assert abs(slope(0.2) - 3) < 1e-2 and slope(0.0) > 10


def test_what_is_refused():
    with pytest.raises(ValueError, match="share is 1, but something must be left"):
        ja.trimmed(itself, 1.0)
    with pytest.raises(ValueError, match=r"share is 20.*write 0.2 for 20 %"):
        ja.trimmed(itself, 20)
    with pytest.raises(TypeError, match="loss"):
        ja.trimmed("reconstruction", 0.1)
