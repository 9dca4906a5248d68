"""Statistics of populations, against SciPy, known answers and counts of how often an interval covers the truth."""

import jax
import numpy as np
import pytest
from scipy import stats

from jaxae.statistics import bootstrap, effects, summaries


def key(seed=0):
    return jax.random.key(seed)


@pytest.mark.parametrize("statistic", [np.mean, np.median])
def test_the_interval_is_that_of_scipy(statistic):
    values = stats.gamma(2).rvs(40, random_state=1)
    ours = bootstrap(values, key(), level=0.9, statistic=statistic, draws=40_000)
    theirs = stats.bootstrap(
        (values,), statistic, confidence_level=0.9, method="percentile", n_resamples=40_000, rng=2
    ).confidence_interval
    np.testing.assert_allclose(ours, theirs, rtol=0.02)


@pytest.mark.parametrize(("count", "least", "most"), [(5, 0.79, 0.90), (20, 0.89, 0.96)])
def test_how_often_it_covers_the_mean(count, least, most):
    """As the docstring says: 400 samples tell a share of 0.85 to ± 0.04."""
    rows = np.random.default_rng(0).normal(size=(400, count))
    bounds = np.array([bootstrap(row, key(i), draws=500) for i, row in enumerate(rows)])
    assert least < ((bounds[:, 0] <= 0) & (bounds[:, 1] >= 0)).mean() < most


def test_the_same_key_gives_the_same_interval():
    values = np.array([1.0, 2.0, 4.0])
    assert bootstrap(values, key()) == bootstrap(values, key())


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"values": [1.0]}, ValueError, "at least two"),
        ({"values": [1.0, np.inf]}, ValueError, "1 that are not finite"),
        ({"values": [[1.0, 2.0]]}, ValueError, r"shape \(1, 2\)"),
        ({"level": 1.0}, ValueError, "level is 1,"),
        ({"draws": 0.5}, TypeError, "draws is 0.5"),
        ({"key": 3}, TypeError, "typed key"),
    ],
)
def test_what_an_interval_refuses(given, error, words):
    arguments = {"values": [1.0, 2.0], "key": key()} | given
    with pytest.raises(error, match=words):
        bootstrap(arguments.pop("values"), arguments.pop("key"), **arguments)


def test_points_are_summarised_over_their_seeds():
    values = np.array([3.0, 1.0, 5.0, 4.0, 2.0, np.inf, np.nan, np.inf, 2.0])
    hparams = {"lr": np.float32([1, 1, 1, 1, 1, 2, 2, 3, 3]), "beta": np.array([0, 0, 0, 0, 0, 1, 1, 1, 1])}
    found = summaries(values, hparams, key())
    assert [summary.hparams for summary in found] == [{"lr": 3, "beta": 1}, {"lr": 1, "beta": 0}, {"lr": 2, "beta": 1}]
    assert [summary.lost for summary in found] == [1, 0, 2]
    assert found[1].members.tolist() == [0, 1, 2, 3, 4] and found[1].mean == 3 and found[1].sd == np.sqrt(2.5)
    assert 1 <= found[1].low < 3 < found[1].high <= 5
    assert found[0].mean == 2 and np.isnan([found[0].sd, found[0].low, found[2].mean]).all()


def test_seeds_alone_are_one_point():
    (summary,) = summaries(np.array([1.0, 2.0]), {}, key())
    assert summary.hparams == {} and summary.mean == 1.5


def test_an_effect_is_that_of_kruskal_and_wallis():
    draws = np.random.default_rng(0)
    column = np.repeat([1.0, 2.0, 3.0], 10)
    values = column**2 + draws.normal(size=30)
    h = stats.kruskal(*(values[column == v] for v in (1, 2, 3))).statistic
    n, k = 30, 3
    found = effects(values, {"x": column})["x"]
    np.testing.assert_allclose(found.share, (h - k + 1) / (n - k), rtol=1e-12)
    np.testing.assert_allclose(found.correlation, stats.spearmanr(column, values).statistic)
    assert found.best == 1


def test_what_matters_comes_first_and_what_does_not_explains_nothing():
    draws = np.random.default_rng(1)
    rate, noise, constant = draws.uniform(size=200), draws.uniform(size=200), np.ones(200)
    found = effects((rate - 0.3) ** 2, {"noise": noise, "rate": rate, "constant": constant})
    assert list(found) == ["rate", "noise"]
    assert found["rate"].share > 0.6 and found["noise"].share < 0.05
    # It is not monotone, which a correlation alone would have to be.
    assert 0.2 < found["rate"].best < 0.4


def test_members_that_diverged_are_the_worst():
    found = effects(np.array([1.0, 2.0, np.inf, np.nan]), {"lr": np.array([1, 1, 2, 2])})
    assert found["lr"].best == 1 and found["lr"].correlation > 0.8


def test_equal_values_have_no_effects():
    found = effects(np.ones(4), {"lr": np.array([1, 1, 2, 2])})
    assert (found["lr"].share, found["lr"].correlation) == (0, 0)


def test_few_members_have_no_interval():
    (summary,) = summaries(np.arange(4.0), {}, key())
    assert np.isnan([summary.low, summary.high]).all() and summary.sd > 0


def test_single_members_are_grouped_with_their_neighbours():
    found = effects(np.arange(8.0), {"x": np.geomspace(1e-4, 1e-1, 8)})["x"]
    assert found.share > 0.8 and found.correlation == 1 and found.best < 1e-3


def test_where_there_is_one_member_of_each_kind_nothing_is_said():
    assert effects(np.arange(3.0), {"lr": np.arange(3.0)})["lr"].share is None
    assert effects(np.arange(4.0), {"kind": np.array(list("abcd"))})["kind"].share is None


@pytest.mark.parametrize("function", [lambda v, h: summaries(v, h, key()), effects])
def test_columns_of_another_length_are_refused(function):
    with pytest.raises(ValueError, match=r"hparams lr has shape \(3,\)"):
        function(np.ones(4), {"lr": np.ones(3)})


def test_words_have_effects_without_a_direction():
    found = effects(np.array([1.0, 2.0, 5.0, 6.0]), {"widths": np.array(["64,32", "64,32", "8", "8"])})["widths"]
    assert found.share > 0.5 and found.correlation is None and found.best == "64,32"


@pytest.mark.parametrize("values", [np.ones((2, 3)), np.zeros(0)])
def test_values_that_are_no_column_are_refused(values):
    for of in (lambda: summaries(values, {}, key()), lambda: effects(values, {})):
        with pytest.raises(ValueError, match=r"values has shape .*, but must be \(members,\)"):
            of()


def test_a_level_is_looked_at_where_no_interval_is_made_of_it():
    with pytest.raises(ValueError, match=r"level is 95, .*write 0\.95"):
        summaries(np.ones(2), {}, key(), level=95)
