"""The command line: train a recipe, use what was trained. Help and lists answer without importing JAX."""

import dataclasses
import itertools
import os
import shlex
import signal
import sys
import types
import typing
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional, UseAppendAction, arg

from jaxae import recipes

if typing.TYPE_CHECKING:
    from jaxae.study import Source, Trained

__all__ = ["main"]


@dataclasses.dataclass(frozen=True)
class List:
    """Show the recipes and their settings."""

    recipe: Positional[str | None] = None
    """Show what every setting of this one means."""
    plain: bool = False
    """Print the names alone, one a line."""


@dataclasses.dataclass(frozen=True)
class Train:
    """Train a recipe on its own data or a file, and write a folder with model, figures, pictures and a report."""

    recipe: Positional[str]
    """Name of a recipe: see `jaxae list`."""
    data: Path | None = None
    """CSV, TSV, Parquet, NPY, NPZ or IDX file, or a folder with MNIST's four; without it the recipe's own data."""
    out: Path | None = None
    """Folder to write; an earlier run in it is replaced. Default: runs/RECIPE."""
    epochs: int | None = None
    """Passes over the training rows; default: the recipe's."""
    seed: int = 0
    """Everything random follows from it."""
    seeds: int | None = None
    """Train so many seeds of every combination, in one program."""
    set: Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="NAME=VALUE ...")] = ()
    """Change settings of the recipe."""
    sweep: Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="NAME=V1,V2,... ...")] = ()
    """Train every combination of these values, in one program."""
    impute: Literal["mean", "median"] | None = None
    """Fill in missing values of the data by their column's mean or median."""
    init: Path | None = None
    """Trained folder whose encoder the training begins with."""
    cache: bool = True
    """Keep compiled programs in the user's cache folder, so that a second start is fast."""


@dataclasses.dataclass(frozen=True)
class Encode:
    """Write the codes of rows, with a trained model."""

    folder: Positional[Path]
    """Trained folder."""
    out: Path
    """CSV, Parquet or NPY file to write."""
    data: Path | None = None
    """Rows, with the columns that the model was trained on; without it the data it was trained on."""
    member: int | None = None
    """Member of a population; default: the best by validation."""
    impute: Literal["mean", "median"] | None = None
    """Fill in missing values."""


@dataclasses.dataclass(frozen=True)
class Reconstruct(Encode):
    """Write rows as the model reconstructs them, in the columns and units of the data."""


@dataclasses.dataclass(frozen=True)
class Denoise(Encode):
    """Write the clean rows that a denoising model sees behind noisy ones, in the columns and units of the data."""


@dataclasses.dataclass(frozen=True)
class Detect(Encode):
    """Write how strange each row is: score, p-value, alarm, and what each variable contributes to the score."""

    rate: float | None = None
    """Share of new normal rows that may raise an alarm; default: that of the recipe's settings, else 0.01."""


@dataclasses.dataclass(frozen=True)
class Compress(Encode):
    """Write rows as quantised codes to an .npz file, and say how small it is and what is lost."""

    bits: int = 8
    """Bits of one number of a code, 1 to 16."""


@dataclasses.dataclass(frozen=True)
class Decompress:
    """Write the rows that a file of quantised codes stands for, in the columns and units of the data."""

    folder: Positional[Path]
    """Trained folder that compressed them."""
    data: Path
    """Codes, as `jaxae compress` wrote them."""
    out: Path
    """CSV, Parquet or NPY file to write."""
    member: int | None = None
    """Member of a population; default: the best by validation."""


@dataclasses.dataclass(frozen=True)
class Probe:
    """Show what a linear classifier makes of the codes of labelled rows, beside principal components and the rows."""

    folder: Positional[Path]
    """Trained folder."""
    label: str
    """Column of the file with the label of each row."""
    data: Path
    """Rows, with the columns that the model was trained on and their label."""
    folds: int = 5
    """Parts of the rows, each classified by a model that was fitted on the others."""
    member: int | None = None
    """Member of a population; default: the best by validation."""
    impute: Literal["mean", "median"] | None = None
    """Fill in missing values."""


