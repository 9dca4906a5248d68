"""jaxae.models: what the methods return, that init makes all they need, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from flax import linen as nn

from jaxae import models, networks
from jaxae.distributions import Normal

N = 5000
COND = [None, (6, 3)]


def arrays(cond):
    x = jax.random.normal(jax.random.key(0), (6, 5))
    return x, None if cond is None else jax.random.normal(jax.random.key(1), cond)


def mlp(*widths):
    return networks.MLP((8, *widths), norm=True, dropout=0.1)


class Identity(nn.Module):
    """Gives back its input, or the condition where there is one."""

    @nn.compact
    def __call__(self, x, cond=None):
        return x if cond is None else cond


# exact


def test_ae_is_decoder_after_encoder():
    x, cond = arrays((6, 3))
    ae = models.AE(mlp(2), mlp(5))
    variables = ae.init(jax.random.key(2), x, cond)
    parts = {
        name: {collection: tree[name] for collection, tree in variables.items()} for name in ("encoder", "decoder")
    }
    z = ae.encoder.apply(parts["encoder"], x, cond)
    out = ae.decoder.apply(parts["decoder"], z, cond)
    bound = ae.bind(variables)
    np.testing.assert_array_equal(bound.encode(x, cond), z)
    np.testing.assert_array_equal(bound.decode(z, cond), out)
    np.testing.assert_array_equal(bound(x, cond), out)


def test_vae_posterior_is_a_dense_head_on_the_encoders_features():
    x, _ = arrays(None)
    vae = models.VAE(networks.MLP((4,)), networks.MLP((5,)), latent=2)
    variables = vae.init(jax.random.key(2), x)
    posterior = vae.bind(variables).encode(x)
    params = variables["params"]
    features = networks.MLP((4,)).apply({"params": params["encoder"]}, x)
    columns = features @ params["head"]["kernel"] + params["head"]["bias"][None]
    assert isinstance(posterior, Normal)
    np.testing.assert_allclose(jnp.c_[posterior.mean, posterior.logvar], columns, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(vae.bind(variables)(x), vae.bind(variables).decode(posterior.mean))


@pytest.mark.parametrize(
    "draw",
    [
        lambda key: models.VAE(Identity(), Identity(), latent=2).bind({}).sample(key, N),
        lambda key: models.GAN(Identity(), Identity(), latent=2).bind({}).generate(key, N),
    ],
)
def test_what_is_drawn_is_standard_normal(draw):
    z = np.asarray(draw(jax.random.key(0)))
    assert z.shape == (N, 2)
    for column in z.T:
        assert scipy.stats.kstest(column, "norm").pvalue > 1e-3
    # Five standard errors of an independent pair's correlation.
    assert abs(np.corrcoef(z.T)[0, 1]) < 5 / np.sqrt(N)


def test_every_draw_belongs_to_its_row_of_the_condition():
    cond = jnp.arange(12.0).reshape(6, 2)
    vae, gan = (family(Identity(), Identity(), latent=2).bind({}) for family in (models.VAE, models.GAN))
    np.testing.assert_array_equal(vae.sample(jax.random.key(0), 6, cond), cond)
    np.testing.assert_array_equal(gan.generate(jax.random.key(0), 6, cond), cond)


# shapes, with and without a condition; init makes all that the methods need


def shapes(model, cond, use):
    """The shapes that `use` of the bound model returns, and the names of its parts: traced, not computed."""
    x, cond = arrays(cond)

    def trace(key):
        variables = model.init(key, x, cond)
        parts.extend(variables["params"])
        return use(model.bind(variables), x, cond)

    parts = []
    out = jax.eval_shape(trace, jax.random.key(2))
    return jax.tree.map(jnp.shape, out), set(parts)


@pytest.mark.parametrize("cond", COND)
def test_the_methods_of_ae(cond):
    def use(ae, x, cond):
        return ae.encode(x, cond), ae.decode(jnp.ones((6, 2)), cond), ae(x, cond)

    out, parts = shapes(models.AE(mlp(2), mlp(5)), cond, use)
    assert out == ((6, 2), (6, 5), (6, 5))
    assert parts == {"encoder", "decoder"}


@pytest.mark.parametrize("cond", COND)
def test_the_methods_of_vae(cond):
    def use(vae, x, cond):
        decoded = vae.decode(jnp.ones((6, 3)), cond)
        return vae.encode(x, cond), decoded, vae.sample(jax.random.key(3), 6, cond), vae(x, cond)

    out, parts = shapes(models.VAE(mlp(7), mlp(5), latent=3), cond, use)
    assert out == (Normal((6, 3), (6, 3)), (6, 5), (6, 5), (6, 5))
    assert parts == {"encoder", "decoder", "head"}
    out, _ = shapes(models.VAE(mlp(7), networks.SharedScale(mlp(5)), latent=3), cond, use)
    assert out[1:] == (Normal((6, 5), (6, 5)),) * 3


@pytest.mark.parametrize("cond", COND)
def test_the_methods_of_gan(cond):
    def use(gan, x, cond):
        return gan.generate(jax.random.key(3), 6, cond), gan.discriminate(x, cond), gan(x, cond)

    out, parts = shapes(models.GAN(mlp(5), mlp(1), latent=3), cond, use)
    assert out == ((6, 5), (6,), (6,))
    assert parts == {"generator", "discriminator"}


@pytest.mark.parametrize("family", ["ae", "vae", "gan"])
def test_one_example_is_enough_to_initialise(family):
    model = {
        "ae": models.AE(mlp(2), mlp(5)),
        "vae": models.VAE(mlp(2), mlp(5), latent=2),
        "gan": models.GAN(mlp(5), mlp(1), latent=2),
    }[family]
    x, cond = arrays((6, 3))
    one, six = (model.init(jax.random.key(2), x[:n], cond[:n]) for n in (1, 6))
    jax.tree.map(np.testing.assert_array_equal, one, six)


# any Flax module is a part


@pytest.mark.parametrize("cond", COND)
def test_a_sequential_is_a_part(cond):
    encoder = nn.Sequential([networks.MLP((4,)), nn.relu, nn.Dense(2)])
    decoder = nn.Sequential([networks.MLP((4,)), nn.relu, nn.Dense(5)])
    for model in (models.AE(encoder, decoder), models.VAE(encoder, decoder, latent=2)):
        assert shapes(model, cond, lambda model, x, cond: model(x, cond))[0] == (6, 5)
    gan = models.GAN(decoder, nn.Sequential([networks.MLP((4,)), nn.Dense(1)]), latent=2)
    assert shapes(gan, cond, lambda gan, x, cond: gan(x, cond))[0] == (6,)


def test_without_a_condition_a_module_that_takes_none_is_a_part():
    # Dense and a Sequential of Dense were called with a second argument, None, and raised.
    for part in (lambda: nn.Dense(5), lambda: nn.Sequential([nn.Dense(4), nn.relu, nn.Dense(5)])):
        assert shapes(models.AE(part(), part()), None, lambda ae, x, cond: ae(x))[0] == (6, 5)
        assert shapes(models.VAE(part(), part(), latent=2), None, lambda vae, x, cond: vae(x))[0] == (6, 5)
        assert shapes(models.GAN(part(), nn.Dense(1), latent=2), None, lambda gan, x, cond: gan(x))[0] == (6,)


def test_a_condition_for_a_module_that_takes_none_is_not_dropped():
    x, cond = arrays((6, 3))
    with pytest.raises(TypeError, match="positional arguments"):
        models.AE(nn.Dense(2), nn.Dense(5)).init(jax.random.key(2), x, cond)


# refused


@pytest.mark.parametrize("family", [models.VAE, models.GAN])
@pytest.mark.parametrize("latent, error", [(0, ValueError), (-3, ValueError), (2.0, TypeError), (None, TypeError)])
def test_a_latent_space_without_dimensions_is_refused(family, latent, error):
    with pytest.raises(error, match=r"latent is .*whole number ≥ 1"):
        family(networks.MLP((5,)), networks.MLP((5,)), latent=latent).init(jax.random.key(0), jnp.ones((2, 5)))


@pytest.mark.parametrize("width", [2, 5])
def test_a_discriminator_of_more_than_one_column_is_refused(width):
    gan = models.GAN(networks.MLP((5,)), networks.MLP((width,)), latent=2)
    with pytest.raises(ValueError, match=rf"returned shape \(3, {width}\).*width 1"):
        jax.eval_shape(gan.init, jax.random.key(0), jnp.ones((3, 5)))


def test_a_discriminator_of_bare_numbers_is_refused():
    gan = models.GAN(networks.MLP((5,)), nn.Sequential([nn.Dense(1), lambda h: h[:, 0]]), latent=2)
    with pytest.raises(ValueError, match=r"returned shape \(3,\)"):
        jax.eval_shape(gan.init, jax.random.key(0), jnp.ones((3, 5)))


def test_a_generator_of_other_examples_than_x_is_refused():
    gan = models.GAN(networks.MLP((4,)), networks.MLP((1,)), latent=2)
    with pytest.raises(ValueError, match=r"generator's output has shape \(3, 4\), but x has \(3, 5\)"):
        jax.eval_shape(gan.init, jax.random.key(0), jnp.ones((3, 5)))


def test_one_number_is_no_example():
    gan = models.GAN(networks.MLP((4,)), networks.MLP((1,)), latent=2)
    with pytest.raises(ValueError, match="x is a single number"):
        jax.eval_shape(gan.init, jax.random.key(0), jnp.ones(()))


class TestSparseAE:
    def test_the_code_is_the_dense_code_but_for_the_silenced(self):
        ae = models.SparseAE(networks.MLP((16, 9), activate_final=True), networks.Atoms(5), k=3)
        x, _ = arrays(None)
        bound = ae.bind(ae.init(jax.random.key(2), x))
        code, dense = np.asarray(bound.encode(x)), np.asarray(bound.dense(x))
        assert ((code != 0).sum(1) <= 3).all() and (dense >= 0).all()
        for own, all_units in zip(code, dense, strict=True):
            np.testing.assert_array_equal(np.sort(own)[-3:], np.sort(all_units)[-3:])
        np.testing.assert_array_equal(bound(x), bound.decode(bound.encode(x)))


@pytest.mark.parametrize(
    ("model", "method"),
    [
        (models.VAE(networks.MLP((3,)), networks.MLP((5,)), latent=2), "sample"),
        (models.GAN(networks.MLP((5,)), networks.MLP((1,)), latent=2), "generate"),
    ],
)
def test_how_many_are_drawn_and_from_what(model, method):
    bound = model.bind(model.init(jax.random.key(0), jnp.ones((1, 5))))
    draw = getattr(bound, method)
    assert draw(jax.random.key(1), np.int64(3)).shape == (3, 5)
    for n, error in ((0, ValueError), (-1, ValueError), (2.0, TypeError)):
        with pytest.raises(error, match=f"n is {n}, but must be a whole number ≥ 1"):
            draw(jax.random.key(1), n)
    with pytest.raises(TypeError, match="legacy uint32 key"):
        draw(jax.random.PRNGKey(0), 3)
