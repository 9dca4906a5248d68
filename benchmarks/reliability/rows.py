"""How a row of the table of reliability is run and told."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["row"]


def row(name: str, measured: Callable[[bool], dict[str, Any]]) -> None:
    """Measure a row, print it as one line of JSON, and exit with 1 where it misses its goal."""
    parser = argparse.ArgumentParser(description=sys.modules[measured.__module__].__doc__)
    parser.add_argument("--short", action="store_true", help="few cases, for the tests")
    short = parser.parse_args().short
    began = time.monotonic()
    found = measured(short)
    print(json.dumps({"row": name, "short": short, **found, "seconds": round(time.monotonic() - began, 1)}))
    sys.exit(0 if found["met"] else 1)
