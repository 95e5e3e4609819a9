r"""Searched networks beside random and hand-made ones at equal multiply-adds.

    nasfas sweep --config=configs/proof.py --workdir=runs/proof

Three seeds, each of the four domains unseen once. In each cell a search by exact
meta-gradients, three of first order (as many steps; about as many seconds; by the cost
alone), and fifteen trainings of 20 M multiply-adds. Results: docs/levers.md. Variants:

    proof  the table; about three hours on one core: 180 trainings and 48 searches
    smoke  a search, two random networks and DepthNet in seconds; shows nothing
"""

import pathlib

import ml_collections

from nasfas_jax import limits
from nasfas_jax.commands import fields

_SYNTHETIC = pathlib.Path(__file__).parent / "synthetic.py"
DOMAINS = ("dom_m", "dom_o", "dom_c", "dom_i")
FIRST_ORDER = {"weight_order": "first", "arch_order": "first"}


def get_config(variant: str = "proof") -> ml_collections.ConfigDict:
    """The settings of a variant."""
    limits.require(variant=(variant, limits.OneOf(VARIANTS)))
    return VARIANTS[variant]()


def proof() -> ml_collections.ConfigDict:
    """The settings of the main job, and of its search at first order."""
    config = fields.load(f"{_SYNTHETIC}:local")
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


def smoke() -> ml_collections.ConfigDict:
    """A search, two random architectures and DepthNet in seconds."""
    config = fields.load(f"{_SYNTHETIC}:smoke")
    random = ("random_0", "random_1")
    config.sweep = ml_collections.ConfigDict(
        {"seeds": (0, 1), "targets": ("dom_m",), "reference": random}
    )
    config.sweep.variants = {
        "exact": {"networks": ("searched",)},
        "": {"networks": (*random, "depthnet")},
    }
    return config


VARIANTS = {"proof": proof, "smoke": smoke}
