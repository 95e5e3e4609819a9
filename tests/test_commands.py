"""README's commands on a fresh folder, run as written, and what they leave."""

import csv
import html.parser
import json
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import smoke

from nasfas_jax import evaluation, nets, runtime
from nasfas_jax.commands import demo, report, seeds
from nasfas_jax.errors import InputError
from nasfas_jax.search import genotype
from nasfas_jax.workflows.trade_off import TradeOff

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def nasfas(*arguments, cwd):
    program = pathlib.Path(sys.executable).with_name("nasfas")
    return subprocess.run(
        [program, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    """The folder in which README's small road was run."""
    folder = tmp_path_factory.mktemp("road")
    (folder / "configs").symlink_to(ROOT / "configs")
    block = next(b for b in re.findall(r"```bash\n(.*?)```", README, re.S))
    for line in block.splitlines():
        program, *arguments = line.split()
        assert program == "nasfas"
        done = nasfas(*arguments, cwd=folder)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        (folder / f"{arguments[0]}.log").write_text(done.stdout)
    return folder / "runs" / "smoke"


def test_readme_python_runs():
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    for block in blocks[1:]:  # the first, the quickstart, runs in test_front_door.py
        exec(block, {})


def test_scores_give_the_result(road):
    for name in ("searched", "depthnet"):
        folder = road / "evaluate" / name
        table = evaluation.read_scores(folder / "scores.csv")
        assert set(table.domain[table.split == "test"]) == {"dom_m"}
        assert "dom_m" not in table.domain[table.split == "development"]
        result = json.loads((folder / "result.json").read_text())
        again = evaluation.evaluate(table, seed=0)
        assert result["threshold"] == again.threshold
        assert result["auc"] == again.auc


def test_untrained_networks_are_named_at_chance(road, capsys):
    """In percent, as HTER and AUC are printed, in the table and in the report."""
    said = (road.parents[1] / "evaluate.log").read_text()
    assert len(re.findall(r"HTER \d+\.\d %, AUC \d+\.\d % on dom_m", said)) == 2
    demo.print_table(smoke.config(), road)
    table, page = capsys.readouterr().out, (road / "report.html").read_text()
    assert "AUC, % (95 %)" in table and "searched * " in table
    assert "* not shown to be better than chance on development data" in table
    assert "Not shown to be better than chance: the AUC on development is" in page


def test_random_architectures_have_their_mean(road, tmp_path, capsys):
    config = smoke.config()
    config.networks = ("depthnet", "random_0", "random_1")
    for stage in ("train", "evaluate"):
        for name in config.networks:
            shutil.copytree(road / stage / "depthnet", tmp_path / stage / name)
    demo.print_table(config, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    labels = ("depthnet", "random, mean of 2")
    one, mean = (next(x for x in lines if label in x) for label in labels)
    rates = re.findall(r"(\d+\.\d) \(", one)
    assert re.findall(r"\d+\.\d", mean)[:2] == rates


def test_a_second_seed_has_a_folder_and_the_report_both(road, tmp_path, capsys):
    """The stages of the second seed find the data and all else in its folder."""
    config = smoke.config()
    config.seeds = 2
    for seed, folder in seeds.folders(config, tmp_path).items():
        assert seeds.at(config, seed).seed == seed
        for stage in ("train", "evaluate"):
            shutil.copytree(road / stage, folder / stage)
    assert (tmp_path / "seed1" / "train").exists()
    report.run(config, workdir=tmp_path, data_dir=road / "data")
    demo.print_table(config, tmp_path)
    assert "AUC, % (2 seeds)" in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text()
    assert "All seeds, 0 and 1, were searched and trained alike" in page
    assert "AUC, % (2 seeds)" in page


def test_network_is_rebuilt_from_its_file_alone(road):
    found = genotype.load(road / "search" / "genotype.json")
    curve = TradeOff.load(road / "search" / "trade_off.json")
    assert curve.cost == "macs" and curve.points[0].genotype == found
    assert (road / "search" / "trade_off.svg").exists()
    described = json.loads((road / "train" / "searched" / "network.json").read_text())
    assert nets.from_description(described) == nets.SearchedNet(found)
    cost = json.loads((road / "train" / "searched" / "summary.json").read_text())
    assert cost["parameters"] > 0 and cost["macs"] > 0


def test_report_is_one_file_with_all_parts(road):
    text = (road / "report.html").read_text(encoding="utf-8")

    class Links(html.parser.HTMLParser):
        found: list = []  # noqa: RUF012

        def handle_starttag(self, tag, attrs):
            self.found += [v for k, v in attrs if k in ("src", "href")]

    Links().feed(text)
    assert Links.found and all(link.startswith(("data:", "#")) for link in Links.found)
    parts = (
        "HTER",
        "ROC",
        "found cells",
        "The search",
        "Trade-off",
        "Faces",
        "dataset",
    )
    for part in parts:
        assert part in text
    for picture in ("faces", "cells", "contact_sheet"):
        assert (road / "report" / f"{picture}.png").stat().st_size > 1000


def test_predict_writes_scores_video_and_maps(road):
    stem = road / "predict" / "dom_m_003_replay_mp4"
    lines = stem.with_suffix(".csv").read_text().splitlines()
    rows = [row for row in csv.DictReader(lines[1:]) if row["score"]]
    assert len(rows) >= 2 and all(row["verdict"] in ("live", "spoof") for row in rows)
    assert stem.with_suffix(".mp4").stat().st_size > 1000
    assert (road / "predict" / "dom_m_003_replay_mp4_maps.png").exists()


def test_a_search_that_was_cut_goes_on_bit_for_bit(road, tmp_path):
    def search(steps):
        flags = f"--workdir={tmp_path}", f"--data_dir={road / 'data'}"
        config = f"--config={ROOT / 'configs' / 'synthetic.py'}:smoke"
        steps = f"--config.search.steps={steps}"
        done = nasfas("search", config, steps, *flags, cwd=tmp_path)
        assert done.returncode == 0, done.stderr

    search(2)
    search(3)
    lines = [runtime.read_metrics(folder / "search") for folder in (road, tmp_path)]
    whole, resumed = ([{**line, "seconds": 0} for line in part] for part in lines)
    assert whole[-1] == resumed[-1] and whole[-1]["step"] == 3
    files = [folder / "search" / "genotype.json" for folder in (road, tmp_path)]
    assert files[0].read_text() == files[1].read_text()


def test_a_space_with_small_maps_is_searched_trained_and_tested(road, tmp_path):
    """The maps of a genotype are those of its space, whatever config.train.map_size is."""
    config = smoke.config()
    config.search.update(steps=2, weight_order="first", arch_order="first")
    config.search.space_options.map_size = 16
    assert config.train.map_size == 32
    small = {"config": config, "data_dir": road / "data", "network": "searched"}
    for command in ("search", "train", "evaluate"):
        smoke.execute(command, tmp_path, **small)
    found = genotype.load(tmp_path / "search" / "genotype.json")
    assert found.space.map_size == 16
    with np.load(tmp_path / "evaluate" / "searched" / "examples.npz") as examples:
        assert examples["predicted"].shape[1:] == (16, 16)
    config.search.space_options.map_size = 64
    with pytest.raises(InputError, match=r"map_size .* from 3 to 32, got 64"):
        smoke.execute("search", tmp_path, **small)


def test_checkpoints_of_another_network_are_refused(road, tmp_path):
    shutil.copytree(road / "train" / "depthnet", tmp_path / "train" / "depthnet")
    other = smoke.config()
    other.train.width = 1 / 16
    with pytest.raises(InputError, match=r"network\.width was 0\.03125 and is 0\.0625"):
        where = {"data_dir": road / "data", "network": "depthnet"}
        smoke.execute("train", tmp_path, other, **where)


@pytest.mark.parametrize(
    ("command", "flags", "says"),
    [
        (
            "prepare",
            {"dataset": "nothing"},
            "data.dataset (dataset to prepare): expected",
        ),
        ("prepare", {"dataset": "own_data"}, "--manual_dir is missing"),
        ("prepare", {"dataset": "own_data", "manual_dir": "nowhere"}, "nowhere"),
        ("search", {"data_dir": "nowhere"}, "nowhere"),
        ("train", {"network": "searched"}, "no genotype file"),
        ("train", {"network": "resnet"}, "--network: expected one of 'searched'"),
        ("train", {"network": "rfmeta"}, "config.meta: this section is missing"),
        ("evaluate", {"network": "depthnet"}, "no trained network"),
        ("data info", {}, "--dataset is missing"),
        ("data stats", {"manual_dir": "x"}, "--dataset is missing"),
        ("predict", {}, "--input is missing"),
        ("predict", {"input": "nowhere.mp4"}, "no file nowhere.mp4"),
        ("report", {}, "was evaluated yet"),
    ],
)
def test_wrong_input_is_said_in_one_paragraph(tmp_path, command, flags, says):
    with pytest.raises(InputError, match=re.escape(says)) as error:
        smoke.execute(command, tmp_path, **flags)
    assert "\n" not in str(error.value)


def test_an_unknown_target_domain_is_said(road, tmp_path):
    config = smoke.config()
    config.target_domain = "dom_x"
    with pytest.raises(InputError, match="dom_x"):
        smoke.execute("search", tmp_path, config, data_dir=road / "data")


def test_flags_that_do_not_fit_are_said(tmp_path):
    for flag, says in {
        "--config.trian.steps=3": "config has no field 'trian'. Did you mean train?",
        "--config.train.stepz=3": "config.train has no field 'stepz'. Did you mean steps",
        "--config=nowhere.py": "got 'nowhere.py', which is no file",
        "--config.train.steps=x": "(training steps): expected an integer of 1 or more, "
        "got 'x'",
    }.items():
        done = nasfas("train", flag, cwd=tmp_path)
        assert done.returncode == 2
        assert says in done.stderr and "Traceback" not in done.stderr
