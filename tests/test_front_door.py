"""The Python entry: open, search, train, evaluate, save, load, predict."""

import json
import pathlib
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import score_tables
import smoke

import nasfas_jax as nf
from nasfas_jax import evaluation
from nasfas_jax.commands import settings
from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.loading.provenance import Provenance
from nasfas_jax.data.loading.views import View
from nasfas_jax.errors import InputError, renaming
from nasfas_jax.report.picture import Picture
from nasfas_jax.workflows import registry
from nasfas_jax.workflows.ablate import Ablation
from nasfas_jax.workflows.checkpoint import Content, Listing
from nasfas_jax.workflows.costs import Costs
from nasfas_jax.workflows.doctor import Findings
from nasfas_jax.workflows.export import Exported
from nasfas_jax.workflows.improvement import Improvements
from nasfas_jax.workflows.instruments import Health, SupernetRanking
from nasfas_jax.workflows.parity import Parity
from nasfas_jax.workflows.plan import Plan
from nasfas_jax.workflows.responses import Responses
from nasfas_jax.workflows.robustness import Robustness
from nasfas_jax.workflows.search import Found
from nasfas_jax.workflows.searches import Searches
from nasfas_jax.workflows.sweep import Swept
from nasfas_jax.workflows.zero_cost import Ranking

ROOT = pathlib.Path(__file__).parents[1]
FUNCTIONS = {name for name in nf.__all__ if name.islower()}
FUNCTIONS -= {"bilevel", "losses", "nets", "ops", "spaces"}  # packages
VIEW = View(input="static")
SPACE = nf.spaces.get("nas_fas", pool="max")
BLURR = {"corruptions": ["blurr"]}
THETA = {"theta": [0, 1]}
SWEEP = {"networks": {"a": "cdn"}, "targets": ["dom_m"]}
TINY = {"stem_channels": 4, "channels": 4, "head_channels": 4, "partial": 2}


@pytest.fixture(scope="module")
def model(data):
    net = nf.nets.build("cdn", theta=0.3, width=1 / 32)
    return nf.train(data, net, target="dom_m", steps=2, batch_size=4)


def test_a_classifier_is_trained_and_evaluated(data):
    net = nf.nets.build("resnet18", width=1 / 64)
    model = nf.train(data, net, target="dom_m", steps=1, batch_size=4)
    assert model.view == View(target="binary", map_size=1)
    evaluated = nf.evaluate(model, data, target="dom_m")
    assert all(0 < one < 1 and one.shape == (1, 1) for one in evaluated.maps.values())


def test_training_starts_from_the_weights_of_a_file(data, model, tmp_path):
    model.save(tmp_path / "model")
    weights = tmp_path / "model" / "weights.safetensors"
    net = nf.nets.from_description(model.network)
    slow = {"target": "dom_m", "steps": 1, "batch_size": 4, "learning_rate": 1e-12}
    again = nf.train(data, net, start=weights, seed=3, **slow)
    kernels = (x.params["ConvBlock_5"]["kernel"] for x in (model, again))
    np.testing.assert_allclose(*kernels, atol=1e-9)
    assert len(again.settings["train.start"]) == 64
    other = nf.nets.build("cdn", width=1 / 16)
    with pytest.raises(InputError, match=r"^start: .* is float32.*classifier may"):
        nf.train(data, other, start=weights, **slow)
    with pytest.raises(InputError, match="start: expected a safetensors file, got"):
        nf.train(data, net, start=tmp_path / "none", **slow)


def test_import_is_light():
    script = "import sys, nasfas_jax; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
    assert set(nf.__all__) <= set(dir(nf))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nf.nothing


def test_search_gives_a_network_and_where_it_learned(data):
    # The program of Meta-NAS in test_search_resume.py.
    small = {"stem_channels": 2, "channels": 4, "head_channels": 2, "map_size": 4}
    space = nf.spaces.get("nas_fas", pool="max", partial=2, **small)
    orders: Any = {"alphas_from": 1, "arch_order": "first"}
    found = nf.search_architecture(
        data, space, target="dom_m", steps=3, batch_size=2, **orders
    )
    assert found.net.genotype == found.genotype
    assert found.learned.domains == ["dom_c", "dom_i", "dom_o"]
    assert [line["step"] for line in found.metrics][-1] == 3
    assert repr(found).startswith("low: ")
    assert found._repr_html_().count("<img ") == 2
    assert "entropy" in found.health().alt.lower() and found.cells().data
    assert repr(found.cells()).startswith("<Picture, svg of ")
    assert len(repr(found.cells())) < 1000


