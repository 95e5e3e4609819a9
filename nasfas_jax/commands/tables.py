"""Rows of text, the head first, on the screen and as Markdown."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

Rows = Sequence[Sequence[str]]


def show(title: str, rows: Rows) -> None:
    """Prints a table as wide as it is: no cell is cut or broken."""
    shown = Table(title=title)
    for column in rows[0]:
        shown.add_column(column, no_wrap=True)
    for row in rows[1:]:
        shown.add_row(*row)
    width = sum(max(map(len, column)) + 3 for column in zip(*rows, strict=True)) + 1
    Console(width=max(width, len(title))).print(shown)


def markdown(rows: Rows) -> str:
    """The table in Markdown, a line a row.

    >>> print(markdown([["a", "b"], ["1", "2"]]), end="")
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    rule = ["---"] * len(rows[0])
    return "".join(f"| {' | '.join(row)} |\n" for row in (rows[0], rule, *rows[1:]))
