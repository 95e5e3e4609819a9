"""Augmentation of training batches: the recipes of the papers by name.

A recipe is a list of pure functions of a batch and a random number generator.  They change
`image`, float32 [B, S, S, 3] in [-1, 1], or clips [B, K, S, S, 3], of which all frames
change alike; mirroring also changes `target` [B, m, m].

============  =======================================================================
standard      mirroring, brightness of each color channel, gamma: as CDCN's recipe
              without erased patches and squares
cdcn          brightness and gamma, erased patches, mirroring, an erased square, in
              the order of CDCN's training code
flip          mirroring only
rfmeta        none, as in RFMeta's code
none          none
============  =======================================================================
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from nasfas_jax import limits

Batch = dict[str, np.ndarray]


class Clips(NamedTuple):
    """Clips of a batch that are at hand; random numbers are drawn for all of the batch.

    Attributes:
      count: number of clips of the whole batch.
      rows: indices of those at hand, in their order.
    """

    count: int
    rows: np.ndarray

    @classmethod
    def of(cls, batch: Batch) -> "Clips":
        """All clips of a batch."""
        count = len(batch["image"])
        return cls(count, np.arange(count))


Transform = Callable[[Batch, np.random.Generator, Clips], Batch]

BRIGHTNESS = 40 / 255  # largest absolute change of a color channel
GAMMA = (0.5, 1.5)  # range of the exponent
# Random erasing: probability, most patches, share of the area, height / width.
ERASE, PATCHES, AREA, ASPECT = 0.5, 2, (0.01, 0.05), (0.5, 2.0)
CUTOUT, OF = 50, 256  # sides of erased squares are below 50 of 256 pixels
# CDCN fills patches with mean colors in [0, 1], while pixels range to 255: black.
BLACK = -1.0


def flip(batch: Batch, random: np.random.Generator, clips: Clips) -> Batch:
    """Mirrors half of the images and their maps."""
    image, target = batch["image"].copy(), batch["target"].copy()
    chosen = (random.random(clips.count) < 0.5)[clips.rows]
    image[chosen] = image[chosen][..., ::-1, :]
    target[chosen] = target[chosen, :, ::-1]
    return batch | {"image": image, "target": target}


def change_color(batch: Batch, random: np.random.Generator, clips: Clips) -> Batch:
    """Changes the brightness of each color channel, then the gamma of all."""
    _, *inner, channels = batch["image"].shape
    same = (1,) * len(inner)  # for all pixels, and all frames of a clip
    brightness = random.uniform(-BRIGHTNESS, BRIGHTNESS, (clips.count, *same, channels))
    gamma = random.uniform(*GAMMA, (clips.count, *same, 1))
    brightness, gamma = brightness[clips.rows], gamma[clips.rows]
    pixels = (batch["image"] + 1) / 2 + brightness.astype(np.float32)
    pixels = np.clip(pixels, 0, 1, out=pixels) ** gamma.astype(np.float32)
    return batch | {"image": 2 * pixels - 1}


def erase(batch: Batch, random: np.random.Generator, clips: Clips) -> Batch:
    """Erases one or two rectangles in half of the images."""
    images = batch["image"].copy()
    side = images.shape[-2]
    place = {row: i for i, row in enumerate(clips.rows)}
    chosen = np.flatnonzero(random.random(clips.count) < ERASE)
    for i in chosen:
        for _ in range(random.integers(1, PATCHES + 1)):
            area = random.uniform(*AREA) * side**2
            aspect = random.uniform(*ASPECT)
            high, wide = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
            top, left = random.integers(0, side - np.array([high, wide]) + 1)
            if i in place:
                images[place[i], ..., top : top + high, left : left + wide, :] = BLACK
    return batch | {"image": images}


def cutout(batch: Batch, random: np.random.Generator, clips: Clips) -> Batch:
    """Erases a square of each image at a random place, cut off at the border."""
    images = batch["image"].copy()
    side = images.shape[-2]
    centers = random.integers(0, side, (clips.count, 2))[clips.rows]
    halves = random.integers(1, CUTOUT, clips.count)[clips.rows] * side // OF // 2
    for image, (y, x), half in zip(images, centers, halves, strict=True):
        rows = slice(max(y - half, 0), y + half)
        image[..., rows, max(x - half, 0) : x + half, :] = BLACK
    return batch | {"image": images}


RECIPES: Mapping[str, tuple[Transform, ...]] = {
    "standard": (flip, change_color),
    "cdcn": (change_color, erase, flip, cutout),
    "flip": (flip,),
    "rfmeta": (),
    "none": (),
}


def augmented(
    batch: Batch,
    recipe: str,
    random: np.random.Generator,
    clips: Clips | None = None,
) -> Batch:
    """The batch transformed by a recipe.

    Args:
      batch: the clips at hand.
      recipe: name of the recipe.
      random: generator, used up as by the whole batch.
      clips: which clips of which batch they are; None: all of it.

    Raises:
      InputError: an unknown recipe.
    """
    for transform in transforms(recipe):
        batch = transform(batch, random, clips or Clips.of(batch))
    return batch


def transforms(recipe: str) -> tuple[Transform, ...]:
    """The transforms of a recipe.

    Raises:
      InputError: an unknown recipe.
    """
    limits.require(augment=(recipe, limits.OneOf(RECIPES)))
    return RECIPES[recipe]
