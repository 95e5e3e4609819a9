"""The papers' optimizers."""

import optax


def adam(
    learning_rate: optax.ScalarOrSchedule,
    *,
    weight_decay: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps_root: float = 0.0,
) -> optax.GradientTransformation:
    """Adam with L2 regularization inside the gradient, as PyTorch's ``weight_decay``.

    Args:
      learning_rate: a number, or a schedule of the step.
      weight_decay: what is added to the gradient, times the parameter.
      b1: decay of the first moment.
      b2: decay of the second moment.
      eps_root: added under the root. It must be positive where derivatives pass
        through the update: the root's derivative is infinite at a zero gradient.
    """
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.adam(learning_rate, b1=b1, b2=b2, eps_root=eps_root),
    )


def schedule(decay: str, learning_rate: float, *, steps: int) -> optax.Schedule:
    """A learning rate over ``steps`` steps.

    Args:
      decay: 'constant'; 'cosine', after a tenth of the steps in which it rises from 0
        (a network whose map ends in a ReLU can be shut for good by its first steps); or
        'halve': halved at 500/1300 and 1000/1300 of the way, as NAS-FAS sec. 6.1 halves
        every 500 of 1300 epochs.
      learning_rate: the highest one.
      steps: in all.

    Raises:
      ValueError: an unknown decay.
    """
    if decay == "cosine":
        return optax.warmup_cosine_decay_schedule(
            0.0, learning_rate, warmup_steps=steps // 10, decay_steps=steps
        )
    if decay == "constant":
        return optax.constant_schedule(learning_rate)
    if decay == "halve":
        at = {steps * 500 // 1300: 0.5, steps * 1000 // 1300: 0.5}
        return optax.piecewise_constant_schedule(learning_rate, at)
    raise ValueError(f"decay must be 'cosine', 'constant' or 'halve', got {decay!r}")
