"""Train state on disk, logging, progress, and the loop around a step."""

from nasfas_jax.errors import Diverged, Stopped
from nasfas_jax.runtime.checkpoints import Checkpoints, DamagedCheckpoint, Restored
from nasfas_jax.runtime.devices import (
    BATCH_AXES,
    cache_compiles,
    describe_machine,
    episode_axes,
    make_mesh,
    replicated,
)
from nasfas_jax.runtime.loop import fit, noted_signals
from nasfas_jax.runtime.metrics import MetricsLog, read_metrics
from nasfas_jax.runtime.progress import Progress

__all__ = [
    "BATCH_AXES",
    "Checkpoints",
    "DamagedCheckpoint",
    "Diverged",
    "MetricsLog",
    "Progress",
    "Restored",
    "Stopped",
    "cache_compiles",
    "describe_machine",
    "episode_axes",
    "fit",
    "make_mesh",
    "noted_signals",
    "read_metrics",
    "replicated",
]
