"""Second-order recursive filters (biquads) over the frames of a clip."""

import functools

import jax.numpy as jnp
from jax import Array, lax

from nasfas_jax.ops import platform

METHODS = ("auto", "scan", "associative_scan")
#: Number of frames from which "auto" takes the associative scan on an accelerator, where
#: its log2(T) parallel passes replace T sequential steps. On CPU the scan is faster at
#: every length: 1.6 times at 32 frames, 2.8 times at 256 (`nasfas bench eulernet`).
PARALLEL_FROM = 32
#: Largest pole radius of `stable_feedback`; a saturated tanh would give 1.
MAX_RADIUS = 0.999

#: The two delayed values (h1, h2) of the filter, each with the shape of one frame.
State = tuple[Array, Array]


def biquad(x: Array, b: Array, a: Array, *, method: str = "auto") -> Array:
    """Filters over time, in transposed direct form II (EulerNet eq. 1 to 3).

    ``y[n] = b0 x[n] + h1[n - 1]``, ``h1[n] = b1 x[n] + h2[n - 1] - a1 y[n]`` and
    ``h2[n] = b2 x[n] - a2 y[n]``, from h = 0. As ``scipy.signal.lfilter(b, (1, a1, a2), x)``.

    Args:
      x: [N, T, ...], for instance clips [N, T, H, W, C].
      b: feedforward coefficients [3], shared by all pixels.
      a: feedback coefficients (a1, a2) [2]; the filter is stable if `pole_radius` is
        below 1.
      method: 'scan', 'associative_scan', or 'auto' for the faster of the two: the scan on
        CPU, and elsewhere for less than `PARALLEL_FROM` frames.

    Returns:
      y of the shape and type of x.

    Raises:
      ValueError: another shape of the coefficients, no frame, or an unknown method.
    """
    return biquad_stream(x, b, a, method=method)[0]


def biquad_stream(
    x: Array, b: Array, a: Array, state: State | None = None, *, method: str = "auto"
) -> tuple[Array, State]:
    """`biquad` on the next frames of a stream.

    Blocks of any length, one frame among them, give what the whole sequence gives.

    Args:
      x: the next frames [N, T, ...].
      b: as in `biquad`.
      a: as in `biquad`.
      state: state after the frames before, each array [N, ...]; zeros if None.
      method: as in `biquad`.

    Returns:
      (y, state after the last of these frames).

    Raises:
      ValueError: as `biquad`, or a state of another shape.
    """
    _require(x, b, a, state, method)
    b, a = b.astype(x.dtype), a.astype(x.dtype)
    if state is None:
        zero = jnp.zeros_like(x[:, 0])
        state = zero, zero
    method = filter_method(x.shape[1]) if method == "auto" else method
    chosen = _associative if method == "associative_scan" else _sequential
    return chosen(x, b, a, state)


def filter_method(frames: int) -> str:
    """The method that "auto" takes for a number of frames on the default device."""
    parallel = not platform.for_cpu() and frames >= PARALLEL_FROM
    return "associative_scan" if parallel else "scan"


def _require(x: Array, b: Array, a: Array, state: State | None, method: str) -> None:
    if method not in METHODS:
        raise ValueError(f"method: expected one of {METHODS}, got {method!r}.")
    if x.ndim < 2 or not x.shape[1]:
        raise ValueError(f"x: expected [N, T, ...] with T >= 1, got {x.shape}.")
    if b.shape != (3,) or a.shape != (2,):
        raise ValueError(f"b, a: expected shapes (3,), (2,), got {b.shape}, {a.shape}.")
    frame = (x.shape[0], *x.shape[2:])
    if state is not None and any(array.shape != frame for array in state):
        raise ValueError(
            f"state: expected two arrays of the shape {frame} of a frame, got"
            f" {[array.shape for array in state]}. The frames of a stream have one size."
        )


