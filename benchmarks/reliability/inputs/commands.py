"""Bad commands, as data: what is typed in a folder with some files, and what the one line that answers must hold."""

from pathlib import Path

import numpy as np

from jaxae import data

__all__ = ["of_a_trained_folder", "prepare", "refused_commands"]

Command = tuple[list[str], tuple[str, ...]]
"""(arguments, words of the message: the option or column, what was given, what is allowed)."""


def prepare(folder: Path) -> None:
    """Write the files that the commands name."""
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(60, 4))
    data.write(folder / "plant.csv", rows, ("a", "b", "c", "d"))
    data.write(folder / "constant.csv", np.ones((60, 2)), ("a", "b"))
    data.write(folder / "narrow.csv", rows[:, :1], ("a",))
    (folder / "mixed.csv").write_text("a,b\n" + "1,2\n" * 40 + "3,red\n")
    (folder / "holed.csv").write_text("a,b\n" + "1,2\n" * 40 + ",3\n")

    np.save(folder / "bright.npy", draw.uniform(0, 999, size=(60, 8, 8)))
    np.save(folder / "dark.npy", draw.normal(size=(60, 8, 8)))
    np.save(folder / "unlabelled.npy", draw.uniform(size=(60, 8, 8)))
    np.savez(folder / "labelled.npz", X=draw.uniform(size=(60, 8, 8)), y=np.arange(59))
    (folder / "thesis").mkdir()
    (folder / "thesis" / "thesis.tex").write_text("precious")


def refused_commands() -> list[Command]:
    """Return those that need no trained folder."""
    plain = ["train", "autoencoder", "--no-cache"]
    plant = [*plain, "--data", "plant.csv"]
    return [
        (["train", "autoencodr"], ("recipe", "'autoencodr'", "autoencoder")),
        (["train"], ("train", "recipe", "autoencoder, class-gan")),
        ([*plain, "--epochs", "0"], ("epochs", "0", "≥ 1")),
        ([*plain, "--epochs", "-1"], ("epochs", "-1", "≥ 1")),
        ([*plain, "--seed", "-1"], ("seed", "-1", "from 0")),
        ([*plain, "--seeds", "0"], ("seeds", "0", "≥ 1")),
        ([*plain, "--set", "batch_size=0"], ("batch_size", "0", "≥ 1")),
        ([*plain, "--set", "batch_size=2.5"], ("batch_size", "'2.5'", "whole number")),
        ([*plant, "--set", "batch_size=5000"], ("batch_size", "5000", "from 1 to 42")),
        ([*plain, "--set", "learning_rate=-1"], ("learning_rate", "-1", "> 0")),
        ([*plain, "--set", "learning_rate=fast"], ("learning_rate", "'fast'", "a number")),
        ([*plain, "--set", "widths=8,0"], ("widths", "0", "≥ 1")),
        ([*plain, "--set", "laten=2"], ("setting", "'laten'", "latent")),
        ([*plain, "--set", "latent"], ("--set", "'latent'", "name=value")),
        ([*plain, "--set", "latent=1", "latent=2"], ("--set", "latent twice", "once")),
        ([*plain, "--set", "epochs=3", "--epochs", "2"], ("epochs", "--epochs and by --set", "once")),
        ([*plant, "--set", "rows=50"], ("rows", "--data", "leave one of them out")),
        (["train", "gan", "--set", "dropout=1.5"], ("dropout", "1.5", "from 0 to 1")),
        (["train", "vae", "--set", "beta=-1"], ("beta", "-1", "≥ 0")),
        (["train", "denoising", "--set", "noise=pink"], ("noise", "'pink'", "gaussian")),
        (["train", "denoising", "--set", "scale=-0.5"], ("scale", "-0.5", "> 0")),
        (["train", "sparse", "--set", "rate=1.5"], ("rate", "1.5", "1")),
        ([*plain, "--sweep", "lr=1,2"], ("setting", "'lr'", "learning_rate")),
        ([*plain, "--sweep", "latent=1,0"], ("latent", "0", "≥ 1")),
        ([*plain, "--sweep", "learning_rate=1e-3,1e-3"], ("learning_rate", "two equal", "value")),
        ([*plain, "--sweep", "learning_rate=1e-2..1e-4", "--points", "4"], ("low", "0.01", "less than high")),
        ([*plain, "--sweep", "learning_rate=1e-4..1e-2"], ("drawn", "say how many", "--points 32")),
        ([*plain, "--points", "4"], ("points", "nothing is", "swept")),
        ([*plain, "--search", "halving"], ("search", "1", "at least two members")),
        ([*plain, "--search", "halving", "--seeds", "4", "--epochs", "1"], ("epochs", "1", "at least 3")),
        ([*plain, "--data", "nowhere.csv"], ("nowhere.csv", "does not exist")),
        ([*plain, "--data", "mixed.csv"], ("column 'b'", "'red'", "correct the value")),
        ([*plain, "--data", "holed.csv"], ("column 'a'", "row 41", "impute")),
        ([*plain, "--data", "constant.csv"], ("column", "constant", "rows that differ")),
        ([*plain, "--data", "narrow.csv"], ("column", "1 usable column (a)", "two")),
        ([*plain, "--data", "thesis"], ("thesis", "folder", "give a file")),
        ([*plant, "--out", "thesis"], ("thesis", "thesis.tex", "another --out")),
        ([*plant, "--out", "plant.csv"], ("plant.csv", "is a file", "another --out")),
        ([*plant, "--out", "."], ("out", "folder you are in", "another --out")),
        ([*plant, "--init", "thesis"], ("thesis", "no trained folder", "jaxae train")),
        (["train", "digits-vae", "--no-cache", "--data", "bright.npy"], ("pixels", "99", "0…255")),
        (["train", "digits-vae", "--no-cache", "--data", "dark.npy"], ("pixels", "-", "0…1")),
        (
            ["train", "class-vae", "--no-cache", "--data", "unlabelled.npy"],
            ("labels", "no labels", "one folder for each class"),
        ),
        (["train", "class-vae", "--no-cache", "--data", "labelled.npz"], ("'y'", "59 labels", "60 images")),
        (["train", "--resume", "nowhere"], ("nowhere", "no training", "whole command")),
        (["train", "--resume", "run", "--epochs", "3"], ("epochs", "--resume", "leave it out")),
        (["list", "serie"], ("recipe", "'serie'", "series")),
        (["encode", "thesis", "--out", "codes.csv"], ("thesis", "no trained folder", "jaxae train")),
        (["report", "thesis"], ("thesis", "no trained folder", "train again")),
    ]


