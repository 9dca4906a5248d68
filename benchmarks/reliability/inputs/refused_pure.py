"""Bad inputs of pure functions, networks and models, as data."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.reliability.inputs.calls import CODES, IMAGES, LABELS, X
from jaxae.networks import MLP, Stage

__all__ = ["BYTES", "HOLED", "LEGACY", "NAN", "Refusal", "refused_pure"]

Refusal = tuple[str, dict[str, Any], tuple[str, ...]]
"""(name of the call, what is changed in it, words of the message: the argument, what was given, what is allowed)."""

LEGACY = np.zeros(2, np.uint32)
NAN = float("nan")
BYTES = (255 * X).astype(np.uint8)
HOLED = np.where(np.arange(X.size).reshape(X.shape) == 5, np.float32(NAN), X)
WITHOUT_DENSE = SimpleNamespace(encode=lambda x, cond: x, decode=lambda z, cond: z)


def refused_pure() -> list[Refusal]:
    """Return all of them."""
    return [*_of_arrays(), *_of_networks()]


def _of_arrays() -> list[Refusal]:
    key, other = ("key", "legacy uint32 key", "jax.random.key(0)"), np.ones((3, 4), np.float32)
    return [
        ("losses.reconstruction", {"nll": "squared"}, ("nll", "'squared'", "function")),
        ("losses.reconstruction", {"noise": 0.1}, ("noise", "0.1", "function")),
        ("losses.reconstruction", {"key": LEGACY}, key),
        ("losses.reconstruction", {"model": object()}, ("model", "object", "encode and decode")),
        ("losses.elbo", {"beta": -1.0}, ("beta", "-1", "≥ 0")),
        ("losses.elbo", {"beta": "1"}, ("beta", "'1'", "≥ 0")),
        ("losses.elbo", {"free_bits": -0.5}, ("free_bits", "-0.5", "≥ 0")),
        ("losses.elbo", {"key": 7}, ("key", "7", "jax.random.key(0)")),
        ("losses.importance_weighted", {"samples": 0}, ("samples", "0", "≥ 1")),
        ("losses.importance_weighted", {"samples": 2.5}, ("samples", "2.5", "whole number")),
        ("losses.sparse", {"rate": 1.0}, ("rate", "1", "between 0 and 1")),
        ("losses.sparse", {"rate": 10}, ("rate", "10", "between 0 and 1", "write 0.1")),
        ("losses.sparse", {"weight": -1}, ("weight", "-1", "≥ 0")),
        ("losses.sparse_l1", {"weight": NAN}, ("weight", "nan", "≥ 0")),
        ("losses.sparse_top_k", {"weight": 1.5}, ("weight", "1.5", "from 0 to 1")),
        ("losses.sparse_top_k", {"model": WITHOUT_DENSE}, ("model", "SimpleNamespace", "dense")),
        ("losses.contractive", {"weight": float("inf")}, ("weight", "inf", "≥ 0")),
        ("adversarial.discriminator", {"key": None}, ("key", "None", "give a key")),
        ("adversarial.discriminator", {"loss": "hinge"}, ("loss", "'hinge'", "GanLoss")),
        ("adversarial.discriminator", {"penalty": -1.0}, ("penalty", "-1", "≥ 0")),
        ("adversarial.discriminator", {"target": -1.0}, ("target", "-1", "≥ 0")),
        ("adversarial.discriminator", {"noise": 0.1}, ("noise", "0.1", "function")),
        ("adversarial.generator", {"key": LEGACY}, key),
        ("adversarial.generator", {"model": object()}, ("model", "object", "generate")),
        ("adversarial.energy_score", {"samples": 1}, ("samples", "1", "≥ 2")),
        ("adversarial.gradient_penalty", {"critic": None}, ("critic", "None", "function")),
        ("adversarial.gradient_penalty", {"target": -1}, ("target", "-1", "≥ 0")),
        ("noise.gaussian", {"scale": -0.1}, ("scale", "-0.1", "≥ 0")),
        ("noise.gaussian", {"scale": "0.1"}, ("scale", "'0.1'", "≥ 0")),
        ("noise.gaussian", {"x": BYTES}, ("x", "uint8", "floats")),
        ("noise.gaussian", {"key": LEGACY}, key),
        ("noise.gaussian", {"clip": (1.0, 0.0)}, ("clip", "(1.0, 0.0)", "low < high")),
        ("noise.gaussian", {"clip": 1.0}, ("clip", "1.0", "low < high")),
        ("noise.salt_and_pepper", {"rate": 5}, ("rate", "5", "from 0 to 1", "0.05")),
        ("noise.salt_and_pepper", {"low": NAN}, ("low", "nan", "finite")),
        ("noise.salt_and_pepper", {"high": None}, ("high", "None", "finite")),
        ("noise.masking", {"rate": -0.2}, ("rate", "-0.2", "from 0 to 1")),
        ("noise.masking", {"x": X.tolist()}, ("x", "list", "array")),
        ("noise.dropout", {"rate": 1.0}, ("rate", "1", "masking")),
        ("noise.dropout", {"key": 0}, ("key", "0", "jax.random.key(0)")),
        ("distributions.Normal.sample", {"key": LEGACY}, key),
        ("distributions.Normal.sample", {"logvar": CODES[:, :2]}, ("logvar", "(6, 2)", "(6, 3)")),
        ("distributions.Normal.log_prob", {"x": CODES[:3]}, ("x", "(3, 3)", "(6, 3)")),
        ("distributions.Normal.kl", {"mean": CODES.astype(int)}, ("mean", "int64", "floats")),
        ("distributions.bernoulli", {"x": 255 * X}, ("x", "25", "0…1", "255")),
        ("distributions.bernoulli", {"x": BYTES}, ("x", "25", "0…1")),
        ("distributions.bernoulli", {"logits": BYTES}, ("logits", "uint8", "floats")),
        ("distributions.bernoulli", {"logits": other}, ("logits", "(3, 4)", "(6, 4)")),
        ("distributions.gaussian", {"scale": 0.0}, ("scale", "0", "> 0")),
        ("distributions.gaussian", {"mean": other}, ("mean", "(3, 4)", "(6, 4)")),
        ("distributions.multinomial", {"counts": X - 1}, ("counts", "-0.9", "≥ 0")),
        ("distributions.multinomial", {"logits": IMAGES, "counts": IMAGES}, ("logits", "(2, 8, 8, 1)", "(n, items)")),
        ("distributions.normal", {"prediction": X}, ("decoder", "ndarray", "Normal")),
        ("distributions.squared_error", {"prediction": BYTES}, ("prediction", "uint8", "floats")),
        ("distributions.squared_error", {"prediction": X[:, :1]}, ("prediction", "(6, 1)", "(6, 4)")),
        ("distributions.per_example", {"values": np.float32(1)}, ("values", "single number", "(n, ...)")),
    ]


def _of_networks() -> list[Refusal]:
    short = X[:3, :2]
    return [
        ("models.AE", {"x": X[0]}, ("x", "(4,)", "(n, features)")),
        ("models.AE", {"cond": short}, ("cond", "(3,)", "(6,)")),
        ("models.AE", {"cond": LABELS}, ("cond", "(6,)", "(n, features)")),
        ("models.SparseAE", {"k": 4}, ("k", "4", "from 1 to 3")),
        ("models.SparseAE", {"k": 0}, ("k", "0", "from 1 to 3")),
        ("models.VAE", {"latent": 0}, ("latent", "0", "≥ 1")),
        ("models.VAE", {"latent": 2.0}, ("latent", "2.0", "whole number")),
        ("models.GAN", {"discriminator": MLP((2,))}, ("discriminator", "(6, 2)", "(n, 1)")),
        ("models.GAN", {"generator": MLP((3,))}, ("generator", "(6, 3)", "(6, 4)")),
        ("models.GAN", {"latent": -1}, ("latent", "-1", "≥ 1")),
        ("models.VAE.sample", {"n": 0}, ("n", "0", "≥ 1")),
        ("models.VAE.sample", {"key": LEGACY}, ("key", "legacy", "jax.random.key(0)")),
        ("models.GAN.generate", {"n": 2.5}, ("n", "2.5", "whole number")),
        ("networks.MLP", {"activation": "relu"}, ("activation", "'relu'", "function")),
        ("networks.MLP", {"widths": 8}, ("widths", "8", "tuple")),
        ("networks.MLP", {"widths": ()}, ("widths", "empty", "at least one")),
        ("networks.MLP", {"widths": (3, 0)}, ("width", "0", "≥ 1")),
        ("networks.MLP", {"dropout": 1.5}, ("dropout", "1.5", "from 0 to 1")),
        ("networks.MLP", {"dropout": 1.0}, ("dropout", "1", "< 1")),
        ("networks.MLP", {"dropout": (0.1, 0.1)}, ("dropout", "2 rates", "one rate")),
        ("networks.MLP", {"x": IMAGES}, ("x", "(2, 8, 8, 1)", "(n, features)")),
        ("networks.Dense", {"features": 0}, ("features", "0", "≥ 1")),
        ("networks.Atoms", {"width": 0}, ("width", "0", "≥ 1")),
        ("networks.Atoms", {"gain": 0.0}, ("gain", "0", "> 0")),
        ("networks.BatchNorm", {"momentum": 1.5}, ("momentum", "1.5", "from 0 to 1")),
        ("networks.Dropout", {"rate": -0.1}, ("dropout", "-0.1", "from 0 to 1")),
        ("networks.ConvEncoder", {"stages": 32}, ("stages", "32", "Stage")),
        ("networks.ConvEncoder", {"stages": (Stage(0),)}, ("features", "0", "≥ 1")),
        ("networks.ConvEncoder", {"stages": (Stage(2, kernel=3, padding=3),)}, ("padding", "3", "from 0 to 2")),
        ("networks.ConvEncoder", {"stages": (Stage(2, kernel=9, padding=0),)}, ("images", "8 × 8", "at least 9 × 9")),
        ("networks.ConvEncoder", {"x": IMAGES[..., 0]}, ("x", "(2, 8, 8)", "(n, height, width, channels)")),
        ("networks.ConvEncoder", {"x": (255 * IMAGES).astype(np.uint8)}, ("x", "uint8", "floats")),
        ("networks.ConvEncoder", {"residual": -1}, ("residual", "-1", "≥ 0")),
        ("networks.ConvEncoder", {"activation": "relu"}, ("activation", "'relu'", "function")),
        ("networks.ConvDecoder", {"start": (2, 2)}, ("start", "(2, 2)", "(height, width, channels)")),
        ("networks.ConvDecoder", {"z": IMAGES}, ("z", "(2, 8, 8, 1)", "(n, latent)")),
        ("networks.Residual", {"x": X}, ("x", "(6, 4)", "(n, height, width, channels)")),
        ("networks.PredictedScale", {"network": MLP((3,))}, ("columns", "3", "even")),
        ("networks.Projection", {"cond": LABELS}, ("cond", "(6,)", "(n, conditions)")),
        ("networks.Projection", {"cond": short}, ("cond", "(3,)", "(6,)")),
        ("networks.keep_largest", {"k": 9}, ("k", "9", "from 1 to 3")),
        ("networks.keep_largest", {"code": IMAGES}, ("code", "(2, 8, 8, 1)", "(n, units)")),
        ("networks.mirror", {"shape": (8, 8)}, ("shape", "(8, 8)", "(height, width, channels)")),
        ("networks.mirror", {"shape": (9, 8, 1), "resize": True}, ("height", "9", "sizes that work are 8 and 12")),
        ("convolution.convolve", {"x": IMAGES[0]}, ("x", "(8, 8, 1)", "x[None]")),
        ("convolution.convolve", {"x": (255 * IMAGES).astype(np.uint8)}, ("x", "uint8", "floats")),
        ("convolution.convolve", {"padding": "same"}, ("padding", "'same'", "'SAME'")),
        ("convolution.convolve", {"strides": 0}, ("strides", "0", "≥ 1")),
        (
            "convolution.convolve",
            {"kernel": np.ones((3, 3, 2, 2), np.float32)},
            ("kernel takes 2", "1 channels", "channels come last"),
        ),
        ("convolution.convolve_transposed", {"strides": (1, 2, 3)}, ("strides", "(1, 2, 3)", "(height, width)")),
        ("convolution.resize", {"size": 0}, ("size", "0", "≥ 1")),
        ("convolution.resize_convolve", {"size": 2.5}, ("size", "2.5", "whole number")),
        ("convolution.mirrored", {"output_padding": 2}, ("output_padding", "2", "from 0 to 1")),
        ("convolution.mirrored", {"kernel": 2.5}, ("kernel", "2.5", "whole number")),
        ("convolution.Conv", {"features": 0}, ("features", "0", "≥ 1")),
        ("convolution.ConvTranspose", {"kernel_size": 0}, ("kernel_size", "0", "≥ 1")),
        ("convolution.ResizeConv", {"scale": 0}, ("scale", "0", "≥ 1")),
    ]
