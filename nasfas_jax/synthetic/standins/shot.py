"""A rendered clip as a dataset would have filmed it: picture format, Kinect, rotation."""

from __future__ import annotations

import dataclasses
import pathlib
import struct

import cv2
import numpy as np

from nasfas_jax import synthetic
from nasfas_jax.synthetic.fields import Array

# A sitter before a Kinect, in millimeters: nose, and how far the face reaches behind
# it; the wall.  11 bits hold 2047, which says that there is no reading.
NOSE, REACH, WALL, NO_READING = 800, 130, 1600, 2047


def fit(clip: synthetic.Clip, aspect: float) -> synthetic.Clip:
    """The largest middle part of the frames with `aspect` columns a row, sides even.

    Boxes, eyes and map boxes move along.
    """
    rows, columns = clip.frames.shape[1:3]
    width = min(columns, round(rows * aspect)) // 2 * 2
    height = min(rows, round(columns / aspect)) // 2 * 2
    left, top = (columns - width) // 2, (rows - height) // 2
    offset = np.array([left, top], np.float32)
    box_offset = np.array([left, top, 0, 0], np.float32)
    return dataclasses.replace(
        clip,
        frames=clip.frames[:, top : top + height, left : left + width],
        boxes=clip.boxes - box_offset,
        eyes=clip.eyes - offset,
        landmarks=clip.landmarks - offset,
        depth_box=clip.depth_box - box_offset,
    )


def kinect(clip: synthetic.Clip) -> Array:
    """Depth [T, 1, H, W] uint16 in millimeters of a clip with a depth map.

    The face has its true relief; everything else is a wall. The shadow that the face
    throws in the projector's light, at the right of it, has no reading.
    """
    rows, columns = clip.frames.shape[1:3]
    out = np.full((len(clip.frames), 1, rows, columns), WALL, np.uint16)
    for image, depth, box in zip(out[:, 0], clip.depth, clip.depth_box, strict=True):
        scale = len(depth) / box[2]
        # Pixel (x, y) of the frame shows the map's cell (x + 0.5 - left) * scale - 0.5.
        matrix = np.array(
            [
                [scale, 0, (0.5 - box[0]) * scale - 0.5],
                [0, scale, (0.5 - box[1]) * scale - 0.5],
            ]
        )
        seen = cv2.warpAffine(
            depth,
            matrix,
            (columns, rows),
            flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        )
        face = seen > 0
        shadow = np.roll(face, max(1, columns // 40), axis=1) & ~face
        image[shadow] = NO_READING
        image[face] = NOSE + (255 - seen[face].astype(np.uint16)) * REACH // 255
    return out


def turn(clip: synthetic.Clip, quarters: int) -> synthetic.Clip:
    """The frames turned counter-clockwise; what is known of them stays upright."""
    return dataclasses.replace(clip, frames=np.rot90(clip.frames, quarters, (1, 2)))


def tag_half_turn(path: pathlib.Path) -> None:
    """Tell in an .mp4 that its frames are upside down: decoders turn them upright.

    The display matrix stands in the track header (`tkhd`, ISO 14496-12 sec. 8.3.2) of
    version 0, 40 bytes behind the version.
    """
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    one = 1 << 16
    matrix = (-one, 0, 0, 0, -one, 0, 0, 0, 1 << 30)
    content[start : start + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(content)
