"""Progress with steps, rate and time left: a bar on a terminal, else a line at times."""

import sys
import time

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bar,
)


class Progress:
    """Reports how far a job is.

    >>> with Progress("prepare", 3, stream=sys.stdout, every=0) as progress:
    ...     progress(3)
    prepare 3/3 (100 %), done in 0 s
    """

    def __init__(
        self, what: str, total: int, *, start: int = 0, stream=None, every=5.0
    ):
        """A job of ``total`` steps, ``start`` of which are done.

        Args:
          what: its name.
          total: number of steps.
          start: steps done before (they do not count in the rate).
          stream: where plain lines go; standard error if None.
          every: seconds between plain lines.
        """
        self.what, self.total, self.start, self.every = what, total, start, every
        self.stream = stream or sys.stderr
        self.began = self.last = time.monotonic()
        self._bar = None
        if stream is None and sys.stderr.isatty():
            self._bar = Bar(
                TextColumn(what),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
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
        """``done`` steps are done; ``note`` is shown with them."""
        if self._bar:
            self._bar.update(self._task, completed=done, note=note)
            return
        now = time.monotonic()
        if done < self.total and now - self.last < self.every:
            return
        self.last = now
        seconds = now - self.began
        rate = (done - self.start) / seconds if seconds else 0.0
        text = f"{self.what} {done}/{self.total} ({done * 100 // max(self.total, 1)} %)"
        if done >= self.total:
            text += f", done in {_duration(seconds)}"
        elif rate:
            text += f", {rate:.3g}/s, {_duration((self.total - done) / rate)} left"
        print(text + (f", {note}" if note else ""), file=self.stream, flush=True)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
