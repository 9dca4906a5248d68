"""Exported functions give what the model gives, for batches of any length, and are not loaded by who did not ask."""

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import jaxae as ja
from jaxae.checkpoint import RefusedError, export, load_functions, load_model, save_model
from jaxae.networks import MLP, ConvDecoder, ConvEncoder, SharedScale, Stage, mirror

STAGES = (Stage(3), Stage(4))
START, BACK = mirror(STAGES, (8, 8, 1))
NORMAL = functools.partial(ja.losses.elbo, nll=ja.distributions.normal)
MODELS = {
    "dense": (
        ja.models.AE(MLP((8, 2), norm=True, dropout=0.5), nn.Sequential([MLP((8, 5)), nn.sigmoid])),
        (5,),
        0,
        ja.losses.reconstruction,
    ),
    "sparse": (ja.models.SparseAE(MLP((8,), activate_final=True), MLP((5,)), k=2), (5,), 0, ja.losses.reconstruction),
    "variational": (ja.models.VAE(MLP((8,)), SharedScale(MLP((8, 5))), latent=2), (5,), 0, NORMAL),
    "conditional": (ja.models.VAE(MLP((8,)), MLP((8, 5)), latent=2), (5,), 3, ja.losses.elbo),
    "images": (
        ja.models.VAE(ConvEncoder(STAGES, norm=True), ConvDecoder(START, BACK, norm=True), latent=2),
        (8, 8, 1),
        2,
        ja.losses.elbo,
    ),
    "enlarged": (
        ja.models.AE(ConvEncoder(STAGES, average=True, width=3), ConvDecoder(START, BACK, resize=True)),
        (8, 8, 1),
        0,
        ja.losses.reconstruction,
    ),
    "players": (ja.models.GAN(MLP((8, 5), norm=True), MLP((8, 1)), latent=3), (5,), 0, None),
    "players of classes": (ja.models.GAN(MLP((8, 5)), MLP((8, 1)), latent=3), (5,), 2, None),
}


def rows(n, shape, conditions):
    rng = np.random.default_rng(n)
    x = rng.uniform(size=(n, *shape)).astype(np.float32)
    return ja.Batch(x, rng.uniform(size=(n, conditions)).astype(np.float32) if conditions else None)


def close(one, other):
    for own, leaf in zip(jax.tree.leaves(tuple(one)), jax.tree.leaves(tuple(other)), strict=True):
        np.testing.assert_allclose(own, leaf, rtol=1e-5, atol=1e-6)


SLOW = ("images", "enlarged")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in MODELS]
)
def test_the_functions_give_what_the_model_gives(name, tmp_path):
    model, shape, conditions, loss = MODELS[name]
    batch = rows(2, shape, conditions)
    given = [leaf for leaf in batch if leaf is not None]
    variables = jax.tree.map(lambda leaf: leaf + 0.1, model.init(jax.random.key(0), *given))
    score = None if loss is None else ja.score(model, loss)
    path = export(model, variables, batch, tmp_path / "model", score=score)
    functions = load_functions(path, load_model(path).root)
    bound = model.bind(variables)
    of_autoencoder = {"encode", "decode", "score"}
    drawing = isinstance(model, ja.models.VAE | ja.models.GAN)
    assert functions.keys() == (of_autoencoder if loss else set()) | ({"sample"} if drawing else set())
    for n in (1, 2, 5, 33):
        x, cond = rows(n, shape, conditions)
        more = () if cond is None else (cond,)
        if loss is not None:
            code = bound.encode(x, cond)
            close(jax.tree.leaves(functions["encode"](x, *more)), jax.tree.leaves(code))
            z = code.mean if hasattr(code, "mean") and isinstance(code, tuple) else code
            close(jax.tree.leaves(functions["decode"](z, *more)), jax.tree.leaves(bound.decode(z, cond)))
            close([functions["score"](x, *more)], [score(variables, ja.Batch(x, cond))])
        if drawing:
            draw = bound.sample if loss is not None else bound.generate
            ours, theirs = functions["sample"](jax.random.key(n), n, cond), draw(jax.random.key(n), n, cond)
            close(jax.tree.leaves(ours), jax.tree.leaves(theirs))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model, shape, conditions, _ = MODELS["variational"]
    variables = model.init(jax.random.key(0), jnp.ones((1, *shape)))
    return export(model, variables, rows(1, shape, conditions), tmp_path_factory.mktemp("exported") / "model")


def test_who_loads_the_model_loads_no_program(exported, monkeypatch):
    monkeypatch.setattr(jax.export, "deserialize", lambda _: pytest.fail("a program was read"))
    assert load_model(exported).variables["params"].keys() == {"encoder", "decoder", "head"}


def test_programs_are_of_the_root(exported, tmp_path):
    content = bytearray(exported.read_bytes())
    place = content.index(b"StableHLO") if b"StableHLO" in content else content.index(b"ML\xefR")
    content[place + 40] ^= 1
    (tmp_path / "model").write_bytes(content)
    for load in (load_model, lambda path: load_functions(path, load_model(exported).root)):
        with pytest.raises(RefusedError, match="does not match its digest"):
            load(tmp_path / "model")


def test_programs_are_loaded_by_a_root_alone(exported):
    with pytest.raises(RefusedError, match="but 0000000000000000… was expected"):
        load_functions(exported, "0" * 64)
    with pytest.raises(ValueError, match="root is None, but a compiled program is loaded by"):
        load_functions(exported, None)


def test_a_file_without_programs_says_so(tmp_path):
    model, shape, _, _ = MODELS["variational"]
    path = save_model(model, model.init(jax.random.key(0), jnp.ones((1, *shape))), rows(1, shape, 0), tmp_path / "m")
    with pytest.raises(RefusedError, match="holds no functions: export writes them"):
        load_functions(path, load_model(path).root)


def test_programs_that_cannot_be_read_are_refused(exported, tmp_path, monkeypatch):
    def fail(_):
        raise ValueError("a later version")

    monkeypatch.setattr(jax.export, "deserialize", fail)
    with pytest.raises(RefusedError, match="cannot read: a later version"):
        load_functions(exported, load_model(exported).root)


def test_nothing_is_written_where_it_cannot_be(tmp_path):
    model, shape, _, _ = MODELS["variational"]
    with pytest.raises(ValueError, match="these variables are not those of this model"):
        export(model, model.init(jax.random.key(0), jnp.ones((1, 4))), rows(1, shape, 0), tmp_path / "m")
    assert os.listdir(tmp_path) == []


def test_functions_are_written_in_a_dialect_that_an_older_jax_reads(tmp_path):
    model, shape, conditions, _ = MODELS["dense"]
    data = rows(3, shape, conditions)
    path = export(model, model.init(jax.random.key(0), data.x), data, tmp_path / "ae.safetensors")
    written = path.read_bytes()
    assert written.count(b"StableHLO_v") == written.count(b"StableHLO_v1.13.0") == 2
