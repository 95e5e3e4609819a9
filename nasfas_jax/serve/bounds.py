"""Limits of a server."""

import dataclasses

from nasfas_jax import limits


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Limits of a server; requests beyond them are refused.

    Attributes:
      upload_bytes: largest upload.
      upload_seconds: time for the upload of a request.
      pixels: pixels of a picture, or of a frame of a video.
      frames: frames of a video.
      video_pixels: pixels of all frames of a video, which bound the time of decoding.
      clips: clips that are scored in a video.
      workers: threads that run the network.
      waiting: requests that wait for a worker; more are answered by status 503.
      retry_seconds: time after which a refused client may try again (Retry-After).
      watchers: connections that watch a camera at the same time.
      frame_bytes: largest JPEG frame of a camera.
      idle_seconds: time without a frame after which a camera is disconnected.

    Raises:
      InputError: a value that is not positive.
    """

    upload_bytes: int = 64 * 2**20
    upload_seconds: float = 60.0
    pixels: int = 40_000_000
    frames: int = 100_000
    video_pixels: int = 20_000_000_000
    clips: int = 32
    workers: int = 1
    waiting: int = 32
    retry_seconds: int = 2
    watchers: int = 8
    frame_bytes: int = 2 * 2**20
    idle_seconds: float = 60.0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            allowed = limits.POSITIVE if field.type is float else limits.COUNT
            limits.require(**{field.name: (getattr(self, field.name), allowed)})
