"""Convolutional networks: sizes first, then layers one by one, whole models in training, laws, and what is refused."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax import lax
from jax.sharding import AxisType

import jaxae as ja
from jaxae.networks import MLP, ConvDecoder, ConvEncoder, Residual, Stage, mirror

KEY = jax.random.key
HALVED = (Stage(32), Stage(64), Stage(128), Stage(256))
"""A6 and B2."""
E2 = (Stage(16, 6, 2, 0), Stage(32, 4, 2, 0), Stage(64, 2, 2, 0))
E2_BACK = (Stage(32, 2, 2, 0), Stage(16, 4, 3, 1), Stage(1, 6, 3, 4))
SMALL = (Stage(3), Stage(4))


def draw(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(np.float32)


def shapes(network, *args):
    """Return the shapes of what a network returns and of its variables, without computing anything."""
    out, variables = jax.eval_shape(lambda: network.init_with_output(KEY(0), *args))
    return out.shape, variables


def filled(network, *args):
    """Return variables of which no bias or scale is 0 or 1."""
    variables = jax.eval_shape(lambda: network.init(KEY(0), *args))
    return jax.tree.map(
        lambda leaf: np.random.default_rng(leaf.shape).uniform(-0.5, 1, leaf.shape).astype(np.float32), variables
    )


def every_layer(network, *args):
    """Return the shapes of what every convolution of a network returns, in order."""

    def run():
        variables = network.init(KEY(0), *args)
        _, seen = network.apply(variables, *args, capture_intermediates=True, mutable=["intermediates"])
        return seen["intermediates"]

    seen = jax.eval_shape(run)
    layers = sorted((name for name in seen if "Conv" in name), key=lambda name: int(name.split("_")[1]))
    return [seen[name]["__call__"][0].shape[1:] for name in layers]


# sizes


def test_the_convolutional_autoencoder_of_224_pixels():
    layers = every_layer(ConvEncoder(HALVED, norm=True, width=128), jnp.ones((1, 224, 224, 3)))
    assert layers == [(112, 112, 32), (56, 56, 64), (28, 28, 128), (14, 14, 256)]
    start, back = mirror(HALVED, (224, 224, 3))
    assert start == (14, 14, 256)
    layers = every_layer(ConvDecoder(start, back, norm=True), jnp.ones((1, 128)))
    assert layers == [(28, 28, 128), (56, 56, 64), (112, 112, 32), (224, 224, 3)]
    assert 224 * 224 * 3 / 128 == 1176


@pytest.mark.parametrize("resize", [False, True])
def test_the_autoencoders_of_64_pixels(resize):
    encoder = ConvEncoder(HALVED, average=resize, width=128)
    assert every_layer(encoder, jnp.ones((1, 64, 64, 3))) == [(32, 32, 32), (16, 16, 64), (8, 8, 128), (4, 4, 256)]
    start, back = mirror(HALVED, (64, 64, 3), resize=resize)
    decoder = ConvDecoder(start, back, resize=resize, align_corners=True)
    assert every_layer(decoder, jnp.ones((1, 128))) == [(8, 8, 128), (16, 16, 64), (32, 32, 32), (64, 64, 3)]
    kernel = shapes(encoder, jnp.ones((1, 64, 64, 3)))[1]["params"]["Dense_0"]["kernel"]
    assert kernel.shape == ((256 if resize else 4 * 4 * 256), 128)


def test_the_conditional_variational_autoencoder_of_28_pixels():
    x, label = jnp.ones((1, 28, 28, 1)), jnp.ones((1, 10))
    assert every_layer(ConvEncoder(E2), x, label) == [(12, 12, 16), (5, 5, 32), (2, 2, 64)]
    out, variables = shapes(ConvEncoder(E2), x, label)
    assert out == (1, 256)
    assert variables["params"]["Conv_0"]["kernel"].shape == (6, 6, 11, 16)
    decoder = ConvDecoder((2, 2, 64), E2_BACK)
    assert every_layer(decoder, jnp.ones((1, 20)), label) == [(4, 4, 32), (11, 11, 16), (28, 28, 1)]
    assert shapes(decoder, jnp.ones((1, 20)), label)[1]["params"]["Dense_0"]["kernel"].shape == (30, 256)


WAYS = {
    "k3 s2 p1": (Stage(2), Stage(3)),
    "k4 s2 p1": (Stage(2, 4), Stage(3, 4)),
    "k2 s2 p0": (Stage(2, 2, 2, 0),) * 3,
    "k6 s3 p4": (Stage(2, 6, 3, 4), Stage(3, 6, 3, 4)),
    "k1 s3 p0": (Stage(2, 1, 3, 0), Stage(2, 3, 1, 1)),
    "k5 s1 p0": (Stage(2, 5, 1, 0),),
    "mixed": (Stage(2, 7, 4, 3), Stage(3, 4, 3, 0)),
    "E2": E2,
}


def sizes_along(stages, n):
    """Return the sizes of one axis by counting where the kernel of each stage may stand."""
    sizes = [n]
    for stage in stages:
        sizes.append(len(range(0, sizes[-1] + 2 * stage.padding - stage.kernel + 1, stage.stride)))
    return sizes


def smallest_of(stages):
    return next(n for n in range(1, 100) if min(sizes_along(stages, n)) > 0)


@pytest.mark.parametrize("name", WAYS)
def test_networks_come_back_to_the_size_of_the_images(name):
    stages = WAYS[name]
    low = smallest_of(stages)
    # A third of the sizes, each as height and as width; the next test has all pairs, by arithmetic.
    heights = np.unique([low, low + 1, *range(low, 41, 3), 39, 40])
    widths = np.random.default_rng(0).permutation(heights)
    for height, width in zip(heights.tolist(), widths.tolist(), strict=True):
        shape = (height, width, 2)
        start, back = mirror(stages, shape)
        ends = [sizes_along(stages, n)[-1] for n in (height, width)]
        assert start == (*ends, stages[-1].features)
        decoded = jax.eval_shape(lambda: ConvDecoder(start, back).init_with_output(KEY(0), jnp.ones((1, 2)))[0])  # noqa: B023
        assert decoded.shape == (1, *shape)
    for height in heights[::5].tolist():
        encoded = shapes(ConvEncoder(stages), jnp.ones((1, height, low, 2)))[0]
        ends = [sizes_along(stages, n)[-1] for n in (height, low)]
        assert encoded == (1, math.prod(ends) * stages[-1].features)


@pytest.mark.parametrize("name", WAYS)
def test_every_pair_of_sizes_comes_back_by_the_rule_of_transposed_convolutions(name):
    stages = WAYS[name]
    low = smallest_of(stages)
    for height in range(low, 41):
        for width in range(low, 41):
            start, back = mirror(stages, (height, width, 1))
            size = list(start[:2])
            for stage in back:
                assert all(0 <= more < stage.stride for more in stage.output_padding)
                for axis, more in enumerate(stage.output_padding):
                    size[axis] = (size[axis] - 1) * stage.stride - 2 * stage.padding + stage.kernel + more
            assert size == [height, width]
    assert [stage.features for stage in back] == [*(stage.features for stage in stages[-2::-1]), 1]


@pytest.mark.parametrize("name", WAYS)
def test_images_that_are_too_small_are_refused_with_the_smallest_that_are_not(name):
    stages = WAYS[name]
    low = smallest_of(stages)
    assert mirror(stages, (low, low, 1))
    if low == 1:
        return
    for height, width in [(low - 1, 40), (40, low - 1), (1, 1)]:
        said = f"images of {height} × {width} pixels are too small for .*: give at least {low} × {low}, or fewer stages"
        with pytest.raises(ValueError, match=said):
            mirror(stages, (height, width, 1))
        with pytest.raises(ValueError, match=said):
            shapes(ConvEncoder(stages), jnp.ones((1, height, width, 1)))


RESIZED = {"k3": SMALL, "k5 s3": (Stage(2, 5, 3, 2), Stage(3)), "k1": (Stage(2, 1, 2, 0),), "s1": (Stage(2, 3, 1, 1),)}


def comes_back(stages, height, width):
    shape = (height, width, 2)
    start, back = mirror(stages, shape, resize=True)
    return shapes(ConvDecoder(start, back, resize=True), jnp.ones((1, 2)))[0] == (1, *shape)


@pytest.mark.parametrize("name", RESIZED)
def test_resize_stages_come_back_to_multiples_and_name_the_nearest(name):
    stages = RESIZED[name]
    whole = math.prod(stage.stride for stage in stages)
    for n in range(1, 27):
        if n % whole == 0:
            assert comes_back(stages, n, whole) and comes_back(stages, whole, n)
            continue
        for axis, shape in (("height", (n, whole, 2)), ("width", (whole, n, 2))):
            with pytest.raises(ValueError, match=rf"images of {axis} {n} do not come back .* must divide it") as error:
                mirror(stages, shape, resize=True)
        nearest = [int(number) for number in re.findall(r"\d+", str(error.value).split("nearest")[1])]
        works = [size for size in range(1, 60) if size % whole == 0]
        below, above = [size for size in works if size < n][-1:], [size for size in works if size > n][:1]
        assert nearest == below + above
        assert all(comes_back(stages, size, size) for size in nearest)


@pytest.mark.parametrize(("kernel", "padding"), [(4, 1), (3, 0), (3, 2), (2, 0)])
def test_a_kernel_that_changes_the_size_is_no_resize_stage(kernel, padding):
    """ResizeConv(4, padding=1) makes 2n − 1 pixels of n, so that the images would come back too small."""
    said = rf"resize stage of kernel {kernel} and padding {padding} changes the size .* must be 2·padding \+ 1"
    with pytest.raises(ValueError, match=said):
        mirror((Stage(2), Stage(4, kernel, 2, padding)), (32, 32, 1), resize=True)
    assert mirror((Stage(2), Stage(4, kernel, 2, padding)), (32, 32, 1))


# layers


def conv(x, layer, stage):
    pads = ((stage.padding,) * 2,) * 2
    y = lax.conv_general_dilated(
        x, layer["kernel"], (stage.stride,) * 2, pads, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y + layer["bias"][None, None, None]


def normalised(h, layer, stats):
    layer, stats = layer["BatchNorm_0"], stats["BatchNorm_0"]
    h = (h - stats["mean"][None, None, None]) / np.sqrt(stats["var"][None, None, None] + 1e-5)
    return h * layer["scale"][None, None, None] + layer["bias"][None, None, None]


def block(h, params, stats, act):
    y = h
    for i in range(2):
        y = normalised(y, params[f"BatchNorm_{i}"], stats[f"BatchNorm_{i}"]) if stats else y
        y = conv(act(y), params[f"Conv_{i}"], Stage(0, 3, 1, 1))
    return h + y


def after(h, i, of, options, params, stats, act):
    """Return what follows stage i of those that have something after them, of which the first may lack its norm."""
    norm = options.get("norm") and i >= of
    bn = (lambda h: normalised(h, params[f"BatchNorm_{i - of}"], stats[f"BatchNorm_{i - of}"])) if norm else lambda h: h
    h = act(bn(h)) if options.get("norm_first") else bn(act(h))
    for j in range(options.get("residual", 0)):
        name = f"Residual_{i * options['residual'] + j}"
        h = block(h, params[name], stats.get(name), act)
    return h


OPTIONS = {
    "plain": {},
    "norm": {"norm": True},
    "norm first": {"norm": True, "norm_first": True},
    "residual": {"residual": 2},
    "all": {"norm": True, "residual": 1},
    "all, norm first": {"norm": True, "norm_first": True, "residual": 1},
}


def positive_variances(variables):
    return {**variables, "batch_stats": jax.tree.map(np.abs, variables.get("batch_stats", {}))}


@pytest.mark.parametrize(
    ("name", "last"),
    [*((name, {}) for name in OPTIONS), ("norm first", {"average": True}), ("norm first", {"width": 5})],
)
def test_the_encoder_layer_by_layer(name, last):
    options, x = OPTIONS[name], draw(2, 7, 6, 2)
    network = ConvEncoder(SMALL, activation=jnp.tanh, **options, **last)
    variables = positive_variances(filled(network, x))
    assert bool(variables["batch_stats"]) == bool(options.get("norm"))
    params, stats, h = variables["params"], variables["batch_stats"], x
    for i, stage in enumerate(SMALL):
        h = conv(h, params[f"Conv_{i}"], stage)
        h = after(h, i, int(options.get("norm_first", False)), options, params, stats, jnp.tanh)
    h = h.mean((1, 2)) if "average" in last else h.reshape(2, -1)
    if "width" in last:
        h = h @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None]
    np.testing.assert_allclose(network.apply(variables, x), h, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("name", OPTIONS)
def test_the_decoder_layer_by_layer(name, start):
    options, z = OPTIONS[name], draw(2, 3)
    network = ConvDecoder(*mirror(SMALL, (7, 6, 2)), activation=jnp.tanh, activate_start=start, **options)
    assert [stage.output_padding for stage in network.stages] == [(1, 0), (0, 1)]
    variables = positive_variances(filled(network, z))
    assert bool(variables["batch_stats"]) == bool(options.get("norm"))
    params, stats = variables["params"], variables["batch_stats"]
    h = (z @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None]).reshape(2, *network.start)
    h = after(h, 0, 0, options, params, stats, jnp.tanh) if start else h
    for i, stage in enumerate(network.stages):
        # Dilated by the stride, cut by what a convolution of the other direction pads, longer by its remainder.
        pads = [
            (stage.kernel - 1 - stage.padding, stage.kernel - 1 - stage.padding + more) for more in stage.output_padding
        ]
        layer = params[f"ConvTranspose_{i}"]
        h = lax.conv_general_dilated(
            h, layer["kernel"], (1, 1), pads, (stage.stride,) * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        h += layer["bias"][None, None, None]
        h = after(h, i + start, 0, options, params, stats, jnp.tanh) if i < 1 else h
    assert h.shape == (2, 7, 6, 2)
    np.testing.assert_allclose(network.apply(variables, z), h, rtol=1e-4, atol=1e-5)
    rows = network.clone(rows=True).apply(variables, z)
    np.testing.assert_array_equal(rows, network.apply(variables, z).reshape(2, -1))


@pytest.mark.parametrize("align_corners", [False, True])
def test_a_resize_decoder_resizes_and_convolves(align_corners):
    z = draw(2, 3)
    network = ConvDecoder(*mirror(SMALL, (8, 4, 2), resize=True), nn.relu, resize=True, align_corners=align_corners)
    variables = filled(network, z)
    params = variables["params"]
    h = (z @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None]).reshape(2, 2, 1, 4)
    for i in range(2):
        n, height, width, c = h.shape
        if align_corners:
            rows, columns = (np.linspace(0, m - 1, 2 * m) for m in (height, width))
            h = jax.vmap(  # by scipy's rule, per example and channel
                lambda image, rows=rows, columns=columns: jax.scipy.ndimage.map_coordinates(
                    image, jnp.meshgrid(rows, columns, indexing="ij"), order=1
                )
            )(h.transpose(0, 3, 1, 2).reshape(n * c, height, width))
            h = h.reshape(n, c, 2 * height, 2 * width).transpose(0, 2, 3, 1)
        else:
            h = jax.image.resize(h, (n, 2 * height, 2 * width, c), "bilinear")
        h = conv(h, params[f"ResizeConv_{i}"], Stage(0, 3, 1, 1))
        h = nn.relu(h) if i == 0 else h
    np.testing.assert_allclose(network.apply(variables, z), h, rtol=1e-4, atol=1e-5)


def test_rows_that_hold_images():
    x = draw(2, 7, 6, 2)
    images, rows = ConvEncoder(SMALL), ConvEncoder(SMALL, image=(7, 6, 2))
    variables = filled(images, x)
    np.testing.assert_array_equal(rows.apply(variables, x.reshape(2, -1)), images.apply(variables, x))


def test_a_condition_is_further_channels_and_further_latents():
    x, z, cond = draw(2, 7, 6, 2), draw(2, 3), draw(2, 4, seed=1)
    encoder, decoder = ConvEncoder(SMALL), ConvDecoder(*mirror(SMALL, (7, 6, 2)))
    variables = filled(encoder, x, cond)
    constant = jnp.broadcast_to(cond[:, None, None], (2, 7, 6, 4))
    joined = encoder.apply(variables, jnp.concatenate([x, constant], -1))
    np.testing.assert_allclose(encoder.apply(variables, x, cond), joined, rtol=1e-4, atol=1e-5)
    variables = filled(decoder, z, cond)
    out = decoder.apply(variables, z, cond)
    np.testing.assert_array_equal(out, decoder.apply(variables, np.concatenate([z, cond], 1)))
    assert (out != decoder.apply(variables, z, cond[::-1])).any()


def test_no_condition_may_have_no_columns():
    x, none = jnp.ones((2, 7, 6, 2)), jnp.ones((2, 0))
    assert shapes(ConvEncoder(SMALL), x, none) == shapes(ConvEncoder(SMALL), x)
    z, decoder = jnp.ones((2, 3)), ConvDecoder((2, 2, 3), SMALL)
    assert shapes(decoder, z, none) == shapes(decoder, z)


@pytest.mark.parametrize("norm", [False, True])
def test_a_block_of_kernels_of_zero_is_the_identity(norm):
    x = draw(2, 5, 4, 3)
    residual = Residual(norm=norm, kernel_init=nn.initializers.zeros_init())
    out, variables = residual.init_with_output(KEY(0), x)
    np.testing.assert_array_equal(out, x)
    assert set(variables) == ({"params", "batch_stats"} if norm else {"params"})


def test_every_kernel_is_drawn_as_asked():
    init = nn.initializers.constant(0.5)
    x, z = jnp.ones((1, 8, 8, 1)), jnp.ones((1, 2))
    networks = [
        (ConvEncoder(SMALL, residual=1, width=3, kernel_init=init), x),
        (ConvDecoder(*mirror(SMALL, (8, 8, 1)), residual=1, kernel_init=init), z),
        (ConvDecoder(*mirror(SMALL, (8, 8, 1), resize=True), resize=True, kernel_init=init), z),
    ]
    for network, given in networks:
        variables = jax.jit(network.init)(KEY(0), given)
        kernels = [leaf for leaf in jax.tree.leaves(variables["params"]) if leaf.ndim > 1]
        assert len(kernels) >= 3 and all((leaf == 0.5).all() for leaf in kernels)


# training


def learner_of(model, loss, **hparams):
    return ja.descend(ja.objective(model, loss, **hparams), optax.adam(1e-2))


def autoencoder(norm=False, resize=False, **options):
    start, back = mirror(SMALL, (8, 8, 1), resize=resize)
    decoder = ConvDecoder(start, back, norm=norm, resize=resize)
    return ja.models.AE(ConvEncoder(SMALL, norm=norm, width=3, **options), decoder)


def variational(**options):
    """E2 in small: a condition, no padding on the way in, pixels cut off on the way out."""
    encoder = ConvEncoder((Stage(3, 4, 2, 0), Stage(4, 3, 2, 0)), **options)
    return ja.models.VAE(encoder, ConvDecoder((2, 2, 4), (Stage(3, 4, 3, 1), Stage(1, 6, 3, 5))), latent=2)


DATA = ja.Batch(jnp.asarray(np.random.default_rng(0).uniform(size=(8, 8, 8, 1)), jnp.float32))
LABELLED = DATA._replace(cond=jnp.eye(2)[np.arange(8) % 2])
RUNS = {
    "autoencoder": (autoencoder(residual=1), ja.losses.reconstruction, DATA),
    "batch norm": (autoencoder(norm=True), ja.losses.reconstruction, DATA),
    "resize": (autoencoder(resize=True, average=True), ja.losses.reconstruction, DATA),
    "contractive": (autoencoder(), ja.losses.contractive, DATA),
    "variational": (variational(), ja.losses.elbo, LABELLED),
}


def test_the_small_variational_autoencoder_has_the_images_size():
    assert shapes(variational(), LABELLED.x, LABELLED.cond)[0] == LABELLED.x.shape


@functools.cache
def trained(name):
    model, loss, data = RUNS[name]

    @jax.jit
    def run(key, x):
        own = data._replace(x=x)
        return ja.train(model, learner_of(model, loss), own, key, epochs=2, batch_size=4)

    key = KEY(0)
    jax.block_until_ready((key, data))
    with jax.transfer_guard("disallow"):
        return run, jax.block_until_ready(run(key, data.x))


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_finite_moves_everything_and_makes_no_host_transfer(name):
    _, (state, history) = trained(name)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state, history)))
    assert state.step == 4 and history["loss"][1] < history["loss"][0]
    assert ("batch_stats" in state.variables) == (name == "batch norm")
    # Biases start at 0.
    params = jax.tree_util.tree_leaves_with_path(state.variables["params"])
    biases = [(path, leaf) for path, leaf in params if path[-1].key == "bias"]
    assert biases and all(leaf.any() for _, leaf in biases)


def test_a_critic_of_convolutions_and_its_penalty():
    """The slope of the penalty is a slope through the slope by the image: against XLA's own convolution throughout."""
    stages = (Stage(3), Stage(4, 4))
    critic = nn.Sequential([ConvEncoder(stages, activation=nn.tanh), MLP((1,))])
    x = draw(3, 8, 8, 1)
    variables = filled(critic, x)

    def plain(params, x):
        layers = params["layers_0"]
        for i, stage in enumerate(stages):
            x = jnp.tanh(conv(x, layers[f"Conv_{i}"], stage))
        last = params["layers_1"]["Dense_0"]
        return (x.reshape(len(x), -1) @ last["kernel"] + last["bias"][None])[:, 0]

    def penalty(logits):
        return lambda params: ja.adversarial.gradient_penalty(lambda x: logits(params, x), x).mean()

    def ours(params, x):
        return critic.apply({"params": params}, x)[:, 0]

    got, expected = jax.jit(lambda params: [jax.value_and_grad(penalty(f))(params) for f in (ours, plain)])(
        variables["params"]
    )
    assert float(expected[0]) > 1e-3
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), got, expected)


