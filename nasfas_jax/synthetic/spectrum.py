"""Radial power spectrum of a face, by which rendered skin is compared with real skin."""

from __future__ import annotations

import cv2
import numpy as np

Array = np.ndarray

SIDE = 128  # of the crop about the face, pixels
MARGIN = 1.5  # side of the crop, relative to the longer side of the face box
LOW, HIGH, MIDDLE = 3, 24, 8  # cycles per inner half of the crop


def crop_face(picture: Array, box: Array, side: int = SIDE) -> Array:
    """A square about a face box, uint8 [side, side, 3]; reflected beyond the picture.

    Args:
      picture: uint8 [H, W, 3].
      box: x, y, width, height of the face in pixels.
      side: side of the result in pixels.
    """
    x, y, width, height = (float(value) for value in box)
    extent = max(2, round(MARGIN * max(width, height)))
    left = round(x + width / 2 - extent / 2)
    top = round(y + height / 2 - extent / 2)
    rows, columns = picture.shape[:2]
    pad = max(0, -left, -top, left + extent - columns, top + extent - rows)
    if pad:
        mode = cv2.BORDER_REFLECT_101
        picture = cv2.copyMakeBorder(picture, pad, pad, pad, pad, mode)
    part = picture[top + pad : top + pad + extent, left + pad : left + pad + extent]
    smaller = cv2.INTER_AREA if extent > side else cv2.INTER_LANCZOS4
    return cv2.resize(part, (side, side), interpolation=smaller)


def radial_spectrum(crop: Array) -> Array:
    """Mean power of the luma by frequency, relative to its mean, float64 [side / 4].

    The inner half of the crop, which is face alone, is multiplied by a Hann window.

    Args:
      crop: result of `crop_face`, uint8 RGB [side, side, 3].
    """
    rows, columns = crop.shape[:2]
    inner = crop[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]
    level = cv2.cvtColor(inner, cv2.COLOR_RGB2GRAY).astype(float)
    side = level.shape[0]
    window = np.outer(*[np.hanning(side + 2)[1:-1]] * 2)
    level = level / level.mean()
    level = (level - (level * window).sum() / window.sum()) * window
    power = np.abs(np.fft.fft2(level)) ** 2 / (window**2).sum()
    axis = np.fft.fftfreq(side) * side
    radius = np.rint(np.hypot(axis[:, None], axis[None, :])).astype(int).ravel()
    return (np.bincount(radius, power.ravel()) / np.bincount(radius))[: side // 2]


def slope_and_level(spectrum: Array) -> tuple[float, float]:
    """Exponent of the power law fitted to a spectrum, and log10 of its middle value.

    The line is fitted to log10 of power and frequency between LOW and HIGH cycles; its
    value at MIDDLE cycles is the level.
    """
    frequency = np.log10(np.arange(LOW, HIGH + 1))
    slope, offset = np.polyfit(frequency, np.log10(spectrum[LOW : HIGH + 1]), 1)
    return float(slope), float(offset + slope * np.log10(MIDDLE))
