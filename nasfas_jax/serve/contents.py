"""Checks of uploaded files by their content."""

import io
import pathlib
import warnings

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from nasfas_jax.data.media import containers, pictures, video
from nasfas_jax.serve.bounds import Bounds
from nasfas_jax.serve.refusal import Refusal

#: Suffixes of the pictures that are taken, by Pillow's names of the formats.
PICTURES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp"}
#: Pillow's name of a JPEG that is followed by others, as some phones write.
SEVERAL_JPEGS = "MPO"
#: Suffixes of the videos that are taken, by their bytes from a position on.
VIDEOS = {
    **{(4, box): ".mp4" for box in containers.ISO},
    (0, b"\x1aE\xdf\xa3"): ".webm",  # Matroska
    (8, b"AVI "): ".avi",
}
#: Brands of ISO files that are pictures (AVIF, HEIC), which are not taken.
STILLS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1")


def suffix_of(path: pathlib.Path, bounds: Bounds) -> str:
    """Suffix of a file by its content, after checks of its size in pixels and frames.

    Headers only are read: nothing is decoded.

    Raises:
      Refusal: another format, or too many pixels or frames.
    """
    with path.open("rb") as file:
        head = file.read(16)
    if head[4:8] == b"ftyp" and head[8:12] in STILLS:
        raise _other_format()
    for (at, magic), suffix in VIDEOS.items():
        if head[at:].startswith(magic):
            _require_video(path, bounds)
            return suffix
    return _require_picture(path, bounds)


def frame_of(content: bytes, bounds: Bounds) -> np.ndarray:
    """A JPEG frame of a camera as BGR [H, W, 3].

    Raises:
      Refusal: too many bytes or pixels, or no JPEG.
    """
    if len(content) > bounds.frame_bytes:
        raise Refusal(
            413,
            f"expected at most {bounds.frame_bytes:,} bytes, got {len(content):,}.",
        )
    if _require_picture(io.BytesIO(content), bounds) != PICTURES["JPEG"]:
        raise Refusal(415, "expected JPEG frames, got another format.")
    image = pictures.decode_jpeg(content)
    if image is None:
        raise Refusal(415, "the JPEG frame cannot be decoded.")
    return image


def _require_picture(file: pathlib.Path | io.BytesIO, bounds: Bounds) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures, which are refused here
            with Image.open(file, formats=list(PICTURES)) as picture:
                (width, height), kind = picture.size, picture.format
    except Image.DecompressionBombError:
        raise Refusal(413, _too_large("more", bounds)) from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        raise _other_format() from None
    if width * height > bounds.pixels:
        raise Refusal(413, _too_large(f"{width:,} x {height:,}", bounds))
    return PICTURES["JPEG" if kind == SEVERAL_JPEGS else str(kind)]


def _require_video(path: pathlib.Path, bounds: Bounds) -> None:
    # Packets are counted, which decodes nothing; the header's count may be wrong.
    try:
        capture = video.open_video(path, cv2.CAP_PROP_FORMAT, -1)
    except video.VideoError as error:
        raise Refusal(415, f"{error}.") from None
    width, height = (
        int(capture.get(what))
        for what in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    size = width * height
    most = min(bounds.frames, bounds.video_pixels // max(size, 1))
    count = 0
    while count <= most and capture.grab():
        count += 1
    capture.release()
    if size > bounds.pixels:
        raise Refusal(413, _too_large(f"{width:,} x {height:,}", bounds))
    if count <= most:
        return
    if most == bounds.frames:
        raise Refusal(413, f"expected at most {most:,} frames, got more.")
    raise Refusal(
        413,
        f"expected at most {bounds.video_pixels:,} pixels in all frames, got more:"
        f" {most:,} frames of {width:,} x {height:,} pixels are allowed.",
    )


def _other_format() -> Refusal:
    return Refusal(
        415,
        "expected a picture (JPEG, PNG, WebP, BMP) or a video (MP4, MOV, WebM, Matroska,"
        " AVI), got another format.",
    )


def _too_large(found: str, bounds: Bounds) -> str:
    return f"expected at most {bounds.pixels:,} pixels, got {found}."
