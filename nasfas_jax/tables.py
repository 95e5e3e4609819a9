"""Tables, given as rows of text with the header first, for terminals and notebooks."""

import html
from collections.abc import Sequence

Rows = Sequence[Sequence[str]]


def as_text(rows: Rows) -> str:
    """The table with aligned columns.

    >>> print(as_text([["network", "HTER, %"], ["cdn", "20.4"]]))
    network  HTER, %
    cdn      20.4
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def as_html(rows: Rows) -> str:
    """The table in HTML.

    >>> as_html([["<a>"], ["1"]])
    '<table><thead><tr><th>&lt;a&gt;</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>'
    """
    head, *body = (
        f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in row)}</tr>"
        for tag, row in zip(("th", *["td"] * (len(rows) - 1)), rows, strict=True)
    )
    return f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"
