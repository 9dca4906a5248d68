"""jaxae.networks.discriminators against its formula in numpy, and inside a GAN."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxae as ja
from jaxae.networks import MLP, ConvEncoder, Projection, Stage
from jaxae.networks import __all__ as names


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(np.float32)


NETWORKS = {
    "dense": (MLP((7, 5), activate_final=True), (4, 8)),
    "convolutional": (ConvEncoder((Stage(3), Stage(5)), average=True), (4, 9, 8, 2)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_logit_is_its_formula(name):
    """v·φ(x) + b + ⟨W cond, φ(x)⟩."""
    network, shape = NETWORKS[name]
    x, cond = draw(*shape), draw(4, 3)
    critic = Projection(network)
    variables = jax.eval_shape(critic.init, jax.random.key(0), x, cond)
    variables = jax.tree.map(lambda leaf: draw(*leaf.shape, seed=1), variables)
    params = variables["params"]
    assert set(params) == {"network", "linear", "embedding"} and set(params["embedding"]) == {"kernel"}
    features = np.float64(network.apply({"params": params["network"]}, x))
    alone = features @ np.float64(params["linear"]["kernel"]) + np.float64(params["linear"]["bias"])
    product = ((cond @ np.float64(params["embedding"]["kernel"])) * features).sum(1, keepdims=True)
    np.testing.assert_allclose(critic.apply(variables, x, cond), alone + product, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(critic.apply(variables, x), alone, rtol=1e-4, atol=1e-4)
    assert np.abs(product).min() > 1e-3


def test_of_a_one_hot_condition_it_takes_one_row():
    x = draw(4, 8)
    critic = Projection(MLP((5,)))
    variables = critic.init(jax.random.key(0), x, jnp.eye(4))
    out = critic.apply(variables, x, jnp.eye(4)[np.array([2, 0, 3, 1])])
    features = critic.network.apply({"params": variables["params"]["network"]}, x)
    rows = variables["params"]["embedding"]["kernel"][np.array([2, 0, 3, 1])]
    alone = critic.apply(variables, x)
    np.testing.assert_allclose(out, alone + (rows * features).sum(1, keepdims=True), rtol=1e-5, atol=1e-5)


def test_one_example_does_not_lend_its_condition_to_the_others():
    with pytest.raises(ValueError, match=r"cond has shape \(1,\), but x has \(4,\): the two must be equal"):
        Projection(MLP((5,))).init(jax.random.key(0), jnp.ones((4, 8)), jnp.ones((1, 3)))


@pytest.mark.parametrize("shape", [(4,), (4, 3, 1), (), (4, 0)])
def test_conditions_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"cond has shape .*, but must be \(n, conditions\): .*jax\.nn\.one_hot"):
        Projection(MLP((5,))).init(jax.random.key(0), jnp.ones((4, 8)), jnp.ones(shape))


def test_features_that_are_images_are_refused():
    conv = ja.networks.Residual()
    with pytest.raises(
        ValueError, match=r"network returned shape \(4, 6, 6, 2\), but must return features \(n, width\)"
    ):
        Projection(conv).init(jax.random.key(0), jnp.ones((4, 6, 6, 2)), jnp.ones((4, 3)))


def test_it_is_public():
    assert "Projection" in names


def test_a_conditional_gan_with_a_penalty_takes_steps():
    """A slope through the slope of features and their product with the embedding, both convolved."""
    critic = Projection(ConvEncoder((Stage(4), Stage(4)), average=True))
    gan = ja.models.GAN(ja.networks.ConvDecoder(*ja.networks.mirror((Stage(4),), (8, 8, 1))), critic, latent=2)
    learner = ja.chain(
        discriminator=ja.descend(
            ja.objective(gan, ja.adversarial.discriminator, loss=ja.adversarial.wasserstein, penalty=10.0),
            optax.adam(1e-3),
            wrt=("discriminator",),
        ),
        generator=ja.descend(ja.objective(gan, ja.adversarial.generator), optax.adam(1e-3), wrt=("generator",)),
    )
    data = ja.Batch(draw(8, 8, 8, 1), np.eye(2, dtype=np.float32)[np.arange(8) % 2])

    @jax.jit
    def run(key):
        first = jax.tree.map(lambda leaf: leaf[:1], data)
        start = ja.start(learner, gan.init(jax.random.key(1), *first))
        return start, *ja.run(learner, start, data, key, epochs=1, batch_size=4)

    start, end, history = run(jax.random.key(0))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((end, history)))
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), *(state.variables["params"] for state in (start, end)))
    assert moved["discriminator"]["embedding"]["kernel"] and all(jax.tree.leaves(moved["generator"]))
