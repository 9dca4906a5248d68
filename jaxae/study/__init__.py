"""A recipe run from data to report, and what a trained folder can do afterwards.

A recipe is a module (see `jaxae.recipes`); everything that recipes share is here: reading, splitting and scaling the
data, the population, the folder that appears whole or not at all.
"""

from jaxae.study.nouns import Source, Study, evidence, sweepable, usable
from jaxae.study.run import train
from jaxae.study.trained import Trained, load

__all__ = ["Source", "Study", "Trained", "evidence", "load", "sweepable", "train", "usable"]
