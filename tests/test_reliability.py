"""The short forms of the table of reliability, and the committed counts of the long ones."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

reliability = pytest.importorskip("benchmarks.reliability.table", reason="benchmarks are not part of an installation")
ROOT = Path(__file__).parents[1]


SLOW = ("resume", "invariance", "lanes", "stops", "peers", "larger", "layouts")
"""Rows whose short form takes a minute or two as well."""


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=[pytest.mark.slow] if row in SLOW else []) for row in reliability.ROWS]
)
def test_the_short_form_meets_its_goal(row):
    command = [sys.executable, "-m", f"benchmarks.reliability.{row}", "--short"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr[-2000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["row"] == row and found["short"] and found["met"]


def test_a_row_that_misses_its_goal_says_so():
    code = "from benchmarks.reliability.rows import row; import sys; sys.argv[1:] = []; row('none', measured)"
    code = "def measured(short):\n    'Nothing.'\n    return {'goal': '1', 'met': False}\n" + code
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 1 and not json.loads(ran.stdout)["met"]
