"""jaxae.learner: against hand-written loops, then how learners combine, then the lift of NNX modules."""

import functools

import flax.errors
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxae import adversarial, distributions, learner, losses, models, networks, training
from jaxae.types import Batch, Learner


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def close(a, b, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), a, b)


def different(a, b):
    return all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), a, b)))


def data(n=8, columns=5):
    return Batch(jax.random.uniform(jax.random.key(0), (n, columns)))


def autoencoder(**hparams):
    ae = models.AE(networks.MLP((6, 3), **hparams), networks.MLP((6, 5), **hparams))
    return ae, ae.init(jax.random.key(1), data().x)


def quadratic(variables, batch, key):
    """½‖w − mean of x‖², whose gradient is known."""
    value = 0.5 * jnp.sum((variables["params"]["w"] - batch.x.mean(0)) ** 2)
    return value, (variables, {"loss": value, "draw": jax.random.uniform(key)})


POINT = {"params": {"w": jnp.array([4.0, -2.0])}}
ZEROS = Batch(jnp.zeros((3, 2)))


# objective and score


def test_the_objective_is_the_mean_of_the_loss():
    ae, variables = autoencoder()
    batch = data()
    value, (after, metrics) = learner.objective(ae, losses.sparse_l1, weight=0.3)(variables, batch, jax.random.key(2))
    values, aux = losses.sparse_l1(ae.bind(variables), batch, None, weight=0.3)
    np.testing.assert_allclose(value, values.mean(), rtol=1e-6)
    assert metrics["loss"] == value
    np.testing.assert_allclose(metrics["error"], aux["error"].mean(), rtol=1e-6)
    np.testing.assert_allclose(metrics["activation"], aux["activation"].mean(), rtol=1e-6)
    assert {metric.shape for metric in metrics.values()} == {()}
    same(after, variables)


def test_the_objective_trains_batch_norm_and_drops():
    ae, variables = autoencoder(norm=True, dropout=0.5)
    objective = jax.jit(learner.objective(ae, losses.reconstruction))
    value, (after, _) = objective(variables, data(), jax.random.key(2))
    same(after["params"], variables["params"])
    assert different(after["batch_stats"], variables["batch_stats"])
    assert value != objective(variables, data(), jax.random.key(3))[0]
    assert value == objective(variables, data(), jax.random.key(2))[0]


def test_the_score_is_the_loss_in_inference_mode():
    ae, variables = autoencoder(norm=True, dropout=0.5)
    _, (variables, _) = learner.objective(ae, losses.reconstruction)(variables, data(), jax.random.key(2))
    score = jax.jit(learner.score(ae, losses.reconstruction))
    values = score(variables, data())
    expected = ((ae.apply(variables, data().x) - data().x) ** 2).sum(-1)
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    same(values, score(variables, data()))
    # Running averages, not the batch's: a row's score does not depend on the others.
    np.testing.assert_allclose(score(variables, Batch(data().x[:1])), values[:1], rtol=1e-6)
    # A key is for the loss; nothing drops.
    same(values, score(variables, data(), jax.random.key(3)))


def test_the_score_passes_the_key_and_the_hyperparameters_on():
    vae = models.VAE(networks.MLP((6,)), networks.MLP((5,)), latent=2)
    variables = vae.init(jax.random.key(1), data().x)
    score = jax.jit(learner.score(vae, losses.elbo, beta=0.5))
    _, aux = jax.jit(lambda v: losses.elbo(vae.bind(v), data(), None))(variables)
    np.testing.assert_allclose(score(variables, data()), aux["nll"] + 0.5 * aux["kl"], rtol=1e-6)
    drawn = [score(variables, data(), jax.random.key(n)) for n in (0, 0, 1)]
    same(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).all()
    assert (drawn[0] != score(variables, data())).all()


def test_the_condition_reaches_the_loss():
    ae = models.AE(networks.MLP((3,)), networks.MLP((5,)))
    batch = Batch(data().x, jax.random.normal(jax.random.key(4), (8, 2)))
    variables = ae.init(jax.random.key(1), *batch)
    expected = ((ae.apply(variables, *batch) - batch.x) ** 2).sum(-1)
    np.testing.assert_allclose(learner.score(ae, losses.reconstruction)(variables, batch), expected, rtol=1e-6)
    value, _ = learner.objective(ae, losses.reconstruction)(variables, batch, jax.random.key(2))
    np.testing.assert_allclose(value, expected.mean(), rtol=1e-6)


