"""Label maps of a face crop: depth, face location and binary map, each 32 x 32 uint8.

Depth is 255 at the nearest point, decreases to about a tenth of it at the outline of the
face, and is 0 in the background.  As in NAS-FAS and its predecessors, the depth and the
binary map of a spoof are zero everywhere; the location map is drawn for live and spoof.

`where` is the square (x, y, side) of the crop in the picture, `roll` its rotation
(`faces.crop`).
"""

import cv2
import numpy as np
from scipy.spatial import Delaunay

from nasfas_jax.data.preparation import faces

MAP_SIZE = 32
FINE = 4  # resolution factor at which maps are drawn before averaging
OUTLINE_DEPTH = 0.1
SHIFT = 4  # fractional bits of the coordinates of polygons
# Indices of landmarks: outer and inner corner of the image's left and right eye, the top
# of the forehead, the tip of the chin.
EYE_CORNERS = ((33, 133), (362, 263))
FOREHEAD, CHIN = 10, 152
# Eyes of an upright face relative to its tight box, where no annotation has them.
USUAL_EYES = np.array([[0.30, 0.40], [0.70, 0.40]])


def binary(values: np.ndarray) -> np.ndarray:
    """255 for cells that are covered by half or more, else 0."""
    return np.where(values >= 128, 255, 0).astype(np.uint8)


def ellipse(where: np.ndarray, box: np.ndarray, roll: float = 0.0) -> np.ndarray:
    """Location map of the ellipse in a tight box."""
    across, down = _face_axes(*_grid(where, roll), box, np.zeros(2), 0.0)
    return binary(_to_uint8(_average(across**2 + down**2 <= 1)))


def analytic_depth(
    where: np.ndarray, box: np.ndarray, eyes=None, roll: float = 0.0
) -> np.ndarray:
    """Depth of an analytic head fitted to the box and, if given, the eyes [2, 2].

    The head is an ellipsoid with nose, eye sockets and chin; the eyes determine its
    rotation in the image plane and the sideways position of the nose.
    """
    box = np.asarray(box, np.float64)
    if eyes is None:
        eyes = box[:2] + USUAL_EYES * box[2:]
    eyes = np.asarray(eyes, np.float64)
    left, right = eyes
    lean = faces.roll_of(eyes)
    x, y = _grid(where, roll)
    across, down = _face_axes(x, y, box, np.zeros(2), lean)
    depth = np.sqrt(np.maximum(1 - across**2 - down**2, 0))

    def bump(point, wide, high):
        a, d = _face_axes(x, y, box, point, lean)
        return np.exp(-((a / wide) ** 2) - (d / high) ** 2)

    # The nose is half an eye distance below the midpoint of the eyes.
    middle = eyes.mean(0)
    center = box[:2] + box[2:] / 2
    below = np.array([-np.sin(lean), np.cos(lean)]) * np.linalg.norm(right - left)
    depth += 0.35 * bump(middle - center + 0.55 * below, 0.17, 0.16)
    depth += 0.20 * bump(middle - center + 0.25 * below, 0.10, 0.22)
    depth += 0.08 * bump(middle - center + 1.50 * below, 0.30, 0.15)
    for eye in eyes:
        depth -= 0.12 * bump(eye - center, 0.22, 0.12)
    inside = across**2 + down**2 <= 1
    scaled = OUTLINE_DEPTH + (1 - OUTLINE_DEPTH) * depth / depth.max()
    return _to_uint8(_average(np.where(inside, scaled, 0)))


