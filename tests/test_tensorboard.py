"""jaxae.fitting.to_tensorboard: what TensorBoard's own reader finds in the file; where the two are installed."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxae as ja
from jaxae.fitting import course, to_tensorboard

DATA = ja.Batch(jax.random.uniform(jax.random.key(0), (24, 5)))


def fit(log, **given):
    ae = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((5,)))

    def factory(bad=0):
        def at(rate):
            return ja.skip_nonfinite(ja.descend(ja.objective(ae, ja.losses.reconstruction), optax.sgd(rate)))

        return ja.schedule(at, rate=lambda step: jnp.where(step + 1 == bad, jnp.nan, 0.01))

    learner = factory if "hparams" in given else factory()
    return ja.fit(ae, learner, DATA, key=jax.random.key(1), epochs=5, batch_size=8, log=log, progress=False, **given)


def read(path):
    """Return {tag: [(epoch, value)]} as TensorBoard reads it."""
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = loader.EventAccumulator(str(path))
    found.Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


@pytest.fixture(autouse=True)
def short_chunks(request, monkeypatch):
    if request.function is not test_where_the_writer_is_missing_it_is_named:
        pytest.importorskip("tensorboardX")
    monkeypatch.setattr(course, "CHUNK_EPOCHS", 1)


def test_a_single_run(tmp_path):
    fitted = fit(tmp_path / "fit.jsonl")
    found = read(to_tensorboard(tmp_path / "fit.jsonl", tmp_path / "board"))
    assert [epoch for epoch, _ in found["loss"]] == [1, 2, 3, 4, 5]
    np.testing.assert_allclose([value for _, value in found["loss"]], fitted.history["loss"], rtol=1e-6)
    assert [value for _, value in found["alive"]] == [1] * 5
    assert set(found) == {"loss", "alive", "steps_per_second"}


def test_members_and_what_befell_them(tmp_path):
    with pytest.warns(RuntimeWarning, match="skipped 1 step"):
        fitted = fit(tmp_path / "fit.jsonl", hparams={"bad": [99, 5]})
    to_tensorboard(tmp_path / "fit.jsonl", tmp_path / "board")
    # Written anew, it is there once.
    found = read(to_tensorboard(tmp_path / "fit.jsonl", tmp_path / "board"))
    assert len(list((tmp_path / "board").iterdir())) == 1
    for i in range(2):
        np.testing.assert_allclose([v for _, v in found[f"loss/member_{i}"]], fitted.history["loss"][i], rtol=1e-6)
    assert found["skipped/member_1"] == [(2, 1)]


def test_the_times_are_those_of_the_log(tmp_path):
    fit(tmp_path / "fit.jsonl")
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = loader.EventAccumulator(str(to_tensorboard(tmp_path / "fit.jsonl", tmp_path)))
    found.Reload()
    lines = [json.loads(line) for line in (tmp_path / "fit.jsonl").read_text().splitlines()]
    times = [event["time"] for event in lines if event["event"] == "chunk"]
    assert [event.wall_time for event in found.Scalars("loss")] == times


def test_many_members_are_three_numbers_and_lost_ones_none(tmp_path):
    events = [
        {"event": "begun", "time": 0.0, "epoch": 0},
        {"event": "chunk", "time": 1.0, "epoch": 3, "loss": {"least": 1.0, "median": 2.0, "greatest": 3.0},
         "validation": None, "alive": 17, "steps_per_second": 5.0, "memory": [7, 8]},
        {"event": "diverged", "time": 1.0, "member": 4, "epoch": 2, "step": 6},
        {"event": "chunk", "time": 2.0, "epoch": 4, "loss": [None, 1.0], "validation": [None], "alive": 1,
         "steps_per_second": 5.0, "memory": []},
    ]  # fmt: skip
    (tmp_path / "log").write_text("".join(json.dumps(event) + "\n" for event in events))
    assert read(to_tensorboard(tmp_path / "log", tmp_path)) == {
        "loss/least": [(3, 1.0)],
        "loss/median": [(3, 2.0)],
        "loss/greatest": [(3, 3.0)],
        "alive": [(3, 17.0), (4, 1.0)],
        "steps_per_second": [(3, 5.0), (4, 5.0)],
        "memory/device_0": [(3, 7.0)],
        "memory/device_1": [(3, 8.0)],
        "diverged/member_4": [(3, 6.0)],
        "loss/member_1": [(4, 1.0)],
    }


def test_what_is_no_log_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot read the log"):
        to_tensorboard(tmp_path / "none", tmp_path)
    (tmp_path / "other").write_text('{"a": 1}\n{"b": 2}\n')
    with pytest.raises(ValueError, match=r"line 1 of .* is no event of a fit"):
        to_tensorboard(tmp_path / "other", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other"]
    fit(tmp_path / "fit.jsonl")
    with (tmp_path / "fit.jsonl").open("a") as file:
        file.write('{"event": "chu')
    assert read(to_tensorboard(tmp_path / "fit.jsonl", tmp_path / "board"))["loss"]


def test_where_the_writer_is_missing_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"needs tensorboardX: pip install 'jaxae\[tensorboard\]'"):
        to_tensorboard(tmp_path / "fit.jsonl", tmp_path)