@pytest.mark.parametrize("values", [jnp.zeros(()), jnp.zeros((8, 1)), jnp.zeros((8, 5)), jnp.zeros(7), 1.5])
def test_a_loss_that_is_not_one_number_per_example_is_refused(values):
    ae, variables = autoencoder()
    loss = lambda model, batch, key: (values, {})  # noqa: E731
    message = r"the loss returned shape .* for 8 examples, but must return one number per example, \(8,\)"
    with pytest.raises(ValueError, match=message):
        learner.objective(ae, loss)(variables, data(), jax.random.key(0))
    with pytest.raises(ValueError, match=message):
        learner.score(ae, loss)(variables, data())


def test_a_metric_cannot_take_the_place_of_the_loss():
    # It did: the gradient was the metric's.
    ae, variables = autoencoder()
    loss = lambda model, batch, key: (jnp.ones(8), {"loss": jnp.zeros(8)})  # noqa: E731
    with pytest.raises(ValueError, match=r"a metric named 'loss'.*rename"):
        learner.objective(ae, loss)(variables, data(), jax.random.key(0))


def test_a_traced_hyperparameter_gives_what_the_number_gives():
    vae = models.VAE(networks.MLP((6,)), networks.MLP((5,)), latent=2)
    variables = vae.init(jax.random.key(1), data().x)

    def value(beta, free_bits):
        objective = learner.objective(vae, losses.elbo, beta=beta, free_bits=free_bits)
        return objective(variables, data(), jax.random.key(2))[0]

    betas = jnp.array([0.0, 0.5, 2.0])
    expected = [value(float(beta), 0.1) for beta in betas]
    np.testing.assert_allclose(jax.jit(jax.vmap(lambda beta: value(beta, 0.1)))(betas), expected, rtol=1e-6)
    # The slope in beta is the KL, and the loss is linear in it.
    slope = jax.grad(value)(0.5, 0.0)
    np.testing.assert_allclose(value(1.5, 0.0) - value(0.5, 0.0), slope, rtol=1e-4)


# descend


def test_descend_is_the_hand_written_loop():
    ae, variables = autoencoder(norm=True, dropout=0.2)
    objective, tx = learner.objective(ae, losses.reconstruction), optax.adam(1e-2)
    descend = learner.descend(objective, tx)

    @jax.jit
    def by_hand(variables, opt_state, batch, key):
        def value(params):
            return objective({**variables, "params": params}, batch, key)

        (loss, (written, _)), grads = jax.value_and_grad(value, has_aux=True)(variables["params"])
        updates, opt_state = tx.update(grads, opt_state, variables["params"])
        return {**written, "params": optax.apply_updates(variables["params"], updates)}, opt_state, loss

    step, mine = jax.jit(descend.step), variables
    opt_state, my_state = descend.init(variables), tx.init(variables["params"])
    for n in range(4):
        variables, opt_state, metrics = step(variables, opt_state, data(), jax.random.key(10 + n))
        mine, my_state, loss = by_hand(mine, my_state, data(), jax.random.key(10 + n))
        np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-6)
    # Two programs may round otherwise, and Adam's quotient is loose where a gradient is all rounding.
    close(variables, mine, rtol=1e-5, atol=1e-6)
    close(opt_state, my_state, rtol=1e-5, atol=1e-6)


def test_descend_by_hand():
    descend = learner.descend(quadratic, optax.sgd(0.25))
    variables, _, metrics = descend.step(POINT, descend.init(POINT), ZEROS, jax.random.key(0))
    assert variables["params"]["w"].tolist() == [3.0, -1.5]
    # The metrics are those before the step.
    assert metrics["loss"] == 10


def test_the_transformation_sees_the_parameters():
    # Weight decay alone: the gradient is zero at the data's mean.
    tx = optax.chain(optax.add_decayed_weights(0.5), optax.sgd(1.0))
    descend = learner.descend(quadratic, tx)
    variables, _, _ = descend.step(POINT, descend.init(POINT), Batch(POINT["params"]["w"][None]), jax.random.key(0))
    assert variables["params"]["w"].tolist() == [2.0, -1.0]