def _sequential(x: Array, b: Array, a: Array, state: State) -> tuple[Array, State]:
    """One step of eq. 1 to 3 for each frame."""

    def step(state: State, frame: Array) -> tuple[State, Array]:
        h1, h2 = state
        y = b[0] * frame + h1
        return (b[1] * frame + h2 - a[0] * y, b[2] * frame - a[1] * y), y

    state, y = lax.scan(step, state, jnp.moveaxis(x, 1, 0), unroll=min(x.shape[1], 8))
    return jnp.moveaxis(y, 0, 1), state


def _associative(x: Array, b: Array, a: Array, state: State) -> tuple[Array, State]:
    """The states of all frames as prefixes of a product of affine maps.

    Without y, the state follows ``h[n] = A h[n - 1] + B x[n]`` with
    ``A = [[-a1, 1], [-a2, 0]]`` and ``B = (b1 - a1 b0, b2 - a2 b0)``.
    """
    frames = jnp.moveaxis(x, 1, 0)
    one, zero = jnp.ones((), x.dtype), jnp.zeros((), x.dtype)
    feedback = jnp.stack([jnp.stack([-a[0], one]), jnp.stack([-a[1], zero])])
    first, second = b[1] - a[0] * b[0], b[2] - a[1] * b[0]
    driven = first * frames, second * frames
    # The state before joins the first frame's.
    h1 = driven[0].at[0].add(feedback[0, 0] * state[0] + state[1])
    h2 = driven[1].at[0].add(feedback[1, 0] * state[0])
    powers = jnp.broadcast_to(feedback, (len(frames), 2, 2))
    _, h1, h2 = lax.associative_scan(
        functools.partial(_compose, frames.ndim - 1), (powers, h1, h2)
    )
    before = jnp.concatenate([state[0][None], h1[:-1]])
    return jnp.moveaxis(b[0] * frames + before, 0, 1), (h1[-1], h2[-1])


def _compose(rank: int, earlier: tuple, later: tuple) -> tuple:
    """The affine map ``later`` after ``earlier``; leading axis: pairs of frames."""
    (left, h1, h2), (right, g1, g2) = earlier, later
    entry = [
        [right[:, i, j].reshape(-1, *(1,) * rank) for j in range(2)] for i in range(2)
    ]
    product = jnp.einsum("tij,tjk->tik", right, left, precision=lax.Precision.HIGHEST)
    return (
        product,
        entry[0][0] * h1 + entry[0][1] * h2 + g1,
        entry[1][0] * h1 + entry[1][1] * h2 + g2,
    )


def stable_feedback(raw: Array) -> Array:
    """Feedback coefficients (a1, a2) [2] of a stable filter, from any two numbers [2].

    The triangle ``|a2| < 1``, ``|a1| < 1 + a2`` holds all stable filters of second order.
    ``tanh`` maps the plane onto it, and the poles are scaled by `MAX_RADIUS`.
    """
    second = jnp.tanh(raw[1])
    first = (1 + second) * jnp.tanh(raw[0])
    return jnp.stack([MAX_RADIUS * first, MAX_RADIUS**2 * second])


def raw_feedback(a: Array) -> Array:
    """Inverse of `stable_feedback`, for coefficients of poles within `MAX_RADIUS`."""
    first, second = a[0] / MAX_RADIUS, a[1] / MAX_RADIUS**2
    return jnp.stack([jnp.arctanh(first / (1 + second)), jnp.arctanh(second)])


def pole_radius(a: Array) -> Array:
    """Largest modulus of the poles, the roots of ``z^2 + a1 z + a2``, a scalar.

    Below 1 the filter is stable; at a radius r above 1 its output grows as r^n.
    """
    discriminant = a[0] ** 2 - 4 * a[1]
    root = jnp.sqrt(jnp.maximum(discriminant, 0))
    real = (jnp.abs(a[0]) + root) / 2
    return jnp.where(discriminant < 0, jnp.sqrt(jnp.abs(a[1])), real)
