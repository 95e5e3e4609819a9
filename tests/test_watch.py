"""Faces of streams: equal to predictions on files, and unusual input."""

import numpy as np
import pytest
from models import RECIPE, THRESHOLD, make_model

from nasfas_jax import synthetic
from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.media import video
from nasfas_jax.synthetic.dataset import write_one

VIEWS = {
    "static_dynamic": pipeline.View(map_size=4),
    "static": pipeline.View(input="static", color="rgb_hsv", map_size=4),
}


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory):
    """A synthetic live video of 14 frames."""
    spec = synthetic.plan(
        subjects_per_domain=(1, 0, 0), live_videos=1, attacks=("print",), frames=14
    )[0]
    path = tmp_path_factory.mktemp("clip") / f"live{spec.suffix}"
    write_one(spec, path)
    return path


@pytest.mark.parametrize("name", VIEWS)
def test_watch_and_predict_give_the_same_scores(clip_file, name):
    model = make_model(view=VIEWS[name]).with_evaluation(THRESHOLD, {})
    expected = model.predict(clip_file)
    seen = [s for s in model.watch(clip_file, every=1, smooth=1)]
    assert len(seen) == 14 and expected.frames.tolist() == list(range(6, 14))
    found = [face for s in seen[6:] for face in s.faces]
    assert {face.track for face in found} == {1}
    np.testing.assert_array_equal([f.score for f in found], expected.scores)
    np.testing.assert_array_equal([f.map for f in found], expected.maps)
    np.testing.assert_array_equal([f.box for f in found], expected.boxes)
    np.testing.assert_array_equal([f.crop for f in found], expected.crops)
    assert [f.verdict for f in found] == expected.verdicts
    np.testing.assert_allclose([s.second for s in seen[6:]], expected.seconds)
    early = [face.score for s in seen[:6] for face in s.faces]
    assert len(early) == 6 and all((s is not None) == (name == "static") for s in early)
