import jax
import numpy as np
import pytest

from jaxae.result import Fit, Status, stack
from jaxae.types import TrainState


def population(**history) -> Fit:
    """Four members: trained, stopped early, diverged in its second epoch, diverged in its first."""
    status = Status(
        epochs=np.array([4, 3, 1, 0]),
        best_epoch=np.array([3, 1, 1, 0]),
        diverged_epoch=np.array([0, 0, 2, 1]),
        diverged_step=np.array([0, 0, 17, 5]),
        dropped_epoch=np.zeros(4, int),
        skipped=np.zeros(4, int),
        skipped_step=np.zeros(4, int),
    )
    weights = {"params": {"w": np.arange(8.0).reshape(4, 2)}}
    state = TrainState(np.array([40, 30, 10, 0]), weights, ())
    history = {name: np.array(values, float) for name, values in history.items()}
    lr = np.array([1e-3, 1e-2, 1, 10], np.float32)
    return Fit(weights, state, history, {"lr": lr}, np.array([0, 1, 0, 1]), status, {"epochs": 4})


VALIDATION = [[4, 3, 1, 2], [2, 3, 4, np.nan], [0.5, np.nan, np.nan, np.nan], [np.nan] * 4]
LOSS = [[4, 3, 2, 1.5], [2, 1, 0.5, np.nan], [0.1, np.nan, np.nan, np.nan], [np.nan] * 4]


def test_members_are_ranked_by_the_validation_of_their_best_epoch():
    fit = population(loss=LOSS, validation=VALIDATION)
    np.testing.assert_array_equal(fit.final(), [1, 2, np.inf, np.inf])
    assert fit.best() == 0


def test_without_validation_by_the_last_kept_loss():
    fit = population(loss=LOSS)
    np.testing.assert_array_equal(fit.final(), [1.5, 0.5, np.inf, np.inf])
    assert fit.best() == 1


def test_without_either_there_is_no_ranking():
    with pytest.raises(ValueError, match="neither validation nor loss"):
        population(**{"generator/loss": LOSS}).final()


def test_when_all_diverged_there_is_no_best():
    fit = population(loss=LOSS)
    lost = fit._replace(status=fit.status._replace(diverged_epoch=np.ones(4, int)))
    with pytest.raises(ValueError, match="every member diverged"):
        lost.best()


def test_words():
    fit = population(loss=LOSS)
    assert [fit.describe(i) for i in range(4)] == [
        "trained",
        "stopped early after epoch 3",
        "diverged in epoch 2 at step 17",
        "diverged in epoch 1 at step 5",
    ]


def test_steps_that_were_skipped_are_told():
    fit = population(loss=LOSS)
    skips = {"skipped": np.array([2, 0, 1, 0]), "skipped_step": np.array([9, 0, 4, 0])}
    fit = fit._replace(status=fit.status._replace(**skips))
    assert [fit.describe(i) for i in range(3)] == [
        "trained; skipped 2 steps, the first step 9",
        "stopped early after epoch 3",
        "diverged in epoch 2 at step 17; skipped 1 step, the first step 4",
    ]


def test_a_member_taken_out_is_a_single_run():
    one = population(loss=LOSS).take(1)
    assert one.members is None and one.describe() == "stopped early after epoch 3"
    np.testing.assert_array_equal(one.variables["params"]["w"], [2, 3])
    np.testing.assert_array_equal(one.history["loss"], LOSS[1])
    assert one.final() == 0.5 and one.record["seed"] == 1
    assert one.record["hparams"]["lr"] == pytest.approx(1e-2, rel=1e-6)


@pytest.mark.parametrize("member", [-1, 4])
def test_members_that_do_not_exist(member):
    with pytest.raises(ValueError, match="must be a whole number from 0 to 3"):
        population(loss=LOSS).take(member)


def test_a_single_run_has_no_members():
    one = population(loss=LOSS).take(0)
    with pytest.raises(ValueError, match="single run"):
        one.take(0)
    with pytest.raises(ValueError, match="no member to choose"):
        one.best()


def test_several_members_are_a_smaller_population():
    fit = population(loss=LOSS)
    some = fit.take([3, 1])
    assert some.members == 2 and some.describe(1) == "stopped early after epoch 3"
    np.testing.assert_array_equal(some.variables["params"]["w"], fit.variables["params"]["w"][[3, 1]])
    np.testing.assert_array_equal(some.history["loss"], np.array(LOSS)[[3, 1]])
    np.testing.assert_array_equal(some.hparams["lr"], fit.hparams["lr"][[3, 1]])
    assert some.best() == 1


@pytest.mark.parametrize(
    ("which", "error", "words"),
    [([], ValueError, "no member was named"), ([0, 4], ValueError, "member is 4"), ([0.5], TypeError, "member is 0.5")],
)
def test_members_that_do_not_exist_are_refused(which, error, words):
    with pytest.raises(error, match=words):
        population(loss=LOSS).take(which)


def test_members_stacked_again_are_the_population():
    fit = population(loss=LOSS, validation=VALIDATION)
    again = stack([fit.take(0), fit.take([1, 2]), fit.take(3)])
    for part in ("variables", "history", "hparams", "seeds", "status"):
        jax.tree.map(np.testing.assert_array_equal, getattr(again, part), getattr(fit, part))
    np.testing.assert_array_equal(again.state.step, fit.state.step)
    assert again.record == fit.record and again.best() == fit.best()


def test_histories_of_different_lengths_are_filled_up():
    fit = population(loss=LOSS)
    shorter = fit._replace(history={"loss": np.array(LOSS)[:, :2]})
    loss = stack([fit, shorter]).history["loss"]
    assert loss.shape == (8, 4) and np.isnan(loss[4:, 2:]).all()
    np.testing.assert_array_equal(loss[4:, :2], np.array(LOSS)[:, :2])


def test_what_does_not_stack():
    fit = population(loss=LOSS)
    other = fit._replace(variables={"params": {"w": np.zeros((4, 3))}})
    with pytest.raises(ValueError, match=r"fit 1 has \(3,\) where the first has \(2,\).*\['w'\]"):
        stack([fit, other])
    with pytest.raises(ValueError, match="fit 1 has nothing where"):
        stack([fit, fit._replace(hparams={})])
    with pytest.raises(ValueError, match="no fit to stack"):
        stack([])
    with pytest.raises(TypeError, match=r"fits is True, but must be fits, as ja.fit returns them, in a list"):
        stack(True)


def test_a_dropped_member_says_so():
    fit = population(loss=LOSS)
    fit = fit._replace(status=fit.status._replace(dropped_epoch=np.array([0, 3, 0, 0])))
    assert fit.describe(1) == "dropped after epoch 3"
