r"""Ablations on the synthetic set: each variant is a sweep, one table.

    nasfas sweep --config=configs/ablations.py:inputs --workdir=runs/inputs

    inputs       NAS-FAS figure 9b: static, dynamic, static-dynamic, both concatenated
    operators    figure 9c: CDN with the convolutions of other works in place of CDC
    differences  DepthNet, and CDN with max pooling and with CDP: three seeds, four targets
    components   figure 10 and sec. 4.3: the ten trials of the FAS space, each searched
    trials       sec. 4.2: the eight trials of the baseline space, each searched
    improvement  figure 11: searches in four spaces beside random architectures
    supervision  Auto-FAS Table 3: one probability or a pixel map, each searched
    efficiency   Auto-FAS Table 4: ResNet-18, the depth network, and a search

They are sized for two CPU cores: faces of 32 pixels (trials: 40, so that their maps are
larger than one pixel), narrow networks, searches of first order but those of Auto-FAS, and
without a cost term.
`--config.sweep.seeds='(0, 1, 2)'` repeats them; `--data_dir=FOLDER` shares prepared data.
"""

import ml_collections

from nasfas_jax import limits
from nasfas_jax.commands import fields

#: Shares of differences, or of attention: the best of the papers.
OPERATORS = {
    "convolution": {"theta": 0.0},
    "CDC": {"theta": 0.7},
    "LBConv": {"convolution": "lbconv"},
    "GaborConv": {"convolution": "gaborconv"},
    "SelfConv": {"convolution": "selfconv", "theta": 0.2},
}


def get_config(variant: str = "inputs") -> ml_collections.ConfigDict:
    """The settings of a variant, with ``_smoke`` after its name in seconds."""
    name = variant.removesuffix("_smoke")
    limits.require(variant=(name, limits.OneOf(VARIANTS)))
    smoke = variant != name
    config = _base(smoke)
    VARIANTS[name](config)
    if smoke:  # an exact step in a space of cells takes minutes to compile
        config.search.arch_order = "first"
    return config


def _base(smoke: bool) -> ml_collections.ConfigDict:
    config = fields.beside(__file__, "synthetic.py:" + ("smoke" if smoke else "local"))
    config.selected_on = "nothing"
    config.search.update(weight_order="first", arch_order="first", cost_weight=0.0)
    if not smoke:
        config.search.input = config.train.view.input = "static_dynamic"
        config.train.update(macs=None, steps=600, save_every=200)
        config.search.update(steps=300, alphas_from=60, save_every=100, log_every=10)
    config.sweep = ml_collections.ConfigDict(
        {"seeds": (0,), "targets": ("dom_m",), "metrics": ("acer", "hter", "auc")}
    )
    return config


def inputs(config: ml_collections.ConfigDict) -> None:
    """CDN on each input."""
    config.title = "Inputs (NAS-FAS figure 9b)"
    config.networks = ("cdn",)
    names = ("static", "dynamic", "static_dynamic", "concatenated")
    config.sweep.variants = {n: {"train": {"view": {"input": n}}} for n in names}


def operators(config: ml_collections.ConfigDict) -> None:
    """A network with max pooling and each convolution."""
    config.title = "Operators (NAS-FAS figure 9c)"
    config.networks = ("cdn_cdc",)
    config.train.convolution = "cdc"
    config.sweep.variants = {name: {"train": own} for name, own in OPERATORS.items()}


def differences(config: ml_collections.ConfigDict) -> None:
    """Vanilla convolution, CDC, and CDC with CDP, in networks of one size."""
    config.title = "Central differences in convolution and pooling"
    config.networks = ("depthnet", "cdn_cdc", "cdn")
    domains = ("dom_o", "dom_c", "dom_i", "dom_m")
    config.sweep.update(seeds=(0, 1, 2), targets=domains)


def components(config: ml_collections.ConfigDict) -> None:
    """The trials of the FAS space."""
    config.title = "Components of the FAS space (NAS-FAS figure 10)"
    config.networks = ("searched",)
    config.sweep.variants = _trials("nas_fas")


def trials(config: ml_collections.ConfigDict) -> None:
    """The trials of the baseline space."""
    _baseline(config)
    config.title = "Trials of the baseline space (NAS-FAS sec. 4.2)"
    config.search.trial = "SD-CD-DP"
    if config.data.image_size == 32:  # halved five times: CE and DP would be the same
        config.data.image_size = config.synthetic.face_size = 40
    config.sweep.variants = _trials("nas_baseline")


