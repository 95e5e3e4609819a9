"""Predictions on files: times, stills, and the pictures that are written."""

import csv
import pathlib

import cv2
import h5py
import media
import numpy as np
import pytest
from models import make_model

from nasfas_jax.commands import annotate, predict, recording
from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.preparation import faces
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import watch

ROOT = pathlib.Path(__file__).parents[1]
BOX = np.array([20.0, 8, 24, 30])


class Anywhere:
    """A detector that sees a face in every picture."""

    name = "haar"

    def __init__(self, longest_side=480):
        del longest_side

    def __call__(self, image):
        return faces.Face(BOX * image.shape[0] / 48)


@pytest.fixture
def run_on(tmp_path, monkeypatch):
    """Predicts on a file with an untrained model; the stem of what is written."""
    monkeypatch.setattr(faces, "Haar", Anywhere)

    def run(path, view="static_dynamic"):
        model = make_model(view=pipeline.View(input=view, map_size=4))
        model.save(tmp_path / "model")
        output = tmp_path / "run" / "predict"
        predict.run(model=tmp_path / "model", input=path, output=output)
        return stem_of(path)

    def stem_of(path):
        return tmp_path / "run" / "predict" / path.name.replace(".", "_")

    return run


def test_sources_have_files_of_their_own(tmp_path):
    media.write_video(tmp_path / "a" / "b.mp4", 1)
    for name in ("a_b.mp4", "a_b_mp4 2.mp4", "c.mp4"):
        media.write_video(tmp_path / name, 1)
    found = predict._sources(f"{tmp_path},{tmp_path / 'c.mp4'}", "0,0")
    stems = [recording.stem_of(tmp_path, one.name) for one in found]
    assert len(set(stems)) == len(stems) == 7
    assert [one.name for one in found][-2:] == ["c.mp4", "c.mp4 2"]


def test_inputs_are_joined_by_commas(tmp_path):
    named = media.write_video(tmp_path / "a,b.mp4", 1)
    assert predict.inputs_of(named) == [str(named)]
    assert predict.inputs_of(",".join(["video.mp4"] * 99)) == ["video.mp4"] * 99
    assert predict.inputs_of(None) == predict.inputs_of("") == []


def bright(index):
    """A frame whose gray level tells its index after compressing it twice."""
    return np.full((48, 64, 3), 20 * index, np.uint8)


def moving(index):
    """A frame of a texture that is shifted by two pixels a frame."""
    texture = np.random.default_rng(0).integers(0, 255, (6, 30), np.uint8)
    wide = cv2.resize(texture, (240, 48))[:, 2 * index :][:, :64]
    return np.repeat(wide[..., None], 3, 2)


def table(stem):
    """The rows with a score."""
    lines = stem.with_suffix(".csv").read_text().splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return [row for row in rows if row["score"]]


def shown(stem):
    """Frame rate of the annotated copy, and the index of the frame it shows, by time.

    The right edge is free of drawing.
    """
    capture = cv2.VideoCapture(str(stem.with_suffix(".mp4")))
    rate, levels = capture.get(cv2.CAP_PROP_FPS), []
    while (read := capture.read())[0]:
        levels.append(round(float(read[1][:, -20:].mean()) / 20))
    return rate, levels


def test_a_constant_rate_is_kept(tmp_path, run_on):
    path = media.write_video(tmp_path / "a.mp4", 12, bright)
    stem = run_on(path)
    rows = table(stem)
    assert [int(row["frame"]) for row in rows] == list(range(6, 12))
    for row in rows:
        assert float(row["second"]) == pytest.approx(int(row["frame"]) / 25, abs=1e-3)
    rate, levels = shown(stem)
    assert rate == pytest.approx(25) and levels == list(range(12))


def test_seconds_and_copy_follow_the_time_stamps(tmp_path, run_on):
    durations = [512] * 8 + [5120] * 4
    path = media.time(media.write_video(tmp_path / "a.mp4", 12, bright), durations)
    starts = np.cumsum([0, *durations[:-1]]) / (512 * 25)
    stem = run_on(path)
    for row in table(stem):
        expected = starts[int(row["frame"])]
        assert float(row["second"]) == pytest.approx(expected, abs=1e-3)
    rate, levels = shown(stem)
    assert rate == pytest.approx(25)
    assert levels == [*range(8), *np.repeat([8, 9, 10], 10), 11]


def test_frames_faster_than_the_copy_are_dropped():
    times = np.concatenate([np.arange(50) / 240, 50 / 240 + np.arange(10) / 2])
    rate, repeats = annotate.schedule(times)
    assert rate == annotate.FASTEST
    assert set(repeats[:50]) == {0, 1} and repeats[:49].sum() in (12, 13)
    assert set(repeats[51:59]) == {30}
    starts = np.cumsum(repeats) - repeats
    at = starts[repeats > 0] / rate
    assert np.abs(at - times[repeats > 0]).max() <= 0.5 / rate + 1e-9


def test_a_live_source_tells_changed_verdicts(capsys):
    """Of each face; a frame in which a face is missed changes nothing."""

    def seen(frame, second, *faces):
        found = [
            watch.SeenFace(track, np.zeros(4), np.zeros(3), mean=mean, verdict=verdict)
            for track, mean, verdict in faces
        ]
        return watch.Seen(frame, second, np.zeros((2, 2, 3), np.uint8), tuple(found))

    frames = [
        seen(0, 0.0, (1, None, None)),
        seen(1, 0.04, (1, 0.7, "live"), (2, 0.6, None)),
        seen(2, 0.08, (1, 0.6, "live"), (2, 0.6, None)),
        seen(3, 0.12),
        seen(4, None, (1, 0.6, "live")),
        seen(5, None, (1, 0.4, "spoof")),
    ]
    assert list(recording.told(iter(frames), "camera 0")) == frames
    assert capsys.readouterr().out.splitlines() == [
        "camera 0, 0.0 s: face 1 live (0.700)",
        "camera 0, 0.0 s: face 2 no verdict (0.600)",
        "camera 0, frame 5: face 1 spoof (0.400)",
    ]


