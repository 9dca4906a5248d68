"""One run: what a step, an epoch and a run are made of, and what they refuse. The laws of runs are in tests/laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxae.training import epoch, initialise, run, start, train
from jaxae.types import Batch, Learner

ROWS = Batch(np.arange(10, dtype=np.float32)[:, None])


def spy() -> Learner:
    """A learner that changes nothing and tells which rows and which key each step got."""

    def step(variables, opt_state, batch, key):
        return variables, opt_state + 1, {"rows": batch.x[:, 0], "key": jax.random.key_data(key)}

    return Learner(lambda variables: jnp.zeros((), jnp.int32), step)


def one_epoch(seed: int, state=None):
    order, step = jax.random.split(jax.random.key(seed))
    learner = spy()
    return epoch(learner, state or start(learner, {}), jax.tree.map(jnp.asarray, ROWS), order, step, batch_size=3)


def test_an_epoch_takes_every_row_once_less_those_that_fill_no_batch():
    state, seen = one_epoch(0)
    rows = np.asarray(seen["rows"])
    assert rows.shape == (3, 3) and len(set(rows.ravel())) == 9
    assert int(state.step) == 3 and int(state.opt_state) == 3


def test_the_next_epoch_has_another_order():
    state, first = one_epoch(0)
    _, second = one_epoch(0, state)
    assert not np.array_equal(first["rows"], second["rows"])


def test_the_key_of_a_step_is_the_step_key_folded_with_its_number():
    state, _ = one_epoch(0)
    _, seen = one_epoch(0, state)
    _, step_key = jax.random.split(jax.random.key(0))
    expected = [jax.random.key_data(jax.random.fold_in(step_key, number)) for number in (3, 4, 5)]
    np.testing.assert_array_equal(seen["key"], expected)


def test_history_is_the_mean_over_the_steps_of_each_epoch():
    learner = Learner(lambda _: (), lambda v, s, batch, key: (v, s, {"sum": batch.x.sum()}))
    _, history = run(learner, start(learner, {}), ROWS, jax.random.key(1), epochs=4, batch_size=5)
    np.testing.assert_allclose(history["sum"], [22.5] * 4)


def test_conditions_stay_with_their_rows():
    learner = Learner(lambda _: (), lambda v, s, batch, key: (v, s, {"gap": jnp.abs(batch.cond - 2 * batch.x).max()}))
    data = Batch(ROWS.x, 2 * ROWS.x)
    _, history = run(learner, start(learner, {}), data, jax.random.key(1), epochs=2, batch_size=4)
    assert float(history["gap"].max()) == 0


class Scale:
    """A model of one number that starts at a draw of its key."""

    def init(self, key, x, cond=None):
        return {"params": {"w": jax.random.normal(key, x.shape[1:])}}


def test_train_is_initialise_and_run():
    learner = spy()
    state, history = train(Scale(), learner, ROWS, jax.random.key(2), epochs=2, batch_size=5)
    begun, run_key = initialise(Scale(), learner, ROWS, jax.random.key(2))
    again, same = run(learner, begun, ROWS, run_key, epochs=2, batch_size=5)
    np.testing.assert_array_equal(state.variables["params"]["w"], again.variables["params"]["w"])
    np.testing.assert_array_equal(history["rows"], same["rows"])
    assert int(state.step) == 4


def arguments(**given):
    return {"data": ROWS, "key": jax.random.key(3), "epochs": 1, "batch_size": 2} | given


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"epochs": 0}, ValueError, "epochs is 0"),
        ({"epochs": -2}, ValueError, "epochs is -2"),
        ({"epochs": 1.5}, TypeError, "epochs is 1.5"),
        ({"epochs": True}, TypeError, "epochs is True"),
        ({"batch_size": 0}, ValueError, "batch_size is 0, but must be a whole number from 1 to 10"),
        ({"batch_size": -1}, ValueError, "batch_size is -1"),
        ({"batch_size": 11}, ValueError, "from 1 to 10, the number of examples"),
        ({"batch_size": 2.0}, TypeError, r"batch_size is 2\.0"),
        ({"key": 0}, TypeError, r"write jax\.random\.key\(0\)"),
        ({"key": np.zeros(2, np.uint32)}, TypeError, "legacy uint32 key"),
        ({"data": ROWS.x}, TypeError, "write Batch"),
        ({"data": Batch(ROWS.x, ROWS.x[:3])}, ValueError, "cond has shape"),
        ({"data": Batch(ROWS.x[:0])}, ValueError, "no rows"),
        ({"data": Batch(np.ones((10, 1), np.uint8))}, TypeError, "data.x holds uint8, but must hold floats"),
        ({"data": Batch([[1.0]])}, TypeError, "data.x is list, but must be an array"),
        ({"data": Batch(ROWS.x, [1.0])}, TypeError, "data.cond is list, but must be an array"),
        ({"data": Batch(np.full((10, 1), np.nan))}, ValueError, "data.x holds nan in row 0 and column 0"),
    ],
)
def test_what_is_refused(given, error, words):
    with pytest.raises(error, match=words):
        train(Scale(), spy(), **arguments(**given))


def test_many_keys_are_refused():
    with pytest.raises(ValueError, match=r"key has shape \(2,\)"):
        train(Scale(), spy(), **arguments(key=jax.random.split(jax.random.key(3))))


def test_what_is_no_model_learner_or_state_is_named():
    for model, words in ((Scale, "model is the class Scale"), ("AE", "model is str")):
        with pytest.raises(TypeError, match=words):
            train(model, spy(), **arguments())
    with pytest.raises(TypeError, match="learner is function, but must be a Learner"):
        train(Scale(), spy, **arguments())
    with pytest.raises(TypeError, match=r"state is dict, but must be a TrainState: ja\.start"):
        run(spy(), {"params": {}}, **arguments())
    with pytest.raises(TypeError, match="learner is NoneType"):
        run(None, start(spy(), {}), **arguments())
