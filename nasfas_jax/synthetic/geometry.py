"""Projection of surface points into pictures, and ray casting from pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

Array = np.ndarray

DISTANCE = 8.0  # from the camera to the origin of the object, head units: 56 cm
DEPTHS = np.linspace(1.75, -0.7, 11, dtype=np.float32)  # of the first search, to back


def rotations(yaw: Array, pitch: Array, roll: Array) -> Array:
    """Rotations [T, 3, 3] by angles [T] in radians; x right, y down, z nearer."""
    zero, one = np.zeros_like(yaw), np.ones_like(yaw)

    def stack(*rows):
        return np.stack(rows, -1).reshape(-1, 3, 3).astype(np.float32)

    c, s = np.cos(yaw), np.sin(yaw)
    about_y = stack(c, zero, s, zero, one, zero, -s, zero, c)
    c, s = np.cos(pitch), np.sin(pitch)
    about_x = stack(one, zero, zero, zero, c, s, zero, -s, c)
    c, s = np.cos(roll), np.sin(roll)
    about_z = stack(c, -s, zero, s, c, zero, zero, zero, one)
    return about_z @ about_x @ about_y


@dataclasses.dataclass(frozen=True)
class Track:
    """Motion of a rigid object through a clip, seen by a pinhole camera.

    Attributes:
      rotation: [T, 3, 3], object to camera.
      shift: [T, 3], the object's origin in head units.
      scale: pixels per head unit at the mean depth of the origin.
      size: columns and rows of the frame.
    """

    rotation: Array
    shift: Array
    scale: float
    size: tuple[int, int]

    def project(self, points: Array) -> Array:
        """Pixel coordinates [T, P, 2] of object points [T, P, 3] or [P, 3]."""
        seen = points @ self.rotation.transpose(0, 2, 1) + self.shift[:, None, :]
        plane = seen[..., :2] / (1 - seen[..., 2:] / DISTANCE)
        return plane * self.scale + (np.array(self.size, np.float32) - 1) / 2

    def place(self, points: Array, heights: Array, centers: Array) -> Track:
        """The same rotation, scaled and moved so that the box of the points is as requested.

        Size and path of the box are then independent of the object: its distance and
        position compensate the effect of its rotation.

        Args:
          points: points [T, P, 3] or [P, 3] of the bounding box.
          heights: requested heights of the box, pixels [T].
          centers: requested centers of the box, pixels [T, 2].
        """
        track = self
        for _ in range(6):
            box = bounding(track.project(points))
            scale = track.scale * float(heights.mean() / box[:, 3].mean())
            grown = heights / box[:, 3] * (track.scale / scale)
            away = (1 - track.shift[:, 2] / DISTANCE) / grown
            off = (centers - (box[:, :2] + box[:, 2:] / 2)) * (away / scale)[:, None]
            z = DISTANCE * (1 - away)
            shift = np.column_stack([track.shift[:, :2] + off, z - z.mean()])
            track = dataclasses.replace(
                track, scale=scale, shift=shift.astype(np.float32)
            )
        return track

    def see(
        self,
        frame: int,
        height: Callable[[Array, Array], Array],
        grid: Grid,
        *,
        search: bool,
    ) -> tuple[Array, Array, Array]:
        """The surface points seen along the rays of a grid.

        Args:
          frame: index of the frame.
          height: the surface z = height(x, y), in the object's frame.
          grid: the rays.
          search: whether to search from front to back for the first hit (for surfaces that
            can occlude themselves), or to follow the tangent from z = 0.

        Returns:
          x, y in the object's frame and the depth towards the camera, [H, W] each.
        """
        turn = self.rotation[frame].T
        u, v = np.broadcast_arrays(*grid.rays(self))
        t = turn @ self.shift[frame]
        start = [turn[i, 0] * u + turn[i, 1] * v - t[i] for i in range(3)]
        along = [
            turn[i, 2] - (turn[i, 0] * u + turn[i, 1] * v) / np.float32(DISTANCE)
            for i in range(3)
        ]

        def above(depth: Array) -> Array:
            x, y, z = (a + depth * b for a, b in zip(start, along, strict=True))
            shape = x.shape
            ground = height(x.reshape(-1, shape[-1]), y.reshape(-1, shape[-1]))
            return z - ground.reshape(shape)

        depth = _first_hit(above) if search else _fall(above, u.shape)
        return start[0] + depth * along[0], start[1] + depth * along[1], depth


def at_rest(rotation: Array, size: tuple[int, int]) -> Track:
    """A track of rotations alone; `place` gives it size and path."""
    return Track(rotation, np.zeros((len(rotation), 3), np.float32), 1.0, size)


def _first_hit(above: Callable[[Array], Array]) -> Array:
    """Depth of the first crossing: a search in steps, then two secant steps."""
    gaps = above(DEPTHS[:, None, None])
    gaps[-1] = np.minimum(gaps[-1], -1e-3)
    hit = np.argmax(gaps <= 0, axis=0)
    hit = np.maximum(hit, 1)[None]
    near, far = DEPTHS[hit[0] - 1], DEPTHS[hit[0]]
    near_gap = np.maximum(np.take_along_axis(gaps, hit - 1, 0)[0], 1e-4)
    far_gap = np.minimum(np.take_along_axis(gaps, hit, 0)[0], -1e-4)
    for _ in range(2):
        middle = near + (far - near) * near_gap / (near_gap - far_gap)
        gap = above(middle)
        inside = gap <= 0
        far = np.where(inside, middle, far)
        far_gap = np.where(inside, np.minimum(gap, -1e-4), far_gap)
        near = np.where(inside, near, middle)
        near_gap = np.where(inside, near_gap, np.maximum(gap, 1e-4))
    return near + (far - near) * near_gap / (near_gap - far_gap)


def _fall(above: Callable[[Array], Array], shape: tuple[int, ...]) -> Array:
    """Depth on a gently curved sheet: a few fixed-point steps."""
    depth = np.zeros(shape, np.float32)
    for _ in range(4):
        depth = depth - above(depth)
    return depth


def bounding(points: Array) -> Array:
    """Boxes x, y, width, height [T, 4] of points [T, P, 2]."""
    low, high = points.min(1), points.max(1)
    return np.concatenate([low, high - low], 1).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Grid:
    """Square blocks of pixels, with a ray through the center of each.

    Values along the rays are interpolated to the pixels between them. The blocks may extend
    beyond the frame.

    Attributes:
      left, top: first pixel of the first block.
      columns, rows: number of blocks.
      side: side of a block, pixels.
    """

    left: int
    top: int
    columns: int
    rows: int
    side: int

    def rays(self, track: Track) -> tuple[Array, Array]:
        """Picture coordinates u [1, columns] and v [rows, 1], head units from the center."""
        width, height = track.size
        x = self.left + self.side * (np.arange(self.columns) + 0.5) - 0.5 * width
        y = self.top + self.side * (np.arange(self.rows) + 0.5) - 0.5 * height
        u, v = ((axis / track.scale).astype(np.float32) for axis in (x, y))
        return u[None, :], v[:, None]

    def window(self, track: Track) -> tuple[slice, slice]:
        """Rows and columns of the frame that the blocks cover."""
        width, height = track.size
        low, high = max(self.top, 0), min(self.top + self.side * self.rows, height)
        left, right = (
            max(self.left, 0),
            min(self.left + self.side * self.columns, width),
        )
        return slice(low, high), slice(left, right)

    def spread(self, coarse: Array, track: Track) -> Array:
        """A map [rows, columns, ...] of the blocks, bilinear at the pixels of `window`."""
        size = (self.side * self.columns, self.side * self.rows)
        fine = cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR)
        rows, columns = self.window(track)
        return fine[
            rows.start - self.top : rows.stop - self.top,
            columns.start - self.left : columns.stop - self.left,
        ]

    def sample(self, coarse: Array, x: Array, y: Array) -> Array:
        """A map of the blocks at pixel coordinates x and y, bilinear."""
        half = np.float32(0.5)
        return cv2.remap(
            coarse,
            (x.astype(np.float32) + half - self.left) / np.float32(self.side) - half,
            (y.astype(np.float32) + half - self.top) / np.float32(self.side) - half,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )


def whole(size: tuple[int, int], side: int) -> Grid:
    """Blocks over a whole frame and beyond, so that no pixel is extrapolated."""
    columns, rows = (-(-length // side) + 2 for length in size)
    return Grid(-side, -side, columns, rows, side)
