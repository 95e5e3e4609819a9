"""One source file to the clips that go into its records."""

import functools
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasfas_jax import ops
from nasfas_jax.data import faces, labels, video
from nasfas_jax.data.recipe import Recipe
from nasfas_jax.data.sources import Annotation, VideoSource


class Sample(NamedTuple):
    """A clip's crops and where they were cut.

    `where` is the crop (x, y, side); `frame` the current frame's index; `frames` the
    RGB crops [K, S, S, 3] uint8.
    """

    frame: int
    frames: np.ndarray
    face: faces.Face
    where: np.ndarray


class Extracted(NamedTuple):
    """All records of a video as stacked arrays, and where its labels came from.

    `arrays`: frame [n], box [n, 4], crop [n, 3], static, dynamic, image [n, S, S, 3],
    depth, mask, face [n, 32, 32].
    """

    arrays: dict[str, np.ndarray]
    frames: int
    box_source: str
    depth_source: str
    map_source: str


def sample_video(
    path: pathlib.Path,
    recipe: Recipe,
    detector: faces.Detector,
    annotation: Annotation | None = None,
    clips: int | None = None,
    rotate: int = 0,
) -> Iterator[Sample]:
    """Yield the sampled clips of a file that show a usable face, cropped.

    The box is the annotation's median over the clip, else the detector's; clips without
    a face are passed over.

    Args:
      path: video or picture.
      recipe: how.
      detector: asked where there is no annotation.
      annotation: boxes by frame.
      clips: how many; the recipe's `clips_per_video` if None.
      rotate: degrees clockwise, as in `VideoSource`.

    Raises:
      video.VideoError: no usable frames, or no face in any clip.
    """
    clips = clips or recipe.clips_per_video
    tried = found = 0
    for end, images in video.read_clips(path, clips, recipe.frames, rotate):
        tried += 1
        face = _find(end, images, detector, annotation)
        if face is None or not faces.is_usable(face.box, images[-1].shape):
            continue
        where = faces.square(face.box, recipe.margin)
        crops = [faces.crop(image, where, recipe.image_size) for image in images]
        found += 1
        yield Sample(end, np.stack(crops), face, where)
    if not found:
        by = "annotation" if annotation else f"detector {detector.name}"
        raise video.VideoError(f"no face found in {tried} clips (by {by})")


def extract(source: VideoSource, recipe: Recipe, detector: faces.Detector) -> Extracted:
    """Records of one source file.

    Raises:
      video.VideoError: the file gives none; the text says why.
    """
    if source.problem:
        raise video.VideoError(source.problem)
    annotation = source.annotation(source.path) if source.annotation else None
    total = video.count_frames(source.path)
    samples = list(
        sample_video(source.path, recipe, detector, annotation, rotate=source.rotate)
    )
    frames = np.stack([sample.frames for sample in samples])
    dynamic, image = pool(frames, recipe)
    maps = [_maps(sample, source.label, annotation) for sample in samples]
    arrays = {
        "frame": np.array([sample.frame for sample in samples], np.int32),
        "box": np.stack([sample.face.box for sample in samples]).astype(np.float32),
        "crop": np.stack([sample.where for sample in samples]).astype(np.int32),
        "static": frames[:, -1],
        "dynamic": dynamic,
        "image": image,
        **{name: np.stack([one[name] for one in maps]) for name in maps[0]},
    }
    has = annotation is not None
    return Extracted(
        arrays,
        frames=total,
        box_source="annotation" if has else detector.name,
        depth_source=_depth_source(source.label, annotation),
        map_source="annotation" if has and annotation.face is not None else "ellipse",
    )


def pool(frames: np.ndarray, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """Dynamic and static-dynamic images [N, S, S, 3] uint8 of clips [N, K, S, S, 3].

    The dynamic image is stretched over 0 to 255 for viewing, zeros for a frozen clip.
    One program serves a recipe: clips go through it `clips_per_video` at a time.
    """
    step, count = recipe.clips_per_video, len(frames)
    short = -count % step
    if short:
        frames = np.concatenate([frames, np.repeat(frames[-1:], short, 0)])
    pieces = [
        jax.device_get(_pool(frames[i : i + step], recipe.method, recipe.peak or None))
        for i in range(0, count, step)
    ]
    dynamic, image = (
        np.concatenate(part)[:count] for part in zip(*pieces, strict=True)
    )
    return dynamic, image


@functools.partial(jax.jit, static_argnames=("method", "peak"))
def _pool(frames, method, peak):
    pixels = frames.astype(jnp.float32) / 255
    # The same image, but equal frames give exact zeros, not stretched rounding.
    dynamic = ops.rank_pool(pixels - pixels[:, -1:], method)
    low = dynamic.min((1, 2, 3), keepdims=True)
    spread = dynamic.max((1, 2, 3), keepdims=True) - low
    dynamic = jnp.where(
        spread > 0, (dynamic - low) / jnp.where(spread > 0, spread, 1), 0
    )
    image = ops.static_dynamic(pixels, method, peak=peak)
    return tuple(jnp.round(x * 255).astype(jnp.uint8) for x in (dynamic, image))


def _find(end, images, detector, annotation) -> faces.Face | None:
    if annotation is None:
        return faces.find_face(images, detector)
    if end >= len(annotation.boxes) or annotation.boxes[end, 2] <= 0:
        return None
    frames = slice(max(end - len(images) + 1, 0), end + 1)
    known = annotation.boxes[frames, 2] > 0
    eyes = annotation.eyes
    return faces.Face(
        np.median(annotation.boxes[frames][known], axis=0),
        None if eyes is None else np.median(eyes[frames][known], axis=0),
    )


def _maps(sample: Sample, label: int, annotation: Annotation | None):
    """Label maps of the clip's current frame, which is what a network predicts."""
    where, face, now = sample.where, sample.face, sample.frame

    def given(name):
        """The annotation's map, or None."""
        maps = getattr(annotation, name, None)
        if annotation is None or maps is None or annotation.map_box is None:
            return None
        return labels.warp_map(where, maps[now], annotation.map_box[now])

    outline, depth = given("face"), given("depth")
    found = (
        labels.ellipse(where, face.box) if outline is None else labels.binary(outline)
    )
    empty = np.zeros_like(found)
    if not label:
        return {"depth": empty, "mask": empty, "face": found}
    if depth is None:
        depth = labels.analytic_depth(where, face.box, face.eyes)
    return {"depth": depth, "mask": found, "face": found}


def _depth_source(label: int, annotation: Annotation | None) -> str:
    if not label:
        return "zeros"
    has = annotation is not None and annotation.depth is not None
    return "annotation" if has else "analytic"
