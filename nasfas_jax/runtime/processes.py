"""Several processes: their start, what they agree on, and what one of them does for all.

`jax.distributed` connects them. Process 0 is its coordinator, and the one that writes what is
written once. A process that dies is noticed by the others at once where its connections
close, as they do when it is killed, and otherwise within `HEARTBEAT` seconds: they end, since
a collective without it would wait for ever.
"""

import contextlib
import hashlib
import importlib.metadata
import itertools
import json
import os
import pathlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

from nasfas_jax import clusters, files
from nasfas_jax.errors import InputError

#: Seconds without a sign of life after which a process counts as dead.
HEARTBEAT = 30
#: Seconds that processes wait for each other at the start, and at the end.
WAIT, END = 300, 20
#: Seconds that processes wait for what process 0 does alone.
ALONE = 24 * 3600
#: Largest difference of their clocks, in seconds.
CLOCKS = 60.0
#: Variables of the coordinator, the number of processes, and this one's.
VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
_numbers = itertools.count()


def start(
    coordinator: str | None = None,
    count: int | None = None,
    index: int | None = None,
    *,
    wait: int = WAIT,
) -> None:
    """Connects this process with the others, before any other use of JAX.

    Args:
      coordinator: address of process 0, HOST:PORT. With None here and below, those of
        `VARIABLES`, SLURM, OpenMPI, GKE or Cloud TPU are used.
      count: number of processes.
      index: number of this process.
      wait: seconds to wait for the others.

    Raises:
      InputError: the coordinator is missing or no address, or nothing is recognized. If
        another process is missing, JAX ends this one.
    """
    if coordinator is not None and not re.fullmatch(r".+:\d+", coordinator):
        raise InputError(
            f"expected HOST:PORT, as 10.0.0.1:1234, got {coordinator!r}.",
            field="coordinator",
        )
    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # of CPUs alone
    # SIGTERM remains Python's: `Stops` agrees on the step.
    jax.config.update("jax_enable_preemption_service", False)
    variables = [os.environ.get(name) for name in VARIABLES]
    if coordinator is None and count is None and index is None and all(variables):
        coordinator, count, index = variables[0], *map(int, variables[1:])  # pyright: ignore
    explicit = None not in (coordinator, count, index)
    if index is not None and not explicit and not clusters.detected(os.environ):
        raise InputError(
            f"expected the address of process 0 and the number of processes beside the"
            f" number of this one, {index}, got coordinator {coordinator} and {count}"
            " processes.",
            field="process",
        )
    try:
        if coordinator is not None and index:
            _reach(coordinator, wait)  # JAX would end this process without raising
        jax.distributed.initialize(
            coordinator,
            count,
            index,
            cluster_detection_method="deactivate" if explicit else None,
            initialization_timeout=wait,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=END,
        )
    except (RuntimeError, ValueError, OSError, IndexError) as error:
        found = clusters.detected(os.environ)
        where = f"{found.name}, process {found.index} of {found.count}" if found else ""
        given = f"coordinator {coordinator}, process {index} of {count}"
        if coordinator is None:
            given = "outside SLURM, OpenMPI, GKE and Cloud TPU"
        raise InputError(
            f"expected all processes to meet within {wait} s, got {error!s:.300} (this is"
            f" {where or given}). Start all of them with the same --coordinator and"
            " --processes and each with its own --process; check that process 0 runs, that"
            " its address can be reached, and that no proxy variable is set.",
            field="processes",
        ) from None


