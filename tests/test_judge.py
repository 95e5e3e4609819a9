"""docs/judge.py: its scores and tables, with an outside network where there is one."""

import pathlib

import cv2
import numpy as np
import pytest
import smoke

from nasfas_jax import synthetic
from nasfas_jax.synthetic import specs

PATH = pathlib.Path(__file__).parents[1] / "docs" / "judge.py"


@pytest.fixture(scope="module")
def judge():
    return smoke.script(PATH)


class Brightness:
    """A network whose live logit is the mean of the red channel."""

    def setInput(self, pixels):
        assert pixels.shape == (1, 3, 128, 128) and pixels.dtype == np.float32
        assert pixels.min() >= 0 and pixels.max() <= 1
        self.pixels = pixels

    def forward(self):
        return np.array([[self.pixels[0, 0].mean(), self.pixels[0, 2].mean()]])


def test_a_score_is_the_mean_difference_of_logits_of_rgb_frames(judge):
    frames = np.zeros((2, 200, 200, 3), np.uint8)
    frames[0, ..., 0], frames[1, ..., 0], frames[1, ..., 2] = 255, 51, 153
    boxes = np.array([[60, 60, 80, 80]] * 2, np.float32)
    found = judge.score(Brightness(), frames, boxes)
    assert found == pytest.approx((1.0 + (0.2 - 0.6)) / 2)


def test_videos_differ_by_person_and_take_and_cover_the_variants(judge):
    variants = {judge.spec_of("dom_o", i, 2, "replay").variant for i in range(4)}
    assert variants == set(specs.ATTACKS["replay"])
    one, two = (judge.spec_of("dom_o", 1, take, "live") for take in (0, 1))
    assert one.subject_seed == two.subject_seed and one.seed != two.seed
    assert one.face_size == judge.FACE and one.frames == 2


def test_the_table_has_the_auc_by_type_variant_and_domain(judge, capsys):
    scores = {}
    for domain in synthetic.DOMAINS:
        scores[domain, "live", ""] = [1.0, 3.0]
        for kind, variants in specs.ATTACKS.items():
            scores[domain, kind, variants[0]] = [0.0, 2.0]
    scores["dom_o", "print", "flat"] = [-1.0, 0.0]
    judge.print_table(scores)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| attack | dom_o | dom_c | dom_i | dom_m | all | by variant |"
    rows = {line.split(" | ")[0][2:]: line for line in lines[2:]}
    assert rows.keys() == {*specs.ATTACKS, "all", "live called live"}
    # Of the four pairs of a domain three are right; all of them where all spoofs are low.
    assert rows["print"].startswith(
        "| print | 1.00 | 0.75 | 0.75 | 0.75 | 0.81 | flat 0.81"
    )
    assert "bent -" in rows["print"]
    assert rows["live called live"].split(" | ")[1:5] == ["1.00"] * 4


def test_sheets_show_every_variant_beside_a_live_face(judge, tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "FACE", 24)
    monkeypatch.setattr(judge, "SHEETS", {"a.jpg": [("live", ""), ("print", "flat")]})
    judge.draw(tmp_path / "docs")
    sheet = cv2.imread(str(tmp_path / "docs" / "a.jpg"))
    assert sheet is not None and sheet.shape == (4 * judge.SHOWN, 2 * judge.SHOWN, 3)


def test_the_outside_network_takes_the_decoded_videos(judge, samples, tmp_path):
    model = samples / "models" / "antispoof_judge_128.onnx"
    if not model.is_file():
        pytest.skip(f"no network at {model}")
    network = cv2.dnn.readNetFromONNX(str(model))
    frames, boxes = judge.filmed(judge.spec_of("dom_o", 0, 0, "live"), tmp_path)
    assert len(frames) == len(boxes) == 2
    assert np.isfinite(judge.score(network, frames, boxes))