def test_wrt_changes_the_named_submodules_and_leaves_the_others_bits():
    ae, variables = autoencoder(norm=True)
    descend = learner.descend(
        learner.objective(ae, losses.reconstruction), optax.sgd(0.1, momentum=0.9), wrt=("encoder",)
    )
    opt_state = descend.init(variables)
    after, opt_state, _ = jax.jit(descend.step)(variables, opt_state, data(), jax.random.key(2))
    same(after["params"]["decoder"], variables["params"]["decoder"])
    same(after["batch_stats"]["decoder"], variables["batch_stats"]["decoder"])
    assert different(after["batch_stats"]["encoder"], variables["batch_stats"]["encoder"])
    for layer in ("Dense_0", "Dense_1"):
        kernel = after["params"]["encoder"][layer]["kernel"]
        assert (kernel != variables["params"]["encoder"][layer]["kernel"]).any()
    assert set(opt_state[0].trace) == {"encoder"}
    whole = learner.descend(learner.objective(ae, losses.reconstruction), optax.sgd(0.1), wrt=["encoder", "decoder"])
    free = learner.descend(learner.objective(ae, losses.reconstruction), optax.sgd(0.1))
    same(*(jax.jit(part.step)(variables, part.init(variables), data(), jax.random.key(2))[0] for part in (whole, free)))


def test_wrt_refuses_a_string_and_says_what_to_write():
    with pytest.raises(TypeError, match=r"write wrt=\('encoder',\)"):
        learner.descend(quadratic, optax.sgd(0.1), wrt="encoder")


def test_wrt_refuses_names_that_do_not_exist():
    _, variables = autoencoder()
    with pytest.raises(ValueError, match="no submodule 'encodr'; there is: encoder, decoder"):
        learner.descend(quadratic, optax.sgd(0.1), wrt=("decoder", "encodr")).init(variables)
    with pytest.raises(ValueError, match=r"wrt is empty; there is: (encoder, decoder|decoder, encoder)"):
        learner.descend(quadratic, optax.sgd(0.1), wrt=()).init(variables)


@pytest.mark.parametrize("tx", [0.1, optax.adam, None])
def test_what_is_no_gradient_transformation_is_refused(tx):
    with pytest.raises(TypeError, match=r"must be an optax gradient transformation: optax\.adam\(1e-3\)"):
        learner.descend(quadratic, tx)


# a GAN whose players both have batch norm


def players():
    """A GAN, its variables with a generator that makes the same known fake of any z, and real examples."""
    gan = models.GAN(networks.MLP((6, 5), norm=True), networks.MLP((6, 1), norm=True), latent=2)
    variables = gan.init(jax.random.key(1), data().x)
    fake = jnp.arange(5.0) / 5
    variables["params"]["generator"]["Dense_1"] = {"kernel": jnp.zeros((6, 5)), "bias": fake}
    return gan, variables, np.float64(fake)


