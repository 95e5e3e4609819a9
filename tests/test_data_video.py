"""Sampling clips from files, whole and broken."""

import functools

import cv2
import numpy as np
import pytest

from nasfas_jax.data import sampling, video


def picture(index: int) -> np.ndarray:
    """A frame whose grey level tells its index even after compression."""
    return np.full((48, 64, 3), 6 * index, np.uint8)


def write_video(path, count=40):
    codec = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), 25, (64, 48)
    )
    for index in range(count):
        writer.write(picture(index))
    writer.release()
    return path


def even(clips):
    return functools.partial(sampling.clip_ends, "even", clips=clips, frames=7)


def cut(path, part):
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    return path


@pytest.mark.parametrize("name", ["a.avi", "a.mp4"])
def test_a_clip_is_the_current_frame_and_those_before_it(tmp_path, name):
    path = write_video(tmp_path / name)
    clips = list(video.read_clips(path, even(5), frames=7))
    assert [end for end, _ in clips] == [6, 14, 22, 30, 39]
    for end, images in clips:
        levels = [round(float(image.mean()) / 6 + 0.3) for image in images]
        assert levels == list(range(end - 6, end + 1))


def test_overlapping_clips_share_frames(tmp_path):
    path = write_video(tmp_path / "a.avi", count=9)
    clips = list(video.read_clips(path, even(10), frames=7))
    assert [end for end, _ in clips] == [6, 7, 8]
    np.testing.assert_array_equal(clips[0][1][-1], clips[2][1][-3])


def test_a_picture_is_one_frame_repeated(tmp_path):
    path = tmp_path / "a.PNG"
    cv2.imwrite(str(path), picture(30))
    [(end, images)] = video.read_clips(path, even(5), frames=7)
    assert (end, len(images)) == (0, 7)
    np.testing.assert_array_equal(np.stack(images), np.stack([picture(30)] * 7))


def test_a_stream_a_little_shorter_than_promised_is_used(tmp_path):
    path = cut(write_video(tmp_path / "a.avi"), 0.95)
    ends = [end for end, _ in video.read_clips(path, even(5), frames=7)]
    assert ends == [6, 14, 22, 30]


def broken(tmp_path):
    write_video(tmp_path / "truncated.avi")
    write_video(tmp_path / "truncated.mp4")
    write_video(tmp_path / "short.avi", count=3)
    for name in ("truncated.avi", "truncated.mp4"):
        cut(tmp_path / name, 0.5)
    for name in ("empty.mp4", "empty.png"):
        (tmp_path / name).touch()
    for name in ("text.mp4", "text.jpg"):
        (tmp_path / name).write_text("no video at all")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty.mp4", "empty"),
        ("empty.png", "empty"),
        ("text.mp4", "no video that OpenCV can open"),
        ("text.jpg", "no picture that OpenCV can read"),
        ("truncated.avi", "the header promises 40 frames, 9 could be decoded"),
        ("truncated.mp4", "cut off"),
        ("short.avi", "3 frames, but a clip needs 7"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_on_no_other_channel(
    tmp_path, capfd, name, reason
):
    broken(tmp_path)
    with pytest.raises(video.VideoError, match=reason):
        list(video.read_clips(tmp_path / name, even(4), frames=7))
    assert capfd.readouterr().err == ""
