"""A bounded queue in front of the threads that run the network."""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from nasfas_jax.serve.bounds import Bounds
from nasfas_jax.serve.refusal import Refusal

Result = TypeVar("Result")


class Desk:
    """Places for requests and for cameras, and the threads that serve them.

    A request has its place before its body is read, so that places bound the files on the
    disk, too. All methods run in one event loop.

    Attributes:
      requests: requests that have a place.
      watchers: cameras that have a place.
    """

    def __init__(self, bounds: Bounds):
        self.requests = self.watchers = 0
        self._bounds = bounds
        self._threads = concurrent.futures.ThreadPoolExecutor(bounds.workers, "network")

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Context manager that has a place for a request.

        Raises:
          Refusal: no place is free.
        """
        bounds = self._bounds
        if self.requests >= bounds.workers + bounds.waiting:
            retry = bounds.retry_seconds
            raise Refusal(
                503,
                f"{self.requests} requests are in work or waiting; try again in"
                f" {retry} s.",
                {"Retry-After": str(retry)},
            )
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    @contextlib.contextmanager
    def watcher(self) -> Iterator[None]:
        """Context manager that has a place for a camera.

        Raises:
          Refusal: no place is free.
        """
        if self.watchers >= self._bounds.watchers:
            raise Refusal(503, f"{self.watchers} cameras are watched; try again later.")
        self.watchers += 1
        try:
            yield
        finally:
            self.watchers -= 1

    async def run(self, function: Callable[..., Result], *args: object) -> Result:
        """The result of a function that one of the threads calls."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, function, *args)

    def close(self) -> None:
        """Ends the threads after the work in hand."""
        self._threads.shutdown(cancel_futures=True)
