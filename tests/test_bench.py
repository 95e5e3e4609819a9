"""Benchmarks of the search step and of CDN, and what all benchmarks share."""

import dataclasses
import importlib.util
import json
import pathlib
import runpy
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct

from nasfas_jax.benchmarks import (
    cases,
    cdn,
    data,
    eulernet,
    metagrad,
    search_step,
    timing,
)
from nasfas_jax.benchmarks import search as of_search
from nasfas_jax.commands import bench, search
from nasfas_jax.errors import InputError
from nasfas_jax.search import spaces


def test_without_pytorch_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for rows in (cdn.rows(), metagrad.rows(metagrad.RFMetaCase())):
        with pytest.raises(InputError, match=r"pip install -e '\.\[bench\]'"):
            next(rows)
    monkeypatch.setattr(search_step, "step_costs", lambda *_, **__: pytest.fail("late"))
    with pytest.raises(InputError, match=r"pip install -e '\.\[bench\]'"):
        bench.run(None, output="nowhere")


def test_disagreement_stops_a_benchmark():
    with pytest.raises(AssertionError, match="map: ours and the peer's differ by 5"):
        timing.check("map", [1.5], [1.0], 0.1)


def test_peak_bytes_include_arguments_and_results():
    x = np.ones(1000, np.float32)
    double = timing.compiled(lambda x: jnp.concatenate([x, x]), x)
    assert double.peak_bytes == double.temporary_bytes + 3 * x.nbytes
    assert double.seconds > 0 and double(x).shape == (2000,)


def test_noise_has_the_shape_of_an_episode_of_three_domains():
    episode = cases.noise_episode(4, image_size=6, map_size=3, channels=6, seed=1)
    support, query = episode["support"], episode["query"]
    assert support["image"].shape == (2, 4, 6, 6, 6)
    assert support["target"].shape == (2, 4, 3, 3) and query["label"].shape == (4,)
    assert all(x.dtype == np.float32 for x in (query["image"], query["target"]))
    for split in (support, query):
        assert -1 <= split["image"].min() < -0.9 and 0.9 < split["image"].max() <= 1
        assert np.array_equal(split["target"].any((-2, -1)), split["label"] == 1)
    # The numbers of docs/meta_gradients.md were measured on these.
    expected = np.random.default_rng(1).uniform(-1, 1, (2, 4, 6, 6, 6))
    assert np.array_equal(support["image"], expected.astype(np.float32))


SGD = optax.sgd(0.1)


@struct.dataclass
class State:
    """The state of the alphas' optimizer, and the result of a step."""

    alpha_opt_state: Any
    images: Any


@dataclasses.dataclass(frozen=True)
class Search:
    """A search method whose step repeats the query images by the number of orders."""

    net = types.SimpleNamespace(space=types.SimpleNamespace(map_size=3))
    weight_order: str = ""
    arch_order: str = ""
    mode: str = ""
    alphas_from: int = 9
    exact_from: int = 9
    cost_weight: float = 1.0
    alpha_optimizer: Any = SGD

    def init(self, key, image):
        return image.sum()

    def step(self, state, episode):
        assert self.alphas_from == self.exact_from == self.cost_weight == 0
        assert episode["query"]["target"].shape == (2, 3, 3)
        exact = (self.weight_order, self.arch_order).count("exact")
        images = jnp.concatenate([episode["query"]["image"] * state] * (1 + exact))
        grads = jnp.ones(2).at[0].set(exact / 2)
        return State((grads, ()), images), {}


def test_a_search_step_is_measured_in_every_order_and_mode():
    costs = list(
        search_step.step_costs(Search(), batch_size=2, image_size=6, repeats=1)
    )
    found = [(cost.weights, cost.architecture, cost.mode) for cost in costs]
    assert found == list(search_step.SETTINGS)
    assert all(cost.seconds > 0 and cost.compile > 0 for cost in costs)
    # The arguments are the same, the results one, two and three times the images.
    exact, first, _, weights, _, reverse = costs
    assert first.peak_bytes < weights.peak_bytes < exact.peak_bytes
    assert reverse.peak_bytes == exact.peak_bytes
    assert reverse.cosine == exact.cosine == pytest.approx(1)
    np.testing.assert_allclose(
        [first.cosine, first.norm_ratio, exact.norm_ratio], [0.5**0.5, 0.5**0.5, 1]
    )


def test_the_command_writes_tables_and_json(tmp_path, monkeypatch, capsys):
    """Measured values are replaced: their functions have tests of their own."""
    monkeypatch.setenv("COLUMNS", "200")
    path = pathlib.Path(__file__).parents[1] / "configs" / "synthetic.py"
    smoke = runpy.run_path(str(path))["get_config"]("smoke")
    numbers = (0.25, 3.0, 5_000_000, 0.9, 1.1)
    step = search_step.StepCost("exact", "first", "unrolled", *numbers)
    costs = data.Costs(
        [data.Preparing("tiny", 2, 20, 8, 4.0, 2.0, 6.0, 3.0)],
        data.Loading(0.5, 2.0),
        {"few": 10.0, "many": 11.0},
    )
    given = {}

    def step_costs(method, **sizes):
        given.update(sizes, method=method)
        return iter([step])

    def data_costs(method, **settings):
        given.update(settings, classifier=method)
        return costs

    monkeypatch.setattr(search_step, "step_costs", step_costs)
    monkeypatch.setattr(data, "costs", data_costs)
    row = cdn.Row("CDN forward", "16 x 16, batch 2", 1.0, 4.0, 7.0)
    monkeypatch.setattr(cdn, "rows", lambda repeats: iter([row]))
    monkeypatch.setattr(timing, "machine", lambda *packages: {"packages": packages})
    monkeypatch.setattr(timing, "require_torch", lambda: None)
    bench.run(smoke, output=tmp_path)
    assert given["image_size"] == smoke.data.image_size
    assert given["augment"] == smoke.train.augment
    assert given["method"].net.space == search.make_method(smoke.search).net.space
    names = ("search_step", "data", "peers")
    steps, prepared, peers = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in names
    )
    assert steps == {"steps": [dataclasses.asdict(step)]}
    assert prepared["loading"] == {"load": 0.5, "step": 2.0, "ratio": 4.0}
    assert prepared["preparing"][0]["frames"] == 20
    assert prepared["memory"] == costs.memory
    assert peers["rows"] == [dataclasses.asdict(row) | {"ratio": 0.25}]
    assert peers["machine"] == {"packages": ["jax", "torch"]}
    printed = " ".join(capsys.readouterr().out.split())  # lines of any width
    for text in ("unrolled", "2.00 (2.00)", "4 times as long", "PyTorch", "0.25"):
        assert text in printed


