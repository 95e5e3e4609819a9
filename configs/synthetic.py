r"""The full pipeline on the synthetic set: three source domains, tested on the fourth.

    bash launch/local.sh
    nasfas demo --config=configs/synthetic.py:local --workdir=runs/local

on two CPU cores; README.md has the times and results that this printed. Variants:

    local  the main job: 720 videos, a narrow supernet, networks of 20 M multiply-adds
    smoke  every command in seconds, for tests; learns nothing
    paper  the sizes and rates of NAS-FAS sec. 6.1 on faces of 256 x 256; for a GPU
    pod    these on 32 devices: four replicas of eight, in bfloat16
    baseline  a trial of the NAS-FAS baseline space by DARTS
    auto_fas  Auto-FAS at its own sizes and rates
"""

import ml_collections
from ml_collections import config_dict

from nasfas_jax import limits

#: Of nasfas_jax.bilevel.
MODES = (
    "first_order",
    "finite_difference",
    "forward_over_reverse",
    "reverse_over_reverse",
    "unrolled",
)


def get_config(variant: str = "local") -> ml_collections.ConfigDict:
    """The settings of a variant."""
    limits.require(variant=(variant, limits.OneOf(VARIANTS)))
    config = base()
    VARIANTS[variant](config)
    return config


def base() -> ml_collections.ConfigDict:
    """The main job."""
    config = ml_collections.ConfigDict()
    config.title = "Domain-aware Meta-NAS on the synthetic set"
    config.seed = 0
    config.seeds = 1  # of nasfas demo, from the seed on
    config.selected_on = "development"  # whose scores chose these settings
    # Learned on dom_o, dom_c, dom_i: "O&C&I to M", the first of the four in the papers.
    config.target_domain = "dom_m"
    config.protocol = ""  # dataset@protocol splits the data instead: nasfas data list
    config.networks = ("searched", "depthnet", "cdn")  # and "random_0", "random_1", ...

    config.synthetic = ml_collections.ConfigDict(
        {
            "subjects_per_domain": (26, 6, 4),  # in train, development, test
            "live_videos": 2,  # of each subject, beside a print, a replay and a mask
            "frames": 16,
            "face_size": 32,  # pixels
        }
    )
    config.standin = ml_collections.ConfigDict(  # of `nasfas synthesize`
        {
            "subjects": 0,  # in each of the dataset's own splits; 0: a few
            "frames": 24,
            "face_size": 64,
            "distinct": 4,  # clips of a person and kind that files share; 0: all differ
            "empty": False,  # all official names, files of no bytes
        }
    )
    config.data = ml_collections.ConfigDict(
        {
            "dataset": "synthetic",
            "image_size": 32,
            "frames": 7,  # K of rank pooling
            "interval": 1,  # video frames from one frame of a clip to the next
            "keep_frames": False,  # in the records, for networks whose input is a clip
            "clips_per_video": 4,
            "sampling": "even",  # of training videos; a rule in data/preparation/sampling.py
            "eval_sampling": "even",
            "margin": 1.3,  # side of the crop over the longer side of the face
            "align": False,  # turn the crop until the eyes are level
            "method": "ranksvm",
            "peak": 0.0,  # add the dynamic image as eq. 7 gives it
        }
    )
    config.search = ml_collections.ConfigDict(
        {
            "space": "nas_fas",
            "space_options": {
                "convolution": "conv",  # Van-Max-Att: best on source development
                "pool": "max",
                "attention": True,
                "stem_channels": 4,
                "channels": 8,
                "head_channels": 8,
                "partial": 4,
                "map_size": 32,
                "theta": config_dict.placeholder(object),  # of "cdc"; None: 0.7
                "lam": config_dict.placeholder(object),  # of "cdp"; None: 0.7
                # Inputs searched together, as ("static", "dynamic:hsv"); None: one.
                "branches": config_dict.placeholder(object),
            },
            "by": "domain",  # what an episode's query is: a domain, or a "macro_type"
            "steps": 100,
            "alphas_from": 20,
            "batch_size": 4,  # of each domain or macro type
            "episodes": 1,  # a step, over devices
            "inner_steps": 1,
            "inner_learning_rate": 0.01,
            "learning_rate": 2e-3,
            "weight_decay": 5e-5,
            "eps_root": 1e-8,
            "alpha_learning_rate": 0.1,
            "alpha_momentum": 0.5,  # of Adam, its b1
            # The paper's 1e-3 holds alphas at 0: gradients of the depth loss are as small.
            "alpha_weight_decay": 0.0,
            "weight_order": "exact",
            "arch_order": "exact",
            "exact_from": 0,  # steps before are of first order
            "shared_alphas": False,  # by all cells
            # Of Gumbel-softmax samples of the candidates; None: their mixture.
            "sample_temperature": config_dict.placeholder(object),
            "mode": "forward_over_reverse",
            "cost": "macs",  # or parameters, or latency on this device
            "cost_weight": 0.1,  # of the cells' relative cost
            # Share of edges with skip above which the search ends early; None: never.
            "skip_limit": config_dict.placeholder(object),
            "instruments": False,  # noise, curvature and gap, after the search
            "log_every": 2,
            "save_every": 20,
        }
    )
    config.train = ml_collections.ConfigDict(
        {
            "width": 0.125,  # of DepthNet and the CDNs
            # Multiply-adds of all networks, by their widths; None: the width above.
            "macs": config_dict.placeholder(object),
            "map_size": 32,
            # Share of central differences; None is the network's own (docs/nas_fas.md).
            "theta": config_dict.placeholder(object),
            "lam": config_dict.placeholder(object),
            "view": {"input": "static_dynamic", "color": "rgb", "target": "depth"},
            "steps": 1500,
            "batch_size": 8,
            "augment": "flip",  # a recipe in data/loading/augment.py; color is a cue here
            "learning_rate": 5e-3,
            "decay": "cosine",
            "weight_decay": 5e-5,
            "log_every": 10,
            "save_every": 50,
        }
    )
    # nasfas sweep: every network for each of the targets and seeds.
    config.sweep = ml_collections.ConfigDict(
        {"seeds": (0,), "targets": ("dom_o", "dom_c", "dom_i", "dom_m")}
    )
    # nasfas metagrad: all modes at the first batch size and number of inner steps, then
    # either varied alone, in the modes of the sweep. Nearly all of its time is compiling.
    config.metagrad = ml_collections.ConfigDict(
        {
            "image_size": 32,
            "batch_sizes": (4,),  # of each of three domains
            "steps": (1, 8),  # k, inner
            "rates": (1e-4, 1e-2, 1e-1, 1.0),  # inner; the paper's is the first
            "modes": MODES,
            "sweep_modes": (
                "first_order",
                "forward_over_reverse",
                "reverse_over_reverse",
            ),
            "repeats": 3,
        }
    )
    return config


