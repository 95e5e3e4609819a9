r"""One of the licensed datasets, or its stand-in, under a protocol (docs/data.md).

    nasfas prepare --config=configs/protocol.py --dataset=oulu_npu --manual_dir=FOLDER \
        --workdir=runs/oulu
    nasfas train --config=configs/protocol.py --protocol=oulu_npu@1 --workdir=runs/oulu
    nasfas evaluate --config=configs/protocol.py --protocol=oulu_npu@1 --workdir=runs/oulu

A protocol of several datasets wants each prepared into DATA_DIR/DATASET. Variants:

    full   the full networks on faces of 256 x 256, NAS-FAS's rates; for a GPU, not yet run
    small  networks an eighth as wide on 64 x 64 faces: a CPU
    smoke  seconds, learns nothing
"""

import ml_collections
from ml_collections import config_dict

from nasfas_jax import limits


def get_config(variant: str = "full") -> ml_collections.ConfigDict:
    """The settings of a variant."""
    limits.require(variant=(variant, limits.OneOf(VARIANTS)))
    config = ml_collections.ConfigDict()
    config.title = "A dataset's protocol"  # the report shows the protocol's name
    config.seed = 0
    config.selected_on = "nothing"  # whose scores chose these settings
    config.target_domain = ""
    config.protocol = ""  # dataset@protocol: nasfas data list
    config.networks = ("depthnet", "cdn")
    config.data = ml_collections.ConfigDict(
        {
            "dataset": "",
            "image_size": 256,
            "frames": 7,  # K of rank pooling
            "clips_per_video": 8,
            "sampling": "even",  # of training videos; a rule in data/preparation/sampling.py
            "eval_sampling": "even",
            "margin": 1.3,  # side of the crop over the longer side of the face
            "align": False,  # turn the crop until the eyes are level
            "method": "ranksvm",
            "peak": 0.0,  # add the dynamic image as eq. 7 gives it
        }
    )
    config.train = ml_collections.ConfigDict(
        {
            "width": 1.0,
            "map_size": 32,
            # Share of central differences; None is the network's own (docs/nas_fas.md).
            "theta": config_dict.placeholder(object),
            "lam": config_dict.placeholder(object),
            "view": {"input": "static_dynamic", "color": "rgb", "target": "depth"},
            "steps": 60_000,
            "batch_size": 8,
            "augment": "cdcn",  # a recipe in data/loading/augment.py
            "learning_rate": 1e-4,
            "decay": "halve",
            "weight_decay": 5e-5,
            "log_every": 10,
            "save_every": 500,
        }
    )
    VARIANTS[variant](config)
    return config


def small(config: ml_collections.ConfigDict) -> None:
    """Minutes to hours on a CPU, by the dataset."""
    config.data.update(image_size=64)
    config.train.update(
        width=1 / 8, steps=1500, augment="standard", learning_rate=5e-3, decay="cosine"
    )


def smoke(config: ml_collections.ConfigDict) -> None:
    """Every command in seconds."""
    config.data.update(image_size=16, frames=3, clips_per_video=2, method="harmonic")
    config.train.update(width=1 / 32, steps=3, batch_size=4, save_every=2)
    config.networks = ("depthnet",)


VARIANTS = {"full": lambda config: None, "small": small, "smoke": smoke}
