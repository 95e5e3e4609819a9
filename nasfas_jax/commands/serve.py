"""``nasfas serve``: serves a model over HTTP."""

from nasfas_jax import extras, limits
from nasfas_jax.commands import predict, settings
from nasfas_jax.commands.settings import Path

#: Packages of the extra ``serve``.
PACKAGES = ("fastapi", "uvicorn", "python_multipart", "websockets", "prometheus_client")
PORTS = limits.Range(0, 65535, whole=True)


def run(
    *,
    model: Path | None = None,
    workdir: Path = settings.WORKDIR,
    network: str | None = None,
    host: str = "127.0.0.1",
    port: str = "8000",
    face_model: Path | None = None,
) -> None:
    """Serves a model over HTTP until interrupted.

    Raises:
      InputError: no model, a wrong port, or packages of the extra that are missing.
    """
    number = int(port) if port.isdecimal() else port
    limits.require(port=(number, PORTS))
    extras.require("serve", *PACKAGES)
    import uvicorn

    from nasfas_jax import serve

    served = predict.model_of(model, workdir, network)
    bounds = serve.Bounds()
    app = serve.make_app(served, detector=settings.detector(face_model), bounds=bounds)
    print(f"serving {served.name} at http://{host}:{number} (stop with Ctrl-C)")
    uvicorn.run(
        app,
        host=host,
        port=int(number),
        log_level="warning",
        ws="websockets-sansio",
        ws_max_size=bounds.frame_bytes,
        limit_concurrency=1024,
    )
