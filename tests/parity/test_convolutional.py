"""The convolutional systems against the same systems in PyTorch: outputs, gradients, five steps of Adam, batch norm.

Both sides begin with the same weights, drawn here and laid out for each, and see the same images, labels and normal
draws. Channels are last on one side and first on the other, whose kernels are its own.
"""

import functools
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

import jaxae as ja
from benchmarks.convolutions import a6, b2, e2
from jaxae import recipes
from jaxae.convolution import Conv, ConvTranspose, native

torch = pytest.importorskip("torch")

# These import torch themselves, so they have to wait for the line above.
from benchmarks.eager_images import (  # noqa: E402
    ConditionalVariationalAutoencoder,
    ConvolutionalAutoencoder,
    ResizeAutoencoder,
)

from . import convolutional  # noqa: E402
from .convolutional import IMAGE, RectangularAutoencoder  # noqa: E402
from .test_parity import adam_of, drawn, key, normal  # noqa: E402

IMAGES = 4
STEPS = 5
LEARNING_RATE = 1e-3


class System(NamedTuple):
    """One row of the table of systems, or its recipe for other sizes, which has rows (n, d) for images.

    Attributes:
        model: () -> the Flax model.
        module: () -> the torch module.
        shape: of an image.
        rows: the model takes and returns rows.
        latent: columns of the normal draw that the loss makes from its key; with them x has a label.
    """

    model: Any
    module: Any
    shape: tuple[int, int, int]
    rows: bool = False
    latent: int = 0


def recipe(name, shape, **settings):
    found = recipes.find(name)
    return lambda: found.model(found.Settings(**settings), shape)


SYSTEMS = {
    "A6": System(lambda: a6(64), lambda: ConvolutionalAutoencoder(64), (64, 64, 3)),
    "B2": System(lambda: b2(64), ResizeAutoencoder, (64, 64, 3)),
    "E2": System(lambda: e2(28), ConditionalVariationalAutoencoder, (28, 28, 1), latent=20),
}
RECIPES = {
    "A6 of 48 × 80": System(
        recipe("conv-autoencoder", (48, 80, 3)), lambda: RectangularAutoencoder(48, 80), (48, 80, 3), rows=True
    ),
    "B2 with a code of 37": System(
        recipe("resize-autoencoder", (64, 64, 3), latent=37), lambda: ResizeAutoencoder(latent=37), (64, 64, 3), rows=True
    ),
    "E2 as a recipe": System(
        recipe("class-vae", (28, 28, 1)), ConditionalVariationalAutoencoder, (28, 28, 1), rows=True, latent=20
    ),
}

systems = pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
everything = pytest.mark.parametrize("system", (SYSTEMS | RECIPES).values(), ids=SYSTEMS | RECIPES)


def images(system, dtype, step=0):
    x = drawn(dtype, IMAGES, *system.shape, seed=1000 + step, pixels=True)
    labels = np.random.default_rng(2000 + step).integers(10, size=IMAGES)
    cond = np.eye(10, dtype=dtype)[labels] if system.latent else None
    return ja.Batch(x.reshape(IMAGES, -1) if system.rows else x, cond)


def tensors(system, batch, key):
    """What torch's losses take: x, cond, draw."""
    x = torch.tensor(np.ascontiguousarray(IMAGE.to_torch(batch.x.reshape(IMAGES, *system.shape))))
    if not system.latent:
        return x, None, None
    return x, torch.tensor(batch.cond), normal(key, IMAGES, system.latent)


def loss_of(system):
    return ja.losses.elbo if system.latent else ja.losses.reconstruction


def torch_loss_of(system):
    return convolutional.negative_elbo if system.latent else convolutional.squared_error


class Both:
    """A system twice, with the same variables, of which none is as `init` makes it."""

    def __init__(self, system, dtype=np.float32):
        self.model, self.module = system.model(), system.module().to(getattr(torch, dtype.__name__))
        shapes = flatten_dict(jax.eval_shape(self.model.init, jax.random.key(0), *images(system, dtype)))
        self.first = {path: self._leaf(path[-1], shapes[path].shape, seed) for seed, path in enumerate(sorted(shapes))}
        self.first = {path: leaf.astype(dtype) for path, leaf in self.first.items()}
        self.variables = unflatten_dict(self.first)
        self.layouts, self.paths = convolutional.layouts(self.module), convolutional.paths(self.module)
        # A leaf or parameter that is copied nowhere would be missed by every comparison.
        assert sorted(self.paths.values()) == sorted(self.first)
        assert {name for name, _ in self.module.named_parameters()} <= self.paths.keys() == self.layouts.keys()
        self.tensors = {
            name: tensor for name, tensor in self.module.state_dict(keep_vars=True).items() if name in self.paths
        }
        for name, tensor in self.tensors.items():
            convolutional.put(tensor, self.layouts[name], self.first[self.paths[name]])
        self.seen = {}
        for name, layer in self.module.named_modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.register_forward_pre_hook(functools.partial(self._see, name))

    @staticmethod
    def _leaf(name, shape, seed):
        values = drawn(np.float64, *shape, seed=seed)
        if name == "kernel":
            return values / np.sqrt(np.prod(shape[:-1]))
        return {"scale": 1 + 0.1 * values, "var": 1 + 0.1 * np.abs(values)}.get(name, 0.1 * values)

    def _see(self, name, layer, inputs):
        self.seen[f"{name}.running_var"] = inputs[0].numel() // layer.num_features

    def theirs(self):
        """Torch's parameters and running averages, each variance the average of biased ones, as Flax has them.

        Torch averages v·m/(m − 1) for Flax's v of m pixels, beside the share of the first variance that is left. Flax
        keeps 0.9 in a step, torch takes in 0.1.
        """
        found = {self.paths[name]: convolutional.take(tensor, self.layouts[name]) for name, tensor in self.tensors.items()}
        for name, pixels in self.seen.items():
            layer = self.module.get_submodule(name.removesuffix(".running_var"))
            path, left = self.paths[name], 0.9 ** int(layer.num_batches_tracked)
            old = left * self.first[path].astype(np.float64)
            found[path] = (old + (found[path] - old) * (pixels - 1) / pixels).astype(found[path].dtype)
        return found

    def gradients(self):
        return {
            self.paths[name]: convolutional.take(tensor.grad, self.layouts[name])
            for name, tensor in self.tensors.items()
            if tensor.requires_grad
        }


