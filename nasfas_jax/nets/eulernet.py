"""EulerNet: attention from filters over time, and a residual pyramid (EulerNet sec. II)."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from nasfas_jax import limits, losses, ops
from nasfas_jax.errors import InputError
from nasfas_jax.layers import (
    WIDTHS,
    ConvBlock,
    at_least_float32,
    kept,
    kernel_init,
    map_init,
)
from nasfas_jax.nets.scores import SCORES

FILTERS = ("stable", "free")
MERGES = ("mean", "last")
#: Collection with the states of the filters of a stream, see `stream`.
STATES = "filters"


def _feedback_init(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """Uniform feedback coefficients, within the range where every filter is stable."""
    return jax.random.uniform(key, shape, dtype, -0.49, 0.49)


def _raw_init(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    return ops.raw_feedback(_feedback_init(key, shape, dtype))


def _feedforward_init(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    return jax.random.uniform(key, shape, dtype, -1.0, 1.0)


class FCAM(nn.Module):
    """Feature-compressed attention module (EulerNet figure 3).

    ``x * sigmoid(biquad(conv(x)))``: a 3 x 3 convolution to one channel, a recursive filter
    over time whose five coefficients are shared by all pixels, and a gate on all channels.

    Attributes:
      filters: 'stable' keeps the poles within the unit circle (`ops.stable_feedback`);
        'free' trains the coefficients themselves, as the paper does.
    """

    filters: str = "stable"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[N, T, H, W, C] to the same shape.

        In a mutable collection ``filters``, the filter goes on from the state that it holds
        and leaves its last state there.
        """
        wide = at_least_float32(x)
        kernel = self.param("kernel", kernel_init, (3, 3, x.shape[-1], 1), wide)
        bias = self.param("bias", nn.initializers.zeros, (), wide)
        b = self.param("b", _feedforward_init, (3,), wide)
        if self.filters == "free":
            a = self.param("a", _feedback_init, (2,), wide)
        else:
            a = ops.stable_feedback(self.param("poles", _raw_init, (2,), wide))
        flat = x.reshape(-1, *x.shape[2:])
        signal = kept(ops.convolve_to_one(flat, kernel.astype(x.dtype)))
        signal = signal.astype(wide) + bias
        signal = signal.reshape(*x.shape[:-1], 1)
        if self.is_mutable_collection(STATES) and not self.is_initializing():
            zero = jnp.zeros_like(signal[:, 0])
            state = self.variable(STATES, "state", lambda: (zero, zero))
            filtered, state.value = ops.biquad_stream(signal, b, a, state.value)
        else:
            filtered = ops.biquad(signal, b, a)
        return x * nn.sigmoid(filtered).astype(x.dtype)


