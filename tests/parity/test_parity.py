"""The recipes' models against the same systems in PyTorch: outputs, gradients and thirty steps of Adam.

Both sides begin with the same weights and see the same rows; what a loss of jaxae draws from its key is drawn once more
from that key, and given to torch.
"""

from types import SimpleNamespace

import jax
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

import jaxae as ja
from jaxae import recipes

torch = pytest.importorskip("torch")

# These import torch themselves, so they have to wait for the line above.
from . import modules  # noqa: E402
from .systems import SYSTEMS, adversaries  # noqa: E402
from .weights import copy, tree  # noqa: E402

ROWS = 32
STEPS = 30
OUTPUT = 1e-5
"""Outputs are of size 1 and sums of up to 784 terms, of which float32 keeps all but some 1e-6."""
LOSS = 1e-5
"""Of the loss, a sum of terms of which hardly any are negative: float32 keeps all but some 1e-7 of it."""
GRADIENT = 1e-4
"""Of a leaf's largest entry, of which float32 keeps all but 1e-6. Not of each entry: a small one is what is left of
large terms that cancel, and may be nothing but rounding.
"""
TRAJECTORY = 1e-9
"""In float64, where rounding is 1e-16 and thirty steps make at most 1e-12 of it. The promise is 1e-4, but so small a
difference as another eps of Adam's shows only below that.

Not in float32: Adam divides every gradient by its own size, so one that is nothing but rounding, or that a ReLU at the
edge lets through on one side only, moves its weight by whole learning rates. There B1 and D1 drift apart by up to 1e-2.
"""

# With two threads torch waits for the other core, which these small layers never repay.
torch.set_num_threads(1)

systems = pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def drawn(dtype, *shape, seed, pixels=False):
    source = np.random.default_rng(seed)
    return (source.uniform(size=shape) if pixels else source.normal(size=shape)).astype(dtype)


def rows(system, dtype, step=0):
    x = drawn(dtype, ROWS, system.columns, seed=1000 + step, pixels=system.pixels)
    cond = drawn(dtype, ROWS, system.conditions, seed=2000 + step, pixels=True) if system.conditions else None
    return ja.Batch(x, cond)


def tensors(batch):
    return torch.tensor(batch.x), None if batch.cond is None else torch.tensor(batch.cond)


def beginning(model, batch, dtype):
    """Variables with no leaf as `init` makes it: biases of 0 and scales of 1 would hide a mistake in the copy."""

    def leaf(name, shape, seed):
        values = drawn(dtype, *shape, seed=seed)
        if name == "kernel":
            return values / np.sqrt(shape[0], dtype=dtype)
        return {"scale": 1 + 0.1 * values, "var": 1 + 0.1 * np.abs(values)}.get(name, 0.1 * values)

    shapes = sorted(flatten_dict(jax.eval_shape(model.init, jax.random.key(0), *batch)).items())
    return unflatten_dict({path: leaf(path[-1], shape.shape, seed) for seed, (path, shape) in enumerate(shapes)})


def both(model, module, batch, dtype=np.float32):
    """The variables, the torch module with the same in evaluation mode (nothing drops), and which is which."""
    variables = beginning(model, batch, dtype)
    module = module.to(getattr(torch, dtype.__name__)).eval()
    return variables, module, copy(variables, module)


def key(step):
    return jax.random.fold_in(jax.random.key(0), step)


def normal(key, *shape):
    return torch.tensor(np.asarray(jax.random.normal(key, shape)))


def draw(system, key):
    """What the loss draws: the objective splits its key and the loss has the first, for noise or for the posterior."""
    return normal(jax.random.split(key)[0], ROWS, system.draws)


def latents(key, *, keys):
    """What a player of the GAN draws its fakes from: the first of so many keys that its loss splits its own into."""
    return normal(jax.random.split(jax.random.split(key)[0], keys)[0], ROWS, 16)


def adam_of(parameters, learning_rate, *, betas=(0.9, 0.999), eps=1e-8):
    return torch.optim.Adam(parameters, lr=learning_rate, betas=betas, eps=eps)


def gradient(tensor):
    return tensor.grad


def close(ours, theirs, *, relative=0.0, absolute=0.0):
    """Every leaf within `absolute`, or within `relative` of its own largest entry."""
    ours, theirs = flatten_dict(ours), flatten_dict(theirs)
    assert ours.keys() == theirs.keys()
    for path, leaf in theirs.items():
        # A leaf in the wrong precision would pass in silence.
        assert ours[path].dtype == leaf.dtype
        limit = absolute + relative * np.abs(leaf).max()
        np.testing.assert_allclose(ours[path], leaf, rtol=0, atol=limit, equal_nan=False, err_msg="/".join(path))


# Systems of one network


@systems
def test_outputs(system):
    # With the dropout of the source on both sides, which must do nothing here.
    model, batch = system.model(dropping=True), rows(system, np.float32)
    variables, module, _ = both(model, system.module(), batch)
    x, cond = tensors(batch)
    with torch.no_grad():
        theirs = module(x) if isinstance(module, modules.Autoencoder) else module(x, cond, 0.0)
    ours = jax.jit(lambda variables: system.outputs(model.bind(variables), *batch))(variables)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=OUTPUT, equal_nan=False)


def test_an_anomaly_score_is_the_mean_squared_error_of_the_row():
    system, anomaly = SYSTEMS["A4"], recipes.find("anomaly")
    model, batch = system.model(dropping=False), rows(system, np.float32)
    variables, module, _ = both(model, system.module(), batch)
    x, _ = tensors(batch)
    with torch.no_grad():
        theirs = ((module(x)[1] - x) ** 2).mean(1)
    study = SimpleNamespace(model=model, settings=anomaly.Settings(), variables=variables)
    np.testing.assert_allclose(anomaly.residual_of(study)(batch.x), theirs, rtol=0, atol=OUTPUT, equal_nan=False)


