"""Explanations of scores: class activation maps by layer, and magnified motion."""

import dataclasses
import itertools
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
#: Amplification of motions, and limits of their frequency band in hertz. The papers give
#: neither.
FACTOR, BAND = 10.0, (0.5, 3.0)


class _Bands(limits.Kind):
    """Pairs of positive numbers."""

    def __contains__(self, value: Any) -> bool:
        several = isinstance(value, self.kind) and len(value) == 2
        return several and all(end in limits.POSITIVE for end in value)


BANDS = _Bands(list | tuple, "(low, high) in hertz, two numbers above 0")
#: Seconds of video, from the start, of which the motion is magnified.
SECONDS = 4.0
#: Side of the magnified face in pixels.
SIDE = 128
#: Frames per second of a file without time stamps.
NOMINAL = 25.0


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Motion:
    """Face crops of the first seconds of a video, plain and with magnified motion.

    Attributes:
      frames: RGB face crops, uint8 [T, S, S, 3].
      magnified: the same crops with magnified motion.
      rate: frames per second.
      factor: amplification of the motions.
      band: lower and upper limit of the magnified frequencies, in hertz.
    """

    frames: np.ndarray
    magnified: np.ndarray
    rate: float
    factor: float
    band: tuple[float, float]

    def picture(self) -> Picture:
        """Frames, their magnified versions below, and one column of pixels over time."""
        return explanations.motion(self.frames, self.magnified, self.rate)

    def save(self, path: str | os.PathLike) -> None:
        """Writes the crops and their magnified versions side by side as an mp4 video.

        Raises:
          InputError: the folder does not exist, the file cannot be written, or the disk
            is full.
        """
        limits.require(path=(path, limits.PATH))
        files.require_folder_of(pathlib.Path(path))
        pairs = np.concatenate([self.frames, self.magnified], 2)[..., ::-1]
        images = (np.ascontiguousarray(pair) for pair in pairs)
        writing.write_video(pathlib.Path(path), images, self.rate)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Class activation maps and magnified motion of a video, a picture or clips.

    Attributes:
      prediction: scores of the clips.
      cams: Grad-CAM maps [n, h, w] of the n clips by layer, in the order of computation.
      toward: class of the maps, 'live' or 'spoof'.
      motion: magnified motion; None for pictures and arrays.
      headings: headings of layers that have one, see `EulerNet.depths`.
    """

    prediction: Prediction
    cams: dict[str, np.ndarray]
    toward: str
    motion: Motion | None = None
    headings: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def picture(self) -> Picture:
        """Face, Grad-CAM of each layer and predicted map, one row for each clip."""
        found = self.prediction
        heads = {name: name for name in self.cams}
        heads |= {name: f"{name}: {head}" for name, head in self.headings.items()}
        rows = [
            explanations.Row(
                f"frame {found.frames[i]}\nscore {found.scores[i]:.3g}"
                f"\n{found.verdicts[i] or ''}",
                found.images["static"][i],
                {heads[name]: maps[i] for name, maps in self.cams.items()},
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
    """Computes class activation maps of a few clips, and the magnified motion of a video.

    Args:
      model: a trained network.
      source: path of a video or picture, or an array of clips; see `Model.predict`.
      detector: as in `Model.predict`.
      layers: names of layers, see `nets.feature_shapes`; None for `nets.last_layers`, the
        last one at each depth.
      toward: class of the maps, 'live' or 'spoof'.
      clips: number of evenly spaced clips taken from a file.
      factor: amplification of the motions.
      band: lower and upper limit of the magnified frequencies, in hertz.

    Raises:
      InputError: as `Model.predict` and `nets.grad_cam`; a model of hand-crafted features;
        or a band that is not between 0 and half of the frame rate.
    """
    require_layers(model)
    limits.require(factor=(factor, limits.POSITIVE), band=(band, BANDS))
    prediction = model.predict(source, detector=detector, clips=clips)
    inputs = views.network_input(prediction.images, model.view)
    cams = activation_maps(model, inputs, layers=layers, toward=toward)
    moved = None
    if not isinstance(source, np.ndarray) and not video.is_picture(
        pathlib.Path(source)
    ):
        moved = motion(pathlib.Path(source), prediction, factor=factor, band=band)
    return Explanation(prediction, cams, toward, moved, headings(model))


def require_layers(model: "Model") -> None:
    """Requires a model with layers.

    Raises:
      InputError: a model of hand-crafted features.
    """
    if "features" in model.network:
        raise InputError(
            f"expected a network, got {model.name}, whose hand-crafted features have no"
            " layers.",
            field="model",
        )


def headings(model: "Model") -> dict[str, str]:
    """Headings of the layers of a network that has some: those of EulerNet's figure 8."""
    if model.network.get("network") not in nets.MODULES:
        return {}
    return getattr(nets.from_description(model.network), "depths", {})


def activation_maps(
    model: "Model",
    images: np.ndarray,
    *,
    layers: Sequence[str] | None = None,
    toward: str = "live",
) -> dict[str, np.ndarray]:
    """Grad-CAM maps [N, h, w] by layer, for inputs as `Model.maps` takes.

    Args:
      model: a trained network.
      images: its inputs [N, ..., S, S, C].
      layers: as in `explain`.
      toward: as in `explain`.

    Raises:
      InputError: as `nets.grad_cam`.
    """
    method = registry.make_method(model.network, optax.identity())
    cams = nets.grad_cam(
        method.predict,
        model.params,
        model.batch_stats,
        images,
        score=registry.scorer(model.network),
        layers=layers,
        toward=toward,
    )
    return {name: np.asarray(maps) for name, maps in cams.items()}


def motion(
    path: pathlib.Path,
    prediction: Prediction,
    *,
    factor: float = FACTOR,
    band: tuple[float, float] = BAND,
) -> Motion:
    """Magnifies the motion of a face in the first `SECONDS` of a video.

    All frames are cropped to one square, the median of the clips' squares. The frame rate
    of a file without time stamps is `NOMINAL`.

    Args:
      path: video, recording or folder of frames.
      prediction: scores of its clips.
      factor: amplification of the motions.
      band: lower and upper limit of the magnified frequencies, in hertz.

    Raises:
      InputError: a band that is not between 0 and half of the frame rate, or a video of
        one frame.
    """
    rate = NOMINAL
    if prediction.times is not None:
        rate = 1 / float(np.diff(prediction.times).mean())
    low, high = band
    try:
        b, a = ops.bandpass(low, high, rate)
    except ValueError as error:
        raise InputError(str(error), field="band") from None
    assert prediction.crops is not None  # of a file
    where = np.rint(np.median(prediction.crops, 0)).astype(int)
    images = itertools.islice(video.read_frames(path), math.ceil(SECONDS * rate))
    frames = np.stack([faces.crop(image, where, SIDE) for image in images])
    if len(frames) < 2:
        raise InputError(f"{path}: expected two frames or more for motion, got one.")
    moved = jax.jit(ops.magnify)(jnp.asarray(frames[None], jnp.float32), b, a, factor)
    magnified = np.asarray(jnp.clip(jnp.rint(moved[0]), 0, 255)).astype(np.uint8)
    return Motion(frames, magnified, rate, factor, (low, high))
