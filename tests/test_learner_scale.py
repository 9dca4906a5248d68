"""jaxae.learner at scale: batches in parts, half precision, averages of the variables."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx
from jax.extend import core

import jaxae as ja
from jaxae import learner, losses, models, networks
from jaxae.convolution import Conv
from jaxae.learner import Averaged

DATA = ja.Batch(jax.random.uniform(jax.random.key(0), (24, 5)))


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def close(a, b, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), a, b)


def autoencoder(**hparams):
    ae = models.AE(networks.MLP((6, 3), **hparams), networks.MLP((6, 5), **hparams))
    return ae, ae.init(jax.random.key(1), DATA.x)


def slope(objective, variables, key, batch=DATA):
    """Return value, what was written, metrics and gradient."""

    def value(params):
        return objective({**variables, "params": params}, batch, key)

    (found, (written, metrics)), grads = jax.jit(jax.value_and_grad(value, has_aux=True))(variables["params"])
    return found, written, metrics, grads


# Batches in parts


@pytest.mark.parametrize("parts", [1, 2, 3, 24])
def test_parts_of_a_batch_are_the_batch(parts):
    ae, variables = autoencoder()
    whole = ja.objective(ae, losses.sparse_l1, weight=0.3)
    expected = slope(whole, variables, jax.random.key(2))
    found = slope(ja.accumulate(whole, parts), variables, jax.random.key(2))
    # The same sums in another order.
    close(found, expected, rtol=1e-4, atol=1e-6)
    assert set(found[2]) == {"loss", "error", "activation"}


def test_every_part_has_its_own_key_and_rows():
    vae = models.VAE(networks.MLP((6,)), networks.MLP((5,)), latent=2)
    variables = vae.init(jax.random.key(1), DATA.x)
    objective = ja.objective(vae, losses.elbo)
    found = slope(ja.accumulate(objective, 4), variables, jax.random.key(2))
    keys = jax.random.split(jax.random.key(2), 4)
    parts = [slope(objective, variables, keys[i], ja.Batch(DATA.x[6 * i : 6 * i + 6])) for i in range(4)]
    assert len({float(part[0]) for part in parts}) == 4
    mean = jax.tree.map(lambda *leaves: jnp.stack(leaves).mean(0), *parts)
    close(found, mean, rtol=1e-4, atol=1e-6)


def test_batch_norm_sees_the_parts_one_after_another():
    ae, variables = autoencoder(norm=True)
    objective = ja.objective(ae, losses.reconstruction)
    value, written, _, _ = slope(ja.accumulate(objective, 3), variables, jax.random.key(2))
    state, values = variables, []
    for i in range(3):
        one, (state, _) = objective(state, ja.Batch(DATA.x[8 * i : 8 * i + 8]), jax.random.key(3))
        values.append(one)
    close(written, state, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(value, np.mean(values), rtol=1e-5)
    assert (written["batch_stats"]["encoder"]["BatchNorm_0"]["BatchNorm_0"]["mean"] != 0).any()


def test_conditions_are_parted_too():
    ae = models.AE(networks.MLP((3,)), networks.MLP((5,)))
    batch = ja.Batch(DATA.x, jax.random.normal(jax.random.key(4), (24, 2)))
    variables = ae.init(jax.random.key(1), *batch)
    whole = ja.objective(ae, losses.reconstruction)
    expected, found = (slope(f, variables, jax.random.key(2), batch) for f in (whole, ja.accumulate(whole, 2)))
    close(found, expected, rtol=1e-4, atol=1e-6)


def test_it_trains_the_named_submodules_with_traced_hyperparameters_in_a_population():
    ae, _ = autoencoder()

    def member(key, weight, parts=3):
        objective = ja.objective(ae, losses.sparse_l1, weight=weight)
        objective = objective if parts is None else ja.accumulate(objective, parts)
        descent = ja.descend(objective, optax.sgd(0.01), wrt=("decoder",))
        return ja.train(ae, descent, DATA, key, epochs=3, batch_size=12)

    weights = jnp.array([0.0, 0.5])
    keys = jax.random.split(jax.random.key(3), 2)
    states, history = jax.jit(jax.vmap(member))(keys.copy(), weights)
    expected, losses_of = jax.jit(jax.vmap(functools.partial(member, parts=None)))(keys.copy(), weights)
    close(states.variables, expected.variables, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(history["loss"], losses_of["loss"], rtol=1e-4)
    swept, _ = ja.sweep(lambda key, weight: member(key, weight))(keys[:1], {"weight": weights})
    close(jax.tree.map(lambda leaf: leaf[0, 0], swept.variables), jax.tree.map(lambda leaf: leaf[0], states.variables),
          rtol=1e-4, atol=1e-6)  # fmt: skip


def test_a_weight_that_follows_a_schedule_reaches_the_parts():
    ae, variables = autoencoder()

    def at(weight):
        return ja.descend(ja.accumulate(ja.objective(ae, losses.sparse_l1, weight=weight), 2), optax.sgd(0.1))

    warm = ja.schedule(at, weight=lambda step: 0.5 * step)
    state = warm.init(variables)
    step = jax.jit(warm.step)
    found = [step(variables, (jnp.int32(n), state[1]), DATA, jax.random.key(0))[2] for n in (0, 2)]
    np.testing.assert_allclose(found[0]["loss"], found[0]["error"], rtol=1e-5)
    np.testing.assert_allclose(found[1]["loss"], found[1]["error"] + 3 * found[1]["activation"], rtol=1e-5)


@pytest.mark.parametrize("norm", [False, True])
def test_the_memory_is_that_of_a_part(norm, optimised):
    wide = models.AE(networks.MLP((256, 256, 3), norm=norm), networks.MLP((256, 256, 5), norm=norm))
    batch = ja.Batch(jnp.ones((4096, 5)))
    variables = wide.init(jax.random.key(1), batch.x)

    def bytes_of(objective):
        step = ja.descend(objective, optax.sgd(0.1)).step
        compiled = jax.jit(step).lower(variables, ja.descend(objective, optax.sgd(0.1)).init(variables), batch,
                                       jax.random.key(0)).compile()  # fmt: skip
        return compiled.memory_analysis().temp_size_in_bytes

    whole = ja.objective(wide, losses.reconstruction)
    assert bytes_of(ja.accumulate(whole, 16)) < bytes_of(whole) / 4


def test_the_slope_of_what_is_not_trained_is_not_computed(optimised):
    gan = models.GAN(networks.MLP((256, 256, 5)), networks.MLP((8, 1)), latent=2)
    variables = gan.init(jax.random.key(1), DATA.x)
    objective = ja.accumulate(ja.objective(gan, ja.adversarial.discriminator), 2)

    def text(wrt):
        one = ja.descend(objective, optax.sgd(0.1), wrt=wrt)
        return jax.jit(one.step).lower(variables, one.init(variables), DATA, jax.random.key(0)).compile().as_text()

    # The generator's widest kernel has a slope of its shape, with the parts' sum in the loop's carry.
    assert text(("discriminator",)).count("f32[256,256]") < text(("generator", "discriminator")).count("f32[256,256]")


def test_parts_that_do_not_divide_a_batch_are_refused():
    ae, variables = autoencoder()
    whole = ja.objective(ae, losses.reconstruction)
    with pytest.raises(ValueError, match=r"a batch of 24 rows cannot be taken in 5 equal parts.*that 5 divides"):
        ja.accumulate(whole, 5)(variables, DATA, jax.random.key(0))
    for parts, error in ((0, ValueError), (2.0, TypeError)):
        with pytest.raises(error, match="parts is"):
            ja.accumulate(whole, parts)


# Half precision


class HalfMLP(nn.Module):
    """Flax's own layers, computing in bfloat16 by their own option."""

    widths: tuple[int, ...]
    norm: bool = False

    @nn.compact
    def __call__(self, x):
        for i, width in enumerate(self.widths):
            x = nn.Dense(width, dtype=jnp.bfloat16, name=f"Dense_{i}")(x)
            if i + 1 < len(self.widths):
                x = nn.relu(x)
                if self.norm:
                    training = self.is_mutable_collection("batch_stats")
                    norm = nn.BatchNorm(
                        use_running_average=not training, momentum=0.9, dtype=jnp.bfloat16, name="BatchNorm_0"
                    )
                    x = norm(x)
        return x