def test_the_discriminator_updates_its_own_running_averages_from_real_and_then_fake():
    gan, before, fake = players()
    descend = learner.descend(learner.objective(gan, adversarial.discriminator), optax.sgd(0.1), wrt=("discriminator",))
    after, _, metrics = jax.jit(descend.step)(before, descend.init(before), data(), jax.random.key(2))
    same(after["batch_stats"]["generator"], before["batch_stats"]["generator"])
    same(after["params"]["generator"], before["params"]["generator"])
    params = before["params"]["discriminator"]

    def hidden(x):
        return np.maximum(x @ np.float64(params["Dense_0"]["kernel"]) + np.float64(params["Dense_0"]["bias"]), 0)

    real, fakes = hidden(np.float64(data().x)), hidden(fake[None])
    stats = after["batch_stats"]["discriminator"]["BatchNorm_0"]["BatchNorm_0"]
    # Averages start at 0 and 1; fakes, all alike, have variance 0. Float32 sums of eight.
    np.testing.assert_allclose(stats["mean"], 0.9 * 0.1 * real.mean(0) + 0.1 * fakes[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(stats["var"], 0.9 * (0.9 + 0.1 * real.var(0)), rtol=1e-5)
    # The logits come from the batch's own statistics.
    normal = (real - real.mean(0)) / np.sqrt(real.var(0) + 1e-5)
    logits = normal @ np.float64(params["Dense_1"]["kernel"])
    np.testing.assert_allclose(metrics["real"], logits.mean(), atol=1e-5)
    np.testing.assert_allclose(metrics["fake"], 0, atol=1e-5)
    expected = np.log1p(np.exp(-logits)).mean() + np.log(2)
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-4)


def test_the_generator_updates_its_own_running_averages_and_not_the_discriminators():
    gan, before, _ = players()
    descend = learner.descend(learner.objective(gan, adversarial.generator), optax.sgd(0.1), wrt=("generator",))
    after, _, _ = jax.jit(descend.step)(before, descend.init(before), data(), jax.random.key(2))
    for collection in ("params", "batch_stats"):
        same(after[collection]["discriminator"], before[collection]["discriminator"])
    assert different(after["batch_stats"]["generator"], before["batch_stats"]["generator"])


def test_the_players_in_turn():
    gan, before, _ = players()
    one = {
        name: learner.descend(learner.objective(gan, loss), optax.adam(1e-2), wrt=(name,))
        for name, loss in (("discriminator", adversarial.discriminator), ("generator", adversarial.generator))
    }
    game = learner.chain(discriminator=learner.repeat(one["discriminator"], 2), generator=one["generator"])
    after, opt_state, metrics = jax.jit(game.step)(before, game.init(before), data(), jax.random.key(2))
    assert set(metrics) == {"discriminator/loss", "discriminator/real", "discriminator/fake", "generator/loss"}
    assert {name: int(state[0].count) for name, state in opt_state.items()} == {"discriminator": 2, "generator": 1}
    assert jax.tree.structure(after) == jax.tree.structure(before)
    assert different(after["batch_stats"], before["batch_stats"])


# chain and repeat


def add(amount):
    """A learner that adds to w, counts its steps, and reports w as it found it and a draw."""

    def step(variables, opt_state, batch, key):
        w = variables["params"]["w"]
        metrics = {"w": w.mean(), "draw": jax.random.uniform(key)}
        return {"params": {"w": w + amount}}, opt_state + 1, metrics

    return Learner(lambda variables: jnp.zeros((), jnp.int32), step)


def test_chain_steps_in_turn_on_what_the_one_before_left():
    both = learner.chain(first=add(1.0), second=add(10.0))
    variables, opt_state, metrics = both.step(POINT, both.init(POINT), ZEROS, jax.random.key(0))
    assert variables["params"]["w"].tolist() == [15.0, 9.0]
    assert {name: int(count) for name, count in opt_state.items()} == {"first": 1, "second": 1}
    assert set(metrics) == {"first/w", "first/draw", "second/w", "second/draw"}
    assert (metrics["first/w"], metrics["second/w"]) == (1, 2)
    assert metrics["first/draw"] != metrics["second/draw"]


def test_repeat_is_as_many_steps_and_the_metrics_are_their_means():
    three = learner.repeat(add(1.0), 3)
    variables, opt_state, metrics = three.step(POINT, three.init(POINT), ZEROS, jax.random.key(0))
    assert variables["params"]["w"].tolist() == [7.0, 1.0]
    assert opt_state == 3
    assert metrics["w"] == 1 + 1
    descend = learner.descend(quadratic, optax.sgd(0.1, momentum=0.9))
    expected, state = POINT, descend.init(POINT)
    for n in range(3):
        expected, state, _ = descend.step(expected, state, ZEROS, jax.random.key(n))
    repeated = learner.repeat(descend, 3)
    variables, opt_state, _ = repeated.step(POINT, repeated.init(POINT), ZEROS, jax.random.key(0))
    # The objective's value uses no key; compiled, a product and a sum may be fused.
    close((variables, opt_state), (expected, state), rtol=1e-6)


def test_every_step_of_repeat_has_a_key_of_its_own():
    draws = Learner(
        lambda v: jnp.zeros(3), lambda v, s, b, key: (v, jnp.roll(s, 1).at[0].set(jax.random.uniform(key)), {})
    )
    _, drawn, _ = learner.repeat(draws, 3).step({}, jnp.zeros(3), None, jax.random.key(0))
    assert len(set(drawn.tolist())) == 3
    assert (drawn > 0).all()


def test_chain_and_repeat_nest():
    inner = learner.repeat(learner.chain(a=add(1.0), b=add(2.0)), 2)
    outer = learner.chain(inner=inner, c=add(100.0))
    variables, opt_state, metrics = outer.step(POINT, outer.init(POINT), ZEROS, jax.random.key(0))
    assert variables["params"]["w"].tolist() == [110.0, 104.0]
    assert metrics["inner/a/w"] == 1 + 1.5
    assert metrics["c/w"] == 7
    assert opt_state["inner"]["b"] == 2


def test_chain_and_repeat_refuse_nothing_to_do():
    with pytest.raises(ValueError, match="chain was given no learner"):
        learner.chain()
    with pytest.raises(ValueError, match="times is 0"):
        learner.repeat(add(1.0), 0)
    with pytest.raises(TypeError, match=r"times is 2\.0"):
        learner.repeat(add(1.0), 2.0)


# schedule


def test_a_schedule_gives_every_step_its_value():
    values = []
    scheduled = learner.schedule(
        lambda a, b: Learner(lambda v: (), lambda v, s, batch, key: (v, s, {"a": a, "b": b})),
        a=optax.linear_schedule(0.0, 1.0, 2),
        b=lambda step: 10.0 * step,
    )
    state = scheduled.init(POINT)
    for _ in range(4):
        _, state, metrics = jax.jit(scheduled.step)(POINT, state, ZEROS, jax.random.key(0))
        values.append((float(metrics["a"]), float(metrics["b"])))
    assert values == [(0, 0), (0.5, 10), (1, 20), (1, 30)]
    assert state[0] == 4


def test_a_scheduled_learning_rate_is_optaxs_own():
    rates = optax.piecewise_constant_schedule(0.5, {1: 0.5, 2: 0.0})
    scheduled = learner.schedule(lambda lr: learner.descend(quadratic, optax.sgd(lr)), lr=rates)
    own = learner.descend(quadratic, optax.sgd(rates))
    (a, state), (b, own_state) = ((POINT, part.init(POINT)) for part in (scheduled, own))
    seen = []
    for _ in range(4):
        a, state, _ = scheduled.step(a, state, ZEROS, jax.random.key(0))
        b, own_state, _ = own.step(b, own_state, ZEROS, jax.random.key(0))
        same(a, b)
        seen.append(float(a["params"]["w"][0]))
    assert seen == [4 * 0.5, 4 * 0.5 * 0.75, 4 * 0.5 * 0.75, 4 * 0.5 * 0.75]


def test_a_warm_up_of_beta():
    vae = models.VAE(networks.MLP((6,)), networks.MLP((5,)), latent=2)
    variables = vae.init(jax.random.key(1), data().x)
    warm_up = learner.schedule(
        lambda beta: learner.descend(learner.objective(vae, losses.elbo, beta=beta), optax.adam(1e-2)),
        beta=optax.linear_schedule(0.0, 1.0, 2),
    )
    state = warm_up.init(variables)
    for beta in (0.0, 0.5, 1.0, 1.0):
        variables, state, metrics = jax.jit(warm_up.step)(variables, state, data(), jax.random.key(0))
        np.testing.assert_allclose(metrics["loss"], metrics["nll"] + beta * metrics["kl"], rtol=1e-6)
        assert metrics["kl"] > 1e-3


def test_a_schedule_of_nothing_is_refused():
    with pytest.raises(ValueError, match="schedule was given no schedule"):
        learner.schedule(lambda: add(1.0))


# the lift of NNX modules


class NNXAutoencoder(nnx.Module):
    """Layers in a list, batch norm and dropout: as `linen_twin`."""

    def __init__(self, rngs, dropout=0.5):
        self.layers = nnx.List([nnx.Linear(5, 6, rngs=rngs), nnx.Linear(6, 3, rngs=rngs)])
        self.norm = nnx.BatchNorm(6, momentum=0.9, rngs=rngs)
        self.drop = nnx.List([nnx.Dropout(dropout, rngs=rngs), nnx.Dropout(dropout, rngs=rngs)])
        self.decoder = nnx.Linear(3, 5, rngs=rngs)

    def encode(self, x, cond=None):
        return self.layers[1](self.drop[0](self.norm(nnx.relu(self.layers[0](x)))))

    def decode(self, z, cond=None):
        return self.decoder(z)


lifted = learner.lift(NNXAutoencoder)
dry = learner.lift(functools.partial(NNXAutoencoder, dropout=0.0))


def linen_twin(variables):
    """A Linen model with the lifted module's weights, and its variables."""
    ae = models.AE(networks.MLP((6, 3), norm=True), networks.MLP((5,)))
    params, state = variables["params"], variables["state"]
    encoder = {"Dense_0": params["layers"]["0"], "Dense_1": params["layers"]["1"]}
    encoder["BatchNorm_0"] = {"BatchNorm_0": params["norm"]}
    stats = {"encoder": {"BatchNorm_0": {"BatchNorm_0": state["norm"]}}}
    return ae, {"params": {"encoder": encoder, "decoder": {"Dense_0": params["decoder"]}}, "batch_stats": stats}


def test_lifted_variables_are_nested_dictionaries_of_arrays_by_name():
    variables = lifted.init(jax.random.key(0), *data())
    flat = flax.traverse_util.flatten_dict(variables)
    # A list's layers were named by integers, which no file has.
    assert {type(name) for path in flat for name in path} == {str}
    assert all(isinstance(leaf, jax.Array) for leaf in flat.values())
    assert {"/".join(path): leaf.shape for path, leaf in flat.items()} == {
        "params/layers/0/kernel": (5, 6),
        "params/layers/0/bias": (6,),
        "params/layers/1/kernel": (6, 3),
        "params/layers/1/bias": (3,),
        "params/norm/scale": (6,),
        "params/norm/bias": (6,),
        "params/decoder/kernel": (3, 5),
        "params/decoder/bias": (5,),
        "state/norm/mean": (6,),
        "state/norm/var": (6,),
    }
    written = learner.objective(lifted, losses.reconstruction)(variables, data(), jax.random.key(1))[1][0]
    assert jax.tree.structure(written) == jax.tree.structure(variables)
    assert different(
        variables["params"]["decoder"]["kernel"], lifted.init(jax.random.key(1))["params"]["decoder"]["kernel"]
    )


def test_a_list_of_more_than_ten_layers_keeps_its_order():
    class Deep(nnx.Module):
        def __init__(self, rngs):
            self.layers = nnx.List([nnx.Linear(1, 1, rngs=rngs) for _ in range(12)])

        def encode(self, x, cond=None):
            for layer in self.layers:
                x = layer(x)
            return x

    deep = learner.lift(Deep)
    variables = deep.init(jax.random.key(0))
    x = expected = jnp.ones((1, 1))
    for i in range(12):
        variables["params"]["layers"][str(i)]["bias"] = jnp.full(1, float(i))
        expected = expected * variables["params"]["layers"][str(i)]["kernel"] + i
    np.testing.assert_allclose(deep.bind(variables).encode(x), expected, rtol=1e-5)


def test_a_lifted_module_trains_as_its_linen_twin():
    batch = data()
    variables = dry.init(jax.random.key(0))
    ae, twin = linen_twin(variables)
    steps = [learner.descend(learner.objective(model, losses.reconstruction), optax.sgd(0.1)) for model in (dry, ae)]
    opt_states = [step.init(v) for step, v in zip(steps, (variables, twin), strict=True)]
    for n in range(3):
        variables, opt_states[0], a = jax.jit(steps[0].step)(variables, opt_states[0], batch, jax.random.key(n))
        twin, opt_states[1], b = jax.jit(steps[1].step)(twin, opt_states[1], batch, jax.random.key(n))
        np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-5)
        # The same sums in another order, over three steps.
        close(linen_twin(variables)[1], twin, rtol=1e-4, atol=1e-5)
    scores = [learner.score(m, losses.reconstruction)(v, batch) for m, v in ((dry, variables), (ae, twin))]
    np.testing.assert_allclose(*scores, rtol=1e-4)
    np.testing.assert_allclose(dry.bind(variables).encode(batch.x), ae.bind(twin).encode(batch.x), rtol=1e-4, atol=1e-5)


