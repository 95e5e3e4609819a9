"""The sections and fields of a config: types, ranges and choices.

`SCHEMA` is the reference of all fields, `checks.check` applies it to a config. Choices and
ranges that belong to the library are referred to by name and imported when a config is
checked.
"""

from collections.abc import Mapping

from nasfas_jax import limits
from nasfas_jax.commands.field import ByName, Field, library
from nasfas_jax.limits import COUNT, COUNT_OR_NONE, FLAG, NOT_NEGATIVE, POSITIVE

_ROWS = ByName(Mapping, "rows by row, as {'searched': 'random'}")
_VARIANTS = ByName(
    Mapping,
    "fields by name, as {'a': {'train': {'view': {'target': 'depth'}}}}",
    Mapping,
)


def _datasets() -> limits.OneOf:
    from nasfas_jax.data import datasets

    return limits.OneOf(("", *datasets.REGISTRY))


#: The loss compares neighboring pixels, so a map has 3 x 3 or more; 32 x 32 are prepared.
MAP_SIZES = limits.Range(3, 32, whole=True)

#: Networks and methods.
NETWORKS = library("workflows.registry:NETWORKS")
_MODES = library("bilevel:MODES")
_ORDERS = library("methods.meta_nas:ORDERS")
_ARCH_ORDERS = library("methods.meta_nas:ARCH_ORDERS")
_BATCH_SIZES = library("data.loading.pipeline:BATCH_SIZES")
_FACE_SIZES = library("synthetic.specs:FACE_SIZES")
_IMAGE_SIZES = library("data.preparation.recipe:LIMITS.image_size")
_WEIGHTS = library("theta:WEIGHTS")
_COMPUTE = Field(
    "type of the networks' arithmetic; 'float32' if absent",
    library("methods.state:COMPUTE"),
    optional=True,
)
_EPISODES = Field("meta-learning episodes per step; 1 if absent", COUNT, optional=True)

