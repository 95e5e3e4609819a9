"""Every trial of NAS-FAS and Auto-FAS: searched, derived, trained, evaluated, drawn."""

import functools
from typing import Any

import jax
import numpy as np
import optax
import pytest
import smoke

import nasfas_jax as nf
from nasfas_jax import evaluation, nets
from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.loading.views import View
from nasfas_jax.errors import InputError
from nasfas_jax.methods import supervised
from nasfas_jax.report.cells import draw_graph
from nasfas_jax.search import genotype, trials
from nasfas_jax.search.dag import structure
from nasfas_jax.workflows import evaluate, searchers
from nasfas_jax.workflows.data import domains, tested

CELLS = {"stem_channels": (2, 2, 2), "channels": 4}
CHAINS = {"stem_channels": 2, "channels": 4, "head_channels": 2, "map_size": 4}


@pytest.fixture
def short(monkeypatch):
    """Two normal cells and a reduction cell instead of nine: a third of the programs."""
    monkeypatch.setattr(structure, "LAYOUT", ("normal", "normal", "reduction"))


def drawn(init):
    """A state with random weights and alphas: `init` itself takes long to compile."""
    image, rng = np.zeros((1, 16, 16, 3), np.float32), np.random.default_rng(0)
    shapes = jax.eval_shape(init, jax.random.key(0), image)
    state = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)

    def random(leaf):
        return rng.normal(0, 0.2, leaf.shape).astype(leaf.dtype)

    names = [name for name in ("params", "alphas") if hasattr(state, name)]
    return state.replace(
        **{name: jax.tree.map(random, getattr(state, name)) for name in names}
    )


@pytest.mark.parametrize("name", [n for n in trials.TRIALS if n.startswith("S-")])
def test_trials_are_searched_derived_trained_and_evaluated(data, short, name):
    """Static and static-dynamic input, by the same programs."""
    small = CELLS if trials.TRIALS[name][1] == "nas_baseline" else CHAINS
    space = trials.get(name, **small).space
    settings = searchers.settings_of("darts", arch_order="first")
    method = settings.make_method(space)
    step, state = jax.jit(method.step), drawn(method.init)
    sources, _ = domains(data, "dom_m")
    net: Any = None
    train: Any = None
    predict: Any = None
    weights: Any = None
    for trial_name in (name, name.replace("S-", "SD-", 1)):
        trial = trials.get(trial_name, **small)
        assert trial.space == space
        view = View(**trial.view, map_size=space.map_size)
        episode = next(pipeline.episodes(data, by="half", batch_size=2, view=view))
        arrays = {k: episode[k] for k in ("support", "query")}
        searched, metrics = step(state, arrays)
        assert np.isfinite(metrics["loss"]) and np.isfinite(metrics["query_loss"])
        found = space.derive(jax.device_get(searched.alphas))
        assert found.space == space.for_retraining()
        assert genotype.parse(found.as_dict()) == found
        assert draw_graph(space.graph(found)).data
        if net is None:  # the first architecture, for both inputs
            net = nets.SearchedNet(found)
            learner = supervised.Supervised(net, optax.adam(1e-3))
            train, weights = jax.jit(learner.step), drawn(learner.init)
            predict = jax.jit(learner.predict)
        batch = next(pipeline.train_batches(data, batch_size=4, view=view))
        used = {k: batch[k] for k in ("image", "target")}
        state_of, trained = train(weights, used)
        assert np.isfinite(trained["loss"])
        scored = evaluate.score(
            functools.partial(predict, state_of.params, state_of.batch_stats),
            data,
            rule=nets.score,
            sources=sources,
            tested=tested(data, "dom_m"),
            view=view,
            batch_size=4,
        )
        result = evaluation.evaluate(scored.table, rule="eer")
        assert 0 <= result.auc <= 1 and set(scored.maps) <= set(scored.table.clip)


def test_a_trial_keeps_the_options_it_stands_for():
    with pytest.raises(
        InputError, match=r"operation_space: expected 'cd', .*'vanilla'"
    ):
        trials.get("SD-CD-DP", operation_space="vanilla")
    assert trials.get("SD-CD-DP", operation_space="cd").space.operation_space == "cd"


def test_auto_fas_from_search_to_a_loaded_model(data, short, tmp_path):
    """By momentum with a cosine."""
    space = nf.spaces.get("auto_fas", stem_channels=(2, 2), channels=4)
    common = {"target": "dom_m", "view": View(input="static")}
    settings: dict[str, Any] = {**searchers.AUTO_FAS, "arch_order": "first"}
    found = nf.search_architecture(
        data, space, method="darts", steps=2, batch_size=2, **common, **settings
    )
    assert len(found.genotype.cells[0]) == 8 and repr(found).startswith("normal: ")
    assert found._repr_html_().count("<img ") == 2
    model = nf.train(
        data, found.net, steps=2, batch_size=4, searched=found.learned, **common
    )
    evaluated = nf.evaluate(model, data, target="dom_m")
    assert 0 <= evaluated.result.auc <= 1
    evaluated.model.save(tmp_path / "model")
    assert nf.load(tmp_path / "model").network == model.network


def test_the_baseline_space_from_search_to_report(folder, tmp_path, short, capsys):
    """By the commands and two seeds, with the config of the baseline space."""
    config = smoke.config("synthetic", "baseline")
    config.data = smoke.config().data
    config.train.update(steps=2, batch_size=4)
    config.search.space_options.update(stem_channels=(2, 2, 2), channels=4)
    config.search.update(steps=1, batch_size=2, arch_order="first", alphas_from=0)
    prepared = {"data_dir": folder / "data"}
    smoke.execute("search", tmp_path, config, seeds="2", **prepared)
    printed = capsys.readouterr().out
    assert "search with seed 1" in printed and "equal operations, %" in printed
    search = tmp_path / "search"
    assert (search / "agreement.svg").exists()
    assert (search / "seed0" / "genotype.svg").exists()
    smoke.execute("search", tmp_path, config, **prepared)
    found = genotype.load(search / "genotype.json")
    assert found == genotype.load(search / "seed0" / "genotype.json")
    for command in ("train", "evaluate", "report"):
        smoke.execute(command, tmp_path, config, **prepared)
    assert "nas_baseline" in (tmp_path / "report.html").read_text(encoding="utf-8")
