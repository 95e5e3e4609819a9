"""A model over HTTP: an ASGI application with a page for the browser.

Needs the packages of the extra ``serve``; nothing of it is imported by ``nasfas_jax``.
"""

from nasfas_jax.serve.app import make_app
from nasfas_jax.serve.bounds import Bounds

__all__ = ["Bounds", "make_app"]
