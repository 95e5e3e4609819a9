"""Sampling clips from files, whole and broken."""

import functools

import media
import numpy as np
import pytest
from media import cut, level, write_video

from nasfas_jax.data.media import video
from nasfas_jax.data.preparation import sampling


def rule(clips, name="even"):
    return functools.partial(sampling.clip_ends, name, clips=clips, frames=7)


def ends_of(path, ends):
    return [end for end, _ in video.read_clips(path, ends, frames=7)]


def levels(path, ends):
    """The gray levels of each clip's frames, as indices."""
    return [
        [level(image) for image in images]
        for _, images in video.read_clips(path, ends, frames=7)
    ]


@pytest.mark.parametrize("name", ["a.avi", "a.mp4"])
def test_a_clip_is_the_current_frame_and_those_before_it(tmp_path, name):
    path = write_video(tmp_path / name)
    clips = list(video.read_clips(path, rule(5), frames=7))
    assert [end for end, _ in clips] == [6, 14, 22, 30, 39]
    for end, images in clips:
        assert [level(image) for image in images] == list(range(end - 6, end + 1))


def test_overlapping_clips_share_frames(tmp_path):
    path = write_video(tmp_path / "a.avi", count=9)
    clips = list(video.read_clips(path, rule(10), frames=7))
    assert [end for end, _ in clips] == [6, 7, 8]
    np.testing.assert_array_equal(clips[0][1][-1], clips[2][1][-3])


@pytest.mark.parametrize(("first", "count"), [(0, 20), (12, 28), (12, 15)])
def test_a_trimmed_video_has_the_frames_that_are_shown(tmp_path, first, count):
    path = media.trim(write_video(tmp_path / "a.mp4"), first, count)
    assert video.count_frames(path) == count
    assert ends_of(path, rule(2)) == [6, count - 1]
    assert ends_of(path, rule(1)) == [count - 1]
    [shown] = levels(path, lambda total: [total - 1])
    assert shown == list(range(first + count - 7, first + count))


@pytest.mark.parametrize("promised", [20, 60, 1000])
def test_a_header_that_miscounts_is_not_believed(tmp_path, promised):
    path = media.promise(write_video(tmp_path / "a.avi"), promised)
    assert video.count_frames(path) == 40
    for name in sampling.RULES:
        expected = sampling.clip_ends(name, 40, clips=4, frames=7)
        assert ends_of(path, rule(4, name)) == expected


