import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxae as ja
from jaxae import hosts

ROOT = Path(__file__).parents[1]
TOGETHER = """
import json, sys
import jax
jax.config.update("jax_num_cpu_devices", 2)
import numpy as np
from jaxae import hosts
from jax.sharding import AxisType, PartitionSpec
where, number = sys.argv[1], int(sys.argv[2])
hosts.connect(where, 2, number, heartbeat=10)
mesh = jax.make_mesh((4,), ("members",), axis_types=(AxisType.Auto,))
own = hosts.peers(mesh)
found = {"several": own.several, "first": own.first, "of first": own.of_first(5 + number), "any": own.any(number == 1)}
found["none"] = own.any(False)
tree = {"a": np.arange(8.0).reshape(4, 2), "key": jax.random.split(jax.random.key(3), 4)}
placed = hosts.place(tree, mesh, PartitionSpec("members"))
found["apart"] = not placed["a"].is_fully_addressable and not placed["key"].is_fully_addressable
again = hosts.place(placed, mesh, PartitionSpec("members"))
found["stays"] = again["a"] is placed["a"]
whole = hosts.read({**placed, "host": np.ones(2)})
found["read"] = (whole["a"] == tree["a"]).all().item() and whole["host"].tolist() == [1, 1]
found["keys"] = (whole["key"] == np.asarray(jax.random.key_data(tree["key"]))).all().item()
said = []
for error in (ValueError("broken") if number else None,):
    try:
        own.well(error, "open it")
    except ValueError as raised:
        said.append(str(raised))
for words in ("alike", f"other {number}"):
    try:
        own.same(words, "key")
    except ValueError as raised:
        said.append(str(raised))
half = jax.sharding.Mesh(np.array(jax.local_devices()), ("members",), axis_types=(AxisType.Auto,))
found["one process"] = hosts.peers(half).several
print(json.dumps({**found, "said": said}))
"""


def started(
    code: str, *arguments: str, processes: Iterable[int] = range(2), **environment: str
) -> list[subprocess.Popen[str]]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        where = f"localhost:{free.getsockname()[1]}"
    own = os.environ | {"JAX_PLATFORMS": "cpu", **environment}
    own.pop("XLA_FLAGS", None)
    command = [sys.executable, "-c", code, where]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT, "env": own}
    return [subprocess.Popen([*command, str(number), *arguments], **pipes) for number in processes]


def is_free(port: int) -> bool:
    with socket.socket() as own:
        return own.connect_ex(("localhost", port)) != 0


def outputs(processes: list[subprocess.Popen[str]]) -> list[str]:
    said = [process.communicate(timeout=300) for process in processes]
    for process, (_, err) in zip(processes, said, strict=True):
        assert process.returncode == 0, err[-2000:]
    return [out for out, _ in said]


def test_two_processes_agree_place_and_read():
    first, second = (json.loads(out.splitlines()[-1]) for out in outputs(started(TOGETHER)))
    assert first.pop("first") and not second.pop("first")
    said = first.pop("said"), second.pop("said")
    assert said[0][0] == "process 1 could not open it: see what it says" and said[1][0] == "broken"
    assert all("process 1 was given another key than process 0" in each[1] and len(each) == 2 for each in said)
    assert first == second
    assert first == {
        "several": True,
        "of first": 5,
        "any": True,
        "none": False,
        "apart": True,
        "stays": True,
        "read": True,
        "keys": True,
        "one process": False,
    }


JOINED = """
import sys
import jax
from jaxae import hosts
hosts.connect()
mesh = jax.make_mesh((2,), ("members",))
print(jax.process_index(), jax.process_count(), hosts.peers(mesh).of_first(7 + int(sys.argv[2])))
"""


