"""Picture of the agreement of several searches."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from nasfas_jax.report.picture import STYLE, Format, Picture, finish


@matplotlib.rc_context(STYLE)
def agreement_matrix(
    matrix: np.ndarray, names: Sequence[str], format: Format = "svg"
) -> Picture:
    """Equal operations of every pair of searches, in %.

    Args:
      matrix: [n, n], fractions.
      names: seeds of the searches.
      format: of the picture.
    """
    side = 2.0 + 0.45 * len(names)
    figure = Figure((side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(100 * matrix, cmap="cividis", vmin=0, vmax=100)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="seed", ylabel="seed")
    axes.grid(False)
    for i, j in np.ndindex(*matrix.shape):
        color = "white" if matrix[i, j] < 0.6 else "black"
        text = f"{100 * matrix[i, j]:.0f}"
        axes.text(j, i, text, ha="center", va="center", color=color)
    figure.colorbar(image, label="equal operations, %")
    return finish(figure, format, f"Agreement of the searches {', '.join(names)}")
