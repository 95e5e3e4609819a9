"""Instruments of a search beside their slow obvious forms; warnings; the early end."""

import dataclasses
import itertools
import json
import re
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import smoke

import nasfas_jax as nf
from nasfas_jax.commands import report
from nasfas_jax.commands import search as command
from nasfas_jax.data.loading import pipeline
from nasfas_jax.errors import InputError
from nasfas_jax.methods import darts, instruments, meta_nas
from nasfas_jax.runtime import loop
from nasfas_jax.search import spaces
from nasfas_jax.workflows import collapse, finished
from nasfas_jax.workflows.instruments import Health

CHAINS = {"stem_channels": 2, "channels": 4, "head_channels": 2, "map_size": 4}
SPACE = spaces.get("nas_fas", pool="max", partial=2, **CHAINS)
RATE = 0.1


class Space:
    """Two edges of three operations."""

    def init_alphas(self, key, dtype):
        return {"cell": jax.random.normal(key, (2, 3), dtype)}

    def loss(self, predicted, target):
        return jnp.square(predicted - target).mean()

    def relative_macs(self, alphas):
        return jax.nn.softmax(alphas["cell"])[:, 1].mean()


class Net:
    """Mixtures of a tanh, a square and a linear layer, one after the other."""

    space = Space()

    def init(self, key, image, alphas, train):
        params = {"w": jax.random.normal(key, (2, 3, 3), image.dtype)}
        return {"params": params, "batch_stats": {"mean": jnp.zeros((), image.dtype)}}

    def apply(self, variables, x, alphas, train, mutable):
        for w, p in zip(
            variables["params"]["w"], jax.nn.softmax(alphas["cell"]), strict=True
        ):
            y = x @ w
            x = p[0] * jnp.tanh(y) + p[1] * y**2 / 4 + p[2] * y
        return x.mean(-1), {"batch_stats": {"mean": x.mean()}}


def make(kind, **options):
    """A method by plain descent, its state, and an episode, in float64."""
    rng = np.random.default_rng(0)

    def batch(*lead):
        image = rng.normal(size=(*lead, 4, 2, 2, 3))
        return {"image": image, "target": rng.normal(size=(*lead, 4, 2, 2))}

    rates = [optax.sgd(RATE)] * 3
    method = kind(Net(), *rates, **options)
    state = method.init(jax.random.key(0), jnp.zeros((1, 2, 2, 3), np.float64))
    return method, state, {"support": batch(2), "query": batch()}


@pytest.mark.parametrize("kind", [meta_nas.MetaNAS, darts.DARTS])
@pytest.mark.parametrize("arch_order", meta_nas.ORDERS)
def test_the_step_follows_the_gradient_by_the_alphas(x64, kind, arch_order):
    method, state, episode = make(kind, arch_order=arch_order, cost_weight=0.3)

    @jax.jit
    def both(state):
        cost = jax.grad(method.relative_cost)(state.alphas)
        return method.step(state, episode), method.alpha_gradient(state, episode), cost

    (new, metrics), (loss, gradient), cost = both(state)
    expected = state.alphas["cell"] - RATE * (gradient["cell"] + 0.3 * cost["cell"])
    np.testing.assert_allclose(new.alphas["cell"], expected, atol=1e-12)
    reported = "loss" if kind is meta_nas.MetaNAS else "query_loss"
    np.testing.assert_allclose(loss, metrics[reported], rtol=1e-12)


def test_signal_to_noise_is_its_loops():
    gradients = np.random.default_rng(0).normal(0.3, 1, (5, 3, 4))
    found = instruments.signal_to_noise({"low": gradients, "beta": gradients[..., 0]})
    for edge in range(3):
        means, errors = [], []
        for entry in range(4):
            values = gradients[:, edge, entry]
            mean = sum(values) / 5
            variance = sum((value - mean) ** 2 for value in values) / 4
            means.append(mean)
            errors.append((variance / 5) ** 0.5)
        ratio = np.hypot.reduce(means) / np.hypot.reduce(errors)
        np.testing.assert_allclose(found["low"][edge], ratio)
        np.testing.assert_allclose(found["beta"][edge], abs(means[0]) / errors[0])
    with pytest.raises(InputError, match=r"two or more batches, .* got 1"):
        instruments.signal_to_noise({"low": gradients[:1]})


@pytest.mark.parametrize("batches", [4, 64])
def test_noise_alone_has_a_ratio_near_one(batches):
    noise = np.random.default_rng(0).normal(size=(batches, 50, 8))
    ratios = instruments.signal_to_noise(noise)
    assert 0.9 < np.median(ratios) < 1.2
    assert np.median(instruments.signal_to_noise(noise + 1)) > 0.8 * batches**0.5


