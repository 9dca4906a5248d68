"""The dense systems in PyTorch, each written out by hand from its row in the table of systems, and their losses.

Nothing here knows of jaxae: that a module agrees with a recipe is a finding. Losses give one number per row, summed
over its columns, as jaxae's do; the mean over rows is taken by whoever descends them.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Autoencoder(nn.Module):
    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encoder(x)
        return code, self.decoder(code)


class VariationalAutoencoder(nn.Module):
    """Condition beside x and beside z; `logvar_of_columns`, where asked for, is the likelihood's own scale."""

    def __init__(
        self, encoder: nn.Module, mean: nn.Module, logvar: nn.Module, decoder: nn.Module, scaled_columns: int = 0
    ) -> None:
        super().__init__()
        self.encoder, self.mean, self.logvar, self.decoder = encoder, mean, logvar, decoder
        self.logvar_of_columns = nn.Parameter(torch.zeros(scaled_columns)) if scaled_columns else None

    def forward(self, x: Tensor, cond: Tensor | None, draw: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.encoder(x if cond is None else torch.cat([x, cond], 1))
        mean, logvar = self.mean(hidden), self.logvar(hidden)
        z = mean + draw * torch.exp(logvar / 2)
        return mean, logvar, self.decoder(z if cond is None else torch.cat([z, cond], 1))


class Gan(nn.Module):
    def __init__(self, generator: nn.Module, discriminator: nn.Module) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator


class Dictionary(nn.Linear):
    """A linear layer whose units all move the output by a direction of length 1, times a gain."""

    def __init__(self, inputs: int, outputs: int, gain: float) -> None:
        super().__init__(inputs, outputs)
        self.gain = gain

    def forward(self, code: Tensor) -> Tensor:
        return self.gain * functional.linear(code, functional.normalize(self.weight, dim=0)) + self.bias


def vanilla(columns: int, latent: int) -> Autoencoder:
    """A1, and with a code of 3 also A4."""
    return Autoencoder(
        nn.Sequential(nn.Linear(columns, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, latent)),
        nn.Sequential(nn.Linear(latent, 32), nn.ReLU(), nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, columns)),
    )


def denoising() -> Autoencoder:
    """A2."""
    return Autoencoder(
        nn.Sequential(nn.Linear(20, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 16)),
        nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 20)),
    )


def variational(columns: int, conditions: int = 0, *, scaled: bool) -> VariationalAutoencoder:
    """A3, and with conditions A7."""
    return VariationalAutoencoder(
        encoder=nn.Sequential(nn.Linear(columns + conditions, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU()),
        mean=nn.Linear(64, 4),
        logvar=nn.Linear(64, 4),
        decoder=nn.Sequential(
            nn.Linear(4 + conditions, 64), nn.ReLU(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, columns)
        ),
        scaled_columns=columns if scaled else 0,
    )


def sparse(activation: nn.Module) -> Autoencoder:
    """A5; a Bernoulli penalty needs a code that is bounded to 0…1."""
    return Autoencoder(
        nn.Sequential(nn.Linear(30, 128), nn.ReLU(), nn.Linear(128, 20), activation),
        nn.Sequential(nn.Linear(20, 128), nn.ReLU(), nn.Linear(128, 30)),
    )


def sparse_dictionary() -> Autoencoder:
    """A5 as its recipe is by default: the decoder linear, with directions of length 1."""
    return Autoencoder(
        nn.Sequential(nn.Linear(30, 128), nn.ReLU(), nn.Linear(128, 20), nn.Sigmoid()), Dictionary(20, 30, gain=30**0.5)
    )


def adversaries() -> Gan:
    """A8."""
    return Gan(
        nn.Sequential(
            nn.Linear(16, 64),
            nn.LeakyReLU(0.2),
            nn.BatchNorm1d(64),
            nn.Linear(64, 128),
            nn.LeakyReLU(0.2),
            nn.BatchNorm1d(128),
            nn.Linear(128, 256),
            nn.LeakyReLU(0.2),
            nn.BatchNorm1d(256),
            nn.Linear(256, 10),
            nn.Tanh(),
        ),
        nn.Sequential(
            nn.Linear(10, 256),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.3),
            nn.Linear(256, 128),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.3),
            nn.Linear(128, 64),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.3),
            nn.Linear(64, 1),
            nn.Sigmoid(),
        ),
    )


def symmetric() -> Autoencoder:
    """B1."""
    return Autoencoder(
        nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 32)),
        nn.Sequential(nn.Linear(32, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 784)),
    )


def series() -> Autoencoder:
    """C1, with dropout before the ReLU as its source has it."""
    return Autoencoder(
        nn.Sequential(nn.Linear(72, 24), nn.Dropout(0.5), nn.ReLU(), nn.Linear(24, 10), nn.Dropout(0.5), nn.ReLU()),
        nn.Sequential(nn.Linear(10, 24), nn.ReLU(), nn.Linear(24, 72), nn.Sigmoid()),
    )


