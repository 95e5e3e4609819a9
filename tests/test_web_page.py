"""The page without a server: its scores equal the model's, and its parts OpenCV's."""

import base64
import contextlib
import dataclasses
import functools
import hashlib
import http.server
import io
import json
import os
import pathlib
import tarfile
import tempfile
import threading

import browsers
import cv2
import numpy as np
import pytest
import servers
from models import CDN, RECIPE, THRESHOLD, make_model, natural

from nasfas_jax.data.loading import views
from nasfas_jax.data.media import video
from nasfas_jax.data.preparation import faces
from nasfas_jax.errors import InputError
from nasfas_jax.export import any_size, npm
from nasfas_jax.workflows import registry, web_page

IMAGE = """
const image = async (name) => {
  const bitmap = await createImageBitmap(await (await fetch(name)).blob());
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  return canvas.getContext("2d").getImageData(0, 0, bitmap.width, bitmap.height);
};
"""
STREAM = (
    IMAGE
    + """(async () => {
  const { Scorer } = await import("/scorer.js");
  const scorer = await Scorer.load(1);
  const found = [];
  for (let i = 0; i < 14; i++) found.push(await scorer.step(await image(`${i}.png`)));
  return [found, await scorer.picture(await image("0.png"))];
})()"""
)


@pytest.fixture(scope="module")
def runtime():
    """ONNX Runtime's files, fetched once a machine."""
    cache = os.environ.get("NASFAS_TEST_CACHE") or tempfile.gettempdir()
    folder = pathlib.Path(cache) / f"onnxruntime-web-{web_page.RUNTIME['version']}"
    if not folder.is_dir():
        try:
            found = web_page.runtime_files()
        except InputError as error:
            pytest.skip(str(error))
        with tempfile.TemporaryDirectory(dir=folder.parent) as part:
            for name, content in found.items():
                (pathlib.Path(part) / name).write_bytes(content)
            with contextlib.suppress(FileExistsError):
                pathlib.Path(part).rename(folder)
                pathlib.Path(part).mkdir()
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def exported(runtime, monkeypatch, tmp_path):
    """Function from a model and a detector to the folder of its page."""
    monkeypatch.setattr(web_page, "runtime_files", lambda: runtime)

    def export(model, detector=None):
        model.export(tmp_path / "page", format="web", detector=detector)
        return tmp_path / "page"

    return export


ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


@contextlib.contextmanager
def hosted(folder, headers=None):
    """Yields the address of a folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def end_headers(self):
            for header in (headers or {}).items():
                self.send_header(*header)
            super().end_headers()

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    clip = servers.write_clip(tmp_path_factory.mktemp("clip"))
    return [cv2.resize(f, (520, 650)) for f in video.read_frames(clip)]


@pytest.fixture
def yunet(samples):
    return faces.YuNet(samples / "models/yunet_detector.onnx")


@pytest.mark.parametrize("source", ["static", "static_dynamic", "frames", "aligned"])
def test_scores_equal_the_models(source, exported, frames, yunet, tmp_path):
    """On the same frames, as a stream and as a picture; YuNet's boxes too."""
    recipe, network = RECIPE, CDN
    if source == "frames":
        recipe = dataclasses.replace(recipe, frames=4, interval=2, keep_frames=True)
        rates = {"width": 1 / 16, "map_size": 4, "options": {"units": (1, 1, 1, 1, 1)}}
        network = registry.describe("eulernet", **rates)
    apart = 2e-3
    if source == "aligned":  # one in a hundred pixels of a turned crop differs, by 1
        apart = 6e-3
        source, recipe = "static", dataclasses.replace(recipe, align=True)
        size = frames[0].shape[1::-1]
        turn = cv2.getRotationMatrix2D((260, 325), 25, 1)
        frames = [cv2.warpAffine(one, turn, size) for one in frames]
    view = views.View(input=source, map_size=4)
    model = natural(make_model(network, view, recipe, threshold=THRESHOLD))
    folder = exported(model, yunet)
    for i, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{i}.png"), frame)
    expected = list(model.watch(frames, detector=yunet, every=1))
    browsers.write_camera(tmp_path / "camera.y4m", frames[:2])
    with (
        hosted(folder) as address,
        browsers.page_at(address, tmp_path / "camera.y4m") as page,
    ):
        stream, picture = page.evaluate(STREAM)
    single = model.predict(folder / "0.png", detector=yunet)
    scale = np.abs([s.faces[0].score for s in expected if s.faces[0].score]).max()
    for got, seen in zip(stream, expected, strict=True):
        (face,) = seen.faces
        np.testing.assert_allclose(got["box"], face.box, atol=0.05)
        assert (got["score"] is None) == (face.score is None)
        if face.score is not None:
            np.testing.assert_allclose(
                got["score"] / scale, face.score / scale, atol=apart
            )
            assert got["verdict"] == face.verdict
    np.testing.assert_allclose(
        picture["score"] / scale, single.score / scale, atol=apart
    )
    assert sum(got["score"] is not None for got in stream) >= 7


