"""Griffe extension: ``#:`` comments are docstrings, doctests are code blocks."""

import re

import griffe


class Comments(griffe.Extension):
    """Makes the docstrings of this project's style readable for mkdocstrings."""

    def on_attribute_instance(self, *, attr, **_):
        """Takes the ``#:`` comment above an assignment as its docstring."""
        if attr.docstring or not attr.lineno:
            return
        lines = attr.filepath.read_text(encoding="utf-8").splitlines()
        first = attr.lineno - 1
        while first and lines[first - 1].lstrip().startswith("#:"):
            first -= 1
        comment = [
            x.lstrip().removeprefix("#:") for x in lines[first : attr.lineno - 1]
        ]
        if comment:
            text = "\n".join(x.removeprefix(" ") for x in comment)
            attr.docstring = griffe.Docstring(text, lineno=first + 1, parent=attr)

    def on_instance(self, *, obj, **_):
        """Puts doctests into fences; as plain text they would be quotations."""
        if obj.docstring:
            obj.docstring.value = fence_doctests(obj.docstring.value)


def fence_doctests(text: str) -> str:
    """The text with each paragraph that begins with ``>>>`` in a fence."""
    doctest = r"^>>> .*(?:\n(?!\s*$).*)*"
    return re.sub(doctest, r"```pycon\n\g<0>\n```", text, flags=re.MULTILINE)
