"""The rows of the table of reliability, and where their counts go."""

from pathlib import Path

__all__ = ["RESULTS", "ROWS"]

RESULTS = Path(__file__).parents[1] / "results" / "reliability.json"
ROWS = (
    "kills",
    "resume",
    "invariance",
    "stops",
    "peers",
    "files",
    "hostile",
    "across",
    "divergence",
    "full",
    "larger",
    "inputs",
    "collectives",
    "layouts",
)
