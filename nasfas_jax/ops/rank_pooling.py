"""Rank pooling: one image whose inner products rank K frames in time (NAS-FAS eq. 7)."""

import typing

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.linalg import cho_factor, cho_solve
from jax.typing import ArrayLike

METHODS = ("ranksvm", "harmonic", "linear")
_MAX_ITERATIONS = 60
_STEPS = 5


def closed_form(length: int, method: str) -> np.ndarray:
    """Weights [K] of the frames in a closed form of rank pooling; their sum is 0.

    'harmonic' is ``sum_{i>j} (S_i - S_j)`` as a sum over frames, one gradient step on
    eq. 7 from zero; 'linear' is the same without the running means.
    """
    slope = 2.0 * np.arange(1, length + 1) - length - 1
    if method == "linear":
        return slope
    return np.cumsum((slope / np.arange(1, length + 1))[::-1])[::-1]


def _pair_steps(length: int) -> np.ndarray:
    """Matrix [P, K - 1] from the steps S_{k+1} - S_k to S_i - S_j of all pairs i > j."""
    pairs = [(i, j) for i in range(length) for j in range(i)]
    steps = np.zeros((len(pairs), length - 1))
    for row, (i, j) in enumerate(pairs):
        steps[row, j:i] = 1
    return steps


class _Active(typing.NamedTuple):
    """Masks [P] of the dual variables of the solution, floats 0 or 1.

    Attributes:
      free: variables between the bounds; the margin of their pair is 1.
      upper: variables at the upper bound, delta; the margin is below 1.
    """

    free: Array
    upper: Array


