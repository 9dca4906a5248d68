"""Artefacts written with one Python and JAX and read with others: a model, a fit, exported functions; same outputs.

    python -m benchmarks.reliability.across write DIR    where the one version is installed
    python -m benchmarks.reliability.across read DIR     where another one is: prints a line of JSON, and exits with 1
                                                         where an output differs

Without either, both are done with the version at hand, each in a process of its own; and where JAXAE_OTHER_PYTHON names
another Python with jaxae installed, each of the two also reads what the other wrote.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxae as ja
from benchmarks.reliability.rows import row
from benchmarks.reliability.runs import FAMILIES, system, trained

APART = 1e-6
"""Of an output's largest entry."""
SHORT = ("vae",)


def versions() -> dict[str, str]:
    """Return what an artefact was written, or is read, with."""
    import flax

    return {
        "python": platform.python_version(),
        "jax": jax.__version__,
        "flax": flax.__version__,
        "numpy": np.__version__,
    }


def outputs(model: Any, variables: Any, x: Any, cond: Any) -> dict[str, Any]:
    """Return what a model makes of some rows."""
    made = jax.jit(lambda variables: model.bind(variables)(x, cond))(variables)
    return {f"call/{i}": leaf for i, leaf in enumerate(jax.tree.leaves(made))}


def of_functions(functions: Any, x: Any, cond: Any) -> dict[str, Any]:
    """Return what exported functions make of the same rows."""
    given = [x] if cond is None else [x, cond]
    found = {}
    for name, function in functions.items():
        if name in ("encode", "score"):
            found[name] = function(*given)
        elif name == "sample":
            found[name] = function(jax.random.key(5), len(x), cond)
        else:
            code = functions["encode"](*given)
            found[name] = function(code[0] if isinstance(code, tuple | list) else code, *given[1:])
    return {f"{name}/{i}": leaf for name, made in found.items() for i, leaf in enumerate(jax.tree.leaves(made))}


def write(folder: Path, families: Any) -> None:
    """Write artefacts of these families into a folder, with what they give."""
    for family in families:
        given, place = system(family), folder / family.replace(" ", "-")
        place.mkdir(parents=True)
        model, data = given.model(), given.data()
        fitted = trained(family, 0, epochs=1, progress=False)
        x, cond = (None if leaf is None else np.asarray(leaf[:7]) for leaf in data)
        loss = ja.score(model, ja.losses.reconstruction) if family == "autoencoder" else None
        ja.checkpoint.save(fitted, place / "fit.safetensors")
        ja.checkpoint.export(model, fitted.variables, data, place / "model.safetensors", score=loss)
        root = ja.checkpoint.load_model(place / "model.safetensors").root
        functions = ja.checkpoint.load_functions(place / "model.safetensors", root)
        found = outputs(model, fitted.variables, x, cond) | of_functions(functions, x, cond)
        rows = {"x": x} if cond is None else {"x": x, "cond": cond}
        np.savez(place / "rows.npz", **rows)
        np.savez(place / "outputs.npz", **{name.replace("/", "-"): np.asarray(leaf) for name, leaf in found.items()})
        (place / "root.txt").write_text(root)
    (folder / "versions.json").write_text(json.dumps(versions()))


def read(folder: Path) -> dict[str, Any]:
    """Return how far the artefacts of a folder give something else here."""
    found: dict[str, Any] = {"families": 0, "outputs": 0, "other": [], "farthest": 0.0}
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        rows = np.load(place / "rows.npz", allow_pickle=False)
        x, cond = rows["x"], rows.get("cond")
        root = (place / "root.txt").read_text()
        model = ja.checkpoint.load_model(place / "model.safetensors", root=root)
        functions = ja.checkpoint.load_functions(place / "model.safetensors", root)
        fitted = ja.checkpoint.load(place / "fit.safetensors")
        expected = np.load(place / "outputs.npz", allow_pickle=False)
        made = {
            "model": outputs(model.module, model.variables, x, cond),
            "fit": outputs(model.module, fitted.variables, x, cond),
            "functions": of_functions(functions, x, cond),
        }
        found["families"] += 1
        for kind, own in made.items():
            for name, leaf in own.items():
                other = expected[name.replace("/", "-")]
                apart = float(np.abs(np.asarray(leaf) - other).max() / max(np.abs(other).max(), 1e-30))
                found["outputs"] += 1
                found["farthest"] = max(found["farthest"], apart)
                if leaf.shape != other.shape or not apart <= APART:
                    found["other"].append(f"{place.name}, {kind}: {name}")
    found["written with"] = json.loads((folder / "versions.json").read_text())
    found["read with"] = versions()
    return {**found, "goal": f"same outputs to {APART:g}", "met": bool(found["outputs"]) and not found["other"]}


def measured(short: bool) -> dict[str, Any]:
    """Return what is read with this version of what was written with it, and with the other one each way."""
    root, here, other = Path(__file__).parents[2], sys.executable, os.environ.get("JAXAE_OTHER_PYTHON")

    def run(python: str, what: str, place: str) -> str:
        command = [python, "-m", "benchmarks.reliability.across", what, place, *["--short"] * short]
        ran = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=what == "write")
        return ran.stdout

    found = []
    with tempfile.TemporaryDirectory() as place:
        for writer in [here, *([other] if other else [])]:
            folder = str(Path(place, str(len(found))))
            run(writer, "write", folder)
            found += [json.loads(run(reader, "read", folder)) for reader in [here, *([other] if other else [])]]

    def said(versions: Mapping[str, str]) -> str:
        return f"Python {versions['python']} with jax {versions['jax']}"

    return {
        "ways": [f"{said(each['written with'])} to {said(each['read with'])}" for each in found],
        "families": found[0]["families"],
        "outputs": sum(each["outputs"] for each in found),
        "other": [name for each in found for name in each["other"]],
        "farthest": max(each["farthest"] for each in found),
        "goal": found[0]["goal"],
        "met": all(each["met"] for each in found),
    }


def main() -> None:
    """Do what the arguments say."""
    match sys.argv[1:]:
        case ["write", place, *short]:
            write(Path(place), SHORT if short else FAMILIES)
        case ["read", place, *_]:
            found = read(Path(place))
            print(json.dumps(found))
            sys.exit(0 if found["met"] else 1)
        case _:
            row("across", measured)


if __name__ == "__main__":
    main()
