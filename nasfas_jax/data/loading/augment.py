"""Augmentation of training batches: the papers' recipes by name.

A recipe is a list of pure functions of a batch and a generator of random numbers; they
change `image` float32 [B, S, S, 3] in [-1, 1] and, where a picture is mirrored, `target`
[B, m, m] with it.

============  =======================================================================
standard      mirror, brightness of each colour, gamma: CDCN's without its holes
cdcn          brightness and gamma, erased patches, mirror, a cut-out square, as
              CDCN's training code has them and in its order
flip          mirror only
rfmeta        nothing: RFMeta's code augments nothing
none          nothing
============  =======================================================================
"""

from collections.abc import Callable, Mapping

import numpy as np

from nasfas_jax import limits

Batch = dict[str, np.ndarray]
Transform = Callable[[Batch, np.random.Generator], Batch]

BRIGHTNESS = 40 / 255  # added to each colour channel, up to plus or minus this
GAMMA = (0.5, 1.5)  # exponent
# Random erasing: how often, how many patches at most, part of the area, height / width.
ERASE, PATCHES, AREA, ASPECT = 0.5, 2, (0.01, 0.05), (0.5, 2.0)
CUTOUT, OF = 50, 256  # sides of the cut-out squares are below 50 in 256 pixels
# CDCN fills patches with means of colours in [0, 1] where pixels go to 255: with black.
BLACK = -1.0


def flip(batch: Batch, random: np.random.Generator) -> Batch:
    """Mirror half of the images, and their maps with them."""
    image, target = batch["image"].copy(), batch["target"].copy()
    chosen = random.random(len(image)) < 0.5
    image[chosen] = image[chosen, :, ::-1]
    target[chosen] = target[chosen, :, ::-1]
    return batch | {"image": image, "target": target}


def colour(batch: Batch, random: np.random.Generator) -> Batch:
    """Change each colour's brightness, then the gamma of all."""
    count = len(batch["image"])
    brightness = random.uniform(-BRIGHTNESS, BRIGHTNESS, (count, 1, 1, 3))
    gamma = random.uniform(*GAMMA, (count, 1, 1, 1))
    pixels = (batch["image"] + 1) / 2 + brightness.astype(np.float32)
    pixels = np.clip(pixels, 0, 1, out=pixels) ** gamma.astype(np.float32)
    return batch | {"image": 2 * pixels - 1}


def erase(batch: Batch, random: np.random.Generator) -> Batch:
    """Blacken one or two rectangles in half of the images."""
    images = batch["image"].copy()
    side = images.shape[1]
    chosen = np.flatnonzero(random.random(len(images)) < ERASE)
    for i in chosen:
        for _ in range(random.integers(1, PATCHES + 1)):
            area = random.uniform(*AREA) * side**2
            aspect = random.uniform(*ASPECT)
            high, wide = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
            top, left = random.integers(0, side - np.array([high, wide]) + 1)
            images[i, top : top + high, left : left + wide] = BLACK
    return batch | {"image": images}


def cutout(batch: Batch, random: np.random.Generator) -> Batch:
    """Blacken a square of each image, anywhere, cut off at the border."""
    images = batch["image"].copy()
    side = images.shape[1]
    centres = random.integers(0, side, (len(images), 2))
    halves = random.integers(1, CUTOUT, len(images)) * side // OF // 2
    for image, (y, x), half in zip(images, centres, halves, strict=True):
        image[max(y - half, 0) : y + half, max(x - half, 0) : x + half] = BLACK
    return batch | {"image": images}


RECIPES: Mapping[str, tuple[Transform, ...]] = {
    "standard": (flip, colour),
    "cdcn": (colour, erase, flip, cutout),
    "flip": (flip,),
    "rfmeta": (),
    "none": (),
}


def augmented(batch: Batch, recipe: str, random: np.random.Generator) -> Batch:
    """The batch after a recipe's transforms.

    Raises:
      InputError: no such recipe.
    """
    for transform in transforms(recipe):
        batch = transform(batch, random)
    return batch


def transforms(recipe: str) -> tuple[Transform, ...]:
    """A recipe's transforms.

    Raises:
      InputError: no such recipe.
    """
    limits.require(augment=(recipe, limits.OneOf(RECIPES)))
    return RECIPES[recipe]
