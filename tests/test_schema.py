"""Configs against their schema: fields, sections and relations."""

import copy
import dataclasses
import functools
import pathlib
import re
import runpy
import subprocess
import sys

import ml_collections
import pytest
import smoke
from absl import flags
from config_fields import FIELDS, ROOT, wrong_values

from nasfas_jax import commands, limits
from nasfas_jax.commands import checks, fields, parsing, schema
from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError
from nasfas_jax.search import fas
from nasfas_jax.workflows import registry


@functools.cache
def shipped():
    """All variants of all configs, by file and variant."""
    found = {}
    for path in sorted((ROOT / "configs").glob("*.py")):
        spec = runpy.run_path(str(path))
        for variant in spec.get("VARIANTS", ("default", "smoke")):
            found[f"{path.stem}:{variant}"] = spec["get_config"](variant)
    return found


def whole():
    """A config with every section, as dicts."""
    configs = shipped()
    config = configs["synthetic:smoke"].to_dict()
    meta = configs["rfmeta:smoke"].meta.to_dict()
    eulernet = configs["eulernet:smoke"].eulernet.to_dict()
    return {**config, "meta": meta, "eulernet": eulernet}


def changed(path, value):
    """`whole` with one field, as 'train.steps', of another value."""
    config = copy.deepcopy(whole())
    *sections, name = path.split(".")
    holder = functools.reduce(dict.__getitem__, sections, config)
    holder[name] = value
    return config


def refusal(config, **options):
    """The one paragraph by which a config is refused."""
    with pytest.raises(InputError) as error:
        checks.check(config, **options)
    text = str(error.value)
    assert "\n" not in text and text.endswith((".", "?"))
    return text


@pytest.mark.parametrize("name", shipped())
def test_shipped_configs_pass(name):
    checks.check(shipped()[name])
    plain = shipped()[name].to_dict()
    checks.check(plain)
    assert refusal(plain | {"train": plain["train"] | {"steps": 0}})


def flattened(section, prefix=""):
    for name, value in section.items():
        full = f"{prefix}{name}"
        if isinstance(value, dict) and full not in FIELDS:
            yield from flattened(value, f"{full}.")
        else:
            yield full


def test_the_schema_declares_the_fields_of_all_configs_and_no_others():
    written = {f for config in shipped().values() for f in flattened(config.to_dict())}
    assert written <= set(FIELDS)
    assert set(FIELDS) == written


@pytest.mark.parametrize(
    ("section", "kind", "apart"),
    [
        ("data", Recipe, {"dataset", "detector", "landmarks", "version"}),
        ("train.view", pipeline.View, {"map_size"}),
        (
            "search.space_options",
            fas.FASSpace,
            {"operation_space", "head", "edge_weights"},
        ),
    ],
)
def test_sections_have_the_fields_of_the_library(section, kind, apart):
    fields = {field.name for field in dataclasses.fields(kind)}
    assert fields ^ set(schema.SCHEMA[section]) == apart


def wrong_lists(field):
    good = next(iter(getattr(field.values, "names", ())), "dom_o")
    if isinstance(field.values, limits.Range):
        good = 2
    yield from ((), good, (good, good) * 2, {good})
    for value in wrong_values(field.values):
        yield (value, good, good) if field.length else (value,)


@pytest.mark.parametrize("path", FIELDS)
def test_wrong_values_are_named(path):
    field = FIELDS[path]
    is_list = field.many or field.length
    values = list(wrong_lists(field) if is_list else wrong_values(field.values))
    assert len(values) >= 3
    for value in values:
        text = refusal(changed(path, value))
        about = re.escape(field.about)
        assert re.match(rf"config\.{path} \({about}\): expected .*, got ", text), text
        assert repr(value) in text and text.count("config.") == 1


@pytest.mark.parametrize(
    ("path", "value", "near"),
    [
        ("train.decay", "cosin", "cosine"),
        ("train.augment", "standart", "standard"),
        ("train.view.color", "rbg", "rgb"),
        ("data.dataset", "oulu-npu", "oulu_npu"),
        ("data.sampling", "evn", "even"),
        ("search.mode", "forward_over_revers", "forward_over_reverse"),
        ("search.space", "nas-fas", "nas_fas"),
        ("search.space_options.convolution", "cdcc", "cdc"),
        ("networks", ("cdn", "deptnet"), "depthnet"),
        ("target_domain", "dom_mm", "dom_m"),
        ("sweep.targets", ("dom_o", "domi"), "dom_i"),
        ("protocol", "oulu_npu@33.1", "oulu_npu@3.1"),
    ],
)
def test_near_names_are_offered(path, value, near):
    text = refusal(changed(path, value))
    assert text.startswith(f"config.{path}") and near in text


