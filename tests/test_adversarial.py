"""jaxae.adversarial: the losses at hand-made logits, the penalty in closed form, then a real GAN."""

import functools
import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats
from flax import linen as nn

from jaxae import adversarial, learner, models, networks, noise
from jaxae.types import Batch

REAL, FAKE = 2.0, -0.5


def sigmoid(logit):
    return 1 / (1 + math.exp(-logit))


BY_HAND = {
    "non_saturating": (-math.log(sigmoid(REAL)) - math.log(1 - sigmoid(FAKE)), -math.log(sigmoid(FAKE))),
    "minimax": (-math.log(sigmoid(REAL)) - math.log(1 - sigmoid(FAKE)), math.log(1 - sigmoid(FAKE))),
    "least_squares": (0.5 * 1.0**2 + 0.5 * 0.5**2, 0.5 * 1.5**2),
    "hinge": (0.0 + 0.5, 0.5),
    "wasserstein": (-0.5 - 2.0, 0.5),
}
LOSSES = [name for name in adversarial.__all__ if isinstance(getattr(adversarial, name), adversarial.GanLoss)]


def evaluate(player, model, batch, key, **hparams):
    """The loss as one compiled program, which is sooner built than all its operations one by one."""
    return jax.jit(lambda batch, key: player(model, batch, key, **hparams))(batch, key)


# the pairs


@pytest.mark.parametrize("name", LOSSES)
def test_the_pair_by_hand(name):
    loss = getattr(adversarial, name)
    for_discriminator, for_generator = BY_HAND[name]
    real, fake = jnp.array([REAL, REAL]), jnp.array([FAKE, FAKE])
    np.testing.assert_allclose(loss.discriminator(real, fake), [for_discriminator] * 2, rtol=1e-6)
    np.testing.assert_allclose(loss.generator(fake), [for_generator] * 2, rtol=1e-6)


@pytest.mark.parametrize("real, fake, value", [(0.5, -2.0, 0.5), (-1.0, 2.0, 5.0), (1.0, -1.0, 0.0), (9.0, -9.0, 0.0)])
def test_the_hinge_stops_at_the_margin(real, fake, value):
    assert adversarial.hinge.discriminator(jnp.array([real]), jnp.array([fake])).tolist() == [value]


@pytest.mark.parametrize("logit", [-20.0, -1.0, 0.0, 3.0])
def test_the_generators_slopes(logit):
    slope = {name: jax.grad(lambda f, name=name: getattr(adversarial, name).generator(f))(logit) for name in LOSSES}
    # Where the discriminator is sure of a fake, minimax has no slope left and non-saturating has 1.
    np.testing.assert_allclose(slope["minimax"], -sigmoid(logit), rtol=1e-5)
    np.testing.assert_allclose(slope["non_saturating"], -sigmoid(-logit), rtol=1e-5)
    np.testing.assert_allclose(slope["least_squares"], logit - 1)
    assert slope["hinge"] == slope["wasserstein"] == -1


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_pushes_real_up_and_fake_down_and_the_generator_fake_up(name):
    loss = getattr(adversarial, name)
    real, fake = jax.grad(lambda logits: loss.discriminator(*logits))((0.1, 0.1))
    assert real < 0 < fake
    assert jax.grad(loss.generator)(-0.1) < 0


@pytest.mark.parametrize("name", ["non_saturating", "minimax"])
@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_cross_entropies_are_finite_at_large_logits(name, logit):
    loss = getattr(adversarial, name)
    value, slopes = jax.value_and_grad(lambda pair: loss.discriminator(*pair) + loss.generator(pair[1]))((logit, logit))
    assert np.isfinite([value, *slopes]).all()


# the gradient penalty


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_the_penalty_of_a_linear_critic_is_exact(n):
    x = jax.random.normal(jax.random.key(0), (n, 4))
    unit = jnp.full((4, 1), 0.5)
    assert (adversarial.gradient_penalty(lambda x: (x @ unit)[:, 0], x) == 0).all()
    five = jnp.array([[3.0], [0.0], [-4.0], [0.0]])
    assert adversarial.gradient_penalty(lambda x: (x @ five)[:, 0], x).tolist() == [16.0] * n
    assert adversarial.gradient_penalty(lambda x: (x @ five)[:, 0], x, target=0.0).tolist() == [25.0] * n
    assert adversarial.gradient_penalty(lambda x: (x @ five)[:, 0], x, target=7.0).tolist() == [4.0] * n


