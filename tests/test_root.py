"""The root of the package: its names, what importing it costs, and the examples in its docstrings."""

import ast
import doctest
import importlib.util
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import jaxae

OPTIONAL = {"jaxae.estimators.pyod": "pyod"}
"""Modules that are built on a package that need not be there."""
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(jaxae.__path__, "jaxae.")
    if not module.name.endswith("__main__")
    and (module.name not in OPTIONAL or importlib.util.find_spec(OPTIONAL[module.name]))
)


@pytest.mark.parametrize("name", jaxae.__all__)
def test_every_name_is_there(name):
    assert getattr(jaxae, name) is not None


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = jaxae.trian


def test_what_type_checkers_see_is_what_is_there():
    tree = ast.parse(Path(jaxae.__file__).read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = [alias.name for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(seen) == sorted(jaxae.__all__) == sorted(set(jaxae.__all__))


def test_a_verb_is_not_shadowed_by_a_module():
    code = (
        "import jaxae, importlib, pkgutil\n"
        "for module in pkgutil.iter_modules(jaxae.__path__): \n"
        "    if module.name != '__main__': importlib.import_module('jaxae.' + module.name)\n"
        "assert callable(jaxae.fit) and callable(jaxae.train) and callable(jaxae.score)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_costs_nothing_and_using_starts_no_backend():
    code = (
        "import sys, jaxae\n"
        "assert not {'jax', 'flax', 'numpy'} & set(sys.modules)\n"
        "for name in jaxae.__all__: getattr(jaxae, name)\n"
        "from jax._src import xla_bridge\n"
        "assert not xla_bridge.backends_are_initialized()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    examples = [test for test in finder.find(module, globs=dict(vars(module))) if test.examples]
    for example in examples:
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize(
    "name",
    [
        "noise",
        "distributions",
        "losses",
        "models",
        "learner",
        "training",
        "population",
        "detection",
        "latent",
        "metrics",
        "windows",
        "data",
    ],
)
def test_every_public_function_has_an_example(name):
    module = importlib.import_module(f"jaxae.{name}")
    for public in module.__all__:
        thing = getattr(module, public)
        if inspect.isfunction(thing) and public not in {"initialise", "check_run", "epoch"}:
            assert ">>>" in (thing.__doc__ or ""), f"{name}.{public}"
