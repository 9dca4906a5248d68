"""Calls of pure functions of arrays, and of networks and models."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

import jaxae as ja
from benchmarks.reliability.inputs.calls import CODES, COLUMNS, IMAGES, RANDOM, Call, X, rows_of, shape_of
from jaxae import convolution, distributions, networks
from jaxae.networks import MLP, Stage
from jaxae.types import Batch

__all__ = ["pure"]


Applied = Callable[..., Any]
"""(function, *arguments) -> what the function makes of them, computed or only traced."""


def pure(compute: bool = False) -> dict[str, Call]:
    """Return a call of each, by name; networks and models are traced, and computed only where that is asked for."""
    applied: Applied = (lambda function, *given: jax.jit(function)(*given)) if compute else jax.eval_shape
    return {**_of_losses(), **_of_densities(), **_of_networks(applied), **_of_convolutions(applied)}


def _losses_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return (model, x, cond, key, hyperparameters) -> the values of a loss."""

    def values(model: Any, x: Any, cond: Any, key: Any, **hparams: Any) -> Any:
        return function(model, Batch(x, cond), key, **hparams)[0]

    return values


def _of_losses() -> dict[str, Call]:
    def same(x: Any, cond: Any) -> Any:
        return x

    plain = SimpleNamespace(encode=same, dense=same, decode=lambda z, cond: z / 2)
    variational = SimpleNamespace(encode=lambda x, cond: distributions.Normal(x, 0.1 * x), decode=same)
    players = SimpleNamespace(
        generate=lambda key, n, cond: jax.random.uniform(key, (n, COLUMNS)),
        discriminate=lambda x, cond: distributions.per_example(x),
    )
    own = {
        "reconstruction": (plain, {"noise": ja.noise.gaussian}),
        "elbo": (variational, {"beta": 1.0, "free_bits": 0.0}),
        "importance_weighted": (variational, {"samples": 2}),
        "sparse": (plain, {"rate": 0.1, "weight": 0.05}),
        "sparse_l1": (plain, {"weight": 0.05}),
        "sparse_top_k": (plain, {"weight": 0.1}),
        "contractive": (plain, {"weight": 0.1}),
    }
    found = {
        f"losses.{name}": Call(
            _losses_of(getattr(ja.losses, name)),
            {"model": model, "x": X, "cond": None, "key": jax.random.key(1), **hparams},
            rows_of("x"),
        )
        for name, (model, hparams) in own.items()
    }
    adversaries = {
        "discriminator": {"loss": ja.adversarial.hinge, "noise": None, "penalty": 1.0, "target": 1.0},
        "generator": {"loss": ja.adversarial.hinge, "noise": ja.noise.gaussian},
        "energy_score": {"samples": 8},
    }
    for name, hparams in adversaries.items():
        given = {"model": players, "x": X, "cond": None, "key": jax.random.key(2), **hparams}
        found[f"adversarial.{name}"] = Call(_losses_of(getattr(ja.adversarial, name)), given, rows_of("x"))
    given = {"critic": lambda x: distributions.per_example(x**2), "x": X, "target": 1.0}
    found["adversarial.gradient_penalty"] = Call(ja.adversarial.gradient_penalty, given, rows_of("x"))
    return found


def _of_densities() -> dict[str, Call]:
    key, logits = jax.random.key(3), CODES[:, [0, 1, 2, 0]]

    def of_normal(method: str) -> Callable[..., Any]:
        return lambda mean, logvar, **given: getattr(distributions.Normal(mean, logvar), method)(**given)

    normal = {"mean": CODES, "logvar": CODES / 10}
    return {
        "noise.gaussian": Call(
            ja.noise.gaussian, {"key": key, "x": X, "scale": 0.1, "clip": (0.0, 1.0)}, shape_of("x")
        ),
        "noise.salt_and_pepper": Call(
            ja.noise.salt_and_pepper, {"key": key, "x": X, "rate": 0.1, "low": 0.0, "high": 1.0}, shape_of("x")
        ),
        "noise.masking": Call(ja.noise.masking, {"key": key, "x": X, "rate": 0.3}, shape_of("x")),
        "noise.dropout": Call(ja.noise.dropout, {"key": key, "x": X, "rate": 0.3}, shape_of("x")),
        "distributions.Normal.sample": Call(of_normal("sample"), {**normal, "key": key}, shape_of("mean")),
        "distributions.Normal.log_prob": Call(of_normal("log_prob"), {**normal, "x": CODES}, rows_of("mean")),
        "distributions.Normal.kl": Call(of_normal("kl"), normal, rows_of("mean")),
        "distributions.Normal.kl_per_dimension": Call(of_normal("kl_per_dimension"), normal, shape_of("mean")),
        "distributions.bernoulli": Call(distributions.bernoulli, {"logits": logits, "x": X}, rows_of("x")),
        "distributions.gaussian": Call(distributions.gaussian, {"mean": logits, "x": X, "scale": 1.0}, rows_of("x")),
        "distributions.multinomial": Call(
            distributions.multinomial, {"logits": logits, "counts": np.round(3 * X)}, rows_of("counts")
        ),
        "distributions.normal": Call(
            distributions.normal, {"prediction": distributions.Normal(logits, 0 * logits), "x": X}, rows_of("x")
        ),
        "distributions.per_example": Call(distributions.per_example, {"values": X}, rows_of("values")),
        "distributions.squared_error": Call(distributions.squared_error, {"prediction": logits, "x": X}, rows_of("x")),
    }


def _modules(applied: Applied) -> Callable[..., Callable[..., Any]]:
    """Return (kind of module, names of its inputs) -> (fields and inputs by name) -> what a fresh one makes of them."""
    key = jax.random.key(0)

    def module(kind: Any, *inputs: str) -> Callable[..., Any]:
        def made(**given: Any) -> Any:
            fresh = kind(**{name: value for name, value in given.items() if name not in inputs})
            return applied(fresh.init_with_output, key, *(given[name] for name in inputs if name in given))[0]

        return made

    return module