DYNAMIC = """(async () => {
  const { Scorer } = await import("/scorer.js");
  const scorer = new Scorer({ input: "dynamic", frames: 2, span: 2 }, null, null, 1);
  return await scorer.picture(new ImageData(8, 8)).catch((error) => error.message);
})()"""


def test_crops_and_sizes_equal_opencvs(exported, frames, tmp_path):
    """Squares inside and beyond the picture, enlarged and reduced, upright and turned."""
    folder = exported(natural(make_model(threshold=THRESHOLD)))
    cv2.imwrite(str(folder / "a.png"), frames[0])
    squares = [
        (100, 150, 301),
        (60, 90, 170),
        (-40, -30, 256),
        (400, 500, 200),
        (90, 90, 11),
    ]
    squares = [(s, 64, roll) for s in squares for roll in (0, -0.4)]
    browsers.write_camera(tmp_path / "camera.y4m", frames[:2])
    with (
        hosted(folder) as address,
        browsers.page_at(address, tmp_path / "camera.y4m") as page,
    ):
        crops, small = page.evaluate(
            IMAGE
            + f"""(async () => {{
              const {{ crop, shrink }} = await import("/pixels.js");
              const picture = await image("a.png");
              const small = shrink(picture, 480);
              return [{json.dumps(squares)}.map((s) => [...crop(picture, ...s)]),
                [small.width, small.height, [...small.data]]];
            }})()"""
        )
    for (where, side, roll), got in zip(squares, crops, strict=True):
        wanted = faces.crop(frames[0], np.array(where), side, roll).astype(int)
        apart = np.abs(np.reshape(got, wanted.shape) - wanted)
        assert apart.max() <= 1 and apart.mean() < 0.01 + abs(roll) / 20, where
    scale = 480 / 650
    wanted = cv2.resize(
        frames[0], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    )
    assert small[:2] == list(wanted.shape[1::-1])
    apart = np.abs(np.reshape(small[2], wanted.shape) - wanted[..., ::-1].astype(int))
    assert apart.max() <= 1 and apart.mean() < 0.1


def blank_video(path):
    """Ten black frames, in a codec that Chromium decodes."""
    coder = cv2.VideoWriter.fourcc(*"VP80")
    writer = cv2.VideoWriter(str(path), coder, 25, (64, 64))
    for _ in range(10):
        writer.write(np.zeros((64, 64, 3), np.uint8))
    writer.release()
    return path


def png(side):
    """A black picture, whose rows are compressed to almost nothing."""
    return cv2.imencode(".png", np.zeros((side, side), np.uint8))[1].tobytes()


#: Contents of files that the page refuses, and words of what it says.
REFUSED = {
    b"": "expected a picture or a video",
    b"no picture": "expected a picture or a video",
    png(8100): "at most 64 million pixels, got 8100 x 8100",
    png(64): "no face was found in other.png",
}


