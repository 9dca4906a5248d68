"""`kill -9` inside and outside a save: nothing acknowledged is lost, wrong or unreadable, and the end is the same.

Acknowledged is what the log calls saved. Most kills come as soon as a step is being written, the others when none is.
What is on the disk after each is compared with an uninterrupted run's, bit by bit. Of several processes all are killed,
or one, whose death must end the others.
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


def killed(run: Run, when_inside: bool, rest: float, which: int | None = None) -> bool | None:
    """Kill a run, and return whether a step was being written then; None where it ended before.

    Args:
        run: that has begun.
        when_inside: wait until a step is being written.
        rest: or so many seconds, and until none is.
        which: of its processes, or None for all.
    """
    folder = Path(run.job.folder)
    if not run.wait_for("begun"):
        return None
    began = time.monotonic()
    while run.process.poll() is None:
        ripe = when_inside or time.monotonic() - began > rest
        if ripe and inside(folder) == when_inside:
            for process in run.processes if which is None else run.processes[which : which + 1]:
                process.send_signal(signal.SIGKILL)
            was_inside = inside(folder)
            run.each_ended()
            return was_inside
    return None


def campaign(family: str, members: int | None, processes: int, kills: int, cache: str, seed: int) -> dict[str, int]:
    """Return the counts of one fit that is killed so many times, three of four inside a save."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        whole = Job(family, f"{place}/whole", epochs=4 * kills + 8, members=members, devices=processes)
        status, expected, said = Run(whole, cache).ended()
        assert status == 0, said
        job = whole._replace(folder=f"{place}/killed", rest=0.05, processes=processes)
        names = ("kills", "inside", "of several", "one of several", "lost", "wrong", "unreadable", "other end")
        found = dict.fromkeys(names, 0)
        for number in itertools.count():
            if found["kills"] == kills:
                break
            aims = number % 4 != 3
            # Between two saves there must be time in which none is under way.
            run = Run(job if aims else job._replace(rest=0.6), cache)
            which = draw.choice([None, draw.randrange(processes)])
            was_inside = killed(run, aims, draw.uniform(0, 0.4), which)
            if was_inside is None:
                break
            found["kills"] += 1
            found["inside"] += was_inside
            found["of several"] += processes > 1
            found["one of several"] += processes > 1 and which is not None
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
    kinds: list[tuple[str, int | None, int, int]]
    if short:
        kinds = [("autoencoder", None, 1, 4), ("vae", 3, 2, 1)]
    else:
        kinds = [(family, members, 1, 6) for family in FAMILIES for members in (None, 3)]
        kinds += [("vae", 4, 2, 18), ("gan", 3, 2, 18), ("autoencoder", 4, 4, 18)]
    with tempfile.TemporaryDirectory() as cache:
        for number, kind in enumerate(kinds):
            for name, count in campaign(*kind, cache, number).items():
                total[name] = total.get(name, 0) + count
    bad = sum(total[name] for name in ("lost", "wrong", "unreadable", "other end"))
    outside = total["kills"] - total["inside"]
    enough = total["kills"] >= (4 if short else KILLS) and total["inside"] >= (2 if short else 100) and outside > 0
    return {**total, "goal": "0 lost, wrong, unreadable, other end", "met": bad == 0 and enough}


if __name__ == "__main__":
    row("kills", measured)