def test_a_lifted_modules_running_averages_change_in_training_only():
    variables = lifted.init(jax.random.key(0))
    before = jax.tree.map(np.array, variables)
    learner.score(lifted, losses.reconstruction)(variables, data())
    lifted.bind(variables).encode(data().x)
    same(variables, before)
    _, (written, _) = learner.objective(lifted, losses.reconstruction)(variables, data(), jax.random.key(1))
    assert different(written["state"], before["state"])
    same(written["params"], before["params"])
    same(variables, before)


def test_a_lifted_modules_dropout_follows_the_key_and_is_off_in_inference():
    variables = lifted.init(jax.random.key(0))
    objective = jax.jit(learner.objective(lifted, losses.reconstruction))
    values = [float(objective(variables, data(), jax.random.key(n))[0]) for n in (1, 1, 2)]
    assert values[0] == values[1] != values[2]
    ae, twin = linen_twin(variables)
    expected = learner.score(ae, losses.reconstruction)(twin, data())
    score = learner.score(lifted, losses.reconstruction)
    np.testing.assert_allclose(score(variables, data()), expected, rtol=1e-5)
    np.testing.assert_allclose(score(variables, data(), jax.random.key(3)), expected, rtol=1e-5)


def masks(module, batch, key):
    x = jnp.ones((20, 16))
    return jnp.stack([drop(x) for drop in (*module.drop, module.drop[0])]), {}


