"""Pictures on the standard input, split and bounded."""

import io
import os
import time

import cv2
import numpy as np
import pytest

from nasfas_jax.data.media import pictures, streams
from nasfas_jax.errors import InputError


def jpegs(count):
    """JPEG pictures one after the other, the first with a JPEG in a comment."""
    random = np.random.default_rng(0)
    coded = [
        cv2.imencode(".jpg", random.integers(0, 255, (48, 64, 3), np.uint8))[
            1
        ].tobytes()
        for _ in range(count)
    ]
    inside = b"\xff\xfe" + (len(coded[0]) + 2).to_bytes(2, "big") + coded[0]
    return [coded[0][:2] + inside + b"\xff" + coded[0][2:], *coded[1:]]


def decoded(content):
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)


class Parts(io.BytesIO):
    """A stream that gives a few bytes at a time."""

    def __init__(self, content, size):
        super().__init__(content)
        self.size = size

    def read1(self, size=-1, /):
        del size
        return super().read1(self.size)


def test_pictures_on_standard_input(monkeypatch, tmp_path):
    contents = jpegs(3)
    path = tmp_path / "pictures"
    path.write_bytes(b"".join(contents))
    with path.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        found = [image for image, _ in streams.frames("-")]
    np.testing.assert_array_equal(found, [decoded(one) for one in contents])
    for content, words in (
        (b"RIFF....AVI ", "picture 1: it begins with b'RIFF....'"),
        (b"".join(jpegs(2))[:-5], "picture 2: it is cut off"),
    ):
        with pytest.raises(InputError, match=rf"{words}.*ffmpeg -i VIDEO"):
            list(streams.read_jpegs(io.BytesIO(content)))


@pytest.mark.parametrize("size", [1, 7, 100])
def test_bytes_are_searched_once_wherever_they_are_split(monkeypatch, size):
    contents = jpegs(2)
    searched = []
    real = pictures.end_of_jpeg

    def counted(content, start):
        searched.append(max(len(content) - start, 0))
        return real(content, start)

    monkeypatch.setattr(pictures, "end_of_jpeg", counted)
    found = list(streams.read_jpegs(Parts(b"".join(contents), size)))
    np.testing.assert_array_equal(found, [decoded(one) for one in contents])
    assert sum(searched) < 6 * sum(map(len, contents))


@pytest.mark.parametrize("side", [20_000, 60_000])
def test_pictures_that_announce_too_many_pixels_are_not_decoded(side):
    small = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    at = small.index(b"\xff\xc0") + 5
    bomb = small[:at] + 2 * side.to_bytes(2, "big") + small[at + 4 :]
    with pytest.raises(InputError, match=f"picture 1: it has {side} x {side} pixels"):
        list(streams.read_jpegs(io.BytesIO(bomb)))


def test_a_stalled_source_is_left(monkeypatch):
    """After one picture nothing comes, and the stream stays open."""
    reading, writing = os.pipe()
    with open(reading) as stdin, open(writing, "wb", buffering=0) as sender:
        sender.write(jpegs(1)[0])
        monkeypatch.setattr("sys.stdin", stdin)
        begin = time.monotonic()
        found = streams.until(
            streams.frames("-"), lambda: time.monotonic() - begin > 0.5
        )
        assert len(list(found)) == 1
        assert 0.5 < time.monotonic() - begin < 5


def failing():
    yield 1
    raise InputError("it vanished")


def test_what_is_read_ahead_is_what_was_given():
    assert list(streams.until(iter(range(5)), lambda: False)) == [0, 1, 2, 3, 4]
    found = streams.until(failing(), lambda: False)
    assert next(found) == 1
    with pytest.raises(InputError, match="it vanished"):
        next(found)
