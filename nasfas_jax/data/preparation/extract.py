"""One source file to the clips that go into its records."""

import functools
import pathlib
from collections.abc import Iterator
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

# Pixels summed at once: small products stay in the cache and on one thread of BLAS.
BLOCK = 4096


class Sample(NamedTuple):
    """A clip's crops and where they were cut.

    `frame` is the current frame's index, `frames` the RGB crops [K, S, S, 3] uint8,
    `where` the crop (x, y, side), and `roll` the angle by which it is turned.
    """

    frame: int
    frames: np.ndarray
    face: faces.Face
    where: np.ndarray
    roll: float


class Extracted(NamedTuple):
    """All records of a video as stacked arrays, and the sources of its labels.

    `arrays`: frame [n], box [n, 4], crop [n, 3], roll [n], static, dynamic, image
    [n, S, S, 3], depth, mask, face [n, 32, 32].  `stills`: number of clips in which
    nothing moves.
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
    """Yield evenly spaced clips of a file without annotation, cropped to the face.

    Args:
      path: video or picture.
      recipe: how, but for the sampling.
      detector: finds the faces; clips without one are passed over.
      clips: how many.

    Raises:
      video.VideoError: no usable frames, or no face in any clip.
    """
    ends = functools.partial(
        sampling.clip_ends, "even", clips=clips, frames=recipe.frames
    )
    found = video.read_clips(path, ends, recipe.frames)
    for sample, _ in _samples(found, recipe, detector, None):
        yield sample


def extract(
    source: VideoSource,
    recipe: Recipe,
    detector: faces.Detector,
    landmarks: LandmarkModel | None = None,
) -> Extracted:
    """Records of one source file.

    The box is the annotation's median over the clip, else the detector's; clips without
    a face are passed over.

    Args:
      source: the file.
      recipe: how.
      detector: asked where there is no annotation.
      landmarks: draw depth and location where nothing better is known (`maps`).

    Raises:
      video.VideoError: the file gives no record; the text says why.
    """
    if source.problem:
        raise video.VideoError(source.problem)
    annotation = source.annotation(source.path) if source.annotation else None
    rule = recipe.sampling if source.split == "train" else recipe.eval_sampling
    total = 1

    def ends(frames: int) -> list[int]:
        nonlocal total
        total = frames
        return sampling.clip_ends(rule, total, recipe.clips_per_video, recipe.frames)

    clips = video.read_clips(source.path, ends, recipe.frames, source.rotate)
    draw = Maps(source, annotation, landmarks)
    rows, maps = [], []
    for sample, image in _samples(clips, recipe, detector, annotation):
        maps.append(draw(sample.frame, image, *sample[2:]))
        dynamic, pooled = pool_clip(sample.frames, recipe)
        rows.append(
            {
                "frame": np.int32(sample.frame),
                "box": sample.face.box.astype(np.float32),
                "crop": sample.where.astype(np.int32),
                "roll": np.float32(sample.roll),
                "static": sample.frames[-1],
                "dynamic": dynamic,
                "image": pooled,
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


def pool(frames: np.ndarray, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """`pool_clip` of clips [N, K, S, S, 3]: two arrays [N, S, S, 3]."""
    pooled = [pool_clip(clip, recipe) for clip in frames]
    dynamic, image = (np.stack(part) for part in zip(*pooled, strict=True))
    return dynamic, image


def is_still(dynamic: np.ndarray) -> np.ndarray:
    """Whether nothing moves in the clips of dynamic images [N, S, S, 3]: bool [N]."""
    return np.logical_not(dynamic.any((1, 2, 3)))


def pool_clip(frames: np.ndarray, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """Dynamic and static-dynamic image [S, S, 3] uint8 of a clip [K, S, S, 3] uint8.

    As `ops.rank_pool` and `ops.static_dynamic`, but the pixels are read and summed here:
    only the frames' weights are JAX's business.  The dynamic image is stretched over 0
    to 255 for viewing, zeros for a frozen clip.
    """
    flat = frames.reshape(len(frames), -1)
    # Less the last frame: equal frames give exact zeros, and the last one needs no sum.
    moved = flat[:-1].astype(np.float32)
    moved -= flat[-1]
    gram = np.zeros((len(flat),) * 2, np.float32)
    blocks = [moved[:, i : i + BLOCK] for i in range(0, moved.shape[1], BLOCK)]
    gram[:-1, :-1] = sum(block @ block.T for block in blocks) / np.float32(255**2)
    weights = np.asarray(_weights(gram, recipe.method))[:-1]
    dynamic = np.einsum("k,kd->d", weights, moved)  # not by BLAS's threads, as above
    largest = np.abs(dynamic).max()
    if recipe.peak and largest:
        dynamic *= np.float32(255 * recipe.peak) / largest
    pooled = flat[-1] + dynamic
    shape = frames.shape[1:]
    return _stretched(dynamic).reshape(shape), _stretched(pooled).reshape(shape)


_weights = jax.jit(ops.rank_weights, static_argnames="method")


def _stretched(values: np.ndarray) -> np.ndarray:
    """From the smallest to the largest value over 0 to 255; zeros where all are equal."""
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros(values.shape, np.uint8)
    return np.rint((values - low) * (255 / (high - low))).astype(np.uint8)


def _samples(
    clips, recipe, detector, annotation
) -> Iterator[tuple[Sample, np.ndarray]]:
    """The clips that show a usable face, each with its whole current frame."""
    tried = found = 0
    for end, images in clips:
        tried += 1
        face = _find(end, images, detector, annotation)
        if face is None or not faces.is_usable(face.box, images[-1].shape):
            continue
        roll = _roll(face, recipe, annotation, detector)
        where = faces.square(face.box, recipe.margin)
        size = recipe.image_size
        if all(image is images[0] for image in images):  # a picture
            crops = [faces.crop(images[0], where, size, roll)] * len(images)
        else:
            crops = [faces.crop(image, where, size, roll) for image in images]
        found += 1
        yield Sample(end, np.stack(crops), face, where, roll), images[-1]
    if not found:
        by = "annotation" if annotation else f"detector {detector.name}"
        raise video.VideoError(f"no face found in {tried} clips (by {by})")


def _roll(face, recipe, annotation, detector) -> float:
    if not recipe.align:
        return 0.0
    if face.eyes is None:
        by = "the annotation" if annotation else f"the detector {detector.name}"
        raise video.VideoError(f"it cannot be aligned: {by} gives no eyes")
    return faces.roll_of(face.eyes)


def _find(end, images, detector, annotation) -> faces.Face | None:
    if annotation is None:
        return faces.find_face(images, detector)
    if end >= len(annotation.boxes) or annotation.boxes[end, 2] <= 0:
        return None
    frames = slice(max(end - len(images) + 1, 0), end + 1)
    known = annotation.boxes[frames, 2] > 0
    eyes = annotation.eyes
    return faces.Face(
        faces.median(annotation.boxes[frames][known]),
        None if eyes is None else faces.median(eyes[frames][known]),
    )
