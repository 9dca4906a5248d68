"""Fits on disk: a finished one in a file to pass on (`save`, `load`), one that trains as steps in a folder (`Keep`).

files   one checked safetensors file; loading it runs no code
steps   Orbax's folder of what a fit needs to go on to the same bits, checked leaf by leaf
"""

from jaxae.checkpoint.files import load, save
from jaxae.checkpoint.steps import DamagedError, Keep, Steps

__all__ = ["DamagedError", "Keep", "Steps", "load", "save"]
