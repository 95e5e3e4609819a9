"""Tables, given as rows of text with the header first, on the screen and in Markdown."""

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.table import Table

from nasfas_jax.errors import some
from nasfas_jax.tables import Rows


def show(title: str, rows: Rows) -> None:
    """Prints a table at its full width, without cutting or wrapping a cell."""
    shown = Table(title=title)
    for column in rows[0]:
        shown.add_column(column, no_wrap=True)
    for row in rows[1:]:
        shown.add_row(*row)
    width = sum(max(map(len, column)) + 3 for column in zip(*rows, strict=True)) + 1
    console = Console(width=max(width, len(title)), markup=False, emoji=False)
    console.print(shown)


def markdown(rows: Rows) -> str:
    """The table in Markdown, one line per row.

    >>> print(markdown([["a", "b"], ["1", "2"]]), end="")
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    rule = ["---"] * len(rows[0])
    return "".join(f"| {' | '.join(row)} |\n" for row in (rows[0], rule, *rows[1:]))


def left_out(files: Iterable[tuple[str, str]], most: int = 3) -> Iterator[str]:
    """Lines that count the files left out for each reason and name the first of them.

    Args:
      files: name and reason of each; names in reasons do not tell these apart.
      most: names on a line.

    >>> print("".join(left_out([("a.txt", "not read"), ("b.txt", "not read")])), end="")
    2 files left out:
      2: not read (a.txt, b.txt)
    """
    of: dict[str, list[str]] = {}
    for name, reason in files:
        of.setdefault(reason.replace(name, "..."), []).append(name)
    if of:
        yield f"{sum(map(len, of.values()))} files left out:\n"
    for reason, names in of.items():
        yield f"  {len(names)}: {reason} ({some(names, most)})\n"
