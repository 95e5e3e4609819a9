"""Benchmarks of prediction, at tiny sizes."""

import media
import numpy as np
import pytest

from nasfas_jax.benchmarks import predict
from nasfas_jax.data.preparation import faces

pytest.importorskip("onnxruntime")


def test_a_folded_export_is_compared_with_two_convolutions():
    found = predict.folding(1, 16, 0.02)
    assert found.size == 16 and found.ratio == found.folded / found.apart > 0


def test_shares_of_a_video(tmp_path, monkeypatch):
    monkeypatch.setattr(
        predict.Watcher,
        "_score",
        lambda self, face, where: (0.5, {"map": np.zeros((2, 2))}),
    )
    path = media.write_video(tmp_path / "a.mp4", 12)
    found = predict.speed(path, faces.Haar(), every=4)
    assert found.frames == 12 and found.rate == pytest.approx(12 / found.seconds)
    names = ["decoding", "detection", "preparation", "network"]
    assert list(found.shares) == names and sum(found.shares.values()) < 1.01
    assert "haar every 4 frames" in found.case
