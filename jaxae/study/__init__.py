"""A recipe run from data to report, and what a trained folder can do afterwards.

A recipe is a module (see `jaxae.recipes`); everything that recipes share is here: reading, splitting and scaling the
data, the population, the folder that appears whole or not at all.
"""

from jaxae.study.alarms import Alarms, alarm_rate, calibrating, errors
from jaxae.study.compressed import Compressed, compress, decompress
from jaxae.study.likelihood import evidence, gap
from jaxae.study.members import Range
from jaxae.study.nouns import (
    PARTS,
    Source,
    Study,
    comparable,
    counted,
    marked,
    parsed,
    process,
    sweepable,
    trains_itself,
    usable,
)
from jaxae.study.probed import probe
from jaxae.study.run import train
from jaxae.study.trained import Trained, load

__all__ = [
    "PARTS",
    "Alarms",
    "Compressed",
    "Range",
    "Source",
    "Study",
    "Trained",
    "alarm_rate",
    "calibrating",
    "comparable",
    "compress",
    "counted",
    "decompress",
    "errors",
    "evidence",
    "gap",
    "load",
    "marked",
    "parsed",
    "probe",
    "process",
    "sweepable",
    "train",
    "trains_itself",
    "usable",
]