def test_cdn_is_compared_with_its_peer(monkeypatch):
    pytest.importorskip("torch")
    rows = list(cdn.rows(1, ((16, 2),)))
    assert [row.benchmark for row in rows] == ["CDN forward", "CDN forward + backward"]
    assert all(row.ratio == row.ours / row.peer > 0 for row in rows)


def test_eulernet_is_compared_with_its_peer():
    pytest.importorskip("torch")
    rows = list(eulernet.rows(eulernet.Case(16, 2, 1 / 16, (1,) * 5), 1))
    assert [row.benchmark for row in rows] == [
        "EulerNet forward",
        "EulerNet training step",
    ]
    assert all(row.ratio == row.ours / row.peer > 0 for row in rows)


def test_rangers_steps_are_those_of_its_peer():
    torch = pytest.importorskip("torch")
    from nasfas_jax.benchmarks.peers import eulernet as peers
    from nasfas_jax.methods.ranger import ranger

    random = np.random.default_rng(0)
    start, gradients = random.normal(size=(4, 6)), random.normal(size=(14, 4, 6))
    param = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    peer = peers.Ranger([param], 1e-2)
    with jax.enable_x64(True):
        # Kernels are HWIO in ours, the output channel last.
        rule = ranger(1e-2)
        params: Any = {"kernel": jnp.asarray(start.T)}
        state = rule.init(params)
        for gradient in gradients:
            updates, state = rule.update(
                {"kernel": jnp.asarray(gradient.T)}, state, params
            )
            params = optax.apply_updates(params, updates)
            param.grad = torch.tensor(gradient)
            peer.step()
        ours = np.asarray(params["kernel"]).T
    np.testing.assert_allclose(ours, param.detach().numpy(), rtol=1e-9)


def test_the_filter_is_timed_by_both_methods(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    found = list(eulernet.filter_times(1, (3, 40), 2))
    assert [row.frames for row in found] == [3, 40]
    assert all(row.scan > 0 and row.associative_scan > 0 for row in found)
    row = cdn.Row("EulerNet forward", "tiny", 1.0, 4.0, 7.0)
    monkeypatch.setattr(eulernet, "filter_times", lambda repeats: iter(found))
    monkeypatch.setattr(eulernet, "rows", lambda case, repeats: iter([row]))
    monkeypatch.setattr(timing, "machine", lambda *packages: {})
    monkeypatch.setattr(timing, "require_torch", lambda: None)
    bench.run_eulernet(output=tmp_path)
    written = json.loads((tmp_path / "eulernet.json").read_text())
    assert written["filters"] == [dataclasses.asdict(row) for row in found]
    assert [row["ratio"] for row in written["rows"]] == [0.25] * len(eulernet.CASES)
    printed = capsys.readouterr().out
    assert "associative scan, ms" in printed and "0.25" in printed


def test_darts_is_compared_with_its_peer(monkeypatch):
    """Losses and gradients by the alphas agree, or `rows` raises."""
    pytest.importorskip("torch")
    monkeypatch.setattr(of_search, "ORDERS", ("first",))
    tiny = {"stem_channels": (2, 2, 2), "channels": 4, "partial": 2, "map_size": 2}
    case = of_search.Case("tiny", spaces.get("nas_baseline", **tiny), 64, 4)
    (row,) = of_search.rows(case, 1)
    assert row.order == "first" and row.cached < row.compile
    assert row.ratios["time"] == row.ours_seconds / row.peer_seconds > 0


def test_steps_of_larger_spaces_are_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    assert len(of_search.GrownSpace(cell_groups=1, candidate_count=3).layout) == 3
    assert of_search.GrownSpace(candidate_count=3).operations == (
        "none",
        "skip",
        "sep_conv_3",
    )
    row = of_search.Row("tiny", "exact", 1.0, 4.0, 10, 40, 7.0, 0.5)
    grown = [
        of_search.Grown(along, value, value / 10, 2.0 * value, 100)
        for along, values in of_search.GROWTH.items()
        for value in values
    ]
    monkeypatch.setattr(of_search, "rows", lambda case: iter([row]))
    monkeypatch.setattr(of_search, "growth", lambda: iter(grown))
    monkeypatch.setattr(timing, "machine", lambda *packages: {})
    monkeypatch.setattr(timing, "require_torch", lambda: None)
    bench.run_search(output=tmp_path)
    written = json.loads((tmp_path / "search.json").read_text())
    assert written["growth"] == [dataclasses.asdict(one) for one in grown]
    assert written["rows"][0]["ratios"] == {"time": 0.25, "memory": 0.25}
    assert "candidates" in (tmp_path / "search_growth.svg").read_text()
    assert "cached, s" in capsys.readouterr().out


def test_results_without_a_peer_need_no_peer():
    assert "torch" not in bench._result([])["machine"]
