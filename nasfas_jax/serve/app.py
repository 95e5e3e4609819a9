"""The ASGI application."""

import asyncio
import contextlib
import functools
import pathlib
import tempfile
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from nasfas_jax import limits, pages
from nasfas_jax.data.preparation import faces
from nasfas_jax.errors import InputError
from nasfas_jax.serve import answers, contents, measures, uploads
from nasfas_jax.serve.bounds import Bounds
from nasfas_jax.serve.desk import Desk
from nasfas_jax.serve.refusal import Refusal
from nasfas_jax.workflows.model import Model
from nasfas_jax.workflows.watch import Watcher

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:;"
    " media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
#: WebSocket status for a server that has no place now.
TRY_AGAIN_LATER = 1013


def make_app(
    model: Model,
    *,
    detector: faces.Detector | None = None,
    bounds: Bounds | None = None,
) -> FastAPI:
    """The application that serves a model.

    ``POST /predict`` scores a picture or video, ``/watch`` is a WebSocket that takes JPEG
    frames and gives the faces in each, ``GET /health`` and ``GET /metrics`` are for
    machines, and ``GET /`` is a page for people.

    Args:
      model: the model.
      detector: face detector; the model's own one if None.
      bounds: limits; the defaults if None.

    Raises:
      InputError: the model needs a detector that was not given.
    """
    limits.require(detector=(detector, faces.DETECTORS))
    server = _Server(model, detector or model.default_detector(), bounds or Bounds())
    app = FastAPI(
        docs_url=None, redoc_url=None, openapi_url=None, lifespan=server.lifespan
    )
    app.add_api_route("/predict", server.predict, methods=["POST"])
    app.add_api_route("/health", server.health, methods=["GET"])
    app.add_api_route("/metrics", server.metrics, methods=["GET"])
    app.add_api_route("/", server.page, methods=["GET"])
    app.add_api_websocket_route("/watch", server.watch)
    app.mount("/page", StaticFiles(directory=pages.FOLDER))
    app.middleware("http")(server.measured)
    app.add_exception_handler(Refusal, server.refused)
    return app


class _Server:
    """State shared by the routes of one application."""

    def __init__(self, model: Model, detector: faces.Detector, bounds: Bounds):
        self.model, self.detector, self.bounds = model, detector, bounds
        self.desk = Desk(bounds)
        self.measures = measures.Measures(self.desk)
        self.folder = pathlib.Path()

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory(prefix="nasfas_serve_") as folder:
            self.folder = pathlib.Path(folder)
            yield
            self.desk.close()

    async def measured(self, request: Request, call_next: Any) -> Response:
        response = await call_next(request)
        known = ("/", "/predict", "/health", "/metrics")
        path = request.url.path if request.url.path in known else "other"
        self.measures.answers.labels(path, str(response.status_code)).inc()
        response.headers.update(HEADERS)
        return response

    async def refused(self, request: Request, refusal: Exception) -> Response:
        assert isinstance(refusal, Refusal)
        return JSONResponse(
            {"error": str(refusal)}, refusal.status, headers=refusal.headers
        )

    async def page(self) -> Response:
        return FileResponse(pages.FOLDER / "serve.html")

    async def health(self) -> dict[str, Any]:
        threshold = self.model.threshold
        return {
            "status": "ok",
            "model": self.model.name,
            "input": self.model.view.input,
            "threshold": None if threshold is None else threshold.value,
            "requests": self.desk.requests,
            "watchers": self.desk.watchers,
        }

    async def metrics(self) -> Response:
        return Response(self.measures.text(), media_type=measures.CONTENT_TYPE)

    async def predict(self, request: Request) -> Any:
        start = time.perf_counter()
        try:
            with self.desk.request():
                async with uploads.received(
                    request, self.folder, self.bounds
                ) as upload:
                    answer = await self.desk.run(self._predict, upload)
        except Refusal as refusal:
            if refusal.status != uploads.TIMEOUT:
                await uploads.discard(request, self.bounds)
            raise
        self.measures.seconds.observe(time.perf_counter() - start)
        return JSONResponse(answer)

    def _predict(self, upload: uploads.Upload) -> dict[str, Any]:
        suffix = contents.suffix_of(upload.path, self.bounds)
        named = upload.path.with_suffix(suffix)
        named.hardlink_to(upload.path)
        try:
            found = self.model.predict(
                named, detector=self.detector, clips=self.bounds.clips
            )
        except InputError as error:
            text = str(error).replace(str(named), upload.name)
            raise Refusal(422, text) from None
        finally:
            named.unlink()
        return answers.of_prediction(found, upload.name)

    async def watch(self, socket: WebSocket) -> None:
        await socket.accept()
        try:
            with self.desk.watcher():
                await self._watch(socket)
        except Refusal as refusal:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await socket.send_json({"error": str(refusal)})
                await socket.close(TRY_AGAIN_LATER)
        except WebSocketDisconnect:
            pass

    async def _watch(self, socket: WebSocket) -> None:
        """Answers each frame before the next one is read."""
        make = functools.partial(Watcher, self.model, detector=self.detector)
        watcher = await self.desk.run(make)  # it runs the network once
        start = time.perf_counter()
        while True:
            try:
                async with asyncio.timeout(self.bounds.idle_seconds):
                    content = await socket.receive_bytes()
            except (TimeoutError, KeyError):  # KeyError: a text
                await socket.close()
                return
            second = time.perf_counter() - start
            try:
                answer = await self.desk.run(self._step, watcher, content, second)
            except Refusal as refusal:
                answer = {"error": str(refusal)}
            await socket.send_json(answer)

    def _step(self, watcher: Watcher, content: bytes, second: float) -> dict[str, Any]:
        image = contents.frame_of(content, self.bounds)
        try:
            seen = watcher.step(image, second)
        except InputError as error:
            raise Refusal(422, str(error)) from None
        self.measures.frames.inc()
        return answers.of_seen(seen)
