"""Metrics of a run, as JSON lines and as TensorBoard events."""

import contextlib
import json
import pathlib
import sys
import time
from collections.abc import Iterator

import numpy as np

from nasfas_jax import files

FILE = "metrics.jsonl"
#: Seconds after which TensorBoard events are flushed to disk.
FLUSH = 10.0


@contextlib.contextmanager
def _torch_hidden() -> Iterator[None]:
    """Lets an import that is optional in a library find no PyTorch.

    tensorboardX imports it where it is installed, for tensors that are never logged here:
    3 s and 0.5 GB at every start.
    """
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        if hidden:
            del sys.modules["torch"]


with _torch_hidden():
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore
    from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore


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
        files.write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = path.open("a", encoding="utf-8")
        board = folder / "tensorboard"
        board.mkdir(exist_ok=True)
        self._board = EventsWriter(str(board / "events"))
        self._flushed = time.monotonic()
        start = SessionLog(status=SessionLog.START)  # TensorBoard drops later steps
        self._event(first_step + 1, session_log=start)

    def write(self, step: int, metrics: dict) -> None:
        """Appends one line."""
        values = {name: np.asarray(value).tolist() for name, value in metrics.items()}
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        scalars = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in values.items()
            if isinstance(value, float)
        ]
        self._event(step, summary=Summary(value=scalars))
        if time.monotonic() - self._flushed >= FLUSH:
            self._board.flush()
            self._flushed = time.monotonic()

    def _event(self, step: int, **content) -> None:
        self._board.write_event(Event(step=step, wall_time=time.time(), **content))

    def close(self) -> None:
        """Flushes and closes both files."""
        with contextlib.closing(self._board):
            self._file.close()


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