def of_a_trained_folder() -> list[Command]:
    """Return those about a folder `run`, an autoencoder of plant.csv."""
    return [
        (["sample", "run", "--out", "s.csv"], ("sample", "autoencoder", "encode, decode")),
        (["encode", "run", "--out", "s.csv", "--member", "7"], ("member", "7", "single run")),
        (["encode", "run", "--out", "s.xls"], ("s.xls", "suffix", ".csv, .parquet, .npy")),
        (["encode", "run", "--out", "no/s.csv"], ("no", "does not exist", "make it first")),
        (["encode", "run", "--out", "run/s.csv"], ("run/s.csv", "trained folder", "elsewhere")),
        (["encode", "run", "--out", "plant.csv", "--data", "plant.csv"], ("--out", "plant.csv", "another one")),
        (["encode", "run", "--out", "s.csv", "--data", "narrow.csv"], ("narrow.csv", "'b', 'c', 'd'", "it has 'a'")),
        (["encode", "run", "--out", "s.csv", "--data", "mixed.csv"], ("mixed.csv", "'c', 'd'", "it has 'a', 'b'")),
        (["detect", "run", "--out", "s.csv", "--rate", "5"], ("rate", "5", "write 0.05")),
        (["compress", "run", "--out", "s.csv"], ("s.csv", "must end in .npz")),
        (["compress", "run", "--out", "s.npz", "--bits", "17"], ("bits", "17", "from 1 to 16")),
        (["probe", "run", "--data", "plant.csv"], ("plant.csv", "no labels", "--label")),
        (
            ["decode", "run", "--data", "plant.csv", "--out", "s.csv"],
            ("plant.csv", "'z0'", "it has 'a', 'b', 'c', 'd'"),
        ),
    ]
