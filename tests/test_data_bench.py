"""Benchmarks of data on a few tiny videos."""

from nasfas_jax.benchmarks import data
from nasfas_jax.data.preparation.recipe import Recipe


def test_preparing_is_measured_beside_decoding(tmp_path):
    videos = data.large_videos(tmp_path / "videos", count=4, frames=12, size=(64, 48))
    settings = Recipe(image_size=16, clips_per_video=2, method="harmonic")
    row = data.measure("tiny", videos, settings, tmp_path / "out", repeats=1)
    assert (row.videos, row.frames, row.clips) == (4, 48, 8)
    assert row.ratio == row.prepare_cpu / row.decode_cpu > 0
    assert row.clips_per_second == 8 / row.prepare
    assert data.decode(videos) == 48


def test_memory_does_not_grow_with_the_videos(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MANY", (10, 150))
    peaks = data.memory(tmp_path)
    # 150 videos' clips of 32 x 32 alone are more than a megabyte.
    assert peaks["few"] <= peaks["many"] < peaks["few"] + 20
    assert len(list((tmp_path / "links150").iterdir())) == 150
