"""Ablation of theta and lambda in one program: equal to separate trainings, and its table."""

import jax
import numpy as np
import pytest

import nasfas_jax as nf
from nasfas_jax import runtime
from nasfas_jax.data.loading import pipeline
from nasfas_jax.errors import Diverged, InputError
from nasfas_jax.methods.state import adam, schedule
from nasfas_jax.methods.supervised import Supervised
from nasfas_jax.report import ablation
from nasfas_jax.workflows import ablate as workflow
from nasfas_jax.workflows import swept

SMALL = {"width": 1 / 32, "map_size": 4}
THETA = {"theta": [0, 1]}
SHORT = {"target": "dom_m", "steps": 2, "batch_size": 4}


def a_program(name, chunk, values=(0.1, 0.8, 1.0), seeds=(0, 5)):
    net = nf.nets.build("cdn", **SMALL)
    rate = schedule("cosine", 5e-3, steps=3)
    method = Supervised(net, adam(rate, weight_decay=5e-5))
    return swept.Program(method, name, values, list(seeds), chunk)


def batches(seed, steps=3):
    rng = np.random.default_rng(seed)
    return [
        {"image": rng.normal(size=(2, 8, 8, 3)), "target": rng.random((2, 4, 4))}
        for _ in range(steps)
    ]


@pytest.mark.parametrize(("swept", "chunk"), [("theta", 1), ("lam", 4)])
def test_a_run_is_the_separate_training_of_its_value_and_seed(x64, swept, chunk):
    """In float64: float32 rounding differs between programs, and training amplifies it."""
    program = a_program(swept, chunk)
    image = np.zeros((1, 8, 8, 3))
    per_seed = [batches(seed) for seed in (0, 5)]
    stacked = (
        jax.tree.map(lambda *x: np.stack(x), *step)
        for step in zip(*per_seed, strict=True)
    )
    progress = runtime.Progress("test", 3)
    state, losses = program.train(stacked, image, 3, progress, 0)
    assert program.settings[3] == (0.8, 5)
    net = nf.nets.with_weights(program.method.net, **{swept: 0.8})
    method = Supervised(net, program.method.optimizer)
    alone, metrics = jax.jit(method.init)(jax.random.key(5), image), {}
    step = jax.jit(method.step)
    for batch in per_seed[1]:
        alone, metrics = step(alone, batch)
    np.testing.assert_allclose(losses[3], metrics["loss"], rtol=1e-9)
    for together, one in zip(
        jax.tree.leaves((state.params, state.batch_stats)),
        jax.tree.leaves((alone.params, alone.batch_stats)),
        strict=True,
    ):
        np.testing.assert_allclose(together[3], one, rtol=1e-6, atol=1e-9)
    scores = program.score(state, per_seed[0][0]["image"])
    maps = method.predict(alone.params, alone.batch_stats, per_seed[0][0]["image"])
    np.testing.assert_allclose(scores[3], nf.nets.score(maps), rtol=1e-7)
    assert np.ptp(scores[1::2], axis=0).max() > 1e-6


def test_one_program_trains_all_settings_and_inputs(data, monkeypatch, tmp_path):
    """And a folder keeps the runs of each input, which are not trained again."""
    traces = []
    step = Supervised.step

    def counted(self, state, batch):
        traces.append(self.call)
        return step(self, state, batch)

    monkeypatch.setattr(Supervised, "step", counted)
    options = {"theta": [0, 0.7], "seeds": 2, "folder": tmp_path, **SHORT}
    inputs = ["static", "static_dynamic"]
    net = nf.nets.build("cdn_cdc", **SMALL)
    result = nf.ablate(data, net, inputs=inputs, **options)
    assert len(traces) == 1
    monkeypatch.setattr(swept.Program, "train", None)
    assert nf.ablate(data, net, inputs=inputs, **options).runs == result.runs
    assert nf.ablate(data, net, inputs=inputs[1:], **options).runs == result.runs[4:]
    for other in (
        {"seeds": 3},
        {"theta": [0, 0.8]},
        {"steps": 3},
        {"rule": "min_hter"},
    ):
        with pytest.raises(InputError, match="was made with other settings"):
            nf.ablate(data, net, inputs=inputs, **options | other)
    (tmp_path / "static.json").write_text("[{}]")
    with pytest.raises(InputError, match=r"static\.json are damaged"):
        nf.ablate(data, net, inputs=inputs, **options)
    assert [(run.input, run.value, run.seed) for run in result.runs][:5] == [
        *(("static", value, seed) for value in (0.0, 0.7) for seed in (0, 1)),
        ("static_dynamic", 0.0, 0),
    ]


def test_an_ablation_agrees_with_train_and_evaluate(data):
    """After two steps rounding is small: see the test in float64 for the rest."""
    net = nf.nets.build("cdn_cdc", **SMALL)
    result = nf.ablate(data, net, theta=[0.2, 0.9], seeds=[3], **SHORT)
    for run in result.runs:
        model = nf.train(data, net, theta=run.value, seed=3, **SHORT)
        evaluated = nf.evaluate(model, data, target="dom_m").result
        np.testing.assert_allclose(run.threshold, evaluated.threshold, rtol=1e-3)
        assert run.auc == pytest.approx(evaluated.auc, abs=0.05)
        assert run.hter == pytest.approx(evaluated.test.hter, abs=0.1)


