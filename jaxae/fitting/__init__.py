"""The host-side driver of runs, and of populations of them."""

from jaxae.fitting.drive import fit
from jaxae.fitting.resume import OtherFitError
from jaxae.fitting.scalars import to_tensorboard
from jaxae.fitting.stop import Stopped
from jaxae.result import Fit

__all__ = ["Fit", "OtherFitError", "Stopped", "fit", "to_tensorboard"]