def test_model_evaluates_saves_loads_and_predicts(folder, data, model, tmp_path):
    assert model.network["theta"] == 0.3
    assert model.learned.domains == ["dom_c", "dom_i", "dom_o"]
    evaluated = nf.evaluate(model, data, target="dom_m")
    assert evaluated.model.threshold.value == evaluated.result.threshold
    assert evaluated.model.threshold.domains == ["dom_c", "dom_i", "dom_o"]
    assert set(evaluated.scores.domain[evaluated.scores.split == "test"]) == {"dom_m"}
    assert "HTER" in repr(evaluated)
    evaluated.roc().save(tmp_path / "roc.svg")
    with pytest.raises(InputError, match=r"expected a folder .*nowhere, got none"):
        evaluated.roc().save(tmp_path / "nowhere" / "roc.svg")
    test = evaluated.result.test
    rates = {row[0]: row[1] for row in evaluated.table()}
    assert rates["HTER"] == f"{100 * test.hter:.1f}"
    assert rates["AUC"] == f"{100 * evaluated.result.auc:.1f}"
    shown = evaluated._repr_html_()
    assert "<th>rate</th>" in shown and f"<td>{rates['AUC']}</td>" in shown
    assert "warning: " in shown and "dom_m: " in repr(evaluated)
    assert (tmp_path / "roc.svg").stat().st_size > 1000
    evaluated.model.save(tmp_path / "model")
    loaded = nf.load(tmp_path / "model")
    again = nf.evaluate(loaded, data, target="dom_m")
    np.testing.assert_array_equal(again.scores.score, evaluated.scores.score)
    description = json.loads((tmp_path / "model" / "model.json").read_text())
    assert "dom_m" in description["results"]
    video = next((folder / "videos").rglob("*.mp4"))
    assert len(loaded.predict(video).scores) > 0


def test_data_and_models_are_shown_as_tables(data, model):
    head, train, *_ = data.table()
    assert dict(zip(head, train, strict=True)) == {
        "split": "train",
        "live clips": "8",
        "spoof clips": "24",
        "videos": "16",
        "subjects": "4",
        "domains": "dom_c, dom_i, dom_m, dom_o",
    }
    assert repr(data).splitlines()[0].endswith("16 x 16 pixels, clips of 7 frames")
    assert "<th>subjects</th>" in data._repr_html_()
    assert "dom_c, dom_i, dom_m, dom_o" in repr(data)
    shown = model._repr_html_()
    assert "<td>2 steps on dom_c, dom_i, dom_o</td>" in shown
    assert "<td>not evaluated</td>" in shown
    model = nf.evaluate(model, data, target="dom_m").model
    threshold = f"{model.threshold.value:.4f} by eer on dom_c, dom_i, dom_o"
    assert threshold in model._repr_html_()
    hter = model.results["dom_m"]["test"]["hter"]
    assert f"<td>tested on dom_m</td><td>HTER {100 * hter:.1f} %" in model._repr_html_()


def test_a_model_keeps_learned_theta_and_lambda_by_channel(data, tmp_path):
    net = nf.nets.build("cdn", width=1 / 32)
    channels = nf.nets.layer_channels(net)["lam"]
    lam = {
        layer: np.linspace(0, 1, count).tolist() for layer, count in channels.items()
    }
    own = nf.nets.Learned(0.4, "channel")
    model = nf.train(
        data, net, theta=own, lam=lam, target="dom_m", steps=2, batch_size=4
    )
    model.save(tmp_path)
    loaded = nf.load(tmp_path)
    net = nf.nets.from_description(loaded.network)
    assert (net.theta, dict(net.lam)) == (own, {k: tuple(v) for k, v in lam.items()})
    theta = nf.nets.learned_values("theta", own, loaded.params)
    assert theta["ConvBlock_1"].shape == (4,)
    assert max(abs(v - 0.4).max() for v in theta.values()) > 1e-4
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded.maps(images), model.maps(images))


