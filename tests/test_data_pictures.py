"""Still pictures: complete ones only, and upright."""

import cv2
import media
import numpy as np
import pytest

from nasfas_jax.data.datasets.sources import VideoSource
from nasfas_jax.data.media import pictures, video
from nasfas_jax.data.preparation import extract, faces
from nasfas_jax.data.preparation.recipe import Recipe


def scene(height=48, width=64):
    """A picture that no turn and no mirror leaves the same."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, :, 0] = image[height // 2 :, :, 2] = 200
    image[:, : width // 2, 1] = 90
    image[:10, :10] = 255
    return image


def noise(height=48, width=64):
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


def read_bytes(path, content):
    path.write_bytes(content)
    return video.read_picture(path)


def jpeg(**flags):
    settings = [v for name, value in flags.items() for v in (getattr(cv2, name), value)]
    return cv2.imencode(".jpg", noise(), settings)[1].tobytes()


JPEGS = {
    "baseline": jpeg(),
    "progressive": jpeg(IMWRITE_JPEG_PROGRESSIVE=1),
    "restarts": jpeg(IMWRITE_JPEG_RST_INTERVAL=2),
}


def with_thumbnail(content):
    """The JPEG with a small whole JPEG in its first segment, as cameras write it."""
    inside = b"Exif\0\0" + cv2.imencode(".jpg", scene(16, 16))[1].tobytes()
    segment = b"\xff\xe1" + (len(inside) + 2).to_bytes(2, "big") + inside
    return content[:2] + segment + content[2:]


@pytest.mark.parametrize("name", JPEGS)
def test_a_picture_is_one_frame_repeated(tmp_path, name):
    path = tmp_path / "a.JPG"
    path.write_bytes(JPEGS[name])
    [(end, images)] = video.read_clips(path, lambda total: [], frames=7)
    assert (end, len(images)) == (0, 7)
    expected = cv2.imdecode(np.frombuffer(JPEGS[name], np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(np.stack(images), np.stack([expected] * 7))


@pytest.mark.parametrize("thumbnail", [False, True])
@pytest.mark.parametrize("name", JPEGS)
def test_a_cut_jpeg_is_truncated_wherever_it_is_cut(tmp_path, name, thumbnail):
    content = with_thumbnail(JPEGS[name]) if thumbnail else JPEGS[name]
    read_bytes(tmp_path / "whole.jpg", content)
    read_bytes(tmp_path / "more.jpg", content + b"motion photo \xff\xd8")
    for part in (0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        with pytest.raises(video.VideoError, match=r"^truncated"):
            read_bytes(tmp_path / "cut.jpg", content[: int(part * len(content))])
    with pytest.raises(video.VideoError, match=r"^truncated"):
        read_bytes(tmp_path / "cut.jpg", content[:-2])


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".tif"])
def test_other_cut_pictures_are_refused_without_a_word_on_stderr(
    tmp_path, capfd, suffix, part
):
    content = cv2.imencode(suffix, noise())[1].tobytes()
    np.testing.assert_array_equal(
        read_bytes(tmp_path / f"a{suffix}", content).shape, noise().shape
    )
    reason = "^truncated" if suffix == ".png" else "cut off"
    with pytest.raises(video.VideoError, match=reason):
        read_bytes(tmp_path / f"a{suffix}", content[: int(part * len(content))])
    assert capfd.readouterr().err == ""


def test_a_cut_jpeg_in_a_folder_of_frames_is_named(tmp_path):
    for index in range(9):
        cv2.imwrite(str(tmp_path / f"{index}.jpg"), noise())
    media.cut(tmp_path / "5.jpg", 0.7)
    with pytest.raises(video.VideoError, match=r"^frame 5\.jpg: truncated"):
        list(video.read_clips(tmp_path, lambda total: [total - 1], frames=7))


def test_a_cut_depth_picture_is_named(tmp_path):
    class Detector:
        name = "fixed"

        def __call__(self, image):
            return faces.Face(np.array([10.0, 5, 30, 36]))

    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), noise())
    cv2.imwrite(str(tmp_path / "a_depth.jpg"), noise())
    source = VideoSource(path, "a.jpg", "ann", "own", "live", 1, "train")
    recipe = Recipe(image_size=16)
    assert extract.extract(source, recipe, Detector()).depth_source == "file"
    media.cut(tmp_path / "a_depth.jpg", 0.7)
    with pytest.raises(
        video.VideoError, match=r"^depth picture a_depth\.jpg: truncated"
    ):
        extract.extract(source, recipe, Detector())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(48, 64), (64, 48), (48, 48)])
def test_a_tiff_is_turned_upright(tmp_path, orientation, size):
    image = scene(*size)
    pixels = media.stored(image, orientation)
    path = media.write_tiff(tmp_path / "a.tif", pixels, orientation)
    np.testing.assert_array_equal(video.read_picture(path), image)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_a_tiff_with_a_meaningless_orientation_is_read_as_stored(tmp_path, orientation):
    path = media.write_tiff(tmp_path / "a.tif", scene(), orientation)
    np.testing.assert_array_equal(video.read_picture(path), scene())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_turned_upright(tmp_path, orientation):
    tag = media.write_tiff(tmp_path / "tag.tif", scene(8, 8), orientation).read_bytes()
    inside = b"Exif\0\0" + tag
    segment = b"\xff\xe1" + (len(inside) + 2).to_bytes(2, "big") + inside
    pixels = media.stored(scene(), orientation)
    content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    image = read_bytes(tmp_path / "a.jpg", content[:2] + segment + content[2:])
    assert image.shape == scene().shape
    assert np.abs(image.astype(int) - scene()).mean() < 6


def turns(image):
    """The picture by quarters counterclockwise (irot) and mirror axis (imir)."""
    for quarters in range(4):
        turned = np.rot90(image, quarters)
        yield quarters, None, turned
        yield quarters, 0, turned[::-1]
        yield quarters, 1, turned[:, ::-1]


def test_an_avif_is_turned_by_its_own_properties(tmp_path, monkeypatch):
    """The pixels are OpenCV's; here they are given, since not every wheel has AVIF."""
    image = scene()
    monkeypatch.setattr(cv2, "imread", lambda path, flags: image)
    for quarters, axis, expected in turns(image):
        content = b"\0\0\0\x20ftypavif" + b"\0\0\0\x09irot" + bytes([quarters])
        if axis is not None:
            content += b"\0\0\0\x09imir" + bytes([axis])
        found = pictures.decode(tmp_path / "a.avif", content)
        np.testing.assert_array_equal(found, expected)


def test_a_layout_that_opencv_does_not_support_is_not_called_damaged(tmp_path, capfd):
    depth = np.ones((48, 64), np.float32)
    cv2.imwrite(str(tmp_path / "a.tif"), depth)
    with pytest.raises(video.VideoError, match="or a layout that it does not support"):
        video.read_picture(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""


def test_a_real_cut_jpeg(samples):
    with pytest.raises(video.VideoError, match=r"^truncated"):
        video.read_picture(samples / "hard" / "cut_at_70_percent.jpg")
    for path in sorted((samples / "own_data").rglob("*.jpg")):
        assert video.read_picture(path).shape == (640, 480, 3)
