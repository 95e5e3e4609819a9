r"""Tables of the papers over protocols: each variant is one sweep, one table.

    nasfas sweep --config=configs/tables.py:nas_fas_3 --workdir=runs/nas_fas_3 \
        --manual_dir=FOLDER

With --manual_dir=FOLDER, that of the dataset or, for several, of folders of their names.
Without it the datasets are synthetic stand-ins. Sized for two CPU cores; ``_smoke`` after
the name takes minutes and learns nothing. Architectures are searched once, on OULU-NPU
protocol 1, as in both papers; those of auto_fas_2 on each training set.

    nas_fas_3   OULU-NPU, protocols 1 to 4; a fold's deviation for 3 and 4
    nas_fas_4   SiW, protocols 1 to 3
    nas_fas_8   OULU-NPU and SiW to three mask datasets, with searches on SiW-M without masks
    auto_fas_1  OULU-NPU, with Auto-FAS
    auto_fas_2  CASIA-MFSD to Replay-Attack and back, with Auto-FAS
    auto_fas_4  OULU-NPU, protocol 1, Auto-FAS beside ResNet-18 and the depth network
    eulernet_2  OULU-NPU, with EulerNet (its Table II)
"""

from typing import Any

import ml_collections

from nasfas_jax import limits
from nasfas_jax.commands import fields

OULU = ("oulu_npu@1", "oulu_npu@2", "oulu_npu@3", "oulu_npu@4")
SIW = ("siw@1", "siw@2", "siw@3")
#: Of NAS-FAS Table 8; DTN as the tree network.
HAND_MADE = (
    *("mobilenet_v1", "mobilenet_v2", "mobilenet_v3", "shufflenet_v2", "pnasnet"),
    *("resnet50", "depthnet", "tree"),
)
RATES = ("apcer", "bpcer", "acer")


def get_config(variant: str = "nas_fas_3") -> ml_collections.ConfigDict:
    """The settings of a variant."""
    name = variant.removesuffix("_smoke")
    limits.require(variant=(name, limits.OneOf(VARIANTS)))
    config = VARIANTS[name](variant != name)
    config.selected_on = "nothing"
    config.target_domain = ""
    return config


def _table(
    base: Any, title: str, targets: tuple[str, ...], metrics: tuple[str, ...] = RATES
) -> ml_collections.ConfigDict:
    base.title = title
    base.data.dataset = targets[0].partition("@")[0]
    if "sweep" not in base:
        base.sweep = ml_collections.ConfigDict()
    base.sweep.update(seeds=(0,), targets=targets, metrics=metrics)
    return base


def nas_fas(smoke: bool) -> ml_collections.ConfigDict:
    """Searches in both spaces, on random halves of one protocol, and hand-made networks."""
    config, spaces = both_spaces(smoke)
    half = {"by": "half", "method": "darts", "protocol": OULU[0]}
    config.sweep.variants = {
        **{name: hand_made(name) for name in ("deeppixbis", "auxiliary", "cdcn_pp")},
        **{name: hand_made(name, "static_dynamic") for name in ("depthnet", "cdn")},
        **{
            name: fields.searched(trial, {**search, **half})
            for name, (trial, search) in spaces.items()
        },
    }
    return config


def both_spaces(smoke: bool) -> tuple[ml_collections.ConfigDict, dict[str, Any]]:
    """A config of sweeps, and trial and search section of the spaces of NAS-FAS by name."""
    config = fields.beside(__file__, "ablations.py:trials" + "_smoke" * smoke)
    chains = fields.beside(__file__, "ablations.py:components" + "_smoke" * smoke)
    spaces = {
        "NAS-Baseline": ("SD-CD-DP", config.search.to_dict()),
        "NAS-FAS": ("SD-CD-CDP-Att", chains.search.to_dict()),
    }
    # Each row has those of its space.
    config.search.space_options = ml_collections.ConfigDict()
    return config, spaces


def hand_made(name: str, input: str = "static") -> dict[str, Any]:
    """The row of a network, which predicts depth, or DeepPixBiS a binary map."""
    target = "binary" if name == "deeppixbis" else "depth"
    view = {"input": input, "target": target, "color": "rgb"}
    return {"networks": (name,), "train": {"view": view}}


def nas_fas_3(smoke: bool) -> ml_collections.ConfigDict:
    """NAS-FAS Table 3."""
    return _table(nas_fas(smoke), "OULU-NPU (NAS-FAS Table 3)", OULU)