def symmetric(eigenvalues, seed=0):
    size = len(eigenvalues)
    random = np.random.default_rng(seed).normal(size=(size, size))
    basis = np.linalg.qr(random)[0]
    return basis @ np.diag(eigenvalues) @ basis.T


@pytest.mark.parametrize("sign", [1, -1])
def test_the_dominant_eigenvalue_is_that_of_eigh(sign):
    matrix = sign * symmetric([*np.linspace(-3, 2, 39), 4.0])
    found = instruments.dominant_eigenvalue(
        lambda x: matrix @ x, 40, tolerance=1e-8, products=40
    )
    values = np.linalg.eigh(matrix)[0]
    np.testing.assert_allclose(found.value, sign * 4, rtol=1e-10)
    assert abs(found.value) == pytest.approx(abs(values).max()) and found.products < 40
    rough = instruments.dominant_eigenvalue(lambda x: matrix @ x, 40, products=6)
    assert rough.products <= 6
    assert np.abs(values - rough.value).min() <= rough.residual + 1e-12


def test_opposite_eigenvalues_and_small_matrices():
    pair = symmetric([3.0, -3.0, 1.0])
    found = instruments.dominant_eigenvalue(lambda x: pair @ x, 3, tolerance=1e-9)
    assert abs(found.value) == pytest.approx(3) and found.products == 3
    zero = instruments.dominant_eigenvalue(lambda x: 0 * x, 5)
    assert zero == (0, 0, 1)
    one = instruments.dominant_eigenvalue(lambda x: -2 * x, 4)
    assert one.value == pytest.approx(-2) and one.products == 1
    with pytest.raises(InputError, match="products: expected an integer of 1 or more"):
        instruments.dominant_eigenvalue(lambda x: x, 4, products=0)


def test_curvature_is_the_dense_hessian(x64):
    method, state, episode = make(meta_nas.MetaNAS)
    batch = episode["query"]

    @jax.jit
    def dense(flat):
        def loss(flat):
            alphas = {"cell": flat.reshape(2, 3)}
            arguments = {"params": state.params, "batch_stats": state.batch_stats}
            y, _ = Net().apply(arguments, batch["image"], alphas, True, ())
            return jnp.square(y - batch["target"]).mean()

        return jax.hessian(loss)(flat)

    @jax.jit
    def product(x):
        direction = {"cell": x.reshape(2, 3)}
        found = instruments.curvature_product(method, state, batch, direction)
        return found["cell"].ravel()

    hessian = np.asarray(dense(state.alphas["cell"].ravel()))
    for x in np.eye(6):
        np.testing.assert_allclose(product(x), hessian @ x, atol=1e-12)
    found = instruments.dominant_eigenvalue(product, 6, tolerance=1e-9)
    values = np.linalg.eigh(hessian)[0]
    largest = values[np.argmax(np.abs(values))]
    np.testing.assert_allclose(found.value, largest, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("nas_fas", {}),
        ("nas_fas", {"branches": ("static", "dynamic")}),
        ("nas_baseline", {"edge_weights": True}),
        ("auto_fas", {"edge_weights": False, "branches": ("static", "dynamic")}),
    ],
)
def test_one_hot_alphas_are_certain_of_their_architecture(name, options):
    space = spaces.get(name, **options)
    found = space.sample(3)
    alphas = space.one_hot(found)
    derived = space.derive(alphas)
    cells = [[set(cell) for cell in one.cells] for one in (derived, found)]
    assert cells[0] == cells[1] and derived.fusion == found.fusion
    probabilities = space.probabilities(alphas)
    assert all(set(np.unique(p)) == {0, 1} for p in probabilities.values())
    like = space.init_alphas(jax.random.key(0))
    shapes = [jax.tree.map(np.shape, tree) for tree in (like, alphas)]
    assert shapes[0] == shapes[1]
    if options.get("edge_weights"):  # the two edges into a node share its sum
        shares = np.asarray(space.shares(alphas["normal"]))
        kept = [space.edge_of(link) for link in found.cells[0]]
        np.testing.assert_array_equal(shares[kept], 0.5)
    with pytest.raises(InputError, match=f"of the space {space.title}"):
        space.one_hot(
            spaces.get("nas_fas", convolution="conv", attention=False).sample(0)
        )


def choice(entropy=0.5, skips=0.25):
    return collapse.Choice({"low": entropy}, {"low": skips}, {"low": 4})