def test_batch_norm_under_a_penalty_is_refused():
    gan = ja.models.GAN(
        ConvDecoder(*mirror(SMALL, (8, 8, 1))), nn.Sequential([ConvEncoder(SMALL, norm=True), MLP((1,))]), latent=2
    )
    objective = ja.objective(gan, ja.adversarial.discriminator, penalty=1.0)
    with pytest.raises(ValueError, match=r"batch norm trains inside a gradient.*norm=False"):
        jax.eval_shape(lambda: objective(gan.init(KEY(0), DATA.x), DATA, KEY(1)))


def test_a_population_of_convolutional_models_is_each_alone():
    run, _ = trained("variational")
    mesh = jax.make_mesh((2,), ("members",), axis_types=(AxisType.Auto,))
    model, loss, data = RUNS["variational"]

    def member(key):
        return ja.train(model, learner_of(model, loss), data, key, epochs=2, batch_size=4)

    keys = jax.random.split(KEY(1), 4)
    everyone = ja.sweep(member, mesh)(keys)
    for i in (0, 3):
        alone = run(keys[i], data.x)
        # Batched products sum in another order; Adam divides by the size of a slope, however small.
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-3, atol=1e-3), everyone, alone)
    assert not np.allclose(everyone[1]["loss"][0], everyone[1]["loss"][3], rtol=1e-3)


