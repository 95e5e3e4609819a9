"""Why a network decides: class activation maps at each depth, and magnified motion."""

import dataclasses
import itertools
import math
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nasfas_jax import files, limits, nets, ops
from nasfas_jax.data.loading import views
from nasfas_jax.data.media import video, writing
from nasfas_jax.data.preparation import faces
from nasfas_jax.errors import InputError
from nasfas_jax.report import explanations
from nasfas_jax.report.picture import Picture
from nasfas_jax.workflows import registry
from nasfas_jax.workflows.predict import Prediction

if TYPE_CHECKING:
    from nasfas_jax.workflows.model import Model

#: Number of clips with class activation maps.
CLIPS = 4
#: Amplification of motions, and the ends of their band in hertz. The papers give none.
FACTOR, BAND = 10.0, (0.5, 3.0)
BANDS = limits.Several(limits.POSITIVE)
#: Seconds of a video, from its start, whose motions are magnified.
SECONDS = 4.0
#: Side of the magnified face in pixels.
SIDE = 128
#: Frames per second of a file without time stamps.
NOMINAL = 25.0


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Motion:
    """The face in the first seconds of a video, and its magnified motion.

    Attributes:
      frames: RGB face, uint8 [T, S, S, 3].
      magnified: the same with magnified motion.
      rate: frames per second.
      factor: amplification of the motions.
      band: ends of the band of the motions, in hertz.
    """

    frames: np.ndarray
    magnified: np.ndarray
    rate: float
    factor: float
    band: tuple[float, float]

    def picture(self) -> Picture:
        """Frames above their magnified versions, and one column of pixels over time."""
        return explanations.motion(self.frames, self.magnified, self.rate)

    def save(self, path: str | os.PathLike) -> None:
        """Writes a video (mp4) of the face beside its magnified version.

        Raises:
          InputError: no folder there, a file that cannot be written, or a full disk.
        """
        limits.require(path=(path, limits.PATH))
        files.require_folder_of(pathlib.Path(path))
        pairs = np.concatenate([self.frames, self.magnified], 2)[..., ::-1]
        images = (np.ascontiguousarray(pair) for pair in pairs)
        writing.write_video(pathlib.Path(path), images, self.rate)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """The evidence behind the scores of a video, a picture or an array of clips.

    Attributes:
      prediction: the scored clips.
      cams: Grad-CAM maps [n, h, w] of the clips, by layer, in the order of computation.
      toward: outcome that the maps speak for, 'live' or 'spoof'.
      motion: magnified motion; None for pictures and arrays.
    """

    prediction: Prediction
    cams: dict[str, np.ndarray]
    toward: str
    motion: Motion | None = None

    def picture(self) -> Picture:
        """A row for each clip: face, Grad-CAM of each layer, and predicted map."""
        found = self.prediction
        rows = [
            explanations.Row(
                f"frame {found.frames[i]}\nscore {found.scores[i]:.3f}"
                f"\n{found.verdicts[i] or ''}",
                found.images["static"][i],
                {name: maps[i] for name, maps in self.cams.items()},
                found.maps[i],
            )
            for i in range(len(found.frames))
        ]
        return explanations.layers(rows)

    def __repr__(self) -> str:
        sides = ", ".join(
            f"{name} {'x'.join(map(str, maps.shape[1:]))}"
            for name, maps in self.cams.items()
        )
        moved = "" if self.motion is None else f"; motion x {self.motion.factor:g}"
        return f"<Explanation of {self.prediction!r}: toward {self.toward}, {sides}{moved}>"

    def _repr_html_(self) -> str:
        """HTML for notebooks: the pictures."""
        pictures = [self.picture()]
        if self.motion is not None:
            pictures.append(self.motion.picture())
        return "".join(one.html for one in pictures)


def explain(
    model: "Model",
    source: str | os.PathLike | np.ndarray,
    *,
    detector: faces.Detector | None = None,
    layers: Sequence[str] | None = None,
    toward: str = "live",
    clips: int = CLIPS,
    factor: float = FACTOR,
    band: tuple[float, float] = BAND,
) -> Explanation:
    """Class activation maps of a few clips, and the magnified motion of a video.

    Args:
      model: a trained network.
      source: path of a video or picture, or clips, as in `Model.predict`.
      detector: as in `Model.predict`.
      layers: names of layers, see `nets.feature_shapes`; None for the last layer at each
        resolution.
      toward: outcome that the maps speak for, 'live' or 'spoof'.
      clips: number of clips of a file, evenly spaced.
      factor: amplification of the motions.
      band: ends of the band of the motions, in hertz.

    Raises:
      InputError: as `Model.predict` and `nets.grad_cam`, hand-crafted features, or a band
        that the frame rate does not reach.
    """
    if "features" in model.network:
        raise InputError(
            f"expected a network, got {model.name}, hand-crafted features, which"
            " have no layers.",
            field="model",
        )
    limits.require(factor=(factor, limits.POSITIVE), band=(band, BANDS))
    prediction = model.predict(source, detector=detector, clips=clips)
    method = registry.make_method(model.network, optax.identity())
    inputs = views.network_input(prediction.images, model.view)
    cams = nets.grad_cam(
        method.predict,
        model.params,
        model.batch_stats,
        inputs,
        layers=layers,
        toward=toward,
    )
    moved = None
    if not isinstance(source, np.ndarray) and not video.is_picture(
        pathlib.Path(source)
    ):
        moved = motion(pathlib.Path(source), prediction, factor=factor, band=band)
    return Explanation(
        prediction,
        {name: np.asarray(maps) for name, maps in cams.items()},
        toward,
        moved,
    )


def motion(
    path: pathlib.Path,
    prediction: Prediction,
    *,
    factor: float = FACTOR,
    band: tuple[float, float] = BAND,
) -> Motion:
    """The magnified motion of a face in the first `SECONDS` of a video.

    The square of the face is the median over the clips, the same in all frames. Without
    time stamps, the rate is `NOMINAL`.

    Args:
      path: video, recording or folder of frames.
      prediction: its scored clips.
      factor: amplification of the motions.
      band: ends of the band of the motions, in hertz.

    Raises:
      InputError: a band that the frame rate does not reach, or less than two frames.
    """
    rate = NOMINAL
    if prediction.times is not None:
        rate = 1 / float(np.diff(prediction.times).mean())
    if len(band) != 2 or not 0 < band[0] < band[1] < rate / 2:
        raise InputError(
            "expected 0 < low < high < half of the frame rate,"
            f" {rate / 2:.1f} hertz, got {band}.",
            field="band",
        )
    low, high = band
    assert prediction.crops is not None  # of a file
    where = np.rint(np.median(prediction.crops, 0)).astype(int)
    images = itertools.islice(video.read_frames(path), math.ceil(SECONDS * rate))
    frames = np.stack([faces.crop(image, where, SIDE) for image in images])
    if len(frames) < 2:
        raise InputError(f"{path}: expected two frames or more for motion, got one.")
    b, a = ops.bandpass(low, high, rate)
    moved = jax.jit(ops.magnify)(jnp.asarray(frames[None], jnp.float32), b, a, factor)
    magnified = np.asarray(jnp.clip(jnp.rint(moved[0]), 0, 255)).astype(np.uint8)
    return Motion(frames, magnified, rate, factor, band)