@systems
def test_gradients(system):
    model, batch = system.model(dropping=False), rows(system, np.float32)
    variables, module, found = both(model, system.module(), batch)
    loss = system.torch_loss(module, *tensors(batch), draw(system, key(0))).mean()
    loss.backward()
    objective = ja.objective(model, system.loss)
    value, gradients = jax.jit(jax.value_and_grad(lambda variables: objective(variables, batch, key(0))[0]))(variables)
    np.testing.assert_allclose(value, loss.detach(), rtol=LOSS, equal_nan=False)
    close(gradients, tree(found, gradient), relative=GRADIENT)


@systems
@pytest.mark.usefixtures("double")
def test_trajectories(system):
    model = system.model(dropping=False)
    variables, module, found = both(model, system.module(), rows(system, np.float64), np.float64)
    learner = ja.descend(ja.objective(model, system.loss), optax.adam(system.learning_rate, eps=1e-8))
    opt_state, step = jax.jit(learner.init)(variables), jax.jit(learner.step)
    adam = adam_of(module.parameters(), system.learning_rate)
    for number in range(STEPS):
        batch = rows(system, np.float64, number)
        variables, opt_state, _ = step(variables, opt_state, batch, key(number))
        adam.zero_grad()
        system.torch_loss(module, *tensors(batch), draw(system, key(number))).mean().backward()
        adam.step()
    close(variables, tree(found), absolute=TRAJECTORY)


# The two players of A8


def table_rows(dtype, step=0):
    return ja.Batch(2 * drawn(dtype, ROWS, 10, seed=1000 + step, pixels=True) - 1)


def players(batch, dtype=np.float32, *, dropping=False):
    model = adversaries(dropping)
    return model, *both(model, modules.adversaries(), batch, dtype)


def test_outputs_of_both_players():
    batch = table_rows(np.float32)
    model, variables, module, _ = players(batch, dropping=True)
    with torch.no_grad():
        fakes, real = module.generator(normal(key(0), ROWS, 16)), module.discriminator(torch.tensor(batch.x))[:, 0]

    @jax.jit
    def outputs(variables):
        bound = model.bind(variables)
        return recipes.find("gan").sample(bound, key(0), ROWS), jax.nn.sigmoid(bound.discriminate(batch.x))

    for one, other in zip(outputs(variables), (fakes, real), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=OUTPUT, equal_nan=False)


def torch_loss(player, module, batch, key):
    if player == "generator":
        return modules.loss_of_generator(module, latents(key, keys=2))
    # jaxae adds the two cross-entropies of which the table takes the mean.
    return 2 * modules.loss_of_discriminator(module, torch.tensor(batch.x), latents(key, keys=4))


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_gradients_of_both_players(player):
    batch = table_rows(np.float32)
    model, variables, module, found = players(batch)
    module.generator.train()
    loss = torch_loss(player, module, batch, key(0)).mean()
    loss.backward()
    theirs = tree([pair for pair in found if pair.path[:2] == ("params", player)], gradient)
    objective = ja.objective(model, getattr(ja.adversarial, player))

    def value(own):
        return objective({**variables, "params": {**variables["params"], player: own}}, batch, key(0))[0]

    ours, gradients = jax.jit(jax.value_and_grad(value))(variables["params"][player])
    np.testing.assert_allclose(ours, loss.detach(), rtol=LOSS, equal_nan=False)
    close({"params": {player: gradients}}, theirs, relative=GRADIENT)


@pytest.mark.usefixtures("double")
def test_trajectory_of_both_players():
    model, variables, module, found = players(table_rows(np.float64), np.float64)
    module.generator.train()
    first = flatten_dict(variables)

    def player(name):
        loss = ja.objective(model, getattr(ja.adversarial, name))
        return ja.descend(loss, optax.adam(2e-4, b1=0.5, eps=1e-8), wrt=(name,))

    learner = ja.chain(discriminator=ja.repeat(player("discriminator"), 2), generator=player("generator"))
    opt_state, step = jax.jit(learner.init)(variables), jax.jit(learner.step)
    # Half of a loss and half of eps make the same steps as all of both, to the bit: so the table's loss will do.
    critic = adam_of(module.discriminator.parameters(), 2e-4, betas=(0.5, 0.999), eps=0.5e-8)
    maker = adam_of(module.generator.parameters(), 2e-4, betas=(0.5, 0.999))
    for number in range(STEPS):
        batch = table_rows(np.float64, number)
        variables, opt_state, _ = step(variables, opt_state, batch, key(number))
        critic_key, maker_key = jax.random.split(key(number))
        for own_key in jax.random.split(critic_key):
            modules.discriminator_step(module, critic, torch.tensor(batch.x), latents(own_key, keys=4))
        modules.generator_step(module, maker, latents(maker_key, keys=2))

    # The share of the first running average that is left: Flax keeps 0.9 in a step, torch takes in 0.1.
    left = 0.9**STEPS

    def biased(path, leaf):
        # torch averages variances over n - 1, Flax over n.
        return left * first[path] + (leaf - left * first[path]) * (ROWS - 1) / ROWS if path[-1] == "var" else leaf

    theirs = flatten_dict(tree(found))
    close(variables, unflatten_dict({path: biased(path, leaf) for path, leaf in theirs.items()}), absolute=TRAJECTORY)