class EulerNet(nn.Module):
    """EulerNet: the location map of a face from the frames of a clip.

    Four resolutions S, S/2, S/4 and S/8, with 3 x 3 max pooling at stride 2 between them.
    A unit is a 3 x 3 convolution with BatchNorm and ReLU, followed by `FCAM`. (The paper
    draws FCAMs alone, which cannot change the number of channels.) The last features of the
    three lower resolutions enter the residual pyramid (eq. 4 to 6); further units and a
    3 x 3 convolution with a ReLU give a map for each frame. The score is the mean of
    the map, or that of its squares.

    The paper leaves open channels, normalization, merging and the score; the defaults here
    are choices of this library.

    Attributes:
      fcam: whether units have an `FCAM` (without: Table I, Compare 4).
      pyramid: whether the pyramid takes residuals; otherwise the three levels are resized
        and concatenated (Compare 3).
      filters: 'stable' or 'free', see `FCAM`.
      merge: map of a clip, 'mean' over the maps of its frames or that of the 'last' frame,
        the current one.
      score: rule of the score, see `nets.score`.
      stem: channels at resolution S.
      channels: channels at the lower resolutions; one number, since the pyramid subtracts
        levels.
      head: channels after the pyramid.
      units: numbers of units at the four resolutions and after the pyramid.
      width: multiplier of all channels, 1/64 or more.
      map_size: side of the predicted map, in pixels; 32 for S = 256 in the paper, where no
        level is resized but by the pyramid.

    Raises:
      InputError: a value out of range.
    """

    fcam: bool = True
    pyramid: bool = True
    filters: str = "stable"
    merge: str = "mean"
    score: str = "mean"
    stem: int = 32
    channels: int = 64
    head: int = 64
    units: tuple[int, ...] = (4, 3, 3, 1, 2)
    width: float = 1.0
    map_size: int = 32

    takes_frames = True
    target = "location"
    optimizer = "ranger"
    loss = staticmethod(losses.pixel_mse)

    def __post_init__(self):
        object.__setattr__(self, "units", tuple(self.units))
        if len(self.units) != 5:
            raise InputError(
                "expected 5 numbers, at the four resolutions and after the pyramid,"
                f" got {len(self.units)}.",
                field="units",
            )
        counts = {f"units[{i}]": (n, limits.COUNT) for i, n in enumerate(self.units)}
        limits.require(
            fcam=(self.fcam, limits.FLAG),
            pyramid=(self.pyramid, limits.FLAG),
            filters=(self.filters, limits.OneOf(FILTERS)),
            merge=(self.merge, limits.OneOf(MERGES)),
            score=(self.score, limits.OneOf(SCORES)),
            stem=(self.stem, limits.COUNT),
            channels=(self.channels, limits.COUNT),
            head=(self.head, limits.COUNT),
            width=(self.width, WIDTHS),
            map_size=(self.map_size, limits.COUNT),
            **counts,
        )
        super().__post_init__()

    @property
    def depths(self) -> dict[str, str]:
        """Names of the four layers of figure 8, with its headings."""
        last = np.cumsum(self.units) - 1  # of each resolution and after the pyramid
        kind, before = ("FCAM", 0) if self.fcam else ("ConvBlock", 2 * self.pyramid)
        numbers = [*last[1:4], last[4] + before]
        headings = ("pool 1", "pool 2", "pool 3", "fusion")
        return {f"{kind}_{n}": one for n, one in zip(numbers, headings, strict=True)}

    @nn.compact
    def __call__(self, x: Array, *, train: bool, merged: bool = True) -> Array:
        """Predicts the location map of clips.

        Args:
          x: [N, T, S, S, C], pixels in [-1, 1], the current frame last.
          train: whether BatchNorm uses the batch, and updates ``batch_stats``.
          merged: whether the maps of a clip's frames are merged.

        Returns:
          [N, map_size, map_size], not negative; [N, T, map_size, map_size] if not merged.

        Raises:
          InputError: an input that is not clips.
        """
        if x.ndim != 5:
            raise InputError(
                f"expected clips [N, T, S, S, C] for EulerNet, got {list(x.shape)}.",
                field="x",
            )
        clips = x.shape[:2]

        def conv(x: Array, features: int, **settings: Any) -> Array:
            # Joined pixels are measured for predictions alone.
            block = ConvBlock(features, joined=not train, **settings)
            return block(x, theta=0.0, train=train)

        def units(x: Array, level: int, features: int) -> Array:
            for _ in range(self.units[level]):
                x = conv(x, max(1, int(features * self.width)))
                if self.fcam:
                    x = FCAM(self.filters)(x.reshape(*clips, *x.shape[1:]))
                    x = x.reshape(-1, *x.shape[2:])
            return x

        x = units(x.reshape(-1, *x.shape[2:]), 0, self.stem)
        levels = []
        for level in (1, 2, 3):
            x = units(ops.max_pool(x), level, self.channels)
            levels.append(x)
        first, second, third = levels
        if self.pyramid:
            features = third.shape[-1]
            first = conv(first - ops.resize(second, first.shape[1:3]), features)
            second = conv(second - ops.resize(third, second.shape[1:3]), features)
        levels = [_to_side(level, self.map_size) for level in (first, second, third)]
        x = units(jnp.concatenate(levels, -1), 4, self.head)
        maps = conv(x, 1, bn=False, kernel_init=map_init)[..., 0]
        maps = maps.reshape(*clips, *maps.shape[1:])
        if not merged:
            return maps
        return maps.mean(1) if self.merge == "mean" else maps[:, -1]


def _to_side(x: Array, side: int) -> Array:
    """Resized to a side: means of blocks where it divides, bilinear otherwise."""
    height, width = x.shape[1:3]
    if height > side and not height % side and not width % side:
        return ops.average_to(x, (side, side))
    return ops.resize(x, side)


def stream(
    net: EulerNet, variables: Mapping[str, Any], frames: Array, state: Any = None
) -> tuple[Array, Any]:
    """Maps of the next frames of a stream, for frames that arrive one at a time.

    Blocks of any length give the maps that the whole sequence gives in one call.

    Under `jax.jit` maps are traced and not checked: apply `require_finite` to what the
    compiled function returns.

    Args:
      net: the network.
      variables: ``params`` and ``batch_stats``.
      frames: the next frames [N, T, S, S, C], of one size in all calls.
      state: state after the frames before; None at the start.

    Returns:
      (maps [N, T, map_size, map_size], state after these frames).

    Raises:
      InputError: maps that are not finite, with the unstable filters.
    """
    given = {**variables, **({} if state is None else {STATES: state})}
    maps, new = net.apply(given, frames, train=False, merged=False, mutable=[STATES])
    if not isinstance(maps, Tracer):
        require_finite(maps, variables["params"])
    return maps, new.get(STATES)


def require_finite(maps: Array | np.ndarray, params: Mapping[str, Any]) -> None:
    """Requires finite maps of a network.

    Args:
      maps: predicted maps.
      params: parameters of the network, in which unstable filters are looked for.

    Raises:
      InputError: NaN or infinity, with the `unstable_filters`.
    """
    if np.isfinite(maps).all():
        return
    unstable = unstable_filters(params)
    filters = f" Unstable filters, with pole radii: {unstable}." if unstable else ""
    stable = f", with filters={'stable'!r}" if unstable else ""
    raise InputError(
        "maps: expected finite values, got NaN or infinity from the network."
        f"{filters} Check the images, or train again at a lower learning rate{stable}."
    )


def unstable_filters(params: Mapping[str, Any]) -> dict[str, float]:
    """Pole radii of the free filters that are unstable, by layer; see `ops.pole_radius`.

    The output of an unstable filter grows without bound on long streams. Over a few frames
    the growth is negligible.
    """
    radii = {
        name: float(ops.pole_radius(jnp.asarray(np.asarray(layer["a"]))))
        for name, layer in params.items()
        if isinstance(layer, Mapping) and layer.keys() >= {"a", "b"}
    }
    return {name: radius for name, radius in radii.items() if not radius < 1}
