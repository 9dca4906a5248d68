"""Files made by hand to do harm: each is refused by one exception, quickly, in little memory, and runs nothing."""

import ctypes
import gc
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxae as ja
from benchmarks.reliability.hostile_files import CONTENTS, FITS, MODELS, PLACES, Good, signed
from benchmarks.reliability.rows import row

SECONDS = 2.0
"""Of a processor: on a machine that is shared, the clock tells how busy the others are."""
HANG = 60
MEMORY = 64 * 2**20
"""Bytes beyond two times the file's."""
ALLOWED = 4 * 2**30
"""Bytes of address space beyond those in use at the start: what asks for more fails, rather than the machine."""
LONGEST = 300
EVERY = 4
"""One in how many files is tried in the short form."""
CODE = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pickle.find_class", "socket.connect")
"""What Python reports when something is run that no file of arrays should run."""


def good_model() -> Good:
    """Return the model that hostile ones are made of."""
    module = ja.models.AE(ja.networks.MLP((3,)), ja.networks.MLP((4,)))
    variables = module.init(jax.random.key(0), np.ones((1, 4), np.float32))
    layers = {"activate_final": False, "activation": {"relu": {}}, "dropout": 0.0, "norm": False}
    config = {
        "model": {
            "AE": {name: {"MLP": {**layers, "widths": [width]}} for name, width in (("encoder", 3), ("decoder", 4))}
        },
        "x": {"shape": [4], "dtype": "float32"},
        "cond": None,
    }
    named = {
        "/".join(["variables", *(key.key for key in path)]): np.asarray(leaf)
        for path, leaf in jax.tree.leaves_with_path(variables)
    }
    return Good(config, named, "jaxae.model")


def good_fit() -> Good:
    """Return the fit that hostile ones are made of."""
    weights = {f"{part}/params/w": np.ones(4, np.float32) for part in ("variables", "state/variables")}
    counts = ("epochs", "best_epoch", "diverged_epoch", "diverged_step", "dropped_epoch")
    status = {f"status/{name}": np.array(0, np.int32) for name in counts}
    history = {"history/loss": np.array([np.nan], np.float32)}
    config = {"record": {"epochs": 1}, "collections": ["params"]}
    return Good(config, {**weights, **history, "state/step": np.array(3, np.int32), **status}, "jaxae.fit")


def cases() -> Iterator[tuple[str, Callable[[Path], Any], Callable[[Path], None]]]:
    """Yield name, loader and what puts something into the place of the file."""
    loaders = {"model": ja.checkpoint.load_model, "fit": ja.checkpoint.load}
    for kind, good, own in (("model", good_model(), MODELS), ("fit", good_fit(), FITS)):
        for name, make in {**CONTENTS, **own}.items():

            def put(path: Path, make: Callable[[Good], bytes] = make, good: Good = good) -> None:
                path.write_bytes(make(good))

            yield f"{kind}: {name}", loaders[kind], put
        for name, place in PLACES.items():
            yield f"{kind}: {name}", loaders[kind], place


def highest() -> int:
    """Return the most bytes that this process has held since they were last counted anew."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def settle() -> int:
    """Give back what is not used, begin to count anew, and return the bytes held."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return highest()


class HungError(BaseException):
    """A file kept its reader waiting; no `except` for files is to catch it."""


def hung(*_: Any) -> None:
    """Give the file up."""
    raise HungError(f"nothing came of it in {HANG} s")


def measured(short: bool) -> dict[str, Any]:
    """Return the counts of all files, and what the worst of them took."""
    ran: list[str] = []
    loading = False

    def watch(event: str, _: Any) -> None:
        if loading and event.startswith(CODE):
            ran.append(event)

    found: Counter[str] = Counter(cases=0, refused=0)
    failures: list[str] = []
    worst = {"seconds": (0.0, ""), "bytes beyond twice the file": (0, "")}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for good, load in ((good_model(), ja.checkpoint.load_model), (good_fit(), ja.checkpoint.load)):
            Path("good").write_bytes(signed(good.config, good.arrays, good.form))
            load("good")  # or nothing below would say anything
        os.unlink("good")
        signal.signal(signal.SIGALRM, hung)
        sys.addaudithook(watch)
        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + ALLOWED, resource.RLIM_INFINITY))
        for number, (name, load, put) in enumerate([*cases()][:: EVERY if short else 1]):
            path = Path(folder, str(number))
            put(path)
            size = path.stat().st_size if path.is_file() else 0
            before, began = settle(), time.process_time()
            signal.alarm(HANG)
            loading, problem = True, "was loaded"
            try:
                load(path)
            except ja.checkpoint.RefusedError as error:
                problem = "" if len(str(error)) <= LONGEST and str(path) in str(error) else f"says {error}"
            except BaseException as error:
                problem = f"raised {type(error).__name__}: {str(error)[:200]}"
            loading = False
            signal.alarm(0)
            took, more = time.process_time() - began, highest() - before - 2 * size
            worst["seconds"] = max(worst["seconds"], (round(took, 2), name))
            worst["bytes beyond twice the file"] = max(worst["bytes beyond twice the file"], (more, name))
            if not problem and took > SECONDS:
                problem = f"took {took:.1f} s"
            if not problem and more > MEMORY:
                problem = f"took {more:,} bytes beyond twice its own"
            if not problem and (ran or Path("harm").exists()):
                problem = f"ran {', '.join(ran) or 'code'}"
            ran.clear()
            found["cases"] += 1
            found["refused"] += not problem
            failures += [f"{name} {problem}"] * bool(problem)
            if not path.is_dir() or path.is_symlink():
                path.unlink(missing_ok=True)
    goal = f"all refused by one exception, in ≤ {SECONDS:g} s of a processor and 2 × file + 64 MiB each, nothing run"
    return {**found, "failures": failures, "worst": worst, "goal": goal, "met": not failures and found["cases"] >= 60}


if __name__ == "__main__":
    row("hostile", measured)
