"""Networks: what encoders, decoders, generators and discriminators are made of.

There is no train flag. `BatchNorm` trains exactly when the collection `batch_stats` may be written, and `Dropout` drops
exactly when a key named `dropout` is given: the objective does both, everything else does neither.
"""

from jaxae.networks.convolutional import ConvDecoder, ConvEncoder, Residual
from jaxae.networks.dense import MLP, Atoms, Dense, keep_largest
from jaxae.networks.discriminators import Projection
from jaxae.networks.layers import BatchNorm, Dropout, conditioned
from jaxae.networks.scales import PredictedScale, SharedScale
from jaxae.networks.stages import Stage, mirror

__all__ = [
    "MLP",
    "Atoms",
    "BatchNorm",
    "ConvDecoder",
    "ConvEncoder",
    "Dense",
    "Dropout",
    "PredictedScale",
    "Projection",
    "Residual",
    "SharedScale",
    "Stage",
    "conditioned",
    "keep_largest",
    "mirror",
]
