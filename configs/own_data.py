r"""Your own collection: a folder with ``live/`` and ``spoof/<attack type>/``.

    nasfas prepare --config=configs/own_data.py --manual_dir=FOLDER --workdir=runs/own
    nasfas train   --config=configs/own_data.py --workdir=runs/own
    nasfas predict --workdir=runs/own --input=VIDEO

Two CPU cores train the eighth-width CDN in about two minutes. Variant ``smoke``: the
same in seconds, which learns nothing. Testing (``nasfas evaluate``) needs live and spoof
clips of other people in the development and the test split; ``splits.csv`` in the prepared
folder has each person's split, which preparing again keeps (docs/data.md). Search needs
several domains or macro types of attack; ``networks`` may name "searched" with a genotype
found elsewhere (--genotype=FILE).
"""

import ml_collections
from ml_collections import config_dict

from nasfas_jax import limits


def get_config(variant: str = "default") -> ml_collections.ConfigDict:
    """The settings of a variant."""
    limits.require(variant=(variant, limits.OneOf(("default", "smoke"))))
    config = ml_collections.ConfigDict()
    config.title = "Own data"
    config.seed = 0
    config.selected_on = "nothing"  # whose scores chose these settings
    config.target_domain = ""  # one domain: tested on its own test split
    config.protocol = ""  # dataset@protocol splits the data instead: nasfas data list
    config.networks = ("cdn",)
    config.data = ml_collections.ConfigDict(
        {
            "dataset": "own_data",
            "image_size": 64,
            "frames": 7,  # K of rank pooling
            "clips_per_video": 16,
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
            "width": 0.125,
            "map_size": 32,
            # Share of central differences; None is the network's own (docs/nas_fas.md).
            "theta": config_dict.placeholder(object),
            "lam": config_dict.placeholder(object),
            "view": {"input": "static_dynamic", "color": "rgb", "target": "depth"},
            "steps": 300,
            "batch_size": 16,
            "augment": "standard",  # a recipe in data/loading/augment.py
            "learning_rate": 3e-3,
            "decay": "cosine",
            "weight_decay": 5e-5,
            "log_every": 10,
            "save_every": 50,
        }
    )
    if variant == "smoke":
        config.data.update(clips_per_video=4)
        config.train.update(steps=20, batch_size=8)
    return config
