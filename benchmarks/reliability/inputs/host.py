"""Calls of what works on the host: metrics, windows, codes, data, numbers of a sweep, and what drives runs."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import jaxae as ja
from benchmarks.reliability.inputs.calls import CODES, COLUMNS, IMAGES, LABELS, NAMES, ROWS, Call, X, shape_of
from jaxae import data, hyperparameters, latent, metrics, statistics, windows
from jaxae.detection import conformal_threshold, tail_threshold
from jaxae.population import spread
from jaxae.result import Status, stack
from jaxae.types import Batch, Learner, TrainState

__all__ = ["BERNOULLI", "Line", "host", "learner"]


def host(folder: Path) -> dict[str, Call]:
    """Return a call of each, by name; some read and write in an empty folder."""
    return {
        **_of_metrics(),
        **_of_series_and_codes(),
        **_of_data(folder),
        **_of_numbers(),
        **_of_learners(),
        **_of_runs(folder),
    }


def _of_metrics() -> dict[str, Call]:
    near, alarms = X + np.float32(0.01), np.array([0, 1, 1, 1, 0, 0])
    two, both = {"x": X, "y": near}, {"real": CODES, "generated": CODES + 1}
    alone = {
        "mean_squared_error": two,
        "pixel_errors": two,
        "snr": {"clean": X, "noisy": near},
        "psnr": {**two, "peak": 1.0},
        "ssim": {"x": IMAGES, "y": IMAGES[::-1], "peak": 1.0, "window": 7},
        "explained_variance": {"x": X, "reconstruction": near},
        "compression_ratio": {"example": (8, 8), "latent": 4},
        "auroc": {"labels": LABELS, "scores": X[:, 0]},
        "average_precision": {"labels": LABELS, "scores": X[:, 0]},
        "detection_rate": {"labels": LABELS, "alarms": alarms},
        "false_positive_rate": {"labels": LABELS, "alarms": alarms},
        "ks": both,
        "correlation_distance": both,
        "moments": both,
        "classifier_two_sample": {**both, "seed": 0, "folds": 2},
        "energy_distance": both,
        "frechet_distance": both,
        "kernel_distance": both,
        "manifold": {**both, "k": 2},
        "classifier_score": {"probabilities": X / X.sum(1, keepdims=True)},
        "wiener": {"clean": X, "scale": 0.1},
        "linear_filter": {"clean": X, "noisy": near},
        "linear_probe": {
            "train": CODES,
            "train_labels": LABELS,
            "test": CODES[:2],
            "test_labels": LABELS[:2],
            "iterations": 50,
        },
        "matched_cosine": {"found": CODES, "true": CODES[:2]},
        "series_alarms": {"alarms": LABELS, "windows": np.array([[1, 3]])},
    }
    found = {f"metrics.{name}": Call(getattr(metrics, name), given) for name, given in alone.items()}
    return {**found, "metrics.LinearFilter": Call(metrics.wiener(X, 0.1), {"noisy": near}, shape_of("noisy"))}


def _of_series_and_codes() -> dict[str, Call]:
    series = np.sin(np.arange(12.0))
    pieces, starts = windows.cut(series, 4, stride=2)
    covered = {"windows": pieces, "starts": starts, "total": 12}
    return {
        "windows.cut": Call(windows.cut, {"series": series, "length": 4, "stride": 2}),
        "windows.join": Call(windows.join, covered),
        "windows.least": Call(windows.least, covered),
        "windows.spread": Call(windows.spread, {"scores": pieces[:, 0], "starts": starts, "length": 4, "total": 12}),
        "windows.events": Call(windows.events, {"alarms": series > 0, "gap": 1}),
        "latent.interpolate": Call(latent.interpolate, {"a": CODES[0], "b": CODES[1], "steps": 3}),
        "latent.slerp": Call(latent.slerp, {"a": CODES[0], "b": CODES[1], "steps": 3}),
        "latent.traverse": Call(latent.traverse, {"z": CODES[0], "dimension": 1, "values": X[0]}),
        "latent.active_units": Call(latent.active_units, {"means": CODES, "threshold": 0.01}),
        "latent.aggregate_moments": Call(latent.aggregate_moments, {"mean": CODES, "logvar": CODES / 10}),
        "latent.quantise": Call(latent.quantise, {"codes": CODES, "bits": 4}),
        "latent.tsne": Call(latent.tsne, {"codes": CODES, "seed": 0}),
        "latent.lda": Call(latent.lda, {"codes": CODES, "labels": np.arange(ROWS) % 3}),
        "calibrate": Call(ja.calibrate, {"score": lambda x: x.sum(-1), "reference": X, "quantile": 0.5}),
        "detection.conformal_threshold": Call(conformal_threshold, {"reference": X[:, 0], "rate": 0.5}),
        "detection.tail_threshold": Call(tail_threshold, {"reference": np.arange(300.0), "rate": 0.01, "tail": 0.2}),
        "p_values": Call(ja.p_values, {"scores": X[:, 0], "reference": X[:, 1]}, shape_of("scores")),
    }


def _of_data(folder: Path) -> dict[str, Call]:
    key, table, pictures = jax.random.key(5), folder / "table.csv", folder / "pictures"
    data.write(table, X, NAMES)
    data.write_images(pictures, np.round(255 * IMAGES))
    np.save(folder / "images.npy", IMAGES[..., 0])
    normal = data.process(key, rows=4, variables=8)
    return {
        "data.read": Call(data.read, {"path": table, "columns": NAMES, "impute": None, "keep": ()}),
        "data.write": Call(data.write, {"path": folder / "new.csv", "values": X, "columns": NAMES}),
        "data.check_target": Call(data.check_target, {"path": folder / "new.csv", "words": ()}),
        "data.is_table": Call(data.is_table, {"path": table}),
        "data.fingerprint": Call(data.fingerprint, {"array": X}),
        "data.images": Call(data.images, {"path": folder / "images.npy", "size": None}),
        "data.image_folder": Call(data.image_folder, {"path": pictures, "size": None}),
        "data.write_images": Call(
            data.write_images, {"folder": folder / "drawn", "images": np.round(255 * IMAGES), "names": ("one", "two")}
        ),
        "data.photos": Call(data.photos, {"key": key, "size": 4, "rows": 20}),
        "data.digits": Call(data.digits, {}),
        "data.standard": Call(data.standard, {"values": X, "columns": NAMES}),
        "data.min_max": Call(data.min_max, {"values": X, "columns": NAMES, "low": 0.0, "high": 1.0}),
        "data.Scaling.apply": Call(data.standard(X, NAMES).apply, {"values": X}, shape_of("values")),
        "data.Scaling.invert": Call(data.standard(X, NAMES).invert, {"array": X}, shape_of("array")),
        "data.pixel_columns": Call(data.pixel_columns, {"columns": NAMES, "shape": (2, 2, 1)}),
        "data.split": Call(data.split, {"key": key, "n": 10, "fractions": (0.6, 0.4)}),
        "data.process": Call(data.process, {"key": key, "rows": 5, "variables": 3, "noise": 0.1, "weights": None}),
        "data.conditional": Call(data.conditional, {"key": key, "rows": 5}),
        "data.conditional_mean": Call(data.conditional_mean, {"temperature": np.array([300.0, 400.0])}),
        "data.anomalies": Call(
            data.anomalies, {"key": key, "normal": normal, "rows": 3, "pattern": "single", "variable": 1}
        ),
        "data.dictionary": Call(
            data.dictionary, {"key": key, "rows": 5, "variables": 6, "atoms": 4, "active": 2, "loads": 3, "noise": 0.1}
        ),
        "data.series": Call(data.series, {"key": key, "points": 400, "events": 1, "noise": 0.1}),
        "data.conditions": Call(data.conditions, {"columns": {"t": X[:, 0], "site": list("ababab")}, "one_hot": ()}),
        "data.Conditions.apply": Call(
            data.conditions({"t": X[:, 0], "site": list("ababab")}).apply,
            {"columns": {"t": X[:, 0], "site": list("ababab")}},
        ),
    }


def _of_numbers() -> dict[str, Call]:
    key, column = jax.random.key(6), np.repeat([1, 2], 3)
    return {
        "grid": Call(ja.grid, {"beta": [1.0, 4.0], "lr": [0.1, 0.2]}),
        "zipped": Call(ja.zipped, {"beta": [1.0, 4.0], "lr": [0.1, 0.2]}),
        "draw": Call(ja.draw, {"key": key, "n": 4, "lr": hyperparameters.uniform(0.0, 1.0)}),
        "hyperparameters.check_draws": Call(
            hyperparameters.check_draws, {"axes": {"lr": hyperparameters.uniform(0.0, 1.0)}}
        ),
        "hyperparameters.uniform": Call(hyperparameters.uniform, {"low": 0.0, "high": 1.0}),
        "hyperparameters.log_uniform": Call(hyperparameters.log_uniform, {"low": 0.1, "high": 1.0}),
        "hyperparameters.integers": Call(hyperparameters.integers, {"low": 1, "high": 3}),
        "hyperparameters.choices": Call(hyperparameters.choices, {"values": (1.0, 2.0)}),
        "hyperparameters.points": Call(hyperparameters.points, {"hparams": {"lr": np.ones(3)}}),
        "statistics.bootstrap": Call(
            statistics.bootstrap, {"values": X[:, 0], "key": key, "level": 0.95, "draws": 20, "statistic": np.mean}
        ),
        "statistics.summaries": Call(
            statistics.summaries, {"values": X[:, 0], "hparams": {"lr": column}, "key": key, "level": 0.9}
        ),
        "statistics.effects": Call(statistics.effects, {"values": X[:, 0], "hparams": {"lr": column}}),
    }


class Line:
    """The smallest model: it compiles in a fraction of the time of a network."""

    def init(self, key: Any, x: Any, cond: Any = None) -> dict[str, Any]:
        """Return its variables."""
        return {"params": {"w": jax.random.normal(key, x.shape[1:])}}

    def apply(self, variables: Any, *args: Any, method: Any, mutable: Any = False, rngs: Any = None) -> Any:
        """Return method(bound, *args), as a Linen module does."""
        result = method(self._Bound(variables["params"]["w"]), *args)
        return result if mutable is False else (result, {})

    class _Bound:
        def __init__(self, w: Any) -> None:
            self.w = w

        def encode(self, x: Any, cond: Any = None) -> Any:
            """Return the code."""
            return x * self.w[None]

        def decode(self, z: Any, cond: Any = None) -> Any:
            """Return the reconstruction."""
            return z * self.w[None]


BERNOULLI = {"nll": ja.distributions.bernoulli}


def learner(**hparams: Any) -> Learner:
    """Return plain descent on the reconstruction error of a line."""
    return ja.descend(ja.objective(Line(), ja.losses.reconstruction, **hparams), optax.sgd(0.1))


class _Network(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.layer = nnx.Linear(COLUMNS, 2, rngs=rngs)


def _of_learners() -> dict[str, Call]:
    objective, state = ja.objective(Line(), ja.losses.reconstruction), {"params": {"w": jnp.ones(COLUMNS)}}
    return {
        "objective": Call(ja.objective, {"model": Line(), "loss": ja.losses.sparse, "rate": 0.1}),
        "score": Call(ja.score, {"model": Line(), "loss": ja.losses.sparse, "rate": 0.1}),
        "descend": Call(ja.descend, {"objective": objective, "tx": optax.sgd(0.1), "wrt": ("w",)}),
        "chain": Call(ja.chain, {"first": learner(), "second": learner()}),
        "repeat": Call(ja.repeat, {"learner": learner(), "times": 2}),
        "schedule": Call(
            ja.schedule, {"factory": lambda noise: learner(), "noise": optax.linear_schedule(0.0, 1.0, 10)}
        ),
        "accumulate": Call(ja.accumulate, {"objective": objective, "parts": 2}),
        "averaged": Call(ja.averaged, {"learner": learner(), "decay": 0.9}),
        "averages": Call(ja.averages, {"state": ja.averaged(learner(), 0.9).init(state)}),
        "trimmed": Call(ja.trimmed, {"loss": ja.losses.reconstruction, "share": 0.1}),
        "skip_nonfinite": Call(ja.skip_nonfinite, {"learner": learner(), "patience": 2}),
        "in_bfloat16": Call(ja.in_bfloat16, {"model": ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((4,)))}),
        "lift": Call(ja.lift, {"make": _Network}),
        "warm_start": Call(ja.warm_start, {"model": Line(), "params": {"w": np.ones(COLUMNS)}}),
        "start": Call(ja.start, {"learner": learner(), "variables": state}),
    }


def _of_population() -> dict[str, Call]:
    def member(key: Any, scale: Any) -> Any:
        return scale * jax.random.normal(key)

    def swept(keys: Any, hparams: Any) -> Any:
        return ja.sweep(member)(keys, hparams)

    def over(mapped: Any, shared: Any) -> Any:
        return spread(lambda own, shared: own * shared)(mapped, shared)

    options = {"member": member, "mesh": None, "lanes": None}
    return {
        "sweep": Call(ja.sweep, {**options, "chunk": None}),
        "sweep(member)": Call(
            swept, {"keys": jax.random.split(jax.random.key(7), 2), "hparams": {"scale": np.ones(3)}}
        ),
        "population.spread": Call(spread, options),
        "spread(member)": Call(over, {"mapped": jnp.ones(3), "shared": 2.0}),
    }


def _factory(scale: Any = 0.1) -> Learner:
    noise = lambda key, x: ja.noise.gaussian(key, x, scale=scale)  # noqa: E731
    return learner(noise=noise)


def _population() -> ja.Fit:
    """Return three members that were never trained."""
    variables = {"params": {"w": np.zeros((3, COLUMNS), np.float32)}}
    status = Status(*(np.full(3, epoch, np.int32) for epoch in (1, 1, 0, 0, 0, 0, 0)))
    history = {"loss": np.array([[3.0], [1.0], [2.0]], np.float32)}
    state = TrainState(np.full(3, 4, np.int32), variables, ())
    return ja.Fit(variables, state, history, {}, np.arange(3, dtype=np.int32), status, {"epochs": 1})


def _of_models(folder: Path) -> dict[str, Call]:
    module = ja.models.AE(ja.networks.MLP((2,)), ja.networks.MLP((COLUMNS,)))
    variables = jax.device_get(module.init(jax.random.key(9), X))
    given = {"module": module, "variables": variables, "batch": Batch(X)}
    path = ja.checkpoint.export(path=folder / "exported.safetensors", **given)
    root = ja.checkpoint.load_model(path).root
    coder = ja.estimators.Autoencoder(1, steps=2, widths=(2,)).fit(X)
    kept = ja.estimators.save(coder, folder / "coder.safetensors")
    state = ja.checkpoint.to_state_dict(variables)
    return {
        "checkpoint.save_model": Call(ja.checkpoint.save_model, {**given, "path": folder / "model.safetensors"}),
        "checkpoint.export": Call(ja.checkpoint.export, {**given, "path": folder / "again-exported.safetensors"}),
        "checkpoint.load_model": Call(ja.checkpoint.load_model, {"path": path, "root": root}),
        "checkpoint.load_functions": Call(ja.checkpoint.load_functions, {"path": path, "root": root}),
        "estimators.save": Call(ja.estimators.save, {"estimator": coder, "path": folder / "other.safetensors"}),
        "estimators.load": Call(ja.estimators.load, {"path": kept, "limit": 10**6}),
        "checkpoint.to_state_dict": Call(ja.checkpoint.to_state_dict, {"variables": variables}),
        "checkpoint.from_state_dict": Call(ja.checkpoint.from_state_dict, {"state": state, "like": variables}),
    }


def _of_runs(folder: Path) -> dict[str, Call]:
    rows, few = Batch(jnp.asarray(X)), Batch(jnp.asarray(X[:3]))
    run = {"data": rows, "key": jax.random.key(8), "epochs": 1, "batch_size": 2}
    driven = {"model": Line(), **run, "progress": False}
    score = ja.score(Line(), ja.losses.reconstruction)
    searched = {**driven, "factory": _factory, "epochs": 4, "validation": few, "score": score}
    columns = {"scale": np.array([0.1, 0.2], np.float32)}
    state = ja.start(learner(), {"params": {"w": jnp.ones(COLUMNS)}})
    many = _population()
    saved = ja.checkpoint.save(many.take(0), folder / "fit.safetensors")
    uniform = hyperparameters.uniform(0.1, 0.2)
    np.save(folder / "rows.npy", X)
    return {
        **_of_population(),
        **_of_models(folder),
        "data.shards": Call(ja.data.shards, {"x": folder / "rows.npy", "memory": 2**20}),
        "run": Call(ja.run, {"learner": learner(), "state": state, **run}),
        "train": Call(ja.train, {"model": Line(), "learner": learner(), **run}),
        "fit": Call(ja.fit, {"learner": learner(), **driven}),
        "fit of a population": Call(ja.fit, {"learner": _factory, **driven, "hparams": columns}),
        "search.halving": Call(ja.search.halving, {**searched, "hparams": columns, "first": 1, "factor": 2}),
        "search.hyperband": Call(ja.search.hyperband, {**searched, "axes": {"scale": uniform}, "factor": 2}),
        "search.evolution": Call(
            ja.search.evolution,
            {**searched, "hparams": columns, "every": 2, "share": 0.5, "factors": (0.8, 1.2), "limits": None},
        ),
        "checkpoint.save": Call(ja.checkpoint.save, {"fit": many, "path": folder / "again.safetensors"}),
        "checkpoint.load": Call(ja.checkpoint.load, {"path": saved}),
        "Fit.take": Call(many.take, {"member": 1}),
        "Fit.describe": Call(many.describe, {"member": 1}),
        "result.stack": Call(stack, {"fits": [many, many]}),
    }
