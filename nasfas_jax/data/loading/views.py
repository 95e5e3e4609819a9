"""Network inputs and targets from prepared records: image, color space, range, map."""

import dataclasses
from collections.abc import Mapping

import cv2
import numpy as np

from nasfas_jax import limits
from nasfas_jax.data.preparation import extract, labels
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError

#: Maps to be predicted, and the arrays of a record that they are made of; spoofs have
#: zeros.
TARGETS = {"depth": "depth", "location": "face", "binary": "face"}
#: Names of the inputs, and of the arrays of a record that hold them; several are
#: concatenated on channels.
INPUTS = {
    "static_dynamic": ("image",),
    "static": ("static",),
    "dynamic": ("dynamic",),
    "concatenated": ("static", "dynamic"),
    "frames": ("frames",),
}
COLORS = {"rgb": 3, "hsv": 3, "rgb_hsv": 6}  # color spaces and their channels
PIXELS = ("signed", "unit")  # [-1, 1], or [0, 1] as in RFMeta's code
MAP_SIZES = limits.Range(1, labels.MAP_SIZE, whole=True)


@dataclasses.dataclass(frozen=True)
class View:
    """Selects the input, color space and target of a batch.

    Attributes:
      target: map to be predicted, zero for spoofs; of live clips 'depth', 'location' (1 in
        the filled region of the face) or 'binary' (1 everywhere).
      input: image to predict from, 'static_dynamic', 'static', 'dynamic' or both
        'concatenated' on channels; or 'frames', all K frames of the clip, which records
        hold if ``Recipe.keep_frames``.
      color: color space, 'rgb', 'hsv', or 'rgb_hsv' for both, concatenated (RFMeta). Hue,
        saturation and value as defined by OpenCV (hue 0 to 360 degrees, the others 0 to
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
            target=(self.target, limits.OneOf(TARGETS)),
            input=(self.input, limits.OneOf(INPUTS)),
            color=(self.color, limits.OneOf(COLORS)),
            map_size=(self.map_size, MAP_SIZES),
            pixels=(self.pixels, limits.OneOf(PIXELS)),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the record's arrays with the input and, last, the target."""
        return (*INPUTS[self.input], TARGETS[self.target])

    @property
    def channels(self) -> int:
        """Number of image channels."""
        return COLORS[self.color] * len(INPUTS[self.input])

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
                "expected 'static_dynamic', 'static', 'dynamic' or 'concatenated', since the"
                " data were prepared without the frames of clips, got 'frames'. Prepare"
                " them with the recipe's keep_frames=True (config.data.keep_frames) into"
                " another folder.",
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
    """The images of a view in RGB and [-1, 1], float32 [N, ..., S, S, 3 or 6].

    Args:
      records: as in `network_input`.
      view: input.
    """
    return scale(np.concatenate([records[n] for n in INPUTS[view.input]], -1))


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
    """RGB images [..., S, S, 3] in [-1, 1] in a color space of `View`, [..., S, S, C].

    Of several images on channels, each is converted.
    """
    if color == "rgb":
        return image
    if image.shape[-1] > 3:
        images = np.split(image, image.shape[-1] // 3, -1)
        return np.concatenate([recolored(one, color) for one in images], -1)
    side = image.shape[-2]
    hsv = cv2.cvtColor((image.reshape(-1, side, 3) + 1) / 2, cv2.COLOR_RGB2HSV)
    hsv = hsv * np.array([2 / 360, 2, 2], np.float32) - np.float32(1)
    hsv = hsv.reshape(image.shape)
    return hsv if color == "hsv" else np.concatenate([image, hsv], -1)


def shown(image: np.ndarray, view: View) -> np.ndarray:
    """RGB images [..., S, S, 3 or 6] in [-1, 1] in the color space and range of a view."""
    image = recolored(image, view.color)
    return image if view.pixels == "signed" else (image + 1) / 2
