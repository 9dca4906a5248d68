"""Steps per second of the three convolutional systems in plain PyTorch, as a fair opponent would write them.

It needs torch and nothing else; `python -m benchmarks` and `python -m benchmarks.convolutions` time it beside jaxae,
eagerly and under `torch.compile`. The systems:

    A6  convolutional autoencoder: strided convolutions with batch norm, a dense code, transposed convolutions
    B2  resize-convolution autoencoder of 64×64 images, with its code as long as asked and its output as large as x
    E2  conditional variational autoencoder of 28×28 images, the label as ten constant planes and beside z; E2-folded
        is the same function with less arithmetic

What makes it torch's best form: channels last, activations in place, one layer for mean and logvar, fused losses and
fused Adam, gradients set to None, data resident on the device and gathered by index, no `.item()` in the loop. Losses
are what jaxae descends: summed over the pixels of an example, averaged over the batch.

On CPUs measure on an idle machine: torch's threads spin at every barrier, and where another process has one core,
two threads are up to tens of times slower than one. `OMP_WAIT_POLICY=PASSIVE` in the environment avoids that.

    runner = Runner("A6", compile=True, threads=2, batch_size=32, size=64)
    runner.warm_up()
    runner.step(100)
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 10


class Batch(NamedTuple):
    """Examples x (n, channels, height, width) in [0, 1], their one-hot labels cond (n, 10), and normal draws (n, k).

    cond and draw are None where a system has none.
    """

    x: Tensor
    cond: Tensor | None = None
    draw: Tensor | None = None


# The modules


class ConvolutionalAutoencoder(nn.Module):
    """A6: size → size/16 in four strided convolutions, each ReLU and then batch norm; a dense code; mirrored.

    Args:
        size: height and width of x, a multiple of 16.
        channels: of x.
        latent: numbers in the code.
    """

    def __init__(self, size: int = 224, channels: int = 3, latent: int = 128) -> None:
        super().__init__()
        self.side = size // 16
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, 32, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(32),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(64),
            nn.Conv2d(64, 128, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(128),
            nn.Conv2d(128, 256, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(256),
        )
        self.to_code = nn.Linear(256 * self.side**2, latent)
        self.from_code = nn.Linear(latent, 256 * self.side**2)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(256, 128, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(128),
            nn.ConvTranspose2d(128, 64, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(64),
            nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(32),
            nn.ConvTranspose2d(32, channels, 3, stride=2, padding=1, output_padding=1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the code (n, latent) and the reconstruction (n, channels, size, size)."""
        code = self.to_code(self.encoder(x).flatten(1))
        return code, self.decoder(self.from_code(code).unflatten(1, (256, self.side, self.side)))