def test_a_learned_domain_is_not_tested(data, model):
    with pytest.raises(InputError, match=r"learned from dom_c, dom_i, dom_o"):
        nf.evaluate(model, data, target="dom_o")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda data: nf.train(data, "cdm"), "Did you mean cdn"),
        (lambda data: nf.train(data, "colour_texture"), "Did you mean color_texture"),
        (lambda data: nf.train(data, "cdn", target="dom_n"), "got 'dom_n'"),
        (lambda data: nf.train(data, "cdn", target="dom_m", steps=0), "steps"),
        (lambda data: nf.nets.build("cdn", theta=1.5), "theta"),
        (
            lambda data: nf.train(data, "cdn", theta=[0.5, 0.5]),
            r"theta: .*nets\.Learned, or \{layer: .*nets\.layer_channels\(net\), got \[0\.5",
        ),
        (lambda data: nf.load("nowhere"), "nowhere"),
        (lambda data: nf.open_data("nowhere"), "No prepared data in nowhere"),
    ],
)
def test_what_users_get_wrong_is_told(data, call, says):
    with pytest.raises(InputError, match=says):
        call(data)


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("folder", lambda data, model: nf.load(None)),  # pyright: ignore
        ("folder", lambda data, model: model.save(5)),
        ("path", lambda data, model: nf.open_data(5)),  # pyright: ignore
        ("protocol", lambda data, model: nf.open_data("x", 1)),  # pyright: ignore
        ("name", lambda data, model: nf.nets.build(None)),  # pyright: ignore
        ("name", lambda data, model: nf.nets.build("cdm")),
        ("name", lambda data, model: nf.spaces.get("nas_fass")),
        ("pol", lambda data, model: nf.spaces.get("nas_fas", pol="max")),
        ("net", lambda data, model: nf.nets.with_weights(5, theta=0.1)),
        ("source", lambda data, model: model.predict([1, 2])),
        ("source", lambda data, model: model.predict(None)),
        ("detector", lambda data, model: model.predict("a.mp4", detector="haar")),
        ("images", lambda data, model: model.maps([1, 2])),
        ("images", lambda data, model: model.scores(None)),
        ("frames", lambda data, model: model.preprocess([1, 2])),
        ("data", lambda data, model: nf.train("runs/local/data", "cdn")),
        ("net", lambda data, model: nf.train(data, "cdm")),
        ("net", lambda data, model: nf.train(data, None)),
        ("net", lambda data, model: nf.train(data, {"a": 1})),
        ("net", lambda data, model: nf.train(data, {"network": "cdx"})),
        ("net", lambda data, model: nf.train(data, {"network": "cdn", "wdth": 1})),
        (
            "genotype_file",
            lambda data, model: nf.nets.build("searched", genotype_file=3),
        ),
        ("target", lambda data, model: nf.train(data, "cdn", target=None)),
        ("target", lambda data, model: nf.train(data, "cdn", target=["dom_m"])),
        ("view", lambda data, model: nf.train(data, "cdn", view="static")),
        ("view.input", lambda data, model: nf.train(data, "eulernet", view=VIEW)),
        ("augment", lambda data, model: nf.train(data, "cdn", augment="flop")),
        ("loss", lambda data, model: nf.train(data, "cdn", loss=5)),
        ("loss", lambda data, model: nf.train(data, "ms_lbp", loss="l2")),
        ("optimizer", lambda data, model: nf.train(data, "cdn", optimizer=1)),
        ("decay", lambda data, model: nf.train(data, "cdn", decay=None)),
        ("seed", lambda data, model: nf.train(data, "cdn", seed=-1)),
        ("folder", lambda data, model: nf.train(data, "cdn", folder=3)),
        ("searched", lambda data, model: nf.train(data, "cdn", searched="x")),
        ("data", lambda data, model: nf.search_architecture(None, SPACE)),
        ("space", lambda data, model: nf.search_architecture(data, None)),
        ("view", lambda data, model: nf.search_architecture(data, SPACE, view=1)),
        ("seed", lambda data, model: nf.search_architecture(data, SPACE, seed=0.5)),
        ("by", lambda data, model: nf.search_architecture(data, SPACE, by=None)),
        ("method", lambda data, model: nf.search_architecture(data, SPACE, method=1)),
        ("model", lambda data, model: nf.evaluate(None, data)),
        ("model", lambda data, model: nf.evaluate("cdn", data)),
        ("data", lambda data, model: nf.evaluate(model, None)),
        ("target", lambda data, model: nf.evaluate(model, data, target="dom_x")),
        ("rule", lambda data, model: nf.evaluate(model, data, rule=5)),
        ("oracle", lambda data, model: nf.evaluate(model, data, oracle="test")),
        ("seed", lambda data, model: nf.evaluate(model, data, seed=None)),
        ("selected_on", lambda data, model: nf.evaluate(model, data, selected_on="")),
        ("model", lambda data, model: nf.robustness("cdn", data)),
        ("corruptions", lambda data, model: nf.robustness(model, data, **BLURR)),
        ("evaluated", lambda data, model: nf.compare_maps(None, data)),
        ("evaluated", lambda data, model: nf.compare_maps([model], data)),
        ("source", lambda data, model: model.explain(3)),
        ("band", lambda data, model: model.explain("a.mp4", band=3)),
        ("networks", lambda data, model: nf.cost(["resnt"])),
        ("networks", lambda data, model: nf.cost("cdn")),
        ("networks", lambda data, model: nf.sweep(data, {}, targets=["dom_m"])),
        ("targets", lambda data, model: nf.sweep(data, {"a": "cdn"}, targets=[])),
        ("targets", lambda data, model: nf.sweep(data, {"a": "cdn"}, targets="dom_m")),
        ("seeds", lambda data, model: nf.sweep(data, **SWEEP, seeds=[])),
        ("seeds", lambda data, model: nf.sweep(data, **SWEEP, seeds=3)),
        ("stepz", lambda data, model: nf.sweep(data, **SWEEP, stepz=3)),
        ("rule", lambda data, model: nf.sweep(data, **SWEEP, rule="eeer")),
        ("folder", lambda data, model: nf.sweep(data, **SWEEP, folder=1)),
        ("split", lambda data, model: pipeline.train_batches(data, split="trian")),
        ("split", lambda data, model: pipeline.eval_batches(data, split="dev")),
        ("split", lambda data, model: pipeline.episodes(data, split="dev")),
        ("view", lambda data, model: pipeline.train_batches(data, view={"input": 1})),
        ("prepared", lambda data, model: pipeline.groups(None)),
        ("prepared", lambda data, model: pipeline.train_batches("x")),
        ("domains", lambda data, model: pipeline.eval_batches(data, domains="dom_x")),
        ("data", lambda data, model: nf.ablate(None, "cdn", **THETA)),
        ("net", lambda data, model: nf.ablate(data, None, **THETA)),
        ("net", lambda data, model: nf.ablate(data, "cdm", **THETA)),
        ("theta, lam", lambda data, model: nf.ablate(data, "cdn")),
    ],
)
def test_an_argument_of_another_type_is_named(data, model, field, call):
    """By the name that the function has for it, before anything is done."""
    with pytest.raises(
        InputError, match=f"^{field}: expected .*(, got |mean )"
    ) as error:
        call(data, model)
    assert error.value.field == field