def _drawn(model: Any, method: str, applied: Applied) -> Callable[..., Any]:
    """Return (key, n) -> what a fresh model draws."""
    init_key = jax.random.key(0)

    def drawn(key: Any, n: Any) -> Any:
        def draw(key: Any) -> Any:
            return model.init_with_output(init_key, key, n, method=method)[0]

        return applied(draw, key) if hasattr(key, "shape") else draw(key)

    return drawn


def _of_networks(applied: Applied) -> dict[str, Call]:
    module = _modules(applied)
    cond, leaky = X[:, :2], jax.nn.relu
    stages, small = (Stage(2), Stage(3)), (2, 2, 3)
    variational = ja.models.VAE(MLP((3,)), MLP((COLUMNS,)), latent=2)
    players = ja.models.GAN(MLP((COLUMNS,)), MLP((1,)), latent=2)
    inputs = {"x": X, "cond": cond}
    return {
        "models.AE": Call(
            module(ja.models.AE, "x", "cond"),
            {"encoder": MLP((2,)), "decoder": MLP((COLUMNS,)), **inputs},
            lambda given: (len(given["x"]), COLUMNS),
        ),
        "models.SparseAE": Call(
            module(ja.models.SparseAE, "x"),
            {"encoder": MLP((3,)), "decoder": MLP((COLUMNS,)), "k": 2, "x": X},
            lambda given: (len(given["x"]), COLUMNS),
        ),
        "models.VAE": Call(
            module(ja.models.VAE, "x", "cond"),
            {"encoder": MLP((3,)), "decoder": MLP((COLUMNS,)), "latent": 2, **inputs},
            lambda given: (len(given["x"]), COLUMNS),
        ),
        "models.GAN": Call(
            module(ja.models.GAN, "x", "cond"),
            {"generator": MLP((COLUMNS,)), "discriminator": MLP((1,)), "latent": 2, **inputs},
            rows_of("x"),
        ),
        "models.VAE.sample": Call(_drawn(variational, "sample", applied), {"key": jax.random.key(4), "n": 3}),
        "models.GAN.generate": Call(_drawn(players, "generate", applied), {"key": jax.random.key(4), "n": 3}),
        "networks.MLP": Call(
            module(MLP, "x", "cond"), {"widths": (3, 2), "activation": leaky, "dropout": 0.2, **inputs}
        ),
        "networks.Dense": Call(module(networks.Dense, "x"), {"features": 2, "x": X}),
        "networks.Atoms": Call(module(networks.Atoms, "z"), {"width": 5, "gain": 1.0, "z": CODES}),
        "networks.BatchNorm": Call(module(networks.BatchNorm, "x"), {"momentum": 0.9, "x": X}, shape_of("x")),
        "networks.Dropout": Call(module(networks.Dropout, "x"), {"rate": 0.2, "x": X}, shape_of("x")),
        "networks.ConvEncoder": Call(
            module(networks.ConvEncoder, "x"),
            {"stages": stages, "activation": leaky, "residual": 1, "width": 2, "x": IMAGES},
        ),
        "networks.ConvDecoder": Call(
            module(networks.ConvDecoder, "z"),
            {"start": small, "stages": (Stage(2), Stage(1)), "activation": leaky, "residual": 0, "z": CODES},
        ),
        "networks.Residual": Call(module(networks.Residual, "x"), {"activation": leaky, "x": IMAGES}, shape_of("x")),
        "networks.PredictedScale": Call(module(networks.PredictedScale, "z"), {"network": MLP((4,)), "z": CODES}),
        "networks.SharedScale": Call(module(networks.SharedScale, "z"), {"network": MLP((4,)), "z": CODES}),
        "networks.Projection": Call(module(networks.Projection, "x", "cond"), {"network": MLP((3,)), **inputs}),
        "networks.keep_largest": Call(networks.keep_largest, {"code": CODES, "k": 2}, shape_of("code")),
        "networks.conditioned": Call(
            networks.conditioned, {"network": lambda x, cond=None: x, "x": X, "cond": cond}, shape_of("x")
        ),
        "networks.mirror": Call(networks.mirror, {"stages": stages, "shape": (8, 8, 1), "resize": False}),
    }


def _of_convolutions(applied: Applied) -> dict[str, Call]:
    module = _modules(applied)
    kernel = RANDOM.normal(size=(3, 3, 1, 2)).astype(np.float32)
    plain = {"x": IMAGES, "kernel": kernel, "strides": 1, "padding": "SAME"}
    fields = {"features": 2, "kernel_size": 3, "padding": "SAME", "x": IMAGES}
    return {
        "convolution.convolve": Call(convolution.convolve, plain),
        "convolution.convolve_transposed": Call(convolution.convolve_transposed, plain),
        "convolution.resize": Call(convolution.resize, {"x": IMAGES, "size": (4, 6)}),
        "convolution.resize_convolve": Call(
            convolution.resize_convolve, {"x": IMAGES, "kernel": kernel, "size": 16, "padding": "SAME"}
        ),
        "convolution.mirrored": Call(
            convolution.mirrored, {"kernel": 3, "stride": 2, "padding": 1, "output_padding": 1}
        ),
        "convolution.Conv": Call(module(convolution.Conv, "x"), {**fields, "strides": 2}),
        "convolution.ConvTranspose": Call(module(convolution.ConvTranspose, "x"), {**fields, "strides": 2}),
        "convolution.ResizeConv": Call(module(convolution.ResizeConv, "x"), {**fields, "scale": 2}),
    }