def _active_set(q: Array, bound: Array) -> _Active:
    """Solves ``max sum(a) - a q a / 2, 0 <= a <= bound`` by an interior point method.

    ``low`` and ``high`` are the bounds' multipliers, ``q a - 1 = low - high``.
    Each step is a Newton step towards ``a low = room high = mu`` with a ten times smaller
    mu, until mu reaches the rounding error of the dtype.
    """
    count = q.shape[0]
    tiny = count * jnp.finfo(q.dtype).eps

    def gaps(state: Array) -> tuple[Array, Array]:
        a, room, low, high = state
        return (a * low + room * high).mean() / 2, 1 - q @ a + low - high

    def unfinished(carry: tuple[Array, Array]) -> Array:
        iteration, state = carry
        mu, residual = gaps(state)
        inexact = (mu > tiny) | (jnp.abs(residual).max() > 10 * tiny)
        return inexact & (iteration < _MAX_ITERATIONS)

    def newton(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        iteration, state = carry
        a, room, low, high = state
        mu, residual = gaps(state)
        mu *= 0.1
        system = q + jnp.diag(low / a + high / room + tiny)
        right = residual + mu / a - low - mu / room + high
        da = cho_solve(cho_factor(system), right)
        change = [da, -da, (mu - low * da) / a - low, (mu + high * da) / room - high]
        change = jnp.stack(change)
        step = 1 / jnp.maximum(1.0, (-change / state).max() / 0.95)
        moved = state + step * change
        # Rounding can make the system of the last steps indefinite, which ends them.
        finite = jnp.isfinite(moved).all()
        iteration = jnp.where(finite, iteration + 1, _MAX_ITERATIONS)
        return iteration, jnp.where(finite, moved, state)

    # ``room``, bound - a, is a variable of its own, since the difference rounds to zero.
    half = jnp.full(count, bound / 2)
    start = jnp.stack([half, half, jnp.ones_like(half), jnp.ones_like(half)])
    _, state = lax.while_loop(unfinished, newton, (jnp.int32(0), start))
    a, room, low, high = state
    free = (a > low) & (room > high)
    return _Active(free.astype(q.dtype), (room <= high).astype(q.dtype))


def _dual(gram: Array, length: int) -> Array:
    """Dual variables a [P] of eq. 7 from the Gram matrix [K - 1, K - 1] of the steps.

    The active set is a constant in derivatives. Given the set, a is the solution of a
    linear system by fixed-point steps ``a + X (1 - q a)``, where X, the inverse, is a
    constant too: derivatives of k + 1 steps are exact to order k.
    """
    pair_steps = jnp.asarray(_pair_steps(length), gram.dtype)
    delta = 2.0 / (length * (length - 1))
    q = pair_steps @ gram @ pair_steps.T
    # Scaled so that the variables and the matrix are of the order of 1.
    largest = lax.stop_gradient(jnp.diag(q).max())
    unit = 1 / jnp.maximum(largest, 1 / delta)
    q, bound = unit * q, delta / unit
    fixed = lax.stop_gradient(q)
    active = _active_set(fixed, lax.stop_gradient(bound))
    free, a = active.free, bound * active.upper
    # Pairs are linearly dependent, so that a is not unique (D is): a small ridge makes the
    # system regular, and repeated steps remove the bias of the ridge.
    ridge = 30 * q.shape[0] * jnp.finfo(q.dtype).eps
    system = jnp.outer(free, free) * fixed + jnp.diag(1 - free + ridge * free)
    inverse = cho_solve(cho_factor(system), jnp.diag(free))
    for _ in range(_STEPS):
        a = a + inverse @ (free * (1 - q @ a))
    return unit * a


def _ranksvm(frames: Array) -> Array:
    """The exact minimizer [D] of eq. 7 for frames [K, D]."""
    length = frames.shape[0]
    counts = jnp.arange(1, length, dtype=frames.dtype)[:, None]
    # Eq. 7 depends on differences only. Relative to the first, equal frames are zero.
    frames = frames - frames[:1]
    # S_{k+1} - S_k, not as a difference of two running means, which loses digits.
    steps = (frames[1:] - jnp.cumsum(frames[:-1], 0) / counts) / (counts + 1)
    gram = jnp.matmul(steps, steps.T, precision=lax.Precision.HIGHEST)
    a = _dual(gram, length)
    weights = a @ jnp.asarray(_pair_steps(length), frames.dtype)
    return jnp.matmul(weights, steps, precision=lax.Precision.HIGHEST)


def rank_pool(frames: Array, method: str = "ranksvm") -> Array:
    """Dynamic image D of K frames: ``D . S_i`` increases with time (NAS-FAS eq. 7).

    With ``S_i`` the mean of the first i frames and ``delta = 2 / (K (K - 1))``:

    * 'ranksvm' minimizes ``|D|^2 / 2 + delta sum_{i>j} xi_ij`` under ``D . (S_i - S_j)
      >= 1 - xi_ij, xi_ij >= 0`` exactly.  The dual, K (K - 1) / 2 variables between 0
      and delta, is solved by an interior point method to the rounding error of the dtype,
      and then as a linear system in the variables between their bounds: the margins
      satisfy the optimality conditions to about 1e-4 in float32.
    * 'harmonic' is ``delta sum_{i>j} (S_i - S_j)``: one gradient step from D = 0, which
      is the exact solution where all margins stay below 1 (little motion, few pixels).
    * 'linear' is ``delta sum_{i>j} (V_i - V_j)`` over the frames V themselves.

    'ranksvm' depends on the scale of the pixels, which is assumed to be 0 to 1 in the
    papers. It is piecewise smooth; derivatives in either mode are those of the piece, to
    third order. The result for a frozen clip is zero.

    Args:
      frames: [..., K, H, W, C], in order of time, K at least 2.
      method: 'ranksvm', 'harmonic' or 'linear'.

    Returns:
      [..., H, W, C].

    Raises:
      ValueError: an unknown method, or fewer than two frames.
    """
    *batch, length, height, width, channels = frames.shape
    _require(method, length)
    flat = frames.reshape(-1, length, height * width * channels)
    if method == "ranksvm":
        pooled = jax.vmap(_ranksvm)(flat)
    else:
        delta = 2.0 / (length * (length - 1))
        weights = jnp.asarray(delta * closed_form(length, method), frames.dtype)
        # Differences to the last frame: equal frames give exact zeros.
        pooled = jnp.einsum(
            "k,nkd->nd", weights, flat - flat[:, -1:], precision=lax.Precision.HIGHEST
        )
    return pooled.reshape(*batch, height, width, channels)


def rank_weights(gram: Array, method: str = "ranksvm") -> Array:
    """Weights [K] of the frames in the `rank_pool` of one clip; their sum is 0.

    The solution of eq. 7 is a weighted sum of the frames whose weights depend on their inner
    products alone, so the pixels need not be transferred to the device.

    Args:
      gram: [K, K], inner products of the frames minus an image common to all (the last
        frame, to keep the digits of small differences), pixels in [0, 1].
      method: see `rank_pool`.

    Raises:
      ValueError: as `rank_pool`.
    """
    length = gram.shape[0]
    _require(method, length)
    if method != "ranksvm":
        delta = 2.0 / (length * (length - 1))
        return jnp.asarray(delta * closed_form(length, method), gram.dtype)
    counts = np.arange(1, length)[:, None]
    # S_{k+1} - S_k in terms of the frames.
    steps = (np.eye(length)[1:] - np.tri(length - 1, length) / counts) / (counts + 1)
    steps = jnp.asarray(steps, gram.dtype)
    exact = lax.Precision.HIGHEST
    small = jnp.matmul(
        jnp.matmul(steps, gram, precision=exact), steps.T, precision=exact
    )
    pair_steps = jnp.asarray(_pair_steps(length), gram.dtype)
    return jnp.matmul(_dual(small, length) @ pair_steps, steps, precision=exact)


def _require(method: str, length: int) -> None:
    if method not in METHODS:
        raise ValueError(f"method: expected one of {METHODS}, got {method!r}.")
    if length < 2:
        raise ValueError(f"frames: expected two or more, got {length}.")


def static_dynamic(
    frames: Array, method: str = "ranksvm", *, peak: ArrayLike | None = None
) -> Array:
    """Static-dynamic image: current frame plus dynamic image, min-max normalized.

    NAS-FAS sec. 3.4. The current frame is the last of the K. Each image is normalized to
    [0, 1] over height, width and channels. For a frozen clip the result is the normalized
    frame, for an image of one value it is zero; values and derivatives are never NaN.

    The paper does not state the units of the dynamic image. The solution of eq. 7 is small
    (about 0.001 in real clips of 256 x 256 pixels, less than one step of an 8-bit image),
    and smaller for more pixels; ``peak`` sets its scale.

    Args:
      frames: [..., K, H, W, C], pixels in [0, 1], with one crop box for all K.
      method: see `rank_pool`.
      peak: largest absolute value of each dynamic image, which is scaled to it before the
        sum, so that motion is visible; None: no scaling.

    Returns:
      [..., H, W, C] in [0, 1].

    Raises:
      ValueError: an unknown method, or fewer than two frames.
    """
    axes = (-3, -2, -1)
    dynamic = rank_pool(frames, method)
    if peak is not None:
        largest = jnp.abs(dynamic).max(axes, keepdims=True)
        dynamic = jnp.asarray(peak, frames.dtype) * dynamic / _or_one(largest)
    image = frames[..., -1, :, :, :] + dynamic
    low = image.min(axes, keepdims=True)
    return (image - low) / _or_one(image.max(axes, keepdims=True) - low)


def _or_one(x: Array) -> Array:
    """``x`` as a divisor: 1 where it is zero."""
    return jnp.where(x > 0, x, jnp.ones_like(x))
