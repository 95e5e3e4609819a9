r"""Searched networks beside random and hand-made ones at equal multiply-adds.

    nasfas sweep --config=configs/proof.py --workdir=runs/proof

Three seeds, each of the four domains unseen once. In each cell a search by exact
meta-gradients, three of first order (as many steps; about as many seconds; by the cost
alone), and fifteen trainings of 20 M multiply-adds. Results: docs/levers.md. Variants:

    proof    the table; about three hours on one core: 180 trainings and 48 searches
    domains  NAS-FAS Table 5, with the rows of proof beside its own: three more searches,
             EulerNet, ResNet50 and DepthNet; about two hours
    types    NAS-FAS Table 7: each of thirteen attack types unseen, one seed
    media    NAS-FAS Table 6: each print and replay of three datasets unseen, one seed
    spread   twenty random architectures with dom_m unseen, three seeds: what is the
             architecture's, what is the seed's; half an hour on one core
    smoke    a search, two random networks and DepthNet of a few steps; shows nothing
"""

from typing import Any

import ml_collections

from nasfas_jax import limits
from nasfas_jax.attack_types import SIW_M_TYPES
from nasfas_jax.commands import fields
from nasfas_jax.data import protocols

DOMAINS = ("dom_m", "dom_o", "dom_c", "dom_i")
FIRST_ORDER = {"weight_order": "first", "arch_order": "first"}


def get_config(variant: str = "proof") -> ml_collections.ConfigDict:
    """The settings of a variant."""
    limits.require(variant=(variant, limits.OneOf(VARIANTS)))
    return VARIANTS[variant]()


def proof() -> ml_collections.ConfigDict:
    """The settings of the main job, and of its search at first order."""
    config = fields.beside(__file__, "synthetic.py:local")
    config.title = "Searched, random and hand-made networks at equal multiply-adds"
    config.search.save_every = config.train.save_every = config.train.steps
    config.train.log_every = 50
    random = tuple(f"random_{seed}" for seed in range(8))
    # 65 s where 100 exact steps took 85 s.
    longer = {**FIRST_ORDER, "steps": 450, "alphas_from": 90}
    # What remains of a search whose alphas follow their cost and hardly the loss.
    cost = {**FIRST_ORDER, "cost_weight": 10.0}
    config.sweep = ml_collections.ConfigDict(
        {"seeds": (0, 1, 2), "targets": DOMAINS, "reference": random}
    )
    config.sweep.variants = {
        "exact": {"networks": ("searched",)},
        "first_order": {"networks": ("searched",), "search": FIRST_ORDER},
        "first_order_longer": {"networks": ("searched",), "search": longer},
        "cost_alone": {"networks": ("searched",), "search": cost},
        "": {"networks": (*random, "depthnet", "cdn", "cdcn_pp")},
    }
    return config


def domains() -> ml_collections.ConfigDict:
    """Searches in other spaces or without episodes, and networks, each domain unseen."""
    config = _frames("Searches and networks on unseen domains (NAS-FAS Table 5)")
    config.sweep.variants = _others(config, ("depthnet", "resnet50"))
    return config


def types() -> ml_collections.ConfigDict:
    """All rows, each attack type of a stand-in of SiW-M unseen."""
    held = tuple(f"siw_m@leave_{name}_out" for name in SIW_M_TYPES)
    return _attacks("Unseen attack types (NAS-FAS Table 7)", held, people=160)


def media() -> ml_collections.ConfigDict:
    """All rows, each print or replay of three stand-ins unseen."""
    held = tuple(protocols.folds("cross_type"))
    return _attacks("Unseen prints and replays (NAS-FAS Table 6)", held, people=15)


def _attacks(
    title: str, targets: tuple[str, ...], people: int
) -> ml_collections.ConfigDict:
    """All rows, on stand-ins of so many people in each split."""
    config = _frames(title)
    config.target_domain = ""
    config.data.dataset = protocols.get(targets[0]).datasets[0]
    config.standin.update(subjects=people, frames=16, face_size=32, distinct=2)
    config.sweep.update(seeds=(0,), targets=targets, metrics=("auc",))
    random = tuple(f"random_{seed}" for seed in range(4))
    config.sweep.reference = random
    rows = _others(config, (*random, "depthnet", "cdn", "resnet50"))
    for name in ("NAS-Baseline", "NAS-FAS", "Auto-FAS"):  # once, as in sec. 6.8 and 6.9
        rows[name]["search"] = {**rows[name]["search"], "protocol": "oulu_npu@1"}
    if config.data.dataset == "siw_m":  # the others have too few macro types
        meta = {**rows[""]["search"], "by": "macro_type"}
        rows["NAS-FAS T-Meta"] = {"networks": ("searched",), "search": meta}
    config.sweep.variants = rows
    return config


def _frames(title: str) -> ml_collections.ConfigDict:
    """The proof's settings, with the frames of clips, and without its rows."""
    config = proof()
    config.title = title
    config.data.keep_frames = True  # for EulerNet
    del config.sweep.reference
    return config


def _others(
    config: ml_collections.ConfigDict, networks: tuple[str, ...]
) -> dict[str, Any]:
    """Rows of the other searches, of EulerNet, and of networks of the config itself.

    NAS is on random halves of the sources; the searches in other spaces are the ablations'.
    """
    trial, supervised = (
        fields.beside(__file__, f"ablations.py:{n}") for n in ("trials", "supervision")
    )
    baseline = fields.searched("S-Van-DP", trial.search.to_dict())
    baseline["search"]["input"] = "static"
    plain = {**config.search.to_dict(), "method": "darts", "by": "half"}
    view = supervised.train.view.to_dict()
    own = {"search": config.search.to_dict()}
    config.search.space_options = ml_collections.ConfigDict()  # those of each row
    euler = fields.beside(__file__, "eulernet.py:local")
    options = ("view", "loss", "optimizer", "learning_rate")
    searched = {"networks": ("searched",)}
    return {
        "NAS-Baseline": {**searched, **baseline},
        "NAS-FAS": {**searched, "search": plain},
        "Auto-FAS": {
            **searched,
            "search": supervised.search.to_dict(),
            "train": {"view": view},
        },
        "EulerNet": {
            **own,
            "networks": ("eulernet",),
            "eulernet": euler.eulernet.to_dict(),
            "train": {name: euler.train.to_dict()[name] for name in options},
        },
        "": {**own, "networks": networks},
    }


def spread() -> ml_collections.ConfigDict:
    """A search and many random architectures on one target."""
    config = proof()
    config.title = "Spread of random architectures"
    random = tuple(f"random_{seed}" for seed in range(20))
    del config.sweep.variants
    config.sweep.update(targets=("dom_m",), reference=random)
    config.networks = ("searched", *random)
    return config


def smoke() -> ml_collections.ConfigDict:
    """A search, two random architectures and DepthNet, of a few steps."""
    config = fields.beside(__file__, "synthetic.py:smoke")
    random = ("random_0", "random_1")
    config.sweep = ml_collections.ConfigDict(
        {"seeds": (0, 1), "targets": ("dom_m",), "reference": random}
    )
    config.sweep.variants = {
        "exact": {"networks": ("searched",)},
        "": {"networks": (*random, "depthnet")},
    }
    return config


VARIANTS = {
    "proof": proof,
    "domains": domains,
    "types": types,
    "media": media,
    "spread": spread,
    "smoke": smoke,
}