def test_commands_name_flags_and_fields(folder, tmp_path):
    """Not the arguments of the functions that they call."""
    config = smoke.config()
    config.data.update(image_size=16, dataset="own_data")
    config.target_domain = "dom_x"
    config.sweep = {"targets": ["dom_x"], "seeds": [0]}
    where = {"config": config, "data_dir": folder / "data", "network": "cdn"}
    for command, field in {
        "search": "config.target_domain",
        "train": "config.target_domain",
        "sweep": "config.sweep.targets",
    }.items():
        with pytest.raises(InputError, match=f"^{field}: expected .* got 'dom_x'"):
            smoke.execute(command, tmp_path, **where)
    scores = tmp_path / "scores.csv"
    evaluation.write_scores(scores, score_tables.BOTH)
    with pytest.raises(InputError, match=r"^--rule: expected eer, .* got 'eeer'"):
        smoke.execute("scores", tmp_path, input=str(scores), rule="eeer")
    with pytest.raises(InputError, match=r"^--oracle: expected .* got 'tst'"):
        smoke.execute("scores", tmp_path, input=str(scores), oracle="tst")
    names = settings.names(config, "train")
    with (
        pytest.raises(
            InputError, match=r"^config\.train\.batch_size: .* multiple of 3"
        ),
        renaming(names),
    ):
        registry.clips_per_domain(8, 3)