# laws


@pytest.mark.parametrize("name", RUNS)
def test_a_score_does_not_know_its_neighbours_even_with_batch_norm(name):
    model, loss, data = RUNS[name]
    _, (state, _) = trained(name)
    score = jax.jit(ja.score(model, loss))
    others = data._replace(x=(1 - data.x).at[2:5].set(data.x[2:5]))
    before, after = score(state.variables, data), score(state.variables, others)
    assert before.shape == (8,)
    np.testing.assert_array_equal(before[2:5], after[2:5])
    assert (before[5:] != after[5:]).all()


@pytest.mark.parametrize("name", ["autoencoder", "batch norm"])
def test_in_training_only_batch_norm_makes_examples_neighbours(name):
    model, loss, data = RUNS[name]
    _, (state, _) = trained(name)

    @jax.jit
    def losses(x):
        run = functools.partial(model.apply, state.variables, mutable=list(set(state.variables) - {"params"}))
        return run(data._replace(x=x), method=lambda model, batch: loss(model, batch, None)[0])[0]

    before, after = losses(data.x), losses((1 - data.x).at[2:5].set(data.x[2:5]))
    assert (before[2:5] == after[2:5]).all() == (name == "autoencoder")


# errors


def refused(error, said, make):
    with pytest.raises(error, match=said):
        make()


