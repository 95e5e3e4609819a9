"""The server: answers equal to predictions, and whatever clients send."""

import collections
import concurrent.futures
import json
import pathlib
import random
import socket
import struct
import threading
import time
import zlib

import cv2
import httpx
import numpy as np
import pytest
import servers
from models import THRESHOLD, make_model
from PIL import Image
from websockets.sync.client import connect

from nasfas_jax import commands, limits, serve
from nasfas_jax.data.media import video
from nasfas_jax.errors import InputError
from nasfas_jax.serve import app as serve_app
from nasfas_jax.serve import contents
from nasfas_jax.serve.refusal import Refusal
from nasfas_jax.workflows.model import Model

BOUNDS = serve.Bounds(
    upload_bytes=2**20, upload_seconds=1.0, pixels=10**6, frames=20, waiting=8
)
#: Requests of the fuzz test.
FUZZ = 300


@pytest.fixture(scope="module")
def model():
    return make_model(threshold=THRESHOLD)


@pytest.fixture(scope="module")
def address(model):
    with servers.served(BOUNDS, model) as found:
        yield found


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return servers.write_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def frames(clip):
    return list(video.read_frames(clip))


@pytest.fixture(scope="module")
def png(frames):
    return cv2.imencode(".png", frames[0])[1].tobytes()


def post(address, content, name="a.png", **options):
    return httpx.post(
        f"{address}/predict", files={"file": (name, content)}, timeout=60, **options
    )


def test_answers_equal_predictions(address, model, clip, png, tmp_path):
    answer = post(address, clip.read_bytes(), "clip").json()  # the content decides
    expected = model.predict(clip)
    assert answer["name"] == "clip" and answer["threshold"] == THRESHOLD.value
    assert (answer["score"], answer["verdict"]) == (expected.score, expected.verdict)
    got = [(c["frame"], c["score"], c["verdict"]) for c in answer["clips"]]
    scores, verdicts = expected.scores.tolist(), expected.verdicts
    wanted = zip(expected.frames.tolist(), scores, verdicts, strict=True)
    assert got == list(wanted)
    boxes = [c["box"] for c in answer["clips"]]
    np.testing.assert_allclose(boxes, expected.boxes, atol=0.006)
    np.testing.assert_allclose(
        [c["second"] for c in answer["clips"]], expected.seconds, atol=1e-4
    )
    picture = tmp_path / "a.png"
    picture.write_bytes(png)
    answer = post(address, png).json()
    assert answer["score"] == model.predict(picture).score
    assert [(c["second"], c["still"]) for c in answer["clips"]] == [(None, True)]


def test_pages_and_machines(address):
    page = httpx.get(address)
    assert "script type=" in page.text and "http" not in page.text.lower()
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for name in ("style.css", "view.js", "serve.js"):
        found = httpx.get(f"{address}/page/{name}")
        assert found.status_code == 200 and "://" not in found.text
    for path in ("/page/../app.py", "/page/%2e%2e/setup.cfg", "/docs", "/openapi.json"):
        assert httpx.get(address + path).status_code == 404
    health = httpx.get(f"{address}/health").json()
    assert (health["status"], health["model"], health["requests"]) == ("ok", "cdn", 0)
    metrics = httpx.get(f"{address}/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    lines = dict(
        line.rsplit(" ", 1)
        for line in metrics.text.splitlines()
        if not line.startswith("#")
    )
    assert float(lines['nasfas_answers_total{path="/health",status="200"}']) >= 1
    assert lines["nasfas_requests"] == lines["nasfas_watchers"] == "0.0"


def test_a_camera_is_scored_frame_by_frame(address, model, frames):
    jpegs = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames]
    seen = list(
        model.watch([cv2.imdecode(np.frombuffer(j, np.uint8), 1) for j in jpegs])
    )
    with connect(f"{address.replace('http', 'ws')}/watch") as camera:
        for jpeg, expected in zip(jpegs, seen, strict=True):
            camera.send(jpeg)
            answer = json.loads(camera.recv(timeout=60))
            got = [(f["track"], f["score"], f["verdict"]) for f in answer["faces"]]
            assert got == [(f.track, f.score, f.verdict) for f in expected.faces]
        assert got[0][1] is not None
        camera.send(b"no jpeg")
        assert "got another format" in json.loads(camera.recv(timeout=60))["error"]
        camera.send(jpegs[0])
        assert json.loads(camera.recv(timeout=60))["frame"] == len(frames)
        camera.send("text")
        with pytest.raises(Exception, match="received 1000"):
            camera.recv(timeout=60)


def test_a_jpeg_with_others_behind_it_is_a_picture(address, model, frames, tmp_path):
    """As phones write it, with a second view or a depth map (MPO)."""
    path = tmp_path / "phone.jpg"
    picture = Image.fromarray(frames[0][..., ::-1].copy())
    options = {"save_all": True, "append_images": [picture], "quality": 95}
    picture.save(path, "MPO", **options)
    answer = post(address, path.read_bytes())
    assert answer.status_code == 200, answer.text
    assert answer.json()["score"] == model.predict(path).score
    image = contents.frame_of(path.read_bytes(), serve.Bounds())
    np.testing.assert_array_equal(image, video.read_picture(path))


