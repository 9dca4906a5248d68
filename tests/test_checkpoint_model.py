"""A model in a file comes back as it was, out of data alone, or not at all."""

import functools
import hashlib
import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from safetensors.numpy import load_file, save_file

import jaxae as ja
from jaxae import recipes
from jaxae.checkpoint import RefusedError, load_model, save_model
from jaxae.checkpoint.architecture import KNOWN, build, described
from jaxae.networks import MLP, ConvDecoder, ConvEncoder, Stage, mirror

DATA = ja.Batch(np.ones((3, 4), np.float32))
AE = ja.models.AE(MLP((3,)), MLP((4,)))


def begun(model, batch):
    """Return variables no leaf of which is as `init` makes it: a scale of 1 would hide that it was forgotten."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), *(leaf for leaf in batch if leaf is not None))
    leaves, tree = jax.tree.flatten(shapes)
    rng = np.random.default_rng(0)
    return jax.tree.unflatten(tree, [rng.uniform(0.5, 1, leaf.shape).astype(leaf.dtype) for leaf in leaves])


def written(path, config, arrays):
    """Write a file by the safetensors library, with a root made by four lines."""
    text = json.dumps(config)
    root = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        root.update(f"\n{name} {arrays[name].dtype.name} {arrays[name].shape}\n".encode() + arrays[name].tobytes())
    about = {"format": "jaxae.model", "version": "1", "config": text, "sha256": root.hexdigest()}
    save_file(arrays, path, about)
    return root.hexdigest()


CONFIG = {
    "model": {
        "AE": {"encoder": {"MLP": {"widths": [3]}}, "decoder": {"MLP": {"widths": [4], "activation": {"relu": {}}}}}
    },
    "x": {"shape": [4], "dtype": "float32"},
    "cond": None,
}


def named(variables):
    return {
        "/".join(["variables", *(key.key for key in path)]): np.asarray(leaf)
        for path, leaf in jax.tree.leaves_with_path(variables)
    }


SETTINGS = {"dcgan": {"width": 8}, "class-gan": {"width": 8}, "conv-vae": {"residual": 1}, "sparse": {}}
IMAGES = {"conv-autoencoder", "resize-autoencoder", "conv-vae", "class-vae", "dcgan", "class-gan"}
CONDITIONS = {"conditional-vae": 2, "class-vae": 10, "class-gan": 10}


def of_recipe(name):
    recipe = recipes.find(name)
    settings = recipe.Settings(**SETTINGS.get(name, {}))
    shape = (16, 16, 1) if name in IMAGES else (12,)
    x = np.ones((2, int(np.prod(shape))), np.float32)
    cond = np.ones((2, CONDITIONS[name]), np.float32) if name in CONDITIONS else None
    return recipe.model(settings, shape), ja.Batch(x, cond)


# An ensemble that trains by itself has files of its own (tests/test_estimators_files.py).
@pytest.mark.parametrize("name", [name for name in recipes.names() if not hasattr(recipes.find(name), "fit")])
def test_the_model_of_every_recipe_comes_back(name, tmp_path):
    model, batch = of_recipe(name)
    variables = begun(model, batch)
    loaded = load_model(save_model(model, variables, batch, tmp_path / "model"))
    assert jax.tree.structure(loaded.variables) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)
    given = [leaf for leaf in batch if leaf is not None]
    for one, other in zip(
        jax.tree.leaves(loaded.bound(*given)), jax.tree.leaves(model.bind(variables)(*given)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert [None if leaf is None else leaf.shape[1:] for leaf in loaded.example] == [
        None if leaf is None else leaf.shape[1:] for leaf in batch
    ]


def test_every_module_of_the_library_is_in_the_list():
    own = {
        name: thing
        for module in (ja.models, ja.networks, ja.convolution)
        for name, thing in vars(module).items()
        if name in module.__all__ and isinstance(thing, type) and issubclass(thing, nn.Module)
    }
    assert own and own.items() <= KNOWN.items()


def test_what_a_model_is_made_of_is_told_as_plain_data():
    leaky = functools.partial(nn.leaky_relu, negative_slope=0.2)
    stages = (Stage(2), Stage(np.int64(3), 4))
    start, back = mirror(stages, (8, 8, 1))
    model = ja.models.VAE(
        ConvEncoder(stages, activation=leaky, kernel_init=nn.initializers.zeros_init()),
        nn.Sequential([ConvDecoder(start, back), jnp.tanh]),
        latent=2,
    )
    data = described(model)
    assert json.loads(json.dumps(data)) == data
    assert data["VAE"]["encoder"]["ConvEncoder"]["activation"] == {"leaky_relu": {"negative_slope": 0.2}}
    assert data["VAE"]["decoder"]["Sequential"]["layers"][1] == {"tanh": {}}
    assert described(nn.Dense(3))["LinenDense"]["features"] == 3 and build(described(nn.Dense(3))) == nn.Dense(3)
    found = build(data)
    assert found.encoder.stages == stages and found.latent == 2 and described(found) == data


class Twice(nn.Module):
    @nn.compact
    def __call__(self, x):
        return 2 * x


class MLPOfAnother(MLP):
    pass


MLPOfAnother.__name__ = "MLP"


@pytest.mark.parametrize(
    "part",
    [
        Twice(),
        MLPOfAnother((4,)),
        nn.Sequential([MLP((4,)), lambda x: x]),
        MLP((4,), activation=functools.partial(jnp.clip, max=1.0)),
        MLP((4,), activation=functools.partial(nn.leaky_relu, object())),
        nn.LayerNorm(),
        nn.Dense(4, dtype=jnp.float16),
        MLP({4: 4}),
    ],
)
def test_what_is_not_in_the_list_is_not_saved(part, tmp_path):
    with pytest.raises(TypeError, match="but a file can hold LinenDense, AE, GAN, "):
        save_model(ja.models.AE(MLP((3,)), part), {}, DATA, tmp_path / "model")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("write", [save_model, ja.checkpoint.export])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"module": None}, "module is None, but must be a model"),
        ({"module": (1.0, 0.0)}, "module is .*, but must be a model"),
        ({"batch": DATA.x}, "batch is .*, but must be a Batch"),
        ({"path": None}, "path is None, but must be a path"),
    ],
)
def test_what_is_no_model_batch_or_path_is_named(write, given, words):
    arguments = {"module": AE, "variables": begun(AE, DATA), "batch": DATA, "path": "unused"} | given
    with pytest.raises(TypeError, match=words):
        write(**arguments)


@pytest.mark.parametrize(
    "load", [load_model, lambda path: ja.checkpoint.load_functions(path, "0" * 64), ja.checkpoint.load]
)
@pytest.mark.parametrize("path", [None, (), 3])
def test_what_is_no_path_is_not_read(load, path):
    with pytest.raises(TypeError, match=r"path is .*, but must be a path"):
        load(path)


def test_other_libraries_read_what_is_in_it(tmp_path):
    variables = begun(AE, DATA)
    path = save_model(AE, variables, DATA, tmp_path / "model")
    found = load_file(path)
    assert sorted(found) == [
        f"variables/params/{part}/Dense_0/{leaf}" for part in ("decoder", "encoder") for leaf in ("bias", "kernel")
    ]
    np.testing.assert_array_equal(
        found["variables/params/encoder/Dense_0/kernel"], variables["params"]["encoder"]["Dense_0"]["kernel"]
    )
    assert path.stat().st_mode & 0o777 == 0o644


def test_what_others_wrote_after_the_format_is_read(tmp_path):
    variables = begun(AE, DATA)
    root = written(tmp_path / "model", CONFIG, named(variables))
    loaded = load_model(tmp_path / "model", root=root.upper())
    assert loaded.root == root
    np.testing.assert_array_equal(loaded.bound.encode(DATA.x), AE.bind(variables).encode(DATA.x))


def test_the_root_is_of_all_that_is_in_it(tmp_path):
    variables = begun(AE, DATA)
    roots = [load_model(save_model(AE, variables, DATA, tmp_path / name)).root for name in "ab"]
    assert roots[0] == roots[1]
    variables["params"]["encoder"]["Dense_0"]["bias"][0] += 1
    changed = load_model(save_model(AE, variables, DATA, tmp_path / "c")).root
    deeper = ja.models.AE(MLP((3,), nn.tanh), MLP((4,)))
    other = load_model(save_model(deeper, variables, DATA, tmp_path / "d")).root
    assert len({roots[0], changed, other}) == 3


def test_another_file_than_the_one_expected_is_refused(tmp_path):
    path = save_model(AE, begun(AE, DATA), DATA, tmp_path / "model")
    assert load_model(path, root=load_model(path).root).module == load_model(path).module
    with pytest.raises(RefusedError, match=r"has the root [0-9a-f]{16}…, but 0000000000000000… was expected"):
        load_model(path, root="0" * 64)
    with pytest.raises(ValueError, match="root is 'abc', but must be 64 hexadecimal digits"):
        load_model(path, root="abc")


def test_what_is_larger_than_allowed_is_refused_before_it_is_read(tmp_path):
    path = save_model(AE, begun(AE, DATA), DATA, tmp_path / "model")
    size = path.stat().st_size
    header = int.from_bytes(path.read_bytes()[:8], "little")
    load_model(path, limit=size, header_limit=header)
    with pytest.raises(RefusedError, match=f"has {size:,} bytes, more than the limit of {size - 1:,}"):
        load_model(path, limit=size - 1)
    with pytest.raises(RefusedError, match=f"has a header of {header:,} bytes, more than the limit of {header - 1:,}"):
        load_model(path, header_limit=header - 1)


def test_variables_of_another_model_are_not_saved(tmp_path):
    other = begun(ja.models.AE(MLP((2,)), MLP((4,))), DATA)
    with pytest.raises(ValueError, match=r"'variables/params/decoder/Dense_0/kernel' is float32 \(2, 4\), but must be"):
        save_model(AE, other, DATA, tmp_path / "model")
    deeper = begun(ja.models.AE(MLP((3, 3)), MLP((4,))), DATA)
    with pytest.raises(ValueError, match=r"'variables/params/encoder/Dense_1/bias' is float32 .*, but must be nothing"):
        save_model(AE, deeper, DATA, tmp_path / "model")
    halves = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), begun(AE, DATA))
    with pytest.raises(ValueError, match=r"is bfloat16 .*, but must be float32"):
        save_model(AE, halves, DATA, tmp_path / "model")
    nan = begun(AE, DATA)
    nan["params"]["decoder"]["Dense_0"]["bias"][1] = np.nan
    with pytest.raises(ValueError, match="not finite in 'variables/params/decoder/Dense_0/bias'"):
        save_model(AE, nan, DATA, tmp_path / "model")
    with pytest.raises(ValueError, match="must hold arrays of examples"):
        save_model(AE, begun(AE, DATA), ja.Batch(np.float32(1)), tmp_path / "model")
    assert os.listdir(tmp_path) == []


def test_a_population_has_no_model_but_its_members_do(tmp_path):
    stacked = jax.tree.map(lambda leaf: np.stack([leaf, leaf]), begun(AE, DATA))
    with pytest.raises(ValueError, match=r"is float32 \(2, 4\), but must be float32 \(4,\)"):
        save_model(AE, stacked, DATA, tmp_path / "model")


def test_a_message_speaks_to_no_terminal_and_is_short(tmp_path):
    model = {"AE": {"encoder": {"Dense": {"features": 3, "name": "\x1b[2J" * 200}}, "decoder": None}}
    path = tmp_path / ("a" * 200)
    written(path, CONFIG | {"model": model}, named(begun(AE, DATA)))
    with pytest.raises(RefusedError) as error:
        load_model(path)
    assert len(str(error.value)) <= 300 and str(error.value).isprintable() and "aaa" in str(error.value)


def test_what_is_loaded_goes_on_to_be_trained(tmp_path):
    path = save_model(AE, begun(AE, DATA), DATA, tmp_path / "model")
    loaded = load_model(path)
    learner = ja.descend(ja.objective(loaded.module, ja.losses.reconstruction), optax.sgd(0.1))
    state = ja.start(learner, loaded.variables)
    run = jax.jit(lambda state: ja.run(learner, state, DATA, jax.random.key(0), epochs=1, batch_size=3))
    assert int(run(state)[0].step) == 1


def around(encoder):
    return {"AE": {"encoder": encoder, "decoder": {"MLP": {"widths": [4]}}}}


def deep(levels):
    part = {"MLP": {"widths": [4]}}
    for _ in range(levels):
        part = {"Sequential": {"layers": [part]}}
    return part


@pytest.mark.parametrize(
    ("model", "x", "message"),
    [
        (around({"os.system": {"command": "true"}}), [4], r"it describes \{'os.system'.*, but a model is made of"),
        (
            around({"MLP": {"widths": [4], "kernel_init": "eval"}}),
            [4],
            "gives MLP a setting 'kernel_init', but there is",
        ),
        (
            around({"MLP": {"widths": [4], "activation": {"relu": {"x": 1}}}}),
            [4],
            "gives relu a setting 'x', but there is none",
        ),
        (around({"MLP": {"widths": [2**31]}}), [4], "widths is 2147483648, but at most 2147483647 is allowed"),
        (around({"MLP": {"widths": [4] * 3000}}), [4], "a model of more than 2000 parts"),
        (around({"MLP": {"widths": [4] * 1000}}), [4], "more layers than its 4 arrays can be of"),
        (around(deep(20)), [4], "nested more than 32 deep"),
        (
            around({"ConvEncoder": {"stages": [{"Stage": {"features": 1}}], "residual": 10**9}}),
            [8, 8, 1],
            "more layers than its 4 arrays can be of",
        ),
        (
            around({"ConvEncoder": {"stages": [{"Stage": {"features": 1, "kernel": 65}}]}}),
            [8, 8, 1],
            "kernel is 65, but at",
        ),
        (
            around({"ConvEncoder": {"stages": [{"Stage": {"features": 1}}]}}),
            [9999, 9999, 1],
            "it describes images of about",
        ),
        (around({"ResizeConv": {"features": 1, "kernel_size": 3}}), [20_000, 9, 1], "resize convolution of .* weights"),
        (
            around({"ConvEncoder": {"stages": [{"Stage": {"features": 1, "kernel": 64, "padding": 63}}] * 9}}),
            [8, 8, 1],
            "convolutions of more than 16384 taps together",
        ),
    ],
)
def test_a_model_that_costs_or_says_too_much_is_refused(model, x, message, tmp_path):
    """Its root is right, and whoever only looks at it must not pay."""
    written(
        tmp_path / "model", CONFIG | {"model": model, "x": {"shape": x, "dtype": "float32"}}, named(begun(AE, DATA))
    )
    with pytest.raises(RefusedError, match=message):
        load_model(tmp_path / "model")
