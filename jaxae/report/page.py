"""One page about one run, from nothing but the files in its folder."""

from __future__ import annotations

import base64
import math
import os
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jaxae.report.folder import Run, read_run
from jaxae.report.markup import cell, folded, pairs, paragraph, shown, table
from jaxae.report.stylesheet import CSS
from jaxae.report.words import beside, listed, number, plural

__all__ = ["write_page"]

SEARCHES = {
    "halving": "Of the members, a third went on at each of several rungs, judged by validation, and the others were "
    "dropped there: their figures are of fewer epochs.",
    "hyperband": "Several searches by halving, each from fewer members that train longer, dropped members at their "
    "rungs, judged by validation: the figures of those are of fewer epochs.",
    "evolution": "Several times the worst members, by validation, took over from the best and changed their settings: "
    "a member's settings are those at its best epoch.",
}
_MOST_COLUMNS = 12  # column names before they are folded


def write_page(folder: str | os.PathLike[str]) -> Path:
    r"""Return the path of ``report.html``, written into the folder of a trained run.

    The page holds everything it shows (pictures, style), needs no network and no script, and depends on nothing but
    the other files in the folder: the same folder gives the same bytes. An earlier page is replaced in one step.

    Args:
        folder: with ``config.json``, ``history.csv``, ``metrics.json``, ``timing.json``, and, where there are pictures,
            ``pictures.json`` and its PNG files.

    Raises:
        ValueError: if a file is missing or garbled; the text names it.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, text in {
        ...         "config.json": '{"recipe": "tabular"}',
        ...         "history.csv": "member,epoch,loss\n0,1,0.5\n",
        ...         "metrics.json": '{"metrics": {"mse": 0.5}}',
        ...         "timing.json": "{}",
        ...     }.items():
        ...         _ = (Path(folder) / name).write_text(text)
        ...     write_page(folder).name
        'report.html'
    """
    page = _page(read_run(folder)).encode("utf-8")
    target = Path(folder) / "report.html"
    draft = target.with_name(f".report.html.{os.getpid()}")
    try:
        draft.write_bytes(page)
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    return target


def _page(run: Run) -> str:
    members = run.metrics.get("members") or []
    sections = {
        "What was trained": _trained(run),
        "How well": _how_well(run),
        "What to doubt": _doubts(run),
        "Members": _members(run) if len(members) > 1 else "",
        "Sweep": _sweep(run),
        "Pictures": "".join(_figure(run, place) for place in range(len(run.pictures))),
        "Data": _data(run),
        "Settings": _settings(run),
        "How to do it again": _again(run),
        "Files": _files(run),
    }
    sections = {title: body for title, body in sections.items() if body}
    ids = {title: title.lower().replace(" ", "-") for title in sections}
    links = "".join(f'<a href="#{ids[title]}">{title}</a>' for title in sections)
    bodies = "".join(
        f'<section aria-labelledby="{ids[title]}"><h2 id="{ids[title]}">{title}</h2>\n{body}</section>\n'
        for title, body in sections.items()
    )
    recipe, about = escape(run.config["recipe"]), escape(run.config.get("about") or "")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{recipe} – report of a run</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        f'<header><h1>{recipe}</h1>{f"""<p class="about">{about}</p>""" if about else ""}'
        f'<nav aria-label="Contents">{links}</nav></header>\n<main>\n{bodies}</main>\n'
        "<footer><p>Written by jaxae from the files listed above.</p></footer>\n</body>\n</html>\n"
    )


