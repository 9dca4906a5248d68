"""What can be asked for: one dataclass a command, whose docstrings are the help."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

__all__ = [
    "Bench",
    "Command",
    "Compress",
    "Decode",
    "Decompress",
    "Denoise",
    "Detect",
    "Encode",
    "Export",
    "List",
    "Probe",
    "Reconstruct",
    "Report",
    "Sample",
    "Train",
]


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

    recipe: Positional[str | None] = None
    """Name of a recipe: see `jaxae list`."""
    data: Path | None = None
    """CSV, TSV, Parquet, NPY, NPZ or IDX file; or a folder of PNG and JPEG images, in one folder for each class where
    there are classes, or of MNIST's four files; without it the recipe's own data."""
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
    """Train every combination of these values, in one program, of latent, width and widths=64,32/128,64 in one each;
    or, with --points, values drawn from NAME=LOW..HIGH[:log]."""
    points: int | None = None
    """Draw so many points of the sweep at random, rather than every combination."""
    search: Literal["halving", "hyperband", "evolution"] | None = None
    """Train ever fewer of the members ever longer, or let the worst take over from the best, as validation says."""
    impute: Literal["mean", "median"] | None = None
    """Fill in missing values of the data by their column's mean or median."""
    init: Path | None = None
    """Trained folder whose encoder the training begins with."""
    resume: Path | None = None
    """Go on with the interrupted training that should have written this folder, as it was asked for; the same command
    again goes on, too."""
    anew: bool = False
    """Begin again where an interrupted training could go on."""
    accept: tuple[str, ...] = ()
    """Go on though this has changed since: data, program, patience, jax, jaxae."""
    cache: bool = True
    """Keep compiled programs in the user's cache folder, so that a second start is fast."""
    distributed: bool = False
    """Train with other processes, on the devices of all of them; the first writes the results. All are started with
    the same command, by a launcher that JAX knows (SLURM, Open MPI, Kubernetes, TPU pods), or with the three below."""
    coordinator: str | None = None
    """HOST:PORT of the first process."""
    processes: int | None = None
    """How many processes there are."""
    process: int | None = None
    """Number of this one, from 0."""


@dataclasses.dataclass(frozen=True)
class Encode:
    """Write the codes of rows, with a trained model."""

    folder: Positional[Path]
    """Trained folder."""
    out: Path
    """CSV, Parquet or NPY file to write; of images also a folder, for PNG files."""
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
    """Share of new normal rows that may raise an alarm; default: that of a detector's settings, else 0.01."""
    member: int | None = None
    """The best of a population, or none: alarms are calibrated for that one alone."""


@dataclasses.dataclass(frozen=True)
class Compress(Encode):
    """Write rows as quantised codes to an .npz file, and say how small it is and what is lost."""

    out: Path
    """NPZ file to write."""
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
    """CSV, Parquet or NPY file to write; of images also a folder, for PNG files."""
    member: int | None = None
    """Member of a population; default: the best by validation."""


@dataclasses.dataclass(frozen=True)
class Probe:
    """Show what a linear classifier makes of the codes of labelled rows, beside principal components and the rows."""

    folder: Positional[Path]
    """Trained folder."""
    data: Path
    """Rows, with the columns that the model was trained on and their label; or a folder of labelled images."""
    label: str | None = None
    """Column of the file with the label of each row; a folder of images, and MNIST's files, have their own."""
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
    """CSV, Parquet or NPY file to write; of images also a folder, for PNG files."""
    member: int | None = None
    """Member of a population; default: the best by validation."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """Write new rows that a trained generative model draws, in the columns and units of the data."""

    folder: Positional[Path]
    """Trained folder."""
    out: Path
    """CSV, Parquet or NPY file to write; of images also a folder, for PNG files."""
    rows: int = 1000
    """How many; of a conditional model, for each combination of conditions."""
    given: Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="NAME=V1,V2,... ...")] = ()
    """Conditions of a conditional model; several values give every combination."""
    seed: int = 0
    """Everything random follows from it."""
    member: int | None = None
    """Member of a population; default: the best by validation."""


@dataclasses.dataclass(frozen=True)
class Export:
    """Write a trained model to one file to pass on: what it is made of, its weights, and its functions as StableHLO.

    The functions take and give rows as the model sees them, scaled as config.json of a trained folder says.
    """

    source: Positional[Path]
    """Trained folder, or a file of a model."""
    out: Path
    """File to write; by convention it ends in .safetensors."""
    member: int | None = None
    """Member of a population; default: the best by validation."""


@dataclasses.dataclass(frozen=True)
class Report:
    """Write report.html of a trained folder anew."""

    folder: Positional[Path]
    """Trained folder."""


@dataclasses.dataclass(frozen=True)
class Bench:
    """Measure training steps per second of jaxae and of its rivals, as README shows them; needs the source tree."""

    systems: Positional[tuple[str, ...]] = ()
    """Systems of the table, A1 to E2; without any, all of them."""
    device: Literal["cpu", "gpu"] = "cpu"
    """What to train on."""
    repeats: int = 7
    """Times that every row has its turn."""
    seconds: float = 1.0
    """Of one measurement, about."""
    quick: bool = False
    """Two repeats of .2 s, to see that it works; no results are written."""
    out: Path | None = None
    """File of results; default: benchmarks/results/throughput.json, and README's table and plot with it."""


Command = (
    List
    | Train
    | Encode
    | Decode
    | Reconstruct
    | Denoise
    | Detect
    | Compress
    | Decompress
    | Probe
    | Sample
    | Export
    | Report
    | Bench
)
