"""Label maps of a face crop: depth, face location and binary map, each 32 x 32 uint8.

Depth is 255 at the nearest point, falls to about a tenth of it at the face's outline
and is 0 in the background.  The training rule of NAS-FAS and its predecessors: a
spoof's depth and binary map are zero everywhere, for what it shows is flat or no living
face; the location map is drawn for live and spoof alike.
"""

import cv2
import numpy as np

MAP_SIZE = 32
FINE = 4  # maps are drawn this many times finer, then averaged
OUTLINE_DEPTH = 0.1
# Eyes of an upright face as parts of its tight box, where no one has marked them.
USUAL_EYES = np.array([[0.30, 0.40], [0.70, 0.40]])


def binary(values: np.ndarray) -> np.ndarray:
    """0 or 255: which cells are covered by half or more."""
    return np.where(values >= 128, 255, 0).astype(np.uint8)


def ellipse(where: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Location map of the ellipse in a tight box, seen in the crop `where`."""
    across, down = _face_axes(*_grid(where), box, np.zeros(2), 0.0)
    return binary(_to_uint8(_average(across**2 + down**2 <= 1)))


def analytic_depth(where: np.ndarray, box: np.ndarray, eyes=None) -> np.ndarray:
    """Depth of a plain head fitted to the box and, where known, the eyes [2, 2].

    An ellipsoid with nose, eye sockets and chin; the eyes turn it in the image plane
    and move the nose sideways when the face looks aside.
    """
    box = np.asarray(box, np.float64)
    if eyes is None:
        eyes = box[:2] + USUAL_EYES * box[2:]
    eyes = np.asarray(eyes, np.float64)
    left, right = eyes
    roll = float(np.arctan2(right[1] - left[1], right[0] - left[0]))
    x, y = _grid(where)
    across, down = _face_axes(x, y, box, np.zeros(2), roll)
    depth = np.sqrt(np.maximum(1 - across**2 - down**2, 0))

    def bump(point, wide, high):
        a, d = _face_axes(x, y, box, point, roll)
        return np.exp(-((a / wide) ** 2) - (d / high) ** 2)

    # From the eyes' middle the nose is half an eye distance down.
    middle = eyes.mean(0)
    centre = box[:2] + box[2:] / 2
    below = np.array([-np.sin(roll), np.cos(roll)]) * np.linalg.norm(right - left)
    depth += 0.35 * bump(middle - centre + 0.55 * below, 0.17, 0.16)
    depth += 0.20 * bump(middle - centre + 0.25 * below, 0.10, 0.22)
    depth += 0.08 * bump(middle - centre + 1.50 * below, 0.30, 0.15)
    for eye in eyes:
        depth -= 0.12 * bump(eye - centre, 0.22, 0.12)
    inside = across**2 + down**2 <= 1
    scaled = OUTLINE_DEPTH + (1 - OUTLINE_DEPTH) * depth / depth.max()
    return _to_uint8(_average(np.where(inside, scaled, 0)))


def warp_map(where: np.ndarray, given: np.ndarray, given_box: np.ndarray) -> np.ndarray:
    """A given map [D, D] uint8 that covers the box (x, y, w, h), seen in the crop."""
    x, y = _grid(where)
    left, top, wide, high = (float(value) for value in given_box)
    rows = (y - top) / high * given.shape[0] - 0.5
    columns = (x - left) / wide * given.shape[1] - 0.5
    fine = cv2.remap(
        given.astype(np.float32),
        columns.astype(np.float32),
        rows.astype(np.float32),
        cv2.INTER_LINEAR,
        borderValue=0.0,
    )
    return _to_uint8(_average(fine) / 255)


def _grid(where):
    """Pixel coordinates x, y [128, 128] of the fine map's cell centres."""
    x, y, side = (float(value) for value in where)
    steps = (np.arange(MAP_SIZE * FINE) + 0.5) / (MAP_SIZE * FINE) * side
    return np.meshgrid(x + steps, y + steps)


def _face_axes(x, y, box, offset, roll):
    """Coordinates about box centre + offset, turned by roll, in half axes."""
    left, top, wide, high = (float(value) for value in box)
    x = x - (left + wide / 2 + offset[0])
    y = y - (top + high / 2 + offset[1])
    cos, sin = np.cos(roll), np.sin(roll)
    return (cos * x + sin * y) / (wide / 2), (cos * y - sin * x) / (high / 2)


def _average(fine):
    size = (MAP_SIZE, FINE, MAP_SIZE, FINE)
    return np.asarray(fine).reshape(size).mean((1, 3))


def _to_uint8(values):
    return np.clip(np.round(values * 255), 0, 255).astype(np.uint8)
