"""Objects described by a config, and paths of the files of a run."""

import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from nasfas_jax import files, limits, nets
from nasfas_jax.data.loading import pipeline, prepared
from nasfas_jax.data.preparation import faces
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError, renaming
from nasfas_jax.nets.depthnet import VARIANTS
from nasfas_jax.search import spaces, trials
from nasfas_jax.search.space import SearchSpace
from nasfas_jax.workflows import data as workflow
from nasfas_jax.workflows import registry

WORKDIR = "runs/local"

Path = str | pathlib.Path


def data_folder(workdir: Path, data_dir: Path | None) -> pathlib.Path:
    """Folder of the prepared data."""
    return pathlib.Path(data_dir or pathlib.Path(workdir) / "data")


def genotype_file(workdir: Path, genotype: Path | None) -> pathlib.Path:
    """File of the found architecture."""
    return pathlib.Path(genotype or pathlib.Path(workdir) / "search" / "genotype.json")


def make_folder(folder: Path, flag: str = "--workdir") -> pathlib.Path:
    """Makes a folder, named by a flag, where it is missing.

    Raises:
      InputError: it cannot be made.
    """
    folder = pathlib.Path(folder)
    with files.writing(folder, f"Give another {flag}."):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def number(name: str, text: str | float) -> float:
    """The number in the text of a flag.

    Raises:
      InputError: there is none.
    """
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise InputError(f"expected a number, got {text!r}.", field=name) from None


def recipe(config: Any) -> Recipe:
    """Preparation recipe of a config."""
    data = config.data
    return Recipe(
        image_size=data.image_size,
        frames=data.frames,
        clips_per_video=data.clips_per_video,
        sampling=data.sampling,
        eval_sampling=data.eval_sampling,
        margin=data.margin,
        align=data.align,
        method=data.method,
        peak=data.peak,
        interval=data.get("interval", 1),
        keep_frames=data.get("keep_frames", False),
    )


def view(config: Any) -> pipeline.View:
    """View of the records, and map to predict, of a config."""
    train = config.train
    return pipeline.View(**train.view.to_dict(), map_size=train.map_size)


def options(config: Any, name: str) -> dict[str, Any]:
    """Attributes of a network that the config sets."""
    if name == "eulernet":
        found = config.get("eulernet", {})
        return {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}
    convolution = config.train.get("convolution")
    return {"convolution": convolution} if convolution and name in VARIANTS else {}


def detector(face_model: Path | None) -> faces.Detector | None:
    """The face detector of ``--face_model``; None for the default."""
    return faces.YuNet(str(face_model)) if face_model else None


def target(config: Any) -> str:
    """The domain held out; '' where a protocol decides what is tested."""
    return "" if config.get("protocol") else config.target_domain


def names(config: Any, section: str) -> Mapping[str, str]:
    """Names of a section's fields, for `errors.renaming`."""
    own = {key: f"config.{section}.{key}" for key in config[section]}
    return own | {"seed": "config.seed", "view.input": f"config.{section}.view.input"}


def networks(config: Any, network: str | None) -> list[str]:
    """``network``, or all of config.networks if it is None."""
    return [network] if network else list(config.networks)


def open_data(config: Any, folder: pathlib.Path) -> prepared.Prepared:
    """The prepared data, in the splits of config.protocol if there is one."""
    names = ("image_size", "frames", "interval", "peak")
    made_by = recipe(config)
    expected = {name: getattr(made_by, name) for name in names}
    return workflow.open_data(folder, config.get("protocol") or "", **expected)


def describe(
    config: Any,
    name: str,
    domains: int | None = None,
    genotype_file: pathlib.Path | None = None,
) -> dict[str, Any]:
    """The description of a network or method, trained on a number of domains.

    Raises:
      InputError: an unknown name, or a genotype file that does not fit.
    """
    train = config.train
    if (seed := registry.random_seed(name)) is not None:
        drawn = nets.SearchedNet(space(config.search).sample(seed))
        description = nets.description_of(drawn) | {"network": name}
    else:
        description = registry.describe(
            name,
            width=train.width,
            map_size=train.map_size,
            theta=train.get("theta"),
            lam=train.get("lam"),
            genotype_file=genotype_file,
            domains=domains,
            rates=config.meta.to_dict() if name in registry.FEATURE_METHODS else None,
            options=options(config, name),
        )
    if train.get("macs") is None or "network" not in description:
        return description
    registry.require_input(description, view(config))
    shape = (1, *view(config).input_shape(recipe(config)))
    with renaming({"macs": "config.train.macs", "net": "config.train.macs"}):
        return json.loads(_at_budget(json.dumps(description), train.macs, shape))


@functools.cache
def _at_budget(description: str, macs: float, input_shape: tuple[int, ...]) -> str:
    """The description of a network at the width for a budget of multiply-adds."""
    given = json.loads(description)
    net = nets.with_macs(nets.from_description(given), macs, input_shape)
    found = nets.description_of(
        net
    )  # its name may differ: CDN with theta 0 is DepthNet
    return json.dumps(
        given | {k: found[k] for k in ("width", "genotype") if k in found}
    )


def space(search: Any) -> SearchSpace:
    """The search space of ``config.search``; a trial replaces the options that it fixes.

    Raises:
      InputError: a wrong option, or a trial of another space.
    """
    if not (trial := search.get("trial")):
        return spaces.get(search.space, **search.space_options)
    limits.require(**{"config.search.trial": (trial, limits.OneOf(trials.TRIALS))})
    _, name, fixed = trials.TRIALS[trial]
    if name != search.space:
        variant = "local" if name == "nas_fas" else "baseline"
        raise InputError(
            f"{trial!r} is a trial of {name!r}, got the space {search.space!r} and its"
            f" options; use a config of that space, as --config=synthetic:{variant}.",
            field="config.search.trial",
        )
    own = {k: v for k, v in search.space_options.items() if k not in fixed}
    return trials.get(trial, **own).space
