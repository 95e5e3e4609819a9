"""Costs of the networks beside the papers' figures."""

import numpy as np
import pytest

import nasfas_jax as nf
from nasfas_jax import commands, nets
from nasfas_jax.errors import InputError
from nasfas_jax.nets import published
from nasfas_jax.search import cost as latencies
from nasfas_jax.workflows import costs as costs_workflow

#: Conventions by which the printed figures of NAS-FAS and Auto-FAS are found.
RECONCILED = {
    "DepthNet, 2.25 M": ("all parameters", ""),
    "MobileNetV1, 3.20 M": ("2 classes or no classifier, digits cut", "2 x MACs"),
    "ResNet50, 23.52 M": (
        "10 classes and a first kernel of 3 x 3",
        "MACs at 224 pixels, digits cut",
    ),
    "DepthNet, 2.22 M": (
        "all parameters",
        "2 x MACs, additions of biases and pooling",
    ),
    "MobileNetV3, 4.21 M": ("10 classes", "no match"),
    "ShuffleNetV2, 2.27 M": ("1,000 classes, digits cut", "no match"),
    "ResNet-18, 11.69 M": ("1,000 classes", "no match"),
}
#: Rows that no convention gives.
UNMATCHED = {"MobileNetV2", "PNAS", "Auxiliary (Depth)", "Auto-FAS"}


@pytest.fixture(scope="module")
def costs():
    networks = ["depthnet", "mobilenet_v1", "mobilenet_v3", "resnet50", "shufflenet_v2"]
    return nf.cost([*networks, "resnet18"])


def test_the_rows_that_can_be_reconciled_are(costs):
    found = {
        f"{cost.figure.row}, {cost.figure.parameters}": (
            cost.parameters_by,
            cost.flops_by,
        )
        for cost in costs.rows
    }
    assert found == RECONCILED
    rows = {cost.figure.row: cost for cost in costs.rows}
    assert rows["DepthNet"].parameters == 2_217_344  # the last of two
    assert rows["DepthNet"].macs == 46_544_781_312
    assert rows["MobileNetV1"].macs == 741_509_120
    assert rows["ResNet-18"].macs == 474_668_800
    named = {figure.row for figure in published.FIGURES if figure.network}
    assert named == set(rows) | UNMATCHED


def test_every_printed_row_is_listed():
    tables = [figure.table for figure in published.FIGURES]
    assert tables.count("NAS-FAS Table 8") == 13
    assert tables.count("Auto-FAS Table 4") == 3
    assert all(figure.network or figure.remark for figure in published.FIGURES)


def test_a_search_space_costs_the_mean_of_its_architectures(monkeypatch, capsys):
    """Auto-FAS Table 4 with latencies, those of two architectures 0.1 s and 0.3 s."""
    calls = []

    def latency(module, shape, repeats):
        calls.append((module, shape, repeats))
        return 0.1 if len(calls) == 1 else 0.3

    monkeypatch.setattr(costs_workflow, "RANDOM", 2)
    monkeypatch.setattr(latencies, "latency", latency)
    commands.execute("cost", network="auto_fas", repeats="5")
    head, _, line = capsys.readouterr().out.splitlines()
    assert head.endswith("latency, ms |") and line.endswith("| 200.0 |")
    assert line.startswith("| auto_fas | Auto-FAS Table 4, Auto-FAS | 108 |")
    assert [call[1:] for call in calls] == 2 * [((1, 108, 108, 3), 5)]
    counts = [nets.parameters(costs_workflow._variables(net, 64)) for net, *_ in calls]
    assert f"| {round(np.mean(counts)):,} |" in line
    assert counts[0] != counts[1]
    with pytest.raises(InputError, match="repeats: expected an integer"):
        nf.cost(["cdn"], repeats=-1)


def test_a_figure_is_rounded_or_cut():
    match = published.matching
    assert match("2.28 M", {"a": 2_278_604, "b": 2_275_001}) == "a or b"
    assert match("2.27 M", {"a": 2_278_604, "b": 2_265_001}) == "b"
    assert match("2.27 M", {"a": 2_278_604}) == "a, digits cut"
    assert match("93.14 G", {"a": 93_143_500_000}) == "a"
    assert match("4.08 G", {"a": 4.2e9}) == "no match"


def test_the_command_prints_a_table(capsys):
    commands.execute("cost", network="auxiliary")
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith(
        "| auxiliary | Auto-FAS Table 4, Auxiliary (Depth) | 108 |"
    )
    assert "8,432," in lines[2] and lines[2].count("no match") == 2
    with pytest.raises(InputError, match=r"--network: .*Did you mean resnet"):
        commands.execute("cost", network="resnt18")
