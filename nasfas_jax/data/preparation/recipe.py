"""The settings of preparation; equal settings have the same hash."""

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
    "interval": limits.COUNT,
    "keep_frames": limits.FLAG,
    "clips_per_video": limits.COUNT,
    "sampling": limits.OneOf(RULES),
    "eval_sampling": limits.OneOf(RULES),
    "margin": limits.Range(0.5, 4),
    "align": limits.FLAG,
    "method": limits.OneOf(METHODS),
    "peak": limits.Range(0, 4),
}
#: Fields that are part of the hash only where they differ from these values, so that
#: folders prepared before they existed keep their hash.
ADDED = {"interval": 1, "keep_frames": False}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Settings that determine the content of the records; `LIMITS` has the ranges.

    Attributes:
      image_size: side of the square face crop, in pixels.
      frames: K, number of frames per clip: the current frame and K - 1 earlier ones.
      clips_per_video: number of clips per video; fewer if it is too short.
      sampling: rule in `sampling` for the current frames of training videos.
      eval_sampling: rule for the current frames of development and test videos.
      margin: side of the crop over the longer side of the face box.
      align: whether the crop is rotated until the eyes are level; needs the eyes from the
        annotation or the detector.
      method: rank pooling method, as in `ops.rank_pool`.
      peak: largest value of the dynamic image when it is added to the static image;
        0 adds it as eq. 7 defines it, which 8 bits cannot show (`ops.static_dynamic`).
      detector: `Detector.name` of the detector for videos without annotated boxes.
      landmarks: `LandmarkModel.name`, '' for none; source of depth and location maps
        where no file and no annotation provides them.
      interval: number of video frames from one frame of a clip to the next; 1 for
        consecutive frames (EulerNet: 3, with 4 frames).
      keep_frames: whether records hold the crops of all K frames, besides the images made
        from them.
      version: version of the preparation; raised when the same settings give other
        records.

    Raises:
      InputError: a value out of its range.
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
    interval: int = 1
    keep_frames: bool = False
    version: int = 3

    def __post_init__(self):
        limits.require(
            **{name: (getattr(self, name), allowed) for name, allowed in LIMITS.items()}
        )

    @property
    def span(self) -> int:
        """Number of video frames from the first to the last frame of a clip.

        >>> Recipe(frames=4, interval=3).span
        10
        """
        return (self.frames - 1) * self.interval + 1

    @property
    def hash(self) -> str:
        """Ten hexadecimal digits of a hash of the fields.

        >>> Recipe().hash == Recipe(image_size=64).hash != Recipe(image_size=32).hash
        True
        """
        fields = dataclasses.asdict(self)
        fields = {k: v for k, v in fields.items() if k not in ADDED or v != ADDED[k]}
        text = json.dumps(fields, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]


def read(data_dir: pathlib.Path) -> dict:
    """The content of a prepared folder's recipe file, with its `Recipe`.

    Raises:
      InputError: the folder is not a prepared one, the file is damaged, or the folder was
        prepared by another version of the preparation.
    """
    path = data_dir / FILE
    if not path.is_file():
        problem = "has no recipe.json" if data_dir.is_dir() else "does not exist"
        raise InputError(
            f"No prepared data in {data_dir}: it {problem}. Expected a folder that"
            " 'nasfas prepare' has completed; run it (an interrupted run resumes)."
        )
    try:
        content = json.loads(path.read_text())
        _require_version(content["recipe"]["version"], data_dir)
        return {**content, "recipe": Recipe(**content["recipe"])}
    except InputError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"The file {path} is damaged ({error}). Delete it and run 'nasfas prepare'"
            " again."
        ) from error


def _require_version(version: int, data_dir: pathlib.Path) -> None:
    if version != Recipe.version:
        raise InputError(
            f"The data in {data_dir} were prepared by version {version} of the preparation,"
            f" and this version of nasfas_jax expects version {Recipe.version}; run"
            " 'nasfas prepare' into another folder."
        )


def require_same(recipe: Recipe, expected: dict, data_dir: pathlib.Path) -> None:
    """Requires fields of a folder's recipe to have the expected values.

    Args:
      recipe: the recipe of the folder.
      expected: expected values by field name.
      data_dir: the folder, for the message.

    Raises:
      InputError: names the unknown or differing fields.
    """
    fields = dataclasses.asdict(recipe)
    for name in expected:
        limits.require(**{"recipe field": (name, limits.OneOf(fields))})
    differences = [
        f"{name}: {fields[name]!r} in the folder, {value!r} requested"
        for name, value in expected.items()
        if fields[name] != value
    ]
    if differences:
        raise InputError(
            f"The data in {data_dir} were prepared with another recipe:"
            f" {'; '.join(differences)}. Use the same settings, or prepare into another"
            " folder."
        )
