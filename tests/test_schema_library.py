"""The library refuses the values that the schema of configs refuses."""

import dataclasses
import functools
import math

import optax
import pytest
from config_fields import FIELDS, ROOT, wrong_values

from nasfas_jax import nets, runtime
from nasfas_jax.benchmarks import instrument
from nasfas_jax.commands import schema
from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.preparation import sampling
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.methods import (
    feature_nets,
    meta_nas,
    metareg,
    mldg,
    multi_domain,
    reptile,
    rfmeta,
)
from nasfas_jax.methods.state import adam, schedule
from nasfas_jax.nets.rfmeta import DepthEstimator, FeatureExtractor, MetaLearner
from nasfas_jax.search import spaces
from nasfas_jax.workflows import searchers


def make_feature_nets(**options):
    return feature_nets.FeatureNets(
        FeatureExtractor(), MetaLearner(), DepthEstimator(), **options
    )


def search_method(**options):
    sgd = optax.sgd(0.1)
    net = spaces.get("nas_fas").supernet()
    return meta_nas.MetaNAS(net, sgd, sgd, sgd, **options)


def with_nets(method, *args):
    return lambda **options: method(
        make_feature_nets(), optax.sgd(0.1), *args, **options
    )


def fit(**options):
    runtime.fit(
        "x", lambda *_: None, None, iter(()), folder=ROOT, **{"steps": 1} | options
    )


def measure(**options):
    case = instrument.Case("x", lambda *_: None, lambda _: ())
    instrument.measure(case, **options)


def logits(**options):
    import jax

    image = jax.ShapeDtypeStruct((1, 8, 8, 3), "float32")
    net = MetaLearner(**options)
    jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=True), image)


def having(option):
    """The first search space that has an option."""
    names = ("nas_fas", *spaces.SPACES)
    return next(
        name
        for name in names
        if option in {field.name for field in dataclasses.fields(spaces.SPACES[name])}
    )


#: What takes a config's field in the library, by the field; and its name there.
LIBRARY = {
    **{f"data.{name}": (Recipe, name) for name in schema.SCHEMA["data"]},
    **{f"train.view.{name}": (pipeline.View, name) for name in ("input", "color")},
    "train.view.target": (pipeline.View, "target"),
    "train.view.pixels": (pipeline.View, "pixels"),
    **{
        f"search.space_options.{name}": (
            functools.partial(spaces.get, having(name)),
            name,
        )
        for name in schema.SCHEMA["search.space_options"]
    },
    "search.space": (spaces.get, "name"),
    **{
        f"search.{name}": (search_method, name)
        for name in (
            *("inner_steps", "weight_order", "arch_order", "mode", "alphas_from"),
            *("exact_from", "shared_alphas", "sample_temperature", "cost_weight"),
        )
    },
    "search.cost": (functools.partial(searchers.settings_of, "meta_nas"), "cost"),
    "search.weight_decay": (
        functools.partial(adam, 0.1),
        "weight_decay",
    ),
    "search.eps_root": (
        functools.partial(adam, 0.1, weight_decay=0.0),
        "eps_root",
    ),
    "search.learning_rate": (
        functools.partial(adam, weight_decay=0.0),
        "learning_rate",
    ),
    **{
        f"train.{name}": (
            lambda **o: schedule(
                **{"decay": "cosine", "learning_rate": 0.1, "steps": 10} | o
            ),
            name,
        )
        for name in ("decay", "learning_rate", "steps")
    },
    "search.steps": (fit, "steps"),
    "train.log_every": (fit, "log_every"),
    "train.save_every": (fit, "save_every"),
    "train.episodes": (runtime.make_mesh, "episodes"),
    "train.width": (nets.CDN, "width"),
    "train.map_size": (nets.CDN, "map_size"),
    "meta.inner_learning_rate": (with_nets(rfmeta.RFMeta), "inner_learning_rate"),
    "meta.depth_weight": (make_feature_nets, "depth_weight"),
    "meta.loss_reduction": (make_feature_nets, "loss_reduction"),
    "meta.learner_bn_momentum": (logits, "bn_momentum"),
    "meta.averages": (with_nets(rfmeta.RFMeta), "averages"),
    "meta.inner_steps": (with_nets(reptile.Reptile), "inner_steps"),
    "meta.task_learning_rate": (
        with_nets(metareg.MetaReg, 3),
        "task_learning_rate",
    ),
    "meta.regularizer_learning_rate": (
        with_nets(metareg.MetaReg, 3),
        "regularizer_learning_rate",
    ),
    "metagrad.repeats": (measure, "repeats"),
}


del LIBRARY["data.dataset"]


@pytest.mark.parametrize("path", LIBRARY)
def test_the_library_refuses_what_the_schema_refuses(path):
    call, name = LIBRARY[path]
    for value in wrong_values(FIELDS[path].values):
        if "map_size" in path and value in (2, 33):
            continue  # networks have maps of any size; the data and the loss do not
        with pytest.raises(ValueError, match=rf"^{name}: expected .*, got "):
            call(**{name: value})


@pytest.mark.parametrize(
    ("call", "name", "value"),
    [
        (with_nets(mldg.MLDG), "query_weight", -1),
        (with_nets(mldg.MLDG), "inner_learning_rate", math.nan),
        (with_nets(reptile.Reptile), "inner_learning_rate", 0),
        (with_nets(metareg.MetaReg, 3), "inner_steps", 0),
        (with_nets(metareg.MetaReg), "domains", 1),
        (with_nets(rfmeta.RFMeta), "inner_steps", 0),
        (with_nets(rfmeta.RFMeta), "order", "second"),
        (with_nets(multi_domain.MultiDomain), "batches", "pool"),
        (functools.partial(adam, 0.1, weight_decay=0.0), "b1", 1.0),
        (functools.partial(adam, 0.1, weight_decay=0.0), "b2", -0.1),
        (measure, "batch_size", 0),
        (measure, "steps", 0),
        (pipeline.View, "map_size", 33),
        (
            lambda sampling_: sampling.clip_ends(sampling_, 20, 3, 7),
            "sampling_",
            "evn",
        ),
    ],
)
def test_other_arguments_of_the_library_are_refused_by_name(call, name, value):
    with pytest.raises(ValueError, match=rf"^{name.strip('_')}: expected .*, got "):
        call(**{name: value})
    with pytest.raises(ValueError, match=r"rates\[1\]: expected"):
        measure(rates=(0.1, -1))
    with pytest.raises(ValueError, match="rates: expected one or more"):
        measure(rates=())