class ResizeAutoencoder(nn.Module):
    """B2, corrected: 64 → 4 in four strided convolutions, their mean over all places, a dense code; 4 → 64 again.

    Each step of the decoder doubles the image bilinearly, corners onto corners, and then convolves it.

    Args:
        channels: of x.
        latent: numbers in the code.
    """

    def __init__(self, channels: int = 3, latent: int = 128) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, 32, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(64, 128, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(128, 256, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
        )
        self.to_code = nn.Linear(256, latent)
        self.from_code = nn.Linear(latent, 256 * 4 * 4)
        self.decoder = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            nn.Conv2d(256, 128, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            nn.Conv2d(128, 64, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            nn.Conv2d(64, 32, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            nn.Conv2d(32, channels, 3, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the code (n, latent) and the reconstruction (n, channels, 64, 64)."""
        code = self.to_code(self.encoder(x).mean((2, 3)))
        return code, self.decoder(self.from_code(code).unflatten(1, (256, 4, 4)))


class ConditionalVariationalAutoencoder(nn.Module):
    """E2: 28 → 12 → 5 → 2 without padding, a normal posterior; 2 → 4 → 11 → 28, logits.

    The decoder's dense layer is linear, as in the source. The source's LeakyReLU before the sigmoid is left out, as the
    table of systems has it.

    Args:
        latent: numbers in z.
        folded: make the ten planes' share of the first convolution one product of label and summed kernel, as jaxae
            does; without padding every place sees the same of a constant plane. The weights are the same either way.
    """

    def __init__(self, latent: int = 20, *, folded: bool = False) -> None:
        super().__init__()
        self.folded = folded
        self.encoder = nn.Sequential(
            nn.Conv2d(1 + CLASSES, 16, 6, stride=2),
            nn.LeakyReLU(0.01, inplace=True),
            nn.Conv2d(16, 32, 4, stride=2),
            nn.LeakyReLU(0.01, inplace=True),
            nn.Conv2d(32, 64, 2, stride=2),
            nn.LeakyReLU(0.01, inplace=True),
        )
        self.head = nn.Linear(64 * 2 * 2, 2 * latent)
        self.from_code = nn.Linear(latent + CLASSES, 64 * 2 * 2)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(64, 32, 2, stride=2),
            nn.LeakyReLU(0.01, inplace=True),
            nn.ConvTranspose2d(32, 16, 4, stride=3, padding=1),
            nn.LeakyReLU(0.01, inplace=True),
            nn.ConvTranspose2d(16, 1, 6, stride=3, padding=4),
        )

    def forward(self, x: Tensor, cond: Tensor, draw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean (n, latent), logvar (n, latent) and the logits (n, 1, 28, 28) of mean + draw·std."""
        first = self.encoder[0]
        if self.folded:
            hidden = functional.conv2d(x, first.weight[:, :1], first.bias, stride=2)
            hidden = hidden + (cond @ first.weight[:, 1:].sum((2, 3)).T)[:, :, None, None]
        else:
            # Side by side in memory, channels last: beside one another as planes they would be copied once more.
            planes = cond[:, None, None].expand(-1, *x.shape[2:], -1)
            hidden = first(torch.cat([x.permute(0, 2, 3, 1), planes], 3).permute(0, 3, 1, 2))
        mean, logvar = self.head(self.encoder[1:](hidden).flatten(1)).chunk(2, 1)
        z = mean + draw * torch.exp(logvar / 2)
        return mean, logvar, self.decoder(self.from_code(torch.cat([z, cond], 1)).unflatten(1, (64, 2, 2)))


# The losses: a scalar, the mean over the batch of what jaxae's loss is for one example


def squared_error(module: nn.Module, batch: Batch) -> Tensor:
    """Return the squared error summed over the image, averaged over the batch."""
    return functional.mse_loss(module(batch.x)[1], batch.x, reduction="sum") / len(batch.x)


def negative_elbo(module: nn.Module, batch: Batch) -> Tensor:
    """Return the cross-entropy summed over the pixels, plus KL, averaged over the batch: nats per image."""
    mean, logvar, logits = module(*batch)
    nll = functional.binary_cross_entropy_with_logits(logits, batch.x, reduction="sum")
    kl = -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum()
    return (nll + kl) / len(batch.x)


class System(NamedTuple):
    """One system of the benchmark.

    Attributes:
        module: size -> the module.
        loss: (module, batch) -> scalar.
        size: height and width of x unless another is asked for.
        channels: of x.
        batch_size: examples of a step unless another is asked for.
        latent: normal draws per example, 0 if the loss needs none.
        conditional: cond is a one-hot label.
    """

    module: Callable[[int], nn.Module]
    loss: Callable[[nn.Module, Batch], Tensor]
    size: int
    channels: int
    batch_size: int
    latent: int = 0
    conditional: bool = False


SYSTEMS = {
    "A6": System(ConvolutionalAutoencoder, squared_error, size=224, channels=3, batch_size=16),
    "B2": System(lambda size: ResizeAutoencoder(), squared_error, size=64, channels=3, batch_size=32),
    "E2": System(
        lambda size: ConditionalVariationalAutoencoder(), negative_elbo, 28, 1, 128, latent=20, conditional=True
    ),
    "E2-folded": System(
        lambda size: ConditionalVariationalAutoencoder(folded=True),
        negative_elbo,
        28,
        1,
        128,
        latent=20,
        conditional=True,
    ),
}


class Runner:
    """One system in training: the module, its Adam, and a data set that stays on the device.

    An epoch is a fresh permutation of the rows, whose minibatches are gathered by index; rows that do not fill a last
    batch wait for another order.

    Args:
        name: of the system, a key of `SYSTEMS`.
        compile: put forward pass and loss, and so the backward pass, through `torch.compile`; Adam is fused either way.
        threads: of torch's intra-op pool; the setting is the process's, so every call of `step` makes it anew.
        batch_size: examples of a step; None is the system's own.
        size: height and width of x; None is the system's own, and only A6 takes another.
        batches: minibatches that the data set has.
        channels_last: weights and data in NHWC order; False is torch's default NCHW, but for E2's planes.
        mode: of `torch.compile`: "default", "max-autotune-no-cudagraphs", or "reduce-overhead", a GPU's CUDA graphs.
        device: "cpu" or "cuda".
        tf32: let a GPU's convolutions and products round their factors to 10 bits, as JAX does there by default.
        seed: of weights, data, orders and draws; it seeds the process's generators.
    """

    def __init__(
        self,
        name: str,
        *,
        compile: bool = False,
        threads: int = 2,
        batch_size: int | None = None,
        size: int | None = None,
        batches: int = 16,
        channels_last: bool = True,
        mode: str = "default",
        device: str = "cpu",
        tf32: bool = False,
        seed: int = 0,
    ) -> None:
        self.system = system = SYSTEMS[name]
        self.batch_size, self.size = batch_size or system.batch_size, size or system.size
        self.threads, self.channels_last, self.device = threads, channels_last, torch.device(device)
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True
            torch.backends.cudnn.conv.fp32_precision = "tf32" if tf32 else "ieee"
            torch.backends.cuda.matmul.fp32_precision = "tf32" if tf32 else "ieee"
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.module = system.module(self.size).to(self.device, memory_format=layout).train()
        self.adam = torch.optim.Adam(self.module.parameters(), lr=1e-3, fused=True)
        # Shapes never change, and one that another system had before must not make them symbolic.
        loss = torch.compile(system.loss, fullgraph=True, dynamic=False, mode=mode) if compile else system.loss
        self.loss = loss
        # Rows of whole examples in the order of memory: a gather copies them, and a view makes the batch of them.
        n = self.batch_size * batches
        self.x = torch.rand(n, self.size**2 * system.channels, device=self.device)
        labels = torch.randint(CLASSES, (n,), device=self.device)
        self.cond = functional.one_hot(labels, CLASSES).float() if system.conditional else None
        self.order = torch.randperm(n, device=self.device)
        self.position = 0

    def batch(self) -> Batch:
        """Return the next minibatch, from a new order when this one is used up."""
        if self.position + self.batch_size > len(self.x):
            self.order, self.position = torch.randperm(len(self.x), device=self.device), 0
        rows = self.order[self.position : self.position + self.batch_size]
        self.position += self.batch_size
        x, side, channels = self.x.index_select(0, rows), self.size, self.system.channels
        if self.channels_last:
            x = x.view(-1, side, side, channels).permute(0, 3, 1, 2)
        else:
            x = x.view(-1, channels, side, side)
        return Batch(
            x,
            None if self.cond is None else self.cond.index_select(0, rows),
            torch.randn(len(x), self.system.latent, device=self.device) if self.system.latent else None,
        )

    def step(self, n: int = 1) -> Tensor:
        """Take n training steps, wait for the device, and return the loss of the last."""
        torch.set_num_threads(self.threads)
        for _ in range(n):
            self.adam.zero_grad(set_to_none=True)
            loss = self.loss(self.module, self.batch())
            loss.backward()
            self.adam.step()
        # A copy: under CUDA graphs the next step writes over the loss itself.
        last = loss.detach().clone()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return last

    def warm_up(self, steps: int = 5) -> float:
        """Return the seconds of the first steps, compilation and Adam's first moments included."""
        began = time.perf_counter()
        self.step(steps)
        return time.perf_counter() - began

    def rate(self, steps: int) -> float:
        """Return steps per second over so many steps."""
        began = time.perf_counter()
        self.step(steps)
        return steps / (time.perf_counter() - began)
