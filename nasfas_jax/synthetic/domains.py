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
      printer: ranges for `printing.draw_printer`, and `face_cm`, the height of a printed
        face.
      display: ranges for `display.draw_display`.
      near: blur of the lens on a held sheet relative to that on a person (a lens of fixed
        focus is sharper at one distance).
      zoom: size of the face relative to the requested `face_size`.
      frame: columns and rows of a frame, in units of the face's height.
      codec: "MJPG" (in .avi) or "mp4v" (in .mp4).
      rate: range of the bytes per pixel of Motion-JPEG videos beyond those of gray frames,
        as the bit rate of a camera; unused for mp4v.
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
            psf=0.5,
            vignette=0.10,
            target=0.20,
            shot=0.0030,
            read=0.008,
            balance=(1.02, 1.0, 0.98),
            saturation=1.10,
            gamma=2.2,
            contrast=0.15,
            sharpen=0.35,
            smooth=0,
            fill=0.4,
            adapt=0.6,
            shutter=1 / 50,
            readout=0.030,
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
            "ruling": (85, 150),
            "scattered": 0.3,
            "glossy": 0.5,
            "gain": (0.0, 0.08),
            "key": (0.6, 0.9),
            "white": (-0.03, 0.03),
            "banding": (0.01, 0.04),
            "face_cm": (8, 17),
        },
        display={
            "pitch": (0.5, 1.2),
            "blue": (0.06, 0.16),
            "brightness": (0.9, 1.6),
            "black": (0.002, 0.015),
            "gamma": (0.95, 1.1),
            "focus": (0.1, 0.3),
        },
        near=0.6,
        zoom=1.0,
        frame=(2.0, 2.5),
        codec="MJPG",
        rate=(0.16, 0.33),
    ),
    "dom_c": Domain(
        "dom_c",
        Camera(
            psf=1.0,
            vignette=0.20,
            target=0.21,
            shot=0.0035,
            read=0.009,
            balance=(0.95, 1.0, 1.08),
            saturation=0.90,
            gamma=2.1,
            contrast=0.0,
            sharpen=0.0,
            smooth=0.35,
            fill=0.7,
            adapt=0.4,
            shutter=1 / 40,
            readout=0.035,
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
            "ruling": (53, 85),
            "scattered": 0.3,
            "glossy": 0.3,
            "gain": (0.04, 0.14),
            "key": (0.5, 0.8),
            "white": (-0.05, 0.0),
            "banding": (0.02, 0.06),
            "face_cm": (10, 17),
        },
        display={
            "pitch": (0.4, 0.9),
            "blue": (-0.1, 0.02),
            "brightness": (0.6, 1.0),
            "black": (0.01, 0.04),
            "gamma": (0.85, 1.0),
            "focus": (0.2, 0.6),
        },
        near=1.2,
        zoom=0.95,
        frame=(2.5, 2.0),
        codec="MJPG",
        rate=(0.13, 0.26),
    ),
    "dom_i": Domain(
        "dom_i",
        Camera(
            psf=0.6,
            vignette=0.25,
            target=0.18,
            shot=0.0034,
            read=0.009,
            balance=(1.08, 1.0, 0.90),
            saturation=0.85,
            gamma=2.3,
            contrast=0.1,
            sharpen=0.25,
            smooth=0,
            fill=0.5,
            adapt=0.5,
            shutter=1 / 33,
            readout=0.033,
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
            "saturation": (1.05, 1.3),
            "contrast": (0.1, 0.4),
            "sharpen": (0.4, 0.9),
            "warmth": (-0.08, -0.02),
        },
        printer={
            "ruling": (60, 106),
            "scattered": 0.2,
            "glossy": 0.1,
            "gain": (0.0, 0.1),
            "key": (0.7, 0.95),
            "white": (-0.04, 0.02),
            "banding": (0.02, 0.06),
            "face_cm": (8, 16),
        },
        display={
            "pitch": (0.6, 1.3),
            "blue": (-0.04, 0.06),
            "brightness": (1.0, 1.8),
            "black": (0.003, 0.02),
            "gamma": (1.05, 1.25),
            "focus": (0.1, 0.35),
        },
        near=0.8,
        zoom=0.88,
        frame=(2.6, 2.1),
        codec="MJPG",
        rate=(0.15, 0.30),
    ),
    "dom_m": Domain(
        "dom_m",
        Camera(
            psf=0.6,
            vignette=0.15,
            target=0.23,
            shot=0.0032,
            read=0.0075,
            balance=(1.0, 1.0, 1.02),
            saturation=1.25,
            gamma=2.25,
            contrast=0.4,
            sharpen=0.7,
            smooth=0,
            fill=0.45,
            adapt=0.7,
            shutter=1 / 60,
            readout=0.025,
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
            "ruling": (60, 133),
            "scattered": 0.4,
            "glossy": 0.4,
            "gain": (-0.06, 0.04),
            "key": (0.6, 0.9),
            "white": (0.0, 0.06),
            "banding": (0.01, 0.05),
            "face_cm": (9, 18),
        },
        display={
            "pitch": (0.5, 1.3),
            "blue": (0.02, 0.2),
            "brightness": (0.7, 1.3),
            "black": (0.01, 0.05),
            "gamma": (0.85, 1.05),
            "focus": (0.1, 0.35),
        },
        near=0.7,
        zoom=1.08,
        frame=(2.3, 1.9),
        codec="mp4v",
    ),
}
