"""Layouts: examples as rows or as columns, one function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxae import distributions, layout, losses, models, networks


def draw(*shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


def test_narrow_batches_lie_feature_by_feature_on_a_cpu(monkeypatch):
    assert layout.feature_major(128, 64)
    assert not layout.feature_major(127, 64)
    monkeypatch.setattr(layout.os, "cpu_count", lambda: jax.device_count())
    assert layout.feature_major(256, 128)
    monkeypatch.setattr(layout.os, "cpu_count", lambda: 1 + jax.device_count())
    assert not layout.feature_major(256, 128)
    assert layout.feature_major(256, 127)


def test_events_of_a_long_batch_are_columns_and_of_a_short_one_rows():
    (long,), axis = layout.events(draw(60, 2, 3))
    assert (long.shape, axis) == ((6, 60), 0)
    (short,), axis = layout.events(draw(59, 2, 3))
    assert (short.shape, axis) == ((59, 6), -1)


@pytest.mark.parametrize("n", [3, 64])
def test_a_dense_layer_is_the_same_function_of_rows_and_of_columns(n):
    x, dense = draw(n, 5), networks.Dense(4)
    variables = dense.init(jax.random.key(1), x)
    variables = jax.tree.map(lambda leaf: leaf + 0.1, variables)
    by_flax = nn.Dense(4).apply(variables, x)
    # Sums of six float32 products, in another order.
    np.testing.assert_allclose(dense.apply(variables, x), by_flax, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dense.apply(variables, x.T, columns=True).T, by_flax, rtol=1e-5, atol=1e-6)


def test_a_dense_layer_has_the_parameters_of_flax():
    x, key = draw(3, 5), jax.random.key(1)
    own, other = (module.init(key, x)["params"] for module in (networks.Dense(4), nn.Dense(4)))
    jax.tree.map(np.testing.assert_array_equal, own, other)


def softmax_of_pairs(h):
    # Takes notice of the last axis, and of its length.
    return nn.softmax(h[:, : h.shape[1] // 2 * 2].reshape(len(h), -1, 2)).reshape(len(h), -1)


@pytest.mark.parametrize("activation", [nn.relu, jnp.tanh, nn.leaky_relu, softmax_of_pairs, nn.log_softmax])
def test_a_network_of_columns_is_that_of_rows(activation):
    # 40 rows of at most 8 numbers are columns, the first 4 of them alone are rows.
    x, cond, network = draw(40, 5), draw(40, 2, seed=1), networks.MLP((8, 6, 3), activation=activation)
    variables = network.init(jax.random.key(1), x, cond)
    assert layout.feature_major(len(x), 8) and not layout.feature_major(4, 8)

    def of_parts(variables):
        return jnp.concatenate([network.apply(variables, x[i : i + 4], cond[i : i + 4]) for i in range(0, 40, 4)])

    np.testing.assert_allclose(network.apply(variables, x, cond), of_parts(variables), rtol=2e-5, atol=2e-6)
    own, other = (
        jax.grad(lambda v, f=f: (f(v) ** 2).sum())(variables) for f in (lambda v: network.apply(v, x, cond), of_parts)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), own, other)


@pytest.mark.parametrize("forward", [True, False])
def test_derivatives_of_any_kind_pass_through_columns(forward):
    network, x = networks.MLP((4, 2), activation=jnp.tanh), draw(20, 3)
    variables = network.init(jax.random.key(1), x)
    jacobian = (jax.jacfwd if forward else jax.jacrev)(lambda x: network.apply(variables, x))(x)
    alone = jax.jacrev(lambda row: network.apply(variables, row[None])[0])(x[7])
    np.testing.assert_allclose(jacobian[7, :, 7], alone, rtol=1e-5, atol=1e-6)
    assert not np.asarray(jacobian[7, :, 6]).any()


@pytest.mark.parametrize("loss", [losses.reconstruction, losses.elbo])
def test_a_loss_of_columns_is_that_of_rows(loss):
    model = (
        models.AE(networks.MLP((6, 2)), networks.MLP((6, 5)))
        if loss is losses.reconstruction
        else models.VAE(networks.MLP((6,), activate_final=True), networks.MLP((6, 5)), latent=2)
    )
    x = draw(64, 5)
    bound = model.bind(model.init(jax.random.key(1), x))
    if loss is losses.reconstruction:
        by_rows = [distributions.squared_error(bound(x[i : i + 1]), x[i : i + 1]) for i in range(64)]
        np.testing.assert_allclose(distributions.squared_error(bound(x), x), np.concatenate(by_rows), rtol=1e-5)
    else:
        by_rows = [bound.encode(x[i : i + 1]).kl() for i in range(64)]
        np.testing.assert_allclose(bound.encode(x).kl(), np.concatenate(by_rows), rtol=2e-5, atol=1e-7)
