r"""RFMeta and its rivals on the synthetic set, three source domains, the fourth unseen.

    nasfas sweep --config=configs/rfmeta.py --workdir=runs/rfmeta

trains every method below for every target domain and seed, and prints one table; one of
them alone: `nasfas train --config=configs/rfmeta.py --network=rfmeta`. docs/rfmeta.md has
times and results on two CPU cores. Variants:

    small  32 x 32 faces, nets an eighth as wide: minutes on two CPU cores
    smoke  every command in seconds, for tests; learns nothing
    paper  256 x 256 faces, the full nets, batches of 60 (RFMeta, "Implementation
           Details"); for a GPU
    code   as paper, with the settings of the authors' code: the running averages of
           BatchNorm (three updates per step, the meta learner's of the last batch alone)
           and images in [0, 1]; for a GPU
"""

import ml_collections

from nasfas_jax import limits

#: Figure 5's ablations, Table 2's rivals, training without meta-learning, Table 1's
#: Auxiliary (depth only) and hand-crafted features. lbp_top needs the frames of clips, in
#: data of their own (docs/rfmeta.md).
METHODS = (
    "rfmeta",
    "rfmeta_first_order",
    "rfmeta_aggregation",
    "rfmeta_no_depth",
    "mldg",
    "reptile",
    "metareg",
    "multi_domain",
    "multi_domain_pooled",
    "binary_cnn",
    "auxiliary",
    "ms_lbp",
    "color_texture",
    "ida",
)

#: Of nasfas_jax.bilevel.
MODES = (
    "first_order",
    "finite_difference",
    "forward_over_reverse",
    "reverse_over_reverse",
    "unrolled",
)


def get_config(variant: str = "small") -> ml_collections.ConfigDict:
    """The settings of a variant."""
    limits.require(variant=(variant, limits.OneOf(VARIANTS)))
    config = base()
    VARIANTS[variant](config)
    return config


def base() -> ml_collections.ConfigDict:
    """The main settings."""
    config = ml_collections.ConfigDict()
    config.title = "RFMeta and its rivals on the synthetic set"
    config.seed = 0
    config.selected_on = "development"  # whose scores chose these settings
    config.protocol = ""
    config.target_domain = "dom_m"
    config.networks = METHODS
    config.sweep = ml_collections.ConfigDict(
        {"seeds": (0, 1, 2), "targets": ("dom_o", "dom_c", "dom_i", "dom_m")}
    )
    config.synthetic = ml_collections.ConfigDict(
        {
            "subjects_per_domain": (26, 6, 4),  # in train, development, test
            "live_videos": 2,
            "frames": 24,
            "face_size": 64,  # pixels
        }
    )
    config.data = ml_collections.ConfigDict(
        {
            "dataset": "synthetic",
            "image_size": 32,
            "frames": 7,  # K of rank pooling; RFMeta sees the last frame alone
            "clips_per_video": 4,
            "sampling": "even",
            "eval_sampling": "even",
            "margin": 1.3,
            "align": False,
            "method": "harmonic",
            "peak": 0.0,
            "keep_frames": False,  # True for lbp_top
        }
    )
    config.meta = ml_collections.ConfigDict(
        {
            "inner_learning_rate": 1e-3,  # the paper's alpha, and MLDG's
            "depth_weight": 10.0,  # the paper writes none; the authors' code has 10
            "loss_reduction": "mean",  # the paper writes sums; the code has means
            "learner_bn_momentum": 0.1,  # the authors' code has 1
            "averages": "mean",  # of BatchNorm; the authors' code has "sequential"
            "inner_steps": 3,  # of Reptile and MetaReg
            "task_learning_rate": 0.1,  # of Reptile's and MetaReg's inner steps
            "regularizer_learning_rate": 1e-2,  # of MetaReg
        }
    )
    config.train = ml_collections.ConfigDict(
        {
            "width": 1 / 8,
            "map_size": 32,
            # On source development RGB alone errs less than RGB and HSV on these faces.
            "view": {
                "input": "static",
                "color": "rgb",
                "target": "depth",
                "pixels": "signed",
            },
            "steps": 600,
            "batch_size": 18,  # of an episode, a third of each of three domains
            "episodes": 1,  # a step, over devices; pooled methods: one batch of all
            "augment": "flip",
            "learning_rate": 3e-3,
            "decay": "cosine",
            "weight_decay": 1e-2,
            "log_every": 10,
            "save_every": 200,
        }
    )
    # nasfas metagrad: all modes at the first batch size and number of inner steps, then
    # either varied alone, in the modes of the sweep. Nearly all of its time is compiling.
    config.metagrad = ml_collections.ConfigDict(
        {
            "image_size": 32,
            "batch_sizes": (6, 12),  # of each of three domains
            "steps": (1, 8),  # k, inner; the paper's is 1
            "rates": (1e-3, 1e-2, 1e-1, 1.0),  # inner; the paper's is the first
            "modes": MODES,
            "sweep_modes": (
                "first_order",
                "forward_over_reverse",
                "reverse_over_reverse",
            ),
            "repeats": 5,
        }
    )
    return config


def smoke(config: ml_collections.ConfigDict) -> None:
    """Every command in seconds."""
    few = {"subjects_per_domain": (1, 1, 1), "live_videos": 1}
    config.synthetic.update(**few, frames=10, face_size=32)
    config.data.update(clips_per_video=2)
    config.train.update(width=1 / 64, steps=3, batch_size=6, save_every=2)
    config.networks = ("rfmeta", "multi_domain")
    config.sweep.update(seeds=(0, 1), targets=("dom_i", "dom_m"))
    config.metagrad.update(batch_sizes=(2,), steps=(1,), repeats=1)
    config.metagrad.modes = ("first_order", "reverse_over_reverse")


def paper(config: ml_collections.ConfigDict) -> None:
    """The paper's sizes and rates; its epochs are not given, the code's are 10."""
    config.synthetic.update(face_size=230)
    config.data.update(image_size=256)
    config.train.update(
        width=1.0,
        steps=20_000,
        batch_size=60,
        augment="none",
        learning_rate=1e-3,
        decay="constant",
        weight_decay=0.0,
        save_every=500,
    )
    config.train.view.update(color="rgb_hsv")
    config.meta.update(task_learning_rate=1e-2)


def code(config: ml_collections.ConfigDict) -> None:
    """The settings of the authors' code where they differ from the paper's or are new."""
    paper(config)
    config.meta.update(
        depth_weight=10.0,
        loss_reduction="mean",
        learner_bn_momentum=1.0,
        averages="sequential",
    )
    config.train.view.update(pixels="unit")
    config.networks = ("rfmeta",)


VARIANTS = {"small": lambda config: None, "smoke": smoke, "paper": paper, "code": code}
