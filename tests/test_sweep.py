"""`nasfas sweep`: every network, target and seed in one table, with pictures."""

import json
import pathlib

import jax
import numpy as np
import pytest

from nasfas_jax import commands
from nasfas_jax.commands import metagrad, sweep
from nasfas_jax.errors import InputError

ROOT = pathlib.Path(__file__).parents[1]


def test_table_means_and_deviations():
    one = {"hter": 0.1, "auc": 0.9, "within": 0.05}
    two = {"hter": 0.3, "auc": 0.7, "within": 0.15}
    head, row = sweep.table({"net": {"a": [one, two], "b": [two, two]}}, ["a", "b"])
    heads = [f"{name}: HTER / AUC, %" for name in ("a", "b", "mean")]
    assert head == ["method", *heads, "within: EER, %"]
    spread = np.std([10, 30], ddof=1)
    half = np.std([20, 30], ddof=1)  # of the seeds' means over targets
    assert row == [
        "net",
        f"20.0 ± {spread:.1f} / 80.0 ± {spread:.1f}",
        "30.0 ± 0.0 / 70.0 ± 0.0",
        f"25.0 ± {half:.1f} / 75.0 ± {half:.1f}",
        f"12.5 ± {half / 2:.1f}",
    ]
    _, row = sweep.table({"net": {"a": [one]}}, ["a"])
    assert row == ["net", "10.0 / 90.0", "10.0 / 90.0", "5.0"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A workdir after two networks, two targets and two seeds."""
    workdir = tmp_path_factory.mktemp("sweep")
    commands.execute("sweep", commands.Run(config=smoke(), workdir=workdir))
    return workdir


def smoke():
    spec = {}
    exec((ROOT / "configs" / "rfmeta.py").read_text(), spec)
    return spec["get_config"]("smoke")


def test_a_wrong_name_shows_before_the_work(tmp_path, swept):
    config = smoke()
    config.networks = ("rfmeta", "rfmta")
    config.sweep.targets = ()
    with pytest.raises(
        InputError, match=r"'rfmta'.*mean rfmeta.*sweep\.targets .*got \(\)"
    ):
        commands.execute("sweep", commands.Run(config=config, workdir=tmp_path))
    config = smoke()
    config.data.dataset = ""  # only the prepared data know their domains
    config.sweep.targets = ("dom_m", "dom_x")
    run = commands.Run(config=config, workdir=tmp_path, data_dir=str(swept / "data"))
    with pytest.raises(InputError, match=r"dom_m.* got 'dom_x'"):
        commands.execute("sweep", run)
    assert not (tmp_path / "dom_m" / "seed0" / "train").exists()


def test_metagrad_takes_an_episode_of_prepared_data(tmp_path, swept):
    """The step is traced, not compiled."""
    run = commands.Run(config=smoke(), workdir=tmp_path, data_dir=str(swept / "data"))
    case, about = metagrad._case(run)
    assert about == "an episode of dom_c, dom_i, dom_o"  # dom_m is held out
    state, episode = case.arguments(2)
    assert episode["support"]["image"].shape == (2, 2, 32, 32, 3)
    assert sorted(episode["query"]["label"]) == [0, 1]
    step = case.make("forward_over_reverse", 1)
    by, _ = jax.eval_shape(step, np.float32(0.1), state, episode)
    shapes = jax.tree.map(lambda x: x.shape, by)
    assert shapes == {k: jax.tree.map(np.shape, state.params[k]) for k in "FM"}


def test_every_run_stands_in_the_table(swept):
    results = json.loads((swept / "sweep.json").read_text())
    assert set(results) == {"rfmeta", "multi_domain"}
    for name, by_target in results.items():
        assert set(by_target) == {"dom_i", "dom_m"}
        for target, tests in by_target.items():
            for seed, found in enumerate(tests):
                folder = swept / target / f"seed{seed}" / "evaluate" / name
                result = json.loads((folder / "result.json").read_text())
                assert found["auc"] == result["auc"]
                assert found["hter"] == result["test"]["hter"]
                assert found["within"] == result["development_eer"]
    lines = (swept / "sweep.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| rfmeta",
        "| multi_domain",
    ]


def test_pictures_of_the_papers_figures(swept):
    drawn = {path.name for path in (swept / "pictures").iterdir()}
    assert drawn == {
        "roc_dom_i.svg", "roc_dom_m.svg", "components.svg", "directions.svg",
        "attention.png",
    }  # fmt: skip
    assert all((swept / "pictures" / name).stat().st_size > 1000 for name in drawn)
