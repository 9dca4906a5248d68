"""A saved fit comes back as it was, or not at all."""

import hashlib
import json
import os
import struct

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import save_file

import jaxae as ja
from jaxae.checkpoint import RefusedError, load, save
from jaxae.result import Status

DATA = ja.Batch(jax.random.uniform(jax.random.key(0), (16, 4)))
AE = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((4,)))
GAN = ja.models.GAN(ja.networks.MLP((4, 4), norm=True), ja.networks.MLP((1,)), latent=2)


def plain(lr=1e-2):
    return ja.descend(ja.objective(AE, ja.losses.reconstruction), optax.adam(lr))


def players():
    """Return a GAN's learner, whose state has every kind of nesting: chain, repeat, schedule, masks and keys."""

    def discriminator(penalty):
        loss = ja.objective(GAN, ja.adversarial.discriminator, penalty=penalty)
        return ja.repeat(ja.descend(loss, optax.adam(1e-3), wrt=("discriminator",)), 2)

    noisy = optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(0)), optax.inject_hyperparams(optax.sgd)(0.1))
    return ja.chain(
        discriminator=ja.schedule(discriminator, penalty=optax.linear_schedule(0.0, 1.0, 5)),
        generator=ja.descend(ja.objective(GAN, ja.adversarial.generator), noisy, wrt=("generator",)),
    )


def fit(model, learner, **given):
    arguments = {"key": jax.random.key(1), "epochs": 2, "batch_size": 8, "progress": False} | given
    # An optimizer that carries a key gets the used one back when its run is rolled back, which ends the run.
    with jax.debug_key_reuse(False):
        return ja.fit(model, learner, DATA, **arguments)


