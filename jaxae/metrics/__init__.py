"""Evaluation on the host: arrays in, numbers out, computed in NumPy float64.

`signal` compares a reconstruction with its original, `filters` are what a denoiser is compared with, `detection`
compares scores and alarms with labels, `series` alarms with labelled windows, `samples` compares a generated table with
a real one, `features` does so for features of images, `probes` ask what features say of labels. Every function takes
whatever `np.asarray` takes, JAX arrays included.
"""

from jaxae.metrics.detection import auroc, average_precision, detection_rate, false_positive_rate
from jaxae.metrics.features import Manifold, classifier_score, frechet_distance, kernel_distance, manifold
from jaxae.metrics.filters import LinearFilter, linear_filter, wiener
from jaxae.metrics.probes import linear_probe, matched_cosine
from jaxae.metrics.samples import (
    TwoSample,
    classifier_two_sample,
    correlation_distance,
    energy_distance,
    ks,
    moments,
)
from jaxae.metrics.series import SeriesAlarms, series_alarms
from jaxae.metrics.signal import (
    PixelErrors,
    compression_ratio,
    explained_variance,
    mean_squared_error,
    pixel_errors,
    psnr,
    snr,
    ssim,
)

__all__ = [  # noqa: RUF022 (reading order)
    "mean_squared_error",
    "PixelErrors",
    "pixel_errors",
    "snr",
    "psnr",
    "ssim",
    "explained_variance",
    "compression_ratio",
    "auroc",
    "average_precision",
    "detection_rate",
    "false_positive_rate",
    "SeriesAlarms",
    "series_alarms",
    "ks",
    "correlation_distance",
    "moments",
    "TwoSample",
    "classifier_two_sample",
    "energy_distance",
    "frechet_distance",
    "kernel_distance",
    "Manifold",
    "manifold",
    "classifier_score",
    "LinearFilter",
    "wiener",
    "linear_filter",
    "linear_probe",
    "matched_cosine",
]