def _trained(run: Run) -> str:
    config, timing, data = run.config, run.timing, run.config.get("data") or {}
    count = _count(run)
    columns, split = data.get("columns") or [], data.get("split") or {}
    what = "One model" if count == 1 else f"A population of {plural(count, 'model')}"
    text = f"{what} ({config['recipe']}) was trained"
    if isinstance(data.get("rows"), int):
        text += f" on {plural(data['rows'], 'row')}"
        text += f" of {plural(len(columns), 'column')}" if columns else ""
    text += f" from {data['source']}" if data.get("source") else ""
    text += f" for {plural(config['epochs'], 'epoch')}" if isinstance(config.get("epochs"), int) else ""
    text += f" in batches of {number(config['batch_size'])}" if isinstance(config.get("batch_size"), int) else ""
    device = timing.get("device") or config.get("device")
    text += f", on {device}" if device else ""
    sentences = [text + "."]
    if split:
        parts = listed(
            [
                f"{number(rows) if isinstance(rows, int) else rows} for {'training' if name == 'train' else name}"
                for name, rows in split.items()
            ]
        )
        sentences.append(f"The rows were split: {parts}.")
    if config.get("points"):
        sentences.append(f"{plural(config['points'], 'point')} were drawn at random.")
    sentences += [SEARCHES[config["search"]]] if config.get("search") in SEARCHES else []
    if config.get("sweep"):
        axes = [f"{name} over {listed([shown(v) for v in _list(values)])}" for name, values in config["sweep"].items()]
        sentences.append(f"Swept were {listed(axes)}.")
    return paragraph(" ".join(sentences))


def _how_well(run: Run) -> str:
    record, units = run.metrics, run.metrics.get("units") or {}
    values, groups = record["metrics"], beside(record["metrics"], record.get("controls") or {})
    labels = list(dict.fromkeys(label for group in groups.values() for label in group))
    which = {name: text for name, text in (record.get("control_names") or {}).items() if text and groups.get(name)}
    lead = _whose(run) + _course(run)
    if not groups:
        return paragraph(lead + "No metric on held-out rows was recorded.")
    header = ["Metric", "This model", *labels, *(["Which control"] if which else [])]
    header += ["Unit"] if any(units.get(name) for name in groups) else []
    rows = []
    for name, group in groups.items():
        cells = [cell(name, head=True), cell(number(values.get(name)), kind="n model")]
        cells += [cell(number(group[label]) if label in group else "", kind="n") for label in labels]
        cells += [cell(which.get(name, ""), kind="which")] if which else []
        cells += [cell(units.get(name, ""))] if header[-1] == "Unit" else []
        rows.append(("", "".join(cells)))
    numeric = range(1, 2 + len(labels))
    caption = "On held-out rows" + (", each beside a control." if labels else ".")
    return paragraph(lead) + table(header, rows, numeric=numeric, caption=caption)


def _whose(run: Run) -> str:
    members, best = run.metrics.get("members") or [], run.metrics.get("best")
    if len(members) < 2:
        return ""
    if best is None:
        return "No member was chosen as the best. "
    chosen = members[best]
    settings = [f"{name} {shown((chosen.get('hparams') or {}).get(name))}" for name in _swept(members)]
    settings = [f"seed {chosen['seed']}", *settings] if chosen.get("seed") is not None else settings
    by = run.metrics.get("select") or "validation"
    inside = f" ({', '.join(settings)})" if settings else ""
    return f"The figures are those of member {chosen.get('member', best)}{inside}, the best of {len(members)} by {by}. "


def _course(run: Run) -> str:
    members, best = run.metrics.get("members") or [], run.metrics.get("best")
    if len(members) > 1 and best is None:
        return ""
    place = best or 0
    member = members[place].get("member", place) if members else place
    course = [row for row in run.history if row["member"] == member]
    text, unit = "", (run.metrics.get("units") or {}).get("validation")
    for name, title in (
        ("loss", "training loss"),
        ("validation", (unit and f"validation ({unit})") or "validation loss"),
    ):
        points = [(row["epoch"], row[name]) for row in course if math.isfinite(row.get(name, math.nan))]
        if len(points) > 1:
            epoch, lowest = min(points, key=lambda point: point[1])
            text += f"{'Its' if len(members) > 1 else 'The'} {title} went from {number(points[0][1])} to "
            text += f"{number(points[-1][1])} (lowest {number(lowest)} in epoch {epoch:g}). "
    return text


