"""The trials of NAS-FAS by name: search space, its options, and input.

S or SD: static or static-dynamic input. Baseline space (sec. 4.2): Van or CD operations, CE
(cross entropy of one probability) or DP (DeepPixel, a binary map). FAS space (sec. 4.3): Van
or CD convolutions, Max or CDP pooling, Att for spatial attention.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from nasfas_jax import limits
from nasfas_jax.errors import InputError
from nasfas_jax.search import spaces


@dataclasses.dataclass(frozen=True)
class Trial:
    """A search space and the batches to search and train on.

    Attributes:
      space: the search space; its ``loss`` is the trial's.
      view: fields ``input`` and ``target`` of `data.loading.views.View`.
    """

    space: Any
    view: Mapping[str, str]


INPUTS = {"S": "static", "SD": "static_dynamic"}
_BASELINE = {
    f"{source}-{kind}-{loss}": (
        source,
        "nas_baseline",
        {
            "operation_space": "vanilla" if kind == "Van" else "cd",
            "head": "scalar" if loss == "CE" else "map",
        },
    )
    for source in INPUTS
    for kind in ("Van", "CD")
    for loss in ("CE", "DP")
}
_FAS = {
    f"{source}-{variant}": (
        source,
        "nas_fas",
        {
            "convolution": "conv" if variant.startswith("Van") else "cdc",
            "pool": "cdp" if "CDP" in variant else "max",
            "attention": variant.endswith("Att"),
        },
    )
    for source in INPUTS
    for variant in ("Van-Max", "CD-Max", "CD-CDP", "CD-Max-Att", "CD-CDP-Att")
}
#: Input, space and its options by the paper's name: eight of the baseline space, ten of the
#: FAS space.
TRIALS = {**_BASELINE, **_FAS}


def get(name: str, **options: Any) -> Trial:
    """A trial by the paper's name.

    Args:
      name: a key of `TRIALS`.
      **options: further options of the search space, as ``channels``.

    Raises:
      InputError: no such trial (the message suggests similar names), no such option, or
        another value of an option that the trial fixes.

    >>> trial = get("S-CD-CDP-Att", channels=16)
    >>> trial.space.title, trial.view["input"]
    ('nas_fas, CD-CDP-Att', 'static')
    """
    limits.require(name=(name, limits.OneOf(TRIALS)))
    source, space, own = TRIALS[name]
    for option, value in own.items():
        if options.get(option, value) != value:
            raise InputError(
                f"expected {value!r}, which the trial {name} stands for, or nothing, got"
                f" {options[option]!r}.",
                field=option,
            )
    chosen = spaces.get(space, **{**options, **own})
    return Trial(chosen, {"input": INPUTS[source], "target": chosen.target})
