"""Train state on disk, logging, progress, and the loop around a step."""

from nasfas_jax.errors import Diverged, Stopped
from nasfas_jax.runtime import processes
from nasfas_jax.runtime.checkpoints import Checkpoints, DamagedCheckpoint, Restored
from nasfas_jax.runtime.devices import (
    BATCH_AXES,
    PART_AXES,
    STATE_RULES,
    cache_compiles,
    describe_machine,
    episode_axes,
    fetch,
    make_mesh,
    replicated,
    share,
)
from nasfas_jax.runtime.loop import fit, noted_signals
from nasfas_jax.runtime.metrics import MetricsLog, read_metrics
from nasfas_jax.runtime.progress import Progress

__all__ = [
    "BATCH_AXES",
    "PART_AXES",
    "STATE_RULES",
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
    "fetch",
    "fit",
    "make_mesh",
    "noted_signals",
    "processes",
    "read_metrics",
    "replicated",
    "share",
]
