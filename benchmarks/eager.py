"""Steps per second of the dense systems in plain PyTorch, as a fair opponent would write them.

It needs torch and nothing else; `python -m benchmarks` times it beside jaxae. One model or a population of them trains,
eagerly or under `torch.compile`. The systems:

    A1  autoencoder of 10 columns, and a code of 2
    A4  the same with a code of 3, an anomaly detector
    A2  denoising autoencoder of 20 columns, noise drawn anew in every step, the clean rows its target
    A3  variational autoencoder of 15 columns; A3-normals learns the scale of every column as well
    A5  sparse autoencoder of 30 columns, a Bernoulli penalty on its code
    A7  conditional variational autoencoder of 5 columns and one condition; A7-normals as above
    A8  adversaries of 10 columns, two steps of the discriminator to one of the generator
    B1  symmetric autoencoder of 784 pixels; B3 removes noise; B4 is variational
    C1  autoencoder of windows of 72 points, all windows in a step, or row by row
    D1  variational autoencoder of 784 pixels
    E1  shallow autoencoder of 784 pixels

What makes it torch's best form. Eagerly: layers and activations called as functions, activations and dropout in place,
one layer for mean and logvar, fused losses on logits, `torch.autograd.grad` of just what a step moves, so that no
gradient is ever kept or added to, and the kernel of fused Adam called without the optimizer around it, which costs five
times what the kernel does. Compiled: forward pass, backward pass and Adam are one program. Both: data resident on the
device, in a new order every pass, gathered by index (once a pass where one model trains), and no `.item()` in the
loop. Losses are what jaxae descends: summed over the columns of an example, averaged over the batch.

Compiling the whole step needs a torch that traces `torch.autograd.grad`, as 2.13 does. On CPUs measure on an idle
machine: torch's threads spin at every barrier, which small layers never repay.

    runner = Runner("A1", threads=1)
    runner.warm_up()
    runner.rate(1000)
    Population("A1", 64, threads=1).rate(20)
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch._dynamo
import torch._inductor.config
from torch import Tensor, nn
from torch.nn import functional

# The modules


def drop(x: Tensor, rate: float) -> Tensor:
    """Return x with a share of its entries 0 and the others 1/(1 − rate) as large; on a CPU in place."""
    if x.is_cuda:
        return functional.dropout(x, rate)
    # A CPU's dropout draws from `bernoulli_`, which takes nearly three times as long as uniform draws.
    # A sum that reaches 1 is kept: unlike a comparison, vmap knows floor in place.
    return x.mul_(torch.rand_like(x).add_(1 - rate).floor_().mul_(1 / (1 - rate)))


class Dense(nn.Module):
    """Dense layers, a ReLU after every one but the last.

    Dropout comes before the activation, where it can be in place. The two can change places: neither ReLU nor LeakyReLU
    minds a positive factor.

    Args:
        widths: inputs, hidden units and outputs.
        slope: of a LeakyReLU instead.
        dropout: rate for every activation; none drops nothing.
        activate_final: treat the last layer like the others.
    """

    def __init__(
        self, *widths: int, slope: float = 0.0, dropout: Sequence[float] = (), activate_final: bool = False
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(widths))
        self.slope = slope
        activated = len(self.layers) - (not activate_final)
        rates = tuple(dropout) or (0.0,) * activated
        # None: the layer stays linear.
        self.rates: tuple[float | None, ...] = (*rates, *[None] * (len(self.layers) - activated))

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, widths[-1]) from x (n, widths[0])."""
        for layer, rate in zip(self.layers, self.rates, strict=True):
            x = functional.linear(x, layer.weight, layer.bias)
            if rate is None:
                return x
            if rate:
                x = drop(x, rate)
            x = functional.leaky_relu_(x, self.slope) if self.slope else torch.relu_(x)
        return x