def test_networks_run_in_the_threads_of_the_desk(address, png, frames, monkeypatch):
    """The event loop stays free."""
    threads = []
    real = Model.maps

    def maps(self, images):
        threads.append(threading.current_thread().name)
        return real(self, images)

    monkeypatch.setattr(Model, "maps", maps)
    assert post(address, png).status_code == 200
    with connect(f"{address.replace('http', 'ws')}/watch") as camera:
        camera.send(cv2.imencode(".jpg", frames[0])[1].tobytes())
        camera.recv(timeout=60)
    assert len(threads) >= 2 and all(name.startswith("network") for name in threads)


def test_cameras_beyond_the_limit_are_refused(model):
    with servers.served(serve.Bounds(watchers=1, idle_seconds=0.3), model) as found:
        where = f"{found.replace('http', 'ws')}/watch"
        with connect(where) as first, connect(where) as second:
            assert "try again" in json.loads(second.recv(timeout=60))["error"]
            with pytest.raises(Exception, match="received 1000"):  # no frame came
                first.recv(timeout=60)


def bomb(width=20_000, height=20_000):
    """A PNG of many black pixels in few bytes."""

    def chunk(name, data):
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    row = zlib.compress(b"\0" * (3 * width + 1) * 20)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", row) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 400, "the file is empty (0 bytes)"),
        (b"x" * 2**21, 413, "expected at most 1,048,576 bytes"),
        (bomb(), 413, "expected at most 1,000,000 pixels"),
        (bomb(1200, 1200), 413, "1,200 x 1,200"),
        (b"#!/bin/sh\n", 415, "expected a picture (JPEG, PNG, WebP, BMP) or a video"),
        (b"\0\0\0\x18ftypisom" + b"\0" * 99, 415, "no video that OpenCV can open"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 99, 415, "got another format"),
        (b"GIF89a" + b"\0" * 99, 415, "got another format"),
    ],
)
def test_files_that_are_refused(address, content, status, words):
    answer = post(address, content)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]


