"""The table of systems: what a recipe builds and descends, beside the same written out in PyTorch."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

import jaxae as ja
from jaxae import recipes

from . import modules


class System(NamedTuple):
    """One row of the table of systems.

    Attributes:
        columns: of x.
        model: dropout on or off -> the Flax model.
        loss: of jaxae, hyperparameters bound.
        module: () -> the torch module.
        torch_loss: (module, x, cond, draw) -> (rows,).
        outputs: (bound model, x, cond) -> what the torch module returns for a draw of 0.
        draws: columns of the normal draw that the loss makes from its key.
        conditions: columns of cond.
        pixels: x is uniform on 0…1 rather than normal.
        learning_rate: of Adam.
    """

    columns: int
    model: Callable[[bool], Any]
    loss: Callable[..., Any]
    module: Callable[[], Any]
    torch_loss: Callable[..., Any]
    outputs: Callable[..., tuple[Any, ...]]
    draws: int = 0
    conditions: int = 0
    pixels: bool = False
    learning_rate: float = 1e-3


def recipe(name: str, columns: int, *, dropout: float = 0.0, **settings: Any) -> Callable[[bool], Any]:
    """Return whether to drop -> the model that the recipe builds."""
    found = recipes.find(name)

    def build(dropping: bool) -> Any:
        rate = {"dropout": dropout * dropping} if dropout else {}
        return found.model(found.Settings(**settings, **rate), (columns,))

    return build


def squares(columns: int) -> Callable[[bool], Any]:
    """Return the builder of the variational autoencoder of fixed scale, which the table has and no recipe of tables."""
    return lambda dropping: ja.models.VAE(
        ja.networks.MLP((128, 64), activate_final=True), ja.networks.MLP((64, 128, columns)), latent=4
    )


def code_and_reconstruction(bound: Any, x: Any, cond: Any) -> tuple[Any, ...]:
    return bound.encode(x), bound(x)


def code_and_pixels(bound: Any, x: Any, cond: Any) -> tuple[Any, ...]:
    shallow = recipes.find("mnist-shallow")
    return shallow.encode(bound, x), shallow.decode(bound, shallow.encode(bound, x))


def posterior_and_mean(bound: Any, x: Any, cond: Any) -> tuple[Any, ...]:
    conditional = recipes.find("conditional-vae")
    return *bound.encode(x, cond), conditional.decode(bound, conditional.encode(bound, x, cond), cond)


def posterior_and_prediction(bound: Any, x: Any, cond: Any) -> tuple[Any, ...]:
    return *bound.encode(x, cond), bound(x, cond)


def posterior_and_pixels(bound: Any, x: Any, cond: Any) -> tuple[Any, ...]:
    images = recipes.find("mnist-vae")
    return *bound.encode(x), images.decode(bound, images.encode(bound, x))


denoising = recipes.find("denoising")
NORMALS = functools.partial(ja.losses.elbo, nll=ja.distributions.normal, beta=0.5)
SQUARES = functools.partial(ja.losses.elbo, nll=ja.distributions.squared_error, beta=0.5)

SYSTEMS = {
    "A1": System(
        columns=10,
        model=recipe("autoencoder", 10, widths=(64, 32), latent=2),
        loss=ja.losses.reconstruction,
        module=functools.partial(modules.vanilla, 10, 2),
        torch_loss=modules.squared_error,
        outputs=code_and_reconstruction,
    ),
    "A2": System(
        columns=20,
        model=recipe("denoising", 20, widths=(128, 64), latent=16, dropout=0.2),
        loss=functools.partial(
            ja.losses.reconstruction, noise=denoising.corruption(denoising.Settings(scale=0.5), "gaussian")
        ),
        module=modules.denoising,
        torch_loss=modules.squared_error_of_denoised,
        outputs=code_and_reconstruction,
        draws=20,
    ),
    "A3": System(
        columns=15,
        model=recipe("vae", 15, widths=(128, 64), latent=4),
        loss=NORMALS,
        module=functools.partial(modules.variational, 15, scaled=True),
        torch_loss=modules.elbo_of_normals,
        outputs=posterior_and_mean,
        draws=4,
    ),
    "A3-squares": System(
        columns=15,
        model=squares(15),
        loss=SQUARES,
        module=functools.partial(modules.variational, 15, scaled=False),
        torch_loss=modules.elbo_of_squares,
        outputs=posterior_and_prediction,
        draws=4,
    ),
    "A4": System(
        columns=10,
        model=recipe("anomaly", 10, widths=(64, 32), latent=3),
        loss=ja.losses.reconstruction,
        module=functools.partial(modules.vanilla, 10, 3),
        torch_loss=modules.squared_error,
        outputs=code_and_reconstruction,
    ),
    "A5": System(
        columns=30,
        model=recipe("sparse", 30, penalty="kl", widths=(128,), latent=20, decoder_widths=(128,)),
        loss=functools.partial(ja.losses.sparse, rate=0.1, weight=1.5),
        module=lambda: modules.sparse(torch.nn.Sigmoid()),
        torch_loss=modules.bernoulli_penalty,
        outputs=code_and_reconstruction,
    ),
    "A5-dictionary": System(
        columns=30,
        model=recipe("sparse", 30, penalty="kl", widths=(128,), latent=20, decoder_widths=()),
        loss=functools.partial(ja.losses.sparse, rate=0.1, weight=1.5),
        module=modules.sparse_dictionary,
        torch_loss=modules.bernoulli_penalty,
        outputs=code_and_reconstruction,
    ),
    "A5-l1": System(
        columns=30,
        model=recipe("sparse", 30, penalty="l1", widths=(128,), latent=20, decoder_widths=(128,)),
        loss=functools.partial(ja.losses.sparse_l1, weight=1.5),
        module=lambda: modules.sparse(torch.nn.ReLU()),
        torch_loss=modules.absolute_penalty,
        outputs=code_and_reconstruction,
    ),
    "A7": System(
        columns=5,
        model=recipe("conditional-vae", 5, widths=(128, 64), latent=4),
        loss=NORMALS,
        module=functools.partial(modules.variational, 5, 1, scaled=True),
        torch_loss=modules.elbo_of_normals,
        outputs=posterior_and_mean,
        draws=4,
        conditions=1,
    ),
    "A7-squares": System(
        columns=5,
        model=squares(5),
        loss=SQUARES,
        module=functools.partial(modules.variational, 5, 1, scaled=False),
        torch_loss=modules.elbo_of_squares,
        outputs=posterior_and_prediction,
        draws=4,
        conditions=1,
    ),
    "B1": System(
        columns=784,
        model=recipe("mnist-autoencoder", 784, widths=(256, 256), latent=32),
        loss=ja.losses.reconstruction,
        module=modules.symmetric,
        torch_loss=modules.squared_error,
        outputs=code_and_reconstruction,
        pixels=True,
    ),
    "C1": System(
        columns=72,
        model=recipe("series", 72, widths=(24,), latent=10, dropout=0.5),
        loss=ja.losses.reconstruction,
        module=modules.series,
        torch_loss=modules.squared_error,
        outputs=code_and_reconstruction,
        pixels=True,
    ),
    "D1": System(
        columns=784,
        model=recipe("mnist-vae", 784, widths=(512,), latent=20),
        loss=ja.losses.elbo,
        module=modules.variational_of_images,
        torch_loss=modules.elbo_of_pixels,
        outputs=posterior_and_pixels,
        draws=20,
        pixels=True,
    ),
    "E1": System(
        columns=784,
        model=recipe("mnist-shallow", 784, latent=32),
        loss=functools.partial(ja.losses.reconstruction, nll=ja.distributions.bernoulli),
        module=modules.shallow,
        torch_loss=modules.cross_entropy,
        outputs=code_and_pixels,
        pixels=True,
        learning_rate=5e-3,
    ),
}
adversaries = recipe("gan", 10, widths=(64, 128, 256), latent=16, dropout=0.3)
"""Whether to drop -> the two players of A8, whose losses take turns and so have no row above."""
