"""Models as scikit-learn has them: `fit`, `predict`, `transform` and the rest, on tables of numbers.

They follow its conventions to the letter, and its own checks prove it: they clone, go into pipelines and grid searches,
keep the names of a frame's columns, and take no notice of `y`. A `SeriesDetector` takes rows that are points in their
order, which scikit-learn knows nothing of.

detectors      of strange rows: ensembles, with thresholds that hold on new rows
images         of strange images, and signals of fixed length
series         of strange points of a series, by windows
coders         codes of rows and back, rows without noise, new rows
generators     new rows under conditions
files          any of them, fitted, in one file to pass on
pyod           a detector as PyOD has it
"""

from jaxae.estimators.coders import Autoencoder, Denoiser, SparseAutoencoder, VariationalAutoencoder
from jaxae.estimators.detectors import AutoencoderDetector, DeepSVDD, SparseDetector, VariationalDetector
from jaxae.estimators.files import load, save
from jaxae.estimators.generators import ConditionalGenerator
from jaxae.estimators.images import ConvolutionalDetector
from jaxae.estimators.series import SeriesDetector, Stream

__all__ = [
    "Autoencoder",
    "AutoencoderDetector",
    "ConditionalGenerator",
    "ConvolutionalDetector",
    "DeepSVDD",
    "Denoiser",
    "SeriesDetector",
    "SparseAutoencoder",
    "SparseDetector",
    "Stream",
    "VariationalAutoencoder",
    "VariationalDetector",
    "load",
    "save",
]