def test_milliseconds_are_no_variable_rate():
    """Matroska rounds time stamps to milliseconds."""
    times = np.round(np.arange(1000) / 29.97, 3)
    rate, repeats = annotate.schedule(times)
    assert rate == pytest.approx(29.97, abs=1e-2) and set(repeats) == {1}


def test_a_recording_has_no_time_stamps(tmp_path, run_on):
    path = tmp_path / "a.hdf5"
    frames = np.stack([bright(i).transpose(2, 0, 1) for i in range(9)])
    with h5py.File(path, "w") as file:
        file["Color_Data"] = frames
    stem = run_on(path)
    assert [row["second"] for row in table(stem)] == [""] * 3
    rate, levels = shown(stem)
    assert rate == annotate.NOMINAL and levels == list(range(9))


def picture(path, height=48, width=64):
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    cv2.imwrite(str(path), image)
    return path


@pytest.mark.parametrize(("view", "warned"), [("static_dynamic", 1), ("static", 0)])
def test_a_still_is_scored_with_a_caveat(tmp_path, run_on, capsys, view, warned):
    stem = run_on(picture(tmp_path / "a.png"), view)
    said = capsys.readouterr().out
    assert ("caveat: nothing moves in 1 of 1 clips" in said) == bool(warned)
    assert [row["still"] for row in table(stem)] == ["1"]


def test_frozen_frames_are_stills_too(tmp_path, run_on, capsys):
    frozen = media.write_video(tmp_path / "a.avi", 20, lambda _: moving(5))
    rows = table(run_on(frozen))
    assert {row["still"] for row in rows} == {"1"}
    assert f"in {len(rows)} of {len(rows)} clips" in capsys.readouterr().out
    stops = media.write_video(tmp_path / "b.avi", 20, lambda i: moving(min(i, 10)))
    rows = table(run_on(stops))
    still = [int(row["frame"]) for row in rows if row["still"] == "1"]
    assert still == [16, 17, 18, 19]
    assert "caveat: nothing moves in 4 of 14 clips" in capsys.readouterr().out
    moves = media.write_video(tmp_path / "c.avi", 20, moving)
    assert {row["still"] for row in table(run_on(moves))} == {"0"}
    assert "caveat" not in capsys.readouterr().out


def test_a_still_is_refused_where_only_the_dynamic_image_is_seen(tmp_path, run_on):
    with pytest.raises(
        InputError, match=r"nothing moves in it .*Nothing was predicted"
    ):
        run_on(picture(tmp_path / "a.png"), "dynamic")
    assert not (tmp_path / "run").exists()


def test_a_cut_jpeg_gets_no_verdict(tmp_path, run_on):
    path = media.cut(picture(tmp_path / "a.jpg"), 0.7)
    with pytest.raises(InputError, match="truncated: the picture has no end"):
        run_on(path)
    assert not (tmp_path / "run").exists()


def test_pictures_of_one_still_are_small(tmp_path, run_on):
    stem = run_on(picture(tmp_path / "a.png"))
    sheet = cv2.imread(f"{stem}_maps.png")
    assert sheet is not None and sheet.shape[1] < 300 and sheet.shape[0] < 1300


def test_a_turned_tiff_is_drawn_upright(tmp_path, run_on):
    image = np.random.default_rng(0).integers(0, 255, (64, 48, 3), np.uint8)
    path = media.write_tiff(tmp_path / "a.tif", media.stored(image, 6), 6)
    drawn = cv2.imread(f"{run_on(path)}.png")
    assert drawn is not None and drawn.shape[0] > drawn.shape[1]
    factor = drawn.shape[0] // 64
    np.testing.assert_array_equal(drawn[::factor, ::factor][-1, -10:], image[-1, -10:])


def luminance(color):
    blue, green, red = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in np.array(color) / 255
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("color", [annotate.GRAY, annotate.LIVE, annotate.SPOOF])
@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("size", [(32, 48), (480, 640)])
def test_text_is_readable_on_every_video(color, level, size):
    image = np.full((*size, 3), level, np.uint8)
    where = np.array([size[1] - 20, -5, 30])  # beyond two borders
    mark = annotate.Mark(where, np.zeros((32, 32)), "0.123 spoof", color)
    drawn = annotate.draw(image, [mark])
    assert min(drawn.shape[:2]) >= annotate.SMALLEST
    rows, columns = np.nonzero((drawn == color).all(-1))
    plate = drawn[rows.min() : rows.min() + 15, columns.min() : -2].reshape(-1, 3)
    share = (plate == color).all(1).mean()
    ink = annotate.WHITE if color == annotate.LIVE else annotate.BLACK
    assert share > 0.4 and (np.abs(plate.astype(int) - ink).max(1) < 60).mean() > 0.03
    high, low = sorted([luminance(ink), luminance(color)], reverse=True)
    assert (high + 0.05) / (low + 0.05) > 4.5  # WCAG's contrast for text


def test_real_files_at_their_own_times(samples, run_on):
    stem = run_on(samples / "hard" / "variable_rate.mp4")
    seconds = {int(row["frame"]): float(row["second"]) for row in table(stem)}
    assert seconds[7] == pytest.approx(7 / 30, abs=1e-3)
    assert seconds[39] == pytest.approx(10.167, abs=1e-3)
    capture = cv2.VideoCapture(str(stem.with_suffix(".mp4")))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(30)
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 306
