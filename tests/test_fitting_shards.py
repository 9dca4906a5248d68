"""`fit` over rows on disk: it has the bits of the same fit in memory, wherever it is cut, killed or stopped."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
import pytest
from jax.sharding import AxisType

import jaxae as ja
from jaxae.checkpoint import Keep, Steps
from jaxae.fitting import course
from jaxae.networks import MLP, ConvEncoder, Stage
from tests.line import Line, errors

N, FEATURES, BATCH, STEPS = 70, 5, 8, 8  # 6 rows are left out of every epoch
ROWS = np.random.default_rng(0).random((N, FEATURES)).astype(np.float32)
GIVEN = np.random.default_rng(1).random((N, 2)).astype(np.float32)
VALID = ja.Batch(np.random.default_rng(2).random((10, FEATURES)).astype(np.float32))
ONE = 6 * BATCH * 4 * (FEATURES + 1)
"""Bytes of memory for every batch of a piece."""


def learner(lr=0.1):
    def objective(variables, batch, key):
        noise = 1 + 0.5 * jax.random.normal(key, (len(batch.x),))
        value = (errors(variables, batch) * noise).mean()
        return value, (variables, {"loss": value})

    return ja.descend(objective, optax.sgd(lr, momentum=0.9))


LEARNER = learner()
SCORED = {"validation": VALID, "score": errors}


def spoilt(bad):
    """Return the learner that diverges at step `bad`, counted from 1."""
    return ja.schedule(learner, lr=lambda step: jnp.where(step + 1 == bad, jnp.nan, 1e-2))


def stored(folder, sizes=(30, 1, 39), rows=ROWS, **given):
    """Return shards of so many rows, in files of arrays."""
    folder.mkdir(exist_ok=True)
    ends = np.cumsum(sizes)
    for number, (size, end) in enumerate(zip(sizes, ends, strict=True)):
        np.save(folder / f"{number:02d}.npy", rows[end - size : end])
    return ja.data.shards(folder, **given)


LINE = Line()


def fit(data, learner=LEARNER, model=LINE, **given):
    arguments = {"key": jax.random.key(1), "epochs": 3, "batch_size": BATCH, "progress": False} | given
    return ja.fit(model, learner, data, **arguments)


def same(a, b):
    """Fail unless two fits are equal, to the bit, but for what their records tell of the process."""
    for part_a, part_b in zip(a[:6], b[:6], strict=True):
        assert jax.tree.structure(part_a) == jax.tree.structure(part_b)
        pairs = zip(jax.tree.leaves_with_path(part_a), jax.tree.leaves(part_b), strict=True)
        for (path, x), y in pairs:
            x, y = np.asarray(x), np.asarray(y)
            assert (x.shape, x.dtype) == (y.shape, y.dtype), path
            assert x.tobytes() == y.tobytes(), f"{jax.tree_util.keystr(path)}: {x} against {y}"
    times = ("compile_seconds", "run_seconds", "steps")
    assert {k: v for k, v in a.record.items() if k not in times} == {
        k: v for k, v in b.record.items() if k not in times
    }


@pytest.fixture(scope="module")
def whole():
    """A fit in memory, compiled as users do."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield fit(ja.Batch(ROWS))
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.mark.parametrize(("sizes", "batches"), [((N,), 100), ((30, 1, 39), 2), ((1,) * N, 3)])
def test_the_bits_are_those_of_memory(tmp_path, whole, optimised, sizes, batches):
    same(fit(stored(tmp_path / "rows", sizes, memory=batches * ONE)), whole)


def test_files_of_tables_too(tmp_path, whole, optimised):
    for number, rows in enumerate((ROWS[:40], ROWS[40:])):
        pl.DataFrame(rows.astype(np.float64), [f"x{i}" for i in range(FEATURES)]).write_parquet(
            tmp_path / f"{number}.parquet"
        )
    same(fit(ja.data.shards(tmp_path, memory=3 * ONE)), whole)


