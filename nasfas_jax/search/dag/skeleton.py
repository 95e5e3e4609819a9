"""Stem, order of the cells and head, shared by supernets and derived networks."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
from jax import Array

from nasfas_jax import ops
from nasfas_jax.search.dag import layers

Pair = tuple[Array, Array]


def groups(space: Any) -> list[tuple[str, int, list[int]]]:
    """Kind, channels and indices of consecutive equal cells, of which there are 1 or 2."""
    found = itertools.groupby(enumerate(space.layout), key=lambda cell: cell[1])
    return [(*key, [i for i, _ in cells]) for key, cells in found]


def stage_names(space: Any) -> tuple[str, ...]:
    """Names of the stages: the stem, the number of each group's last cell, the score."""
    cells = (f"cell_{indices[-1]}" for _, _, indices in groups(space))
    return ("stem", *cells, "score")


def stages(
    space: Any,
    cells: Callable[[str, int, list[Array], Array], Any],
    *,
    affine: bool,
    train: bool,
) -> dict[str, Callable[[Any], Any]]:
    """A network around its cells; call the stages inside ``nn.compact``.

    Every convolution of the stem has BatchNorm, and a ReLU before it except for the first.
    The first cell's inputs are the outputs of the last two convolutions, or twice that of
    the only one. Inputs are brought to the channels of a cell by a 1 x 1 convolution, and to
    the sides of the last output by `layers.FactorizedReduce`.

    Args:
      space: the search space; selects stem, cells and head.
      cells: ``(kind, start, firsts, second)``, equal cells from number ``start`` on: the
        first input [N, H, W, C] of each and the second one of the first cell, to the
        outputs [N, h, w, 4 C] of all. The second input of the others is the output before
        them, through a 1 x 1 convolution of its own.
      affine: whether BatchNorm before and after the cells learns a scale and a shift.
      train: whether BatchNorm uses the batch's statistics.

    Returns:
      Functions by `stage_names`. The stem takes images [N, H, W, C]; the others take what
      the one before returns, the last two outputs. The last stage returns maps
      [N, map_size, map_size] of probabilities of live; [N, 1, 1] for 'scalar' heads.
    """

    def stem(x: Array) -> Pair:
        outputs = []
        for i, (features, stride) in enumerate(space.stem):
            conv = layers.Conv(features, 3, stride, relu=i > 0, name=f"stem_{i}")
            x = conv(x, train=train)
            outputs.append(x)
        return outputs[-2] if len(outputs) > 1 else outputs[-1], outputs[-1]

    def group(kind: str, channels: int, indices: list[int], state: Pair) -> Pair:
        s0, s1 = state
        firsts = []
        for i, x in zip(indices, (s0, s1), strict=False):
            same = x.shape[1:3] == s1.shape[1:3]
            layer = layers.Conv if same else layers.FactorizedReduce
            first = layer(channels, affine=affine, name=f"cell_{i}_input_0")
            firsts.append(first(x, train=train))
        start = indices[0]
        second = layers.Conv(channels, affine=affine, name=f"cell_{start}_input_1")
        outputs = cells(kind, start, firsts, second(s1, train=train))
        s0, s1 = [s1, *outputs][-2:]
        return s0, s1

    def score(state: Pair) -> Array:
        head = layers.Conv(2, 3, bn=False, name="head")
        logits = head(state[1], train=train)
        if space.head == "scalar":
            logits = logits.mean((1, 2), keepdims=True)
        else:
            logits = ops.resize(logits, space.map_size)
        return nn.sigmoid(logits[..., 1] - logits[..., 0])

    steps = [functools.partial(group, *equal) for equal in groups(space)]
    return dict(zip(stage_names(space), [stem, *steps, score], strict=True))