def test_the_penalty_of_a_nonlinear_critic_is_the_one_of_every_examples_gradient(rng):
    w, v = jnp.float32(rng.normal(size=(3, 3, 8))), jnp.float32(rng.normal(size=(8,)))
    critic = lambda x: jnp.tanh(jnp.einsum("nhw,hwd->nd", x, w)) @ v  # noqa: E731
    x = jnp.float32(rng.normal(size=(9, 3, 3)))
    gradients = jax.vmap(jax.grad(lambda x: critic(x[None])[0]))(x)
    expected = (np.sqrt((np.float64(gradients) ** 2).sum((1, 2))) - 1) ** 2
    np.testing.assert_allclose(
        jax.jit(lambda x: adversarial.gradient_penalty(critic, x))(x), expected, rtol=1e-4, atol=1e-6
    )


def test_the_gradient_of_the_penalty_by_hand():
    # d/dw (‖w‖ − 1)² = 2 (‖w‖ − 1) w/‖w‖
    x = jnp.ones((1, 2))
    slope = jax.grad(lambda w: adversarial.gradient_penalty(lambda x: x @ w, x).sum())(jnp.array([3.0, 4.0]))
    np.testing.assert_allclose(slope, [8 * 0.6, 8 * 0.8], rtol=1e-6)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_the_gradient_of_the_penalty_is_finite_where_the_critic_is_flat(target):
    def penalty(w):
        return adversarial.gradient_penalty(lambda x: x @ w, jnp.ones((3, 2)), target=target).sum()

    value, slope = jax.value_and_grad(penalty)(jnp.zeros(2))
    assert value == 3 * target**2
    assert slope.tolist() == [0, 0]


def test_a_broken_critic_is_not_taken_for_a_flat_one():
    # A NaN is not > 0, and so passed for a gradient of 0.
    out = adversarial.gradient_penalty(lambda x: x[:, 0] * jnp.array([1.0, jnp.nan]), jnp.ones((2, 2)))
    assert out[0] == 0
    assert np.isnan(out[1])


@pytest.mark.parametrize("target", [-1.0, np.nan])
def test_a_norm_that_does_not_exist_is_refused(target):
    with pytest.raises(ValueError, match=r"target is .*≥ 0"):
        adversarial.gradient_penalty(lambda x: x[:, 0], jnp.ones((2, 2)), target=target)


# the players, with a fake model


def echo(scale=1.0):
    """Generates ones times a scale, whatever the key; the logit is the sum of x (and the condition)."""

    def discriminate(x, cond):
        return x.sum(-1) if cond is None else x.sum(-1) + cond[:, 0]

    return SimpleNamespace(generate=lambda key, n, cond: jnp.full((n, 2), scale), discriminate=discriminate)


@pytest.mark.parametrize("name", LOSSES)
def test_the_players_by_hand(name):
    loss, x = getattr(adversarial, name), jnp.array([[1.0, 1.0], [0.5, -2.0]])
    values, metrics = evaluate(adversarial.discriminator, echo(-0.25), Batch(x), jax.random.key(0), loss=loss)
    assert metrics["real"].tolist() == [2.0, -1.5]
    assert metrics["fake"].tolist() == [-0.5, -0.5]
    np.testing.assert_allclose(values[0], BY_HAND[name][0], rtol=1e-6)
    values, metrics = evaluate(adversarial.generator, echo(-0.25), Batch(x), jax.random.key(0), loss=loss)
    np.testing.assert_allclose(values, [BY_HAND[name][1]] * 2, rtol=1e-6)
    assert metrics == {}


def test_real_and_fake_get_the_same_condition():
    model = SimpleNamespace(generate=lambda key, n, cond: cond, discriminate=lambda x, cond: (x - cond).sum(-1))
    batch = Batch(jnp.ones((3, 2)), jnp.arange(6.0).reshape(3, 2))
    _, metrics = evaluate(adversarial.discriminator, model, batch, jax.random.key(0))
    assert metrics["fake"].tolist() == [0, 0, 0]
    assert metrics["real"].tolist() == [2 - 1, 2 - 5, 2 - 9]
    values, _ = evaluate(adversarial.generator, model, batch, jax.random.key(0), loss=adversarial.least_squares)
    assert values.tolist() == [0.5, 0.5, 0.5]


