"""Run the tables of inputs and the generated calls, and count what became of each."""

import contextlib
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from benchmarks.reliability.inputs.accepted import accepted
from benchmarks.reliability.inputs.calls import Call, answer, public
from benchmarks.reliability.inputs.commands import of_a_trained_folder, prepare, refused_commands
from benchmarks.reliability.inputs.generated import generated
from benchmarks.reliability.inputs.host import host
from benchmarks.reliability.inputs.pure import pure
from benchmarks.reliability.inputs.refused_host import refused_host
from benchmarks.reliability.inputs.refused_pure import refused_pure
from benchmarks.reliability.rows import row

EACH = 120
GENERATED = 10_000
FEW = 5
"""Of so many inputs one, in the short form."""
TRAINING = ("begin", "advance", "on_device", "train", "member")
"""What programs that train are called; a command compiles others, such as those that draw the data, before."""

MOVING = ("jit(stage)",)
"""What JAX calls the move of a NumPy array to a device, which computes nothing."""

compiled: list[str] = []


def _note(event: str, seconds: float, fun_name: str = "", **_: Any) -> None:
    if event == "/jax/core/compile/backend_compile_duration" and fun_name not in MOVING:
        compiled.append(fun_name)


def files(folder: Path) -> dict[str, int]:
    """Return everything in a folder, with its size."""
    return {str(path): path.stat().st_size for path in sorted(folder.rglob("*"))}


def judged(said: str, words: tuple[str, ...], before: dict[str, int], folder: Path, counts: dict[str, int]) -> str:
    """Count a refusal, and return what is wrong with it."""
    missing = [word for word in words if word not in said]
    written = files(folder).keys() ^ before.keys()
    counts["compiled"] += len(compiled)
    counts["written"] += len(written)
    counts["words missing"] += bool(missing)
    counts["refused"] += not missing and not compiled and not written
    faults = [f"lacks {missing}"] * bool(missing) + [f"compiled {compiled}"] * bool(compiled)
    return "; ".join([*faults, *[f"wrote {sorted(written)}"] * bool(written)])


def refusals(known: dict[str, Call], folder: Path, short: bool, faults: list[str]) -> dict[str, int]:
    """Return the counts of bad inputs to functions."""
    counts = dict.fromkeys(("inputs", "refused", "taken", "compiled", "written", "words missing", "other errors"), 0)
    for name, changed, words in [*refused_pure(), *refused_host(folder)][:: FEW if short else 1]:
        counts["inputs"] += 1
        before = files(folder)
        if not short:
            # What was compiled for an earlier call would not be compiled again.
            jax.clear_caches()
        compiled.clear()
        said = ""
        try:
            answer(known[name], changed)
        except (TypeError, ValueError, FileNotFoundError) as error:
            said = str(error)
            fault = judged(said, words, before, folder, counts)
        except Exception as error:
            counts["other errors"] += 1
            fault = f"{type(error).__name__}: {error}"
        else:
            counts["taken"] += 1
            fault = "was taken"
        if fault:
            faults.append(f"{name}({', '.join(changed)}): {fault}: {said[:200]}")
    return counts


def commands(folder: Path, short: bool, faults: list[str]) -> dict[str, int]:
    """Return the counts of bad commands."""
    from jaxae import cli

    counts = dict.fromkeys(("inputs", "refused", "taken", "compiled", "written", "words missing", "other errors"), 0)
    prepare(folder)
    given = refused_commands()
    with contextlib.chdir(folder):
        if not short:
            command = ["train", "autoencoder", "--data", "plant.csv", "--epochs", "1", "--out", "run", "--no-cache"]
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                assert cli.main(command) == 0
            given = [*given, *of_a_trained_folder()]
        for arguments, words in given[:: FEW if short else 1]:
            counts["inputs"] += 1
            before = files(folder)
            compiled.clear()
            err = io.StringIO()
            try:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
                    status = cli.main(arguments)
            except BaseException as error:
                counts["other errors"] += 1
                faults.append(f"jaxae {' '.join(arguments)}: {type(error).__name__}: {error}")
                continue
            # A recipe's own data, and the split of rows, are drawn before batch sizes can be judged.
            compiled[:] = [name for name in compiled if any(part in name for part in TRAINING)]
            lines = [line for line in err.getvalue().splitlines() if line.startswith("jaxae: ")]
            if status == 1 and len(lines) == 1:
                fault = judged(lines[0], words, before, folder, counts)
            else:
                counts["taken"] += 1
                fault = f"gave {status}: {err.getvalue()[-200:]}"
            if fault:
                faults.append(f"jaxae {' '.join(arguments)}: {fault}: {lines}")
    return counts


def acceptances(known: dict[str, Call], folder: Path, short: bool, faults: list[str]) -> dict[str, int]:
    """Return the counts of odd inputs."""
    known = known | pure(compute=True)
    counts = dict.fromkeys(("inputs", "accepted", "refused"), 0)
    for name, changed in accepted(folder)[:: 4 * FEW if short else 1]:
        counts["inputs"] += 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                jax.block_until_ready(answer(known[name], changed))
        except Exception as error:
            counts["refused"] += 1
            faults.append(f"{name}({', '.join(changed)}) was refused: {type(error).__name__}: {str(error)[:200]}")
        else:
            counts["accepted"] += 1
    return counts


@contextlib.contextmanager
def placed() -> Iterator[tuple[dict[str, Call], Path]]:
    """Give the calls, and the folder that they read and write in."""
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_CACHE_HOME"] = f"{place}/cache"
        folder = Path(place, "calls")
        folder.mkdir()
        yield {**pure(), **host(folder)}, folder


def measured(short: bool) -> dict[str, Any]:
    """Return the counts of all inputs."""
    jax.config.update("jax_num_cpu_devices", 1)
    jax.monitoring.register_event_duration_secs_listener(_note)
    faults: list[str] = []
    # Words that stand for paths name files there, and not where this is called.
    with placed() as (known, folder), contextlib.chdir(folder):
        bad = refusals(known, folder, short, faults)
        typed = folder.with_name("commands")
        typed.mkdir()
        odd = acceptances(known, folder, short, faults)
        drawn = generated(known, 200 if short else GENERATED, faults)
        shell = commands(typed, short, faults)
    uncalled = sorted(public() - known.keys())
    for fault in [*faults, *[f"{name} has no call" for name in uncalled]]:
        print(fault, file=sys.stderr)
    enough = short or (bad["inputs"] + shell["inputs"] >= EACH and odd["inputs"] >= EACH)
    met = not faults and not uncalled and enough
    goal = f"≥ {EACH} refused before compiling, ≥ {EACH} accepted, {GENERATED:,} generated; no fault"
    parts = {"functions": bad, "commands": shell, "odd": odd, "generated": drawn, "without a call": len(uncalled)}
    return {**parts, "goal": goal, "met": met}


if __name__ == "__main__":
    row("inputs", measured)
