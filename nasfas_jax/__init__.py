"""Face anti-spoofing by searched networks and meta-learning, in JAX.

    import nasfas_jax as nf

    data = nf.open_data("runs/local/data")
    found = nf.search_architecture(data, nf.spaces.get("nas_fas"), target="dom_m")
    model = nf.train(data, found.net, target="dom_m", searched=found.learned)
    evaluated = nf.evaluate(model, data, target="dom_m")
    evaluated.model.save("model")
    nf.load("model").predict("video.mp4")

These names are imported when they are first used. The packages: ``ops`` (operators),
``losses``, ``layers``, ``search`` (spaces, supernet, genotype), ``nets``, ``bilevel``
(derivatives through inner updates), ``methods`` (training and search steps),
``synthetic``, ``data``, ``evaluation``, ``report``, ``runtime``, ``workflows`` and
``commands`` (the ``nasfas`` command line).
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nasfas_jax import bilevel, losses, nets, ops
    from nasfas_jax.search import spaces
    from nasfas_jax.workflows.ablate import ablate
    from nasfas_jax.workflows.checkpoint import (
        list_checkpoints,
        read_checkpoint,
    )
    from nasfas_jax.workflows.compare_maps import compare_layers, compare_maps
    from nasfas_jax.workflows.costs import cost
    from nasfas_jax.workflows.data import open_data
    from nasfas_jax.workflows.doctor import doctor
    from nasfas_jax.workflows.evaluate import evaluate
    from nasfas_jax.workflows.export import open_exported
    from nasfas_jax.workflows.improvement import improvement_over_random
    from nasfas_jax.workflows.instruments import search_health, supernet_ranking
    from nasfas_jax.workflows.model import Model
    from nasfas_jax.workflows.parity import parity
    from nasfas_jax.workflows.plan import plan_search, plan_training
    from nasfas_jax.workflows.responses import feature_responses
    from nasfas_jax.workflows.robustness import robustness
    from nasfas_jax.workflows.search import search_architecture
    from nasfas_jax.workflows.searches import search_several
    from nasfas_jax.workflows.sweep import Setup, sweep
    from nasfas_jax.workflows.train import train
    from nasfas_jax.workflows.zero_cost import zero_cost

#: Module of each name; '' for a package of its own.
_MODULES = {
    "bilevel": "",
    "losses": "",
    "nets": "",
    "ops": "",
    "spaces": "search.spaces",
    "compare_layers": "workflows.compare_maps",
    "compare_maps": "workflows.compare_maps",
    "cost": "workflows.costs",
    "open_data": "workflows.data",
    "search_architecture": "workflows.search",
    "search_health": "workflows.instruments",
    "search_several": "workflows.searches",
    "supernet_ranking": "workflows.instruments",
    "feature_responses": "workflows.responses",
    "improvement_over_random": "workflows.improvement",
    "train": "workflows.train",
    "doctor": "workflows.doctor",
    "list_checkpoints": "workflows.checkpoint",
    "read_checkpoint": "workflows.checkpoint",
    "evaluate": "workflows.evaluate",
    "open_exported": "workflows.export",
    "parity": "workflows.parity",
    "plan_search": "workflows.plan",
    "plan_training": "workflows.plan",
    "ablate": "workflows.ablate",
    "robustness": "workflows.robustness",
    "Setup": "workflows.sweep",
    "sweep": "workflows.sweep",
    "Model": "workflows.model",
    "zero_cost": "workflows.zero_cost",
}

__all__ = [
    "Model",
    "Setup",
    "ablate",
    "bilevel",
    "compare_layers",
    "compare_maps",
    "cost",
    "doctor",
    "evaluate",
    "feature_responses",
    "improvement_over_random",
    "list_checkpoints",
    "load",
    "losses",
    "nets",
    "open_data",
    "open_exported",
    "ops",
    "parity",
    "plan_search",
    "plan_training",
    "read_checkpoint",
    "robustness",
    "search_architecture",
    "search_health",
    "search_several",
    "spaces",
    "supernet_ranking",
    "sweep",
    "train",
    "zero_cost",
]


def load(folder: str | os.PathLike) -> "Model":
    """Loads a model that `Model.save` wrote.

    Raises:
      InputError: no model there, or one that is changed, truncated or of a newer format.
    """
    return importlib.import_module(f"{__name__}.workflows.model").Model.load(folder)


def __getattr__(name: str) -> Any:
    """Imports a public name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    where = _MODULES[name]
    if not where.startswith("workflows."):
        return importlib.import_module(f"{__name__}.{where or name}")
    return getattr(importlib.import_module(f"{__name__}.{where}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
