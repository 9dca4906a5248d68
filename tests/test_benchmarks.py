"""The benchmark of throughput measures what it says: the same training in every form, and counts it right."""

import json
import math
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxae as ja
from jaxae import cli
from jaxae.cli import benching

compiled = pytest.importorskip("benchmarks.compiled", reason="the benchmarks are not part of an installation")
systems = pytest.importorskip("benchmarks.systems")
throughput = pytest.importorskip("benchmarks.throughput")
measure = pytest.importorskip("benchmarks.measure")


def test_the_operations_of_a_step_are_those_of_its_products():
    # Forward, and backward to kernels and inputs, but not to the rows themselves.
    widths = [(10, 64), (64, 32), (32, 2), (2, 32), (32, 64), (64, 10)]
    products = 3 * sum(a * b for a, b in widths) - 10 * 64
    assert compiled.matmul_flops("A1") == 2 * 1000 * products


def test_every_system_but_those_of_images_has_a_rival():
    eager = pytest.importorskip("benchmarks.eager", reason="needs torch")
    images = pytest.importorskip("benchmarks.eager_images")
    for name, system in systems.SYSTEMS.items():
        assert (system.eager or name) in (eager.SYSTEMS if isinstance(system.columns, int) else images.SYSTEMS)


@pytest.mark.parametrize("form", ["op by op", "jit", "scan"])
def test_every_form_trains(form):
    system = systems.SYSTEMS["A1"]._replace(rows=60, batch_size=30)
    runner = compiled.FORMS[form](system)
    score = ja.score(runner.model, ja.losses.reconstruction)
    before = score(runner.state.variables, runner.data).mean()
    assert runner.rate(40) > 0
    assert score(runner.state.variables, runner.data).mean() < 0.98 * before


@pytest.mark.parametrize(("members", "chunk"), [(None, None), (4, None), (4, 2)])
def test_a_fit_counts_the_steps_of_every_member(members, chunk, monkeypatch):
    system = systems.SYSTEMS["A1"]._replace(rows=60, batch_size=30)
    runner = compiled.Fit(system, members, chunk)
    record = {}

    def fit(*args, fitted=ja.fit, **kwargs):
        result = fitted(*args, **kwargs)
        record.update(result.record)
        return result

    monkeypatch.setattr(ja, "fit", fit)
    rate = runner.rate(10)
    np.testing.assert_allclose(rate * record["run_seconds"], 10 * (members or 1))


def test_bytes_of_a_state_are_three_of_each_parameter_and_a_count():
    parameters = sum(a * b + b for a, b in [(10, 64), (64, 32), (32, 2), (2, 32), (32, 64), (64, 10)])
    assert systems.SYSTEMS["A1"].state_bytes == 4 * 3 * parameters + 4


def test_a_row_answers_in_a_process_of_its_own():
    row = measure.Row("A1", "jaxae", "scan", seconds=0.05)
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.measure", json.dumps(row._asdict())],
        input="rate\nmemory\n",
        text=True,
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[1],
        env={"JAX_PLATFORMS": "cpu", "PATH": ""},
    )
    first_seconds, rate, memory = map(json.loads, ended.stdout.splitlines())
    assert first_seconds > 0 and rate > 0 and 50 < memory < 10_000


def test_populations_follow_where_a_step_of_them_is_short_and_memory_suffices():
    rows = throughput.rows_of("A3", "cpu", 2, False, 800.0)
    assert [(row.members, row.chunk) for row in rows] == [*((n, None) for n in throughput.MEMBERS), (1024, 64)]
    slow = throughput.rows_of("A6 at 224 px", "cpu", 2, False, 2.5)
    assert [row.members for row in slow] == [1]
    torch = {row.name for row in throughput.rows_of("A8", "cpu", 2, True, 400.0) if row.side == "torch"}
    assert torch == {"torch, eager, 1 thread, 2 processes", "torch, compile, 1 thread, 2 processes"}


def test_rows_of_a_gpu_are_there_at_both_precisions_and_have_cuda_graphs():
    rows = throughput.rows_of("A3", "gpu", 16, True, None) + throughput.rows_of("A3", "gpu", 16, True, math.inf)
    names = [row.name for row in rows]
    assert len(set(names)) == len(names)
    for precision in ("float32", "tensorfloat32"):
        for members in ("", "64 members, "):
            assert {f"jaxae, fit, {members}{precision}", f"torch, reduce-overhead, {members}{precision}"} <= set(names)
    assert {(row.processes, row.threads) for row in rows} == {(1, 1)}


def test_a_row_of_pytorch_that_fails_is_left_out_and_one_of_jaxae_is_an_error(tmp_path, capsys):
    left_out: dict[str, str] = {}
    started: list[object] = []
    rows = [measure.Row("no system", side, "fit") for side in ("torch", "jaxae")]
    waiting = [throughput._Started(row, str(tmp_path)) for row in rows]
    try:
        with pytest.raises(RuntimeError, match="fit of no system stopped"):
            throughput._wait(waiting, started, left_out)
    finally:
        for each in waiting:
            each.stop()
    assert not started and list(left_out) == ["torch, fit, 1 thread"] and "no system" in capsys.readouterr().err


def test_a_ratio_is_one_of_medians_and_its_spread_that_of_the_turns():
    ratio = throughput.quotient([2.0, 4.0, 6.0], [1.0, 4.0, 2.0], "other")
    assert ratio == {"to": "other", "median": 2.0, "least": 1.0, "most": 3.0}


def test_an_unknown_system_is_refused(capfd):
    assert cli.main(["bench", "A0"]) == 1
    error = capfd.readouterr().err
    assert "there is no system A0, only A1, A2" in error and "jaxae: the benchmark ended with status 2" in error


def test_bench_without_the_source_says_where_it_is(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(benching.jaxae, "__file__", str(tmp_path / "jaxae" / "__init__.py"))
    assert cli.main(["bench"]) == 1
    assert "clone the source" in capsys.readouterr().err


def test_the_data_of_a_system_are_the_same_every_time():
    first, second = (systems.SYSTEMS["A7"].data() for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert first.cond.shape == (1000, 1)
