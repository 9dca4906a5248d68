"""One process of several killed or stopped (SIGSTOP): the others end by themselves with a message, and the fit goes on.

It goes on with one process fewer, in lanes to the same bits.
"""

import random
import signal
import tempfile
import time
from typing import Any

from benchmarks.reliability.rows import row
from benchmarks.reliability.runs import HEARTBEAT, Job, Run

CASES = 20
BOUND = 3 * HEARTBEAT
"""Seconds in which the others must be gone."""


def measured(short: bool) -> dict[str, Any]:
    """Return the counts of all cases."""
    draw, found = random.Random(0), dict.fromkeys(("cases", "killed", "ended", "with a message", "same end"), 0)
    longest, count = 0.0, 2 if short else CASES
    with tempfile.TemporaryDirectory() as place:
        whole = Job("vae", f"{place}/whole", epochs=60, members=4)
        _, expected, _ = Run(whole, place).ended()
        for number in range(count):
            processes = (2, 2, 4)[number % 3]
            job = whole._replace(folder=f"{place}/{number}", rest=0.1, devices=processes, processes=processes)
            run = Run(job, place)
            if not run.wait_for("saved"):
                break
            time.sleep(draw.uniform(0, 0.3))
            gone = draw.choice(run.processes)
            kill = number % 2 == 0
            began = time.monotonic()
            gone.send_signal(signal.SIGKILL if kill else signal.SIGSTOP)
            others = [process for process in run.processes if process is not gone]
            while time.monotonic() - began < BOUND and any(process.poll() is None for process in others):
                time.sleep(0.05)
            found["ended"] += all(process.poll() is not None for process in others)
            longest = max(longest, time.monotonic() - began)
            for process in run.processes:
                process.kill()
            said = [process.communicate()[1] for process in others]
            found["with a message"] += all(said)
            found["cases"] += 1
            found["killed"] += kill
            rest = job._replace(devices=processes - 1, processes=processes - 1, rest=0.0)
            found["same end"] += Run(rest, place).ended()[1] == expected
    names = ("ended", "with a message", "same end")
    met = found["cases"] == count and all(found[name] == count for name in names)
    return {**found, "longest_s": round(longest, 1), "goal": f"{count} of {count} within {BOUND} s", "met": met}


if __name__ == "__main__":
    row("peers", measured)
