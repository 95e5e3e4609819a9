"""Networks and methods of a run: `workflows.registry` with the settings of a config."""

import json
import pathlib
from typing import Any

import optax

from nasfas_jax.commands.run import Run
from nasfas_jax.errors import InputError
from nasfas_jax.methods.state import adam, schedule
from nasfas_jax.workflows import registry
from nasfas_jax.workflows.registry import FEATURE_METHODS, NAMES

__all__ = ["FEATURE_METHODS", "NAMES", "describe", "make_method", "make_optimizer"]


def describe(run: Run, name: str, domains: int | None = None) -> dict:
    """The description of a network or method, trained on a number of domains.

    Raises:
      InputError: an unknown name, or a genotype file that does not fit.
    """
    config = run.config.train
    return registry.describe(
        name,
        width=config.width,
        map_size=config.map_size,
        theta=config.get("theta"),
        lam=config.get("lam"),
        genotype_file=run.genotype_file,
        domains=domains,
        rates=run.config.meta.to_dict() if name in FEATURE_METHODS else None,
    )


def make_optimizer(config: Any) -> optax.GradientTransformation:
    """The optimizer of ``config.train``."""
    learning_rate = schedule(config.decay, config.learning_rate, steps=config.steps)
    return adam(learning_rate, weight_decay=config.weight_decay)


def make_method(config: Any, description: dict) -> Any:
    """The method of a description, with the optimizer of ``config.train``."""
    return registry.make_method(description, make_optimizer(config))


def read(path: pathlib.Path) -> dict:
    """The description in a ``network.json`` that `nasfas train` wrote.

    Raises:
      InputError: no such file, or not one that `nasfas train` wrote.
    """
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        registry.make_method(description, optax.identity())
    except FileNotFoundError:
        raise InputError(
            f"There is no trained network at {path.parent}: {path} is "
            "missing. Train it first: nasfas train --network=NAME with this --workdir."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} does not describe a network ({error!r}); `nasfas train` writes it."
        ) from None
    return description