@pytest.mark.parametrize("shape", [(), (8,), (8, 8, 1)])
def test_a_block_takes_images(shape):
    refused(ValueError, "x has shape .*, but must hold images", lambda: Residual().init(KEY(0), jnp.ones(shape)))


@pytest.mark.parametrize("stages", [(), None, "ab", Stage(4), ((4, 3, 2, 1),), (Stage(4), None)], ids=repr)
def test_what_are_no_stages_is_refused(stages):
    said = r"stages is .*, but must be a tuple with one Stage or more: \(Stage\(32\), Stage\(64\)\)"
    refused(TypeError, said, lambda: shapes(ConvEncoder(stages), jnp.ones((1, 8, 8, 1))))
    refused(TypeError, said, lambda: shapes(ConvDecoder((2, 2, 3), stages), jnp.ones((1, 2))))
    refused(TypeError, said, lambda: mirror(stages, (8, 8, 1)))


@pytest.mark.parametrize(
    ("stage", "error", "said"),
    [
        (Stage(0), ValueError, "features is 0, but must be a whole number ≥ 1"),
        (Stage(4, kernel=1.5), TypeError, r"kernel is 1\.5, but must be a whole number ≥ 1"),
        (Stage(4, stride=0), ValueError, "stride is 0, but must be a whole number ≥ 1"),
        (
            Stage(4, padding=-1),
            ValueError,
            "padding is -1, but must be a whole number from 0 to 2, less than the kernel",
        ),
        (Stage(4, padding=3), ValueError, "padding is 3, but must be a whole number from 0 to 2, less than the kernel"),
        (Stage(4, output_padding=1), TypeError, r"output_padding is 1, but must be two numbers, \(rows, columns\)"),
        (Stage(4, output_padding=(1,)), TypeError, r"output_padding is \(1,\), but must be two numbers"),
        (
            Stage(4, output_padding=(0, 2)),
            ValueError,
            "output_padding is 2, but must be .* 0 to 1, less than the stride",
        ),
        (Stage(4, output_padding=(-1, 0)), ValueError, "output_padding is -1, but must be a whole number from 0 to 1"),
    ],
)
def test_impossible_stages_are_refused(stage, error, said):
    refused(error, said, lambda: shapes(ConvEncoder((Stage(2), stage)), jnp.ones((1, 8, 8, 1))))
    refused(error, said, lambda: shapes(ConvDecoder((2, 2, 3), (stage,)), jnp.ones((1, 2))))
    refused(error, said, lambda: mirror((stage,), (8, 8, 1)))