def test_conditions_dropout_and_validation(tmp_path, optimised):
    vae = ja.models.VAE(MLP((6,), dropout=0.2), MLP((6, FEATURES)), latent=2)
    loss = ja.losses.elbo
    given = {
        "model": vae,
        "learner": ja.descend(ja.objective(vae, loss, beta=0.5), optax.adam(1e-2)),
        "validation": ja.Batch(VALID.x, GIVEN[:10]),
        "score": ja.score(vae, loss),
        "patience": 2,
        "epochs": 6,
    }
    stored(tmp_path / "cond", (1, 69), GIVEN)
    stored(tmp_path / "rows")
    data = ja.data.shards(tmp_path / "rows", tmp_path / "cond", memory=6 * ONE)
    same(fit(data, **given), fit(ja.Batch(ROWS, GIVEN), **given))


def test_players_and_batch_statistics(tmp_path, optimised):
    gan = ja.models.GAN(MLP((6, FEATURES), norm=True), MLP((6, 1), dropout=0.3), latent=2)
    discriminator = ja.objective(gan, ja.adversarial.discriminator)
    generator = ja.objective(gan, ja.adversarial.generator)
    players = ja.chain(
        discriminator=ja.repeat(ja.descend(discriminator, optax.adam(1e-3), wrt=("discriminator",)), 2),
        generator=ja.descend(generator, optax.adam(1e-3), wrt=("generator",)),
    )
    data = stored(tmp_path / "rows", memory=3 * ONE)
    same(fit(data, players, gan), fit(ja.Batch(ROWS), players, gan))


def test_convolutions(tmp_path, optimised):
    images = np.random.default_rng(3).random((N, 8, 8, 1)).astype(np.float32)
    data = stored(tmp_path / "rows", rows=images, memory=2 * 6 * BATCH * 4 * 65)
    model = ja.models.AE(ConvEncoder((Stage(4),)), MLP((64,)))
    loss = functools.partial(flat, model)
    given = {"validation": ja.Batch(images[:9]), "score": loss}
    learner = ja.descend(
        lambda v, batch, key: (loss(v, batch).mean(), (v, {"loss": loss(v, batch).mean()})), optax.adam(1e-3)
    )
    same(fit(data, learner, model, **given), fit(ja.Batch(images), learner, model, **given))


def flat(model, variables, batch, key=None):
    """Return the error of images that a decoder draws as rows."""
    drawn = model.apply(variables, batch.x)
    return ((drawn - batch.x.reshape(len(batch.x), -1)) ** 2).sum(-1)


def mesh_of(devices):
    return jax.make_mesh((devices,), ("members",), axis_types=(AxisType.Auto,))


@pytest.mark.parametrize(
    "given",
    [
        {"lanes": 2},
        pytest.param({"lanes": 4, "mesh": mesh_of(2)}, marks=pytest.mark.slow),
        pytest.param({"lanes": 2, "chunk": 4}, marks=pytest.mark.slow),
        {},
        {"mesh": mesh_of(3)},
    ],
    ids=["lanes", "devices", "chunks", "vmapped", "sharded"],
)
def test_members_of_a_population_read_orders_of_their_own(tmp_path, optimised, given):
    given = {**given, "hparams": ja.grid(lr=[0.01, 0.1]), "seeds": 3, **SCORED}
    data = stored(tmp_path / "rows", memory=6 * 3 * ONE)
    same(fit(data, learner, **given), fit(ja.Batch(ROWS), learner, **given))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("search", "own"), [(ja.search.halving, {}), (ja.search.evolution, {"every": 2})], ids=["halving", "evolution"]
)
def test_a_search_takes_them_too(tmp_path, optimised, search, own):
    given = {"key": jax.random.key(8), "epochs": 4, "batch_size": BATCH, "hparams": ja.grid(lr=[0.01, 0.03, 0.1, 0.2])}
    given |= {"lanes": 2, "progress": False, **SCORED, **own}
    data = stored(tmp_path / "rows", memory=12 * ONE)
    same(search(LINE, learner, data, **given), search(LINE, learner, ja.Batch(ROWS), **given))


