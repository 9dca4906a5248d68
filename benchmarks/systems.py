"""The systems whose training is timed, as jaxae has them: model, learner, data.

Sizes are those of the sources: small tables trained on all rows at once, images in batches. The rows are drawn, since
what they hold changes no time.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax
from flax import linen as nn

import jaxae as ja
from benchmarks.convolutions import CASES
from jaxae.networks import MLP

__all__ = ["SYSTEMS", "System"]


class System(NamedTuple):
    """A system, and at what size it is timed.

    Attributes:
        about: what it is.
        columns: of x, or the shape of an image.
        rows: training rows.
        batch_size: rows per step.
        model: () -> the model.
        learner: (model, learning rate) -> the learner.
        conditions: columns of cond, or 0.
        pixels: x is uniform on 0…1 rather than normal.
        target: the ratio to PyTorch's best row that is asked of one model, or None.
        population_target: the same of 64 models at once.
        eager: its name in `benchmarks.eager`, or in `benchmarks.eager_images` where x is an image; None is its own.
    """

    about: str
    columns: int | tuple[int, ...]
    rows: int
    batch_size: int
    model: Callable[[], Any]
    learner: Callable[[Any, Any], ja.Learner]
    conditions: int = 0
    pixels: bool = False
    target: float | None = None
    population_target: float | None = None
    eager: str | None = None

    def data(self) -> ja.Batch:
        """Return the training rows, the same ones every time."""
        x_key, cond_key = jax.random.split(jax.random.key(0))
        draw = jax.random.uniform if self.pixels else jax.random.normal
        x = draw(x_key, (self.rows, *self.shape))
        return ja.Batch(x, jax.random.uniform(cond_key, (self.rows, self.conditions)) if self.conditions else None)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an example."""
        return (self.columns,) if isinstance(self.columns, int) else self.columns

    def shapes(self) -> tuple[ja.Learner, ja.Batch, Any, Any]:
        """Return the learner, and the shapes of a batch of one example, of the variables and of the optimizer state."""
        model = self.model()
        learner = self.learner(model, 1e-3)
        batch = jax.eval_shape(self._replace(rows=1).data)
        variables = jax.eval_shape(model.init, jax.random.key(0), *batch)
        return learner, batch, variables, jax.eval_shape(learner.init, variables)

    @property
    def state_bytes(self) -> int:
        """Bytes of one model's variables and optimizer state."""
        _, _, *state = self.shapes()
        return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one pass over the rows."""
        return self.rows // self.batch_size


def descent(loss: Any, **hparams: Any) -> Callable[[Any, Any], ja.Learner]:
    """Return (model, learning rate) -> Adam on a loss."""
    return lambda model, rate: ja.descend(ja.objective(model, loss, **hparams), optax.adam(rate))


def autoencoder(widths: tuple[int, ...], latent: int, columns: int) -> Callable[[], Any]:
    """Return the builder of an autoencoder, mirrored."""
    return lambda: ja.models.AE(MLP((*widths, latent)), MLP((*reversed(widths), columns)))


def variational(widths: tuple[int, ...], latent: int, columns: int) -> Callable[[], Any]:
    """Return the builder of a variational autoencoder, mirrored."""
    return lambda: ja.models.VAE(MLP(widths, activate_final=True), MLP((*reversed(widths), columns)), latent=latent)


def denoising() -> Any:
    """Return the autoencoder n → 128 → drop → 64 → 16, mirrored, with dropout before its last layer."""
    return ja.models.AE(MLP((128, 64, 16), dropout=(0.2, 0.0)), MLP((64, 128, 20), dropout=(0.0, 0.2)))


def windows() -> Any:
    """Return the autoencoder 72 → 24 → 10 → 24 → 72 with dropout in the encoder and a sigmoid at the end."""
    decoder = nn.Sequential([MLP((24, 72)), nn.sigmoid])
    return ja.models.AE(MLP((24, 10), dropout=0.5, activate_final=True), decoder)


def adversaries() -> Any:
    """Return the players 16 → 64 → 128 → 256 → n and n → 256 → 128 → 64 → 1."""
    leaky = functools.partial(nn.leaky_relu, negative_slope=0.2)
    return ja.models.GAN(
        nn.Sequential([MLP((64, 128, 256), activation=leaky, norm=True, activate_final=True), nn.Dense(10), nn.tanh]),
        MLP((256, 128, 64, 1), activation=leaky, dropout=0.3),
        latent=16,
    )


def players(model: Any, rate: Any) -> ja.Learner:
    """Return two steps of the discriminator, then one of the generator."""

    def adam() -> Any:
        return optax.adam(rate, b1=0.5)

    discriminator = ja.descend(ja.objective(model, ja.adversarial.discriminator), adam(), wrt=("discriminator",))
    generator = ja.descend(ja.objective(model, ja.adversarial.generator), adam(), wrt=("generator",))
    return ja.chain(discriminator=ja.repeat(discriminator, 2), generator=generator)


SQUARES = {"nll": ja.distributions.squared_error, "beta": 0.5}

SYSTEMS = {
    "A1": System(
        "autoencoder",
        10,
        1000,
        1000,
        autoencoder((64, 32), 2, 10),
        descent(ja.losses.reconstruction),
        target=2.5,
        population_target=2.5,
    ),
    "A2": System(
        "denoising autoencoder",
        20,
        1000,
        1000,
        denoising,
        descent(ja.losses.reconstruction, noise=functools.partial(ja.noise.gaussian, scale=0.5)),
        target=2.2,
    ),
    "A3": System(
        "variational autoencoder",
        15,
        1000,
        1000,
        variational((128, 64), 4, 15),
        descent(ja.losses.elbo, **SQUARES),
        target=1.8,
        population_target=1.5,
    ),
    "A4": System(
        "anomaly detector",
        10,
        1000,
        1000,
        autoencoder((64, 32), 3, 10),
        descent(ja.losses.reconstruction),
    ),
    "A5": System(
        "sparse autoencoder",
        30,
        1000,
        1000,
        lambda: ja.models.AE(nn.Sequential([MLP((128, 20)), nn.sigmoid]), MLP((128, 30))),
        descent(ja.losses.sparse, rate=0.1, weight=1.5),
        target=1.8,
    ),
    "A7": System(
        "conditional variational autoencoder",
        5,
        1000,
        1000,
        variational((128, 64), 4, 5),
        descent(ja.losses.elbo, **SQUARES),
        conditions=1,
        target=1.8,
    ),
    "A8": System("generative adversarial network", 10, 1000, 64, adversaries, players, target=2.8),
    "B1": System(
        "symmetric autoencoder",
        784,
        12_800,
        128,
        autoencoder((256, 256), 32, 784),
        descent(ja.losses.reconstruction),
        pixels=True,
    ),
    "B3": System(
        "denoising autoencoder of images",
        784,
        12_800,
        128,
        lambda: ja.models.AE(MLP((256, 256, 32)), nn.Sequential([MLP((256, 256, 784)), nn.sigmoid])),
        descent(ja.losses.reconstruction, noise=functools.partial(ja.noise.gaussian, scale=0.3, clip=(0.0, 1.0))),
        pixels=True,
    ),
    "B4": System(
        "variational autoencoder with two equal layers",
        784,
        12_800,
        128,
        variational((256, 256), 32, 784),
        descent(ja.losses.elbo, **SQUARES),
        pixels=True,
    ),
    "C1": System(
        "windows of a series, all at once",
        72,
        1000,
        1000,
        windows,
        descent(ja.losses.reconstruction),
        pixels=True,
        target=3,
    ),
    "C1 row by row": System(
        "windows of a series, one at a time",
        72,
        1000,
        1,
        windows,
        descent(ja.losses.reconstruction),
        pixels=True,
        target=50,
        population_target=150,
    ),
    "D1": System(
        "variational autoencoder of images",
        784,
        12_800,
        128,
        variational((512,), 20, 784),
        descent(ja.losses.elbo),
        pixels=True,
        target=1.4,
    ),
    "E1": System(
        "shallow autoencoder",
        784,
        12_800,
        256,
        lambda: ja.models.AE(
            nn.Sequential([nn.Dense(32), functools.partial(nn.leaky_relu, negative_slope=0.01)]), nn.Dense(784)
        ),
        descent(ja.losses.reconstruction, nll=ja.distributions.bernoulli),
        pixels=True,
    ),
    **{
        name: System(
            {"E2": "class-conditional variational autoencoder", "B2": "resize-convolution autoencoder"}.get(
                case.system, "convolutional autoencoder"
            ),
            (case.size, case.size, 1 if case.system == "E2" else 3),
            8 * case.batch_size,
            case.batch_size,
            functools.partial(case.model, case.size),
            descent(case.loss),
            conditions=10 if case.system == "E2" else 0,
            pixels=True,
            target=case.target,
            eager=case.system,
        )
        for name, case in CASES.items()
    },
}
