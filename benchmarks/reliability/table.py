"""The rows of the table of reliability, where their counts go, and README's table of them."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["RESULTS", "ROWS", "table"]

RESULTS = Path(__file__).parents[1] / "results" / "reliability.json"
ROWS = (
    "kills",
    "resume",
    "invariance",
    "lanes",
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
BESIDE = ("row", "short", "goal", "met", "seconds")


def table(results: Mapping[str, Any]) -> str:
    """Return README's table of what has been counted in full."""
    lines = ["| row | what is shown | counted | goal | met |", "|---|---|---|---|---|"]
    for name in ROWS:
        found = results["rows"].get(name)
        if found is not None and not found["short"]:
            counted = "; ".join(_said(each, value) for each, value in found.items() if each not in BESIDE)
            lines.append(
                f"| `{name}` | {_shown(name)} | {counted} | {found['goal']} | {'yes' if found['met'] else 'no'} |"
            )
    machine = results["machine"]
    where = f"{machine['device']}, {machine['cores']} cores, Python {machine['python']}, jax {machine['jax']}"
    return "\n".join([*lines, "", f"Counted on {where}."])


def _said(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{name}: " + ", ".join(_said(each, one) for each, one in value.items())
    if isinstance(value, list):
        return f"{name} {', '.join(map(str, value)) or 'none'}"
    return f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"


def _shown(name: str) -> str:
    """Return the first sentence of a row's docstring, without importing what it needs."""
    place = Path(__file__).with_name(name)
    source = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    said = ast.get_docstring(ast.parse(source.read_text())) or ""
    return " ".join(said.split("\n\n")[0].split()).rstrip(".")
