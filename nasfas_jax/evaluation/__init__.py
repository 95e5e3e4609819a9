"""Score files, thresholds, error rates."""

from nasfas_jax.evaluation import compat, metrics, thresholds
from nasfas_jax.evaluation.evaluate import (
    Result,
    by_domain,
    check_leakage,
    evaluate,
    fields_of,
)
from nasfas_jax.evaluation.scores import (
    COLUMNS,
    ScoreTable,
    by_video,
    read_scores,
    write_scores,
)
from nasfas_jax.evaluation.several import are_folds, compare, folds, merge

__all__ = [
    "COLUMNS",
    "Result",
    "ScoreTable",
    "are_folds",
    "by_domain",
    "by_video",
    "check_leakage",
    "compare",
    "compat",
    "evaluate",
    "fields_of",
    "folds",
    "merge",
    "metrics",
    "read_scores",
    "thresholds",
    "write_scores",
]