class Full(nn.Module):
    """A network whose result is float32."""

    network: nn.Module

    def __call__(self, x):
        return self.network(x).astype(jnp.float32)


def dtypes(tree):
    return {str(leaf.dtype) for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)}


def by_flax(variables, norm):
    """The same system of Flax's layers with `dtype=bfloat16`, and its variables."""
    ae = models.AE(Full(HalfMLP((6, 3), norm)), Full(HalfMLP((6, 5), norm)))

    def placed(tree):
        return {name: {"network": part} for name, part in tree.items()}

    found = {"params": placed(variables["params"])}
    if norm:
        flat = jax.tree.map(lambda leaf: leaf, variables)
        for collection in flat.values():
            for part in collection.values():
                part["BatchNorm_0"] = part["BatchNorm_0"]["BatchNorm_0"]
        found = {name: placed(tree) for name, tree in flat.items()}
    return ae, found


@pytest.mark.parametrize("norm", [False, True])
def test_it_computes_as_layers_with_that_dtype_do(norm):
    ae, variables = autoencoder(norm=norm)
    found = slope(ja.objective(ja.in_bfloat16(ae), losses.reconstruction), variables, jax.random.key(2))
    other, theirs = by_flax(variables, norm)
    expected = slope(ja.objective(other, losses.reconstruction), theirs, jax.random.key(2))
    # What was rounded to bfloat16 is the same; sums of float32 are in another order.
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    for part in ("encoder", "decoder"):
        ours = found[3][part]["Dense_0"]
        # Sums of bfloat16 numbers over a batch, in another order.
        close(ours, expected[3][part]["network"]["Dense_0"], rtol=0.05, atol=2e-2)
        if norm:
            stats = found[1]["batch_stats"][part]["BatchNorm_0"]["BatchNorm_0"]
            close(stats, expected[1]["batch_stats"][part]["network"]["BatchNorm_0"], rtol=1e-5, atol=1e-6)
    # It is not the full precision, but near it.
    full = slope(ja.objective(ae, losses.reconstruction), variables, jax.random.key(2))
    assert found[0] != full[0]
    np.testing.assert_allclose(found[0], full[0], rtol=0.02)


