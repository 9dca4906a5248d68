"""Pictures of a run: each function writes one PNG and a file of the same stem with every number drawn.

That file is a CSV, and an NPZ where the picture shows more than 200,000 pixels.
"""

from jaxae.report.pictures.alarms import alarm
from jaxae.report.pictures.canvas import Picture
from jaxae.report.pictures.conditions import condition_curves
from jaxae.report.pictures.controls import bars
from jaxae.report.pictures.denoising import denoised, gains
from jaxae.report.pictures.detections import detection_curves, scores
from jaxae.report.pictures.latents import maps, scatter, units
from jaxae.report.pictures.runs import curves, members
from jaxae.report.pictures.sheets import classes, images, sheet
from jaxae.report.pictures.sweeps import heat_map, parallel, points
from jaxae.report.pictures.tables import correlations, marginals, reconstructions
from jaxae.report.pictures.timelines import timeline
from jaxae.report.pictures.variables import activations, contributions
from jaxae.report.pictures.walks import interpolation, traversal

__all__ = [
    "Picture",
    "activations",
    "alarm",
    "bars",
    "classes",
    "condition_curves",
    "contributions",
    "correlations",
    "curves",
    "denoised",
    "detection_curves",
    "gains",
    "heat_map",
    "images",
    "interpolation",
    "maps",
    "marginals",
    "members",
    "parallel",
    "points",
    "reconstructions",
    "scatter",
    "scores",
    "sheet",
    "timeline",
    "traversal",
    "units",
]