#: Every field by its section; '' are the fields of the config itself.
SCHEMA: dict[str, dict[str, Field]] = {
    "": {
        "title": Field("heading of the report"),
        "seed": Field("seed of all random numbers", limits.SEED),
        "seeds": Field(
            "number of seeds of nasfas demo; 1 if absent", COUNT, optional=True
        ),
        "selected_on": Field(
            "split whose scores these settings were chosen by",
            library("evaluation.scores:SELECTED_ON"),
        ),
        "target_domain": Field(
            "domain held out for testing; '' tests on the test split of all domains"
        ),
        "protocol": Field(
            "protocol, dataset@protocol, that makes the splits; '' for none",
            optional=True,
        ),
        "networks": Field("networks to train and test", NETWORKS, many=True),
    },
    "data": {
        "dataset": Field("dataset to prepare", _datasets),
        "image_size": Field("side of the face crop, pixels", _IMAGE_SIZES),
        "frames": Field(
            "K of rank pooling, frames per clip",
            library("data.preparation.recipe:LIMITS.frames"),
        ),
        "clips_per_video": Field("clips per video", COUNT),
        "sampling": Field(
            "rule for the clips of training videos",
            library("data.preparation.sampling:RULES"),
        ),
        "eval_sampling": Field(
            "rule for the clips of development and test videos",
            library("data.preparation.sampling:RULES"),
        ),
        "margin": Field(
            "side of the crop over the longer side of the face",
            library("data.preparation.recipe:LIMITS.margin"),
        ),
        "align": Field("whether crops are turned until the eyes are level", FLAG),
        "method": Field(
            "rank pooling method", library("data.preparation.recipe:METHODS")
        ),
        "peak": Field(
            "largest value of the dynamic image; 0 leaves it as eq. 7 gives it",
            library("data.preparation.recipe:LIMITS.peak"),
        ),
        "interval": Field(
            "video frames from one frame of a clip to the next; 1 if absent",
            COUNT,
            optional=True,
        ),
        "keep_frames": Field(
            "whether records hold all frames of their clip; False if absent",
            FLAG,
            optional=True,
        ),
    },
    "synthetic": {
        "subjects_per_domain": Field(
            "people in train, development and test of each domain",
            COUNT_OR_NONE,
            length=3,
        ),
        "live_videos": Field("live videos per person", COUNT),
        "frames": Field("frames per video", COUNT),
        "face_size": Field("height of the face, pixels", _FACE_SIZES),
    },
    "standin": {
        "subjects": Field(
            "people in each split of the dataset, all where it has fewer; 0 for a few",
            COUNT_OR_NONE,
        ),
        "frames": Field("frames per video", COUNT),
        "face_size": Field("height of the face, pixels", _FACE_SIZES),
        "distinct": Field(
            "clips that the files of a person and attack share; 0 for one per file",
            COUNT_OR_NONE,
        ),
        "empty": Field("whether files have all official names and no content", FLAG),
    },
    "search": {
        "space": Field("search space", library("search.spaces:SPACES")),
        "trial": Field(
            "trial of NAS-FAS; if present it chooses space and input",
            library("search.trials:TRIALS"),
            optional=True,
        ),
        "method": Field(
            "search method; 'meta_nas' if absent",
            library("workflows.searchers:METHODS"),
            optional=True,
        ),
        "input": Field(
            "image that is searched on; 'static_dynamic' if absent",
            library("data.loading.views:INPUT"),
            optional=True,
        ),
        "optimizer": Field(
            "optimizer of the weights, eq. 10 or 13; 'adam' if absent",
            library("workflows.searchers:OPTIMIZERS"),
            optional=True,
        ),
        "decay": Field(
            "course of the weights' rate in 'darts'; 'constant' if absent",
            library("workflows.searchers:DECAYS"),
            optional=True,
        ),
        "by": Field(
            "groups that episodes draw from", library("data.loading.pipeline:BY")
        ),
        "protocol": Field(
            "protocol that a sweep searches under; that of its training if absent",
            optional=True,
        ),
        "steps": Field("search steps", COUNT),
        "alphas_from": Field("first step that updates the alphas", COUNT_OR_NONE),
        "batch_size": Field("clips of each domain or macro type", _BATCH_SIZES),
        "episodes": _EPISODES,
        "compute": _COMPUTE,
        "inner_steps": Field("inner updates per learner", COUNT),
        "inner_learning_rate": Field("rate of the inner updates, eq. 12", NOT_NEGATIVE),
        "learning_rate": Field("rate of the weights, eq. 13", POSITIVE),
        "weight_decay": Field("L2 coefficient of the weights", NOT_NEGATIVE),
        "eps_root": Field("constant under Adam's root, for the weights", NOT_NEGATIVE),
        "alpha_learning_rate": Field("rate of the alphas, eq. 14", POSITIVE),
        "alpha_momentum": Field(
            "decay of the first moment in the alphas' Adam; 0.5 if absent",
            library("methods.state:BELOW_ONE"),
            optional=True,
        ),
        "alpha_weight_decay": Field("L2 coefficient of the alphas", NOT_NEGATIVE),
        "shared_alphas": Field(
            "whether all cells have the same alphas; False if absent",
            FLAG,
            optional=True,
        ),
        "sample_temperature": Field(
            "temperature of Gumbel-softmax samples of the candidates; None (if absent)"
            " mixes them by softmax",
            limits.OrNone(POSITIVE),
            optional=True,
        ),
        "weight_order": Field("order of the weights' derivative, eq. 13", _ORDERS),
        "arch_order": Field("order of eq. 14; eq. 11 has no 'second'", _ARCH_ORDERS),
        "exact_from": Field(
            "first step in these orders, those before are of first order; 0 if absent",
            COUNT_OR_NONE,
            optional=True,
        ),
        "mode": Field("differentiation mode of inner updates", _MODES),
        "cost_weight": Field("weight of the cells' relative cost", NOT_NEGATIVE),
        "cost": Field("cost of the cells", library("search.cost:COSTS"), optional=True),
        "skip_limit": Field(
            "share of edges with skip above which a search ends; None (if absent): never",
            library("workflows.collapse:SKIP_LIMIT"),
            optional=True,
        ),
        "instruments": Field(
            "whether instruments are measured after a search; not if absent",
            FLAG,
            optional=True,
        ),
        "log_every": Field("steps between lines of metrics", COUNT),
        "save_every": Field("steps between checkpoints", COUNT),
    },
    "search.space_options": {
        "convolution": Field(
            "kind of convolution",
            library("search.fas.options:CONVOLUTIONS"),
            optional=True,
        ),
        "pool": Field(
            "kind of pooling", library("search.fas.options:POOLS"), optional=True
        ),
        "attention": Field("whether attention follows pooling", FLAG, optional=True),
        "operation_space": Field(
            "operations of nas_baseline",
            library("search.baseline.space:OPERATIONS"),
            optional=True,
        ),
        "head": Field(
            "output of spaces of cells: 'map', or 'scalar' for one probability",
            library("search.dag.space:HEADS"),
            optional=True,
        ),
        "edge_weights": Field(
            "whether edges are weighted by softmax(beta)", FLAG, optional=True
        ),
        "stem_channels": Field(
            "channels in the stem; a list of them for spaces of cells",
            library("search.dag.space:STEM_CHANNELS"),
            optional=True,
        ),
        "channels": Field("channels of the cells", COUNT, optional=True),
        "head_channels": Field("channels before the map", COUNT, optional=True),
        "partial": Field(
            "K of partial channels: one in K is searched", COUNT, optional=True
        ),
        "map_size": Field(
            "side of the predicted map, pixels", MAP_SIZES, optional=True
        ),
        "theta": Field(
            "share of central differences in the convolutions of 'cdc'; 0.7 if None",
            _WEIGHTS,
            optional=True,
        ),
        "lam": Field(
            "share of central differences in the pooling of 'cdp'; 0.7 if None",
            _WEIGHTS,
            optional=True,
        ),
        "branches": Field(
            "inputs, each with a branch, whose fusion point is searched; None for one input",
            library("data.loading.views:SEVERAL_BRANCHES"),
            optional=True,
        ),
    },
    "train": {
        "width": Field(
            "multiplier of the channels; a searched network has its own",
            library("layers:WIDTHS"),
        ),
        "macs": Field(
            "multiply-adds of an input of every network, set by its width (methods of RFMeta"
            " and hand-crafted features keep theirs); None: the width above",
            limits.OrNone(limits.POSITIVE),
            optional=True,
        ),
        "map_size": Field(
            "side of the target map, pixels; a searched network has its own",
            library("data.loading.views:MAP_SIZES"),
        ),
        "steps": Field("training steps", COUNT),
        "batch_size": Field("clips per batch or episode", _BATCH_SIZES),
        "convolution": Field(
            "convolution of DepthNet and the CDNs; 'cdc' if absent",
            library("nets.depthnet:CONVOLUTIONS"),
            optional=True,
        ),
        "theta": Field(
            "share of central differences in the convolutions of DepthNet, the CDNs and"
            " CDCN++; a searched network has that of its space",
            _WEIGHTS,
            optional=True,
        ),
        "lam": Field(
            "share of central differences in the pooling of cdn and cdn_cdp",
            _WEIGHTS,
            optional=True,
        ),
        "episodes": _EPISODES,
        "accumulate": Field(
            "parts of a batch whose gradients are averaged, of methods without episodes; 1"
            " if absent",
            COUNT,
            optional=True,
        ),
        "remat": Field(
            "whether the backward pass of a network stores the outputs of convolutions"
            " alone; not if absent",
            FLAG,
            optional=True,
        ),
        "compute": _COMPUTE,
        "augment": Field(
            "augmentation recipe", library("data.loading.augment:RECIPES")
        ),
        "learning_rate": Field("highest learning rate", POSITIVE),
        "decay": Field("course of the learning rate", library("methods.state:DECAYS")),
        "weight_decay": Field("L2 coefficient of the weights", NOT_NEGATIVE),
        "loss": Field(
            "loss of the maps; if absent that of the network, 'depth' for the CDNs",
            library("losses:BY_NAME"),
            optional=True,
        ),
        "optimizer": Field(
            "optimizer; if absent 'ranger' for eulernet, 'adam' for others",
            library("workflows.registry:OPTIMIZERS"),
            optional=True,
        ),
        "log_every": Field("steps between lines of metrics", COUNT),
        "save_every": Field("steps between checkpoints", COUNT),
        "development_every": Field(
            "steps between measurements of the development error, a multiple of"
            " log_every; no measurement if absent",
            COUNT,
            optional=True,
        ),
        "select": Field(
            "step whose model is taken; 'last' if absent",
            library("workflows.development:SELECTIONS"),
            optional=True,
        ),
    },
    "eulernet": {
        "fcam": Field("whether units have attention over time", FLAG, optional=True),
        "pyramid": Field("whether levels are joined as residuals", FLAG, optional=True),
        "filters": Field(
            "parametrization of the filters",
            library("nets.eulernet:FILTERS"),
            optional=True,
        ),
        "merge": Field(
            "map of a clip, from those of its frames",
            library("nets.eulernet:MERGES"),
            optional=True,
        ),
        "score": Field(
            "rule of the score of a map", library("nets:SCORES"), optional=True
        ),
        "stem": Field("channels at full resolution", COUNT, optional=True),
        "channels": Field("channels at lower resolutions", COUNT, optional=True),
        "head": Field("channels after the pyramid", COUNT, optional=True),
        "units": Field(
            "units at four resolutions and after the pyramid",
            COUNT,
            length=5,
            optional=True,
        ),
    },
    "train.view": {
        "input": Field(
            "image that networks are given", library("data.loading.views:INPUT")
        ),
        "color": Field(
            "color space of the image", library("data.loading.views:COLORS")
        ),
        "target": Field("map to be predicted", library("data.loading.views:TARGET")),
        "pixels": Field(
            "range of the image: 'signed' (if absent) [-1, 1], 'unit' [0, 1]",
            library("data.loading.views:PIXELS"),
            optional=True,
        ),
    },
    "meta": {
        "inner_learning_rate": Field("inner rate of RFMeta and MLDG", NOT_NEGATIVE),
        "depth_weight": Field("weight of the depth loss", NOT_NEGATIVE),
        "loss_reduction": Field(
            "sum or mean over clips and pixels",
            library("methods.feature_nets:REDUCTIONS"),
        ),
        "learner_bn_momentum": Field(
            "weight of the new batch in the learner's running averages",
            library("nets.rfmeta:MOMENTA"),
        ),
        "averages": Field(
            "rule for RFMeta's running averages of BatchNorm",
            library("methods.rfmeta:AVERAGES"),
        ),
        "inner_steps": Field("inner updates of Reptile and MetaReg", COUNT),
        "task_learning_rate": Field("inner rate of Reptile and MetaReg", POSITIVE),
        "regularizer_learning_rate": Field("rate of MetaReg's weights", NOT_NEGATIVE),
    },
    "sweep": {
        "seeds": Field("seeds, one run each", limits.SEED, many=True),
        "targets": Field(
            "domains held out, '' for the test split, or protocols, one run each",
            many=True,
        ),
        "metrics": Field(
            "rates in the table",
            library("workflows.sweep:METRICS"),
            many=True,
            optional=True,
        ),
        "by_domain": Field(
            "whether each tested domain is a column of its own; not if absent",
            FLAG,
            optional=True,
        ),
        "variants": Field(
            "fields in the place of the config's by name, one row each; '' has no folder",
            _VARIANTS,
            optional=True,
        ),
        "reference": Field(
            "rows of random architectures that the others are compared with",
            limits.TEXT,
            many=True,
            optional=True,
        ),
        "random": Field(
            "by row, the one of random architectures that its improvement is over",
            _ROWS,
            optional=True,
        ),
    },
    "metagrad": {
        "image_size": Field("side of the images of noise, pixels", _IMAGE_SIZES),
        "batch_sizes": Field("clips of each of three domains", COUNT, many=True),
        "steps": Field("inner updates", COUNT, many=True),
        "rates": Field("inner learning rates", POSITIVE, many=True),
        "modes": Field("modes measured at the first sizes", _MODES, many=True),
        "sweep_modes": Field("modes measured at the other sizes", _MODES, many=True),
        "repeats": Field("timed runs of each mode", COUNT),
    },
}


def find(name: str) -> Field | None:
    """The field of a full name, as 'train.steps'; None if there is none."""
    section, _, key = name.rpartition(".")
    return SCHEMA.get(section, {}).get(key)
