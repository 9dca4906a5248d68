"""Files and synthetic sources to arrays, and back: tables with their column names, scalings, splits."""

from jaxae.data.files import Table, fingerprint, read, write
from jaxae.data.scaling import Scaling, min_max, split, standard
from jaxae.data.sources import Conditional, Digits, Process, conditional, digits, process

__all__ = [
    "Conditional",
    "Digits",
    "Process",
    "Scaling",
    "Table",
    "conditional",
    "digits",
    "fingerprint",
    "min_max",
    "process",
    "read",
    "split",
    "standard",
    "write",
]