def test_settings_that_the_data_refuse_leave_no_record(data, tmp_path):
    with pytest.raises(InputError, match="augment: "):
        nf.train(data, "cdn", folder=tmp_path, augment="flop")
    with pytest.raises(InputError, match="weight_decay: "):
        nf.train(data, "cdn", folder=tmp_path, weight_decay=-1)
    with pytest.raises(InputError, match="loss: "):
        nf.train(data, "cdn", folder=tmp_path, loss="l3")
    assert not list(tmp_path.iterdir())


def test_the_quickstart_of_the_readme_runs(folder, tmp_path, monkeypatch):
    """On small data, with small networks and few steps."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = next(iter(re.findall(r"```python\n(.*?)```", readme, re.S)))
    small = {
        name: TINY[name] for name in ("stem_channels", "channels", "head_channels")
    }
    given = '{"stem_channels": 4, "channels": 8, "head_channels": 8}'
    for text, value in {
        given: repr(small | {"partial": TINY["partial"]}),
        "width=1 / 8": "width=1 / 32",
        "steps=48": "steps=1, batch_size=2",
        'target="dom_m")\nevaluated': 'target="dom_m", steps=1)\nevaluated',
    }.items():
        assert text in block
        block = block.replace(text, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "local").mkdir(parents=True)
    (tmp_path / "runs" / "local" / "data").symlink_to(folder / "data")
    video = next((folder / "videos" / "dom_m" / "test").rglob("*live*.mp4"))
    (tmp_path / "video.mp4").symlink_to(video)
    names = {}
    exec(block.replace("nf.load(", "seen = nf.load("), names)
    assert names["seen"].verdict in ("live", "spoof")
    assert nf.load("cdn").threshold == names["evaluated"].model.threshold
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cdn",
        "runs",
        "video.mp4",
    ]


def test_the_page_shows_the_quickstart_and_what_results_have(data, model):
    """docs/python.md: the block of the README, and the table of the returned objects."""
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    quickstart = [
        re.findall(r"```python\n(.*?)```", x, re.S)[0] for x in (page, readme)
    ]
    assert quickstart[0] == quickstart[1]
    evaluated = nf.evaluate(model, data, target="dom_m")
    kinds = (type(data), Found, type(model), type(evaluated), Swept, Ablation)
    kinds += (Robustness, Picture, Searches, Improvements, Costs, Responses, Ranking)
    kinds += (Health, SupernetRanking, Exported, Parity, Plan, Findings)
    kinds += (Listing, Content)
    by_name = {kind.__name__: kind for kind in kinds}
    rows = re.findall(r"^\| `nf\.(\w+)` \| `(\w+)` \| (.*) \|$", page, re.M)
    assert {function for function, _, _ in rows} == FUNCTIONS
    for function, kind, text in rows:
        assert callable(getattr(nf, function))
        known = {*dir(by_name[kind]), *by_name[kind].__annotations__}
        assert set(re.findall(r"`(\w+)(?:\(\))?`", text)) <= known, kind
        shown = {"_repr_html_", "_repr_mimebundle_"} & set(vars(by_name[kind]))
        assert shown and "__repr__" in vars(by_name[kind])


def test_the_loop_of_the_page_runs(folder, capsys):
    """docs/python.md, on small data and for two steps."""
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    (block,) = (b for b in re.findall(r"```python\n(.*?)```", page, re.S) if "jit" in b)
    assert len([line for line in block.splitlines() if line.strip()]) <= 20
    small = {"runs/local/data": str(folder / "data"), "range(1500)": "range(2)"}
    for text, value in {**small, "width=1 / 8": "width=1 / 32"}.items():
        assert text in block
        block = block.replace(text, value)
    exec(block, {})
    printed = capsys.readouterr().out
    assert printed.startswith("0 ") and "dom_m" in printed


@pytest.mark.parametrize("name", ["rfmeta", "ms_lbp"])
def test_methods_and_features_are_trained_by_name(data, name, tmp_path):
    if name == "rfmeta":  # needs images of 32 pixels
        with pytest.raises(InputError, match=r"image_size: .* multiple of 32.* got 16"):
            nf.train(data, name, target="dom_m", steps=1, batch_size=6)
        return
    model = nf.train(data, name, target="dom_m")
    model.save(tmp_path)
    found = nf.evaluate(nf.load(tmp_path), data, target="dom_m")
    assert found.result == nf.evaluate(model, data, target="dom_m").result
    assert found.model.steps == 0 and 0 <= found.result.auc <= 1


def test_a_sweep_is_a_table_and_trains_once(data, tmp_path):
    small = {"net": nf.nets.build("cdn", width=1 / 32)}
    options = {"targets": ["dom_m", "dom_i"], "steps": 1, "batch_size": 4}
    swept = nf.sweep(data, small, folder=tmp_path, **options)
    head, row = swept.table()
    assert head[1:3] == ["dom_m: HTER / AUC, %", "dom_i: HTER / AUC, %"]
    (found,) = swept.evaluated["net"]["dom_i"]
    rate, auc = found.result.test.hter, found.result.auc
    assert row[2] == f"{100 * rate:.1f} / {100 * auc:.1f}"
    assert found.model.learned.domains == ["dom_c", "dom_m", "dom_o"]
    assert "net" in repr(swept) and "<td>net</td>" in swept._repr_html_()
    trained = tmp_path / "dom_i" / "seed0" / "train" / "net" / "summary.json"
    before = trained.stat().st_mtime_ns
    again = nf.sweep(data, small, folder=tmp_path, **options)
    assert trained.stat().st_mtime_ns == before and again.table() == swept.table()
    with pytest.raises(InputError, match="dom_x"):
        nf.sweep(data, small, targets=["dom_x"])
    assert swept.by_target("auc").alt == "AUC of net on dom_m, dom_i"
    with pytest.raises(InputError, match=r"metric: .*mean acer"):
        swept.by_target("acerr")


def test_a_setup_has_settings_of_its_own(data):
    """Two rows of one network: the sweep's settings, and others."""
    net = nf.nets.build("cdn", width=1 / 32)
    own = nf.Setup(net, {"view": View(input="static"), "steps": 2})
    options = {"targets": ["dom_m"], "steps": 1, "batch_size": 4, "metrics": ["acer"]}
    swept = nf.sweep(data, {"all": net, "own": own}, **options)
    models = {name: row["dom_m"][0].model for name, row in swept.evaluated.items()}
    assert {name: model.steps for name, model in models.items()} == {"all": 1, "own": 2}
    assert models["own"].view.input == "static" and models["all"].view == View()
    assert swept.table()[0][1] == "dom_m: ACER, %"
    wrong = nf.Setup(net, {"stepz": 2})
    with pytest.raises(InputError, match=r"stepz: .*mean steps"):
        nf.sweep(data, {"own": wrong}, targets=["dom_m"])


