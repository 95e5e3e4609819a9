"""The exported page in headless Chromium: its scores beside the model's, and its speed.

    python docs/browser.py ../shared/samples [MODEL ...] [--frames 40]

The first frames of each live video of a collection (`own_data/`), and its pictures, are
scored by the page's program and, on the same frames, by `Model.watch`, both with YuNet in
every fifth frame. Times are medians of one score, its crop included. Then the page shows the
camera, which sees the first frames of the first video, enlarged to 640 x 480 pixels. The
last row is an untrained network of the Auto-FAS space at 108 x 108 pixels. The table in
docs/browser.md is this script's.
"""

import argparse
import dataclasses
import pathlib
import sys
import tempfile

import cv2
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests"))

import browsers
from models import RECIPE, THRESHOLD, make_model, natural
from test_web_page import IMAGE, hosted

import nasfas_jax as nf
from nasfas_jax.data.loading import views
from nasfas_jax.data.media import video
from nasfas_jax.data.preparation import faces
from nasfas_jax.search import spaces
from nasfas_jax.workflows.watch import Watcher

WARM, SHOWN = 60, 100  # frames of the camera before its rate is read, and after
SCORES = (
    IMAGE
    + """(async (counts) => {
  const { Scorer } = await import("/scorer.js");
  const scorer = await Scorer.load();
  const times = [];
  const score = scorer.score;
  scorer.score = async (...given) => {
    const start = performance.now();
    const value = await score.apply(scorer, given);
    times.push(performance.now() - start);
    return value;
  };
  const found = [];
  for (let i = 0; i < counts.length; i++) {
    scorer.clear();
    const method = counts[i] === 1 ? "picture" : "step";
    for (let k = 0; k < counts[i]; k++) {
      found.push(await scorer[method](await image(`${i}_${k}.png`)));
    }
  }
  times.sort((a, b) => a - b);
  return [found, times[times.length >> 1]];
})"""
)
COUNT = "+document.getElementById('chart').ariaLabel.match(/: (\\d+) scores/)[1]"


def sources(samples, most):
    """Frames of each file: the first ones of a video, one of a picture."""
    for path in sorted((samples / "own_data").rglob("*.*")):
        if video.is_picture(path):
            yield [video.read_picture(path)]
        else:
            frames = video.read_frames(path)
            yield [next(frames) for _ in range(most)]


def own_scores(model, detector, clips):
    """Faces of all frames as `Model.watch` has them, and the median time of a score."""
    found, times = [], []
    for frames in clips:
        watcher = Watcher(model, detector=detector)
        for image in frames:
            before = watcher.seconds["preparation"] + watcher.seconds["network"]
            one = watcher.picture if len(frames) == 1 else watcher.step
            found.append(next(iter(one(image).faces), None))
            spent = watcher.seconds["preparation"] + watcher.seconds["network"]
            times += [spent - before] * (spent > before)
    return found, float(np.median(times))


def compare(model, detector, clips, camera):
    """A row of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        model.export(folder, format="web", detector=detector)
        for i, frames in enumerate(clips):
            for k, image in enumerate(frames):
                cv2.imwrite(str(folder / f"{i}_{k}.png"), image)
        counts = [len(frames) for frames in clips]
        with hosted(folder) as address, browsers.page_at(address, camera) as page:
            found, spent = page.evaluate(f"{SCORES}({counts})")
            rate = frames_per_second(page)
    expected, own_time = own_scores(model, detector, clips)
    pairs = [(a, b) for a, b in zip(found, expected, strict=True) if b is not None]
    scored = [(a, b) for a, b in pairs if b.score is not None]
    assert all((a["score"] is None) == (b.score is None) for a, b in pairs)
    apart = max(abs(a["score"] - b.score) for a, b in scored)
    largest = max(abs(b.score) for _, b in scored)
    changed = sum(a["verdict"] != b.verdict for a, b in pairs)
    return (
        f"| {model.name} | {model.view.input} | {len(scored)} | {apart:.1e} |"
        f" {largest:.2g} | {changed} | {spent:.1f} | {1e3 * own_time:.1f} | {rate:.1f} |"
    )


def frames_per_second(page):
    """Rate of the scores while the page shows the camera."""
    page.click("#camera")
    browsers.wait(page, f"{COUNT} >= {WARM}", 120)
    clock = f"[{COUNT}, performance.now()]"
    first, start = page.evaluate(clock)
    browsers.wait(page, f"{COUNT} >= {first + SHOWN}", 120)
    last, end = page.evaluate(clock)
    browsers.shoot(page, "browser_camera")
    return 1000 * (last - first) / (end - start)


def auto_fas():
    """A random architecture of the Auto-FAS space, untrained."""
    net = nf.nets.SearchedNet(spaces.get("auto_fas").sample(0))
    description = nf.nets.description_of(net) | {"network": "auto_fas_random"}
    recipe = dataclasses.replace(RECIPE, image_size=108)
    view = views.View(input="static", map_size=14)
    return natural(make_model(description, view, recipe, threshold=THRESHOLD))


def main():
    """Prints a row for each model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("samples", type=pathlib.Path)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--frames", type=int, default=40)
    given = parser.parse_args()
    detector = faces.YuNet(given.samples / "models" / "yunet_detector.onnx")
    clips = list(sources(given.samples, given.frames))
    with tempfile.TemporaryDirectory() as name:
        camera = pathlib.Path(name) / "camera.y4m"
        shown = next(frames for frames in clips if len(frames) > 1)
        browsers.write_camera(camera, [cv2.resize(f, (640, 480)) for f in shown], 30)
        for model in [*map(nf.load, given.models), auto_fas()]:
            print(compare(model, detector, clips, camera), flush=True)


if __name__ == "__main__":
    main()
