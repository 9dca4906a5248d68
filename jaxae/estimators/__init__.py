"""Models as scikit-learn has them: `fit`, `predict` and the rest, on tables of numbers.

They follow its conventions to the letter, and its own checks prove it: they clone, go into pipelines and grid searches,
keep the names of a frame's columns, and take no notice of `y`.
"""

from jaxae.estimators.detectors import AutoencoderDetector, VariationalDetector

__all__ = ["AutoencoderDetector", "VariationalDetector"]
