"""Metrics of a run: JSON lines for programs, TensorBoard for eyes."""

import json
import pathlib

import numpy as np
from tensorboardX import SummaryWriter

FILE = "metrics.jsonl"


class MetricsLog:
    """Writes metrics to ``metrics.jsonl`` and ``tensorboard/`` in a folder.

    A line is ``{"step": 7, "seconds": 1.5, "loss": 0.1, ...}``; arrays become nested
    lists. TensorBoard gets the scalars only.
    """

    def __init__(self, folder: pathlib.Path, *, first_step: int = 0):
        """Opens the log; lines of steps after ``first_step`` are dropped.

        They were written after the checkpoint that a resumed run starts from, and will
        be written again.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE
        kept = [line for line in read_metrics(folder) if line["step"] <= first_step]
        #: Cumulative, of the last line that stays.
        self.seconds: float = kept[-1]["seconds"] if kept else 0.0
        path.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self._file = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(
            str(folder / "tensorboard"), purge_step=first_step + 1
        )

    def write(self, step: int, metrics: dict) -> None:
        """Appends one line."""
        values = {name: np.asarray(value).tolist() for name, value in metrics.items()}
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            if isinstance(value, float):
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes and closes both files."""
        self._file.close()
        self._board.close()


def read_metrics(folder: pathlib.Path) -> list[dict]:
    """The lines of a ``metrics.jsonl``, none if there is no such file.

    A last line cut short by a crash is left out.
    """
    path = folder / FILE
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    return [json.loads(line) for line in whole.splitlines()]
