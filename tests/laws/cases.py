"""Every public loss with a model that fits it, found by name, so that a new one is tested without being registered."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from flax import linen as nn

import jaxae as ja
from jaxae.networks import MLP

ROWS, FEATURES, BATCH, EPOCHS = 24, 5, 8, 2
DATA = ja.Batch(jax.random.uniform(jax.random.key(100), (ROWS, FEATURES)))

# Small, since compiling is most of what the laws cost. The code is in 0…1, which `sparse` asks for.
PARTS: dict[str, Any] = {
    "encoder": MLP((3,), activation=nn.sigmoid, activate_final=True),
    "decoder": MLP((6, FEATURES)),
    "generator": MLP((FEATURES,)),
    "discriminator": MLP((6, 1)),
    "latent": 2,
    "k": 2,
}
NEEDS = dict.fromkeys(["elbo", "importance_weighted"], "VAE")
NEEDS |= {"sparse_top_k": "SparseAE"}
NEEDS |= dict.fromkeys(["discriminator", "generator", "energy_score"], "GAN")
"""The model of a loss; one that is not here takes an AE, and fails the laws if that does not fit it."""

LOSSES: dict[str, ja.Loss] = {name: getattr(ja.losses, name) for name in ja.losses.__all__} | {
    name: member
    for name, member in inspect.getmembers(ja.adversarial, inspect.isfunction)
    if name in ja.adversarial.__all__ and list(inspect.signature(member).parameters)[:3] == ["model", "batch", "key"]
}


def build(name: str) -> Any:
    """Return the model of that name, of small networks: a new field needs a line in PARTS."""
    fields = {"parent", "name"}
    model = getattr(ja.models, name)
    return model(**{field: PARTS[field] for field in model.__dataclass_fields__ if field not in fields})


def model_of(loss: str) -> Any:
    return build(NEEDS.get(loss, "AE"))


def learner_of(loss: str, lr: Any = 1e-2, wrap: Callable[[Any], Any] = lambda loss: loss) -> ja.Learner:
    return ja.descend(ja.objective(model_of(loss), wrap(LOSSES[loss])), optax.adam(lr))


def train(loss: str, key: jax.Array, lr: Any) -> Any:
    return ja.train(model_of(loss), learner_of(loss, lr), DATA, key, epochs=EPOCHS, batch_size=BATCH)


class Counted:
    """A loss that counts how often it is traced."""

    def __init__(self, loss: ja.Loss):
        self.loss, self.count = loss, 0

    def __call__(self, model: Any, batch: ja.Batch, key: jax.Array | None, /, **hparams: Any) -> Any:
        self.count += 1
        return self.loss(model, batch, key, **hparams)


@functools.cache
def trained(loss: str) -> tuple[Callable[..., Any], Counted]:
    """Return the compiled (key, lr) -> train, and the counter inside it: one program for all laws of a loss."""
    counted = Counted(LOSSES[loss])

    def run(key: jax.Array, lr: Any) -> Any:
        learner = learner_of(loss, lr, lambda _: counted)
        return ja.train(model_of(loss), learner, DATA, key, epochs=EPOCHS, batch_size=BATCH)

    return jax.jit(run), counted


def same_bits(a: Any, b: Any) -> None:
    """Fail unless two trees have one structure and equal bits in every leaf."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    leaves, others = (jax.tree_util.tree_leaves_with_path(jax.device_get(tree)) for tree in (a, b))
    for (path, leaf), (_, other) in zip(leaves, others, strict=True):
        leaf, other, where = np.asarray(leaf), np.asarray(other), jax.tree_util.keystr(path)
        assert (leaf.shape, leaf.dtype) == (other.shape, other.dtype), where
        assert leaf.tobytes() == other.tobytes(), f"{where}: {leaf} against {other}"


def differ(a: Any, b: Any) -> bool:
    """Return whether any leaf of two trees of one structure has other bits."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return any(np.asarray(x).tobytes() != np.asarray(y).tobytes() for x, y in pairs)
