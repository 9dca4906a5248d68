"""Saves that fail, since the disk takes no more: told at the next chunk, older steps whole, training unharmed.

The kernel's limit on the size of a file stands in for a full disk; it is set for some of the fit's chunks.
"""

import random
import resource
import signal
import tempfile
import time
import warnings
from typing import Any

import jaxae as ja
from benchmarks.reliability.rows import row
from benchmarks.reliability.runs import FAMILIES, arrays, digest, trained
from jaxae.fitting import course

FAILURES = 30
EPOCHS = 12


def measured(short: bool) -> dict[str, Any]:
    """Return the counts of all failures."""
    draw = random.Random(0)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    course.CHUNK_EPOCHS = 1
    found = dict.fromkeys(("failed", "told", "unreadable", "false", "other end"), 0)
    count = 2 if short else FAILURES
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for number in range(count):
        family = list(FAMILIES)[number % len(FAMILIES)]
        full = draw.randrange(2, EPOCHS - 1)
        with tempfile.TemporaryDirectory() as place:
            folder = f"{place}/fit"

            def squeeze(progress: ja.progress.Progress, full: int = full) -> None:
                if progress.epoch in (full, full + 1):
                    time.sleep(1)  # what was begun before, or under the limit, is to end so
                small = 64 if progress.epoch == full else limits[0]
                resource.setrlimit(resource.RLIMIT_FSIZE, (small, limits[1]))

            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                keep = ja.checkpoint.Keep(seconds=1e9, every=1)
                own = trained(family, 0, epochs=EPOCHS, progress=squeeze, checkpoint=folder, keep=keep)
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            told = [str(each.message) for each in caught if "failed" in str(each.message)]
            saved = set(ja.checkpoint.Steps(folder, keep).epochs())
            found["failed"] += full not in saved
            found["told"] += bool(told) and full not in saved
            found["false"] += saved != set(range(1, EPOCHS + 1)) - {full}
            for epoch in saved:
                try:
                    arrays(folder, epoch)
                except ValueError:
                    found["unreadable"] += 1
            found["other end"] += digest(own.state) != digest(trained(family, 0, epochs=EPOCHS, progress=False).state)
    bad = found["unreadable"] + found["false"] + found["other end"]
    met = found["failed"] == found["told"] == count and not bad
    return {**found, "goal": f"{count} told; older steps whole, the fit the same", "met": met}


if __name__ == "__main__":
    row("full", measured)