def improvement(config: ml_collections.ConfigDict) -> None:
    """Searches in the spaces of NAS-FAS beside random architectures (figure 11).

    'NAS' is on random halves, 'D' and 'D-Meta' on domains, the latter by Meta-NAS.
    """
    components = config.search.to_dict()
    _baseline(config)
    config.title = "Searched beside random architectures (NAS-FAS figure 11)"
    config.search.trial = "SD-CD-DP"
    spaces = {
        "Van-Baseline": ("SD-Van-DP", config.search.to_dict()),
        "CD-Baseline": ("SD-CD-DP", config.search.to_dict()),
        "Van-FAS": ("SD-Van-Max", components),
        "CD-FAS": ("SD-CD-CDP-Att", components),
    }
    methods = {
        "NAS": {"method": "darts", "by": "half"},
        "random": {"method": "random", "by": "half"},
        "D": {"method": "darts", "by": "domain"},
        "D-Meta": {"method": "meta_nas", "by": "domain"},
    }
    found, random = {}, {}
    for space, (trial, search) in spaces.items():
        for method, own in methods.items():
            if space.startswith("CD") or method in ("NAS", "random"):
                found[f"{space} {method}"] = fields.searched(trial, {**search, **own})
                random[f"{space} {method}"] = f"{space} random"
    config.sweep.variants = found
    config.sweep.random = {k: v for k, v in random.items() if k != v}
    config.search.space_options = ml_collections.ConfigDict()  # those of each variant


def supervision(config: ml_collections.ConfigDict) -> None:
    """Auto-FAS with one probability, or with a map of them.

    Its search is of second order, with the rates of the other searches here: those of the
    paper are for batches of 256, and at 0.05 momentum SGD learns nothing from 4 clips.
    """
    _baseline(config)
    config.title = "Supervision (Auto-FAS Table 3)"
    config.search.space = "auto_fas"
    config.search.space_options = {
        "head": "map",
        "stem_channels": (8, 8),
        "channels": 4,
        "partial": 4,
        "map_size": 8,
    }
    config.search.arch_order = "exact"
    config.search.input = "static"
    config.train.view.input = "static"
    heads = {"one probability": "scalar", "pixel map": "map"}
    config.sweep.variants = {
        name: {"search": {"space_options": {"head": head}}}
        for name, head in heads.items()
    }


def efficiency(config: ml_collections.ConfigDict) -> None:
    """Auto-FAS beside two networks; `nasfas cost` has their sizes and latencies."""
    supervision(config)
    config.title = "Efficiency (Auto-FAS Table 4)"
    depth = {"target": "depth"}
    config.sweep.variants = {
        "ResNet-18": {"networks": ("resnet18",), "train": {"map_size": 1}},
        "Auxiliary (Depth)": {"networks": ("auxiliary",), "train": {"view": depth}},
        "Auto-FAS": {"networks": ("searched",)},
    }


def _baseline(config: ml_collections.ConfigDict) -> None:
    config.networks = ("searched",)
    config.search.space = "nas_baseline"
    config.search.space_options = {
        "operation_space": "cd",
        "head": "map",
        "stem_channels": (4, 8, 8),
        "channels": 4,
        "partial": 2,
        "edge_weights": True,
        "map_size": 8,
    }
    for name, value in {
        "method": "darts",
        "input": "static_dynamic",
        "optimizer": "adam",
        "decay": "constant",
    }.items():
        config.search[name] = value
    config.search.by = "half"
    config.train.view.target = "binary"


def _trials(space: str) -> dict[str, dict]:
    """Settings of the trials of a space."""
    from nasfas_jax.search import trials

    found = {}
    for name, (_, of, _) in trials.TRIALS.items():
        if of == space:
            view = dict(trials.get(name).view)
            found[name] = {"search": {"trial": name}, "train": {"view": view}}
    return found


VARIANTS = {
    "inputs": inputs,
    "operators": operators,
    "differences": differences,
    "components": components,
    "trials": trials,
    "improvement": improvement,
    "supervision": supervision,
    "efficiency": efficiency,
}