def test_by_hand():
    ae, variables = autoencoder()
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), variables["params"])

    def network(params, x):
        hidden = nn.relu(x @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None])
        return hidden @ params["Dense_1"]["kernel"] + params["Dense_1"]["bias"][None]

    made = network(params["decoder"], network(params["encoder"], DATA.x.astype(jnp.bfloat16)))
    assert made.dtype == jnp.bfloat16
    expected = ((made.astype(jnp.float32) - DATA.x) ** 2).sum(-1)
    values = ja.score(ja.in_bfloat16(ae), losses.reconstruction)(variables, DATA)
    # bfloat16 has 8 bits, and sums of five products are added in another order.
    np.testing.assert_allclose(values, expected, rtol=0.02)
    full = ja.score(ae, losses.reconstruction)(variables, DATA)
    assert np.abs(values - expected).mean() < 0.5 * np.abs(values - full).mean()


def test_parameters_moments_metrics_and_averages_stay_in_full_precision():
    vae = models.VAE(networks.MLP((6, 4), norm=True, dropout=0.2), networks.MLP((5,)), latent=2)
    descent = ja.descend(ja.objective(ja.in_bfloat16(vae), losses.elbo), optax.adam(1e-2))
    seen = []

    def spy(model, batch, key):
        posterior = model.encode(batch.x)
        seen.append(posterior.mean.dtype)
        return losses.elbo(model, batch, key)

    ja.objective(ja.in_bfloat16(vae), spy)(vae.init(jax.random.key(0), DATA.x), DATA, jax.random.key(0))
    assert seen == [jnp.float32]
    state, history = jax.jit(lambda key: ja.train(vae, descent, DATA, key, epochs=10, batch_size=12))(jax.random.key(1))
    assert dtypes((state, history)) == {"float32"}
    assert history["loss"][-1] < history["loss"][0]
    assert (state.variables["batch_stats"]["encoder"]["BatchNorm_0"]["BatchNorm_0"]["mean"] != 0).any()


