"""The loop around a pure step: resume, log, save, stop."""

import contextlib
import functools
import math
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nasfas_jax import files, limits
from nasfas_jax.errors import Diverged, Stopped
from nasfas_jax.runtime import devices, processes
from nasfas_jax.runtime.checkpoints import Checkpoints
from nasfas_jax.runtime.metrics import MetricsLog
from nasfas_jax.runtime.progress import Progress


class Batches(Protocol):
    """An endless iterator with a state, such as those of Grain."""

    def __next__(self) -> Any:
        """The next batch."""
        ...

    def get_state(self) -> Any:
        """The state, as JSON content."""
        ...

    def set_state(self, state: Any) -> None:
        """Resumes from a state."""
        ...


Step = Callable[[Any, Any], tuple[Any, dict]]


def fit(
    name: str,
    step: Step,
    state: Any,
    batches: Batches,
    *,
    steps: int,
    folder: pathlib.Path,
    log_every: int = 10,
    save_every: int = 100,
    batch_axes: Any = devices.BATCH_AXES,
    mesh: Mesh | None = None,
    sharding: str = "replicated",
    extra_metrics: Callable[[Any], dict] = lambda state: {},
    ends: Callable[[Any], bool] = lambda state: False,
) -> tuple[Any, float]:
    """Runs ``step`` until ``steps`` are done, from the last checkpoint if there is one.

    A run that was killed and started again ends in the same state, bit for bit on the
    same devices, as one that was never killed.

    Args:
      name: name shown with the progress.
      step: ``(state, batch) -> (state, metrics)``; compiled here, once.
      state: initial state.
      batches: endless iterator of batches.
      steps: total number of steps.
      folder: folder of metrics, TensorBoard files and checkpoints.
      log_every: steps between lines of metrics.
      save_every: steps between checkpoints.
      batch_axes: partitioned axes of the batch; see `devices.place`.
      mesh: mesh of the devices; `devices.make_mesh()` if None.
      sharding: rule for the arrays of the state, see `devices.state_shardings`; those of
        ``state`` that are placed otherwise are moved.
      extra_metrics: function from the state to additional metrics.
      ends: whether a state is the last one, though steps are left; a pure function, called
        after every step and with a restored state, so that a resumed run ends where one
        that was never killed does.

    Returns:
      The last state, and the seconds spent in steps, those before a restart included;
      the first step of a start, which compiles, is left out.

    Raises:
      Stopped: by SIGTERM or SIGINT (Ctrl-C), after the running step, with a checkpoint;
        with several processes, by a signal to any of them, after a step that all agree on.
        Until the first step of a start is done there is nothing to save, and the caller's
        handlers stay in place.
      Diverged: the loss is not finite, or a number in the state that is to be saved; the
        text has the steps. The last good checkpoint is kept.
      InputError: ``steps``, ``log_every`` or ``save_every`` is not 1 or more; the disk has no
        room for a checkpoint, or the folder cannot be written.
    """
    limits.require(
        steps=(steps, limits.COUNT),
        log_every=(log_every, limits.COUNT),
        save_every=(save_every, limits.COUNT),
    )
    mesh = devices.make_mesh() if mesh is None else mesh
    shardings = devices.state_shardings(state, mesh, sharding)
    state = jax.device_put(state, shardings)
    with files.writing(folder), contextlib.ExitStack() as stack:
        checkpoints = stack.enter_context(Checkpoints(folder, sweep=True))
        done = 0
        if checkpoints.steps:
            done, state, iterator_state = checkpoints.restore(state)
            checkpoints.drop_after(done)
            batches.set_state(iterator_state)
        log = progress = None
        if processes.is_first():
            log = stack.enter_context(
                contextlib.closing(MetricsLog(folder, first_step=done))
            )
            progress = stack.enter_context(Progress(name, steps, start=done))
        stops = stack.enter_context(contextlib.closing(processes.Stops()))
        compiled = compile_step(step, shardings, mesh)
        seconds, logged, first = log.seconds if log else 0.0, done, True
        noted: list[int] = []
        last = done >= steps or (done > 0 and ends(state))
        if not last:
            saved = min(steps, done + save_every - done % save_every)
            processes.once(lambda: checkpoints.require_room(saved, state))
        while not last:
            batch = devices.place(next(batches), batch_axes, mesh)
            began = time.monotonic()
            state, metrics = compiled(state, batch)
            done += 1
            if first:  # compiled: from here on there is a state to save
                noted = stack.enter_context(noted_signals())
            last = done == steps or ends(state)
            saves = done % save_every == 0 or last
            due = first or done % log_every == 0 or last
            if due:
                metrics = devices.fetch(metrics)
            if not first:
                seconds += time.monotonic() - began
            if due:
                _require_finite(metrics, name, (logged, done), checkpoints)
                line = {**metrics, "seconds": seconds, **extra_metrics(state)}
                logged = done
                if log and progress:
                    log.write(done, line)
                    progress(done, f"loss {metrics['loss']:.4f}")
            first = False
            stop = stops(done, noted[-1] if noted else 0, last=last)
            if saves or stop:
                _require_finite_state(state, name, (logged, done), checkpoints)
                checkpoints.save(done, state, batches.get_state())
            if stop:
                raise Stopped(
                    f"{name} stopped by {signal.Signals(stop).name} after step {done} of "
                    f"{steps}; its state is saved in {checkpoints.folder}. Start the same "
                    "command again to resume.",
                    stop,
                )
    return state, seconds


