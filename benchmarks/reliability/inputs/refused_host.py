"""Bad inputs of what works on the host, as data."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType

import jaxae as ja
from benchmarks.reliability.inputs.calls import CODES, IMAGES, LABELS, X
from benchmarks.reliability.inputs.host import BERNOULLI, Line, learner
from benchmarks.reliability.inputs.refused_pure import BYTES, HOLED, LEGACY, NAN, Refusal
from jaxae.types import Batch

__all__ = ["refused_host"]


def refused_host(folder: Path) -> list[Refusal]:
    """Return all of them; the files that some name lie in the folder of the calls."""
    return [*_of_metrics(), *_of_codes(), *_of_data(folder), *_of_numbers(), *_of_runs(folder)]


def _of_metrics() -> list[Refusal]:
    column = np.ones((6, 3), np.float32)
    return [
        ("metrics.mean_squared_error", {"y": X[:3]}, ("y", "(3, 4)", "one shape")),
        ("metrics.mean_squared_error", {"x": HOLED}, ("x", "1 NaN", "fill them")),
        ("metrics.pixel_errors", {"x": np.array(["a"])}, ("x", "<U1", "real numbers")),
        ("metrics.snr", {"clean": 0 * X}, ("clean", "zero everywhere", "mean_squared_error instead")),
        ("metrics.psnr", {"peak": 0}, ("peak", "0", "above 0")),
        ("metrics.ssim", {"window": 4}, ("window", "4", "odd integer from 3 to 7")),
        ("metrics.ssim", {"x": X, "y": X}, ("x", "(6, 4)", "(n, h, w)")),
        ("metrics.explained_variance", {"x": column, "reconstruction": column}, ("x", "6 rows", "rows that vary")),
        ("metrics.compression_ratio", {"latent": 0}, ("latent", "0", "≥ 1")),
        ("metrics.series_alarms", {"alarms": LABELS + 1}, ("alarms", "2", "0 (normal) and 1 (anomaly)")),
        ("metrics.series_alarms", {"windows": [[3, 3]]}, ("windows", "[3, 3)", "must hold a point")),
        ("metrics.auroc", {"labels": LABELS + 1}, ("labels", "2", "0 (normal) and 1 (anomaly)")),
        ("metrics.auroc", {"labels": 0 * LABELS}, ("labels", "only 0", "both")),
        ("metrics.auroc", {"scores": X[:3, 0]}, ("scores", "(3,)", "one shape")),
        ("metrics.average_precision", {"labels": 2 * LABELS - 1}, ("labels", "-1", "0 (normal) and 1")),
        ("metrics.detection_rate", {"labels": 0 * LABELS}, ("labels", "no 1", "at least one")),
        ("metrics.detection_rate", {"alarms": X[:, 0]}, ("alarms", "0.", "0 (normal) and 1")),
        ("metrics.false_positive_rate", {"labels": 0 * LABELS + 1}, ("labels", "no 0", "at least one")),
        ("metrics.ks", {"generated": CODES[:, :2]}, ("generated", "2", "same columns")),
        ("metrics.correlation_distance", {"real": column}, ("real", "columns [0, 1, 2]", "drop")),
        ("metrics.moments", {"real": CODES[:1]}, ("real", "1 rows", "at least 2")),
        ("metrics.classifier_two_sample", {"folds": 7}, ("folds", "7", "from 2 to 6")),
        ("metrics.classifier_two_sample", {"seed": -1}, ("seed", "-1", "from 0")),
        ("metrics.energy_distance", {"real": CODES[0]}, ("real", "(3,)", "(n, d)")),
        ("metrics.frechet_distance", {"generated": CODES[:1]}, ("generated", "1 rows", "at least 2")),
        ("metrics.manifold", {"k": 6}, ("k", "6", "from 1 to 5")),
        ("metrics.manifold", {"k": 2.0}, ("k", "2.0", "integer")),
        ("metrics.classifier_score", {"probabilities": CODES}, ("probabilities", "-", "≥ 0")),
        ("metrics.classifier_score", {"probabilities": X}, ("probabilities", "sum", "1")),
        ("metrics.wiener", {"scale": -1}, ("scale", "-1", "above 0")),
        ("metrics.linear_filter", {"clean": X[:5], "noisy": X[:5]}, ("clean", "(5, 4)", "n above d + 1")),
        ("metrics.LinearFilter", {"noisy": X[:, :2]}, ("noisy", "(6, 2)", "(n, 4)")),
        ("metrics.linear_probe", {"train_labels": 0 * LABELS}, ("train_labels", "one group", "at least two")),
        ("metrics.linear_probe", {"test_labels": LABELS}, ("test", "(6,)", "one label for each row")),
        ("metrics.linear_probe", {"iterations": 0}, ("iterations", "0", "≥ 1")),
        ("metrics.matched_cosine", {"found": CODES[:1]}, ("found", "(1, 3)", "at least as many")),
    ]


def _of_codes() -> list[Refusal]:
    series = np.sin(np.arange(12.0))
    return [
        ("windows.cut", {"length": 13}, ("length", "13", "from 1 to 12")),
        ("windows.cut", {"stride": 5}, ("stride", "5", "from 1 to 4")),
        ("windows.cut", {"series": np.where(series > 0.9, NAN, series)}, ("series[2]", "nan", "fill it in")),
        ("windows.cut", {"series": np.zeros((2, 2, 2))}, ("series", "(2, 2, 2)", "(t,) or (t, d)")),
        ("windows.join", {"starts": np.array([0, 2, 4, 6, 6])}, ("starts", "two windows", "differ")),
        ("windows.join", {"total": 11}, ("windows", "11 points", "outside")),
        ("windows.least", {"total": 20}, ("point 12 of 20", "no window", "cover every point")),
        ("windows.spread", {"scores": X}, ("scores", "(6, 4)", "(m,)")),
        ("windows.events", {"alarms": series}, ("alarms", "float64", "scores > threshold")),
        ("windows.events", {"gap": -1}, ("gap", "-1", "≥ 0")),
        ("latent.interpolate", {"b": CODES[1, :2]}, ("b", "(2,)", "one shape (k,)")),
        ("latent.interpolate", {"steps": 1}, ("steps", "1", "≥ 2")),
        ("latent.slerp", {"a": CODES[0, :1], "b": CODES[1, :1]}, ("a and b", "1", "at least 2 dimensions")),
        ("latent.traverse", {"dimension": 3}, ("dimension", "3", "from 0 to 2")),
        ("latent.traverse", {"values": X}, ("values", "(6, 4)", "(m,)")),
        ("latent.active_units", {"threshold": NAN}, ("threshold", "nan", "≥ 0")),
        ("latent.active_units", {"means": CODES[:1]}, ("means", "(1, 3)", "n at least 2")),
        ("latent.aggregate_moments", {"logvar": CODES[:3]}, ("logvar", "(3, 3)", "one shape (n, k)")),
        ("latent.quantise", {"bits": 17}, ("bits", "17", "from 1 to 16")),
        ("latent.quantise", {"codes": np.where(CODES > 1, NAN, CODES)}, ("codes", "not finite", "look at the rows")),
        ("latent.tsne", {"codes": CODES[:3]}, ("codes", "(3, 3)", "n at least 4")),
        ("latent.tsne", {"seed": -1}, ("seed", "-1", "from 0")),
        ("latent.tsne", {"codes": np.where(CODES > 1, NAN, CODES)}, ("codes", "nan", "finite")),
        ("latent.lda", {"labels": LABELS}, ("labels", "2 groups", "at least three")),
        ("calibrate", {"quantile": 101}, ("quantile", "101", "between 0 and 1")),
        ("calibrate", {"quantile": 95}, ("quantile", "95", "write 0.95")),
        ("calibrate", {"reference": HOLED}, ("reference", "1 of 6", "look for NaN")),
        ("calibrate", {"quantile": 0.95}, ("quantile", "6 reference", "at least 20")),
        ("calibrate", {"score": None}, ("score", "None", "function")),
        ("detection.conformal_threshold", {"rate": 0.01}, ("rate", "6 reference", "at least 99")),
        ("detection.conformal_threshold", {"rate": 0}, ("rate", "0", "between 0 and 1")),
        ("detection.conformal_threshold", {"reference": HOLED.ravel()}, ("reference", "1 of 24", "look for NaN")),
        ("detection.tail_threshold", {"rate": 0.2}, ("rate", "0.2", "below tail")),
        ("detection.tail_threshold", {"tail": 20}, ("tail", "20", "write 0.2")),
        ("detection.tail_threshold", {"tail": 0.02}, ("tail", "6 of 300 reference", "at least 20")),
        ("p_values", {"scores": X}, ("scores", "(6, 4)", "(n,)")),
        ("p_values", {"reference": []}, ("reference", "(0,)", "at least 1")),
    ]


def _of_data(folder: Path) -> list[Refusal]:
    texts = {
        "mixed": "a,b\n1,2\n3,red\n4,5\n",
        "holed": "a,b\n1,2\n,3\n4,5\n",
        "infinite": "a,b\n1,2\ninf,3\n4,5\n",
        "words": "a,b\nx,y\nz,w\n",
        "twice": "a,a\n1,2\n3,4\n",
        "short": "a,b\n1,2\n",
        "ragged": "a,b\n1,2\n3,4,5\n",
        "semicolons": "a;b\n1;2\n3;4\n",
        "unnamed": ",b\n0,2\n1,4\n",
        "empty": "",
    }
    files = {name: folder / f"{name}.csv" for name in texts}
    for name, text in texts.items():
        files[name].write_text(text)
    files["array"], files["images"], files["pickled"] = (folder / f"{n}.npy" for n in ("parquet", "deep", "pickled"))
    files["array"].write_bytes(b"PAR1 this is no array")
    np.save(files["images"], np.zeros((2, 4, 4, 5)))
    np.save(files["pickled"], np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (folder / "none").mkdir()
    everywhere = {"columns": None}
    return [
        ("data.read", {"path": folder / "nowhere.csv"}, ("nowhere.csv", "does not exist")),
        ("data.read", {"path": folder / "none"}, ("none", "folder", "give a file")),
        ("data.read", {"path": files["mixed"], **everywhere}, ("column 'b'", "'red'", "correct the value")),
        ("data.read", {"path": files["holed"], **everywhere}, ("column 'a'", "row 2", "impute='mean'")),
        ("data.read", {"path": files["infinite"], **everywhere}, ("column 'a'", "infinite in row 2", "correct")),
        ("data.read", {"path": files["words"], **everywhere}, ("words.csv", "'a', 'b'", "numeric column")),
        ("data.read", {"path": files["twice"], **everywhere}, ("twice.csv", "'a'", "a name of its own")),
        ("data.read", {"path": files["short"], **everywhere}, ("short.csv", "1 rows", "at least 2")),
        ("data.read", {"path": files["ragged"], **everywhere}, ("ragged.csv", "line 3 has 3 values", "2")),
        ("data.read", {"path": files["semicolons"], **everywhere}, ("semicolons.csv", "';'", "','")),
        ("data.read", {"path": files["unnamed"], **everywhere}, ("column 1", "no name", "name it")),
        ("data.read", {"path": files["empty"], **everywhere}, ("empty.csv", "is empty")),
        ("data.read", {"path": files["array"], **everywhere}, ("parquet.npy", "first bytes", "NumPy file")),
        ("data.read", {"path": files["pickled"], **everywhere}, ("pickled.npy", "Python objects", "store numbers")),
        ("data.read", {"columns": ("a", "b", "z")}, ("columns", "'z'", "it has 'a', 'b', 'c', 'd'")),
        ("data.read", {"columns": ("b", "a")}, ("columns", "another order", "expected 'b', 'a'")),
        ("data.read", {"columns": "ab"}, ("columns", "'ab'", "sequence of names")),
        ("data.read", {"impute": "mode"}, ("impute", "'mode'", "'mean', 'median'")),
        ("data.read", {"keep": ("site",)}, ("column", "'site'", "it has")),
        ("data.write", {"path": folder / "new.xls"}, ("new.xls", "suffix", ".csv, .parquet, .npy")),
        ("data.write", {"values": HOLED}, ("values", "nan", "finite")),
        ("data.write", {"values": X[0]}, ("values", "(4,)", "(n, d)")),
        ("data.write", {"columns": ("a", "a", "b", "c")}, ("columns", "'a'", "names that differ")),
        ("data.write", {"columns": ("1", "2", "3", "4")}, ("columns", "'1', '2'", "other names")),
        ("data.check_target", {"path": folder / "no" / "new.csv"}, ("no", "does not exist", "make it first")),
        (
            "data.check_target",
            {"path": folder / "new.npy", "words": ("why",)},
            ("new.npy", "'why'", ".csv or .parquet"),
        ),
        ("data.images", {"path": files["images"]}, ("deep.npy", "(2, 4, 4, 5)", "that of the channels")),
        ("data.images", {"size": 0}, ("size", "0", "≥ 1")),
        ("data.images", {"size": (1, 2, 3)}, ("size", "(1, 2, 3)", "(height, width)")),
        ("data.image_folder", {"path": folder / "none"}, ("none", "is empty", "PNG or JPEG")),
        ("data.image_folder", {"path": folder / "table.csv"}, ("table.csv", "is a file", "give the folder")),
        ("data.write_images", {"images": 300 * IMAGES}, ("images", "29", "0…255")),
        ("data.write_images", {"names": ("one", "ONE")}, ("names", "'ONE'", "each image its own")),
        ("data.write_images", {"folder": folder / "pictures"}, ("pictures", "not empty", "new folder")),
        ("data.photos", {"size": 97}, ("size", "97", "from 1 to 96")),
        ("data.photos", {"rows": 10}, ("rows", "10", "≥ 20")),
        ("data.standard", {"values": np.ones((4, 4))}, ("column", "constant", "rows that differ")),
        ("data.standard", {"values": HOLED}, ("column 'b'", "row 2 is nan", "finite")),
        ("data.standard", {"values": X[:1]}, ("rows", "got 1", "at least two")),
        ("data.min_max", {"low": 1.0, "high": 0.0}, ("low", "1.0", "below high")),
        ("data.min_max", {"high": "1"}, ("high", "'1'", "finite number")),
        ("data.Scaling.apply", {"values": X[:, :3]}, ("values", "(6, 3)", "(n, 4)")),
        ("data.Scaling.apply", {"values": np.full((1, 4), 1e300)}, ("column 'a'", "1e+300", "float32")),
        ("data.Scaling.invert", {"array": HOLED}, ("column 'b'", "nan", "finite")),
        ("data.split", {"fractions": (0.9, 0.3)}, ("fractions", "(0.9, 0.3)", "sum to 1")),
        ("data.split", {"n": 1}, ("fractions", "1 rows", "give more rows")),
        ("data.split", {"key": LEGACY}, ("key", "legacy", "jax.random.key(0)")),
        ("data.process", {"noise": -0.1}, ("noise", "-0.1", "≥ 0")),
        ("data.process", {"rows": 0}, ("rows", "0", "≥ 1")),
        ("data.process", {"weights": np.ones((2, 2))}, ("weights", "variables", "either")),
        ("data.conditional", {"rows": 2.5}, ("rows", "2.5", "whole number")),
        ("data.conditional_mean", {"temperature": [300.0, float("inf")]}, ("temperature", "inf", "> 0")),
        ("data.anomalies", {"pattern": "both"}, ("pattern", "'both'", "single, joint")),
        ("data.anomalies", {"variable": 8}, ("variable", "8", "from 0 to 7")),
        ("data.anomalies", {"normal": X}, ("normal", "ndarray", "Process")),
        ("data.dictionary", {"active": 5}, ("active", "5", "from 1 to 4")),
        ("data.dictionary", {"loads": 7}, ("loads", "7", "from 1 to 6")),
        ("data.series", {"points": 100}, ("points", "100", "≥ 360")),
        ("data.conditions", {"columns": {"t": np.ones(4)}}, ("'t'", "1 in every row", "nothing can depend")),
        ("data.conditions", {"one_hot": ("z",)}, ("condition", "'z'", "there is: t, site")),
        ("data.Conditions.apply", {"columns": {"t": [0.5], "site": ["c"]}}, ("site", "'c'", "'a', 'b'")),
        ("data.Conditions.apply", {"columns": {"t": ["hot"], "site": ["a"]}}, ("t", "'hot'", "a number")),
        ("data.Conditions.apply", {"columns": {"t": [0.5]}}, ("'site'", "missing", "conditions are")),
        ("data.fingerprint", {"array": np.array([None])}, ("fingerprint", "object", "numbers")),
    ]


def _of_numbers() -> list[Refusal]:
    lengths = {"hparams": {"lr": np.ones(2)}}
    return [
        ("grid", {"beta": []}, ("beta", "empty", "at least one")),
        ("grid", {"beta": 1.0}, ("beta", "1.0", "several values")),
        ("grid", {"beta": ["a"]}, ("beta", "<U1", "plain numbers")),
        ("grid", {"beta": [1.0, NAN]}, ("beta", "nan", "finite")),
        ("grid", {"beta": [2**40]}, ("beta", "1099511627776", "smaller numbers")),
        ("zipped", {"beta": [1.0]}, ("beta", "(1,)", "one length")),
        ("draw", {"n": 0}, ("n", "0", "≥ 1")),
        ("draw", {"key": 0}, ("key", "0", "jax.random.key(0)")),
        ("draw", {"lr": [0.1, 0.2]}, ("lr", "[0.1, 0.2]", "uniform, log_uniform")),
        ("hyperparameters.uniform", {"low": 2.0}, ("low", "2", "less than high")),
        ("hyperparameters.uniform", {"high": float("inf")}, ("high", "inf", "finite")),
        ("hyperparameters.uniform", {"low": "0"}, ("low", "'0'", "finite number")),
        ("hyperparameters.log_uniform", {"low": 0.0}, ("low", "0", "> 0")),
        ("hyperparameters.integers", {"low": 1.5}, ("low", "1.5", "whole number")),
        ("hyperparameters.integers", {"high": 0}, ("high", "0", "from 1")),
        ("hyperparameters.choices", {"values": ()}, ("choices", "empty", "at least one")),
        ("hyperparameters.points", {"hparams": {"lr": 0.1}}, ("hparams", "()", "columns of one length")),
        ("statistics.bootstrap", {"values": [1.0]}, ("values", "(1,)", "at least two")),
        ("statistics.bootstrap", {"level": 95}, ("level", "95", "write 0.95")),
        ("statistics.bootstrap", {"draws": 0}, ("draws", "0", "≥ 1")),
        ("statistics.summaries", {"level": 1.0}, ("level", "1", "between 0 and 1")),
        ("statistics.summaries", {"values": X}, ("values", "(6, 4)", "(members,)")),
        ("statistics.summaries", lengths, ("hparams lr", "(2,)", "one of each per member")),
        ("statistics.effects", lengths, ("hparams lr", "(2,)", "one of each per member")),
        ("statistics.effects", {"values": []}, ("values", "(0,)", "at least one")),
    ]


def _of_learners(folder: Path) -> list[Refusal]:
    return [
        ("objective", {"loss": "sparse"}, ("loss", "'sparse'", "function")),
        ("objective", {"rat": 0.1}, ("hyperparameter", "'rat'", "rate")),
        ("objective", {"model": X}, ("model", "ndarray", "Linen module")),
        ("objective", {"model": ja.models.AE}, ("model", "AE", "Linen module")),
        ("score", {"beta": 1.0}, ("hyperparameter", "'beta'", "weight")),
        ("score", {"loss": None}, ("loss", "None", "function")),
        ("accumulate", {"parts": 0}, ("parts", "0", "≥ 1")),
        ("averaged", {"decay": 1.5}, ("decay", "1.5")),
        ("averages", {"state": ()}, ("averaged",)),
        ("trimmed", {"share": 1}, ("share", "1", "less than 1")),
        ("trimmed", {"share": 10}, ("share", "10", "write 0.1")),
        ("trimmed", {"loss": "elbo"}, ("loss", "elbo", "function")),
        ("skip_nonfinite", {"patience": 0}, ("patience", "0", "≥ 1")),
        ("estimators.load", {"path": folder / "none"}, ("none", "no file")),
        ("estimators.save", {"estimator": X}, ("estimator", "ndarray", "Autoencoder")),
        ("checkpoint.load_model", {"path": folder / "none"}, ("none", "no file")),
        ("checkpoint.load_model", {"root": "0" * 64}, ("root", "0000")),
        ("data.shards", {"x": folder / "none"}, ("none",)),
        ("descend", {"tx": 0.1}, ("tx", "float", "optax.adam(1e-3)")),
        ("descend", {"wrt": "w"}, ("wrt", "'w'", "wrt=('w',)")),
        ("descend", {"objective": 1.0}, ("objective", "1.0", "function")),
        ("chain", {"first": ja.losses.elbo}, ("first", "function", "Learner")),
        ("repeat", {"times": 0}, ("times", "0", "≥ 1")),
        ("repeat", {"times": 1.5}, ("times", "1.5", "whole number")),
        ("repeat", {"learner": Line()}, ("learner", "Line", "Learner")),
        ("schedule", {"noise": 0.5}, ("noise", "0.5", "optax.constant_schedule")),
        ("schedule", {"factory": learner()}, ("factory", "Learner", "function")),
        ("lift", {"make": 3}, ("make", "3", "function")),
        ("warm_start", {"params": X}, ("params", "ndarray", "by submodule")),
        ("start", {"learner": Line()}, ("learner", "Line", "Learner")),
    ]


def _of_runs(folder: Path) -> list[Refusal]:
    few = Batch(X[:3])
    score = ja.score(Line(), ja.losses.reconstruction)
    held_out = {"validation": few, "score": score}
    likely = {"learner": learner(**BERNOULLI)}
    judged = {"score": ja.score(Line(), ja.losses.reconstruction, **BERNOULLI)}
    explicit = jax.make_mesh((1,), ("members",), axis_types=(AxisType.Explicit,))
    common: list[Refusal] = [
        (name, changed, words)
        for name in ("run", "train", "fit")
        for changed, words in [
            ({"batch_size": 7}, ("batch_size", "7", "from 1 to 6")),
            ({"batch_size": 2.0}, ("batch_size", "2.0", "whole number")),
            ({"epochs": 0}, ("epochs", "0", "≥ 1")),
            ({"key": LEGACY}, ("key", "legacy", "jax.random.key(0)")),
            ({"key": jax.random.split(jax.random.key(0), 3)}, ("key", "(3,)", "()")),
            ({"data": X}, ("data", "ndarray", "write Batch(x)")),
            ({"data": Batch(BYTES)}, ("data.x", "uint8", "floats")),
            ({"data": Batch(HOLED)}, ("data.x", "nan in row 1 and column 1", "fill them in")),
            ({"data": Batch(X[:0])}, ("data", "no rows", "nothing to train on")),
            ({"data": Batch(X, X[:2])}, ("cond", "(2,)", "(6,)")),
            ({"learner": 0.1}, ("learner", "float", "Learner")),
        ]
    ]
    return [
        *_of_learners(folder),
        *common,
        ("run", {"state": {"params": X}}, ("state", "dict", "TrainState")),
        ("train", {"model": "AE"}, ("model", "str", "Linen module")),
        ("fit", {"data": Batch(255 * X), **likely}, ("x", "25", "0…1")),
        ("fit", {"data": Batch(jnp.asarray(X - 1)), **likely}, ("x", "-0.9", "0…1")),
        ("fit", {**held_out, **judged, "validation": Batch(255 * X)}, ("x", "25", "0…1")),
        ("fit", {"validation": Batch(X[:, :2]), "score": score}, ("validation.x", "(2,)", "(4,)")),
        ("fit", {"validation": Batch(X, X[:2]), "score": score}, ("validation.cond", "given", "both or for none")),
        (
            "fit",
            {"data": Batch(X, X), "validation": Batch(X, X[:2]), "score": score},
            ("validation.cond", "(2,)", "(6,)"),
        ),
        ("fit", {"validation": few}, ("validation", "alone", "score=ja.score")),
        ("fit", {"score": score}, ("score", "alone", "validation=Batch(x)")),
        ("fit", {"validation": X, "score": score}, ("validation", "ndarray", "Batch")),
        ("fit", {"validation": Batch(HOLED), "score": score}, ("validation.x", "nan", "fill them in")),
        ("fit", {"patience": 1}, ("patience", "validation", "add validation=Batch(x)")),
        ("fit", {**held_out, "patience": 0}, ("patience", "0", "≥ 1")),
        ("fit", {"lanes": 2}, ("lanes", "single run", "add seeds")),
        ("fit", {"seeds": 0}, ("seeds", "0", "≥ 1")),
        ("fit", {"seeds": 2, "lanes": 0}, ("lanes", "0", "≥ 1")),
        ("fit", {"seeds": 2, "chunk": 1.5}, ("chunk", "1.5", "whole number")),
        ("fit", {"seeds": 2, "mesh": "cpu"}, ("mesh", "str", "jax.make_mesh")),
        ("fit", {"seeds": 2, "mesh": explicit}, ("mesh", "Explicit", "Auto")),
        ("fit", {"hparams": {"lr": np.ones(2)}}, ("hparams", "lr", "factory")),
        ("fit", {"keep": ja.checkpoint.Keep()}, ("keep", "checkpoint", "checkpoint=FOLDER")),
        ("fit", {"checkpoint": folder / "table.csv"}, ("table.csv", "is a file", "another path")),
        ("fit", {"checkpoint": folder / "new", "keep": 3}, ("keep", "3", "Keep(last=3)")),
        ("fit", {"checkpoint": folder / "new", "keep": ja.checkpoint.Keep(last=0)}, ("last of keep", "0", "≥ 1")),
        ("fit", {"checkpoint": folder / "new", "accept": ("model",)}, ("change to accept", "'model'", "program")),
        ("fit", {"checkpoint": folder / "new", "accept": "program"}, ("accept", "'program'", "tuple of names")),
        ("fit", {"log": folder / "table.csv" / "log"}, ("log", "table.csv", "another path")),
        ("fit of a population", {"hparams": [0.1]}, ("hparams", "list", "grid(")),
        ("fit of a population", {"hparams": {"rate": np.ones(2)}}, ("hyperparameter", "'rate'", "scale")),
        ("fit of a population", {"hparams": {"scale": np.array([0.1, NAN])}}, ("hparams scale", "nan", "finite")),
        ("fit of a population", {"hparams": {"scale": np.array(["a"])}}, ("hparams scale", "<U1", "plain numbers")),
        ("fit of a population", {"hparams": {"scale": np.array([0.1, -0.5])}}, ("scale", "-0.5", "≥ 0")),
        ("sweep", {"chunk": 0}, ("chunk", "0", "≥ 1")),
        ("sweep", {"lanes": 2.0}, ("lanes", "2.0", "whole number")),
        ("sweep", {"member": None}, ("member", "None", "function")),
        ("sweep(member)", {"keys": jax.random.key(0)}, ("key", "()", "jax.random.split")),
        ("sweep(member)", {"keys": np.zeros((2, 2), np.uint32)}, ("key", "legacy", "jax.random.key")),
        ("sweep(member)", {"hparams": {"rate": np.ones(2)}}, ("hyperparameter", "'rate'", "scale")),
        ("population.spread", {"mesh": explicit}, ("mesh", "Explicit", "Auto")),
        ("spread(member)", {"mapped": (jnp.ones(3), jnp.ones(2))}, ("mapped", "(2,)", "one row per member")),
        ("search.halving", {"factor": 1}, ("factor", "1", "≥ 2")),
        ("search.halving", {"first": 4}, ("first", "4", "fewer than epochs")),
        ("search.halving", {"hparams": None}, ("members", "0", "add hparams or seeds")),
        ("search.halving", {"validation": None, "score": None}, ("validation", "held-out", "add validation")),
        ("search.hyperband", {"epochs": 1}, ("epochs", "1", "≥ 2")),
        ("search.hyperband", {"axes": {"scale": 0.1}}, ("scale", "0.1", "uniform")),
        ("search.evolution", {"share": 0.9}, ("share", "0.9", "(0, 0.5]")),
        ("search.evolution", {"every": 4}, ("every", "4", "fewer than epochs")),
        ("search.evolution", {"factors": (0.8, -1.0)}, ("factors", "-1", "> 0")),
        ("search.evolution", {"limits": {"rate": (0, 1)}}, ("hyperparameter", "'rate'", "scale")),
        ("search.evolution", {"limits": {"scale": (0.15, 1)}}, ("scale", "0.1", "limits")),
        ("checkpoint.load", {"path": folder / "table.csv"}, ("table.csv", "safetensors", "damaged")),
        ("checkpoint.load", {"path": folder / "nowhere"}, ("nowhere", "no file", "give the path")),
        ("Fit.take", {"member": 3}, ("member", "3", "from 0 to 2")),
        ("Fit.take", {"member": []}, ("member", "no member", "at least one")),
        ("Fit.take", {"member": 0.5}, ("member", "0.5", "whole number")),
        ("Fit.describe", {"member": None}, ("member", "population", "describe(0)")),
        ("result.stack", {"fits": []}, ("fit", "no fit", "at least one")),
    ]
