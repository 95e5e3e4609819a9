"""A headless Chromium whose camera shows a file."""

import contextlib
import os
import pathlib
import shutil
import time

import cv2
import pytest
from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
#: Screenshots are written to this folder where it is set.
SHOTS = os.environ.get("NASFAS_SHOTS")


def write_camera(path, frames, rate=25):
    """Frames as a Y4M file, which Chromium's fake camera shows again and again."""
    height, width = frames[0].shape[:2]
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{rate}:1 Ip A1:1 C420\n".encode())
        for frame in frames:
            file.write(
                b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).tobytes()
            )


@contextlib.contextmanager
def page_at(address, camera, *, dark=False, size=(1100, 820)):
    """Yields a page of a browser; what it fetches from elsewhere or reports fails.

    Skips where no Chromium is installed.
    """
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    arguments = [
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
    ]
    problems = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=arguments, chromium_sandbox=False
        )
        context = browser.new_context(
            permissions=["camera"],
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
        )
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda request: (
                problems.append(request.url)
                if not request.url.startswith(
                    (address, "blob:", "data:", "ws://127.0.0.1")
                )
                else None
            ),
        )
        page.goto(address)
        yield page
        browser.close()
    assert not problems


def wait(page, condition, seconds=60.0):
    """Waits for an expression to be true; Playwright's own way is against the CSP."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, (condition, page.inner_text("body"))
        page.wait_for_timeout(50)


def shoot(page, name):
    """Writes a screenshot, if a folder is set."""
    if SHOTS:
        pathlib.Path(SHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{SHOTS}/{name}.png")