def _reach(address: str, wait: int) -> None:
    """Waits until something listens at HOST:PORT.

    Raises:
      OSError: nothing does.
    """
    host, _, port = address.rpartition(":")
    until = time.monotonic() + wait
    while True:
        try:
            return socket.create_connection((host, int(port)), timeout=wait).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def count() -> int:
    """The number of processes; JAX is not started where there is only this one."""
    return jax.process_count() if jax.distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this process writes what is written once."""
    return count() == 1 or jax.process_index() == 0


def once(function: Callable[[], Any]) -> Any:
    """The result of a function that process 0 alone calls, in all processes.

    Args:
      function: its result is JSON content.

    Raises:
      InputError: of the function, in all processes.
    """
    if count() == 1:
        return function()
    key = f"nasfas/once/{next(_numbers)}"
    if not is_first():
        value, error = json.loads(_client().blocking_key_value_get(key, ALONE * 1000))
        if error is not None:
            raise InputError(error[0], field=error[1])
        return value
    try:
        value = function()
    except InputError as error:
        _client().key_value_set(key, json.dumps([None, [error.args[0], error.field]]))
        raise
    _client().key_value_set(key, json.dumps([value, None]))
    return value


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """`files.locked` in process 0; the others go on when it is.

    Raises:
      InputError: as `files.locked`, in all processes.
    """
    with contextlib.ExitStack() as stack:
        once(lambda: stack.enter_context(files.locked(folder)))
        yield


def require_same(name: str, content: dict[str, Any]) -> None:
    """Requires equal content in all processes, such as settings, data and versions.

    Args:
      name: what it is.
      content: JSON content by the full names of its fields.

    Raises:
      InputError: the first process that differs, and its fields; in all processes.
    """
    if count() == 1:
        return
    text = json.dumps(content, sort_keys=True, default=str)
    gather(None)  # clocks are read together
    digest = hashlib.sha256(text.encode()).hexdigest()
    found = gather([digest, time.time()])
    digests, clocks = ([one[i] for one in found] for i in (0, 1))
    for index, one in enumerate(digests):
        if one != digests[0]:
            texts = gather(text if jax.process_index() in (0, index) else "{}")
            between = _differences(json.loads(texts[0]), json.loads(texts[index]))
            raise InputError(
                f"expected the same {name} in all processes; process {index} differs from"
                f" process 0: {'; '.join(between)}. Start all processes with the same"
                " command line, config, data and version."
            )
    if max(clocks) - min(clocks) > CLOCKS:
        late = clocks.index(max(clocks)), clocks.index(min(clocks))
        raise InputError(
            f"expected clocks that differ by {CLOCKS:g} s at most, got"
            f" {max(clocks) - min(clocks):.0f} s between processes {late[0]} and"
            f" {late[1]}. Synchronize them (NTP)."
        )


def versions() -> dict[str, str]:
    """The code of this process: a digest of the package, and versions of its libraries."""
    package = pathlib.Path(__file__).parents[1]
    names = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "grain")
    return {
        "code": files.digest(sorted(package.rglob("*.py")))[:16],
        **{name: importlib.metadata.version(name) for name in names},
    }


def gather(value: Any) -> list[Any]:
    """The values of all processes, in their order; each waits for all.

    Args:
      value: JSON content.
    """
    if count() == 1:
        return [value]
    folder, client = f"nasfas/gather/{next(_numbers)}", _client()
    client.key_value_set(f"{folder}/{jax.process_index():06}", json.dumps(value))
    client.wait_at_barrier(f"{folder}/meet", ALONE * 1000)
    return [json.loads(text) for _, text in sorted(client.key_value_dir_get(folder))]


class Stops:
    """One step at which all processes stop, after a signal to any of them.

    A signal is published under a key for which a thread of every process waits. Each
    publishes its step, and all stop after the largest of them, plus one: a process that is
    ahead is not waited for in a collective that it would not come to.
    """

    def __init__(self):
        """Begins to listen, if there are several processes."""
        self._step, self._number, self._at = 0, 0, 0
        self._changed = threading.Condition()
        if count() > 1:
            self._key = f"nasfas/stop/{next(_numbers)}"
            threading.Thread(target=self._listen, daemon=True).start()

    def __call__(self, step: int, signal: int, *, last: bool) -> int:
        """The signal by which all processes stop after this step; 0 for none.

        Args:
          step: number of steps done.
          signal: number of a signal that this process got; 0 for none.
          last: whether no step follows.
        """
        if count() == 1:
            return signal
        if last:
            return max(gather(signal or self._number))
        if signal:
            self._publish(signal)
        with self._changed:
            self._step = step
            while self._number and not self._at:
                self._changed.wait()
            return self._number if self._at and step >= self._at else 0

    def close(self) -> None:
        """Ends the threads of all processes."""
        if count() > 1:
            self._publish(0)

    def _publish(self, signal: int) -> None:
        with contextlib.suppress(RuntimeError):  # it is published already
            _client().key_value_set(f"{self._key}/signal", str(signal))

    def _listen(self) -> None:
        client, key = _client(), self._key
        with contextlib.suppress(RuntimeError):  # the connection ends before a signal
            number = int(client.blocking_key_value_get(f"{key}/signal", ALONE * 1000))
            if not number:
                return
            with self._changed:
                self._number, step = number, self._step
            client.key_value_set(f"{key}/step/{jax.process_index():06}", str(step))
            client.wait_at_barrier(f"{key}/meet", ALONE * 1000)
            steps = client.key_value_dir_get(f"{key}/step")
            with self._changed:
                self._at = max(int(text) for _, text in steps) + 1
                self._changed.notify_all()


def _client() -> Any:
    """The key-value store of the processes, which JAX has no public name for."""
    from jax._src import distributed

    return distributed.global_state.client


def _differences(first: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [
        f"{name} is {other.get(name)!r}, and {first.get(name)!r} in process 0"
        for name in {**first, **other}
        if first.get(name) != other.get(name)
    ]
