"""`nasfas sweep`: every network, target and seed in one table, with pictures."""

import json
import pathlib

import jax
import numpy as np
import pytest
import smoke

from nasfas_jax.commands import checks, fields, metagrad, sweep
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import sweep as workflow
from nasfas_jax.workflows.train import trained_model

ROOT = pathlib.Path(__file__).parents[1]


def test_table_means_and_deviations():
    one = {"hter": 0.1, "auc": 0.9, "acer": 0.2, "within": 0.05}
    two = {"hter": 0.3, "auc": 0.7, "acer": 0.4, "within": 0.15}
    head, row = workflow.table({"net": {"a": [one, two], "b": [two, two]}}, ["a", "b"])
    heads = [f"{name}: HTER / AUC, %" for name in ("a", "b", "mean")]
    assert head == ["method", *heads, "EER on development, %"]
    spread = np.std([10, 30], ddof=1)
    half = np.std([20, 30], ddof=1)  # of the seeds' means over targets
    assert row == [
        "net",
        f"20.0 ± {spread:.1f} / 80.0 ± {spread:.1f}",
        "30.0 ± 0.0 / 70.0 ± 0.0",
        f"25.0 ± {half:.1f} / 75.0 ± {half:.1f}",
        f"12.5 ± {half / 2:.1f}",
    ]
    head, row = workflow.table({"net": {"": [one]}}, [""], ["acer", "auc"])
    assert head == ["method", "test split: ACER / AUC, %", "EER on development, %"]
    assert row == ["net", "20.0 / 90.0", "5.0"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A workdir after two networks, two targets and two seeds."""
    workdir = tmp_path_factory.mktemp("sweep")
    smoke.execute("sweep", workdir, config())
    return workdir


def config():
    return smoke.config("rfmeta")


def test_a_wrong_name_shows_before_the_work(tmp_path, swept):
    wrong = config()
    wrong.networks = ("rfmeta", "rfmta")
    wrong.sweep.targets = ()
    with pytest.raises(
        InputError, match=r"'rfmta'.*mean rfmeta.*sweep\.targets .*got \(\)"
    ):
        smoke.execute("sweep", tmp_path, wrong)
    wrong = config()
    wrong.data.dataset = ""  # only the prepared data know their domains
    wrong.sweep.targets = ("dom_m", "dom_x")
    with pytest.raises(InputError, match=r"dom_m.* got 'dom_x'"):
        smoke.execute("sweep", tmp_path, wrong, data_dir=swept / "data")
    assert not (tmp_path / "dom_m" / "seed0" / "train").exists()


def test_metagrad_takes_an_episode_of_prepared_data(swept):
    """The step is traced, not compiled."""
    case, about = metagrad._case(config(), swept / "data")
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


def test_variants_are_rows_with_their_own_settings(tmp_path, swept):
    """One network with two inputs, tested on a domain and on the split of all."""
    ablation = fields.load(str(ROOT / "configs/ablations.py:inputs_smoke"))
    ablation.data.image_size = 32
    ablation.sweep.targets = ("dom_m",)
    every = ablation.sweep.variants.to_dict()
    ablation.sweep.variants = {k: every[k] for k in ("static", "concatenated")}
    smoke.execute("sweep", tmp_path, ablation, data_dir=swept / "data")
    results = json.loads((tmp_path / "sweep.json").read_text())
    assert set(results) == {"static", "concatenated"}
    channels = {}
    for name in results:
        folder = tmp_path / "dom_m/seed0" / name
        record = json.loads((folder / "train/cdn/record.json").read_text())
        assert record["settings"]["train.view.input"] == name
        params = trained_model(folder / "train/cdn").params
        channels[name] = params["ConvBlock_0"]["kernel"].shape[2]
    assert channels == {"static": 3, "concatenated": 6}
    assert not (tmp_path / "pictures").exists()


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ({"trian": {"steps": 3}}, r"variants\.a: .*config\.trian.* mean train\?"),
        ({"train": {"steps": -3}}, r"variants\.a: .*config\.train\.steps.*got -3"),
        ({"train": {"steps": "few"}}, r"variants\.a: .*steps"),
        (
            {"train": {"view": {"input": "statik"}}},
            r"variants\.a: .*'statik'.*mean static",
        ),
        (3, r"sweep\.variants .*expected fields by name.*got \{'a': 3\}"),
    ],
)
def test_a_wrong_variant_is_named(variant, said):
    ablation = fields.load(str(ROOT / "configs/ablations.py:inputs_smoke"))
    ablation.sweep.variants = {"a": variant}
    with pytest.raises(InputError, match=said):
        checks.check(ablation, command="sweep")


@pytest.mark.parametrize(
    "name",
    [
        *("inputs", "operators", "components", "trials", "improvement"),
        *("supervision", "efficiency"),
    ],
)
def test_ablations_fit_the_schema(name):
    for variant in (name, f"{name}_smoke"):
        require_fitting(f"ablations.py:{variant}")


@pytest.mark.parametrize("name", ["proof", "domains", "types", "media", "smoke"])
def test_proofs_fit_the_schema(name):
    require_fitting(f"proof.py:{name}")


def require_fitting(file):
    """A config of sweeps, whose searches and random architectures are of small spaces."""
    swept = fields.load(f"{ROOT}/configs/{file}")
    checks.check(swept, command="sweep")
    for one in checks.variants(swept).values():
        if any(net.startswith(("searched", "random_")) for net in one.networks):
            assert one.search.space_options.channels <= 8


def test_a_row_of_a_family_has_the_deviation_of_its_folds():
    one, two = ({"acer": a, "within": 0.1} for a in (0.1, 0.3))
    head, row = workflow.table(
        {"net": {"p@1": [one], "p@3": [one, two]}}, ["p@1", "p@3"], ["acer"]
    )
    assert head == ["method", "p@1: ACER, %", "p@3: ACER, %", "EER on development, %"]
    assert row == [
        "net",
        "10.0",
        f"20.0 ± {np.std([10, 30], ddof=1):.1f}",
        "10.0 ± 0.0",
    ]


def test_protocols_of_two_datasets_are_tested_on_stand_ins(
    tmp_path, capsys, monkeypatch
):
    tables = fields.load(str(ROOT / "configs/tables.py:nas_fas_3_smoke"))
    tables.sweep.variants = {"depthnet": {"networks": ("depthnet",)}}
    tables.sweep.targets = ("cross_dataset@casia_to_replay",)
    smoke.execute("sweep", tmp_path, tables)
    said = capsys.readouterr().out
    assert "no --manual_dir: casia_mfsd is a synthetic stand-in" in said
    assert "no --manual_dir: replay_attack is a synthetic stand-in" in said
    (tests,) = json.loads((tmp_path / "sweep.json").read_text())["depthnet"].values()
    assert 0 <= tests[0]["acer"] <= 1
    assert sorted(
        path.name for path in (tmp_path / "data").iterdir() if path.is_dir()
    ) == ["casia_mfsd", "replay_attack"]

    # A search under another protocol is run once, for all targets.
    tables.sweep.variants = {"found": {"networks": ("searched",)}}
    tables.search.protocol = "replay_attack@grandtest"
    folds = tuple(f"cross_dataset@{x}" for x in ("casia_to_replay", "replay_to_casia"))
    tables.sweep.targets = folds
    searched, tested = [], []

    def search(config, *, workdir, data_dir):
        searched.append((config.protocol, workdir.relative_to(tmp_path), data_dir.name))
        (workdir / "search").mkdir(parents=True)
        (workdir / "search" / "genotype.json").touch()

    def test(config, name, workdir, data_dir, genotype):
        tested.append((workdir.relative_to(tmp_path).parts[0], genotype))

    rates = dict.fromkeys((*workflow.METRICS, "within"), 0.5)
    monkeypatch.setattr(sweep.search, "run", search)
    monkeypatch.setattr(sweep, "_test", test)
    monkeypatch.setattr(sweep, "_rates", lambda *x: {x[-1]: rates})
    smoke.execute("sweep", tmp_path, tables)
    folder = pathlib.Path(tables.search.protocol) / "seed0" / "found"
    assert searched == [(tables.search.protocol, folder, "replay_attack")]
    shared = tmp_path / folder / "search" / "genotype.json"
    assert tested == [(fold, shared) for fold in folds]


@pytest.mark.parametrize(
    "name",
    [
        *("nas_fas_3", "nas_fas_4", "nas_fas_8", "auto_fas_1", "auto_fas_2"),
        *("auto_fas_4", "eulernet_2"),
    ],
)
def test_tables_fit_the_schema(name):
    for variant in (name, f"{name}_smoke"):
        require_fitting(f"tables.py:{variant}")


def test_rows_are_compared_with_random_ones(tmp_path, swept):
    tests = {
        "found": {"a": [{"acer": 0.1}, {"acer": 0.3}]},
        "drawn": {"a": [{"acer": 0.2}, {"acer": 0.6}]},
    }
    found = workflow.improvements(tests, {"found": "drawn"})
    assert found.relative == {"found": pytest.approx(50)}
    assert found.table()[1] == [
        "found",
        "20.0 (10.0 to 30.0)",
        "40.0 (20.0 to 60.0)",
        "+50.0",
    ]
    with pytest.raises(InputError, match=r"'drwan'.*mean drawn"):
        workflow.improvements(tests, {"found": "drwan"})
    wrong = config()
    wrong.sweep.random = {"rfmeta": "rfmta"}
    with pytest.raises(InputError, match=r"sweep\.random.*'rfmta'.*mean rfmeta"):
        smoke.execute("sweep", tmp_path, wrong, data_dir=swept / "data")