def test_an_architecture_searched_on_the_target_is_not_trained(data):
    seen = Provenance.of(data, data.domains)
    with pytest.raises(InputError, match=r"The search .* learned from .*dom_m"):
        nf.train(data, "cdn", target="dom_m", steps=1, searched=seen)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda data: nf.train(data, 3), r"net: expected .* got 3"),
        (lambda data: nf.train("path", "cdn"), "data: expected prepared data"),
        (lambda data: nf.train(data, "cdn", steps=0), "steps: expected"),
        (lambda data: nf.train(data, "cdn", episodes=0), "episodes: expected"),
        (lambda data: nf.search_architecture(data, "nas_fas"), r"nf\.spaces\.get"),
        (
            lambda data: nf.search_architecture(
                data, nf.spaces.get("nas_fas"), steps=-1
            ),
            "steps: expected",
        ),
        (lambda data: nf.nets.build("cdn", widht=1), r"widht: .*mean width"),
        (lambda data: nf.sweep(data, ["cdn"], targets=["dom_m"]), "networks: expected"),
        (
            lambda data: nf.sweep(data, {"a": "cdn", "b": "cdnn"}, targets=["dom_m"]),
            "mean cdn",
        ),
    ],
)
def test_wrong_arguments_are_named_before_the_work(data, call, says):
    with pytest.raises(InputError, match=says):
        call(data)


def test_a_wrong_setting_of_the_search_is_named(data):
    space = nf.spaces.get("nas_fas", **TINY)
    with pytest.raises(InputError, match=r"arch_ordr: .*Did you mean arch_order"):
        nf.search_architecture(data, space, target="dom_m", arch_ordr="first")