def variational_of_images() -> VariationalAutoencoder:
    """D1."""
    return VariationalAutoencoder(
        encoder=nn.Sequential(nn.Linear(784, 512), nn.ReLU()),
        mean=nn.Linear(512, 20),
        logvar=nn.Linear(512, 20),
        decoder=nn.Sequential(nn.Linear(20, 512), nn.ReLU(), nn.Linear(512, 784), nn.Sigmoid()),
    )


def shallow() -> Autoencoder:
    """E1."""
    return Autoencoder(
        nn.Sequential(nn.Linear(784, 32), nn.LeakyReLU(0.01)), nn.Sequential(nn.Linear(32, 784), nn.Sigmoid())
    )


def squared_error(model: Autoencoder, x: Tensor, cond: Tensor | None, draw: Tensor) -> Tensor:
    """A1, A4, B1, C1."""
    _, made = model(x)
    return ((made - x) ** 2).sum(1)


def squared_error_of_denoised(model: Autoencoder, x: Tensor, cond: Tensor | None, draw: Tensor) -> Tensor:
    """A2, against the clean row."""
    _, made = model(x + 0.5 * draw)
    return ((made - x) ** 2).sum(1)


def cross_entropy(model: Autoencoder, x: Tensor, cond: Tensor | None, draw: Tensor) -> Tensor:
    """E1."""
    _, made = model(x)
    return functional.binary_cross_entropy(made, x, reduction="none").sum(1)


def bernoulli_penalty(model: Autoencoder, x: Tensor, cond: Tensor | None, draw: Tensor) -> Tensor:
    """A5. The table's weight .05 is beside a mean over 30 columns; beside their sum it is 1.5."""
    code, made = model(x)
    rate, mean = 0.1, code.mean(0)
    divergence = rate * torch.log(rate / mean) + (1 - rate) * torch.log((1 - rate) / (1 - mean))
    return ((made - x) ** 2).sum(1) + 1.5 * divergence.sum()


def absolute_penalty(model: Autoencoder, x: Tensor, cond: Tensor | None, draw: Tensor) -> Tensor:
    """A5 with a ReLU code."""
    code, made = model(x)
    return ((made - x) ** 2).sum(1) + 1.5 * code.abs().sum(1)


def divergence_from_prior(mean: Tensor, logvar: Tensor) -> Tensor:
    return -0.5 * (1 + logvar - mean**2 - logvar.exp()).sum(1)


def elbo_of_squares(model: VariationalAutoencoder, x: Tensor, cond: Tensor | None, draw: Tensor) -> Tensor:
    """A3 and A7 with the table's loss and its beta of .5."""
    mean, logvar, made = model(x, cond, draw)
    return ((made - x) ** 2).sum(1) + 0.5 * divergence_from_prior(mean, logvar)


def elbo_of_normals(model: VariationalAutoencoder, x: Tensor, cond: Tensor | None, draw: Tensor) -> Tensor:
    """A3 and A7 with the likelihood of their recipes, whose scales are learned."""
    mean, logvar, made = model(x, cond, draw)
    likelihood = torch.distributions.Normal(made, torch.exp(model.logvar_of_columns / 2))
    return -likelihood.log_prob(x).sum(1) + 0.5 * divergence_from_prior(mean, logvar)


def elbo_of_pixels(model: VariationalAutoencoder, x: Tensor, cond: Tensor | None, draw: Tensor) -> Tensor:
    """D1."""
    mean, logvar, made = model(x, cond, draw)
    nll = functional.binary_cross_entropy(made, x, reduction="none").sum(1)
    return nll + divergence_from_prior(mean, logvar)


def loss_of_discriminator(gan: Gan, x: Tensor, z: Tensor) -> Tensor:
    """A8, the mean of the cross-entropies of real and of fake rows, as the table has it."""
    real, fake = gan.discriminator(x)[:, 0], gan.discriminator(gan.generator(z).detach())[:, 0]
    return -(torch.log(real) + torch.log(1 - fake)) / 2


def loss_of_generator(gan: Gan, z: Tensor) -> Tensor:
    """A8, non-saturating."""
    return -torch.log(gan.discriminator(gan.generator(z))[:, 0])


def discriminator_step(gan: Gan, adam: torch.optim.Optimizer, x: Tensor, z: Tensor) -> None:
    """Descend the discriminator's loss; the generator's running averages wait for its own step."""
    norms = [layer for layer in gan.generator.modules() if isinstance(layer, nn.BatchNorm1d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    adam.zero_grad()
    loss_of_discriminator(gan, x, z).mean().backward()
    adam.step()
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum


def generator_step(gan: Gan, adam: torch.optim.Optimizer, z: Tensor) -> None:
    adam.zero_grad()
    loss_of_generator(gan, z).mean().backward()
    adam.step()