def seen_by(loss):
    """The loss, which also returns what was encoded and decoded, in one pass: two would move batch norm twice."""

    def method(model, batch, key):
        seen = []

        def kept(function):
            return lambda *args: seen.append(function(*args)) or seen[-1]

        values, _ = loss(SimpleNamespace(encode=kept(model.encode), decode=kept(model.decode)), batch, key)
        return (*jax.tree.leaves(seen), values)

    return method

import os
def report(what, *numbers):
    with open("/tmp/parity-measured", "a") as f:
        print(os.environ["PYTEST_CURRENT_TEST"].split("::")[1], what, *numbers, file=f)

def check_outputs(system, training):
    batch, both = images(system, np.float32), Both(system)
    both.module.train(training)
    theirs = []
    both.module.register_forward_hook(lambda module, inputs, outputs: theirs.extend(outputs))
    with torch.no_grad():
        values = torch_loss_of(system)(both.module, *tensors(system, batch, key(0)))
    mutable = [name for name in both.variables if name != "params"] if training else []
    apply = functools.partial(both.model.apply, method=seen_by(loss_of(system)), mutable=mutable)
    (*ours, our_values), written = jax.jit(apply)(both.variables, batch, key(0))
    theirs[-1] = IMAGE.to_flax(theirs[-1].numpy())
    for one, other in zip(ours, theirs, strict=True):
        if system.rows:
            assert one.ndim == 2
        report("out", training, np.abs(one - np.asarray(other).reshape(one.shape)).max(), np.abs(one).max())
    report("loss", training, np.abs(our_values/values.numpy()-1).max())
    after = both.theirs()
    for path, leaf in flatten_dict(written).items():
        report("stat", path, np.abs(leaf - after[path]).max(), np.abs(leaf-self_first(both,path)).max())

def self_first(both, path): return both.first[path]

@everything
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_outputs(system, training):
    check_outputs(system, training)

@everything
def test_gradients(system):
    batch, both = images(system, np.float32), Both(system)
    loss = torch_loss_of(system)(both.module, *tensors(system, batch, jax.random.split(key(0))[0])).mean()
    loss.backward()
    objective = ja.objective(both.model, loss_of(system))

    def value(params):
        return objective({**both.variables, "params": params}, batch, key(0))[0]

    ours, gradients = jax.jit(jax.value_and_grad(value))(both.variables["params"])
    report("loss", ours/loss.item()-1)
    theirs = both.gradients()
    for path, leaf in flatten_dict({"params": gradients}).items():
        report("grad", np.linalg.norm(leaf-theirs[path])/np.linalg.norm(theirs[path]), "/".join(path), np.linalg.norm(theirs[path]), (theirs[path]!=0).mean())

@systems
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_trajectories(system, dtype):
    with jax.enable_x64(dtype is np.float64):
        both = Both(system, dtype)
        learner = ja.descend(ja.objective(both.model, loss_of(system)), optax.adam(LEARNING_RATE, eps=1e-8))
        variables = both.variables
        opt_state, step = jax.jit(learner.init)(variables), jax.jit(learner.step)
        adam = adam_of(both.module.parameters(), LEARNING_RATE)
        for number in range(STEPS):
            batch = images(system, dtype, number)
            variables, opt_state, metrics = step(variables, opt_state, batch, key(number))
            adam.zero_grad()
            loss = torch_loss_of(system)(both.module, *tensors(system, batch, jax.random.split(key(number))[0])).mean()
            loss.backward()
            adam.step()
            report("loss", number, metrics["loss"], metrics["loss"]/loss.item()-1)
        theirs = both.theirs()
        for path, leaf in flatten_dict(variables).items():
            assert leaf.dtype == theirs[path].dtype == dtype
            report("par", np.linalg.norm(leaf-theirs[path])/np.linalg.norm(theirs[path]-both.first[path]), np.abs(leaf-theirs[path]).max(), "/".join(path))
