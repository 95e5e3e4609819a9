"""Genotypes and their file."""

import copy
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasfas_jax.errors import InputError
from nasfas_jax.search import fas, genotype, spaces
from nasfas_jax.search.fas import options


def test_derive_takes_the_strongest_but_never_none():
    space = spaces.get("nas_fas")
    alphas = {cell: np.zeros((4, 8)) for cell in options.CELLS}
    alphas["low"][:, 0] = 9.0  # none
    alphas["low"][0, 7] = 2.0
    alphas["mid"][1, [2, 4]] = 1.0  # a tie: the earlier one
    alphas["high"][2] = [-5.0, -3.0, -3.0, -2.0, -1.0, -4.0, -2.0, -2.0]
    found = space.derive(alphas)
    assert found.space == space.for_retraining()
    assert found.cells == (
        ("cdc_2_2.0", "skip", "skip", "skip"),
        ("skip", "cdc", "skip", "skip"),
        ("skip", "skip", "cdc_2_1.4", "skip"),
    )


def test_random_architectures():
    space = spaces.get("nas_fas", convolution="conv")
    samples = [space.sample(seed) for seed in range(40)]
    assert samples[3] == space.sample(3)
    seen = {op for sample in samples for cell in sample.cells for op in cell}
    assert seen == set(space.operations[1:])


@pytest.mark.parametrize("seed", range(3))
def test_a_file_holds_the_whole_genotype(tmp_path, seed):
    space = spaces.get("nas_fas", pool="max", attention=seed == 1, map_size=16 + seed)
    saved = space.sample(seed)
    genotype.save(tmp_path / "genotype.json", saved)
    assert genotype.load(tmp_path / "genotype.json") == saved


GOOD = fas.CDCN_PP.as_dict()


def changed(path, value):
    """A good file's content with one field changed."""
    data = copy.deepcopy(GOOD)
    *parents, last = path
    field = data
    for name in parents:
        field = field[name]
    field[last] = value
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], '"format" is not "nasfas-genotype"'),
        (changed(["format"], "darts"), '"format" is not "nasfas-genotype"'),
        (
            changed(["version"], 3),
            '"version" is 3; this program reads versions 1 and 2',
        ),
        (changed(["space"], "nas_fas"), "\"space\" must hold .* got 'nas_fas'"),
        (
            changed(["space", "name"], "darts"),
            '"space".*one of .*.nas_fas., got .darts.',
        ),
        (changed(["space", "name"], []), r'"space".*one of .*.nas_fas., got \[\]'),
        (changed(["space", "cost"], 1), '"space".*options of .*got .cost.'),
        (changed(["space", "pool"], "mean"), '"space".*pool: expected .* got .mean.'),
        (changed(["space", "partial"], 0), '"space".*partial: expected .* got 0'),
        (
            changed(["space", "channels"], 64.0),
            '"space".*channels: expected .* got 64.0',
        ),
        (changed(["cells"], None), '"cells" must hold .* got None'),
        (changed(["cells", "top"], []), '"cells" must hold'),
        (changed(["cells", "mid"], ["cdc"] * 3), '"mid" must list 4 .* got .*cdc'),
        (changed(["cells", "mid"], "skip"), "\"mid\" must list 4 .* got 'skip'"),
        (changed(["cells", "low", 1], "conv"), r"\"low\" has \['conv'\].* lacks"),
        (changed(["cells", "low", 1], "none"), r"\"low\" has \['none'\].* lacks"),
    ],
)
def test_a_wrong_genotype_file_is_named_with_its_field(tmp_path, data, message):
    path = tmp_path / "genotype.json"
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=message) as error:
        genotype.load(path)
    assert str(error.value).startswith(str(path))


LINKS = [
    genotype.Link(*ends, "skip")
    for ends in [(0, 2), (1, 2), (0, 3), (1, 3), (0, 4), (1, 4), (0, 5), (1, 5)]
]


@pytest.mark.parametrize(
    ("space", "cells", "message"),
    [
        ("nas_fas", (("skip",) * 4,) * 2, r"cells: expected the cells \['low', "),
        ("nas_fas", (("skip",) * 4,) * 2 + (("skip",) * 3,), '"high" must list 4'),
        ("nas_fas", (("skip",) * 4,) * 2 + (("skp",) * 4,), r"lacks.* mean skip"),
        ("auto_fas", (tuple(LINKS), tuple(LINKS[:-1])), "has 1 edge into node 5"),
        ("auto_fas", (tuple(LINKS), ("skip",) * 8), '"reduction" must list edges'),
        ("auto_fas", (tuple(LINKS[2:]), tuple(LINKS)), "has 0 edges into node 2"),
    ],
)
def test_a_wrong_architecture_is_refused_when_it_is_made(space, cells, message):
    with pytest.raises(InputError, match=message):
        genotype.Genotype(spaces.get(space), cells)
    with pytest.raises(InputError, match=r"fusion: expected None .* got 'stem'"):
        genotype.Genotype(fas.FASSpace(), (("skip",) * 4,) * 3, "stem")


def test_an_unreadable_genotype_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no genotype file .*absent.json.*search"):
        genotype.load(tmp_path / "absent.json")
    with pytest.raises(InputError, match=re.escape(str(tmp_path))):
        genotype.load(tmp_path)  # a folder
    path = tmp_path / "genotype.json"
    for content in (b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b"1" * 5_000):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"genotype.json is not a genotype: not"):
            genotype.load(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(list(GOOD)), inner)
    ),
    max_leaves=6,
)


FIELDS = st.sampled_from(
    [
        *([name] for name in GOOD),
        *(["space", name] for name in [*GOOD["space"], "new"]),
        *(["cells", name] for name in options.CELLS),
        *(["cells", name, edge] for name in options.CELLS for edge in range(4)),
    ]
)


@settings(max_examples=200, deadline=None)
@given(JSON, FIELDS)
def test_whatever_stands_in_a_genotype_is_read_or_refused(value, path):
    for data in (value, changed(path, value)):
        try:
            assert isinstance(genotype.parse(data), genotype.Genotype)
        except InputError as error:
            assert str(error)
