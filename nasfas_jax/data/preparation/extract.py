"""Extraction of the clips of one source file for its records."""

import functools
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from nasfas_jax import ops
from nasfas_jax.data.datasets.sources import VideoSource
from nasfas_jax.data.media import video
from nasfas_jax.data.preparation import faces, sampling
from nasfas_jax.data.preparation.landmarks import LandmarkModel
from nasfas_jax.data.preparation.maps import Maps, tally
from nasfas_jax.data.preparation.recipe import Recipe

# Pixels per product: small products fit the cache and run on one BLAS thread.
BLOCK = 4096


class Sample(NamedTuple):
    """The face crops of a clip and their place in the frame.

    Attributes:
      frame: index of the current frame.
      frames: RGB crops, uint8 [K, S, S, 3], the current frame last.
      face: box and eyes of the face in the clip.
      where: square (x, y, side) of the crop, in pixels.
      roll: rotation of the crop.
    """

    frame: int
    frames: np.ndarray
    face: faces.Face
    where: np.ndarray
    roll: float


class Extracted(NamedTuple):
    """The records of a video as stacked arrays, and the sources of its labels.

    Attributes:
      arrays: frame [n], box [n, 4], crop [n, 3], roll [n], the images of
        `record_images` [n, ...], and depth, mask and face [n, 32, 32].
      frames: number of frames of the video.
      stills: number of clips in which nothing moves.
      box_source: source of the face boxes.
      depth_source: sources of the depth maps.
      map_source: sources of the location maps.
    """

    arrays: dict[str, np.ndarray]
    frames: int
    stills: int
    box_source: str
    depth_source: str
    map_source: str


def sample_video(
    path: pathlib.Path, recipe: Recipe, detector: faces.Detector, clips: int
) -> Iterator[Sample]:
    """Yields evenly spaced clips of a file without annotation, cropped to the face.

    Args:
      path: video or picture.
      recipe: settings of the clips, which do not overlap where its ``eval_sampling`` is
        'non_overlapping'.
      detector: face detector; clips without a face are skipped.
      clips: number of clips; fewer in a short video.

    Raises:
      video.VideoError: no usable frames, or no face in any clip.
    """
    apart = recipe.eval_sampling == "non_overlapping"
    ends = functools.partial(
        _ends, "non_overlapping" if apart else "even", clips, recipe
    )
    read = video.read_clips(path, ends, recipe.frames, interval=recipe.interval)
    for sample, _ in _samples(read, recipe, detector, None):
        yield sample


def extract(
    source: VideoSource,
    recipe: Recipe,
    detector: faces.Detector,
    landmarks: LandmarkModel | None = None,
) -> Extracted:
    """The records of one source file.

    The face box is the median of the annotation over the clip, or the detector's without
    an annotation; clips without a face are skipped.

    Args:
      source: the file.
      recipe: settings of the clips.
      detector: face detector for files without annotation.
      landmarks: landmark model for depth and location maps without a better source
        (`maps`).

    Raises:
      video.VideoError: no record can be made; the text is the reason.
    """
    if source.problem:
        raise video.VideoError(source.problem)
    annotation = source.annotation(source.path) if source.annotation else None
    rule = recipe.sampling if source.split == "train" else recipe.eval_sampling
    total = 1

    def ends(frames: int) -> list[int]:
        nonlocal total
        total = frames
        return _ends(rule, recipe.clips_per_video, recipe, total)

    clips = video.read_clips(
        source.path, ends, recipe.frames, source.rotate, recipe.interval
    )
    draw = Maps(source, annotation, landmarks)
    rows, maps = [], []
    for sample, image in _samples(clips, recipe, detector, annotation):
        maps.append(draw(sample.frame, image, *sample[2:]))
        rows.append(
            {
                "frame": np.int32(sample.frame),
                "box": sample.face.box.astype(np.float32),
                "crop": sample.where.astype(np.int32),
                "roll": np.float32(sample.roll),
                **record_images(sample.frames, recipe),
                **maps[-1],
            }
        )
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return Extracted(
        arrays,
        frames=total,
        stills=int(is_still(arrays["dynamic"]).sum()),
        box_source="annotation" if annotation else detector.name,
        depth_source=tally(draw.depth_sources),
        map_source=tally(draw.face_sources),
    )


def _ends(rule: str, clips: int, recipe: Recipe, total: int) -> list[int]:
    """Current frames of a video of `total` frames."""
    return sampling.clip_ends(rule, total, clips, recipe.frames, recipe.interval)