def nas_fas_4(smoke: bool) -> ml_collections.ConfigDict:
    """NAS-FAS Table 4."""
    return _table(nas_fas(smoke), "SiW (NAS-FAS Table 4)", SIW)


def nas_fas_8(smoke: bool) -> ml_collections.ConfigDict:
    """NAS-FAS Table 8: hand-made networks, and searches in both spaces.

    A search is plain, on random halves of the training data, or 'T(Mask)-Meta', type-aware
    Meta-NAS on SiW-M without its masks.
    """
    config, spaces = both_spaces(smoke)
    title = "Print and replay to masks of other datasets (NAS-FAS Table 8)"
    _table(config, title, ("cross_dataset_cross_type",), ("auc", "hter"))
    config.sweep.by_domain = True
    config.search.protocol = ""  # that of the training
    config.data.dataset = "oulu_npu"
    half = {"by": "half", "method": "darts"}
    meta = {
        "method": "meta_nas",
        "by": "macro_type",
        "protocol": "siw_m@without_masks",
    }
    _, plain = spaces["NAS-Baseline"]
    variants: dict[str, Any] = {
        "hand-made": {"networks": HAND_MADE[-2:] if smoke else HAND_MADE},
        "NAS S-Van-CE": fields.searched("S-Van-CE", plain),
    }
    for name, (trial, search) in spaces.items():
        variants[name] = fields.searched(trial, search | half)
        mask = fields.searched(trial, search | meta)
        variants[f"{name} with T(Mask)-Meta"] = mask
    config.sweep.variants = variants
    return config


def auto_fas(smoke: bool) -> ml_collections.ConfigDict:
    """A searched network of the Auto-FAS space, and hand-made ones."""
    config = fields.beside(__file__, "ablations.py:supervision" + "_smoke" * smoke)
    config.sweep.variants = {
        **{name: hand_made(name) for name in ("deeppixbis", "auxiliary")},
        "Auto-FAS": {"networks": ("searched",)},
    }
    return config


def auto_fas_1(smoke: bool) -> ml_collections.ConfigDict:
    """Auto-FAS Table 1."""
    config = _table(auto_fas(smoke), "OULU-NPU (Auto-FAS Table 1)", OULU)
    config.search.protocol = OULU[0]
    return config


def auto_fas_2(smoke: bool) -> ml_collections.ConfigDict:
    """Auto-FAS Table 2."""
    pairs = ("casia_to_replay", "replay_to_casia")
    targets = tuple(f"cross_dataset@{pair}" for pair in pairs)
    title = "Cross-dataset tests (Auto-FAS Table 2)"
    config = _table(auto_fas(smoke), title, targets, ("hter", "auc"))
    config.data.dataset = "casia_mfsd"
    return config


def auto_fas_4(smoke: bool) -> ml_collections.ConfigDict:
    """Auto-FAS Table 4."""
    config = fields.beside(__file__, "ablations.py:efficiency" + "_smoke" * smoke)
    return _table(config, "Efficiency (Auto-FAS Table 4)", OULU[:1])


def eulernet_2(smoke: bool) -> ml_collections.ConfigDict:
    """EulerNet Table II."""
    config = fields.beside(__file__, "eulernet.py:" + ("smoke" if smoke else "table_1"))
    config = _table(config, "OULU-NPU (EulerNet Table II)", OULU)
    del config.train.loss, config.train.optimizer  # each network's own
    adam = {"learning_rate": 5e-3}
    rows = {name: hand_made(name) for name in ("deeppixbis", "cdn")}
    for row in rows.values():
        row["train"].update(adam)
    config.sweep.variants = {**rows, "EulerNet": {"networks": ("eulernet",)}}
    people = 0 if smoke else 4
    standin = {"subjects": people, "frames": 40, "face_size": 64, "distinct": 4}
    config.standin = ml_collections.ConfigDict(standin | {"empty": False})
    return config


VARIANTS = {
    "nas_fas_3": nas_fas_3,
    "nas_fas_4": nas_fas_4,
    "nas_fas_8": nas_fas_8,
    "auto_fas_1": auto_fas_1,
    "auto_fas_2": auto_fas_2,
    "auto_fas_4": auto_fas_4,
    "eulernet_2": eulernet_2,
}
