"""Four domains that differ as OULU-NPU, CASIA-MFSD, Replay-Attack and MSU-MFSD do.

A domain defines a camera, a type of light and room, a resolution and a container, equal for
live and spoof, and the camera, printer and screen of its attackers. The relation of color
and sharpness to the class therefore depends on the domain, as in real datasets.
"""

from __future__ import annotations

import dataclasses

from nasfas_jax.synthetic.camera import Camera


@dataclasses.dataclass(frozen=True)
class Domain:
    """One capture condition.

    Attributes:
      name: name in the index.
      camera: the last camera of every video, live or spoof.
      light: ranges for `scene.draw_light`.
      room: palette, clutter and defocus for `interior.build_background`.
      source: ranges for `camera.attackers_camera`, and `height` of the face in its pictures
        relative to that in the videos.
      printer: ranges for `attacks.Printer`.
      display: ranges for `attacks.draw_display`.
      near: blur of the lens on a held sheet relative to that on a person (a lens of fixed
        focus is sharper at one distance).
      zoom: size of the face relative to the requested `face_size`.
      frame: columns and rows of a frame, in units of the face's height.
      codec: "MJPG" (in .avi) or "mp4v" (in .mp4).
      rate: range of the bytes per pixel of Motion-JPEG videos, as the bit rate of a
        camera; unused for mp4v.
    """

    name: str
    camera: Camera
    light: dict
    room: dict
    source: dict
    printer: dict
    display: dict
    near: float
    zoom: float
    frame: tuple[float, float]
    codec: str
    rate: tuple[float, float] = (0.0, 0.0)

    @property
    def suffix(self) -> str:
        """The file name's ending."""
        return ".avi" if self.codec == "MJPG" else ".mp4"

    def size(self, face_size: int) -> tuple[int, int]:
        """Columns and rows of a frame, multiples of 16."""
        columns, rows = (
            round(side * face_size * self.zoom / 16) * 16 for side in self.frame
        )
        return columns, rows


_OFFICE = [[0.62, 0.60, 0.55], [0.35, 0.37, 0.40], [0.45, 0.33, 0.22], [0.2, 0.24, 0.3]]
_HOME = [[0.50, 0.42, 0.30], [0.25, 0.32, 0.16], [0.30, 0.16, 0.09], [0.55, 0.55, 0.5]]
_PLAIN = [[0.45, 0.45, 0.42], [0.50, 0.52, 0.55], [0.16, 0.15, 0.15]]
_LOUNGE = [[0.55, 0.45, 0.40], [0.12, 0.18, 0.3], [0.5, 0.1, 0.08], [0.7, 0.68, 0.6]]

