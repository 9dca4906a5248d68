"""Fits of every family, killed and gone on with: parameters, history and status are those of an uninterrupted run.

Every third is a population, which goes on on another number of devices and of processes.
"""

import random
import tempfile
from typing import Any

from benchmarks.reliability.kills import killed
from benchmarks.reliability.rows import row
from benchmarks.reliability.runs import FAMILIES, Job, Run

RUNS = 60
KILLS = 2


def measured(short: bool) -> dict[str, Any]:
    """Return the counts of all runs."""
    draw, found = random.Random(1), dict.fromkeys(("runs", "kills", "of several", "same bits"), 0)
    runs = 2 if short else RUNS
    with tempfile.TemporaryDirectory() as place:
        expected: dict[Any, str] = {}
        for number in range(runs):
            family = list(FAMILIES)[(4 * number if short else number) % len(FAMILIES)]
            members = 3 if number % 3 == 2 else None
            whole = Job(family, f"{place}/whole", epochs=24, members=members)
            if (family, members) not in expected:
                whole = whole._replace(folder=f"{place}/whole-{number}")
                expected[family, members] = Run(whole, place).ended()[1]
            job = whole._replace(folder=f"{place}/{number}", rest=0.05)
            for _ in range(KILLS):
                devices = draw.choice([1, 2]) if members else 1
                run = Run(job._replace(devices=devices, processes=draw.randint(1, devices)), place)
                found["of several"] += len(run.processes) > 1
                found["kills"] += killed(run, draw.random() < 0.5, draw.uniform(0, 0.3)) is not None
            found["runs"] += 1
            found["same bits"] += Run(job, place).ended()[1] == expected[family, members] != ""
    met = found["same bits"] == found["runs"] == runs and found["kills"] >= KILLS * runs * 0.9
    return {**found, "goal": f"{runs} of {runs}", "met": met}


if __name__ == "__main__":
    row("resume", measured)
