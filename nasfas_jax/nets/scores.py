"""Scores of predicted maps."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jax import Array

#: Rules by which a map becomes a score: the mean of its pixels, or of their squares (its
#: squared norm over the number of pixels).
SCORES = ("mean", "mean_square")
#: Function from maps [N, h, w] to scores [N].
Scorer = Callable[[Any], Any]


def score(maps: Array | np.ndarray, rule: str = "mean") -> Array | np.ndarray:
    """Scores [N], higher is live, of predicted maps [N, H, W].

    Args:
      maps: predicted maps.
      rule: one of `SCORES`.
    """
    return (maps if rule == "mean" else maps**2).mean((-2, -1))