def test_every_dropout_layer_of_a_lifted_module_has_a_mask_of_its_own():
    variables = lifted.init(jax.random.key(0))
    # All layers dropped the same units: each was given the same key.
    drawn, _ = lifted.apply(variables, data(), None, method=masks, rngs={"dropout": jax.random.key(1)})
    other, _ = lifted.apply(variables, data(), None, method=masks, rngs={"dropout": jax.random.key(2)})
    kept = np.asarray([*drawn, other[0]]).reshape(4, -1) != 0
    # Two independent masks agree in half of the 320 entries, ± 5 standard deviations of the binomial.
    for i in range(4):
        for j in range(i):
            assert abs((kept[i] == kept[j]).sum() - 160) < 5 * np.sqrt(80)
    same(lifted.apply(variables, data(), None, method=masks)[0], jnp.ones((3, 20, 16)))


def test_lifted_layers_stacked_by_vmap_drop_each_for_itself():
    class Stacked(nnx.Module):
        def __init__(self, rngs):
            @nnx.split_rngs(splits=3)
            @nnx.vmap
            def make(rngs):
                return nnx.Dropout(0.5, rngs=rngs)

            self.drop = make(rngs)

        def encode(self, x, cond=None):
            return nnx.vmap(lambda drop, x: drop(x))(self.drop, x)

    stacked = learner.lift(Stacked)
    loss = lambda module, batch, key: (module.encode(jnp.ones((3, 100))), {})  # noqa: E731
    out, _ = stacked.apply(
        stacked.init(jax.random.key(0)), data(), None, method=loss, rngs={"dropout": jax.random.key(1)}
    )
    assert set(np.unique(out)) == {0, 2}
    assert (out[0] != out[1]).any()
    assert (out[1] != out[2]).any()
    np.testing.assert_array_equal(
        stacked.bind(stacked.init(jax.random.key(0))).encode(jnp.ones((3, 4))), np.ones((3, 4))
    )


