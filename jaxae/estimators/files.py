"""A fitted estimator in one safetensors file: loading it runs no code and builds only what this package has."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from sklearn.utils.validation import check_is_fitted

from jaxae import checks, ensembles
from jaxae.checkpoint.tensors import HEADER_LIMIT, LIMIT, check_finite, named, read, refused, write
from jaxae.checkpoint.trees import flat, nested, under
from jaxae.estimators.coders import Autoencoder, Denoiser, SparseAutoencoder, VariationalAutoencoder
from jaxae.estimators.detectors import AutoencoderDetector, DeepSVDD, SparseDetector, VariationalDetector
from jaxae.estimators.ensemble import FOLDS as MOST_FOLDS
from jaxae.estimators.generators import ConditionalGenerator
from jaxae.estimators.images import ConvolutionalDetector
from jaxae.estimators.series import SeriesDetector

__all__ = ["load", "save"]

FORMAT = "jaxae.estimator"
VERSION = 1
CLASSES: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        Autoencoder,
        AutoencoderDetector,
        ConditionalGenerator,
        ConvolutionalDetector,
        DeepSVDD,
        Denoiser,
        SeriesDetector,
        SparseAutoencoder,
        SparseDetector,
        VariationalAutoencoder,
        VariationalDetector,
    )
}
MOST = 2**20
"""Columns of a table."""
FOLDS = "calibration_folds_"
TOLD = ("class", "parameters", "numbers", "names", "classes", "inner")
"""What is told of an estimator."""
INNER = "detector_"
"""Name of the detector that a detector is made of."""


def save(estimator: Any, path: str | os.PathLike[str]) -> Path:
    """Write a fitted estimator to one file, whole or not at all, and return its path.

    Kept are its parameters and what the fit made; a `random_state` that is no number is kept as the seed that it gave.

    Args:
        estimator: of this package; of a pipeline, save its steps.
        path: of the file; by convention it ends in `.safetensors`.

    Raises:
        NotFittedError: if it is not fitted.
        TypeError: if it is none of this package, or has a parameter that is no number, text or list of them.
        ValueError: if the file cannot be written.

    Examples:
        >>> import tempfile
        >>> rows = np.random.default_rng(0).normal(size=(400, 3))
        >>> detector = AutoencoderDetector(steps=20).fit(rows)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = load(save(detector, f"{folder}/detector.safetensors"))
        >>> bool((again.score_samples(rows) == detector.score_samples(rows)).all())
        True
    """
    checks.path("path", path)
    config, arrays = _told(estimator)
    write(path, FORMAT, VERSION, config, arrays)
    return Path(path)


def load(
    path: str | os.PathLike[str], *, root: str | None = None, limit: int = LIMIT, header_limit: int = HEADER_LIMIT
) -> Any:
    """Return the fitted estimator that `save` wrote; nothing in the file is run.

    Its class is one of this package, its parameters must be those of the class, and its arrays those that they imply.

    Args:
        path: of the file.
        root: SHA-256 that the sender of the file told; None takes any file that is whole.
        limit: bytes of the file that are read at most.
        header_limit: bytes of its header.

    Raises:
        TypeError: if path is no path.
        ValueError: if root is no SHA-256 in hexadecimal.
        RefusedError: for everything that can be wrong with the file.
    """
    content = read(path, FORMAT, VERSION, root=root, limit=limit, header_limit=header_limit)
    for name, leaf in content.arrays.items():
        check_finite(path, name, leaf)
    try:
        return _built(content.config, content.arrays)
    except Exception as error:  # whatever an estimator that nobody ever fitted may raise
        raise refused(path, f"holds no estimator that can be built: {(str(error).splitlines() or [''])[0]}") from None


def _told(estimator: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what is told of an estimator, in JSON types, and its arrays."""
    name = type(estimator).__name__
    if type(estimator) is not CLASSES.get(name):
        raise TypeError(f"estimator is {name}, but must be one of {', '.join(CLASSES)}")
    check_is_fitted(estimator)
    parameters = {name: _plain(own) for name, own in estimator.get_params(deep=False).items()}
    if hasattr(estimator, "_trained"):
        members = parameters.get("members")
        if estimator._family() != estimator._trained or members not in (None, len(estimator.loss_curve_)):
            raise ValueError(f"parameters of {name} were changed after its fit: fit it again, and then save it")
    if "random_state" in parameters and not isinstance(parameters["random_state"], int):
        parameters["random_state"] = estimator.seed_
    fitted = {key: value for key, value in vars(estimator).items() if key.endswith("_") and not key.startswith("_")}
    config: dict[str, Any] = {**dict.fromkeys(TOLD), "class": name, "parameters": parameters, "numbers": {}}
    arrays: dict[str, np.ndarray] = {}
    for key, value in fitted.items():
        if key == "feature_names_in_":
            config["names"] = list(map(str, value))
        elif key == "classes_":
            config["classes"] = value.tolist()
        elif key == INNER:
            # It is what it was cloned from, but for what the fit set.
            config["parameters"]["detector"] = None
            config["inner"], own = _told(value)
            arrays |= {f"{INNER}/{part}": leaf for part, leaf in own.items()}
        elif isinstance(value, Mapping):
            arrays |= flat(key, value)
        elif isinstance(value, np.ndarray):
            arrays[key] = value
        else:
            config["numbers"][key] = value
    for told, own in config["parameters"].items():
        try:
            json.dumps(own)
        except TypeError:
            raise TypeError(
                f"{told} is {own!r:.80}, but only numbers, text and lists of them can be saved in a file"
            ) from None
    return json.loads(json.dumps(config)), arrays