class Autoencoder(nn.Module):
    """An encoder and a decoder, each followed by a sigmoid where asked for."""

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, *, sigmoid_code: bool = False, sigmoid: bool = False
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.sigmoid_code, self.sigmoid = encoder, decoder, sigmoid_code, sigmoid

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the code (n, latent) and the reconstruction (n, columns), or its logits."""
        code = self.encoder(x)
        if self.sigmoid_code:
            code = torch.sigmoid(code)
        made = self.decoder(code)
        return code, torch.sigmoid(made) if self.sigmoid else made


class VariationalAutoencoder(nn.Module):
    """A normal posterior, mean and logvar from one layer; the condition, if any, is beside x and beside z.

    Args:
        encoder: x and cond -> (n, 2·latent), mean and then logvar.
        decoder: z and cond -> (n, columns).
        scaled_columns: columns whose log variance is learned, one number each for all rows.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, *, scaled_columns: int = 0) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.logvar_of_columns = nn.Parameter(torch.zeros(scaled_columns)) if scaled_columns else None

    def forward(self, x: Tensor, cond: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Return mean and logvar (n, latent), what the decoder makes of a draw (n, columns), logvar_of_columns."""
        mean, logvar = self.encoder(x if cond is None else torch.cat([x, cond], 1)).chunk(2, 1)
        z = torch.addcmul(mean, torch.randn_like(mean), torch.exp(logvar * 0.5))
        made = self.decoder(z if cond is None else torch.cat([z, cond], 1))
        return mean, logvar, made, self.logvar_of_columns


class Generator(nn.Module):
    """A8: dense layers, each LeakyReLU and then batch norm, and tanh at the end.

    Args:
        widths: numbers in z, hidden units and columns.
    """

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.latent = widths[0]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths[1:-1])

    def forward(self, z: Tensor, *, average: bool) -> Tensor:
        """Return rows (n, columns) of z (n, latent) by the batch's statistics, and average these where asked to."""
        for layer, norm in zip(self.layers, self.norms, strict=False):
            z = functional.leaky_relu_(functional.linear(z, layer.weight, layer.bias), 0.2)
            averages = (norm.running_mean, norm.running_var) if average else (None, None)
            z = functional.batch_norm(z, *averages, norm.weight, norm.bias, training=True)
        last = self.layers[-1]
        return torch.tanh_(functional.linear(z, last.weight, last.bias))


class Adversaries(nn.Module):
    """A8: the two players."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = Generator(16, 64, 128, 256, 10)
        self.discriminator = Dense(10, 256, 128, 64, 1, slope=0.2, dropout=(0.3, 0.3, 0.3))


def variational(columns: int, conditions: int = 0, *, scaled: bool = False) -> VariationalAutoencoder:
    """Return A3, and with conditions A7."""
    return VariationalAutoencoder(
        Dense(columns + conditions, 128, 64, 2 * 4),
        Dense(4 + conditions, 64, 128, columns),
        scaled_columns=columns if scaled else 0,
    )


def windows() -> Autoencoder:
    """Return C1."""
    encoder = Dense(72, 24, 10, dropout=(0.5, 0.5), activate_final=True)
    return Autoencoder(encoder, Dense(10, 24, 72), sigmoid=True)


def shallow() -> Autoencoder:
    """Return E1, all weights N(0, 0.1²) and all biases 0; the decoder returns logits."""
    module = Autoencoder(Dense(784, 32, slope=0.01, activate_final=True), Dense(32, 784))
    for name, parameter in module.named_parameters():
        if name.endswith("weight"):
            nn.init.normal_(parameter, std=0.1)
        else:
            nn.init.zeros_(parameter)
    return module


# The losses: a scalar, the mean over the batch of what jaxae's loss is for one example. `run` is the module, or the
# same with other parameters.


def squared_error(run: Callable[..., Any], x: Tensor, cond: Tensor | None) -> Tensor:
    """Return the squared error summed over the columns, averaged over the batch."""
    return functional.mse_loss(run(x)[1], x, reduction="sum") / len(x)


def squared_error_of_denoised(run: Callable[..., Any], x: Tensor, cond: Tensor | None) -> Tensor:
    """Return the squared error of what is made of x with noise of .5, against the clean x."""
    return functional.mse_loss(run(torch.add(x, torch.randn_like(x), alpha=0.5))[1], x, reduction="sum") / len(x)


def squared_error_of_cleaned_pixels(run: Callable[..., Any], x: Tensor, cond: Tensor | None) -> Tensor:
    """Return the squared error of what is made of pixels with noise of .3, kept in 0…1, against the clean ones."""
    noisy = torch.add(x, torch.randn_like(x), alpha=0.3).clamp_(0, 1)
    return functional.mse_loss(run(noisy)[1], x, reduction="sum") / len(x)


def cross_entropy(run: Callable[..., Any], x: Tensor, cond: Tensor | None) -> Tensor:
    """Return the cross-entropy summed over the pixels, averaged over the batch: nats per image."""
    return functional.binary_cross_entropy_with_logits(run(x)[1], x, reduction="sum") / len(x)


def sparse(
    run: Callable[..., Any], x: Tensor, cond: Tensor | None, *, rate: float = 0.1, weight: float = 1.5
) -> Tensor:
    """Return the squared error plus weight·Σ KL(rate ‖ mean activation).

    The table's weight .05 is beside a mean over 30 columns; beside their sum it is 1.5.
    """
    code, made = run(x)
    mean = code.mean(0)
    entropy = len(mean) * (rate * math.log(rate) + (1 - rate) * math.log(1 - rate))
    divergence = entropy - (rate * torch.log(mean) + (1 - rate) * torch.log1p(-mean)).sum()
    return functional.mse_loss(made, x, reduction="sum") / len(x) + weight * divergence


def divergence_from_prior(mean: Tensor, logvar: Tensor) -> Tensor:
    """Return KL(posterior ‖ N(0, I)) in nats, summed over rows and dimensions."""
    return 0.5 * ((mean.square() + torch.exp(logvar) - logvar).sum() - mean.numel())


def elbo_of_squares(run: Callable[..., Any], x: Tensor, cond: Tensor | None, *, beta: float = 0.5) -> Tensor:
    """Return the squared error plus beta·KL, as the table of systems has it."""
    mean, logvar, made, _ = run(x, cond)
    error = functional.mse_loss(made, x, reduction="sum")
    return (error + beta * divergence_from_prior(mean, logvar)) / len(x)


def elbo_of_normals(run: Callable[..., Any], x: Tensor, cond: Tensor | None, *, beta: float = 0.5) -> Tensor:
    """Return the negative log-likelihood of normals whose scales are learned, plus beta·KL."""
    mean, logvar, made, scale = run(x, cond)
    deviation = torch.dot((made - x).square().sum(0), torch.exp(-scale))
    nll = 0.5 * (deviation + len(x) * (scale.sum() + len(scale) * math.log(2 * math.pi)))
    return (nll + beta * divergence_from_prior(mean, logvar)) / len(x)


def elbo_of_pixels(run: Callable[..., Any], x: Tensor, cond: Tensor | None) -> Tensor:
    """Return the cross-entropy summed over the pixels, plus KL, averaged over the batch: nats per image."""
    mean, logvar, logits, _ = run(x, cond)
    nll = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return (nll + divergence_from_prior(mean, logvar)) / len(x)


def fakes(module: Any, x: Tensor, *, average: bool) -> Tensor:
    """Return as many fresh fakes as x has rows."""
    return module.generator(x.new_empty(len(x), module.generator.latent).normal_(), average=average)


def discriminator(module: Any, x: Tensor, cond: Tensor | None) -> Tensor:
    """Return the mean of the cross-entropies of real and of fake rows; the generator's averages stay as they are.

    One pass for both: the discriminator has no batch norm. −log D(x) = softplus(logit) − logit.
    """
    with torch.no_grad():
        made = fakes(module, x, average=False)
    logits = module.discriminator(torch.cat([x, made]))
    return (functional.softplus(logits).sum() - logits[: len(x)].sum()) / len(logits)


def generator(module: Any, x: Tensor, cond: Tensor | None) -> Tensor:
    """Return the non-saturating loss, −log D(G(z)), averaged over the batch."""
    return functional.softplus(-module.discriminator(fakes(module, x, average=True))).mean()


# The rows


def process(rows: int, columns: int) -> tuple[Tensor, None]:
    """Return standardised rows in which two hidden factors drive every column."""
    x = torch.randn(rows, 2) @ torch.randn(2, columns) + 0.1 * torch.randn(rows, columns)
    return (x - x.mean(0)) / x.std(0), None


def pixels(rows: int, columns: int) -> tuple[Tensor, None]:
    """Return the same within 0…1."""
    return torch.sigmoid(2 * process(rows, columns)[0]), None


def bounded(rows: int, columns: int) -> tuple[Tensor, None]:
    """Return the same with every column's range mapped to −1…1."""
    x, _ = process(rows, columns)
    low, high = x.amin(0), x.amax(0)
    return 2 * (x - low) / (high - low) - 1, None


def conditional(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Return five standardised columns that depend on a temperature of 300–500 K, and that scaled to 0…1."""
    cond = torch.rand(rows, 1)
    t = 300 + 200 * cond
    means = [0.001 * t**2 - 0.3 * t + 50, 100 * torch.exp(-5000 / t), 0.5 * t + 50, -0.002 * t + 2, 0.01 * t]
    x = torch.cat(means, 1) + 2 * torch.randn(rows, columns)
    return (x - x.mean(0)) / x.std(0), cond


class Player(NamedTuple):
    """What a step does for one part of a module: so many times, on the same batch, the gradient of a loss.

    Attributes:
        loss: (module, x, cond) -> scalar.
        part: the submodule that moves; "" is all of it.
        times: on every batch.
    """

    loss: Callable[..., Tensor]
    part: str = ""
    times: int = 1


class System(NamedTuple):
    """One system of the benchmark.

    Attributes:
        module: () -> the module.
        players: who moves, in turn.
        columns: of x.
        data: (rows, columns) -> x (rows, columns) and cond (rows, conditions) or None.
        rows: of the data unless others are asked for; 0 is as many batches as asked for.
        batch_size: rows of a step unless another is asked for; 0 is all.
        learning_rate: of Adam.
        beta: of Adam's first moment.
    """

    module: Callable[[], nn.Module]
    players: tuple[Player, ...]
    columns: int
    data: Callable[[int, int], tuple[Tensor, Tensor | None]] = process
    rows: int = 1000
    batch_size: int = 0
    learning_rate: float = 1e-3
    beta: float = 0.9


SYSTEMS = {
    "A1": System(lambda: Autoencoder(Dense(10, 64, 32, 2), Dense(2, 32, 64, 10)), (Player(squared_error),), 10),
    "A2": System(
        lambda: Autoencoder(Dense(20, 128, 64, 16, dropout=(0.2, 0.0)), Dense(16, 64, 128, 20, dropout=(0.0, 0.2))),
        (Player(squared_error_of_denoised),),
        20,
    ),
    "A3": System(lambda: variational(15), (Player(elbo_of_squares),), 15),
    "A3-normals": System(lambda: variational(15, scaled=True), (Player(elbo_of_normals),), 15),
    "A4": System(lambda: Autoencoder(Dense(10, 64, 32, 3), Dense(3, 32, 64, 10)), (Player(squared_error),), 10),
    "A5": System(lambda: Autoencoder(Dense(30, 128, 20), Dense(20, 128, 30), sigmoid_code=True), (Player(sparse),), 30),
    "A7": System(lambda: variational(5, 1), (Player(elbo_of_squares),), 5, conditional),
    "A7-normals": System(lambda: variational(5, 1, scaled=True), (Player(elbo_of_normals),), 5, conditional),
    "A8": System(
        Adversaries,
        (Player(discriminator, "discriminator", times=2), Player(generator, "generator")),
        10,
        bounded,
        batch_size=64,
        learning_rate=2e-4,
        beta=0.5,
    ),
    "B1": System(
        lambda: Autoencoder(Dense(784, 256, 256, 32), Dense(32, 256, 256, 784)),
        (Player(squared_error),),
        784,
        pixels,
        rows=0,
        batch_size=128,
    ),
    "B3": System(
        lambda: Autoencoder(Dense(784, 256, 256, 32), Dense(32, 256, 256, 784), sigmoid=True),
        (Player(squared_error_of_cleaned_pixels),),
        784,
        pixels,
        rows=0,
        batch_size=128,
    ),
    "B4": System(
        lambda: VariationalAutoencoder(Dense(784, 256, 256, 2 * 32), Dense(32, 256, 256, 784)),
        (Player(elbo_of_squares),),
        784,
        pixels,
        rows=0,
        batch_size=128,
    ),
    "C1": System(windows, (Player(squared_error),), 72, pixels),
    "C1 row by row": System(windows, (Player(squared_error),), 72, pixels, batch_size=1),
    "D1": System(
        lambda: VariationalAutoencoder(Dense(784, 512, 2 * 20), Dense(20, 512, 784)),
        (Player(elbo_of_pixels),),
        784,
        pixels,
        rows=0,
        batch_size=128,
    ),
    "E1": System(shallow, (Player(cross_entropy),), 784, pixels, rows=0, batch_size=256, learning_rate=5e-3),
}


class Adam:
    """Adam in place on a list of tensors, entry by entry: on stacked tensors it is every member's own.

    Args:
        parameters: what it moves.
        learning_rate: a positive number.
        beta: of the first moment; that of the second is .999.
        fused: torch's kernel for all tensors at once; else the formula written out, which is what a compiler can fuse.
    """

    def __init__(self, parameters: list[Tensor], *, learning_rate: float, beta: float, fused: bool) -> None:
        self.parameters, self.learning_rate, self.beta, self.fused = parameters, learning_rate, beta, fused
        self.means = [torch.zeros_like(parameter, requires_grad=False) for parameter in parameters]
        self.squares = [torch.zeros_like(parameter, requires_grad=False) for parameter in parameters]
        self.count = torch.zeros((), device=parameters[0].device)
        # The kernel wants a count for every tensor, which can be the same one.
        self.counts = [self.count] * len(parameters)

    @property
    def state(self) -> list[Tensor]:
        """All tensors that a step writes to."""
        return [*self.parameters, *self.means, *self.squares, self.count]

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Move the parameters."""
        with torch.no_grad():
            self.count.add_(1)
            if self.fused:
                torch._fused_adam_(
                    self.parameters,
                    gradients,
                    self.means,
                    self.squares,
                    [],
                    self.counts,
                    lr=self.learning_rate,
                    beta1=self.beta,
                    beta2=0.999,
                    weight_decay=0.0,
                    eps=1e-8,
                    amsgrad=False,
                    maximize=False,
                )
                return
            rate = self.learning_rate / (1 - self.beta**self.count)
            correction = torch.rsqrt(1 - 0.999**self.count)
            for parameter, gradient, mean, square in zip(
                self.parameters, gradients, self.means, self.squares, strict=True
            ):
                mean.lerp_(gradient, 1 - self.beta)
                square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
                parameter.sub_(rate * mean / (square.sqrt() * correction + 1e-8))


def prepare(device: torch.device, *, threads: int, tf32: bool, seed: int) -> None:
    """Set the process's generators, its pool of threads, and the precision of a GPU's products."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    if device.type == "cuda":
        torch.backends.cuda.matmul.fp32_precision = "tf32" if tf32 else "ieee"


def compiled(step: Callable[..., Tensor], state: list[Tensor], mode: str | None) -> Callable[..., Tensor]:
    """Return the step as one program that writes to `state`."""
    torch._dynamo.config.trace_autograd_ops = True
    # On a CPU the compiler's own random numbers take several times as long as torch's, even fused.
    torch._inductor.config.fallback_random = state[0].device.type == "cpu"
    for tensor in state:
        # CUDA graphs write only to what stays where it is.
        torch._dynamo.mark_static_address(tensor)
    # Shapes never change, and one that another system had before must not make them symbolic.
    return torch.compile(step, fullgraph=True, dynamic=False, mode=mode)


def resident(
    system: System, batch_size: int | None, rows: int | None, batches: int, device: torch.device
) -> tuple[Tensor, Tensor | None, int]:
    """Return x and cond on the device, and the rows of a step."""
    size = batch_size or system.batch_size
    n = rows or system.rows or size * batches
    x, cond = system.data(n, system.columns)
    return x.to(device), None if cond is None else cond.to(device), size or n


def minibatches(x: Tensor, cond: Tensor | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield minibatches without end, in a new order every pass; rows that do not fill a last one wait for the next."""
    if batch_size == len(x):
        yield from itertools.repeat((x, cond))
    used = len(x) // batch_size * batch_size
    while True:
        order = torch.randperm(len(x), device=x.device)[:used]
        conds = itertools.repeat(None) if cond is None else cond.index_select(0, order).split(batch_size)
        yield from zip(x.index_select(0, order).split(batch_size), conds, strict=False)


def minibatches_of_members(
    x: Tensor, cond: Tensor | None, batch_size: int, members: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield (members, batch_size, ...) without end, every member's rows in an order of its own."""
    steps = len(x) // batch_size
    while True:
        orders = torch.rand(members, len(x), device=x.device).argsort(1)[:, : steps * batch_size]
        for rows in orders.view(members, steps, batch_size).unbind(1):
            yield x[rows], None if cond is None else cond[rows]


def wait(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


class Runner:
    """One system in training: the module, its Adam, and a data set that stays on the device.

    Args:
        system: a key of `SYSTEMS`.
        threads: of torch's intra-op pool; the setting is the process's, so every call of `step` makes it anew.
        batch_size: rows of a step; None is the system's own.
        rows: of the data; None is the system's own, or as many as fill the batches.
        batches: minibatches that the data have, where neither the system nor rows says how many.
        fused: Adam by torch's kernel; False is the formula written out, which is what compile takes in any case.
        compile: put forward pass, backward pass and Adam through `torch.compile` as one program.
        mode: of `torch.compile`: None, "max-autotune-no-cudagraphs", or "reduce-overhead", a GPU's CUDA graphs.
        device: "cpu" or "cuda".
        tf32: let a GPU's products round their factors to 10 bits, as JAX does there by default.
        seed: of weights, data, orders and draws; it seeds the process's generators.
    """

    members = 1

    def __init__(
        self,
        system: str,
        *,
        threads: int,
        batch_size: int | None = None,
        rows: int | None = None,
        batches: int = 16,
        fused: bool = True,
        compile: bool = False,
        mode: str | None = None,
        device: str = "cpu",
        tf32: bool = False,
        seed: int = 0,
    ) -> None:
        self.system = own = SYSTEMS[system]
        self.threads, self.device = threads, torch.device(device)
        prepare(self.device, threads=threads, tf32=tf32, seed=seed)
        self.x, self.cond, self.batch_size = resident(own, batch_size, rows, batches, self.device)
        self.minibatches = minibatches(self.x, self.cond, self.batch_size)
        self.module = own.module().to(self.device).train()
        self.turns: list[tuple[Callable[..., Tensor], Adam]] = []
        for player in own.players:
            parameters: list[Tensor] = list(self.module.get_submodule(player.part).parameters())
            adam = Adam(parameters, learning_rate=own.learning_rate, beta=own.beta, fused=fused and not compile)
            self.turns += [(player.loss, adam)] * player.times
        state = [tensor for _, adam in self.turns for tensor in adam.state]
        self.one = compiled(self.train, [*state, *self.module.buffers()], mode) if compile else self.train

    def train(self, x: Tensor, cond: Tensor | None) -> Tensor:
        """Take one training step and return its loss; of two players, the first one's."""
        losses = []
        for loss, adam in self.turns:
            value = loss(self.module, x, cond)
            adam.step(torch.autograd.grad(value, adam.parameters))
            losses.append(value.detach())
        return losses[0]

    def step(self, n: int = 1) -> Tensor:
        """Take n training steps, wait for the device, and return the loss of the last."""
        torch.set_num_threads(self.threads)
        for x, cond in itertools.islice(self.minibatches, n):
            loss = self.one(x, cond)
        # A copy: under CUDA graphs the next step writes over the loss itself.
        last = loss.clone()
        wait(self.device)
        return last

    def warm_up(self, steps: int = 5) -> float:
        """Return the seconds of the first steps, compilation included."""
        began = time.perf_counter()
        self.step(steps)
        return time.perf_counter() - began

    def rate(self, steps: int) -> float:
        """Return steps per second over so many steps."""
        began = time.perf_counter()
        self.step(steps)
        return steps / (time.perf_counter() - began)


class Population:
    """One system in training many times at once: parameters stacked, and one gradient of them all by `torch.func`.

    Every member has weights and draws of its own, and where batches are smaller than the data an order of its own. Adam
    works entry by entry, so one Adam on the stacked tensors is every member's.

    Args:
        system: a key of `SYSTEMS`.
        members: how many train at once.
        threads: as for `Runner`, as are all others; rate is in steps of one member.

    Raises:
        ValueError: if the system has players that take turns, whose batch norm keeps averages.
    """

    def __init__(
        self,
        system: str,
        members: int,
        *,
        threads: int,
        batch_size: int | None = None,
        rows: int | None = None,
        batches: int = 16,
        fused: bool = True,
        compile: bool = False,
        mode: str | None = None,
        device: str = "cpu",
        tf32: bool = False,
        seed: int = 0,
    ) -> None:
        self.system = own = SYSTEMS[system]
        if len(own.players) > 1:
            others = ", ".join(name for name, other in SYSTEMS.items() if len(other.players) == 1)
            raise ValueError(
                f"{system} has batch norm, whose running averages vmap cannot write to: use a Runner, or "
                f"one of {others}"
            )
        self.members, self.threads, self.device = members, threads, torch.device(device)
        prepare(self.device, threads=threads, tf32=tf32, seed=seed)
        self.x, self.cond, self.batch_size = resident(own, batch_size, rows, batches, self.device)
        whole = self.batch_size == len(self.x)
        self.minibatches = (
            minibatches(self.x, self.cond, self.batch_size)
            if whole
            else minibatches_of_members(self.x, self.cond, self.batch_size, members)
        )
        modules = [own.module().to(self.device).train() for _ in range(members)]
        stacked, _ = torch.func.stack_module_state(modules)
        self.parameters = {name: tensor.detach() for name, tensor in stacked.items()}
        self.module, (player,) = modules[0], own.players

        def loss(parameters: dict[str, Tensor], x: Tensor, cond: Tensor | None) -> Tensor:
            return player.loss(lambda *given: torch.func.functional_call(self.module, parameters, given), x, cond)

        rows_of = None if whole else 0
        self.gradients = torch.func.vmap(
            torch.func.grad_and_value(loss),
            in_dims=(0, rows_of, None if self.cond is None else rows_of),
            randomness="different",
        )
        self.adam = Adam(
            list(self.parameters.values()),
            learning_rate=own.learning_rate,
            beta=own.beta,
            fused=fused and not compile,
        )
        self.one = compiled(self.train, self.adam.state, mode) if compile else self.train

    def train(self, x: Tensor, cond: Tensor | None) -> Tensor:
        """Take one training step of every member and return their losses (members,)."""
        gradients, losses = self.gradients(self.parameters, x, cond)
        self.adam.step([gradients[name] for name in self.parameters])
        return losses

    def step(self, n: int = 1) -> Tensor:
        """Take n training steps of every member, wait for the device, and return the losses (members,) of the last."""
        torch.set_num_threads(self.threads)
        for x, cond in itertools.islice(self.minibatches, n):
            losses = self.one(x, cond)
        last = losses.clone()
        wait(self.device)
        return last

    def warm_up(self, steps: int = 5) -> float:
        """Return the seconds of the first steps, compilation included."""
        began = time.perf_counter()
        self.step(steps)
        return time.perf_counter() - began

    def rate(self, steps: int) -> float:
        """Return member-steps per second over so many steps of all members."""
        began = time.perf_counter()
        self.step(steps)
        return steps * self.members / (time.perf_counter() - began)