def test_a_lifted_module_trains_compiled_and_as_a_population():
    descend = learner.descend(learner.objective(lifted, losses.reconstruction), optax.sgd(1e-2))
    batch = data(32)

    def train(key):
        return training.train(lifted, descend, batch, key, epochs=12, batch_size=8)

    state, history = jax.jit(train)(jax.random.split(jax.random.key(0), 2)[0])
    assert history["loss"][-1] < history["loss"][0]
    assert state.step == 48
    states, histories = jax.jit(jax.vmap(train))(jax.random.split(jax.random.key(0), 2))
    # Batched products round otherwise, and 48 steps carry it on.
    np.testing.assert_allclose(histories["loss"][0], history["loss"], rtol=1e-4)
    assert different(*(jax.tree.map(lambda leaf, n=n: leaf[n], states.variables) for n in (0, 1)))


def test_wrt_names_the_submodules_of_a_lifted_module():
    variables = lifted.init(jax.random.key(0))
    descend = learner.descend(learner.objective(lifted, losses.reconstruction), optax.sgd(0.1), wrt=("decoder",))
    after, _, _ = descend.step(variables, descend.init(variables), data(), jax.random.key(1))
    same(after["params"]["layers"], variables["params"]["layers"])
    same(after["state"], variables["state"])
    assert (after["params"]["decoder"]["kernel"] != variables["params"]["decoder"]["kernel"]).any()


def test_a_lifted_module_without_state_trains():
    class Linear(nnx.Module):
        def __init__(self, rngs):
            self.layer = nnx.Linear(5, 5, rngs=rngs)

        def encode(self, x, cond=None):
            return x

        def decode(self, z, cond=None):
            return self.layer(z)

    linear = learner.lift(Linear)
    variables = linear.init(jax.random.key(0))
    assert variables["state"] == {}
    descend = learner.descend(learner.objective(linear, losses.reconstruction), optax.sgd(0.1))
    after, _, metrics = jax.jit(descend.step)(variables, descend.init(variables), data(), jax.random.key(1))
    assert jax.tree.structure(after) == jax.tree.structure(variables)
    score = learner.score(linear, losses.reconstruction)
    np.testing.assert_allclose(score(variables, data()).mean(), metrics["loss"], rtol=1e-6)


def test_a_lifted_vae_trains_its_bound():
    class NNXVAE(nnx.Module):
        def __init__(self, rngs):
            self.head, self.decoder = nnx.Linear(5, 4, rngs=rngs), nnx.Linear(2, 5, rngs=rngs)

        def encode(self, x, cond=None):
            return distributions.Normal(*jnp.split(self.head(x), 2, -1))

        def decode(self, z, cond=None):
            return self.decoder(z)

    vae = learner.lift(NNXVAE)
    variables = vae.init(jax.random.key(0))
    for loss in (losses.elbo, functools.partial(losses.importance_weighted, samples=3)):
        descend = learner.descend(learner.objective(vae, loss), optax.adam(1e-2))
        _, _, metrics = jax.jit(descend.step)(variables, descend.init(variables), data(), jax.random.key(1))
        assert np.isfinite(metrics["loss"])


def test_contractive_of_a_lifted_module():
    variables = dry.init(jax.random.key(0))
    ae, twin = linen_twin(variables)
    scores = [learner.score(m, losses.contractive)(v, data()) for m, v in ((dry, variables), (ae, twin))]
    np.testing.assert_allclose(*scores, rtol=1e-5)
    # NNX itself refuses the running averages of a batch norm written inside a gradient of the loss.
    with pytest.raises(flax.errors.TraceContextError, match="Cannot mutate BatchStat from a different trace level"):
        learner.objective(dry, losses.contractive)(variables, data(), jax.random.key(1))


