"""The tables of README.md that are made from committed results."""

from pathlib import Path

__all__ = ["rewrite"]

README = Path(__file__).parents[1] / "README.md"


def rewrite(name: str, table: str) -> None:
    """Put a table between the two markers of its name in README.md."""
    before, rest = README.read_text().split(f"<!-- {name}:begin -->")
    _, after = rest.split(f"<!-- {name}:end -->")
    README.write_text(f"{before}<!-- {name}:begin -->\n{table}\n<!-- {name}:end -->{after}")
