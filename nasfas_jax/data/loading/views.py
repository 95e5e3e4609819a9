"""Network inputs and targets from prepared records: image, color space, range, map."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np

from nasfas_jax import limits
from nasfas_jax.data.preparation import extract, labels
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError

#: Maps to be predicted, and the arrays of a record that they are made of; spoofs have
#: zeros.
TARGETS = {"depth": "depth", "location": "face", "binary": "face"}
TARGET = limits.OneOf(TARGETS, renamed={"mask": "location"})
#: Names of the inputs, and of the arrays of a record that hold them; several are
#: concatenated on channels.
INPUTS = {
    "static_dynamic": ("image",),
    "static": ("static",),
    "dynamic": ("dynamic",),
    "concatenated": ("static", "dynamic"),
    "frames": ("frames",),
}
#: Color spaces and their channels.
COLORS = {"rgb": 3, "hsv": 3, "ycbcr": 3, "rgb_hsv": 6}
PIXELS = ("signed", "unit")  # [-1, 1], or [0, 1] as in RFMeta's code
MAP_SIZES = limits.Range(1, labels.MAP_SIZE, whole=True)
#: Inputs that a branch may have: one image of a record. An array that is added to records,
#: as that of another modality, becomes an input and a branch by its entry in `INPUTS`.
IMAGES = tuple(n for n, arrays in INPUTS.items() if len(arrays) == 1 and n != "frames")


class Branch(NamedTuple):
    """An image in a color space, one of several that an input joins.

    Attributes:
      image: its name, one of `IMAGES`.
      color: color space, a key of `COLORS`; '' for that of the view.
    """

    image: str
    color: str

    @classmethod
    def parse(cls, text: str) -> "Branch":
        """The branch of a text as 'static' or 'static:hsv'."""
        image, _, color = text.partition(":")
        return cls(image, color)


class _Branches(limits.Kind):
    """Names of branches, as 'dynamic' or 'static:hsv'."""

    def __contains__(self, value: Any) -> bool:
        if not isinstance(value, str):
            return False
        image, colon, color = value.partition(":")
        return image in IMAGES and (color in COLORS if colon else True)


#: Values of a branch.
BRANCHES = _Branches(
    str,
    f"an image ({', '.join(IMAGES)}), with a color space after a colon"
    f" ({', '.join(COLORS)}) if it has its own, as 'static:hsv'",
)

#: Values of a list of branches, or None.
SEVERAL_BRANCHES = limits.OrNone(limits.Several(BRANCHES))


class _Inputs(limits.OneOf):
    """Names of inputs, and branches joined by '+', as 'static:hsv+dynamic'."""

    def __contains__(self, value: Any) -> bool:
        if super().__contains__(value):
            return True
        return isinstance(value, str) and all(t in BRANCHES for t in value.split("+"))

    def __str__(self) -> str:
        return f"{super().__str__()}, or several as 'static:hsv+dynamic'"


#: Values of ``View.input``.
INPUT = _Inputs(INPUTS)


@dataclasses.dataclass(frozen=True)
class View:
    """Selects the input, color space and target of a batch.

    Attributes:
      target: map to be predicted, zero for spoofs; of live clips 'depth', 'location' (1 in
        the filled region of the face) or 'binary' (1 everywhere).
      input: image to predict from, 'static_dynamic', 'static', 'dynamic' or both
        'concatenated' on channels; or 'frames', all K frames of the clip, which records
        hold if ``Recipe.keep_frames``. Any images, each with a color space of its own or
        that of ``color``, are joined on channels by '+': 'static:hsv+static:ycbcr+dynamic'.
      color: color space, 'rgb', 'hsv', 'ycbcr', or 'rgb_hsv' for both, concatenated
        (RFMeta). Hue, saturation and value, and luma with its color differences Cb and Cr
        (BT.601, full range) as defined by OpenCV (hue 0 to 360 degrees, the others 0 to
        1), each scaled from its range to [-1, 1], as red, green and blue are.
      map_size: side of the target, 1 to 32, the prepared size (8, 14 and 32 in the
        papers); cells are averaged over area, and a cell of a location map is
        set if half of it or more is.
      pixels: range of the image, 'signed' for [-1, 1] or 'unit' for [0, 1].

    Raises:
      InputError: another value.
    """

    target: str = "depth"
    input: str = "static_dynamic"
    color: str = "rgb"
    map_size: int = labels.MAP_SIZE
    pixels: str = "signed"

    def __post_init__(self):
        limits.require(
            target=(self.target, TARGET),
            input=(self.input, INPUT),
            color=(self.color, limits.OneOf(COLORS)),
            map_size=(self.map_size, MAP_SIZES),
            pixels=(self.pixels, limits.OneOf(PIXELS)),
        )

    @property
    def images(self) -> tuple[tuple[str, str], ...]:
        """Array of the record and color space of each image that the input joins."""
        if self.input in INPUTS:
            return tuple((name, self.color) for name in INPUTS[self.input])
        branches = map(Branch.parse, self.input.split("+"))
        return tuple((INPUTS[b.image][0], b.color or self.color) for b in branches)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the record's arrays with the input and, last, the target."""
        arrays = dict.fromkeys(name for name, _ in self.images)
        return (*arrays, TARGETS[self.target])

    @property
    def channels(self) -> int:
        """Number of image channels."""
        return sum(COLORS[color] for _, color in self.images)

    def input_shape(self, recipe: Recipe) -> tuple[int, ...]:
        """Shape of one input by a recipe: [S, S, C], or [K, S, S, C] for frames.

        >>> View(input="frames").input_shape(Recipe(frames=4, image_size=32))
        (4, 32, 32, 3)
        """
        image = (recipe.image_size, recipe.image_size, self.channels)
        return (recipe.frames, *image) if self.input == "frames" else image

    def require_prepared(self, recipe: Recipe) -> None:
        """Requires records of the recipe to hold the input.

        Raises:
          InputError: the input is 'frames', and the recipe keeps none.
        """
        if self.input == "frames" and not recipe.keep_frames:
            raise InputError(
                "expected data with the frames of clips for the input 'frames', got data"
                " that were prepared without them. Prepare the videos with the recipe's"
                " keep_frames=True (config.data.keep_frames) into another folder.",
                field="view.input",
            )


