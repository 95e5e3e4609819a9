"""Training of one network for several values of theta or lambda, by one program."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from nasfas_jax import nets, runtime
from nasfas_jax.compilation import run_once
from nasfas_jax.data.loading import pipeline
from nasfas_jax.errors import Diverged
from nasfas_jax.methods.state import TrainState
from nasfas_jax.methods.supervised import Supervised

#: Steps between two looks at the losses, which wait for the device.
LOOK_EVERY = 10
NAMES = {"theta": "theta", "lam": "lambda"}


class Program:
    """Compiled training and scoring of all settings.

    Runs are stacked on the first axis of states, values first and then seeds.
    """

    def __init__(
        self,
        method: Supervised,
        swept: str,
        values: Sequence[float],
        seeds: Sequence[int],
        chunk: int | None,
    ):
        self.method = method
        self.settings = [(value, seed) for value in values for seed in seeds]
        self._swept, self._seeds, self._count = swept, seeds, len(values)
        self._values = jnp.array([value for value, _ in self.settings])
        self._places = jnp.tile(jnp.arange(len(seeds)), len(values))
        if chunk is None:
            chunk = 1 if jax.default_backend() == "cpu" else len(self.settings)
        batch_size = None if chunk == 1 else chunk

        def with_value(value: jax.Array) -> Supervised:
            return dataclasses.replace(method, call={swept: value})

        def step(values, places, state, batches):
            def one(run):
                value, place, state = run
                batch = jax.tree.map(lambda x: x[place], batches)
                state, metrics = with_value(value).step(state, batch)
                return state, metrics["loss"]

            return jax.lax.map(one, (values, places, state), batch_size=batch_size)

        def score(values, params, batch_stats, image):
            def one(run):
                value, params, stats = run
                return nets.score(with_value(value).predict(params, stats, image))

            return jax.lax.map(
                one, (values, params, batch_stats), batch_size=batch_size
            )

        self._step = jax.jit(step, donate_argnums=2)
        self._score = jax.jit(score)

    def init(self, image: np.ndarray) -> TrainState:
        """First states: every value of a seed starts from the same weights."""
        init = self.method.init  # one function, and so one program for all seeds
        states = [run_once(init, jax.random.key(seed), image) for seed in self._seeds]
        return jax.tree.map(lambda *x: jnp.stack(x * self._count), *states)

    def step(
        self, state: TrainState, batches: Mapping[str, ArrayLike]
    ) -> tuple[TrainState, jax.Array]:
        """New states and losses [runs], from a batch of each seed, [seeds, B, ...]."""
        return self._step(self._values, self._places, state, batches)

    def train(
        self,
        batches: Iterator[pipeline.Batch],
        image: np.ndarray,
        steps: int,
        progress: runtime.Progress,
        done: int,
    ) -> tuple[TrainState, np.ndarray]:
        """States after ``steps`` steps, and the losses [runs] of the last one.

        Args:
          batches: a batch of each seed for each step.
          image: image of the shape that the network is given.
          steps: number of steps.
          progress: told the number of steps, ``done`` of which came before.
          done: see ``progress``.

        Raises:
          Diverged: a loss is not finite.
        """
        state, losses = self.init(image), np.zeros(0)
        for step in range(1, steps + 1):
            state, losses = self.step(state, next(batches))
            if step % LOOK_EVERY == 1 or step == steps:
                losses = np.asarray(losses)
                self._require_finite(losses, step)
                progress(done + step, f"mean loss {losses.mean():.4f}")
        return state, np.asarray(losses)

    def score(self, state: TrainState, image: np.ndarray) -> np.ndarray:
        """Scores [runs, B] of images [B, S, S, C]."""
        scores = self._score(self._values, state.params, state.batch_stats, image)
        return np.asarray(scores)

    def _require_finite(self, losses: np.ndarray, step: int) -> None:
        """Requires finite losses [runs]."""
        lost = [
            f"{NAMES[self._swept]} {value:g}, seed {seed}"
            for (value, seed), loss in zip(self.settings, losses, strict=True)
            if not np.isfinite(loss)
        ]
        if lost:
            raise Diverged(
                f"The loss is not finite at step {step} for {'; '.join(lost)}. Lower the"
                " learning rate, or leave these values out."
            )
