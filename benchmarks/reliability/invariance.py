"""The same bits for every length of a chunk, and for every number of processes and of their devices.

XLA's threads on a CPU are as many in every run: they are as many as cores, or as host devices where these are more, and
another number of them may round otherwise.
"""

import sys
import tempfile
from typing import Any

from benchmarks.reliability.rows import row
from benchmarks.reliability.runs import Job, Run

FAMILIES = ("autoencoder", "denoising", "vae", "gan", "conv")
LENGTHS = (1, 2, 3, 5, 12)
EPOCHS = 12
THREADS = 8
"""As many as the most devices of a process."""


def measured(short: bool) -> dict[str, Any]:
    """Return the counts of runs, and of those whose bits are those of the first."""
    found = {"runs": 0, "same bits": 0}
    missed = []
    with tempfile.TemporaryDirectory() as place:
        for family in ["vae"] if short else FAMILIES:
            first = Job(family, f"{place}/{family}", epochs=EPOCHS, every=EPOCHS, members=4)
            others = [first._replace(every=length) for length in (LENGTHS[1:2] if short else LENGTHS)]
            counts = ((2, 2),) if short else ((2, 1), (2, 2), (4, 1), (4, 2), (4, 4), (8, 1), (3, 1), (3, 3))
            others += [first._replace(devices=devices, processes=processes) for devices, processes in counts]
            alone = [first._replace(members=None, every=length) for length in (() if short else LENGTHS)]
            for jobs in ([first, *others], alone):
                digests = []
                for number, job in enumerate(jobs):
                    own = job._replace(folder=f"{job.folder}-{job.members}-{number}")
                    status, digest, said = Run(own, place, NPROC=str(THREADS)).ended()
                    digests.append(digest if status == 0 else said)
                    if digests[-1] != digests[0]:
                        changed = {
                            name: value for name, value in job._asdict().items() if getattr(jobs[0], name) != value
                        }
                        missed.append(f"{family}, {changed}: {digest[:8] or said[-200:]} for {digests[0][:8]}")
                found["runs"] += len(digests)
                found["same bits"] += sum(digest == digests[0] for digest in digests)
                print(f"{family}: {found}; {missed or 'nothing'} missed", file=sys.stderr, flush=True)
    return {**found, "threads": THREADS, "missed": missed, "goal": "all", "met": found["same bits"] == found["runs"]}


if __name__ == "__main__":
    row("invariance", measured)