def test_every_wrong_field_is_named_at_once():
    config = changed("train.steps", -1)
    config["train"]["decay"] = "typo"
    config["search"]["space_options"]["partial"] = 0
    text = refusal(config)
    for path in ("train.steps", "train.decay", "search.space_options.partial"):
        assert f"config.{path} (" in text


def test_missing_and_unknown_fields_are_named():
    config = whole()
    del config["train"]["decay"]
    config["train"]["deca"] = "cosine"
    text = refusal(config)
    assert "config.train.deca: there is no such field. Did you mean decay?" in text
    assert "config.train.decay (course of the learning rate): missing; expected" in text
    assert "no such field. Did you mean train?" in refusal(whole() | {"trian": {}})
    assert refusal(changed("train", 3)).startswith("config.train: expected a section")
    config = whole()
    del config["train"]["view"], config["seed"]
    text = refusal(config)
    assert "config.train.view: this section is missing." in text
    assert "config.seed (seed of all random numbers): missing; " in text


def test_a_placeholder_that_nothing_fills_is_missing():
    config = ml_collections.ConfigDict(whole())
    config.train.steps = ml_collections.config_dict.required_placeholder(int)
    assert "config.train.steps (training steps): missing" in refusal(config)
    config.train.steps = 3
    checks.check(config)


def test_fields_that_may_be_missing():
    config = whole()
    del config["protocol"], config["search"]["episodes"]
    config["search"]["space_options"] = {}
    checks.check(config)


@pytest.mark.parametrize(
    ("command", "section"),
    [(name, need) for name, row in commands.COMMANDS.items() for need in row.needs]
    + [(command, "synthetic") for command in checks.RENDERING],
)
def test_a_section_that_a_command_needs_is_named(command, section):
    config = whole()
    del config[section]
    if section == "synthetic":
        checks.check(config)
        checks.check(changed("data.dataset", "own_data"), command="prepare")
    text = refusal(config, command=command)
    assert f"config.{section}: this section is missing, and `nasfas {command}`" in text
    assert "configs/synthetic.py has one" in text and command in commands.COMMANDS
    checks.check(whole(), command=command)


@pytest.mark.parametrize("name", registry.FEATURE_METHODS)
def test_a_method_without_its_section_is_told_where_to_take_it(name):
    config = {key: value for key, value in whole().items() if key != "meta"}
    config["data"] = config["data"] | {"image_size": 32}
    text = refusal(config, command="train", network=name)
    said = f"config.meta: this section is missing, and {name} needs its rates"
    assert text.startswith(said) and text.endswith("configs/rfmeta.py has it.")
    checks.check(config | {"meta": whole()["meta"]}, command="train", network=name)


RELATIONS = {
    "alphas_from": ({"search.alphas_from": 3}, "less than config.search.steps, 3"),
    "exact_from": (
        {"search.exact_from": 3},
        "config.search.exact_from: expected less than config.search.steps, 3",
    ),
    "first_order": (
        {
            "search.exact_from": 1,
            "search.weight_order": "first",
            "search.arch_order": "first",
        },
        "config.search.exact_from: expected 0 where weight_order and arch_order",
    ),
    "second": (
        {"search.method": "darts", "search.arch_order": "second"},
        "config.search.arch_order: expected 'first' or 'exact' for the method 'darts'",
    ),
    "eps_root": ({"search.eps_root": 0.0}, "config.search.eps_root: .* above 0 where"),
    "partial": (
        {"search.space_options.channels": 6, "search.space_options.partial": 4},
        r"config\.search\.space_options\.channels: expected a multiple of partial, 4",
    ),
    "frames": (
        {"synthetic.frames": 6},
        r"config\.synthetic\.frames: expected .* config\.data\.interval or more, 7 ",
    ),
    "image": (
        {"networks": ("mldg",), "data.image_size": 48},
        r"config\.data\.image_size: expected a multiple of 32, since mldg .* got 48",
    ),
    "map": (
        {"networks": ("rfmeta",), "data.image_size": 96},
        r"config\.train\.map_size: expected a multiple of 12, .* got 32",
    ),
    "small_map": (
        {"networks": ("resnet18", "cdn"), "train.map_size": 1},
        r"config\.train\.map_size: expected 3 or more for cdn, .* got 1",
    ),
    "input": (
        {"networks": ("ida",)},
        r"config\.train\.view: ida .* got input 'static_dynamic'",
    ),
    "color": (
        {
            "networks": ("ms_lbp",),
            "train.view.input": "static",
            "train.view.color": "hsv",
        },
        r"config\.train\.view: ms_lbp .* color 'hsv'",
    ),
    "modes": (
        {"metagrad.modes": ("first_order",)},
        r"config\.metagrad\.modes: expected 'reverse_over_reverse' among them",
    ),
    "sweep_modes": (
        {"metagrad.sweep_modes": ("unrolled",)},
        r"config\.metagrad\.sweep_modes: expected 'reverse_over_reverse' among them",
    ),
    "fold": ({"protocol": "siw@3"}, r"config\.protocol: .* mean over its folds"),
}


