"""A server of a small model on a free port."""

import contextlib
import threading
import time

import uvicorn
from models import THRESHOLD, make_model

from nasfas_jax import serve, synthetic
from nasfas_jax.synthetic.dataset import write_one


def write_clip(folder):
    """A synthetic live video of 14 frames."""
    spec = synthetic.plan(
        subjects_per_domain=(1, 0, 0), live_videos=1, attacks=("print",), frames=14
    )[0]
    path = folder / f"live{spec.suffix}"
    write_one(spec, path)
    return path


@contextlib.contextmanager
def served(bounds=None, model=None):
    """Yields the address of a running server."""
    model = model or make_model(threshold=THRESHOLD)
    app = serve.make_app(model, bounds=bounds)
    with running(app) as address:
        yield address


@contextlib.contextmanager
def running(app):
    """Yields the address of an ASGI application."""
    config = uvicorn.Config(
        app, port=0, log_level="warning", ws="websockets-sansio", lifespan="on"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
