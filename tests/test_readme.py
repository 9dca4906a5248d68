"""README's claims: its Python runs from top to bottom, its table is the committed results."""

import importlib
import json
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_python_runs_as_it_stands(tmp_path, monkeypatch, optimised):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) >= 5
    exec(compile("\n".join(blocks), "README.md", "exec"), {})
    assert sorted(os.listdir()) == [
        "ae.safetensors",
        "coder.safetensors",
        "denoiser",
        "denoiser.jsonl",
        "denoiser.safetensors",
        "digits",
    ]


@pytest.mark.parametrize("name", ["recipes", "convolutions", "throughput", "reliability.table"])
def test_the_table_is_made_from_the_committed_results(name):
    benchmark = pytest.importorskip(f"benchmarks.{name}", reason="the benchmarks are not part of an installation")
    results = json.loads(benchmark.RESULTS.read_text())
    assert benchmark.table(results) in README


@pytest.mark.parametrize("name", ["detection", "plant", "series", "speed"])
def test_tables_of_detection_are_made_from_the_committed_results(name):
    results = pytest.importorskip("benchmarks.detection.results", reason="not part of an installation")
    benchmark = importlib.import_module(f"benchmarks.detection.{'__main__' if name == 'detection' else name}")
    assert benchmark.table(json.loads(results.RESULTS.read_text())[name]) in README


def test_recipes_are_all_there():
    from jaxae import recipes

    for name in recipes.names():
        assert f"| `{name}` |" in README