def products(objective, variables, batch=DATA):
    """Return the dtypes of the factors of every matrix product and convolution of a step."""
    found = set()

    def visit(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name in ("dot_general", "conv_general_dilated"):
                found.update(str(variable.aval.dtype) for variable in equation.invars)
            for inner in core.jaxprs_in_params(equation.params):
                visit(inner)

    def value(params):
        return objective({**variables, "params": params}, batch, jax.random.key(0))[0]

    visit(jax.make_jaxpr(jax.grad(value))(variables["params"]).jaxpr)
    return found


@pytest.mark.parametrize("loss", [ja.adversarial.discriminator, ja.adversarial.generator])
def test_what_a_gan_draws_itself_is_computed_with_in_half_precision(loss):
    gan = models.GAN(networks.MLP((6, 5), norm=True), networks.MLP((6, 1)), latent=2)
    variables = gan.init(jax.random.key(1), DATA.x)
    assert products(ja.objective(gan, loss), variables) == {"float32"}
    assert products(ja.objective(ja.in_bfloat16(gan), loss, **{}), variables) == {"bfloat16"}
    penalised = ja.objective(ja.in_bfloat16(gan), ja.adversarial.discriminator, penalty=10.0)
    value, _, _, grads = slope(penalised, variables, jax.random.key(0))
    assert np.isfinite(value) and dtypes(grads) == {"float32"}


def test_convolutions_compute_in_half_precision():
    class Images(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(5)(nn.relu(Conv(4, 3, strides=2)(x)).reshape(len(x), -1))

    ae = models.AE(Images(), networks.MLP((64,)))
    batch = ja.Batch(jax.random.uniform(jax.random.key(0), (6, 8, 8, 1)))
    flat = lambda prediction, x: ((prediction - x.reshape(len(x), -1)) ** 2).sum(-1)  # noqa: E731
    variables = ae.init(jax.random.key(1), batch.x)
    half, full = (ja.objective(model, losses.reconstruction, nll=flat) for model in (ja.in_bfloat16(ae), ae))
    assert products(half, variables, batch) == {"bfloat16"}
    found, expected = (slope(objective, variables, jax.random.key(0), batch) for objective in (half, full))
    np.testing.assert_allclose(found[0], expected[0], rtol=0.02)
    assert dtypes(found) == {"float32"}


def test_it_begins_and_binds_as_the_model_itself():
    ae, variables = autoencoder()
    half = ja.in_bfloat16(ae)
    same(half.init(jax.random.key(1), DATA.x), variables)
    same(half.bind(variables).encode(DATA.x), ae.bind(variables).encode(DATA.x))
    begun = ja.warm_start(ae, {"encoder": variables["params"]["encoder"]})
    objective = ja.objective(ja.in_bfloat16(begun), losses.reconstruction)
    same(objective(variables, DATA, jax.random.key(0)), ja.objective(half, losses.reconstruction)(
        variables, DATA, jax.random.key(0)))  # fmt: skip


def test_what_is_no_linen_module_is_refused():
    lifted = ja.lift(lambda rngs: nnx.Linear(5, 2, rngs=rngs))
    for model in (lifted, ja.warm_start(lifted, {}), ja.objective, None):
        with pytest.raises(TypeError, match=r"must be a Linen module; layers of NNX take a dtype"):
            ja.in_bfloat16(model)


# Averages


def walk(decay):
    """Return a learner of w that makes known steps, averaged."""

    def step(variables, opt_state, batch, key):
        w = variables["params"]["w"]
        return {"params": {"w": 0.5 * w + opt_state}, "count": variables["count"] + 1}, opt_state + 1, {}

    return ja.averaged(ja.Learner(lambda variables: jnp.zeros(()), step), decay)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99, 0.9999])
def test_the_average_is_the_sum_of_the_formula(decay):
    averaged = walk(decay)
    variables = {"params": {"w": jnp.array([4.0, -2.0])}, "count": jnp.zeros((), jnp.int32)}
    state, seen = averaged.init(variables), []
    for t in range(1, 6):
        variables, state, _ = averaged.step(variables, state, None, jax.random.key(0))
        seen.append(np.float64(variables["params"]["w"]))
        weights = np.array([decay ** (t - s) if t > s else 1.0 for s in range(1, t + 1)])
        expected = (weights[:, None] * seen).sum(0) / weights.sum()
        np.testing.assert_allclose(ja.averages(state)["params"]["w"], expected, rtol=2e-5, atol=1e-6)
        assert ja.averages(state)["count"] == t
    # After the first step the average is what that made; the variables before training do not count.
    same(ja.averages(averaged.step(*first(averaged))[1]), averaged.step(*first(averaged))[0])


def first(averaged):
    variables = {"params": {"w": jnp.array([4.0, -2.0])}, "count": jnp.zeros((), jnp.int32)}
    return variables, averaged.init(variables), None, jax.random.key(0)


def test_batch_norms_averages_are_averaged_too():
    ae, variables = autoencoder(norm=True)
    averaged = ja.averaged(ja.descend(ja.objective(ae, losses.reconstruction), optax.sgd(0.1)), 0.5)
    state = averaged.init(variables)
    assert isinstance(state, Averaged)
    seen = []
    for n in range(2):
        variables, state, _ = averaged.step(variables, state, DATA, jax.random.key(n))
        seen.append(variables)
    mean = jax.tree.map(lambda a, b: (a + 2 * b) / 3, *seen)
    close(ja.averages(state), mean, rtol=1e-5, atol=1e-6)
    assert jax.tree.structure(ja.averages(state)) == jax.tree.structure(variables)


