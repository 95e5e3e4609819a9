"""The report: one self-contained HTML file that works offline."""

import dataclasses
import importlib.resources
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import markupsafe

from nasfas_jax import files
from nasfas_jax.errors import InputError
from nasfas_jax.report.picture import Picture


@dataclasses.dataclass(frozen=True)
class Row:
    """A network's line in the result table.

    ``result`` is what its ``result.json`` holds (``evaluation.evaluate.Result``);
    ``parameters`` and ``macs`` (of one forward pass) are counts, ``seconds`` the time
    its training took on the machine that the report names.
    """

    network: str
    result: Mapping[str, Any]
    parameters: int
    macs: int
    seconds: float

    @property
    def label(self) -> str:
        """The name of the network, marked if its numbers are oracles."""
        oracle = self.result["selected_on"] == "test"
        return f"{self.network} (oracle)" if oracle else self.network


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page after the result table.

    Blank lines in ``text`` separate paragraphs; ``code`` is shown as it is, folded;
    ``facts`` as a list of names and values; ``table`` has its header first.
    """

    title: str
    text: str = ""
    pictures: Sequence[Picture] = ()
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    code: str = ""
    table: Sequence[Sequence[str]] = ()


def render(
    path: str | os.PathLike,
    *,
    title: str,
    summary: str,
    rows: Sequence[Row],
    sections: Sequence[Section],
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Writes the report atomically.

    Args:
      path: of the HTML file.
      title: heading of the page.
      summary: a paragraph below it.
      rows: the result table, one network each.
      sections: what follows the table, in order.
      facts: names and values shown below the summary (protocol, machine, date).

    Raises:
      InputError: there is no row.
    """
    if not rows:
        raise InputError(
            f"{path}: expected at least one evaluated network, got none. Run `nasfas "
            "evaluate` before the report."
        )
    text = (
        importlib.resources.files("nasfas_jax.report")
        .joinpath("template.html")
        .read_text(encoding="utf-8")
    )
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "count": count,
        "duration": duration,
        "breakable": breakable,
    }
    page = environment.from_string(text).render(
        title=title,
        summary=summary,
        rows=rows,
        warnings=_warnings(rows),
        types=sorted({t for row in rows for t in row.result["test"]["apcer_by_type"]}),
        sections=sections,
        facts=facts or {},
    )
    files.write_text(path, page)


def _warnings(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The warnings of all results as sentences, each with the networks it is about."""
    networks: dict[str, list[str]] = {}
    for row in rows:
        for warning in row.result["warnings"]:
            text = warning.partition(": ")[2]  # without its kind
            sentence = f"{text[:1].upper()}{text[1:]}."
            networks.setdefault(sentence, []).append(row.label)
    return networks


def breakable(name: str) -> markupsafe.Markup:
    """A name that a line may break after an underscore.

    >>> breakable("replay_<a>")
    Markup('replay_<wbr>&lt;a&gt;')
    """
    return markupsafe.escape(name).replace("_", markupsafe.Markup("_<wbr>"))


def percent(rate: float) -> str:
    """A rate for a reader.

    >>> percent(0.0625), percent(1)
    ('6.3', '100.0')
    """
    # Half up, as by hand: the rates are ratios of small counts.
    return f"{int(rate * 1000 + 0.5) / 10:.1f}"


def count(number: float) -> str:
    """A large number with three digits.

    >>> count(2_245_016), count(51_300_000_000), count(740)
    ('2.25 M', '51.3 G', '740')
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            scaled = number / size
            return f"{scaled:.{max(0, 2 - (scaled >= 10) - (scaled >= 100))}f} {unit}"
    return f"{number:g}"


def duration(seconds: float) -> str:
    """A time for a reader.

    >>> duration(8.43), duration(95), duration(4210)
    ('8.4 s', '1 min 35 s', '1 h 10 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
