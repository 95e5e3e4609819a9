"""Progress with steps, rate and remaining time: a bar on a terminal, lines elsewhere."""

import collections
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

#: Seconds over which the rate is measured.
WINDOW = 60.0


class Progress:
    """Reports the progress of a job.

    The rate is measured between reports of the last minute: what comes before the first
    report, such as compilation or the start of worker processes, is no part of it.

    >>> with Progress("prepare", 3, stream=sys.stdout, every=0) as progress:
    ...     progress(3)
    prepare 3/3 (100 %), done in 0 s
    """

    def __init__(
        self, what: str, total: int, *, start: int = 0, stream=None, every=5.0
    ):
        """A job of ``total`` steps, ``start`` of which are done.

        Args:
          what: name of the job.
          total: number of steps.
          start: steps done before.
          stream: where plain lines go; standard error if None.
          every: seconds between plain lines.
        """
        self.what, self.total, self.start, self.every = what, total, start, every
        self.stream = stream or sys.stderr
        self.began = self.last = time.monotonic()
        self._reports: collections.deque[tuple[float, int]] = collections.deque()
        self._bar = None
        if stream is None and sys.stderr.isatty():
            self._bar = Bar(
                TextColumn(what),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
            )

    def __enter__(self):
        """Starts the bar."""
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task(
                self.what, total=self.total, completed=self.start, note=""
            )
        return self

    def __exit__(self, *error):
        """Stops the bar."""
        if self._bar:
            self._bar.stop()

    def __call__(self, done: int, note: str = "") -> None:
        """Reports that ``done`` steps are done; ``note`` is shown with them."""
        now = time.monotonic()
        rate = self._rate(now, done)
        if done >= self.total:
            text = f"done in {_duration(now - self.began)}"
        elif rate:
            text = f"{rate:.3g}/s, {_duration((self.total - done) / rate)} left"
        else:
            text = ""
        text = ", ".join(filter(None, [text, note]))
        if self._bar:
            self._bar.update(self._task, completed=done, note=text)
        elif done >= self.total or now - self.last >= self.every:
            self.last = now
            share = done * 100 // max(self.total, 1)
            line = f"{self.what} {done}/{self.total} ({share} %)"
            line = ", ".join(filter(None, [line, text]))
            print(line, file=self.stream, flush=True)

    def _rate(self, now: float, done: int) -> float:
        """Steps per second since the oldest report within the window; 0 if unknown."""
        if done > self.start:
            self._reports.append((now, done))
        while len(self._reports) > 2 and self._reports[0][0] < now - WINDOW:
            self._reports.popleft()
        if len(self._reports) < 2:
            return 0.0
        (first, before), (last, after) = self._reports[0], self._reports[-1]
        return (after - before) / (last - first) if last > first else 0.0


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