@pytest.mark.parametrize("launcher", ["SLURM", "Open MPI"])
def test_processes_join_by_what_their_launcher_tells_them(launcher):
    """The variables that srun and mpirun set are JAX's to read; no launcher is needed to see that they are enough."""
    job = next(job for job in range(4096) if is_free(65535 - 4095 + job))  # JAX takes the port that follows from it

    def variables(number: int) -> dict[str, str]:
        if launcher == "SLURM":
            own = {"JOB_ID": job, "STEP_NODELIST": "localhost", "NTASKS": 2, "PROCID": number, "LOCALID": 0}
            return {f"SLURM_{name}": str(value) for name, value in own.items()}
        own = {"COMM_WORLD_SIZE": 2, "COMM_WORLD_RANK": number, "COMM_WORLD_LOCAL_RANK": number}
        uri = {"OMPI_MCA_orte_hnp_uri": f"{job * 4096}.0;tcp://127.0.0.1:1"}
        return uri | {f"OMPI_{name}": str(value) for name, value in own.items()}

    processes = [started(JOINED, processes=[number], **variables(number))[0] for number in range(2)]
    assert [out.splitlines()[-1].split() for out in outputs(processes)] == [["0", "2", "7"], ["1", "2", "7"]]


def test_alone_everything_is_as_this_process_says():
    alone = hosts.peers(None)
    assert alone == hosts.Peers() and alone.first and alone.of_first(3) == 3
    assert alone.any(True) and not alone.any(False)
    alone.well(None, "do it")
    alone.same("anything", "key")
    with pytest.raises(KeyError):
        alone.well(KeyError("own"), "do it")


def test_what_this_process_holds_is_read_as_it_is():
    key = jax.random.key(1)
    found = hosts.read({"key": key, "x": jax.numpy.ones(2), "n": np.arange(3)})
    assert found["key"].tolist() == jax.random.key_data(key).tolist()
    assert found["x"].tolist() == [1, 1] and found["n"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"coordinator": "here"}, "coordinator is 'here'.*HOST:PORT"),
        ({"coordinator": "here:1", "processes": 0, "process": 0}, "processes is 0"),
        ({"coordinator": "here:1", "processes": 2, "process": 2}, "process is 2"),
        ({"coordinator": "here:1", "processes": 2, "process": 0, "heartbeat": 0}, "heartbeat is 0"),
        ({"coordinator": "here:1", "processes": 2, "process": 0}, "cannot join"),
    ],
)
def test_bad_addresses_are_refused(given, words):
    jax.devices()  # JAX is in use, so that nothing can be joined any more
    with pytest.raises(ValueError, match=words):
        hosts.connect(**given)


def test_a_process_that_waits_too_long_ends_itself():
    code = """
import time
from jaxae import hosts
with hosts.watched(hosts.Peers(several=True), 0.2, "the chunk after epoch 3"):
    time.sleep(60)
"""
    began = time.monotonic()
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == hosts.TRY_AGAIN == 75 and time.monotonic() - began < 50
    assert "another process gave no answer for 0 s in the chunk after epoch 3; this process ends" in ran.stderr
    with hosts.watched(hosts.Peers(several=True), 0.01, "nothing"):
        pass
    with hosts.watched(ja.hosts.Peers(), 0.0, "alone"):
        time.sleep(0.05)


TRAINED = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", 2)
from jaxae.cli import main
where, number, *arguments = sys.argv[1:]
sys.exit(main([*arguments, "--distributed", "--coordinator", where, "--processes", "2", "--process", number]))
"""


@pytest.mark.slow
def test_the_command_line_trains_with_two_processes_and_one_writes(tmp_path):
    arguments = ["train", "autoencoder", "--epochs", "2", "--seeds", "3", "--no-cache", "--out", str(tmp_path / "two")]
    processes = started(TRAINED, *arguments)
    first, second = outputs(processes)
    assert "report:" in first and "report:" not in second
    alone = [*arguments[:-1], str(tmp_path / "one")]
    subprocess.run([sys.executable, "-m", "jaxae", *alone], cwd=ROOT, capture_output=True, check=True)
    told = [json.loads((tmp_path / name / "config.json").read_text()) for name in ("one", "two")]
    assert told[0]["data"] == told[1]["data"] and told[1]["device"].startswith("4 ×")
    losses = [np.loadtxt(tmp_path / name / "history.csv", delimiter=",", skiprows=1) for name in ("one", "two")]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--process", "0"], "process is about training with other processes: add --distributed"),
        (["--distributed", "--search", "halving", "--seeds", "4"], "a search trains in one process"),
        (["--distributed", "--coordinator", "nowhere"], "HOST:PORT"),
    ],
)
def test_the_command_line_refuses_what_processes_cannot_do(given, words, tmp_path, capsys):
    from jaxae.cli import main

    assert main(["train", "autoencoder", "--no-cache", "--out", str(tmp_path / "out"), *given]) == 1
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