@pytest.mark.parametrize(
    ("given", "begins", "helps"),
    [
        ({"choice": choice(entropy=0.96)}, "Undecided: .* low 0.960", "more steps"),
        ({"choice": choice(skips=0.75)}, "Skips: .* 75 % .* 50 %", "alphas_from"),
        ({"signal": {"low": [0.5, 1.9, 1.0, 9.0]}}, "Noise: .* 3 of 4", "batch_size"),
        ({"mixture": 0.01, "derived": 0.03}, "Gap: .* 0.03, .* 0.01 ", "partial"),
    ],
)
def test_each_sign_of_a_collapse_has_a_warning(given, begins, helps):
    healthy = {
        "choice": choice(),
        "signal": {"low": [2.0, 3.0, 1.0, np.nan]},
        "mixture": 0.01,
        "derived": 0.019,
    }
    assert collapse.warnings(**healthy) == []  # pyright: ignore
    (warning,) = collapse.warnings(**healthy | given)  # pyright: ignore
    assert re.match(begins, warning) and helps in warning


def search(data, folder, **settings):
    """Searches by the step of another test, whose program is reused."""
    own = {"method": "darts", "arch_order": "first", "by": "half", "steps": 3}
    given = {"batch_size": 2, "log_every": 1, "save_every": 1, "target": "dom_m"}
    return nf.search_architecture(data, SPACE, folder=folder, **own | given | settings)


@pytest.fixture(scope="module")
def searched(data, tmp_path_factory):
    """A search of three steps, and its folder."""
    folder = tmp_path_factory.mktemp("searched")
    return search(data, folder), folder


@pytest.fixture(scope="module")
def health(data, searched):
    """Its instruments on two batches."""
    return nf.search_health(data, searched[1], batches=2, development_batches=3)


def test_a_finished_search_is_inspected(data, searched, health, tmp_path):
    found, folder = searched
    last = found.metrics[-1]
    for cell in SPACE.cells:
        p = np.array(last[f"alphas/{cell}"], np.float64)
        entropy = -(p * np.log(p)).sum(-1).mean() / np.log(8)
        assert health.choice.entropy[cell] == pytest.approx(entropy, rel=1e-5)
    assert health.warnings and found.warnings[0] in health.warnings
    restored = finished.restore(data, folder)
    for cell, alphas in found.alphas.items():
        np.testing.assert_array_equal(restored.state.alphas[cell], alphas)
        assert len(health.signal[cell]) == len(alphas)  # of every edge
    batches = [e["query"] for e in restored.draw(3, "development", seed=0)]
    state, net = restored.state, SPACE.supernet()

    @jax.jit
    def loss(alphas, batch):
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        y, _ = net.apply(
            variables, batch["image"], alphas, train=True, mutable=["batch_stats"]
        )
        return SPACE.loss(y, batch["target"])

    one_hot = SPACE.one_hot(found.genotype)
    for alphas, value in ((found.alphas, health.mixture), (one_hot, health.derived)):
        losses = [float(loss(alphas, batch)) for batch in batches]
        assert value == pytest.approx(np.mean(losses), rel=1e-5)
    health.save(tmp_path / "health.json")
    assert Health.load(tmp_path / "health.json") == health
    assert "dominant eigenvalue" in repr(health) and "<img " in health._repr_html_()
    with pytest.raises(InputError, match="expected the instruments of a search"):
        Health.load(folder / "summary.json")


def test_the_gradient_of_several_episodes_is_their_mean(x64):
    """By the mesh of the search, over devices."""
    method, state, episode = make(darts.DARTS, arch_order="first")
    rest: Any = (None, [], SPACE)
    view = pipeline.View()
    one, several = (
        finished.FinishedSearch(*rest, method, state, view, "domain", 4, episodes)
        for episodes in (1, 2)
    )
    episode["query_domain"] = np.zeros((), np.int32)
    other = jax.tree.map(lambda x: x + 1, episode)
    each = [one.alpha_gradient(x)["cell"] for x in (episode, other)]
    stacked = jax.tree.map(lambda *x: np.stack(x), episode, other)
    together = several.alpha_gradient(stacked)["cell"]
    np.testing.assert_allclose(together, np.mean(each, 0), atol=1e-12)
    assert np.abs(each[0] - each[1]).max() > 1e-3


def test_one_hot_scores_share_a_program_and_have_a_tau(data, searched, monkeypatch):
    genotypes = [SPACE.sample(seed) for seed in range(5)]
    alone, traces = [0.6, 0.8, 0.7, 0.9, 0.5], []
    loss = darts.DARTS.supernet_loss

    def counted(*arguments):
        traces.append(1)
        return loss(*arguments)

    monkeypatch.setattr(darts.DARTS, "supernet_loss", counted)
    ranking = nf.supernet_ranking(
        data, searched[1], genotypes, alone, development_batches=3
    )
    assert len(traces) == 1
    pairs = itertools.combinations(zip(ranking.supernet, alone, strict=True), 2)
    signs = [np.sign((a - c) * (b - d)) for (a, b), (c, d) in pairs]
    assert len(set(ranking.supernet)) == 5  # no ties
    assert ranking.tau == pytest.approx(np.mean(signs)) and 0 < ranking.p_value <= 1
    assert "tau" in repr(ranking) and "<img " in ranking._repr_html_()
    for wrong in (alone[:2], [*alone[:4], np.nan]):
        with pytest.raises(
            InputError, match="alone: expected a finite number for each"
        ):
            nf.supernet_ranking(data, searched[1], genotypes[: len(wrong)], wrong)
    with pytest.raises(InputError, match="expected an architecture of the space"):
        other = [spaces.get("auto_fas").sample(seed) for seed in range(3)]
        nf.supernet_ranking(data, searched[1], other, alone[:3])


