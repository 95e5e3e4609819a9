"""How a dataset is prepared, as data: two sets made alike have the same hash."""

import dataclasses
import hashlib
import json
import pathlib

from nasfas_jax import limits
from nasfas_jax.data.preparation.sampling import RULES
from nasfas_jax.errors import InputError

FILE = "recipe.json"
METHODS = ("ranksvm", "harmonic", "linear")
#: Values that the fields of a `Recipe` may have.
LIMITS = {
    "image_size": limits.Range(16, whole=True),
    "frames": limits.Range(2, whole=True),
    "clips_per_video": limits.COUNT,
    "sampling": limits.OneOf(RULES),
    "eval_sampling": limits.OneOf(RULES),
    "margin": limits.Range(0.5, 4),
    "align": limits.FLAG,
    "method": limits.OneOf(METHODS),
    "peak": limits.Range(0, 4),
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides what a record holds; see `LIMITS` for the ranges.

    Attributes:
      image_size: side of the square face crop, in pixels.
      frames: K, number of frames of a clip, the current one and those before it.
      clips_per_video: number of clips of a video; fewer if it is too short.
      sampling: rule in `sampling` for the clips' last frames in training videos.
      eval_sampling: the same for development and test videos.
      margin: side of the crop over the longer side of the face box.
      align: whether the crop is turned until the eyes are level; needs eyes, from the
        annotation or the detector.
      method: rank pooling method, as in `ops.rank_pool`.
      peak: largest value of the dynamic image when it is added to the static one;
        0 adds it as eq. 7 gives it, which 8 bits cannot show (`ops.static_dynamic`).
      detector: `Detector.name`; used where the dataset gives no box.
      landmarks: `LandmarkModel.name`, '' for none; draws depth and location where no file
        and no annotation has them.
      version: of this code; raised when the same settings give other records.
    """

    image_size: int = 64
    frames: int = 7
    clips_per_video: int = 8
    sampling: str = "even"
    eval_sampling: str = "even"
    margin: float = 1.3
    align: bool = False
    method: str = "ranksvm"
    peak: float = 0.0
    detector: str = "haar"
    landmarks: str = ""
    version: int = 3

    def __post_init__(self):
        limits.require(
            **{name: (getattr(self, name), allowed) for name, allowed in LIMITS.items()}
        )

    @property
    def hash(self) -> str:
        """Ten hexadecimal digits of the content.

        >>> Recipe().hash == Recipe(image_size=64).hash != Recipe(image_size=32).hash
        True
        """
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]


def read(data_dir: pathlib.Path) -> dict:
    """The content of a prepared folder's recipe file.

    Raises:
      InputError: nothing is prepared there, or the file is damaged.
    """
    path = data_dir / FILE
    if not path.is_file():
        came = "has no recipe.json" if data_dir.is_dir() else "does not exist"
        raise InputError(
            f"No prepared data in {data_dir}: it {came}. Expected a folder that"
            " 'nasfas prepare' has finished; run it (an interrupted run goes on where"
            " it stopped)."
        )
    try:
        content = json.loads(path.read_text())
        return {**content, "recipe": Recipe(**content["recipe"])}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"The file {path} is damaged ({error}). Delete it and run 'nasfas prepare'"
            " again."
        ) from error


def require_same(found: Recipe, expected: dict, data_dir: pathlib.Path) -> None:
    """Raise InputError naming the fields of `found` that differ from `expected`."""
    content = dataclasses.asdict(found)
    unknown = sorted(set(expected) - set(content))
    if unknown:
        raise InputError(f"A preparing recipe has no field {', '.join(unknown)}.")
    differing = [
        f"{field} is {content[field]!r} there and {value!r} here"
        for field, value in expected.items()
        if content[field] != value
    ]
    if differing:
        raise InputError(
            f"The data in {data_dir} were prepared with another recipe:"
            f" {'; '.join(differing)}. Use the same settings, or prepare into another"
            " folder."
        )