@pytest.mark.parametrize(
    ("shape", "error"),
    [
        *(((8, 8), TypeError), (8, TypeError), ((1, 8, 8, 1), TypeError), ((8, 8.0, 1), TypeError)),
        *(((8, 8, 0), ValueError), ((0, 8, 1), ValueError)),
    ],
)
def test_impossible_shapes_are_refused(shape, error):
    said = r"{} is .*, but must be (\(height, width, channels\)|a whole number ≥ 1)"
    refused(error, said.format("shape"), lambda: mirror(SMALL, shape))
    refused(error, said.format("start"), lambda: shapes(ConvDecoder(shape, SMALL), jnp.ones((1, 2))))
    refused(error, said.format("image"), lambda: shapes(ConvEncoder(SMALL, image=shape), jnp.ones((1, 64))))


def test_rows_and_images_are_not_confused():
    rows, images = jnp.ones((2, 64)), jnp.ones((2, 8, 8, 1))
    said = r"x has shape .*, but must hold images \(n, height, width, channels\): .*image=\(height, width, channels\)"
    refused(ValueError, said, lambda: shapes(ConvEncoder(SMALL), rows))
    refused(ValueError, said, lambda: shapes(ConvEncoder(SMALL), images[..., 0]))
    said = r"x has shape .*, but rows of images \(8, 8, 1\) are \(n, 64\)"
    refused(ValueError, said, lambda: shapes(ConvEncoder(SMALL, image=(8, 8, 1)), images))
    refused(ValueError, said, lambda: shapes(ConvEncoder(SMALL, image=(8, 8, 1)), rows[:, :63]))