def test_a_search_that_is_not_finished_is_refused(data, searched, tmp_path):
    with pytest.raises(InputError, match=r"There is no .*record\.json"):
        nf.search_health(data, tmp_path)
    nf.search_architecture(data, SPACE, method="random", folder=tmp_path)
    with pytest.raises(InputError, match=r"got one without summary\.json"):
        nf.search_health(data, tmp_path)
    with pytest.raises(InputError, match="batches: expected an integer of 2 or more"):
        nf.search_health(data, searched[1], batches=1)
    shown = finished.records.read_summary(searched[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finished.records, "read_summary", lambda _: shown | {"steps": 4})
        with pytest.raises(
            InputError, match=r"checkpoint of the last step, 4, got .* 3"
        ):
            nf.search_health(data, searched[1])


def test_a_search_ends_early_and_is_resumed_to_the_same_end(
    data, searched, tmp_path, monkeypatch
):
    """Bit for bit; a third call takes no step."""
    settings = {"steps": 6, "skip_limit": 0.0}
    whole = search(data, tmp_path / "whole", **settings)
    last = whole.metrics[-1]["step"]
    assert last < 6 and f"after step {last}: skip is" in whole.stopped
    cells = [np.array(whole.metrics[-1][f"alphas/{name}"]) for name in SPACE.cells]
    strongest = np.concatenate(cells)[:, 1:].argmax(-1)
    assert (strongest == 0).any()
    summary = json.loads((tmp_path / "whole" / "summary.json").read_text())
    assert (summary["steps"], summary["stopped"]) == (last, whole.stopped)
    write = loop.MetricsLog.write

    def killed(log, step, metrics):
        if step == last:
            raise KeyboardInterrupt
        write(log, step, metrics)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop.MetricsLog, "write", killed)
        search(data, tmp_path / "killed", **settings)
    resumed = search(data, tmp_path / "killed", **settings)
    again = search(data, tmp_path / "killed", **settings)
    for one in (resumed, again):
        assert (one.genotype, one.stopped) == (whole.genotype, whole.stopped)
        assert len(one.metrics) == last
        jax.tree.map(np.testing.assert_array_equal, one.alphas, whole.alphas)
    with pytest.raises(
        InputError, match=r"skip_limit: expected .* from 0 to 1, or None"
    ):
        search(data, tmp_path, skip_limit=2)


def test_an_early_end_needs_a_skip():
    class Other:
        title, operations = "other", ("three", "five")

    with pytest.raises(
        InputError, match=r"skip_limit: .* no operation 'skip' \(it has"
    ):
        collapse.early_end(Other(), 0.5, 0)
    assert collapse.early_end(Other(), None, 0)(None) == ""


def test_the_command_prints_them(data, searched, health, tmp_path, monkeypatch, capsys):
    found, _ = searched
    config = smoke.config()
    command._inspect(
        dataclasses.replace(found, stopped="It ended."), tmp_path, config, data
    )
    printed = capsys.readouterr().out
    assert printed.startswith("It ended.\nwarning: Undecided: ")
    monkeypatch.setattr(command.instruments, "search_health", lambda *_, seed: health)
    config.search.instruments = True
    command._inspect(found, tmp_path, config, data)
    printed = capsys.readouterr().out
    assert "loss of the derived network" in printed
    assert all(f"warning: {text}\n" in printed for text in health.warnings)
    assert Health.load(tmp_path / "health.json") == health


def test_the_report_shows_signs_and_instruments(searched, health, tmp_path):
    _, folder = searched
    cells = {"low": np.full((4, 8), 1 / 8)}
    assert "Undecided" in report._signs(folder, cells, SPACE.legend)
    assert report._instruments(tmp_path) == []
    health.save(tmp_path / "health.json")
    assert report._instruments(tmp_path) == []  # of another number of steps
    shutil.copy(folder / "summary.json", tmp_path)
    (section,) = report._instruments(tmp_path)
    assert section.facts["loss of the mixture, all"] == f"{health.mixture:.4g}"
    assert "Undecided" in report._signs(tmp_path, {}, SPACE.legend)
