"""The host-side driver of runs, and of populations of them."""

from jaxae.fitting.drive import fit
from jaxae.result import Fit

__all__ = ["Fit", "fit"]