def test_lambda_is_swept_beside_a_fixed_theta(data):
    net = nf.nets.build("cdn", **SMALL)
    result = nf.ablate(data, net, lam=np.array([0.0, 1.0]), theta=0.2, seeds=1, **SHORT)
    assert (result.swept, result.values) == ("lam", (0.0, 1.0))
    assert repr(result).startswith("input           lambda  seeds  ACER, %")


RUNS = tuple(
    workflow.Run("static", value, seed, 0.1, 0.5, *rates)
    for value, seed, rates in [
        (0.0, 0, (0.5, 0.4, 0.6)),
        (0.0, 1, (0.3, 0.2, 0.8)),
        (1.0, 0, (0.1, 0.1, 1.0)),
        (1.0, 1, (0.1, 0.3, 0.9)),
    ]
)


def test_the_table_has_mean_and_deviation_over_seeds(tmp_path):
    result = workflow.Ablation("theta", RUNS)
    assert repr(result).splitlines() == [
        "input   theta  seeds  ACER, %      HTER, %      AUC, %",
        "static  0      2      40.0 ± 14.1  30.0 ± 14.1  70.0 ± 14.1",
        "static  1      2      10.0 ± 0.0   20.0 ± 14.1  95.0 ± 7.1",
    ]
    shown = result._repr_html_()
    assert shown.count("<tr>") == 3 and "<td>70.0 ± 14.1</td>" in shown
    np.testing.assert_array_equal(result.rates("auc", "static"), [[0.6, 1], [0.8, 0.9]])
    result.curves("auc").save(tmp_path / "curves.svg")
    single = workflow.Ablation("lam", RUNS[::2])
    assert "±" not in repr(single)
    picture = ablation.bands([single.panel(), result.panel("hter")], format="png")
    assert picture.alt == "Curves of ACER against lambda, HTER against theta"
    with pytest.raises(InputError, match="metric: expected one of 'acer'"):
        result.curves("eer")
    with pytest.raises(InputError, match="got the shape"):
        ablation.bands([ablation.Panel("theta", "AUC", [0, 1], {"a": [[0.5]]})])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"theta": [0, 1.5]}, r"theta: .* a number from 0 to 1, got \[0.*, 1\.5\]"),
        ({"theta": [0, 1], "lam": [0, 1]}, "a list of values of one of them"),
        ({"theta": 0.5}, "a list of values of one of them"),
        ({}, "a list of values of one of them, as theta=.* got theta=None"),
        ({"theta": []}, "theta: expected a list of one or more different values"),
        ({"theta": [0.5, 0.5]}, "theta: expected a list of one or more different"),
        ({"theta": [0, 1], "seeds": [1, 1]}, "seeds: .* a list of different seeds"),
        ({"lam": [0.5]}, "lam: expected None for this network"),
        ({"theta": [0.5], "lam": 0.5}, "lam: expected None for this network"),
        (THETA | {"seeds": 0}, "seeds: expected a number of seeds, 1 or more.* got 0"),
        (THETA | {"seeds": [-1]}, "seeds: expected"),
        (THETA | {"seeds": []}, "seeds: expected"),
        (
            THETA | {"chunk": 0},
            "chunk: expected an integer of 1 or more, or None, got 0",
        ),
        (THETA | {"steps": 0}, "steps"),
        (
            THETA | {"inputs": ["statics"]},
            "inputs: .* got .*statics.* Did you mean static",
        ),
        (THETA | {"inputs": []}, "inputs: expected a list of one or more different"),
        (THETA | {"inputs": ["frames"]}, "'frames'"),
        (THETA | {"target": "dom_n"}, "got 'dom_n'"),
        (THETA | {"rule": "eeer"}, "rule"),
        (THETA | {"folder": 3}, "folder: expected a path, or None, got 3"),
        (THETA | {"view": "static"}, r"view: expected a pipeline\.View, or None"),
    ],
)
def test_wrong_settings_are_named(data, options, says):
    net = nf.nets.build("cdn_cdc", **SMALL)
    with pytest.raises(InputError, match=says):
        nf.ablate(data, net, **SHORT | options)


def test_a_lost_run_is_named():
    program = a_program("theta", 1)
    losses = np.array([1.0, 1.0, 1.0, np.nan, 1.0, 1.0])
    with pytest.raises(Diverged, match=r"step 7 for theta 0\.8, seed 5\. Lower"):
        program._require_finite(losses, 7)


def test_the_batches_of_a_seed_are_those_of_its_training(data):
    options = {"domains": ["dom_c", "dom_o"], "batch_size": 4, "augment": "flip"}
    stacked = next(workflow._batches(data, [2, 7], **options))
    for place, seed in enumerate((2, 7)):
        alone = next(pipeline.train_batches(data, seed=seed, **options))
        np.testing.assert_array_equal(stacked["image"][place], alone["image"])