#: Values of the argument ``view`` of functions with a default view.
VIEW = limits.OrNone(limits.Kind(View, "a pipeline.View"))


def preprocess(frames: np.ndarray, recipe: Recipe, view: View) -> np.ndarray:
    """The input of a network from face crops, as preparing and loading compute it.

    Args:
      frames: clips of RGB face crops, uint8 [..., K, S, S, 3], the current frame last.
      recipe: settings of the records; K and S are its ``frames`` and ``image_size``.
      view: input, color space and range.

    Returns:
      float32 [..., S, S, C]; [..., K, S, S, C] if the input is 'frames'.

    Raises:
      InputError: another type or shape, no clip, or a view of frames that the recipe does
        not keep.
    """
    frames = require_clips(frames, recipe)
    view.require_prepared(recipe)
    images = record_images(frames.reshape(-1, *frames.shape[-4:]), recipe)
    inputs = network_input(images, view)
    return inputs.reshape(*frames.shape[:-4], *inputs.shape[1:])


def record_images(clips: np.ndarray, recipe: Recipe) -> dict[str, np.ndarray]:
    """`extract.record_images` of clips uint8 [N, K, S, S, 3], each array [N, ...]."""
    rows = [extract.record_images(clip, recipe) for clip in clips]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def network_input(records: Mapping[str, np.ndarray], view: View) -> np.ndarray:
    """The input of a network, float32 [N, ..., S, S, C], from stacked records.

    Args:
      records: the arrays that the view selects, uint8 [N, ..., S, S, 3].
      view: input, color space and range.
    """
    return shown(input_image(records, view), view)


def input_image(records: Mapping[str, np.ndarray], view: View) -> np.ndarray:
    """The images of a view in RGB and [-1, 1], float32 [N, ..., S, S, 3 for each].

    Args:
      records: as in `network_input`.
      view: input.
    """
    return scale(np.concatenate([records[name] for name, _ in view.images], -1))


def target_map(records: Mapping[str, np.ndarray], view: View) -> np.ndarray:
    """The map to be predicted, float32 [N, m, m] in [0, 1], zero for spoofs.

    Args:
      records: the array that the view selects, uint8 [N, 32, 32], and `label` [N].
      view: target and map size.
    """
    found = records[view.columns[-1]]
    if view.target != "depth":  # stored depth is zero for spoofs
        live = np.reshape(records["label"], (-1, 1, 1)) == 1
        found = np.where(live, 255 if view.target == "binary" else found, 0)
        found = found.astype(np.uint8)
    maps = labels.resized(found, view.map_size, is_binary=view.target != "depth")
    return maps.astype(np.float32) / np.float32(255)


def require_clips(frames: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Requires clips of face crops, uint8 [..., K, S, S, 3], of a recipe.

    Raises:
      InputError: another type or shape, or no clip.
    """
    frames = np.asarray(frames)
    clip = (recipe.frames, recipe.image_size, recipe.image_size, 3)
    if frames.dtype != np.uint8 or frames.shape[-4:] != clip:
        raise InputError(
            f"expected RGB face crops, uint8 [..., {', '.join(map(str, clip))}],"
            f" got {frames.dtype} {list(frames.shape)}.",
            field="frames",
        )
    if not frames.size:
        raise InputError("expected one clip or more, got none.", field="frames")
    return frames


def scale(image: np.ndarray) -> np.ndarray:
    """Pixels 0 to 255 as float32 from -1 to 1."""
    return image.astype(np.float32) * np.float32(2 / 255) - np.float32(1)


def recolored(image: np.ndarray, color: str) -> np.ndarray:
    """An RGB image [..., S, S, 3] in [-1, 1] in a color space of `View`, [..., S, S, C]."""
    if color == "rgb":
        return image
    side = image.shape[-2]
    code = cv2.COLOR_RGB2YCrCb if color == "ycbcr" else cv2.COLOR_RGB2HSV
    found = cv2.cvtColor((image.reshape(-1, side, 3) + 1) / 2, code)
    if color == "ycbcr":
        found = found[..., [0, 2, 1]] * np.float32(2) - np.float32(1)
    else:
        found = found * np.array([2 / 360, 2, 2], np.float32) - np.float32(1)
    found = found.reshape(image.shape)
    return np.concatenate([image, found], -1) if color == "rgb_hsv" else found


def shown(image: np.ndarray, view: View) -> np.ndarray:
    """The images of `input_image` in the color spaces and range of a view."""
    colors = [color for _, color in view.images]
    if set(colors) != {"rgb"}:
        images = np.split(image, len(colors), -1)
        pairs = zip(images, colors, strict=True)
        image = np.concatenate([recolored(*pair) for pair in pairs], -1)
    return image if view.pixels == "signed" else (image + 1) / 2