DOMAINS = {
    "dom_o": Domain(
        "dom_o",
        Camera(
            0.60, 0.10, 0.20, 0.0030, 0.008, (1.02, 1.0, 0.98), 1.10, 2.2, 0.15, 0.35, 0
        ),
        {
            "azimuth": (5, 45),
            "elevation": (20, 50),
            "ambient": (0.45, 0.7),
            "warmth": (-0.1, 0.35),
            "back": (0.4, 1.0),
        },
        {"palette": _OFFICE, "clutter": (5, 12), "defocus": 0.025},
        source={
            "height": (1.1, 1.35),
            "psf": (0.35, 0.45),
            "saturation": (1.0, 1.2),
            "contrast": (0.3, 0.7),
            "sharpen": (0.7, 1.2),
            "warmth": (-0.02, 0.04),
        },
        printer={
            "pitch": (1.0, 1.8),
            "gain": (0.9, 1.1),
            "key": (0.7, 0.9),
            "white": (0.0, 0.06),
            "gloss": (0.02, 0.12),
        },
        display={
            "pitch": (0.8, 1.5),
            "blue": (0.06, 0.16),
            "brightness": (0.9, 1.6),
            "black": (0.002, 0.015),
            "gamma": (0.95, 1.1),
            "focus": (0.3, 0.55),
        },
        near=0.6,
        zoom=1.0,
        frame=(2.0, 2.5),
        codec="MJPG",
        rate=(0.26, 0.44),
    ),
    "dom_c": Domain(
        "dom_c",
        Camera(
            0.60,
            0.20,
            0.21,
            0.0035,
            0.009,
            (0.95, 1.0, 1.08),
            0.90,
            2.1,
            0.0,
            0.0,
            0.35,
        ),
        {
            "azimuth": (0, 40),
            "elevation": (5, 35),
            "ambient": (0.5, 0.85),
            "warmth": (-0.4, 0.1),
            "back": (0.5, 1.1),
        },
        {"palette": _HOME, "clutter": (4, 12), "defocus": 0.03},
        source={
            "height": (0.7, 0.95),
            "psf": (0.5, 0.75),
            "saturation": (1.15, 1.4),
            "contrast": (0.0, 0.3),
            "sharpen": (0.0, 0.3),
            "warmth": (-0.06, 0.0),
        },
        printer={
            "pitch": (0.6, 1.0),
            "gain": (0.75, 0.9),
            "key": (0.6, 0.8),
            "white": (-0.08, 0.0),
            "gloss": (0.05, 0.25),
        },
        display={
            "pitch": (0.7, 1.2),
            "blue": (-0.1, 0.02),
            "brightness": (0.6, 1.0),
            "black": (0.01, 0.04),
            "gamma": (0.85, 1.0),
            "focus": (0.5, 0.8),
        },
        near=1.4,
        zoom=0.95,
        frame=(2.5, 2.0),
        codec="MJPG",
        rate=(0.24, 0.38),
    ),
    "dom_i": Domain(
        "dom_i",
        Camera(
            0.75, 0.25, 0.18, 0.0042, 0.010, (1.08, 1.0, 0.90), 0.85, 2.3, 0.1, 0.25, 0
        ),
        {
            "azimuth": (20, 75),
            "elevation": (0, 40),
            "ambient": (0.3, 0.6),
            "warmth": (0.0, 0.6),
            "back": (0.3, 1.8),
        },
        {"palette": _PLAIN, "clutter": (0, 4), "defocus": 0.05},
        source={
            "height": (1.0, 1.25),
            "psf": (0.35, 0.5),
            "saturation": (1.2, 1.5),
            "contrast": (0.3, 0.7),
            "sharpen": (0.8, 1.3),
            "warmth": (-0.08, -0.02),
        },
        printer={
            "pitch": (1.0, 1.8),
            "gain": (0.85, 1.0),
            "key": (0.75, 0.95),
            "white": (-0.04, 0.04),
            "gloss": (0.02, 0.1),
        },
        display={
            "pitch": (0.9, 1.8),
            "blue": (-0.04, 0.06),
            "brightness": (1.0, 1.8),
            "black": (0.003, 0.02),
            "gamma": (1.0, 1.2),
            "focus": (0.3, 0.55),
        },
        near=0.6,
        zoom=0.88,
        frame=(2.6, 2.1),
        codec="MJPG",
        rate=(0.26, 0.42),
    ),
    "dom_m": Domain(
        "dom_m",
        Camera(
            0.50, 0.15, 0.23, 0.0032, 0.0075, (1.0, 1.0, 1.02), 1.25, 2.25, 0.4, 0.7, 0
        ),
        {
            "azimuth": (15, 60),
            "elevation": (15, 45),
            "ambient": (0.35, 0.65),
            "warmth": (-0.3, 0.4),
            "back": (0.4, 1.3),
        },
        {"palette": _LOUNGE, "clutter": (3, 8), "defocus": 0.1},
        source={
            "height": (0.75, 1.0),
            "psf": (0.45, 0.7),
            "saturation": (0.75, 0.95),
            "contrast": (0.0, 0.2),
            "sharpen": (0.0, 0.2),
            "warmth": (0.02, 0.1),
        },
        printer={
            "pitch": (0.6, 1.1),
            "gain": (1.0, 1.25),
            "key": (0.7, 0.9),
            "white": (0.04, 0.12),
            "gloss": (0.02, 0.3),
        },
        display={
            "pitch": (0.7, 1.3),
            "blue": (0.02, 0.2),
            "brightness": (0.7, 1.3),
            "black": (0.01, 0.05),
            "gamma": (0.85, 1.05),
            "focus": (0.4, 0.7),
        },
        near=1.15,
        zoom=1.08,
        frame=(2.3, 1.9),
        codec="mp4v",
    ),
}
