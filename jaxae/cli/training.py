"""Training from the command line: progress while it goes on, the figures at its end."""

import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from jaxae import recipes
from jaxae.cli.commands import Train
from jaxae.cli.words import settings

__all__ = ["resumed", "start", "train"]

SUFFIX = ".unfinished"
"""Of the folder beside the results in which a training is saved."""


def resumed(command: Train, parse: Callable[[list[str]], Train]) -> tuple[Train, list[str]]:
    """Return the command of an interrupted training and its arguments, and go to the folder that it was given in."""
    others = [
        field.name
        for field in dataclasses.fields(command)
        if field.name not in ("resume", "accept") and getattr(command, field.name) != field.default
    ]
    if others:
        raise ValueError(
            f"{', '.join(others)} was given with --resume, which goes on as it was asked for then: leave it out"
        )
    from jaxae.study.folder import asked

    folder = _unfinished(Path(str(command.resume).removesuffix(SUFFIX)))
    try:
        words, where = asked(folder)
        os.chdir(where)
        _, *arguments = shlex.split(words)
    except (OSError, ValueError, TypeError, KeyError):
        raise ValueError(
            f"there is no training to go on with for {command.resume}: no {folder} says what was asked for; give the "
            "whole command"
        ) from None
    parsed = parse(arguments)
    if _unfinished(_out(parsed)) != folder:
        raise ValueError(
            f"{folder} was moved: it was {_unfinished(_out(parsed))}; move it back, or give the whole command"
        )
    return dataclasses.replace(parsed, accept=command.accept, anew=False), arguments


def _out(command: Train) -> Path:
    return command.out or Path("runs") / str(command.recipe)


def _unfinished(out: Path) -> Path:
    return Path(os.path.abspath(out) + SUFFIX)


@contextmanager
def _going_on(folder: Path) -> Iterator[None]:
    """Say on the command line's terms why a training does not go on; leave nothing of one that saved nothing."""
    from jaxae.fitting import OtherFitError
    from jaxae.study.folder import forget

    def steps() -> list[Path]:
        return [*folder.glob("*/[0-9]*")]

    found = folder.exists()
    try:
        yield
    except OtherFitError as error:
        advice = "give the command that was interrupted, --anew to begin again, or another --out"
        if error.changed:
            advice += f"; or --accept {' '.join(error.changed)} to go on all the same"
        raise ValueError(f"{error.what}: {advice}") from None
    except KeyboardInterrupt:
        if steps():
            raise KeyboardInterrupt(f"interrupted; the same command goes on from what is saved in {folder}") from None
        raise
    finally:
        if not found and not steps():
            forget(folder)


def train(command: Train, arguments: list[str], stopped: list[int]) -> None:
    """Train a recipe and print its figures; an interrupt that came in between is in `stopped`."""
    if command.recipe is None:
        raise ValueError(f"train needs a recipe, or --resume FOLDER; the recipes are {', '.join(recipes.names())}")
    recipe = recipes.find(command.recipe)
    chosen, sweep = settings(recipe, command)
    many = command.seeds is not None or bool(sweep)
    start(command.cache, devices=(os.cpu_count() or 1) if many else 1)
    first = _joined(command)
    import jax

    from jaxae import study
    from jaxae.progress import Progress, printer

    show = printer()

    def progress(now: Progress) -> None:
        show(now)
        if stopped:  # an interrupt that fell into a callback of another library, which swallowed it
            raise KeyboardInterrupt

    device = jax.devices()[0]
    count = len(jax.devices()) if many or command.distributed else 1
    if first:
        print(f"training {command.recipe} on {count} × {device.device_kind}", file=sys.stderr)
    out = _out(command)
    unfinished = _unfinished(out)
    with _going_on(unfinished) if first else nullcontext():
        folder = study.train(
            command.recipe,
            recipe,
            chosen,
            out=out,
            path=command.data,
            impute=command.impute,
            seed=command.seed,
            seeds=command.seeds,
            sweep=sweep,
            points=command.points,
            search=command.search,
            init=None if command.init is None else study.load(command.init, recipes.find),
            unfinished=unfinished,
            anew=command.anew,
            accept=command.accept,
            progress=progress,
            distributed=command.distributed,
            command=shlex.join(["jaxae", *arguments]),
        )
    if first:
        _summary(folder)


def _joined(command: Train) -> bool:
    """Join the other processes of a training, where there are any, and return whether this one speaks for all."""
    where = {name: getattr(command, name) for name in ("coordinator", "processes", "process")}
    if not command.distributed:
        for name, value in where.items():
            if value is not None:
                raise ValueError(f"{name} is about training with other processes: add --distributed")
        return True
    if command.search is not None:
        raise ValueError("a search trains in one process: leave --distributed out, or --search")
    import jax

    from jaxae import hosts

    hosts.connect(**where)
    return jax.process_index() == 0


def _summary(folder: Path) -> None:
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


def start(cache: bool, devices: int) -> None:
    """Set JAX up before its first use: the folder of compiled programs, one host device per core."""
    import jax

    if jax.config.jax_num_cpu_devices < 0:  # type: ignore[attr-defined]  # JAX_NUM_CPU_DEVICES goes first
        jax.config.update("jax_num_cpu_devices", devices)
    if cache:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(Path(home) / "jaxae" / "programs"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