def test_what_diverges_goes_back_to_its_last_good_epoch(tmp_path, optimised):
    data = stored(tmp_path / "rows", memory=6 * ONE)
    for given in ({"learner": spoilt(19)}, {"learner": spoilt, "hparams": {"bad": [19, 99]}, "lanes": 2}):
        with pytest.warns(RuntimeWarning, match="diverged in epoch 3 at step"):
            ours = fit(data, epochs=5, **given)
        with pytest.warns(RuntimeWarning, match="diverged in epoch 3 at step"):
            same(ours, fit(ja.Batch(ROWS), epochs=5, **given))


def test_a_learner_without_metrics(tmp_path):
    silent = ja.descend(lambda v, batch, key: (errors(v, batch).mean(), (v, {})), optax.sgd(0.1))
    assert fit(stored(tmp_path / "rows"), silent).history == {}


# Going on


@pytest.mark.parametrize("given", [{}, {"seeds": 3, "lanes": 2}], ids=["single", "population"])
def test_a_fit_goes_on_from_the_middle_of_an_epoch(tmp_path, monkeypatch, optimised, given):
    monkeypatch.setattr(course, "CHUNK_SECONDS", 0)  # every piece is a chunk
    monkeypatch.setattr(Steps, "saving", False)
    given = given | SCORED
    data, seen, members = stored(tmp_path / "rows"), [], given.get("seeds", 1)

    def told(progress):
        seen.append(progress)
        if len(seen) == stop:
            raise KeyboardInterrupt

    whole = fit(ja.Batch(ROWS), epochs=4, **given)
    for stop in (3, 6, 5, 100):
        seen.clear()
        # Pieces of another size go on from there too.
        data = data._replace(memory=members * (stop % 3 + 2) * ONE)
        given |= {"checkpoint": tmp_path / "fit", "keep": Keep(seconds=0)}
        if stop == 100:
            fitted = fit(data, epochs=4, progress=told, **given)
        else:
            with pytest.raises(KeyboardInterrupt):
                fit(data, epochs=4, progress=told, **given)
            assert any(step % STEPS for step in Steps(tmp_path / "fit", Keep()).epochs())
    assert seen[0].epoch == 0 and seen[1].since % 1 and seen[1].epoch > seen[1].since
    same(fitted, whole)


def test_a_signal_stops_a_fit_within_an_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr(course, "CHUNK_SECONDS", 0)
    data, log = stored(tmp_path / "rows", memory=3 * ONE), tmp_path / "log"

    def told(progress):
        if progress.epoch:
            assert np.isfinite(progress.loss).all() and progress.line().startswith("epoch 0.375/3 · loss ")
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit, match=r"SIGTERM stopped the fit after epoch 0.375 of 3, saved in"):
        fit(data, checkpoint=tmp_path / "fit", progress=told, log=log)
    assert Steps(tmp_path / "fit", Keep()).epochs() == [3]
    assert fit(data, checkpoint=tmp_path / "fit", log=log).record["steps"] == 3 * STEPS - 3
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [each["epoch"] for each in events if each["event"] == "saved"] == [0.375, 3]
    assert [each["about"] for each in events if each["event"] == "begun"] == ["", "on from epoch 0.375"]


def test_saves_that_are_to_stay_are_counted_in_epochs(tmp_path):
    data = stored(tmp_path / "rows", memory=3 * ONE)
    fit(data, epochs=6, checkpoint=tmp_path / "fit", keep=Keep(seconds=1e9, last=1, best=0, every=2))
    assert Steps(tmp_path / "fit", Keep()).epochs() == [2 * STEPS, 4 * STEPS, 6 * STEPS]
    with pytest.raises(ja.fitting.OtherFitError, match="holds a fit of 6 epochs, more than the 5 asked for"):
        fit(data, epochs=5, checkpoint=tmp_path / "fit")