def averaging(decay=0.9, skip=False):
    ae = models.AE(networks.MLP((2,)), networks.MLP((5,)))
    one = ja.averaged(ja.descend(ja.objective(ae, losses.reconstruction), optax.adam(1e-2)), decay)
    return ae, ja.skip_nonfinite(one) if skip else one


def fit(model, learner, **given):
    return ja.fit(model, learner, DATA, key=jax.random.key(2), batch_size=8, progress=False, **given)


def test_a_fit_has_averages_alone_and_of_every_member():
    ae, one = averaging()
    alone = fit(ae, one, epochs=3)
    kernel = ja.averages(alone.state)["params"]["encoder"]["Dense_0"]["kernel"]
    assert kernel.shape == (5, 2) and (kernel != alone.variables["params"]["encoder"]["Dense_0"]["kernel"]).any()
    state, _ = ja.train(ae, one, DATA, jax.random.key(2), epochs=3, batch_size=8)
    close(ja.averages(state), ja.averages(alone.state), rtol=1e-5, atol=1e-6)
    members = fit(ae, lambda decay: averaging(decay)[1], epochs=3, hparams={"decay": [0.0, 0.9]}, seeds=2)
    averages = ja.averages(members.state)
    assert averages["params"]["encoder"]["Dense_0"]["kernel"].shape == (4, 5, 2)
    # Without memory the average is the last.
    for i, forgets in enumerate([True, True, False, False]):
        pairs = zip(jax.tree.leaves(averages), jax.tree.leaves(members.variables), strict=True)
        assert all(bool((a[i] == b[i]).all()) for a, b in pairs) == forgets
    taken = members.take(3)
    same(ja.averages(taken.state), jax.tree.map(lambda leaf: leaf[3], averages))
    values = ja.score(ae, losses.reconstruction)(ja.averages(taken.state), DATA)
    assert np.isfinite(values).all()


@pytest.mark.parametrize("seeds", [None, 2])
def test_averages_go_on_after_a_checkpoint_and_from_a_file(tmp_path, seeds):
    ae, one = averaging(skip=True)
    whole = fit(ae, one, epochs=4, seeds=seeds)
    for epochs in (1, 3, 4):
        fitted = fit(ae, one, epochs=epochs, seeds=seeds, checkpoint=tmp_path / "fit")
    same(ja.averages(fitted.state), ja.averages(whole.state))
    ja.checkpoint.save(fitted, tmp_path / "fit.safetensors")
    loaded = ja.checkpoint.load(tmp_path / "fit.safetensors", one)
    same(ja.averages(loaded.state), ja.averages(whole.state))
    with pytest.raises(ValueError, match=r"averages of 0 learners.*load was given that learner"):
        ja.averages(ja.checkpoint.load(tmp_path / "fit.safetensors").state)


def test_a_gans_players_are_averaged_together():
    gan = models.GAN(networks.MLP((6, 5)), networks.MLP((6, 1)), latent=2)
    players = {
        name: ja.descend(ja.objective(gan, loss), optax.adam(1e-2), wrt=(name,))
        for name, loss in (("discriminator", ja.adversarial.discriminator), ("generator", ja.adversarial.generator))
    }
    state, _ = ja.train(gan, ja.averaged(ja.chain(**players), 0.9), DATA, jax.random.key(0), epochs=2, batch_size=12)
    assert gan.bind(ja.averages(state)).generate(jax.random.key(1), 3).shape == (3, 5)
    apart = ja.chain(**{name: ja.averaged(player, 0.9) for name, player in players.items()})
    state, _ = ja.train(gan, apart, DATA, jax.random.key(0), epochs=1, batch_size=12)
    with pytest.raises(ValueError, match="averages of 2 learners, but must of one"):
        ja.averages(state)
    assert set(ja.averages(state.opt_state["generator"])) == {"params"}


@pytest.mark.parametrize("decay", [-0.1, 1.5, 99, 1])
def test_impossible_decays_are_refused(decay):
    with pytest.raises(ValueError, match="decay is"):
        ja.averaged(learner.descend(lambda *_: None, optax.sgd(0.1)), decay)
