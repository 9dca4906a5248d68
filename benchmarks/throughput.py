"""Training steps per second of every system: JAX from one operation at a time to a thousand runs as one program, and
PyTorch in its best forms.

    python -m benchmarks                 all systems; jaxae bench does the same
    python -m benchmarks A1 D1           some of them: the others keep their rows in the file
    python -m benchmarks --quick         few repeats, short ones, to see that all of it works

Every row is a process of its own (`benchmarks.measure`). All rows of a system are there at once, and one of them works
at a time, in turn and several times over, so that a machine that slows down slows all of them. Rates are medians; the
spread is the least and the most. A ratio is one of medians; its spread is that of the ratios of each turn. Rows of
PyTorch are left out where it is not installed. Results go to `benchmarks/results/throughput.json`, one machine after
another, and README's table and plot are made of them.

Rows of a CPU: PyTorch eagerly and compiled, on one thread and on all; for populations a process per core, or
`torch.func` over stacked parameters, in one process or in one per core. Rows of a GPU: also CUDA graphs
("reduce-overhead"), and float32 beside TF32 products on both sides. Its processes start all at once, so that a system
takes minutes there; but programs of JAX are compiled one after another, since XLA tries kernels out on the GPU. A row
of PyTorch that fails is left out, as is a population of a GPU that finds no memory beside the others, and the file says
why.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import readme
from benchmarks.measure import Row

__all__ = ["RESULTS", "main", "plot", "table"]

RESULTS = Path(__file__).parent / "results" / "throughput.json"
PICTURE = RESULTS.with_suffix(".svg")
MEMBERS = (1, 8, 64, 256, 1024)
CHUNKED = {"A3": 64}
"""Members at a time in a row of 1,024 more, whose memory is bounded so."""
REST = 0.25
"""Seconds before each measurement: threads of the row before it may spin on for a while."""
LONGEST = 12.0
"""Seconds that a step of a whole population may take, with all the batches of its data; slower rows are left out."""
MOST_BYTES = {"cpu": 3 << 30, "gpu": 24 << 30}
"""Bytes that variables and optimizer states of a population may take."""
PRECISIONS = {"cpu": ("float32",), "gpu": ("float32", "tensorfloat32")}
"""Of products; everything else is in float32."""
TORCH = {"cpu": ("eager", "compile"), "gpu": ("eager", "compile", "reduce-overhead")}
"""Forms of PyTorch."""
COUNTED = (("scan", None), ("fit", None), ("fit", 64))
"""Forms and members of the rows whose kernels a GPU counts."""
PATIENCE = 180.0
"""Seconds in which a row of a GPU has to start: its compiler may find no end."""


class RowError(RuntimeError):
    """A row's process that stopped, or did not answer."""


def rows_of(name: str, device: str, cores: int, with_torch: bool, one: float | None) -> list[Row]:
    """Return the rows of one system; `one` is the rate of one model, once that is known, and then populations follow.

    Returns:
        rows of one model where the rate is not known, else rows of populations.
    """
    found: list[Row] = []
    for precision in PRECISIONS[device]:
        own = _of_one_model(name, device, cores) if one is None else _of_populations(name, device, cores, one)
        for row in own:
            # With products that a GPU rounds only the best rows are measured again.
            if (row.side == "jaxae" or with_torch) and (precision == PRECISIONS[device][0] or _is_best(row)):
                found.append(row._replace(device=device, precision=precision))
    return found


def _is_best(row: Row) -> bool:
    """Return whether a row is what a side has to offer, of one model or of 64, and what that is measured by."""
    return row.form in ("scan", "fit", "reduce-overhead") and row.members in (None, 64)


def _of_one_model(name: str, device: str, cores: int) -> list[Row]:
    threads = [1]
    if device == "cpu":
        threads = [cores] if _is_of_images(name) else list(dict.fromkeys([1, cores]))
    return [
        *(Row(name, "jaxae", form) for form in ("op by op", "jit", "scan", "fit")),
        *(Row(name, "torch", form, threads=n) for form in TORCH[device] for n in threads),
    ]


