"""A trained folder becomes one file that needs nothing else."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxae import checkpoint, cli, networks, recipes, study
from jaxae.types import Batch


def run(*words) -> None:
    assert cli.main([str(word) for word in words]) == 0


def refused(capsys, *words) -> str:
    """Return the one sentence that a refused command prints."""
    capsys.readouterr()
    assert cli.main([str(word) for word in words]) == 1
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A population of autoencoders, and a conditional model."""
    root = tmp_path_factory.mktemp("exporting")
    rng = np.random.default_rng(0)
    few = ("--epochs", "2", "--no-cache", "--set", "rows=200", "batch_size=20")
    run("train", "vae", *few, "--seeds", "2", "--out", root / "vae")
    rows = rng.normal(size=(200, 2)).round(3)
    lines = [f"{a},{b},{a + b},{300 + 10 * i % 70}" for i, (a, b) in enumerate(rows)]
    (root / "rows.csv").write_text("\n".join(["a,b,c,temperature", *lines]) + "\n")
    given = ("--data", root / "rows.csv", "--set", "condition=temperature", "batch_size=20")
    run("train", "conditional-vae", "--epochs", "2", "--no-cache", *given, "--out", root / "cvae")
    return root


def told(capsys) -> str:
    """Return the root that the command printed."""
    return capsys.readouterr().out.splitlines()[-1].removeprefix("root: ")


@pytest.mark.parametrize("member", [None, 0, 1])
def test_a_member_is_exported_as_it_is(member, folder, tmp_path, capsys):
    out = tmp_path / "vae.safetensors"
    run("export", folder / "vae", "--out", out, *([] if member is None else ["--member", member]))
    root = told(capsys)
    own = study.load(folder / "vae", recipes.find, member).study
    loaded = checkpoint.load_model(out, root=root)
    assert loaded.module == own.model or str(loaded.module) == str(own.model)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, own.variables)
    functions = checkpoint.load_functions(out, root)
    assert functions.keys() == {"encode", "decode", "score", "sample"}
    x = np.random.default_rng(0).normal(size=(7, loaded.example.x.shape[1])).astype(np.float32)
    np.testing.assert_allclose(functions["encode"](x)[0], own.bound.encode(x).mean, rtol=1e-5, atol=1e-6)
    score = recipes.find("vae").score(own.model, own.settings)
    expected = score(own.variables, type(loaded.example)(x))
    np.testing.assert_allclose(functions["score"](x), expected, rtol=1e-5)


def test_conditions_come_with_it(folder, tmp_path, capsys):
    run("export", folder / "cvae", "--out", tmp_path / "cvae")
    functions = checkpoint.load_functions(tmp_path / "cvae", told(capsys))
    cond = np.ones((4, checkpoint.load_model(tmp_path / "cvae").example.cond.shape[1]), np.float32)
    mean, logvar = functions["sample"](jax.random.key(0), 4, cond)
    assert mean.shape == logvar.shape == (4, 3)


def test_a_file_of_a_model_gets_its_functions(folder, tmp_path, capsys):
    own = study.load(folder / "vae", recipes.find).study
    path = checkpoint.save_model(own.model, own.variables, Batch(own.train), tmp_path / "bare")
    run("export", path, "--out", tmp_path / "full")
    names, root = capsys.readouterr().out.splitlines()[-2:]
    assert names == f"decode, encode, sample: {tmp_path / 'full'}"
    assert root == f"root: {checkpoint.load_model(tmp_path / 'full').root}"
    functions = checkpoint.load_functions(tmp_path / "full", root.removeprefix("root: "))
    assert sorted(functions) == ["decode", "encode", "sample"]
    assert "leave it out" in refused(capsys, "export", path, "--out", tmp_path / "more", "--member", "1")


def test_a_model_that_has_no_functions_is_passed_on_as_it_is(tmp_path, capsys):
    layers, x = networks.MLP((3,)), np.ones((2, 4), np.float32)
    checkpoint.save_model(layers, layers.init(jax.random.key(0), x), Batch(x), tmp_path / "layers")
    said = refused(capsys, "export", tmp_path / "layers", "--out", tmp_path / "out")
    assert "holds no functions" in said and f"pass on {tmp_path / 'layers'} as it is" in said


def test_nothing_is_lost_by_it(folder, tmp_path, capsys):
    for out in (folder / "vae", folder / "vae" / "model.safetensors", folder / "vae" / "new"):
        assert "write it elsewhere" in refused(capsys, "export", folder / "vae", "--out", out)
    assert "there is no file" in refused(capsys, "export", tmp_path / "none", "--out", tmp_path / "a")
    assert "cannot write" in refused(capsys, "export", folder / "vae", "--out", tmp_path / "no" / "a")


def test_its_help_does_not_import_jax():
    code = (
        "import sys\nfrom jaxae import cli\n"
        "try: cli.main(['export', '--help'])\nexcept SystemExit: pass\n"
        "assert not {'jax', 'flax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
