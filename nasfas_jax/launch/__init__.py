"""Scripts and manifests that run a command on a machine, a cluster or a pod."""

from nasfas_jax.launch.arrays import ENGINES, execute, require_engine
from nasfas_jax.launch.job import Job
from nasfas_jax.launch.scripts import BACKENDS, Backend, render, submit

__all__ = [
    "BACKENDS",
    "ENGINES",
    "Backend",
    "Job",
    "execute",
    "render",
    "require_engine",
    "submit",
]