def test_pixels_in_whole_numbers_are_refused():
    said = r"x holds uint8, but must hold floats: write x\.astype\(np\.float32\), and scale pixels to 0…1"
    refused(TypeError, said, lambda: shapes(ConvEncoder(SMALL), jnp.ones((2, 8, 8, 1), jnp.uint8)))


@pytest.mark.parametrize("shape", [(2,), (), (1, 2, 2, 1)])
def test_a_latent_of_another_rank_is_refused(shape):
    said = r"z has shape .*, but must be \(n, latent\)"
    refused(ValueError, said, lambda: shapes(ConvDecoder((2, 2, 3), SMALL), jnp.ones(shape)))


@pytest.mark.parametrize("shape", [(2,), (2, 3, 1), (), (1, 3), (3, 3)])
def test_conditions_that_do_not_fit_are_refused(shape):
    said = r"cond has shape .*, but (must be \(n, conditions\): cond\[:, None\]|[xz] has \(2,\): the two must be equal)"
    refused(ValueError, said, lambda: shapes(ConvEncoder(SMALL), jnp.ones((2, 8, 8, 1)), jnp.ones(shape)))
    refused(ValueError, said, lambda: shapes(ConvDecoder((2, 2, 3), SMALL), jnp.ones((2, 4)), jnp.ones(shape)))


