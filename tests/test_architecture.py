"""The house stands: imports only go down, and what must not be imported or called is not."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import jaxae

ROOT = Path(jaxae.__file__).parent
FLOORS = [
    {"types", "checks"},
    {"keys", "layout", "threefry"},
    {"hosts", "distributions", "hyperparameters", "noise"},
    {"losses", "adversarial", "convolution"},
    {"networks"},
    {"models", "learner"},
    {"training"},
    {"population"},
    {"detection", "ensembles", "result", "progress"},
    {"checkpoint"},
    {"fitting"},
    {"search"},
    {"estimators", "report"},
    {"study"},
    {"recipes"},
    {"cli"},
    {"__main__"},
]
"""From the ground up; a folder is one unit, and within it files may import each other."""
ASIDE = {"metrics", "statistics", "windows", "latent", "data"}
"""Arrays or files in, arrays out: they import only the ground floor, and whoever drives runs may import them."""
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def unit(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports, wherever in it; what is imported for annotations alone counts too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def units_imported(path: Path) -> set[str]:
    names = (name.split(".") for name in imported(path))
    found = {name[1] for name in names if name[0] == "jaxae" and len(name) > 1}
    return {name for name in found if name in FLOOR or name in ASIDE}


def test_every_file_has_its_floor():
    assert {unit(path) for path in files()} == set(FLOOR) | ASIDE | {"__init__"}


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_go_down(path):
    own = unit(path)
    if own == "__init__":
        return
    for other in units_imported(path) - {own}:
        if own in ASIDE:
            assert FLOOR.get(other) == 0, f"{own} stands aside and may not import {other}"
        elif other in ASIDE:
            assert FLOOR[own] >= FLOOR["fitting"], f"{own} may not import {other}, which stands aside"
        else:
            assert FLOOR[other] < FLOOR[own], f"{own} may not import {other}"


def test_within_the_ground_floor_checks_import_nothing():
    assert not units_imported(ROOT / "checks.py") and not units_imported(ROOT / "types.py")


@pytest.mark.parametrize(
    ("owner", "barred"),
    [
        ("losses", {"flax"}),
        ("adversarial", {"flax"}),
        ("distributions", {"flax"}),
        ("noise", {"flax"}),
        ("learner", {"jaxae.losses", "jaxae.models", "jaxae.adversarial", "jaxae.networks"}),
        ("report", {"jax", "flax", "jaxae.types"}),
        ("metrics", {"jax", "flax"}),
    ],
)
def test_what_a_file_never_imports(owner, barred):
    for path in files():
        if unit(path) == owner:
            for name in imported(path):
                assert not any(name == other or name.startswith(other + ".") for other in barred), f"{path}: {name}"


@pytest.mark.parametrize("name", ["report", "data", "metrics", "windows", "cli"])
def test_it_is_imported_without_jax(name):
    code = f"import sys, jaxae.{name}; assert not {{'jax', 'flax', 'matplotlib', 'polars'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


RUNS = {"pickle", "_pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal", "torch", "runpy", "code", "codeop"}
"""Modules that run what they read; of torch nothing is needed, and its `load` is one of them."""
CALLS = {"eval", "exec", "compile", "__import__"}
PICKLES = {"read_pickle", "to_pickle", "set_allow_pickle"}


def code_runners(source: str) -> Iterator[str]:
    """Yield what in a source runs, or may run, what it reads from a file."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name.split(".")[0] in RUNS)
            case ast.ImportFrom(module=module) if (module or "").split(".")[0] in RUNS:
                yield str(module)
            case ast.keyword(arg="allow_pickle", value=value):
                if not (isinstance(value, ast.Constant) and value.value is False):
                    yield "allow_pickle"
            case ast.Call(func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"), args=[name, *_]):
                # By a name that was put together from elsewhere; one of this package is none.
                if not (isinstance(name, ast.JoinedStr) and str(name.values[0].value).startswith("jaxae.")):
                    yield "import_module"
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                yield name
            case ast.Call(func=ast.Attribute(attr="load", value=ast.Name(id="np" | "numpy")), keywords=keywords):
                if not any(keyword.arg == "allow_pickle" for keyword in keywords):
                    yield "np.load without allow_pickle=False"
            case ast.Attribute(attr="eval", value=ast.Name(id="thresholder")):
                pass  # what pythresh calls its method, which is given scores
            case ast.Attribute(attr=name) if name in PICKLES or name in CALLS & {"eval", "exec", "__import__"}:
                yield name


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_runs_code_is_loaded(path):
    assert not list(code_runners(path.read_text()))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, joblib.memory",
        "from shelve import open",
        "def f():\n    import marshal",
        "from torch import load",
        "import torch\ntorch.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=trusted)",
        "numpy.load(path)",
        "eval('1')",
        "exec(source)",
        "builtins.exec(source)",
        "frame.eval(source)",
        "compile(source, 'file', 'exec')",
        "__import__('os')",
        "importlib.import_module(config['class'])",
        "polars.read_pickle(path)",
    ],
)
def test_what_runs_code_is_found(source):
    assert list(code_runners(source))


def test_no_host_random_numbers():
    for path in files():
        assert "random" not in set(imported(path)), path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr == "random":
                assert not (isinstance(node.value, ast.Name) and node.value.id in {"np", "numpy"}), path


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_jax_numpy_runs_at_import(path):
    """A call of jnp or jax.random at module level would start a backend when jaxae is imported."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr):
            for call in (inner for inner in ast.walk(node) if isinstance(inner, ast.Call)):
                text = ast.unparse(call.func)
                assert not text.startswith(("jnp.", "jax.random.", "jax.device")), f"{path}: {text}"