def same(a, b):
    """Fail unless two trees have one structure, and equal shapes, dtypes and bits in every leaf."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        x, y = (np.asarray(jax.random.key_data(z) if _is_key(z) else z) for z in (x, y))
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        assert x.tobytes() == y.tobytes()


def _is_key(leaf):
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def by_hand(variables, **given):
    """Return a fit that nobody trained."""
    state = ja.TrainState(np.int32(3), variables, ())
    status = Status(*np.zeros((7,), np.int32))
    return ja.Fit(**{
        "variables": variables,
        "state": state,
        "history": {"loss": np.ones(2, np.float32)},
        "hparams": {},
        "seeds": None,
        "status": status,
        "record": {"epochs": 2},
    } | given)  # fmt: skip


class Listed(nnx.Module):
    """Twelve layers in a list: by name, 10 sorts before 2."""

    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(4, 4, rngs=rngs) for _ in range(12)])

    def encode(self, x, cond):
        for layer in self.layers:
            x = layer(x)
        return x

    def decode(self, z, cond):
        return z


LISTED = ja.lift(Listed)
FITS = {
    "single": lambda: (fit(AE, plain()), plain()),
    "scored": lambda: (
        fit(AE, plain(), validation=DATA, score=ja.score(AE, ja.losses.reconstruction)),
        plain(),
    ),
    "factory": lambda: (fit(AE, plain), plain),
    "population": lambda: (fit(AE, plain, hparams=ja.grid(lr=[1e-3, 1e-2]), seeds=2), plain),
    "seeds": lambda: (fit(AE, plain(), seeds=2), plain()),
    "taken": lambda: (fit(AE, plain, hparams=ja.grid(lr=[1e-3, 1e-2]), seeds=2).take(np.int64(3)), plain),
    "gan": lambda: (fit(GAN, players()), players()),
    "gans": lambda: (fit(GAN, players(), seeds=2), players()),
    "lifted": lambda: (
        fit(LISTED, ja.descend(ja.objective(LISTED, ja.losses.reconstruction), optax.sgd(0.1, 0.9))),
        ja.descend(ja.objective(LISTED, ja.losses.reconstruction), optax.sgd(0.1, 0.9)),
    ),
}


@pytest.mark.parametrize("name", FITS)
def test_save_then_load_is_the_identity(name, tmp_path):
    fitted, learner = FITS[name]()
    path = save(fitted, tmp_path / "fit.safetensors")
    assert path == tmp_path / "fit.safetensors"
    found = load(path, learner)
    same(found[:6], jax.device_get(fitted[:6]))
    assert found.record == fitted.record
    bare = load(path)
    same(bare.variables, fitted.variables)
    same(bare.state.opt_state, [_words(leaf) for leaf in jax.tree.leaves(fitted.state.opt_state)])
    same(load(save(found, tmp_path / "again"), learner)[:6], found[:6])


def _words(leaf):
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def test_what_was_loaded_goes_on_as_what_was_saved(tmp_path):
    fitted = fit(GAN, players())
    run = jax.jit(lambda state: ja.run(players(), state, DATA, jax.random.key(2), epochs=1, batch_size=8))
    found = load(save(fitted, tmp_path / "fit"), players())
    same(run(found.state), run(fitted.state))


@settings(max_examples=30, deadline=None)
@given(
    data=st.data(),
    dtype=st.sampled_from([np.float32, np.float16, ml_dtypes.bfloat16, np.float64, np.int32, np.uint8, np.bool_]),
    shape=st.sampled_from([(), (0,), (1,), (3,), (2, 0), (2, 3)]),
)
def test_every_bit_of_every_dtype_comes_back(tmp_path_factory, data, dtype, shape):
    # NaN with any payload, negative zero, infinities: whatever the bytes say, but a bool is 0 or 1.
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    high = 1 if dtype is np.bool_ else 255
    raw = data.draw(arrays.arrays(np.uint8, (size,), elements=st.integers(0, high)))
    leaf = np.frombuffer(raw.tobytes(), dtype).reshape(shape)
    fitted = by_hand({"state": {"a": {"w": leaf}}, "params": {"b": np.asfortranarray(np.eye(2, 3))}, "empty": {}})
    same(load(save(fitted, tmp_path_factory.mktemp("bits") / "fit"), None)[:1], fitted[:1])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "fit"
    return save(by_hand({"params": {"w": np.arange(12, dtype=np.float32)}, "state": {"n": np.int32(4)}}), path)


def test_every_flipped_bit_is_refused(saved, tmp_path):
    content = saved.read_bytes()
    (header,) = struct.unpack("<Q", content[:8])
    bits = [
        *range(64),
        *np.linspace(64, 8 * (8 + header) - 1, 80, dtype=int),
        *np.linspace(8 * (8 + header), 8 * len(content) - 1, 60, dtype=int),
    ]
    for bit in bits:
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / "fit").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"damaged|format|names an array"):
            load(tmp_path / "fit")


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 100, -1])
def test_what_was_cut_short_is_refused(saved, tmp_path, keep):
    (tmp_path / "fit").write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(ValueError, match="is no readable safetensors file"):
        load(tmp_path / "fit")


def test_what_was_appended_is_refused(saved, tmp_path):
    (tmp_path / "fit").write_bytes(saved.read_bytes() + b"\0" * 8)
    with pytest.raises(ValueError, match="is no readable safetensors file"):
        load(tmp_path / "fit")


@pytest.mark.parametrize("content", [b"not a file of tensors", b"\x80\x04K\x01.", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_safetensors_file_is_refused(tmp_path, content):
    (tmp_path / "fit").write_bytes(content)
    with pytest.raises(ValueError, match="is no readable safetensors file"):
        load(tmp_path / "fit")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "has format None version None"),
        ({"format": "jaxae.model", "version": "1"}, "has format 'jaxae.model' version '1', but this program"),
        ({"format": "pt"}, "has format 'pt'"),
        ({"format": "jaxae.fit", "version": "2"}, "version '2', but this program reads 'jaxae.fit' version '1'"),
        ({"format": "jaxae.fit", "version": "1"}, "must be format, version, config and sha256"),
        (
            {"format": "jaxae.fit", "version": "1", "config": "{}", "sha256": "0" * 64, "more": ""},
            "must be format, version, config and sha256",
        ),
        ({"format": "jaxae.fit", "version": "1", "config": "{}", "sha256": "0" * 64}, "does not match its digest"),
    ],
)
def test_another_format_is_refused(tmp_path, metadata, message):
    save_file({"w": np.ones(2)}, tmp_path / "fit", metadata)
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "fit")


def test_what_was_written_before_there_was_a_search_is_read(tmp_path):
    """Written by the safetensors library, as fits once were, its digest made by hand."""
    found = {
        "variables/params/w": np.arange(3, dtype=np.float32),
        "state/variables/params/w": np.ones(3, np.float32),
        "state/opt_state/0": np.zeros((), np.int32),
        "state/step": np.array(7, np.int32),
        "history/loss": np.array([1, np.nan], np.float32),
        **{f"status/{name}": np.array(1, np.int32) for name in ("epochs", "best_epoch")},
        **{f"status/{name}": np.array(0, np.int32) for name in ("diverged_epoch", "diverged_step")},
    }
    config = json.dumps({"record": {"epochs": 2}, "collections": ["params", "batch_stats"]}, sort_keys=True)
    root = hashlib.sha256(config.encode())
    for name in sorted(found):
        root.update(f"\n{name} {found[name].dtype.name} {found[name].shape}\n".encode() + found[name].tobytes())
    about = {"format": "jaxae.fit", "version": "1", "config": config, "sha256": root.hexdigest()}
    save_file(found, tmp_path / "fit", about)
    fitted = load(tmp_path / "fit")
    same(fitted.variables, {"params": {"w": found["variables/params/w"]}, "batch_stats": {}})
    assert (
        fitted.state.step == 7
        and fitted.status.dropped_epoch == 0
        and fitted.describe() == "stopped early after epoch 1"
    )


def test_parameters_that_are_not_finite_are_neither_saved_nor_loaded(tmp_path):
    good, nan = ({"params": {"w": np.array([1, value], np.float32)}} for value in (1, np.nan))
    for variables, last, name in ((nan, good, "variables/params/w"), (good, nan, "state/variables/params/w")):
        with pytest.raises(ValueError, match=f"not finite in '{name}'"):
            save(by_hand(variables, state=ja.TrainState(np.int32(3), last, ())), tmp_path / "fit")
    assert os.listdir(tmp_path) == []


def test_what_is_larger_than_allowed_is_refused(saved):
    size = saved.stat().st_size
    load(saved, limit=size)
    with pytest.raises(RefusedError, match=f"has {size:,} bytes, more than the limit of 100"):
        load(saved, limit=100)
    with pytest.raises(RefusedError, match="more than the limit of 100: give header_limit"):
        load(saved, header_limit=100)


def test_swapped_arrays_are_refused(saved, tmp_path):
    """Two arrays of one shape whose names change places keep every byte of the content."""
    content = saved.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    first, second = "status/epochs", "state/step"
    assert header[first]["shape"] == header[second]["shape"]
    header[first], header[second] = header[second], header[first]
    text = json.dumps(header, separators=(",", ":")).encode().ljust(length)
    (tmp_path / "fit").write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    with pytest.raises(ValueError, match="does not match its digest"):
        load(tmp_path / "fit")


def test_a_file_that_is_not_there_is_named(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(ValueError, match="there is no file of that name; give the path of one"):
            load(path)


def test_a_fit_alone_is_saved_and_to_a_path(tmp_path):
    with pytest.raises(TypeError, match=r"fit is dict, but must be what ja.fit returned"):
        save({}, tmp_path / "fit")


@pytest.mark.parametrize(
    ("name", "learner", "message"),
    [
        ("single", lambda: ja.descend(ja.objective(AE, ja.losses.reconstruction), optax.sgd(0.1)), "of 5 arrays.*'s 0"),
        ("single", lambda: ja.chain(a=plain(), b=plain()), "does not fit this learner's 18"),
        ("single", players, "there is no submodule"),
        ("single", lambda: lambda beta: plain(), "hparams none, which the factory does not take"),
        ("population", lambda: lambda beta: plain(), "hparams lr, which the factory does not take"),
    ],
)
def test_the_wrong_learner_is_refused(tmp_path, name, learner, message):
    if name == "single":
        state = ja.start(plain(), AE.init(jax.random.key(0), DATA.x))
        fitted = by_hand(state.variables, state=state)
        message = message.replace("of 5", "of 9")
    else:
        one = jax.tree.map(lambda leaf: np.asarray(leaf)[None], by_hand({"params": {}})[:6])
        fitted = ja.Fit(*one, {})._replace(seeds=np.zeros(1, np.int32), hparams={"lr": np.ones(1, np.float32)})
    path = save(fitted, tmp_path / "fit")
    with pytest.raises(ValueError, match=message):
        load(path, learner())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = save(by_hand({"params": {"w": np.ones(2)}}), tmp_path / "fit")
    before = path.read_bytes()

    def fail(*_):
        raise OSError("no space left")

    for name in ("replace", "fsync", "chmod"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="no space left"):
                save(by_hand({"params": {"w": np.zeros(2)}}), path)
        assert os.listdir(tmp_path) == ["fit"]
        assert path.read_bytes() == before


def test_a_save_replaces_what_was_there(tmp_path):
    path = tmp_path / "fit"
    path.write_text("something else")
    save(by_hand({"params": {"w": np.zeros(2)}}), str(path))
    assert os.listdir(tmp_path) == ["fit"] and path.stat().st_mode & 0o777 == 0o644
    np.testing.assert_array_equal(load(str(path)).variables["params"]["w"], 0)


@pytest.mark.parametrize(
    ("variables", "where", "message"),
    [
        ({"params": {"a/b": np.ones(1)}}, "fit", "a name with a slash, 'a/b'"),
        ({"params": {}}, "no/fit", "cannot write .*No such file or directory"),
        ({"params": {}}, "", "is a folder: give the path of a file in it"),
    ],
)
def test_what_cannot_be_saved(tmp_path, variables, where, message):
    with pytest.raises(ValueError, match=message):
        save(by_hand(variables), tmp_path / where)
    assert os.listdir(tmp_path) == []


def test_the_digest_is_a_sha256_of_all_there_is(saved):
    """Anybody can check a file with four lines: the format is written down here."""
    content = saved.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    meta = header.pop("__metadata__")
    root = hashlib.sha256(meta["config"].encode())
    names = {"F32": "float32", "I32": "int32"}
    for name in sorted(header):
        entry = header[name]
        begin, end = entry["data_offsets"]
        root.update(f"\n{name} {names[entry['dtype']]} {tuple(entry['shape'])}\n".encode())
        root.update(content[8 + length + begin : 8 + length + end])
    assert root.hexdigest() == meta["sha256"]
