"""Pictures of a run: each function writes one PNG and a CSV of the same stem with every number drawn."""

from jaxae.report.pictures.canvas import Picture
from jaxae.report.pictures.controls import bars
from jaxae.report.pictures.latents import scatter, units
from jaxae.report.pictures.runs import curves, members
from jaxae.report.pictures.sheets import images, sheet
from jaxae.report.pictures.tables import correlations, marginals, reconstructions

__all__ = [
    "Picture",
    "bars",
    "correlations",
    "curves",
    "images",
    "marginals",
    "members",
    "reconstructions",
    "scatter",
    "sheet",
    "units",
]
