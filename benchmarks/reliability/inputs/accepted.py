"""Inputs that look odd and are taken all the same, as data: which call, and what is changed in it."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

import jaxae as ja
from benchmarks.reliability.inputs.calls import CODES, IMAGES, LABELS, NAMES, X
from benchmarks.reliability.inputs.host import BERNOULLI, Line, learner
from jaxae.networks import Stage
from jaxae.types import Batch

__all__ = ["Odd", "accepted"]

Odd = tuple[str, dict[str, Any]]
"""(name of the call, arguments that are changed)."""

FORTRAN = np.asfortranarray(X)
STRIDED = np.repeat(X, 2, 0)[::2]
REVERSED = X[::-1]
READ_ONLY = X.copy()
READ_ONLY.flags.writeable = False
DOUBLE, HALF = X.astype(np.float64), X.astype(np.float16)
ENDS = (X > 0.5).astype(np.float32)
ONE_ROW, ONE_COLUMN = X[:1], X[:, :1]


def accepted(folder: Path) -> list[Odd]:
    """Return all of them; the files that some name lie in the folder of the calls."""
    layouts = [FORTRAN, STRIDED, REVERSED, READ_ONLY, DOUBLE, HALF, jnp.asarray(X, jnp.bfloat16), ONE_ROW]
    return [
        *((name, {"x": x}) for name in ("noise.gaussian", "noise.masking", "losses.elbo") for x in layouts),
        *_of_pure(),
        *_of_networks(),
        *_of_metrics(),
        *_of_codes(),
        *_of_data(folder),
        *_of_numbers(),
        *_of_runs(layouts, folder),
    ]


def _of_pure() -> list[Odd]:
    rbg = jax.random.key(0, impl="rbg")
    return [
        ("losses.elbo", {"x": ENDS}),
        ("losses.elbo", {"key": None}),
        ("losses.elbo", {"beta": 0}),
        ("losses.elbo", {"beta": np.float64(4), "free_bits": jnp.asarray(0.1)}),
        ("losses.elbo", {"cond": X[:, :1]}),
        ("losses.elbo", {"key": rbg}),
        ("losses.elbo", {"x": X * (1 + 1e-6) - 5e-7}),
        ("losses.reconstruction", {"noise": None, "x": 255 * X}),
        ("losses.reconstruction", {"key": None}),
        ("losses.importance_weighted", {"samples": np.int64(1)}),
        ("losses.sparse", {"rate": 1e-6, "weight": 0}),
        ("losses.sparse_top_k", {"weight": 1}),
        ("losses.sparse_top_k", {"weight": 0}),
        ("losses.contractive", {"key": None, "weight": np.float32(0)}),
        ("adversarial.discriminator", {"penalty": 0}),
        ("adversarial.discriminator", {"x": ONE_ROW, "target": 0}),
        ("adversarial.generator", {"noise": None, "x": ONE_ROW}),
        ("adversarial.energy_score", {"samples": np.uint8(2), "x": ONE_ROW}),
        ("adversarial.gradient_penalty", {"x": 0 * X}),
        ("noise.gaussian", {"scale": 0, "clip": None}),
        ("noise.gaussian", {"scale": np.array([0.0, 0.1, 0.2, 0.3], np.float32)[None]}),
        ("noise.gaussian", {"clip": (-np.inf, np.inf)}),
        ("noise.salt_and_pepper", {"rate": 0}),
        ("noise.salt_and_pepper", {"rate": 1, "low": -5, "high": np.float32(5)}),
        ("noise.masking", {"rate": 1}),
        ("noise.dropout", {"rate": np.float32(0)}),
        ("noise.dropout", {"x": X[:0]}),
        ("distributions.Normal.log_prob", {"mean": CODES[:1], "logvar": CODES[:1], "x": CODES[:1]}),
        ("distributions.Normal.kl", {"mean": IMAGES, "logvar": 0 * IMAGES}),
        ("distributions.bernoulli", {"x": ENDS.astype(bool)}),
        ("distributions.bernoulli", {"x": ENDS.astype(np.uint8)}),
        ("distributions.bernoulli", {"logits": 1e4 * X}),
        ("distributions.multinomial", {"counts": np.zeros_like(X)}),
        ("distributions.multinomial", {"counts": np.ones(X.shape, int)}),
        ("distributions.gaussian", {"scale": np.full((1, 4), 1e-3, np.float32)}),
        ("distributions.per_example", {"values": X[:, 0]}),
        ("distributions.squared_error", {"x": np.zeros(X.shape, np.uint8)}),
    ]


def _of_networks() -> list[Odd]:
    return [
        ("models.AE", {"x": ONE_ROW, "cond": X[:1, :1]}),
        ("models.AE", {"cond": None}),
        ("models.AE", {"x": DOUBLE}),
        ("models.SparseAE", {"k": np.int32(3)}),
        ("models.VAE", {"latent": np.int64(1), "x": ONE_ROW, "cond": None}),
        ("models.VAE.sample", {"n": np.uint8(1)}),
        ("models.GAN.generate", {"n": 1}),
        ("networks.MLP", {"widths": [3, np.int64(1)], "dropout": 0}),
        ("networks.MLP", {"x": ONE_COLUMN, "cond": None}),
        ("networks.MLP", {"x": HALF, "cond": None, "activation": nn.tanh}),
        ("networks.MLP", {"x": X.astype(int), "cond": None}),
        ("networks.BatchNorm", {"x": ONE_ROW, "momentum": 1}),
        ("networks.Dropout", {"rate": 0}),
        ("networks.ConvEncoder", {"x": IMAGES[:1], "width": None, "residual": 0}),
        ("networks.ConvEncoder", {"stages": [Stage(1, kernel=1, stride=1, padding=0)]}),
        ("networks.keep_largest", {"k": 3}),
        ("networks.keep_largest", {"code": CODES[:1]}),
        ("networks.mirror", {"shape": [9, 7, 3]}),
        ("networks.conditioned", {"cond": None}),
        ("convolution.convolve", {"padding": ((0, 1), (2, 0)), "strides": (1, 3)}),
        ("convolution.convolve", {"x": IMAGES.astype(np.float16)}),
        ("convolution.convolve", {"padding": np.int64(1)}),
        ("convolution.resize", {"size": np.int64(1)}),
        ("convolution.resize", {"x": IMAGES[:, :1, :1]}),
        ("convolution.mirrored", {"kernel": 1, "stride": 1, "padding": 0, "output_padding": 0}),
    ]


def _of_metrics() -> list[Odd]:
    return [
        ("metrics.mean_squared_error", {"x": [1, 2], "y": (True, False)}),
        ("metrics.mean_squared_error", {"x": 1.0, "y": 2.0}),
        ("metrics.pixel_errors", {"x": FORTRAN, "y": READ_ONLY}),
        ("metrics.snr", {"noisy": X + 1}),
        ("metrics.psnr", {"peak": np.uint8(255)}),
        ("metrics.ssim", {"window": np.int64(3)}),
        ("metrics.auroc", {"labels": LABELS.astype(bool)}),
        ("metrics.auroc", {"labels": LABELS.astype(float).tolist(), "scores": np.zeros(6)}),
        ("metrics.detection_rate", {"alarms": np.zeros(6, bool)}),
        ("metrics.ks", {"real": CODES[:1], "generated": jnp.asarray(CODES)}),
        ("metrics.moments", {"real": ONE_COLUMN, "generated": ONE_COLUMN[:2]}),
        ("metrics.manifold", {"k": np.int8(5)}),
        ("metrics.wiener", {"clean": ONE_COLUMN, "scale": 1}),
        ("metrics.matched_cosine", {"found": 0 * CODES}),
        ("metrics.linear_probe", {"train_labels": list("ababab"), "test_labels": ["a", "z"]}),
        ("metrics.compression_ratio", {"example": 784, "latent": (1,)}),
    ]


def _of_codes() -> list[Odd]:
    return [
        ("windows.cut", {"series": list(range(4)), "length": 4, "stride": np.int64(4)}),
        ("windows.cut", {"series": np.zeros((5, 2)), "length": 1, "stride": 1}),
        ("windows.events", {"alarms": np.zeros(0, bool)}),
        ("windows.events", {"alarms": np.ones(3, bool), "gap": 0}),
        ("latent.interpolate", {"a": [0, 1], "b": [1, 0], "steps": np.int64(2)}),
        ("latent.slerp", {"a": np.zeros(3), "b": np.zeros(3)}),
        ("latent.slerp", {"b": -CODES[0]}),
        ("latent.traverse", {"values": np.zeros(0, np.float32)}),
        ("latent.active_units", {"threshold": 0}),
        ("latent.quantise", {"codes": np.ones((1, 1)), "bits": 1}),
        ("latent.quantise", {"bits": np.int16(16)}),
        ("latent.aggregate_moments", {"mean": CODES[:1], "logvar": CODES[:1]}),
        ("calibrate", {"quantile": np.float32(0.5), "reference": X[:2]}),
        ("detection.conformal_threshold", {"reference": [1.0], "rate": 0.5}),
        ("p_values", {"scores": [], "reference": [1]}),
        ("p_values", {"scores": [1e300], "reference": [-1e300]}),
    ]


def _of_data(folder: Path) -> list[Odd]:
    (folder / "plain.csv").write_text("1,2\n3,4\n")
    (folder / "truth.csv").write_text("on,a\ntrue,1\nFALSE,2\n")
    return [
        ("data.read", {"path": str(folder / "table.csv"), "columns": list(NAMES)}),
        ("data.read", {"path": folder / "table.csv", "columns": ("a", "c")}),
        ("data.read", {"path": folder / "plain.csv", "columns": None}),
        ("data.read", {"path": folder / "truth.csv", "columns": None, "impute": {"a": 0.0}}),
        ("data.write", {"path": str(folder / "odd.csv"), "values": FORTRAN}),
        ("data.write", {"path": folder / "odd.parquet", "values": ONE_ROW}),
        ("data.write", {"path": folder / "odd.npy", "values": X.astype(int)}),
        ("data.images", {"path": str(folder / "images.npy"), "size": np.int64(1)}),
        ("data.image_folder", {"path": folder / "pictures", "size": (2, 3)}),
        ("data.write_images", {"folder": folder / "odd", "images": IMAGES[:1].astype(np.uint8), "names": None}),
        ("data.standard", {"values": X.tolist(), "columns": iter(NAMES)}),
        ("data.standard", {"values": np.column_stack([X[:, :3], np.ones(6)])}),
        ("data.min_max", {"values": X[:2], "low": -1, "high": np.float32(1)}),
        ("data.Scaling.apply", {"values": X[:0]}),
        ("data.Scaling.apply", {"values": jnp.asarray(X, jnp.bfloat16)}),
        ("data.split", {"n": np.int64(2), "fractions": [0.5, 0.5]}),
        ("data.split", {"n": 1, "fractions": (1,)}),
        ("data.process", {"rows": 1, "variables": 1, "noise": 0}),
        ("data.process", {"variables": None, "weights": np.zeros((1, 2))}),
        ("data.conditional_mean", {"temperature": [1e-3]}),
        ("data.anomalies", {"pattern": "joint", "rows": np.int64(1)}),
        ("data.dictionary", {"rows": 1, "active": 4, "loads": 6, "noise": 0}),
        ("data.series", {"points": 360, "events": 0}),
        ("data.conditions", {"columns": {"site": ("a", "b")}}),
        ("data.conditions", {"columns": {"t": [1, 2]}, "one_hot": ["t"]}),
        ("data.Conditions.apply", {"columns": {"t": np.array([1e6]), "site": np.array(["a"]), "more": [1]}}),
        ("data.fingerprint", {"array": jnp.asarray(X, jnp.bfloat16)}),
    ]


def _of_numbers() -> list[Odd]:
    return [
        ("grid", {"beta": range(2), "lr": (value for value in (0.1, 0.2))}),
        ("grid", {"beta": np.float64([1.0]), "lr": {0.1}}),
        ("zipped", {"beta": [0], "lr": jnp.ones(1)}),
        ("draw", {"n": np.int64(1), "lr": lambda key, n: jnp.zeros(n)}),
        ("hyperparameters.uniform", {"low": np.float32(-1), "high": 0}),
        ("hyperparameters.integers", {"low": np.int8(2), "high": 2}),
        ("hyperparameters.choices", {"values": (1,)}),
        ("hyperparameters.points", {"hparams": {}}),
        ("statistics.bootstrap", {"values": [1, 1], "draws": np.int64(1), "statistic": np.median}),
        ("statistics.summaries", {"values": np.full(6, np.inf)}),
        ("statistics.summaries", {"hparams": {}}),
        ("statistics.effects", {"hparams": {"lr": np.ones(6), "kind": np.array(list("ababab"))}}),
    ]


def _of_runs(layouts: list[Any], folder: Path) -> list[Odd]:
    rows, score = Batch(jnp.asarray(X)), ja.score(Line(), ja.losses.reconstruction)
    mesh = jax.make_mesh((1,), ("members",), axis_types=(jax.sharding.AxisType.Auto,))
    found: list[Odd] = [("fit", {"data": Batch(x), "batch_size": 1}) for x in layouts]
    return [
        *found,
        ("objective", {"loss": lambda model, batch, key, **hparams: None}),
        ("chain", {}),
        ("repeat", {"times": np.int64(1)}),
        ("run", {"batch_size": np.int64(6)}),
        ("run", {"epochs": np.int32(2), "data": Batch(ONE_ROW), "batch_size": 1}),
        ("train", {"batch_size": 6}),
        ("train", {"data": Batch(DOUBLE, np.arange(6))}),
        ("train", {"key": jax.random.key(0, impl="rbg")}),
        ("fit", {"batch_size": np.int64(6), "epochs": np.uint8(2)}),
        ("fit", {"batch_size": 4}),
        ("fit", {"data": Batch(ENDS), "learner": learner(**BERNOULLI)}),
        ("fit", {"data": Batch(ONE_COLUMN), "batch_size": 6}),
        ("fit", {"data": Batch(X, READ_ONLY)}),
        ("fit", {"seeds": 1}),
        ("fit", {"seeds": np.int64(3), "lanes": 2}),
        ("fit", {"seeds": 3, "chunk": 2}),
        ("fit", {"seeds": 2, "mesh": mesh}),
        ("fit", {"validation": Batch(ONE_ROW), "score": score, "patience": 1}),
        ("fit", {"validation": rows, "score": score}),
        ("fit", {"checkpoint": str(folder / "steps"), "log": folder / "deep" / "log.jsonl"}),
        ("fit", {"learner": lambda: learner()}),
        ("fit", {"progress": lambda progress: None}),
        ("fit of a population", {"hparams": {"scale": 0.1}}),
        ("fit of a population", {"hparams": {"scale": [0.0]}, "seeds": 1}),
        ("fit of a population", {"hparams": {}}),
        ("sweep(member)", {"keys": jax.random.split(jax.random.key(1), 1)}),
        ("sweep(member)", {"hparams": {"scale": [1]}}),
        ("spread(member)", {"mapped": jnp.ones(1)}),
        ("Fit.take", {"member": np.int64(0)}),
        ("Fit.take", {"member": np.array([2, 0, 0])}),
        ("checkpoint.save", {"path": str(folder / "odd.bin")}),
        ("checkpoint.load", {"path": str(folder / "fit.safetensors")}),
    ]