def _of_populations(name: str, device: str, cores: int, one: float) -> list[Row]:
    from benchmarks.systems import SYSTEMS

    system, forms = SYSTEMS[name], TORCH[device]
    # Of data in several batches a few do, so that a pass over them is no long one.
    batches = min(system.steps_per_epoch, 4) if system.batch_size > 1 else None
    found = [
        Row(name, "jaxae", "fit", members)
        for members in MEMBERS
        if members * (batches or 1) / one < LONGEST and members * system.state_bytes < MOST_BYTES[device]
    ]
    if name in CHUNKED:
        found.append(Row(name, "jaxae", "fit", MEMBERS[-1], chunk=CHUNKED[name]))
    # `torch.func` has no batch norm that keeps averages; convolutions of many models it takes one by one.
    stacked = name != "A8" and not _is_of_images(name)
    if device == "gpu" and stacked:
        # Eagerly they are a tenth as fast, and take as long to measure.
        found += [Row(name, "torch", form, 64) for form in forms[1:]]
        found.append(Row(name, "torch", forms[-1], MEMBERS[-1]))
    if device == "cpu" and not _is_of_images(name):
        found += [Row(name, "torch", form, processes=cores) for form in forms]
    if device == "cpu" and stacked:
        found += [Row(name, "torch", form, 64 // cores, processes=cores) for form in forms]
        found += [Row(name, "torch", form, 64, threads=cores) for form in forms]
    return [row._replace(batches=batches) for row in found]


def _is_of_images(name: str) -> bool:
    from benchmarks.systems import SYSTEMS

    return not isinstance(SYSTEMS[name].columns, int)


class _Started:
    """A row's processes: the first of them starts at once."""

    def __init__(self, row: Row, cache: str) -> None:
        self.row = row
        self.environment = os.environ | {
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "TORCHINDUCTOR_CACHE_DIR": cache + "/torch",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        }
        if row.device == "gpu":
            # All rows compile at the same time.
            self.environment["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # open as long as the processes
        self.processes: list[Any] = []
        self.first_s = 0.0
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "benchmarks.measure", json.dumps(self.row._asdict())]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log}
        root = Path(__file__).parents[1]
        self.processes.append(subprocess.Popen(command, text=True, cwd=root, env=self.environment, **pipes))

    def wait(self) -> None:
        """Wait until the first process has compiled, and start the others one by one, which so need not."""
        self.first_s = self._answer(self.processes[0], PATIENCE if self.row.device == "gpu" else None)
        while len(self.processes) < self.row.processes:
            self._start()
            self._answer(self.processes[-1])

    def _answer(self, process: Any, seconds: float | None = None) -> Any:
        about = f"{self.row.name} of {self.row.system}"
        if not select.select([process.stdout], [], [], seconds)[0]:
            raise RowError(f"{about} has not started after {seconds:.0f} s")
        line = process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise RowError(f"{about} stopped:\n{self.log.read()[-3000:]}")
        return json.loads(line)

    def ask(self, what: str) -> float:
        """Return the sum of what all processes answer, which work at the same time."""
        return sum(self.answers(what))

    def answers(self, what: str) -> list[Any]:
        """Return what all processes answer, which work at the same time."""
        for process in self.processes:
            process.stdin.write(what + "\n")
            process.stdin.flush()
        return [self._answer(process) for process in self.processes]

    def stop(self) -> None:
        """End the processes."""
        for process in self.processes:
            process.stdin.close()
            if not self.first_s:
                process.kill()
            process.stdout.close()
            process.wait()
        self.log.close()


def measured(name: str, device: str, repeats: int, seconds: float, with_torch: bool) -> dict[str, Any]:
    """Return all rows of one system."""
    from benchmarks import compiled
    from benchmarks.systems import SYSTEMS

    system, cores = SYSTEMS[name], os.cpu_count() or 1
    peaks = {each: Row(name, "peak", "gemm", device=device, precision=each) for each in PRECISIONS[device]}
    found: dict[str, list[float]] = {}
    about: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    kernels: dict[str, dict[str, float]] = {}
    own = [Row(name, "jaxae", form, members, device="gpu") for form, members in COUNTED]
    counted = [row.name for row in own if device == "gpu"]

    def measure(rows: list[Row], cache: str) -> None:
        started: list[_Started] = []
        waiting: list[_Started] = []
        try:
            for row in rows:
                waiting.append(_Started(row._replace(seconds=seconds), cache))
                # A GPU's memory is shared by all of its rows, and the largest products need most of it to compile.
                if device == "cpu" or row.side == "peak":
                    _wait(waiting, started, left_out)
            _wait(waiting, started, left_out)
            for _ in range(repeats):
                for each in started:
                    time.sleep(REST if device == "cpu" else 0)
                    found.setdefault(each.row.name, []).append(each.ask("rate"))
                    print(f"{name}, {each.row.name}: {found[each.row.name][-1]:,.1f}", file=sys.stderr, flush=True)
            for each in started:
                about[each.row.name] = {
                    **each.row._asdict(),
                    "first_s": round(each.first_s, 2),
                    "peak_mib": round(each.ask("memory")),
                }
                if each.row.name in counted:
                    kernels[each.row.name] = each.answers("kernels")[0]
        finally:
            for each in [*waiting, *started]:
                each.stop()

    with tempfile.TemporaryDirectory() as cache:
        singles = [*peaks.values(), *rows_of(name, device, cores, with_torch, None)]
        if device == "cpu":
            measure(singles, cache)
            one = statistics.median(found[Row(name, "jaxae", "fit").name])
            measure(rows_of(name, device, cores, with_torch, one), cache)
        else:
            measure([*singles, *rows_of(name, device, cores, with_torch, math.inf)], cache)
    flops = compiled.matmul_flops(name)
    side = compiled.Gemm.SIDE[device]
    most = {precision: 2 * side**3 * statistics.median(found.pop(row.name)) for precision, row in peaks.items()}
    for row in peaks.values():
        del about[row.name]
    table = {}
    for label, rates in found.items():
        rate = statistics.median(rates)
        # A row's own place in the file: what it is, its rates, and of a population those of one member's steps.
        table[label] = {
            "about": {
                key: value for key, value in about[label].items() if key not in ("system", "seconds", "peak_mib")
            },
            "member_steps_per_s": _rounded(rate),
            "least": _rounded(min(rates)),
            "most": _rounded(max(rates)),
            "share_of_peak": round(rate * flops / most[about[label]["precision"]], 3),
            "peak_mib": about[label]["peak_mib"],
            **kernels.get(label, {}),
        }
    return {
        "about": system.about,
        "batch_size": system.batch_size,
        "flops": flops,
        "peak_gflops": round(most["float32"] / 1e9, 1),
        "peaks_gflops": {precision: round(value / 1e9, 1) for precision, value in most.items()},
        "target": system.target if device == "cpu" else None,
        "population_target": system.population_target if device == "cpu" else None,
        "left_out": left_out,
        "rows": table,
        "ratios": _ratios(found, about),
    }


def _wait(waiting: list[_Started], started: list[_Started], left_out: dict[str, str]) -> None:
    """Let all that wait have started, or leave them out: rows of PyTorch, and populations that memory does not hold."""
    while waiting:
        row = waiting[0].row
        try:
            waiting[0].wait()
        except RowError as error:
            if row.side != "torch" and not (row.members and row.device == "gpu"):
                raise
            print(error, file=sys.stderr, flush=True)
            left_out[row.name] = str(error).strip().splitlines()[-1]
            waiting.pop(0).stop()
        else:
            started.append(waiting.pop(0))


def _rounded(rate: float) -> float:
    return float(f"{rate:.4g}")


def _ratios(found: dict[str, list[float]], about: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return jaxae's rate over that of its rivals: of one model, and of 64 at once; PyTorch at its best row."""
    ratios: dict[str, Any] = {}
    for precision in dict.fromkeys(row["precision"] for row in about.values()):
        own = {name: row for name, row in about.items() if row["precision"] == precision}
        suffix = "" if len({row["precision"] for row in about.values()}) == 1 else f", {precision}"
        single = {name: row for name, row in own.items() if row["members"] is None and row["processes"] == 1}
        fit = next(name for name, row in single.items() if row["form"] == "fit")
        rivals = {row["form"]: name for name, row in single.items() if row["side"] == "jaxae" and name != fit}
        torch = [name for name, row in single.items() if row["side"] == "torch"]
        if torch:
            rivals["torch"] = max(torch, key=lambda name: statistics.median(found[name]))
        for rival, name in rivals.items():
            ratios[f"one model to {rival}{suffix}"] = quotient(found[fit], found[name], name)
        for members in (64, MEMBERS[-1]):
            many = [name for name, row in own.items() if row["side"] == "jaxae" and row["members"] == members]
            # Of as many models or fewer; a process per core has its share of them.
            torch = [name for name, row in own.items() if row["side"] == "torch" and (row["members"] or 1) <= members]
            largest = max((own[name]["members"] or 1 for name in torch), default=0)
            if many and torch and (members == 64 or largest == members):
                best = max(torch, key=lambda name: statistics.median(found[name]))
                ratios[f"{members:,} models to torch{suffix}"] = quotient(found[many[0]], found[best], best)
    return ratios


def quotient(own: list[float], other: list[float], name: str) -> dict[str, Any]:
    """Return the ratio of the medians of two rows, measured in turn, and the spread of the ratios of each turn."""
    pairs = [a / b for a, b in zip(own, other, strict=False)]
    median = statistics.median(own) / statistics.median(other)
    return {"to": name, "median": round(median, 3), "least": round(min(pairs), 3), "most": round(max(pairs), 3)}


def machine(device: str, with_torch: bool) -> dict[str, Any]:
    """Return what the numbers were measured on."""
    version = importlib.metadata.version
    code = "import jax, json; d = jax.devices(); print(json.dumps([len(d), d[0].device_kind]))"
    count, kind = json.loads(
        subprocess.check_output([sys.executable, "-c", code], text=True, stderr=subprocess.DEVNULL)
    )
    cpu = Path("/proc/cpuinfo")
    models = [line.split(":")[1].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")]
    return {
        "device": f"{count} × {kind}" if device == "gpu" else models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "jax": version("jax"),
        "jaxlib": version("jaxlib"),
        "flax": version("flax"),
        "torch": version("torch") if with_torch else None,
    }


def _lines(name: str, row: dict[str, Any]) -> str:
    """Return what is said of one system when it has been measured."""
    lines = []
    for label, rate in row["rows"].items():
        spread = f"({rate['least']:,.1f}–{rate['most']:,.1f})"
        after = f"{rate['share_of_peak']:4.0%} of the peak, first {rate['about']['first_s']:.1f} s"
        lines.append(
            f"{name:14s} {label:50s} {rate['member_steps_per_s']:12,.1f}/s  {spread:24s} {after}, "
            f"{rate['peak_mib']:,} MiB"
        )
    for label, ratio in row["ratios"].items():
        lines.append(f"{name:14s} {label}: ×{ratio['median']} ({ratio['least']}–{ratio['most']}), {ratio['to']}")
    return "\n".join(lines)


def table(results: dict[str, Any]) -> str:
    """Return the Markdown of README.md, a table for every machine."""
    lines = [
        "Training steps per second through `fit`, beside the same training in other forms, in turn on one machine "
        "(medians; ranges in brackets are those of the ratio of each turn). PyTorch stands with its best row of "
        "eager, compiled, one thread and all; against 64 models, of a process per core and `torch.func` too. "
        "`python -m benchmarks` measures them again; every row is in `benchmarks/results/throughput.json`.",
    ]
    for device, part in results.items():
        lines += ["", *(_table_of_a_cpu(part["systems"]) if device == "cpu" else _table_of_a_gpu(part["systems"]))]
        own = part["machine"]
        torch = f", torch {own['torch']}" if own["torch"] else ""
        lines += ["", f"Measured on {own['device']} ({own['cores']} cores), jax {own['jax']}{torch}."]
        lines += [f"{name}: {row['remark']}" for name, row in part["systems"].items() if "remark" in row]
    return "\n".join(lines)


def _table_of_a_cpu(systems: dict[str, Any]) -> list[str]:
    lines = [
        "| system | batch | steps/s | to PyTorch | asked | to a hand-written scan | to a jitted step "
        "| to JAX op by op | 64 models, member-steps/s | of the GEMM peak | to PyTorch | asked |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in systems.items():
        ratios, rates = row["ratios"], row["rows"]
        fit = next(rate for rate in rates.values() if rate["about"]["form"] == "fit")
        rate = fit["member_steps_per_s"]
        many = next((rate for rate in rates.values() if rate["about"]["members"] == 64), None)
        many = many if many and many["about"]["side"] == "jaxae" else None
        cells = [
            f"{name}, {row['about']}",
            str(row["batch_size"]),
            f"{rate:,.0f}" if rate > 20 else f"{rate:.1f}",
            _cell(ratios, "one model to torch"),
            f"{row['target'] or ''}",
            *(_cell(ratios, f"one model to {form}", False) for form in ("scan", "jit", "op by op")),
            f"{many['member_steps_per_s']:,.0f}" if many else "",
            f"{many['share_of_peak']:.0%}" if many else "",
            _cell(ratios, "64 models to torch"),
            f"{row['population_target'] or ''}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _table_of_a_gpu(systems: dict[str, Any]) -> list[str]:
    """Return a line for every system and form: what it does, beside PyTorch's best row of as many models."""
    lines = [
        "| system | products | form | member-steps/s | to PyTorch | of the GEMM peak | MiB | kernels a step "
        "| µs a step | kernels at work, µs |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in systems.items():
        for label, rate in row["rows"].items():
            about, ratios = rate["about"], row["ratios"]
            side, form, members = about["side"], about["form"], about["members"]
            wanted = f"{members:,} models to torch" if members else "one model to torch"
            ratio = ratios.get(f"{wanted}, {about['precision']}") if (side, form) == ("jaxae", "fit") else None
            step = 1e6 * (members or 1) / rate["member_steps_per_s"]
            cells = [
                f"{name}, {row['about']}",
                about["precision"],
                label.removesuffix(f", {about['precision']}"),
                f"{rate['member_steps_per_s']:,.0f}",
                _cell({wanted: ratio}, wanted) if ratio else "",
                f"{rate['share_of_peak']:.1%}",
                f"{rate['peak_mib']:,}",
                f"{rate['kernels']:.0f}" if "kernels" in rate else "",
                f"{step:,.0f}",
                f"{rate['busy_us']:,.0f}" if "kernels" in rate else "",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cell(ratios: dict[str, Any], name: str, spread: bool = True) -> str:
    ratio = next((ratio for key, ratio in ratios.items() if key.split(", ")[0] == name), None)
    if ratio is None:
        return ""
    digits = 2 if ratio["median"] < 20 else 0
    text = f"{ratio['median']:,.{digits}f}"
    return f"{text} ({ratio['least']:,.{digits}f}–{ratio['most']:,.{digits}f})" if spread else text


def plot(results: dict[str, Any], path: Path) -> None:
    """Draw what one member's training steps cost by the number of members, every system a line, as an SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "jaxae"
    figure = Figure(figsize=(5.5 * len(results), 5), layout="constrained")
    for axes, part in zip(figure.subplots(1, len(results), squeeze=False)[0], results.values(), strict=True):
        for number, (name, row) in enumerate(part["systems"].items()):
            own = [rate for rate in row["rows"].values() if rate["about"]["side"] == "jaxae"]
            # In float32; other products are another line of the table.
            own = [rate for rate in own if rate["about"]["precision"] == "float32"]
            many = {rate["about"]["members"]: rate for rate in own if not rate["about"]["chunk"]}
            counts = sorted(count for count in many if count)
            if not counts:
                continue
            torch = [rate for rate in row["rows"].values() if rate["about"]["side"] == "torch"]
            torch = [rate for rate in torch if rate["about"]["precision"] == "float32"]
            best = max(torch, key=lambda rate: rate["member_steps_per_s"], default=None)
            color = f"C{number % 10}"
            style = "-" if number < 10 else "--"
            axes.plot(
                counts, [many[n]["member_steps_per_s"] for n in counts], "o" + style, color=color, label=name, ms=3
            )
            if best:
                at = (best["about"]["members"] or 1) * best["about"]["processes"]
                axes.plot([at], [best["member_steps_per_s"]], "x", color=color)
        axes.set(xscale="log", yscale="log", xlabel="models trained at once", ylabel="member-steps per second")
        axes.set_title(f"{part['machine']['device']}\n× PyTorch's best row of any form, float32", fontsize=9)
        axes.set_xticks(MEMBERS, [f"{n:,}" for n in MEMBERS])
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
        axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})


def main(arguments: list[str] | None = None) -> None:
    """Measure the systems that are named, or all, and write the results after each."""
    from benchmarks.systems import SYSTEMS

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("systems", nargs="*", metavar="system", help=f"of {', '.join(SYSTEMS)} (default: all)")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one measurement, about")
    parser.add_argument("--quick", action="store_true", help="2 repeats of .2 s; writes no results")
    parser.add_argument("--without-torch", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS, help="another file; README stays as it is")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.systems if name not in SYSTEMS]
    if unknown:
        parser.error(f"there is no system {', '.join(unknown)}, only {', '.join(SYSTEMS)}")
    if given.device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    with_torch = not given.without_torch and importlib.util.find_spec("torch") is not None
    repeats, seconds = (2, 0.2) if given.quick else (given.repeats, given.seconds)
    about = machine(given.device, with_torch)
    for name in given.systems or SYSTEMS:
        row = measured(name, given.device, repeats, seconds, with_torch)
        print(_lines(name, row), flush=True)
        if given.quick:
            continue
        # Read again each time, since another run may have added to it.
        results = json.loads(given.out.read_text()) if given.out.exists() else {}
        part = results.setdefault(given.device, {"systems": {}})
        part["machine"] = about
        systems = {**part["systems"], name: row}
        part["systems"] = {key: systems[key] for key in SYSTEMS if key in systems}
        given.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        if given.out == RESULTS:
            readme.rewrite("throughput", table(results))
            plot(results, PICTURE)
