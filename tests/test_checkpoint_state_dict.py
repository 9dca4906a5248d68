"""Weights go to torch's layout and come back; that torch computes the same with them is shown in tests/parity."""

import jax
import numpy as np
import pytest

import jaxae as ja
from jaxae.checkpoint import from_state_dict, to_state_dict
from jaxae.networks import MLP, ConvDecoder, ConvEncoder, Projection, SharedScale, Stage, mirror

STAGES = (Stage(3, 3), Stage(4, 4))
START, BACK = mirror(STAGES, (12, 8, 2))
MODELS = {
    "dense": (ja.models.VAE(MLP((8, 6), norm=True), SharedScale(MLP((8, 5))), latent=2), (5,), {}, {}),
    "images": (
        ja.models.AE(ConvEncoder(STAGES, norm=True, width=7), ConvDecoder(START, BACK, norm=True, residual=1)),
        (12, 8, 2),
        {"encoder.Dense_0": START},
        {"decoder.Dense_0": START},
    ),
    "enlarged": (ja.models.AE(ConvEncoder(STAGES, width=7), ConvDecoder(START, BACK, resize=True)), (12, 8, 2), {}, {}),
    "players": (ja.models.GAN(MLP((5,)), Projection(MLP((4,))), latent=2), (5,), {}, {}),
}


def begun(name):
    model, shape, takes, makes = MODELS[name]
    shapes = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *shape), np.float32))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype), shapes), takes, makes


@pytest.mark.parametrize("name", MODELS)
def test_there_and_back_is_the_identity(name):
    variables, takes, makes = begun(name)
    state = to_state_dict(variables, takes=takes, makes=makes)
    back = from_state_dict({"n.num_batches_tracked": np.int64(3), **state}, variables, takes=takes, makes=makes)
    assert jax.tree.structure(back) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, back, variables)
    assert len(state) == len(jax.tree.leaves(variables))


def test_names_and_shapes_are_torchs():
    state = {name: array.shape for name, array in to_state_dict(begun("images")[0]).items()}
    assert state["encoder.Conv_0.weight"] == (3, 2, 3, 3) and state["encoder.Conv_0.bias"] == (3,)
    assert state["decoder.ConvTranspose_0.weight"] == (4, 3, 4, 4)
    assert state["encoder.Dense_0.weight"] == (7, 24)
    for leaf in ("weight", "bias", "running_mean", "running_var"):
        assert state[f"encoder.BatchNorm_1.{leaf}"] == (4,)
    assert "decoder.Residual_0.Conv_1.weight" in state
    assert "decoder.logvar" in to_state_dict(begun("dense")[0])


def test_a_dense_layer_at_an_image_counts_channels_first():
    kernel = np.arange(24.0).reshape(12, 2)  # of 2 × 3 pixels of 2 channels
    image = np.random.default_rng(0).normal(size=(5, 2, 3, 2))
    variables = {
        "params": {"a": {"kernel": kernel, "bias": np.zeros(2)}, "b": {"kernel": kernel.T, "bias": kernel[:, 0]}}
    }
    state = to_state_dict(variables, takes={"a": (2, 3, 2)}, makes={"b": (2, 3, 2)})
    channels_first = image.transpose(0, 3, 1, 2).reshape(5, -1)
    np.testing.assert_allclose(channels_first @ state["a.weight"].T, image.reshape(5, -1) @ kernel)
    made = (np.ones((1, 2)) @ state["b.weight"].T + state["b.bias"]).reshape(1, 2, 2, 3)
    expected = (np.ones((1, 2)) @ kernel.T + kernel[:, 0]).reshape(1, 2, 3, 2)
    np.testing.assert_allclose(made, expected.transpose(0, 3, 1, 2))


def test_what_stands_beside_the_image_stays_there():
    kernel = np.arange(7.0)[:, None]
    state = to_state_dict({"params": {"a": {"kernel": kernel}}}, takes={"a": (1, 2, 2)})
    np.testing.assert_array_equal(state["a.weight"], [[0, 2, 1, 3, 4, 5, 6]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("head.bias"), "head.bias is missing in the state"),
        (lambda state: state.update(more=np.ones(1)), "more stands in the state, but is not of this model"),
        (
            lambda state: state.update({"head.bias": np.ones((4, 1))}),
            r"head.bias has shape \(4, 1\), but must have \(4,\)",
        ),
        (lambda state: state.update({"head.bias": np.ones(4, complex)}), "Cannot cast"),
    ],
)
def test_another_state_is_refused(change, message):
    variables, _, _ = begun("dense")
    state = to_state_dict(variables)
    change(state)
    with pytest.raises((ValueError, TypeError), match=message):
        from_state_dict(state, variables)


@pytest.mark.parametrize(
    ("variables", "given", "message"),
    [
        ({"cache": {"w": np.ones(1)}}, {}, "cache/w has no place in a state_dict"),
        ({"params": {"a": {"kernel": np.ones((1, 2, 3))}}}, {}, "a has a kernel of shape"),
        (
            {"params": {"a": {"kernel": np.ones((4, 2))}}},
            {"takes": {"b": (1, 1, 1)}},
            "there is no dense layer 'b'; there is: a",
        ),
        ({"params": {"a": {"kernel": np.ones((4, 2))}}}, {"takes": {"a": (2, 2, 2)}}, "a has 4 numbers, but an image"),
    ],
)
def test_what_has_no_place_is_refused(variables, given, message):
    with pytest.raises(ValueError, match=message):
        to_state_dict(variables, **given)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: to_state_dict(None), TypeError, "variables is None, but must be a mapping"),
        (lambda: to_state_dict({"params": np.ones(2)}), ValueError, "variables have 'params' in no layer"),
        (lambda: from_state_dict({}, None), TypeError, "like is None, but must be a mapping"),
        (lambda: from_state_dict(3, {}), TypeError, "state is 3, but must be a mapping"),
    ],
)
def test_what_is_no_mapping_of_layers_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
