"""Values of theta and lambda: one number, values by layer and channel, or learned.

theta is the share of central differences in a convolution (NAS-FAS eq. 3), lambda that in a
pooling (eq. 6), each from 0 (the plain operator) to 1 (differences only). A value per
channel belongs to the output channels of a convolution and to the channels of a pooling.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax import traverse_util
from flax.core import FrozenDict
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from nasfas_jax import limits
from nasfas_jax.errors import InputError, some

#: Values of one number.
RANGE = limits.Range(0, 1)
#: Initial values of a learned one: the logistic function has no finite inverse at 0 and 1.
INITIAL = limits.Range(0.001, 0.999)
#: What has a learned value of its own.
PER = ("layer", "channel")


@dataclasses.dataclass(frozen=True)
class Learned:
    """theta or lambda as a parameter of each layer, trained with the weights.

    The value is ``sigmoid(logit(initial) + z)``, which lies between 0 and 1, for a parameter
    ``z`` that starts at 0. Weight decay pulls it to ``initial``.

    Attributes:
      initial: value at the start, from 0.001 to 0.999.
      per: 'layer', one value for each layer, or 'channel', one for each of its channels.

    Raises:
      InputError: another value.
    """

    initial: float = 0.7
    per: str = "layer"

    def __post_init__(self):
        limits.require(
            initial=(self.initial, INITIAL), per=(self.per, limits.OneOf(PER))
        )

    def at(self, z: Array) -> Array:
        """The value of a parameter ``z``."""
        start = math.log(self.initial / (1 - self.initial))
        return jax.nn.sigmoid(z + np.asarray(start, z.dtype))


#: What networks and search spaces take: a number, ``{layer: number or numbers}``, `Learned`.
Weight = float | Mapping[str, Any] | Learned


class _Weights(limits.Kind):
    """Range of the values that `parse` accepts, and None."""

    def __contains__(self, value: Any) -> bool:
        try:
            return value is None or parse("value", value) is not None
        except InputError:
            return False


#: Values of a field of a config.
WEIGHTS = _Weights(
    object,
    "a number from 0 to 1, a dict of such numbers or lists of them by layer, a dict of"
    f" 'initial' ({INITIAL}) and 'per' ('layer' or 'channel') for a learned value, or None"
    " for the network's own",
)


def parse(name: str, value: Any) -> Any:
    """Hashable form of a `Weight`.

    Args:
      name: 'theta' or 'lam', for messages.
      value: a `Weight`, or one as `as_json` returns it. A traced value is returned as it is.

    Raises:
      InputError: another value, or a number outside [0, 1].

    >>> parse("theta", {"initial": 0.5, "per": "channel"})
    Learned(initial=0.5, per='channel')
    """
    if isinstance(value, Learned | Tracer):
        return value
    if not isinstance(value, Mapping):
        return _number(
            name,
            value,
            f"{RANGE}, nets.Learned, or {{layer: number or numbers by channel}} for the"
            " layers of nets.layer_channels(net)",
        )
    if value and set(value) <= {"initial", "per"}:
        return Learned(**value)
    layers = {}
    for layer, values in value.items():
        where = f" for the layer {layer!r}"
        if np.ndim(values) == 1:
            layers[layer] = tuple(_number(name, x, f"{RANGE}{where}") for x in values)
        else:
            layers[layer] = _number(name, values, f"{RANGE}, or a list{where}")
    return FrozenDict(layers)


def _number(name: str, value: Any, expected: str) -> float:
    number = value.item() if np.shape(value) == () and hasattr(value, "item") else value
    if number not in RANGE:
        raise InputError(f"expected {expected}, got {value!r}.", field=name)
    return float(number)


def as_json(weight: Any) -> Any:
    """A `Weight` as a JSON value, from which `parse` makes it again."""
    if isinstance(weight, Learned):
        return dataclasses.asdict(weight)
    if isinstance(weight, Mapping):
        return {k: list(v) if np.ndim(v) else v for k, v in weight.items()}
    return weight


def of_layer(name: str, weight: Any, layer: str | None) -> Any:
    """The value of one layer.

    Args:
      name: 'theta' or 'lam', for messages.
      weight: a `Weight`, or arrays by layer.
      layer: name of the layer's module.

    Raises:
      InputError: values by layer without this one.
    """
    if not isinstance(weight, Mapping):
        return weight
    if layer not in weight:
        raise InputError(
            f"expected a value for every layer, got none for {layer!r} (only for"
            f" {some(sorted(weight)) or 'no layer'}). nets.layer_channels(net) lists them.",
            field=name,
        )
    return weight[layer]


def value(
    module: nn.Module, name: str, weight: Any, channels: int, dtype: Any
) -> ArrayLike:
    """The value in a module's call, from a parameter of the module if it is learned.

    Args:
      module: a module inside ``nn.compact``.
      name: 'theta' or 'lam', also the name of the parameter.
      weight: a number, one number per channel, or `Learned`; arrays may be traced.
      channels: number of channels that it belongs to.
      dtype: type of the parameter.

    Returns:
      A scalar or [channels]; a scalar that is not learned as it was given.

    Raises:
      InputError: an array of another shape.
    """
    if isinstance(weight, Learned):
        shape = (channels,) if weight.per == "channel" else ()
        return weight.at(module.param(name, nn.initializers.zeros, shape, dtype))
    if np.shape(weight) not in ((), (channels,)):
        raise InputError(
            f"{name} of the layer {module.name!r}: expected a number or {channels} numbers,"
            f" one per channel, got the shape {np.shape(weight)}."
        )
    return np.asarray(weight) if isinstance(weight, tuple | list) else weight


def learned_values(name: str, weight: Learned, params: Any) -> dict[str, Array]:
    """Values of `Learned` in the parameters of a network, by layer.

    Args:
      name: 'theta' or 'lam'.
      weight: what the network was built with.
      params: parameters of the network or supernet.

    Returns:
      ``{layer: [] or [channels]}``; layers inside others are named ``outer/inner``, and the
      edges of a supernet's cell are stacked.
    """
    flat: dict[str, Any] = traverse_util.flatten_dict(params, sep="/")
    ending = f"/{name}"
    return {
        path.removesuffix(ending): weight.at(z)
        for path, z in flat.items()
        if path.endswith(ending)
    }