def _doubts(run: Run) -> str:
    if not run.checks:
        return paragraph("No health check was recorded, so nothing here vouches for the run.")
    failed = [check for check in run.checks if not check.passed]
    passed = [check for check in run.checks if check.passed]
    lead = f"{number(len(failed))} of {plural(len(run.checks), 'check')} failed." if failed else (
        f"Nothing stood out: {'the one check' if len(passed) == 1 else f'all {number(len(passed))} checks'} passed."
    )  # fmt: skip
    items = "".join(
        f'<li class="{"good" if check.passed else "bad"}"><b>{"✓ passed" if check.passed else "✗ doubt"}</b> '
        f"<strong>{escape(check.name)}.</strong> {escape(check.text)}</li>"
        for check in [*failed, *passed]
    )
    return f'{paragraph(lead)}<ul class="checks">{items}</ul>\n'


def _members(run: Run) -> str:
    members, best = run.metrics["members"], run.metrics.get("best")
    units = run.metrics.get("units") or {}
    hparams = _swept(members)
    metrics = list(dict.fromkeys(name for member in members for name in member.get("metrics") or {}))
    lost = [m.get("member", i) for i, m in enumerate(members) if str(m.get("status", "")).startswith("diverged")]

    def rank(place: int) -> tuple[bool, float]:
        value = members[place].get("validation")
        known = isinstance(value, (int, float)) and math.isfinite(value)
        return (not known, value if known else 0.0)

    def unit(name: str) -> str:
        return f"{name} ({units[name]})" if units.get(name) else name

    header = ["Member", "Status", "Seed", *hparams, unit("validation"), *map(unit, metrics)]
    rows = []
    for place in sorted(range(len(members)), key=rank):
        member = members[place]
        status = str(member.get("status") or "")
        kind = "best" if place == best else "lost" if status.startswith("diverged") else ""
        name = f"{member.get('member', place)}{' ★ best' if place == best else ''}"
        cells = [cell(name, head=True), cell(status), cell(shown(member.get("seed")), kind="n")]
        cells += [cell(shown((member.get("hparams") or {}).get(h)), kind="n") for h in hparams]
        cells += [cell(number(member.get("validation")), kind="n")]
        cells += [cell(number((member.get("metrics") or {}).get(m)), kind="n") for m in metrics]
        rows.append((kind, "".join(cells)))
    text = f"{plural(len(members), 'member')}, the lowest validation first."
    text += f" Diverged: member{'' if len(lost) == 1 else 's'} {listed(lost, most=24)}." if lost else ""
    whole = folded(header, rows, numeric=range(2, len(header)), noun="member")
    return f'{paragraph(text)}<div class="lines">{whole}</div>\n'


def _sweep(run: Run) -> str:
    points, effects = run.metrics.get("points") or [], run.metrics.get("effects") or {}
    if not points:
        return ""
    unit = (run.metrics.get("units") or {}).get("loss", "")
    by = run.metrics.get("select") or "validation"
    items = []
    for name, effect in effects.items():
        if effect["share"] is None:
            items.append(f"<li>{escape(shown(name))}: too few members of each value to tell what it explains.</li>")
            continue
        text = (
            f"{shown(name)} by itself explains {number(100 * effect['share'], digits=2)} % of how members rank by {by}"
        )
        along = effect["correlation"] or 0.0
        if effect["share"] >= 0.02 and abs(along) >= 0.1:
            towards = "lower" if along < 0 else "higher"
            text += f"; more of it tends to a {towards} one (rank correlation {number(along, digits=2)})"
        if effect["share"] >= 0.02:
            text += f"; best around {shown(effect['best'])}"
        items.append(f"<li>{escape(text)}.</li>")
    lead = f"{plural(len(points), 'point')}, the smallest mean {by} first."
    lead += " What hyperparameters do only together, these shares do not see." if items else ""
    hparams = list(points[0]["hparams"])
    header = [*hparams, "Members", "Diverged", f"Mean{f' ({unit})' if unit else ''}", "Standard deviation"]
    header += ["95 % interval of the mean"]
    rows = []
    for place, point in enumerate(points):
        cells = [cell(shown(point["hparams"][name]), kind="n") for name in hparams]
        cells += [cell(number(len(point["members"])), kind="n"), cell(number(point["lost"]), kind="n")]
        cells += [cell(number(point["mean"]), kind="n"), cell(number(point["sd"]), kind="n")]
        known = point["low"] is not None
        cells += [cell(f"{number(point['low'])} to {number(point['high'])}" if known else "–", kind="n")]
        rows.append(("best" if place == 0 else "", "".join(cells)))
    whole = folded(header, rows, numeric=range(len(header)), noun="point")
    return f'<ul>{"".join(items)}</ul>\n{paragraph(lead)}<div class="lines">{whole}</div>\n'