def test_a_recording_that_was_never_finished_is_used(tmp_path):
    path = write_video(tmp_path / "a.avi")
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(4) + content[8 : len(content) // 2])
    count = video.count_frames(path)
    assert 7 < count < 20
    assert ends_of(path, rule(1)) == [count - 1]


def test_a_cut_video_is_used_where_most_of_it_is_left(tmp_path):
    """Without its last frame, of which only a part may be there."""
    path = cut(write_video(tmp_path / "a.avi"), 0.95)
    assert video.count_frames(path) == 38
    assert ends_of(path, rule(5)) == [6, 13, 21, 29, 37]
    assert levels(path, lambda total: [total - 1]) == [list(range(31, 38))]
    stamps = video.time_stamps(path)
    assert stamps is not None and len(stamps) == 38
    assert len(list(video.read_frames(path))) == 38


def test_the_last_frame_of_a_cut_wmv_is_not_used(tmp_path):
    """Its header announces a size, but no number of frames."""
    path = cut(write_video(tmp_path / "a.wmv"), 0.5)
    capture, decoded = video.open_video(path), 0
    while capture.grab():
        decoded += 1
    assert 7 < decoded < 40 and video.count_frames(path) == decoded - 1


def test_decoding_that_stops_early_moves_the_last_clips(tmp_path):
    path = media.blank(media.index_first(write_video(tmp_path / "a.mp4")), 0.97)
    asked = []

    def ends(total):
        asked.append(total)
        return rule(4)(total)

    found = ends_of(path, ends)
    assert asked[0] == 40 and 36 <= asked[1] < 40 and len(asked) == 2
    assert found == [6, 17, 28, asked[1] - 1]
    assert len(list(video.read_frames(path))) == asked[1]


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.mov", "a.mkv", "a.mpg", "a.wmv"])
def test_time_stamps_of_a_constant_rate(tmp_path, name):
    stamps = video.time_stamps(write_video(tmp_path / name, count=10))
    np.testing.assert_allclose(stamps, np.arange(10) / media.RATE, atol=1e-3)


def test_time_stamps_are_the_frames_own(tmp_path):
    durations = [512] * 5 + [5120] * 5
    path = media.time(write_video(tmp_path / "a.mp4", count=10), durations)
    expected = np.cumsum([0, *durations[:-1]]) / (512 * media.RATE)
    np.testing.assert_allclose(video.time_stamps(path), expected, atol=1e-3)
    assert video.count_frames(path) == 10


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ([0, 0.1, 0, 0.3, 0, 0], [0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        ([0, 0, 0.4], [0, 0.2, 0.4]),
        ([0.2, 0.3, 0.3, 0.5], [0.2, 0.3, 0.3, 0.5]),
        ([0, 0, 0], None),
        ([0], None),
        ([0, 0.2, 0.1], None),
    ],
)
def test_missing_time_stamps_are_filled_from_their_neighbors(stored, expected):
    found = video._completed(np.array(stored, float))
    if expected is None:
        assert found is None
    else:
        np.testing.assert_allclose(found, expected)


def test_a_trimmed_video_starts_at_zero(tmp_path):
    path = media.trim(write_video(tmp_path / "a.mp4"), 12, 15)
    stamps = video.time_stamps(path)
    np.testing.assert_allclose(stamps, np.arange(15) / media.RATE, atol=1e-3)


def broken(tmp_path):
    write_video(tmp_path / "truncated.avi")
    write_video(tmp_path / "truncated.mp4")
    write_video(tmp_path / "truncated.mkv")
    media.index_first(write_video(tmp_path / "first.mp4"))
    media.blank(media.index_first(write_video(tmp_path / "blank.mp4")), 0.5)
    write_video(tmp_path / "short.avi", count=3)
    media.trim(write_video(tmp_path / "short.mp4"), 30, 4)
    for name in ("avi", "mp4", "mkv"):
        cut(tmp_path / f"truncated.{name}", 0.5)
    cut(tmp_path / "first.mp4", 0.5)
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
        ("truncated.avi", "truncated: .* 40 frames .*; 8 whole frames could be"),
        ("truncated.mkv", "truncated: .* 40 frames"),
        ("truncated.mp4", "cut off"),
        ("first.mp4", "truncated: .* 40 frames"),
        ("blank.mp4", r"damaged: 40 frames are in the file, .* stopped after \d"),
        ("short.avi", "3 frames, but a clip needs 7"),
        ("short.mp4", "4 frames, but a clip needs 7"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_on_no_other_channel(
    tmp_path, capfd, name, reason
):
    broken(tmp_path)
    with pytest.raises(video.VideoError, match=reason):
        list(video.read_clips(tmp_path / name, rule(4), frames=7))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "frames", "last"),
    [
        ("trimmed_edit_list.mp4", 47, 1.533),
        ("header_more_than_stream.mp4", 40, 1.3),
        ("variable_rate.mp4", 40, 10.167),
        ("variable_rate.webm", 40, 10.167),
    ],
)
def test_real_files_with_misleading_headers(samples, name, frames, last):
    path = samples / "hard" / name
    assert video.count_frames(path) == frames
    assert ends_of(path, rule(1)) == [frames - 1]
    stamps = video.time_stamps(path)
    assert stamps is not None and len(stamps) == frames
    assert stamps[-1] == pytest.approx(last, abs=1e-3)