def test_a_fit_over_other_rows_or_in_memory_is_another(tmp_path):
    data = stored(tmp_path / "rows")
    fit(data, epochs=1, checkpoint=tmp_path / "fit")
    with pytest.raises(ja.fitting.OtherFitError, match="another program"):
        fit(ja.Batch(ROWS), checkpoint=tmp_path / "fit")
    with pytest.raises(ja.fitting.OtherFitError):
        fit(ja.Batch(ROWS), checkpoint=tmp_path / "fit", accept=("program",))
    other = stored(tmp_path / "others", rows=ROWS + 1)
    with pytest.raises(ja.fitting.OtherFitError, match="another data"):
        fit(other, checkpoint=tmp_path / "fit")


KILLED = """
import jax, sys, time
import tests.conftest, tests.test_fitting_shards as t
from pathlib import Path
from jaxae.checkpoint import Keep
from jaxae.fitting import course
jax.config.update("jax_disable_most_optimizations", False)
course.CHUNK_SECONDS = 0
folder = Path(sys.argv[1])
data = t.ja.data.shards(folder / "rows", memory=3 * t.ONE)
t.fit(data, checkpoint=folder / "fit", keep=Keep(seconds=0), epochs=20, progress=lambda _: time.sleep(0.05))
"""


def test_a_fit_that_was_killed_goes_on(tmp_path, optimised):
    data = stored(tmp_path / "rows", memory=3 * ONE)
    root = Path(__file__).parents[1]
    for kill in range(2):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=root)
        while process.poll() is None:
            time.sleep(0.01)
            saved = Steps(tmp_path / "fit", Keep()).epochs()
            if saved and saved[-1] > 20 * (kill + 1):
                process.kill()
        assert process.wait() == -signal.SIGKILL
    fitted = fit(data, epochs=20, checkpoint=tmp_path / "fit")
    assert fitted.record["steps"] < 20 * STEPS - 40
    same(fitted, fit(ja.Batch(ROWS), epochs=20))


# What is refused


def test_a_shard_that_changes_stops_the_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(course, "CHUNK_SECONDS", 0)
    data = stored(tmp_path / "rows", memory=2 * ONE)

    def change(progress):
        if progress.epoch:
            os.utime(tmp_path / "rows" / "02.npy")

    with pytest.raises(ValueError, match=r"02.npy was changed since it was opened"):
        fit(data, progress=change)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"batch_size": 36}, ValueError, "batch_size is 36 of 70 rows of the shards, which must fit into memory"),
        ({"batch_size": N + 1}, ValueError, "batch_size is 71, but must be a whole number from 1 to 70"),
        ({"key": 3}, TypeError, "key is int 3"),
        ({"seeds": 3}, ValueError, rf"for 3 members need at least {6 * ONE}: open them with shards\(..., memory="),
        ({"seeds": 3, "chunk": 2}, ValueError, f"for 2 members need at least {4 * ONE}"),
        ({"validation": "shards", "score": errors}, TypeError, "validation is Shards, but must be a Batch"),
    ],
)
def test_arguments_that_cannot_be(tmp_path, given, error, message):
    data = stored(tmp_path / "rows", memory=2 * ONE)
    if given.get("validation") == "shards":
        given = given | {"validation": data}
    with pytest.raises(error, match=message):
        fit(data, checkpoint=tmp_path / "fit" if "chunk" not in given else None, **given)
    assert not (tmp_path / "fit").exists()


def test_only_a_fit_takes_them(tmp_path):
    data = stored(tmp_path / "rows")
    with pytest.raises(TypeError, match="data is Shards, but must be a Batch"):
        ja.train(Line(), LEARNER, data, jax.random.key(0), epochs=1, batch_size=BATCH)


def test_nothing_is_compiled_once_it_trains(tmp_path, monkeypatch):
    monkeypatch.setattr(course, "CHUNK_SECONDS", 0)
    data, seen, compiled = stored(tmp_path / "rows", memory=3 * ONE), [], []

    def compiling(event, seconds, **_):
        if "backend_compile" in event:
            compiled.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(compiling)
    try:
        fit(data, epochs=4, progress=lambda _: seen.append(len(compiled)))
    finally:
        jax.monitoring.clear_event_listeners()
    # What draws the order is compiled when the first piece is read.
    assert len(seen) == 13 and len(set(seen[1:])) == 1
