"""`kill -9` inside and outside a save: nothing acknowledged is lost, wrong or unreadable, and the end is the same.

Acknowledged is what the log calls saved. Two of three kills come as soon as a step is being written, the others at any
time. What is on the disk after each is compared with an uninterrupted run's, bit by bit.
"""

import itertools
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.reliability.rows import row
from benchmarks.reliability.runs import FAMILIES, Job, Run, arrays, events
from jaxae.checkpoint import Keep, Steps
from jaxae.checkpoint.steps import UNFINISHED

KILLS = 150


def inside(folder: Path) -> bool:
    """Return whether a step is being written."""
    return folder.exists() and any(UNFINISHED in entry.name for entry in folder.iterdir())


def killed(run: Run, when_inside: bool, rest: float) -> bool | None:
    """Kill a run, and return whether a step was being written then; None where it ended before."""
    folder = Path(run.job.folder)
    if not run.wait_for("begun"):
        return None
    began = time.monotonic()
    while run.process.poll() is None:
        if (when_inside and inside(folder)) or (not when_inside and time.monotonic() - began > rest):
            run.process.send_signal(signal.SIGKILL)
            run.ended()
            return inside(folder)
    return None


def campaign(family: str, members: int | None, kills: int, cache: str, seed: int) -> dict[str, int]:
    """Return the counts of one fit that is killed so many times, two of three inside a save."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        whole = Job(family, f"{place}/whole", epochs=4 * kills + 8, members=members)
        status, expected, said = Run(whole, cache).ended()
        assert status == 0, said
        job = whole._replace(folder=f"{place}/killed", rest=0.05)
        found = dict.fromkeys(("kills", "inside", "lost", "wrong", "unreadable", "other end"), 0)
        for number in itertools.count():
            if found["kills"] == kills:
                break
            run = Run(job, cache)
            was_inside = killed(run, number % 3 != 2, draw.uniform(0, 0.4))
            if was_inside is None:
                break
            found["kills"] += 1
            found["inside"] += was_inside
            _looked_at(job, whole, found)
        status, digest, said = Run(job, cache).ended()
        found["other end"] += status != 0 or digest != expected
    return found


def _looked_at(job: Job, whole: Job, found: dict[str, int]) -> None:
    on_disk = Steps(job.folder, Keep()).epochs()
    acknowledged = [event["epoch"] for event in events(job) if event["event"] == "saved"]
    found["lost"] += bool(acknowledged) and not set(on_disk) >= {max(acknowledged)}
    for epoch in on_disk[-2:]:
        try:
            own = arrays(job.folder, epoch)
        except ValueError:
            found["unreadable"] += 1
            continue
        other = arrays(whole.folder, epoch)
        same = own.keys() == other.keys() and all(own[name].tobytes() == other[name].tobytes() for name in own)
        found["wrong"] += not same


def measured(short: bool) -> dict[str, Any]:
    """Return the counts of all kills."""
    total: dict[str, int] = {}
    kinds = [("autoencoder", None), ("vae", 3)] if short else [(family, n) for family in FAMILIES for n in (None, 3)]
    with tempfile.TemporaryDirectory() as cache:
        for number, (family, members) in enumerate(kinds):
            kills = 2 if short else -(-KILLS // len(kinds))
            for name, count in campaign(family, members, kills, cache, number).items():
                total[name] = total.get(name, 0) + count
    bad = sum(total[name] for name in ("lost", "wrong", "unreadable", "other end"))
    enough = total["kills"] >= (4 if short else KILLS) and (short or total["inside"] >= 100)
    return {**total, "goal": "0 lost, wrong, unreadable, other end", "met": bad == 0 and enough}


if __name__ == "__main__":
    row("kills", measured)
