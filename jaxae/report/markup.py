"""The few pieces of HTML that a page is made of; all text that comes in is escaped here."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from html import escape

from jaxae.report.words import number, plural

__all__ = ["cell", "folded", "pairs", "paragraph", "shown", "table"]

_MOST_ROWS = 12  # rows of a table before it is folded


def shown(value: object) -> str:
    """Return a setting as text: numbers short, texts as they are, the rest as JSON.

    Examples:
        >>> shown(0.46415888), shown(True), shown("relu"), shown([64, 64])
        ('0.4642', 'true', 'relu', '[64, 64]')
    """
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        # A year or a seed is no quantity: without separators.
        return str(value) if isinstance(value, int) else number(value, trim=True)
    return json.dumps(value, ensure_ascii=False, default=str)


def paragraph(text: str) -> str:
    """Return a paragraph, or nothing where there is no text."""
    return f"<p>{escape(text.strip())}</p>\n" if text.strip() else ""


def cell(text: str, *, kind: str = "", head: bool = False) -> str:
    """Return one cell of a table: of class ``kind``, or the head of its row."""
    if head:
        return f'<th scope="row">{escape(text)}</th>'
    inside = f' class="{kind}"' if kind else ""
    return f"<td{inside}>{escape(text)}</td>"


def table(
    header: Sequence[str], rows: Iterable[tuple[str, str]], *, numeric: Collection[int] = (), caption: str = ""
) -> str:
    """Return a table.

    Args:
        header: the columns' titles.
        rows: class and cells (as HTML) of each row.
        numeric: indices of the columns that stand to the right.
        caption: above the table.
    """
    heads = "".join(
        f'<th scope="col"{" class=" + chr(34) + "n" + chr(34) if place in numeric else ""}>{escape(title)}</th>'
        for place, title in enumerate(header)
    )
    lines = "\n".join(f'<tr class="{kind}">{cells}</tr>' if kind else f"<tr>{cells}</tr>" for kind, cells in rows)
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="wide"><table>{above}<thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}\n</tbody></table></div>\n'
    )


def folded(header: Sequence[str], rows: Sequence[tuple[str, str]], *, numeric: Collection[int], noun: str) -> str:
    """Return a table, of which a long one shows its first rows and unfolds to all."""
    if len(rows) <= _MOST_ROWS:
        return table(header, rows, numeric=numeric)
    first, whole = table(header, rows[: _MOST_ROWS - 4], numeric=numeric), table(header, rows, numeric=numeric)
    return f"{first}<details><summary>All {plural(len(rows), noun)}</summary>\n{whole}</details>\n"


def pairs(header: tuple[str, str], entries: Iterable[tuple[str, object]]) -> str:
    """Return a table of names and values."""
    return table(header, [("", cell(name, head=True) + cell(shown(value))) for name, value in entries])
