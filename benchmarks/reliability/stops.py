"""SIGTERM and SIGINT at any time: the fit is saved at the end of its chunk, exits with 75, and goes on.

Of several processes one is told, and all stop at the same chunk.
"""

import random
import signal
import tempfile
import time
from typing import Any

from benchmarks.reliability.rows import row
from benchmarks.reliability.runs import FAMILIES, Job, Run, arrays

STOPS = 60


def measured(short: bool) -> dict[str, Any]:
    """Return the counts of all stops."""
    draw, count = random.Random(0), 4 if short else STOPS
    found = dict.fromkeys(("stops", "of several", "status 75", "saved where it stopped", "same end", "runs"), 0)
    longest = 0.0
    with tempfile.TemporaryDirectory() as place:
        for number, family in enumerate(list(FAMILIES)[: 2 if short else None]):
            processes = (1, 2, 1, 4)[number % 4]
            members = None if processes == 1 else 4
            whole = Job(family, f"{place}/{number}-whole", epochs=100, members=members, devices=processes)
            _, expected, _ = Run(whole, place).ended()
            job = whole._replace(folder=f"{place}/{number}", rest=0.1, processes=processes)
            for _ in range(-(-count // (2 if short else len(FAMILIES)))):
                run = Run(job, place)
                if not run.wait_for("begun"):
                    break
                time.sleep(draw.uniform(0, 0.3))
                told = time.monotonic()
                draw.choice(run.processes).send_signal(draw.choice([signal.SIGTERM, signal.SIGINT]))
                status, _, _ = run.ended()
                longest = max(longest, time.monotonic() - told)
                (stopped,) = [event["epoch"] for event in run.new_events() if event["event"] == "stopped"]
                found["stops"] += 1
                found["of several"] += processes > 1
                found["status 75"] += status == 75
                found["saved where it stopped"] += "history/loss" in arrays(job.folder, stopped) or family == "gan"
            _, digest, _ = Run(job, place).ended()
            found["runs"] += 1
            found["same end"] += digest == expected
    stops = found["stops"]
    met = stops >= count and found["status 75"] == found["saved where it stopped"] == stops
    met &= found["same end"] == found["runs"]
    return {**found, "longest_s": round(longest, 2), "goal": f"all of {count}", "met": met}


if __name__ == "__main__":
    row("stops", measured)