@dataclasses.dataclass(frozen=True)
class Decode:
    """Write the rows that belong to codes, in the columns and units of the data."""

    folder: Positional[Path]
    """Trained folder."""
    data: Path
    """Codes, as `jaxae encode` wrote them."""
    out: Path
    """CSV, Parquet or NPY file to write."""
    member: int | None = None
    """Member of a population; default: the best by validation."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """Write new rows that a trained generative model draws, in the columns and units of the data."""

    folder: Positional[Path]
    """Trained folder."""
    out: Path
    """CSV, Parquet or NPY file to write."""
    rows: int = 1000
    """How many; of a conditional model, for each combination of conditions."""
    given: Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="NAME=V1,V2,... ...")] = ()
    """Conditions of a conditional model; several values give every combination."""
    seed: int = 0
    """Everything random follows from it."""
    member: int | None = None
    """Member of a population; default: the best by validation."""


@dataclasses.dataclass(frozen=True)
class Report:
    """Write report.html of a trained folder anew."""

    folder: Positional[Path]
    """Trained folder."""


Command = (
    List | Train | Encode | Decode | Reconstruct | Denoise | Detect | Compress | Decompress | Probe | Sample | Report
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, or 1 with one sentence on standard error."""
    arguments = sys.argv[1:] if arguments is None else arguments
    command: Any = tyro.cli(
        Command,
        prog="jaxae",
        description="Autoencoders, VAEs and small GANs whose whole training runs are pure functions.",
        args=arguments,
    )
    stopped: list[int] = []

    def stop(number: int, _: Any) -> None:
        stopped.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: print(f"jaxae: {message}", file=sys.stderr)
            _run(command, arguments, stopped)
    except BrokenPipeError:
        # Whoever read the output has seen enough; what is left of it goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, TypeError, OSError, FloatingPointError) as error:
        print(f"jaxae: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("jaxae: interrupted; nothing was written", file=sys.stderr, flush=True)
        # Threads that still compile do not survive the interpreter's own clean-up.
        os._exit(128 + stopped[-1] if stopped else 130)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _run(command: Any, arguments: list[str], stopped: list[int]) -> None:
    match command:
        case List():
            _list(command)
        case Train():
            _train(command, arguments, stopped)
        case Report():
            from jaxae import report

            print(report.write_page(command.folder))
        case _:
            _use(command)


def _list(command: List) -> None:
    if command.recipe is not None:
        import inspect

        recipe = recipes.find(command.recipe)
        print(inspect.cleandoc(recipe.__doc__ or ""), inspect.cleandoc(recipe.Settings.__doc__ or ""), sep="\n\n")
        defaults = ", ".join(f"{f.name}={_written(f.default)}" for f in dataclasses.fields(recipe.Settings))
        print(f"\nDefaults: {defaults}")
        return
    for name in recipes.names():
        if command.plain:
            print(name)
            continue
        recipe = recipes.find(name)
        print(f"{name}\n    {(recipe.__doc__ or '').splitlines()[0]}")
        settings = ", ".join(f"{field.name}={_written(field.default)}" for field in dataclasses.fields(recipe.Settings))
        print(f"    settings: {settings}")


def _train(command: Train, arguments: list[str], stopped: list[int]) -> None:
    recipe = recipes.find(command.recipe)
    settings, sweep = _settings(recipe, command)
    many = command.seeds is not None or bool(sweep)
    _start(command.cache, devices=(os.cpu_count() or 1) if many else 1)
    import jax

    from jaxae import study
    from jaxae.progress import Progress, printer

    show = printer()

    def progress(now: Progress) -> None:
        show(now)
        if stopped:  # an interrupt that fell into a callback of another library, which swallowed it
            raise KeyboardInterrupt

    device = jax.devices()[0]
    count = len(jax.devices()) if many else 1
    print(f"training {command.recipe} on {count} × {device.device_kind}", file=sys.stderr)
    folder = study.train(
        command.recipe,
        recipe,
        settings,
        out=command.out or Path("runs") / command.recipe,
        path=command.data,
        impute=command.impute,
        seed=command.seed,
        seeds=command.seeds,
        sweep=sweep,
        init=None if command.init is None else study.load(command.init, recipes.find),
        progress=progress,
        command=shlex.join(["jaxae", *arguments]),
    )
    _summary(folder)


def _summary(folder: Path) -> None:
    import json

    from rich.console import Console
    from rich.table import Table

    metrics = json.loads((folder / "metrics.json").read_text())
    table = Table(title="held-out rows", title_justify="left")
    for column in ("figure", "model", "control"):
        table.add_column(column, justify="left" if column == "figure" else "right", overflow="fold")
    for name in [*metrics["metrics"], *(name for name in metrics["controls"] if name not in metrics["metrics"])]:
        cells = (metrics[part].get(name) for part in ("metrics", "controls"))
        table.add_row(name, *("" if value is None else f"{value:.4g}" for value in cells))
    console = Console()
    console.print(table)
    lines = [f"data: {note}" for note in json.loads((folder / "config.json").read_text())["data"]["notes"]]
    lines += [f"doubt: {check['text']}" for check in metrics["checks"] if not check["passed"]]
    for line in [*lines, f"report: {folder / 'report.html'}"]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _use(command: Any) -> None:
    _start(cache=True, devices=1)
    from jaxae import data, study

    trained = study.load(command.folder, recipes.find, command.member)
    needed = {Probe: "encode", Decompress: "compress"}
    trained.require(needed.get(type(command), type(command).__name__.lower()))
    _check_options(command, trained)
    columns = trained.study.scaling.columns
    text: dict[str, Any] = {}
    remarks: dict[str, Any] = {}
    whole: tuple[str, ...] = ()
    match command:
        case Probe():
            _probe(command, trained)
            return
        case Sample():
            values, names, text = _sampled(command, trained)
        case Decode():
            if trained.study.conditions is not None:
                raise ValueError("codes of a conditional model say nothing without their conditions: use jaxae sample")
            codes = data.read(command.data, columns=trained.latent_columns)
            values, names = trained.decode(codes.values), columns
        case Decompress():
            values, names = study.decompress(trained, command.data), columns
        case Compress():
            found = study.compress(trained, _rows(command, trained).values, command.out, bits=command.bits)
            print(
                f"{found.bytes:,} bytes, {found.bytes / found.original_bytes:.1%} of the rows as float32: "
                f"{command.out}"
                f"\nmean squared error {found.error:.4g} scaled units, of which {found.error_unquantised:.4g} without "
                "quantisation"
            )
            return
        case Detect():
            values, names, text, whole, remarks = _detected(command, trained)
        case Encode():
            rows = _rows(command, trained)
            stamped = {rows.stamp: rows.stamps} if rows.stamp else {}
            match command:
                case Reconstruct():
                    values, names, text = trained.reconstruct(rows.values, rows.conditions), columns, stamped
                case Denoise():
                    values, names = trained.denoise(rows.values), columns
                case _:
                    values, names = trained.encode(rows.values, rows.conditions), trained.latent_columns
    data.write(command.out, values, names, text=text, whole=whole, remarks=remarks)
    print(f"{len(values)} rows, {len(text) + len(names) + len(remarks)} columns: {command.out}")


def _check_options(command: Any, trained: "Trained") -> None:
    """Refuse, before any file is read, options that cannot be and a place to write where something would be lost."""
    from jaxae import checks, data

    match command:
        case Detect():
            checks.fraction("rate", _rate(command, trained), open_ends=True)
        case Compress():
            checks.whole("bits", command.bits, high=16)
        case Sample():
            checks.whole("rows", command.rows)
    if isinstance(command, Probe):
        return
    if isinstance(command, Compress):
        if command.out.suffix != ".npz":
            raise ValueError(f"{command.out} must end in .npz, which is what the codes are written as")
    else:
        data.check_target(command.out, words=("because",) if isinstance(command, Detect) else ())
    own = command.folder.resolve()
    if own in command.out.resolve().parents:
        raise ValueError(f"{command.out} lies in the trained folder {command.folder}: write it elsewhere")
    given = getattr(command, "data", None)
    if given is not None and command.out.resolve() == given.resolve():
        raise ValueError(f"--out is the file that --data names, {given}, which would be lost: write to another one")


def _rate(command: Detect, trained: "Trained") -> float:
    return getattr(trained.study.settings, "rate", 0.01) if command.rate is None else command.rate


def _sampled(command: Sample, trained: "Trained") -> tuple[Any, Any, dict[str, Any]]:
    """Return drawn rows, with the conditions that they were drawn for."""
    import jax
    import numpy as np

    key, columns, known = jax.random.key(command.seed), trained.study.scaling.columns, trained.study.conditions
    pairs = _pairs("--given", command.given)
    whole = {} if known is None else dict(zip(known.names, known.levels, strict=True))
    # A word may hold a comma itself.
    given = {
        name: [values] if values in (whole.get(name) or ()) else values.split(",") for name, values in pairs.items()
    }
    if known is None:
        if given:
            raise ValueError(f"--given names {', '.join(given)}, but this model is conditioned on nothing")
        return trained.sample(key, command.rows), columns, {}
    each: Any = {name: np.repeat(np.asarray(column), command.rows) for name, column in known.product(given).items()}
    values = trained.sample(key, len(next(iter(each.values()))), each)
    numbers = [name for name, column in each.items() if column.dtype.kind == "f"]
    words = {name: column.tolist() for name, column in each.items() if name not in numbers}
    return np.column_stack([*(each[name] for name in numbers), values]), (*numbers, *columns), words


def _detected(command: Detect, trained: "Trained") -> tuple[Any, Any, dict[str, Any], tuple[str, ...], dict[str, Any]]:
    """Return figures of each row of data, its stamp, which are whole, and which variables make it strange."""
    import numpy as np

    rows, rate = _rows(command, trained), _rate(command, trained)
    found = trained.detect(rows.values, rate=rate, conditions=rows.conditions)
    if command.data is None:
        print("the model was trained and calibrated on these rows: new ones may seem stranger to it", file=sys.stderr)
    names = trained.study.scaling.names
    columns = {"score": found.score, "p_value": found.p_value, "alarm": found.alarm}
    whole: tuple[str, ...] = ("alarm",)
    if hasattr(trained.recipe, "events"):
        columns["event"] = trained.recipe.events(trained.study.settings, found.alarm)
        whole = (*whole, "event")
    order = np.argsort(-found.contributions, axis=1, kind="stable")[:, :3]
    shares = found.contributions / np.maximum(found.score, np.finfo(float).tiny)[:, None]
    because = [", ".join(f"{names[j]} {shares[i, j]:.0%}" for j in best) for i, best in enumerate(order)]
    text = {rows.stamp: list(rows.stamps)} if rows.stamp else {}
    values = np.column_stack([*columns.values(), found.contributions])
    print(
        f"{found.alarm.sum()} alarms in {len(values)} rows, of which about {rate * len(values):.3g} would be "
        f"raised by normal rows alone, at a rate of {rate:g}",
        file=sys.stderr,
    )
    return values, (*columns, *(f"contribution_{name}" for name in names)), text, whole, {"because": because}


def _probe(command: Probe, trained: "Trained") -> None:
    """Print the accuracy of linear classifiers on codes, principal components and the rows themselves."""
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.model_selection import StratifiedKFold

    from jaxae import checks, data, metrics

    checks.whole("folds", command.folds, low=2)
    if hasattr(trained.recipe, "examples"):
        raise ValueError("codes of this model are of windows, not of rows, so labels of rows cannot be probed")
    rows = _rows(command, trained, label=command.label)
    if data.fingerprint(rows.values) == trained.config["data"]["fingerprint"]:
        print("the encoder was trained on these rows, the components only on the other folds", file=sys.stderr)
    if rows.labels is None:
        raise ValueError(f"{command.data} holds no labels: give a file with a column of them, or a folder with MNIST's")
    labels = rows.labels
    kinds, counts = np.unique(labels, return_counts=True)
    if len(kinds) < 2 or counts.min() < command.folds:
        raise ValueError(
            f"{command.label} must have at least two values, each on {command.folds} rows or more; it has "
            f"{len(kinds)}, the rarest on {counts.min()} rows: give more rows or fewer --folds"
        )
    scaled, codes = trained.study.scaling.apply(rows.values), trained.encode(rows.values, rows.conditions)
    few = min(codes.shape[1], *scaled.shape)
    found: dict[str, list[float]] = {}
    for seen, new in StratifiedKFold(command.folds, shuffle=True, random_state=0).split(scaled, labels):
        pca = PCA(few, svd_solver="full").fit(scaled[seen])
        features = {"codes": codes, f"{few} principal components": pca.transform(scaled), "the rows themselves": scaled}
        for name, columns in features.items():
            accuracy = metrics.linear_probe(columns[seen], labels[seen], columns[new], labels[new])
            found.setdefault(name, []).append(accuracy)
    for name, accuracies in found.items():
        print(f"{name}: {np.mean(accuracies):.4f} ± {np.std(accuracies):.4f} accuracy over {command.folds} folds")


def _rows(command: Any, trained: "Trained", label: str | None = None) -> "Source":
    """Return the rows of a file, or those that the model was trained on, with missing values filled as asked."""
    from jaxae import data

    of_training, columns = trained.config["data"], trained.study.scaling.columns
    # Without --data it is the same rows, so filled in the same way.
    how = (command.impute if command.data is not None else None) or of_training["impute"]
    fills = dict(zip(columns, of_training["fills"][how], strict=True)) if how else None
    if command.data is not None:
        rows = trained.read(command.data, fills, label)
    else:
        path = Path(of_training["source"])
        if not path.is_absolute():
            raise ValueError("the model was trained on data of its recipe's own: name the rows with --data FILE")
        if not path.exists():
            raise ValueError(
                f"the data that the model was trained on are no longer at {path}: name rows with --data FILE"
            )
        rows = trained.read(path, fills)
        if data.fingerprint(rows.values) != of_training["fingerprint"]:
            raise ValueError(
                f"{path} has changed since the model was trained on it: if it is what you want, name it with --data"
            )
    for note in rows.notes:
        print(note, file=sys.stderr)
    return rows


def _start(cache: bool, devices: int) -> None:
    """Set JAX up before its first use: the folder of compiled programs, one host device per core."""
    import jax

    if jax.config.jax_num_cpu_devices < 0:  # type: ignore[attr-defined]  # JAX_NUM_CPU_DEVICES goes first
        jax.config.update("jax_num_cpu_devices", devices)
    if cache:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(Path(home) / "jaxae" / "programs"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _settings(recipe: ModuleType, command: Train) -> tuple[Any, dict[str, list[Any]]]:
    """Return the settings and what is swept, or refuse what contradicts itself or would have no effect."""
    given = {name: _parsed(recipe, name, value) for name, value in _pairs("--set", command.set).items()}
    sweep = {
        name: [_parsed(recipe, name, value) for value in values.split(",")]
        for name, values in _pairs("--sweep", command.sweep).items()
    }
    if command.epochs is not None and "epochs" in given:
        raise ValueError("epochs are given by --epochs and by --set: give them once")
    for name in given:
        if name in sweep:
            raise ValueError(f"{name} is given by --set and by --sweep: give it once")
        if command.data is not None and name in recipe.OF_OWN_DATA:
            raise ValueError(
                f"{name} is about data that the recipe makes, but --data names a file: leave one of them out"
            )
    if command.epochs is not None:
        given["epochs"] = command.epochs
    stand_in = getattr(recipe, "STAND_IN", {}) if command.data is None else {}
    return recipe.Settings(**{**stand_in, **given}), sweep


def _pairs(option: str, words: Iterable[Iterable[str]]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in itertools.chain.from_iterable(words):
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise ValueError(f"{option} {word!r} is no setting: write {option} name=value")
        if name in pairs:
            raise ValueError(f"{option} names {name} twice: give it once")
        pairs[name] = value
    return pairs


def _parsed(recipe: ModuleType, name: str, word: str) -> Any:
    """Return the word as a value of the setting's type."""
    kinds = typing.get_type_hints(recipe.Settings)
    if name not in kinds:
        from jaxae import checks

        checks.known(f"setting of {recipe.__name__.rpartition('.')[2].replace('_', '-')}", [name], kinds)
    kind = kinds[name]
    try:
        return _as(kind, word)
    except ValueError:
        raise ValueError(f"{name} is {word!r}, but must be {_allowed(kind)}") from None


def _as(kind: Any, word: str) -> Any:
    if typing.get_origin(kind) is Literal:
        if word not in typing.get_args(kind):
            raise ValueError(word)
        return word
    if typing.get_origin(kind) is tuple:
        return tuple(_as(typing.get_args(kind)[0], part) for part in word.split(","))
    if isinstance(kind, types.UnionType):
        return None if word == "none" else _as(typing.get_args(kind)[0], word)
    if kind is bool:
        return {"true": True, "false": False}[word] if word in ("true", "false") else _as(float, "not a bool")
    return kind(word)


def _allowed(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return f"{_allowed(typing.get_args(kind)[0])}, or several with commas between"
    if isinstance(kind, types.UnionType):
        return f"{_allowed(typing.get_args(kind)[0])}, or none"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]


def _written(value: Any) -> str:
    return (
        ",".join(map(str, value)) if isinstance(value, tuple) else str(value).lower() if value is None else str(value)
    )
