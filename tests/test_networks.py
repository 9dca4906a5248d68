"""jaxae.networks against numpy in float64, then the rules of training mode, then what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxae import distributions, networks
from jaxae.networks import MLP, Atoms, keep_largest

N = 20_000


def dense(x, layer):
    return x @ np.float64(layer["kernel"]) + np.float64(layer["bias"])


def normalised(x, mean, variance):
    return (x - mean) / np.sqrt(variance + 1e-5)


def spread(variables):
    """The same variables with every leaf drawn, so that no bias or scale sits at 0 or 1."""
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: rng.uniform(0.2, 1, leaf.shape).astype(np.float32), variables)


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


# MLP


@pytest.mark.parametrize("activate_final", [False, True])
def test_mlp_is_numpys_forward_pass(activate_final):
    x = draw(7, 5)
    network = networks.MLP((4, 6, 2), activation=jnp.tanh, activate_final=activate_final)
    variables = spread(network.init(jax.random.key(1), x))
    h = np.float64(x)
    for i in range(3):
        h = dense(h, variables["params"][f"Dense_{i}"])
        h = np.tanh(h) if i < 2 or activate_final else h
    # Sums of six float32 products.
    np.testing.assert_allclose(network.apply(variables, x), h, rtol=5e-6, atol=1e-6)


def test_a_single_layer_is_linear():
    x = draw(7, 5)
    network = networks.MLP((2,), norm=True, dropout=0.5)
    variables = network.init(jax.random.key(1), x)
    assert set(variables) == {"params"}
    out = network.apply(variables, x, rngs={"dropout": jax.random.key(2)})
    np.testing.assert_allclose(out, dense(np.float64(x), variables["params"]["Dense_0"]), rtol=5e-6, atol=1e-6)


def test_the_order_is_activation_then_norm_then_dropout():
    x = draw(50, 5)
    network = networks.MLP((8, 8), activation=lambda h: jnp.abs(h) + 3, norm=True, dropout=0.5)
    variables = spread(network.init(jax.random.key(1), x))
    variables["params"]["Dense_1"] = {"kernel": jnp.eye(8), "bias": jnp.zeros(8)}
    out, _ = network.apply(variables, x, rngs={"dropout": jax.random.key(3)}, mutable=["batch_stats"])
    h = np.abs(dense(np.float64(x), variables["params"]["Dense_0"])) + 3
    norm = variables["params"]["BatchNorm_0"]["BatchNorm_0"]
    h = normalised(h, h.mean(0), h.var(0)) * np.float64(norm["scale"]) + np.float64(norm["bias"])
    kept = np.asarray(out) != 0
    assert 0.3 < kept.mean() < 0.7
    # Another order would normalise what was dropped, drop before the norm, or make numbers below 3 of all.
    np.testing.assert_allclose(np.asarray(out)[kept], 2 * h[kept], rtol=2e-4, atol=1e-5)


def test_the_condition_is_set_beside_x():
    x, cond = draw(7, 5), draw(7, 2)
    network = networks.MLP((4, 3))
    variables = network.init(jax.random.key(2), x, cond)
    assert variables["params"]["Dense_0"]["kernel"].shape == (7, 4)
    np.testing.assert_array_equal(network.apply(variables, x, cond), network.apply(variables, jnp.c_[x, cond]))


def test_widths_may_be_a_list():
    x = jnp.ones((2, 3))
    assert networks.MLP([4, np.int64(2)]).init_with_output(jax.random.key(0), x)[0].shape == (2, 2)


@pytest.mark.parametrize("shape", [(3,), (2, 8, 8, 1)])
def test_mlp_refuses_what_is_not_flat_and_says_how_to_flatten(shape):
    with pytest.raises(ValueError, match=r"x has shape .*x\.reshape\(len\(x\), -1\)"):
        networks.MLP((2,)).init(jax.random.key(0), jnp.ones(shape))
    with pytest.raises(ValueError, match=r"cond has shape .*cond\.reshape\(len\(cond\), -1\)"):
        networks.MLP((2,)).init(jax.random.key(0), jnp.ones((3, 2)), jnp.ones(shape))


@pytest.mark.parametrize("n", [1, 4])
def test_mlp_refuses_conditions_for_other_examples(n):
    with pytest.raises(ValueError, match="cond has shape"):
        networks.MLP((2,)).init(jax.random.key(0), jnp.ones((3, 2)), jnp.ones((n, 2)))


def test_mlp_refuses_widths_that_make_no_layer():
    with pytest.raises(ValueError, match=r"widths is empty.*MLP\(\(64, 2\)\)"):
        networks.MLP(()).init(jax.random.key(0), jnp.ones((3, 2)))
    with pytest.raises(ValueError, match="width is 0"):
        networks.MLP((4, 0)).init(jax.random.key(0), jnp.ones((3, 2)))
    with pytest.raises(TypeError, match=r"width is 4\.0"):
        networks.MLP((4.0,)).init(jax.random.key(0), jnp.ones((3, 2)))


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan"), 50])
@pytest.mark.parametrize("widths", [(4, 2), (2,)])
def test_mlp_refuses_a_dropout_that_is_no_rate_even_where_nothing_would_drop(widths, rate):
    with pytest.raises(ValueError, match="dropout is"):
        networks.MLP(widths, dropout=rate).init(jax.random.key(0), jnp.ones((3, 2)))


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_dropout_refuses_a_rate_that_is_none(rate):
    with pytest.raises(ValueError, match="dropout is"):
        networks.Dropout(rate).init(jax.random.key(0), jnp.ones((3, 2)))


# batch norm


@pytest.mark.parametrize("shape", [(9, 3), (4, 5, 5, 3)])
@pytest.mark.parametrize("momentum", [0.9, 0.5])
def test_batch_norm_trains_when_its_statistics_may_be_written(shape, momentum):
    x = 2 * draw(*shape) + 5
    norm = networks.BatchNorm(momentum)
    variables = spread(norm.init(jax.random.key(1), x))
    out, written = norm.apply(variables, x, mutable=["batch_stats"])
    axes = tuple(range(len(shape) - 1))
    mean, variance = np.float64(x).mean(axes), np.float64(x).var(axes)
    params, stats = variables["params"]["BatchNorm_0"], variables["batch_stats"]["BatchNorm_0"]
    expected = normalised(np.float64(x), mean, variance) * np.float64(params["scale"]) + np.float64(params["bias"])
    # Flax takes the variance as mean of squares less square of mean: (5² + 2²)/2² times the rounding.
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)
    for name, new in {"mean": mean, "var": variance}.items():
        running = momentum * np.float64(stats[name]) + (1 - momentum) * new
        np.testing.assert_allclose(written["batch_stats"]["BatchNorm_0"][name], running, rtol=1e-5)


def test_batch_norm_uses_its_running_averages_otherwise():
    x = 2 * draw(9, 3) + 5
    norm = networks.BatchNorm()
    variables = spread(norm.init(jax.random.key(1), x))
    params, stats = variables["params"]["BatchNorm_0"], variables["batch_stats"]["BatchNorm_0"]
    expected = normalised(np.float64(x), np.float64(stats["mean"]), np.float64(stats["var"]))
    expected = expected * np.float64(params["scale"]) + np.float64(params["bias"])
    np.testing.assert_allclose(norm.apply(variables, x), expected, rtol=1e-5)
    np.testing.assert_allclose(norm.bind(variables)(x), expected, rtol=1e-5)
    out, written = norm.apply(variables, x, mutable=["other"])
    np.testing.assert_allclose(out, expected, rtol=1e-5)
    assert not written


def test_a_dropout_key_does_not_make_batch_norm_train_nor_statistics_dropout_drop():
    x = draw(9, 3)
    network = networks.MLP((8, 8), norm=True, dropout=0.5)
    variables = network.init(jax.random.key(1), x)
    variables["params"]["Dense_1"] = {"kernel": jnp.eye(8), "bias": jnp.zeros(8)}
    plain = np.asarray(network.apply(variables, x))
    dropped = np.asarray(network.apply(variables, x, rngs={"dropout": jax.random.key(2)}))
    assert 0.2 < (dropped == 0).mean() < 0.9
    np.testing.assert_allclose(dropped[dropped != 0], 2 * plain[dropped != 0], rtol=1e-6)
    trained, _ = network.apply(variables, x, mutable=["batch_stats"])
    np.testing.assert_allclose(trained.mean(0), np.zeros(8), atol=1e-6)
    assert (trained != 0).all()


def test_init_leaves_the_running_averages_at_their_start():
    x = draw(9, 3) + 5
    stats = networks.BatchNorm().init(jax.random.key(1), x)["batch_stats"]["BatchNorm_0"]
    assert (stats["mean"] == 0).all()
    assert (stats["var"] == 1).all()


@pytest.mark.parametrize("transform", [jax.jit, jax.grad, jax.checkpoint])
def test_batch_norm_trains_inside_transforms_of_the_whole_step(transform):
    x = draw(9, 3)
    norm = networks.BatchNorm()
    variables = norm.init(jax.random.key(1), x)

    def value(variables):
        out, _ = norm.apply(variables, x, mutable=["batch_stats"])
        return (out**3).sum()

    transform(value)(variables)


def test_batch_norm_trains_inside_flaxs_own_transforms():
    x = draw(9, 3)
    remat = nn.remat(networks.MLP)((4, 2), norm=True)
    variables = remat.init(jax.random.key(1), x)

    def value(network):
        def run(params):
            return network.apply({**variables, "params": params}, x, mutable=["batch_stats"])[0].sum()

        return run

    plain = networks.MLP((4, 2), norm=True)
    slopes = [jax.jit(jax.grad(value(network)))(variables["params"]) for network in (remat, plain)]
    # Rematerialised sums may round otherwise.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), *slopes)


def test_batch_norm_refuses_to_train_inside_a_gradient_of_the_loss():
    class Sensitivity(nn.Module):
        norm: nn.Module

        def __call__(self, x):
            return jax.grad(lambda x: self.norm(x).sum())(x)

    x = draw(9, 3)
    model = Sensitivity(networks.BatchNorm())
    variables = {
        collection: {"norm": tree} for collection, tree in networks.BatchNorm().init(jax.random.key(1), x).items()
    }
    # The running averages are 0 and 1: the slope is 1/√(1 + 1e-5).
    np.testing.assert_allclose(model.apply(variables, x), np.full((9, 3), 1), rtol=1e-5)
    with pytest.raises(ValueError, match=r"batch norm trains inside a gradient.*norm=False"):
        model.apply(variables, x, mutable=["batch_stats"])


# dropout


@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_dropout_drops_a_share_and_rescales_the_rest_when_a_key_is_given(rate):
    x = jnp.full((N, 1), 3.0)
    out = networks.Dropout(rate).apply({}, x, rngs={"dropout": jax.random.key(0)})
    zeros = (out == 0).sum()
    assert zeros + (out == jnp.float32(3 / (1 - rate))).sum() == N
    # Five standard deviations of the binomial.
    assert abs(zeros - N * rate) < 5 * np.sqrt(N * rate * (1 - rate))


def test_dropout_is_the_identity_without_its_key():
    x = jnp.full((50, 2), 3.0)
    np.testing.assert_array_equal(networks.Dropout(0.5).apply({}, x), x)
    np.testing.assert_array_equal(networks.Dropout(0.5).apply({}, x, rngs={"params": jax.random.key(0)}), x)
    np.testing.assert_array_equal(networks.Dropout(0.0).apply({}, x, rngs={"dropout": jax.random.key(0)}), x)


def test_every_dropout_layer_and_every_key_has_a_mask_of_its_own():
    x = jnp.ones((20, 16))
    two = nn.Sequential([networks.Dropout(0.5), networks.Dropout(0.5)])
    out = two.apply({}, x, rngs={"dropout": jax.random.key(0)})
    # Equal masks would leave one half rather than one quarter: 320 · ¼ ± 5 standard deviations.
    assert abs((out == 4).sum() - 80) < 5 * np.sqrt(60)
    assert (out != two.apply({}, x, rngs={"dropout": jax.random.key(1)})).any()


# scales of a decoder


@pytest.mark.parametrize("per_variable", [True, False])
def test_a_shared_scale_is_one_parameter_for_all_examples(per_variable):
    z = draw(7, 2)
    decoder = networks.SharedScale(networks.MLP((3,)), per_variable)
    variables = decoder.init(jax.random.key(1), z)
    assert variables["params"]["logvar"].shape == ((3,) if per_variable else (1,))
    variables["params"]["logvar"] = jnp.arange(3.0) if per_variable else jnp.ones(1)
    out = decoder.apply(variables, z)
    np.testing.assert_array_equal(out.mean, networks.MLP((3,)).apply({"params": variables["params"]["network"]}, z))
    np.testing.assert_array_equal(out.logvar, np.tile([0, 1, 2] if per_variable else [1, 1, 1], (7, 1)))


def test_a_shared_scale_is_best_at_the_residuals_variance():
    z, x = draw(50, 2), draw(50, 3) * 3
    decoder = networks.SharedScale(networks.MLP((3,)))
    variables = decoder.init(jax.random.key(2), z)
    residual = ((x - decoder.apply(variables, z).mean) ** 2).mean(0)

    def nll(logvar):
        prediction = decoder.apply({"params": {**variables["params"], "logvar": logvar}}, z)
        return distributions.normal(prediction, x).sum()

    # 25 − 25, in float32.
    np.testing.assert_allclose(jax.grad(nll)(jnp.log(residual)), np.zeros(3), atol=1e-4)
    assert (jax.grad(nll)(jnp.log(residual) - 1) < -1).all()


def test_a_shared_scale_of_images_has_one_scale_for_every_pixel():
    z = jnp.ones((4, 2))
    decoder = networks.SharedScale(nn.Sequential([nn.Dense(12), lambda h: h.reshape(-1, 2, 2, 3)]))
    out, variables = decoder.init_with_output(jax.random.key(0), z)
    assert variables["params"]["logvar"].shape == (2, 2, 3)
    assert out.mean.shape == out.logvar.shape == (4, 2, 2, 3)
    assert networks.SharedScale(decoder.network, False).init(jax.random.key(0), z)["params"]["logvar"].shape == (1,) * 3


def test_a_predicted_scale_is_the_second_half_of_the_columns():
    z, cond = draw(7, 2), draw(7, 1)
    decoder = networks.PredictedScale(networks.MLP((6,)))
    variables = decoder.init(jax.random.key(2), z, cond)
    out = decoder.apply(variables, z, cond)
    columns = networks.MLP((6,)).apply({"params": variables["params"]["network"]}, z, cond)
    np.testing.assert_array_equal(jnp.c_[out.mean, out.logvar], columns)
    assert isinstance(out, distributions.Normal)


def test_a_predicted_scale_refuses_an_odd_number_of_columns():
    with pytest.raises(ValueError, match=r"5 columns.*twice as many"):
        networks.PredictedScale(networks.MLP((5,))).init(jax.random.key(0), jnp.ones((3, 2)))


@pytest.mark.parametrize("wrap", [networks.SharedScale, networks.PredictedScale])
def test_a_network_that_takes_no_condition_is_called_without(wrap):
    assert wrap(nn.Dense(4)).init_with_output(jax.random.key(0), jnp.ones((3, 2)))[0].mean.shape[0] == 3


def test_one_width_is_no_tuple_of_widths():
    with pytest.raises(TypeError, match=r"widths is 8, but must be a tuple with one width per layer"):
        networks.MLP(8).init(jax.random.key(0), jnp.ones((1, 2)))


class TestDropoutOfEachLayer:
    def test_a_rate_for_each_activation(self):
        x = jnp.ones((400, 4))
        network = MLP((50, 60, 3), dropout=(0.5, 0.0))
        variables = network.init(jax.random.key(0), x)
        _, seen = network.apply(
            variables, x, rngs={"dropout": jax.random.key(1)}, capture_intermediates=True, mutable=["intermediates"]
        )
        assert [name for name in seen["intermediates"] if name.startswith("Dropout")] == ["Dropout_0"]
        dropped = np.asarray(seen["intermediates"]["Dropout_0"]["__call__"][0])
        alive = np.asarray(nn.relu(seen["intermediates"]["Dense_0"]["__call__"][0])) > 0
        # 400 rows of some 25 live units: a standard error of .005.
        assert abs((dropped[alive] == 0).mean() - 0.5) < 0.03

    @pytest.mark.parametrize(
        ("widths", "final", "rates"), [((8, 3), False, (0.1, 0.2)), ((8, 3), True, (0.1,)), ((3,), False, (0.1,))]
    )
    def test_a_wrong_number_of_rates_is_refused(self, widths, final, rates):
        network = MLP(widths, dropout=rates, activate_final=final)
        with pytest.raises(ValueError, match=f"dropout has {len(rates)} rates, but the layers"):
            network.init(jax.random.key(0), jnp.ones((1, 2)))

    def test_an_impossible_rate_among_them_is_refused(self):
        with pytest.raises(ValueError, match="dropout is 1"):
            MLP((8, 8, 3), dropout=(0.0, 1.0)).init(jax.random.key(0), jnp.ones((1, 2)))


def test_kernels_are_drawn_as_asked():
    network = MLP((200, 100), kernel_init=nn.initializers.normal(0.1))
    params = network.init(jax.random.key(0), jnp.ones((1, 300)))["params"]
    for layer in params.values():
        # 20,000 draws or more: the standard error of a standard deviation is half a percent.
        assert abs(float(layer["kernel"].std()) / 0.1 - 1) < 0.03
        assert not layer["bias"].any()


class TestAtoms:
    def test_directions_have_length_1_times_gain(self):
        atoms = Atoms(7, gain=3.0)
        variables = atoms.init(jax.random.key(0), jnp.ones((1, 4)))
        out = atoms.apply(variables, jnp.eye(4))
        np.testing.assert_allclose(np.linalg.norm(out, axis=1), 3.0, rtol=1e-6)

    def test_longer_kernels_change_nothing(self):
        atoms, z = Atoms(5), jax.random.normal(jax.random.key(1), (6, 3))
        variables = atoms.init(jax.random.key(0), z)
        longer = {"params": {**variables["params"], "kernel": 7 * variables["params"]["kernel"]}}
        np.testing.assert_allclose(atoms.apply(variables, z), atoms.apply(longer, z), rtol=1e-5, atol=1e-6)


class TestKeepLargest:
    def test_against_sorting(self, rng):
        code = rng.normal(size=(20, 9)).astype(np.float32)
        kept = np.asarray(keep_largest(jnp.asarray(code), 4))
        for row, own in zip(code, kept, strict=True):
            places = np.argsort(-row)[:4]
            np.testing.assert_array_equal(np.flatnonzero(own), np.sort(places))
            np.testing.assert_array_equal(own[places], row[places])

    def test_ties_keep_no_more_than_k(self):
        assert int((keep_largest(jnp.ones((1, 5)), 2) != 0).sum()) == 2

    @pytest.mark.parametrize("k", [0, 4])
    def test_impossible_k(self, k):
        with pytest.raises(ValueError, match=f"k is {k}, but must be a whole number from 1 to 3"):
            keep_largest(jnp.ones((1, 3)), k)


@pytest.mark.parametrize(("rate", "dropped"), [(0.5, 128 / 256), (0.2, 51 / 256), (1e-4, 1 / 256), (0.9999, 255 / 256)])
@pytest.mark.parametrize("shape", [(400, 251), (3, 33_467)])
def test_dropout_drops_the_rounded_share_and_keeps_the_mean(rate, dropped, shape):
    out = networks.Dropout(rate).apply({}, jnp.ones(shape), rngs={"dropout": jax.random.key(0)})
    share = float((out == 0).mean())
    # Five standard errors of 100,400 draws.
    assert abs(share - dropped) < 5 * np.sqrt(dropped * (1 - dropped) / out.size)
    np.testing.assert_allclose(np.asarray(out)[np.asarray(out) != 0], 1 / (1 - dropped), rtol=1e-6)


def test_the_entries_that_drop_are_independent_of_their_neighbours():
    kept = np.asarray(networks.Dropout(0.5).apply({}, jnp.ones((999, 101)), rngs={"dropout": jax.random.key(0)})) > 0
    flat = kept.reshape(-1).astype(float) - 0.5
    quarter = -(-flat.size // 4)
    # Neighbours in a row, in a column, and the four that one word decides.
    for apart in (1, 101, quarter, 2 * quarter, 3 * quarter):
        correlation = 4 * (flat[:-apart] * flat[apart:]).mean()
        assert abs(correlation) < 5 / np.sqrt(flat.size - apart)


def test_dropout_of_nothing_is_the_identity():
    x = draw(4, 5)
    np.testing.assert_array_equal(networks.Dropout(0.0).apply({}, x, rngs={"dropout": jax.random.key(0)}), x)
    np.testing.assert_array_equal(networks.Dropout(0.3).apply({}, x), x)


@pytest.mark.parametrize(
    ("network", "x", "error", "words"),
    [
        (MLP((3, 2), activation="relu"), jnp.ones((2, 4)), TypeError, r"activation is 'relu'.*flax\.linen\.relu"),
        (networks.Dense(0), jnp.ones((2, 4)), ValueError, "features is 0"),
        (networks.Dense(2.0), jnp.ones((2, 4)), TypeError, r"features is 2\.0"),
        (networks.Dense(2), jnp.ones(4), ValueError, r"x has shape \(4,\).*x\[None\]"),
        (Atoms(0), jnp.ones((2, 4)), ValueError, "width is 0"),
        (Atoms(3, gain=-1.0), jnp.ones((2, 4)), ValueError, "gain is -1"),
        (Atoms(3), jnp.ones((2, 4, 1)), ValueError, r"z has shape \(2, 4, 1\)"),
        (Atoms(3), jnp.ones((2, 4), int), TypeError, r"z holds int32, but must hold floats"),
        (networks.BatchNorm(momentum=1.5), jnp.ones((2, 4)), ValueError, r"momentum is 1\.5"),
        (networks.BatchNorm(), jnp.ones(()), ValueError, r"x has shape \(\), but batch norm takes"),
    ],
)
def test_what_a_layer_cannot_be_is_named(network, x, error, words):
    with pytest.raises(error, match=words):
        jax.eval_shape(network.init, jax.random.key(0), x)


def test_a_code_that_is_no_table_has_no_largest_units():
    with pytest.raises(ValueError, match=r"code has shape \(2, 2, 3\), but must be \(n, units\)"):
        keep_largest(jnp.ones((2, 2, 3)), 1)
