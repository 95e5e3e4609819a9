"""Score files, thresholds, error rates."""

from nasfas_jax.evaluation import metrics
from nasfas_jax.evaluation.evaluate import Result, evaluate
from nasfas_jax.evaluation.scores import (
    COLUMNS,
    ScoreTable,
    by_video,
    read_scores,
    write_scores,
)

__all__ = [
    "COLUMNS",
    "Result",
    "ScoreTable",
    "by_video",
    "evaluate",
    "metrics",
    "read_scores",
    "write_scores",
]
