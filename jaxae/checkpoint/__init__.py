"""Trained things on disk, to come back to or to pass on; loading a file runs no code.

files          a finished fit (`save`, `load`): one or many models with their optimizer's state and history
model          one model to pass on (`save_model`, `load_model`): rebuilt from data, with nothing else needed
exported       the same with its functions as StableHLO beside it (`export`, `load_functions`)
state_dict     weights as PyTorch lays them out, and back (`to_state_dict`, `from_state_dict`)
steps          a fit while it trains, as steps in a folder that Orbax keeps (`Keep`)

tensors        arrays in one checked safetensors file, which the first two are
trees          trees of arrays by names with slashes
architecture   models as data
bounds         what a model out of a file may cost
"""

from jaxae.checkpoint.exported import export, load_functions
from jaxae.checkpoint.files import load, save
from jaxae.checkpoint.model import Model, load_model, save_model
from jaxae.checkpoint.state_dict import from_state_dict, to_state_dict
from jaxae.checkpoint.steps import DamagedError, Keep, Steps
from jaxae.checkpoint.tensors import RefusedError

__all__ = [
    "DamagedError",
    "Keep",
    "Model",
    "RefusedError",
    "Steps",
    "export",
    "from_state_dict",
    "load",
    "load_functions",
    "load_model",
    "save",
    "save_model",
    "to_state_dict",
]
