"""Damaged files, of a model, of a fit and of its steps: refused with path and reason, or harmless, never wrong."""

import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import jaxae as ja
from benchmarks.reliability.rows import row
from benchmarks.reliability.runs import arrays, digest, system, trained

CASES = 5000
LONGEST = 300
PAGE = 4096


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Return the content with one of seven kinds of damage."""
    data, size = bytearray(content), max(len(content), 1)
    first = draw.randrange(size)
    kind = draw.randrange(7)
    if kind == 0:  # bits flipped
        for _ in range(draw.choice([1, 1, 3])):
            place = draw.randrange(size)
            data[place : place + 1] = bytes([(data[place] if data else 0) ^ 1 << draw.randrange(8)])
    elif kind == 1:  # random bytes
        last = min(first + draw.randrange(1, 64), size)
        data[first:last] = draw.randbytes(last - first)
    elif kind == 2:  # a page of zeros
        first -= first % PAGE
        data[first : first + PAGE] = bytes(len(data[first : first + PAGE]))
    elif kind == 3:  # cut off
        del data[first:]
    elif kind == 4:  # a part gone
        del data[first : first + draw.randrange(1, 64)]
    elif kind == 5:  # something appended
        data += draw.randbytes(draw.randrange(1, 64))
    else:  # two parts swapped
        other, width = draw.randrange(size), draw.randrange(1, 64)
        first, other = sorted((first, other))
        a, b = bytes(data[first : first + width]), bytes(data[other : other + width])
        data[first : first + width], data[other : other + width] = b, a
    return bytes(data)


def counted(cases: int, path: Path, files: list[Path], read: Callable[[], str], draw: random.Random) -> dict[str, int]:
    """Return what became of so many damages, each of one of the files, which are as they were after it."""
    expected = read()
    found = dict.fromkeys(("cases", "refused", "harmless", "silently wrong", "crashes", "bad messages"), 0)
    while found["cases"] < cases:
        file = draw.choice(files)
        before = file.read_bytes()
        after = damaged(before, draw)
        if after == before:
            continue
        found["cases"] += 1
        file.write_bytes(after)
        try:
            got = read()
        except (ja.checkpoint.RefusedError, ja.checkpoint.DamagedError) as error:
            found["refused"] += 1
            found["bad messages"] += len(str(error)) > LONGEST or str(path) not in str(error)
        except Exception:
            found["crashes"] += 1
        else:
            found["harmless" if got == expected else "silently wrong"] += 1
        file.write_bytes(before)
    return found


def measured(short: bool) -> dict[str, Any]:
    """Return the counts of all three formats."""
    draw, cases = random.Random(0), 60 if short else CASES
    given = system("vae")
    with tempfile.TemporaryDirectory() as place:
        fitted = trained("vae", 0, epochs=2, checkpoint=f"{place}/steps", progress=False)
        path = ja.checkpoint.save(fitted, f"{place}/fit.safetensors")
        passed = ja.checkpoint.save_model(given.model(), fitted.variables, given.data(), f"{place}/model.safetensors")

        def fit_file() -> str:
            return digest(ja.checkpoint.load(path)._asdict() | {"record": np.zeros(0)})

        def model_file() -> str:
            loaded = ja.checkpoint.load_model(passed)
            return digest(loaded.variables) + repr((loaded.module, loaded.example))

        step = Path(place, "steps", "2")

        def a_step() -> str:
            return digest(arrays(step.parent, 2))

        found = {
            "model file": counted(cases, passed, [passed], model_file, draw),
            "fit file": counted(cases, path, [path], fit_file, draw),
        }
        files = sorted(each for each in step.rglob("*") if each.is_file())
        found["step"] = counted(cases, step, files, a_step, draw)
        shutil.rmtree(step.parent)
    bad = sum(each[name] for each in found.values() for name in ("silently wrong", "crashes", "bad messages"))
    return {**found, "goal": "0 silently wrong, 0 crashes, messages ≤ 300 with the path", "met": bad == 0}


if __name__ == "__main__":
    row("files", measured)