@pytest.mark.parametrize("returned", [lambda x: x.sum(-1), lambda x: (x.sum(-1), x, x), lambda x: (x.sum(-1), x)])
def test_a_loss_returns_values_and_metrics(returned):
    model = models.AE(networks.MLP((2,)), networks.MLP((3,)))
    variables = model.init(jax.random.key(0), jnp.ones((4, 3)))
    objective = learner.objective(model, lambda model, batch, key: returned(batch.x))
    with pytest.raises(TypeError, match=r"must return \(values \(n,\), metrics\): return values, \{\}"):
        objective(variables, Batch(jnp.ones((4, 3))), jax.random.key(1))


class TestWarmStart:
    ae = models.AE(networks.MLP((4, 2)), networks.MLP((6,)))
    x = jnp.ones((3, 6))

    def test_given_parameters_stand_in_for_fresh_ones(self):
        donor = self.ae.init(jax.random.key(0), self.x)["params"]["encoder"]
        fresh = self.ae.init(jax.random.key(1), self.x)
        begun = learner.warm_start(self.ae, {"encoder": donor}).init(jax.random.key(1), self.x)
        same(begun["params"]["encoder"], donor)
        same(begun["params"]["decoder"], fresh["params"]["decoder"])

    def test_training_begins_there_and_a_frozen_encoder_stays(self):
        donor = self.ae.init(jax.random.key(0), self.x)["params"]["encoder"]
        model = learner.warm_start(self.ae, {"encoder": donor})
        only = learner.descend(learner.objective(model, losses.reconstruction), optax.sgd(0.01), wrt=("decoder",))
        state, _ = training.train(model, only, Batch(self.x), jax.random.key(2), epochs=3, batch_size=3)
        same(state.variables["params"]["encoder"], donor)
        assert model.bind(state.variables).encode(self.x).shape == (3, 2)

    def test_other_shapes_and_names_are_refused(self):
        wider = models.AE(networks.MLP((5, 2)), networks.MLP((6,))).init(jax.random.key(0), self.x)["params"]
        with pytest.raises(ValueError, match="given parameters of encoder have shapes"):
            learner.warm_start(self.ae, {"encoder": wider["encoder"]}).init(jax.random.key(1), self.x)
        with pytest.raises(ValueError, match="no submodule 'encodr'; there is: encoder"):
            learner.warm_start(self.ae, {"encodr": wider["encoder"]}).init(jax.random.key(1), self.x)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: learner.objective(models.AE, losses.elbo), TypeError, "model is the class AE, but must be a Linen"),
        (lambda: learner.score("vae", losses.elbo), TypeError, "model is str, but must be a Linen module"),
        (lambda: learner.objective(AUTOENCODER, "elbo"), TypeError, "loss is 'elbo', but must be a function"),
        (
            lambda: learner.objective(AUTOENCODER, losses.elbo, betta=1.0),
            ValueError,
            "no hyperparameter of the loss 'betta'; there is: beta",
        ),
        (lambda: learner.score(AUTOENCODER, losses.sparse, beta=1.0), ValueError, "hyperparameter of the loss 'beta'"),
        (lambda: learner.descend(0.5, optax.sgd(0.1)), TypeError, "objective is 0.5, but must be a function"),
        (lambda: learner.chain(first=losses.elbo), TypeError, "first is function, but must be a Learner"),
        (lambda: learner.repeat(optax.sgd(0.1), 2), TypeError, "learner is .*, but must be a Learner"),
        (lambda: learner.schedule(lambda beta: None, beta=0.5), TypeError, r"beta is 0\.5.*optax\.constant_schedule"),
        (lambda: learner.schedule(None, beta=optax.constant_schedule(1.0)), TypeError, "factory is None"),
        (lambda: learner.lift(nnx.Linear(2, 3, rngs=nnx.Rngs(0))), TypeError, "make is a finished Linear"),
        (lambda: learner.lift(3), TypeError, "make is 3, but must be a function"),
        (lambda: learner.warm_start(AUTOENCODER, np.ones(3)), TypeError, "params is ndarray.*by submodule"),
    ],
)
def test_what_no_learner_is_made_of(make, error, words):
    with pytest.raises(error, match=words):
        make()


AUTOENCODER = models.AE(networks.MLP((2,)), networks.MLP((5,)))


def test_a_loss_that_takes_any_hyperparameter_gets_them_all():
    learner.objective(AUTOENCODER, lambda model, batch, key, **others: None, anything=1.0)