def test_pictures_that_are_cut_or_show_no_face(address, png):
    answer = post(address, png[: len(png) // 2], "../../x.png")
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("x.png: truncated")
    blank = cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    answer = post(address, blank)
    assert answer.status_code == 422 and "no face" in answer.json()["error"]
    assert "/tmp" not in answer.text and "nasfas_serve" not in answer.text


def test_videos_of_too_many_frames_are_refused(address, tmp_path):
    path = tmp_path / "long.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (16, 16))
    for _ in range(30):
        writer.write(np.zeros((16, 16, 3), np.uint8))
    writer.release()
    answer = post(address, path.read_bytes())
    assert answer.status_code == 413
    assert "at most 20 frames" in answer.json()["error"]
    with pytest.raises(Refusal, match="9 frames of 16 x 16 pixels are allowed"):
        contents.suffix_of(path, serve.Bounds(video_pixels=9 * 256 + 1))
    assert contents.suffix_of(path, serve.Bounds()) == ".avi"


NAMES = [
    "../../x.png",
    "/etc/x",
    "..\\..\\x",
    "a\0b",
    "%2e%2e%2fx",
    "x" * 1000,
    "\u202e",
    "",
]


def test_names_are_never_paths(model, png, monkeypatch, tmp_path):
    """Nothing is left in the folder, and nothing is written outside of it."""
    made = []
    real = serve_app.tempfile.TemporaryDirectory

    def inside(prefix):
        made.append(real(prefix=prefix, dir=tmp_path))
        return made[-1]

    monkeypatch.setattr(serve_app.tempfile, "TemporaryDirectory", inside)
    with servers.served(BOUNDS, model) as found:
        folder = pathlib.Path(made[0].name)
        for name in NAMES:
            answer = post(found, png, name or "a")
            assert answer.status_code == 200
            assert (
                "/" not in answer.json()["name"] and len(answer.json()["name"]) <= 120
            )
            assert list(tmp_path.iterdir()) == [folder] and not list(folder.iterdir())
    assert not list(tmp_path.iterdir())


def raw(address, body, headers="", kind="multipart/form-data; boundary=B", wait=10.0):
    """Status of the answer to bytes; 0 if the server closes without one."""
    host, port = address.removeprefix("http://").split(":")
    head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
    head += f"Content-Type: {kind}\r\n{headers}"
    if "Length" not in headers and "Transfer" not in headers:
        head += f"Content-Length: {len(body)}\r\n"
    with socket.create_connection((host, int(port)), timeout=wait) as client:
        client.sendall(head.encode("latin-1") + b"\r\n" + body)
        try:
            answer = client.recv(4096)
        except ConnectionResetError:
            return 0
    return int(answer.split()[1]) if answer else 0


def form(content, field="file", disposition=None):
    disposition = disposition or f'form-data; name="{field}"; filename="a.png"'
    head = f"--B\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
    return head + content + b"\r\n--B--\r\n"


def test_malformed_forms_are_refused(address, png):
    good = form(png)
    assert raw(address, good) == 200
    assert raw(address, good[:-20]) == 400  # no end
    assert raw(address, b"--X" + good) == 400
    assert raw(address, good.replace(b'"file"', b'"other"')) == 400
    assert raw(address, good[: -len(b"--B--\r\n")] + good) == 400  # two files
    assert raw(address, good, kind="multipart/form-data") == 415
    assert raw(address, good, kind="application/json") == 415
    assert raw(address, good, kind=f"multipart/form-data; boundary={'b' * 400}") == 400
    assert raw(address, b"zz\r\n", "Transfer-Encoding: chunked\r\n") == 400
    assert raw(address, good, "Content-Length: -5\r\n") == 400


def test_slow_uploads_end(address, png):
    """A client that stops in the middle has no place any more."""
    start = time.perf_counter()
    length = "Content-Length: 100000\r\n"
    assert raw(address, form(png)[:500], length) == 408
    assert 0.9 < time.perf_counter() - start < 5
    assert httpx.get(f"{address}/health").json()["requests"] == 0


def test_two_hundred_clients_get_an_answer(model, png):
    """In a queue of eight: a score, or the request to come again."""
    bounds = serve.Bounds(waiting=8, retry_seconds=3)
    body = form(png)
    with (
        servers.served(bounds, model) as found,
        concurrent.futures.ThreadPoolExecutor(200) as clients,
    ):
        statuses = clients.map(lambda _: raw(found, body, wait=60), range(200))
        counts = collections.Counter(statuses)
        assert raw(found, body) == 200
        assert httpx.get(f"{found}/health").json()["requests"] == 0
    assert set(counts) == {200, 503} and counts[200] >= 9


def test_a_full_queue_says_when_to_come_again(png):
    """Without one of its places, the body of a request is read and thrown away."""
    bounds = serve.Bounds(workers=1, waiting=1, retry_seconds=3, upload_seconds=2.0)
    with servers.served(bounds) as found:
        length = "Content-Length: 100000\r\n"
        with concurrent.futures.ThreadPoolExecutor(2) as clients:
            slow = [clients.submit(raw, found, b"--B", length) for _ in range(2)]
            while httpx.get(f"{found}/health").json()["requests"] < 2:
                time.sleep(0.02)
            answer = post(found, png)
            assert [one.result() for one in slow] == [408, 408]
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
    assert (
        answer.json()["error"] == "2 requests are in work or waiting; try again in 3 s."
    )


def test_changed_requests_never_fail_the_server(address, png):
    """Bytes replaced, cut, doubled and inserted in the form and in the picture."""
    draw = random.Random(0)
    body = form(png)
    found = collections.Counter()
    for _ in range(FUZZ):
        changed = bytearray(body)
        head = draw.random() < 0.5
        for _ in range(draw.randint(1, 8)):
            at = draw.randrange(min(120, len(changed)) if head else len(changed))
            kind = draw.randrange(4)
            if kind == 0:
                changed[at] = draw.randrange(256)
            elif kind == 1:
                del changed[at : at + draw.randint(1, 50)]
            elif kind == 2:
                changed[at:at] = changed[at : at + draw.randint(1, 50)]
            else:
                changed[at:at] = draw.randbytes(draw.randint(1, 8))
        found[raw(address, bytes(changed))] += 1
    assert set(found) <= {200, 400, 413, 415, 422} and sum(found.values()) == FUZZ
    assert len(found) >= 3
    assert post(address, png).status_code == 200


def test_wrong_settings(monkeypatch, tmp_path):
    with pytest.raises(InputError, match="waiting: expected an integer of 1 or more"):
        serve.Bounds(waiting=0)
    with pytest.raises(InputError, match="idle_seconds: expected a number above 0"):
        serve.Bounds(idle_seconds=0.0)
    with pytest.raises(
        InputError, match=f"--port: expected {limits.Range(0, 65535, whole=True)}"
    ):
        commands.execute("serve", model=tmp_path, port="http")
    from nasfas_jax.commands import serve as command

    monkeypatch.setattr(command, "PACKAGES", ("no_such_package",))
    with pytest.raises(InputError, match=r"pip install 'nasfas_jax\[serve\]'"):
        commands.execute("serve", model=tmp_path)


def test_the_command_serves_a_model(monkeypatch, tmp_path, capsys, model):
    model.save(tmp_path / "model")
    given = {}
    monkeypatch.setattr("uvicorn.run", lambda app, **options: given.update(options))
    commands.execute("serve", model=tmp_path / "model", port="8123")
    assert (given["host"], given["port"]) == ("127.0.0.1", 8123)
    assert "http://127.0.0.1:8123" in capsys.readouterr().out
