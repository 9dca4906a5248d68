"""New rows under conditions: like the old ones of their class or number, and what is refused."""

import numpy as np
import pytest

from jaxae.estimators import ConditionalGenerator


@pytest.fixture(scope="module")
def rows():
    """Two classes that differ in mean and in how their columns go together."""
    rng = np.random.default_rng(0)
    kind = rng.choice(["calm", "wild"], 2000)
    hidden = rng.normal(size=(2000, 1))
    sign = np.where(kind == "wild", -1.0, 1.0)[:, None]
    x = np.c_[hidden, sign * hidden] + 0.1 * rng.normal(size=(2000, 2)) + 5 * (kind == "wild")[:, None]
    return x * [1.0, 100.0], kind


def test_rows_are_like_those_of_their_class(rows):
    x, kind = rows
    generator = ConditionalGenerator(steps=2000).fit(x, kind)
    assert generator.classes_.tolist() == ["calm", "wild"]
    for one in ("calm", "wild"):
        made, real = generator.sample([one] * 3000), x[kind == one]
        np.testing.assert_allclose(made.mean(0) / real.std(0), real.mean(0) / real.std(0), atol=0.15)
        np.testing.assert_allclose(made.std(0) / real.std(0), 1, atol=0.15)
        # Of ±.99; columns on their own would have 0.
        assert abs(np.corrcoef(made.T)[0, 1] - np.corrcoef(real.T)[0, 1]) < 0.25


def test_rows_follow_a_number():
    rng = np.random.default_rng(0)
    heat = rng.uniform(300, 500, 2000)
    x = np.c_[0.1 * heat, -heat] + rng.normal(size=(2000, 2))
    generator = ConditionalGenerator(1, steps=2000).fit(x, heat)
    assert len(generator.classes_) == 0
    asked = np.repeat([320.0, 400.0, 480.0], 500)
    made = generator.sample(asked)
    np.testing.assert_allclose(made.reshape(3, 500, 2).mean(1)[:, 0], [32, 40, 48], atol=0.5)
    np.testing.assert_allclose(made.reshape(3, 500, 2).mean(1)[:, 1], [-320, -400, -480], atol=4)
    # Whole numbers are classes, unless it is said that they are numbers.
    assert len(ConditionalGenerator(steps=5).fit(x[:60], np.arange(60) % 3).classes_) == 3
    assert len(ConditionalGenerator(steps=5, condition="number").fit(x[:60], np.arange(60) % 3).classes_) == 0


def test_rows_depend_on_the_seed_alone(rows):
    generator = ConditionalGenerator(steps=20).fit(*rows)
    asked = ["calm", "wild", "calm"]
    np.testing.assert_array_equal(generator.sample(asked), generator.sample(asked))
    assert (generator.sample(asked, random_state=1) != generator.sample(asked)).any()
    assert generator.loss_curve_.shape == (20,)


def test_what_is_refused(rows):
    x, kind = rows
    generator = ConditionalGenerator(steps=5).fit(x, kind)
    with pytest.raises(ValueError, match=r"y holds .*'mild'.*, but the fit saw calm, wild"):
        generator.sample(["calm", "mild"])
    with pytest.raises(ValueError, match=r'condition is .kind., but must be "auto", "classes" or "number"'):
        ConditionalGenerator(condition="kind").fit(x, kind)
    with pytest.raises(ValueError, match="latent is 0"):
        ConditionalGenerator(0).fit(x, kind)
    with pytest.raises(ValueError, match="y holds what is no number"):
        ConditionalGenerator(condition="number").fit(x, kind)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ConditionalGenerator().fit(x, kind[:-1])
    with pytest.raises(ValueError, match="y"):
        ConditionalGenerator().fit(x, None)
    with pytest.raises(ValueError, match="y holds classes of several types"):
        ConditionalGenerator().fit(x[:4], np.array(["a", 1, "a", 1], object))
    assert generator.sample([]).shape == (0, x.shape[1])
    heat = ConditionalGenerator(steps=5).fit(x, np.linspace(0, 1, len(x)))
    with pytest.raises(ValueError, match=r"y holds numbers more than 1e\+09 standard deviations"):
        heat.sample([1e300])
    years = ConditionalGenerator(steps=5).fit(x, 2000 + np.arange(len(x)) % 20)
    with pytest.raises(ValueError, match='fitted with condition="number" it takes any'):
        years.sample([2010.5])


def test_a_number_however_large_is_a_condition(rows):
    x, _ = rows
    heat = np.linspace(-1, 1, len(x))
    small, large = (ConditionalGenerator(condition="number", steps=5).fit(x, heat * unit) for unit in (1.0, 1e200))
    np.testing.assert_allclose(large.sample([5e199]), small.sample([0.5]), rtol=1e-5)
