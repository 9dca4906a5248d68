"""An outlier detector of rows that are images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxae import checks, ensembles
from jaxae.estimators.detectors import Denoising, checked_widths

__all__ = ["ConvolutionalDetector"]


class ConvolutionalDetector(Denoising):
    """Finds images that an ensemble of convolutional autoencoders reconstructs badly.

    Scores, noise and threshold are those of `AutoencoderDetector`. All pixels of a channel have one mean and one scale,
    so that a pixel that is nearly always the same counts for little and not for much.

    Args:
        members, bootstrap, noise, steps, batch_size, learning_rate, trim, contamination, rate, random_state: as those
            of `AutoencoderDetector`.
        image: (height, width, channels) of the images that are the rows, `x.reshape(len(x), -1)`; None takes a row's
            columns as one line of pixels: a signal.
        channels: of the encoder's convolutions of 3 × 3 pixels, each of which halves the image; the decoder has them in
            reverse.
        latent: numbers in the code.

    Attributes:
        n_features_in_, feature_names_in_, offset_, threshold_, calibration_scores_, calibration_folds_, loss_curve_,
            mean_, scale_, member_scale_, residual_scale_, variables_: as those of `AutoencoderDetector`.

    Examples:
        >>> import numpy as np
        >>> from sklearn.datasets import load_digits
        >>> x, y = load_digits(return_X_y=True)
        >>> detector = ConvolutionalDetector(image=(8, 8, 1), members=2, steps=100).fit(x[y == 0])
        >>> scores = -detector.score_samples(x)
        >>> bool(np.median(scores[y != 0]) > np.median(scores[y == 0]))
        True

    References:
        Masci et al., Stacked convolutional auto-encoders for hierarchical feature extraction, 2011.
    """

    def __init__(
        self,
        *,
        image: tuple[int, int, int] | None = None,
        members: int = 4,
        bootstrap: bool = False,
        noise: float | Sequence[float] = (0.3, 1.0),
        channels: Sequence[int] = (16, 32),
        latent: int = 32,
        steps: int = 400,
        batch_size: int = 64,
        learning_rate: float = 5e-3,
        trim: float = 0.1,
        contamination: Any = "auto",
        rate: float = 0.05,
        random_state: Any = 0,
    ) -> None:
        super().__init__(
            members=members,
            bootstrap=bootstrap,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            trim=trim,
            contamination=contamination,
            rate=rate,
            random_state=random_state,
        )
        self.image = image
        self.noise = noise
        self.channels = channels
        self.latent = latent

    def _family(self) -> ensembles.Convolving:
        checks.whole("latent", self.latent)
        return ensembles.Convolving(self._image(), checked_widths(self.channels, "channels"), self.latent)

    def _image(self) -> tuple[int, int, int]:
        """Return the shape of the images, or refuse one that is not that of the rows."""
        columns = self.n_features_in_
        if self.image is None:
            return 1, columns, 1
        given = self.image
        if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != 3:
            raise ValueError(f"image is {given!r}, but must be (height, width, channels), or None")
        for number in given:
            checks.whole("a number in image", number)
        if math.prod(given) != columns:
            raise ValueError(f"image is {given!r}, of {math.prod(given)} numbers, but rows have {columns} columns")
        height, width, channels = given
        return height, width, channels

    def _measure(self, x: np.ndarray) -> None:
        """Take a mean and a scale for every channel."""
        height, width, channels = self._image()
        super()._measure(x.reshape(-1, channels))
        self.mean_, self.scale_ = (np.tile(own, height * width) for own in (self.mean_, self.scale_))
