"""Small score tables for tests."""

import numpy as np

from nasfas_jax.evaluation.scores import (
    COLUMNS,
    ScoreTable,
)

ROWS = [
    ("a.mp4#0", "s1", "home", "live", 1, 0.75, "test"),
    ("a.mp4#8", "s1", "home", "live", 1, 0.25, "test"),
    ("b.mp4#0", "s1", "home", "print", 0, 0.125, "test"),
]


def table_of(rows):
    return ScoreTable(
        **dict(zip(COLUMNS, map(np.array, zip(*rows, strict=True)), strict=True))
    )


def synthetic(videos=2, subjects=6, clips=2, seed=0, split="test", shift=1.0):
    """Every subject has ``videos`` live ones and as many of each of two attacks."""
    random = np.random.default_rng(seed)
    rows = []
    for subject in range(subjects):
        for kind in ("live", "print", "replay"):
            for video in range(videos):
                for clip in range(clips):
                    name = f"{split}{subject}_{kind}_{video}#{clip}"
                    score = random.normal() + shift * (kind == "live")
                    person = f"{split}{subject}"
                    label = int(kind == "live")
                    rows.append((name, person, "lab", kind, label, score, split))
    return rows


BOTH = table_of(synthetic() + synthetic(split="development", seed=1))