def _figure(run: Run, place: int) -> str:
    file, title, caption = run.pictures[place]
    data, width, height = run.images[file]
    beside_it = [name for kind in ("csv", "npz") if (name := f"{Path(file).stem}.{kind}") in run.files]
    told = "".join(f' <a href="{quote(name)}">{escape(name)}</a> holds its numbers.' for name in beside_it)
    alt = f"{title}. {caption}".strip()
    return (
        f'<figure><img src="data:image/png;base64,{base64.b64encode(data).decode()}" width="{width}" height="{height}" '
        f'alt="{escape(alt)}"><figcaption><strong>{escape(title)}.</strong> '
        f"{escape(caption)}{told}</figcaption></figure>\n"
    )


def _data(run: Run) -> str:
    data = run.config.get("data") or {}
    columns, notes = data.get("columns") or [], _list(data.get("notes"))
    text = "".join(f"<li>{escape(str(note))}</li>" for note in notes)
    text = f"<ul>{text}</ul>\n" if text else ""
    if columns:
        names = ", ".join(f"<code>{escape(str(column))}</code>" for column in columns)
        whole = f"<p>{names}</p>"
        text += whole if len(columns) <= _MOST_COLUMNS else (
            f"<details><summary>All {plural(len(columns), 'column')}</summary>{whole}</details>"
        )  # fmt: skip
    return text


def _settings(run: Run) -> str:
    settings = run.config.get("settings") or {}
    return pairs(("Setting", "Value"), settings.items()) if settings else ""


def _again(run: Run) -> str:
    config, timing, data = run.config, run.timing, run.config.get("data") or {}
    text = f"<pre><code>{escape(str(config['command']))}</code></pre>\n" if config.get("command") else ""
    facts: dict[str, Any] = {"seed": config.get("seed"), "seeds": config.get("seeds")}
    facts |= {
        "fingerprint of the data": data.get("fingerprint"),
        "device": config.get("device") or timing.get("device"),
    }
    timed = {
        "compile_s": ("compilation", "s"),
        "run_s": ("training", "s"),
        "steps": ("steps" if _count(run) == 1 else "steps, all members together", ""),
        "member_steps_per_s": ("member steps per second", ""),
    }
    for key, (label, unit) in timed.items():
        if isinstance(timing.get(key), (int, float)):
            facts[label] = f"{number(timing[key])} {unit}".strip()
    known = {name: value for name, value in facts.items() if value is not None}
    text += pairs(("Fact", "Value"), known.items()) if known else ""
    versions = run.config.get("versions") or {}
    return text + (pairs(("Version of", ""), versions.items()) if versions else "")


def _files(run: Run) -> str:
    rows = [
        (
            "",
            f'<th scope="row"><a href="{quote(name)}">{escape(name)}</a></th>{cell(f"{number(size)} bytes", kind="n")}',
        )
        for name, size in run.files.items()
    ]
    return folded(["File", "Size"], rows, numeric=[1], noun="file")


def _count(run: Run) -> int:
    """Return how many models were trained."""
    return len(run.metrics.get("members") or []) or run.timing.get("members") or 1


def _swept(members: list[dict[str, Any]]) -> list[str]:
    """Return the hyperparameters in which the members differ."""
    names = dict.fromkeys(name for member in members for name in member.get("hparams") or {})
    return [name for name in names if len({str((member.get("hparams") or {}).get(name)) for member in members}) > 1]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