def test_the_page_scores_pictures_and_the_camera(exported, frames, yunet, tmp_path):
    view = views.View(input="static", map_size=4)
    model = natural(make_model(view=view, threshold=THRESHOLD))
    folder = exported(model, yunet)
    picture = tmp_path / "face.png"
    cv2.imwrite(str(picture), frames[0])
    browsers.write_camera(tmp_path / "camera.y4m", frames)
    with (
        hosted(folder) as address,
        browsers.page_at(address, tmp_path / "camera.y4m", dark=True) as page,
    ):
        word = "document.getElementById('word').textContent"
        page.set_input_files("#file", picture)
        browsers.wait(page, f"/Live|Spoof/.test({word})")
        expected = model.predict(picture, detector=yunet)
        assert page.inner_text("#word").lower() == expected.verdict
        mean = float(page.inner_text("#facts dd:nth-of-type(2)"))
        np.testing.assert_allclose(mean, expected.score, rtol=5e-3)
        browsers.shoot(page, "web_picture")
        for content, words in REFUSED.items():
            (tmp_path / "other.png").write_bytes(content)
            page.set_input_files("#file", tmp_path / "other.png")
            said = "document.getElementById('message').textContent"
            browsers.wait(page, f"{said}.includes('{words}')")
            assert page.inner_text("#word") == "No verdict"
        page.set_input_files("#file", blank_video(tmp_path / "blank.webm"))
        browsers.wait(page, f"{said}.includes('no score in blank.webm')")
        assert page.inner_text("#word") == "No verdict"
        page.click("#camera")
        label = "document.getElementById('chart').ariaLabel"
        browsers.wait(page, f"/: [1-9][0-9] scores/.test({label})")
        assert page.inner_text("#word").lower() == expected.verdict
        assert not page.inner_text("#message")
        browsers.shoot(page, "web_camera")
        page.click("#camera")


STILL = "document.getElementById('message').textContent.startsWith('Nothing moves')"


def test_without_a_detector_the_face_is_held_in_an_oval(exported, frames, tmp_path):
    view = views.View(input="static_dynamic", map_size=4)
    folder = exported(natural(make_model(view=view, threshold=THRESHOLD)))
    assert not (folder / web_page.DETECTOR).exists()
    browsers.write_camera(tmp_path / "camera.y4m", frames)
    cv2.imwrite(str(tmp_path / "face.png"), frames[0])
    with (
        hosted(folder, ISOLATION) as address,
        browsers.page_at(address, tmp_path / "camera.y4m") as page,
    ):
        assert page.evaluate("crossOriginIsolated")  # ONNX Runtime may use threads
        browsers.wait(page, "/oval/.test(document.getElementById('hint').textContent)")
        page.click("#camera")
        label = "document.getElementById('chart').ariaLabel"
        browsers.wait(page, f"/: [1-9][0-9] scores/.test({label})")
        browsers.shoot(page, "web_oval")
        page.set_input_files("#file", tmp_path / "face.png")
        browsers.wait(page, STILL)
        assert "nothing moves in a still picture" in page.evaluate(DYNAMIC)


def archive_of(names):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in names.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    return content.getvalue()


def test_packages_are_pinned_by_their_checksums(tmp_path, monkeypatch):
    archive = archive_of({"dist/a.js": b"one", "../../b.js": b"two"})
    checksum = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    folder = tmp_path / "some" / "-"
    folder.mkdir(parents=True)
    (folder / "some-1.0.0.tgz").write_bytes(archive)
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", tmp_path.as_uri())
    some = npm.Package("some", "1.0.0", checksum)
    assert npm.fetch(some, ["dist/a.js"]) == {"dist/a.js": b"one"}
    with pytest.raises(InputError, match="with SHA-512 bad, got"):
        npm.fetch(some._replace(sha512="bad"), ["dist/a.js"])
    with pytest.raises(InputError, match=r"other 2\.0.*NPM_CONFIG_REGISTRY names"):
        npm.fetch(npm.Package("other", "2.0", checksum), [])


def test_what_no_page_can_do(tmp_path):
    model = make_model()
    with pytest.raises(InputError, match=r"detector: expected faces\.YuNet"):
        model.export(tmp_path, format="web", detector=faces.Haar())
    aligned = dataclasses.replace(RECIPE, align=True)
    with pytest.raises(InputError, match="faces that are aligned"):
        make_model(recipe=aligned).export(tmp_path, format="web")
    with pytest.raises(InputError, match="no ONNX model"):
        any_size.any_size(b"text")
