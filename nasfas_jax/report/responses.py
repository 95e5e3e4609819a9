"""Picture of feature responses of vanilla and central difference convolution."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from nasfas_jax.report.picture import MUTED, STYLE, Format, Picture, finish

#: Inches of the side of a small picture, and of the captions on the left.
SIDE, LEFT = 1.3, 1.3


class Row(NamedTuple):
    """One face and its responses.

    Attributes:
      caption: text on the left.
      face: face [S, S, 3], uint8.
      vanilla: responses [S, S] of vanilla convolution.
      central: responses [S, S] of central difference convolution.
    """

    caption: str
    face: np.ndarray
    vanilla: np.ndarray
    central: np.ndarray


@matplotlib.rc_context(STYLE)
def grid(rows: Sequence[Row], theta: float, format: Format = "png") -> Picture:
    """Faces with the responses of both convolutions, a face a row.

    The rows of a convolution have one scale of colors, from 0 to its largest response, so
    that colors are comparable down a column and not across.

    Args:
      rows: faces and responses.
      theta: share of central differences, for the title.
      format: 'svg' or 'png'.
    """
    width, height = LEFT + 3 * SIDE, 0.35 + SIDE * len(rows)
    figure = Figure((width, height), layout="constrained")
    panels = figure.subplots(len(rows), 3, squeeze=False)
    largest = [max(row.vanilla.max() for row in rows)]
    largest.append(max(row.central.max() for row in rows))
    for axes, row in zip(panels, rows, strict=True):
        axes[0].imshow(row.face)
        values = (row.vanilla, row.central)
        for one, shown, high in zip(axes[1:], values, largest, strict=True):
            one.imshow(shown, cmap="inferno", vmin=0, vmax=high)
        for one in axes:
            one.set(xticks=[], yticks=[])
            one.grid(False)
            one.spines[:].set_visible(False)
        axes[0].set_ylabel(row.caption, rotation=0, ha="right", va="center", size=8)
    titles = ("face", "vanilla", f"CDC, theta {theta:g}")
    for one, title in zip(panels[0], titles, strict=True):
        one.set_title(title, loc="center", size=8.5, weight="normal", color=MUTED)
    captions = ", ".join(row.caption.replace("\n", ", ") for row in rows)
    return finish(figure, format, f"Responses of two convolutions to {captions}")