def compile_step(step: Step, shardings: Any, mesh: Mesh) -> Callable[..., Any]:
    """``step`` under `jax.jit`, which reuses the memory of the state before.

    Args:
      step: ``(state, batch) -> (state, metrics)``.
      shardings: those of the state, before the step and after it.
      mesh: mesh of the devices.
    """
    whole = devices.replicated(mesh)
    divided = any(not one.is_fully_replicated for one in jax.tree.leaves(shardings))

    @functools.wraps(step)
    def on_mesh(state: Any, batch: Any) -> tuple[Any, dict]:
        return step(devices.gathered(state, mesh) if divided else state, batch)

    return jax.jit(on_mesh, donate_argnums=0, out_shardings=(shardings, whole))


@contextlib.contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Records SIGTERM and SIGINT in a list, in place of the installed handlers.

    Signals reach the main thread only: elsewhere the list stays empty.
    """
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    descriptor = signal.set_wakeup_fd(-1)
    handlers = {
        number: signal.signal(number, lambda number, frame: noted.append(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield noted
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(descriptor)


def _require_finite_state(
    state: Any, name: str, steps: tuple[int, int], checkpoints: Checkpoints
) -> None:
    """Requires finite numbers in a state that is to be saved.

    The loss of a step is that of the parameters before it, and is not read in every step.
    ``steps`` are the last one with a finite loss, and this one.
    """
    for wrong in processes.gather(_not_finite(state)):
        if wrong:
            raise Diverged(
                f"{name}: {wrong} is not finite after step {steps[1]}"
                f" (the loss was finite at step {steps[0]}). {_remedy(checkpoints)}"
            )


def _not_finite(state: Any) -> str:
    """Name of the first array with a number that is not finite, of this process's."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            continue
        parts = [leaf.addressable_data(0)]
        if not leaf.is_fully_replicated:
            parts = [shard.data for shard in leaf.addressable_shards]
        if not all(np.isfinite(part).all() for part in parts):
            return jax.tree_util.keystr(path)
    return ""


def _require_finite(
    metrics: dict, name: str, steps: tuple[int, int], checkpoints: Checkpoints
) -> None:
    if not math.isfinite(metrics["loss"]):
        last = f" (it was finite at step {steps[0]})" if steps[0] else ", the first one"
        raise Diverged(
            f"{name}: the loss is {metrics['loss']} at step {steps[1]}{last}."
            f" {_remedy(checkpoints)}"
        )


def _remedy(checkpoints: Checkpoints) -> str:
    kept = checkpoints.steps
    found = "no checkpoint was saved before"
    if kept:
        found = f"the checkpoint of step {kept[0]} is kept in {checkpoints.folder}"
    return f"A lower learning rate is the usual cure; {found}."