def local(config: ml_collections.ConfigDict) -> None:
    """All networks at equal cost, beside random architectures of the search space."""
    config.seeds = 2
    config.networks = ("searched", "random_0", "random_1", "depthnet", "cdn")
    config.search.input = config.train.view.input = "static"
    config.train.update(macs=20e6, steps=500)


def smoke(config: ml_collections.ConfigDict) -> None:
    """Every command in seconds."""
    few = {"subjects_per_domain": (1, 1, 1), "live_videos": 1}
    config.synthetic.update(**few, frames=10, face_size=32)
    config.standin.update(frames=8, face_size=32, distinct=1)
    config.data.update(image_size=16, clips_per_video=2, method="harmonic")
    config.search.space_options.update(
        stem_channels=4, channels=4, head_channels=4, partial=2
    )
    config.search.update(steps=3, alphas_from=1, batch_size=2, save_every=2)
    config.train.update(width=1 / 32, steps=3, batch_size=4, save_every=2)
    config.networks = ("searched", "depthnet")
    config.metagrad.update(image_size=16, batch_sizes=(2,), steps=(1,), repeats=1)
    config.metagrad.modes = ("first_order", "reverse_over_reverse")


def paper(config: ml_collections.ConfigDict) -> None:
    """Rates and sizes of the paper; epochs become steps of the synthetic set's size."""
    config.synthetic.update(face_size=230)
    config.data.update(image_size=256)
    config.search.space_options.update(
        convolution="cdc",
        pool="cdp",
        stem_channels=32,
        channels=64,
        head_channels=64,
        partial=4,
        map_size=32,
    )
    config.search.update(
        cost_weight=0.0,
        steps=3000,
        alphas_from=750,
        batch_size=8,
        inner_learning_rate=1e-4,
        learning_rate=1e-4,
        alpha_learning_rate=6e-4,
        alpha_weight_decay=1e-3,
        save_every=250,
    )
    config.train.update(
        width=1.0, steps=60_000, batch_size=8, learning_rate=1e-4, decay="halve"
    )


def pod(config: ml_collections.ConfigDict) -> None:
    """The paper's sizes for four replicas, each an episode or a part of a batch.

    nasfas search --config=synthetic:pod --mesh=episode:4,data:8 --workdir=gs://BUCKET/pod
    """
    paper(config)
    config.search.update(episodes=4, compute="float32")
    settings = {"batch_size": 64, "accumulate": 4, "compute": "bfloat16"}
    config.train.update(remat=True, **settings)


def baseline(config: ml_collections.ConfigDict) -> None:
    """A trial of the baseline space, SD-CD-DP, by NAS: DARTS on random halves."""
    config.title = "NAS in the baseline space on the synthetic set"
    config.networks = ("searched",)
    config.search.space = "nas_baseline"
    config.search.space_options = ml_collections.ConfigDict(
        {
            "operation_space": "cd",
            "head": "map",
            "stem_channels": (4, 8, 16),
            "channels": 8,
            "partial": 4,
            "edge_weights": True,
            "map_size": 8,
            "branches": config_dict.placeholder(object),
        }
    )
    # A key of nasfas_jax.search.trials; it overrides operations, head and input.
    config.search.trial = "SD-CD-DP"
    config.search.method = "darts"
    config.search.input = "static_dynamic"
    config.search.cost_weight = 0.0
    config.search.optimizer = "adam"
    config.search.decay = "constant"
    config.search.by = "half"
    config.train.view.target = "binary"


def auto_fas(config: ml_collections.ConfigDict) -> None:
    """Auto-FAS: its sizes and rates, with the steps of the main job."""
    from nasfas_jax.workflows import searchers

    baseline(config)
    config.title = "Auto-FAS on the synthetic set"
    config.synthetic.face_size = 64
    config.data.image_size = 108
    del config.search.trial
    config.search.space = "auto_fas"
    config.search.space_options = ml_collections.ConfigDict(
        {
            "head": "map",  # "scalar": the other row of Table 3
            "stem_channels": (32, 48),
            "channels": 12,
            "partial": 4,
            "map_size": 14,
            "branches": config_dict.placeholder(object),
        }
    )
    config.search.update(searchers.AUTO_FAS)
    config.search.input = "static"
    config.train.view.input = "static"


VARIANTS = {
    "local": local,
    "smoke": smoke,
    "paper": paper,
    "pod": pod,
    "baseline": baseline,
    "auto_fas": auto_fas,
}