def record_images(frames: np.ndarray, recipe: Recipe) -> dict[str, np.ndarray]:
    """The images that a record holds of a clip; used for records and predictions alike.

    Args:
      frames: RGB face crops, uint8 [K, S, S, 3], the current frame last.
      recipe: settings of rank pooling, and whether the frames are kept.

    Returns:
      'static' (the current frame), 'dynamic' and 'image' (the static-dynamic image), uint8
      [S, S, 3]; with ``recipe.keep_frames`` also 'frames', uint8 [K, S, S, 3].
    """
    dynamic, image = pool_clip(frames, recipe)
    images = {"static": frames[-1], "dynamic": dynamic, "image": image}
    return images | {"frames": frames} if recipe.keep_frames else images


def is_still(dynamic: np.ndarray) -> np.ndarray:
    """Whether nothing moves in clips, from their dynamic images [N, S, S, 3]: bool [N]."""
    return np.logical_not(dynamic.any((1, 2, 3)))


def pool_clip(frames: np.ndarray, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """Dynamic and static-dynamic image [S, S, 3] uint8 of a clip [K, S, S, 3] uint8.

    Equals `ops.rank_pool` and `ops.static_dynamic`; JAX computes only the weights of the
    frames, NumPy the sums over pixels.  The dynamic image is scaled to 0 to 255 for
    viewing, and zero for a clip of equal frames.
    """
    flat = frames.reshape(len(frames), -1)
    # The last frame is subtracted: equal frames give exact zeros.
    moved = flat[:-1].astype(np.float32)
    moved -= flat[-1]
    gram = np.zeros((len(flat),) * 2, np.float32)
    blocks = [moved[:, i : i + BLOCK] for i in range(0, moved.shape[1], BLOCK)]
    gram[:-1, :-1] = sum(block @ block.T for block in blocks) / np.float32(255**2)
    weights = np.asarray(_weights(gram, recipe.method))[:-1]
    dynamic = np.einsum("k,kd->d", weights, moved)  # without BLAS threads, as above
    largest = np.abs(dynamic).max()
    if recipe.peak and largest:
        dynamic *= np.float32(255 * recipe.peak) / largest
    pooled = flat[-1] + dynamic
    shape = frames.shape[1:]
    return _stretched(dynamic).reshape(shape), _stretched(pooled).reshape(shape)


_weights = jax.jit(ops.rank_weights, static_argnames="method")


def _stretched(values: np.ndarray) -> np.ndarray:
    """Values scaled from their range to 0 to 255; zeros where all are equal."""
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros(values.shape, np.uint8)
    return np.rint((values - low) * (255 / (high - low))).astype(np.uint8)


def _samples(
    clips, recipe, detector, annotation
) -> Iterator[tuple[Sample, np.ndarray]]:
    """The clips with a usable face, each with its uncropped current frame."""
    tried = found = 0
    for end, images in clips:
        tried += 1
        first = max(end - recipe.span + 1, 0)  # a picture has one frame, and no span
        frames = slice(first, end + 1, recipe.interval)
        face = _find(images, frames, detector, annotation)
        if face is None or not faces.is_usable(face.box, images[-1].shape):
            continue
        by = "the annotation" if annotation else f"the detector {detector.name}"
        roll = roll_of(face, recipe, by)
        where = faces.square(face.box, recipe.margin)
        crops = crop_clip(images, where, recipe.image_size, roll)
        found += 1
        yield Sample(end, crops, face, where, roll), images[-1]
    if not found:
        by = "annotation" if annotation else f"detector {detector.name}"
        raise video.VideoError(f"no face found in {tried} clips (by {by})")


def crop_clip(
    images: Sequence[np.ndarray], where: np.ndarray, size: int, roll: float
) -> np.ndarray:
    """RGB crops [K, size, size, 3] of one square in K BGR images; see `faces.crop`."""
    if all(image is images[0] for image in images):  # a picture
        return np.stack([faces.crop(images[0], where, size, roll)] * len(images))
    return np.stack([faces.crop(image, where, size, roll) for image in images])


def roll_of(face: faces.Face, recipe: Recipe, by: str) -> float:
    """Rotation of the crop of a face, 0 unless the recipe aligns the eyes.

    Args:
      face: the face.
      recipe: settings of the records.
      by: source of the face, for the message.

    Raises:
      video.VideoError: the eyes are needed and unknown.
    """
    if not recipe.align:
        return 0.0
    if face.eyes is None:
        raise video.VideoError(f"it cannot be aligned: {by} gives no eyes")
    return faces.roll_of(face.eyes)


def _find(
    images: Sequence[np.ndarray], frames: slice, detector, annotation
) -> faces.Face | None:
    """The face in a clip; `frames` are the indices of its frames in the video."""
    if annotation is None:
        return faces.find_face(images, detector)
    end = frames.stop - 1
    if end >= len(annotation.boxes) or annotation.boxes[end, 2] <= 0:
        return None
    known = annotation.boxes[frames, 2] > 0
    eyes = annotation.eyes
    return faces.Face(
        faces.median(annotation.boxes[frames][known]),
        None if eyes is None else faces.median(eyes[frames][known]),
    )