@pytest.mark.parametrize(
    ("number", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError), (None, TypeError)]
)
def test_impossible_numbers_of_blocks_are_refused(number, error):
    said = f"residual is {number}, but must be a whole number ≥ 0"
    refused(error, said, lambda: shapes(ConvEncoder(SMALL, residual=number), jnp.ones((1, 8, 8, 1))))
    refused(error, said, lambda: shapes(ConvDecoder((2, 2, 3), SMALL, residual=number), jnp.ones((1, 2))))


@pytest.mark.parametrize(("width", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_impossible_widths_are_refused(width, error):
    said = f"width is {width}, but must be a whole number ≥ 1"
    refused(error, said, lambda: shapes(ConvEncoder(SMALL, width=width), jnp.ones((1, 8, 8, 1))))


@pytest.mark.parametrize(
    ("network", "x"),
    [
        (ConvEncoder((Stage(2),), activation="relu"), jnp.ones((1, 8, 8, 1))),
        (ConvDecoder((2, 2, 2), (Stage(1),), activation="relu"), jnp.ones((1, 3))),
        (Residual(activation="relu"), jnp.ones((1, 8, 8, 1))),
    ],
)
def test_an_activation_by_name_is_refused(network, x):
    with pytest.raises(TypeError, match=r"activation is 'relu', but must be a function: flax\.linen\.relu"):
        jax.eval_shape(network.init, jax.random.key(0), x)
