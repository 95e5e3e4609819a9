r"""EulerNet (SEKE 2022) on the synthetic set, and the six rows of its Table I.

    for command in prepare train evaluate report; do
      nasfas $command --config=configs/eulernet.py:local --workdir=runs/eulernet
    done

renders and prepares clips of four frames at interval three, trains, and tests on the test
split of all domains; training, development and test subjects are 3 : 1 : 1, as in the
paper. Variants:

    local     all improvements (the paper's baseline) on videos of 40 frames
    smoke     every command in seconds, for tests; learns nothing
    paper     the sizes and rates of the paper, on faces of 256 x 256; for a GPU
    baseline  Table I, like local: location map, FCAM and residual pyramid
    c1        binary map instead of the location map
    c2        depth map, neither FCAM nor residual pyramid
    c3        concatenation instead of the residual pyramid
    c4        without FCAM
    c5        depth map instead of the location map
    table_1   the six rows over three seeds in one table, shorter and on smaller faces:

    nasfas sweep --config=configs/eulernet.py:table_1 --workdir=runs/table_1
"""

import ml_collections

from nasfas_jax import limits

#: The rows of Table I: target, and the structure.
TABLE_I = {
    "c1": ("binary", {}),
    "c2": ("depth", {"fcam": False, "pyramid": False}),
    "c3": ("location", {"pyramid": False}),
    "c4": ("location", {"fcam": False}),
    "c5": ("depth", {}),
    "baseline": ("location", {}),
}


def get_config(variant: str = "local") -> ml_collections.ConfigDict:
    """The settings of a variant."""
    limits.require(variant=(variant, limits.OneOf((*VARIANTS, *TABLE_I))))
    config = base()
    if variant in TABLE_I:
        target, structure = TABLE_I[variant]
        config.train.view.target = target
        config.eulernet.update(structure)
    else:
        VARIANTS[variant](config)
    return config


def base() -> ml_collections.ConfigDict:
    """The main job."""
    config = ml_collections.ConfigDict()
    config.title = "EulerNet on the synthetic set"
    config.seed = 0
    config.selected_on = "nothing"  # no setting was chosen by scores
    config.target_domain = ""  # tested on the test split of all domains
    config.protocol = ""
    config.networks = ("eulernet",)

    config.synthetic = ml_collections.ConfigDict(
        {
            "subjects_per_domain": (9, 3, 3),  # in train, development, test
            "live_videos": 2,  # per subject, beside a print, a replay and a mask
            "frames": 40,  # four clips of ten frames
            "face_size": 64,  # pixels
        }
    )
    config.data = ml_collections.ConfigDict(
        {
            "dataset": "synthetic",
            "image_size": 64,
            "frames": 4,
            "interval": 3,  # video frames from one frame of a clip to the next
            "keep_frames": True,
            "clips_per_video": 4,
            "sampling": "non_overlapping",
            "eval_sampling": "non_overlapping",
            "margin": 1.3,
            "align": False,
            "method": "harmonic",  # of the images that EulerNet does not read
            "peak": 0.0,
        }
    )
    config.eulernet = ml_collections.ConfigDict(
        {
            "fcam": True,
            "pyramid": True,
            "filters": "stable",  # "free": the coefficients themselves, as in the paper
            "merge": "mean",  # map of a clip, from those of its frames
            "score": "mean",  # of the map; "mean_square"
            "stem": 32,  # channels at full resolution; times train.width, as the next two
            "channels": 64,  # at the lower resolutions
            "head": 64,  # after the pyramid
            # At four resolutions and after the pyramid; (4, 3, 3, 1, 2) in the paper.
            "units": (1, 1, 1, 1, 1),
        }
    )
    config.train = ml_collections.ConfigDict(
        {
            "width": 0.25,
            "map_size": 32,
            "view": {"input": "frames", "color": "rgb", "target": "location"},
            "loss": "l2",
            "optimizer": "ranger",
            "steps": 1500,
            "batch_size": 8,
            "augment": "flip",
            "learning_rate": 1e-2,
            "decay": "cosine",
            "weight_decay": 5e-5,
            "log_every": 10,
            "save_every": 100,
            "development_every": 100,  # steps between points of figure 7
            "select": "last",  # "development": the step with the smallest error
        }
    )
    return config


def smoke(config: ml_collections.ConfigDict) -> None:
    """Every command in seconds."""
    few = {"subjects_per_domain": (1, 1, 1), "live_videos": 1}
    config.synthetic.update(**few, frames=26, face_size=32)
    config.data.update(image_size=16, clips_per_video=2)
    config.train.update(
        width=1 / 16,
        map_size=8,
        steps=3,
        batch_size=4,
        log_every=1,
        save_every=2,
        development_every=2,
        learning_rate=1e-3,
    )


def paper(config: ml_collections.ConfigDict) -> None:
    """Sizes and rates of the paper; its channels and schedule are not published."""
    config.synthetic.update(face_size=230)
    config.data.update(image_size=256)
    config.eulernet.units = (4, 3, 3, 1, 2)
    config.train.update(
        width=1.0,
        steps=50_000,
        batch_size=16,
        learning_rate=1e-4,
        decay="constant",
        weight_decay=0.0,
    )


def table_1(config: ml_collections.ConfigDict) -> None:
    """Table I as a sweep: six rows, three seeds, the test split of all domains."""
    config.title = "Ablation of EulerNet (Table I)"
    config.data.image_size = 48
    config.train.update(map_size=16, steps=600, save_every=300)
    config.sweep = ml_collections.ConfigDict(
        {"seeds": (0, 1, 2), "targets": ("",), "metrics": ("acer", "hter", "auc")}
    )
    config.sweep.variants = {
        name: {"train": {"view": {"target": target}}, "eulernet": structure}
        for name, (target, structure) in TABLE_I.items()
    }


VARIANTS = {
    "local": lambda config: None,
    "smoke": smoke,
    "paper": paper,
    "table_1": table_1,
}
