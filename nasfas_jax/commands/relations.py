"""Relations between fields of a config, checked after the fields themselves.

A config is given as dicts; a rule applies where the sections that it relates are present.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from nasfas_jax import limits
from nasfas_jax.errors import InputError


def dataset(settings: dict[str, Any]) -> Any:
    """The value of config.data.dataset; None if there is none."""
    data = settings.get("data")
    return data.get("dataset") if isinstance(data, dict) else None


def search_rules(settings: dict, names: Iterable[str]) -> Iterator[str]:
    """Relations of the section ``search``."""
    del names
    if (search := settings.get("search")) is None:
        return
    if search["alphas_from"] >= search["steps"]:
        yield (
            "config.search.alphas_from: expected less than config.search.steps, "
            f"{search['steps']}, or the alphas stay random, got {search['alphas_from']}."
        )
    exact_from = search.get("exact_from", 0)
    if exact_from and exact_from >= search["steps"]:
        yield (
            "config.search.exact_from: expected less than config.search.steps, "
            f"{search['steps']}, or all steps are of first order, got {exact_from}."
        )
    orders = {search.get("weight_order"), search["arch_order"]}
    if exact_from and orders == {"first"}:
        yield (
            "config.search.exact_from: expected 0 where weight_order and arch_order are"
            f" 'first', since all steps are of first order, got {exact_from}."
        )
    if search["arch_order"] == "second" and search.get("method") == "darts":
        yield (
            "config.search.arch_order: expected 'first' or 'exact' for the method 'darts',"
            " whose eq. 11 has no third derivative, got 'second'."
        )
    if search["arch_order"] != "first" and not search["eps_root"]:
        yield (
            "config.search.eps_root: expected a number above 0 where arch_order is not "
            "'first', since Adam's root has no derivative at 0, got 0; 1e-8 is usual."
        )
    from nasfas_jax.search import spaces

    try:
        spaces.get(search["space"], **search["space_options"])
    except InputError as error:
        yield str(error.renamed(f"config.search.space_options.{error.field}"))


def network_rules(settings: dict, names: Iterable[str]) -> Iterator[str]:
    """Requirements of the networks on other sections."""
    from nasfas_jax import nets
    from nasfas_jax.workflows import registry

    for name in names:
        if name in registry.FEATURE_METHODS:
            yield from _feature_rules(settings, name)
        if registry.random_seed(name) is not None and "search" not in settings:
            yield (
                f"config.search: this section is missing, and {name} is an architecture"
                " of its space; configs/synthetic.py has one to copy."
            )
        train = settings.get("train", {})
        own = hasattr(getattr(nets.MODULES.get(name), "module", None), "loss")
        compares = train.get("loss", "" if own else "depth") == "depth"
        if name in nets.MODULES and compares and train.get("map_size", 3) < 3:
            yield (
                f"config.train.map_size: expected 3 or more for {name}, whose loss compares"
                f" neighboring pixels, got {train['map_size']}."
            )
        if name in nets.MODULES and "loss" in train:
            try:
                module = getattr(nets.MODULES[name], "module", None)
                registry.require_probabilities(train["loss"], module, name)
            except InputError as error:
                yield str(error.renamed(f"config.train.{error.field}"))
        view = train.get("view")
        takes_frames = registry.takes_frames(name)
        if view and takes_frames != (view["input"] == "frames"):
            error = registry.wrong_input(name, takes_frames, view["input"])
            yield str(error.renamed(f"config.train.{error.field}"))
        kept = settings.get("data", {}).get("keep_frames", False)
        if takes_frames and "data" in settings and not kept:
            yield (
                f"config.data.keep_frames: expected True for {name}, whose input is the"
                f" frames of a clip, got {kept}."
            )
        if name in registry.HAND_CRAFTED and view:
            pixels = view.get("pixels", "signed")
            wanted = "frames" if takes_frames else "static"
            seen = view["input"] == wanted and view["color"].startswith("rgb")
            if not seen or pixels != "signed":
                yield (
                    f"config.train.view: {name} describes the face as it was filmed; "
                    f"expected input {wanted!r}, color 'rgb' or 'rgb_hsv' and pixels "
                    f"'signed', got input {view['input']!r}, color {view['color']!r} and "
                    f"pixels {pixels!r}."
                )


def _feature_rules(settings: dict, name: str) -> Iterator[str]:
    """Requirements of a method that trains RFMeta's networks on other sections."""
    if "meta" not in settings:
        yield (
            f"config.meta: this section is missing, and {name} needs its rates and "
            "weights; --config=configs/rfmeta.py has it."
        )
    if {"data", "train"} <= set(settings):
        size = settings["data"]["image_size"]
        yield from _feature_sizes(settings, name, "data", size)


def _feature_sizes(settings: dict, name: str, section: str, size: int) -> Iterator[str]:
    from nasfas_jax.workflows import registry

    try:
        registry.require_sizes(name, size, settings["train"]["map_size"])
    except InputError as error:
        of = section if error.field == "image_size" else "train"
        yield str(error.renamed(f"config.{of}.{error.field}"))


def metagrad_rules(settings: dict, names: Iterable[str]) -> Iterator[str]:
    """Relations of the section ``metagrad``, which measures RFMeta without ``search``."""
    del names
    if (metagrad := settings.get("metagrad")) is None:
        return
    from nasfas_jax.benchmarks import instrument

    for field in ("modes", "sweep_modes"):
        if instrument.REFERENCE not in metagrad[field]:
            yield (
                f"config.metagrad.{field}: expected {instrument.REFERENCE!r} among them, "
                f"the mode that others are compared with, got {metagrad[field]}."
            )
    if "search" not in settings and "train" in settings:
        size = metagrad["image_size"]
        yield from _feature_sizes(settings, "rfmeta", "metagrad", size)


def data_rules(settings: dict, names: Iterable[str]) -> Iterator[str]:
    """Names of protocols and domains, and the length of synthetic videos."""
    del names
    from nasfas_jax.data import protocols

    protocol = settings.get("protocol")
    searched = settings.get("search", {}).get("protocol")
    for field, name in {"protocol": protocol, "search.protocol": searched}.items():
        if name:
            try:
                protocols.get(name)
            except InputError as error:
                yield f"config.{field}: {error}"
    if dataset(settings) != "synthetic":
        return
    if "synthetic" in settings:
        yield from video_rules(settings, "synthetic")
    from nasfas_jax.synthetic import DOMAINS

    targets = {"target_domain": [settings["target_domain"]]}
    targets["sweep.targets"] = settings.get("sweep", {}).get("targets", ())
    for field, found in targets.items():
        for domain in found:
            known = domain in ("", *DOMAINS, *protocols.PROTOCOLS, *protocols.FOLDS)
            if not protocol and not known:
                yield f"config.{field}: {limits.mismatch(domain, limits.OneOf(DOMAINS))}"


def video_rules(settings: Any, section: str) -> Iterator[str]:
    """Length of the synthetic videos that a section describes."""
    frames, data = settings[section]["frames"], settings["data"]
    span = (data["frames"] - 1) * data.get("interval", 1) + 1
    if frames < span:
        yield (
            f"config.{section}.frames: expected the span of a clip of config.data.frames"
            f" at config.data.interval or more, {span} frames, got {frames}."
        )


#: Each takes the settings and the networks and gives a sentence for each violation.
RULES = (
    data_rules,
    search_rules,
    network_rules,
    metagrad_rules,
)
