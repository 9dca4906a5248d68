"""A trained run as it lies in its folder, read and checked."""

from __future__ import annotations

import csv
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxae.report.checks import Check
from jaxae.report.pictures.canvas import Picture

__all__ = ["Run", "read_run"]


class Run(NamedTuple):
    """What a folder says about its run.

    ``history`` is a list of rows, each a mapping from column to number; ``images`` holds each picture's bytes and
    (width, height) in pixels by file name; ``files`` maps the names of all files but the page to their bytes.
    """

    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    timing: Mapping[str, Any]
    history: list[dict[str, float]]
    checks: list[Check]
    pictures: list[Picture]
    images: dict[str, tuple[bytes, int, int]]
    files: dict[str, int]


# By file: what may be there, and of which type; None stands for absent, and only _REQUIRED must be there.
_TYPES: dict[str, dict[str, type | tuple[type, ...]]] = {
    "config.json": {
        "recipe": str,
        "about": str,
        "settings": dict,
        "data": dict,
        "versions": dict,
        "sweep": dict,
    },
    "metrics.json": {
        "metrics": dict,
        "controls": dict,
        "control_names": dict,
        "checks": list,
        "members": list,
        "units": dict,
        "best": int,
        "select": str,
    },
    "timing.json": {},
}
_DATA: dict[str, type | tuple[type, ...]] = {"columns": list, "split": dict, "source": str}
_MEMBER: dict[str, type | tuple[type, ...]] = {
    "hparams": dict,
    "metrics": dict,
    "validation": (int, float),
    "status": str,
}
_REQUIRED = {"config.json": "recipe", "metrics.json": "metrics"}


def read_run(folder: str | os.PathLike[str]) -> Run:
    """Return what the files of a trained run hold.

    Args:
        folder: with ``config.json``, ``history.csv``, ``metrics.json``, ``timing.json``, and, where there are pictures,
            ``pictures.json`` and its PNG files.

    Raises:
        ValueError: if a file is missing or garbled; the text names it.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"{root} is no trained folder: there is no such folder; give the one that training wrote")
    records = {name: _record(root / name) for name in _TYPES}
    for name, record in records.items():
        if name in _REQUIRED and record.get(_REQUIRED[name]) is None:
            raise _garbled(root / name, f"{_REQUIRED[name]!r} is missing")
        _expect(root / name, record, _TYPES[name])
    _expect(root / "config.json", records["config.json"].get("data") or {}, _DATA)
    metrics = records["metrics.json"]
    members, best = metrics.get("members") or [], metrics.get("best")
    for member in members:
        if not isinstance(member, dict):
            raise _garbled(root / "metrics.json", f"'members' holds {_shown(member)}")
        _expect(root / "metrics.json", member, _MEMBER)
    for group in (
        metrics["metrics"],
        metrics.get("controls") or {},
        *(member.get("metrics") or {} for member in members),
    ):
        _expect(root / "metrics.json", group, dict.fromkeys(group, (int, float)))
    for texts in (metrics.get("units") or {}, metrics.get("control_names") or {}):
        _expect(root / "metrics.json", texts, dict.fromkeys(texts, str))
    if members and best is not None and not 0 <= best < len(members):
        raise _garbled(root / "metrics.json", f"'best' is {best}, and there are {len(members)} members")
    try:
        checks = [Check(str(c["name"]), bool(c["passed"]), str(c["text"])) for c in metrics.get("checks") or []]
    except (TypeError, KeyError) as error:
        raise _garbled(root / "metrics.json", "'checks' holds something without name, passed and text") from error
    pictures = _pictures(root / "pictures.json")
    return Run(
        config=records["config.json"],
        metrics=metrics,
        timing=records["timing.json"],
        history=_history(root / "history.csv"),
        checks=checks,
        pictures=pictures,
        images={picture.file: _image(root / picture.file) for picture in pictures},
        files={
            path.name: path.stat().st_size
            for path in sorted(root.iterdir())
            if path.is_file() and path.name != "report.html" and not path.name.startswith(".")
        },
    )


def _garbled(path: Path, why: str) -> ValueError:
    return ValueError(
        f"{path.parent} is no trained folder: {path.name} cannot be used ({why}); give the folder that training wrote, "
        "or train again"
    )


def _shown(value: object) -> str:
    return f"{value!r:.60}"


def _expect(path: Path, record: Mapping[str, Any], types: Mapping[str, type | tuple[type, ...]]) -> None:
    for name, kind in types.items():
        value = record.get(name)
        if not (value is None or isinstance(value, kind)):
            allowed = " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))
            raise _garbled(path, f"{name!r} is {_shown(value)} where a value of type {allowed} is wanted")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _garbled(path, "it is missing" if not path.exists() else f"it cannot be read: {error}") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise _garbled(path, f"it is no JSON: {error}") from error


def _record(path: Path) -> dict[str, Any]:
    record = _json(path)
    if not isinstance(record, dict):
        raise _garbled(path, "it holds no record of names and values")
    return record


def _history(path: Path) -> list[dict[str, float]]:
    rows = list(csv.reader(_text(path).splitlines()))
    header = rows[0] if rows else []
    if not {"member", "epoch"} <= set(header):
        raise _garbled(path, f"its first line must name the columns member and epoch, and is {','.join(header)!r:.80}")
    try:
        return [
            {name: float(cell) if cell else float("nan") for name, cell in zip(header, row, strict=True)}
            for row in rows[1:]
        ]
    except ValueError as error:
        raise _garbled(path, str(error)) from error


def _pictures(path: Path) -> list[Picture]:
    if not path.exists():
        return []
    entries = _json(path)
    try:
        pictures = [Picture(str(e["file"]), str(e["title"]), str(e.get("caption") or "")) for e in entries]
    except (TypeError, KeyError, AttributeError) as error:
        raise _garbled(path, "it must be a list of records with file, title and caption") from error
    for picture in pictures:
        if Path(picture.file).name != picture.file:
            raise _garbled(path, f"{picture.file!r} lies outside the folder")
    return pictures


def _image(path: Path) -> tuple[bytes, int, int]:
    """Return the bytes of a PNG with its width and height."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _garbled(path, "pictures.json names it, and it is missing") from error
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 24:
        raise _garbled(path, "it is no PNG picture")
    # PNG specification, section 11.2.1: the first chunk begins with width and height as big-endian 32-bit numbers.
    width, height = struct.unpack(">II", data[16:24])
    return data, width, height
