"""Weights in torch's layout make torch compute what the recipes' models compute, and torch's own come here."""

import itertools

import jax
import numpy as np
import pytest

import jaxae as ja
from jaxae import recipes

torch = pytest.importorskip("torch")

# These import torch themselves, so they have to wait for the line above.
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from .convolutional import IMAGE, paths  # noqa: E402
from .convolutional_systems import SYSTEMS  # noqa: E402

OUTPUT = 2e-5
"""Outputs are of size 1 and sums of up to some thousand terms, of which float32 keeps all but some 1e-6."""
torch.set_num_threads(1)


def layers(*widths):
    return nn.ModuleDict({f"Dense_{i}": nn.Linear(*pair) for i, pair in enumerate(itertools.pairwise(widths))})


def through(layers, x, last=lambda h: h):
    *hidden, end = layers.values()
    for layer in hidden:
        x = functional.relu(layer(x))
    return last(end(x))


class Autoencoder(nn.Module):
    """The recipe `autoencoder`, its layers by the names that they have there."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = layers(7, 64, 32, 2), layers(2, 32, 64, 7)

    def forward(self, x):
        return through(self.decoder, through(self.encoder, x))


class Variational(nn.Module):
    """The recipe `vae`."""

    def __init__(self):
        super().__init__()
        self.encoder, self.head = layers(7, 128, 64), nn.Linear(64, 8)
        self.decoder = nn.Module()
        self.decoder.network, self.decoder.logvar = layers(4, 64, 128, 7), nn.Parameter(torch.zeros(7))

    def forward(self, x):
        mean, _ = self.head(through(self.encoder, x, functional.relu)).chunk(2, 1)
        return through(self.decoder.network, mean), self.decoder.logvar.expand(len(x), -1)


class Players(nn.Module):
    """The recipe `gan`, of which the generator has batch norm after every activation."""

    def __init__(self):
        super().__init__()
        widths = (16, 64, 128, 256)
        norms = {f"BatchNorm_{i}": nn.BatchNorm1d(width) for i, width in enumerate(widths[1:])}
        self.generator = nn.ModuleDict({"layers_0": nn.ModuleDict({**layers(*widths, 7), **norms})})
        self.discriminator = layers(7, 256, 128, 64, 1)

    def forward(self, x):
        made, own = torch.zeros(len(x), 16), self.generator["layers_0"]
        for i in range(3):
            made = own[f"BatchNorm_{i}"](functional.leaky_relu(own[f"Dense_{i}"](made), 0.2))
        x = torch.tanh(own["Dense_3"](made))
        for i in range(3):
            x = functional.leaky_relu(self.discriminator[f"Dense_{i}"](x), 0.2)
        return self.discriminator["Dense_3"](x)[:, 0]


TABLES = {
    "autoencoder": (Autoencoder, {"widths": (64, 32), "latent": 2}),
    "vae": (Variational, {"widths": (128, 64), "latent": 4}),
    "gan": (Players, {"widths": (64, 128, 256), "latent": 16}),
}


def drawn(shapes):
    """Variables no leaf of which is as `init` makes it: a bias of 0 would hide that it went elsewhere."""

    def leaf(path, shape):
        values = np.random.default_rng(len(str(path))).normal(size=shape.shape).astype(shape.dtype)
        last = path[-1].key
        if last == "kernel":
            return values / np.sqrt(np.prod(shape.shape[:-1]), dtype=np.float32)
        return 1 + 0.1 * np.abs(values) if last in ("scale", "var") else 0.1 * values

    return jax.tree.map_with_path(leaf, shapes)


def shapes(model, x):
    return jax.eval_shape(model.init, jax.random.key(0), x)


def tensors(state):
    return {name: torch.tensor(array) for name, array in state.items()}


def filled(module):
    """Return what a module's state lacks here: torch counts the batches that batch norm has seen."""
    return {name: value for name, value in module.state_dict().items() if name.endswith("num_batches_tracked")}


def same(ours, theirs):
    for one, other in zip(jax.tree.leaves(ours), theirs if isinstance(theirs, tuple) else (theirs,), strict=True):
        np.testing.assert_allclose(one, other.detach().numpy(), rtol=0, atol=OUTPUT, equal_nan=False)


@pytest.mark.parametrize("name", TABLES)
def test_tables(name):
    make, settings = TABLES[name]
    recipe, x = recipes.find(name), np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    model = recipe.model(recipe.Settings(**settings), (7,))
    variables = drawn(shapes(model, x))
    module = make().eval()
    state = ja.checkpoint.to_state_dict(variables)
    module.load_state_dict({**filled(module), **tensors(state)}, strict=True)
    same(model.bind(variables)(x), module(torch.tensor(x)))
    # And the other way, from weights that torch drew.
    fresh = make().eval()
    taken = ja.checkpoint.from_state_dict(fresh.state_dict(), shapes(model, x))
    same(model.bind(taken)(x), fresh(torch.tensor(x)))


def renamed(module):
    """Return the name that `to_state_dict` gives, by torch's own of the benchmark's modules."""

    def ours(name, path):
        _, *layer, _ = path
        layer = layer[:-1] if layer[-2:-1] and layer[-2].startswith("BatchNorm") else layer
        return ".".join([*layer, name.rpartition(".")[2]])

    return {name: ours(name, path) for name, path in paths(module).items()}


@pytest.mark.parametrize("name", SYSTEMS)
def test_images(name):
    system = SYSTEMS[name]
    model, names = system.model(), renamed(system.module())
    x = np.random.default_rng(0).uniform(size=(2, *system.shape)).astype(np.float32)
    given = (x, np.eye(10, dtype=np.float32)[:2]) if name == "E2" else (x,)
    like = jax.eval_shape(model.init, jax.random.key(0), *given)
    variables = drawn(like)
    decoder = "decoder" if name == "E2" else "decoder.layers_0"
    image = {"A6": (4, 4, 256), "B2": (4, 4, 256), "E2": (2, 2, 64)}[name]
    # B2 averages its image away before the dense layer.
    takes = {"A6": {"encoder.Dense_0": image}, "B2": {}, "E2": {"head": image}}[name]
    orders = {"takes": takes, "makes": {f"{decoder}.Dense_0": image}}
    state = ja.checkpoint.to_state_dict(variables, **orders)
    module = system.module().eval()
    own = {theirs: torch.tensor(state[ours]) for theirs, ours in names.items()}
    module.load_state_dict({**filled(module), **own}, strict=True)
    compare(model, variables, module, given)
    fresh = system.module().eval()
    found = {ours: fresh.state_dict()[theirs] for theirs, ours in names.items()}
    compare(model, ja.checkpoint.from_state_dict(found, like, **orders), fresh, given)


def compare(model, variables, module, given):
    x, *cond = given
    there = torch.tensor(np.ascontiguousarray(IMAGE.to_torch(x)))
    bound = model.bind(variables)
    with torch.no_grad():
        if cond:
            mean, logvar, made = module(there, torch.tensor(cond[0]), torch.zeros(()))
            np.testing.assert_allclose(bound.encode(x, *cond).mean, mean, rtol=0, atol=OUTPUT)
            np.testing.assert_allclose(bound.encode(x, *cond).logvar, logvar, rtol=0, atol=OUTPUT)
        else:
            code, made = module(there)
            np.testing.assert_allclose(bound.encode(x), code, rtol=0, atol=OUTPUT)
    np.testing.assert_allclose(IMAGE.to_torch(np.asarray(bound(x, *cond))), made, rtol=0, atol=OUTPUT)