def warp_map(
    where: np.ndarray, given: np.ndarray, given_box: np.ndarray, roll: float = 0.0
) -> np.ndarray:
    """The part in the crop of a map [D, E] uint8 that covers the box (x, y, w, h)."""
    left, top, wide, high = (float(value) for value in given_box)
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    there = faces.out_of_crop(where, corners, roll) - [left, top]
    there *= [given.shape[1] / wide, given.shape[0] / high]
    side = MAP_SIZE * FINE
    # Pixel centers have integer coordinates in both images.
    matrix = cv2.getAffineTransform(
        (corners * side - 0.5).astype(np.float32), (there - 0.5).astype(np.float32)
    )
    fine = cv2.warpAffine(
        given.astype(np.float32),
        matrix,
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    return _to_uint8(_average(fine) / 255)


def hull(where: np.ndarray, points: np.ndarray, roll: float = 0.0) -> np.ndarray:
    """Location map of the landmarks' [468, 3] convex hull: the filled face contour."""
    fine = np.zeros((MAP_SIZE * FINE,) * 2, np.float32)
    outline = cv2.convexHull(_to_fine(where, points, roll))
    cv2.fillConvexPoly(fine, outline, 1.0, shift=SHIFT)
    return binary(_to_uint8(_average(fine)))


def landmark_depth(
    where: np.ndarray, points: np.ndarray, roll: float = 0.0
) -> np.ndarray:
    """Depth of the surface through face landmarks [468, 3] (`landmarks.Landmarks`).

    The points are triangulated as in a frontal face, whatever the pose; nearer triangles
    hide farther ones.
    """
    triangles = Delaunay(_from_the_front(points)).simplices
    at = _to_fine(where, points, roll)[triangles]
    depth = points[triangles, 2].mean(1)
    far, near = depth.max(), depth.min()
    value = OUTLINE_DEPTH + (1 - OUTLINE_DEPTH) * (far - depth) / (far - near)
    fine = np.zeros((MAP_SIZE * FINE,) * 2, np.float32)
    for i in np.argsort(-depth, kind="stable"):
        cv2.fillConvexPoly(fine, at[i], float(value[i]), shift=SHIFT)
    return _to_uint8(_average(fine))


def resized(maps: np.ndarray, size: int, *, is_binary: bool) -> np.ndarray:
    """Maps [N, 32, 32] uint8 resized to [N, size, size] by area-weighted means.

    A cell of a binary map is set if half of its area or more is set.
    """
    if size == maps.shape[1]:
        return maps
    weights = _overlaps(maps.shape[1], size)
    small = np.einsum("ih,nhw,jw->nij", weights, maps.astype(np.float32), weights)
    small = np.round(small).astype(np.uint8)
    return binary(small) if is_binary else small


def _overlaps(old: int, new: int) -> np.ndarray:
    """Shares [new, old] of each new cell covered by the old cells."""
    low = np.arange(new)[:, None] * old / new
    start = np.arange(old)[None]
    high = low + old / new
    parts = np.minimum(high, start + 1) - np.maximum(low, start)
    return (np.maximum(parts, 0) * new / old).astype(np.float32)


def _from_the_front(points: np.ndarray) -> np.ndarray:
    """[468, 2]: the landmarks along the face's own axes across and down."""
    across = points[list(EYE_CORNERS[1])].mean(0) - points[list(EYE_CORNERS[0])].mean(0)
    across /= np.linalg.norm(across)
    down = points[CHIN] - points[FOREHEAD]
    down -= across * (down @ across)
    down /= np.linalg.norm(down)
    return points @ np.stack([across, down], 1)


def _to_fine(where, points, roll):
    """Pixels of the fine map, as whole numbers of 1 / 2**SHIFT pixels."""
    at = faces.into_crop(where, points[:, :2], roll) * (MAP_SIZE * FINE) - 0.5
    return np.round(at * 2**SHIFT).astype(np.int32)


def _grid(where, roll):
    """Pixel coordinates x, y [128, 128] of the cell centers of the fine map."""
    x, y, side = (float(value) for value in where)
    steps = (np.arange(MAP_SIZE * FINE) + 0.5) / (MAP_SIZE * FINE)
    if not roll:
        return np.meshgrid(x + steps * side, y + steps * side)
    points = faces.out_of_crop(where, np.stack(np.meshgrid(steps, steps), -1), roll)
    return points[..., 0], points[..., 1]


def _face_axes(x, y, box, offset, roll):
    """Coordinates about the box center + offset, rotated by roll, in half axes."""
    left, top, wide, high = (float(value) for value in box)
    x = x - (left + wide / 2 + offset[0])
    y = y - (top + high / 2 + offset[1])
    cos, sin = np.cos(roll), np.sin(roll)
    return (cos * x + sin * y) / (wide / 2), (cos * y - sin * x) / (high / 2)


def _average(fine):
    fine = np.asarray(fine, np.float32)
    return cv2.resize(fine, (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_AREA)


def _to_uint8(values):
    return np.clip(np.round(values * 255), 0, 255).astype(np.uint8)
