"""The one file of results that the benchmarks of detection write to, each its own part."""

import json
from pathlib import Path
from typing import Any

from benchmarks import readme

__all__ = ["keep", "read"]

RESULTS = Path(__file__).parents[1] / "results" / "detection.json"


def read(name: str) -> dict[str, Any]:
    """Return a part, or nothing where it was never written."""
    return json.loads(RESULTS.read_text()).get(name, {}) if RESULTS.exists() else {}


def keep(name: str, part: dict[str, Any], table: str) -> None:
    """Write a part in the place of an earlier one of its name, and its table into README."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(kept | {name: part}, indent=1, ensure_ascii=False) + "\n")
    readme.rewrite(name, table)
