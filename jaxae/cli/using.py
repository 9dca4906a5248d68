"""What a trained folder does from the command line: rows in, rows or figures out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxae import recipes
from jaxae.cli.commands import (
    Compress,
    Decode,
    Decompress,
    Denoise,
    Detect,
    Encode,
    Probe,
    Reconstruct,
    Sample,
)
from jaxae.cli.training import start
from jaxae.cli.words import pairs

if TYPE_CHECKING:
    from jaxae.study import Source, Trained

__all__ = ["use"]


def use(command: Any) -> None:
    """Do with a trained folder what the command says, and write or print what comes out."""
    start(cache=True, devices=1)
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
    if _pictured(command, trained):
        images = trained.pictures(values[:, len(names) - len(columns) :])
        data.write_images(command.out, images, _image_names(len(images), text))
        print(f"{len(images)} images: {command.out}")
        return
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
    elif not _pictured(command, trained):
        data.check_target(command.out, words=("because",) if isinstance(command, Detect) else ())
    own = command.folder.resolve()
    if own in command.out.resolve().parents:
        raise ValueError(f"{command.out} lies in the trained folder {command.folder}: write it elsewhere")
    given = getattr(command, "data", None)
    if given is not None and command.out.resolve() == given.resolve():
        raise ValueError(f"--out is the file that --data names, {given}, which would be lost: write to another one")


def _pictured(command: Any, trained: "Trained") -> bool:
    """Return whether images are to be written as PNG files: into a folder, which has no suffix."""
    makes = isinstance(command, Sample | Decode | Decompress | Reconstruct | Denoise)
    return makes and trained.study.source.shape is not None and not command.out.suffix


def _image_names(count: int, text: dict[str, Any]) -> list[str]:
    """Return names of image files, numbered from 0, after the words that they were drawn for."""
    digits = len(str(count - 1))
    return [
        "-".join([*("".join(c if c.isalnum() else "_" for c in words[i]) for words in text.values()), f"{i:0{digits}}"])
        for i in range(count)
    ]


def _rate(command: Detect, trained: "Trained") -> float:
    from jaxae import study

    asked = study.alarm_rate(trained.study.settings)
    return command.rate if command.rate is not None else 0.01 if asked is None else asked


def _sampled(command: Sample, trained: "Trained") -> tuple[Any, Any, dict[str, Any]]:
    """Return drawn rows, with the conditions that they were drawn for."""
    import jax
    import numpy as np

    key, columns, known = jax.random.key(command.seed), trained.study.scaling.columns, trained.study.conditions
    pairs_given = pairs("--given", command.given)
    whole = {} if known is None else dict(zip(known.names, known.levels, strict=True))
    # A word may hold a comma itself.
    given = {
        name: [values] if values in (whole.get(name) or ()) else values.split(",")
        for name, values in pairs_given.items()
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
    text = {rows.stamp: list(rows.stamps)} if rows.stamp else {}
    values = np.column_stack([*columns.values(), found.contributions])
    print(
        f"{found.alarm.sum()} alarms in {len(values)} rows, of which about {rate * len(values):.3g} would be "
        f"raised by normal rows alone, at a rate of {rate:g}",
        file=sys.stderr,
    )
    return (
        values,
        (*columns, *(f"contribution_{name}" for name in names)),
        text,
        whole,
        {"because": trained.explain(rows.values, found)},
    )


def _probe(command: Probe, trained: "Trained") -> None:
    """Print what linear classifiers make of codes, principal components and the rows themselves."""
    from jaxae import data, study

    rows = _rows(command, trained, label=command.label)
    if rows.labels is None:
        raise ValueError(
            f"{command.data} holds no labels: name their column with --label, or give images in one folder for each "
            "class"
        )
    if data.fingerprint(rows.values) == trained.config["data"]["fingerprint"]:
        print("the encoder was trained on these rows, the components only on the other folds", file=sys.stderr)
    found = study.probe(trained, rows.values, rows.labels, conditions=rows.conditions, folds=command.folds)
    for name, accuracies in found.items():
        print(f"{name}: {accuracies.mean():.4f} ± {accuracies.std():.4f} accuracy over {command.folds} folds")


def _rows(command: Any, trained: "Trained", label: str | None = None) -> "Source":
    """Return the rows of a file, or those that the model was trained on, with missing values filled as asked."""
    from jaxae import data

    of_training, columns = trained.config["data"], trained.study.scaling.columns
    # Without --data it is the same rows, so filled in the same way.
    how = (command.impute if command.data is not None else None) or of_training["impute"]
    known = of_training["fills"]
    fills = dict(zip(columns, known[how], strict=True)) if how and known else None
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
