"""SIGTERM and SIGINT while a command runs."""

import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator

from rich.console import Console


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Ends the process at once when SIGTERM or SIGINT arrives; the exit code is 128 + n.

    Nothing is lost: a loop that has something to save takes the signals over meanwhile
    (`runtime.fit`), and files appear under their names only when they are whole.

    The process is ended by a thread, because Python calls the handler of a signal only
    between two of its own instructions: never while XLA compiles, which takes minutes. And
    an exception that a handler raises amid JAX's tracing is lost, or leaves locks behind on
    which the interpreter's exit waits forever.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    threading.Thread(target=_end, args=(reader,), daemon=True).start()
    descriptor = signal.set_wakeup_fd(writer.fileno())
    handlers = {n: signal.signal(n, _ignore) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(descriptor)
        writer.close()


def _ignore(number: int, frame: object) -> None:
    """Does nothing: only a signal with a handler reaches the thread."""


def _end(reader: socket.socket) -> None:
    """Ends the process and its children by the first signal whose number is read."""
    with reader:
        while received := reader.recv(1):
            number = received[0]
            if number not in (signal.SIGTERM, signal.SIGINT):
                continue
            for child in multiprocessing.active_children():
                child.terminate()
            sys.stdout.flush()
            Console(stderr=True).show_cursor()  # hidden by a progress bar
            print(
                f"nasfas: stopped by {signal.Signals(number).name}. Finished files are "
                "kept. Start the same command again to resume or repeat it.",
                file=sys.stderr,
                flush=True,
            )
            os._exit(128 + number)