@pytest.mark.parametrize("name", RELATIONS)
def test_fields_that_do_not_fit_each_other_are_named(name):
    changes, message = RELATIONS[name]
    config = ml_collections.ConfigDict(whole())
    checks.check(config)
    config.update_from_flattened_dict(changes)
    assert re.search(message, refusal(config))


def test_relations_hold_only_where_they_belong():
    config = whole()
    folds = changed("protocol", "oulu_npu@3")
    assert "config.protocol: " in refusal(folds, command="train")
    first = changed("search.arch_order", "first")
    first["search"]["eps_root"] = 0
    checks.check(first)
    checks.check(changed("protocol", "oulu_npu@1") | {"target_domain": "anywhere"})
    other = changed("data.dataset", "own_data") | {"target_domain": "anywhere"}
    other["synthetic"]["frames"] = 1
    checks.check(other)
    del config["search"]
    config["metagrad"]["image_size"] = 48
    assert "config.metagrad.image_size: expected a multiple of 32" in refusal(config)


def test_the_flag_network_takes_the_place_of_the_networks():
    config = changed("networks", ("rfmeta",))
    del config["meta"]
    checks.check(config, command="train", network="cdn")
    text = refusal(config, command="train", network="cdm")
    assert text.startswith("--network: expected one of") and "Did you mean cdn" in text


def test_a_flag_that_cannot_be_parsed_is_told_what_its_field_expects():
    error = ValueError("flag --config.train.view.color=3: not a str: 3")
    said = "--config.train.view.color (color space of the image): expected one of 'rgb'"
    assert fields.wrong_value(error).startswith(said)
    for other in ("config.train.view=3: x", "workdir=3: x", "config.tran.steps=3: x"):
        assert fields.wrong_value(ValueError(f"flag --{other}")) == ""


# ml_collections loads config files by it.
@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
def test_an_optional_field_that_a_config_lacks_is_set_by_a_flag():
    values = flags.FlagValues()
    given = ["--config.train.compute=bfloat16", "--config.train.accumulate=2"]
    parsing.parse(["nasfas", "train", "--config=synthetic:smoke", *given], values)
    config = values["config"].value
    assert "compute" not in smoke.config().train and config.is_locked
    assert (config.train.compute, config.train.accumulate) == ("bfloat16", 2)


def test_a_flag_does_not_hide_that_a_section_is_missing(tmp_path):
    config = ml_collections.ConfigDict(
        {k: v for k, v in whole().items() if k != "data"}
    )
    with pytest.raises(InputError, match=r"^config\.data: this section is missing"):
        smoke.execute("prepare", tmp_path, config, dataset="own_data")


@pytest.mark.parametrize(
    ("size", "near"), [(5, "6 and 9"), (20, "18 and 21"), (3, "6")]
)
def test_episodes_have_as_many_clips_of_each_domain(size, near):
    assert registry.clips_per_domain(18, 3) == 6
    with pytest.raises(InputError, match=rf"batch_size: .* of 3, .*are {near}"):
        registry.clips_per_domain(size, 3)


def test_the_command_line_refuses_before_any_work(tmp_path):
    program = pathlib.Path(sys.executable).with_name("nasfas")
    flags = "--config.search.steps=-1", "--config.train.decay=typo"
    done = subprocess.run(
        [program, "demo", *flags, f"--workdir={tmp_path / 'run'}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and not (tmp_path / "run").exists()
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("nasfas demo: config.search.steps")
    assert "config.train.decay (course of the learning rate): expected" in lines[0]