def test_instance_noise_is_on_real_and_fake_and_different():
    batch = Batch(jnp.ones((200, 2)))
    blur = functools.partial(noise.gaussian, scale=1.0)
    _, metrics = evaluate(adversarial.discriminator, echo(), batch, jax.random.key(0), noise=blur)
    real, fake = (np.asarray(metrics[name]) - 2 for name in ("real", "fake"))
    assert 1 < real.std() < 2
    assert 1 < fake.std() < 2
    # Five standard errors of an independent pair's correlation.
    assert abs(np.corrcoef(real, fake)[0, 1]) < 5 / np.sqrt(200)
    values, _ = evaluate(
        adversarial.generator, echo(), batch, jax.random.key(0), noise=blur, loss=adversarial.wasserstein
    )
    assert 1 < np.asarray(values).std() < 2


def test_the_penalty_is_taken_at_one_random_point_of_every_line():
    # The gradient of Σx²/2 at t·1 is t·1: its squared norm is d·t², with t uniform for every example.
    d, n, flat = 50, 400, adversarial.GanLoss(lambda real, fake: 0 * real, lambda fake: 0 * fake)
    model = SimpleNamespace(
        generate=lambda key, n, cond: jnp.zeros((n, 5, d // 5)),
        discriminate=lambda x, cond: (x**2).sum((1, 2)) / 2,
    )
    values, _ = evaluate(
        adversarial.discriminator,
        model,
        Batch(jnp.ones((n, 5, d // 5))),
        jax.random.key(0),
        loss=flat,
        penalty=2.0,
        target=0.0,
    )
    t = np.sqrt(np.asarray(values) / (2 * d))
    # A t for every entry would put all of them near √⅓. Five standard errors of a uniform mean.
    assert 0 <= t.min() < 0.05
    assert 0.95 < t.max() <= 1
    assert abs(t.mean() - 0.5) < 5 / np.sqrt(12 * n)


def test_the_penalty_does_not_train_the_generator():
    flat = adversarial.GanLoss(lambda real, fake: 0 * real, lambda fake: 0 * fake)

    def value(scale):
        model = SimpleNamespace(generate=echo(scale).generate, discriminate=lambda x, cond: (x**2).sum(-1))
        batch = Batch(jnp.zeros((4, 2)))
        return adversarial.discriminator(model, batch, jax.random.key(0), loss=flat, penalty=1.0)[0].sum()

    assert value(1.0) != value(2.0)
    assert jax.grad(value)(1.0) == 0


def test_a_traced_penalty_gives_what_the_number_gives():
    batch = Batch(jnp.ones((4, 2)))

    def value(penalty):
        return adversarial.discriminator(echo(2.0), batch, jax.random.key(0), penalty=penalty)[0]

    for penalty in (0.0, 3.0):
        np.testing.assert_allclose(jax.jit(value)(penalty), value(penalty), rtol=1e-6)
    # The norm of (1, 1) is √2.
    np.testing.assert_allclose(value(3.0) - value(0.0), 3 * (math.sqrt(2) - 1) ** 2 * np.ones(4), rtol=1e-5)


@pytest.mark.parametrize("player", [adversarial.discriminator, adversarial.generator])
def test_a_player_without_a_key_is_refused(player):
    with pytest.raises(ValueError, match=r"key is None.*give a key"):
        player(echo(), Batch(jnp.ones((3, 2))), None)


@pytest.mark.parametrize("penalty", [-1.0, np.nan])
def test_a_negative_penalty_is_refused(penalty):
    with pytest.raises(ValueError, match=r"penalty is .*≥ 0"):
        adversarial.discriminator(echo(), Batch(jnp.ones((3, 2))), jax.random.key(0), penalty=penalty)


# the players, with a real model


def gan(**discriminator):
    return models.GAN(networks.MLP((8, 5), norm=True), networks.MLP((8, 1), **discriminator), latent=3)


def step(model, x, cond=None, **hparams):
    variables = model.init(jax.random.key(1), x, cond)
    objective = learner.objective(model, adversarial.discriminator, **hparams)
    descend = learner.descend(objective, optax.sgd(0.1), wrt=("discriminator",))
    after, _, metrics = jax.jit(descend.step)(variables, descend.init(variables), Batch(x, cond), jax.random.key(2))
    return variables, after, metrics


@pytest.mark.parametrize("conditional", [False, True])
def test_the_discriminators_step_trains_the_discriminator_alone(conditional):
    x = jax.random.normal(jax.random.key(0), (6, 5))
    cond = jnp.eye(6, 2) if conditional else None
    model = gan()
    before, after, metrics = step(model, x, cond, penalty=1.0)
    assert np.isfinite(list(metrics.values())).all()
    np.testing.assert_allclose(metrics["real"], model.bind(before).discriminate(x, cond).mean(), rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, before["params"]["generator"], after["params"]["generator"])
    changed = jax.tree.map(
        lambda a, b: bool((a != b).any()), before["params"]["discriminator"], after["params"]["discriminator"]
    )
    assert all(jax.tree.leaves(changed))


def test_the_penalty_of_a_real_critic_is_the_one_of_every_examples_gradient():
    # The generator's last layer is blank: fakes are zeros, and the points lie between 0 and x = 0.
    x = jnp.zeros((6, 5))
    model = gan(activation=nn.tanh)
    variables = model.init(jax.random.key(1), x)
    variables["params"]["generator"]["Dense_1"] = jax.tree.map(
        jnp.zeros_like, variables["params"]["generator"]["Dense_1"]
    )
    critic = lambda x: model.apply(variables, x[None], method="discriminate")[0]  # noqa: E731
    expected = (jnp.linalg.norm(jax.grad(critic)(x[0])) - 1) ** 2
    without, with_penalty = (
        jax.jit(learner.objective(model, adversarial.discriminator, penalty=penalty))(
            variables, Batch(x), jax.random.key(2)
        )[0]
        for penalty in (0.0, 10.0)
    )
    np.testing.assert_allclose(with_penalty - without, 10 * expected, rtol=1e-4)


def test_a_discriminator_with_dropout_takes_a_penalty():
    _, after, metrics = step(gan(dropout=0.3), jnp.ones((6, 5)), penalty=1.0)
    assert np.isfinite(metrics["loss"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after))


def test_a_discriminator_with_batch_norm_trains_without_a_penalty_and_is_refused_with_one():
    x = jax.random.normal(jax.random.key(0), (6, 5))
    _, _, metrics = step(gan(norm=True), x)
    assert np.isfinite(metrics["loss"])
    # It left a dead tracer in the running averages, and an error that named neither.
    with pytest.raises(ValueError, match=r"batch norm trains inside a gradient.*norm=False"):
        step(gan(norm=True), x, penalty=1.0)


# the energy score


def test_the_energy_score_by_hand():
    drawn = jnp.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    model = SimpleNamespace(generate=lambda key, n, cond: drawn)
    x = jnp.array([[0.0, 0.0], [6.0, 8.0]])
    values, metrics = adversarial.energy_score(model, Batch(x), jax.random.key(0), samples=3)
    # E‖G − G′‖ over the six ordered pairs of different draws, four of which lie 5 apart.
    np.testing.assert_allclose(values, [5 / 3 - 0.5 * 20 / 6, 25 / 3 - 0.5 * 20 / 6], atol=1e-6)
    assert metrics == {}


def test_the_energy_score_of_a_normal_is_its_closed_form():
    # Gneiting & Raftery: crps(N(0, 1), x) = x(2Φ(x) − 1) + 2φ(x) − 1/√π.
    model = SimpleNamespace(generate=lambda key, n, cond: jax.random.normal(key, (n, 1)))
    x = np.array([-2.0, 0.0, 0.5, 3.0])
    values, _ = evaluate(
        adversarial.energy_score, model, Batch(jnp.float32(x)[:, None]), jax.random.key(0), samples=2000
    )
    normal = scipy.stats.norm
    expected = x * (2 * normal.cdf(x) - 1) + 2 * normal.pdf(x) - 1 / math.sqrt(math.pi)
    # Five standard errors: one draw's distance has a deviation of at most 1.
    np.testing.assert_allclose(values, expected, atol=5 / math.sqrt(2000))


def test_the_energy_score_is_least_for_the_true_distribution():
    x = jax.random.normal(jax.random.key(1), (1000, 2, 2))

    def mean(shift, scale):
        def generate(key, n, cond):
            return shift + scale * jax.random.normal(key, (n, 2, 2))

        model = SimpleNamespace(generate=generate)
        return evaluate(adversarial.energy_score, model, Batch(x), jax.random.key(0))[0].mean()

    assert mean(0.0, 1.0) < min(mean(0.5, 1.0), mean(0.0, 0.6), mean(0.0, 1.6))


def test_the_gradient_of_the_energy_score_is_finite_though_every_draw_meets_itself():
    def value(scale):
        model = SimpleNamespace(generate=lambda key, n, cond: scale * jax.random.normal(key, (n, 2)))
        return adversarial.energy_score(model, Batch(jnp.ones((3, 2))), jax.random.key(0), samples=8)[0].sum()

    assert np.isfinite(jax.jit(jax.grad(value))(1.0))


def test_the_energy_score_needs_a_key_and_two_draws():
    with pytest.raises(ValueError, match=r"key is None.*give a key"):
        adversarial.energy_score(echo(), Batch(jnp.ones((3, 2))), None)
    with pytest.raises(ValueError, match="samples is 1"):
        adversarial.energy_score(echo(), Batch(jnp.ones((3, 2))), jax.random.key(0), samples=1)


@pytest.mark.parametrize("player", [adversarial.discriminator, adversarial.generator])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"loss": "hinge"}, r"loss is 'hinge', but must be a GanLoss: adversarial\.non_saturating"),
        ({"noise": 0.1}, r"noise is 0\.1, but must be a function"),
        ({"model": object()}, "model is object, which has no generate"),
        ({"key": 3}, r"write jax\.random\.key\(0\)"),
    ],
)
def test_a_player_says_what_it_cannot_play_with(player, given, words):
    model = SimpleNamespace(generate=lambda key, n, cond: jnp.zeros((n, 2)), discriminate=lambda x, cond: x.sum(-1))
    given = {"model": model, "key": jax.random.key(0)} | given
    with pytest.raises(TypeError, match=words):
        player(given.pop("model"), Batch(jnp.ones((2, 2))), given.pop("key"), **given)


def test_a_target_is_looked_at_where_there_is_no_penalty_too():
    model = SimpleNamespace(generate=lambda key, n, cond: jnp.zeros((n, 2)), discriminate=lambda x, cond: x.sum(-1))
    with pytest.raises(ValueError, match="target is -1"):
        adversarial.discriminator(model, Batch(jnp.ones((2, 2))), jax.random.key(0), penalty=0.0, target=-1.0)
    with pytest.raises(TypeError, match="critic is None"):
        adversarial.gradient_penalty(None, jnp.ones((2, 2)))


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (np.ones((2, 2), np.int32), TypeError, "x holds int32, but must hold floats"),
        (np.float32(1), ValueError, "x is a single number"),
    ],
)
def test_what_has_no_gradient_has_no_penalty(x, error, words):
    with pytest.raises(error, match=words):
        adversarial.gradient_penalty(lambda x: (x**2).sum(-1), x)


def test_of_no_examples_there_is_no_penalty():
    assert adversarial.gradient_penalty(lambda x: (x**2).sum(-1), np.ones((0, 4), np.float32)).shape == (0,)


def test_what_is_generated_must_be_like_what_is_real():
    model = SimpleNamespace(generate=lambda key, n, cond: jnp.zeros((n, 4)), discriminate=lambda x, cond: x.sum(-1))
    with pytest.raises(ValueError, match=r"what the model generates has shape \(2, 4\), but x of batch has \(2, 3\)"):
        adversarial.discriminator(model, Batch(jnp.ones((2, 3))), jax.random.key(0))
    with pytest.raises(ValueError, match=r"each generated example has shape \(4,\), but one of x of batch has \(3,\)"):
        adversarial.energy_score(model, Batch(jnp.ones((2, 3))), jax.random.key(0))