def _plain(parameter: Any) -> Any:
    """Return NumPy's numbers and arrays as Python's, and anything else as it is."""
    return parameter.tolist() if isinstance(parameter, np.generic | np.ndarray) else parameter


def _built(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    """Return the estimator of these, or raise a ValueError."""
    if config.keys() != set(TOLD):
        raise ValueError(f"its config must be of {', '.join(TOLD)}")
    kind = CLASSES.get(config["class"])
    if kind is None:
        raise ValueError(f"{named(config['class'])} is no estimator of this package")
    parameters = {name: tuple(own) if isinstance(own, list) else own for name, own in config["parameters"].items()}
    if parameters.keys() != kind().get_params(deep=False).keys():
        raise ValueError(f"its parameters are not those of {kind.__name__}")
    estimator = kind(**parameters)
    estimator._check()
    numbers = config["numbers"]
    columns = numbers.get("n_features_in_")
    checks.whole("n_features_in_", columns, high=MOST)
    for name, number in numbers.items():
        checks.finite(name, number)
    names = config["names"]
    if names is not None:
        if not isinstance(names, list) or len(names) != columns or not all(isinstance(name, str) for name in names):
            raise ValueError(f"its names must be {columns} texts")
        estimator.feature_names_in_ = np.asarray(names, object)
    for name, number in numbers.items():
        setattr(estimator, name, number)
    classes = config["classes"]
    if (kind is ConditionalGenerator) != isinstance(classes, list) or len({type(one) for one in classes or ()}) > 1:
        raise ValueError(f"{named(classes)} are no classes of {kind.__name__}")
    if classes is not None:
        if not all(isinstance(one, str | int | float) for one in classes):
            raise ValueError(f"{named(classes)} are neither texts nor numbers")
        estimator.classes_ = np.asarray(classes) if classes else np.zeros(0)
    own = {name: leaf for name, leaf in arrays.items() if not name.startswith(f"{INNER}/")}
    if kind is SeriesDetector:
        estimator.detector_ = _built(config["inner"], under(f"{INNER}/", arrays))
        if estimator.detector_.n_features_in_ != columns * estimator.length:
            raise ValueError(f"its detector is not of windows of {estimator.length} points of {columns} variables")
    elif config["inner"] is not None or len(own) != len(arrays):
        raise ValueError(f"{kind.__name__} has no other detector in it")
    else:
        _place_variables(estimator, own)
    shapes = estimator._shapes()
    told, whole = set(numbers), set(estimator._numbers)
    if own.keys() - _variables(own) != shapes.keys() or told != whole:
        raise ValueError(f"it must hold {', '.join(sorted(shapes.keys() | whole))}")
    for name, shape in shapes.items():
        leaf = own[name]
        wanted_kind, words = ("i", "whole numbers") if name == FOLDS else ("f", "floats")
        if (
            leaf.dtype.kind != wanted_kind
            or len(leaf.shape) != len(shape)
            or any(wanted not in (None, found) for wanted, found in zip(shape, leaf.shape, strict=True))
        ):
            raise ValueError(f"{name} is {leaf.dtype} {leaf.shape}, but must be {words} of shape {shape}")
        setattr(estimator, name, leaf)
    folds = own.get(FOLDS, np.zeros(0, int))
    if len(folds) and (
        len(folds) != len(own["calibration_scores_"]) or not 0 <= folds.min() <= folds.max() < MOST_FOLDS
    ):
        raise ValueError(f"{FOLDS} are not those of the calibration scores")
    return estimator


def _variables(arrays: Mapping[str, Any]) -> set[str]:
    return {name for name in arrays if name.startswith("variables_/")}


def _place_variables(estimator: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Give an estimator its variables, if they are those that its fit would have made."""
    family, many = estimator._family(), getattr(estimator, "members", None)
    made = jax.eval_shape(lambda key: ensembles.begun(family, estimator._columns, key), jax.random.key(0))
    wanted = flat("variables_", made)
    found = {name: arrays[name] for name in _variables(arrays)}
    for name in wanted.keys() | found.keys():
        shapes = [
            None if name not in side else (str(side[name].dtype), (*lead, *side[name].shape))
            for side, lead in ((wanted, () if many is None else (many,)), (found, ()))
        ]
        if shapes[0] != shapes[1]:
            raise ValueError(f"{named(name)} is {shapes[1]}, but must be {shapes[0]}")
    own = {name.removeprefix("variables_/"): leaf for name, leaf in found.items()}
    estimator._trained = family
    estimator.variables_ = nested(own, list(dict.fromkeys(name.split("/")[1] for name in wanted)))
