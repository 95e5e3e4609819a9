"""The server's page in Chromium: a picture, a video and the camera."""

import browsers
import cv2
import pytest
import servers
from models import THRESHOLD, make_model, natural

from nasfas_jax import serve
from nasfas_jax.data.loading import views
from nasfas_jax.data.media import video

READY = "document.getElementById('word').textContent"


@pytest.fixture(scope="module")
def model():
    view = views.View(input="static_dynamic", map_size=4)
    return natural(make_model(view=view, threshold=THRESHOLD))


def test_the_page_shows_scores_of_files_and_of_the_camera(model, tmp_path):
    clip = servers.write_clip(tmp_path)
    frames = [cv2.resize(f, (320, 400)) for f in video.read_frames(clip)]
    browsers.write_camera(tmp_path / "camera.y4m", frames)
    picture = tmp_path / "face.png"
    cv2.imwrite(str(picture), frames[0])
    bounds = serve.Bounds(idle_seconds=20)
    with (
        servers.served(bounds, model) as address,
        browsers.page_at(address, tmp_path / "camera.y4m") as page,
    ):
        browsers.shoot(page, "serve_start")
        page.set_input_files("#file", picture)
        browsers.wait(page, f"/Live|Spoof/.test({READY})")
        expected = model.predict(picture)
        assert page.inner_text("#word").lower() == expected.verdict
        assert f"{expected.score:.4f}" in page.inner_text("#facts")
        page.wait_for_selector("#picture:not([hidden])")
        assert page.evaluate("document.getElementById('picture').width") == 320
        browsers.shoot(page, "serve_picture")
        assert page.inner_text("#message").startswith("Nothing moves here")

        page.set_input_files("#file", clip)
        browsers.wait(page, "document.querySelectorAll('#rows tr').length == 8")
        expected = model.predict(clip)
        assert f"{expected.score:.4f}" in page.inner_text("#facts")
        label = page.get_attribute("#chart", "aria-label")
        assert "8 scores" in label and f"{expected.scores[-1]:.4f}" in label
        browsers.shoot(page, "serve_video")

        page.click("#camera")
        browsers.wait(
            page,
            "/: [1-9][0-9] scores/.test(document.getElementById('chart').ariaLabel)",
        )
        assert page.inner_text("#word") in ("Live", "Spoof")
        assert not page.inner_text("#message")
        browsers.shoot(page, "serve_camera")
        page.click("#camera")
        assert page.inner_text("#camera") == "Start the camera"

        page.set_input_files("#file", tmp_path / "camera.y4m")
        browsers.wait(page, "document.getElementById('message').textContent")
        assert "got another format" in page.inner_text("#message")
