"""Finished pictures, and their common style."""

import base64
import dataclasses
import html
import io
import os
import pathlib
from typing import Any, Literal

from matplotlib.figure import Figure

from nasfas_jax import files, limits
from nasfas_jax.errors import InputError
from nasfas_jax.graphs import Operation

Format = Literal["svg", "png"]

INK, MUTED, RULE = "#1f2933", "#5f6b7a", "#d5dbe3"
LIVE, SPOOF, ACCENT = "#0072B2", "#E69F00", "#B3261E"
#: For lines: the colors of Okabe and Ito that stand out on white, told apart by all.
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES, MARKERS = ("-", "--", ":", "-."), ("o", "s", "^", "D")

STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.edgecolor": "#9aa5b1",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e8ecf1",
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "figure.facecolor": "white",
    # Letters as outlines look equal everywhere; a fixed salt gives reproducible files.
    "svg.fonttype": "path",
    "svg.hashsalt": "nasfas",
}


def line_style(index: int) -> dict[str, Any]:
    """Color and dashes of a curve by its place; 28 differ."""
    turn, place = divmod(index, len(SERIES))
    return {"color": SERIES[place], "linestyle": DASHES[turn % len(DASHES)]}


def point_style(index: int) -> dict[str, Any]:
    """Color and marker of points by their place; 28 differ."""
    turn, place = divmod(index, len(SERIES))
    return {"color": SERIES[place], "marker": MARKERS[turn % len(MARKERS)]}


@dataclasses.dataclass(frozen=True, repr=False)
class Picture:
    """An image file in memory.

    Attributes:
      data: content of the file.
      format: 'svg' or 'png'.
      width: width in CSS pixels (96 per inch).
      alt: description of the content in words.
    """

    data: bytes
    format: Format
    width: int
    alt: str

    @property
    def uri(self) -> str:
        """The whole picture as the ``src`` of an ``img`` element."""
        kind = {"svg": "image/svg+xml", "png": "image/png"}[self.format]
        return f"data:{kind};base64,{base64.b64encode(self.data).decode('ascii')}"

    @property
    def html(self) -> str:
        """The whole picture as an ``img`` element."""
        alt = html.escape(self.alt)
        return f'<img src="{self.uri}" width="{self.width}" alt="{alt}">'

    def __repr__(self) -> str:
        return f"<Picture, {self.format} of {len(self.data):,} bytes: {self.alt}>"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        """Image for notebooks."""
        if self.format == "svg":
            return {"image/svg+xml": self.data.decode(), "text/plain": self.alt}
        return {"image/png": self.uri.partition(",")[2], "text/plain": self.alt}

    def save(self, path: str | os.PathLike) -> None:
        """Writes the file.

        Raises:
          InputError: no path, a name whose ending is not that of the format, no folder
            there, or one that cannot be written.
        """
        limits.require(path=(path, limits.PATH))
        path = pathlib.Path(path)
        if path.suffix != f".{self.format}":
            raise InputError(
                f"{path}: expected a name ending in .{self.format}, got "
                f"{path.suffix!r}. Change the name, or draw with another format."
            )
        files.require_folder_of(path)
        with files.writing(path.parent), files.whole(path) as part:
            part.write_bytes(self.data)


def finish(figure: Figure, format: Format, alt: str, dpi: int = 150) -> Picture:
    """Renders a figure; equal figures give equal bytes."""
    buffer = io.BytesIO()
    metadata = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
    figure.savefig(buffer, format=format, dpi=dpi, metadata=metadata[format])
    return Picture(buffer.getvalue(), format, round(96 * figure.get_figwidth()), alt)


#: Shades of the color groups in `graphs.GROUPS`.
SHADES = {
    "none": ("#a7b0bb",),
    "skip": ("#009E73",),
    "convolution": ("#0072B2", "#56B4E9", "#003F66"),
    "wide": ("#F4CF85", "#EDB040", "#DF8A0E", "#C4620A", "#8A3B06"),
    "pooling": ("#CBE4DC", "#8CC7B5", "#4E9C86"),
    "attention": ("#EAD5E2",),
    "plain": ("#e4e8ee",),
}


def operation_color(operation: Operation) -> str:
    """Color of an operation, the same in graphs and curves.

    Gray for none, green for skip, blue for convolutions, orange for pairs of
    convolutions, darker the wider they are.
    """
    return SHADES[operation.group][operation.shade]
